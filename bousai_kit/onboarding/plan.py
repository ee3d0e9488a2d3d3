"""Roster against tenant: what would have to be done. Pure: nothing here reads, waits or sends.

Nobody is deleted. Members who are not in the roster are left alone unless leavers are to be suspended;
administrators never are. A blank cell says nothing and changes nothing, but for 役職 and 職級, each in a
roster that has any of it. The private address stays in the roster: with ADMIN passwords no mail goes out and
nobody needs it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from bousai_kit.errors import GuardError
from bousai_kit.onboarding.bulk import collecting_later
from bousai_kit.onboarding.estimate import count_calls, estimate_s
from bousai_kit.onboarding.groups import plan_groups
from bousai_kit.onboarding.items import LABELS, REJECTED, PersonItem, Plan, UnitItem
from bousai_kit.onboarding.leavers import find_leavers
from bousai_kit.onboarding.plan_file import plan_digest
from bousai_kit.onboarding.plan_notes import ROOMS_LATER, notes_of_diff, notes_of_plan
from bousai_kit.onboarding.posts import count_posts, posts_of
from bousai_kit.onboarding.rooms import plan_rooms, wants_rooms
from bousai_kit.onboarding.tenant_view import POST, Member, TenantView
from bousai_kit.onboarding.titles import KINDS, LEVEL, POSITION, plan_titles
from bousai_kit.onboarding.unsettled import held_rows
from bousai_kit.roster import Person, Roster, RosterUnit, require_ok
from bousai_kit.roster.columns import key

__all__ = [
    "LABELS",
    "FewLeavers",
    "PartOfRoster",
    "Plan",
    "build_plan",
    "clean_organizations",
    "diff",
    "values_before",
]

FEW, FEW_RATE = 10, 0.05

_WIRE = {  # our field -> (attribute of the member, the vendor's name)
    "external_key": ("key", "userExternalKey"),
    "staff_number": ("staff_number", "employeeNumber"),
    "login_id": ("login_id", "email"),
    "phone": ("phone", "cellPhone"),
}
_NAMES = ("last_name", "first_name", "last_kana", "first_kana")


class FewLeavers(GuardError):
    """More people would be suspended than goes without saying so."""

    def __init__(self, leavers: int, allowed: int) -> None:
        super().__init__(
            f"名簿にない {leavers:,} 名が一時停止の対象になります"
            f"（確認なしで進められるのは {allowed:,} 名まで）。",
            hint=f"名簿に漏れがないか確かめ、正しければ --max-leavers {leavers} を付けてください。",
        )
        self.leavers = leavers


class PartOfRoster(GuardError):
    """Leavers were to be suspended by a roster that holds a part of the people only."""

    def __init__(self, *, rejected: bool) -> None:
        if rejected:
            super().__init__(
                f"この名簿には「{REJECTED}」の列があります。登録できなかった行だけのファイルで、"
                "名簿にない人を一時停止すると、ほかの全員が止まります。",
                hint="名簿にない人はそのまま（--leavers keep）にして計画を作ってください。"
                f"全員の名簿なら、「{REJECTED}」の列を消してください。",
            )
        else:
            super().__init__(
                "名簿に一人もいません。名簿にない人を一時停止すると、全員が止まります。",
                hint="名簿のファイルとシートを確かめてください。",
            )


@collecting_later()
def build_plan(
    roster: Roster,
    view: TenantView,
    *,
    leavers: str = "keep",
    max_leavers: int | None = None,
    limits: Mapping[str, int] | None = None,
    rooms: str = "auto",
    passwords: str = "admin",
) -> Plan:
    """Compare a roster with a tenant.

    Parameters
    ----------
    roster : Roster
        Without errors; warnings do not matter.
    view : TenantView
    leavers : str
        ``keep``, or ``suspend``: members who are not in the roster are suspended.
    max_leavers : int, optional
        So many may be. Default: 10, or 5 % of the members, whichever is fewer.
    limits : mapping, optional
        Requests a minute by operation, where they are known better than by `view`.
    rooms : {"auto", "always", "never"}
        Rooms for the drill route; ``auto``: where a drill would use them, or they exist.
    passwords : {"admin", "member"}
        ``member``: the platform mails an invitation to everybody new who has a private address.

    Returns
    -------
    Plan
        The same roster and the same view give the same plan.

    Raises
    ------
    RosterError
        The roster has errors.
    FewLeavers
        Too many leavers.
    PartOfRoster
        Leavers are to be suspended, and the roster holds the rejected rows of an apply, or nobody.
    """
    require_ok(roster)
    if leavers not in ("keep", "suspend"):
        raise ValueError("leavers is keep or suspend")
    if passwords not in ("admin", "member"):
        raise ValueError("passwords is admin or member")
    rejected = any(REJECTED in person.extra for person in roster.people[:1])
    if leavers == "suspend" and (rejected or not roster.people):
        raise PartOfRoster(rejected=rejected)
    with_rooms = bool(view.bot_id) and wants_rooms(
        rooms, people=len(roster.people), per_minute=view.per_minute, built=view.rooms
    )
    later = [ROOMS_LATER] if with_rooms and rejected else []  # a room would hold these few only
    with_rooms = with_rooms and not rejected
    held = held_rows((one for one in roster.people if not view.shows(one)), view.unsettled)
    plan = diff(roster.people, roster.units, view, leavers=leavers, with_rooms=with_rooms, held=held)
    if leavers == "suspend":
        members = sum(not member.deleted for member in view.members)
        allowed = min(FEW, int(members * FEW_RATE)) if max_leavers is None else max_leavers
        if len(plan.suspend) > allowed:
            raise FewLeavers(len(plan.suspend), allowed)
    calls = count_calls(plan)
    reading = max(1, view.requests)
    plan = replace(plan, passwords=passwords)
    plan = replace(
        plan,
        posts=count_posts(posts_of(plan)),
        notes=(*plan.password_notes(), *plan.notes, *later, *notes_of_plan(plan, view)),
        roster_sha256=roster.sha256,
        calls=sum(calls.values()) + reading,
        eta_s=estimate_s(calls, reading=reading, per_minute=view.per_minute, limits=limits or {}),
    )
    return replace(plan, plan_id=f"p{view.read_at:%Y%m%d-%H%M%S}-{plan_digest(plan)[:8]}")


@collecting_later()
def diff(
    people: tuple[Person, ...],
    units: tuple[RosterUnit, ...],
    view: TenantView,
    *,
    leavers: str = "keep",
    with_rooms: bool = False,
    held: Mapping[str, str] = MappingProxyType({}),
    settled: Container[str] = (),
) -> Plan:
    """What `people` and `units` ask of the tenant, without id, counts of calls and guards.

    Whoever is `held` (staff number → why) is a conflict, whatever the tenant says; what would be changed of
    whoever is `settled` (staff number) is not asked.
    """
    differ = _Differ(people, units, view, held, settled)
    unit_items = tuple(differ.unit(unit) for unit in units)
    items = tuple(differ.person(person) for person in people)
    leaving = find_leavers(items, people, view, leavers=leavers, unit_ids=differ.unit_ids)
    groups = plan_groups(items, (*leaving.suspend, *leaving.staying("pending")), view)
    rooms = plan_rooms(items, view.rooms) if with_rooms else ()
    masters = tuple(
        one.user_id for one in view.members if one.administrator and not (one.deleted or one.suspended)
    )[:5]
    return Plan(
        plan_id="",
        made_at=view.read_at,
        domain_id=view.domain_id,
        leavers=leavers,
        people=items,
        suspend=leaving.suspend,
        stay=leaving.stay,
        units=unit_items,
        levels=differ.titles[LEVEL],
        positions=differ.titles[POSITION],
        groups=groups,
        masters=masters,
        left_alone=leaving.left_alone,
        rooms=rooms,
        bot_id=view.bot_id if with_rooms else 0,
        notes=tuple(notes_of_diff(view, items, groups, leaving=leaving, rooms=rooms, titles=differ.titles)),
    )


class _Differ:
    def __init__(
        self,
        people: tuple[Person, ...],
        units: tuple[RosterUnit, ...],
        view: TenantView,
        held: Mapping[str, str],
        settled: Container[str],
    ) -> None:
        self.people, self.units, self.view, self.held = people, units, view, held
        self.settled = settled
        self.codes = {unit.code: unit for unit in units}
        self.unit_ids: dict[str, str] = {}
        for unit in units:
            found = view.unit_by_code(unit.code, unit.name)
            self.unit_ids[unit.code] = found.unit_id if found is not None else ""
        self.titles = {kind: plan_titles(kind, people, view.titles(kind)) for kind in KINDS}
        self.kinds = [kind for kind in KINDS if self.titles[kind]]

    # -- org units ----------------------------------------------------------------------------------

    def unit(self, unit: RosterUnit) -> UnitItem:
        found = self.view.unit_by_code(unit.code, unit.name)
        order = max(1, unit.order)
        base = UnitItem("create", unit.code, unit.name, unit.parent_code, order, top=unit.top)
        if found is None:
            return base
        changes = {}
        if found.name != unit.name and unit.name != unit.code:  # a code in place of a name renames nothing
            changes["name"] = (found.name, unit.name)
        parent = self.unit_ids.get(unit.parent_code, "")
        moves = (
            (not parent or parent != found.parent_id) if unit.parent_code else unit.top and found.parent_id
        )
        if moves:
            changes["parent"] = (self._unit_name(found.parent_id), self._code_name(unit.parent_code))
        action = "update" if changes else "unchanged"
        before = {"parent": found.parent_id, "order": found.order} if "parent" in changes else {}
        return replace(base, action=action, unit_id=found.unit_id, changes=changes, before=before)

    def _unit_name(self, unit_id: str) -> str:
        unit = self.view.unit_by_id(unit_id) if unit_id else None
        return "" if unit is None else f"{unit.name}（{unit.key}）" if unit.key else unit.name

    def _code_name(self, code: str) -> str:
        unit = self.codes.get(code)
        return f"{unit.name}（{code}）" if unit is not None else code

    # -- people ---------------------------------------------------------------------------------------

    def person(self, person: Person) -> PersonItem:
        if person.staff_number in self.held:
            return self._conflict(person, self.held[person.staff_number])
        by_key = self.view.member_by_key(person.staff_number)
        by_login = self.view.member_by_login(person.login_id)
        member = by_key or by_login
        if member is None and self.view.member_by_number(person.staff_number) is not None:
            return self._conflict(
                person,
                "同じ職員番号で、ログインIDが違うメンバーがいます。二重に登録しないため、"
                "名簿か管理画面のログインIDを合わせてください。",
                self.view.member_by_number(person.staff_number),
            )
        if member is None:
            return PersonItem("create", person)
        if by_key is not None and by_login is not None and by_key is not by_login:
            return self._conflict(person, "ログインIDを、別の職員番号のメンバーが使っています。", by_key)
        if by_key is None and not self._same_person(member, person):
            if member.key and member.staff_number == person.staff_number:
                return self._conflict(
                    person,
                    "同じログインIDと職員番号のメンバーの External Key が、職員番号と違います。"
                    "管理画面で External Key を職員番号にするか、空にしてください。",
                    member,
                )
            return self._conflict(
                person,
                "同じログインIDで、職員番号の違うメンバーがいます。番号が変わった同じ人なら、名簿の番号を"
                "前の番号に戻してください。別の人なら、ログインIDを変えてください。"
                if self._same_name(member, person)
                else "同じログインIDの、別の人のメンバーがいます。",
                member,
            )
        if by_key is not None and self._stranger(by_key, person):
            return self._conflict(
                person,
                "同じ職員番号のメンバーは、姓も名もログインIDも違う人です。番号を使い回したのなら、管理画面で"
                "前の人の External Key と社員番号を消してください。同じ人なら、管理画面で氏名かログインIDを"
                "名簿に合わせてください。",
            )
        if member.administrator and member.login_id.casefold() != person.login_id.casefold():
            return self._conflict(
                person, "管理者のログインIDは変更できません（管理画面で変更してください）。", member
            )
        changes = {} if person.staff_number in self.settled else self._changes(member, person)
        if not changes:
            remark = "一時停止中です（解除は管理画面で行ってください）。" if member.suspended else ""
            return PersonItem("unchanged", person, member.user_id, reason=remark)
        before = values_before(member, changes)
        left = self._left(member) if "orgunit" in changes else ()
        return PersonItem("update", person, member.user_id, changes, before, unit_before=left)

    def _left(self, member: Member) -> tuple[str, ...]:
        """Name and code of the unit in which somebody is now; () where there is none."""
        unit = self.view.unit_by_id(member.primary_unit(self.view.domain_id)[0])
        return () if unit is None else (unit.name, unit.key)

    @staticmethod
    def _conflict(person: Person, reason: str, member: Member | None = None) -> PersonItem:
        """Nothing is written; the member is named where the row surely means it."""
        same = member is not None and not member.deleted and _Differ._same_name(member, person)
        return PersonItem(
            "conflict", person, member.user_id if member is not None and same else "", reason=reason
        )

    @staticmethod
    def _same_person(member: Member, person: Person) -> bool:
        """A member without our key, made by hand, is the person of the row when number or name says so."""
        if member.key:
            return False
        if member.staff_number:
            return member.staff_number == person.staff_number
        return _Differ._same_name(member, person)

    @staticmethod
    def _stranger(member: Member, person: Person) -> bool:
        """Nothing but the number is alike: it has perhaps been given to somebody else."""
        return (
            member.login_id.casefold() != person.login_id.casefold()
            and key(member.last_name) != key(person.last_name)
            and key(member.first_name) != key(person.first_name)
        )

    @staticmethod
    def _same_name(member: Member, person: Person) -> bool:
        return key(member.last_name + member.first_name) == key(person.last_name + person.first_name)

    def _changes(self, member: Member, person: Person) -> dict[str, tuple[str, str]]:
        changes: dict[str, tuple[str, str]] = {}
        if member.deleted:
            changes["state"] = ("削除済み（7 日以内）", "復元")
        wanted = {
            "external_key": person.staff_number,
            "staff_number": person.staff_number,
            "login_id": person.login_id,
            "phone": person.phone,
            **{name: getattr(person, name) for name in _NAMES},
        }
        for name, new in wanted.items():
            old = str(getattr(member, _WIRE[name][0] if name in _WIRE else name))
            if new and new != old and not (name == "login_id" and new.casefold() == old.casefold()):
                changes[name] = (old, new)
        unit_id, _ = member.primary_unit(self.view.domain_id)
        wanted_unit = self.unit_ids.get(person.orgunit_code, "")
        moves = not wanted_unit or wanted_unit != unit_id
        if moves:
            changes["orgunit"] = (self._unit_name(unit_id), self._code_name(person.orgunit_code))
        for kind in self.kinds:
            held = member.title_id(kind, self.view.domain_id)
            if not self.view.is_title(kind, held, kind.of(person)):
                changes[kind.field] = (self.view.title_name(kind, held), kind.of(person))
        return changes


def values_before(member: Member, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The vendor's properties as they were, for those that change."""
    before: dict[str, Any] = {}
    for name in changes:
        if name in _NAMES:
            before["userName"] = {
                "lastName": member.last_name,
                "firstName": member.first_name,
                "phoneticLastName": member.last_kana,
                "phoneticFirstName": member.first_kana,
            }
        elif name in ("orgunit", "position", "level"):
            before["organizations"] = clean_organizations(member)
        elif name in _WIRE:
            attribute, wire = _WIRE[name]
            before[wire] = getattr(member, attribute) or None
    return before


def clean_organizations(member: Member) -> list[dict[str, Any]]:
    """``organizations`` without what may not be written."""
    return [
        {
            **{key: entry[key] for key in ("domainId", "primary", "levelId") if key in entry},
            **({"email": entry["email"]} if entry.get("email") else {}),
            "orgUnits": [
                {key: unit[key] for key in POST if key in unit} for unit in entry.get("orgUnits") or ()
            ],
        }
        for entry in member.organizations
    ]
