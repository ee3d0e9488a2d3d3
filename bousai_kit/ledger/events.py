"""What is written (`NewEvent`), what is read (`Event`), and the step between."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from bousai_kit.ledger.chain import content_digest, event_hash

__all__ = ["Draft", "Event", "Line", "NewEvent", "draft", "microseconds", "moment"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DECODER = json.JSONDecoder()
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be written.

    Parameters
    ----------
    stream : str
        ``callbacks``, ``drill:<id>``, ``apply:<id>``, ``export:<service>``.
    kind : str
        ``dispatch.intended`` …
    subject : str
        Whom or what it is about: a user id, a room, a step; never a name.
    body : mapping
        Anything JSON can hold (no NaN); keys are strings.
    once : str, optional
        At most one event with this key is ever written, whichever process tries.
    """

    stream: str
    kind: str
    subject: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    once: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it stands in the ledger.

    Attributes
    ----------
    seq : int
        1, 2, 3, … without a gap.
    recorded_at : datetime
        Aware UTC, the kit's clock when it was handed over.
    body : mapping
        Treat as read-only.
    prev_hash, hash, salt : str
        See `bousai_kit.ledger.chain`.
    """

    seq: int
    recorded_at: datetime
    stream: str
    kind: str
    subject: str
    body: Mapping[str, Any]
    once: str | None
    prev_hash: str
    hash: str
    salt: str = field(default="", repr=False)


class Line(NamedTuple):
    """What an event says, without its place in the chain: for a fold over very many.

    Attributes
    ----------
    at : int
        When it was recorded, µs since the epoch (`moment` makes a time of it).
    body : mapping
        Read-only: lines that say the same may share it.
    """

    seq: int
    at: int
    kind: str
    subject: str
    body: Mapping[str, Any]


class Draft(NamedTuple):
    """A checked event that only lacks its place in the chain."""

    recorded_at: int
    stream: str
    kind: str
    subject: str
    body: str
    once: str | None
    salt: str
    content: str

    def placed(self, seq: int, prev_hash: str) -> Event:
        """The event at this place of the chain."""
        own = event_hash(seq, self.recorded_at, self.stream, self.kind, self.content, prev_hash)
        return Event(
            seq,
            moment(self.recorded_at),
            self.stream,
            self.kind,
            self.subject,
            _DECODER.decode(self.body),
            self.once,
            prev_hash,
            own,
            self.salt,
        )


def microseconds(at: datetime) -> int:
    """Aware time → µs since the epoch."""
    return (at - _EPOCH) // _MICROSECOND


def moment(at: int) -> datetime:
    """µs since the epoch → aware UTC."""
    return _EPOCH + timedelta(microseconds=at)


def draft(
    at: datetime, stream: str, kind: str, subject: str, body: Mapping[str, Any], once: str | None
) -> Draft:
    """Check an event and fix its text, so that nothing about it can fail while it is written.

    Raises
    ------
    TypeError, ValueError
        A field is not text, or holds what JSON or UTF-8 cannot hold. The value is not in the message.
    """
    if not (stream and kind) or once == "":
        raise ValueError("stream, kind and once must not be empty")
    try:
        text = _ENCODER.encode(dict(body))
        for field_text in (stream, kind, subject, once or ""):
            if "\0" in field_text:
                raise ValueError("stream, kind, subject and once must not hold a NUL")
            field_text.encode()
        salt = os.urandom(16).hex()
        content = content_digest(salt, subject, text, once)  # encodes all of it
    except UnicodeEncodeError:
        raise ValueError("an event must be valid Unicode") from None
    except RecursionError:
        raise ValueError("body is nested too deeply") from None
    except (TypeError, AttributeError):
        raise TypeError("an event is made of strings, and of what JSON can hold") from None
    return Draft(microseconds(at), stream, kind, subject, text, once, salt, content)
