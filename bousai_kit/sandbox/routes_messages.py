"""Messages to one member and to a room (part 2 §2.1): 201 with an empty body, no message id."""

from __future__ import annotations

from bousai_kit.sandbox import bot_state, people, rooms
from bousai_kit.sandbox.bot_state import bot_of, check_may_use, member_of
from bousai_kit.sandbox.content_schemas import MESSAGE
from bousai_kit.sandbox.contents import Content, check_content
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad
from bousai_kit.sandbox.routes_attachments import file_lookup
from bousai_kit.sandbox.routes_channels import room_of
from bousai_kit.sandbox.tenant import Entity

__all__ = ["OPERATIONS"]

TALK = ("bot.message", "bot")
MOST_MEMBERS_NOTED = 100


def _content(call: Call, bot_id: str) -> Content:
    fields = call.json()
    content = check_content(
        fields.get("content"), choices=call.choices, find_file=file_lookup(call.tenant, bot_id, call.now)
    )
    beside = [f"body.{key[:60]}" for key in fields if key != "content"]
    unknown = [f"{content.type}.{name}" for name in content.unknown] + beside
    if unknown and call.choices.unknown_fields == "refuse":
        raise bad(f"{unknown[0]} is unknown.")
    for key in unknown:
        seen = call.tenant.table("unknown_fields").get(key, {"n": 0})["n"]
        if seen or len(call.tenant.table("unknown_fields")) < 1000:
            call.tenant.put("unknown_fields", key, {"n": seen + 1})
    return content


def _key(talk: Entity, text: str) -> str:
    """Names this message in this room: its text, and how often it has been said here."""
    talk["n"].append(text)
    return f"{text}#{talk['n'].count(text)}"


def _to_user(call: Call) -> Reply:
    bot_id, _ = bot_of(call)
    return _to_member(call, bot_id, member_of(call, call.path["userId"]))


def _to_member(call: Call, bot_id: str, user: Entity) -> Reply:
    check_may_use(call.tenant, bot_id, user, call.choices)
    if user.get("isSuspended") and call.choices.suspended_member is not None:
        raise ApiFault(*call.choices.suspended_member)
    content = _content(call, bot_id)
    sandbox, tenant = call.sandbox, call.tenant
    at = sandbox.clock.now()
    channel, talk = rooms.open_talk(sandbox, bot_id, user, at)
    text = bot_state.note_text(tenant, content.type, content.shown)
    key = _key(talk, text)
    push = people.rings(tenant, user)
    said = bot_state.note_content(tenant, call.json()["content"])
    bot_state.note(tenant, at, "b", bot_id, user["userId"], channel, text, key, int(push), said)
    people.receive(sandbox, bot_id, user, content, key=key, channel=channel, room=False, push=True, at=at)
    return Reply(201)


def _to_channel(call: Call) -> Reply:
    bot_id, channel = room_of(call)
    if channel["type"] == "SINGLE_USER":
        return _to_member(
            call, bot_id, member_of(call, call.tenant.table("talks")[channel["channelId"]]["u"])
        )
    content = _content(call, bot_id)
    sandbox, tenant = call.sandbox, call.tenant
    at = sandbox.clock.now()
    members = rooms.members_in(tenant, channel)
    push = len(members) < call.choices.push_below
    text = bot_state.note_text(tenant, content.type, content.shown)
    key = _key(channel, text)
    tenant.touch("channels", channel["channelId"])
    noted = members if len(members) <= MOST_MEMBERS_NOTED else len(members)
    said = bot_state.note_content(tenant, call.json()["content"])
    bot_state.note(tenant, at, "r", bot_id, "", channel["channelId"], text, key, int(push), noted, said)
    for user_id in members:
        user = tenant.table("users").get(user_id)
        if user is not None:
            people.receive(
                sandbox,
                bot_id,
                user,
                content,
                key=key,
                channel=channel["channelId"],
                room=True,
                push=push,
                at=at,
            )
    return Reply(201)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "messages.to_user",
        "POST",
        "/bots/{botId}/users/{userId}/messages",
        TALK,
        _to_user,
        success=201,
        body=MESSAGE,
        paragraph="2 §2.1",
    ),
    Operation(
        "messages.to_channel",
        "POST",
        "/bots/{botId}/channels/{channelId}/messages",
        TALK,
        _to_channel,
        success=201,
        body=MESSAGE,
        paragraph="2 §2.1",
    ),
)
