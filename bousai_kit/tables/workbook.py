"""XLSX as people make them: hidden sheets, merged cells, numbers for text, formulas that were never computed.

calamine reads the values; the sheet's own XML says which blanks are formulas without a stored value, and
which zeros and marks a number format shows.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import InputError
from bousai_kit.tables import sheet_xml
from bousai_kit.tables.model import Recognise, Table
from bousai_kit.tables.shape import assemble, header_at

if TYPE_CHECKING:
    from python_calamine import CalamineSheet, CalamineWorkbook

__all__ = ["opened", "parse"]

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_RESAVE = "Excel で開き、「Excel ブック（.xlsx）」か「CSV UTF-8」で保存し直してください。"
_LARGEST = 512 * 1024 * 1024  # bytes when unpacked
_MOST_CELLS = 10_000_000  # calamine keeps every cell up to the farthest one


def parse(data: bytes, *, what: str, recognise: Recognise | None = None) -> Table:
    """Parse a workbook: its first sheet with a recognised header, visible sheets first.

    Raises
    ------
    InputError
        Not an XLSX, locked by a password, damaged, or without any table.
    """
    if data.startswith(_OLE):
        raise _ole(data, what)
    parts = _open(data, what)
    try:
        data, parts = _usual_name(data, parts)
        return _read(data, parts, what, recognise)
    except InputError:
        raise
    except BaseException as error:  # calamine ends in a panic on some damaged files
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise _damaged(what, error) from None
        raise
    finally:
        parts.close()


def opened(data: bytes, what: str) -> tuple[bytes, zipfile.ZipFile]:
    """The package of a workbook, its main part under the usual name; closed by whoever asked for it."""
    return _usual_name(data, _open(data, what))


def _ole(data: bytes, what: str) -> InputError:
    if "EncryptedPackage".encode("utf-16-le") in data:
        return InputError(
            f"{what}にはパスワードが設定されていて、読み取れません。",
            hint="Excel で開いてパスワードを外し（ファイル → 情報 → ブックの保護）、保存し直してください。",
        )
    return InputError(f"{what}は古い Excel の形式（.xls）か別の文書で、読み取れません。", hint=_RESAVE)


def _open(data: bytes, what: str) -> zipfile.ZipFile:
    try:
        parts = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise _damaged(what, error) from None
    names = set(parts.namelist())
    kind = _other_kind(names)
    if kind:
        parts.close()
        raise InputError(f"{what}は{kind}で、読み取れません。", hint=_RESAVE)
    if sum(entry.file_size for entry in parts.infolist()) > _LARGEST:
        parts.close()
        raise InputError(
            f"{what}は大きすぎます（展開して 512 MB を超えます）。", hint="ファイルを分けてください。"
        )
    return parts


def _usual_name(data: bytes, parts: zipfile.ZipFile) -> tuple[bytes, zipfile.ZipFile]:
    """Some programs call the workbook ``workbook22.xml``; calamine knows only the usual name."""
    names = parts.namelist()
    other = next((name for name in names if re.fullmatch(r"xl/workbook[0-9]+\.xml", name)), "")
    if not other or "xl/workbook.xml" in names:
        return data, parts
    old = posixpath.basename(other)
    contents = {
        name.replace(old, "workbook.xml"): parts.read(name).replace(f"/{old}".encode(), b"/workbook.xml")
        if name in ("[Content_Types].xml", "_rels/.rels")
        else parts.read(name)
        for name in dict.fromkeys(names)
    }
    parts.close()
    data = _packed(contents)
    return data, zipfile.ZipFile(io.BytesIO(data))


def _packed(contents: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return packed.getvalue()


def _other_kind(names: set[str]) -> str:
    if "xl/workbook.bin" in names:
        return " Excel バイナリ ブック（.xlsb）"
    if "xl/workbook.xml" in names or any(name.startswith("xl/worksheets/") for name in names):
        return ""
    if any(name.startswith("word/") for name in names):
        return " Word の文書"
    if any(name.startswith("ppt/") for name in names):
        return " PowerPoint の文書"
    if "content.xml" in names:
        return " OpenDocument の文書"
    return "圧縮ファイル（ZIP）"


def _damaged(what: str, error: BaseException) -> InputError:
    return InputError(
        f"{what}（XLSX）が壊れていて、読み取れません（{type(error).__name__}）。",
        hint="Excel で開いて保存し直すか、CSV UTF-8 で保存してください。",
    )


def _read(data: bytes, parts: zipfile.ZipFile, what: str, recognise: Recognise | None) -> Table:
    from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

    paths = sheet_xml.sheet_paths(parts)
    masks = sheet_xml.masks(parts)
    book = CalamineWorkbook.from_filelike(io.BytesIO(data))
    sheets = [sheet for sheet in book.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    sheets.sort(key=lambda sheet: sheet.visible != SheetVisibleEnum.Visible)  # else in the book's order
    fallback: Table | None = None
    for number, sheet in enumerate(sheets, 1):
        path = paths.get(sheet.name, "")
        xml = parts.read(path) if path else b""
        found, xml = _sheet(book, parts, path, xml, sheet.name, what)
        values = found.to_python(skip_empty_area=False)
        head = [[_text(value) for value in row] for row in values[:40]]
        at = header_at(head, recognise, strict=recognise is not None)
        if at is None and (fallback is not None or header_at(head, None) is None):
            continue
        merged = found.merged_cell_ranges or ()
        table = _table(values, sheet_xml.facts(xml, masks), merged, at, what, sheet.name)
        if at is not None:
            others = [one.name for one in sheets[number:] if one.visible == SheetVisibleEnum.Visible]
            return replace(table, other_sheets=tuple(_alike(book, parts, paths, others, recognise)))
        fallback = table
    if fallback is not None:
        return fallback
    raise InputError(
        f"{what}のどのシートにも表がありません。",
        hint="1 行目に見出しのある表を書いたシートを用意してください。",
    )


def _alike(
    book: CalamineWorkbook,
    parts: zipfile.ZipFile,
    paths: Mapping[str, str],
    names: Iterable[str],
    recognise: Recognise | None,
) -> Iterator[str]:
    """Those of some sheets that have the header which was looked for."""
    for name in names if recognise is not None else ():
        try:
            found, _ = _sheet(book, parts, path := paths.get(name, ""), parts.read(path), name, "")
        except (InputError, KeyError):
            continue
        head = [[_text(value) for value in row] for row in found.to_python(skip_empty_area=False, nrows=40)]
        if header_at(head, recognise, strict=True) is not None:
            yield name


def _sheet(
    book: CalamineWorkbook, parts: zipfile.ZipFile, path: str, xml: bytes, sheet: str, what: str
) -> tuple[CalamineSheet, bytes]:
    """The sheet and its XML, without far cells that only look different: calamine would keep all between."""
    from python_calamine import CalamineWorkbook

    rows, columns = (0, 0) if sheet_xml.is_near(xml) else sheet_xml.extent(xml)
    if rows * columns <= _MOST_CELLS:
        return book.get_sheet_by_name(sheet), xml
    xml = sheet_xml.without_blanks(xml)
    rows, columns = sheet_xml.extent(xml)
    if rows * columns > _MOST_CELLS:
        raise InputError(
            f"{what}のシート「{sheet}」は広すぎます（{rows:,} 行 × {columns:,} 列）。",
            hint="表から離れたところにある値を消して、保存し直してください。",
        )
    data = _packed(
        {name: xml if name == path else parts.read(name) for name in dict.fromkeys(parts.namelist())}
    )
    return CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_name(sheet), xml


def _table(
    values: Sequence[Sequence[Any]],
    facts: sheet_xml.Facts,
    merged: Sequence[tuple[tuple[int, int], tuple[int, int]]],
    at: int | None,
    what: str,
    sheet: str,
) -> Table:
    records = [[value if type(value) is str else _text(value) for value in row] for row in values]
    last = max((row for row, _ in facts.missing), default=0)
    records += [[] for _ in range(last - len(records))]
    for (row, place), mask in facts.masks.items():
        if row <= len(records) and place < len(records[row - 1]) and records[row - 1][place].isdigit():
            records[row - 1][place] = sheet_xml.masked(records[row - 1][place], mask)
    at = header_at(records, None) if at is None else at
    for (top, left), (bottom, _) in merged:
        for row in range(max(top + 1, (at or 0) + 1), min(bottom + 1, len(records))):
            record = records[row]
            if (
                top > (at or 0)
                and left < len(record)
                and not record[left].strip()
                and any(c.strip() for c in record)
            ):
                record[left] = records[top][left]
    return assemble(
        records,
        at,
        what=what,
        encoding="xlsx",
        sheet=sheet,
        missing_formulas=facts.missing,
        hidden_rows=facts.hidden,
        widen=True,
    )


def _text(value: Any) -> str:
    """A cell as a person reads it: 123.0 is 123, a date is 2027-01-17."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        return format(Decimal(format(value, ".15g")), "f")
    if isinstance(value, datetime):
        if value.time() == time():
            return value.date().isoformat()
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, time):
        return value.isoformat(timespec="minutes" if not value.second else "seconds")
    if isinstance(value, timedelta):
        minutes = round(value.total_seconds() / 60)
        return f"{minutes // 60}:{minutes % 60:02d}"
    return "" if value is None else str(value)
