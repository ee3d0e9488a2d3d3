"""The problems of a roster while it is edited, by cell; an edit looks only at what it can have changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bousai_kit.errors import Issue
from bousai_kit.roster import relations, rules, units
from bousai_kit.roster.columns import ROSTER, Match
from bousai_kit.roster.model import Person
from bousai_kit.roster.reading import person_maker
from bousai_kit.tables import Table

__all__ = ["Problems"]


class Problems:
    """What `check_roster` would say of the rows as they are now.

    Parameters
    ----------
    table, found
        Of the file.
    unit_file : UnitFile, optional
        Of the organisation file.
    """

    def __init__(self, table: Table, found: Match, unit_file: units.UnitFile | None = None) -> None:
        bare = replace(table, rows=(), row_numbers=())
        report = rules.Report(bare, found, ROSTER)
        titles = {column.field: column.title for column in ROSTER}
        titles |= {name: table.header[place].strip() for name, place in found.index.items()}
        self._places = {title: found.index.get(name, -1) for name, title in titles.items()}
        self._places |= {name: place for place, name in report.extra_names()}
        self._fields = {place: name for name, place in found.index.items()}
        self._header = [issue for issue in report.issues if issue.row == table.header_row]
        self._formulas = [issue for issue in report.issues if issue.row != table.header_row]
        self._uncomputed = frozenset(report.uncomputed)
        self._units = unit_file
        self._report = report
        self._make = person_maker(bare, found, report)
        self._people: dict[int, Person] = {}
        self._alone: dict[int, list[Issue]] = {}
        self._between: dict[int, list[Issue]] = {}

    def look(self, number: int, cells: Sequence[str], edited: frozenset[int]) -> None:
        """See what is wrong with one row by itself.

        Parameters
        ----------
        cells : sequence of str
            () for a row that is gone or blank.
        edited : frozenset of int
            Where it differs from the file: no formula stands there any more.
        """
        self._alone.pop(number, None)
        self._people.pop(number, None)
        if not cells:
            return
        report = self._report
        report.issues = []
        if self._formulas:
            report.uncomputed = set(self._uncomputed) - {
                (number, self._fields.get(place, "")) for place in edited
            }
            report.issues += [
                issue for issue in self._formulas if issue.row == number and self.place(issue) not in edited
            ]
        report.look_at(number, cells)
        self._people[number] = self._make(number, cells, report)
        if report.issues:
            self._alone[number] = report.issues

    def compare(self, numbers: Iterable[int]) -> bool:
        """Compare the rows with each other; whether any problem between them is new or gone."""
        report = self._report
        report.issues = []
        people = [self._people[number] for number in numbers if number in self._people]
        relations.check_people(people, report)
        units.units_of(people, None if self._units is None else self._units.units, report)
        found: dict[int, list[Issue]] = {}
        for issue in report.issues:
            found.setdefault(issue.row, []).append(issue)
        changed = found != self._between
        self._between = found
        return changed

    def place(self, issue: Issue) -> int:
        """Index of the column that an issue names; -1 for the row as a whole."""
        return self._places.get(issue.column, -1)

    def of(self, number: int) -> list[tuple[int, Issue]]:
        """Problems of a row: column index (-1: the row as a whole) and issue; errors first."""
        if number not in self._people:
            return []
        issues = (*self._alone.get(number, ()), *self._between.get(number, ()))
        return sorted(
            ((self.place(issue), issue) for issue in issues),
            key=lambda one: (one[1].severity != "error", one[0]),
        )

    @property
    def whole(self) -> list[Issue]:
        """Problems of no single row: of the header, of the roster as a whole, of the organisation file."""
        more = () if self._units is None else self._units.issues
        return [*self._header, *self._between.get(0, ()), *more]

    def rows(self, severity: str = "") -> frozenset[int]:
        """Numbers of the rows that have a problem (of this severity)."""
        return frozenset(
            number
            for number in self._alone.keys() | (self._between.keys() - {0})
            if number in self._people
            and any(not severity or i.severity == severity for _, i in self.of(number))
        )

    def count(self, severity: str) -> int:
        """How many problems of this severity there are, those of no single row too."""
        rows = (self._alone.values(), self._between.values(), (self._header,))
        more = () if self._units is None else self._units.issues
        listed = sum(issue.severity == severity for lists in rows for issues in lists for issue in issues)
        return listed + sum(issue.severity == severity for issue in more)
