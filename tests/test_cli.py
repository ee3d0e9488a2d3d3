"""The frame of every command: one JSON document, exit codes, sentences in Japanese, and a quick --help."""

from __future__ import annotations

import asyncio
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer

from bousai_kit import cli
from bousai_kit.cli import _terminal
from bousai_kit.errors import BousaiKitError, ConfigError, GuardError, OutcomeUnknown

ROOT = Path(__file__).parent.parent


def bousai(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bousai_kit", *args],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def test_help_is_japanese_and_quick() -> None:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import pandas"], check=True, timeout=60)
    yardstick = time.monotonic() - began
    began = time.monotonic()
    shown = bousai("--help")
    took = time.monotonic() - began
    assert shown.returncode == 0, shown.stderr
    assert "防災担当者" in shown.stdout
    for command in ("demo", "lab", "doctor", "onboard", "drill", "latency", "logs", "receiver", "sandbox"):
        assert f"  {command} " in shown.stdout
    assert took < 3 * yardstick + 1.0  # about as long as pandas takes; with all that the kit knows, far more


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nothing"], "'nothing' というコマンドはありません。"),
        (["--nothing"], "--nothing というオプションはありません。"),
        (["doctor", "--jsonn"], "--jsonn というオプションはありません。（候補：--json）"),
        (["lab", "--port", "abc"], "--port の値が正しくありません（整数で指定してください）。"),
        (["lab", "--port", "99999"], "--port の値が正しくありません（65535 以下で指定してください）。"),
        (["drill"], "コマンドを指定してください。"),
        (["drill", "status"], "を指定してください。"),
        (["doctor", "one", "two"], "余分な引数があります：one two。"),
        (["doctor", "--profile"], "--profile の値が正しくありません"),
    ],
)
def test_usage_errors_are_one_japanese_sentence(
    args: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_json_even_when_it_goes_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["drill", "status", "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["exit_code"] == 2
    assert err


def run(command: object) -> int:
    with pytest.raises(typer.Exit) as left:
        cli.run(command)  # type: ignore[arg-type]
    return left.value.exit_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("設定がありません。"), 2),
        (GuardError("止めました。"), 3),
        (OutcomeUnknown("未確定です。"), 1),
        (KeyboardInterrupt(), 130),
        (FileNotFoundError(2, "No such file", "名簿.csv"), 2),
        (ValueError("秘密 s3cr3t"), 2),
    ],
)
@pytest.mark.parametrize("later", [False, True])
def test_errors_become_exit_codes(
    error: BaseException, code: int, later: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def at_once() -> int:
        raise error

    async def afterwards() -> int:
        await asyncio.sleep(0)
        raise error

    assert run(afterwards if later else at_once) == code
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "s3cr3t" not in said
    if isinstance(error, BousaiKitError):
        assert said == error.sentence() + "\n"
    if isinstance(error, FileNotFoundError):
        assert "名簿.csv" in said


def test_results_become_exit_codes() -> None:
    async def partly() -> int:
        return 1

    async def nothing() -> None:
        return None

    assert run(lambda: 0) == 0
    assert run(lambda: None) == 0
    assert run(partly) == 1
    assert run(nothing) == 0


@pytest.mark.skipif(os.name != "posix", reason="Windows には SIGTERM の通知がない")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_leaves_in_order(number: signal.Signals) -> None:
    code = (
        "import asyncio, sys, typer\n"
        "from bousai_kit import cli\n"
        "async def work():\n"
        "    try:\n"
        "        print('at work', flush=True)\n"
        "        await asyncio.sleep(30)\n"
        "    finally:\n"
        "        print('left in order', flush=True)\n"
        "try:\n"
        "    cli.run(work)\n"
        "except typer.Exit as left:\n"
        "    sys.exit(left.exit_code)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "left in order\n")
    assert err.startswith("中断しました。")


@pytest.mark.skipif(os.name != "posix", reason="Windows には疑似端末がない")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_the_confirmation_nothing_is_sent(number: signal.Signals) -> None:
    """The loop stands still while somebody types: it hears of no signal."""
    import pty

    code = (
        "import sys, typer\n"
        "from bousai_kit import cli\n"
        "async def work():\n"
        "    cli.confirm('200 名に送信します。', yes=False)\n"
        "    print('sent', flush=True)\n"
        "try:\n"
        "    cli.run(work)\n"
        "except typer.Exit as left:\n"
        "    sys.exit(left.exit_code)\n"
    )
    ours, theirs = pty.openpty()
    try:
        pipes = {"stdin": theirs, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) as process:
            assert process.stderr is not None
            asked = b""
            while not asked.endswith("押してください：".encode()):
                read = process.stderr.read(1)
                assert read, asked
                asked += read
            process.send_signal(number)
            try:
                out, err = process.communicate(timeout=20)
            finally:
                process.kill()
    finally:
        os.close(ours)
        os.close(theirs)
    assert (process.returncode, out) == (130, b"")
    assert err.decode().startswith("\n中断しました。")


@dataclass
class Point:
    at: datetime
    where: Path


def test_plain_values() -> None:
    moment = datetime(2027, 1, 17, tzinfo=UTC)
    assert cli.plain({"a": math.nan, "b": (1, math.inf), 3: Point(moment, Path("x"))}) == {
        "a": None,
        "b": [1, None],
        "3": {"at": "2027-01-17T00:00:00+00:00", "where": "x"},
    }
    with pytest.raises(TypeError):
        cli.plain(object())


def test_profile_and_home_may_stand_anywhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    seen = {}

    def remember(only: str | None = None) -> typer.Typer:
        app = typer.Typer(add_completion=False)

        @app.command()
        def probe(name: str) -> None:
            seen[name] = cli.overrides()

        return app

    monkeypatch.setattr(cli, "build_app", remember)
    assert cli.main(["--profile", "live", "one", f"--home={tmp_path}"]) == 0
    assert cli.main(["two"]) == 0
    assert seen == {"one": {"BOUSAI_PROFILE": "live", "BOUSAI_HOME": str(tmp_path)}, "two": {}}


def test_nothing_is_sent_without_a_human(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.confirm("200 名に送信します。", yes=True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("はい\n"))  # a pipe is no human
    with pytest.raises(GuardError):
        cli.confirm("200 名に送信します。", yes=False)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("はい\n"))
    cli.confirm("200 名に送信します。", yes=False)
    monkeypatch.setattr(sys, "stdin", Terminal("yes\n"))
    with pytest.raises(GuardError):
        cli.confirm("200 名に送信します。", yes=False)
    assert "200 名に送信します。" in capsys.readouterr().err


def test_bar_elsewhere_than_on_a_terminal_is_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    bar = _terminal.Bar("送信", 200)
    for done in range(201):
        bar.update(done)
    bar.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["送信 0/200", "送信 50/200", "送信 100/200", "送信 150/200", "送信 200/200"]


def test_bar_elsewhere_says_when_something_else_is_being_done(capsys: pytest.CaptureFixture[str]) -> None:
    bar = _terminal.Bar("登録", 100)
    for done, detail in (
        (95, "メンバー 9/10"),
        (96, "トークルーム 1/4（残り約 60 秒）"),
        (97, "トークルーム 2/4"),
    ):
        bar.update(done, 100, detail)
    bar.close()
    assert capsys.readouterr().err.splitlines() == [
        "登録 95/100 メンバー 9/10",
        "登録 96/100 トークルーム 1/4（残り約 60 秒）",
    ]


def test_bar_that_does_not_know_of_how_many_names_no_total(capsys: pytest.CaptureFixture[str]) -> None:
    bar = _terminal.Bar("宛先を確認しています")
    bar.update(100, 0)
    bar.close()
    assert capsys.readouterr().err == "宛先を確認しています 100\n"


def test_output_survives_a_terminal_without_japanese() -> None:
    shown = bousai("--help", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert shown.returncode == 0
    assert "防災" in shown.stdout
