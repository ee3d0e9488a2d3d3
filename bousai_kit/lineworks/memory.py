"""What a process need not ask again: final refusals, and Locations that point elsewhere. Pure.

A 4xx other than 429 is final: the same request (method, path, query, body) is not sent again. Something
written in between may change the answer, so a write forgets what it may have mended. A look-up that found
nothing may be asked again after 10 s.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from bousai_kit.errors import LineWorksError

__all__ = ["RefusalMemory", "request_key"]

_LOOK_UP_S = 10.0
_MOST = 20_000


@dataclass(frozen=True, slots=True)
class _Refusal:
    make: Callable[[], LineWorksError]
    until: float
    method: str
    path: str
    writes: int


def request_key(method: str, target: str, body: bytes | None) -> str:
    """One request's identity; holds nothing readable of the body."""
    return f"{method} {target} {hashlib.sha256(body).hexdigest() if body else ''}"


class RefusalMemory:
    """Remembers what was refused for good. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._refusals: OrderedDict[str, _Refusal] = OrderedDict()
        self._writes = 0

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
        if now >= found.until or (found.method in ("GET", "DELETE") and found.writes != self._writes):
            del self._refusals[key]
            return
        raise found.make()

    def refused(
        self, key: str, *, method: str, path: str, status: int, now: float, make: Callable[[], LineWorksError]
    ) -> None:
        """Remember a refusal (`status` 0: a Location that is not followed)."""
        until = now + _LOOK_UP_S if method == "GET" and status == 404 else float("inf")
        # a foreign Location stays foreign whatever is written: it is filed under a method that nothing forgets
        self._refusals[key] = _Refusal(make, until, method if status else "-", path, self._writes)
        if len(self._refusals) > _MOST:
            self._refusals.popitem(last=False)

    def wrote(self, method: str, path: str) -> None:
        """Something was written: look-ups and deletions may now end otherwise, and so may writes nearby."""
        self._writes += 1
        if not self._refusals:
            return
        near = [
            key
            for key, found in self._refusals.items()
            if found.method in ("POST", "PATCH", "PUT")
            and (
                (found.path == path and method != "POST")
                or (found.path.startswith(path + "/") and method != "POST")
                or path.startswith(found.path + "/")
            )
        ]
        for key in near:
            del self._refusals[key]
