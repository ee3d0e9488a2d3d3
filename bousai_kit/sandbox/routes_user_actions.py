"""What is done to members: delete, undelete, suspend, log out, leave, invite, move (part 1 §4.7, §4.8)."""

from __future__ import annotations

from typing import Any

from bousai_kit.sandbox import directory_checks as check
from bousai_kit.sandbox import schemas
from bousai_kit.sandbox.departures import (
    delete_user,
    leave_groups,
    logout_later,
    purge_user,
    suspend,
    undelete_user,
)
from bousai_kit.sandbox.directory_index import rows_of_domain
from bousai_kit.sandbox.directory_rules import USERS, known_domain, managed, noted
from bousai_kit.sandbox.directory_state import account, blank_user, invite, put_user, set_account
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad
from bousai_kit.sandbox.routes_users import last_leader, lead, shown, the_user, writable_user
from bousai_kit.sandbox.tenant import JST, Entity
from bousai_kit.sandbox.user_body import read_user, unique_user
from bousai_kit.sandbox.user_schema import LOGIN_ID, organizations

__all__ = ["OPERATIONS"]

ONE = "/users/{userId}"


def _not_super(user: Entity) -> None:
    if user["isAdministrator"]:
        raise bad("The super administrator cannot be chosen.")


# -- going and coming back --------------------------------------------------------------------------


def _delete(call: Call) -> Reply:
    managed(call)
    user = the_user(call)
    if user["isDeleted"]:
        raise ApiFault(*call.choices.delete_again)
    if user["isAdministrator"] or account(call.tenant, user["userId"]).get("sub_administrator"):
        raise bad("Administrators cannot be deleted.")
    delete_user(call.sandbox, user, call.now)
    noted(call, "delete", user["userId"])
    return Reply(204)


def _force_delete(call: Call) -> Reply:
    managed(call)
    user = the_user(call)
    _not_super(user)
    noted(call, "delete", user["userId"])
    purge_user(call.sandbox, user)
    return Reply(204)


def _undelete(call: Call) -> Reply:
    managed(call)
    user = the_user(call)
    if not user["isDeleted"]:
        raise bad("The member is not deleted.")
    user = last_leader(call, undelete_user(call.sandbox, user))
    noted(call, "undelete", user["userId"])
    return Reply(200, shown(call, user))


def _suspend(call: Call) -> Reply:
    user = writable_user(call)
    _not_super(user)
    if user["isPending"] or user["isAwaiting"] or user["isSuspended"]:
        raise bad("Only members in use can be suspended.")
    suspend(call.sandbox, user, "MASTER")
    noted(call, "suspend", user["userId"])
    return Reply(204)


def _unsuspend(call: Call) -> Reply:
    user = writable_user(call)
    if not user["isSuspended"]:
        raise bad("The member is not suspended.")
    put_user(call.tenant, {**user, "isSuspended": False, "suspendedReason": None})
    set_account(call.tenant, user["userId"], failures=0)
    noted(call, "unsuspend", user["userId"])
    call.sandbox.signal("user.unsuspended", id=user["userId"])
    return Reply(204)


def _force_logout(call: Call) -> Reply:
    user = writable_user(call)
    logout_later(call.sandbox, user["userId"], call.now)
    noted(call, "logout", user["userId"])
    return Reply(202)


# -- leave of absence -------------------------------------------------------------------------------


def _set_leave(call: Call) -> Reply:
    user = writable_user(call)
    fields = call.json() if call.body.strip() else {}
    begin, end = check.moment(fields, "startTime"), check.moment(fields, "endTime")
    if (begin is None) != (end is None):
        raise bad("startTime and endTime: both or none.")
    if begin is not None and end is not None and end <= begin:
        raise bad("endTime must be after startTime.")
    leave = [fields.get("startTime") or "", fields.get("endTime") or ""]
    set_account(call.tenant, user["userId"], leave=leave)
    noted(call, "update", user["userId"])
    return Reply(204)


def _clear_leave(call: Call) -> Reply:
    user = writable_user(call)
    set_account(call.tenant, user["userId"], leave=None)
    noted(call, "update", user["userId"])
    return Reply(204)


# -- invitations ------------------------------------------------------------------------------------


def _invite(call: Call) -> Reply:
    user, fields = writable_user(call), call.json()
    private = check.flag(fields, "usePrivateEmail")
    if not user["isPending"]:
        raise bad("Only pending members can be invited.")
    address = user["privateEmail"] if private else check.address(fields.get("email"), "email")
    if not address:
        raise bad("The member has no private email address.")
    invite(call.sandbox, user, address, call.now)
    noted(call, "invite", user["userId"])
    return Reply(204)


def _invite_all(call: Call) -> Reply:
    """Once a day; pending members with ``MEMBER`` passwords and a private address."""
    managed(call)
    fields = call.json() if call.body.strip() else {}
    domain_id = known_domain(call, fields) if fields.get("domainId") is not None else call.domain_id
    if fields.get("resultEmailReceiver") not in (None, ""):
        check.address(fields["resultEmailReceiver"], "resultEmailReceiver")
    name, today = f"invited_all:{domain_id}", call.now.astimezone(JST).date().isoformat()
    if call.tenant.get(name) == today:
        raise bad("Invitations can be sent once a day.")
    call.tenant.set(name, today)
    for user_id, user in list(rows_of_domain(call.tenant, "users", domain_id)):
        waiting = user["isPending"] and not user["isDeleted"] and user["privateEmail"]
        if waiting and account(call.tenant, user_id).get("kind") == "MEMBER":
            invite(call.sandbox, user, user["privateEmail"], call.now)
    noted(call, "invite", "*")
    return Reply(202)


# -- move -------------------------------------------------------------------------------------------


def _move(call: Call) -> Reply:
    """To another domain of the tenant: new key, address and units in one go (part 1 §4.7)."""
    managed(call)
    before, fields = the_user(call), call.json()
    if before["isDeleted"]:
        raise ApiFault(*call.choices.change_deleted)
    _not_super(before)
    domain_id = known_domain(call, fields)
    if domain_id == before["domainId"]:
        raise bad("domainId is the member's own domain.")
    keep_groups = check.flag(fields, "preserveGroup", default=False)
    asked: dict[str, Any] = {
        key: fields[key] for key in ("email", "userExternalKey", "organizations") if key in fields
    }
    bare = {**before, "domainId": domain_id, "organizations": blank_user(domain_id)["organizations"]}
    user = read_user(call, asked, {**bare, "customProperties": {}, "userTypeId": None}, partial=True)
    unique_user(call, user)
    put_user(call.tenant, user)
    lead(call, user)
    if not keep_groups:
        leave_groups(call.sandbox, user["userId"])
    noted(call, "update", user["userId"])
    call.sandbox.signal("user.changed", id=user["userId"])
    return Reply(200, shown(call, user))


def _op(name: str, method: str, path: str, handler: Any, success: int, body: Any = None) -> Operation:
    serial = (
        "member:{userId}" if name in ("delete", "purge", "undelete", "suspend", "unsuspend", "move") else ""
    )
    return Operation(
        f"users.{name}",
        method,
        path,
        USERS,
        handler,
        success=success,
        serial=serial,
        body=body,
        paragraph="1 §4.7" if name == "move" else "1 §4.8",
    )


_MOMENT = schemas.text(25, null=True)
_LEAVE = schemas.body({"startTime": _MOMENT, "endTime": _MOMENT})
_ADDRESS = schemas.text(256, null=True)
_INVITATION = schemas.body({"usePrivateEmail": schemas.FLAG, "email": _ADDRESS}, "usePrivateEmail")
_DOMAIN_OR_NULL = {"type": ["integer", "null"]}
_ALL = schemas.body({"resultEmailReceiver": _ADDRESS, "domainId": _DOMAIN_OR_NULL})
_MOVE = schemas.body(
    {
        "domainId": schemas.DOMAIN,
        "email": LOGIN_ID,
        "userExternalKey": schemas.key(check.USER_KEY),
        "organizations": organizations(),
        "preserveGroup": schemas.FLAG_OR_NULL,
    },
    "domainId",
)


OPERATIONS: tuple[Operation, ...] = (
    _op("delete", "DELETE", ONE, _delete, 204),
    _op("purge", "DELETE", f"{ONE}/forcedelete", _force_delete, 204),
    _op("undelete", "POST", f"{ONE}/undelete", _undelete, 200),
    _op("suspend", "POST", f"{ONE}/suspend", _suspend, 204),
    _op("unsuspend", "POST", f"{ONE}/unsuspend", _unsuspend, 204),
    _op("force_logout", "POST", f"{ONE}/force-logout", _force_logout, 202),
    _op("leave.set", "POST", f"{ONE}/set-leave-of-absence", _set_leave, 204, _LEAVE),
    _op("leave.clear", "POST", f"{ONE}/clear-leave-of-absence", _clear_leave, 204),
    _op("invite", "POST", f"{ONE}/send-invitation-email", _invite, 204, _INVITATION),
    _op("invite_all", "POST", "/users/send-invitation-email", _invite_all, 202, _ALL),
    _op("move", "POST", f"{ONE}/move", _move, 200, _MOVE),
)
