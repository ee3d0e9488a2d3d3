"""What an undo of an apply would do, and what it cannot. Pure.

New members who have never logged in are deleted (they can be brought back for seven days); who has begun to
use the account is suspended instead, since a deletion would take their rooms and messages. Changed values go
back to what they were unless somebody has changed them since.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bousai_kit.onboarding.items import PersonItem, Plan
from bousai_kit.onboarding.journal import Journal, State
from bousai_kit.onboarding.plan import values_before
from bousai_kit.onboarding.room_steps import room_title
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

    def cannot(self, subject: str, reason: str) -> None:
        """Say of something that it cannot be taken back."""
        self.impossible.append({"subject": subject, "reason": reason})

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
            (self.group_members, "件のグループの出入りを元に戻します"),
            (self.group_names, "個のグループの名前を元に戻します"),
            (self.unit_changes, "個の組織の名前を元に戻します"),
            (self.groups, "個のグループを、トークの履歴ごと削除します"),
            (self.units, "個の組織を削除します"),
            (self.positions, "個の役職を削除します"),
            (self.rooms, "個のトークルームから Bot が退出します（ルームと履歴は参加者に残ります）"),
        )
        said += [f"{len(what):,} {text}。" for what, text in counts if what]
        return said or ["取り消すものはありません。"]


def build_undo(
    plan: Plan, view: TenantView, journal: Journal, *, elsewhere: Collection[str] = ()
) -> UndoPlan:
    """What can be taken back of an apply, as the tenant stands. Pure.

    Parameters
    ----------
    view : TenantView
        With the bot's rooms.
    journal : Journal
        Of the apply (not of its undo).
    elsewhere : collection of str
        Ids of what other applies have made; asked only where this one does not know what it made.
    """
    undo = UndoPlan(plan.plan_id)
    made = _Made(journal, elsewhere)
    for item in plan.people:
        if item.action == "create":
            _created(item, view, made, undo)
        elif item.action == "update":
            _changed(item, view, journal, undo)
    for leaver in plan.suspend:
        state = journal.state(f"user.suspend:{leaver.user_id}")
        member = view.member_by_id(leaver.user_id)
        if state is not None and state.may_have_happened and member is not None and member.suspended:
            undo.unsuspend.append(leaver.user_id)
    _groups(plan, view, made, undo)
    kept = _still_used(view, undo)
    _units(plan, view, made, undo, kept)
    _positions(plan, view, made, undo, kept)
    _rooms(plan, view, journal, undo)
    _mails(plan, journal, undo)
    return undo


@dataclass(frozen=True, slots=True)
class _Made:
    """Tells what this apply made from what somebody made anew since under the same key."""

    journal: Journal
    elsewhere: Collection[str]

    def may_have(self, step: str) -> State | None:
        """The step, if it can have made something."""
        state = self.journal.state(step)
        return state if state is not None and state.may_have_happened else None

    def is_it(self, state: State, found: str) -> bool:
        """What was found is what the step made."""
        if state.status == "done" and state.id:
            return state.id == found
        return found not in self.elsewhere


_ANEW = "その後に作り直されているため、そのままにします。"


def _created(item: PersonItem, view: TenantView, made: _Made, undo: UndoPlan) -> None:
    number = item.person.staff_number
    state = made.may_have(f"user.create:{number}")
    member = view.member_by_key(number)
    if state is None or member is None or member.deleted:
        return
    if not made.is_it(state, member.user_id):
        undo.cannot(f"職員番号 {number}", _ANEW)
    elif member.login_id.casefold() != item.person.login_id.casefold():
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
    now = values_before(member, item.changes)
    away = [wire for wire, value in item.before.items() if now.get(wire) != value]  # the others are back
    body = {wire: item.before[wire] for wire in away if _still_ours(wire, item, member, view)}
    if len(body) < len(away):
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
        same_post = same_unit and ("position" not in changes or held == person.position)
        others = _other_posts(item.before[wire], unit_id)
        return same_post and others == _other_posts(member.organizations, unit_id)
    field_name, attribute = _ATTRIBUTES[wire]
    wanted = person.staff_number if field_name == "external_key" else getattr(person, field_name)
    return bool(getattr(member, attribute) == wanted)


def _other_posts(organizations: Iterable[Mapping[str, Any]], unit_id: str) -> set[tuple[str, str]]:
    """Levels, and posts beside the primary one: a change of them since is not to be lost."""
    found = set()
    for entry in organizations:
        found.add((f"level {entry.get('domainId')}", str(entry.get("levelId") or "")))
        for unit in entry.get("orgUnits") or ():
            if not unit.get("primary") and unit.get("orgUnitId") != unit_id:
                found.add((str(unit.get("orgUnitId")), str(unit.get("positionId") or "")))
    return found


def _groups(plan: Plan, view: TenantView, made: _Made, undo: UndoPlan) -> None:
    journal = made.journal
    ours = {item.user_id for item in plan.people} | set(undo.delete) | set(undo.suspend)
    ours |= {journal.id(f"user.create:{item.person.staff_number}") for item in plan.creates}
    for group in plan.groups:
        there = view.group_by_key(group.key, group.name)
        if there is None:
            continue
        if group.action == "create":
            state = made.may_have(f"group.create:{group.key}")
            if state is None:
                continue
            if there.key != group.key or not made.is_it(state, there.group_id):
                undo.cannot(f"グループ {group.name}", _ANEW)
            elif there.members - ours:
                reason = "登録の後に加わったメンバーがいるため、削除しません。"
                undo.cannot(f"グループ {group.name}", reason)
            else:
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


def _units(plan: Plan, view: TenantView, made: _Made, undo: UndoPlan, kept: set[str]) -> None:
    journal = made.journal
    for unit in reversed(plan.units):  # children before parents
        there = view.unit_by_code(unit.code)
        if there is None:
            continue
        state = made.may_have(f"orgunit.create:{unit.code}") if unit.action == "create" else None
        if state is not None:
            if not made.is_it(state, there.unit_id):
                undo.cannot(f"組織 {unit.code}", _ANEW)
            elif there.unit_id in kept:
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


def _positions(plan: Plan, view: TenantView, made: _Made, undo: UndoPlan, kept: set[str]) -> None:
    for position in plan.positions:
        state = made.may_have(f"position.create:{position.name}")
        there = view.position_by_name(position.name)
        if there is None or state is None:
            continue
        if not made.is_it(state, there.position_id):
            undo.cannot(f"役職 {position.name}", _ANEW)
        elif there.position_id in kept:
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


def _rooms(plan: Plan, view: TenantView, journal: Journal, undo: UndoPlan) -> None:
    undo.bot_id = plan.bot_id
    built = {room.channel_id for room in view.rooms}
    for room in plan.rooms:
        made = journal.id(f"room.create:{room.key}")
        if made in built:  # a later apply may have built it anew and left this one
            undo.rooms.append(made)
        if room.channel_id and journal.done(f"room.leave:{room.channel_id}"):
            reason = "Bot は退出したルームに戻れません。トークルームは次の登録計画で作り直されます。"
            undo.impossible.append({"subject": f"ルーム {room.title}", "reason": reason})
    for title in _rooms_in_doubt(plan, journal):
        reason = "作成できたか分からず、Bot は退出できません。見つけた人が退出してください。"
        undo.cannot(f"ルーム {title}", reason)


def _rooms_in_doubt(plan: Plan, journal: Journal) -> list[str]:
    """Titles of attempts without an answer whose room nobody has found since."""
    doubts = [one for one in sorted(journal.in_doubt) if one[0].startswith("room.create:")]
    if not doubts:
        return []
    rooms = {f"room.create:{room.key}": room for room in plan.rooms}
    found = {
        str((state.body or {}).get("title")) for state in journal.states.values() if state.status == "done"
    }
    titles = [room_title(rooms[key], plan.plan_id, attempt) for key, attempt in doubts if key in rooms]
    return [title for title in titles if title not in found]
