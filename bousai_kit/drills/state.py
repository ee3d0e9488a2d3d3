"""What has become of a drill: a fold over its events and the callbacks beside them. Pure.

Events are taken by ``seq``; one that was seen already changes nothing. A dispatch goes ``intended →
accepted | refused | unknown → settled_delivered | settled_absent``; an intent without outcome counts as
unknown. Nobody answers what did not arrive: a person's own answer settles it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bousai_kit.drills.acks import Answer, answer_of, moment
from bousai_kit.errors import DrillError

if TYPE_CHECKING:
    from bousai_kit.ledger import Event

__all__ = ["Attempt", "DrillState", "Pair", "Reach", "fold", "read_state"]

Pair = tuple[str, str]
"""Message and person."""

_OPEN = ("intended", "unknown")
_CALLBACKS = ("callback.message", "callback.postback")


@dataclass(slots=True)
class Attempt:
    """One dispatch: a message to one person, or to a room.

    Attributes
    ----------
    key : str
        ``<message>/<first|rN|resendN>/<subject>``.
    status : str
        ``intended``, ``accepted``, ``refused``, ``unknown``, ``settled_delivered``, ``settled_absent``.
    ended_at : datetime or None
        When its outcome (or that there is none) was known.
    unsent : bool
        Refused, and certainly nothing was processed: it may simply be tried again.
    """

    key: str
    message_id: str
    attempt: str
    subject: str
    members: tuple[str, ...]
    intended_at: datetime
    room: bool = False
    status: str = "intended"
    accepted_at: datetime | None = None
    ended_at: datetime | None = None
    code: str = ""
    reason: str = ""
    unsent: bool = False

    @property
    def delivered(self) -> bool:
        """It arrived, as far as anybody can know."""
        return self.status in ("accepted", "settled_delivered")

    @property
    def open(self) -> bool:
        """Whether it arrived is not known."""
        return self.status in _OPEN

    @property
    def reminds(self) -> bool:
        """It is a reminder."""
        return self.attempt.startswith("r") and self.attempt[1:].isdigit()


@dataclass(slots=True)
class Reach:
    """One message and one person."""

    attempts: dict[str, Attempt] = field(default_factory=dict)
    answer: Answer | None = None

    @property
    def sent_at(self) -> datetime | None:
        """This person's own send: the clock starts here. None: not reached."""
        arrived = [one.accepted_at or one.intended_at for one in self.attempts.values() if one.delivered]
        if arrived:
            return min(arrived)
        if self.answer is not None:
            return min(one.intended_at for one in self.attempts.values())
        return None

    @property
    def firsts(self) -> list[Attempt]:
        """Attempts other than reminders, by time."""
        return [one for one in self.attempts.values() if not one.reminds]


class DrillState:
    """A drill as its events tell it; made by `fold` or `read_state`, kept up to date by `take`."""

    def __init__(self, drill_id: str) -> None:
        self.drill_id = drill_id
        self.seq = 0
        self.plan: Mapping[str, Any] = {}
        self.messages: dict[str, Mapping[str, Any]] = {}
        self.people: dict[str, Mapping[str, Any]] = {}
        self.unreachable: dict[str, Mapping[str, Any]] = {}
        self.reaches: dict[Pair, Reach] = {}
        self.attempts: dict[str, Attempt] = {}
        self.aside: list[tuple[str, str, datetime]] = []  # message, user, when: not a recipient
        self.waves: dict[int, Mapping[str, Any]] = {}
        self.approval: Mapping[str, Any] | None = None
        self.planned_at: datetime | None = None
        self.started_at: datetime | None = None
        self.closed_at: datetime | None = None
        self.last_at: datetime | None = None
        self.requests = 0
        self.throttled = 0
        self._by_verdict: tuple[int, dict[str, set[str]]] | None = None  # as of which seq

    def __repr__(self) -> str:
        return f"<DrillState {self.drill_id} {self.state} sent={self.sent} acked={self.acked}>"

    # -- one event ----------------------------------------------------------------------------------

    def take(self, event: Event) -> list[Pair]:
        """Take the next event; returns the messages and persons of whom something has changed."""
        if event.seq <= self.seq:
            return []
        self.seq = event.seq
        if event.stream == "callbacks":
            return self._callback(event)
        if event.stream != f"drill:{self.drill_id}":
            return []
        self.last_at = event.recorded_at
        area, _, what = event.kind.partition(".")
        if area == "dispatch":
            return self._dispatch(event, what)
        if area == "ack":
            found = answer_of(event, self.drill_id)
            return self._answer(found, event.subject) if found is not None else []
        self._drill(event, what)
        return []

    def _drill(self, event: Event, what: str) -> None:
        body = event.body
        at = moment(body.get("at")) or event.recorded_at
        if what == "planned":
            self.plan, self.planned_at = body, at
            self.messages = {str(message["id"]): message for message in body.get("messages", ())}
        elif what == "recipient":
            self.people[event.subject] = body
            self.unreachable.pop(str(body.get("staff_number", "")), None)
        elif what == "unreachable":
            self.unreachable[event.subject] = body
            for user, person in list(self.people.items()):
                if person.get("staff_number") == event.subject and not self._was_tried(user):
                    del self.people[user]
        elif what == "started":
            self.started_at = self.started_at or at
        elif what == "approved":
            self.approval = self.approval or body
        elif what == "wave":
            self.waves.setdefault(int(body.get("wave", -1)), body)
        elif what == "rested":
            self.requests += int(body.get("requests", 0))
            self.throttled += int(body.get("throttled", 0))
        elif what == "closed":
            self.closed_at = self.closed_at or at

    def _was_tried(self, user: str) -> bool:
        return any((message, user) in self.reaches for message in self.messages)

    def _dispatch(self, event: Event, what: str) -> list[Pair]:
        body = event.body
        message = str(body.get("message_id", ""))
        key = str(body.get("dispatch") or f"{message}/first/{event.subject}")
        at = moment(body.get("at")) or event.recorded_at
        attempt = self.attempts.get(key)
        if attempt is None:
            members = body.get("members")
            room = isinstance(members, list | tuple)
            attempt = self.attempts[key] = Attempt(
                key=key,
                message_id=message,
                attempt=[*key.split("/"), "first"][1],
                subject=event.subject,
                members=tuple(map(str, members)) if members is not None and room else (event.subject,),
                intended_at=at,
                room=room,
            )
            for user in attempt.members:
                self.reaches.setdefault((message, user), Reach()).attempts[key] = attempt
        if what != "intended":
            self._outcome(attempt, what, body, at)
        return [(message, user) for user in attempt.members]

    def _outcome(self, attempt: Attempt, what: str, body: Mapping[str, Any], at: datetime) -> None:
        if attempt.delivered or (attempt.status == "settled_absent" and what == "unknown"):
            return  # what has arrived stays so
        attempt.status = what
        attempt.ended_at = at
        if what == "accepted":
            attempt.accepted_at = moment(body.get("accepted_at")) or at
        elif what == "settled_delivered":
            found = moment(body.get("accepted_at")) or moment(body.get("issued_at"))
            attempt.accepted_at = found or attempt.intended_at
        else:
            attempt.code = str(body.get("code") or "")
            attempt.reason = str(body.get("reason") or body.get("description") or "")
            attempt.unsent = bool(body.get("unsent"))

    def _callback(self, event: Event) -> list[Pair]:
        found = answer_of(event, self.drill_id)
        return [] if found is None else self._answer(found, event.subject)

    def _answer(self, found: tuple[str, datetime, int], user: str) -> list[Pair]:
        message, at, choice = found
        reach = self.reaches.get((message, user))
        if reach is None:
            self.aside.append((message, user, at))
            return []
        if reach.answer is None:
            reach.answer = Answer(at, at, choice, choice)
        else:
            reach.answer.add(at, choice)
        return [(message, user)]

    # -- what it amounts to -------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """As the scenario has it."""
        return str(self.plan.get("title", ""))

    @property
    def kind(self) -> str:
        """``exercise``, ``actual`` or ``test``."""
        return str(self.plan.get("kind", "exercise"))

    @property
    def state(self) -> str:
        """``planned``, ``open`` or ``closed``."""
        if self.closed_at is not None:
            return "closed"
        return "planned" if self.started_at is None else "open"

    def deadline_s(self, message: str) -> float:
        """Seconds from each person's own send."""
        own = self.messages.get(message, {}).get("deadline_s")
        return float(own or self.plan.get("deadline_s") or 1800.0)

    def deadline_of(self, pair: Pair) -> datetime | None:
        """Until when an answer is in time; None: not reached."""
        sent = self.reaches[pair].sent_at if pair in self.reaches else None
        return None if sent is None else sent + timedelta(seconds=self.deadline_s(pair[0]))

    def asks(self, message: str) -> bool:
        """Whether the message has buttons: without them nobody can be silent."""
        return bool(self.messages.get(message, {}).get("buttons"))

    def verdict(self, pair: Pair) -> str:
        """``acked``, ``late``, ``silent`` (or ``told``: no answer is asked for), ``unknown``, ``refused``."""
        reach = self.reaches[pair]
        sent = reach.sent_at
        if sent is None:
            return "unknown" if any(one.open for one in reach.attempts.values()) else "refused"
        if reach.answer is not None:
            cut = sent + timedelta(seconds=self.deadline_s(pair[0]))
            return "acked" if reach.answer.first_at <= cut else "late"
        return "silent" if self.asks(pair[0]) else "told"

    def people_by_verdict(self) -> dict[str, set[str]]:
        """Persons by the best that any message met with them; ``sent``: reached at all. Read only."""
        if self._by_verdict is not None and self._by_verdict[0] == self.seq:
            return self._by_verdict[1]
        order = ("acked", "late", "silent", "told", "unknown", "refused")
        best: dict[str, int] = {}
        for pair in self.reaches:
            place = order.index(self.verdict(pair))
            best[pair[1]] = min(place, best.get(pair[1], place))
        found: dict[str, set[str]] = {name: set() for name in (*order, "sent")}
        for user, place in best.items():
            found[order[place]].add(user)
            if place < 4:
                found["sent"].add(user)
        self._by_verdict = (self.seq, found)
        return found

    @property
    def sent(self) -> int:
        """People reached, settled deliveries included."""
        return len(self.people_by_verdict()["sent"])

    @property
    def acked(self) -> int:
        """People whose first answer came by the deadline."""
        return len(self.people_by_verdict()["acked"])

    @property
    def late(self) -> int:
        """People whose first answer came after it."""
        return len(self.people_by_verdict()["late"])

    def open_attempts(self) -> list[Attempt]:
        """Dispatches of which nobody knows whether they arrived."""
        found = [one for one in self.attempts.values() if one.open and not self._settled_by_answer(one)]
        return [one for one in found if not (self.kind == "actual" and self._sent_again(one))]

    def _settled_by_answer(self, attempt: Attempt) -> bool:
        pairs = [(attempt.message_id, user) for user in attempt.members]
        return any(self.reaches[pair].answer is not None for pair in pairs)

    def _sent_again(self, attempt: Attempt) -> bool:
        """An `actual` whose stated time is over: the resend decides."""
        if attempt.room:
            return False
        others = self.reaches[attempt.message_id, attempt.subject].attempts.values()
        return any(one.intended_at > attempt.intended_at for one in others)

    def refused_attempts(self) -> list[Attempt]:
        """The last attempt of whoever was not reached because it was refused, or could not leave."""
        return [one for one in self._last_of_unreached() if one.status == "refused"]

    def absent_attempts(self) -> list[Attempt]:
        """The last attempt of whoever was not reached, as the log has shown: to be sent again."""
        return [one for one in self._last_of_unreached() if one.status == "settled_absent"]

    def _last_of_unreached(self) -> list[Attempt]:
        found = [
            max(reach.attempts.values(), key=lambda one: one.intended_at)
            for pair, reach in self.reaches.items()
            if self.verdict(pair) == "refused"
        ]
        return list({one.key: one for one in found}.values())  # a room once


def fold(drill_id: str, events: Iterable[Event]) -> DrillState:
    """Fold events in any order, any of them several times."""
    state = DrillState(drill_id)
    for event in sorted(events, key=lambda event: event.seq):
        state.take(event)
    return state


async def read_state(ledger: Any, drill_id: str) -> DrillState:
    """A drill as the ledger tells it now.

    Raises
    ------
    DrillError
        There is no such drill.
    """
    head, _ = await ledger.head()
    own = await ledger.read(stream=f"drill:{drill_id}")
    if not own:
        raise DrillError(
            f"訓練 {drill_id} は台帳にありません。",
            hint="`bousai drill list` で訓練 ID を確認してください。",
        )
    answers = await ledger.read(after=own[0].seq, stream="callbacks", kinds=_CALLBACKS)
    state = fold(drill_id, (event for event in (*own, *answers) if event.seq <= head))
    state.seq = head
    return state
