"""Decide what follows an answer or its absence. Pure: nothing here waits, sends or reads a clock."""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass

import httpx

__all__ = ["Action", "Fate", "Patience", "Tries", "fate_of", "judge_absence", "judge_answer"]

SAFE_METHODS = frozenset({"GET", "HEAD", "PATCH", "DELETE", "PUT"})
"""Repeating them leaves what sending them once leaves. POST does not: the API has no idempotency key."""

_BACK_OFF_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0)
_UNSENT_S = (0.5, 1.0, 2.0, 4.0)


class Action(enum.Enum):
    """What to do next."""

    DONE = "done"
    RENEW = "renew"  # a new token, then once more
    PAUSE = "pause"  # 429: the operation rests, then once more
    BACK_OFF = "back off"  # once more after a while
    UNKNOWN = "unknown"  # it may have taken effect: never once more
    FAIL = "fail"


class Fate(enum.Enum):
    """How far a request without an answer got."""

    UNSENT = "unsent"  # refused, DNS, proxy, TLS: certainly not processed
    UNTRUSTED = "untrusted"  # a certificate that nobody believes: the same, and waiting does not help
    UNANSWERED = "unanswered"  # bytes left, or may have


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a request is repeated.

    Parameters
    ----------
    repeats : int
        Of a repeatable request that met 5xx or a broken network (7 outlast 68 s at the shortest jitter).
    unsent : int
        Of a POST that never left this machine.
    refusals : int
        Of a request that met 429 (certainly not processed): beside a greedy stranger, ten were seen.
    overlaps : int
        Of a write to a bot that another program was just writing to (409).
    """

    repeats: int = len(_BACK_OFF_S)
    unsent: int = len(_UNSENT_S)
    refusals: int = 20
    overlaps: int = 4


@dataclass(slots=True)
class Tries:
    """What one call has met so far.

    Attributes
    ----------
    count : int
        Tries, this one included.
    writes : int
        What the process had written when this try left (see `memory`).
    broken : int
        5xx answers and broken connections.
    refusals : int
        429 answers.
    renewed : bool
        A new token was fetched because of a 401.
    maybe_done : bool
        An earlier try may have taken effect.
    """

    count: int = 0
    writes: int = 0
    broken: int = 0
    refusals: int = 0
    renewed: bool = False
    maybe_done: bool = False


def judge_answer(status: int, *, safe: bool, tries: Tries, patience: Patience, bot: bool = False) -> Action:
    """What an answer's status asks for; a write to a `bot` (409) may have met another program's."""
    if 200 <= status < 300:
        return Action.DONE
    if status < 400:  # no refusal, and not what was expected: a write may have been done
        return Action.FAIL if safe else Action.UNKNOWN
    if status == 401:
        return Action.FAIL if tries.renewed else Action.RENEW
    if status == 429:
        return Action.PAUSE if tries.refusals < patience.refusals else Action.FAIL
    if status == 409 and safe and bot:
        return Action.BACK_OFF if tries.broken < patience.overlaps else Action.FAIL
    if status >= 500:
        if not safe:
            return Action.UNKNOWN
        return Action.BACK_OFF if tries.broken < patience.repeats else Action.FAIL
    return Action.FAIL


def judge_absence(fate: Fate, *, safe: bool, tries: Tries, patience: Patience) -> Action:
    """What a missing answer asks for."""
    if fate is Fate.UNTRUSTED:
        return Action.FAIL
    if safe:
        return Action.BACK_OFF if tries.broken < patience.repeats else Action.FAIL
    if fate is Fate.UNANSWERED:
        return Action.UNKNOWN
    return Action.BACK_OFF if tries.broken < patience.unsent else Action.FAIL


def back_off_s(nth: int, *, safe: bool, rng: random.Random) -> float:
    """Seconds before the n-th repeat (from 0), with jitter of a quarter either way."""
    row = _BACK_OFF_S if safe else _UNSENT_S
    return row[min(nth, len(row) - 1)] * rng.uniform(0.75, 1.25)


def fate_of(error: httpx.RequestError) -> Fate:
    """How far the request got that ended in this error."""
    if isinstance(error, httpx.ConnectError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Fate.UNTRUSTED
    if isinstance(
        error,
        httpx.ConnectError
        | httpx.ConnectTimeout
        | httpx.PoolTimeout
        | httpx.ProxyError
        | httpx.UnsupportedProtocol
        | httpx.LocalProtocolError,
    ):
        return Fate.UNSENT
    return Fate.UNANSWERED
