"""Read a roster and its organisation file: every row becomes a person, every problem an issue."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from bousai_kit.errors import InputError, Issue, RosterError
from bousai_kit.roster import relations, rules, units
from bousai_kit.roster.columns import ROSTER, UNITS, Column, Match, header_key, match, recogniser
from bousai_kit.roster.model import Person, Roster
from bousai_kit.tables import Table, read_bytes, table_of

__all__ = ["person_maker", "read_roster", "read_units", "roster_table"]

_WHAT = "名簿"
_UNITS_WHAT = "組織ファイル"
_WHOLE = frozenset(
    header_key(name) for name in ("氏名", "名前", "職員氏名", "氏名（漢字）", "full_name", "name")
)


def read_roster(path: Path, *, orgunits: Path | None = None) -> Roster:
    """Read a roster (CSV or XLSX).

    Parameters
    ----------
    path : Path
    orgunits : Path, optional
        Organisation file; without it the units are those that the rows name.

    Returns
    -------
    Roster
        All people and all problems of their rows; `require_ok` refuses one with errors.

    Raises
    ------
    RosterError
        A file cannot be used as a whole: encoding, a missing column, no row.
    """
    path = Path(path)
    data, table, found = roster_table(path)
    report = rules.Report(table, found, ROSTER)
    people = tuple(_people(table, found, report))
    relations.check_people(people, report)
    unit_file = read_units(Path(orgunits)) if orgunits is not None else None
    all_units = units.units_of(people, None if unit_file is None else unit_file.units, report)
    return Roster(
        people=people,
        units=all_units,
        issues=(
            *sorted(report.issues, key=lambda issue: issue.row),
            *(unit_file.issues if unit_file is not None else ()),
        ),
        header=table.header,
        sha256=hashlib.sha256(data).hexdigest(),
        source=path,
    )


def read_units(path: Path) -> units.UnitFile:
    """Read an organisation file by itself.

    Raises
    ------
    RosterError
        It cannot be used as a whole.
    """
    _, table, found = _table(path, UNITS, _UNITS_WHAT)
    report = rules.Report(table, found, UNITS, prefix=f"{_UNITS_WHAT}: ")
    return units.units_of_table(table, found.index, report)


def roster_table(path: Path) -> tuple[bytes, Table, Match]:
    """The bytes of a roster, its table, and which column is which.

    Raises
    ------
    RosterError
        It cannot be used as a whole.
    """
    return _table(path, ROSTER, _WHAT)


def _table(path: Path, columns: tuple[Column, ...], what: str) -> tuple[bytes, Table, Match]:
    try:
        data = read_bytes(path, what=what)
        table = table_of(data, what=what, recognise=recogniser(columns))
    except InputError as error:
        raise RosterError(str(error), issues=error.issues, hint=error.hint) from None
    found = match(table.header, columns)
    usable(table, found, what)
    return data, table, found


def usable(table: Table, found: Match, what: str) -> None:
    """Refuse a table whose columns are not those of the file it should be.

    Raises
    ------
    RosterError
        A required column is missing or there twice, or there is no row below the header.
    """
    at = table.header_row
    issues = [
        Issue(
            at,
            column.title,
            "error",
            f"必須の列「{column.title}」（{column.field}）がありません。{_instead(column, table)}",
        )
        for column in found.missing
    ]
    issues += [
        Issue(
            at,
            table.header[second],
            "error",
            f"「{column.title}」の列が 2 つあります（{first + 1} 列目と {second + 1} 列目）。"
            "片方の見出しを変えるか、列を消してください。",
        )
        for column, first, second in found.twice
    ]
    if issues:
        names = "、".join(f"「{issue.column}」" for issue in issues)
        kind = "必須の列がありません" if found.missing else "同じ列が 2 つあります"
        raise RosterError(
            f"{what}に{kind}: {names}。",
            issues=issues,
            hint=f"{at} 行目の見出しを、見本（roster/sample_roster.csv）と見比べて直してください。",
        )
    if not table.rows:
        raise RosterError(
            f"{what}に 1 人も載っていません（見出しの下に行がありません）。"
            if what == _WHAT
            else f"{what}に 1 件も載っていません（見出しの下に行がありません）。",
            issues=(Issue(0, "", "error", f"{what}の見出しの下に行がありません。"),),
            hint="見出しの下に、1 行に 1 件ずつ書いてください。",
        )


def _instead(column: Column, table: Table) -> str:
    """How to mend a missing column, where the table shows what was meant."""
    below = {header_key(cell) for row in table.rows[:2] for cell in row}
    if header_key(column.title) in below:
        return "見出しが 2 段に分かれています。1 段にまとめてください。"
    whole = next((title.strip() for title in table.header if header_key(title) in _WHOLE), "")
    if column.field in ("last_name", "first_name") and whole:
        return f"「{whole}」の列を「姓」と「名」の 2 列に分けてください。"
    return "見出しを確かめ、なければ列を足してください。"


def _people(table: Table, found: Match, report: rules.Report) -> list[Person]:
    person = person_maker(table, found, report)
    return [
        person(number, cells, report) for number, cells in zip(table.row_numbers, table.rows, strict=True)
    ]


def person_maker(
    table: Table, found: Match, report: rules.Report
) -> Callable[[int, Sequence[str], rules.Report], Person]:
    """What makes a person of a row's number and cells, and tells a report what is wrong with it alone."""
    places = [found.index.get(column.field, -1) for column in ROSTER]
    extras = report.extra_names()

    def person(number: int, cells: Sequence[str], told: rules.Report) -> Person:
        values = [cells[place].strip() if place >= 0 else "" for place in places]
        return rules.person_of(number, values, {name: cells[place] for place, name in extras}, told)

    return person
