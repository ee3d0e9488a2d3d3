"""The talk log: the vendor's export of message contents, or an older talk log, in any dialect.

Header names in Japanese or English, old and new; columns in any order, unknown ones ignored; three date
styles; UTF-8 with or without BOM, or cp932; messages with line breaks. A row is kept, or its line is on the
list of rejected ones with a reason: nothing is lost in silence. Where a quote is damaged, the line on which
the record began is rejected and reading goes on with the next line, so that one stray quote costs one line.

A message may hold what looks like a row of a log (somebody pasted one, or two stray quotes met). What the
quotes say counts: the row is kept whole, the lines inside it are no rows of their own, and they are listed.

Source: reference part 2 §6.3, §7.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

from bousai_kit.errors import InputError

__all__ = [
    "Columns",
    "Record",
    "TalkLog",
    "TalkRow",
    "find_columns",
    "login_of",
    "parse_moment",
    "pick_encoding",
    "read_records",
    "read_talk",
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
_LOGIN = re.compile(r"[(（]\s*([^\s()（）@]+@[^\s()（）@]+)\s*[)）]\s*$")
_BARE = re.compile(r"[^\s()（）@,]+@[^\s()（）@,]+")
_BREAK = re.compile(r"\r\n|\n|\r")
_TRAILER = "downloadLogs error"
_WHAT = "LINE WORKS の「トーク内容」（message-contents）の CSV を、取得したまま指定してください。"


@dataclass(frozen=True, slots=True)
class TalkRow:
    """One message of the log.

    Attributes
    ----------
    at : datetime
        Aware UTC; the export's resolution is one second. Without an offset it is Japan's time.
    sender, receiver : str
        The cells as they came.
    sender_login, receiver_login : str
        Login id out of ``表示名 (login@domain)``, lower case; "" for bots, rooms, several people.
    channel_id : str
        "" where the log has no such column.
    line : int
        Line of the file on which the row begins; the header's is 1.
    """

    at: datetime
    sender: str
    sender_login: str
    is_bot: bool
    receiver: str
    receiver_login: str
    channel_id: str
    text: str
    line: int

    def __repr__(self) -> str:
        return f"<TalkRow line={self.line} at={self.at.isoformat()}>"


@dataclass(frozen=True, repr=False)
class TalkLog:
    """What a talk log holds.

    Attributes
    ----------
    rows : tuple of TalkRow
        In the order of the file.
    rejected : tuple of (line, reason)
        Lines that are not rows, or cannot be used, with a Japanese reason.
    encoding : str
    truncated : bool
        The vendor's trailer says that a failure cut the export off.
    """

    rows: tuple[TalkRow, ...]
    rejected: tuple[tuple[int, str], ...]
    encoding: str = "utf-8"
    truncated: bool = False

    def __repr__(self) -> str:
        return f"<TalkLog rows={len(self.rows)} rejected={len(self.rejected)}>"


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns are; -1: not there."""

    at: int
    sender: int
    receiver: int
    channel: int
    text: int
    width: int


class Record(NamedTuple):
    """One record, or one line that is none.

    ``fields`` is None for a line that cannot be used; ``reason`` then says why. So it is with a line inside
    another record's quotes that looks like a row.
    """

    line: int
    fields: list[str] | None
    reason: str
    raw: str


def read_talk(data: bytes) -> TalkLog:
    """Read a talk log.

    Parameters
    ----------
    data : bytes
        A whole export, as it came.

    Raises
    ------
    InputError
        It is no talk log: no header with date, sender and message, or not in a known encoding.
    """
    encoding = pick_encoding(data)
    stream = io.TextIOWrapper(io.BytesIO(data), encoding=encoding, errors="surrogateescape", newline="")
    rows: list[TalkRow] = []
    rejected: list[tuple[int, str]] = []
    truncated = False
    columns, records = read_records(stream)
    for record in records:
        row, reason = _row(record, columns)
        if row is not None:
            rows.append(row)
        else:
            rejected.append((record.line, reason))
            truncated = truncated or record.raw.lstrip(' "').startswith(_TRAILER)
    return TalkLog(tuple(rows), tuple(rejected), encoding, truncated)


def _row(record: Record, columns: Columns) -> tuple[TalkRow | None, str]:
    fields = record.fields
    if fields is None:
        return None, record.reason
    at = parse_moment(fields[columns.at])
    if at is None:
        return None, "日時を読み取れません"
    sender = fields[columns.sender]
    receiver = fields[columns.receiver] if columns.receiver >= 0 else ""
    row = TalkRow(
        at=at,
        sender=sender,
        sender_login=login_of(sender),
        is_bot=_is_bot(sender),
        receiver=receiver,
        receiver_login=login_of(receiver),
        channel_id=fields[columns.channel].strip() if columns.channel >= 0 else "",
        text=fields[columns.text],
        line=record.line,
    )
    return row, ""


# -- cells ----------------------------------------------------------------------------------------------


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


def login_of(cell: str) -> str:
    """The login id of a person's cell, lower case; "" for a bot, a room, or more than one person."""
    if _is_bot(cell):
        return ""
    match = _LOGIN.search(cell)
    if match is not None:
        several = len(re.findall(r"[(（][^()（）@\s]+@[^()（）@\s]+[)）]\s*[,、;]", cell))
        return "" if several else match.group(1).lower()
    bare = cell.strip()
    return bare.lower() if _BARE.fullmatch(bare) else ""


def _is_bot(cell: str) -> bool:
    return cell.lstrip().casefold().startswith("[bot]")


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
        Records of the right width, and every line that is none; blank lines are nothing.

    Raises
    ------
    InputError
        The header is not that of a talk log.
    """
    raw = _split(lines)
    for head in raw:
        if head.fields is None:
            break
        if any(cell.strip() for cell in head.fields):
            columns = find_columns(head.fields)
            return columns, _checked(raw, columns)
    raise InputError(
        "トークログとして読めません（見出しの行がありません）。",
        hint=_WHAT,
    )


def _split(lines: Iterable[str]) -> Iterator[Record]:
    """Cut lines into records; lines in the wake of a damaged quote are tried again one by one."""
    feed = _Feed(lines)
    reader = csv.reader(feed, strict=True)
    number = 1  # of the line on which the next record begins
    while True:
        feed.taken.clear()
        try:
            fields: list[str] | None = next(reader)
        except StopIteration:
            return
        except csv.Error:
            fields = None
        taken = feed.taken
        if fields is not None and len(taken) > 1 and max(map(len, fields), default=0) > MAX_CELL:
            fields = None
        if fields is None:
            first = taken[0]
            feed.give_back(taken[1:])
            reader = csv.reader(feed, strict=True)
            yield Record(number, None, '引用符（"）の対応が崩れています', first)
            number += 1
            continue
        yield Record(number, fields, "", "".join(taken))
        number += len(taken)


def _checked(records: Iterator[Record], columns: Columns) -> Iterator[Record]:
    for record in records:
        line, fields, reason, raw = record
        if fields is not None and not any(fields):
            continue
        if raw.lstrip(' "').startswith(_TRAILER) and (fields is None or len(fields) < columns.width):
            reason = "ログの取得が途中で切れています（downloadLogs error）"
        elif fields is None:
            pass
        elif len(fields) != columns.width:
            reason = f"列の数が見出しと違います（{len(fields)} 列）"
        elif "\0" in raw or _undecoded(raw):
            reason = "文字コードの壊れた文字があります"
        if reason:
            yield Record(line, None, reason, raw)
            continue
        yield record
        if any(_BREAK.search(cell) for cell in record.fields or ()):
            yield from _swallowed(line, raw, columns)


def _undecoded(raw: str) -> bool:
    return not raw.isascii() and any("\udc80" <= letter <= "\udcff" for letter in raw)


def _swallowed(line: int, raw: str, columns: Columns) -> Iterator[Record]:
    """Lines inside a record that look like rows themselves."""
    for place, inner in enumerate(_BREAK.split(raw)[1:], 1):
        cells = inner.split(",")
        if len(cells) >= columns.width and parse_moment(cells[columns.at].strip('" ')) is not None:
            yield Record(line + place, None, "前の行の引用符の中にあります（行としては数えません）", inner)
