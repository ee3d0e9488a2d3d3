"""What a database has to offer to hold a ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bousai_kit.errors import LedgerCorrupt
from bousai_kit.ledger.chain import Verification
from bousai_kit.ledger.events import Draft, Event, Line, moment

__all__ = ["Backend", "Row", "Words", "event", "events", "lines"]

Row = tuple[int, int, str, str, str, str, str | None, str, str, str]
"""seq, recorded_at, stream, kind, subject, body, once, prev_hash, hash, salt."""

Words = tuple[int, int, str, str, str]
"""seq, recorded_at, kind, subject, body."""


class Backend(Protocol):
    """What a database has to offer; `SqliteBackend` documents it.

    `write` is called in the writer's thread or, while that rests, in the loop's; the others in the loop's
    (`verify` in any).
    """

    def write(
        self, requests: Sequence[Sequence[Draft]], *, wait: bool = True
    ) -> list[list[Event | None]] | None: ...

    def head(self) -> tuple[int, str]: ...

    def streams(self, prefix: str) -> list[str]: ...

    def spans(
        self, after: int, upto: int, *, streams: Sequence[str] | None, kinds: Sequence[str] | None
    ) -> list[tuple[int, int]]: ...

    def page(
        self,
        first: int,
        last: int,
        *,
        streams: Sequence[str] | None,
        kinds: Sequence[str] | None,
        subject: str | None,
        limit: int,
    ) -> list[Row]: ...

    def words(
        self,
        first: int,
        last: int,
        *,
        streams: Sequence[str] | None,
        kinds: Sequence[str] | None,
        limit: int,
    ) -> list[Words]: ...

    def verify(self, expected_head: tuple[int, str] | str | None) -> Verification: ...

    def close(self) -> None: ...


def event(row: Row) -> Event:
    """A row as an event.

    Raises
    ------
    LedgerCorrupt
        The row does not hold what was written.
    """
    try:
        return Event(row[0], moment(row[1]), row[2], row[3], row[4], json.loads(row[5]), *row[6:10])
    except (TypeError, ValueError, OverflowError):
        raise _corrupt(row[0]) from None


def events(rows: Sequence[Row]) -> list[Event]:
    """Rows as events."""
    return [event(row) for row in rows]


def lines(rows: Sequence[Words]) -> list[Line]:
    """Rows as lines; events of a kind often say the same, one after the other, and are read once then.

    Raises
    ------
    LedgerCorrupt
        A row does not hold what was written.
    """
    found: list[Line] = []
    last: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for seq, at, kind, subject, text in rows:
        known = last.get(kind)
        if known is not None and known[0] == text:
            body = known[1]
        else:
            try:
                body = _decode(text)
            except (TypeError, ValueError):
                raise _corrupt(seq) from None
            last[kind] = (text, body)
        if type(at) is not int or type(body) is not dict:
            raise _corrupt(seq)
        found.append(Line(seq, at, kind, subject, body))
    return found


_decode = json.JSONDecoder().decode


def _corrupt(seq: int) -> LedgerCorrupt:
    return LedgerCorrupt(f"台帳の seq {seq} の記録が壊れています。")
