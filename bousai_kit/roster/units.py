"""The units of a city: from an organisation file, or what the rows of the roster name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bousai_kit.errors import Issue
from bousai_kit.roster.columns import UNITS, key
from bousai_kit.roster.model import Person, RosterUnit
from bousai_kit.roster.rules import Report, external_key_problem, unit_name_problem
from bousai_kit.tables import Table

__all__ = ["UnitFile", "units_of", "units_of_table"]

_DEEPEST = 15


@dataclass(frozen=True, slots=True)
class UnitFile:
    """What an organisation file says: units, parents before children, and its issues."""

    units: tuple[RosterUnit, ...]
    issues: tuple[Issue, ...]


def units_of_table(table: Table, places: dict[str, int], report: Report) -> UnitFile:
    """Read the units and check them against each other."""
    units: dict[str, RosterUnit] = {}
    rows: dict[str, int] = {}
    for number, (row, cells) in enumerate(zip(table.row_numbers, table.rows, strict=True), 1):
        value = {c.field: cells[places[c.field]].strip() if c.field in places else "" for c in UNITS}
        code, name = value["code"], value["name"]
        there = report.required(row, "code", code)
        if report.required(row, "name", name) and unit_name_problem(name):
            report.error(row, "name", unit_name_problem(name))
        if not there:
            continue
        if external_key_problem(code):
            report.error(row, "code", external_key_problem(code))
        if code in units:
            report.error(
                row, "code", f"{rows[code]} 行目と同じ組織コードです（重複）。どちらかを直してください。"
            )
            continue
        order = _order(row, value["order"], number, report)
        rows[code] = row
        units[code] = RosterUnit(code, name, value["parent_code"], order, value["ward"], value["bureau"])
    if any(unit.parent_code for unit in units.values()):
        units = {code: replace(unit, top=not unit.parent_code) for code, unit in units.items()}
    ordered = _parents_first(units, rows, report)
    _same_names(ordered, rows, report)
    return UnitFile(ordered, tuple(sorted(report.issues, key=lambda issue: issue.row)))


def _order(row: int, text: str, number: int, report: Report) -> int:
    plain = key(text)
    if not plain:
        return number
    if plain.isascii() and plain.isdigit() and 1 <= int(plain[:12]) <= 2_147_483_647:
        return int(plain)
    report.warning(row, "order", f"表示順は 1 以上の整数で書いてください。{number} として扱います。")
    return number


def _parents_first(
    units: dict[str, RosterUnit], rows: dict[str, int], report: Report
) -> tuple[RosterUnit, ...]:
    depth: dict[str, int] = {}
    for code in units:
        path: list[str] = []
        at = code
        while at and at in units and at not in depth and at not in path:
            path.append(at)
            at = units[at].parent_code
        if at in path:
            members = path[path.index(at) :]
            row = min(rows[member] for member in members)
            report.error(
                row, "parent_code", "上位組織が輪になっています。いずれかの上位組織コードを直してください。"
            )
        elif at and at not in units:
            report.error(
                rows[path[-1]],
                "parent_code",
                "上位組織コードがこのファイルにありません。直すか、空（最上位）にしてください。",
            )
        base = depth.get(at, 0)
        for number, member in enumerate(reversed(path), 1):
            depth[member] = base + number
            if depth[member] == _DEEPEST + 1:
                report.error(
                    rows[member],
                    "parent_code",
                    f"組織の階層は {_DEEPEST} 段までです。上の段にまとめてください。",
                )
    return tuple(sorted(units.values(), key=lambda unit: depth[unit.code]))


def _same_names(units: Sequence[RosterUnit], rows: dict[str, int], report: Report) -> None:
    first: dict[tuple[str, str], str] = {}
    for unit in units:
        same = first.setdefault((unit.parent_code, key(unit.name)), unit.code)
        if same != unit.code and unit.name:
            report.warning(
                rows[unit.code],
                "name",
                f"同じ上位組織の下に同じ名前の組織があります（{rows[same]} 行目）。"
                "名前を変えて区別してください。",
            )


def units_of(
    people: Sequence[Person], units: Sequence[RosterUnit] | None, report: Report
) -> tuple[RosterUnit, ...]:
    """The units of the organisation file, and one at the top for each code that only rows name.

    Parameters
    ----------
    units : sequence of RosterUnit or None
        None: there is no organisation file.
    """
    known = {unit.code for unit in units or ()}
    bare = {unit.code.lstrip("0"): unit.code for unit in units or ()}
    made: dict[str, RosterUnit] = {}
    named: dict[str, tuple[int, str]] = {}
    rows: dict[str, int] = {}
    for person in people:
        code, name = person.orgunit_code, person.orgunit_name
        if not code or code in known:
            continue
        if code not in made:
            rows[code] = person.row
            made[code] = RosterUnit(
                code, name or code, "", len(known) + len(made) + 1, person.ward, person.bureau
            )
            if units is not None:
                meant = bare.get(code.lstrip("0"), "") if code.isascii() and code.isdigit() else ""
                report.warning(
                    person.row,
                    "orgunit_code",
                    "組織ファイルにない所属コードです。最上位の組織として扱います。"
                    + (f"組織ファイルの「{meant}」なら、先頭の 0 をそろえてください。" if meant else ""),
                )
        if not name:
            continue
        row, earlier = named.setdefault(code, (person.row, name))
        if row == person.row:
            made[code] = RosterUnit(code, name, "", made[code].order, made[code].ward, made[code].bureau)
            if unit_name_problem(name):
                report.error(person.row, "orgunit_name", unit_name_problem(name))
        elif key(earlier) != key(name):
            report.warning(
                person.row,
                "orgunit_name",
                f"{row} 行目と同じ所属コードで、所属名が違います。先の行の名前を使います。"
                "違う組織なら、所属コードを分けてください。",
            )
    _look_alike(made, rows, known, report)
    return (*(units or ()), *made.values())


def _look_alike(made: dict[str, RosterUnit], rows: dict[str, int], known: set[str], report: Report) -> None:
    """Units of the rows that are probably one, whose codes or names are not written alike."""
    codes = {key(code).casefold(): code for code in sorted(known)}
    names: dict[str, str] = {}
    for code, unit in made.items():
        same = codes.setdefault(key(code).casefold(), code)
        if same != code:
            report.warning(
                rows[code],
                "orgunit_code",
                f"所属コード「{same}」と、全角・半角か大文字・小文字だけが違います。別の組織として扱うので、"
                "同じ組織なら書き方をそろえてください。",
            )
            continue
        same = names.setdefault(key(unit.name), code)
        if same != code:
            report.warning(
                rows[code],
                "orgunit_name",
                f"所属コード「{same}」（{rows[same]} 行目）と所属名が同じです。"
                "同じ組織なら所属コードを、違う組織なら所属名を直してください。",
            )
