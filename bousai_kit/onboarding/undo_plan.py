"""What an undo of an apply would do, and what it cannot. Pure.

New members who have never logged in are deleted (they can be brought back for seven days); who has begun to
use the account is suspended instead, since a deletion would take their rooms and messages. Changed values go
back to what they were unless somebody has changed them since.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bousai_kit.onboarding.items import PersonItem, Plan
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.tenant_view import Member, TenantView

__all__ = ["UndoPlan", "build_undo"]

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
    kept = _still_used(view, undo)
    _units(plan, view, journal, undo, kept)
    _positions(plan, view, journal, undo, kept)
    _rooms(plan, journal, undo)
    _mails(plan, journal, undo)
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


def _units(plan: Plan, view: TenantView, journal: Journal, undo: UndoPlan, kept: set[str]) -> None:
    for unit in reversed(plan.units):  # children before parents
        there = view.unit_by_code(unit.code)
        if there is None:
            continue
        state = journal.state(f"orgunit.create:{unit.code}")
        if unit.action == "create" and state is not None and state.may_have_happened:
            if there.unit_id in kept:
                kept.add(there.parent_id)
                reason = "取り消し後も所属する人か下位の組織が残るため、削除しません。"
                undo.impossible.append({"subject": f"組織 {unit.code}", "reason": reason})
            else:
                undo.units.append(there.unit_id)
        elif unit.action == "update" and journal.done(f"orgunit.update:{unit.code}"):
            if "name" in unit.changes and there.name == unit.name:
                undo.unit_changes.append((there.unit_id, unit.changes["name"][0]))
            if "parent" in unit.changes:
                reason = "上位組織の変更は、管理画面で戻してください。"
                undo.impossible.append({"subject": f"組織 {unit.code}", "reason": reason})


def _positions(plan: Plan, view: TenantView, journal: Journal, undo: UndoPlan, kept: set[str]) -> None:
    for position in plan.positions:
        state = journal.state(f"position.create:{position.name}")
        there = view.position_by_name(position.name)
        if there is None or state is None or not state.may_have_happened:
            continue
        if there.position_id in kept:
            reason = "取り消し後もこの役職の人が残るため、削除しません。"
            undo.impossible.append({"subject": f"役職 {position.name}", "reason": reason})
        else:
            undo.positions.append(there.position_id)


def _still_used(view: TenantView, undo: UndoPlan) -> set[str]:
    """Ids of units and positions that somebody has after the undo."""
    moved = {user_id: body["organizations"] for user_id, body in undo.restore if "organizations" in body}
    gone = set(undo.delete)
    used = set()
    for member in view.members:
        if member.deleted or member.user_id in gone:
            continue
        for entry in moved.get(member.user_id, member.organizations):
            for seat in entry.get("orgUnits") or ():
                used |= {str(seat.get("orgUnitId") or ""), str(seat.get("positionId") or "")}
    return used - {""}


def _mails(plan: Plan, journal: Journal, undo: UndoPlan) -> None:
    states = [journal.state(f"user.create:{item.person.staff_number}") for item in plan.invited]
    sent = sum(state is not None and state.may_have_happened for state in states)
    if sent:
        reason = "送られた招待メールは取り消せません。受け取った人に、手続きをしないよう知らせてください。"
        undo.impossible.insert(0, {"subject": f"招待メール {sent:,} 通", "reason": reason})


def _rooms(plan: Plan, journal: Journal, undo: UndoPlan) -> None:
    undo.bot_id = plan.bot_id
    for room in plan.rooms:
        made = journal.id(f"room.create:{room.key}")
        if made:
            undo.rooms.append(made)
        if room.channel_id and journal.done(f"room.leave:{room.channel_id}"):
            reason = "Bot は退出したルームに戻れません。トークルームは次の登録計画で作り直されます。"
            undo.impossible.append({"subject": f"ルーム {room.title}", "reason": reason})
