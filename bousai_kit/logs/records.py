"""Records of a talk log: columns by name, encodings told apart, damage kept to the lines that it hit.

A record is taken as its quotes say. Where the quotes are damaged, or the record cannot be used, the line on
which it began is rejected and reading goes on with the very next one: a stray quote costs one line.

Source: reference part 2 §6.3, §7.
"""

from __future__ import annotations

import codecs
import csv
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from bousai_kit.errors import InputError

__all__ = [
    "MAX_CELL",
    "TRAILER",
    "Columns",
    "Layout",
    "Record",
    "find_columns",
    "parse_moment",
    "pick_encoding",
    "read_records",
    "read_rows",
]

JST = timezone(timedelta(hours=9), "JST")
MAX_CELL = 20_000  # characters; no message is so long, a quote that never closes is


_NAMES = {
    "at": ("日時", "送信日時", "date", "datetime", "date/time", "time"),
    "sender": ("送信者", "sender", "from"),
    "receiver": ("受信者", "receiver", "recipient", "to"),
    "channel": ("チャンネルid", "トークルームid", "ルームid", "channelid", "roomid", "talkroomid", "channel"),
    "text": ("トーク", "メッセージ", "メッセージ内容", "トーク内容", "内容", "message", "talk", "text"),
}
_DATE = re.compile(
    r"([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})(?:[T ]| +)([0-9]{1,2}):([0-9]{2})"
    r"(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)? ?(Z|[+-][0-9]{2}:?[0-9]{2})?",
    re.IGNORECASE,
)
_DATED = re.compile(r"[ \"]*[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}[T ]")  # perhaps no date, but meant as one
_BREAK = re.compile(r"\r\n|\n|\r")
TRAILER = "downloadLogs error"
_WHAT = "LINE WORKS の「トーク内容」（message-contents）の CSV を、取得したまま指定してください。"


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns are; -1: not there."""

    at: int
    sender: int
    receiver: int
    channel: int
    text: int
    width: int


class Layout(Protocol):
    """What reading needs to know of any export's columns."""

    @property
    def at(self) -> int:
        """Where the date is."""

    @property
    def width(self) -> int:
        """How many columns there are."""


L = TypeVar("L", bound=Layout)


class Record(NamedTuple):
    """One record, or one line that is none.

    ``fields`` is None for a line that cannot be used; ``reason`` then says why. So it is with a line inside
    another record's quotes that looks like a row.
    """

    line: int
    fields: list[str] | None
    at: datetime | None
    reason: str
    raw: str


def parse_moment(cell: str) -> datetime | None:
    """A date cell as aware UTC; None: it is none.

    ``2027-01-17 09:15:42``, ``2027/1/17 9:15`` and ISO 8601 are read; without an offset it is Japan's time.
    """
    match = _DATE.fullmatch(cell.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    zone: timezone = JST
    try:
        if offset:
            zone = UTC
            if offset not in ("Z", "z"):
                away = timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:]))
                zone = timezone(-away if offset[0] == "-" else away)
        micro = int((fraction or "").ljust(6, "0")[:6])
        at = datetime(
            int(year), int(month), int(day), int(hour), int(minute), int(second or 0), micro, tzinfo=zone
        )
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


# -- header ---------------------------------------------------------------------------------------------


def find_columns(header: Sequence[str]) -> Columns:
    """Find the columns by name.

    Raises
    ------
    InputError
        Date, sender or message is missing, or stands there twice.
    """
    names = [
        re.sub(r"[\s_\-]", "", unicodedata.normalize("NFKC", cell).removeprefix("\ufeff")).casefold()
        for cell in header
    ]
    found = {}
    for field, spellings in _NAMES.items():
        places = [place for place, name in enumerate(names) if name in spellings]
        if len(places) > 1:
            raise InputError(
                f"トークログの見出しに「{header[places[0]].strip()}」にあたる列が 2 つあります。"
            )
        found[field] = places[0] if places else -1
    missing = [
        japanese
        for field, japanese in (("at", "日時"), ("sender", "送信者"), ("text", "トーク"))
        if found[field] < 0
    ]
    if missing:
        raise InputError(
            f"トークログとして読めません（列「{'」「'.join(missing)}」がありません）。",
            hint=_WHAT,
        )
    return Columns(**found, width=len(names))


# -- bytes to records -----------------------------------------------------------------------------------


def pick_encoding(data: bytes) -> str:
    """Tell UTF-8 and cp932 apart by strict decoding.

    A file that is cut off in the middle of a character, or has a few damaged bytes, is what most of it is:
    its damaged lines are rejected later, one by one.

    Returns
    -------
    {"utf-8-sig", "utf-8", "cp932"}

    Raises
    ------
    InputError
        UTF-16, or neither.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(
            "トークログの文字コードが UTF-16 です。",
            hint="取得したままの CSV か、UTF-8（BOM 付き）で保存し直したファイルを指定してください。",
        )
    if data.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    best, fewest = "", None
    for encoding in ("utf-8", "cp932"):
        try:
            data.decode(encoding)
            return encoding
        except UnicodeDecodeError:
            bad = data.decode(encoding, "replace").count("\ufffd")
            if fewest is None or bad < fewest:
                best, fewest = encoding, bad
    return best


class _Feed:
    """Lines for a csv reader, which can be taken back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._back: deque[str] = deque()
        self.taken: list[str] = []  # since the record began

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._lines)
        self.taken.append(line)
        return line

    def give_back(self, lines: Sequence[str]) -> None:
        self._back.extendleft(reversed(lines))


def read_records(lines: Iterable[str]) -> tuple[Columns, Iterator[Record]]:
    """Read header and records of a talk log.

    Parameters
    ----------
    lines : iterable of str
        With their line ends (``newline=""``); bytes that could not be decoded as lone surrogates.

    Returns
    -------
    columns : Columns
    records : iterator of Record
        Records that can be used, and every line that is none; blank lines are nothing.

    Raises
    ------
    InputError
        The header is not that of a talk log.
    """
    return read_rows(lines, find_columns)


def read_rows(
    lines: Iterable[str], find: Callable[[Sequence[str]], L], *, what: str = "トークログ", hint: str = _WHAT
) -> tuple[L, Iterator[Record]]:
    """The same of any export with a date in each row, whose columns `find` finds by name.

    Raises
    ------
    InputError
        There is no header, or `find` refuses it.
    """
    feed = _Feed(lines)
    for head in _split(feed, 1, lambda fields, _: (None, "")):
        if head.fields is None:
            break
        if any(cell.strip() for cell in head.fields):
            columns = find(head.fields)
            judge = partial(_judge, columns)
            return columns, _listed(_split(feed, head.line + len(feed.taken), judge), columns)
    raise InputError(f"{what}として読めません（見出しの行がありません）。", hint=hint)


Judge = Callable[[list[str], str], tuple[datetime | None, str]]


def _split(feed: _Feed, number: int, judge: Judge) -> Iterator[Record]:
    """Cut lines into records; those of a record that cannot be used are tried again one by one.

    Parameters
    ----------
    number : int
        Of the line on which the next record begins.
    judge : callable
        The record's moment, or why it cannot be used.
    """
    reader = csv.reader(feed, strict=True)
    while True:
        feed.taken.clear()
        at, reason = None, '引用符（"）の対応が崩れています'
        try:
            fields: list[str] | None = next(reader)
        except StopIteration:
            return
        except csv.Error:
            fields = None
        taken = feed.taken
        if fields is not None and not (len(taken) > 1 and max(map(len, fields), default=0) > MAX_CELL):
            raw = taken[0] if len(taken) == 1 else "".join(taken)
            at, reason = judge(fields, raw)
            if not reason:
                yield Record(number, fields, at, "", raw)
                number += len(taken)
                continue
        first = taken[0]
        if first.lstrip(' "').startswith(TRAILER):
            reason = "ログの取得が途中で切れています（downloadLogs error）"
        if len(taken) > 1:
            feed.give_back(taken[1:])
            reader = csv.reader(feed, strict=True)
        elif fields is None:
            reader = csv.reader(feed, strict=True)
        yield Record(number, None, None, reason, first)
        number += 1


def _judge(columns: Layout, fields: list[str], raw: str) -> tuple[datetime | None, str]:
    if not any(fields):
        return None, ""
    if len(fields) != columns.width:
        return None, f"列の数が見出しと違います（{len(fields)} 列）"
    if "\0" in raw or _undecoded(raw):
        return None, "文字コードの壊れた文字があります"
    at = parse_moment(fields[columns.at])
    return at, "" if at is not None else "日時を読み取れません"


def _listed(records: Iterator[Record], columns: Layout) -> Iterator[Record]:
    """Blank lines left out; lines inside a record that look like rows themselves put on the list."""
    for record in records:
        if record.fields is None:
            yield record
        elif record.at is not None:
            yield record
            if any(_BREAK.search(cell) for cell in record.fields):
                yield from _swallowed(record, columns)


def _undecoded(raw: str) -> bool:
    return not raw.isascii() and any("\udc80" <= letter <= "\udcff" for letter in raw)


def _swallowed(record: Record, columns: Layout) -> Iterator[Record]:
    for place, inner in enumerate(_BREAK.split(record.raw)[1:], 1):
        cells = inner.split(",")
        if len(cells) > columns.at and _DATED.match(cells[columns.at]):
            reason = "前の行の引用符の中にあります（行としては数えません）"
            yield Record(record.line + place, None, None, reason, inner)
