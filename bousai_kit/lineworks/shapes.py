"""Which shapes the server's limit may still have, and what each of them lets out. Pure.

Three shapes are thinkable, and each has its own account of what this process has sent. An answer that one
of them could not have given strikes it out; a request may leave when all that are left allow it.

* *sliding*: at most L in any window. The strictest: as long as it stands, it decides alone. It cannot have
  given an answer that leaves more than L − (what certainly arrived within the last window), nor a reset that
  comes before the oldest own request is a window old although nobody else shows in ``Remaining``.
* *fixed*: at most L until ``RateLimit-Reset``, then anew. Each reset, with its rounding and its way, gives a
  span for the end; spans that do not meet strike it out, and ends less than a window apart.
* *bucket*: L at most, refilled evenly. It cannot leave more than it was refilled since.

An end that was announced is believed as far as one request sent alone (a probe). When something is refused
that only left because a shape was struck out, all stand again; after the third time (the sixth, where
others use the limit too) none is struck out any more. Whatever the headers claim, the own accounts bound
what leaves: L at once and L a window.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

__all__ = ["GUARD_S", "Shapes"]

GUARD_S = 0.02  # the server's clock runs through the same minute a little differently
_ROUNDED_S = 1.0  # a reset in whole seconds, rounded up, down or to the nearest
_SLACK_S = 3.0  # two roundings and a way
_TRUST = 6
_NEVER = float("inf")
_ALL = ("sliding", "fixed", "bucket")


class Shapes:
    """The accounts of one operation's own requests. Times are seconds of one monotonic clock.

    Parameters
    ----------
    limit : int
        Requests a window.
    window_s : float
        Length of the window in seconds.
    """

    def __init__(self, limit: int, window_s: float) -> None:
        self.limit = limit
        self.window_s = window_s
        self._standing = set(_ALL)
        self._trust = _TRUST
        self._breached = -_NEVER
        self._answers: list[float] = []  # when what may have been counted was answered or lost, ascending
        self._sents: list[float] = []  # when the same requests left, ascending
        self._lost: list[float] = []
        self._oldest = 0  # index of the first answer less than a window old
        self._end: tuple[float, float] | None = None  # of the running fixed window: not before, not after
        self._begun = (-_NEVER, -_NEVER)
        self._least = self._most = float(limit)  # tokens, if it is a bucket
        self._filled = -_NEVER

    # -- asking ---------------------------------------------------------------------------------------

    @property
    def standing(self) -> frozenset[str]:
        """The shapes that no answer has contradicted."""
        return frozenset(self._standing)

    @property
    def bold(self) -> bool:
        """The strictest shape is struck out."""
        return "sliding" not in self._standing

    @property
    def end(self) -> float | None:
        """The latest moment at which the fixed window ends, where that is what counts; else None."""
        return self._end[1] + GUARD_S if self.bold and "fixed" in self._standing and self._end else None

    @property
    def refills(self) -> bool:
        """Only a bucket is left."""
        return self._standing == {"bucket"}

    def counted(self) -> int:
        """Own requests of the last window that were answered or lost."""
        return len(self._answers) - self._oldest

    def oldest(self) -> float | None:
        """When the oldest of them was answered."""
        return self._answers[self._oldest] if self._oldest < len(self._answers) else None

    def possible(self, sent: float) -> int:
        """At most so many of those that were answered stand in the window of a request that left then."""
        return len(self._answers) - bisect_right(self._answers, sent - self.window_s)

    def is_within(self, out: int) -> bool:
        """One more is allowed whatever the shape."""
        return self.counted() + out < self.limit

    def ready_at(self, now: float, out: int) -> float:
        """When one more may leave beside so many that are out; ``inf``: an answer has to come first."""
        strict = self._sliding_at(now, out)
        if strict <= now or not self.bold:
            return strict
        at = now
        if "fixed" in self._standing:
            at = max(at, self._fixed_at(now, out, strict))
        if "bucket" in self._standing:
            at = max(at, now + (out + 1 - self._least) / self._rate)
        return min(at, strict)

    def _sliding_at(self, now: float, out: int) -> float:
        over = self.counted() + out - self.limit
        if over < 0:
            return now
        if out >= self.limit:
            return _NEVER
        return max(now, self._answers[self._oldest + over] + self.window_s + GUARD_S)

    def _fixed_at(self, now: float, out: int, strict: float) -> float:
        since = max(self._oldest, bisect_right(self._answers, self._begun[0]))
        if len(self._answers) - since + out < self.limit:
            return now
        return strict if self._end is None else max(now, self._end[1] + GUARD_S)

    # -- telling --------------------------------------------------------------------------------------

    def pass_to(self, now: float) -> bool:
        """Time goes on. True: a fixed window may have ended, so that the next request is a probe."""
        edge = now - self.window_s - GUARD_S
        while self._oldest < len(self._answers) and self._answers[self._oldest] <= edge:
            self._oldest += 1
        if self._oldest > 4 * self.limit + 1000:
            drop = self._oldest - 2 * self.limit
            del self._answers[:drop], self._sents[:drop]
            self._oldest -= drop
            del self._lost[: bisect_right(self._lost, edge)]
        if now > self._filled:
            more = (now - self._filled) * self._rate
            self._least = min(self.limit, self._least + more)
            self._most = min(self.limit, self._most + more)
            self._filled = now
        if self._end is None or now < self._end[1] + GUARD_S:
            return False
        self._begun, self._end = self._end, None
        return self.bold and "fixed" in self._standing

    def sent(self) -> None:
        """A request leaves."""
        self._most -= 1.0

    def gone(self) -> None:
        """It was never counted."""
        self._most += 1.0

    def note(self, sent: float, now: float, *, lost: bool = False) -> None:
        """It was counted, or may have been."""
        if self._answers:
            now = max(now, self._answers[-1])  # a clock that goes back does not unsort the account
        self._answers.append(now)
        insort(self._sents, sent)
        self._least -= 1.0
        if lost:
            self._lost.append(now)
            self._most += 1.0

    def learn(self, limit: int) -> None:
        """The limit is another one."""
        self.limit = limit
        self._standing, self._end = set(_ALL), None
        self._least, self._most = float(max(0, limit - self.counted())), float(limit)

    def breached(self, sent: float, now: float, *, alone: bool) -> None:
        """Something was refused that the strictest shape would have held back; by a stranger, perhaps."""
        if sent >= self._breached:
            self._trust -= 2 if alone else 1
        self._breached = now
        self._standing, self._end = set(_ALL), None

    def hear(
        self, sent: float, now: float, remaining: int, reset_s: float | None, out: dict[int, float]
    ) -> None:
        """Compare an answer with what each shape could have said; call it before the answer is noted.

        Parameters
        ----------
        sent, now : float
            Between them the server counted the request.
        remaining : int
        reset_s : float or None
        out : dict
            When the requests left that are out, this one included.
        """
        if self._trust <= 0:
            return
        spare = max(1, self.limit // 100)  # books that are kept by several servers are not quite exact
        if "sliding" in self._standing and (
            remaining > self.limit - 1 - self._certain(now - self.window_s + GUARD_S, sent) + spare
            or self._is_early(sent, now, remaining, reset_s, out)
        ):
            self._standing.discard("sliding")
        overtook = len(self._answers) - bisect_right(self._answers, sent)
        if remaining > self._most + len(out) + overtook + spare:
            self._standing.discard("bucket")
        if "fixed" in self._standing:
            since = max(now - self.window_s + GUARD_S, self._begun[1])
            runs = self._end is not None and now < self._end[0]
            if runs and remaining > self.limit - 1 - self._certain(since, sent) + spare:
                self._standing.discard("fixed")
            if reset_s is not None and sent >= self._begun[1]:
                self._narrow((sent + reset_s - _ROUNDED_S, now + reset_s + _ROUNDED_S), now)
        if not self._standing:  # nothing that is known answers so: count alone
            self._standing, self._trust = set(_ALL), 0

    def _certain(self, since: float, until: float) -> int:
        """At least so many arrived within this span."""
        lost = len(self._lost) - bisect_left(self._lost, since)
        return max(0, bisect_right(self._answers, until) - bisect_left(self._sents, since) - lost)

    def _is_early(
        self, sent: float, now: float, remaining: int, reset_s: float | None, out: dict[int, float]
    ) -> bool:
        """A sliding window in which nobody else shows would free something later than that."""
        if reset_s is None or reset_s < 2.0:  # less may mean "at any time"
            return False
        first = bisect_right(self._answers, sent - self.window_s)
        if remaining < self.limit - (len(self._answers) - first) - len(out):
            return False
        oldest = min(out.values())
        if first < len(self._answers):
            at = bisect_right(self._sents, sent - self.window_s)
            oldest = min(oldest, self._sents[min(first, at)])
        return now + reset_s + _ROUNDED_S < oldest + self.window_s

    def _narrow(self, span: tuple[float, float], now: float) -> None:
        """The running window ends within this span; one that may have ended long ago says its own."""
        least = self.window_s - _SLACK_S
        if self._end is not None:
            if now >= self._end[0] and span[1] >= self._end[0] + least:
                return  # it is the next one's end
            span = max(self._end[0], span[0]), min(self._end[1], span[1])
        if span[0] > span[1] or span[1] < self._begun[0] + least:
            self._standing.discard("fixed")
            self._end = None
        else:
            self._end = span

    @property
    def _rate(self) -> float:
        return self.limit / self.window_s
