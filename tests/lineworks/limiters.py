"""Limiters in the three shapes a server may have, and clients driven against them without any I/O."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bousai_kit.lineworks.pacing import Limits, Pacer

WINDOW_S = 60.0


@dataclass
class Limiter:
    """``fixed``: windows on a grid that begins at `phase`; ``first``: a window begins with its first
    request; ``sliding``; ``bucket``: `limit` tokens refilled evenly."""

    shape: str
    limit: int
    phase: float = 0.0
    window: int = -(10**9)
    start: float = -math.inf
    used: int = 0
    times: deque[float] = field(default_factory=deque)
    tokens: float = -1.0
    at: float = 0.0

    def take(self, now: float) -> tuple[bool, Limits]:
        """Count one arrival; whether it goes on, and what the headers say (whole seconds)."""
        if self.shape == "sliding":
            while self.times and self.times[0] <= now - WINDOW_S:
                self.times.popleft()
            ok = len(self.times) < self.limit
            if ok:
                self.times.append(now)
            left, reset = self.limit - len(self.times), (self.times[0] + WINDOW_S - now if self.times else 1)
        elif self.shape == "bucket":
            rate = self.limit / WINDOW_S
            full = float(self.limit)
            self.tokens = full if self.tokens < 0 else min(full, self.tokens + (now - self.at) * rate)
            self.at = now
            ok = self.tokens >= 1.0 - 1e-9
            self.tokens -= ok
            left, reset = int(self.tokens + 1e-9), ((full if ok else 1.0) - self.tokens) / rate
        else:
            if self.shape == "fixed":
                window = math.floor((now - self.phase) / WINDOW_S)
                if window != self.window:
                    self.window, self.used = window, 0
                    self.start = self.phase + window * WINDOW_S
            elif now >= self.start + WINDOW_S:
                self.start, self.used = now, 0
            ok = self.used < self.limit
            self.used += ok
            left, reset = self.limit - self.used, self.start + WINDOW_S - now
        return ok, Limits(self.limit, left, float(max(1, math.ceil(reset - 1e-6))))

    def minimum_s(self, requests: int) -> float:
        """The least time from the first arrival to the last of so many, in a tenant that was at rest."""
        if self.shape == "bucket":
            return max(0, requests - self.limit) * WINDOW_S / self.limit
        windows = max(0, requests - 1) // self.limit
        if self.shape == "fixed" and windows:
            return windows * WINDOW_S - (-self.phase) % WINDOW_S if self.phase else windows * WINDOW_S
        return windows * WINDOW_S


@dataclass
class Sender:
    """One process with its own pacer."""

    pacer: Pacer
    requests: int
    start: float = 0.0
    at_once: int = 16
    flying: int = 0
    done: int = 0
    lost: int = 0
    refused: int = 0
    ended: float = 0.0
    departures: list[float] = field(default_factory=list)
    look_at: float = -math.inf  # the one look that counts

    @property
    def todo(self) -> int:
        return self.requests - self.done - self.flying - self.lost


@dataclass
class Outcome:
    """What a simulated run came to."""

    done: int
    refused: int
    seconds: float
    departures: list[float]
    stranger_refused: int = 0
    accepted: int = 0  # everybody's, until the last sender was through


Says = Callable[[Limits, float, bool], Limits]


def together(
    senders: list[Sender],
    limiter: Limiter,
    *,
    latency: tuple[float, float] = (0.05, 0.2),
    seed: int = 1,
    says: Says = lambda limits, now, ok: limits,
    stranger_per_s: float = 0.0,
    losses: float = 0.0,
) -> Outcome:
    """Drive pacers against one limiter: an event queue, no clock, no loop.

    `says` makes the headers of an answer, honest or not; `losses` is the share of answers that never come.
    """
    rng = random.Random(seed)
    order = itertools.count()
    events: list[tuple[float, int, str, Sender | None, int, Any]] = []
    foreign, accepted, now = 0, 0, 0.0

    def push(at: float, kind: str, sender: Sender | None = None, ticket: int = 0, what: Any = None) -> None:
        heapq.heappush(events, (at, next(order), kind, sender, ticket, what))

    for sender in senders:
        sender.look_at = sender.start
        push(sender.start, "look", sender)
    first = min(sender.start for sender in senders)
    if stranger_per_s:
        push(first + rng.expovariate(stranger_per_s), "stranger")
    while any(sender.done + sender.lost < sender.requests for sender in senders):
        now, _, kind, one, ticket, what = heapq.heappop(events)
        if one is None:
            ok = limiter.take(now)[0]
            foreign, accepted = foreign + (not ok), accepted + ok
            push(now + rng.expovariate(stranger_per_s), "stranger")
            continue
        if kind == "look" and now != one.look_at:
            continue
        if kind == "arrive":
            ok, limits = limiter.take(now)
            accepted += ok
            push(now + rng.uniform(*latency) / 2, "answer", one, ticket, (ok, says(limits, now, ok)))
            continue
        if kind == "answer":
            ok, limits = what
            one.flying -= 1
            if rng.random() < losses:
                one.lost += 1
                one.pacer.lost(ticket, now)
            elif ok:
                one.done += 1
                one.pacer.answered(ticket, now, limits)
            else:
                one.refused += 1
                one.pacer.refused(ticket, now, limits)
            one.ended = now
        while one.todo and one.flying < one.at_once:
            at = one.pacer.ready_at(now)
            if at > now:
                assert at != math.inf or one.flying, "nothing is out, and nobody may leave"
                if at != math.inf and (at != one.look_at or one.look_at <= now):
                    one.look_at = at
                    push(at, "look", one)
                break
            ticket = one.pacer.sent(now)
            one.departures.append(now)
            one.flying += 1
            push(now + rng.uniform(*latency) / 2, "arrive", one, ticket)
    return Outcome(
        sum(sender.done for sender in senders),
        sum(sender.refused for sender in senders),
        max(sender.ended for sender in senders) - first,
        sorted(at for sender in senders for at in sender.departures),
        foreign,
        accepted,
    )


def simulate(
    requests: int,
    limiter: Limiter,
    *,
    latency: tuple[float, float] = (0.05, 0.2),
    at_once: int = 16,
    seed: int = 1,
    headers: bool = True,
    stranger_per_s: float = 0.0,
    known: int = 240,
    pacer: Pacer | None = None,
    start: float = 0.0,
) -> Outcome:
    """Drive one pacer against one limiter."""
    return together(
        [Sender(pacer or Pacer(known), requests, start, at_once)],
        limiter,
        latency=latency,
        seed=seed,
        says=lambda limits, now, ok: limits if headers else Limits(),
        stranger_per_s=stranger_per_s,
    )
