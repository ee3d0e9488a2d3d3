"""Roster against tenant: what would have to be done. Pure: nothing here reads, waits or sends.

Nobody is deleted. Members who are not in the roster are left alone unless leavers are to be suspended;
administrators never are. A blank cell says nothing and changes nothing, but for 役職 in a roster that has
any. The private address stays in the roster: with ADMIN passwords no mail goes out and nobody needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bousai_kit.errors import GuardError
from bousai_kit.onboarding.bulk import collecting_later
from bousai_kit.onboarding.estimate import count_calls, estimate_s
from bousai_kit.onboarding.groups import plan_groups
from bousai_kit.onboarding.items import (
    LABELS,
    GroupItem,
    Leaver,
    PersonItem,
    Plan,
    PositionItem,
    RoomItem,
    UnitItem,
)
from bousai_kit.onboarding.plan_file import plan_digest
from bousai_kit.onboarding.posts import count_posts, deputies_in_doubt, posts_of
from bousai_kit.onboarding.rooms import plan_rooms, wants_rooms
from bousai_kit.onboarding.tenant_view import CONSOLE_WAY, POST, Member, TenantView
from bousai_kit.roster import Person, Roster, RosterUnit, require_ok
from bousai_kit.roster.columns import key

__all__ = ["LABELS", "FewLeavers", "Plan", "build_plan", "clean_organizations", "diff", "values_before"]

FEW, FEW_RATE = 10, 0.05
FREE_PLAN = 60

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
    """
    require_ok(roster)
    if leavers not in ("keep", "suspend"):
        raise ValueError("leavers is keep or suspend")
    if passwords not in ("admin", "member"):
        raise ValueError("passwords is admin or member")
    with_rooms = bool(view.bot_id) and wants_rooms(
        rooms, people=len(roster.people), per_minute=view.per_minute, built=view.rooms
    )
    plan = diff(roster.people, roster.units, view, leavers=leavers, with_rooms=with_rooms)
    if leavers == "suspend":
        members = sum(not member.deleted for member in view.members)
        allowed = min(FEW, int(members * FEW_RATE)) if max_leavers is None else max_leavers
        if len(plan.suspend) > allowed:
            raise FewLeavers(len(plan.suspend), allowed)
    calls = count_calls(plan)
    reading = max(1, view.requests)
    doubts = len(deputies_in_doubt(plan))
    said = f"代理対象の人が動くため、{doubts:,} 名の代理順位を確かめてください。"
    plan = replace(plan, passwords=passwords)
    plan = replace(
        plan,
        posts=count_posts(posts_of(plan)),
        notes=(*plan.password_notes(), *plan.notes, *([said] if doubts else [])),
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
) -> Plan:
    """What `people` and `units` ask of the tenant, without id, counts of calls and guards."""
    differ = _Differ(people, units, view)
    unit_items = tuple(differ.unit(unit) for unit in units)
    positions = differ.positions()
    items = tuple(differ.person(person) for person in people)
    leaving, left_alone, waiting = differ.leavers(items, leavers)
    groups = plan_groups(items, leaving, view)
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
        suspend=leaving,
        units=unit_items,
        positions=positions,
        groups=groups,
        masters=masters,
        left_alone=left_alone,
        rooms=rooms,
        bot_id=view.bot_id if with_rooms else 0,
        notes=tuple(_notes(view, items, groups, differ, waiting=waiting, rooms=rooms)),
    )


class _Differ:
    def __init__(self, people: tuple[Person, ...], units: tuple[RosterUnit, ...], view: TenantView) -> None:
        self.people, self.units, self.view = people, units, view
        self.codes = {unit.code: unit for unit in units}
        self.unit_ids: dict[str, str] = {}
        for unit in units:
            found = view.unit_by_code(unit.code, unit.name)
            self.unit_ids[unit.code] = found.unit_id if found is not None else ""
        self.code_of = {unit_id: code for code, unit_id in self.unit_ids.items() if unit_id}
        self.positions_off = view.positions is None and any(person.position for person in people)
        self.with_positions = view.positions is not None and any(person.position for person in people)
        self.claimed = {person.login_id.casefold(): person.staff_number for person in people}

    # -- org units and positions ----------------------------------------------------------------------

    def unit(self, unit: RosterUnit) -> UnitItem:
        found = self.view.unit_by_code(unit.code, unit.name)
        base = UnitItem("create", unit.code, unit.name, unit.parent_code, max(1, unit.order))
        if found is None:
            return base
        changes = {}
        if found.name != unit.name and unit.name != unit.code:  # a code in place of a name renames nothing
            changes["name"] = (found.name, unit.name)
        parent = self.unit_ids.get(unit.parent_code, "")
        if unit.parent_code and (not parent or parent != found.parent_id):
            changes["parent"] = (self._unit_name(found.parent_id), self._code_name(unit.parent_code))
        action = "update" if changes else "unchanged"
        return replace(base, action=action, unit_id=found.unit_id, changes=changes)

    def _unit_name(self, unit_id: str) -> str:
        unit = self.view.unit_by_id(unit_id) if unit_id else None
        return "" if unit is None else f"{unit.name}（{unit.key}）" if unit.key else unit.name

    def _code_name(self, code: str) -> str:
        unit = self.codes.get(code)
        return f"{unit.name}（{code}）" if unit is not None else code

    def positions(self) -> tuple[PositionItem, ...]:
        if not self.with_positions:
            return ()
        last = max((one.order for one in self.view.positions or ()), default=0)
        items = []
        for name in dict.fromkeys(person.position for person in self.people if person.position):
            found = self.view.position_by_name(name)
            if found is None:
                last += 1
                items.append(PositionItem("create", name, last))
            else:
                items.append(PositionItem("unchanged", name, found.order, found.position_id))
        return tuple(items)

    # -- people ---------------------------------------------------------------------------------------

    def person(self, person: Person) -> PersonItem:
        by_key = self.view.member_by_key(person.staff_number)
        by_login = self.view.member_by_login(person.login_id)
        member = by_key or by_login
        if member is None and self.view.number_taken(person.staff_number):
            return self._conflict(
                person,
                "同じ職員番号で、ログインIDが違うメンバーがいます。二重に登録しないため、"
                "名簿か管理画面のログインIDを合わせてください。",
            )
        if member is None:
            return PersonItem("create", person)
        if by_key is not None and by_login is not None and by_key is not by_login:
            return self._conflict(person, "ログインIDを、別の職員番号のメンバーが使っています。")
        if by_key is None and not self._same_person(member, person):
            return self._conflict(person, "同じログインIDの、別の人のメンバーがいます。")
        if member.administrator and member.login_id.casefold() != person.login_id.casefold():
            return self._conflict(
                person, "管理者のログインIDは変更できません（管理画面で変更してください）。"
            )
        changes = self._changes(member, person)
        if not changes:
            remark = "一時停止中です（解除は管理画面で行ってください）。" if member.suspended else ""
            return PersonItem("unchanged", person, member.user_id, reason=remark)
        before = values_before(member, changes)
        return PersonItem("update", person, member.user_id, changes, before)

    @staticmethod
    def _conflict(person: Person, reason: str) -> PersonItem:
        return PersonItem("conflict", person, reason=reason)

    @staticmethod
    def _same_person(member: Member, person: Person) -> bool:
        """A member without our key, made by hand, is the person of the row when number or name says so."""
        if member.key:
            return False
        if member.staff_number:
            return member.staff_number == person.staff_number
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
        unit_id, position_id = member.primary_unit(self.view.domain_id)
        wanted_unit = self.unit_ids.get(person.orgunit_code, "")
        moves = not wanted_unit or wanted_unit != unit_id
        if moves:
            changes["orgunit"] = (self._unit_name(unit_id), self._code_name(person.orgunit_code))
        if self.with_positions:
            held = self.view.position_name(position_id)
            if held != person.position:
                changes["position"] = (held, person.position)
        return changes

    # -- those who are not in the roster ----------------------------------------------------------------

    def leavers(self, items: tuple[PersonItem, ...], leavers: str) -> tuple[tuple[Leaver, ...], int, int]:
        """Who is suspended, how many are left alone, and how many of these cannot be suspended yet."""
        known = {item.user_id for item in items if item.user_id}
        numbers = {person.staff_number for person in self.people}
        leaving, alone, waiting = [], 0, 0
        for member in self.view.members:
            if member.user_id in known or member.deleted:
                continue
            named = member.login_id.casefold() in self.claimed
            named = named or member.key in numbers or member.staff_number in numbers
            if leavers != "suspend" or member.administrator or member.suspended or named:
                alone += 1
            elif member.pending:  # the platform suspends only who is in use
                alone, waiting = alone + 1, waiting + 1
            else:
                name = f"{member.last_name} {member.first_name}".strip()
                unit_id, position_id = member.primary_unit(self.view.domain_id)
                unit = self.view.unit_by_id(unit_id) if unit_id else None
                held = self.view.position_name(position_id)
                post = ("", held) if unit is None else (unit.name, held, unit.key)
                leaving.append(Leaver(member.user_id, member.login_id, name, member.staff_number, *post))
        return tuple(leaving), alone, waiting


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
        elif name in ("orgunit", "position"):
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


def _notes(
    view: TenantView,
    items: tuple[PersonItem, ...],
    groups: tuple[GroupItem, ...],
    differ: _Differ,
    *,
    waiting: int,
    rooms: tuple[RoomItem, ...],
) -> list[str]:
    notes = []
    if view.per_minute <= FREE_PLAN:
        notes.append(
            f"1 分あたりの上限が {view.per_minute} 回です。Free プランでは API による登録はできません。"
            f"{CONSOLE_WAY}"
        )
    if differ.positions_off:
        notes.append("このテナントでは役職の機能が無効のため、役職は登録しません。")
    conflicts = sum(item.action == "conflict" for item in items)
    if conflicts:
        notes.append(
            f"{conflicts:,} 名は、同じログインIDか職員番号のメンバーがすでにいるため登録しません"
            "（理由は一人ずつ示します）。"
        )
    suspended = sum(bool(item.reason) for item in items if item.action == "unchanged")
    if suspended:
        notes.append(f"名簿の {suspended:,} 名は一時停止中です。解除は管理画面で行ってください。")
    if any("login_id" in item.changes for item in items):
        notes.append("ログインIDが変わる人がいます。本人に新しいログインIDを知らせてください。")
    restored = sum("state" in item.changes for item in items)
    if restored:
        notes.append(
            f"削除から 7 日以内の {restored:,} 名を復元します。"
            "パスワードは以前のままで、配付資料には載りません。"
        )
    if waiting:
        notes.append(
            f"名簿にない {waiting:,} 名は登録待ち（未ログイン）のため一時停止できず、そのままにします。"
        )
    rebuilt = sum(one.action == "rebuild" for one in rooms)
    if rebuilt:
        notes.append(
            f"メンバーが変わった {rebuilt:,} 個のトークルームを作り直します。Bot は古いルームから退出し、"
            "過去のトークは古いルームに残ります。"
        )
    if any(item.action == "create" for item in groups) and not any(one.administrator for one in view.members):
        notes.append("管理者が見つからないため、新しいグループの管理者は名簿の先頭の人になります。")
    return notes
