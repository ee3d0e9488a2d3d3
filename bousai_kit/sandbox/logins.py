"""Somebody types a login id and a password: no part of the API, the admin host lets tests try hand-outs."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from bousai_kit.sandbox.auth import revoke_all
from bousai_kit.sandbox.content_parts import string
from bousai_kit.sandbox.departures import suspend
from bousai_kit.sandbox.directory_state import (
    REFUSED,
    account,
    begin_use,
    expired,
    find_user,
    keep_password,
    note_login,
    password_hash,
    set_account,
)
from bousai_kit.sandbox.ops import Call, Operation, Reply
from bousai_kit.sandbox.passwords import check_password
from bousai_kit.sandbox.tenant import Entity

if TYPE_CHECKING:
    from bousai_kit.sandbox.core import Sandbox

__all__ = ["OPERATIONS", "attempt_login"]


def attempt_login(sandbox: Sandbox, user: Entity, password: str, new_password: str | None = None) -> str:
    """Somebody types a password (no part of the API; tests of hand-outs do this through the admin host).

    Returns
    -------
    str
        ``in``; ``change``: a new password is needed; ``again``: it was changed, log in once more;
        ``wrong``, ``suspended``, ``expired``, ``awaiting``: refused.
    """
    tenant, at, user_id = sandbox.tenant, sandbox.clock.now(), user["userId"]
    known = account(tenant, user_id)
    refused = ""
    if user["isDeleted"] or not hmac.compare_digest(known.get("hash", ""), password_hash(user_id, password)):
        refused = "wrong"
    elif user["isSuspended"]:
        refused = "suspended"
    elif user["isAwaiting"]:
        refused = "awaiting"
    elif user["isPending"] and expired(sandbox, user, at):
        refused = "expired"
    if refused:
        note_login(sandbox, user, at, ok=False, reason=REFUSED.get(refused, ""))
        if refused == "wrong" and not user["isDeleted"]:
            failures = known.get("failures", 0) + 1
            set_account(tenant, user_id, failures=failures)
            if failures >= sandbox.choices.login_failures and not (user["isSuspended"] or user["isPending"]):
                suspend(sandbox, user, "LOGIN_FAIL")
        return refused
    note_login(sandbox, user, at)
    if known.get("change"):
        if new_password is None:
            return "change"
        keep_password(tenant, user_id, new_password)
        set_account(tenant, user_id, change=False)
        revoke_all(tenant, user_id=user_id, kinds=("access", "refresh"))
        if sandbox.choices.password_change_logs_out:
            return "again"
    if user["isPending"]:
        begin_use(sandbox, user)
    set_account(tenant, user_id, failures=0)
    return "in"


def _login(call: Call) -> Reply:
    """``{"login", "password", "newPassword"?}`` -> ``{"state"}``."""
    fields = call.json()
    login = string(fields, "login", "", 90) or ""
    password = string(fields, "password", "", 200) or ""
    following = string(fields, "newPassword", "", 200, required=False)
    if following is not None:
        check_password(following, "newPassword", call.choices)
    user = find_user(call.tenant, login)
    state = "wrong" if user is None else attempt_login(call.sandbox, user, password, following)
    return Reply(200, {"state": state})


_BODY = {
    "type": "object",
    "required": ["login", "password"],
    "properties": {
        name: {"type": "string", "maxLength": 200} for name in ("login", "password", "newPassword")
    },
}

OPERATIONS: tuple[Operation, ...] = (
    Operation("admin.login", "POST", "/login", (), _login, host="admin", limit="none", body=_BODY),
)
