"""What calamine does not tell of a sheet, from its XML: empty formulas, what a format adds, its extent."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree
from xml.parsers import expat

__all__ = ["Facts", "extent", "facts", "is_near", "masked", "masks", "sheet_paths", "without_blanks"]

_CELL = re.compile(rb"<(?:\w+:)?c\b[^>]*?\br=[\"']([A-Z]{1,3})([0-9]+)[\"']")
_ANY_CELL = re.compile(rb"<(?:\w+:)?c[\s/>]")
_FAR = re.compile(rb'<c r="(?:[A-Z]{2}|[A-Z][0-9]{6})')
_HIDDEN_ROW = re.compile(rb"<(?:\w+:)?row\b([^>]*\bhidden=[\"'](?:1|true)[\"'][^>]*)>")
_ROW_NUMBER = re.compile(rb"\br=[\"']([0-9]{1,7})[\"']")
_BLANK = re.compile(rb"<(?:\w+:)?c\b[^>]*/>|<(?:\w+:)?c\b[^>]*></(?:\w+:)?c>")
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
_ERROR = re.compile(rb"<(?:\w+:)?c\b([^>]*\bt=[\"']e[\"'][^>]*)>")
_COMPUTED = re.compile(  # a cell's attributes, its formula, its value
    rb"<(?:\w+:)?c\b([^>]*)>\s*<(?:\w+:)?f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\b(?:[^>]*/>|[^>]*>([^<]*)</(?:\w+:)?v>))?"
)
_PLACE = re.compile(rb"\br=[\"']([A-Z]{1,3})([0-9]{1,7})[\"']")
_TEXT = re.compile(rb"\bt=[\"']str[\"']")
_NOT_A_NUMBER = re.compile(rb"\bt=[\"'](?!n)")
_MASK = re.compile(r"((?:[-() ]|\"[^\"]*\"|\\.)*0(?:0|[-() ]|\"[^\"]*\"|\\.)*0)(?:[;_@].*)?")
_MASK_PART = re.compile(r"\"([^\"]*)\"|\\(.)|(.)")
_DIGIT = "\0"
_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_RELATIONS = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_STRICT = "{http://purl.oclc.org/ooxml/officeDocument/relationships}id"


@dataclass(frozen=True, slots=True)
class Facts:
    """Cells by row number and column index (from 0).

    Attributes
    ----------
    missing : frozenset
        Formulas without a stored value, or whose value is an error; cells that hold an error.
    masks : dict
        Of numbers whose format shows more than their digits: for `masked`.
    hidden : frozenset of int
        Rows that are not shown.
    """

    missing: frozenset[tuple[int, int]] = frozenset()
    masks: Mapping[tuple[int, int], str] = field(default_factory=dict)
    hidden: frozenset[int] = frozenset()


def sheet_paths(parts: zipfile.ZipFile) -> dict[str, str]:
    """Part of the package that holds each sheet, by the sheet's name."""
    base = "xl"
    targets = {}
    for relation in _tree(parts, f"{base}/_rels/workbook.xml.rels"):
        target = relation.get("Target", "")
        path = target.lstrip("/") if target.startswith("/") else posixpath.normpath(f"{base}/{target}")
        targets[relation.get("Id", "")] = path
    names = set(parts.namelist())
    found = {}
    for element in _tree(parts, f"{base}/workbook.xml").iter():
        if _local(element.tag) == "sheet":
            path = targets.get(element.get(_RELATIONS) or element.get(_STRICT) or "", "")
            if path in names:
                found[element.get("name", "")] = path
    return found


def masks(parts: zipfile.ZipFile) -> dict[str, str]:
    """Cell style to mask, for formats like ``000000``, ``000-0000-0000`` and ``"S"0000``."""
    if "xl/styles.xml" not in parts.namelist():
        return {}
    found: dict[str, str] = {}
    styles: dict[str, str] = {}
    for element in _tree(parts, "xl/styles.xml"):
        if _local(element.tag) == "numFmts":
            for form in element:
                match = _MASK.fullmatch(form.get("formatCode", ""))
                if match:
                    found[form.get("numFmtId", "")] = _mask(match[1])
        elif _local(element.tag) == "cellXfs":
            for number, style in enumerate(element):
                if style.get("numFmtId", "") in found:
                    styles[str(number)] = found[style.get("numFmtId", "")]
    return styles


def _mask(code: str) -> str:
    """What a format shows, `_DIGIT` where a digit stands."""
    parts = (
        _DIGIT if plain == "0" else quoted or escaped or plain
        for quoted, escaped, plain in _MASK_PART.findall(code)
    )
    return "".join(parts)


def masked(digits: str, mask: str) -> str:
    """A whole number as its format shows it: zeros in front, literals between."""
    places = mask.count(_DIGIT)
    digits = digits.zfill(places)
    first = len(digits) - places + 1  # all that are too many stand in the first place
    head, *rest = mask.split(_DIGIT)
    return head + "".join(map("".join, zip((digits[:first], *digits[first:]), rest, strict=True)))


def without_blanks(xml: bytes) -> bytes:
    """The sheet without cells that hold nothing."""
    return _BLANK.sub(b"", xml)


def extent(xml: bytes) -> tuple[int, int]:
    """Rows and columns up to the farthest cell, blank ones too."""
    cells = _CELL.findall(xml)
    rows = max(map(int, {row for _, row in cells}), default=0)
    return rows, max((_index(name.decode()) + 1 for name in {name for name, _ in cells}), default=0)


def is_near(xml: bytes) -> bool:
    """Whether every cell is surely in the first 26 columns and 99,999 rows; False: `extent` has to look."""
    return _is_plain(xml) and _FAR.search(xml) is None


def _is_plain(xml: bytes) -> bool:
    """Whether every cell says where it is, and that first, as nearly every program writes it."""
    return xml.count(b'<c r="') + xml.count(b"<col") == xml.count(b"<c") and b":c" not in xml


def facts(xml: bytes, masks: Mapping[str, str]) -> Facts:
    """Read a sheet's XML once more, when there is a formula, an error or a format with a mask in it."""
    hidden = _hidden(xml)
    computed = (b"<f" in xml or b":f" in xml) and _FORMULA.search(xml)
    wrong = (b't="e"' in xml or b"t='e'" in xml) and _ERROR.search(xml)
    if not masks and not computed and not wrong:
        return Facts(hidden=hidden)
    if not _is_plain(xml) and len(_ANY_CELL.findall(xml)) != len(_CELL.findall(xml)):  # some do not say where
        reader = _Reader(masks)
        reader.read(xml)
        return Facts(frozenset(reader.missing), reader.masks, hidden)
    missing = {_place(attributes) for attributes in _ERROR.findall(xml)} if wrong else set()
    for attributes, value in _COMPUTED.findall(xml):
        if not value and not _TEXT.search(attributes):
            missing.add(_place(attributes))
    shown: dict[tuple[int, int], str] = {}
    for style, mask in masks.items():
        for attributes in _styled(xml, style.encode()):
            if not _NOT_A_NUMBER.search(attributes):
                shown[_place(attributes)] = mask
    return Facts(frozenset(missing), shown, hidden)


def _styled(xml: bytes, style: bytes) -> list[bytes]:
    """Attributes of the cells with one style that hold anything."""
    mark = b' s="' + style + b'"'
    usual: list[bytes] = re.findall(rb'<c( r="[A-Z]{1,3}[0-9]{1,7}"' + mark + rb"[^>]*)>", xml)
    if len(usual) == xml.count(b's="' + style + b'"') and b"s='" not in xml:
        return [attributes for attributes in usual if not attributes.endswith(b"/")]
    found: list[bytes] = re.findall(
        rb"<(?:\w+:)?c\b([^>]*\bs=[\"']" + style + rb"[\"'](?:[^>]*[^/>])?)>", xml
    )
    return found


def _hidden(xml: bytes) -> frozenset[int]:
    if b"hidden" not in xml:
        return frozenset()
    rows = (_ROW_NUMBER.search(attributes) for attributes in _HIDDEN_ROW.findall(xml))
    return frozenset(int(match[1]) for match in rows if match is not None)


def _place(attributes: bytes) -> tuple[int, int]:
    match = _PLACE.search(attributes)
    return (int(match[2]), _index(match[1].decode())) if match else (0, 0)


class _Reader:
    def __init__(self, styles: Mapping[str, str]) -> None:
        self.missing: set[tuple[int, int]] = set()
        self.masks: dict[tuple[int, int], str] = {}
        self._styles = styles
        self._row = self._column = 0
        self._cell: dict[str, str] | None = None
        self._formula = self._inside = False
        self._value = ""

    def read(self, xml: bytes) -> None:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.Parse(xml, True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        if name == "c":
            match = _REFERENCE.fullmatch(attributes.get("r", ""))
            if match:
                self._row, self._column = int(match[2]), _index(match[1])
            else:
                self._column += 1
            self._cell, self._formula, self._value = attributes, False, ""
        elif name == "row":
            number = attributes.get("r", "")
            self._row = int(number) if number.isdigit() else self._row + 1
            self._column = -1
        elif name == "f" and self._cell is not None:
            self._formula = True
        elif name == "v":
            self._inside = True

    def _text(self, text: str) -> None:
        if self._inside:
            self._value += text

    def _end(self, name: str) -> None:
        name = name.rpartition(":")[2]
        if name == "v":
            self._inside = False
        elif name == "c" and self._cell is not None:
            kind, style = self._cell.get("t", "n"), self._cell.get("s", "")
            place = (self._row, self._column)
            if kind == "e" or (self._formula and not self._value and kind != "str"):
                self.missing.add(place)
            elif kind == "n" and style in self._styles:
                self.masks[place] = self._styles[style]
            self._cell = None


def _tree(parts: zipfile.ZipFile, name: str) -> ElementTree.Element:
    return ElementTree.fromstring(parts.read(name))  # noqa: S314 - expat limits the growth of entities


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _index(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1
