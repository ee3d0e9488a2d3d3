"""Read what matches, a page at a time, and let others run between the pages."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from bousai_kit.ledger.backend import Backend
from bousai_kit.ledger.events import Event, Line

__all__ = ["PAGE", "Pages", "R", "T", "pages_of", "read_pages"]

PAGE = 500
WINDOW = 5000

R = TypeVar("R")
T = TypeVar("T", Event, Line)


@dataclass(frozen=True, slots=True)
class Pages:
    """Where to look: spans of ``seq``, streams and kinds; None: all."""

    spans: list[tuple[int, int]]
    streams: list[str] | None
    kinds: list[str] | None


def pages_of(
    backend: Backend,
    after: int,
    stream: str | None,
    prefix: str | None,
    kinds: Collection[str] | None,
) -> Pages:
    """Where events with ``seq > after`` stand now."""
    if stream is not None and prefix and not stream.startswith(prefix):
        return Pages([], None, None)
    streams = [stream] if stream is not None else backend.streams(prefix) if prefix else None
    chosen = None if kinds is None else sorted(set(kinds))
    head, _ = backend.head()
    spans = backend.spans(min(max(0, after), head), head, streams=streams, kinds=chosen)
    return Pages(spans, streams, chosen)


async def read_pages(
    pages: Pages,
    fetch: Callable[..., list[R]],
    make: Callable[[list[R]], list[T]],
    limit: int | None,
    let_others: Callable[[], Awaitable[None]],
) -> list[T]:
    """What is there, at most `limit`.

    Read here and not in a thread: turning rows into events needs the interpreter lock anyway, and two changes
    of thread cost more than a usual read. No cursor stays open over an `await`.
    """
    most = math.inf if limit is None else max(0, limit)
    found: list[T] = []
    for first, last in pages.spans:
        while first <= last and len(found) < most:
            end = min(last, first + WINDOW - 1)
            size = int(min(PAGE, most - len(found)))
            some = make(fetch(first, end, streams=pages.streams, kinds=pages.kinds, limit=size))
            found += some
            first = some[-1].seq + 1 if len(some) == size else end + 1
            await let_others()
    return found
