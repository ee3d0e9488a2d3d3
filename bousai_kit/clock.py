"""One clock for all: the wall at a chosen speed, or a virtual one that jumps when everything waits.

Everything that reads the time or sleeps takes a `Clock`; no default argument reads one.

`VirtualClock` jumps to the next due time when the event loop has nothing ready to run and nobody holds
the clock. Who works outside the loop (a thread, a real socket) holds it: ``with clock.hold(): ...``.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

__all__ = ["Clock", "SystemClock", "VirtualClock", "in_thread", "parse_time_scale"]

T = TypeVar("T")


class Clock(Protocol):
    """What the kit knows of time.

    Attributes
    ----------
    speed : float
        Seconds of this clock in one second of the wall; ``inf`` for a virtual one.
    """

    speed: float

    def now(self) -> datetime:
        """Aware UTC."""

    def monotonic(self) -> float:
        """Seconds of this clock from an arbitrary origin; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds of this clock (0 or less: let others run once)."""

    def hold(self) -> AbstractContextManager[None]:
        """While entered, a virtual clock does not jump: work goes on outside the event loop."""


class SystemClock:
    """T0 + X·(wall − T0).

    Parameters
    ----------
    speed : float
        X, greater than 0.
    origin : datetime, optional
        T0, aware. Without it the reading starts at the wall's.
    reading : datetime, optional
        What the clock reads at `origin` (default: `origin`): goes on from a stored reading.
    """

    def __init__(
        self, *, speed: float = 1.0, origin: datetime | None = None, reading: datetime | None = None
    ) -> None:
        if not speed > 0:
            raise ValueError("speed must be greater than 0")
        self.speed = speed
        self._origin = origin if origin is not None else datetime.now(UTC)
        self._reading = reading if reading is not None else self._origin

    def now(self) -> datetime:
        if self.speed == 1.0 and self._reading == self._origin:
            return datetime.now(UTC)
        return (self._reading + (datetime.now(UTC) - self._origin) * self.speed).astimezone(UTC)

    def monotonic(self) -> float:
        return time.monotonic() * self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self.speed)

    def hold(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()


class VirtualClock:
    """Time that nobody waits for: jumps to the next sleeper when everything waits.

    Parameters
    ----------
    start : datetime
        Aware; the first reading.

    Notes
    -----
    Sleepers wake one due time at a time, equal due times in the order in which they began to wait, so
    equal programs give equal readings. As trio's ``MockClock`` with autojump; asyncio has no idle hook,
    so the loop's ready queue is looked at (CPython's ``BaseEventLoop`` keeps it in ``_ready``).
    """

    speed = float("inf")

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("start must be aware")
        self._now = start.astimezone(UTC)
        self._elapsed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._holds = 0
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watching = False

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Move on by hand (tests; a laptop that slept)."""
        self._to(self._now + timedelta(seconds=seconds))
        self._wake()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # a new loop after the old one closed: nobody waits on the old any more
            self._loop, self._watching, self._sleepers = loop, False, []
        future: asyncio.Future[None] = loop.create_future()
        heapq.heappush(
            self._sleepers, (self._now + timedelta(seconds=seconds), next(self._order), future)
        )
        self._watch()
        await future

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        with self._lock:
            self._holds += 1
        try:
            yield
        finally:
            with self._lock:
                self._holds -= 1
            loop = self._loop
            if loop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(self._watch)

    def _to(self, moment: datetime) -> None:
        if moment > self._now:
            self._elapsed += (moment - self._now).total_seconds()
            self._now = moment

    def _watch(self) -> None:
        if not self._watching and self._loop is not None and self._sleepers:
            self._watching = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._watching = False
        loop = self._loop
        if loop is None or self._holds > 0:
            return  # the end of the hold looks again
        if getattr(loop, "_ready", ()):  # others can still run at this moment
            self._watch()
            return
        while self._sleepers and self._sleepers[0][2].done():  # cancelled while they waited
            heapq.heappop(self._sleepers)
        if self._sleepers:
            self._to(self._sleepers[0][0])
            self._wake()
            self._watch()

    def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._now:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)


async def in_thread(clock: Clock, call: Callable[[], T]) -> T:
    """Run a blocking call in a thread while the clock is held."""
    with clock.hold():
        return await asyncio.to_thread(call)


def parse_time_scale(text: str) -> SystemClock:
    """Read ``BOUSAI_TIME_SCALE``: ``1``, or ``X@T0`` with T0 in ISO 8601.

    Raises
    ------
    ValueError
        The text is neither.
    """
    speed, at, origin = text.strip().partition("@")
    if not at:
        if float(speed) != 1.0:
            raise ValueError("a speed other than 1 needs its origin: X@T0")
        return SystemClock()
    moment = datetime.fromisoformat(origin)
    if moment.tzinfo is None:
        raise ValueError("T0 needs an offset")
    return SystemClock(speed=float(speed), origin=moment)
