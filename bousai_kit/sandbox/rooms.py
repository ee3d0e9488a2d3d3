"""1:1 talks and rooms of the bot: who is in, comes and goes, and the events that follow (part 2 §3, §4.2).

A room made by the bot holds its members; the room of a group or an org unit is looked up in the directory
each time. A bot gets into those only by invitation, which no API offers: the admin host does it for tests
(`invite`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bousai_kit.sandbox import bot_state
from bousai_kit.sandbox.callbacks_out import emit
from bousai_kit.sandbox.directory_index import groups_above
from bousai_kit.sandbox.directory_state import members_of_unit, unit_entry
from bousai_kit.sandbox.ops import missing
from bousai_kit.sandbox.tenant import Entity, Tenant

if TYPE_CHECKING:
    from bousai_kit.sandbox.core import Sandbox

__all__ = [
    "LISTENERS",
    "bot_leaves",
    "channel_view",
    "create_room",
    "invite",
    "leave_all",
    "leave_talk",
    "member_joins",
    "member_leaves",
    "members_in",
    "open_talk",
]


# -- 1:1 --------------------------------------------------------------------------------------------


def open_talk(sandbox: Sandbox, bot_id: str, user: Entity, at: datetime) -> tuple[str, Entity]:
    """The 1:1 room, opened with ``begin`` when there is none or the member left it: (channel id, talk)."""
    tenant = sandbox.tenant
    channel = bot_state.talk_id(tenant, bot_id, user["userId"])
    talk = tenant.table("talks").get(channel)
    if talk is None or not talk["open"]:
        if talk is None:
            talk = {"b": bot_id, "u": user["userId"], "n": [], "open": True}
        talk["open"] = True
        emit(sandbox, bot_id, "begin", at, user=user["userId"], channel=channel)
        if sandbox.choices.join_in_1to1:
            emit(sandbox, bot_id, "join", at, channel=channel)
            emit(sandbox, bot_id, "joined", at, channel=channel, members=[user["userId"]])
        bot_state.note(tenant, at, "i", bot_id, user["userId"], channel)
    tenant.put("talks", channel, talk)
    return channel, talk


def leave_talk(sandbox: Sandbox, bot_id: str, user_id: str, at: datetime) -> bool:
    """The member leaves the 1:1 room (``end``); False if there is none."""
    tenant = sandbox.tenant
    channel = bot_state.talk_id(tenant, bot_id, user_id)
    talk = tenant.table("talks").get(channel)
    if talk is None or not talk["open"]:
        return False
    talk["open"] = False
    tenant.touch("talks", channel)
    emit(sandbox, bot_id, "end", at, user=user_id, channel=channel)
    bot_state.note(tenant, at, "o", bot_id, user_id, channel)
    return True


# -- rooms ------------------------------------------------------------------------------------------


def create_room(
    sandbox: Sandbox, bot_id: str, members: list[str], title: str, domain_id: int, at: datetime
) -> Entity:
    """Make a room with the bot in it; ``join`` and ``joined`` follow."""
    tenant = sandbox.tenant
    channel_id = tenant.new_id("channel")
    channel = {
        "channelId": channel_id,
        "domainId": domain_id,
        "title": title,
        "type": "MULTI_USERS",
        "bots": [bot_id],
        "members": members,
        "n": [],
    }
    tenant.put("channels", channel_id, channel)
    emit(sandbox, bot_id, "join", at, channel=channel_id)
    emit(sandbox, bot_id, "joined", at, channel=channel_id, members=list(members))
    bot_state.note(tenant, at, "i", bot_id, "", channel_id)
    for user_id in members:
        bot_state.note(tenant, at, "i", bot_id, user_id, channel_id)
    return channel


def members_in(tenant: Tenant, channel: Entity) -> list[str]:
    """Who is in a room now, without bots."""
    if channel["type"] == "GROUP":
        group = tenant.table("groups").get(channel.get("groupId", ""))
        return [] if group is None else list(dict.fromkeys(_of_group(tenant, group, set())))
    if channel["type"] == "ORGUNIT":
        return list(_of_orgunit(tenant, channel.get("orgUnitId", "")))
    return list(channel["members"])


def _of_group(tenant: Tenant, group: Entity, seen: set[str]) -> Iterator[str]:
    for member in group.get("members", ()):
        key, kind = member.get("id", ""), member.get("type")
        if kind == "USER" and not tenant.table("users").get(key, {"isDeleted": True}).get("isDeleted"):
            yield key
        elif kind == "ORGUNIT":
            yield from _of_orgunit(tenant, key)
        elif kind == "GROUP" and key not in seen and key in tenant.table("groups"):
            seen.add(key)
            yield from _of_group(tenant, tenant.table("groups")[key], seen)


def _of_orgunit(tenant: Tenant, orgunit_id: str) -> Iterator[str]:
    for user in members_of_unit(tenant, orgunit_id):
        if unit_entry(user, orgunit_id).get("useTeamFeature", True):
            yield user["userId"]


def channel_view(channel: Entity) -> dict[str, Any]:
    """As ``GET …/channels/{channelId}`` shows a room."""
    kind: dict[str, Any] = {"type": channel["type"]}
    for name in ("orgUnitId", "groupId"):
        if channel.get(name):
            kind[name] = channel[name]
    return {
        "domainId": channel["domainId"],
        "channelId": channel["channelId"],
        "title": channel["title"],
        "channelType": kind,
    }


def bot_leaves(sandbox: Sandbox, bot_id: str, channel: Entity, at: datetime) -> None:
    """The bot is out (``leave``)."""
    if bot_id not in channel["bots"]:
        return
    channel["bots"].remove(bot_id)
    sandbox.tenant.touch("channels", channel["channelId"])
    emit(sandbox, bot_id, "leave", at, channel=channel["channelId"])
    bot_state.note(sandbox.tenant, at, "o", bot_id, "", channel["channelId"])


def leave_all(sandbox: Sandbox, bot_id: str, at: datetime) -> None:
    """Out of every multi-member room, as when ``enableGroupJoin`` is turned off."""
    for channel in list(sandbox.tenant.table("channels").values()):
        bot_leaves(sandbox, bot_id, channel, at)


def member_leaves(sandbox: Sandbox, channel_id: str, user_id: str, at: datetime) -> bool:
    """A member leaves a bot-made room (``left``); with the last one the bot leaves too."""
    tenant = sandbox.tenant
    channel = tenant.table("channels").get(channel_id)
    if channel is None or channel["type"] != "MULTI_USERS" or user_id not in channel["members"]:
        return False
    channel["members"].remove(user_id)
    tenant.touch("channels", channel_id)
    for bot_id in list(channel["bots"]):
        emit(sandbox, bot_id, "left", at, channel=channel_id, members=[user_id])
        bot_state.note(tenant, at, "o", bot_id, user_id, channel_id)
        if not channel["members"]:
            bot_leaves(sandbox, bot_id, channel, at)
    return True


def member_joins(sandbox: Sandbox, channel_id: str, user_id: str, at: datetime) -> bool:
    """A member is invited in the app into a room that is nobody's group (``joined``); False: it cannot be."""
    tenant = sandbox.tenant
    channel = tenant.table("channels").get(channel_id)
    if channel is None or channel["type"] != "MULTI_USERS" or user_id in channel["members"]:
        return False
    channel["members"].append(user_id)
    tenant.touch("channels", channel_id)
    for bot_id in channel["bots"]:
        emit(sandbox, bot_id, "joined", at, channel=channel_id, members=[user_id])
        bot_state.note(tenant, at, "i", bot_id, user_id, channel_id)
    return True


# -- rooms of groups and org units ------------------------------------------------------------------


def invite(sandbox: Sandbox, bot_id: str, kind: str, key: str, at: datetime) -> Entity:
    """Somebody invites the bot into the room of a group, an org unit, or another room (``join``).

    Parameters
    ----------
    kind : str
        ``GROUP``, ``ORGUNIT`` or ``MULTI_USERS``.
    key : str
        Id of the group, org unit or channel.

    Raises
    ------
    ApiFault
        404: there is no such room, or the bot may not join groups.
    """
    tenant = sandbox.tenant
    bot = tenant.table("bots").get(bot_id)
    if bot is None or not bot.get("enableGroupJoin"):
        raise missing("The bot cannot be invited.")
    if kind == "MULTI_USERS":
        channel = tenant.table("channels").get(key)
    else:
        channel = _directory_room(sandbox, kind, key)
    if channel is None:
        raise missing("There is no such room.")
    if bot_id not in channel["bots"]:
        channel["bots"].append(bot_id)
        channel["members"] = members_in(tenant, channel)
        tenant.touch("channels", channel["channelId"])
        emit(sandbox, bot_id, "join", at, channel=channel["channelId"])
        bot_state.note(tenant, at, "i", bot_id, "", channel["channelId"])
    return channel


def _directory_room(sandbox: Sandbox, kind: str, key: str) -> Entity | None:
    tenant = sandbox.tenant
    table, name = ("groups", "groupName") if kind == "GROUP" else ("orgunits", "orgUnitName")
    owner = tenant.table(table).get(key)
    if owner is None or not owner.get("useMessage"):
        return None
    if kind == "ORGUNIT" and sandbox.choices.unit_room == "leader" and not _led(tenant, key):
        return None
    channel_id = tenant.new_id("room", f"{kind}|{key}")
    channel = tenant.table("channels").get(channel_id)
    if channel is None:
        channel = tenant.put(
            "channels",
            channel_id,
            {
                "channelId": channel_id,
                "domainId": owner.get("domainId", tenant.domain_id),
                "title": owner.get(name, ""),
                "type": kind,
                "groupId" if kind == "GROUP" else "orgUnitId": key,
                "bots": [],
                "members": [],
                "n": [],
            },
        )
    return channel


def _led(tenant: Tenant, orgunit_id: str) -> bool:
    return any(unit_entry(user, orgunit_id).get("isManager") for user in members_of_unit(tenant, orgunit_id))


def _room_of(sandbox: Sandbox, kind: str, key: str) -> Entity | None:
    return sandbox.tenant.table("channels").get(sandbox.tenant.new_id("room", f"{kind}|{key}"))


def _follow(sandbox: Sandbox, channel: Entity) -> None:
    """Who has come and who has gone since the room was looked at last: ``joined``, ``left``."""
    at, tenant = sandbox.clock.now(), sandbox.tenant
    before, after = channel["members"], members_in(tenant, channel)
    if before != after:
        channel["members"] = after
        tenant.touch("channels", channel["channelId"])
    for kind, gone in (("joined", False), ("left", True)):
        first, second = (before, set(after)) if gone else (after, set(before))
        moved = [user for user in first if user not in second]
        if moved:
            for bot_id in channel["bots"]:
                emit(sandbox, bot_id, kind, at, channel=channel["channelId"], members=moved)
                for user_id in moved:
                    bot_state.note(tenant, at, "o" if gone else "i", bot_id, user_id, channel["channelId"])


def _entitle(sandbox: Sandbox, channel: Entity, title: str) -> None:
    if channel["title"] != title:
        channel["title"] = title
        sandbox.tenant.touch("channels", channel["channelId"])


def _group_changed(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    channel = _room_of(sandbox, "GROUP", payload["id"])
    if channel is None:
        return
    group = sandbox.tenant.table("groups").get(payload["id"])
    if group is not None:
        _entitle(sandbox, channel, group["groupName"])
    _follow(sandbox, channel)


def _all_leave(sandbox: Sandbox, channel: Entity) -> None:
    for bot_id in list(channel["bots"]):
        bot_leaves(sandbox, bot_id, channel, sandbox.clock.now())


def _group_closed(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    channel = _room_of(sandbox, "GROUP", payload["id"])
    if channel is not None:
        _all_leave(sandbox, channel)


def _orgunit_changed(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    """Part 1 §5: the room of a unit is there while the unit is and `useMessage` is on."""
    channel = _room_of(sandbox, "ORGUNIT", payload["id"])
    if channel is None:
        return
    unit = sandbox.tenant.table("orgunits").get(payload["id"])
    if unit is None or not unit["useMessage"]:
        _all_leave(sandbox, channel)
    else:
        _entitle(sandbox, channel, unit["orgUnitName"])


def _belongs_in(tenant: Tenant, user: Entity) -> set[str]:
    """Ids of the rooms of units and groups (whether or not they are there) in which a member is."""
    if not user or user.get("isDeleted"):
        return set()
    units = [
        unit["orgUnitId"]
        for company in user.get("organizations") or ()
        for unit in company["orgUnits"]
        if unit.get("useTeamFeature", True)
    ]
    rooms = [("ORGUNIT", key) for key in units]
    rooms += [("GROUP", key) for key in groups_above(tenant, (user["userId"], *units))]
    return {tenant.new_id("room", f"{kind}|{key}") for kind, key in rooms}


def _user_moved(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    """Rooms of units, and of groups that hold units, follow whoever comes and goes (part 1 §5, §6)."""
    user_id, tenant = payload["id"], sandbox.tenant
    now_in = _belongs_in(tenant, tenant.table("users").get(user_id, {}))
    for key, room in tenant.table("channels").items():
        if room["type"] != "MULTI_USERS" and (user_id in _inside(tenant, room)) != (key in now_in):
            _follow(sandbox, room)


def _inside(tenant: Tenant, room: Entity) -> set[str]:
    """Who was in the room of a unit or group when it was looked at last; `_follow` makes a new list."""
    kept = tenant.caches.get(f"room:{room['channelId']}")
    if kept is None or kept[0] is not room["members"]:
        kept = tenant.caches[f"room:{room['channelId']}"] = (room["members"], set(room["members"]))
    found: set[str] = kept[1]
    return found


def _user_deleted(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    """Part 1 §4.1: room memberships are lost at once, and an undelete does not bring them back."""
    user_id, at = payload["id"], sandbox.clock.now()
    tenant = sandbox.tenant
    bot_state.remember(tenant, user_id)
    for channel_id, channel in list(tenant.table("channels").items()):
        if user_id in channel["members"]:
            if channel["type"] == "MULTI_USERS":
                member_leaves(sandbox, channel_id, user_id, at)
            else:
                _follow(sandbox, channel)
    for bot_id in list(tenant.table("bots")):
        leave_talk(sandbox, bot_id, user_id, at)
    for name, entry in tenant.table("bot_domains").items():
        if user_id in entry["members"]:
            entry["members"].remove(user_id)
            tenant.touch("bot_domains", name)


LISTENERS = {
    "group.changed": _group_changed,
    "group.room_closed": _group_closed,
    "group.deleted": _group_closed,
    "orgunit.changed": _orgunit_changed,
    "user.created": _user_moved,
    "user.changed": _user_moved,
    "user.deleted": _user_deleted,
    "user.purged": _user_deleted,
}
