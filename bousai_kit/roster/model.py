"""People, units, and a roster of them. A repr never shows who they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bousai_kit.errors import InputError, Issue, RosterError
from bousai_kit.roster.columns import ROSTER, UNITS, key

__all__ = ["Person", "Roster", "RosterUnit", "require_ok", "roster_rows", "unit_rows"]

_SELECTABLE = (
    "hq_role",
    "ward",
    "bureau",
    "device_os",
    "login_id",
    "staff_number",
    "position",
    "level",
    "orgunit_code",
)


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """One row of a roster, names as typed.

    Attributes
    ----------
    row : int
        Row number as a spreadsheet shows it.
    deputy_order : int or None
        Who stands in first; None: blank, or not a number (an issue says so).
    deputy_for : str
        Staff number (or login id, or full name) of the person stood in for, as typed.
    device_os : str
        ``iOS``, ``Android``, ``なし``, "" or what else was typed.
    extra : mapping of str to str
        Columns that the kit does not know, by header.
    """

    row: int
    staff_number: str
    last_name: str
    first_name: str
    last_kana: str = ""
    first_kana: str = ""
    login_id: str = ""
    orgunit_code: str = ""
    orgunit_name: str = ""
    position: str = ""
    level: str = ""
    hq_role: str = ""
    ward: str = ""
    bureau: str = ""
    deputy_order: int | None = None
    deputy_for: str = ""
    device_os: str = ""
    phone: str = ""
    private_email: str = ""
    note: str = ""
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """``姓 名``."""
        return f"{self.last_name} {self.first_name}".strip()

    def __repr__(self) -> str:
        return f"<Person row={self.row} staff_number={self.staff_number!r}>"


@dataclass(frozen=True, slots=True)
class RosterUnit:
    """One unit: its code is the external key; ``parent_code`` "" is the top for a new one.

    Attributes
    ----------
    top : bool
        It belongs at the top also where it stands elsewhere: the organisation file says so of it, by naming
        the parents of others.
    """

    code: str
    name: str
    parent_code: str = ""
    order: int = 1
    ward: str = ""
    bureau: str = ""
    top: bool = False


@dataclass(frozen=True, repr=False)
class Roster:
    """People and units of one file.

    Attributes
    ----------
    people : tuple of Person
        Every row, also those with errors.
    units : tuple of RosterUnit
        Of the organisation file, and those that only the rows name; parents before children.
    issues : tuple of Issue
        All problems of all rows, in the order of the rows.
    header : tuple of str
        As the file spells it.
    sha256 : str
        Of the file's bytes.
    source : Path or None
        Where it was read from.
    """

    people: tuple[Person, ...]
    units: tuple[RosterUnit, ...] = ()
    issues: tuple[Issue, ...] = ()
    header: tuple[str, ...] = ()
    sha256: str = ""
    source: Path | None = None

    def __repr__(self) -> str:
        return f"<Roster people={len(self.people)} units={len(self.units)} issues={len(self.issues)}>"

    @property
    def errors(self) -> tuple[Issue, ...]:
        """The issues that keep a row from being created."""
        return tuple(issue for issue in self.issues if issue.severity == "error")

    @property
    def ok(self) -> bool:
        """Whether every row can be created; warnings do not matter."""
        return not any(issue.severity == "error" for issue in self.issues)

    def select(self, selectors: str | Mapping[str, Any] | Sequence[Any]) -> tuple[Person, ...]:
        """People a scenario means, in the order of the roster.

        Parameters
        ----------
        selectors : "all", mapping or sequence of mappings
            ``hq_role``, ``ward``, ``bureau``, ``device_os``, ``login_id``, ``staff_number``, ``position``,
            ``level`` or ``orgunit_code``, each with a value or a list of values. Keys of one mapping must all
            fit; of several mappings any.

        Raises
        ------
        InputError
            A selector that means nothing.
        """
        tests = [_test(selector) for selector in _listed(selectors)]
        if any(not test for test in tests):
            return self.people
        return tuple(
            person
            for person in self.people
            if any(
                all(_value(name, getattr(person, name)) in wanted for name, wanted in test.items())
                for test in tests
            )
        )


def _listed(selectors: str | Mapping[str, Any] | Sequence[Any]) -> Iterable[Any]:
    return (selectors,) if isinstance(selectors, str | Mapping) else selectors


def _value(name: str, value: object) -> str:
    text = key(str(value))
    return text.casefold() if name in ("login_id", "device_os") else text


def _test(selector: object) -> dict[str, set[str]]:
    """Field to wanted values; {} is everybody."""
    if selector == "all":
        return {}
    if not isinstance(selector, Mapping) or not selector or not set(selector) <= set(_SELECTABLE):
        raise InputError(
            f"宛先の指定 {selector!r} を解釈できません。",
            hint=f"all か、{'、'.join(_SELECTABLE)} のいずれかで指定してください。",
        )
    return {
        str(name): {
            _value(str(name), value) for value in (wanted if isinstance(wanted, list | tuple) else [wanted])
        }
        for name, wanted in selector.items()
    }


def require_ok(roster: Roster) -> Roster:
    """Give the roster back when every row of it can be created.

    Raises
    ------
    RosterError
        Some cannot; ``issues`` holds every issue, warnings too.
    """
    errors = roster.errors
    if errors:
        first = errors[0]
        where = f"{first.row} 行目{f' {first.column}' if first.column else ''}" if first.row else "全体"
        raise RosterError(
            f"名簿に {len(errors)} 件の誤りがあります。最初は {where}：{first.problem}",
            issues=roster.issues,
            hint="`bousai onboard check` で全件を確認し、名簿を直してから、もう一度実行してください。",
        )
    return roster


def roster_rows(roster: Roster) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Japanese header and rows as in the sample file, unknown columns behind, to write the roster again."""
    extras = tuple(dict.fromkeys(name for person in roster.people for name in person.extra))
    columns = [
        column
        for column in ROSTER
        if not column.if_used or any(getattr(person, column.field) for person in roster.people)
    ]
    fields = tuple(column.field for column in columns)
    header = (*(column.title for column in columns), *extras)
    rows = [
        (
            *(_shown(getattr(person, name)) for name in fields),
            *(person.extra.get(name, "") for name in extras),
        )
        for person in roster.people
    ]
    return header, rows


def unit_rows(units: Iterable[RosterUnit]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The same for an organisation file."""
    header = tuple(column.title for column in UNITS)
    return header, [tuple(str(getattr(unit, column.field)) for column in UNITS) for unit in units]


def _shown(value: object) -> str:
    return "" if value is None else str(value)
