"""Bots: create, list, get, replace, patch, delete, secret, domains, members (part 2 §1.1 to §1.3)."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from bousai_kit.sandbox import rooms
from bousai_kit.sandbox.bot_state import administrator, bot_of, bot_secret, find_member, member_of
from bousai_kit.sandbox.content_parts import array, https, i18n, members_of, string
from bousai_kit.sandbox.content_schemas import BOT, BOT_I18N, BOT_PATCH
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad, missing
from bousai_kit.sandbox.schemas import FLAG, FLAG_OR_NULL, body, page, text
from bousai_kit.sandbox.tenant import Entity, Tenant, iso

__all__ = ["OPERATIONS", "found", "truth"]

FULL = ("bot",)
READ = ("bot", "bot.read")
READ_ONLY = {"botId", "createdTime", "modifiedTime"}
FIRST_BOT = 2000001


def found(tenant: Tenant, now: datetime) -> None:
    """The first bot: registered to the domain, open to all, callbacks and group join on."""
    bot_id = tenant.next_number("bot", FIRST_BOT)
    tenant.set("bot_id", bot_id)
    bot: Entity = {
        **_defaults(),
        "botId": bot_id,
        "botName": "防災訓練Bot",
        "photoUrl": "https://storage.sandbox.invalid/bot.png",
        "description": "防災訓練の一斉送信と応答の収集",
        "administrators": [administrator(tenant)],
        "enableCallback": True,
        "callbackEvents": ["text", "location", "sticker", "image", "file"],
        "enableGroupJoin": True,
        "createdTime": iso(now),
        "modifiedTime": iso(now),
    }
    tenant.put("bots", str(bot_id), bot)
    tenant.put("bot_secrets", str(bot_id), {"secret": secrets.token_urlsafe(24)})
    for domain in tenant.domains:
        _register(tenant, str(bot_id), domain, visible=True, selected=False)


def _register(tenant: Tenant, bot_id: str, domain: int, *, visible: bool, selected: bool) -> Entity:
    return tenant.put(
        "bot_domains",
        f"{bot_id}/{domain}",
        {"domainId": domain, "visible": visible, "allowToSelectedMember": selected, "members": []},
    )


def _defaults() -> dict[str, Any]:
    return {
        "subadministrators": [],
        "allowDomains": [],
        "enableCallback": False,
        "callbackEvents": [],
        "callbackUrl": "",
        "enableGroupJoin": False,
        "defaultRichmenuId": None,
        "i18nBotNames": [],
        "i18nDescriptions": [],
        "i18nPhotoUrls": [],
    }


# -- the bot object ---------------------------------------------------------------------------------


def _checked(call: Call, fields: dict[str, Any], *, partial: bool) -> dict[str, Any]:
    """The writable properties of a body (part 2 §1.2)."""
    required = not partial
    out: dict[str, Any] = {}
    for name, limit in (("botName", 100), ("photoUrl", 1000), ("description", 100)):
        if required or fields.get(name) is not None:
            value = string(fields, name, "", limit) or ""
            out[name] = " ".join(value.splitlines()) if name == "botName" else value
    if "botName" in out and not out["botName"].strip():
        raise bad("botName is required.")
    if "photoUrl" in out:
        https(out, "photoUrl", "", required=True)
    for name, low in (("administrators", 1), ("subadministrators", 0)):
        if fields.get(name) is not None or (required and low):
            out[name] = _people(call, fields.get(name), name, low)
    if fields.get("allowDomains") is not None:
        out["allowDomains"] = _domains(call, fields["allowDomains"])
    for name in ("enableCallback", "enableGroupJoin"):
        if fields.get(name) is not None:
            out[name] = call.flag(name, False)
    if fields.get("callbackEvents") is not None:
        events = array(fields["callbackEvents"], "callbackEvents", low=0, high=20)
        if not all(event in call.choices.callback_events for event in events):
            raise bad("callbackEvents is invalid.")
        out["callbackEvents"] = list(dict.fromkeys(events))
    if fields.get("callbackUrl") is not None:
        out["callbackUrl"] = _callback_url(fields)
    if "defaultRichmenuId" in fields or "defaultRichMenuId" in fields:
        out["defaultRichmenuId"] = _menu_id(call, fields)
    for name, key, limit in BOT_I18N:
        if fields.get(name) is not None:
            texts = i18n(fields, name, key, "", limit)
            out[name] = [{"language": language, key: text} for language, text in texts.items()]
    return out


def _people(call: Call, value: Any, name: str, low: int) -> list[str]:
    ids = [member_of(call, reference)["userId"] for reference in members_of(value, name, low=low, high=3)]
    if len(set(ids)) != len(ids):
        raise bad(f"{name} must not have duplicates.")
    return ids


def _domains(call: Call, value: Any) -> list[int]:
    ids = array(value, "allowDomains", low=0, high=1000)
    if not all(isinstance(item, int) and not isinstance(item, bool) for item in ids) or len(set(ids)) < len(
        ids
    ):
        raise bad("allowDomains must be an array of unique domain IDs.")
    if not set(ids) <= set(call.tenant.domains):
        raise bad("allowDomains holds an unknown domain.")
    return list(ids)


def _callback_url(fields: dict[str, Any]) -> str:
    """HTTPS; plain HTTP to this machine is let through, as the kit's own receiver listens there."""
    value = fields["callbackUrl"]
    if not isinstance(value, str) or len(value) > 1000:
        raise bad("callbackUrl must be a string of at most 1000 characters.")
    local = value.lower().startswith(("http://127.0.0.1", "http://localhost", "http://[::1]"))
    if value and not (value.lower().startswith("https://") or local):
        raise bad("callbackUrl must be an HTTPS URL.")
    return value


def _menu_id(call: Call, fields: dict[str, Any]) -> str | None:
    value = fields.get("defaultRichmenuId", fields.get("defaultRichMenuId"))
    key = f"{call.path.get('botId', '')}/{value}"
    if value is not None and (not isinstance(value, str) or key not in call.tenant.table("richmenus")):
        raise bad("defaultRichmenuId is invalid.")
    return value or None


def _log(call: Call, task: str, target: str) -> None:
    call.tenant.audit(
        "bot", call.now, user=call.token.user_id if call.token else "", task=task, target=target, ok=True
    )


def _create(call: Call) -> Reply:
    tenant = call.tenant
    if len(tenant.table("bots")) >= call.choices.max_bots:
        raise bad(f"A tenant has at most {call.choices.max_bots} bots.")
    fields = {**_defaults(), **_checked(call, call.json(), partial=False)}
    number = tenant.next_number("bot", FIRST_BOT)
    bot = {"botId": number, **fields, "createdTime": iso(call.now), "modifiedTime": iso(call.now)}
    tenant.put("bots", str(number), bot)
    tenant.put("bot_secrets", str(number), {"secret": secrets.token_urlsafe(24)})
    _log(call, "create", bot["botName"])
    return Reply(201, bot)


def _list(call: Call) -> Reply:
    keys = ("botId", "botName", "photoUrl", "description")
    bots = [(key, {name: bot[name] for name in keys}) for key, bot in call.tenant.table("bots").items()]
    return Reply(200, call.page("bots", bots, default=50, maximum=call.choices.bot_list_maximum))


def _get(call: Call) -> Reply:
    return Reply(200, bot_of(call)[1])


def _replace(call: Call) -> Reply:
    return _change(call, {**_defaults(), **_checked(call, call.json(), partial=False)})


def _patch(call: Call) -> Reply:
    return _change(call, _checked(call, call.json(), partial=True))


def _change(call: Call, fields: dict[str, Any]) -> Reply:
    key, bot = bot_of(call)
    tenant = call.tenant
    if fields.get("allowDomains"):  # dropped domains are unregistered automatically
        for domain in tenant.domains:
            if domain not in fields["allowDomains"]:
                tenant.delete("bot_domains", f"{key}/{domain}")
    if bot.get("enableGroupJoin") and fields.get("enableGroupJoin") is False:
        rooms.leave_all(call.sandbox, key, call.now)
    bot.update(fields, modifiedTime=iso(call.now))
    tenant.touch("bots", key)
    _log(call, "update", bot["botName"])
    return Reply(200, bot)


def _delete(call: Call) -> Reply:
    key, bot = bot_of(call)
    tenant = call.tenant
    rooms.leave_all(call.sandbox, key, call.now)
    for table in ("bot_domains", "richmenus", "richmenu_users"):
        for entry in [name for name in tenant.table(table) if name.startswith(f"{key}/")]:
            tenant.delete(table, entry)
    tenant.delete("persistent_menus", key)
    tenant.put("former", f"bot:{key}", {"botName": bot["botName"]})  # the logs still show it
    tenant.delete("bots", key)
    _log(call, "delete", bot["botName"])
    return Reply(204)


def _secret(call: Call) -> Reply:
    key, bot = bot_of(call)
    call.tenant.put("bot_secrets", key, {"secret": secrets.token_urlsafe(24)})
    _log(call, "secret", bot["botName"])
    return Reply(200, {"secret": bot_secret(call.tenant, key)})


# -- domains and members ----------------------------------------------------------------------------


def _domain(call: Call) -> tuple[str, Entity]:
    key, _ = bot_of(call)
    entry = call.tenant.table("bot_domains").get(f"{key}/{call.path['domainId']}")
    if entry is None:
        raise missing("The bot is not registered to the domain.")
    return f"{key}/{call.path['domainId']}", entry


def _shown(entry: Entity) -> dict[str, Any]:
    return {name: entry[name] for name in ("domainId", "visible", "allowToSelectedMember")}


def _register_domain(call: Call) -> Reply:
    key, bot = bot_of(call)
    domain = call.path["domainId"]
    if not domain.isdecimal() or int(domain) not in call.tenant.domains:
        raise missing("Domain not found.")
    if bot["allowDomains"] and int(domain) not in bot["allowDomains"]:
        raise ApiFault(*call.choices.domain_not_allowed)
    if f"{key}/{int(domain)}" in call.tenant.table("bot_domains"):
        raise ApiFault(*call.choices.domain_again)
    if not call.body:
        call._json = {}
    visible, selected = call.flag("visible", False), call.flag("allowToSelectedMember", False)
    entry = _register(call.tenant, key, int(domain), visible=visible, selected=selected)
    _log(call, "registerDomain", domain)
    return Reply(201, _shown(entry))


def _list_domains(call: Call) -> Reply:
    key, _ = bot_of(call)
    entries = [
        (name, entry)
        for name, entry in call.tenant.table("bot_domains").items()
        if name.startswith(f"{key}/")
    ]
    return Reply(200, call.page("domains", entries, default=50, view=_shown))


def _change_domain(call: Call) -> Reply:
    name, entry = _domain(call)
    whole = call.operation.method == "PUT"
    entry |= {
        field: call.flag(field, False)
        for field in ("visible", "allowToSelectedMember")
        if whole or call.json().get(field) is not None
    }
    call.tenant.touch("bot_domains", name)
    _log(call, "updateDomain", call.path["domainId"])
    return Reply(200, _shown(entry))


def _delete_domain(call: Call) -> Reply:
    name, _ = _domain(call)
    call.tenant.delete("bot_domains", name)
    _log(call, "deleteDomain", call.path["domainId"])
    return Reply(204)


def _add_member(call: Call) -> Reply:
    name, entry = _domain(call)
    user = member_of(call, string(call.json(), "userId", "", 1000) or "")
    if user.get("domainId", call.tenant.domain_id) != entry["domainId"]:
        raise missing("User not found.")
    if user["userId"] in entry["members"]:
        raise ApiFault(*call.choices.bot_member_again)
    entry["members"].append(user["userId"])
    call.tenant.touch("bot_domains", name)
    return Reply(201)


def _list_members(call: Call) -> Reply:
    _, entry = _domain(call)
    if not entry["allowToSelectedMember"]:
        everyone: Any = ["All users"] if call.choices.all_users_position == "members" else "All users"
        call.page("members", [], default=50)
        return Reply(200, {"members": everyone, "responseMetaData": {"nextCursor": None}})
    return Reply(200, call.page("members", [(user, user) for user in entry["members"]], default=50))


def _delete_member(call: Call) -> Reply:
    name, entry = _domain(call)
    user = find_member(call.tenant, call.path["userId"])
    user_id = user["userId"] if user is not None else call.path["userId"]
    if user_id not in entry["members"]:
        raise missing("User not found.")
    entry["members"].remove(user_id)
    call.tenant.touch("bot_domains", name)
    return Reply(204)


def truth(sandbox: Any) -> dict[str, Any]:
    """Keys that clients sent and no page of the reference names, with how often."""
    return {
        "unknown_fields": {key: entry["n"] for key, entry in sandbox.tenant.table("unknown_fields").items()}
    }


_DOMAIN = body({"visible": FLAG, "allowToSelectedMember": FLAG})
_CHANGE = body({"visible": FLAG_OR_NULL, "allowToSelectedMember": FLAG_OR_NULL})
_PAGE = page()
_MEMBER = body({"userId": text(1000)}, "userId")
_BOT_PATH = "/bots/{botId}"
_DOMAIN_PATH = "/bots/{botId}/domains/{domainId}"


def _op(
    name: str,
    method: str,
    path: str,
    scopes: tuple[str, ...],
    handler: Any,
    success: int,
    paragraph: str,
    **more: Any,
) -> Operation:
    return Operation(
        f"bots.{name}", method, path, scopes, handler, success=success, paragraph=f"2 §{paragraph}", **more
    )


ONE = {"serial": "bot:{botId}"}
OPERATIONS: tuple[Operation, ...] = (
    _op("create", "POST", "/bots", FULL, _create, 201, "1.1", body=BOT, serial="bot:new"),
    _op("list", "GET", "/bots", READ, _list, 200, "1.1", query=_PAGE),
    _op("get", "GET", _BOT_PATH, READ, _get, 200, "1.1"),
    _op("replace", "PUT", _BOT_PATH, FULL, _replace, 200, "1.1", body=BOT, **ONE),
    _op("patch", "PATCH", _BOT_PATH, FULL, _patch, 200, "1.1", body=BOT_PATCH, **ONE),
    _op("delete", "DELETE", _BOT_PATH, FULL, _delete, 204, "1.1", **ONE),
    _op("secret", "POST", "/bots/{botId}/secret", FULL, _secret, 200, "1.1"),
    _op("domains.register", "POST", _DOMAIN_PATH, FULL, _register_domain, 201, "1.3", body=_DOMAIN, **ONE),
    _op("domains.list", "GET", "/bots/{botId}/domains", READ, _list_domains, 200, "1.3", query=_PAGE),
    _op("domains.replace", "PUT", _DOMAIN_PATH, FULL, _change_domain, 200, "1.3", body=_DOMAIN, **ONE),
    _op("domains.patch", "PATCH", _DOMAIN_PATH, FULL, _change_domain, 200, "1.3", body=_CHANGE, **ONE),
    _op("domains.delete", "DELETE", _DOMAIN_PATH, FULL, _delete_domain, 204, "1.3", **ONE),
    _op("members.add", "POST", f"{_DOMAIN_PATH}/members", FULL, _add_member, 201, "1.3", body=_MEMBER, **ONE),
    _op("members.list", "GET", f"{_DOMAIN_PATH}/members", READ, _list_members, 200, "1.3", query=_PAGE),
    _op(
        "members.delete",
        "DELETE",
        f"{_DOMAIN_PATH}/members/{{userId}}",
        FULL,
        _delete_member,
        204,
        "1.3",
        **ONE,
    ),
)
