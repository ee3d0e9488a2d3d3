"""The tenant as it stands, read once: members, org units, positions, groups. What a plan is made against."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import PermissionDenied
from bousai_kit.onboarding.rooms import BuiltRoom, built_rooms
from bousai_kit.onboarding.together import together

if TYPE_CHECKING:
    from bousai_kit.ledger import Ledger
    from bousai_kit.lineworks.client import LineWorksClient

__all__ = [
    "CONSOLE_WAY",
    "KIT_GROUPS",
    "POST",
    "Group",
    "Member",
    "Position",
    "TenantView",
    "Unit",
    "read_tenant",
    "see_member",
    "see_unit",
]

KIT_GROUPS = "bousai-"
"""What the external keys of the kit's own groups begin with; only their members are read."""

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


@dataclass(frozen=True, slots=True)
class Unit:
    """One org unit."""

    unit_id: str
    key: str
    name: str
    parent_id: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """One position."""

    position_id: str
    name: str
    order: int = 0


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
    positions : tuple of Position or None
        None: the feature is off in this tenant.
    per_minute : int
        Requests a minute and operation that the tenant allows.
    requests : int
        How many requests the reading took.
    rooms : tuple of BuiltRoom
        The bot's rooms, which no request lists: from the ledger.
    bot_id : int
        0: no bot, and so no rooms.
    """

    domain_id: int
    read_at: datetime
    members: tuple[Member, ...] = ()
    units: tuple[Unit, ...] = ()
    positions: tuple[Position, ...] | None = ()
    groups: tuple[Group, ...] = ()
    per_minute: int = 240
    requests: int = 0
    rooms: tuple[BuiltRoom, ...] = ()
    bot_id: int = 0
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

    def number_taken(self, staff_number: str) -> bool:
        """Some account bears this staff number, whatever its key and login id."""
        found = self._index(
            "number", lambda: {one.staff_number: one for one in self.members if not one.deleted}
        )
        return staff_number in found

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

    def position_name(self, position_id: str) -> str:
        """Name of a position, "" if there is none."""
        found = self._index("position", lambda: {one.position_id: one.name for one in self.positions or ()})
        return str(found.get(position_id, ""))

    def position_by_name(self, name: str) -> Position | None:
        """By name."""
        found = self._index("position name", lambda: {one.name: one for one in self.positions or ()})
        return found.get(name)

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
    )


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return "" if value is None else str(value)


async def read_tenant(
    client: LineWorksClient, *, domain_id: int, ledger: Ledger | None = None, bot_id: int | None = None
) -> TenantView:
    """Read everything that a plan looks at; changes nothing.

    Parameters
    ----------
    ledger : Ledger, optional
        Knows the rooms of the bot.
    bot_id : int, optional
        The bot whose rooms they are; without it rooms are no part of the plan.

    Raises
    ------
    LineWorksError
        A list cannot be read. (Positions that are switched off are no error.)
    """
    before = client.stats.requests
    members, units, positions, groups = await together(
        _members(client, domain_id), _all(client.orgunits.list()), _positions(client), _groups(client)
    )
    return TenantView(
        domain_id=domain_id,
        read_at=client.clock.now(),
        members=members,
        units=tuple(see_unit(unit) for unit in units),
        positions=positions,
        groups=groups,
        per_minute=client.gate.pacer("users.list").limit,
        requests=client.stats.requests - before,
        rooms=await built_rooms(ledger, bot_id=bot_id) if ledger is not None and bot_id else (),
        bot_id=bot_id or 0,
    )


async def _all(pages: AsyncIterator[Json]) -> list[Json]:
    return [one async for one in pages]


async def _members(client: LineWorksClient, domain_id: int) -> tuple[Member, ...]:
    """Seen one by one as they come: 30,000 of them as the tenant says them fill 200 MB."""
    ours = (user async for user in client.users.list() if user.get("domainId") in (None, domain_id))
    return tuple([see_member(user) async for user in ours])


async def _positions(client: LineWorksClient) -> tuple[Position, ...] | None:
    try:
        found = await _all(client.positions.list())
    except PermissionDenied:
        return None
    return tuple(
        Position(
            str(one.get("positionId") or ""), _text(one, "positionName"), int(one.get("displayOrder") or 0)
        )
        for one in found
    )


async def _groups(client: LineWorksClient) -> tuple[Group, ...]:
    found = []
    for one in await _all(client.groups.list()):
        key, group_id = _text(one, "groupExternalKey"), str(one.get("groupId") or "")
        members: list[Json] = []
        if key.startswith(KIT_GROUPS):
            listed = one.get("members")
            members = listed if listed else await _all(client.groups.members(group_id))
        ids = (str(entry.get("id")) for entry in members if entry.get("type", "USER") == "USER")
        found.append(Group(group_id, key, _text(one, "groupName"), frozenset(ids)))
    return tuple(found)
