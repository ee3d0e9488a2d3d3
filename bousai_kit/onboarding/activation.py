"""Who has an account, who has logged in, who can be reached, who is stuck and why.

The directory tells a first login only by ``isPending`` turning false; being reachable is told by the person's
first callback (the bot was opened, or something was answered).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bousai_kit.onboarding.tenant_view import Member, see_member
from bousai_kit.roster import Roster

if TYPE_CHECKING:
    from bousai_kit.ledger import Ledger
    from bousai_kit.lineworks.client import LineWorksClient

__all__ = ["EXPIRES", "STUCK_AFTER", "Expected", "Status", "onboarding_status"]

STUCK_AFTER = timedelta(days=3)
EXPIRES = timedelta(days=30)
_COUNTED = ("planned", "created", "pending", "active", "reachable")


@dataclass(frozen=True, slots=True)
class Expected:
    """Somebody who should get in; ids and groups only."""

    staff_number: str
    device_os: str = ""
    ward: str = ""
    bureau: str = ""
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """The funnel.

    Attributes
    ----------
    planned : int
        People of the roster (or of the applies in the ledger).
    created, pending, active : int
        Of them: have an account; have not logged in yet; are in use.
    reachable : int
        Of them: have shown the bot a sign of life.
    stuck : tuple of dict
        ``staff_number, user_id, reason``; ids only.
    by_device_os, by_ward, by_bureau : dict
        The same counts by group.
    """

    planned: int
    created: int
    pending: int
    active: int
    reachable: int
    stuck: tuple[dict[str, str], ...]
    by_device_os: dict[str, dict[str, int]]
    by_ward: dict[str, dict[str, int]]
    by_bureau: dict[str, dict[str, int]]
    as_of: datetime

    @property
    def login_rate(self) -> float:
        """Share of those with an account who have logged in."""
        return self.active / self.created if self.created else 0.0

    def as_json(self) -> dict[str, Any]:
        """The keys of ``onboard status --json``."""
        return {
            "as_of": self.as_of.isoformat(),
            **{name: getattr(self, name) for name in _COUNTED},
            "stuck": list(self.stuck),
            "by_device_os": self.by_device_os,
            "by_ward": self.by_ward,
            "by_bureau": self.by_bureau,
        }


async def onboarding_status(
    client: LineWorksClient, ledger: Ledger, *, domain_id: int, roster: Roster | None = None
) -> Status:
    """Count them; reads the ledger and the list of members, changes nothing.

    Parameters
    ----------
    roster : Roster, optional
        Whom to count; default: everybody whom an apply of this ledger was about.

    Raises
    ------
    LineWorksError
        The members cannot be listed.
    """
    events = await ledger.read(prefix="apply:", kinds=("apply.person", "user.created", "undo.begun"))
    undone = {event.stream for event in events if event.kind == "undo.begun"}
    created_at = {event.subject: event.recorded_at for event in events if event.kind == "user.created"}
    if roster is not None:
        expected = [Expected(one.staff_number, one.device_os, one.ward, one.bureau) for one in roster.people]
    else:
        found: dict[str, Expected] = {}
        for event in events:
            if event.kind == "apply.person" and event.stream not in undone:
                body = event.body
                said = {name: str(body.get(name, "")) for name in ("device_os", "ward", "bureau", "user_id")}
                found[event.subject] = Expected(event.subject, **said)
        expected = list(found.values())
    seen = {event.subject for event in await ledger.read(stream="callbacks") if event.subject}
    members = [
        see_member(user)
        async for user in client.users.list()
        if user.get("domainId") in (None, domain_id) and not user.get("isDeleted")
    ]
    return count_status(expected, members, reachable=seen, created_at=created_at, now=client.clock.now())


def count_status(
    expected: Iterable[Expected],
    members: Iterable[Member],
    *,
    reachable: set[str],
    created_at: dict[str, datetime],
    now: datetime,
) -> Status:
    """The funnel, from what was read. Pure."""
    listed = list(members)
    by_key = {member.key: member for member in listed if member.key}
    by_id = {member.user_id: member for member in listed}
    total: Counter[str] = Counter()
    tables: dict[str, dict[str, Counter[str]]] = {"device_os": {}, "ward": {}, "bureau": {}}
    stuck = []
    for person in expected:
        member = by_key.get(person.staff_number) or by_id.get(person.user_id)
        states = ["planned"]
        if member is not None:
            states.append("created")
            if member.pending:
                states.append("pending")
            elif not member.suspended:
                states.append("active")
            if member.user_id in reachable:
                states.append("reachable")
        total.update(states)
        for name, table in tables.items():
            table.setdefault(str(getattr(person, name)) or "（記入なし）", Counter()).update(states)
        reason = _stuck(member, created_at, now)
        if reason:
            user_id = "" if member is None else member.user_id
            stuck.append({"staff_number": person.staff_number, "user_id": user_id, "reason": reason})
    return Status(
        planned=total["planned"],
        created=total["created"],
        pending=total["pending"],
        active=total["active"],
        reachable=total["reachable"],
        stuck=tuple(stuck),
        by_device_os=_plain(tables["device_os"]),
        by_ward=_plain(tables["ward"]),
        by_bureau=_plain(tables["bureau"]),
        as_of=now,
    )


def _plain(table: dict[str, Counter[str]]) -> dict[str, dict[str, int]]:
    return {name: {key: counts[key] for key in _COUNTED} for name, counts in table.items()}


def _stuck(member: Member | None, created_at: dict[str, datetime], now: datetime) -> str:
    if member is None:
        return "アカウントがまだありません。"
    if member.suspended:
        if member.suspended_reason == "LOGIN_FAIL":
            return "ログインの失敗が続き、一時停止されています（管理画面で解除してください）。"
        return "一時停止中です。"
    created = created_at.get(member.user_id)
    if not member.pending or created is None:
        return ""
    waited = now - created
    if waited >= EXPIRES:
        return "30 日以内にログインしなかったため期限切れです（管理画面で仮パスワードを再発行してください）。"
    if waited >= STUCK_AFTER:
        return f"登録から {waited.days} 日、まだログインしていません。"
    return ""
