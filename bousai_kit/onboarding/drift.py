"""Has the tenant changed since the plan was made, in what the plan would write or read to decide it? Pure.

What this plan's own apply did, known or unknown, is no drift, nor is a first login, nor people whom the plan
does not touch. The plan is simply made again against the tenant as it stands and compared item by item.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bousai_kit.errors import GuardError
from bousai_kit.onboarding.items import GroupItem, PersonItem, Plan, UnitItem
from bousai_kit.onboarding.journal import Journal, State
from bousai_kit.onboarding.plan import diff
from bousai_kit.onboarding.tenant_view import TenantView
from bousai_kit.onboarding.titles import KINDS
from bousai_kit.roster import RosterUnit

__all__ = ["TenantDrifted", "check_drift", "find_drift"]


class TenantDrifted(GuardError):
    """Somebody changed the tenant after the plan was made; nothing was sent.

    Attributes
    ----------
    items : tuple of str
        What differs, by staff number, code or key.
    """

    def __init__(self, items: tuple[str, ...]) -> None:
        shown = "、".join(items[:5]) + (f" ほか {len(items) - 5:,} 件" if len(items) > 5 else "")
        super().__init__(
            f"計画を作った後に、テナントの内容が変わっています（{shown}）。何も登録していません。",
            hint="`bousai onboard plan` で計画を作り直し、差分を確かめてから実行してください。",
        )
        self.items = items


def check_drift(plan: Plan, view: TenantView, journal: Journal) -> None:
    """Refuse a plan that no longer fits.

    Raises
    ------
    TenantDrifted
    """
    found = tuple(find_drift(plan, view, journal))
    if found:
        raise TenantDrifted(found)


def find_drift(plan: Plan, view: TenantView, journal: Journal) -> Iterator[str]:
    """What differs from what the plan saw."""
    people = tuple(item.person for item in plan.people)
    units = tuple(
        RosterUnit(one.code, one.name, one.parent_code, one.order, top=one.top) for one in plan.units
    )
    held = {item.person.staff_number: item.reason for item in plan.of("conflict")}  # nothing is written
    settled = {number for number in (one.staff_number for one in people) if _settled(number, journal)}
    now = diff(people, units, view, leavers=plan.leavers, held=held, settled=settled)
    for was, found in zip(plan.units, now.units, strict=True):
        if _unit_drifted(was, found, journal):
            yield f"組織 {was.code}"
    for kind in KINDS:
        titles = {one.name: one for one in getattr(now, kind.plural)}
        for title in getattr(plan, kind.plural):
            there = titles.get(title.name)
            known = there is not None and (there.action, there.id) == (title.action, title.id)
            if not known and not _touched(journal, kind.step(title.name)):
                yield f"{kind.label} {title.name}"
    for item, seen in zip(plan.people, now.people, strict=True):
        if _person_drifted(item, seen, journal):
            yield f"職員番号 {item.person.staff_number}"
    waiting = {leaver.user_id for leaver in now.suspend}
    for leaver in plan.suspend:
        if leaver.user_id not in waiting and not _touched(journal, f"user.suspend:{leaver.user_id}"):
            yield f"メンバー {leaver.user_id}"
    groups = {group.key: group for group in now.groups}
    for group in plan.groups:
        if _group_drifted(group, groups.get(group.key), journal):
            yield f"グループ {group.key}"
    yield from _masters_gone(plan, now, view, journal)
    yield from _rooms_drifted(plan, view, journal)


def _unit_drifted(was: UnitItem, now: UnitItem, journal: Journal) -> bool:
    if (was.action, was.unit_id, was.changes) == (now.action, now.unit_id, now.changes):
        return False
    touched = _touched(journal, f"orgunit.create:{was.code}", f"orgunit.update:{was.code}")
    return not (touched and (now.action == "unchanged" or _within(now.changes, was.changes)))


def _person_drifted(was: PersonItem, now: PersonItem, journal: Journal) -> bool:
    if was.action == "conflict":
        return False  # nothing is written
    if (was.action, was.user_id, was.changes) == (now.action, now.user_id, now.changes):
        return False
    number = was.person.staff_number
    if _settled(number, journal):
        return False
    if not _touched(journal, *(f"user.{verb}:{number}" for verb in ("create", "restore", "update"))):
        return True
    return not (now.action == "unchanged" or (now.action == "update" and _within(now.changes, was.changes)))


def _settled(number: str, journal: Journal) -> bool:
    """Nothing more is written of this person."""
    return journal.done(f"user.create:{number}") or journal.done(f"user.update:{number}")


def _group_drifted(was: GroupItem, now: GroupItem | None, journal: Journal) -> bool:
    if now is None:
        return was.action == "update"
    if was.action == "create":
        return _new_group_drifted(was, now, journal)
    if now.action == "create" or now.group_id != was.group_id or not _within(now.changes, was.changes):
        return True
    others = [f"group.add:{was.key}:{number}" for number in set(was.add) - set(now.add)]
    others += [f"group.remove:{was.key}:{user_id}" for user_id in set(was.remove) - set(now.remove)]
    if not set(now.add) <= set(was.add) or not set(now.remove) <= set(was.remove):
        return True
    return not all(_touched(journal, step) for step in others)


def _new_group_drifted(was: GroupItem, now: GroupItem, journal: Journal) -> bool:
    """Somebody else made it; or this apply did, and somebody has taken people out since."""
    step = f"group.create:{was.key}"
    state = journal.state(step)
    if state is None or state.status != "done":
        return now.action != "create" and state is None
    come_later = set((state.body or {}).get("without") or ())
    return now.action == "create" or not set(now.add) <= come_later


def _masters_gone(plan: Plan, now: Plan, view: TenantView, journal: Journal) -> Iterator[str]:
    """Who is to look after new groups can no longer do so."""
    if any(one.action == "create" and not journal.done(f"group.create:{one.key}") for one in plan.groups):
        for user_id in plan.masters:
            there = view.member_by_id(user_id)
            if there is None or there.deleted or there.suspended or not there.administrator:
                yield f"管理者 {user_id}"
        if not plan.masters and now.masters:
            yield "管理者"


def _rooms_drifted(plan: Plan, view: TenantView, journal: Journal) -> Iterator[str]:
    """Another apply has built or left what this plan counts on."""
    channels = {room.channel_id for room in view.rooms}
    keys = {room.key for room in view.rooms}
    for item in plan.rooms:
        if item.action == "create":
            drifted = item.key in keys and not _touched(journal, f"room.create:{item.key}")
        else:
            gone = item.channel_id not in channels
            drifted = gone and not _touched(journal, f"room.leave:{item.channel_id}")
        if drifted:
            yield f"ルーム {item.title}"


def _touched(journal: Journal, *steps: str) -> list[State]:
    """Steps that were tried: one that failed in the end may have done its work in an earlier repeat."""
    return [state for state in map(journal.state, steps) if state is not None]


def _within(now: Mapping[str, tuple[str, str]], was: Mapping[str, tuple[str, str]]) -> bool:
    """Every change that is still asked for stands in the plan."""
    return all(name in was and was[name] == pair for name, pair in now.items())
