"""What a process need not ask again: final refusals, and Locations that point elsewhere. Pure.

A 4xx other than 401 and 429 is final: the same request (method, path, query, body) is not sent again. A
look-up that found nothing may be asked again after 10 s. Once something was written, look-ups and deletions
may end otherwise and are asked anew; a refused write stays refused (a mended one is another request).
A Location elsewhere is kept for 5 minutes: it may be the page of a proxy where somebody has logged in since.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from bousai_kit.errors import LineWorksError

__all__ = ["RefusalMemory", "request_key"]

_LOOK_UP_S = 10.0
_FOREIGN_S = 300.0
_MOST = 20_000
_MENDABLE = ("GET", "DELETE")
_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class _Refusal:
    make: Callable[[], LineWorksError]
    until: float
    writes: int | None  # seen when it was refused; None: no write can mend it


def request_key(method: str, target: str, body: bytes | None) -> str:
    """One request's identity; holds nothing readable of the body."""
    return f"{method} {target} {hashlib.sha256(body).hexdigest() if body else ''}"


class RefusalMemory:
    """Remembers what was refused for good. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._refusals: OrderedDict[str, _Refusal] = OrderedDict()
        self.writes = 0
        """Count of writes; a try notes it before it leaves."""

    def check(self, key: str, now: float) -> None:
        """Raise what the same request met before.

        Raises
        ------
        LineWorksError
            An `ApiError` of the same kind, or `ForeignLocation`.
        """
        found = self._refusals.get(key)
        if found is None:
            return
        if now >= found.until or (found.writes is not None and found.writes != self.writes):
            del self._refusals[key]
            return
        raise found.make()

    def refused(
        self,
        key: str,
        *,
        method: str,
        status: int,
        writes: int,
        now: float,
        make: Callable[[], LineWorksError],
    ) -> None:
        """Remember a refusal; `make` builds its error anew, `writes` is the count when the request left."""
        until = now + _LOOK_UP_S if method == "GET" and status == 404 else _NEVER
        self._keep(key, _Refusal(make, until, writes if method in _MENDABLE else None))

    def foreign(self, key: str, make: Callable[[], LineWorksError], *, now: float) -> None:
        """Remember a Location that is not followed: for a while it stays foreign whatever is written."""
        self._keep(key, _Refusal(make, now + _FOREIGN_S, None))

    def wrote(self) -> None:
        """Something was written, or may have been."""
        self.writes += 1

    def clear(self) -> None:
        """Forget it all."""
        self._refusals.clear()

    def _keep(self, key: str, refusal: _Refusal) -> None:
        self._refusals[key] = refusal
        if len(self._refusals) > _MOST:
            self._refusals.popitem(last=False)
