"""CSV as people's programs write it: quoted line breaks, any line end, comma, tab or semicolon."""

from __future__ import annotations

import csv
import io
import re

from bousai_kit.errors import InputError
from bousai_kit.tables.model import Recognise, Table
from bousai_kit.tables.shape import assemble, header_at

__all__ = ["HARMFUL", "looks_like", "parse"]

HARMFUL = "=+\\-@\t\r＝＋－＠"
"""First characters (as in a character class) that make Excel compute a cell, Japanese full-width ones too."""

_NEUTRALISED = re.compile(f"'+[{HARMFUL}]")
_SEPARATOR = re.compile(r"sep=(.)(?:\r\n|\r|\n|$)", re.IGNORECASE)
_DELIMITERS = (",", "\t", ";")


def parse(text: str, encoding: str, *, what: str, recognise: Recognise | None = None) -> Table:
    """Parse a CSV.

    Parameters
    ----------
    recognise : callable, optional
        Says which row is the header; without it, or when it knows none, the first row that is not blank.

    Raises
    ------
    InputError
        A quotation mark that is not closed, or no row at all.
    """
    text, said = _announced(text)
    delimiter = said or _delimiter(text, recognise)
    records = _records(text, delimiter, what)
    at = header_at(records, recognise)
    return assemble(records, at, what=what, encoding=encoding, delimiter=delimiter)


def looks_like(text: str, recognise: Recognise) -> bool:
    """Whether `recognise` knows a row near the top, whatever the delimiter."""
    head = _announced(text)[0][:20_000]
    return any(
        header_at(_loose(head, delimiter), recognise, strict=True) is not None for delimiter in _DELIMITERS
    )


def _announced(text: str) -> tuple[str, str]:
    """Excel's ``sep=;`` line, which no spreadsheet shows."""
    match = _SEPARATOR.match(text)
    return (text[match.end() :], match[1]) if match else (text, "")


def _delimiter(text: str, recognise: Recognise | None) -> str:
    head = text[:20_000]
    best, most = ",", 1
    for delimiter in _DELIMITERS:
        records = _loose(head, delimiter)
        if recognise is not None and header_at(records, recognise, strict=True) is not None:
            return delimiter
        at = header_at(records, None)
        if at is not None and len(records[at]) > most:
            best, most = delimiter, len(records[at])
    return best


def _loose(head: str, delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(head, newline=""), delimiter=delimiter))
    except csv.Error:
        return []


def _records(text: str, delimiter: str, what: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records: list[list[str]] = []
    began = 1
    try:
        for record in reader:
            records.append([_plain(cell) for cell in record] if "'" in "".join(record) else record)
            began = reader.line_num + 1
    except csv.Error as error:
        why, more = '引用符（"）の対応が取れていません', ""
        if "field limit" in str(error):
            why, more = "、1 つのセルが長すぎます", "引用符が正しければ、その値を短くしてください。"
        raise InputError(
            f"{what}の {len(records) + 1} 行目（ファイルの {began} 行目から）で{why}。",
            hint=f'その行の引用符を確かめてください。値の中の " は "" と書きます。{more}',
        ) from None
    return records


def _plain(cell: str) -> str:
    """Undo what `write_csv` does to cells that Excel would compute."""
    return cell[1:] if _NEUTRALISED.match(cell) else cell
