"""Change cells and rows of a table file and nothing else: every other byte that matters stays as it came.

A CSV keeps each line that was not edited, byte for byte; an XLSX keeps its other sheets, formats, widths and
formulas (`sheet_patch`). What was written is read again and compared before anybody gets it.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from bousai_kit.errors import InputError, Issue
from bousai_kit.tables.delimited import HARMFUL
from bousai_kit.tables.model import Recognise, Table
from bousai_kit.tables.reading import table_of

__all__ = ["Changes", "encoding_title", "patched"]

_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_ANNOUNCED = re.compile(rb"sep=.[\r\n]+", re.IGNORECASE)
_HARMFUL = re.compile(f"'*[{HARMFUL}]")
_UNSAFE = re.compile(r'["\r\n]|^\s|\s$')
_NOT_CP932 = re.compile("[\x80-\xa0\uf8f0-\uf8f3]")  # Python writes them, and nobody can read them again
_TITLES = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8（BOM 付き）", "cp932": "Shift_JIS", "xlsx": "Excel"}
_CODECS = {"utf-8": "utf-8", "utf-8-sig": "utf-8", "cp932": "cp932"}


@dataclass(frozen=True, slots=True, repr=False)
class Changes:
    """What to change.

    Attributes
    ----------
    cells : mapping of (int, int) to str
        Row number (of the table's ``row_numbers``) and column index (from 0) to the new text.
    removed : collection of int
        Row numbers. In an XLSX their cells become blank, so that no other row changes its number.
    added : sequence of sequences of str
        Rows to stand behind the last one.
    """

    cells: Mapping[tuple[int, int], str] = field(default_factory=dict)
    removed: Collection[int] = frozenset()
    added: Sequence[Sequence[str]] = ()

    def __bool__(self) -> bool:
        return bool(self.cells or self.removed or self.added)


def encoding_title(encoding: str) -> str:
    """How a person calls an encoding of `Table`."""
    return _TITLES.get(encoding, encoding)


def patched(
    data: bytes,
    table: Table,
    changes: Changes,
    *,
    encoding: str = "",
    what: str = "ファイル",
    recognise: Recognise | None = None,
) -> bytes:
    """The file's bytes with the changes in them.

    Parameters
    ----------
    data : bytes
        The file that `table` was read from.
    encoding : str
        Of the new file, for a CSV (``utf-8``, ``utf-8-sig``, ``cp932``); default: as it came.
    recognise : callable, optional
        As it was read with; what was written is read so again.

    Raises
    ------
    InputError
        A character that the encoding lacks (``issues`` names each cell), or a file in which this cannot be
        done faithfully.
    """
    if table.encoding == "xlsx":
        from bousai_kit.tables.sheet_patch import patched_sheet

        made = patched_sheet(data, table, changes, what=what)
    else:
        made = _csv(data, table, changes, encoding or table.encoding, what)
    _prove(made, table, changes, what, recognise)
    return made


def expected_rows(table: Table, changes: Changes) -> list[tuple[str, ...]]:
    """The rows that the changed file holds, blank ones left out, blanks at the end of a row too."""
    by_row: dict[int, dict[int, str]] = {}
    for (number, place), text in changes.cells.items():
        by_row.setdefault(number, {})[place] = text
    rows: list[tuple[str, ...]] = []
    for number, cells in zip(table.row_numbers, table.rows, strict=True):
        if number in changes.removed:
            continue
        edits = by_row.get(number)
        if edits:
            cells = tuple(_with(cells, edits))
        rows.append(cells)
    rows += [tuple(row) for row in changes.added]
    return [short for row in rows if (short := _short(row))]


def _with(cells: Sequence[str], edits: Mapping[int, str]) -> list[str]:
    made = [*cells, *[""] * (max(edits) + 1 - len(cells))]
    for place, text in edits.items():
        made[place] = text
    return made


def _short(row: Sequence[str]) -> tuple[str, ...]:
    end = len(row)
    while end and not row[end - 1].strip():
        end -= 1
    return tuple(row[:end])


def _prove(made: bytes, table: Table, changes: Changes, what: str, recognise: Recognise | None) -> None:
    wanted = expected_rows(table, changes)
    try:
        again = table_of(made, what=what, recognise=recognise)
        found = [_short(row) for row in again.rows]
        same = again.header == table.header
    except InputError:
        found, same = [], not wanted
    if not same or [row for row in found if row] != wanted:
        raise InputError(
            f"{what}を元の形のままでは正しく書き戻せません（書いたものを読み直すと、内容が変わります）。",
            hint="文字コードを UTF-8 にして保存するか、Excel で開いて CSV UTF-8 で保存し直してください。",
        )


# -- CSV ----------------------------------------------------------------------------------------------


def _csv(data: bytes, table: Table, changes: Changes, encoding: str, what: str) -> bytes:
    body = data[3:] if table.encoding == "utf-8-sig" else data
    source, target = _CODECS[table.encoding], _CODECS[encoding]
    lines = _LINE.findall(body)
    out: list[bytes] = [b"\xef\xbb\xbf"] if encoding == "utf-8-sig" else []
    kept = (lambda raw: raw) if source == target else (lambda raw: _encoded(raw.decode(source), target))
    if lines and _ANNOUNCED.fullmatch(lines[0]):
        out.append(kept(lines.pop(0)))
    by_row: dict[int, dict[int, str]] = {}
    for (number, place), text in changes.cells.items():
        by_row.setdefault(number, {})[place] = text
    issues: list[Issue] = []
    reader = csv.reader((line.decode(source) for line in lines), delimiter=table.delimiter, strict=True)
    before = 0
    end = Counter(line[len(line.rstrip(b"\r\n")) :] for line in lines if line.endswith((b"\r", b"\n")))
    line_end = end.most_common(1)[0][0] if end else b"\r\n"
    for number, record in enumerate(reader, 1):
        raw, before = b"".join(lines[before : reader.line_num]), reader.line_num
        if number in changes.removed:
            continue
        edits = by_row.get(number)
        try:
            if edits is None:
                out.append(kept(raw))
                continue
            last = raw[len(raw.rstrip(b"\r\n")) :]
            everything = raw.startswith(b'"') and raw.count(b'"') >= 2 * len(record) > 2
            fields = _with(record, {place: _marked(text) for place, text in edits.items()})
            line = _line(fields, table.delimiter, everything)
            out.append(_encoded(line, target) + last)
        except UnicodeEncodeError:
            cells = enumerate(record) if edits is None else edits.items()
            issues += _lacking(number, cells, table, target)
    if changes.added and out and not out[-1].endswith((b"\r", b"\n", b"\xef\xbb\xbf")):
        out.append(line_end)
    for number, row in enumerate(changes.added, max(table.row_numbers, default=table.header_row) + 1):
        try:
            line = _line([_marked(text) for text in row], table.delimiter, False)
            out.append(_encoded(line, target) + line_end)
        except UnicodeEncodeError:
            issues += _lacking(number, enumerate(row), table, target)
    if issues:
        raise _unwritable(issues, encoding, what)
    return b"".join(out)


def _marked(text: str) -> str:
    return "'" + text if _HARMFUL.match(text) else text


def _line(fields: Sequence[str], delimiter: str, everything: bool) -> str:
    quoted = (
        '"' + text.replace('"', '""') + '"'
        if everything or delimiter in text or _UNSAFE.search(text)
        else text
        for text in fields
    )
    return delimiter.join(quoted) or '""'


def _encoded(text: str, codec: str) -> bytes:
    if codec == "cp932" and (odd := _NOT_CP932.search(text)):
        raise UnicodeEncodeError(codec, text, odd.start(), odd.end(), "not in Windows-31J")
    return text.encode(codec)


def _lacking(
    number: int, cells: Collection[tuple[int, str]] | enumerate[str], table: Table, codec: str
) -> list[Issue]:
    issues = []
    for place, text in cells:
        lost = [letter for letter in dict.fromkeys(text) if not _has(codec, letter)]
        if lost:
            title = table.header[place] if place < len(table.header) else ""
            shown = "".join(f"「{_shown(letter)}」" for letter in lost[:5])
            issues.append(Issue(number, title, "error", f"{shown}は Shift_JIS で表せません。"))
    return issues


def _has(codec: str, letter: str) -> bool:
    try:
        return bool(_encoded(letter, codec))
    except UnicodeEncodeError:
        return False


def _shown(letter: str) -> str:
    return letter if letter.isprintable() and not letter.isspace() else f"U+{ord(letter):04X}"


def _unwritable(issues: Sequence[Issue], encoding: str, what: str) -> InputError:
    first = issues[0]
    more = f"ほか {len(issues) - 1:,} か所。" if len(issues) > 1 else ""
    error = InputError(
        f"{what}の {first.row} 行目「{first.column}」の{first.problem}{more}"
        f"元のファイルの文字コード（{encoding_title(encoding)}）にない文字です。",
        hint="「UTF-8 で保存」を選ぶと、この文字のまま保存できます。",
    )
    error.issues = tuple(issues)
    return error
