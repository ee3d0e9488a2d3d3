"""Levels, positions, user types, profile statuses: the calls that they have in common (part 1 §3, §7).

Create, list, get, replace, patch, delete, switch on and off. User types once more under their old names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bousai_kit.sandbox import directory_checks as check
from bousai_kit.sandbox import schemas
from bousai_kit.sandbox.content_parts import LANGUAGES, string
from bousai_kit.sandbox.directory_index import drop, find, index, put, rows_of_domain
from bousai_kit.sandbox.directory_rules import (
    DIRECTORY,
    DIRECTORY_READ,
    KINDS,
    Kind,
    find_or_404,
    key_operations,
    known_domain,
    managed,
    noted,
    same_domain,
    unique_key,
)
from bousai_kit.sandbox.directory_state import feature_on
from bousai_kit.sandbox.old_names import under_old_names
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad
from bousai_kit.sandbox.tenant import Entity

__all__ = ["OPERATIONS"]

Handler = Callable[[Call], Reply]
CATALOGUES = ("levels", "positions", "user_types", "profile_statuses")


def _blank(kind: Kind, domain_id: int) -> Entity:
    entry: Entity = {"domainId": domain_id, kind.id: "", "displayOrder": 1, kind.name: ""}
    if kind.keyed:
        entry[kind.key] = None
    if kind.table == "levels":
        entry["executive"] = False
    if kind.table == "user_types":
        entry["userTypeCode"] = None
    return {**entry, "i18nNames": []}


def _needed(call: Call, kind: Kind, name: str) -> bool:
    return kind.table != "user_types" or name in call.choices.user_type_needs


def _read(call: Call, kind: Kind, before: Entity, *, partial: bool) -> Entity:
    fields, entry = call.json(), dict(before)
    if not partial:
        kept = ("domainId", kind.id)
        entry |= {key: value for key, value in _blank(kind, 0).items() if key not in kept}
    if "displayOrder" in fields or (not partial and _needed(call, kind, "displayOrder")):
        entry["displayOrder"] = check.number(fields, "displayOrder")
    if not partial or kind.name in fields:
        entry[kind.name] = string(fields, kind.name, "", 100)
        if not str(entry[kind.name]).strip():
            raise bad(f"{kind.name} is required.")
    if kind.keyed and kind.key in fields:
        entry[kind.key] = check.external_key(fields, kind.key, forbidden=kind.forbidden)
    if "i18nNames" in fields:
        entry["i18nNames"] = check.i18n_names(fields, "i18nNames", ("name",))
    if kind.table == "levels" and (not partial or "executive" in fields):
        entry["executive"] = check.flag(fields, "executive")
    if kind.table == "user_types" and "userTypeCode" in fields:
        entry["userTypeCode"] = check.code(fields, "userTypeCode", 50)
    if "userTypeCode" in entry and not entry["userTypeCode"] and _needed(call, kind, "userTypeCode"):
        raise bad("userTypeCode is required.")
    return entry


def _unique(call: Call, kind: Kind, entry: Entity) -> None:
    if kind.keyed:
        unique_key(call, kind.table, entry[kind.key], entry[kind.id])
    known = index(call.tenant, kind.table)
    for term, text in (("name", entry[kind.name]), ("code", entry.get(f"{kind.prefix}Code"))):
        owner = known.one(term, (entry["domainId"], text)) if text else None
        if owner is not None and owner != entry[kind.id]:
            raise ApiFault(*call.choices.name_taken, f"{kind.prefix}{term.capitalize()} is duplicated.")


def _guard(kind: Kind) -> Callable[[Handler], Handler]:
    """The feature must be on for the domain."""

    def wrap(handler: Handler) -> Handler:
        def guarded(call: Call) -> Reply:
            if not feature_on(call.tenant, kind.table, call.domain_id):
                raise ApiFault(*call.choices.feature_off)
            return handler(call)

        return guarded

    return wrap


# -- handlers ---------------------------------------------------------------------------------------


def _the_entry(call: Call, kind: Kind) -> Entity:
    return find_or_404(find(call.tenant, kind.table, call.path[kind.id]), kind.what)


def _creating(kind: Kind) -> Handler:
    def create(call: Call) -> Reply:
        managed(call)
        fields = call.json()
        given = fields.get("domainId") is not None or _needed(call, kind, "domainId")
        domain_id = known_domain(call, fields) if given else call.domain_id
        if not feature_on(call.tenant, kind.table, domain_id):
            raise ApiFault(*call.choices.feature_off)
        entry = _read(call, kind, _blank(kind, domain_id), partial=False)
        _unique(call, kind, entry)
        entry[kind.id] = call.tenant.new_id(kind.prefix.lower())
        put(call.tenant, kind.table, entry[kind.id], entry)
        noted(call, "create", entry[kind.name])
        return Reply(201, entry)

    return create


def _listing(kind: Kind) -> Handler:
    def listing(call: Call) -> Reply:
        return Reply(200, call.page(kind.plural, rows_of_domain(call.tenant, kind.table, call.domain_id)))

    return listing


def _getting(kind: Kind) -> Handler:
    def get(call: Call) -> Reply:
        return Reply(200, _the_entry(call, kind))

    return get


def _updating(kind: Kind) -> Handler:
    def update(call: Call) -> Reply:
        managed(call)
        partial = call.operation.method == "PATCH"
        before, fields = _the_entry(call, kind), call.json()
        if fields.get("domainId") is not None or _needed(call, kind, "domainId"):
            same_domain(call, fields, before)
        entry = _read(call, kind, before, partial=partial)
        _unique(call, kind, entry)
        put(call.tenant, kind.table, entry[kind.id], entry)
        noted(call, "update", entry[kind.name])
        call.tenant.caches.pop("people:profiles", None)
        return Reply(200, entry)

    return update


def _deleting(kind: Kind) -> Handler:
    """Members who held it hold none from then on: it is looked up when they are shown."""

    def delete(call: Call) -> Reply:
        managed(call)
        entry = _the_entry(call, kind)
        drop(call.tenant, kind.table, entry[kind.id])
        noted(call, "delete", entry[kind.name])
        call.tenant.caches.pop("people:profiles", None)
        return Reply(204)

    return delete


def _switching(kind: Kind, *, on: bool) -> Handler:
    def switch(call: Call) -> Reply:
        managed(call)
        fields = call.json() if call.body.strip() else {}
        domain_id = known_domain(call, fields) if fields.get("domainId") is not None else call.domain_id
        call.tenant.set(f"enabled:{kind.table}:{domain_id}", on)
        noted(call, "update", kind.path)
        return Reply(call.choices.switch_status)

    return switch


# -- routes -----------------------------------------------------------------------------------------


def _body(kind: Kind, *, whole: bool) -> dict[str, Any]:
    names = schemas.body(
        {"language": schemas.one_of(*LANGUAGES), "name": schemas.text(100, null=True)}, "language"
    )
    properties: dict[str, Any] = {
        "domainId": schemas.DOMAIN,
        "displayOrder": schemas.INT32,
        kind.name: schemas.text(100),
        "i18nNames": schemas.array_of(names, high=20, null=True),
    }
    required = ["domainId", "displayOrder", kind.name]
    if kind.keyed:
        properties[kind.key] = schemas.key(kind.forbidden)
    if kind.table == "levels":
        properties["executive"] = schemas.FLAG
        required.append("executive")
    if kind.table == "user_types":
        properties["userTypeCode"] = schemas.text(50, null=True, pattern="^([A-Za-z][A-Za-z0-9_]*)?$")
    return schemas.body(properties, *required) if whole else schemas.partial(properties)


_SWITCH = schemas.body({"domainId": {"type": ["integer", "null"]}})


def _routes(kind: Kind) -> tuple[Operation, ...]:
    guard, one = _guard(kind), f"{kind.path}/{{{kind.id}}}"

    def op(name: str, method: str, path: str, handler: Handler, success: int = 200, **more: Any) -> Operation:
        scopes = DIRECTORY_READ if method == "GET" else DIRECTORY
        where = "1 §7" if kind.table != "profile_statuses" else "1 §3"
        return Operation(
            f"{kind.table}.{name}", method, path, scopes, handler, success=success, paragraph=where, **more
        )

    update = guard(_updating(kind))
    return (
        op("create", "POST", kind.path, _creating(kind), 201, body=_body(kind, whole=True)),
        op("list", "GET", kind.path, guard(_listing(kind)), query=schemas.PAGE),
        op("get", "GET", one, guard(_getting(kind)), query=_DOMAIN),
        op("replace", "PUT", one, update, query=_DOMAIN, body=_body(kind, whole=True)),
        op("patch", "PATCH", one, update, query=_DOMAIN, body=_body(kind, whole=False)),
        op("delete", "DELETE", one, guard(_deleting(kind)), 204, query=_DOMAIN),
        op("enable", "POST", f"{kind.path}/enable", _switching(kind, on=True), 204, body=_SWITCH),
        op("disable", "POST", f"{kind.path}/disable", _switching(kind, on=False), 204, body=_SWITCH),
        *(key_operations(kind.table, guard) if kind.keyed else ()),
    )


_DOMAIN = {"domainId": schemas.DOMAIN}
_TODAY: tuple[Operation, ...] = tuple(
    operation for table in CATALOGUES for operation in _routes(KINDS[table])
)
_EMPLOYMENT = {
    **{f"userType{part}": f"employmentType{part}" for part in ("s", "Id", "Name", "ExternalKey")},
    "userTypeCode": "",
}

OPERATIONS: tuple[Operation, ...] = (
    *_TODAY,
    *under_old_names(
        tuple(operation for operation in _TODAY if operation.name.startswith("user_types.")),
        "employment_types",
        ("/directory/user-types", "/directory/employment-types"),
        _EMPLOYMENT,
        lambda choices: choices.employment_types,
    ),
)
