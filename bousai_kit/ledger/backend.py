"""What a database has to offer to hold a ledger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

from bousai_kit.errors import LedgerCorrupt
from bousai_kit.ledger.chain import Verification
from bousai_kit.ledger.events import Draft, Event, moment

__all__ = ["Backend", "Row", "event"]

Row = tuple[int, int, str, str, str, str, str | None, str, str, str]
"""seq, recorded_at, stream, kind, subject, body, once, prev_hash, hash, salt."""


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
        raise LedgerCorrupt(f"台帳の seq {row[0]} の記録が壊れています。") from None
