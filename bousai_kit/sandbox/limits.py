"""Rate limits per operation and minute for the whole domain, in three shapes (part 1 §2.5, part 2 §5).

``fixed``   a counter per window of 60 s (default; the window begins with its first request, see `Choices`)
``sliding`` at most L requests in any 60 s
``bucket``  L tokens, refilled evenly within 60 s

Pure: the moment is handed in as seconds; nothing sleeps.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from bousai_kit.sandbox.choices import Choices

__all__ = ["PLANS", "SHAPES", "Limits", "Verdict"]

WINDOW_S = 60.0
PLANS = {"free": 60, "standard": 240, "advanced": 240}
CLASSES = {"room": 10, "log": 10, "board": 60}
SHAPES = ("fixed", "sliding", "bucket")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may go on, and what the headers say."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """The four documented headers, the fourth in both spellings (part 2 §5)."""
        used = str(self.limit - self.remaining)
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
            "rateLimit-ssed": used,
            "RateLimit-Used": used,
        }


@dataclass(slots=True)
class _Account:
    start: float = -math.inf
    used: int = 0
    times: deque[float] = field(default_factory=deque)
    tokens: float = -1.0


class Limits:
    """The books of one domain.

    Parameters
    ----------
    plan : str
        ``free``, ``standard`` or ``advanced``.
    shape : str
        ``fixed``, ``sliding`` or ``bucket``.
    overrides : dict, optional
        Operation name or limit class -> requests a minute, for tests.
    """

    def __init__(
        self,
        *,
        plan: str = "standard",
        shape: str = "fixed",
        choices: Choices | None = None,
        overrides: dict[str, int] | None = None,
    ) -> None:
        if plan not in PLANS:
            raise ValueError(f"plan must be one of {', '.join(PLANS)}")
        if shape not in SHAPES:
            raise ValueError(f"shape must be one of {', '.join(SHAPES)}")
        self.plan = plan
        self.shape = shape
        self.choices = choices or Choices()
        self.overrides = dict(overrides or {})
        self._accounts: dict[str, _Account] = {}

    def limit_of(self, operation: str, kind: str) -> int:
        """Requests a minute."""
        for name in (operation, kind):
            if name in self.overrides:
                return self.overrides[name]
        return min(CLASSES.get(kind, PLANS[self.plan]), PLANS[self.plan])

    def take(self, operation: str, kind: str, now: float) -> Verdict:
        """Count one request of an operation at `now` (seconds)."""
        limit = self.limit_of(operation, kind)
        account = self._accounts.setdefault(operation, _Account())
        if self.shape == "sliding":
            return _sliding(account, limit, now)
        if self.shape == "bucket":
            return _bucket(account, limit, now)
        return _fixed(account, limit, now, aligned=self.choices.fixed_window_starts_at == "minute")

    def reset(self) -> None:
        """Forget everything that was counted."""
        self._accounts.clear()

    def as_json(self) -> dict[str, Any]:
        """For the admin host."""
        return {"plan": self.plan, "limiter": self.shape, "overrides": self.overrides}


def _whole(seconds: float) -> int:
    return max(1, math.ceil(seconds - 1e-6))


def _fixed(account: _Account, limit: int, now: float, *, aligned: bool) -> Verdict:
    if now >= account.start + WINDOW_S or now < account.start:
        account.start = math.floor(now / WINDOW_S) * WINDOW_S if aligned else now
        account.used = 0
    allowed = account.used < limit
    account.used += allowed
    return Verdict(allowed, limit, limit - account.used, _whole(account.start + WINDOW_S - now))


def _sliding(account: _Account, limit: int, now: float) -> Verdict:
    times = account.times
    while times and times[0] <= now - WINDOW_S:
        times.popleft()
    allowed = len(times) < limit
    if allowed:
        times.append(now)
    return Verdict(allowed, limit, limit - len(times), _whole(times[0] + WINDOW_S - now) if times else 1)


def _bucket(account: _Account, limit: int, now: float) -> Verdict:
    rate = limit / WINDOW_S
    if account.tokens < 0:
        account.tokens = float(limit)
    else:
        account.tokens = min(float(limit), account.tokens + max(0.0, now - account.start) * rate)
    account.start = now
    allowed = account.tokens >= 1.0 - 1e-9
    if allowed:
        account.tokens = max(0.0, account.tokens - 1.0)
    wait = (limit - account.tokens) / rate if allowed else (1.0 - account.tokens) / rate
    return Verdict(allowed, limit, int(account.tokens + 1e-9), _whole(wait))
