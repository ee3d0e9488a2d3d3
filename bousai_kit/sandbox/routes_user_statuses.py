"""What a member says about oneself: ``/users/{userId}/user-profile-statuses`` (part 1 §3).

The reference knows the path, the scopes, the array's name and that 404 is documented; everything else is [A],
by analogy with the catalogue ``/directory/profile-statuses`` and with leave of absence.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bousai_kit.sandbox import directory_checks as check
from bousai_kit.sandbox import schemas
from bousai_kit.sandbox.content_parts import string
from bousai_kit.sandbox.directory_index import find
from bousai_kit.sandbox.directory_rules import USERS, USERS_READ, find_or_404, noted, resolve
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad
from bousai_kit.sandbox.routes_users import the_user, writable_user
from bousai_kit.sandbox.tenant import Entity, Tenant

__all__ = ["OPERATIONS", "drop_statuses"]

TABLE = "user_profile_statuses"
PATH = "/users/{userId}/user-profile-statuses"
ONE = f"{PATH}/{{userProfileStatusId}}"


def _of(tenant: Tenant, user_id: str) -> list[tuple[str, Entity]]:
    rows = tenant.table(TABLE).items()
    return [(key, entry) for key, entry in rows if entry["userId"] == user_id]


def drop_statuses(tenant: Tenant, user_id: str) -> None:
    """They go with the member."""
    for key, _ in _of(tenant, user_id):
        tenant.delete(TABLE, key)


def _period(entry: Entity) -> tuple[datetime | None, datetime | None]:
    return check.moment(entry, "startTime"), check.moment(entry, "endTime")


def _shown(call: Call, entry: Entity) -> Entity:
    """With the name that the status has now, and whether its time is."""
    found = find(call.tenant, "profile_statuses", entry["profileStatusId"] or "")
    begin, end = _period(entry)
    current = (begin is None or begin <= call.now) and (end is None or call.now < end)
    named = {"profileStatusId": None, "profileStatusName": None}
    if found is not None:
        named = {key: found[key] for key in named}
    return {**{key: value for key, value in entry.items() if key != "userId"}, **named, "isActive": current}


def _the_status(call: Call) -> tuple[str, Entity]:
    user, key = the_user(call), call.path["userProfileStatusId"]
    entry = find_or_404(call.tenant.table(TABLE).get(key), "User profile status")
    if entry["userId"] != user["userId"]:
        find_or_404(None, "User profile status")
    return key, entry


def _read(call: Call, before: Entity, *, partial: bool) -> Entity:
    fields, entry = call.json(), dict(before)
    if not partial:
        entry |= dict.fromkeys(("profileStatusId", "statusText", "startTime", "endTime"))
    if "profileStatusId" in fields:
        given = fields["profileStatusId"]
        entry["profileStatusId"] = (
            None if given in (None, "") else resolve(call, "profile_statuses", given, "profileStatusId")
        )
    if "statusText" in fields:
        entry["statusText"] = string(fields, "statusText", "", 100, required=False) or None
    for key, moment in zip(("startTime", "endTime"), _period(fields), strict=True):
        if key in fields:
            entry[key] = None if moment is None else fields[key]
    if entry["profileStatusId"] is None and entry["statusText"] is None:
        raise bad("profileStatusId or statusText is required.")
    begin, end = _period(entry)
    if begin is not None and end is not None and end <= begin:
        raise bad("endTime must be after startTime.")
    return entry


def _own(call: Call) -> Entity:
    """Administrators write everybody's, members their own."""
    token = call.token
    if token is not None and not token.is_service and the_user(call)["userId"] == token.user_id:
        user = the_user(call)
        if user["isDeleted"]:
            raise ApiFault(*call.choices.change_deleted)
        return user
    return writable_user(call)


def _create(call: Call) -> Reply:
    user = _own(call)
    if len(_of(call.tenant, user["userId"])) >= call.choices.max_user_statuses:
        raise bad(f"A member has at most {call.choices.max_user_statuses} statuses.")
    entry = _read(call, {"userProfileStatusId": "", "userId": user["userId"]}, partial=False)
    key = entry["userProfileStatusId"] = call.tenant.new_id("userstatus")
    call.tenant.put(TABLE, key, entry)
    noted(call, "update", user["userId"])
    return Reply(201, _shown(call, entry))


def _list(call: Call) -> Reply:
    rows = _of(call.tenant, the_user(call)["userId"])
    return Reply(200, call.page("userProfileStatuses", rows, view=lambda entry: _shown(call, entry)))


def _get(call: Call) -> Reply:
    return Reply(200, _shown(call, _the_status(call)[1]))


def _update(call: Call) -> Reply:
    _own(call)
    key, before = _the_status(call)
    entry = call.tenant.put(TABLE, key, _read(call, before, partial=call.operation.method == "PATCH"))
    noted(call, "update", entry["userId"])
    return Reply(200, _shown(call, entry))


def _delete(call: Call) -> Reply:
    _own(call)
    key, entry = _the_status(call)
    call.tenant.delete(TABLE, key)
    noted(call, "update", entry["userId"])
    return Reply(204)


_MOMENT = schemas.text(25, null=True)
_BODY = schemas.body(
    {
        "profileStatusId": schemas.text(1000, null=True),
        "statusText": schemas.text(100, null=True),
        "startTime": _MOMENT,
        "endTime": _MOMENT,
    }
)


def _op(name: str, method: str, path: str, handler: Any, success: int = 200, **more: Any) -> Operation:
    scopes = USERS_READ if method == "GET" else USERS
    full = f"users.statuses.{name}"
    return Operation(full, method, path, scopes, handler, success=success, paragraph="1 §3", **more)


OPERATIONS: tuple[Operation, ...] = (
    _op("create", "POST", PATH, _create, 201, body=_BODY),
    _op("list", "GET", PATH, _list, query=schemas.page()),
    _op("get", "GET", ONE, _get),
    _op("replace", "PUT", ONE, _update, body=_BODY),
    _op("patch", "PATCH", ONE, _update, body=_BODY),
    _op("delete", "DELETE", ONE, _delete, 204),
)
