"""When the next request of an operation may leave. Pure decisions: no I/O, no clock, no waiting.

Limits count per API operation and minute for the whole domain, and whether the server counts in fixed
windows, in a sliding window or with a token bucket is not said. One rule is right for all three: a request
leaves only while fewer than L others are unanswered or were answered less than one window ago (send k
waits for the *answer* of send k − L plus one window), so no span of one window holds more than L arrivals.

::

    own accounts     sliding ∧ fixed ∧ bucket, each until an answer contradicts it (`shapes`)
    server's word    Remaining, until Reset or the refill: what others have taken shows here alone
    429              the whole operation rests, then a probe
    rest             one probe alone, because others may have used the limit meanwhile

So a fixed window that began before us is used anew at its end, and a bucket as it refills, as soon as the
headers leave nothing else; without headers the first rule stays. With others on the same limit no more are
under way than half of what is left, so that two who see the same number do not overrun it together; a bucket
is left to refill for a while, and the last of it left alone. After a 429 without headers, as many as were
let in leave freely in the next window, and what goes beyond goes one by one until the next 429.

Full use for 30 minutes leaves half the rate (the vendor's rule), won back by resting.

Source: reference part 1 §2.5, part 2 §5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bousai_kit.lineworks.shapes import GUARD_S, Shapes

__all__ = ["WINDOW_S", "Concurrency", "Limits", "Pacer", "known_gap_s", "known_limit", "read_limits"]

WINDOW_S = 60.0
DEFAULT_LIMIT = 240
KNOWN_LIMITS: Mapping[str, int] = {
    "channels.create": 10,
    "audit": 10,
    "monitoring": 10,
    "boards": 60,
}
"""Requests a minute by operation or by its family (the part before the dot); paid plans. Learned anew from
the first answer's headers, so that Free (60) needs no setting."""

KNOWN_GAPS_S: Mapping[str, float] = {
    "orgunits.create": 1.0,
    "orgunits.patch": 1.0,
    "orgunits.replace": 1.0,
    "orgunits.move": 1.0,
    "orgunits.delete": 1.0,
    "audit.download": 60.0,
}
"""Seconds between two requests of an operation, repeats included (orgunit-create, audit-log-download)."""

_ROUNDED_S = 0.25  # beyond a reset in whole seconds, rounded who knows how
_PROBE_PATIENCE_S = 3.0  # a probe that hangs does not hold everybody up
_SHARED_FOR_S = 300.0
_SIPS = 6  # of a window: so long a shared bucket is left to refill
_PEAK_WINDOWS = 30
_REFUSAL_STEPS = 4  # 2^n, n = 0…4
_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an answer says of its operation's limit; None where a header is missing or unreadable.

    Attributes
    ----------
    limit, remaining : int or None
        Requests in a window, and how many are left of them.
    reset_s : float or None
        Seconds until the window resets (a duration, not an epoch).
    """

    limit: int | None = None
    remaining: int | None = None
    reset_s: float | None = None


def known_limit(operation: str) -> int:
    """Requests a minute that are known for an operation before its first answer."""
    family = operation.partition(".")[0]
    return KNOWN_LIMITS.get(operation, KNOWN_LIMITS.get(family, DEFAULT_LIMIT))


def known_gap_s(operation: str) -> float:
    """Seconds that two requests of an operation keep apart, however much of the limit is left."""
    return KNOWN_GAPS_S.get(operation, 0.0)


def read_limits(headers: Mapping[str, str]) -> Limits:
    """Read the limit headers; junk counts as missing.

    Parameters
    ----------
    headers : mapping
        Case-insensitive (as httpx's), or with lower-case names.
    """
    limit = _number(headers.get("ratelimit-limit"))
    remaining = _number(headers.get("ratelimit-remaining"))
    reset = _number(headers.get("ratelimit-reset"))
    return Limits(
        limit=int(limit) if limit is not None and limit >= 1 else None,
        remaining=int(remaining) if remaining is not None else None,
        reset_s=min(reset, WINDOW_S) if reset is not None else None,
    )


def _number(text: str | None) -> float | None:
    if not text:
        return None
    try:
        value = float(text.split(",", 1)[0].split(";", 1)[0])
    except ValueError:
        return None
    return value if 0 <= value < 1e12 else None


class Pacer:
    """The budget of one operation of one domain. Times are seconds of one monotonic clock.

    Parameters
    ----------
    limit : int
        Requests a window, until an answer says otherwise.
    window_s : float
        Length of the window in seconds.
    gap_s : float
        Seconds from the end of one request to the next, there.

    Notes
    -----
    ``ready_at`` is asked, ``sent`` told with each departure; each departure ends in exactly one of
    ``answered``, ``refused`` (429), ``lost`` (no answer) and ``unsent``.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT, *, window_s: float = WINDOW_S, gap_s: float = 0.0) -> None:
        self.window_s = window_s
        self.gap_s = gap_s
        self.trip_s = 0.0  # the way there and back takes so long at least
        self.shapes = Shapes(limit, window_s)
        self.blocked_until = -_NEVER
        self._out: dict[int, float] = {}
        self._bold: set[int] = set()  # left although the strictest shape would have held them back
        self._tickets = 0
        self._last_sent = -_NEVER
        self._last_answer = -_NEVER
        self._ended = -_NEVER
        self._probing = True
        self._left: int | None = None  # the server's word …
        self._left_from = -_NEVER  # … when it was heard …
        self._left_until = -_NEVER  # … and when it loses its force
        self._shared_until = -_NEVER
        self._stranger_until = -_NEVER  # as far as Remaining shows; a 429 alone proves nobody
        self._untouched = 0  # of a bucket that others use too: left in it, it is not lost
        self._safe: int | None = None  # so many were let in when a 429 came of which nothing had warned
        self._refusals = 0
        self._last_refusal = -_NEVER
        self._credit = float(self._peak_credit())
        self._credit_at: float | None = None

    # -- asking ---------------------------------------------------------------------------------------

    @property
    def limit(self) -> int:
        """Requests a window."""
        return self.shapes.limit

    def ready_at(self, now: float) -> float:
        """The earliest moment at which one more request may leave; ``inf``: an answer has to come first."""
        self._refresh(now)
        out = len(self._out)
        at = max(now, self.blocked_until)
        if self._probing and out:
            at = max(at, self._last_sent + _PROBE_PATIENCE_S)
        at = max(at, self.shapes.ready_at(now, out))
        if self._left is not None:
            spare = self._left - (self._untouched if self.shapes.refills and self.shared else 0)
            if spare <= out or (out and self.shared and spare // 2 <= out):
                if out and spare > 0:
                    return _NEVER
                at = max(at, self._word_ends())
        if self._safe is not None and out and self.shapes.counted() + out >= self._safe:
            return _NEVER
        if self.gap_s:
            if out:
                return _NEVER
            at = max(at, self._ended + self.gap_s + GUARD_S)
        if self._credit < 1.0:
            at = max(at, now + (1.0 - self._credit) / self._half_rate())
        return at

    def left_at(self, ticket: int) -> float | None:
        """When a request left that has not ended."""
        return self._out.get(ticket)

    @property
    def left(self) -> int | None:
        """What the server said is left, less what has gone since; None while unknown."""
        return None if self._left is None else max(0, self._left - len(self._out))

    @property
    def shared(self) -> bool:
        """Somebody else uses the same limit, as far as the last answers showed."""
        return self._last_answer < self._shared_until

    # -- telling --------------------------------------------------------------------------------------

    def sent(self, now: float) -> int:
        """A request leaves; the ticket names it later."""
        self._refresh(now)
        self._tickets += 1
        if not self.shapes.is_within(len(self._out)):
            self._bold.add(self._tickets)
        self._out[self._tickets] = now
        self.shapes.sent()
        self._last_sent = now
        self._credit -= 1.0
        return self._tickets

    def unsent(self, ticket: int) -> None:
        """It never left this machine: the budget is given back."""
        if self._out.pop(ticket, None) is not None:
            self._bold.discard(ticket)
            self.shapes.gone()
            self._credit += 1.0

    def lost(self, ticket: int, now: float) -> None:
        """No answer came; the server may have counted it until now."""
        sent = self._out.pop(ticket, None)
        if sent is not None:
            self._bold.discard(ticket)
            self._refresh(now)
            self._note(sent, now, lost=True)
            if self._left is not None:
                self._left = max(0, self._left - 1)

    def answered(self, ticket: int, now: float, limits: Limits) -> None:
        """An answer other than 429 came."""
        sent = self._out.get(ticket)
        if sent is None:
            return
        self._refresh(now)
        if sent >= self.blocked_until:
            if self._probing and limits.remaining is not None:
                self._untouched = min(self.limit // 20, limits.remaining // 2)
            self._probing = False
            self._refusals = 0
        self._learn(limits)
        if limits.remaining is None:
            if self._left is not None:
                self._left = max(0, self._left - 1)
        else:
            if limits.remaining + self.shapes.possible(sent) + len(self._out) < self.limit:
                self._shared_until = self._stranger_until = now + _SHARED_FOR_S
            self.shapes.hear(sent, now, limits.remaining, limits.reset_s, self._out)
            self._hear(limits, sent, now)
        del self._out[ticket]
        self._bold.discard(ticket)
        self._note(sent, now)
        self._ended = now - self.trip_s  # of an answer it is known that it was on its way
        if self._safe is not None:
            self._safe = max(self._safe, self.shapes.counted())
            if self._safe >= self.limit:
                self._safe = None

    def refused(self, ticket: int, now: float, limits: Limits) -> float:
        """A 429 came: the whole operation rests. Seconds until it may go on."""
        sent = self._out.pop(ticket, now)
        self._refresh(now)
        self._ended = now
        self._credit += 1.0
        self.shapes.gone()
        self._learn(limits)
        wait = self._rest_s(now, limits)
        if ticket in self._bold:
            self._bold.discard(ticket)
            self.shapes.breached(sent, now, alone=now >= self._stranger_until)
        if not limits.remaining:  # else it is not this limit: too many at once
            if limits.reset_s is None or (self._left or 0) > 2 * len(self._out) + 2:
                self._safe = self.shapes.counted()  # nothing had warned of it
            self._shared_until = now + _SHARED_FOR_S
        if sent >= self._last_refusal:  # those that were under way together count once
            self._refusals += 1
        self._last_refusal = now
        self._probing, self._left = True, None
        self.blocked_until = max(self.blocked_until, now + wait)
        return self.blocked_until - now

    # -- inside ---------------------------------------------------------------------------------------

    def _rest_s(self, now: float, limits: Limits) -> float:
        """How long nothing leaves after a 429."""
        stepped = float(2 ** min(self._refusals, _REFUSAL_STEPS))
        if limits.reset_s is not None:
            reset = max(1.0, limits.reset_s) + GUARD_S
            if limits.remaining:
                return min(reset, stepped)
            return max(reset, self.window_s / _SIPS if self.shapes.refills else 0.0, stepped - 1.0)
        oldest = self.shapes.oldest()
        if oldest is None:
            return stepped
        return max(1.0, min(max(stepped, self.window_s / 4), oldest + self.window_s + GUARD_S - now))

    def _refresh(self, now: float) -> None:
        if self.shapes.pass_to(now):
            self._probing, self._left = True, None
        drips = self.shapes.refills and not self.shared  # the word is good for as many as it was refilled
        if self._left is not None and not drips and now >= self._word_ends():
            self._left = None
            self._probing = self._probing or now < self._shared_until
        if not self._out and now - self._last_answer > 1.5 * self.window_s:
            self._probing, self._left = True, None  # others may have used it meanwhile
        if self._credit_at is not None and now > self._credit_at:
            self._credit = min(
                float(self._peak_credit()), self._credit + (now - self._credit_at) * self._half_rate()
            )
        self._credit_at = now if self._credit_at is None else max(now, self._credit_at)

    def _hear(self, limits: Limits, sent: float, now: float) -> None:
        """Take the server's word; a higher one only from a request that left after the lower was heard."""
        remaining = limits.remaining or 0
        if self._left is not None and sent < self._left_from and remaining >= self._left:
            return  # answers overtook each other
        self._left, self._left_from = remaining, now
        self._left_until = now + (self.window_s if limits.reset_s is None else limits.reset_s) + _ROUNDED_S

    def _word_ends(self) -> float:
        """When the server's word has to be heard anew."""
        if self.shapes.refills:
            if self.shared:  # a share of a window, so that those who wait for drops do not meet
                return min(self._left_until, self._left_from + self.window_s / _SIPS)
            need = len(self._out) + 1 - (self._left or 0)
            return self._left_from + max(0, need) * self.window_s / self.limit
        if not self.shared:  # the own accounts protect better than a rounded reset: its earliest meaning
            return self._left_until - 1.0 - _ROUNDED_S
        return self.shapes.end or self._left_until

    def _learn(self, limits: Limits) -> None:
        if limits.limit is not None and limits.limit != self.limit:
            self._credit *= limits.limit / self.limit
            self.shapes.learn(limits.limit)

    def _note(self, sent: float, now: float, *, lost: bool = False) -> None:
        self.shapes.note(sent, now, lost=lost)
        self._last_answer = self._ended = now

    def _half_rate(self) -> float:
        return self.limit / 2 / self.window_s

    def _peak_credit(self) -> int:
        return _PEAK_WINDOWS * max(1, self.limit // 2) + self.limit // 2


class Concurrency:
    """How many requests may be under way at once; the server's number is not documented.

    Starts at 16, halves when a 429 comes although requests are left, never below 4, and grows again by 2
    each quiet minute.
    """

    def __init__(self, *, start: int = 16, floor: int = 4) -> None:
        self.limit = start
        self._most = start
        self._floor = floor
        self._changed_at = -_NEVER

    def pushed_back(self, now: float) -> None:
        """A 429 came while `RateLimit-Remaining` was above 0; several within a second count once."""
        if now - self._changed_at > 1.0:
            self.limit = max(self._floor, self.limit // 2)
            self._changed_at = now

    def quiet(self, now: float) -> None:
        """An ordinary answer came."""
        if self.limit < self._most and now - self._changed_at > WINDOW_S:
            self.limit = min(self._most, self.limit + 2)
            self._changed_at = now
