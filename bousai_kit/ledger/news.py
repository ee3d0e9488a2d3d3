"""How followers learn that there is something new."""

from __future__ import annotations

import asyncio
import math

from bousai_kit.clock import Clock

__all__ = ["News"]


class News:
    """Counts own commits and wakes who waits for the next.

    Attributes
    ----------
    count : int
        Commits of this ledger so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._waiters: set[asyncio.Future[None]] = set()

    def tell(self) -> None:
        """There is something new."""
        self.count += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, seen: int, *, clock: Clock, poll_s: float) -> None:
        """Wait until `count` differs from `seen`, or (but for a virtual clock) `poll_s` seconds."""
        if self.count != seen:
            return
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(news)
        try:
            if math.isinf(clock.speed):
                await news
                return
            sleeper = asyncio.ensure_future(clock.sleep(poll_s))
            try:
                await asyncio.wait({news, sleeper}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleeper.cancel()
        finally:
            self._waiters.discard(news)
