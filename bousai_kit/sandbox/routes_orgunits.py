"""Org units: create, list, get, replace, patch, move, delete, members (part 1 §5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bousai_kit.sandbox import directory_checks as check
from bousai_kit.sandbox import schemas
from bousai_kit.sandbox.content_parts import LANGUAGES, array, obj, string
from bousai_kit.sandbox.directory_index import drop, find, groups_above, index, put, rows_of_domain
from bousai_kit.sandbox.directory_rules import (
    DIRECTORY,
    DIRECTORY_READ,
    find_or_404,
    key_operations,
    known_domain,
    managed,
    noted,
    ordinary,
    resolve,
    same_domain,
    unique_key,
    units_of,
)
from bousai_kit.sandbox.directory_state import put_user, unit_entry
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad
from bousai_kit.sandbox.tenant import Entity, Tenant

__all__ = ["OPERATIONS", "blank_orgunit"]

FULL = ("orgunit", *DIRECTORY)
READ = ("orgunit", "orgunit.read", *DIRECTORY_READ)
FEATURES = ("useNote", "useCalendar", "useTask", "useFolder")
FLAGS = ("visible", "canReceiveExternalMail", "useMessage", *FEATURES, "useServiceNotification")
SENDERS = ("membersAllowedToUseOrgUnitEmailAsRecipient", "membersAllowedToUseOrgUnitEmailAsSender")


def blank_orgunit(domain_id: int) -> Entity:
    """Every writable property at its default."""
    return {
        "domainId": domain_id,
        "orgUnitExternalKey": None,
        "orgUnitName": "",
        "i18nNames": [],
        "email": None,
        "description": None,
        "visible": True,
        "parentOrgUnitId": None,
        "displayOrder": 1,
        "aliasEmails": [],
        "canReceiveExternalMail": False,
        "useMessage": False,
        **dict.fromkeys(FEATURES, False),
        "useServiceNotification": False,
        **{key: [] for key in SENDERS},
    }


def _the_unit(call: Call) -> Entity:
    unit = find(call.tenant, "orgunits", call.path["orgUnitId"])
    return find_or_404(unit if unit is not None and _seen(unit, ordinary(call)) else None, "Org unit")


def _seen(unit: Entity, asking: Entity | None) -> bool:
    """A private unit is there for its own members only."""
    return asking is None or unit["visible"] or unit["orgUnitId"] in units_of(asking)


def _parent(tenant: Tenant, unit: Entity) -> Entity | None:
    return tenant.table("orgunits").get(unit.get("parentOrgUnitId") or "")


def _chain(tenant: Tenant, unit: Entity | None) -> list[str]:
    """Ids from a unit up to its top one."""
    ids: list[str] = []
    while unit is not None and unit["orgUnitId"] not in ids:
        ids.append(unit["orgUnitId"])
        unit = _parent(tenant, unit)
    return ids


def _height(tenant: Tenant, orgunit_id: str) -> int:
    """Levels of the tree that hangs below a unit, itself included."""
    known, level, height = index(tenant, "orgunits"), [orgunit_id], 0
    while level and height <= 100:
        height += 1
        level = [child for unit in level for child in known.all("parent", unit)]
    return height


def _shown(call: Call, unit: Entity) -> Entity:
    parent = _parent(call.tenant, unit)
    return {
        **unit,
        "parentExternalKey": None if parent is None else parent["orgUnitExternalKey"],
        "displayLevel": len(_chain(call.tenant, unit)),
    }


# -- the body ---------------------------------------------------------------------------------------


def _read(call: Call, fields: dict[str, Any], before: Entity, *, partial: bool) -> Entity:
    """`before` with a body put in; place and order are left as they are."""
    unit: Entity = dict(before)
    if not partial:
        kept = ("domainId", "parentOrgUnitId", "displayOrder")
        unit |= {key: value for key, value in blank_orgunit(before["domainId"]).items() if key not in kept}
    if not partial or "orgUnitName" in fields:
        unit["orgUnitName"] = check.name(
            fields, "orgUnitName", "", 100, symbols=check.UNIT_SYMBOLS, required=True
        )
    if "orgUnitExternalKey" in fields:
        unit["orgUnitExternalKey"] = check.external_key(fields, "orgUnitExternalKey")
    if "i18nNames" in fields:
        unit["i18nNames"] = check.i18n_names(fields, "i18nNames", ("name",))
    if "description" in fields:
        unit["description"] = string(fields, "description", "", 160, required=False) or None
    if "email" in fields:
        value = fields["email"]
        unit["email"] = check.orgunit_address(value, "email") if value not in (None, "") else None
    if fields.get("aliasEmails") is not None:
        aliases = array(fields["aliasEmails"], "aliasEmails", low=0, high=20)
        unit["aliasEmails"] = [
            check.address(item, f"aliasEmails[{at}]", 90) for at, item in enumerate(aliases)
        ]
    for key in FLAGS:
        if key in fields:
            unit[key] = check.flag(fields, key, default=key == "visible")
    for key in SENDERS:
        if fields.get(key) is not None:
            unit[key] = [
                {
                    "userId": resolve(
                        call, "users", obj(entry, f"{key}[{at}]").get("userId"), f"{key}[{at}].userId"
                    )
                }
                for at, entry in enumerate(array(fields[key], key, low=0, high=1000))
            ]
    _features(fields, unit)
    return unit


def _features(fields: dict[str, Any], unit: Entity) -> None:
    for key in FEATURES:
        if unit[key] and not unit["useMessage"]:
            if fields.get(key):
                raise bad(f"{key} needs useMessage.")
            unit[key] = False


def _checked(call: Call, fields: dict[str, Any], unit: Entity) -> Entity:
    """Unit among the others: key, address, visibility, name."""
    tenant, own_id = call.tenant, unit["orgUnitId"]
    unique_key(call, "orgunits", unit["orgUnitExternalKey"], own_id)
    known = index(tenant, "orgunits")
    for text in (unit["email"], *unit["aliasEmails"]):
        owner = known.one("address", text) if text else None
        if (owner is not None and owner != own_id) or (text and index(tenant, "users").one("address", text)):
            raise ApiFault(*call.choices.orgunit_email_taken, f"email is duplicated. ({text})")
    parent = _parent(tenant, unit)
    if unit["visible"] and parent is not None and not parent["visible"]:
        if fields.get("visible"):
            raise bad("visible must be false below a private org unit.")
        unit["visible"] = False
    if not call.choices.orgunit_same_names:
        owner = known.one("name", (unit["parentOrgUnitId"], unit["orgUnitName"]))
        if owner is not None and owner != own_id:
            raise ApiFault(*call.choices.name_taken, "orgUnitName is duplicated.")
    return unit


def _place(call: Call, unit: Entity, value: Any) -> str | None:
    """Id of the parent that a body names; not below itself, not too deep."""
    if value is None:
        return None
    parent_id = resolve(call, "orgunits", value, "parentOrgUnitId")
    tenant, own_id = call.tenant, unit["orgUnitId"]
    above = _chain(tenant, tenant.table("orgunits")[parent_id])
    if own_id in above:
        raise bad("parentOrgUnitId is the org unit itself or below it.")
    if tenant.table("orgunits")[parent_id]["domainId"] != unit["domainId"]:
        raise bad("parentOrgUnitId is of another domain.")
    height = _height(tenant, own_id) if own_id else 1
    if len(above) + height > call.choices.orgunit_depth:
        raise bad(f"Org units are at most {call.choices.orgunit_depth} levels deep.")
    return parent_id


# -- handlers ---------------------------------------------------------------------------------------


def _create(call: Call) -> Reply:
    managed(call)
    tenant, fields = call.tenant, call.json()
    domain_id = known_domain(call, fields)
    limit = 100 if call.sandbox.limits.plan == "free" else call.choices.max_orgunits
    if index(tenant, "orgunits").count("domain", domain_id) >= limit:
        raise bad(f"A domain has at most {limit} org units.")
    blank: Entity = {**blank_orgunit(domain_id), "orgUnitId": ""}
    unit = _read(call, fields, blank, partial=False)
    unit["displayOrder"] = check.number(fields, "displayOrder", low=1)
    unit["parentOrgUnitId"] = _place(call, unit, fields.get("parentOrgUnitId"))
    unit = _checked(call, fields, unit)
    unit["orgUnitId"] = _fresh_id(tenant, unit)
    put(tenant, "orgunits", unit["orgUnitId"], unit)
    _told(call, "create", unit)
    return Reply(201, _shown(call, unit))


def _fresh_id(tenant: Tenant, unit: Entity) -> str:
    """From the external key where there is one: the same on every tenant of this seed."""
    key = unit["orgUnitExternalKey"]
    if not key:
        return tenant.new_id("orgunit")
    orgunit_id = tenant.new_id("orgunit", key)
    if orgunit_id in tenant.table("orgunits") or orgunit_id in tenant.table("used_ids"):
        return tenant.new_id("orgunit")
    return orgunit_id


def _told(call: Call, task: str, unit: Entity) -> None:
    noted(call, task, unit["orgUnitName"])
    call.tenant.caches.pop("people:profiles", None)  # wards and roles are read from the names of units
    call.sandbox.signal("orgunit.changed", id=unit["orgUnitId"])


def _list(call: Call) -> Reply:
    rows: Sequence[tuple[str, Entity]] = rows_of_domain(call.tenant, "orgunits", call.domain_id)
    asking = ordinary(call)
    if asking is not None:
        rows = [(key, unit) for key, unit in rows if _seen(unit, asking)]
    return Reply(200, call.page("orgUnits", rows, view=lambda unit: _shown(call, unit)))


def _get(call: Call) -> Reply:
    return Reply(200, _shown(call, _the_unit(call)))


def _update(call: Call) -> Reply:
    managed(call)
    partial = call.operation.method == "PATCH"
    before, fields = _the_unit(call), call.json()
    same_domain(call, fields, before)
    unit = _read(call, fields, before, partial=partial)
    needed = not partial or "email" in fields or call.choices.patch_orgunit_needs_email
    if needed and not (unit["email"] if not call.choices.patch_orgunit_needs_email else fields.get("email")):
        raise bad("email is required.")
    unit = _checked(call, fields, unit)
    put(call.tenant, "orgunits", unit["orgUnitId"], unit)
    if before["visible"] and not unit["visible"]:
        _hide_below(call.tenant, unit["orgUnitId"])
    _told(call, "update", unit)
    return Reply(200, _shown(call, unit))


def _hide_below(tenant: Tenant, orgunit_id: str) -> None:
    """Part 1 §5: below a private unit all are private."""
    waiting = index(tenant, "orgunits").all("parent", orgunit_id)
    while waiting:
        child = tenant.table("orgunits")[waiting.pop()]
        if child["visible"]:
            put(tenant, "orgunits", child["orgUnitId"], {**child, "visible": False})
        waiting.extend(index(tenant, "orgunits").all("parent", child["orgUnitId"]))


def _move(call: Call) -> Reply:
    managed(call)
    before, fields = _the_unit(call), call.json()
    unit: Entity = {**before, "displayOrder": check.number(fields, "displayOrder", low=1)}
    if "parentOrgUnitId" in fields:
        unit["parentOrgUnitId"] = _place(call, unit, fields["parentOrgUnitId"])
    unit = _checked(call, {}, unit)
    put(call.tenant, "orgunits", unit["orgUnitId"], unit)
    if before["visible"] and not unit["visible"]:
        _hide_below(call.tenant, unit["orgUnitId"])
    _told(call, "update", unit)
    return Reply(200, _shown(call, unit))


def _delete(call: Call) -> Reply:
    managed(call)
    unit, tenant = _the_unit(call), call.tenant
    orgunit_id = unit["orgUnitId"]
    if index(tenant, "users").count("unit", orgunit_id):
        raise ApiFault(*call.choices.delete_orgunit_with_members)
    if index(tenant, "orgunits").count("parent", orgunit_id):
        raise ApiFault(*call.choices.delete_orgunit_with_children)
    above = groups_above(tenant, (orgunit_id,))
    for group_id in index(tenant, "groups").all("member", orgunit_id):
        group = tenant.table("groups")[group_id]
        members = [member for member in group["members"] if member["id"] != orgunit_id]
        put(tenant, "groups", group_id, {**group, "members": members})
    drop(tenant, "orgunits", orgunit_id)
    tenant.put("used_ids", orgunit_id, {})
    for user_id, user in list(tenant.table("users").items()):  # those in their last seven days
        if user["isDeleted"] and unit_entry(user, orgunit_id):
            put_user(tenant, {**user, "organizations": _without(user["organizations"], orgunit_id)})
            call.sandbox.signal("user.changed", id=user_id)
    for group_id in above:
        call.sandbox.signal("group.changed", id=group_id)
    _told(call, "delete", unit)
    return Reply(204)


def _without(companies: list[Entity], orgunit_id: str) -> list[Entity]:
    return [
        {**company, "orgUnits": [unit for unit in company["orgUnits"] if unit["orgUnitId"] != orgunit_id]}
        for company in companies
    ]


def _members(call: Call) -> Reply:
    orgunit_id = _the_unit(call)["orgUnitId"]
    users = call.tenant.table("users")
    rows = [(key, users[key]) for key in index(call.tenant, "users").all("unit", orgunit_id)]
    asking = ordinary(call)
    if asking is not None:
        rows = [
            (key, user)
            for key, user in rows
            if key == asking["userId"] or unit_entry(user, orgunit_id).get("visible")
        ]

    def view(user: Entity) -> Entity:
        entry = unit_entry(user, orgunit_id)
        return {
            "userId": user["userId"],
            "userExternalKey": user["userExternalKey"],
            **{key: entry.get(key) for key in ("isManager", "visible", "useTeamFeature")},
        }

    return Reply(200, call.page("members", rows, view=view))


_MEMBER = schemas.array_of(schemas.body({"userId": schemas.text(1000)}, "userId"), high=1000, null=True)
_NAMES = schemas.body(
    {"language": schemas.one_of(*LANGUAGES), "name": schemas.text(100, null=True)}, "language"
)
_EMAIL = r"[a-z0-9._\-!#]{2,64}(@[A-Za-z0-9.-]+)?"
_FIELDS: dict[str, Any] = {
    "domainId": schemas.DOMAIN,
    "orgUnitName": schemas.text(100),
    "orgUnitExternalKey": schemas.key(check.USER_KEY),
    "i18nNames": schemas.array_of(_NAMES, high=20, null=True),
    "email": schemas.text(90, pattern=rf"^{_EMAIL}$"),
    "description": schemas.text(160, null=True),
    "aliasEmails": schemas.array_of(schemas.text(90), high=20, null=True),
    **dict.fromkeys(FLAGS, schemas.FLAG_OR_NULL),
    **dict.fromkeys(SENDERS, _MEMBER),
}
_PLACE: dict[str, Any] = {
    "parentOrgUnitId": schemas.text(1000, null=True),
    "displayOrder": {**schemas.INT32, "minimum": 1},
}
_NEW = schemas.body(
    {**_FIELDS, **_PLACE, "email": schemas.text(90, null=True, pattern=rf"^({_EMAIL})?$")},
    "domainId",
    "orgUnitName",
    "displayOrder",
)
_ONE = "/orgunits/{orgUnitId}"


def _write(name: str, method: str, path: str, handler: Any, success: int, body: Any = None) -> Operation:
    return Operation(
        f"orgunits.{name}",
        method,
        path,
        FULL,
        handler,
        success=success,
        serial="orgunit",
        body=body,
        paragraph="1 §5",
    )


OPERATIONS: tuple[Operation, ...] = (
    _write("create", "POST", "/orgunits", _create, 201, _NEW),
    _write("replace", "PUT", _ONE, _update, 200, schemas.body(_FIELDS, "domainId", "orgUnitName", "email")),
    _write("patch", "PATCH", _ONE, _update, 200, schemas.partial(_FIELDS)),
    _write("move", "POST", f"{_ONE}/move", _move, 200, schemas.body(_PLACE, "displayOrder")),
    _write("delete", "DELETE", _ONE, _delete, 204),
    Operation("orgunits.list", "GET", "/orgunits", READ, _list, query=schemas.PAGE, paragraph="1 §5"),
    Operation("orgunits.get", "GET", _ONE, READ, _get, paragraph="1 §5"),
    Operation(
        "orgunits.members", "GET", f"{_ONE}/members", READ, _members, query=schemas.PAGE, paragraph="1 §5"
    ),
    *key_operations("orgunits"),
)
