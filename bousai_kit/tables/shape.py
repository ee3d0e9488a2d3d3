"""From records to a table: where the header is, which rows hold anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bousai_kit.errors import InputError
from bousai_kit.tables.model import Recognise, Table

__all__ = ["assemble", "header_at"]

_LOOK = 20  # rows in which a header is looked for


def header_at(
    records: Iterable[Sequence[str]], recognise: Recognise | None, *, strict: bool = False
) -> int | None:
    """Index of the header.

    Parameters
    ----------
    recognise : callable, optional
        Without it, or when it knows none of the first rows, the first row that is not blank is the header.
    strict : bool
        None in place of that first row.
    """
    first = None
    for index, record in enumerate(records):
        if any(cell.strip() for cell in record):
            first = index if first is None else first
            if recognise is None or index > first + _LOOK:
                break
            if recognise(record):
                return index
    return None if strict else first


def assemble(
    records: Sequence[Sequence[str]],
    at: int | None,
    *,
    what: str,
    encoding: str,
    delimiter: str = "",
    sheet: str = "",
    missing_formulas: frozenset[tuple[int, int]] = frozenset(),
    widen: bool = False,
) -> Table:
    """Make the table below the header at index `at`.

    Parameters
    ----------
    missing_formulas : frozenset of (int, int)
        Row numbers and column indexes; a row with one is kept even when it is blank otherwise.
    widen : bool
        Whether cells beyond the header are columns without one (a sheet), not a misread line (a CSV).

    Raises
    ------
    InputError
        There is no header.
    """
    if at is None:
        raise InputError(
            f"{what}は空です（見出しの行がありません）。", hint="1 行目に見出しのある表を指定してください。"
        )
    header = list(records[at])
    while header and not header[-1].strip():
        header.pop()
    formula_rows = {row for row, _ in missing_formulas}
    rows: list[tuple[str, ...]] = []
    numbers: list[int] = []
    for number, record in enumerate(records[at + 1 :], at + 2):
        end = len(record)
        while end and not record[end - 1].strip():
            end -= 1
        if end or number in formula_rows:
            rows.append(tuple(record[:end]))
            numbers.append(number)
    width = max(map(len, rows), default=0) if widen else min(len(records[at]), max(map(len, rows), default=0))
    header += [""] * (width - len(header))
    width = len(header)
    return Table(
        header=tuple(header),
        rows=tuple(row if len(row) >= width else (*row, *[""] * (width - len(row))) for row in rows),
        row_numbers=tuple(numbers),
        encoding=encoding,
        missing_formulas=missing_formulas,
        header_row=at + 1,
        delimiter=delimiter,
        sheet=sheet,
    )
