"""``onboard status``, ``invite`` and ``reminders`` as a person types them; the list as Excel shows it."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from python_calamine import CalamineWorkbook

from bousai_kit.cli import main
from bousai_kit.errors import InputError
from bousai_kit.onboarding.activation import Expected, count_status, expected_of
from bousai_kit.onboarding.facts import Facts
from bousai_kit.onboarding.reminders import DELETE_IT, NOBODY, reminder_sheets, write_reminders
from bousai_kit.roster import Roster, roster_rows
from bousai_kit.tables import write_csv
from tests.onboarding.onlab import bench_at, city
from tests.onboarding.test_activation import NOW
from tests.onboarding.test_activation_invite import DAY_S, by_mail, mailed

Run = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def run(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*words: str, as_json: bool = True) -> tuple[int, Any, str]:
        code = main(["onboard", *words, *(["--json"] if as_json else []), "--home", str(home)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, json.loads(out) if as_json else out, err

    return run


@pytest.fixture
def waiting(home: Path) -> Roster:
    """Five were mailed two days ago, one got a slip; nobody has come."""

    async def prepare() -> Roster:
        async with await bench_at(home) as bench:
            return await mailed(bench, by_mail(), after_s=4 * DAY_S)

    return asyncio.run(prepare())


def test_status_invite_reminders(run: Run, waiting: Roster, tmp_path: Path) -> None:
    write_csv(tmp_path / "名簿.csv", *roster_rows(waiting))
    code, said, _ = run("status", "--plot", "curve.png")
    assert code == 0
    assert (said["planned"], said["created"], said["invited"], said["pending"]) == (6, 6, 5, 6)
    assert said["stuck_by"] == {"pending": 6}
    assert {one["staff_number"] for one in said["stuck"]} == {one.staff_number for one in waiting.people}
    assert [day["created"] for day in said["curve"]] == [6] * 5
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")
    assert "6 名" in said["plot"]["alt"]
    code, text, _ = run("status", as_json=False)
    assert "案内済み 5 名" in text
    assert "対応が必要な人 6 名（まだログインしていない 6 名）" in text
    assert "  局（ログイン済み/対象）：" in text
    assert f"{waiting.people[0].bureau} 0/" in text
    number = waiting.people[0].staff_number
    code, one, _ = run("invite", "--only", number)
    assert (code, one["sent"], one["others"]) == (0, 1, [])
    code, rest, err = run("invite")
    assert (code, rest["sent"]) == (0, 4)
    assert {other["code"] for other in rest["others"]} == {"today", "by_slip"}
    assert rest["others_by"] == {"today": 1, "by_slip": 1}
    assert "送らない人 1 名：今日はもう招待メールを送りました。" in err
    code, again, _ = run("invite", "--only", f"{number},{waiting.people[-1].staff_number}")
    assert (code, again["sent"], len(again["others"])) == (1, 0, 2)
    assert run("invite", "--only", "4711")[0] == 2
    assert run("reminders", "名簿.csv", "--out", "list.csv")[0] == 2
    code, listed, _ = run("reminders", "名簿.csv", "--out", "list.xlsx")
    assert (code, listed["people"]) == (0, 6)
    assert Path("list.xlsx").stat().st_mode & 0o077 == 0
    code, text, _ = run("reminders", "名簿.csv", "--out", "list.xlsx", as_json=False)
    assert DELETE_IT in text


def test_real_people_need_a_confirmation(run: Run, waiting: Roster, monkeypatch: pytest.MonkeyPatch) -> None:
    from bousai_kit.workbench import Workbench

    monkeypatch.setattr(Workbench, "in_sandbox", property(lambda self: False))
    code, said, _ = run("invite")
    assert (code, said["exit_code"]) == (3, 3)
    code, said, _ = run("invite", "--yes")
    assert (code, said["sent"]) == (0, 5)


def sheets_of(data: bytes) -> dict[str, list[list[Any]]]:
    book = CalamineWorkbook.from_filelike(io.BytesIO(data))
    return {name: book.get_sheet_by_name(name).to_python() for name in book.sheet_names}


def test_the_list_names_whom_to_give_it_to(tmp_path: Path) -> None:
    roster = city(24)
    status = count_status(expected_of(roster), [], facts=Facts(), now=NOW)
    path = write_reminders(roster, status, tmp_path / "list.xlsx").path
    sheets = sheets_of(path.read_bytes())
    people = {one.staff_number: one for one in roster.people}
    first, *others = sheets
    assert first == "一覧"
    assert any(DELETE_IT in str(cell) for row in sheets[first] for cell in row)
    seen = []
    for title in others:
        header, top, *rows = sheets[title]
        assert header[:2] == ["区分", "氏名"]
        assert top[0] == "渡す相手"
        assert DELETE_IT in top[7]
        assert (top[2] == "") == (title == NOBODY)
        body = [row for row in rows if row[0] == "声を掛ける人"]
        for row in body:
            person = people[str(row[2])]
            assert (row[1], row[4]) == (person.name, person.position)
            assert title in (person.ward or person.bureau, NOBODY)
            assert row[6]
            assert row[7]
            assert "onboard" not in row[7]  # a liaison types no commands
            seen.append(person.staff_number)
    assert sorted(seen) == sorted(people)
    head, liaison = roster.people[:2]
    both = [
        replace(head, ward="北区", hq_role="区本部長"),
        replace(liaison, ward="北区", hq_role="連絡員"),
    ]
    stuck = replace(status, stuck=tuple(one | {"ward": "北区"} for one in status.stuck[1:2]))
    overview = reminder_sheets(Roster(people=tuple(both)), stuck)["一覧"][1]
    assert head.staff_number in str(overview[0][2])  # the liaison is the one who is stuck


def test_the_list_is_harmless_and_holds_every_group(tmp_path: Path) -> None:
    """Formulas, names that no sheet can bear, groups that would share one."""
    base = city(4, 2)
    odd = ["=HYPERLINK(1)", "一覧", "北区/南区", "北区:南区", "x" * 40, ""]
    people = tuple(
        replace(
            base.people[n % 4],
            staff_number=f"0{n}",
            ward="",
            bureau=name,
            last_name="=1+1",
            hq_role="連絡員",
            row=n + 2,
        )
        for n, name in enumerate(odd)
    )
    roster = replace(base, people=people)
    status = count_status([*expected_of(roster), Expected("not in the roster")], [], facts=Facts(), now=NOW)
    sheets = reminder_sheets(roster, status)
    assert len(sheets) == len(odd) + 1
    written = write_reminders(roster, status, tmp_path / "list.xlsx")
    assert (written.sheets, written.people) == (len(odd), len(odd))
    with zipfile.ZipFile(written.path) as archive:
        assert not any(b"<f>" in archive.read(name) for name in archive.namelist())
    found = sheets_of(written.path.read_bytes())
    assert len(found) == len(odd) + 1
    assert any("連絡員も長も" in str(cell) for row in found[NOBODY] for cell in row)  # of no bureau

    written = write_reminders(roster, status, tmp_path / "声掛け.xlsx", split=True)
    assert (written.sheets, written.nobody, len(written.files)) == (len(odd), 1, len(odd))
    names = [path.name for path in written.files]
    assert len({name.casefold() for name in names}) == len(odd)
    assert not any(set(name) & set('<>:"/\\|?*') for name in names)
    assert {path.parent for path in written.files} == {tmp_path / "声掛け_連絡員別"}
    for path, person in zip(written.files, roster.people, strict=True):
        assert path.stat().st_mode & 0o077 == 0
        text = str(sheets_of(path.read_bytes()))
        own = {one.staff_number for one in roster.people if one.staff_number in text}
        assert own == {person.staff_number}
        assert DELETE_IT not in text  # it speaks of sheets
    with pytest.raises(InputError, match="すでに"):
        write_reminders(roster, status, tmp_path / "声掛け.xlsx", split=True)
