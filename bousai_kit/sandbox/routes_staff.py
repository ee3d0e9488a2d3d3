"""The admin host's hand on simulated staff: let one of them tap, type, send, open, leave, make a
room, join one, invite the bot.

No part of the vendor's API: tests and demonstrations use it. ``user`` is a user id or login id; ``bot``
defaults to the first bot. ``POST /staff/login`` lets everybody log in who is still going to.
"""

from __future__ import annotations

from typing import Any

from bousai_kit.sandbox import people, rooms
from bousai_kit.sandbox.bot_state import find_member, talk_id
from bousai_kit.sandbox.content_parts import Tap, members_of, obj, string
from bousai_kit.sandbox.contents import TYPES
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad, denied, missing
from bousai_kit.sandbox.routes_attachments import put_file
from bousai_kit.sandbox.tenant import Entity

__all__ = ["OPERATIONS"]

FILES = ("image", "file", "audio", "video")
INVITED = ("GROUP", "ORGUNIT", "MULTI_USERS")


def _who(call: Call) -> tuple[str, Entity]:
    fields = call.json()
    bot_id = str(fields.get("bot") or call.tenant.bot_id)
    if bot_id not in call.tenant.table("bots"):
        raise missing("Bot not found.")
    user = find_member(call.tenant, string(fields, "user", "", 1000) or "")
    if user is None:
        raise missing("User not found.")
    return bot_id, user


def _room(call: Call, bot_id: str, user: Entity) -> str:
    """The room of the body, "" for the 1:1 room."""
    channel = string(call.json(), "channel", "", 200, required=False) or ""
    return "" if channel == talk_id(call.tenant, bot_id, user["userId"]) else channel


def _act(call: Call, tap: Tap, content: dict[str, Any] | None = None, *, composed: str = "") -> Reply:
    """`composed`: the type of what is written by hand; a tap is none."""
    bot_id, user = _who(call)
    at = call.sandbox.clock.now()
    room = _room(call, bot_id, user)
    if composed and not room and composed not in call.tenant.table("bots")[bot_id].get("callbackEvents", ()):
        raise denied("The composer of this talk does not offer that.")  # part 2 §1.2: greyed out
    key = string(call.json(), "key", "", 200, required=False) or ""
    if not people.answer(call.sandbox, bot_id, user, tap, at=at, channel=room, key=key, content=content):
        raise missing("The member or the bot is not in the room.")
    return Reply(204)


def _say(call: Call) -> Reply:
    return _act(call, Tap(string(call.json(), "text", "", 10_000) or ""), composed="text")


def _tap(call: Call) -> Reply:
    """``text`` with ``postback`` (a message action), or ``data`` (a postback action)."""
    fields = call.json()
    data = string(fields, "data", "", 300, required=False)
    if data is not None:
        return _act(call, Tap("", data=data))
    text = string(fields, "text", "", 1000) or ""
    return _act(call, Tap(text, postback=string(fields, "postback", "", 1000, required=False)))


def _send(call: Call) -> Reply:
    """``content`` of another kind: a location, a sticker, or a file that the bot can download."""
    bot_id, _ = _who(call)
    content = dict(obj(call.json().get("content"), "content"))
    kind = content.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise bad("content.type is invalid.")
    shown = str(content.get("text") or content.get("address") or content.get("stickerId") or "")
    if kind in FILES:
        name = str(content.pop("fileName", "") or "photo.jpg")
        try:
            data = bytes.fromhex(str(content.pop("hex", "") or "ffd8ffd9"))
        except ValueError:
            raise bad("content.hex is invalid.") from None
        life = call.choices.attachment_life_s
        content["fileId"] = put_file(call.tenant, bot_id, name, data, call.now, life)
        shown = f"(写真) {name}" if kind == "image" else f"(ファイル) {name}"
    try:
        return _act(call, Tap(shown), content, composed=kind)
    except ApiFault:  # nobody has got the file
        for table in ("attachments", "blobs"):
            call.tenant.delete(table, content["fileId"] if kind in FILES else "")
        raise


def _open(call: Call) -> Reply:
    """The member opens the bot's talk and presses 利用開始."""
    bot_id, user = _who(call)
    at = call.sandbox.clock.now()
    rooms.open_talk(call.sandbox, bot_id, user, at)
    people.answer(call.sandbox, bot_id, user, Tap("利用開始", postback="start"), at=at)
    return Reply(204)


def _leave(call: Call) -> Reply:
    bot_id, user = _who(call)
    at = call.sandbox.clock.now()
    room = _room(call, bot_id, user)
    left = (
        rooms.member_leaves(call.sandbox, room, user["userId"], at)
        if room
        else rooms.leave_talk(call.sandbox, bot_id, user["userId"], at)
    )
    if not left:
        raise missing("The member is not in the room.")
    return Reply(204)


def _join(call: Call) -> Reply:
    """Somebody in the room invites the member (``channel``)."""
    _, user = _who(call)
    channel = string(call.json(), "channel", "", 200) or ""
    if not rooms.member_joins(call.sandbox, channel, user["userId"], call.sandbox.clock.now()):
        raise missing("There is no such room, or the member is in it.")
    return Reply(204)


def _make_room(call: Call) -> Reply:
    """The member makes a room with others (``members``) and the bot."""
    bot_id, user = _who(call)
    if not call.tenant.table("bots")[bot_id].get("enableGroupJoin"):
        raise missing("The bot cannot be invited.")
    others = [
        find_member(call.tenant, key)
        for key in members_of(call.json().get("members"), "members", low=1, high=500)
    ]
    ids = [user["userId"], *(other["userId"] for other in others if other is not None)]
    title = string(call.json(), "title", "", 1000, required=False) or ""
    domain = user.get("domainId", call.tenant.domain_id)
    members = list(dict.fromkeys(ids))
    at = call.sandbox.clock.now()
    return Reply(201, rooms.channel_view(rooms.create_room(call.sandbox, bot_id, members, title, domain, at)))


def _invite(call: Call) -> Reply:
    fields = call.json()
    kind = fields.get("kind", "GROUP")
    if kind not in INVITED:
        raise bad("kind must be GROUP, ORGUNIT or MULTI_USERS.")
    bot_id = str(fields.get("bot") or call.tenant.bot_id)
    key = string(fields, "id", "", 200) or ""
    channel = rooms.invite(call.sandbox, bot_id, kind, key, call.sandbox.clock.now())
    return Reply(201, rooms.channel_view(channel))


def _profile(call: Call) -> Reply:
    user = find_member(call.tenant, call.path["userId"])
    if user is None:
        raise missing("User not found.")
    person = people.profile(call.tenant, user)
    return Reply(
        200,
        {
            "key": person.key,
            "role": person.role,
            "ward": person.ward,
            "device": person.device,
            "reachable": people.rings(call.tenant, user),
        },
    )


async def _login(call: Call) -> Reply:
    """Everybody whose first login is still to come logs in now; who never will stays out."""
    due = [key for key, entry in call.tenant.table("due").items() if entry["kind"] == people.FIRST_LOGIN]
    for key in due:
        await people.first_login_now(call.sandbox, key)
    return Reply(200, {"count": len(due)})


_TEXT: dict[str, Any] = {"type": "string"}
_WHO: dict[str, Any] = {"user": _TEXT, "bot": _TEXT, "channel": _TEXT, "key": _TEXT}


def _body(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _op(name: str, handler: Any, body: dict[str, Any] | None, success: int = 204) -> Operation:
    path, called = f"/staff/{name}", f"admin.staff.{name}"
    return Operation(
        called, "POST", path, (), handler, success=success, host="admin", limit="none", body=body
    )


OPERATIONS: tuple[Operation, ...] = (
    _op("say", _say, _body("user", "text", **_WHO, text=_TEXT)),
    _op("tap", _tap, _body("user", **_WHO, text=_TEXT, postback=_TEXT, data=_TEXT)),
    _op(
        "send",
        _send,
        _body("user", "content", **_WHO, content=_body("type", type={"enum": sorted(TYPES)}, hex=_TEXT)),
    ),
    _op("open", _open, _body("user", **_WHO)),
    _op("leave", _leave, _body("user", **_WHO)),
    _op("invite", _invite, _body("id", bot=_TEXT, kind={"enum": list(INVITED)}, id=_TEXT), 201),
    _op("join", _join, _body("user", "channel", **_WHO)),
    _op(
        "room",
        _make_room,
        _body("user", "members", **_WHO, title=_TEXT, members={"type": "array", "items": _TEXT}),
        201,
    ),
    _op("login", _login, None, 200),
    Operation("admin.staff", "GET", "/staff/{userId}", (), _profile, host="admin", limit="none"),
)
