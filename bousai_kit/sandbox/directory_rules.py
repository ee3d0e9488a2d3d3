"""What all of the directory has in common: scopes, who may write, audit rows, keys (part 1 §2, §3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bousai_kit.sandbox import directory_checks as check
from bousai_kit.sandbox import schemas
from bousai_kit.sandbox.bot_state import full_name
from bousai_kit.sandbox.content_parts import array, obj
from bousai_kit.sandbox.directory_index import find, index, put, rows_of_domain
from bousai_kit.sandbox.directory_state import find_user
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad, conflict, denied, missing
from bousai_kit.sandbox.tenant import Entity

__all__ = [
    "DIRECTORY",
    "DIRECTORY_READ",
    "KINDS",
    "USERS",
    "USERS_READ",
    "Kind",
    "find_or_404",
    "key_operations",
    "known_domain",
    "managed",
    "noted",
    "ordinary",
    "resolve",
    "same_domain",
    "unique_key",
    "units_of",
]

DIRECTORY = ("directory",)
DIRECTORY_READ = ("directory", "directory.read")
USERS = ("user", "directory")
USERS_READ = ("user", "user.read", *DIRECTORY_READ)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of resource: names of its parts, and what is said of it."""

    table: str
    prefix: str  # ``orgUnit`` of ``orgUnitId``, ``orgUnitName``, ``orgUnitExternalKey``
    what: str
    plural: str
    path: str
    forbidden: str = check.USER_KEY
    feature: bool = False
    keyed: bool = True

    @property
    def id(self) -> str:
        """Property with the id."""
        return f"{self.prefix}Id"

    @property
    def name(self) -> str:
        """Property with the name."""
        return f"{self.prefix}Name"

    @property
    def key(self) -> str:
        """Property with the external key."""
        return f"{self.prefix}ExternalKey"


KINDS = {
    kind.table: kind
    for kind in (
        Kind("users", "user", "User", "users", "/users"),
        Kind("orgunits", "orgUnit", "Org unit", "orgUnits", "/orgunits"),
        Kind("groups", "group", "Group", "groups", "/groups"),
        Kind("levels", "level", "Level", "levels", "/directory/levels", check.CATALOGUE_KEY, True),
        Kind(
            "positions",
            "position",
            "Position",
            "positions",
            "/directory/positions",
            check.CATALOGUE_KEY,
            True,
        ),
        Kind("user_types", "userType", "User type", "userTypes", "/directory/user-types", feature=True),
        Kind(
            "profile_statuses",
            "profileStatus",
            "Profile status",
            "profileStatuses",
            "/directory/profile-statuses",
            feature=True,
            keyed=False,
        ),
    )
}


def find_or_404(found: Entity | None, what: str) -> Entity:
    """The entity, else 404."""
    if found is None:
        raise missing(f"{what} not found.")
    return found


def managed(call: Call) -> None:
    """Only service accounts and the super admin change the directory (part 1 §2.8)."""
    token = call.token
    if token is None or token.is_service:
        return
    user = call.tenant.table("users").get(token.user_id)
    if user is None or not user["isAdministrator"]:
        raise denied()


def ordinary(call: Call) -> Entity | None:
    """The member who asks and sees only a part of the domain (part 1 §3); None: sees all of it."""
    token = call.token
    if token is None or token.is_service or not call.choices.hidden_from_ordinary:
        return None
    user = call.tenant.table("users").get(token.user_id) or {"userId": "", "isAdministrator": False}
    return None if user["isAdministrator"] else user


def units_of(user: Entity) -> list[str]:
    """Ids of the org units of a member."""
    return [unit["orgUnitId"] for company in user.get("organizations") or () for unit in company["orgUnits"]]


def noted(call: Call, task: str, target: str) -> None:
    """A row of the ``admin`` audit log; `target` is a member's id or a name."""
    user = call.token.user_id if call.token else ""
    call.tenant.audit("admin", call.now, user=user, task=task, target=target, ok=True)


def known_domain(call: Call, fields: dict[str, Any], path: str = "domainId") -> int:
    """The required ``domainId`` of a body: one of this tenant's."""
    value = fields.get("domainId")
    if value is None:
        raise bad(f"{path} is required.")
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad(f"{path} must be an integer.")
    if value not in call.tenant.domains:
        raise denied()
    return value


def same_domain(call: Call, fields: dict[str, Any], before: Mapping[str, Any], advice: str = "") -> None:
    """An update may name the domain (a PUT has to), and never another one."""
    named = call.operation.method != "PATCH" or fields.get("domainId") is not None
    if named and known_domain(call, fields) != before["domainId"]:
        raise bad(f"domainId cannot be changed{advice}.")


def resolve(call: Call, table: str, value: Any, path: str) -> str:
    """Id of what a body refers to by id or ``externalKey:…``; 404 (or 400, see choices) when unknown."""
    reference = check.reference(value, path)
    found = find_user(call.tenant, reference) if table == "users" else find(call.tenant, table, reference)
    if found is None or found.get("isDeleted"):
        if call.choices.member_refs_say_not_found:
            raise missing(f"{KINDS[table].what} not found.")
        raise bad(f"{path} is invalid.")
    return str(found[KINDS[table].id])


# -- external keys ----------------------------------------------------------------------------------


def unique_key(call: Call, table: str, key: str | None, own_id: str) -> None:
    """409 when another one has this external key (part 1 §2.4)."""
    owner = index(call.tenant, table).one("key", key) if key else None
    if owner is not None and owner != own_id:
        status, code = call.choices.orgunit_key_taken if table == "orgunits" else (409, "CONFLICT")
        raise ApiFault(status, code, f"{KINDS[table].key} is duplicated. ({key})")


def _list_keys(kind: Kind) -> Callable[[Call], Reply]:
    def view(entry: Entity) -> Entity:
        shown = {"domainId": entry["domainId"], "name": entry.get(kind.name)}
        if kind.table == "users":
            shown |= {"name": full_name(entry), "email": entry["email"]}
        return {**shown, "id": entry[kind.id], "externalKey": entry[kind.key]}

    def with_key(entry: Entity) -> bool:
        return bool(entry.get(kind.key))

    def without_key(entry: Entity) -> bool:
        return not entry.get(kind.key)

    def handler(call: Call) -> Reply:
        wanted = call.query.get("hasExternalKey") or ""
        if wanted not in ("", "true", "false"):
            raise bad("hasExternalKey must be true or false.")
        where = {"true": with_key, "false": without_key}.get(wanted)
        rows = rows_of_domain(call.tenant, kind.table, call.domain_id, where=where)
        return Reply(200, call.page(kind.plural, rows, view=view))

    return handler


def _set_keys(kind: Kind) -> Callable[[Call], Reply]:
    """Added, replaced, removed (null): all of them or none."""

    def handler(call: Call) -> Reply:
        managed(call)
        tenant = call.tenant
        wanted: dict[str, str | None] = {}
        for at, entry in enumerate(array(call.json().get(kind.plural), kind.plural, high=50)):
            path = f"{kind.plural}[{at}]"
            fields = obj(entry, path)
            reference = check.reference(fields.get("id"), f"{path}.id")
            found = (
                find_user(tenant, reference) if kind.table == "users" else find(tenant, kind.table, reference)
            )
            own_id = find_or_404(found, kind.what)[kind.id]
            if own_id in wanted:
                raise bad(f"{path}.id is there twice.")
            wanted[own_id] = check.external_key(fields, "externalKey", path, forbidden=kind.forbidden)
        known = index(tenant, kind.table)
        taken = [key for key in wanted.values() if key]
        for key in taken:
            owner = known.one("key", key)
            if taken.count(key) > 1 or (owner is not None and owner not in wanted):
                raise conflict(f"externalKey is duplicated. ({key})")
        if kind.table == "users" and tenant.get("sso", False) and None in wanted.values():
            raise bad("externalKey is required.")
        entries = tenant.table(kind.table)
        for own_id, new_key in wanted.items():
            put(tenant, kind.table, own_id, {**entries[own_id], kind.key: new_key})
            noted(call, "update", own_id if kind.table == "users" else entries[own_id][kind.name])
        return Reply(204)

    return handler


def key_operations(
    table: str, guard: Callable[[Callable[[Call], Reply]], Callable[[Call], Reply]] | None = None
) -> tuple[Operation, ...]:
    """``GET`` and ``POST …/external-keys`` of a kind."""
    kind = KINDS[table]
    listing, setting = _list_keys(kind), _set_keys(kind)
    if guard is not None:
        listing, setting = guard(listing), guard(setting)
    path = f"{kind.path}/external-keys"
    query = {**schemas.PAGE, "hasExternalKey": schemas.FLAG}
    entry = schemas.body({"id": schemas.text(1000), "externalKey": schemas.key(kind.forbidden)}, "id")
    body = schemas.body({kind.plural: schemas.array_of(entry, low=1, high=50)}, kind.plural)
    where = "1 §4.8" if table == "users" else "1 §3"
    return (
        Operation(
            f"{table}.external_keys.list", "GET", path, DIRECTORY_READ, listing, query=query, paragraph=where
        ),
        Operation(
            f"{table}.external_keys.set",
            "POST",
            path,
            DIRECTORY,
            setting,
            success=204,
            body=body,
            paragraph=where,
        ),
    )
