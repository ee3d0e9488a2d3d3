"""Custom properties of members: create, list, get, patch, delete (part 1 §7)."""

from __future__ import annotations

import re
from typing import Any

from bousai_kit.sandbox import directory_checks as check
from bousai_kit.sandbox.content_parts import array, obj, string
from bousai_kit.sandbox.custom_values import property_by_name
from bousai_kit.sandbox.directory_rules import (
    DIRECTORY,
    DIRECTORY_READ,
    find_or_404,
    known_domain,
    managed,
    noted,
)
from bousai_kit.sandbox.directory_state import put_user
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad
from bousai_kit.sandbox.tenant import Entity

__all__ = ["OPERATIONS"]

TABLE = "custom_properties"
TYPES = ("STRING", "LINK", "INTEGER", "DATE")
READERS = ("ALL", "ADMIN_AND_SELF")
WRITERS = ("ADMIN", "ADMIN_AND_SELF")
FIXED = ("propertyName", "propertyType", "multiValued")  # SB: values already there would not fit any more


def _the_property(call: Call) -> Entity:
    reference = call.path["customPropertyId"]
    found = call.tenant.table(TABLE).get(reference) or property_by_name(call, reference)
    return find_or_404(found, "Custom property")


def _read(fields: dict[str, Any], before: Entity, *, partial: bool) -> Entity:
    entry: Entity = dict(before)
    if not partial:
        name = string(fields, "propertyName", "", 120) or ""
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise bad("propertyName is invalid.")
        kind = check.one_of(fields, "propertyType", TYPES)
        if kind is None:
            raise bad("propertyType is required.")
        multiple = check.flag(fields, "multiValued", default=False)
        entry |= {"propertyName": name, "propertyType": kind, "multiValued": multiple}
    elif any(key in fields and fields[key] != before[key] for key in FIXED):
        raise bad(f"{', '.join(FIXED)} cannot be changed.")
    if not partial or "displayName" in fields:
        entry["displayName"] = string(fields, "displayName", "", 20)
    if fields.get("displayOrder") is not None:
        entry["displayOrder"] = check.number(fields, "displayOrder")
    if fields.get("options") is not None:
        entry["options"] = _options(fields["options"], entry)
    if "mandatory" in fields:
        entry["mandatory"] = check.flag(fields, "mandatory", default=False)
    entry["readAccessType"] = check.one_of(fields, "readAccessType", READERS) or entry["readAccessType"]
    entry["writeAccessType"] = check.one_of(fields, "writeAccessType", WRITERS) or entry["writeAccessType"]
    return entry


def _options(value: Any, entry: Entity) -> list[Entity]:
    if entry["propertyType"] != "STRING":
        raise bad("options need propertyType STRING.")
    found: dict[str, Entity] = {}
    for at, item in enumerate(array(value, "options", low=2, high=1000)):
        path = f"options[{at}]"
        fields = obj(item, path)
        name = string(fields, "optionName", path, 100) or ""
        if name in found:
            raise bad(f"{path}.optionName is there twice.")
        found[name] = {"optionName": name, "displayName": string(fields, "displayName", path, 20)}
    return list(found.values())


def _create(call: Call) -> Reply:
    managed(call)
    tenant, fields = call.tenant, call.json()
    domain_id = known_domain(call, fields)
    blank: Entity = {
        "domainId": domain_id,
        "customPropertyId": "",
        "displayOrder": len(tenant.table(TABLE)) + 1,
        "options": [],
        "mandatory": False,
        "readAccessType": "ALL",
        "writeAccessType": "ADMIN",
    }
    entry = _read(fields, blank, partial=False)
    if property_by_name(call, entry["propertyName"]) is not None:
        raise ApiFault(*call.choices.name_taken, "propertyName is duplicated.")
    if len(tenant.table(TABLE)) >= call.choices.max_custom_properties:
        raise bad(f"A domain has at most {call.choices.max_custom_properties} custom properties.")
    entry["customPropertyId"] = tenant.new_id("property")
    tenant.put(TABLE, entry["customPropertyId"], entry)
    noted(call, "create", entry["propertyName"])
    return Reply(201, entry)


def _list(call: Call) -> Reply:
    domain_id = call.domain_id
    entries = [entry for entry in call.tenant.table(TABLE).values() if entry["domainId"] == domain_id]
    return Reply(200, {call.choices.custom_properties_name: entries})


def _get(call: Call) -> Reply:
    return Reply(200, _the_property(call))


def _patch(call: Call) -> Reply:
    managed(call)
    entry = _read(call.json(), _the_property(call), partial=True)
    call.tenant.put(TABLE, entry["customPropertyId"], entry)
    noted(call, "update", entry["propertyName"])
    return Reply(200, entry)


def _delete(call: Call) -> Reply:
    """Its values go with it."""
    managed(call)
    entry, tenant = _the_property(call), call.tenant
    tenant.delete(TABLE, entry["customPropertyId"])
    name = entry["propertyName"]
    for user in list(tenant.table("users").values()):
        values = user.get("customProperties") or {}
        if name in values:
            kept = {key: value for key, value in values.items() if key != name}
            put_user(tenant, {**user, "customProperties": kept})
    noted(call, "delete", name)
    return Reply(204)


_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["domainId", "propertyName", "displayName", "propertyType"],
    "properties": {
        "domainId": {"type": "integer"},
        "propertyName": {"type": "string", "maxLength": 120},
        "displayName": {"type": "string", "maxLength": 20},
        "propertyType": {"enum": list(TYPES)},
        "multiValued": {"type": "boolean"},
        "options": {"type": "array"},
    },
}
_PATH = "/directory/users/custom-properties"
_ONE = f"{_PATH}/{{customPropertyId}}"


def _op(name: str, method: str, path: str, handler: Any, success: int = 200, body: Any = None) -> Operation:
    scopes = DIRECTORY_READ if method == "GET" else DIRECTORY
    full = f"custom_properties.{name}"
    return Operation(full, method, path, scopes, handler, success=success, body=body, paragraph="1 §7")


OPERATIONS: tuple[Operation, ...] = (
    _op("create", "POST", _PATH, _create, 201, _BODY),
    _op("list", "GET", _PATH, _list),
    _op("get", "GET", _ONE, _get),
    _op("patch", "PATCH", _ONE, _patch, 200, {**_BODY, "required": []}),
    _op("delete", "DELETE", _ONE, _delete, 204),
)
