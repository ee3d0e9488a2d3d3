"""What a table file says, as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["Recognise", "Table"]

Recognise = Callable[[Sequence[str]], bool]
"""Says whether cells are the header that the caller is looking for."""


@dataclass(frozen=True, slots=True)
class Table:
    """Header and rows of one file or sheet; blank rows are left out.

    Attributes
    ----------
    header : tuple of str
        As the file spells it; "" for a column without one.
    rows : tuple of tuple of str
        At least as wide as the header; wider where a row holds more cells than the header.
    row_numbers : tuple of int
        Of each row, as a spreadsheet shows it (the header is row 1 unless something stands above it).
    encoding : str
        ``utf-8``, ``utf-8-sig``, ``cp932`` or ``xlsx``.
    missing_formulas : frozenset of (int, int)
        Row number and column index (from 0) of formulas without a stored value; their cells are "".
    header_row : int
        Row number of the header.
    delimiter : str
        Of a CSV; "" for XLSX.
    sheet : str
        Of an XLSX; "" for CSV.
    hidden_rows : frozenset of int
        Numbers of the rows that a sheet hides and that hold something all the same.
    other_sheets : tuple of str
        Visible sheets with such a header, too, which were not read.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = field(repr=False)
    row_numbers: tuple[int, ...] = field(repr=False)
    encoding: str
    missing_formulas: frozenset[tuple[int, int]] = frozenset()
    header_row: int = 1
    delimiter: str = ""
    sheet: str = ""
    hidden_rows: frozenset[int] = frozenset()
    other_sheets: tuple[str, ...] = ()
