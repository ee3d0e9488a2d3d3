"""From records to a table: where the header is, which rows hold anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bousai_kit.errors import InputError
from bousai_kit.tables.model import Recognise, Table

__all__ = ["assemble", "header_at"]

_LOOK = 20  # rows in which a header is looked for
_WIDEST = 16_384  # columns, what Excel takes


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
    hidden_rows: frozenset[int] = frozenset(),
    widen: bool = False,
) -> Table:
    """Make the table below the header at index `at`.

    Parameters
    ----------
    missing_formulas : frozenset of (int, int)
        Row numbers and column indexes; below a header, one keeps a row that is blank otherwise.
    widen : bool
        Whether cells beyond the header are columns without one (a sheet), not a misread line (a CSV).

    Raises
    ------
    InputError
        There is no header, or more columns than any spreadsheet has.
    """
    if at is None:
        raise InputError(
            f"{what}は空です（見出しの行がありません）。", hint="1 行目に見出しのある表を指定してください。"
        )
    header = list(records[at])
    while header and not header[-1].strip():
        header.pop()
    titled = len(header)
    if titled > _WIDEST:
        raise InputError(
            f"{what}の列が多すぎます（{titled:,} 列、{_WIDEST:,} 列まで）。",
            hint="見出しの行の改行が失われていないか確かめ、要らない列を消してください。",
        )
    missing = frozenset((row, place) for row, place in missing_formulas if row > at + 1 and place < titled)
    kept = {row for row, _ in missing}
    ends = {}
    for number, record in enumerate(records[at + 1 :], at + 2):
        end = len(record)
        while end and not record[end - 1].strip():
            end -= 1
        if end or number in kept:
            ends[number] = end
    width = max(ends.values(), default=0)
    width = max(titled, width if widen else min(width, len(records[at])))
    header += [""] * (width - titled)
    rows = []
    for number, end in ends.items():
        record = records[number - 1][: max(end, width)]
        rows.append(tuple(record) if len(record) >= width else (*record, *[""] * (width - len(record))))
    return Table(
        header=tuple(header),
        rows=tuple(rows),
        row_numbers=tuple(ends),
        encoding=encoding,
        missing_formulas=missing,
        header_row=at + 1,
        delimiter=delimiter,
        sheet=sheet,
        hidden_rows=hidden_rows.intersection(ends),
    )
