"""What the ledger knows of everybody's way in: accounts, hand-outs, mails, first logins, signs of life.

Streams: ``apply:…`` (accounts made, slips printed), ``activation`` (mails; first logins and first signs of
life once seen), ``callbacks`` and ``drill:…`` (all signs of life). Ids and staff numbers only. An account is
known by its user id: somebody who was deleted and made again begins anew, somebody who was renamed does not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bousai_kit.ledger import NewEvent
from bousai_kit.onboarding.curve import day_of

if TYPE_CHECKING:
    from bousai_kit.ledger import Event, Ledger

__all__ = ["ACTIVATION", "Expected", "Facts", "Mail", "day_text", "read_facts", "write_facts"]

ACTIVATION = "activation"
_ABOUT = ("device_os", "ward", "bureau", "user_id", "hq_role")
_APPLY = ("apply.person", "apply.leaver", "user.created", "secret.ended", "handout.printed")
_ALIVE = ("callback.begin", "callback.postback", "callback.message")
_MAIL = {"invite.sent": "sent", "invite.failed": "failed", "invite.unknown": "unknown"}
_UNDER_WAY = timedelta(minutes=10)  # no request waits for longer
_PAGE = 2000
_WORTH = 1000  # so many signs of life looked through are worth a mark


@dataclass(frozen=True, slots=True)
class Expected:
    """Somebody who should get in; ids and groups only."""

    staff_number: str
    device_os: str = ""
    ward: str = ""
    bureau: str = ""
    user_id: str = ""
    hq_role: str = ""


@dataclass(slots=True)
class Mail:
    """Where the last invitation of one person stands.

    Attributes
    ----------
    day : str
        In Japan, ISO 8601: at most one mail a day.
    attempt : int
        Of that day.
    status : str
        ``open`` (intended, no outcome), ``sent``, ``failed`` or ``unknown``.
    """

    day: str
    attempt: int
    status: str
    at: datetime
    user_id: str = ""
    before: datetime | None = None  # when the one before went out, if it did
    until: datetime | None = None  # when its outcome was known

    @property
    def last_day(self) -> str:
        """The last day on which it can have left: what was begun before midnight may leave behind it."""
        return max(self.day, day_text(self.until or self.at + _UNDER_WAY))


@dataclass(slots=True)
class Facts:
    """A fold over the ledger.

    Attributes
    ----------
    people : dict
        Staff number → whom the applies were about, those who have left taken out.
    created_at, stream_of : dict
        User id → when and in which stream the account was made.
    by_mail : set of (str, str)
        Stream and staff number of those who were mailed when the account was made.
    ended : set of str
        Streams whose secret has been ended.
    printed : dict
        (stream, staff number) → last time a slip was printed.
    mails : dict
        Staff number (user id where there is none) → the last invitation.
    mailed_at : dict
        User id → last invitation that went out, or may have.
    reached : dict
        User id → first sign of life.
    new_reached : set of str
        Those of them that are not yet written down as such.
    upto : int
        Signs of life up to this place of the ledger are written down, or among the new ones.
    scanned : int
        How many events had to be looked at for it.
    seen, logins : dict
        User id → first time it was seen in use; first login as the auth log says.
    """

    people: dict[str, Expected] = field(default_factory=dict)
    created_at: dict[str, datetime] = field(default_factory=dict)
    stream_of: dict[str, str] = field(default_factory=dict)
    by_mail: set[tuple[str, str]] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    printed: dict[tuple[str, str], datetime] = field(default_factory=dict)
    mails: dict[str, Mail] = field(default_factory=dict)
    mailed_at: dict[str, datetime] = field(default_factory=dict)
    reached: dict[str, datetime] = field(default_factory=dict)
    new_reached: set[str] = field(default_factory=set)
    upto: int = 0
    scanned: int = 0
    seen: dict[str, datetime] = field(default_factory=dict)
    logins: dict[str, datetime] = field(default_factory=dict)

    def chooses_password(self, user_id: str, number: str) -> bool:
        """The account was made with a password that its owner sets from the invitation."""
        return (self.stream_of.get(user_id, ""), number) in self.by_mail

    def printed_at(self, user_id: str, number: str) -> datetime | None:
        """When the slip of this very account was printed last."""
        return self.printed.get((self.stream_of.get(user_id, ""), number))

    def invited_at(self, user_id: str, number: str) -> datetime | None:
        """The last slip or mail of this account; None: neither."""
        made = self.created_at.get(user_id) if self.chooses_password(user_id, number) else None
        times = (made, self.printed_at(user_id, number), self.mailed_at.get(user_id))
        return max((at for at in times if at is not None), default=None)


async def read_facts(ledger: Ledger, *, alive: bool = True) -> Facts:
    """Fold the ledger; changes nothing.

    Parameters
    ----------
    alive : bool
        Look for signs of life as well: there are many after some drills. Those that `write_facts` wrote
        down are not looked for again.
    """
    facts = Facts()
    undone = {event.stream async for event in _each(ledger, prefix="apply:", kinds=("undo.begun",))}
    async for event in _each(ledger, prefix="apply:", kinds=_APPLY):
        _take_apply(facts, event, undone)
    async for event in _each(ledger, stream=ACTIVATION):
        _take_activation(facts, event)
    if alive:
        head, _ = await ledger.head()
        for what in ({"stream": "callbacks", "kinds": _ALIVE}, {"prefix": "drill:", "kinds": ("ack.found",)}):
            async for event in _each(ledger, after=facts.upto, **what):
                facts.scanned += 1
                if event.subject and event.subject not in facts.reached:
                    facts.reached[event.subject] = _said(event)
                    facts.new_reached.add(event.subject)
        facts.upto = head
    return facts


async def _each(ledger: Ledger, *, after: int = 0, **what: Any) -> AsyncIterator[Event]:
    """Events page by page: a list of all would not fit after some years."""
    while True:
        page = await ledger.read(after=after, limit=_PAGE, **what)
        for event in page:
            yield event
        if len(page) < _PAGE:
            return
        after = page[-1].seq


async def write_facts(ledger: Ledger, facts: Facts, more: Sequence[NewEvent]) -> None:
    """Write down `more`, and first signs of life, so that the next look is quick."""
    events = [
        NewEvent(
            ACTIVATION,
            "activation.reached",
            who,
            {"at": facts.reached[who].isoformat()},
            once=f"{ACTIVATION}|reached|{who}",
        )
        for who in sorted(facts.new_reached)
    ]
    await write_all(ledger, [*more, *events])
    if facts.scanned >= _WORTH:  # last: whoever is killed before it looks again
        await ledger.append(ACTIVATION, "activation.upto", body={"seq": facts.upto})
    facts.new_reached, facts.scanned = set(), 0


def _take_apply(facts: Facts, event: Event, undone: set[str]) -> None:
    kind, body = event.kind, event.body
    if kind == "apply.person":
        if body.get("passwords") == "member":
            facts.by_mail.add((event.stream, event.subject))
        if event.stream not in undone:
            said = {name: str(body.get(name, "")) for name in _ABOUT}
            facts.people[event.subject] = Expected(event.subject, **said)
    elif kind == "apply.leaver":
        if event.stream not in undone:
            facts.people.pop(event.subject, None)
    elif kind == "user.created":
        facts.created_at[event.subject] = event.recorded_at
        facts.stream_of[event.subject] = event.stream
    elif kind == "secret.ended":
        facts.ended.add(event.stream)
    elif kind == "handout.printed":  # by `slips`, each time
        facts.printed[event.stream, event.subject] = event.recorded_at


def _take_activation(facts: Facts, event: Event) -> None:
    kind, body, who = event.kind, event.body, event.subject
    if kind == "activation.seen":
        facts.seen.setdefault(who, event.recorded_at)
    elif kind == "activation.login":
        facts.logins.setdefault(who, _moment(body.get("at"), event.recorded_at))
    elif kind == "activation.reached":
        facts.reached.setdefault(who, _moment(body.get("at"), event.recorded_at))
    elif kind == "activation.upto":
        facts.upto = max(facts.upto, int(body.get("seq", 0)))
    elif kind == "invite.intended":
        user_id = str(body.get("user_id", ""))
        facts.mails[who] = Mail(
            str(body.get("day", "")),
            int(body.get("attempt", 1)),
            "open",
            event.recorded_at,
            user_id,
            facts.mailed_at.get(user_id),
        )
        facts.mailed_at[user_id] = event.recorded_at  # until it is known that it did not go out
    elif kind in _MAIL and who in facts.mails:
        mail = facts.mails[who]
        if (mail.day, mail.attempt) == (body.get("day"), body.get("attempt")):
            mail.status, mail.until = _MAIL[kind], event.recorded_at
            if mail.status == "failed" and facts.mailed_at.get(mail.user_id) == mail.at:
                facts.mailed_at.pop(mail.user_id)
                if mail.before is not None:
                    facts.mailed_at[mail.user_id] = mail.before


def _said(event: Event) -> datetime:
    """When an answer was given that was only found later."""
    return _moment(event.body.get("answered_at"), event.recorded_at)


def _moment(text: object, other: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return other
    return at if at.tzinfo is not None else other


async def write_all(ledger: Ledger, events: Sequence[NewEvent]) -> None:
    """Many events, in commits of a size that others can wait for."""
    for first in range(0, len(events), _PAGE):
        await ledger.append_many(events[first : first + _PAGE])


def day_text(at: datetime) -> str:
    """The day in Japan, as mails are counted by."""
    return day_of(at).isoformat()
