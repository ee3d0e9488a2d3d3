"""The tenant as it stands, read once: members, units, titles, groups. What a plan is made against."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import PermissionDenied
from bousai_kit.onboarding.rooms import BuiltRoom, built_rooms
from bousai_kit.onboarding.titles import KINDS, LEVEL, POSITION, Kind, Title, by_name, see_title
from bousai_kit.onboarding.together import together
from bousai_kit.onboarding.unsettled import Unsettled, unsettled_creates

if TYPE_CHECKING:
    from bousai_kit.ledger import Ledger
    from bousai_kit.lineworks.client import LineWorksClient
    from bousai_kit.roster import Person

__all__ = [
    "CONSOLE_WAY",
    "KIT_GROUPS",
    "KIT_NAMES",
    "POST",
    "Group",
    "Member",
    "TenantView",
    "Unit",
    "read_tenant",
    "see_member",
    "see_unit",
]

KIT_GROUPS = "bousai-"
"""What the external keys of the kit's own groups begin with."""

KIT_NAMES = "防災_"
"""What their names begin with; one of that name without a key is taken for the kit's."""

CONSOLE_WAY = (
    "API が使えないときは、管理者画面の一括追加に使うファイルを"
    " `bousai onboard console 名簿 --out DIR`（10_onboarding では「管理者画面用のファイルを作る」）で"
    "作れます。"
)
"""What every sentence about a refused directory ends with; panels open that way where they see it."""

POST = ("orgUnitId", "primary", "positionId", "isManager", "visible", "useTeamFeature")
"""What may be written of a post in an org unit."""
_ORGANIZATION = ("domainId", "primary", "levelId", "email")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, repr=False)
class Member:
    """One member; "" where the tenant has null. A repr shows the id only."""

    user_id: str
    key: str = ""
    login_id: str = ""
    last_name: str = ""
    first_name: str = ""
    last_kana: str = ""
    first_kana: str = ""
    staff_number: str = ""
    phone: str = ""
    administrator: bool = False
    pending: bool = False
    suspended: bool = False
    suspended_reason: str = ""
    deleted: bool = False
    organizations: tuple[Json, ...] = ()

    def __repr__(self) -> str:
        return f"<Member {self.user_id}>"

    def organization(self, domain_id: int) -> Json | None:
        """The organization entry of this domain."""
        for entry in self.organizations:
            if entry.get("domainId") in (None, domain_id):
                return entry
        return None

    def primary_unit(self, domain_id: int) -> tuple[str, str]:
        """Ids of the one primary unit and of the position held there; "" where there is none."""
        entry = self.organization(domain_id)
        units = (entry or {}).get("orgUnits") or ()
        for unit in units:
            if unit.get("primary"):
                return str(unit.get("orgUnitId") or ""), str(unit.get("positionId") or "")
        return "", ""

    def title_id(self, kind: Kind, domain_id: int) -> str:
        """Id of the level of this domain, or of the position in its primary unit; "" where there is none."""
        if kind is POSITION:
            return self.primary_unit(domain_id)[1]
        return str((self.organization(domain_id) or {}).get("levelId") or "")


@dataclass(frozen=True, slots=True)
class Unit:
    """One org unit."""

    unit_id: str
    key: str
    name: str
    parent_id: str = ""
    email: str = ""
    order: int = 1


@dataclass(frozen=True, slots=True)
class Group:
    """One group; `members` holds user ids (nested units and groups left out)."""

    group_id: str
    key: str
    name: str
    members: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, repr=False)
class TenantView:
    """What was read.

    Attributes
    ----------
    domain_id : int
    read_at : datetime
        When the reading ended.
    members : tuple of Member
        Of this domain, those within the seven days after their deletion too.
    units, groups : tuple
    levels, positions : tuple of Title or None
        None: the feature is off in this tenant.
    per_minute : int
        Requests a minute and operation that the tenant allows.
    requests : int
        How many requests the reading took.
    rooms : tuple of BuiltRoom
        The bot's rooms, which no request lists: from the ledger.
    bot_id : int
        0: no bot, and so no rooms.
    unsettled : mapping
        Staff number → an account that another apply may have made and that does not show yet.
    """

    domain_id: int
    read_at: datetime
    members: tuple[Member, ...] = ()
    units: tuple[Unit, ...] = ()
    levels: tuple[Title, ...] | None = ()
    positions: tuple[Title, ...] | None = ()
    groups: tuple[Group, ...] = ()
    per_minute: int = 240
    requests: int = 0
    rooms: tuple[BuiltRoom, ...] = ()
    bot_id: int = 0
    unsettled: Mapping[str, Unsettled] = field(default_factory=dict)
    _by: dict[str, dict[str, Any]] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        return f"<TenantView domain={self.domain_id} members={len(self.members)} units={len(self.units)}>"

    def _index(self, name: str, make: Any) -> dict[str, Any]:
        found = self._by.get(name)
        if found is None:
            found = self._by[name] = make()
        return found

    def member_by_id(self, user_id: str) -> Member | None:
        """By userId."""
        found = self._index("id", lambda: {one.user_id: one for one in self.members})
        return found.get(user_id)

    def member_by_key(self, key: str) -> Member | None:
        """By external key."""
        found = self._index("key", lambda: {one.key: one for one in self.members if one.key})
        return found.get(key)

    def member_by_login(self, login_id: str) -> Member | None:
        """By login id, whatever its case."""
        found = self._index("login", lambda: {one.login_id.casefold(): one for one in self.members})
        return found.get(login_id.casefold())

    def shows(self, person: Person) -> bool:
        """There is a member of this staff number or login id."""
        return (
            self.member_by_key(person.staff_number) is not None
            or self.member_by_login(person.login_id) is not None
        )

    def member_by_number(self, staff_number: str) -> Member | None:
        """By staff number, whatever key and login id the account has."""
        found = self._index(
            "number", lambda: {one.staff_number: one for one in self.members if not one.deleted}
        )
        return found.get(staff_number)

    def unit_by_id(self, unit_id: str) -> Unit | None:
        """By orgUnitId."""
        found = self._index("unit", lambda: {one.unit_id: one for one in self.units})
        return found.get(unit_id)

    def unit_by_code(self, code: str, name: str = "") -> Unit | None:
        """By external key; else the only unit without one that bears this name."""
        by_key = self._index("unit key", lambda: {one.key: one for one in self.units if one.key})
        if code in by_key:
            found: Unit = by_key[code]
            return found
        named = self._index("unit name", self._units_without_key).get(name, ())
        return named[0] if len(named) == 1 else None

    def _units_without_key(self) -> dict[str, list[Unit]]:
        named: dict[str, list[Unit]] = {}
        for unit in self.units:
            if not unit.key:
                named.setdefault(unit.name, []).append(unit)
        return named

    def titles(self, kind: Kind) -> tuple[Title, ...] | None:
        """The levels or the positions; None: the feature is off."""
        return self.levels if kind is LEVEL else self.positions

    def title_name(self, kind: Kind, title_id: str) -> str:
        """Name of a level or position, "" if there is none."""
        found = self._index(kind.field, lambda: {one.id: one.name for one in self.titles(kind) or ()})
        return str(found.get(title_id, ""))

    def title(self, kind: Kind, name: str) -> Title | None:
        """By name, as typed or else in another width."""
        find = self._index(f"{kind.field} name", lambda: {"": by_name(self.titles(kind) or ())})
        found: Title | None = find[""](name)
        return found

    def is_title(self, kind: Kind, title_id: str, name: str) -> bool:
        """Whether this is the level or position that a row names ("": none)."""
        if self.title_name(kind, title_id) == name:
            return True
        found = self.title(kind, name)
        return found is not None and found.id == title_id

    def group_by_key(self, key: str, name: str = "") -> Group | None:
        """By external key; else a group without one that bears this name."""
        found = self._index("group", lambda: {one.key: one for one in self.groups if one.key})
        named = self._index("group name", lambda: {one.name: one for one in self.groups if not one.key})
        return found.get(key) or named.get(name)


def see_member(user: Mapping[str, Any]) -> Member:
    """Read a user object."""
    name = user.get("userName") or {}
    return Member(
        user_id=str(user.get("userId") or ""),
        key=_text(user, "userExternalKey"),
        login_id=_text(user, "email"),
        last_name=_text(name, "lastName"),
        first_name=_text(name, "firstName"),
        last_kana=_text(name, "phoneticLastName"),
        first_kana=_text(name, "phoneticFirstName"),
        staff_number=_text(user, "employeeNumber"),
        phone=_text(user, "cellPhone"),
        administrator=bool(user.get("isAdministrator")),
        pending=bool(user.get("isPending")),
        suspended=bool(user.get("isSuspended")),
        suspended_reason=_text(user, "suspendedReason"),
        deleted=bool(user.get("isDeleted")),
        organizations=tuple(_slim(entry) for entry in user.get("organizations") or ()),
    )


def _slim(entry: Mapping[str, Any]) -> Json:
    """An organization entry with what is read of it or written back; of 30,000 the rest fills memory."""
    seen = {name: entry[name] for name in _ORGANIZATION if name in entry}
    posts = entry.get("orgUnits") or ()
    seen["orgUnits"] = [{name: _once(post[name]) for name in POST if name in post} for post in posts]
    return seen


def _once(value: Any) -> Any:
    """The same text once in memory: many people share a unit and a position."""
    return sys.intern(value) if type(value) is str else value


def see_unit(unit: Mapping[str, Any]) -> Unit:
    """Read an org unit object."""
    return Unit(
        str(unit.get("orgUnitId") or ""),
        _text(unit, "orgUnitExternalKey"),
        _text(unit, "orgUnitName"),
        _text(unit, "parentOrgUnitId"),
        _text(unit, "email"),
        int(unit.get("displayOrder") or 1),
    )


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return "" if value is None else str(value)


async def read_tenant(
    client: LineWorksClient,
    *,
    domain_id: int,
    ledger: Ledger | None = None,
    bot_id: int | None = None,
    home: Path | None = None,
    apply_id: str = "",
) -> TenantView:
    """Read everything that a plan looks at; changes nothing.

    Parameters
    ----------
    ledger : Ledger, optional
        Knows the rooms of the bot, and which accounts are on their way.
    bot_id : int, optional
        The bot whose rooms they are; without it rooms are no part of the plan.
    home : Path, optional
        Where plans that were applied are kept.
    apply_id : str
        For whom this is read: an apply looks after its own accounts.

    Raises
    ------
    LineWorksError
        A list cannot be read. (Levels and positions that are switched off are no error.)
    """
    before = client.stats.requests
    members, units, groups, *titles = await together(
        _members(client, domain_id),
        _all(client.orgunits.list()),
        _groups(client),
        *(_titles(client, kind) for kind in KINDS),
    )
    unsettled = {}
    if ledger is not None:  # after the lists: whatever was under way meanwhile has its intent here
        shown = {member.key for member in members}
        unsettled = await unsettled_creates(
            ledger, now=client.clock.now(), shown=shown, home=home, but=apply_id
        )
    return TenantView(
        domain_id=domain_id,
        read_at=client.clock.now(),
        members=members,
        units=tuple(see_unit(unit) for unit in units),
        **{kind.plural: there for kind, there in zip(KINDS, titles, strict=True)},
        groups=groups,
        per_minute=client.gate.pacer("users.list").limit,
        requests=client.stats.requests - before,
        rooms=await built_rooms(ledger, bot_id=bot_id) if ledger is not None and bot_id else (),
        bot_id=bot_id or 0,
        unsettled=unsettled,
    )


async def _all(pages: AsyncIterator[Json]) -> list[Json]:
    return [one async for one in pages]


async def _members(client: LineWorksClient, domain_id: int) -> tuple[Member, ...]:
    """Seen one by one as they come: 30,000 of them as the tenant says them fill 200 MB."""
    ours = (user async for user in client.users.list() if user.get("domainId") in (None, domain_id))
    return tuple([see_member(user) async for user in ours])


async def _titles(client: LineWorksClient, kind: Kind) -> tuple[Title, ...] | None:
    try:
        found = await _all(getattr(client, kind.plural).list(again=True))
    except PermissionDenied:
        return None
    return tuple(see_title(kind, one) for one in found)


async def _groups(client: LineWorksClient) -> tuple[Group, ...]:
    found = []
    for one in await _all(client.groups.list()):
        key, group_id = _text(one, "groupExternalKey"), str(one.get("groupId") or "")
        members: list[Json] = []
        if key.startswith(KIT_GROUPS) or (not key and _text(one, "groupName").startswith(KIT_NAMES)):
            listed = one.get("members")
            members = listed if listed else await _all(client.groups.members(group_id))
        ids = (str(entry.get("id")) for entry in members if entry.get("type", "USER") == "USER")
        found.append(Group(group_id, key, _text(one, "groupName"), frozenset(ids)))
    return tuple(found)
