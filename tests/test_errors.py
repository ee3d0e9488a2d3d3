"""Every error says in Japanese what to do now, and shows nothing that it should not."""

from __future__ import annotations

import asyncio
import errno
import inspect
import pickle
import re

import pytest

from bousai_kit import errors
from bousai_kit.errors import (
    ApiError,
    AuthRejected,
    BousaiKitError,
    ConfigError,
    InputError,
    Issue,
    MalformedCallback,
    OutcomeUnknown,
    RateLimited,
    RosterError,
    SignatureMismatch,
    os_reason,
)

KINDS = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, BousaiKitError)]
JAPANESE = re.compile(r"[ぁ-んァ-ヶ一-龠]")


def made(kind: type[BousaiKitError]) -> BousaiKitError:
    if issubclass(kind, ApiError):
        return kind("断られました。", status=400)
    return kind("起きたこと。")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_hint_to_act_on(kind: type[BousaiKitError]) -> None:
    error = made(kind)
    assert JAPANESE.search(error.hint)
    assert error.hint.endswith("。")
    assert error.hint.count("。") == 1, "one sentence"
    assert kind.exit_code in (1, 2, 3)
    assert kind.__doc__


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_callers_hint_wins(kind: type[BousaiKitError]) -> None:
    options = {"status": 400} if issubclass(kind, ApiError) else {}
    assert kind("x", hint="こうしてください。", **options).hint == "こうしてください。"
    assert kind("x", hint="", **options).hint == ""


def test_public_names_are_all_there_and_sorted() -> None:
    public = [
        name for name, value in vars(errors).items() if getattr(value, "__module__", "") == errors.__name__
    ]
    assert sorted(errors.__all__) == errors.__all__
    assert {name for name in public if name[0] != "_"} == set(errors.__all__)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Names in the drawing are classes, each under the parent that it is drawn under."""
    drawing = errors.__doc__.split("::\n", 1)[1].split("\nMessages never", 1)[0]  # type: ignore[union-attr]
    stack: list[tuple[int, str]] = []
    drawn = {}
    for line in drawing.splitlines():
        found = re.match(r"^([ │├└─]*)([A-Z]\w+(?: · [A-Z]\w+)*)(?:\s|$)", line)
        if not found:
            continue
        depth = len(found[1])
        while stack and stack[-1][0] >= depth:
            stack.pop()
        for name in found[2].split(" · "):
            drawn[name] = stack[-1][1] if stack else "Exception"
        stack.append((depth, found[2].split(" · ")[-1]))
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in KINDS}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("ConfigError", 2), ("RosterError", 2), ("LedgerUnavailable", 2), ("LedgerCorrupt", 2),
        ("TransportFailed", 2), ("OutcomeUnknown", 1), ("ForeignLocation", 1), ("AuthRejected", 2),
        ("RateLimited", 1), ("ServiceUnavailable", 1), ("TruncatedExport", 1), ("GuardError", 3),
        ("DrillGuardError", 3), ("DrillClosed", 3), ("AnalysisError", 2),
    ],
)  # fmt: skip
def test_exit_codes(kind: str, code: int) -> None:
    assert getattr(errors, kind).exit_code == code


def test_a_notebook_shows_the_sentence_and_no_frames() -> None:
    error = ConfigError("設定がありません。", setting="BOUSAI_BOT_ID", hint="設定してください。")
    assert error._render_traceback_() == ["ConfigError: 設定がありません。", "→ 設定してください。"]
    assert error.setting == "BOUSAI_BOT_ID"


def test_ipython_itself_uses_that_hook(capsys: pytest.CaptureFixture[str]) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    shell.run_cell(
        "password = 'h1dden-in-a-local'\n"
        "from bousai_kit.errors import DrillGuardError\n"
        "raise DrillGuardError('本文に【訓練】がありません。', hint='【訓練】を付けてください。')"
    )
    out, err = capsys.readouterr()
    shown = re.sub(r"\x1b\[[0-9;]*m", "", out + err)
    assert "DrillGuardError: 本文に【訓練】がありません。" in shown
    assert "→ 【訓練】を付けてください。" in shown
    assert "h1dden" not in shown
    assert "Traceback" not in shown
    shell.history_manager.end_session()
    asyncio.get_event_loop_policy()  # IPython left its loop policy alone


def test_sentence_is_one_line() -> None:
    assert (
        BousaiKitError("一行目\n二行目。", hint="直してください。").sentence()
        == "一行目 二行目。 直してください。"
    )
    assert BousaiKitError("だめです。", hint="").sentence() == "だめです。"


def test_api_errors_carry_what_the_vendor_said() -> None:
    error = ApiError(status=400, code="INVALID_PARAMETER", description="bad", method="POST", path="/users")
    assert str(error) == "LINE WORKS が 400 を返しました（INVALID_PARAMETER bad）。"
    assert (error.status, error.code, error.method, error.path) == (
        400,
        "INVALID_PARAMETER",
        "POST",
        "/users",
    )
    assert str(ApiError(status=500)) == "LINE WORKS が 500 を返しました（説明なし）。"
    limited = RateLimited(retry_after_s=3.5, limit=240, remaining=0)
    assert (limited.status, limited.retry_after_s, limited.limit, limited.remaining) == (429, 3.5, 240, 0)
    assert isinstance(AuthRejected(status=401), ApiError)


def test_an_unknown_outcome_says_where() -> None:
    error = OutcomeUnknown("応答がありません。", method="POST", path="/bots/1/users/2/messages")
    assert (error.method, error.path) == ("POST", "/bots/1/users/2/messages")
    assert "再送せず" in error.hint


def test_callback_errors_know_their_answer() -> None:
    assert SignatureMismatch("違います。").status == 401
    assert MalformedCallback("読めません。").status == 400
    assert MalformedCallback("大きすぎます。", status=413).status == 413
    assert MalformedCallback("読めません。").status == 400  # one instance does not change the class


def test_issues_of_all_rows_travel_along() -> None:
    issues = [Issue(3, "氏名", "error", "空です。"), Issue(0, "", "warning", "全体。")]
    error = RosterError("名簿を使えません。", issues=issues)
    assert isinstance(error, InputError)
    assert error.issues == tuple(issues)
    assert issues[0].as_json() == {"row": 3, "column": "氏名", "severity": "error", "problem": "空です。"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_errors_cross_a_process_border(kind: type[BousaiKitError]) -> None:
    again = pickle.loads(pickle.dumps(made(kind)))
    assert type(again) is kind
    assert str(again) == str(made(kind))
    assert vars(again) == vars(made(kind))


def test_what_the_system_said_is_said_in_japanese_where_it_is_known() -> None:
    assert os_reason(FileNotFoundError(errno.ENOENT, "No such file", "名簿.csv")) == "場所が見つかりません"
    assert os_reason(OSError(5, "odd")) == "odd"
    assert os_reason(TimeoutError()) == "TimeoutError"
