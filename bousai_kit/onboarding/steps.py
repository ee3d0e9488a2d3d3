"""The steps of an apply: what is sent, and how one finds out whether it was done.

Nothing here writes the ledger or waits; `apply` carries the steps out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import Conflict, NotFound
from bousai_kit.ledger import NewEvent
from bousai_kit.lineworks.directory import external_key
from bousai_kit.onboarding.bodies import build_group, build_title, build_unit, build_update, build_user
from bousai_kit.onboarding.items import GroupItem, LevelItem, PersonItem, Plan, PositionItem, UnitItem
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.passwords import PlanSecret, derive_password
from bousai_kit.onboarding.tenant_view import TenantView, see_member
from bousai_kit.onboarding.titles import KINDS, LEVEL, POSITION, Kind, by_name, see_title
from bousai_kit.onboarding.unsettled import held_rows
from bousai_kit.roster import Person

if TYPE_CHECKING:
    from bousai_kit.lineworks.client import LineWorksClient

__all__ = ["FRESH", "GIVEN_UP_S", "Step", "Work"]

GIVEN_UP_S = 10.0
FRESH = timedelta(seconds=60)
"""So long what the tenant said of a member is taken to be true still."""

_WHOLE = frozenset(
    {"orgunit", "position", "level", "last_name", "first_name", "last_kana", "first_kana"}
)  # written together with what does not change
Look = Callable[[], Awaitable[str | None]]


@dataclass(slots=True)
class Step:
    """One thing that is done once.

    Attributes
    ----------
    key : str
        Names it in the ledger; the same for every run of the plan.
    send : callable
        Does it; gives back the id of what came of it.
    look : callable or None
        Finds out whether it was done: the id, or None. None: doing it again does no harm.
    blocked : callable
        Why it cannot be done now; "" when it can.
    quiet : bool
        What blocks it has been said elsewhere.
    body : mapping
        For the ledger.
    person : Person or None
        Whose row it is.
    result : callable
        More for the ledger, once it is done.
    also : callable
        Events that are written with the outcome or not at all, given the id.
    given_up_s : float
        So long an intent of another process may wait for its outcome before somebody else looks into it.
    mails : bool
        The platform writes to the person at once: while nobody knows how an attempt ended, no other follows.
    """

    key: str
    send: Callable[[], Awaitable[str]]
    look: Look | None = None
    blocked: Callable[[], str] = lambda: ""
    quiet: bool = False
    body: Mapping[str, Any] = field(default_factory=dict)
    person: Person | None = None
    result: Callable[[], Mapping[str, Any]] = dict
    also: Callable[[str], Sequence[NewEvent]] = lambda _: ()
    creates_member: bool = False
    mails: bool = False
    given_up_s: float = GIVEN_UP_S


class Work:
    """Makes the steps of a plan; knows the ids of what is there and of what this apply has made.

    Parameters
    ----------
    plan : Plan
    view : TenantView
        Read now.
    journal : Journal
    client : LineWorksClient
    secret : PlanSecret
    """

    def __init__(
        self, plan: Plan, view: TenantView, journal: Journal, client: LineWorksClient, secret: PlanSecret
    ) -> None:
        self.plan, self.view, self.journal, self.client = plan, view, journal, client
        self._secret = secret
        self._units = {unit.code: unit for unit in plan.units}
        self._titles = {kind: by_name(getattr(plan, kind.plural)) for kind in KINDS}
        self._user_ids = {item.person.staff_number: item.user_id for item in plan.people if item.user_id}
        self._without: dict[str, list[str]] = {}
        new = (item.person for item in plan.creates if not view.shows(item.person))
        self._held = held_rows(new, view.unsettled)

    # -- what is there ----------------------------------------------------------------------------------

    def unit_id(self, code: str) -> str:
        """Id of a unit of the plan, "" while there is none."""
        unit = self._units.get(code)
        return "" if unit is None else unit.unit_id or self.journal.id(f"orgunit.create:{code}")

    def title_id(self, kind: Kind, person: Person) -> str | None:
        """Id of the level or position that a row names; "" while there is none, None: it names none."""
        one = self._titles[kind](kind.of(person))
        return None if one is None else one.id or self.journal.id(kind.step(one.name))

    def user_id(self, number: str) -> str:
        """Id of a person of the plan, "" while there is none."""
        return self._user_ids.get(number) or self.journal.id(f"user.create:{number}")

    # -- levels, positions and units ----------------------------------------------------------------------

    def titles(self, kind: Kind) -> Iterator[Step]:
        """Create the levels or positions that are missing."""
        for one in getattr(self.plan, kind.plural):
            if one.action == "create":
                yield self._title(kind, one)

    def _title(self, kind: Kind, one: LevelItem | PositionItem) -> Step:
        there = getattr(self.client, kind.plural)

        async def send() -> str:
            made = await there.create(build_title(kind, one, domain_id=self.plan.domain_id), again=True)
            return see_title(kind, made).id

        async def look() -> str | None:
            found = by_name([see_title(kind, said) async for said in there.list(again=True)])(one.name)
            return None if found is None else found.id

        return Step(kind.step(one.name), send, look)

    def units(self) -> Iterator[Step]:
        """Parents before children; one after the other."""
        for unit in self.plan.units:
            if unit.action == "create":
                yield self._unit(unit)
            elif unit.action == "update":
                yield self._unit_update(unit)

    def _parent_missing(self, unit: UnitItem) -> str:
        if unit.parent_code and not self.unit_id(unit.parent_code):
            return f"上位組織（{unit.parent_code}）がまだ登録されていません。"
        return ""

    def _unit(self, unit: UnitItem) -> Step:
        async def send() -> str:
            parent = self.unit_id(unit.parent_code) or None
            made = await self.client.orgunits.create(
                build_unit(unit, domain_id=self.plan.domain_id, parent_id=parent)
            )
            return str(made.get("orgUnitId") or "")

        async def look() -> str | None:
            try:
                there = await self.client.orgunits.get(external_key(unit.code))
            except NotFound:
                return None
            return str(there.get("orgUnitId") or "") or None

        return Step(f"orgunit.create:{unit.code}", send, look, lambda: self._parent_missing(unit))

    def _unit_update(self, unit: UnitItem) -> Step:
        there = self.view.unit_by_id(unit.unit_id)

        async def send() -> str:
            if "name" in unit.changes:
                body: dict[str, Any] = {"domainId": self.plan.domain_id, "orgUnitName": unit.name}
                if there is not None and there.email:
                    body["email"] = there.email
                await self.client.orgunits.patch(unit.unit_id, body)
            if "parent" in unit.changes:
                parent = self.unit_id(unit.parent_code) or None
                await self.client.orgunits.move(unit.unit_id, display_order=unit.order, parent_id=parent)
            return unit.unit_id

        return Step(f"orgunit.update:{unit.code}", send, None, lambda: self._parent_missing(unit))

    # -- people -------------------------------------------------------------------------------------------

    def people(self) -> Iterator[Step]:
        """Create, bring back, change, suspend: different members, in any order."""
        for item in self.plan.people:
            if item.action == "create":
                yield self._create(item)
            elif item.action == "update":
                yield self._update(item)
        for leaver in self.plan.suspend:
            yield self._suspend(leaver.user_id)

    def _post_missing(self, item: PersonItem) -> str:
        person = item.person
        new = item.action == "create"
        if (new or "orgunit" in item.changes) and not self.unit_id(person.orgunit_code):
            return f"所属（{person.orgunit_code}）がまだ登録されていません。"
        for kind in KINDS:
            if (new or kind.field in item.changes) and self.title_id(kind, person) == "":
                return f"{kind.label}「{kind.of(person)}」がまだ登録されていません。"
        return ""

    def _create(self, item: PersonItem) -> Step:
        person, domain_id = item.person, self.plan.domain_id
        by_mail = self.plan.by_mail(person)

        async def send() -> str:
            password = None
            if not by_mail:
                password = derive_password(self._secret.read(), self.plan.plan_id, person.staff_number)
            body = build_user(
                person,
                domain_id=domain_id,
                unit_id=self.unit_id(person.orgunit_code),
                position_id=self.title_id(POSITION, person),
                level_id=self.title_id(LEVEL, person),
                password=password,
            )
            made = await self.client.users.create(body)
            return str(made.get("userId") or "") or await look() or ""

        async def look() -> str | None:
            try:
                there = see_member(await self.client.users.get(external_key(person.staff_number)))
            except NotFound:
                return None
            same = there.login_id.casefold() == person.login_id.casefold() and not there.deleted
            return there.user_id if same else None

        return Step(
            f"user.create:{person.staff_number}",
            send,
            look,
            lambda: self._held.get(person.staff_number, "") or self._post_missing(item),
            person=person,
            creates_member=True,
            mails=by_mail,
            body={"mail": True} if by_mail else {},
        )

    def _update(self, item: PersonItem) -> Step:
        person = item.person

        async def send() -> str:
            member = self.view.member_by_id(item.user_id)
            if member is not None and member.deleted and "state" in item.changes:
                await self._undelete(item.user_id)
            if member is not None and set(item.changes) - {"state"}:
                if _WHOLE & set(item.changes) and abs(self.client.clock.now() - self.view.read_at) > FRESH:
                    member = see_member(await self.client.users.get(item.user_id))
                body = build_update(
                    item,
                    member,
                    domain_id=self.plan.domain_id,
                    unit_id=self.unit_id(person.orgunit_code),
                    position_id=self.title_id(POSITION, person),
                    level_id=self.title_id(LEVEL, person),
                )
                await self.client.users.patch(item.user_id, body)
            return item.user_id

        return Step(
            f"user.update:{person.staff_number}",
            send,
            None,
            lambda: self._post_missing(item),
            person=person,
        )

    async def _undelete(self, user_id: str) -> None:
        """Unless it has been done: an earlier try may not have seen its answer."""
        there = see_member(await self.client.users.get(user_id))
        if there.deleted:
            await self.client.users.undelete(user_id)

    def _suspend(self, user_id: str) -> Step:
        async def send() -> str:
            await self.client.users.suspend(user_id)
            return user_id

        async def look() -> str | None:
            there = see_member(await self.client.users.get(user_id))
            return user_id if there.suspended else None

        return Step(f"user.suspend:{user_id}", send, look)

    # -- groups -------------------------------------------------------------------------------------------

    def groups(self) -> Iterator[Step]:
        """New groups, and new names."""
        for group in self.plan.groups:
            if group.action == "create":
                yield self._group(group)
            elif "name" in group.changes:
                yield self._rename(group)

    def _group(self, group: GroupItem) -> Step:
        without: list[str] = []

        async def send() -> str:
            ids = {number: self.user_id(number) for number in group.members}
            without[:] = [number for number, user_id in ids.items() if not user_id]
            members = [user_id for user_id in ids.values() if user_id]
            masters = self.plan.masters or tuple(members[:1])
            body = build_group(group, domain_id=self.plan.domain_id, members=members, masters=masters)
            made = await self.client.groups.create(body)
            return str(made.get("groupId") or "")

        async def look() -> str | None:
            try:
                there = await self.client.groups.get(external_key(group.key))
            except NotFound:
                return None
            group_id = str(there.get("groupId") or "")
            inside = {str(one.get("id")) async for one in self.client.groups.members(group_id)}
            without[:] = [number for number in group.members if self.user_id(number) not in inside]
            return group_id or None

        def nobody() -> str:
            found = any(self.user_id(number) for number in group.members)
            return "" if found else "メンバーがまだ一人も登録されていません。"

        return Step(
            f"group.create:{group.key}",
            send,
            look,
            nobody,
            quiet=True,
            result=lambda: {"without": list(without)},
        )

    def _rename(self, group: GroupItem) -> Step:
        async def send() -> str:
            await self.client.groups.patch(group.group_id, {"groupName": group.name})
            return group.group_id

        return Step(f"group.update:{group.key}", send)

    def group_members(self) -> Iterator[Step]:
        """Who has to come into a group that was there, or was made before they were; and who has to go."""
        for group in self.plan.groups:
            step = f"group.create:{group.key}"
            group_id, add = group.group_id, group.add
            if group.action == "create":
                state = self.journal.state(step)
                if state is None or state.status != "done":
                    continue
                group_id, add = state.id, tuple((state.body or {}).get("without") or ())
            for number in add:
                yield self._add(group, group_id, number)
            for user_id in group.remove:
                yield self._remove(group, group_id, user_id)

    def _add(self, group: GroupItem, group_id: str, number: str) -> Step:
        async def send() -> str:
            user_id = self.user_id(number)
            with contextlib.suppress(Conflict):  # is in it
                await self.client.groups.add_member(group_id, user_id)
            return user_id

        return Step(
            f"group.add:{group.key}:{number}",
            send,
            blocked=lambda: "" if self.user_id(number) else "まだ登録されていません。",
            quiet=True,
        )

    def _remove(self, group: GroupItem, group_id: str, user_id: str) -> Step:
        async def send() -> str:
            with contextlib.suppress(NotFound):  # is not in it
                await self.client.groups.remove_member(group_id, user_id)
            return user_id

        return Step(f"group.remove:{group.key}:{user_id}", send)
