"""Carry a plan out: journalled, resumable, safe to be killed at any moment and to be run twice at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bousai_kit.clock import in_thread
from bousai_kit.errors import GuardError
from bousai_kit.files import write_private
from bousai_kit.ledger import NewEvent
from bousai_kit.onboarding.carry import Carrier, Tell
from bousai_kit.onboarding.drift import check_drift
from bousai_kit.onboarding.estimate import phase_s
from bousai_kit.onboarding.items import REJECTED, Plan
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.living import Living
from bousai_kit.onboarding.passwords import PlanSecret
from bousai_kit.onboarding.plan_file import content_digest, keep_copy
from bousai_kit.onboarding.room_steps import RoomWork
from bousai_kit.onboarding.steps import Step, Work
from bousai_kit.onboarding.tenant_view import read_tenant
from bousai_kit.onboarding.titles import KINDS
from bousai_kit.roster import Roster, roster_rows
from bousai_kit.tables import csv_bytes

if TYPE_CHECKING:
    from bousai_kit.clock import Clock
    from bousai_kit.ledger import Ledger
    from bousai_kit.lineworks.client import LineWorksClient

__all__ = ["ApplyResult", "apply_plan"]


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """What one run did.

    Attributes
    ----------
    apply_id : str
        The plan's id: a plan is applied once, in as many runs as it takes.
    done, skipped : int
        Steps done in this run; steps that earlier runs had done.
    failed, unknown : tuple of dict
        ``step, row, staff_number, reason``.
    left : int
        Steps that a stop kept from being reached.
    created : int
        Accounts made in this run.
    rejects : Path or None
        The rows that were not carried out, as a roster that can be mended and used again.
    refused : bool
        The tenant's API does not let us make org units or people: the admin console is left.
    """

    apply_id: str
    done: int
    failed: tuple[dict[str, Any], ...] = ()
    unknown: tuple[dict[str, Any], ...] = ()
    skipped: int = 0
    elapsed_s: float = 0.0
    left: int = 0
    created: int = 0
    rejects: Path | None = None
    orphans: tuple[str, ...] = ()
    refused: bool = False
    requests: int = field(default=0, compare=False)
    throttled: int = field(default=0, compare=False)

    @property
    def complete(self) -> bool:
        """Nothing is left of the plan."""
        return not (self.failed or self.unknown or self.left)

    def as_json(self) -> dict[str, Any]:
        """The keys of ``onboard apply --json``."""
        return {
            "apply_id": self.apply_id,
            "done": self.done,
            "failed": list(self.failed),
            "unknown": list(self.unknown),
            "skipped": self.skipped,
            "elapsed_s": self.elapsed_s,
            "left": self.left,
            "created": self.created,
            "orphans": list(self.orphans),
            "refused": self.refused,
            "rejects": None if self.rejects is None else str(self.rejects),
            "requests": self.requests,
            "throttled": self.throttled,
        }


async def apply_plan(
    plan: Plan,
    *,
    client: LineWorksClient,
    ledger: Ledger,
    clock: Clock,
    home: Path,
    domain_id: int,
    stop: asyncio.Event | None = None,
    tell: Tell | None = None,
) -> ApplyResult:
    """Do what the plan says; the same call again settles what is unknown and tries what is left.

    Parameters
    ----------
    plan : Plan
    client, ledger, clock
    home : Path
        ``BOUSAI_HOME`` in which the plan was made.
    domain_id : int
        The tenant.
    stop : asyncio.Event, optional
        Once set, what is under way is finished and nothing more is begun.
    tell : callable, optional
        Told steps ended, all steps, and what is being done.

    Raises
    ------
    GuardError
        The plan is another tenant's, has been undone, or the tenant has drifted: nothing was sent.
    ConfigError
        The secret of the passwords is not in this home.
    LineWorksError
        Something that every step would meet; what had been done is in the ledger.
    """
    if plan.domain_id != domain_id:
        raise GuardError(
            "この計画は別のテナント（ドメイン）のものです。何も登録していません。",
            hint="接続先（--profile）を確かめるか、このテナントで計画を作り直してください。",
        )
    began = clock.monotonic()
    before = (client.stats.requests, client.stats.throttled)
    journal = Journal(ledger, plan.plan_id)
    await journal.refresh()
    digest = content_digest(plan)
    _check_journal(plan, journal, digest)
    secret = PlanSecret(home, plan.plan_id, plan.home_mark)
    new_secret = _check_secret(plan, journal, secret)
    if tell is not None:
        tell(0, 0, "テナントの状態を確認しています…")
    view = await read_tenant(
        client, domain_id=domain_id, ledger=ledger, bot_id=plan.bot_id, home=home, apply_id=plan.plan_id
    )
    await journal.refresh()  # after the view: whatever an apply did in it has its intent here
    _check_journal(plan, journal, digest)
    check_drift(plan, view, journal)
    await in_thread(clock, partial(keep_copy, plan, home))
    if journal.planned is None:
        await journal.plan(_about(plan, digest), list(_people(plan, journal.stream)))
        _check_journal(plan, journal, digest)
    if new_secret:
        secret.ensure()
    work = Work(plan, view, journal, client, secret)
    rooms = RoomWork(plan, journal, client, work.user_id)
    total = sum(len(group.add) + len(group.remove) for group in plan.groups)
    foreseen, counts = {}, {}  # the latter of people alone
    paces: dict[str, str] = {}
    phases: tuple[tuple[str, Callable[[], Iterator[Step]]], ...] = (
        *((kind.label, partial(work.titles, kind)) for kind in KINDS),
        ("組織", work.units),
        ("メンバー", work.people),
        ("グループ", work.groups),
        ("グループのメンバー", work.group_members),
        ("トークルーム", rooms.creates),
        ("古いルームからの退出", rooms.leaves),
    )
    for title, steps in phases:
        keys = [step.key for step in steps()]
        total += len(keys) if steps != work.group_members else 0
        if steps == work.people:
            counts[title] = len(keys)
        left = [key for key in keys if not journal.done(key)]
        foreseen[title] = phase_s(left, lambda operation: client.gate.pacer(operation).limit)
        most = client.gate.pacer("channels.create").limit
        if steps == rooms.creates and len(left) > most:  # what the wait is for
            paces[title] = f"1 分に {most:,} 個まで"
    orphans: list[str] = []
    living = Living(home, plan.plan_id, journal.run)
    carrier = Carrier(
        journal,
        clock=clock,
        stop=stop,
        tell=tell,
        total=total,
        foreseen=foreseen,
        counts=counts,
        paces=paces,
        is_over=living.is_over,
    )
    try:
        with living:
            for kind in KINDS:
                await carrier.phase(kind.label, work.titles(kind))
            await carrier.phase("組織", work.units(), workers=1)
            await carrier.phase("メンバー", work.people())
            await carrier.phase("グループ", work.groups())
            await carrier.phase("グループのメンバー", work.group_members())
            await carrier.phase("トークルーム", rooms.creates())
            found, orphans = await rooms.orphans() if plan.rooms and not carrier.stopped else ([], [])
            await carrier.phase("古いルームからの退出", (*rooms.leaves(), *found))
    finally:
        rejects = _write_rejects(plan, carrier, secret.path.with_suffix(".rejected.csv"))
    return ApplyResult(
        apply_id=plan.plan_id,
        done=carrier.done,
        failed=(*carrier.failed, *_came_late(plan, rooms)),
        unknown=tuple(carrier.unknown),
        skipped=carrier.skipped,
        elapsed_s=clock.monotonic() - began,
        left=carrier.left,
        created=carrier.created,
        rejects=rejects,
        orphans=tuple(orphans),
        refused=carrier.refused,
        requests=client.stats.requests - before[0],
        throttled=client.stats.throttled - before[1],
    )


def _check_journal(plan: Plan, journal: Journal, digest: str) -> None:
    if journal.undone:
        raise GuardError(
            f"計画 {plan.plan_id} は取り消されています。もう一度は実行できません。",
            hint="`bousai onboard plan` で新しい計画を作ってください。",
        )
    known = journal.planned
    if known is not None and known.get("plan_sha256") != digest:
        raise GuardError(
            f"同じ ID（{plan.plan_id}）で内容の違う計画が、すでに実行されています。",
            hint="`bousai onboard plan` で計画を作り直してください。",
        )


def _check_secret(plan: Plan, journal: Journal, secret: PlanSecret) -> bool:
    """Whoever is still to be created can get a password here; True: the secret has yet to be made."""
    steps = [f"user.create:{one.person.staff_number}" for one in plan.on_paper]
    if all(journal.done(step) for step in steps):
        return False
    if journal.secret_ended or any(journal.state(step) is not None for step in steps):
        secret.read()  # says that it is not here
        return False
    return True


def _about(plan: Plan, digest: str) -> dict[str, Any]:
    counts = {name: value for name, value in plan.as_json().items() if name not in ("notes", "eta_s")}
    return {
        **counts,
        "plan_sha256": digest,
        "roster_sha256": plan.roster_sha256,
        "domain_id": plan.domain_id,
    }


def _people(plan: Plan, stream: str) -> Iterator[NewEvent]:
    """Whom the plan is about, by staff number: what status and hand-outs count by, and no name."""
    for item in plan.people:
        person = item.person
        body = {
            "action": item.action,
            "user_id": item.user_id,
            "device_os": person.device_os,
            "ward": person.ward,
            "bureau": person.bureau,
            "hq_role": person.hq_role,
        }
        if item.action == "create":
            body["passwords"] = "member" if plan.by_mail(person) else "admin"
        number = person.staff_number
        yield NewEvent(stream, "apply.person", number, body, once=f"{stream}|person|{number}")
    for leaver in plan.suspend:  # status no longer counts them
        if leaver.staff_number:
            body = {"user_id": leaver.user_id}
            once = f"{stream}|leaver|{leaver.user_id}"
            yield NewEvent(stream, "apply.leaver", leaver.staff_number, body, once=once)


_NOT_IN_ROOM = (
    "トークルームができた後に登録されたため、ルームに入っていません。"
    "`bousai onboard plan` で新しい計画を作ると、ルームが作り直されます。"
)


def _came_late(plan: Plan, rooms: RoomWork) -> Iterator[dict[str, Any]]:
    """Who has an account and is missing in a room of this plan: the next plan builds it anew."""
    late = {number: step for step, number in rooms.came_late()}
    for item in plan.people:
        number = item.person.staff_number
        if number in late:
            row = item.person.row
            yield {"step": late[number], "row": row, "staff_number": number, "reason": _NOT_IN_ROOM}


def _write_rejects(plan: Plan, carrier: Carrier, path: Path) -> Path | None:
    """Rows that failed, are unknown or are a conflict, with the reason in a column of its own."""
    reasons = {item.person.staff_number: item.reason for item in plan.of("conflict")}
    for entry in (*carrier.failed, *carrier.unknown):
        if entry["staff_number"]:
            reasons[entry["staff_number"]] = entry["reason"]
    people = [
        replace(item.person, extra=MappingProxyType({**item.person.extra, REJECTED: reason}))
        for item in plan.people
        if (reason := reasons.get(item.person.staff_number)) is not None
    ]
    if not people:
        path.unlink(missing_ok=True)
        return None
    header, rows = roster_rows(Roster(people=tuple(people)))
    write_private(path, csv_bytes(header, rows))
    return path
