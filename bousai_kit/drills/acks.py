"""Answers: the first tap gives the time, the last tap the answer. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bousai_kit.drills.wording import parse_postback

if TYPE_CHECKING:
    from bousai_kit.ledger import Event

__all__ = ["Answer", "answer_of", "moment"]


@dataclass(slots=True)
class Answer:
    """What one person said to one message.

    Attributes
    ----------
    first_at, last_at : datetime
        Of the service's clock.
    first_choice, choice : int
        Which button, from 1; ``choice`` is the one that counts.
    taps : int
    """

    first_at: datetime
    last_at: datetime
    first_choice: int
    choice: int
    taps: int = 1

    def add(self, at: datetime, choice: int) -> None:
        """One more tap, which may have overtaken others on its way here."""
        self.taps += 1
        if at < self.first_at:
            self.first_at, self.first_choice = at, choice
        if at >= self.last_at:
            self.last_at, self.choice = at, choice


def answer_of(event: Event, drill_id: str) -> tuple[str, datetime, int] | None:
    """Message, moment and choice of a callback, or of an answer found in a log; None: another's."""
    body = event.body
    if event.stream != "callbacks":
        at = moment(body.get("answered_at") or body.get("issued_at") or body.get("at"))
        message = body.get("message_id")
        return None if at is None or not message else (str(message), at, int(body.get("choice") or 0))
    said = body.get("postback") or body.get("data")
    found = parse_postback(said) if isinstance(said, str) else None
    if found is None or found[0] != drill_id:
        return None
    return found[1], moment(body.get("issued_at")) or event.recorded_at, found[2]


def moment(text: object) -> datetime | None:
    """An aware time out of an event's body."""
    if not isinstance(text, str) or not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None
