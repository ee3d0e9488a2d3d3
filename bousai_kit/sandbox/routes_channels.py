"""Rooms: create (10 a minute), get, members, leave (part 2 §3). Nothing edits or lists rooms."""

from __future__ import annotations

from bousai_kit.sandbox import rooms
from bousai_kit.sandbox.bot_state import bot_of, check_may_use, member_of
from bousai_kit.sandbox.content_parts import members_of, string
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad, missing
from bousai_kit.sandbox.schemas import array_of, body, page, text
from bousai_kit.sandbox.tenant import Entity

__all__ = ["LISTENERS", "OPERATIONS", "room_of"]

LISTENERS = rooms.LISTENERS
TALK = ("bot.message", "bot")
READ = ("bot.message", "bot", "bot.read")


def room_of(call: Call) -> tuple[str, Entity]:
    """The room of the path, with the bot in it: (bot key, channel). A 1:1 room shows as SINGLE_USER.

    Raises
    ------
    ApiFault
        404: no such room; 403: the bot is not in it.
    """
    bot_id, _ = bot_of(call)
    tenant = call.tenant
    channel_id = call.path["channelId"]
    talk = tenant.table("talks").get(channel_id)
    if talk is not None:
        if talk["b"] != bot_id:
            raise ApiFault(*call.choices.not_in_room)
        user = tenant.table("users").get(talk["u"]) or {}
        return bot_id, {
            "channelId": channel_id,
            "domainId": user.get("domainId", tenant.domain_id),
            "title": "",
            "type": "SINGLE_USER",
            "bots": [bot_id],
            "members": [talk["u"]] if talk["open"] else [],
        }
    channel = tenant.table("channels").get(channel_id)
    if channel is None:
        raise missing("Channel not found.")
    if bot_id not in channel["bots"]:
        raise ApiFault(*call.choices.not_in_room)
    return bot_id, channel


def _create(call: Call) -> Reply:
    bot_id, bot = bot_of(call)
    fields = call.json()
    references = members_of(fields.get("members"), "members", low=1, high=100)
    title = string(fields, "title", "", 1000, required=False) or ""
    if call.choices.room_needs_group_join and not bot["enableGroupJoin"]:
        raise ApiFault(*call.choices.bot_not_allowed)
    users = [member_of(call, reference) for reference in references]
    members = [user["userId"] for user in users]
    if len(set(members)) != len(members):
        raise bad("members must not have duplicates.")
    for user in users:
        check_may_use(call.tenant, bot_id, user, call.choices)
    if len(users) == 1 and call.choices.room_of_one == "talk":
        talk, _ = rooms.open_talk(call.sandbox, bot_id, users[0], call.sandbox.clock.now())
        return Reply(201, {"channelId": talk, "title": title})
    domain_id = users[0].get("domainId", call.tenant.domain_id)
    channel = rooms.create_room(call.sandbox, bot_id, members, title, domain_id, call.sandbox.clock.now())
    return Reply(201, {"channelId": channel["channelId"], "title": title})


def _get(call: Call) -> Reply:
    return Reply(200, rooms.channel_view(room_of(call)[1]))


def _members(call: Call) -> Reply:
    members = rooms.members_in(call.tenant, room_of(call)[1])
    return Reply(200, call.page("members", [(user, user) for user in members], default=50))


def _leave(call: Call) -> Reply:
    bot_id, channel = room_of(call)
    if channel["type"] == "SINGLE_USER":
        raise ApiFault(*call.choices.talk_is_not_left)
    rooms.bot_leaves(call.sandbox, bot_id, channel, call.now)
    return Reply(204)


_BODY = body(
    {
        "members": {**array_of(text(1000), low=1, high=100), "uniqueItems": True},
        "title": text(1000, null=True),
    },
    "members",
)
_PAGE = page()
_ROOM = "/bots/{botId}/channels/{channelId}"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "channels.create",
        "POST",
        "/bots/{botId}/channels",
        TALK,
        _create,
        success=201,
        limit="room",
        body=_BODY,
        paragraph="2 §3",
    ),
    Operation("channels.get", "GET", _ROOM, READ, _get, paragraph="2 §3"),
    Operation("channels.members", "GET", f"{_ROOM}/members", READ, _members, query=_PAGE, paragraph="2 §3"),
    Operation("channels.leave", "DELETE", _ROOM, TALK, _leave, success=204, paragraph="2 §3"),
)
