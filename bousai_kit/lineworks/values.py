"""What a call gives back, and what a notebook may show of it."""

from __future__ import annotations

import json as jsonlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from bousai_kit.errors import ProtocolViolation
from bousai_kit.lineworks.tokens import parse_http_date

__all__ = ["Answer", "Stats", "Trace"]


@dataclass(frozen=True, slots=True)
class Trace:
    """One request as a notebook may show it: never a secret, a body, a query or a login id.

    Attributes
    ----------
    method, path, status, ms
        `status` is None when no answer came; `ms` are milliseconds of the kit's clock.
    limit_left : int or None
        `RateLimit-Remaining` of the answer.
    operation, attempt
        What the limit counts; 1 for the first try.
    """

    method: str
    path: str
    status: int | None
    ms: float
    limit_left: int | None
    operation: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer.

    Attributes
    ----------
    status : int
    headers : httpx.Headers
    content : bytes
        As it came.
    requested_at, answered_at : datetime
        Kit clock, aware UTC: when the try left that was answered, and when its answer was in.
    """

    status: int
    headers: httpx.Headers = field(repr=False)
    content: bytes = field(repr=False)
    requested_at: datetime
    answered_at: datetime
    _read: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    def json(self) -> Any:
        """The decoded body, decoded once; ``{}`` for an empty one.

        Raises
        ------
        ProtocolViolation
            It is not JSON.
        """
        if self._read:
            return self._read[0]
        try:
            self._read.append(jsonlib.loads(self.content) if self.content.strip() else {})
        except (ValueError, RecursionError):
            raise ProtocolViolation("LINE WORKS の応答を JSON として読み取れません。") from None
        return self._read[0]

    @property
    def server_date(self) -> datetime | None:
        """The answer's ``Date`` header, aware UTC."""
        return parse_http_date(self.headers.get("date"))


@dataclass(slots=True)
class Stats:
    """Counts of one client since it was built.

    Attributes
    ----------
    requests : int
        Requests that were sent to the API (repeats included; the token and second steps of a redirect not).
    throttled : int
        429 answers among them.
    """

    requests: int = 0
    throttled: int = 0
