"""Change cells of one sheet of a workbook in its XML; formats, widths, formulas and other sheets stay."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from bousai_kit.errors import InputError
from bousai_kit.tables import sheet_xml
from bousai_kit.tables.model import Table

if TYPE_CHECKING:
    from bousai_kit.tables.patching import Changes

__all__ = ["patched_sheet"]

_DATA = re.compile(rb"<((?:\w+:)?)sheetData\s*(?:/>|>(.*?)</(?:\w+:)?sheetData>)", re.DOTALL)
_ROW = re.compile(rb"<(?:\w+:)?row\b([^>]*?)(?:/>|>(.*?)</(?:\w+:)?row>)", re.DOTALL)
_CELL = re.compile(rb"<(?:\w+:)?c\b([^>]*?)(?:/>|>(.*?)</(?:\w+:)?c>)", re.DOTALL)
_NUMBER = re.compile(rb"\br=[\"']([0-9]+)[\"']")
_PLACE = re.compile(rb"\br=[\"']([A-Z]{1,3})[0-9]+[\"']")
_STYLE = re.compile(rb"\bs=[\"'][0-9]+[\"']")
_SHARED = re.compile(rb"<(?:\w+:)?f\b[^>]*\bt=[\"']shared[\"'][^>]*\bref=[^>]*>")
_SI = re.compile(rb"\bsi=[\"']([0-9]+)[\"']")
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
_MERGES = re.compile(rb"<(?:\w+:)?mergeCells\b[^>]*>(.*?)</(?:\w+:)?mergeCells>", re.DOTALL)
_MERGE = re.compile(rb"<(?:\w+:)?mergeCell\b[^>]*\bref=[\"']([A-Z]+)([0-9]+):([A-Z]+)([0-9]+)[\"'][^>]*/>")
_CHAIN = re.compile(rb"<(?:\w+:)?(?:Override|Relationship)\b[^>]*calcChain[^>]*/>")
_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")

Edits = dict[int, dict[int, str]]


def patched_sheet(data: bytes, table: Table, changes: Changes, *, what: str) -> bytes:
    """The workbook with the changes in the sheet that `table` was read from.

    A cell merged with others is parted from them when it changes: each keeps the value that it showed.

    Raises
    ------
    InputError
        The sheet is not where the workbook says.
    """
    from bousai_kit.tables.workbook import opened

    _, parts = opened(data, what)
    with parts:
        path = sheet_xml.sheet_paths(parts).get(table.sheet, "")
        if not path:
            raise InputError(f"{what}のシート「{table.sheet}」を書き換えられません。")
        xml = parts.read(path)
        edits = _edits(xml, table, changes)
        made, formulas = _sheet(xml, table, changes, edits)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in dict.fromkeys(parts.namelist()):
                content = made if name == path else parts.read(name)
                if formulas and name.endswith("calcChain.xml"):
                    continue  # Excel makes it anew; one that names a cell without a formula is refused
                if formulas and name.endswith((".rels", "[Content_Types].xml")):
                    content = _CHAIN.sub(b"", content)
                archive.writestr(name, content)
    return packed.getvalue()


def _edits(xml: bytes, table: Table, changes: Changes) -> Edits:
    """New texts by row and place: the changes, and what parted cells had from the merged ones."""
    edits: Edits = {}
    rows = dict(zip(table.row_numbers, table.rows, strict=True))
    for _, (left, top, right, bottom) in _merges(xml):
        if _touched(changes, left, top, right, bottom):
            for number in range(max(top + 1, table.header_row + 1), bottom + 1):
                if number in rows and left < len(rows[number]):
                    edits.setdefault(number, {})[left] = rows[number][left]
    for number in changes.removed:
        edits.setdefault(number, {}).update(dict.fromkeys(range(len(rows.get(number, ()))), ""))
    for (number, place), text in changes.cells.items():
        edits.setdefault(number, {})[place] = text
    return edits


def _merges(xml: bytes) -> list[tuple[bytes, tuple[int, int, int, int]]]:
    """Element, left, top, right, bottom: columns from 0, row numbers."""
    found = _MERGES.search(xml)
    return [
        (match[0], (_index(match[1]), int(match[2]), _index(match[3]), int(match[4])))
        for match in _MERGE.finditer(found[1] if found else b"")
    ]


def _touched(changes: Changes, left: int, top: int, right: int, bottom: int) -> bool:
    return any(top <= number <= bottom for number in changes.removed) or any(
        top <= number <= bottom and left <= place <= right for number, place in changes.cells
    )


def _sheet(xml: bytes, table: Table, changes: Changes, edits: Edits) -> tuple[bytes, bool]:
    """The sheet anew, and whether a formula went."""
    found = _DATA.search(xml)
    if found is None:
        raise InputError("シートの内容を書き換えられません。", hint="CSV UTF-8 で保存し直してください。")
    prefix, waiting = found[1], dict(sorted(edits.items()))
    out: list[bytes] = []
    formulas, lost, number, styles = False, set[bytes](), 0, dict[int, bytes]()
    for match in _ROW.finditer(found[2] or b""):
        said = _NUMBER.search(match[1])
        number = int(said[1]) if said else number + 1
        for earlier in [other for other in waiting if other < number]:
            out.append(_new_row(earlier, waiting.pop(earlier), {}, prefix))
        if number == (table.row_numbers[-1] if table.row_numbers else 0):
            styles = _styles(match[2] or b"")
        new = waiting.pop(number, None)
        if new is None:
            out.append(match[0])
            continue
        cells, gone = _cells(number, match[2] or b"", new, prefix)
        formulas = formulas or any(_FORMULA.search(cell) for cell in gone)
        lost |= {si[1] for cell in gone for f in _SHARED.findall(cell) if (si := _SI.search(f))}
        out.append(b"<%srow%s>%s</%srow>" % (prefix, match[1], cells, prefix))
    for later, new in waiting.items():
        out.append(_new_row(later, new, {}, prefix))
        number = max(number, later)
    for row in changes.added:
        number += 1
        out.append(_new_row(number, dict(enumerate(row)), styles, prefix))
    body = b"".join(out)
    for index in lost:  # those that went along with a formula that is gone keep their values
        body = re.sub(rb"<(?:\w+:)?f\b[^>]*\bsi=[\"']%s[\"'][^>]*/>" % index, b"", body)
    made = b"<%ssheetData>%s</%ssheetData>" % (prefix, body, prefix)
    return _unmerged(xml[: found.start()] + made + xml[found.end() :], changes), formulas


def _unmerged(xml: bytes, changes: Changes) -> bytes:
    merges = _merges(xml)
    kept = [element for element, at in merges if not _touched(changes, *at)]
    if len(kept) == len(merges):
        return xml
    if not kept:
        return _MERGES.sub(b"", xml, count=1)

    def fewer(match: re.Match[bytes]) -> bytes:
        start = match[0][: match.start(1) - match.start()]
        start = re.sub(rb"\bcount=[\"'][0-9]+[\"']", b'count="%d"' % len(kept), start)
        return start + b"".join(kept) + match[0][match.end(1) - match.start() :]

    return _MERGES.sub(fewer, xml, count=1)


def _cells(number: int, inside: bytes, new: dict[int, str], prefix: bytes) -> tuple[bytes, list[bytes]]:
    """The cells of one row anew, and those that were replaced."""
    waiting = dict(sorted(new.items()))
    out: list[bytes] = []
    gone: list[bytes] = []
    place = -1
    for match in _CELL.finditer(inside):
        said = _PLACE.search(match[1])
        place = _index(said[1]) if said else place + 1
        for earlier in [other for other in waiting if other < place]:
            out.append(_cell(number, earlier, waiting.pop(earlier), b"", prefix))
        if place in waiting:
            style = _STYLE.search(match[1])
            out.append(_cell(number, place, waiting.pop(place), style[0] if style else b"", prefix))
            gone.append(match[0])
        else:
            out.append(match[0] if said else _placed(match[0], number, place))
    out += [_cell(number, later, text, b"", prefix) for later, text in waiting.items()]
    return b"".join(out), gone


def _placed(cell: bytes, number: int, place: int) -> bytes:
    """A cell that did not say where it is, saying so."""
    return re.sub(rb"^<((?:\w+:)?c)\b", rb'<\1 r="%s%d"' % (_letters(place), number), cell, count=1)


def _new_row(number: int, new: Mapping[int, str], styles: Mapping[int, bytes], prefix: bytes) -> bytes:
    cells = b"".join(
        _cell(number, place, text, styles.get(place, b""), prefix)
        for place, text in sorted(new.items())
        if text or place in styles
    )
    return b'<%srow r="%d">%s</%srow>' % (prefix, number, cells, prefix)


def _styles(inside: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for match in _CELL.finditer(inside):
        said, style = _PLACE.search(match[1]), _STYLE.search(match[1])
        if said and style:
            found[_index(said[1])] = style[0]
    return found


def _cell(number: int, place: int, text: str, style: bytes, prefix: bytes) -> bytes:
    head = b'<%sc r="%s%d"%s' % (prefix, _letters(place), number, b" " + style if style else b"")
    if not text:
        return head + b"/>"
    said = escape(_ESCAPED.sub("_x005F_", text)).encode()
    body = b'<%sis><%st xml:space="preserve">%s</%st></%sis>' % (prefix, prefix, said, prefix, prefix)
    return head + b' t="inlineStr">' + body + b"</%sc>" % prefix


def _index(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1


def _letters(place: int) -> bytes:
    text, rest = "", place + 1
    while rest:
        rest, letter = divmod(rest - 1, 26)
        text = chr(65 + letter) + text
    return text.encode()
