"""Access restrictions of org units and user types (part 1 §3 [C]): paths known from a public client only.

What a body holds is not known, so it is kept and shown as it was sent, with the owner's id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bousai_kit.sandbox import schemas
from bousai_kit.sandbox.directory_index import find
from bousai_kit.sandbox.directory_rules import (
    DIRECTORY,
    DIRECTORY_READ,
    KINDS,
    Kind,
    find_or_404,
    managed,
    noted,
)
from bousai_kit.sandbox.ops import Call, Operation, Reply, conflict, missing
from bousai_kit.sandbox.tenant import Entity

if TYPE_CHECKING:
    from bousai_kit.sandbox.core import Sandbox

__all__ = ["LISTENERS", "OPERATIONS"]

TABLE = "access_restricts"
MOST_BYTES = 1 << 16


def _owner(call: Call, kind: Kind) -> tuple[str, Entity]:
    owner = find_or_404(find(call.tenant, kind.table, call.path[kind.id]), kind.what)
    return f"{kind.table}/{owner[kind.id]}", owner


def _shown(call: Call, kind: Kind, key: str, owner: Entity) -> dict[str, Any]:
    entry = call.tenant.table(TABLE).get(key)
    if entry is None:
        raise missing("Access restriction not found.")
    return {**entry, kind.id: owner[kind.id]}


def _writing(kind: Kind) -> Callable[[Call], Reply]:
    def write(call: Call) -> Reply:
        managed(call)
        key, owner = _owner(call, kind)
        new = call.operation.method == "POST"
        if new and key in call.tenant.table(TABLE):
            raise conflict("The access restriction is already there.")
        if not new:
            _shown(call, kind, key, owner)
        call.tenant.put(TABLE, key, dict(call.json()))
        noted(call, "update", owner[kind.name])
        status = call.choices.access_restrict_statuses[0 if new else 1]
        return Reply(status, _shown(call, kind, key, owner))

    return write


def _reading(kind: Kind) -> Callable[[Call], Reply]:
    def read(call: Call) -> Reply:
        return Reply(200, _shown(call, kind, *_owner(call, kind)))

    return read


def _dropping(kind: Kind) -> Callable[[Call], Reply]:
    def drop(call: Call) -> Reply:
        managed(call)
        key, owner = _owner(call, kind)
        if call.tenant.delete(TABLE, key) is None:
            raise missing("Access restriction not found.")
        noted(call, "update", owner[kind.name])
        return Reply(204)

    return drop


def _unit_gone(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    if payload["id"] not in sandbox.tenant.table("orgunits"):
        sandbox.tenant.delete(TABLE, f"orgunits/{payload['id']}")


def _routes(kind: Kind, more: tuple[str, ...]) -> tuple[Operation, ...]:
    path = f"{kind.path}/{{{kind.id}}}/orgunit-access-restrict"
    full, read = (*more, *DIRECTORY), (*more, *(f"{scope}.read" for scope in more), *DIRECTORY_READ)

    def op(name: str, method: str, scopes: tuple[str, ...], handler: Any, success: int) -> Operation:
        return Operation(
            f"{kind.table}.access_restrict.{name}",
            method,
            path,
            scopes,
            handler,
            success=success,
            body=schemas.body({}) if method in ("POST", "PUT") else None,
            max_body=MOST_BYTES,
            paragraph="1 §3",
        )

    return (
        op("create", "POST", full, _writing(kind), 201),
        op("get", "GET", read, _reading(kind), 200),
        op("replace", "PUT", full, _writing(kind), 200),
        op("delete", "DELETE", full, _dropping(kind), 204),
    )


LISTENERS = {"orgunit.changed": _unit_gone}
OPERATIONS: tuple[Operation, ...] = (
    *_routes(KINDS["orgunits"], ("orgunit",)),
    *_routes(KINDS["user_types"], ()),
)
