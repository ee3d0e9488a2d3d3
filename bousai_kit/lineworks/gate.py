"""Wait one's turn: priority lanes in front of the pacers, and requests that exclude each other.

The decisions are `pacing`'s; this module only waits for them through the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from dataclasses import dataclass, field

from bousai_kit.clock import Clock
from bousai_kit.lineworks.pacing import Concurrency, Limits, Pacer, known_gap_s, known_limit

__all__ = ["Gate", "Pass", "Turns"]

_EPSILON_S = 0.001
_LONG_REST_S = 10.0  # of a longer one there is nothing to gain
_SURE_AFTER = 4  # answers say how long the way is
_LATELY = 50  # so many answers back: a machine may be carried to another network
_LONGEST_TRIP_S = 0.25


@dataclass(slots=True)
class _Lane:
    pacer: Pacer
    waiting: list[tuple[int, int, asyncio.Future[int]]] = field(default_factory=list)

    def head(self) -> tuple[int, int, asyncio.Future[int]] | None:
        while self.waiting and self.waiting[0][2].done():  # cancelled while it waited
            heapq.heappop(self.waiting)
        return self.waiting[0] if self.waiting else None


@dataclass(frozen=True, slots=True)
class Pass:
    """Permission for one request; ends in exactly one of the gate's ``leave_…``."""

    lane: _Lane
    ticket: int


class Gate:
    """One for all tasks of a process that talk to one domain.

    Parameters
    ----------
    clock : Clock
        Its ``monotonic`` reading is what the pacers see.
    """

    def __init__(self, *, clock: Clock) -> None:
        self.concurrency = Concurrency()
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}
        self._inside = 0
        self._orders = itertools.count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pump_soon: asyncio.Handle | None = None
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = float("inf")
        self._trips: deque[float] = deque(maxlen=_LATELY)
        self._too_fast = False

    def trip_s(self) -> float:
        """How long the way to the server and back surely takes, by the quickest answers lately; 0 at first.

        Who has to leave a second between two requests *there* may wait so much less *here* after an answer:
        it has been under way for some of that second, and the next request will be for the rest of it. Once
        such a request was refused all the same, nothing is reckoned with any more.
        """
        if self._too_fast or len(self._trips) < _SURE_AFTER:
            return 0.0
        quickest = sorted(self._trips)[:_SURE_AFTER]
        return max(0.0, min(_LONGEST_TRIP_S, 2 * quickest[0] - quickest[-1]))  # less, the less steady it is

    def pacer(self, operation: str) -> Pacer:
        """The budget of an operation."""
        return self._lane(operation).pacer

    def next_order(self) -> int:
        """A place in the queue; a repeated request keeps its own."""
        return next(self._orders)

    async def enter(self, operation: str, *, priority: int, order: int) -> Pass:
        """Wait until a request of this operation may leave.

        Parameters
        ----------
        operation : str
            What the limit counts, e.g. ``"users.create"``.
        priority : int
            Smaller goes first.
        order : int
            From ``next_order``; decides among equal priorities.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._pump_soon, self._timer = loop, None, None
        lane = self._lane(operation)
        turn: asyncio.Future[int] = loop.create_future()
        heapq.heappush(lane.waiting, (priority, order, turn))
        if self._pump_soon is None:  # not at once: whoever asks in the same breath is in the queue first
            self._pump_soon = loop.call_soon(self._pump)
        try:
            return Pass(lane, await turn)
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave_unsent(Pass(lane, turn.result()))
            else:
                self._pump()
            raise

    def leave(self, entry: Pass, limits: Limits) -> None:
        """An answer other than 429 came."""
        now = self._clock.monotonic()
        pacer = entry.lane.pacer
        sent = pacer.left_at(entry.ticket)
        if sent is not None:
            self._trips.append(now - sent)
        if pacer.gap_s:
            pacer.trip_s = self.trip_s()
        pacer.answered(entry.ticket, now, limits)
        self.concurrency.quiet(now)
        self._out()

    def leave_refused(self, entry: Pass, limits: Limits) -> float:
        """A 429 came; the operation rests for so many seconds."""
        now = self._clock.monotonic()
        if limits.remaining:
            self.concurrency.pushed_back(now)
        self._too_fast = self._too_fast or entry.lane.pacer.gap_s > 0
        wait = entry.lane.pacer.refused(entry.ticket, now, limits)
        self._out()
        return wait

    def leave_unsent(self, entry: Pass) -> None:
        """It never left this machine."""
        entry.lane.pacer.unsent(entry.ticket)
        self._out()

    def leave_lost(self, entry: Pass) -> None:
        """No answer came (or nobody waits for it any more)."""
        entry.lane.pacer.lost(entry.ticket, self._clock.monotonic())
        self._out()

    def close(self) -> None:
        """Stop waiting; whoever still waits is not let in."""
        self._stop_timer()

    def _lane(self, operation: str) -> _Lane:
        lane = self._lanes.get(operation)
        if lane is None:
            lane = self._lanes[operation] = _Lane(Pacer(known_limit(operation), gap_s=known_gap_s(operation)))
        return lane

    def _out(self) -> None:
        self._inside -= 1
        self._pump()

    def _pump(self) -> None:
        """Let in whoever may go now; remember when to look again."""
        self._pump_soon = None
        now = self._clock.monotonic()
        soonest = float("inf")
        while self._inside < self.concurrency.limit:
            soonest = float("inf")
            best: tuple[int, int, asyncio.Future[int]] | None = None
            best_lane: _Lane | None = None
            for lane in self._lanes.values():
                head = lane.head() if lane.waiting else None
                if head is None or (best is not None and head[:2] > best[:2]):
                    continue
                at = lane.pacer.ready_at(now)
                if at > now + _EPSILON_S:
                    soonest = min(soonest, at)
                else:
                    best, best_lane = head, lane
            if best is None or best_lane is None:
                break
            heapq.heappop(best_lane.waiting)
            self._inside += 1
            best[2].set_result(best_lane.pacer.sent(now))
        self._look_again_at(soonest)

    def _look_again_at(self, moment: float) -> None:
        if moment == self._timer_at and self._timer is not None and not self._timer.done():
            return
        self._stop_timer()  # a sleeper that nobody needs would make a virtual clock jump
        loop = self._loop
        if moment != float("inf") and loop is not None and not loop.is_closed():
            self._timer_at = moment
            self._timer = loop.create_task(self._wake(moment))

    async def _wake(self, moment: float) -> None:
        await self._clock.sleep(max(_EPSILON_S, moment - self._clock.monotonic()))
        self._timer, self._timer_at = None, float("inf")
        self._pump()

    def _stop_timer(self) -> None:
        timer, self._timer, self._timer_at = self._timer, None, float("inf")
        if timer is not None and not timer.done() and not timer.get_loop().is_closed():
            timer.cancel()


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Turns:
    """Requests that exclude each other: one at a time per key, and a rest after each where asked.

    Parameters
    ----------
    clock : Clock
        For the rests.
    trip_s : callable, optional
        From `Gate`: so much of a rest after an answer is spent on the way; counted of rests of a few seconds.
    """

    def __init__(self, *, clock: Clock, trip_s: Callable[[], float] = float) -> None:
        self._clock = clock
        self._trip_s = trip_s
        self._turns: dict[Hashable, _Turn] = {}
        self._ended: dict[Hashable, float] = {}

    @contextlib.asynccontextmanager
    async def hold(
        self, keys: Sequence[Hashable], *, rest_s: float = 0.0, rest_key: Hashable = None
    ) -> AsyncIterator[None]:
        """Hold all keys; before that, wait until `rest_s` seconds after the last that rested by this key.

        Whoever rests holds nobody up but those who rest by the same key.
        """
        async with contextlib.AsyncExitStack() as stack:
            if rest_s:  # always before the keys, so that no two wait for each other
                await stack.enter_async_context(self._one(("rest", rest_key)))
                ended = self._ended.get(rest_key)
                if ended is not None:
                    wait = ended + rest_s - self._clock.monotonic()
                    if wait > 0:
                        await self._clock.sleep(wait + _EPSILON_S)
            for key in sorted(set(keys), key=repr):  # one order for all
                await stack.enter_async_context(self._one(key))
            trip_s = 0.0
            try:
                yield
                trip_s = self._trip_s() if rest_s < _LONG_REST_S else 0.0
            finally:
                if rest_s:
                    self._ended[rest_key] = self._clock.monotonic() - trip_s

    @contextlib.asynccontextmanager
    async def _one(self, key: Hashable) -> AsyncIterator[None]:
        turn = self._turns.setdefault(key, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                self._turns.pop(key, None)
