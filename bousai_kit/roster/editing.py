"""A roster as a table that is edited: cells as typed, problems by cell, undo, a new file of the same kind.

A row keeps its number while it is edited: a removed one stays in its place, marked, and an added one stands
behind the last. Nothing is written here: `keeping` does, and never over the original unless told to.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bousai_kit.errors import InputError
from bousai_kit.roster import units
from bousai_kit.roster.columns import ROSTER, Match, recogniser
from bousai_kit.roster.problems import Problems
from bousai_kit.roster.reading import read_units, roster_table
from bousai_kit.tables import Changes, Table, patched

__all__ = ["RosterTable", "open_roster_table"]

LONGEST_CELL = 32_767  # characters, what Excel takes
MOST_ROWS = 200_000
_ALONE = frozenset({"note", "private_email", "position", "level", "last_kana", "first_kana"})
"""Fields that no other row is compared by."""

_Cell = tuple[int, int, str, str]  # row number, place, before, after


@dataclass(frozen=True, slots=True, repr=False)
class _Step:
    """What one action did; undone from the end."""

    cells: tuple[_Cell, ...] = ()
    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    restored: tuple[int, ...] = ()


class RosterTable:
    """A roster being edited.

    Parameters
    ----------
    data, table, found
        Of the file.
    source : Path
    unit_file : UnitFile, optional
        Of the organisation file.

    Attributes
    ----------
    header : tuple of str
    numbers : list of int
        Row numbers from top to bottom, removed and added rows too.
    removed : set of int
    problems : Problems
        Of the rows as they are now.
    version : int
        Another number after each change.
    """

    def __init__(
        self, data: bytes, table: Table, found: Match, source: Path, unit_file: units.UnitFile | None = None
    ) -> None:
        self.source = source
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.header = table.header
        self.numbers = list(table.row_numbers)
        self.removed: set[int] = set()
        self._data, self._table, self._found = data, table, found
        self._before = dict(zip(table.row_numbers, table.rows, strict=True))
        self._now: dict[int, list[str]] = {}  # rows that were edited or added
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        self._fields = {place: name for name, place in found.index.items()}
        self.problems = Problems(table, found, unit_file)
        self.version = 0
        self._stale = True
        for number in self.numbers:
            self._look(number)

    def __repr__(self) -> str:
        return f"<RosterTable rows={len(self.numbers)} edited={self.edited_count}>"

    # -- what stands there ------------------------------------------------------------------------------

    @property
    def encoding(self) -> str:
        """Of the file, as `Table` names it."""
        return self._table.encoding

    @property
    def first_free(self) -> int:
        """The number that an added row would have."""
        return max(self.numbers, default=self._table.header_row) + 1

    @property
    def required(self) -> frozenset[int]:
        """Places of the columns that no row may leave empty."""
        return frozenset(self._found.index[column.field] for column in ROSTER if column.required)

    def field(self, place: int) -> str:
        """Our name of a column, "" for one that the kit does not know."""
        return self._fields.get(place, "")

    def row(self, number: int) -> Sequence[str]:
        """The cells of a row as they are now."""
        return self._now.get(number) or self.original(number)

    def original(self, number: int) -> tuple[str, ...]:
        """The cells of a row as the file has them; () for an added one."""
        return self._before.get(number, ())

    def originals(self) -> Mapping[int, tuple[str, ...]]:
        """All rows as the file has them, by number."""
        return self._before

    def is_added(self, number: int) -> bool:
        """Whether the row is not in the file yet."""
        return number not in self._before

    def edited_places(self, number: int) -> frozenset[int]:
        """Where a row differs from the file."""
        now, before = self._now.get(number), self._before.get(number)
        if now is None or before is None:
            return frozenset()
        return frozenset(
            place for place, cell in enumerate(now) if cell != (before[place] if place < len(before) else "")
        )

    @property
    def edited_count(self) -> int:
        """Cells that differ, rows added and rows removed, together."""
        cells = sum(len(self.edited_places(number)) for number in self._now if number not in self.removed)
        added = sum(self.is_added(number) for number in self.numbers if number not in self.removed)
        return cells + added + sum(not self.is_added(number) for number in self.removed)

    @property
    def can_undo(self) -> bool:
        """Whether there is anything to take back."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether anything was taken back."""
        return bool(self._undone)

    # -- edits ------------------------------------------------------------------------------------------

    def edit(self, cells: Iterable[tuple[int, int, str]], *, rows: int = 0) -> list[int]:
        """Change cells, as one action.

        Parameters
        ----------
        cells : iterable of (int, int, str)
            Row number, column index, new text.
        rows : int
            Rows to add first (numbers from `first_free`), which `cells` may already name.

        Returns
        -------
        list of int
            The rows that changed.

        Raises
        ------
        InputError
            No such cell, or a text that no file could hold; nothing has changed then.
        """
        wanted = {(number, place): _clean(text) for number, place, text in cells}
        if len(self.numbers) + rows > MOST_ROWS:
            raise InputError(f"行が多すぎます（{MOST_ROWS:,} 行まで）。", hint="名簿を分けてください。")
        added = tuple(range(self.first_free, self.first_free + rows))
        known = set(added)
        for number, place in wanted:
            there = number in self._before or number in self._now or number in known
            if not there or not 0 <= place < max(len(self.header), len(self.row(number))):
                raise InputError(f"{number} 行目の {place + 1} 列目はありません。", hint="")
            if number in self.removed:
                raise InputError(
                    f"{number} 行目は削除した行です。", hint="先に「行を戻す」を押してください。"
                )
        was = {
            (number, place): (self.row(number)[place] if place < len(self.row(number)) else "")
            for number, place in wanted
        }
        step = _Step(
            cells=tuple((*at, was[at], text) for at, text in wanted.items() if was[at] != text), added=added
        )
        return self._do(step)

    def remove(self, rows: Iterable[int]) -> list[int]:
        """Leave rows out of the new file; they stay in sight and can be restored."""
        known = set(self.numbers)
        return self._do(_Step(removed=tuple(sorted((set(rows) & known) - self.removed))))

    def restore(self, rows: Iterable[int]) -> list[int]:
        """Take removed rows in again."""
        return self._do(_Step(restored=tuple(sorted(set(rows) & self.removed))))

    def undo(self) -> list[int]:
        """Take the last action back; the rows that changed."""
        if not self._done:
            return []
        step = self._done.pop()
        self._undone.append(step)
        for number, place, before, _ in reversed(step.cells):
            self._put(number, place, before)
        self.removed -= set(step.removed)
        self.removed |= set(step.restored)
        gone = set(step.added)
        if gone:
            self.numbers = [number for number in self.numbers if number not in gone]
            for number in gone:
                del self._now[number]
        return self._changed(step)

    def redo(self) -> list[int]:
        """Do again what was taken back last."""
        return self._carry(self._undone.pop(), again=True) if self._undone else []

    def _do(self, step: _Step) -> list[int]:
        if step == _Step():
            return []
        self._undone.clear()
        return self._carry(step)

    def _carry(self, step: _Step, *, again: bool = False) -> list[int]:
        for number in step.added:
            self.numbers.append(number)
            self._now[number] = [""] * len(self.header)
        for number, place, _, after in step.cells:
            self._put(number, place, after)
        self.removed |= set(step.removed)
        self.removed -= set(step.restored)
        self._done.append(step)
        return self._changed(step)

    def _put(self, number: int, place: int, text: str) -> None:
        cells = self._now.setdefault(number, list(self._before.get(number, ())))
        cells += [""] * (place + 1 - len(cells))
        cells[place] = text

    def _changed(self, step: _Step) -> list[int]:
        self.version += 1
        rows = {number for number, *_ in step.cells} | set(step.added + step.removed + step.restored)
        names = {self.field(place) for _, place, *_ in step.cells}
        whole = bool(step.added or step.removed or step.restored)
        self._stale = self._stale or whole or bool(names - _ALONE - {""})
        for number in rows:
            self._look(number)
        return sorted(rows)

    # -- problems ---------------------------------------------------------------------------------------

    def _look(self, number: int) -> None:
        cells = self.row(number)
        gone = number in self.removed or not any(cell.strip() for cell in cells)
        self.problems.look(number, () if gone else cells, self.edited_places(number))

    @property
    def stale(self) -> bool:
        """An edit may have changed how rows stand to each other; `settle` looks."""
        return self._stale

    def settle(self) -> bool:
        """Compare the rows with each other again, if an edit could matter; whether any problem changed."""
        if not self._stale:
            return False
        self._stale = False
        return self.problems.compare(self.numbers)

    # -- out --------------------------------------------------------------------------------------------

    def changes(self) -> Changes:
        """What is different from the file."""
        return Changes(
            cells={
                (number, place): self._now[number][place]
                for number in self._now
                if number in self._before and number not in self.removed
                for place in sorted(self.edited_places(number))
            },
            removed=frozenset(self.removed & self._before.keys()),
            added=tuple(
                tuple(self._now[number])
                for number in self.numbers
                if self.is_added(number) and number not in self.removed and any(self._now[number])
            ),
        )

    def content(self, *, encoding: str = "") -> bytes:
        """The new file: the old one with the changes and nothing else different.

        Parameters
        ----------
        encoding : str
            Of a CSV: ``utf-8-sig`` where its own lacks a character; default: as it came.

        Raises
        ------
        InputError
            A character that the encoding lacks (``issues`` names the cells), or a file in which this
            cannot be done faithfully.
        """
        changes = self.changes()
        if not changes and encoding in ("", self.encoding):
            return self._data
        own = self.encoding == "xlsx"
        return patched(
            self._data,
            self._table,
            changes,
            encoding="" if own else encoding,
            what="名簿",
            recognise=recogniser(ROSTER),
        )


def _clean(text: str) -> str:
    """A text as a cell may hold it: one kind of line end, nothing that no file could carry."""
    if text.isascii() and text.isprintable() and len(text) <= LONGEST_CELL:
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if len(text) > LONGEST_CELL:
        raise InputError(
            f"1 つのセルは {LONGEST_CELL:,} 文字までです（{len(text):,} 文字）。", hint="短くしてください。"
        )
    for letter in text:
        if letter not in "\n\t" and (
            unicodedata.category(letter) in ("Cc", "Cs") or letter in "\ufffe\uffff"
        ):
            raise InputError(
                f"セルに入れられない文字（U+{ord(letter):04X}）があります。",
                hint="目に見えない制御文字です。貼り付け元から消して、もう一度入力してください。",
            )
    return text


def open_roster_table(path: Path, *, orgunits: Path | None = None) -> RosterTable:
    """Open a roster (CSV or XLSX) to edit it.

    Raises
    ------
    RosterError
        It cannot be used as a whole: encoding, a missing column, no row.
    """
    path = Path(path)
    data, table, found = roster_table(path)
    unit_file = read_units(Path(orgunits)) if orgunits is not None else None
    made = RosterTable(data, table, found, path, unit_file)
    made.settle()
    return made
