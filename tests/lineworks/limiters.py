"""Limiters in the three shapes a server may have, and clients driven against them without any I/O."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from dataclasses import dataclass, field

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
        windows = (requests - 1) // self.limit
        if self.shape == "fixed" and windows:
            return windows * WINDOW_S - (-self.phase) % WINDOW_S if self.phase else windows * WINDOW_S
        return windows * WINDOW_S


@dataclass
class Outcome:
    """What a simulated run came to."""

    done: int
    refused: int
    seconds: float
    departures: list[float]
    stranger_refused: int = 0


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
    """Drive one pacer against one limiter: an event queue, no clock, no loop."""
    rng = random.Random(seed)
    pacer = pacer or Pacer(known)
    order = itertools.count()
    events: list[tuple[float, int, str, int, object]] = []
    todo, flying, done, refused, foreign = requests, 0, 0, 0, 0
    departures: list[float] = []
    now = first = start

    def push(at: float, kind: str, ticket: int = 0, what: object = None) -> None:
        heapq.heappush(events, (at, next(order), kind, ticket, what))

    push(now, "look")
    look_at = now  # the one look that counts
    if stranger_per_s:
        push(now + rng.expovariate(stranger_per_s), "stranger")
    while done < requests:
        now, _, kind, ticket, what = heapq.heappop(events)
        if kind == "stranger":
            foreign += not limiter.take(now)[0]
            push(now + rng.expovariate(stranger_per_s), "stranger")
            continue
        if kind == "look" and now != look_at:
            continue
        if kind == "arrive":
            push(now + rng.uniform(*latency) / 2, "answer", ticket, limiter.take(now))
            continue
        if kind == "answer":
            ok, limits = what  # type: ignore[misc]
            limits = limits if headers else Limits()
            flying -= 1
            if ok:
                done += 1
                pacer.answered(ticket, now, limits)
            else:
                refused += 1
                todo += 1
                pacer.refused(ticket, now, limits)
        while todo and flying < at_once:
            at = pacer.ready_at(now)
            if at > now:
                if at != math.inf and (at != look_at or look_at <= now):
                    look_at = at
                    push(at, "look")
                break
            ticket = pacer.sent(now)
            departures.append(now)
            todo -= 1
            flying += 1
            push(now + rng.uniform(*latency) / 2, "arrive", ticket)
    return Outcome(done, refused, now - first, departures, foreign)
