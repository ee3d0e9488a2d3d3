"""Who has an account, was invited, has logged in, can be reached, is stuck and why.

The directory tells a first login only by ``isPending`` turning false; when that was, the auth log says, else
the moment at which it was first seen here (kept in the ledger, once a person). Being reachable is told by
the person's first sign of life towards the bot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bousai_kit.ledger import NewEvent
from bousai_kit.onboarding.auth_log import AuthLog, Login, pull_logins
from bousai_kit.onboarding.curve import Curve, build_curve
from bousai_kit.onboarding.facts import ACTIVATION, Expected, Facts, read_facts, write_facts
from bousai_kit.onboarding.stuck import (
    EXPIRES,
    REASONS,
    STUCK_AFTER,
    find_case,
    give_to,
    group_of,
    since_creation,
)
from bousai_kit.onboarding.tenant_view import Member, see_member
from bousai_kit.roster import Roster

if TYPE_CHECKING:
    from bousai_kit.ledger import Ledger
    from bousai_kit.lineworks.client import LineWorksClient
    from bousai_kit.logs.archive import Archive
    from bousai_kit.onboarding.auth_log import Fetch

__all__ = ["EXPIRES", "STUCK_AFTER", "Expected", "Status", "count_status", "expected_of", "onboarding_status"]

_COUNTED = ("planned", "created", "invited", "pending", "active", "reachable")
_NO_CALLBACKS = (
    "Bot の受信がまだ 1 件もないため、Bot を開いたかどうかは分かりません（訓練をすると分かります）。"
)
_UNKNOWN_BEGIN = timedelta(days=31)  # of the auth log, where no account was made from here


@dataclass(frozen=True, slots=True)
class Status:
    """The funnel.

    Attributes
    ----------
    planned : int
        People of the roster (or of the applies in the ledger).
    created, invited, pending, active : int
        Of them: have an account; a slip was printed or a mail sent for this account; have not logged in yet;
        are in use.
    reachable : int
        Of them: have shown the bot a sign of life.
    stuck : tuple of dict
        ``staff_number, user_id, code, reason, todo, ask, days, give_to, ward, bureau, device_os``; ids only.
    by_device_os, by_ward, by_bureau : dict
        The same counts by group.
    curve : Curve
        The same over days.
    notes : tuple of str
        What could not be known, and why.
    """

    planned: int
    created: int
    invited: int
    pending: int
    active: int
    reachable: int
    stuck: tuple[dict[str, Any], ...]
    by_device_os: dict[str, dict[str, int]]
    by_ward: dict[str, dict[str, int]]
    by_bureau: dict[str, dict[str, int]]
    as_of: datetime
    uninvited: int = 0  # logged in although no invitation is on record
    curve: Curve = field(default_factory=Curve)
    notes: tuple[str, ...] = ()

    @property
    def login_rate(self) -> float:
        """Share of those with an account who have logged in."""
        return self.active / self.created if self.created else 0.0

    @property
    def stuck_by(self) -> dict[str, int]:
        """How many for which reason, in the order of `REASONS`."""
        counts = Counter(one["code"] for one in self.stuck)
        return {code: counts[code] for code in REASONS if counts[code]}

    def as_json(self) -> dict[str, Any]:
        """The keys of ``onboard status --json``."""
        return {
            "as_of": self.as_of.isoformat(),
            **{name: getattr(self, name) for name in _COUNTED},
            "uninvited": self.uninvited,
            "stuck": list(self.stuck),
            "stuck_by": self.stuck_by,
            "by_device_os": self.by_device_os,
            "by_ward": self.by_ward,
            "by_bureau": self.by_bureau,
            "curve": self.curve.as_json(),
            "notes": list(self.notes),
        }


def expected_of(roster: Roster) -> list[Expected]:
    """The people of a roster, without their names."""
    return [
        Expected(one.staff_number, one.device_os, one.ward, one.bureau, hq_role=one.hq_role)
        for one in roster.people
    ]


async def onboarding_status(
    client: LineWorksClient,
    ledger: Ledger,
    *,
    domain_id: int,
    roster: Roster | None = None,
    archive: Archive | None = None,
    fetch: Fetch | None = None,
) -> Status:
    """Count them; changes nothing in the tenant, and writes first logins down when they are first seen.

    Parameters
    ----------
    roster : Roster, optional
        Whom to count; default: everybody whom an apply of this ledger was about.
    archive, fetch : optional
        With an archive the auth log tells when people logged in and who tried in vain; `fetch` pulls what
        it does not hold yet.

    Raises
    ------
    LineWorksError
        The members cannot be listed.
    """
    clock = client.clock
    members = await list_members(client, domain_id)
    facts = await read_facts(ledger)
    expected = list(facts.people.values()) if roster is None else expected_of(roster)
    auth = AuthLog()
    if archive is not None and members and expected:
        since = min(facts.created_at.values(), default=clock.now() - _UNKNOWN_BEGIN)
        auth = await pull_logins(archive, fetch, clock=clock, since=since)
    now = clock.now()
    find = _finder(members)
    theirs = [member for member in map(find, expected) if member is not None]
    news = _first_logins(theirs, facts, auth, now)
    await write_facts(ledger, facts, news)
    return count_status(expected, members, facts=facts, auth=auth, now=now)


async def list_members(client: LineWorksClient, domain_id: int) -> list[Member]:
    """Members of this domain who are not deleted."""
    return [
        see_member(user)
        async for user in client.users.list()
        if user.get("domainId") in (None, domain_id) and not user.get("isDeleted")
    ]


def _first_logins(members: Iterable[Member], facts: Facts, auth: AuthLog, now: datetime) -> list[NewEvent]:
    """What is new about first logins; put into the facts as well."""
    news = []
    for member in members:
        who = member.user_id
        if member.pending:
            continue
        if who not in facts.seen:
            facts.seen[who] = now
            news.append(NewEvent(ACTIVATION, "activation.seen", who, once=f"{ACTIVATION}|seen|{who}"))
        if who not in facts.logins:
            first = next((one.at for one in _rows(member, facts, auth) if one.ok), None)
            if first is not None:
                facts.logins[who] = first
                body = {"at": first.isoformat()}
                news.append(
                    NewEvent(ACTIVATION, "activation.login", who, body, once=f"{ACTIVATION}|login|{who}")
                )
    return news


def _finder(members: Iterable[Member]) -> Callable[[Expected], Member | None]:
    """By staff number, else by the id that the account had when it was planned."""
    listed = list(members)
    by_key = {member.key: member for member in listed if member.key}
    by_id = {member.user_id: member for member in listed}
    return lambda person: by_key.get(person.staff_number) or by_id.get(person.user_id)


def count_status(
    expected: Iterable[Expected],
    members: Iterable[Member],
    *,
    facts: Facts,
    now: datetime,
    auth: AuthLog | None = None,
) -> Status:
    """The funnel, from what was read. Pure."""
    find, people = _finder(members), list(expected)
    helpers = give_to(people)
    total: Counter[str] = Counter()
    tables: dict[str, dict[str, Counter[str]]] = {"device_os": {}, "ward": {}, "bureau": {}}
    stuck = []
    times: dict[str, list[datetime | None]] = {"created": [], "logged_in": [], "reachable": []}
    for person in people:
        member = find(person)
        login = None if member is None else _login(member, facts)
        states = ["planned"] if member is None else ["planned", *_states(person, member, facts)]
        if member is not None:
            times["created"].append(facts.created_at.get(member.user_id))
            if not member.pending:
                times["logged_in"].append(login)
            if "reachable" in states:
                times["reachable"].append(facts.reached[member.user_id])
        total.update(states)
        for name, table in tables.items():
            table.setdefault(str(getattr(person, name)) or "（記入なし）", Counter()).update(states)
        rows = _rows(member, facts, auth)
        case = find_case(person, member, facts=facts, rows=rows, login=login, now=now)
        if case is not None:
            stuck.append(
                {
                    "staff_number": person.staff_number,
                    "user_id": "" if member is None else member.user_id,
                    "code": case.code,
                    "reason": case.reason,
                    "todo": case.todo,
                    "ask": case.said,
                    "days": case.days,
                    "give_to": group_of(person),  # who that is, below
                    "ward": person.ward,
                    "bureau": person.bureau,
                    "device_os": person.device_os,
                }
            )
    out = {one["staff_number"] for one in stuck}
    in_use = {
        group: next((one for one in numbers if one not in out), "") for group, numbers in helpers.items()
    }
    for one in stuck:
        group = str(one["give_to"])
        one["give_to"] = in_use.get(group) or _other(helpers.get(group, ()), str(one["staff_number"]))
    order = list(REASONS)
    stuck.sort(key=lambda one: (order.index(str(one["code"])), -int(str(one["days"]))))  # the worst first
    notes = [] if auth is None else list(auth.notes)
    if total["active"] and not facts.reached:
        notes.append(_NO_CALLBACKS)
    return Status(
        **{name: total[name] for name in (*_COUNTED, "uninvited")},
        stuck=tuple(stuck),
        by_device_os=_plain(tables["device_os"]),
        by_ward=_plain(tables["ward"]),
        by_bureau=_plain(tables["bureau"]),
        as_of=now,
        curve=build_curve(*times.values(), now=now, planned=total["planned"]),
        notes=tuple(notes),
    )


def _states(person: Expected, member: Member, facts: Facts) -> Iterable[str]:
    yield "created"
    invited = facts.invited_at(member.user_id, person.staff_number) is not None
    if invited:
        yield "invited"
    if member.pending:
        yield "pending"
    elif not member.suspended:
        yield "active"
        if not invited:
            yield "uninvited"
    if member.user_id in facts.reached:
        yield "reachable"


def _login(member: Member, facts: Facts) -> datetime | None:
    """When somebody in use logged in first, as well as it is known."""
    if member.pending:
        return None
    known = (facts.logins.get(member.user_id), facts.seen.get(member.user_id))
    return min((at for at in known if at is not None), default=None)


def _rows(member: Member | None, facts: Facts, auth: AuthLog | None) -> list[Login]:
    if member is None or auth is None:
        return []
    return since_creation(
        auth.by_login.get(member.login_id.lower(), ()), facts.created_at.get(member.user_id)
    )


def _other(numbers: Iterable[str], own: str) -> str:
    """The first who is not the person."""
    return next((number for number in numbers if number != own), "")


def _plain(table: dict[str, Counter[str]]) -> dict[str, dict[str, int]]:
    return {name: {key: counts[key] for key in _COUNTED} for name, counts in table.items()}
