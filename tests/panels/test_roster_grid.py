"""The roster's table in the notebook: what the grid asks and is told, the desk, its drafts; no browser."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.errors import InputError
from bousai_kit.panels import OnboardingPanel
from bousai_kit.panels.grid_session import GridSession
from bousai_kit.panels.onboarding import OnboardingModel
from bousai_kit.panels.roster_drafts import Drafts
from bousai_kit.panels.roster_grid import Desk, RosterGrid
from bousai_kit.roster import roster_rows, sample_roster
from bousai_kit.roster.editing import open_roster_table
from bousai_kit.tables import csv_bytes, read_table
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import bench_at

PACKAGE = Path(__file__).parent.parent.parent / "bousai_kit" / "panels"
LAST, FIRST, KANA, LOGIN = 1, 2, 3, 5


def written(path: Path, people: int = 20, *, encoding: str = "utf-8-sig", **cells: str) -> Path:
    """A sample roster; ``r5_1="x"`` sets column 1 of row 5."""
    header, rows = roster_rows(sample_roster(people))
    table = [list(row) for row in rows]
    for name, text in cells.items():
        row, place = map(int, name[1:].split("_"))
        table[row - 2][place] = text
    path.write_bytes(csv_bytes(header, table).decode("utf-8-sig").encode(encoding))
    return path


@pytest.fixture
def session(tmp_path: Path) -> GridSession:
    path = written(tmp_path / "名簿.csv", r5_5="BAD", r9_3="かな", r9_1="", r12_14="なし")
    return GridSession(open_roster_table(path))


def kinds(answers: list[dict[str, Any]]) -> list[str]:
    return [one["kind"] for one in answers]


def goto(answers: list[dict[str, Any]]) -> tuple[int, int]:
    (one,) = [(one["row"], one["place"]) for one in answers if one["kind"] == "goto"]
    return one


def said(answers: list[dict[str, Any]]) -> str:
    return "".join(one["text"] for one in answers if one["kind"] == "said")


def test_it_says_hello_and_gives_rows_in_windows(session: GridSession) -> None:
    meta, state = session.answer({"do": "hello", "seen": [0, 0]})
    assert meta["header"][:2] == ["職員番号", "姓"]
    assert meta["required"] == [0, 1, 2, 5, 6]
    assert state["rows"] == state["shown"] == 20
    assert state["errors"] == 3
    assert state["window"] == []
    (window,) = session.answer({"do": "rows", "from": 3, "n": 2, "seen": [0, 30]})
    assert [row[0] for row in window["rows"]] == [5, 6]
    number, marks, cells, problems, edited = window["rows"][0]
    assert (number, marks, cells[LOGIN], edited) == (5, 0, "BAD", [])
    assert problems[0][:2] == [LOGIN, "e"]
    assert problems[0][2].startswith("誤り：「@」がありません")
    assert json.loads(json.dumps(window)) == window


def test_the_next_error_in_a_circle_and_back(session: GridSession) -> None:
    found = [goto(session.answer({"do": "next", "row": -1, "place": -1}))]
    for _ in range(3):
        found.append(goto(session.answer({"do": "next", "row": found[-1][0], "place": found[-1][1]})))
    assert found == [(3, LOGIN), (7, LAST), (7, KANA), (3, LOGIN)]
    assert goto(session.answer({"do": "next", "row": 3, "place": LOGIN, "back": True})) == (7, KANA)
    session.answer({"do": "view", "only": "all", "search": "mihon0002"})
    answers = session.answer({"do": "next", "row": 0, "place": 0})  # none in sight: show all again
    assert goto(answers) == (3, LOGIN)
    assert session.shown == session.table.numbers
    session.answer({"do": "edit", "cells": [[5, LOGIN, "a1@x"], [9, LAST, "例"], [9, KANA, "レイ"]]})
    answers = session.answer({"do": "next", "row": 0, "place": 0})
    assert "誤りはありません" in said(answers)
    assert goto(answers)[0] == 10


def test_a_filter_stays_while_rows_are_mended(session: GridSession) -> None:
    state = session.answer({"do": "view", "only": "error"})[0]
    assert (state["shown"], session.shown) == (2, [5, 9])
    state = session.answer({"do": "edit", "cells": [[5, LOGIN, "a1@x"]], "seen": [0, 10]})[0]
    assert (state["errors"], state["shown"]) == (2, 2)
    assert state["window"][0][2][LOGIN] == "a1@x"
    assert state["window"][0][4] == [LOGIN]
    session.answer({"do": "view", "only": "error"})
    assert session.shown == [9]
    session.answer({"do": "view", "only": "edited"})
    assert session.shown == [5]
    session.answer(
        {"do": "view", "only": "all", "search": "ＳＨＩＫＥＮ0001"}
    )  # width and case do not matter
    assert session.shown == [2]


def test_rows_are_removed_restored_and_added(session: GridSession) -> None:
    session.answer({"do": "remove", "row": 4, "to": 2})
    assert session.table.removed == {4, 5, 6}
    assert session.state()["errors"] == 2
    assert "削除した行" in said(session.answer({"do": "edit", "cells": [[5, 0, "1"]]}))
    session.answer({"do": "restore", "row": 2, "to": 3})
    assert session.table.removed == {6}
    answers = session.answer({"do": "add"})
    assert goto(answers) == (20, 0)
    session.answer({"do": "undo"})
    assert len(session.shown) == 20
    for _ in range(3):
        session.answer({"do": "undo"})
    assert session.table.edited_count == 0
    assert "ありません" in said(session.answer({"do": "undo"}))
    session.answer({"do": "redo"})
    assert session.table.removed == {4, 5, 6}


def test_a_block_from_excel(session: GridSession) -> None:
    answers = session.answer(
        {"do": "paste", "row": 18, "place": 1, "block": [["甲", "乙"], ["丙"], ["丁", "戊"]]}
    )
    assert "3 行 × 2 列を貼り付けました。1 行を追加しました" in said(answers)
    table = session.table
    assert [table.row(n)[1:3] for n in table.numbers[-3:]] == [
        ["甲", "乙"],
        ["丙", table.row(21)[2]],
        ["丁", "戊"],
    ]
    session.answer({"do": "undo"})  # one action, taken back as one
    assert (table.edited_count, len(session.shown)) == (0, 20)
    assert "右端からはみ出します" in said(
        session.answer({"do": "paste", "row": 0, "place": 17, "block": [["a", "b"]]})
    )
    session.answer({"do": "view", "only": "error"})
    answers = session.answer({"do": "paste", "row": 1, "place": 0, "block": [["a"], ["b"]]})
    assert "絞っている" in said(answers)
    assert table.edited_count == 0


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"do": "answer"},
        {"do": "_look"},
        {"do": "rows"},
        {"do": "rows", "from": "x", "n": None},
        {"do": "edit", "cells": [[2]]},
        {"do": "edit", "cells": [[99, 0, "x"]]},
        {"do": "edit", "cells": [[2, 0, "\x00"]]},
        {"do": "paste", "row": 0, "place": 0, "block": 3},
        {"do": "remove"},
        {"do": "view", "only": "何か", "search": "x" * 9999},
        {"do": "next", "row": None},
        {"do": "hello", "seen": [1]},
    ],
)
def test_nonsense_is_answered_and_changes_nothing(session: GridSession, asked: dict[str, Any]) -> None:
    for one in session.answer(asked):
        assert one["kind"] in ("said", "state", "meta", "rows")
    assert session.table.edited_count == 0


def test_hostile_cells_travel_as_they_are(tmp_path: Path) -> None:
    hostile = ["<script>alert(1)</script>", "\u202e悪", "=cmd|' /C calc'!A0", "x" * 32_000]
    cells = {f"r{n}_17": text for n, text in enumerate(hostile, 2)}
    session = GridSession(open_roster_table(written(tmp_path / "名簿.csv", **cells)))
    (window,) = session.answer({"do": "rows", "from": 0, "n": 4})
    assert [row[2][17] for row in window["rows"]] == hostile


def test_the_program_is_shipped_whole_and_asks_nobody() -> None:
    for name in ("roster_grid.js", "roster_grid.css", "saving.js", "files.js", "files.css"):
        text = (PACKAGE / name).read_text(encoding="utf-8")
        assert not re.search(
            r"https?:|import\s|import\(|@import|url\(|fetch\(|innerHTML|eval\(", text.split("\n", 6)[-1]
        )
    assert "data-lm-suppress-shortcuts" in (PACKAGE / "roster_grid.js").read_text(encoding="utf-8")


def contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_can_be_read() -> None:
    text = (PACKAGE / "roster_grid.css").read_text(encoding="utf-8")
    full = re.compile(r"#([0-9a-f]{3})(?![0-9a-f])")
    text = full.sub(lambda m: "#" + "".join(c * 2 for c in m[1]), text)
    found = re.findall(r"[;{]color:(#[0-9a-f]{6})[^}]*background:(#[0-9a-f]{6})", text)
    found += [(b, a) for a, b in re.findall(r"[;{]background:(#[0-9a-f]{6})[^}]*;color:(#[0-9a-f]{6})", text)]
    found += [
        ("#1a1a1a", colour)
        for colour in re.findall(r"\.bkg-(?:e|w|sel|say\S*|odd)\{[^}]*background:(#[0-9a-f]{6})", text)
    ]
    assert len(found) >= 8
    assert [pair for pair in found if contrast(*pair) < 4.5] == []


# -- the desk -----------------------------------------------------------------------------------------


class Sent(RosterGrid):
    """A grid whose messages are kept."""

    def __init__(self, desk: Desk) -> None:
        self.sent: list[tuple[dict[str, Any], Any]] = []
        super().__init__(desk, at_home=lambda act: act())

    def send(self, content: Any, buffers: Any = None) -> None:
        self.sent.append((content, buffers))


def test_no_name_is_part_of_the_widget(tmp_path: Path) -> None:
    desk = Desk(open_roster_table(written(tmp_path / "名簿.csv", r2_1="秘密之")), tmp_path)
    grid = Sent(desk)
    for ask in (
        {"do": "hello"},
        {"do": "rows", "from": 0, "n": 20},
        {"do": "edit", "cells": [[3, 1, "極秘"]]},
    ):
        grid._handle_custom_msg(ask, [])
    assert any("秘密之" in json.dumps(one, ensure_ascii=False) for one, _ in grid.sent)
    state = json.dumps(grid.get_state(), default=str, ensure_ascii=False)
    assert "秘密之" not in state
    assert "極秘" not in state
    assert len(state) < 80_000
    assert "秘密之" not in repr(desk) + repr(grid) + repr(desk.session)
    grid.close()
    desk.close()


def test_two_grids_on_one_desk_see_the_same(tmp_path: Path) -> None:
    desk = Desk(open_roster_table(written(tmp_path / "名簿.csv")), tmp_path)
    one, other = Sent(desk), Sent(desk)
    one._handle_custom_msg({"do": "edit", "cells": [[2, 1, "例"]], "seen": [0, 5]}, [])
    assert other.sent[-1][0]["kind"] == "state"
    assert other.sent[-1][0]["edited"] == 1
    other._handle_custom_msg({"do": "undo"}, [])
    assert one.sent[-1][0]["edited"] == 0
    desk.close()


def test_a_download_is_the_file_with_the_edits(tmp_path: Path) -> None:
    path = written(tmp_path / "名簿.csv", encoding="cp932")
    utf8: list[str] = [""]
    desk = Desk(open_roster_table(path), tmp_path, encoding=lambda: utf8[0])
    grid = Sent(desk)
    grid._handle_custom_msg({"do": "download"}, [])
    assert grid.sent[-1] == (
        {"kind": "file", "name": "名簿.csv", "more": False, "of": None},
        [path.read_bytes()],
    )
    desk.heard(grid, {"do": "edit", "cells": [[2, 1, "𠮷"]]})
    grid._handle_custom_msg({"do": "download"}, [])
    assert "Shift_JIS で表せません" in grid.sent[-1][0]["text"]
    utf8[0] = "utf-8-sig"
    grid._handle_custom_msg({"do": "download"}, [])
    assert grid.sent[-1][0]["name"] == "名簿_修正.csv"
    assert "𠮷" in grid.sent[-1][1][0].decode("utf-8-sig")
    desk.close()


def test_while_it_is_saved_an_edit_is_refused_and_said(tmp_path: Path) -> None:
    desk = Desk(open_roster_table(written(tmp_path / "名簿.csv")), tmp_path)
    grid = Sent(desk)
    desk.frozen = True
    for ask in ({"do": "edit", "cells": [[2, 1, "例"]]}, {"do": "remove", "row": 1}, {"do": "add"}):
        desk.heard(grid, ask)
        assert "いまの入力は入っていません" in grid.sent[-1][0]["text"]
    assert desk.table.edited_count == 0
    desk.heard(grid, {"do": "rows", "from": 0, "n": 2})
    assert len(grid.sent[-1][0]["rows"]) == 2
    desk.close()


def test_a_draft_waits_for_the_next_one_and_a_held_one_is_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "名簿.csv")
    first = Desk(open_roster_table(path), tmp_path)
    first.heard(Sent(first), {"do": "edit", "cells": [[2, 1, "例"]]})
    (draft,) = tmp_path.rglob("drafts/*/*.json")
    assert draft.stat().st_mode & 0o077 == 0
    second = Desk(open_roster_table(path), tmp_path)  # another panel, while the first is open
    assert (second.found, second.busy) == (None, 1)
    second.heard(Sent(second), {"do": "edit", "cells": [[3, 1, "別"]]})
    second.heard(Sent(second), {"do": "undo"})
    second.close()
    first._drafts._lock.release()  # as when its kernel was killed
    third = Desk(open_roster_table(path), tmp_path)
    assert (third.found, third.busy, third.draft_size()) == (draft, 0, 1)
    assert third.take() == 0
    assert third.table.row(2)[1] == "例"
    assert not draft.exists()
    assert len(list(tmp_path.rglob("drafts/*/*.json"))) == 1  # its own
    third.saved()
    third.close()
    assert not list(tmp_path.rglob("drafts/*/*.json"))


def test_a_broken_draft_is_said_and_can_be_thrown_away(tmp_path: Path) -> None:
    path = written(tmp_path / "名簿.csv")
    drafts = Drafts(tmp_path, path)
    drafts.open()
    drafts.write({"edited": [1], "removed": [], "added": []})
    drafts.close()
    (draft,) = tmp_path.rglob("drafts/*/*.json")
    for content in (b"{", b"[]", b'{"edited": []}'):
        draft.write_bytes(content)
        desk = Desk(open_roster_table(path), tmp_path)
        with pytest.raises(InputError, match="下書きを読み取れません"):
            desk.take()
        assert desk.found == draft
        desk.close()
    desk = Desk(open_roster_table(path), tmp_path)
    desk.drop()
    desk.close()
    assert not draft.exists()


# -- in the panel -------------------------------------------------------------------------------------


def run(home: Path, work: Any) -> None:
    async def main() -> None:
        async with await bench_at(home) as bench:
            await work(bench)

    asyncio.run(main())


async def settled(model: OnboardingModel) -> None:
    await asyncio.sleep(0)
    await asyncio.gather(*model._jobs.values(), return_exceptions=True)
    await asyncio.sleep(0)


def inside(view: Any, label: str) -> Any:
    """The button of this label in the foldout."""
    todo = [view.mending]
    while todo:
        one = todo.pop()
        if getattr(one, "description", "") == label:
            return one
        todo += getattr(one, "children", ())
    raise AssertionError(label)


def test_mend_save_and_go_on(home: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "名簿.csv", encoding="cp932", r5_5="BAD")

    async def work(bench: Workbench) -> None:
        panel = OnboardingPanel(bench, roster=path)
        model, view = panel.model, panel.view
        assert view.mending.layout.display == "none"
        view.check.click()
        await settled(model)
        assert model.checked.errors == 1
        assert view.mending.layout.display == "block"
        assert model.desk is None  # nothing is read before somebody opens it
        view.mending.selected_index = 0
        await settled(model)
        inside(view, "直した名簿を保存して使う").click()
        await settled(model)
        assert "直した所がありません" in model.problem
        model.desk.heard(
            Sent(model.desk), {"do": "edit", "cells": [[5, LOGIN, "naoshita@city-demo"], [5, LAST, "𠮷"]]}
        )
        inside(view, "直した名簿を保存して使う").click()
        await settled(model)
        assert "「𠮷」は Shift_JIS で表せません" in model.problem
        assert model.roster_path == str(path)
        model.as_utf8 = True
        inside(view, "直した名簿を保存して使う").click()
        await settled(model)
        assert model.problem == ""
        assert re.search(r"名簿_修正_\d{8}-\d{4}\.csv$", model.roster_path)
        assert model.checked.ok
        assert "計画を作る" in model.next_step
        assert "保存しました：名簿_修正_" in model.saved_note
        assert "次は、手順 2 の「計画を作る」です" in model.saved_note
        assert (model.desk, view.mending.selected_index) == (None, None)  # its work is done
        assert read_table(Path(model.roster_path)).rows[3][LAST] == "𠮷"
        assert read_table(path).rows[3][LOGIN] == "BAD"
        view.mending.selected_index = 0
        await settled(model)
        assert model.desk.table.source == Path(model.roster_path)
        model.desk.heard(Sent(model.desk), {"do": "edit", "cells": [[5, LOGIN, "BAD"]]})
        assert "表の誤りはあと 1 件です" in model.next_step
        inside(view, "直した名簿を保存して使う").click()
        await settled(model)
        assert "誤りがあと 1 件あります" in model.saved_note
        assert view.mending.selected_index == 0  # there is more to mend
        model.desk.heard(Sent(model.desk), {"do": "edit", "cells": [[5, LOGIN, "naoshita@city-demo"]]})
        assert "まだ保存していません" in model.next_step
        model.desk.close()

    run(home, work)


def test_a_file_that_changes_meanwhile_is_opened_again_with_the_edits(home: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "名簿.csv")

    async def work(bench: Workbench) -> None:
        panel = OnboardingPanel(bench, roster=path)
        model, view = panel.model, panel.view
        await model.check_roster()
        view.mending.selected_index = 0
        await settled(model)
        model.desk.heard(Sent(model.desk), {"do": "edit", "cells": [[2, LAST, "例"], [4, LAST, "例"]]})
        written(path, r4_2="別人", r6_2="別人")
        inside(view, "直した名簿を保存して使う").click()
        await settled(model)
        assert "ほかで変更されたか" in model.problem
        inside(view, "開き直す").click()
        await settled(model)
        assert "1 行は、元の行が変わったか" in model.desk_note
        assert [model.desk.table.row(n)[LAST] for n in (2, 4)] == [
            "例",
            sample_roster(20).people[2].last_name,
        ]
        inside(view, "直した名簿を保存して使う").click()
        await settled(model)
        assert "保存しました" in model.saved_note
        assert read_table(Path(model.roster_path)).rows[4][FIRST] == "別人"

    run(home, work)


def test_another_file_puts_the_table_away_and_its_draft_is_offered_later(home: Path, tmp_path: Path) -> None:
    path, other = written(tmp_path / "名簿.csv"), written(tmp_path / "別.csv")

    async def work(bench: Workbench) -> None:
        panel = OnboardingPanel(bench, roster=path)
        model, view = panel.model, panel.view
        await model.check_roster()
        view.mending.selected_index = 0
        await settled(model)
        model.desk.heard(Sent(model.desk), {"do": "edit", "cells": [[2, LAST, "例"]]})
        model.roster_path = str(other)
        assert model.desk is None
        model.roster_path = str(path)
        await model.check_roster()
        await model.open_table()
        assert "保存していない修正（1 行）が残っています" in model.desk_note
        inside(view, "続きから直す").click()
        assert model.desk.table.row(2)[LAST] == "例"
        assert inside(view, "続きから直す") is not None
        assert model.desk.found is None
        model.desk.saved()
        model.desk.close()

    run(home, work)


def test_a_file_that_is_no_roster_says_why(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "名簿.csv"
    path.write_text("甲,乙\r\n1,2\r\n", encoding="utf-8")

    async def work(bench: Workbench) -> None:
        panel = OnboardingPanel(bench, roster=path)
        model = panel.model
        await model.check_roster()
        panel.view.mending.selected_index = 0
        await settled(model)
        assert model.desk is None
        assert "必須の列がありません" in model.problem

    run(home, work)
