"""Tables out: CSV and XLSX that Excel opens without computing anything that a person typed."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

from bousai_kit.errors import InputError
from bousai_kit.files import write_whole
from bousai_kit.tables.delimited import HARMFUL

__all__ = ["csv_bytes", "write_csv", "write_xlsx", "xlsx_bytes"]

_HARMFUL = re.compile(f"'*[{HARMFUL}]")
_QUOTED = re.compile(r'[",;\t\r\n]|^\s|\s$')
_SPECIAL = re.compile(f"[\";\\s]|(?:^|,)'*[{HARMFUL}]")  # cells of this line need a closer look
_LONGEST = 32_767  # characters in an Excel cell
_CUT = "…（長いため省略）"
_NOT_IN_A_NAME = re.compile(r"[\[\]:*?/\\]")
_MADE = datetime(2019, 1, 1)  # equal contents give equal files, whenever they are written


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return ""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def _cell(value: object) -> str:
    text = _text(value)
    if isinstance(value, str) and _HARMFUL.match(text):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """The bytes of a CSV for Excel: UTF-8 with BOM, CRLF, text that Excel would compute marked with ``'``.

    `read_table` takes the marks away again, so a table comes back as it was.
    """
    width = len(header)
    lines = []
    for row in (header, *rows):
        if len(row) > width:
            raise ValueError(f"a row of {len(row)} cells below a header of {width}")
        lines.append(_line(row) + "," * (width - max(1, len(row))))
    if lines[0][:4].lower() == "sep=":
        first, comma, rest = lines[0].partition(",")
        lines[0] = f'"{first}"{comma}{rest}'
    return ("\r\n".join(lines) + "\r\n").encode("utf-8-sig")


def _line(row: Sequence[object]) -> str:
    try:
        line = ",".join(row)  # type: ignore[arg-type]  # rows of text are the rule; others raise
        if line.count(",") == len(row) - 1 and not _SPECIAL.search(line):
            return line or '""'
    except TypeError:
        pass
    return ",".join([_cell(value) for value in row]) or '""'


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV for Excel, whole or not at all (`csv_bytes`)."""
    _replace(path, csv_bytes(header, rows))


def write_xlsx(path: Path, sheets: Mapping[str, tuple[Sequence[str], Iterable[Sequence[object]]]]) -> None:
    """Write a workbook, whole or not at all (`xlsx_bytes`)."""
    _replace(path, xlsx_bytes(sheets))


def xlsx_bytes(sheets: Mapping[str, tuple[Sequence[str], Iterable[Sequence[object]]]]) -> bytes:
    """The bytes of a workbook; text stays text, numbers stay numbers.

    Parameters
    ----------
    sheets : mapping
        Sheet name to header and rows, in this order; names are cut to what Excel allows.
    """
    import xlsxwriter

    buffer = io.BytesIO()
    plain = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(buffer, {"in_memory": True, "nan_inf_to_errors": True, **plain}) as book:
        book.set_properties({"created": _MADE})
        bold = book.add_format({"bold": True, "bg_color": "#DDEBF7", "text_wrap": True, "valign": "top"})
        taken: set[str] = set()
        for name, (header, rows) in sheets.items():
            sheet = book.add_worksheet(_sheet_name(name, taken))
            widths = [_width(title) for title in header]
            for column, title in enumerate(header):
                sheet.write_string(0, column, title, bold)
            for number, row in enumerate(rows, 1):
                if number >= 1_048_576:
                    raise InputError(f"シート「{name}」の行が Excel の上限（1,048,576 行）を超えます。")
                for column, value in enumerate(row):
                    if isinstance(value, int | float) and not isinstance(value, bool):
                        if value == value:
                            sheet.write(number, column, value)
                        continue
                    text = _text(value)
                    if not text:
                        continue
                    if len(text) > _LONGEST:
                        text = text[: _LONGEST - len(_CUT)] + _CUT
                    sheet.write_string(number, column, text)
                    if number <= 200 and column < len(widths):
                        widths[column] = max(widths[column], _width(text))
            for column, width in enumerate(widths):
                sheet.set_column(column, column, min(60, max(8, width + 2)))
            sheet.freeze_panes(1, 0)
    return buffer.getvalue()


def _width(text: str) -> int:
    return sum(1 if letter.isascii() else 2 for letter in text.partition("\n")[0])


def _sheet_name(name: str, taken: set[str]) -> str:
    base = _NOT_IN_A_NAME.sub("_", name).strip("'")[:31] or "Sheet"
    found, number = base, 2
    while found.casefold() in taken:
        found, number = f"{base[:27]} ({number})", number + 1
    taken.add(found.casefold())
    return found


def _replace(path: Path, content: bytes) -> None:
    """Write beside and rename: another program sees the old file or the new one, never a part."""
    try:
        write_whole(path, content)
    except PermissionError:
        raise InputError(
            f"{path.name} に書き込めません。",
            hint="Excel などで開いていたら閉じてから、もう一度実行してください。",
        ) from None
