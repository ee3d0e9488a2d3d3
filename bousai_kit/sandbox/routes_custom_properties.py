"""Custom properties of members: create, list, get, patch, delete (part 1 §7).

Once more as custom fields, the deprecated paths, where `Choices.custom_fields` says so.
"""

from __future__ import annotations

import re
from typing import Any

from bousai_kit.sandbox import directory_checks as check
from bousai_kit.sandbox import schemas
from bousai_kit.sandbox.content_parts import array, obj, string
from bousai_kit.sandbox.custom_values import property_by_name
from bousai_kit.sandbox.directory_rules import (
    DIRECTORY,
    DIRECTORY_READ,
    find_or_404,
    known_domain,
    managed,
    noted,
    same_domain,
)
from bousai_kit.sandbox.directory_state import put_user
from bousai_kit.sandbox.old_names import under_old_names
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad
from bousai_kit.sandbox.tenant import Entity

__all__ = ["OPERATIONS"]

TABLE = "custom_properties"
TYPES = ("STRING", "LINK", "INTEGER", "DATE")
READERS = ("ALL", "ADMIN_AND_SELF")
WRITERS = ("ADMIN", "ADMIN_AND_SELF")


def _the_property(call: Call) -> Entity:
    reference = call.path["customPropertyId"]
    found = call.tenant.table(TABLE).get(reference) or property_by_name(call, reference)
    return find_or_404(found, "Custom property")


def _read(call: Call, before: Entity, *, partial: bool) -> Entity:
    fields, entry, fixed = call.json(), dict(before), call.choices.property_fixed
    changed = [key for key in fixed if partial and key in fields and fields[key] != before[key]]
    if changed:
        raise bad(f"{', '.join(changed)} cannot be changed.")
    if not partial or "propertyName" in fields:
        entry["propertyName"] = string(fields, "propertyName", "", 120) or ""
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", entry["propertyName"]):
            raise bad("propertyName is invalid.")
    if not partial or "propertyType" in fields:
        entry["propertyType"] = check.one_of(fields, "propertyType", TYPES)
        if entry["propertyType"] is None:
            raise bad("propertyType is required.")
    if not partial or "multiValued" in fields:
        entry["multiValued"] = check.flag(fields, "multiValued", default=False)
    if not partial or "displayName" in fields:
        entry["displayName"] = string(fields, "displayName", "", 20)
    if fields.get("displayOrder") is not None:
        entry["displayOrder"] = check.number(fields, "displayOrder")
    if fields.get("options") is not None:
        entry["options"] = _options(call, fields["options"], entry)
    if "mandatory" in fields:
        entry["mandatory"] = check.flag(fields, "mandatory", default=False)
    entry["readAccessType"] = check.one_of(fields, "readAccessType", READERS) or entry["readAccessType"]
    entry["writeAccessType"] = check.one_of(fields, "writeAccessType", WRITERS) or entry["writeAccessType"]
    return entry


def _options(call: Call, value: Any, entry: Entity) -> list[Entity]:
    if entry["propertyType"] not in call.choices.options_for:
        raise bad(f"options need propertyType {' or '.join(call.choices.options_for)}.")
    found: dict[str, Entity] = {}
    for at, item in enumerate(array(value, "options", low=2, high=1000)):
        path = f"options[{at}]"
        fields = obj(item, path)
        name = string(fields, "optionName", path, 100) or ""
        if name in found:
            raise bad(f"{path}.optionName is there twice.")
        found[name] = {"optionName": name, "displayName": string(fields, "displayName", path, 20)}
    return list(found.values())


def _unique(call: Call, entry: Entity) -> None:
    other = property_by_name(call, entry["propertyName"])
    if other is not None and other["customPropertyId"] != entry["customPropertyId"]:
        raise ApiFault(*call.choices.name_taken, "propertyName is duplicated.")


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
    entry = _read(call, blank, partial=False)
    _unique(call, entry)
    here = [other for other in tenant.table(TABLE).values() if other["domainId"] == domain_id]
    if len(here) >= call.choices.max_custom_properties:
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
    before = _the_property(call)
    same_domain(call, call.json(), before)
    entry = _read(call, before, partial=True)
    _unique(call, entry)
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


_OPTION = schemas.body(
    {"optionName": schemas.text(100), "displayName": schemas.text(20)}, "optionName", "displayName"
)
_FIELDS: dict[str, Any] = {
    "domainId": schemas.DOMAIN,
    "propertyName": schemas.text(120, pattern="^[A-Za-z_][A-Za-z0-9_]*$"),
    "displayName": schemas.text(20),
    "propertyType": schemas.one_of(*TYPES),
    "displayOrder": {**schemas.INT32, "type": ["integer", "null"]},
    "multiValued": schemas.FLAG_OR_NULL,
    "options": schemas.array_of(_OPTION, low=2, high=1000, null=True),
    "mandatory": schemas.FLAG_OR_NULL,
    "readAccessType": schemas.one_of(*READERS, null=True),
    "writeAccessType": schemas.one_of(*WRITERS, null=True),
}
_NEW = schemas.body(_FIELDS, "domainId", "propertyName", "displayName", "propertyType")
_PATH = "/directory/users/custom-properties"
_ONE = f"{_PATH}/{{customPropertyId}}"


def _op(name: str, method: str, path: str, handler: Any, success: int = 200, **more: Any) -> Operation:
    scopes = DIRECTORY_READ if method == "GET" else DIRECTORY
    full = f"custom_properties.{name}"
    return Operation(full, method, path, scopes, handler, success=success, paragraph="1 §7", **more)


_TODAY: tuple[Operation, ...] = (
    _op("create", "POST", _PATH, _create, 201, body=_NEW),
    _op("list", "GET", _PATH, _list, query={"domainId": schemas.DOMAIN}),
    _op("get", "GET", _ONE, _get),
    _op("patch", "PATCH", _ONE, _patch, 200, body=schemas.partial(_FIELDS)),
    _op("delete", "DELETE", _ONE, _delete, 204),
)
_FIELD_NAMES = {
    "customProperties": "customFields",
    "customAttributes": "customFields",
    "customPropertyId": "customFieldId",
}

OPERATIONS: tuple[Operation, ...] = (
    *_TODAY,
    *under_old_names(
        _TODAY,
        "custom_fields",
        (_PATH, "/directory/custom-fields"),
        _FIELD_NAMES,
        lambda choices: choices.custom_fields,
    ),
)
