"""Members as state: found, made, logging in (part 1 §4.1, §4.4); how they go is in `departures`.

Tables: ``users`` (the user object, without what is looked up when it is shown), ``accounts`` (what no
answer ever holds: how the password came about, its hash, failures, when the invitation left), ``mails``
(invitations that would have left).

Everything that changes a member goes through `put_user`, so that the indexes stay right.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bousai_kit.sandbox.directory_index import find, index, put
from bousai_kit.sandbox.ops import DueHandler
from bousai_kit.sandbox.tenant import Entity, Tenant

if TYPE_CHECKING:
    from bousai_kit.sandbox.core import Sandbox

__all__ = [
    "DUE_HANDLERS",
    "REFUSED",
    "account",
    "begin_use",
    "blank_user",
    "expired",
    "feature_on",
    "find_user",
    "first_login",
    "invite",
    "keep_password",
    "members_of_unit",
    "new_user",
    "note_login",
    "password_hash",
    "put_user",
    "set_account",
    "unit_entry",
    "wait_for_activation",
]

TWICE_S = 45.0  # between the login that changes the password and the next one
USER_ID = "user"
REFUSED = {"expired": "招待期限切れ", "suspended": "一時停止中", "awaiting": "利用開始前"}


# -- finding and making -----------------------------------------------------------------------------


def find_user(tenant: Tenant, key: str) -> Entity | None:
    """A member by ``userId``, login id or ``externalKey:…``; deleted ones are found until they are purged."""
    found = find(tenant, "users", key)
    if found is None and "@" in key:
        user_id = index(tenant, "users").one("login", key)
        found = None if user_id is None else tenant.table("users").get(user_id)
    return found


def members_of_unit(tenant: Tenant, orgunit_id: str) -> list[Entity]:
    """Members of an org unit (not of those below it), deleted ones left out."""
    users = tenant.table("users")
    return [users[key] for key in index(tenant, "users").all("unit", orgunit_id)]


def unit_entry(user: Entity, orgunit_id: str) -> dict[str, Any]:
    """What a member's ``organizations`` say about one unit."""
    for company in user.get("organizations") or ():
        for unit in company.get("orgUnits") or ():
            if unit.get("orgUnitId") == orgunit_id:
                return dict(unit)
    return {}


def blank_user(domain_id: int) -> Entity:
    """Every writable property at its default, flags of a member in use."""
    return {
        "domainId": domain_id,
        "userExternalKey": None,
        "isAdministrator": False,
        "isPending": False,
        "isSuspended": False,
        "isDeleted": False,
        "isAwaiting": False,
        "suspendedReason": None,
        "userName": {
            "lastName": None,
            "firstName": None,
            "phoneticLastName": None,
            "phoneticFirstName": None,
        },
        "i18nNames": [],
        "nickName": None,
        "privateEmail": None,
        "aliasEmails": [],
        "userTypeId": None,
        "searchable": True,
        "organizations": [
            {"domainId": domain_id, "primary": True, "email": None, "levelId": None, "orgUnits": []}
        ],
        "telephone": None,
        "cellPhone": None,
        "location": None,
        "task": None,
        "messenger": None,
        "birthdayCalendarType": None,
        "birthday": None,
        "locale": None,
        "timeZone": None,
        "hiredDate": None,
        "employeeNumber": None,
        "activationDate": None,
        "customProperties": {},
        "relations": [],
    }


def fresh_user_id(tenant: Tenant, email: str) -> str:
    """An id that no member has or had; the same login id gives the same one on every tenant of this seed."""
    users, former = tenant.table("users"), tenant.table("former")
    salt, attempt = email, 0
    while (user_id := tenant.new_id(USER_ID, salt)) in users or user_id in former:
        attempt += 1
        salt = f"{email}|{attempt}"
    return user_id


def put_user(tenant: Tenant, user: Entity) -> Entity:
    """Keep a new or changed member; hand in a copy, not the stored dict."""
    return put(tenant, "users", user["userId"], user)


def new_user(
    tenant: Tenant,
    *,
    email: str,
    last_name: str,
    first_name: str = "",
    last_kana: str = "",
    first_kana: str = "",
    external_key: str | None = None,
    employee_number: str | None = None,
    units: Sequence[str] = (),
    position_id: str | None = None,
    pending: bool = False,
    administrator: bool = False,
    created: datetime | None = None,
    **more: Any,
) -> Entity:
    """A member put in place without request, check or signal: for tenants that begin with people in them.

    Parameters
    ----------
    units : sequence of str
        Ids of org units; the first is the primary one, in which `position_id` is held.
    pending : bool
        Has an initial password and has not logged in yet; needs `created`.
    more
        Further properties of the user object.
    """
    domain_id = tenant.domain_id
    user = blank_user(domain_id)
    user["userId"] = fresh_user_id(tenant, email)
    user["email"] = email
    user["userName"] = {
        "lastName": last_name,
        "firstName": first_name or None,
        "phoneticLastName": last_kana or None,
        "phoneticFirstName": first_kana or None,
    }
    user["userExternalKey"], user["employeeNumber"] = external_key, employee_number
    user["isPending"], user["isAdministrator"] = pending, administrator
    user["organizations"][0]["orgUnits"] = [
        {
            "orgUnitId": unit,
            "primary": at == 0,
            "positionId": position_id if at == 0 else None,
            "isManager": False,
            "visible": True,
            "useTeamFeature": True,
        }
        for at, unit in enumerate(units)
    ]
    user.update(more)
    if pending and created is not None:
        set_account(tenant, user["userId"], kind="ADMIN", change=True, invited=created.isoformat())
    return put_user(tenant, user)


# -- what no answer holds ---------------------------------------------------------------------------


def account(tenant: Tenant, user_id: str) -> Mapping[str, Any]:
    """``kind`` (``ADMIN``, ``MEMBER``, ``SSO``), ``change``, ``invited``, ``failures``, ``hash``."""
    return tenant.table("accounts").get(user_id, {})


def set_account(tenant: Tenant, user_id: str, **changes: Any) -> None:
    """Note something in a member's account; None takes it out."""
    entry = {**account(tenant, user_id), **changes}
    tenant.put("accounts", user_id, {key: value for key, value in entry.items() if value is not None})


def keep_password(tenant: Tenant, user_id: str, password: str) -> None:
    """Keep a password as a keyed hash."""
    set_account(tenant, user_id, hash=password_hash(user_id, password), failures=0)


def password_hash(user_id: str, password: str) -> str:
    """What is kept of a password."""
    return hmac.new(user_id.encode(), password.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def feature_on(tenant: Tenant, feature: str, domain_id: int) -> bool:
    """Whether ``levels``, ``positions`` or ``user_types`` are switched on for a domain."""
    return bool(tenant.get(f"enabled:{feature}:{domain_id}", False))


def invite(sandbox: Sandbox, user: Entity, address: str, at: datetime) -> None:
    """An invitation leaves; its 30 days begin."""
    tenant = sandbox.tenant
    set_account(tenant, user["userId"], invited=at.isoformat())
    mail = {"user": user["userId"], "to": address, "kind": "invitation", "at": at.isoformat()}
    tenant.put("mails", f"{tenant.next_number('mail'):012d}", mail)


def expired(sandbox: Sandbox, user: Entity, at: datetime) -> bool:
    """登録待ち(期限終了): 30 days since the invitation (part 1 §4.1)."""
    invited = account(sandbox.tenant, user["userId"]).get("invited")
    if invited is None:
        return False
    return at >= datetime.fromisoformat(invited) + timedelta(days=sandbox.choices.pending_expires_days)


# -- logging in -------------------------------------------------------------------------------------


def first_login(sandbox: Sandbox, user_id: str, at: datetime | None = None) -> bool:
    """A pending member does what is needed and is in use from then on (part 1 §4.4).

    With an ``ADMIN`` password that must be changed this is two logins. Who cannot log in yet tries again once
    the first day has come.

    Returns
    -------
    bool
        False: gone, not pending, or not able to log in.
    """
    tenant = sandbox.tenant
    at = at or sandbox.clock.now()
    user = tenant.table("users").get(user_id)
    if user is None or not user["isPending"] or user["isDeleted"]:
        return False
    if user["isAwaiting"]:
        begin = max(at, datetime.fromisoformat(user["activationDate"]))
        if begin.year < 9999:
            tenant.schedule(begin + timedelta(seconds=600), "people.first_login", {"u": user_id})
        return False
    if expired(sandbox, user, at):
        note_login(sandbox, user, at, ok=False, reason=REFUSED["expired"])
        return False
    twice = account(tenant, user_id).get("change", False) and sandbox.choices.password_change_logs_out
    if twice:
        invited = datetime.fromisoformat(account(tenant, user_id).get("invited", at.isoformat()))
        note_login(sandbox, user, max(min(invited, at), at - timedelta(seconds=TWICE_S)))
    note_login(sandbox, user, at)
    begin_use(sandbox, user)
    return True


def begin_use(sandbox: Sandbox, user: Entity) -> None:
    """登録待ち is over."""
    set_account(sandbox.tenant, user["userId"], change=False, failures=0, invited=None)
    put_user(sandbox.tenant, {**user, "isPending": False})
    sandbox.signal("user.logged_in", id=user["userId"])


def note_login(sandbox: Sandbox, user: Entity, at: datetime, *, ok: bool = True, reason: str = "") -> None:
    """A row of the ``auth`` log; `reason` "": a wrong password."""
    fields = {"reason": reason} if reason else {}
    sandbox.tenant.audit("auth", at, user=user["userId"], ok=ok, **fields)


def wait_for_activation(sandbox: Sandbox, user: Entity, now: datetime) -> Entity:
    """`user` with ``isAwaiting`` as its ``activationDate`` says; the end of waiting is put on the list."""
    text = user.get("activationDate")
    begin = datetime.fromisoformat(text) if text else None
    awaiting = begin is not None and begin > now
    if awaiting and begin is not None:
        sandbox.tenant.schedule(begin, "directory.activate", {"u": user["userId"], "d": text})
    return {**user, "isAwaiting": awaiting}


async def _activate(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    user = sandbox.tenant.table("users").get(payload["u"])
    if user is not None and user["isAwaiting"] and user["activationDate"] == payload["d"]:
        put_user(sandbox.tenant, {**user, "isAwaiting": False})


DUE_HANDLERS: dict[str, DueHandler] = {"directory.activate": _activate}
