"""Persistent menus and rich menus of a bot (part 2 §1.4, §1.5)."""

from __future__ import annotations

import struct
from typing import Any

from bousai_kit.sandbox.bot_state import bot_of, member_of
from bousai_kit.sandbox.content_parts import EVERYWHERE, action, array, obj, string
from bousai_kit.sandbox.content_schemas import MENU, RICH_MENU
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad, missing
from bousai_kit.sandbox.routes_attachments import read_file
from bousai_kit.sandbox.schemas import body, page, text
from bousai_kit.sandbox.tenant import Entity, iso

__all__ = ["OPERATIONS", "picture_size"]

TALK = ("bot.message", "bot")
READ = ("bot.message", "bot", "bot.read")
SIZES = ((2500, 1686), (2500, 843))
MOST_MENUS = 1000
MOST_IMAGE_BYTES = 1 << 20
IN_RICH_MENU = EVERYWHERE | {"postback"}


# -- persistent menu --------------------------------------------------------------------------------


def _put_menu(call: Call) -> Reply:
    key, _ = bot_of(call)
    content = obj(call.json().get("content"), "content")
    actions = array(content.get("actions"), "content.actions", high=4)
    for index, item in enumerate(actions):
        path = f"content.actions[{index}]"
        action(item, path, choices=call.choices, allowed=EVERYWHERE, label=1000, sends="label")
    if any(name.startswith(f"{key}/") for name in call.tenant.table("richmenus")):
        raise ApiFault(*call.choices.menu_while_richmenus)
    call.tenant.put("persistent_menus", key, {"content": {"actions": actions}})
    return Reply(call.choices.menu_status, {"content": {"actions": actions}})


def _get_menu(call: Call) -> Reply:
    menu = call.tenant.table("persistent_menus").get(bot_of(call)[0])
    if menu is None:
        raise missing("Persistent menu not found.")
    return Reply(200, menu)


def _delete_menu(call: Call) -> Reply:
    if call.tenant.delete("persistent_menus", bot_of(call)[0]) is None:
        raise missing("Persistent menu not found.")
    return Reply(204)


# -- rich menus -------------------------------------------------------------------------------------


def _menu(call: Call) -> tuple[str, Entity]:
    bot_id, _ = bot_of(call)
    key = f"{bot_id}/{call.path['richmenuId']}"
    menu = call.tenant.table("richmenus").get(key)
    if menu is None:
        raise missing("Rich menu not found.")
    return key, menu


def _shown(menu: Entity) -> dict[str, Any]:
    return {name: menu[name] for name in ("richmenuId", "richmenuName", "areas", "size", "createdTime")}


def _whole(fields: dict[str, Any], name: str, path: str, low: int) -> int:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= 10_000:
        raise bad(f"{path}.{name} is invalid.")
    return value


def _create(call: Call) -> Reply:
    bot_id, _ = bot_of(call)
    tenant, fields = call.tenant, call.json()
    name = string(fields, "richmenuName", "", 300)
    size = obj(fields.get("size"), "size")
    width, height = _whole(size, "width", "size", 1), _whole(size, "height", "size", 1)
    if (width, height) not in SIZES:
        raise bad("size must be 2500x1686 or 2500x843.")
    areas: list[dict[str, Any]] = []
    for index, entry in enumerate(array(fields.get("areas"), "areas", high=20)):
        path = f"areas[{index}]"
        area = obj(entry, path)
        bounds = obj(area.get("bounds"), f"{path}.bounds")
        box = {key: _whole(bounds, key, f"{path}.bounds", int(key in ("width", "height"))) for key in _BOUNDS}
        outside = box["x"] + box["width"] > width or box["y"] + box["height"] > height
        if outside and call.choices.menu_bounds_inside:
            raise bad(f"{path}.bounds must lie within size.")
        action(
            area.get("action"),
            f"{path}.action",
            choices=call.choices,
            allowed=IN_RICH_MENU,
            label_required=False,
            text_required=True,
        )
        areas.append({"action": area["action"], "bounds": box})
    if sum(key.startswith(f"{bot_id}/") for key in tenant.table("richmenus")) >= MOST_MENUS:
        raise bad(f"A bot has at most {MOST_MENUS} rich menus.")
    number = str(tenant.next_number("richmenu", 100001))
    menu = {
        "richmenuId": number,
        "richmenuName": name,
        "areas": areas,
        "size": {"width": width, "height": height},
    }
    tenant.put("richmenus", f"{bot_id}/{number}", {**menu, "image": "", "createdTime": iso(call.now)})
    tenant.delete("persistent_menus", bot_id)  # adding a rich menu deletes it
    return Reply(call.choices.richmenu_status, _shown(tenant.table("richmenus")[f"{bot_id}/{number}"]))


_BOUNDS = ("x", "y", "width", "height")


def _list(call: Call) -> Reply:
    bot_id, _ = bot_of(call)
    menus = [
        (key, menu) for key, menu in call.tenant.table("richmenus").items() if key.startswith(f"{bot_id}/")
    ]
    return Reply(200, call.page("richmenus", menus, default=50, view=_shown))


def _get(call: Call) -> Reply:
    return Reply(200, _shown(_menu(call)[1]))


def _delete(call: Call) -> Reply:
    key, menu = _menu(call)
    tenant, bot_id = call.tenant, call.path["botId"]
    tenant.delete("richmenus", key)
    for name in [name for name, entry in tenant.table("richmenu_users").items() if entry["menu"] == key]:
        tenant.delete("richmenu_users", name)
    bot = tenant.table("bots")[bot_id]
    if bot.get("defaultRichmenuId") == menu["richmenuId"]:
        bot["defaultRichmenuId"] = None
        tenant.touch("bots", bot_id)
    return Reply(204)


def _image(call: Call) -> Reply:
    key, menu = _menu(call)
    file_id = string(call.json(), "fileId", "", 1000) or ""
    found = read_file(call.tenant, call.path["botId"], file_id, call.now)
    if found is None:
        raise bad("fileId is invalid.")
    wanted = (menu["size"]["width"], menu["size"]["height"])
    if len(found[1]) > MOST_IMAGE_BYTES or picture_size(found[1]) != wanted:
        raise bad("The image must be JPEG or PNG, of the size of the rich menu, and at most 1 MB.")
    menu["image"] = file_id
    call.tenant.touch("richmenus", key)
    return Reply(call.choices.richmenu_put_status)


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG or JPEG; None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24 and data[12:16] == b"IHDR":
        width, height = struct.unpack(">II", data[16:24])
        return int(width), int(height)
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return int(width), int(height)
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return None


def _set_default(call: Call) -> Reply:
    _, menu = _menu(call)
    bot_id, bot = bot_of(call)
    bot["defaultRichmenuId"] = menu["richmenuId"]
    call.tenant.touch("bots", bot_id)
    return Reply(call.choices.richmenu_put_status)


def _of_user(call: Call) -> str:
    bot_id, _ = bot_of(call)
    return f"{bot_id}/{member_of(call, call.path['userId'])['userId']}"


def _put_user(call: Call) -> Reply:
    key = _of_user(call)
    call.path["richmenuId"] = string(call.json(), "richmenuId", "", 100) or ""
    call.tenant.put("richmenu_users", key, {"menu": _menu(call)[0]})
    return Reply(call.choices.richmenu_put_status)


def _get_user(call: Call) -> Reply:
    entry = call.tenant.table("richmenu_users").get(_of_user(call))
    if entry is None:
        raise missing("Rich menu not found.")
    return Reply(200, {"richmenuId": entry["menu"].partition("/")[2]})


def _delete_user(call: Call) -> Reply:
    if call.tenant.delete("richmenu_users", _of_user(call)) is None:
        raise missing("Rich menu not found.")
    return Reply(204)


_FILE_BODY = body({"fileId": text(1000)}, "fileId")
_USER_BODY = body({"richmenuId": text(100)}, "richmenuId")
_PAGE = page()
_FIXED = "/bots/{botId}/persistentmenu"
_RICH = "/bots/{botId}/richmenus"
_ONE = "/bots/{botId}/richmenus/{richmenuId}"
_USER = "/bots/{botId}/users/{userId}/richmenus"


def _op(name: str, method: str, path: str, handler: Any, success: int, **more: Any) -> Operation:
    scopes = READ if method == "GET" and path != _FIXED else TALK
    paragraph = "2 §1.4" if path == _FIXED else "2 §1.5"
    return Operation(name, method, path, scopes, handler, success=success, paragraph=paragraph, **more)


OPERATIONS: tuple[Operation, ...] = (
    _op("bots.menu.create", "POST", _FIXED, _put_menu, 201, body=MENU),
    _op("bots.menu.get", "GET", _FIXED, _get_menu, 200),
    _op("bots.menu.delete", "DELETE", _FIXED, _delete_menu, 204),
    _op("richmenus.create", "POST", _RICH, _create, 201, body=RICH_MENU),
    _op("richmenus.list", "GET", _RICH, _list, 200, query=_PAGE),
    _op("richmenus.get", "GET", _ONE, _get, 200),
    _op("richmenus.delete", "DELETE", _ONE, _delete, 204),
    _op("richmenus.image", "POST", f"{_ONE}/image", _image, 200, body=_FILE_BODY),
    _op("richmenus.set_default", "POST", f"{_ONE}/set-default", _set_default, 200),
    _op("richmenus.user.set", "POST", _USER, _put_user, 200, body=_USER_BODY),
    _op("richmenus.user.get", "GET", _USER, _get_user, 200),
    _op("richmenus.user.delete", "DELETE", _USER, _delete_user, 204),
)
