"""What an undo of an apply would do, and what it cannot. Pure.

New members who have never logged in are deleted (they can be brought back for seven days); who has begun to
use the account is suspended instead, since a deletion would take their rooms and messages. Changed values go
back to what they were unless somebody has changed them since.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bousai_kit.onboarding.bulk import collecting_later
from bousai_kit.onboarding.items import GroupItem, Leaver, PersonItem, Plan, UnitItem
from bousai_kit.onboarding.journal import Journal, State
from bousai_kit.onboarding.plan import values_before
from bousai_kit.onboarding.tenant_view import Member, TenantView, Unit
from bousai_kit.onboarding.titles import KINDS, Kind
from bousai_kit.onboarding.undo_items import UndoPlan
from bousai_kit.onboarding.undo_notes import leave_what_came_back, note_mails, note_people
from bousai_kit.onboarding.undo_rooms import undo_rooms

__all__ = ["UndoPlan", "build_undo"]

_ATTRIBUTES = {
    "userExternalKey": ("external_key", "key"),
    "employeeNumber": ("staff_number", "staff_number"),
    "email": ("login_id", "login_id"),
    "cellPhone": ("phone", "phone"),
}
_NAMES = ("last_name", "first_name", "last_kana", "first_kana")


@collecting_later()
def build_undo(
    plan: Plan,
    view: TenantView,
    journal: Journal,
    *,
    elsewhere: Collection[str] = (),
    left_since: Collection[str] = (),
    undone: Collection[str] = (),
    settling: Collection[str] = (),
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
    left_since : collection of str
        Rooms that an earlier run of this undo has left.
    undone : collection of str
        Steps that an earlier run of this undo had done before `view` was read: what is there all the same
        was brought back since, by somebody who wanted it.
    settling : collection of str
        Steps done so lately that the tenant may not show it yet: nothing is said of them.
    """
    undo = UndoPlan(plan.plan_id, bot_id=plan.bot_id)
    made = _Made(journal, elsewhere)
    for item in plan.people:
        if item.action == "create":
            _created(item, view, made, undo)
        elif item.action == "update":
            _changed(item, view, journal, undo)
    for leaver in plan.suspend:
        _left(leaver, view, journal, undo)
    _groups(plan, view, made, undo)
    kept = _still_used(view, undo)
    _units(plan, view, made, undo, kept)
    for kind in KINDS:
        _titles(kind, plan, view, made, undo, kept)
    undo_rooms(plan, view, journal, undo, left_since)
    note_mails(plan, journal, undo)
    undo.drop(settling)
    leave_what_came_back(undo, undone)
    note_people(plan, undo)
    return undo


@dataclass(frozen=True, slots=True)
class _Made:
    """Tells what this apply made from what somebody made anew since under the same key."""

    journal: Journal
    elsewhere: Collection[str]

    def is_it(self, state: State, found: str) -> bool:
        """What was found is what the step made."""
        if state.status == "done" and state.id:
            return state.id == found
        return found not in self.elsewhere


_ANEW = "その後に作り直されているため、そのままにします。"
_GONE = "その後に削除されているため、元に戻せません。"
_SINCE = "その後に変更されているため、そのままにします。"


def _who(item: PersonItem) -> str:
    return f"職員番号 {item.person.staff_number}"


def _created(item: PersonItem, view: TenantView, made: _Made, undo: UndoPlan) -> None:
    number = item.person.staff_number
    state = made.journal.may_have_done(f"user.create:{number}")
    if state is None:
        return
    member = view.member_by_key(number)
    if member is None:
        there = view.member_by_id(state.id) if state.id else None
        if there is not None and not there.deleted:
            undo.cannot(_who(item), "その後、External Key が変更されているため、そのままにします。")
        return
    if member.deleted:
        return
    if not made.is_it(state, member.user_id):
        undo.cannot(_who(item), _ANEW)
    elif member.login_id.casefold() != item.person.login_id.casefold():
        undo.cannot(_who(item), "その後、別のログインIDに変更されています。")
    elif member.pending:
        undo.delete.append(member.user_id)
        undo.labels[member.user_id] = number
    else:
        undo.cannot(_who(item), "利用を始めているため削除しません。一時停止だけを行います。")
        if not member.suspended:
            undo.suspend.append(member.user_id)
            undo.labels[member.user_id] = number


def _changed(item: PersonItem, view: TenantView, journal: Journal, undo: UndoPlan) -> None:
    step = f"user.update:{item.person.staff_number}"
    back = "state" in item.changes  # a request of its own, that may have been done before another failed
    if (journal.state(step) if back else journal.may_have_done(step)) is None:
        return
    member = view.member_by_id(item.user_id)
    if member is None or member.deleted:
        if not back:
            undo.cannot(_who(item), _GONE)
        return
    now = values_before(member, item.changes)
    away = [wire for wire, value in item.before.items() if now.get(wire) != value]  # the others are back
    body = {wire: item.before[wire] for wire in away if _still_ours(wire, item, member, view)}
    if len(body) < len(away):
        undo.cannot(_who(item), "その後に変更された項目は、そのままにします。")
    if back:
        undo.delete.append(member.user_id)
        undo.labels[member.user_id] = item.person.staff_number
    elif body:
        undo.restore.append((member.user_id, tuple(body)))
        undo.before[member.user_id] = body
        undo.labels[member.user_id] = item.person.staff_number


def _left(leaver: Leaver, view: TenantView, journal: Journal, undo: UndoPlan) -> None:
    """Who was suspended is let in again."""
    if journal.may_have_done(f"user.suspend:{leaver.user_id}") is None:
        return
    who = f"職員番号 {leaver.staff_number}" if leaver.staff_number else f"メンバー {leaver.user_id}"
    member = view.member_by_id(leaver.user_id)
    if member is None or member.deleted:
        undo.cannot(who, _GONE)
    elif member.suspended and member.suspended_reason == "LOGIN_FAIL":
        undo.cannot(who, "その後、ログインの失敗で一時停止されています。管理画面で確かめてください。")
    elif member.suspended:
        undo.unsuspend.append(leaver.user_id)
        undo.labels[leaver.user_id] = leaver.staff_number


def _still_ours(wire: str, item: PersonItem, member: Member, view: TenantView) -> bool:
    """The value is still the one that the apply wrote."""
    person, changes = item.person, item.changes
    if wire == "userName":
        return all(getattr(member, name) == getattr(person, name) for name in _NAMES if name in changes)
    if wire == "organizations":
        unit_id, _ = member.primary_unit(view.domain_id)
        unit = view.unit_by_code(person.orgunit_code)
        same_unit = "orgunit" not in changes or (unit is not None and unit.unit_id == unit_id)
        same_titles = all(
            view.is_title(kind, member.title_id(kind, view.domain_id), kind.of(person))
            for kind in KINDS
            if kind.field in changes
        )
        level_of = view.domain_id if "level" in changes else None
        others = _others(item.before[wire], unit_id, level_of)
        return same_unit and same_titles and others == _others(member.organizations, unit_id, level_of)
    field_name, attribute = _ATTRIBUTES[wire]
    wanted = person.staff_number if field_name == "external_key" else getattr(person, field_name)
    return bool(getattr(member, attribute) == wanted)


def _others(
    organizations: Iterable[Mapping[str, Any]], unit_id: str, level_of: int | None
) -> set[tuple[str, str]]:
    """Levels (but that of one domain), posts beside the primary one: a change of them since is not lost."""
    found = set()
    for entry in organizations:
        if level_of is None or entry.get("domainId") not in (None, level_of):
            found.add((f"level {entry.get('domainId')}", str(entry.get("levelId") or "")))
        for unit in entry.get("orgUnits") or ():
            if not unit.get("primary") and unit.get("orgUnitId") != unit_id:
                found.add((str(unit.get("orgUnitId")), str(unit.get("positionId") or "")))
    return found


def _groups(plan: Plan, view: TenantView, made: _Made, undo: UndoPlan) -> None:
    journal = made.journal
    numbers = {item.person.staff_number: item.user_id for item in plan.people if item.action != "conflict"}
    ours = {*numbers.values(), *undo.delete, *undo.suspend}
    ours |= {journal.id(f"user.create:{item.person.staff_number}") for item in plan.creates}
    for group in plan.groups:
        there = view.group_by_key(group.key, group.name)
        if group.action == "update":
            _group_changed(group, view, journal, undo, numbers)
        if group.action != "create" or there is None:
            continue
        state = made.journal.may_have_done(f"group.create:{group.key}")
        if state is None:
            continue
        if there.key != group.key or not made.is_it(state, there.group_id):
            undo.cannot(f"グループ {group.name}", _ANEW)
        elif there.members - ours:
            reason = "登録の後に加わったメンバーがいるため、削除しません。"
            undo.cannot(f"グループ {group.name}", reason)
        else:
            undo.groups.append(there.group_id)
            undo.labels[there.group_id] = group.name


def _group_changed(
    group: GroupItem, view: TenantView, journal: Journal, undo: UndoPlan, numbers: Mapping[str, str]
) -> None:
    def tried(step: str) -> bool:
        return journal.may_have_done(step) is not None

    renamed = "name" in group.changes and tried(f"group.update:{group.key}")
    added = [number for number in group.add if tried(f"group.add:{group.key}:{number}")]
    removed = [one for one in group.remove if tried(f"group.remove:{group.key}:{one}")]
    there = next((one for one in view.groups if one.group_id == group.group_id), None)
    if there is None:
        if renamed or added or removed:
            undo.cannot(f"グループ {group.name}", _GONE)
        return
    undo.labels[there.group_id] = group.name
    if renamed and there.name == group.name:
        undo.group_names.append((there.group_id, group.changes["name"][0]))
    elif renamed and there.name != group.changes["name"][0]:
        undo.cannot(f"グループ {group.name}", _SINCE)
    for number in added:
        user_id = numbers.get(number) or journal.id(f"user.create:{number}")
        if user_id and user_id in there.members:
            undo.group_members.append((there.group_id, user_id, False))
            undo.labels.setdefault(user_id, number)
    for user_id in removed:
        member = view.member_by_id(user_id)
        if user_id in there.members:
            continue
        if member is None or member.deleted:
            undo.cannot(f"グループ {group.name} に戻す {_label(user_id, member)}", _GONE)
        else:
            undo.group_members.append((there.group_id, user_id, True))
            undo.labels.setdefault(user_id, member.staff_number)


def _label(user_id: str, member: Member | None) -> str:
    number = member.staff_number if member is not None else ""
    return f"職員番号 {number}" if number else f"メンバー {user_id}"


def _units(plan: Plan, view: TenantView, made: _Made, undo: UndoPlan, kept: set[str]) -> None:
    for unit in reversed(plan.units):  # children before parents
        there, step = view.unit_by_id(unit.unit_id), f"orgunit.update:{unit.code}"
        two = len(unit.changes) > 1  # requests, of which the first may have been done before the other failed
        if (made.journal.state(step) if two else made.journal.may_have_done(step)) is None:
            continue
        if there is None:
            undo.cannot(f"組織 {unit.code}", _GONE)
        else:
            undo.labels[there.unit_id] = unit.code
            _unit_changed(unit, there, view, undo)
    moved = {unit_id: parent for unit_id, parent, _ in undo.unit_moves}
    below: dict[str, set[str]] = {}
    for one in view.units:
        below.setdefault(moved.get(one.unit_id, one.parent_id), set()).add(one.unit_id)
    for unit in reversed(plan.units):
        there = view.unit_by_code(unit.code) if unit.action == "create" else None
        state = made.journal.may_have_done(f"orgunit.create:{unit.code}")
        if there is None or state is None:
            continue
        if not made.is_it(state, there.unit_id):
            undo.cannot(f"組織 {unit.code}", _ANEW)
        elif there.unit_id in kept or below.get(there.unit_id, set()).difference(undo.units):
            reason = "取り消し後も所属する人か下位の組織が残るため、削除しません。"
            undo.cannot(f"組織 {unit.code}", reason)
        else:
            undo.units.append(there.unit_id)
            undo.labels[there.unit_id] = unit.code


def _unit_changed(unit: UnitItem, there: Unit, view: TenantView, undo: UndoPlan) -> None:
    who = f"組織 {unit.code}"
    if "name" in unit.changes:
        old = unit.changes["name"][0]
        if there.name == unit.name:
            undo.unit_changes.append((there.unit_id, old))
            undo.before[there.unit_id] = {"email": there.email} if there.email else {}
        elif there.name != old:
            undo.cannot(who, _SINCE)
    if "parent" not in unit.changes:
        return
    old = str(unit.before["parent"])
    now = view.unit_by_code(unit.parent_code)
    if there.parent_id == old:
        return
    if now is None or there.parent_id != now.unit_id:
        undo.cannot(who, _SINCE)
        return
    above = view.unit_by_id(old)
    if old and above is None:
        undo.cannot(who, "元の上位組織が、その後に削除されています。")
    else:
        undo.labels[old] = "最上位" if above is None else above.key or above.name
        undo.unit_moves.append((there.unit_id, old, int(unit.before.get("order") or 1)))


def _titles(kind: Kind, plan: Plan, view: TenantView, made: _Made, undo: UndoPlan, kept: set[str]) -> None:
    for one in getattr(plan, kind.plural):
        state = made.journal.may_have_done(kind.step(one.name))
        if state is None:
            continue
        who, there = f"{kind.label} {one.name}", view.title(kind, one.name)
        if view.titles(kind) is None:
            undo.cannot(who, f"その後に{kind.label}の機能が無効にされ、見えないため、そのままにします。")
        elif there is None and view.title_name(kind, state.id):
            undo.cannot(who, _SINCE)
        elif there is None:
            continue
        elif not made.is_it(state, there.id):
            undo.cannot(who, _ANEW)
        elif there.id in kept:
            undo.cannot(who, f"取り消し後もこの{kind.label}の人が残るため、削除しません。")
        else:
            getattr(undo, kind.plural).append(there.id)
            undo.labels[there.id] = one.name


def _still_used(view: TenantView, undo: UndoPlan) -> set[str]:
    """Ids of units, levels and positions that somebody has after the undo."""
    moved = {
        user_id: undo.before[user_id]["organizations"]
        for user_id, wires in undo.restore
        if "organizations" in wires
    }
    gone = set(undo.delete)
    used = set()
    for member in view.members:
        if member.deleted or member.user_id in gone:
            continue
        for entry in moved.get(member.user_id, member.organizations):
            used.add(str(entry.get("levelId") or ""))
            for seat in entry.get("orgUnits") or ():
                used |= {str(seat.get("orgUnitId") or ""), str(seat.get("positionId") or "")}
    return used - {""}
