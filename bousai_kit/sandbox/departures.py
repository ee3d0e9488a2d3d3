"""How members go: suspended, deleted with seven days to come back, purged, logged out (part 1 §4.1, §4.8)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bousai_kit.sandbox.auth import revoke_all
from bousai_kit.sandbox.directory_index import drop, groups_above, index, put
from bousai_kit.sandbox.directory_state import account, put_user, set_account
from bousai_kit.sandbox.ops import DueHandler
from bousai_kit.sandbox.tenant import Entity

if TYPE_CHECKING:
    from bousai_kit.sandbox.core import Sandbox

__all__ = [
    "DUE_HANDLERS",
    "delete_user",
    "leave_groups",
    "logout_later",
    "purge_user",
    "suspend",
    "undelete_user",
]


def suspend(sandbox: Sandbox, user: Entity, reason: str) -> None:
    """No login from now on; tokens end."""
    put_user(sandbox.tenant, {**user, "isSuspended": True, "suspendedReason": reason})
    revoke_all(sandbox.tenant, user_id=user["userId"], kinds=("access", "refresh"))
    sandbox.signal("user.suspended", id=user["userId"])


def delete_user(sandbox: Sandbox, user: Entity, now: datetime) -> None:
    """The seven days begin; rooms are left at once (part 1 §4.8)."""
    tenant, user_id = sandbox.tenant, user["userId"]
    key = tenant.schedule(
        now + timedelta(days=sandbox.choices.deleted_kept_days), "directory.purge", {"u": user_id}
    )
    set_account(tenant, user_id, purge=key)
    put_user(tenant, {**user, "isDeleted": True})
    revoke_all(tenant, user_id=user_id, kinds=("access", "refresh"))
    sandbox.signal("user.deleted", id=user_id)
    if sandbox.choices.deleted_leaves_groups:
        leave_groups(sandbox, user_id)


def undelete_user(sandbox: Sandbox, user: Entity) -> Entity:
    """Back, without the rooms."""
    tenant, user_id = sandbox.tenant, user["userId"]
    key = account(tenant, user_id).get("purge")
    if key is not None:
        tenant.cancel(key)
    set_account(tenant, user_id, purge=None)
    user = put_user(tenant, {**user, "isDeleted": False})
    sandbox.signal("user.changed", id=user_id)
    return user


def purge_user(sandbox: Sandbox, user: Entity) -> None:
    """Gone for good; login id and external key are free again."""
    tenant, user_id = sandbox.tenant, user["userId"]
    key = account(tenant, user_id).get("purge")
    if key is not None:
        tenant.cancel(key)
    revoke_all(tenant, user_id=user_id, kinds=("access", "refresh"))
    put_user(tenant, {**user, "isDeleted": True})  # in no unit any more, so that rooms see it leave
    sandbox.signal("user.purged", id=user_id)  # while it is still there: rooms and logs keep the name
    drop(tenant, "users", user_id)
    tenant.delete("accounts", user_id)
    leave_groups(sandbox, user_id)


def leave_groups(sandbox: Sandbox, user_id: str) -> None:
    """Neither member nor administrator of any group from now on."""
    tenant = sandbox.tenant
    known = index(tenant, "groups")
    above = groups_above(tenant, (user_id,))
    for group_id in dict.fromkeys((*known.all("member", user_id), *known.all("administrator", user_id))):
        group = tenant.table("groups")[group_id]
        members = [member for member in group["members"] if member["id"] != user_id]
        masters = [entry for entry in group["administrators"] if entry["userId"] != user_id]
        put(tenant, "groups", group_id, {**group, "members": members, "administrators": masters})
    for group_id in above:
        sandbox.signal("group.changed", id=group_id)


async def _purge(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    user = sandbox.tenant.table("users").get(payload["u"])
    if user is not None and user["isDeleted"]:
        purge_user(sandbox, user)


def logout_later(sandbox: Sandbox, user_id: str, now: datetime) -> None:
    """The member's tokens end within minutes."""
    due = now + timedelta(seconds=sandbox.choices.force_logout_s)
    sandbox.tenant.schedule(due, "directory.logout", {"u": user_id})


async def _logout(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    revoke_all(sandbox.tenant, user_id=payload["u"], kinds=("access", "refresh"))


DUE_HANDLERS: dict[str, DueHandler] = {
    "directory.purge": _purge,
    "directory.logout": _logout,
}
