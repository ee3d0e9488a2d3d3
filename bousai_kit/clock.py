"""One clock for all: the wall at a chosen speed, or a virtual one that jumps when everything waits.

Everything that reads the time or sleeps takes a `Clock`; no default argument reads one.

`VirtualClock` jumps to the next due time when the event loop has nothing ready to run and nobody holds
the clock. Who works outside the loop (a thread, a real socket) holds it: ``with clock.hold(): ...``.
What would happen anyway (the sandbox's events) sleeps in the background: it wakes on the way, but an idle
notebook stays at its moment.
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

    async def sleep_in_background(self, seconds: float) -> None:
        """Wait for what would happen anyway: a virtual clock does not go on for this sleeper alone."""

    def hold(self) -> AbstractContextManager[None]:
        """While entered, a virtual clock does not jump: work goes on outside the event loop."""


class SystemClock:
    """T0 + X·(wall − T0).

    Parameters
    ----------
    speed : float
        X, finite and greater than 0.
    origin : datetime, optional
        T0, aware. Without it the reading starts at the wall's.
    reading : datetime, optional
        What the clock reads at `origin` (default: `origin`): goes on from a stored reading.

    Raises
    ------
    ValueError
        A speed that is none, or a naive time.
    """

    def __init__(
        self, *, speed: float = 1.0, origin: datetime | None = None, reading: datetime | None = None
    ) -> None:
        if not 0 < speed < float("inf"):
            raise ValueError("speed must be finite and greater than 0")
        if any(moment is not None and moment.tzinfo is None for moment in (origin, reading)):
            raise ValueError("origin and reading must be aware")
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

    async def sleep_in_background(self, seconds: float) -> None:
        await self.sleep(seconds)

    def hold(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()


class _Sleepers:
    """Who waits for a virtual clock in one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        if not hasattr(loop, "_ready"):
            raise RuntimeError("a virtual clock needs asyncio's own event loop")
        self.loop = loop
        self.heap: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self.driving = 0  # how many of them make the clock go on
        self.cancelled = 0  # entries of the heap that nobody waits for any more
        self.watching = False

    def others_ready(self) -> bool:
        """Something but a clock's own look can still run at this moment."""
        for handle in self.loop._ready:
            if getattr(handle._callback, "__func__", None) is not VirtualClock._look:
                return True
        return False

    def drop_cancelled(self) -> None:
        if self.cancelled > 64 and self.cancelled * 2 > len(self.heap):
            self.heap = [entry for entry in self.heap if not entry[2].done()]
            heapq.heapify(self.heap)
            self.cancelled = 0


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

    Used in one event loop at a time. When another loop begins to sleep, whoever still waits in the
    earlier one is forgotten.
    """

    speed = float("inf")

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("start must be aware")
        self._start = self._now = start.astimezone(UTC)
        self._order = itertools.count()
        self._holds = 0
        self._lock = threading.Lock()
        self._sleepers: _Sleepers | None = None

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start).total_seconds()

    def advance(self, seconds: float) -> None:
        """Move on by hand (tests; a laptop that slept)."""
        self._to(self._now + timedelta(seconds=seconds))
        sleepers = self._sleepers
        if sleepers is not None and not sleepers.loop.is_closed():
            self._wake(sleepers)

    async def sleep(self, seconds: float) -> None:
        await self._wait(seconds, drives=True)

    async def sleep_in_background(self, seconds: float) -> None:
        await self._wait(seconds, drives=False)

    async def _wait(self, seconds: float, *, drives: bool) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        sleepers = self._sleepers
        if sleepers is None or sleepers.loop is not loop:
            sleepers = self._sleepers = _Sleepers(loop)
        future: asyncio.Future[None] = loop.create_future()
        try:
            due = self._now + timedelta(seconds=seconds)
        except OverflowError:  # later than any time that can be written: never
            await future
            return
        heapq.heappush(sleepers.heap, (due, next(self._order), future))
        sleepers.driving += drives
        self._watch(sleepers)
        try:
            await future
        except asyncio.CancelledError:
            sleepers.cancelled += 1
            sleepers.drop_cancelled()
            raise
        finally:
            sleepers.driving -= drives

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        with self._lock:
            self._holds += 1
        try:
            yield
        finally:
            with self._lock:
                self._holds -= 1
            self._look_again()

    def _look_again(self) -> None:
        """After a hold, from whatever thread."""
        sleepers = self._sleepers
        if sleepers is None or sleepers.loop.is_closed():
            return
        try:
            here = asyncio.get_running_loop() is sleepers.loop
        except RuntimeError:
            here = False
        if here:
            self._watch(sleepers)
        else:
            with contextlib.suppress(RuntimeError):  # the loop closed just now: nobody waits in it
                sleepers.loop.call_soon_threadsafe(self._watch, sleepers)

    def _to(self, moment: datetime) -> None:
        self._now = max(self._now, moment)

    def _watch(self, sleepers: _Sleepers) -> None:
        if not sleepers.watching and sleepers.heap:
            sleepers.watching = True
            sleepers.loop.call_soon(self._look, sleepers)

    def _look(self, sleepers: _Sleepers) -> None:
        sleepers.watching = False
        if self._holds > 0 or sleepers is not self._sleepers:
            return  # the end of the hold looks again
        if sleepers.others_ready():
            self._watch(sleepers)
            return
        while sleepers.heap and sleepers.heap[0][2].done():
            heapq.heappop(sleepers.heap)
            sleepers.cancelled = max(0, sleepers.cancelled - 1)
        if sleepers.heap and sleepers.driving > 0:
            self._to(sleepers.heap[0][0])
            self._wake(sleepers)
            self._watch(sleepers)

    def _wake(self, sleepers: _Sleepers) -> None:
        while sleepers.heap and sleepers.heap[0][0] <= self._now:
            future = heapq.heappop(sleepers.heap)[2]
            if future.done():
                sleepers.cancelled = max(0, sleepers.cancelled - 1)
            else:
                future.set_result(None)


async def in_thread(clock: Clock, call: Callable[[], T]) -> T:
    """Run a blocking call in a thread while the clock is held.

    The clock is held until the result is here, or, when the caller is cancelled before, until the call has
    ended. A call whose caller was cancelled before a thread was free for it is not made at all.
    """
    hold = clock.hold()
    lock = threading.Lock()
    state = "waiting"

    def work() -> T:
        nonlocal state
        with lock:
            if state == "given up":
                raise asyncio.CancelledError  # nobody listens
            state = "running"
        try:
            return call()
        finally:
            with lock:
                given_up, state = state == "given up", "ended"
            if given_up:
                hold.__exit__(None, None, None)

    hold.__enter__()
    try:
        return await asyncio.to_thread(work)
    finally:
        with lock:
            running, state = state == "running", "given up"
        if not running:
            hold.__exit__(None, None, None)


def parse_time_scale(text: str) -> SystemClock:
    """Read ``BOUSAI_TIME_SCALE``: ``1``, or ``X@T0`` with T0 in ISO 8601.

    Raises
    ------
    ValueError
        The text is neither, or such a clock could not be read a month from now.
    """
    speed, at, origin = text.strip().partition("@")
    if not at:
        if float(speed) != 1.0:
            raise ValueError("a speed other than 1 needs its origin: X@T0")
        return SystemClock()
    moment = datetime.fromisoformat(origin)
    if moment.tzinfo is None:
        raise ValueError("T0 needs an offset")
    clock = SystemClock(speed=float(speed), origin=moment)
    try:
        clock.now() + timedelta(days=30) * clock.speed  # readable for as long as a test server runs
    except OverflowError:
        raise ValueError("the clock would run out of the calendar") from None
    return clock
