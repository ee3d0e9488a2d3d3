"""The invitation once more: a mail to whoever has an account, chooses the own password, and has not come.

At most one mail a person and day (Japan's): the intent is committed before the request leaves, under a key
that can be written once for this person, day and attempt, whichever console tries; the outcome after. What
may have gone out is not sent again that day; only what certainly did not go out is.

The vendor's bulk call is not used: it reaches everybody who is pending (also those whom nobody chose here),
answers 202 without a word on any one of them, and can be made once a day for the whole domain.

Source: reference part 1 §4.8 (``send-invitation-email``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import (
    ApiError,
    AuthRejected,
    ConfigError,
    ForeignLocation,
    InputError,
    LineWorksError,
    OutcomeUnknown,
    PermissionDenied,
    ProtocolViolation,
    TransportFailed,
)
from bousai_kit.onboarding.activation import EXPIRES, expected_of
from bousai_kit.onboarding.facts import ACTIVATION, Expected, Facts, Mail, day_text, read_facts
from bousai_kit.onboarding.tenant_view import Member, see_member
from bousai_kit.onboarding.together import together

if TYPE_CHECKING:
    from datetime import datetime

    from bousai_kit.clock import Clock
    from bousai_kit.ledger import Ledger
    from bousai_kit.lineworks.client import LineWorksClient
    from bousai_kit.roster import Roster

__all__ = ["Invitations", "InviteResult", "Invitee", "plan_invitations", "send_invitations"]

WORKERS = 8
DENIED_IN_A_ROW = 5
_FATAL = (AuthRejected, TransportFailed, ForeignLocation, ConfigError)
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Invitee:
    """Who gets a mail; `email` only where the tenant does not hold the address itself."""

    staff_number: str
    user_id: str
    attempt: int = 1
    email: str = field(default="", repr=False)

    @property
    def key(self) -> str:
        """Whom "once a day" is about."""
        return self.staff_number or self.user_id


@dataclass(frozen=True, slots=True)
class Invitations:
    """Whom a mail would reach now.

    Attributes
    ----------
    day : str
        In Japan; the plan is good for this day.
    invitees : tuple of Invitee
    others : tuple of dict
        ``staff_number, code, reason, todo``: those who get none, and what to do instead.
    """

    day: str
    invitees: tuple[Invitee, ...]
    others: tuple[dict[str, str], ...]

    @property
    def waiting(self) -> int:
        """Those who have not logged in and get no mail."""
        return sum(one["code"] != "logged_in" for one in self.others)


@dataclass(slots=True)
class InviteResult:
    """What was sent."""

    day: str
    sent: list[str] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    unknown: list[dict[str, str]] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)  # another console was quicker
    left: int = 0
    elapsed_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Keys of ``onboard invite --json``."""
        return {
            "day": self.day,
            "sent": len(self.sent),
            "failed": self.failed,
            "unknown": self.unknown,
            "elsewhere": self.elsewhere,
            "left": self.left,
            "elapsed_s": self.elapsed_s,
        }


async def plan_invitations(
    client: LineWorksClient,
    ledger: Ledger,
    *,
    domain_id: int,
    roster: Roster | None = None,
    only: Collection[str] = (),
) -> Invitations:
    """Who can be invited now, and why the others cannot; reads only.

    Parameters
    ----------
    only : collection of str, optional
        Staff numbers; default: everybody who is still pending.

    Raises
    ------
    InputError
        A number of `only` is nobody's.
    LineWorksError
        The members cannot be listed.
    """
    facts = await read_facts(ledger, alive=False)
    people = list(facts.people.values()) if roster is None else expected_of(roster)
    known = {one.staff_number for one in people}
    strange = [number for number in only if number not in known]
    if strange:
        where = "このキットで登録した人" if roster is None else "名簿"
        raise InputError(
            f"職員番号 {'、'.join(strange[:5])} は{where}の中にありません。",
            hint="職員番号を確かめてください（先頭の 0 も省かずに指定します）。",
        )
    given = {} if roster is None else {one.staff_number: one.private_email for one in roster.people}
    members: dict[str, tuple[Member, str]] = {}
    async for user in client.users.list():
        if user.get("domainId") in (None, domain_id) and not user.get("isDeleted"):
            member = see_member(user)
            found = (member, str(user.get("privateEmail") or ""))
            members[member.user_id] = found
            if member.key:
                members["#" + member.key] = found
    now = client.clock.now()
    mails = {mail.user_id: mail for mail in facts.mails.values()} | facts.mails
    invitees, others = [], []
    for person in people:
        if only and person.staff_number not in only:
            continue
        there = members.get("#" + person.staff_number) or members.get(person.user_id)
        one = _judge(person, there, given.get(person.staff_number, ""), facts, mails, now)
        if isinstance(one, Invitee):
            invitees.append(one)
        else:
            others.append({"staff_number": person.staff_number, **one})
    return Invitations(day_text(now), tuple(invitees), tuple(others))


_PRINT = "配付資料を印刷し直して渡してください（onboard handouts PLAN.json --only {}）。"


def _judge(
    person: Expected,
    there: tuple[Member, str] | None,
    given: str,
    facts: Facts,
    mails: Mapping[str, Mail],
    now: datetime,
) -> Invitee | dict[str, str]:
    number, today = person.staff_number, day_text(now)
    if there is None:
        return _not(
            "no_account", "アカウントがまだありません。", "この人を含む名簿で計画を作り、登録してください。"
        )
    member, address = there
    if not member.pending:
        return _not("logged_in", "すでにログインしています。", "")
    if member.suspended:
        return _not("suspended", "一時停止中です。", "管理画面で状態を確かめてください。")
    if member.user_id not in facts.stream_of:
        reason = "このキットで登録した人ではないため、パスワードの決め方が分かりません。"
        return _not("unknown", reason, "管理画面で招待メールを送るか、仮パスワードを再発行してください。")
    if not facts.chooses_password(member.user_id, number):
        spoilt = now - facts.created_at[member.user_id] >= EXPIRES
        if spoilt or facts.stream_of[member.user_id] in facts.ended:
            todo = "管理画面で仮パスワードを再発行し、本人に渡してください。"
        else:
            todo = _PRINT.format(number)
        return _not("by_slip", "仮パスワードを配付資料で渡す人です（招待メールはありません）。", todo)
    if not (address or given):
        todo = "名簿の「私用メール」に記入して登録し直すか、管理画面で仮パスワードを発行してください。"
        return _not("no_address", "私用メールアドレスが登録されていません。", todo)
    mail = mails.get(number) or mails.get(member.user_id)  # the number may have been another one
    if mail is not None and mail.last_day >= today and mail.status != "failed":
        if mail.status == "sent":
            return _not(
                "today", "今日はもう招待メールを送りました。", "明日以降に、もう一度実行してください。"
            )
        reason = "今日の招待メールが届いたかどうか分かりません（二重に送らないため、今日は送りません）。"
        return _not("unsure", reason, "本人に届いたか尋ね、届いていなければ明日もう一度実行してください。")
    if day_text(facts.created_at[member.user_id]) >= today:
        return _not("today", "今日の登録のときに招待メールが送られています。", "明日以降に実行してください。")
    attempt = mail.attempt + 1 if mail is not None and mail.day == today else 1
    return Invitee(number, member.user_id, attempt, "" if address else given)


def _not(code: str, reason: str, todo: str) -> dict[str, str]:
    return {"code": code, "reason": reason, "todo": todo}


async def send_invitations(
    planned: Invitations,
    *,
    client: LineWorksClient,
    ledger: Ledger,
    clock: Clock,
    stop: asyncio.Event | None = None,
    tell: Tell | None = None,
) -> InviteResult:
    """Send them, each at most once on the day for which they were planned.

    Raises
    ------
    LineWorksError
        Something that every mail would meet; what was done is in the ledger.
    """
    result = InviteResult(planned.day)
    todo, total, began = deque(planned.invitees), len(planned.invitees), clock.monotonic()
    denied = 0
    fatal: LineWorksError | ConfigError | None = None

    async def work() -> None:
        nonlocal denied, fatal
        while todo and fatal is None and not (stop is not None and stop.is_set()):
            if day_text(clock.now()) != planned.day:  # midnight has passed: the plan is yesterday's
                return
            one = todo.popleft()
            try:
                denied = 0 if await _send(one, planned.day, client, ledger, result) else denied
            except PermissionDenied as error:
                denied += 1
                if denied >= DENIED_IN_A_ROW:
                    fatal = fatal or error
            except _FATAL as error:
                fatal = fatal or error
            if tell is not None:
                tell(total - len(todo), total, "招待メールを送っています…")

    await together(*(work() for _ in range(min(WORKERS, total))))
    if fatal is not None:
        raise fatal
    result.left = len(todo)
    result.elapsed_s = clock.monotonic() - began
    return result


async def _send(
    one: Invitee, day: str, client: LineWorksClient, ledger: Ledger, result: InviteResult
) -> bool:
    """One mail. True: the platform took it. Raises what would meet every other mail as well."""
    body = {"user_id": one.user_id, "day": day, "attempt": one.attempt}
    once = f"{ACTIVATION}|invite|{one.key}|{day}|{one.attempt}"
    if await ledger.append(ACTIVATION, "invite.intended", one.key, body, once=once) is None:
        result.elsewhere.append(one.staff_number)
        return False

    async def end(kind: str, error: LineWorksError | ConfigError | None = None) -> None:
        said = {"status": error.status, "code": error.code} if isinstance(error, ApiError) else {}
        await ledger.append(ACTIVATION, f"invite.{kind}", one.key, {**body, **said})

    try:
        await client.users.send_invitation(one.user_id, email=one.email or None)
    except (OutcomeUnknown, ProtocolViolation) as error:
        await end("unknown", error)
        result.unknown.append({"staff_number": one.staff_number, "reason": str(error)})
        return False
    except (LineWorksError, ConfigError) as error:
        await end("failed", error)
        result.failed.append({"staff_number": one.staff_number, "reason": str(error)})
        if isinstance(error, (*_FATAL, PermissionDenied)):
            raise
        return False
    await end("sent")
    result.sent.append(one.staff_number)
    return True
