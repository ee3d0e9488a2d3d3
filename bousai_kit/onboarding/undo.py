"""Take an apply back, as far as the platform can; what it cannot is said first.

New members who have never logged in are deleted (they can be brought back for seven days); who has begun to
use the account is suspended instead, since a deletion would take their rooms and messages. Changed values go
back to what they were unless somebody has changed them since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import GuardError, InputError, NotFound
from bousai_kit.ledger import NewEvent
from bousai_kit.onboarding.carry import Carrier, Tell
from bousai_kit.onboarding.items import PersonItem, Plan
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.plan_file import kept_plan
from bousai_kit.onboarding.steps import Step
from bousai_kit.onboarding.tenant_view import Member, TenantView, read_tenant, see_member

if TYPE_CHECKING:
    from bousai_kit.clock import Clock
    from bousai_kit.ledger import Ledger
    from bousai_kit.lineworks.client import LineWorksClient

__all__ = ["UndoPlan", "UndoResult", "build_undo", "plan_undo", "undo_apply"]

_ATTRIBUTES = {
    "userExternalKey": ("external_key", "key"),
    "employeeNumber": ("staff_number", "staff_number"),
    "email": ("login_id", "login_id"),
    "cellPhone": ("phone", "phone"),
}
_NAMES = ("last_name", "first_name", "last_kana", "first_kana")


@dataclass(slots=True)
class UndoPlan:
    """What can be taken back.

    Attributes
    ----------
    delete, suspend, restore, unsuspend : list
        Members to delete, to suspend instead, to set back (id, body), to let in again.
    groups, units, positions : list of str
        Ids of what the apply made, in the order in which it can go.
    rooms : list of str
        Channel ids of the rooms that the bot leaves.
    group_members : list of (str, str, bool)
        Group, member, and whether the member is to be put back (else taken out).
    impossible : list of dict
        ``subject, reason``: what cannot be taken back, or not wholly.
    """

    apply_id: str
    delete: list[str] = field(default_factory=list)
    suspend: list[str] = field(default_factory=list)
    restore: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    unsuspend: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    group_names: list[tuple[str, str]] = field(default_factory=list)
    group_members: list[tuple[str, str, bool]] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    unit_changes: list[tuple[str, str]] = field(default_factory=list)
    positions: list[str] = field(default_factory=list)
    rooms: list[str] = field(default_factory=list)
    bot_id: int = 0
    impossible: list[dict[str, str]] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """What will happen, what cannot first."""
        said = [f"取り消せないもの：{one['subject']}（{one['reason']}）" for one in self.impossible[:20]]
        if len(self.impossible) > 20:
            said.append(f"取り消せないものは、ほかに {len(self.impossible) - 20:,} 件あります。")
        counts = (
            (self.delete, "名のアカウントを削除します（7 日間は復元できます。その間ログインIDは使えません）"),
            (self.suspend, "名は利用を始めているため、削除せず一時停止します"),
            (self.restore, "名の変更を元の値に戻します"),
            (self.unsuspend, "名の一時停止を解除します"),
            (self.groups, "個のグループを、トークの履歴ごと削除します"),
            (self.units, "個の組織を削除します"),
            (self.positions, "個の役職を削除します"),
            (self.rooms, "個のトークルームから Bot が退出します（ルームと履歴は参加者に残ります）"),
        )
        said += [f"{len(what):,} {text}。" for what, text in counts if what]
        return said or ["取り消すものはありません。"]


@dataclass(frozen=True, slots=True)
class UndoResult:
    """``onboard undo --json``."""

    apply_id: str
    undone: int
    failed: tuple[dict[str, Any], ...] = ()
    impossible: tuple[dict[str, str], ...] = ()
    elapsed_s: float = 0.0
    left: int = 0

    def as_json(self) -> dict[str, Any]:
        """Its keys."""
        return {
            "apply_id": self.apply_id,
            "undone": self.undone,
            "failed": list(self.failed),
            "impossible": list(self.impossible),
            "elapsed_s": self.elapsed_s,
            "left": self.left,
        }


def build_undo(plan: Plan, view: TenantView, journal: Journal) -> UndoPlan:
    """What can be taken back of an apply, as the tenant stands. Pure.

    Parameters
    ----------
    journal : Journal
        Of the apply (not of its undo).
    """
    undo = UndoPlan(plan.plan_id)
    for item in plan.people:
        if item.action == "create":
            _created(item, view, journal, undo)
        elif item.action == "update":
            _changed(item, view, journal, undo)
    for leaver in plan.suspend:
        state = journal.state(f"user.suspend:{leaver.user_id}")
        member = view.member_by_id(leaver.user_id)
        if state is not None and state.may_have_happened and member is not None and member.suspended:
            undo.unsuspend.append(leaver.user_id)
    _groups(plan, view, journal, undo)
    _units(plan, view, journal, undo)
    for position in plan.positions:
        state = journal.state(f"position.create:{position.name}")
        there = view.position_by_name(position.name)
        if there is not None and state is not None and state.may_have_happened:
            undo.positions.append(there.position_id)
    _rooms(plan, journal, undo)
    return undo


def _created(item: PersonItem, view: TenantView, journal: Journal, undo: UndoPlan) -> None:
    number = item.person.staff_number
    state = journal.state(f"user.create:{number}")
    member = view.member_by_key(number)
    if state is None or not state.may_have_happened or member is None or member.deleted:
        return
    if member.login_id.casefold() != item.person.login_id.casefold():
        reason = "その後、別のログインIDに変更されています。"
        undo.impossible.append({"subject": f"職員番号 {number}", "reason": reason})
    elif member.pending:
        undo.delete.append(member.user_id)
    else:
        reason = "利用を始めているため削除しません。一時停止だけを行います。"
        undo.impossible.append({"subject": f"職員番号 {number}", "reason": reason})
        if not member.suspended:
            undo.suspend.append(member.user_id)


def _changed(item: PersonItem, view: TenantView, journal: Journal, undo: UndoPlan) -> None:
    number = item.person.staff_number
    state = journal.state(f"user.update:{number}")
    member = view.member_by_id(item.user_id)
    if state is None or not state.may_have_happened or member is None or member.deleted:
        return
    body = {wire: value for wire, value in item.before.items() if _still_ours(wire, item, member, view)}
    if len(body) < len(item.before):
        reason = "その後に変更された項目は、そのままにします。"
        undo.impossible.append({"subject": f"職員番号 {number}", "reason": reason})
    if "state" in item.changes:
        undo.delete.append(member.user_id)
    elif body:
        undo.restore.append((member.user_id, body))


def _still_ours(wire: str, item: PersonItem, member: Member, view: TenantView) -> bool:
    """The value is still the one that the apply wrote."""
    person, changes = item.person, item.changes
    if wire == "userName":
        return all(getattr(member, name) == getattr(person, name) for name in _NAMES if name in changes)
    if wire == "organizations":
        unit_id, position_id = member.primary_unit(view.domain_id)
        unit = view.unit_by_code(person.orgunit_code)
        same_unit = "orgunit" not in changes or (unit is not None and unit.unit_id == unit_id)
        held = view.position_name(position_id)
        return same_unit and ("position" not in changes or held == person.position)
    field_name, attribute = _ATTRIBUTES[wire]
    wanted = person.staff_number if field_name == "external_key" else getattr(person, field_name)
    return bool(getattr(member, attribute) == wanted)


def _groups(plan: Plan, view: TenantView, journal: Journal, undo: UndoPlan) -> None:
    for group in plan.groups:
        there = view.group_by_key(group.key, group.name)
        if there is None:
            continue
        state = journal.state(f"group.create:{group.key}")
        if group.action == "create":
            if state is not None and state.may_have_happened:
                undo.groups.append(there.group_id)
            continue
        if "name" in group.changes and journal.done(f"group.update:{group.key}"):
            undo.group_names.append((there.group_id, group.changes["name"][0]))
        for number in group.add:
            user_id = journal.id(f"group.add:{group.key}:{number}")
            if user_id and user_id in there.members:
                undo.group_members.append((there.group_id, user_id, False))
        for user_id in group.remove:
            if journal.done(f"group.remove:{group.key}:{user_id}") and user_id not in there.members:
                undo.group_members.append((there.group_id, user_id, True))


def _units(plan: Plan, view: TenantView, journal: Journal, undo: UndoPlan) -> None:
    for unit in reversed(plan.units):  # children before parents
        there = view.unit_by_code(unit.code)
        if there is None:
            continue
        state = journal.state(f"orgunit.create:{unit.code}")
        if unit.action == "create" and state is not None and state.may_have_happened:
            undo.units.append(there.unit_id)
        elif unit.action == "update" and journal.done(f"orgunit.update:{unit.code}"):
            if "name" in unit.changes and there.name == unit.name:
                undo.unit_changes.append((there.unit_id, unit.changes["name"][0]))
            if "parent" in unit.changes:
                reason = "上位組織の変更は、管理画面で戻してください。"
                undo.impossible.append({"subject": f"組織 {unit.code}", "reason": reason})


def _rooms(plan: Plan, journal: Journal, undo: UndoPlan) -> None:
    undo.bot_id = plan.bot_id
    for room in plan.rooms:
        made = journal.id(f"room.create:{room.key}")
        if made:
            undo.rooms.append(made)
        if room.channel_id and journal.done(f"room.leave:{room.channel_id}"):
            reason = "Bot は退出したルームに戻れません。トークルームは次の登録計画で作り直されます。"
            undo.impossible.append({"subject": f"ルーム {room.title}", "reason": reason})


class _Undoing:
    """Makes the steps."""

    def __init__(self, undo: UndoPlan, client: LineWorksClient, domain_id: int) -> None:
        self.undo, self.client, self.domain_id = undo, client, domain_id

    def rooms(self) -> Iterator[Step]:
        client, stream = self.client, f"apply:{self.undo.apply_id}"
        for room in self.undo.rooms:
            step = _step(f"room.leave:{room}", lambda id_=room: client.channels.leave(self.undo.bot_id, id_))
            step.also = lambda _, id_=room: [  # type: ignore[misc]
                NewEvent(stream, "room.left", id_, {}, once=f"{stream}|left|{id_}")
            ]
            yield step

    def groups(self) -> Iterator[Step]:
        client = self.client
        for group_id in self.undo.groups:
            yield _step(f"group.delete:{group_id}", lambda id_=group_id: client.groups.delete(id_))
        for group_id, name in self.undo.group_names:
            yield _step(
                f"group.name:{group_id}",
                lambda id_=group_id, old=name: client.groups.patch(id_, {"groupName": old}),
            )
        for group_id, user_id, back in self.undo.group_members:
            call = client.groups.add_member if back else client.groups.remove_member
            yield _step(
                f"group.member:{group_id}:{user_id}",
                lambda call=call, group=group_id, user=user_id: call(group, user),
            )

    def people(self) -> Iterator[Step]:
        users = self.client.users
        for user_id in self.undo.delete:
            yield _step(f"user.delete:{user_id}", lambda id_=user_id: users.delete(id_))
        for user_id, body in self.undo.restore:
            yield _step(f"user.restore:{user_id}", lambda id_=user_id, old=body: users.patch(id_, old))
        for user_id in self.undo.suspend:
            yield self._switch(user_id, suspended=True)
        for user_id in self.undo.unsuspend:
            yield self._switch(user_id, suspended=False)

    def _switch(self, user_id: str, *, suspended: bool) -> Step:
        users = self.client.users

        async def send() -> str:
            await (users.suspend(user_id) if suspended else users.unsuspend(user_id))
            return user_id

        async def look() -> str | None:
            there = see_member(await users.get(user_id))
            return user_id if there.suspended is suspended else None

        return Step(f"user.{'suspend' if suspended else 'unsuspend'}:{user_id}", send, look)

    def units(self) -> Iterator[Step]:
        orgunits, domain_id = self.client.orgunits, self.domain_id
        for unit_id, name in self.undo.unit_changes:
            yield _step(
                f"orgunit.name:{unit_id}",
                lambda id_=unit_id, old=name: orgunits.patch(
                    id_, {"domainId": domain_id, "orgUnitName": old}
                ),
            )
        for unit_id in self.undo.units:
            yield _step(f"orgunit.delete:{unit_id}", lambda id_=unit_id: orgunits.delete(id_))

    def positions(self) -> Iterator[Step]:
        for position_id in self.undo.positions:
            yield _step(
                f"position.delete:{position_id}", lambda id_=position_id: self.client.positions.delete(id_)
            )


def _step(key: str, call: Any) -> Step:
    """A step that can be repeated without harm; what is gone already is as good as done."""

    async def send() -> str:
        try:
            await call()
        except NotFound:
            return ""
        return key.rpartition(":")[2]

    return Step(key, send)


async def plan_undo(
    apply_id: str, *, client: LineWorksClient, ledger: Ledger, home: Path, domain_id: int
) -> UndoPlan:
    """Look at what an undo would do; changes nothing.

    Raises
    ------
    InputError
        This home knows no such apply.
    GuardError
        It is another tenant's.
    """
    plan = kept_plan(home, apply_id)
    if plan.domain_id != domain_id:
        raise GuardError("この登録は別のテナント（ドメイン）のものです。何も変更していません。")
    journal = Journal(ledger, apply_id)
    view = await read_tenant(client, domain_id=domain_id)
    await journal.refresh()
    if journal.planned is None:
        raise InputError(
            f"登録 {apply_id} は台帳にありません。",
            hint="ID を確かめてください（`onboard apply` の結果にあります）。",
        )
    return build_undo(plan, view, journal)


async def undo_apply(
    apply_id: str,
    *,
    client: LineWorksClient,
    ledger: Ledger,
    clock: Clock,
    home: Path,
    domain_id: int,
    stop: asyncio.Event | None = None,
    tell: Tell | None = None,
) -> UndoResult:
    """Take an apply back; the same call again goes on with what is left.

    Raises
    ------
    InputError, GuardError
        See `plan_undo`.
    LineWorksError
        Something that every step would meet.
    """
    began = clock.monotonic()
    undo = await plan_undo(apply_id, client=client, ledger=ledger, home=home, domain_id=domain_id)
    journal = Journal(ledger, apply_id, undo=True)
    await ledger.append(journal.stream, "undo.begun", once=f"{journal.stream}|undo.begun")
    await journal.refresh()
    work = _Undoing(undo, client, domain_id)
    phases = (work.rooms, work.groups, work.people, work.units, work.positions)
    total = sum(1 for phase in phases for _ in phase())
    carrier = Carrier(journal, clock=clock, stop=stop, tell=tell, total=total, undoing=True)
    await carrier.phase("トークルーム", work.rooms())
    await carrier.phase("グループ", work.groups())
    await carrier.phase("メンバー", work.people())
    await carrier.phase("組織", work.units(), workers=1)
    await carrier.phase("役職", work.positions())
    return UndoResult(
        apply_id=apply_id,
        undone=carrier.done,
        failed=(*carrier.failed, *carrier.unknown),
        impossible=tuple(undo.impossible),
        elapsed_s=clock.monotonic() - began,
        left=carrier.left,
    )
