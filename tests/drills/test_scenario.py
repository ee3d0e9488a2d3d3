"""Scenarios: what is read, every problem with its place, the mark between exercise and reality."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.drills import load_scenario
from bousai_kit.drills.scenario import DrillKind, Scenario
from bousai_kit.drills.scenario_reading import read_scenario
from bousai_kit.errors import BousaiKitError, DrillGuardError, InputError, ScenarioError
from bousai_kit.roster import sample_roster

SAMPLE = Path(__file__).parent.parent.parent / "roster" / "scenarios" / "nankai_tsunami_2019.yaml"
TEXT = "messages: [{id: b01, text: 【訓練】あ}]\n"


def read(text: str) -> Scenario:
    return read_scenario(text)


def test_only_three_keys_are_required() -> None:
    found = read("title: 訓練\nkind: exercise\n" + TEXT)
    assert (found.targets, found.deadline_s, found.reminders) == ("all", 1800.0, ())
    assert [(wave.who, wave.after_s, wave.messages) for wave in found.waves] == [("all", 0.0, ("b01",))]
    assert found.notes == ()


def test_the_sample_is_clean_and_all_its_messages_go_out() -> None:
    found = load_scenario(SAMPLE)
    assert found.kind is DrillKind.EXERCISE
    assert found.notes == ()
    assert {name for wave in found.waves for name in wave.messages} == {one.id for one in found.messages}
    assert all(one.text.startswith("【訓練】") for one in found.messages)
    assert found.reminder_times_s() == (300.0, 600.0)
    roster = sample_roster(200)
    assert all(roster.select(wave.who) for wave in found.waves)
    assert [wave.after_s for wave in found.waves] == sorted(wave.after_s for wave in found.waves)


def test_what_a_wave_without_a_message_sends() -> None:
    both = "title: t\nkind: test\nmessages: [{id: a, text: あ}, {id: b, text: い}]\n"
    assert [wave.messages for wave in read(both).waves] == [("a", "b")]
    escalating = read(both + "waves:\n - {who: all}\n - {who: all, after_s: 60, message: b}\n")
    assert [wave.messages for wave in escalating.waves] == [("a",), ("b",)]
    again = read(both + "waves:\n - {message: a}\n - {message: b}\n - {who: [{ward: 北区}], after_s: 9}\n")
    assert again.waves[2].messages == ("a",)
    forgotten = read(both + "waves: [{message: a}]\n")
    assert forgotten.notes == ("本文「b」は、どの waves でも送信されません。",)


def test_injects_are_messages_of_their_own() -> None:
    found = read(
        "title: t\nkind: test\nmessages: [{id: a, text: あ}]\ninjects:\n"
        " - {id: i1, at_s: 30, to: [{hq_role: 本部長}], text: い, expect: [{action: う, within_s: 9}]}\n"
    )
    assert [(one.id, one.inject) for one in found.messages] == [("a", False), ("i1", True)]
    assert found.waves[1].messages == ("i1",)
    assert found.waves[1].after_s == 30.0
    assert found.message("i1").expect[0].within_s == 9.0


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("kind: exercise\n" + TEXT, "title", "必須です"),
        ("title: t\nkind: drill\n" + TEXT, "kind", "exercise"),
        ("title: t\nkind: exercise\n", "messages", "1 つ以上"),
        ("title: t\nkind: exercise\nmessages: 5\n", "messages", "一覧"),
        ("title: t\nkind: test\nmessages: [{id: a b, text: あ}]\n", "messages[0].id", "英数字"),
        ("title: t\nkind: test\nmessages: [{id: 'a|b', text: あ}]\n", "messages[0].id", "英数字"),
        ("title: t\nkind: test\nmessages: [{id: a, text: 5}]\n", "messages[0].text", "文字列"),
        ("title: t\nkind: test\nmessages: [{id: a, text: ''}]\n", "messages[0].text", "文字列"),
        (
            f"title: t\nkind: test\nmessages: [{{id: a, text: {'あ' * 2001}}}]\n",
            "messages[0].text",
            "2000 文字",
        ),
        (
            f"title: t\nkind: test\nmessages: [{{id: a, text: {'あ' * 1001}, buttons: [は]}}]\n",
            "messages[0].text",
            "1000 文字",
        ),
        (
            "title: t\nkind: test\nmessages: [{id: a, text: あ}, {id: a, text: い}]\n",
            "messages[1].id",
            "2 回",
        ),
        (
            "title: t\nkind: test\nmessages: [{id: a, text: あ, buttons: [yes, no]}]\n",
            "messages[0].buttons[0]",
            "引用符",
        ),
        (
            f"title: t\nkind: test\nmessages: [{{id: a, text: あ, buttons: [{'長' * 16}]}}]\n",
            "messages[0].buttons[0]",
            "15 文字",
        ),
        (
            "title: t\nkind: test\nmessages: [{id: a, text: あ, buttons: [は, は]}]\n",
            "messages[0].buttons[1]",
            "2 回",
        ),
        (
            f"title: t\nkind: test\nmessages: [{{id: a, text: あ, buttons: {[*'abcdefghijk']}}}]\n",
            "messages[0].buttons",
            "10 個",
        ),
        ("title: t\nkind: exercise\ntargets: [{colour: red}]\n" + TEXT, "targets", "宛先"),
        ("title: t\nkind: exercise\ntargets: []\n" + TEXT, "targets", "空"),
        ("title: t\nkind: exercise\ntargets: [{staff_number: 900001}]\n" + TEXT, "staff_number", "引用符"),
        (
            "title: t\nkind: exercise\nwaves: [{who: all, after_s: -1}]\n" + TEXT,
            "waves[0].after_s",
            "0 秒以上",
        ),
        ("title: t\nkind: exercise\nwaves: [{after_s: .nan}]\n" + TEXT, "waves[0].after_s", "数値"),
        ("title: t\nkind: exercise\nwaves: [{message: b99}]\n" + TEXT, "waves[0].message", "b99"),
        (
            "title: t\nkind: exercise\nwaves: [{unless: {answered: 25, of: 24}}]\n" + TEXT,
            "waves[0].unless.of",
            "answered 以上",
        ),
        ("title: t\nkind: exercise\nreminders: [{after_s: 0}]\n" + TEXT, "reminders[0].after_s", "1 秒以上"),
        (
            "title: t\nkind: exercise\nreminders: [{after_s: 9, max: 0}]\n" + TEXT,
            "reminders[0].max",
            "1〜100",
        ),
        ("title: t\nkind: exercise\ndeadline_s: soon\n" + TEXT, "deadline_s", "数値"),
        ("title: t\ntitle: u\nkind: exercise\n" + TEXT, "title", "2 回"),
        (
            "title: t\nkind: exercise\ninjects: [{id: i, text: 【訓練】あ}]\n" + TEXT,
            "injects[0].at_s",
            "数値",
        ),
    ],
)
def test_every_problem_is_named_with_its_place(text: str, place: str, says: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(text)
    assert any(place in issue.column and says in issue.problem for issue in caught.value.issues), [
        (issue.column, issue.problem) for issue in caught.value.issues
    ]
    assert all(issue.row >= 1 for issue in caught.value.issues)


def test_all_problems_at_once_by_line() -> None:
    with pytest.raises(ScenarioError) as caught:
        read("title: 5\nkind: exercise\nmessages:\n  - id: b01\n    text: あ\n  - id: b02\n    text: い\n")
    assert [(issue.row, issue.column) for issue in caught.value.issues] == [
        (1, "title"),
        (5, "messages[0].text"),
        (7, "messages[1].text"),
    ]
    assert "1 行目 title" in str(caught.value)


@pytest.mark.parametrize("text", ["訓練です", " 【訓練】あ", "「【訓練】」", "[訓練]あ", "【訓練 】あ"])
def test_an_exercise_without_the_mark_is_refused_by_the_guard(text: str) -> None:
    with pytest.raises(DrillGuardError) as caught:
        read(f"title: t\nkind: exercise\nmessages: [{{id: a, text: '{text}'}}]\n")
    assert caught.value.exit_code == 3
    assert "messages[0].text" in str(caught.value)


@pytest.mark.parametrize("text", ["【訓練】避難してください", "避難してください【訓練】"])
def test_reality_never_carries_the_mark(text: str) -> None:
    with pytest.raises(DrillGuardError):
        read(f"title: t\nkind: actual\nmessages: [{{id: a, text: {text}}}]\n")


def test_an_inject_of_an_exercise_needs_the_mark_too() -> None:
    with pytest.raises(DrillGuardError, match="injects"):
        read("title: t\nkind: exercise\ninjects: [{id: i, at_s: 1, text: あ}]\n" + TEXT)


def test_a_reminder_must_fit_as_well() -> None:
    fits = f"title: t\nkind: exercise\nmessages: [{{id: a, text: 【訓練】{'あ' * 996}, buttons: [は]}}]\n"
    read(fits)
    with pytest.raises(ScenarioError, match="文字まで"):
        read(fits + "reminders: [{after_s: 60}]\n")


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "- b\n- c",
        "5",
        "",
        "a: &x 1\nb: *x",
        "title: !!python/object/apply:os.system [ls]",
        "\t- x",
        "[" * 40,
    ],
)
def test_what_is_no_scenario_is_a_sentence(text: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(text)
    assert caught.value.hint


def test_unknown_keys_are_kept_in_sight() -> None:
    found = read("title: t\nkind: exercise\ncolour: red\n" + TEXT)
    assert found.notes == ("シナリオの 3 行目 colour は、この版では使われない項目です。",)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_files_in_the_encodings_of_an_office(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(("title: 南海トラフ津波の初動訓練です\nkind: exercise\n" + TEXT).encode(encoding))
    found = load_scenario(path)
    assert found.title == "南海トラフ津波の初動訓練です"
    same = read("# 注釈\nkind: exercise\ntitle: 南海トラフ津波の初動訓練です\n" + TEXT)
    assert found.key == same.key  # the same drill, however the file is laid out
    assert found.sha256 != same.sha256


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="見つかりません"):
        load_scenario(tmp_path / "none.yaml")


def _maps(inner: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    names = st.sampled_from(
        [
            "id",
            "text",
            "buttons",
            "who",
            "after_s",
            "message",
            "unless",
            "answered",
            "of",
            "max",
            "at_s",
            "to",
            "x",
        ]
    )
    return st.dictionaries(names, inner, max_size=4)


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("all")
_values = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=3) | _maps(inner), max_leaves=8)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["messages", "targets", "waves", "reminders", "injects", "kind"]), _values
    )
)
def test_nothing_but_a_sentence_comes_of_junk(values: dict[str, object]) -> None:
    import yaml

    text = yaml.safe_dump({"title": "t", "kind": "test", "messages": [{"id": "a", "text": "あ"}], **values})
    with contextlib.suppress(BousaiKitError):
        read(text)
