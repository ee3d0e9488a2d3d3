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

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bousai_kit.logs.records import TRAILER, Columns, pick_encoding, read_records

__all__ = ["TalkLog", "TalkRow", "login_of", "read_talk"]

_LOGIN = re.compile(r"[(（]\s*([^\s()（）@]+@[^\s()（）@]+)\s*[)）]\s*$")
_BARE = re.compile(r"[^\s()（）@,]+@[^\s()（）@,]+")


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
        if record.fields is None or record.at is None:
            rejected.append((record.line, record.reason))
            truncated = truncated or record.raw.lstrip(' "').startswith(TRAILER)
        else:
            rows.append(_row(record.line, record.at, record.fields, columns))
    return TalkLog(tuple(rows), tuple(rejected), encoding, truncated)


def _row(line: int, at: datetime, fields: Sequence[str], columns: Columns) -> TalkRow:
    sender = fields[columns.sender]
    receiver = fields[columns.receiver] if columns.receiver >= 0 else ""
    return TalkRow(
        at=at,
        sender=sender,
        sender_login=login_of(sender),
        is_bot=_is_bot(sender),
        receiver=receiver,
        receiver_login=login_of(receiver),
        channel_id=fields[columns.channel].strip() if columns.channel >= 0 else "",
        text=fields[columns.text],
        line=line,
    )


# -- cells ----------------------------------------------------------------------------------------------


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
