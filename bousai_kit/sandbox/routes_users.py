"""Members: create, list, get, replace, patch, and their external keys (part 1 §4)."""

from __future__ import annotations

from typing import Any

from bousai_kit.sandbox.bot_state import full_name
from bousai_kit.sandbox.content_parts import obj, string
from bousai_kit.sandbox.custom_values import readable_values
from bousai_kit.sandbox.directory_checks import flag
from bousai_kit.sandbox.directory_index import groups_above, rows_of_domain
from bousai_kit.sandbox.directory_rules import (
    USERS,
    USERS_READ,
    find_or_404,
    key_operations,
    known_domain,
    managed,
    noted,
    same_domain,
)
from bousai_kit.sandbox.directory_state import (
    blank_user,
    find_user,
    fresh_user_id,
    invite,
    keep_password,
    members_of_unit,
    put_user,
    set_account,
    unit_entry,
    wait_for_activation,
)
from bousai_kit.sandbox.ops import ApiFault, Call, Operation, Reply, bad
from bousai_kit.sandbox.passwords import check_password
from bousai_kit.sandbox.tenant import Entity, iso
from bousai_kit.sandbox.user_body import read_user, unique_user
from bousai_kit.sandbox.user_schema import USER_LIST, USER_NEW, USER_PATCH, USER_PUT
from bousai_kit.sandbox.user_view import narrowed, user_view

__all__ = ["OPERATIONS", "last_leader", "lead", "shown", "the_user", "writable_user"]

READ = (*USERS_READ, "user.email.read", "user.profile.read")


def the_user(call: Call) -> Entity:
    """The member of the path; 404 when unknown."""
    return find_or_404(find_user(call.tenant, call.path["userId"]), "User")


def writable_user(call: Call) -> Entity:
    """The member of the path, not deleted."""
    managed(call)
    user = the_user(call)
    if user["isDeleted"]:
        raise ApiFault(*call.choices.change_deleted)
    return user


def shown(call: Call, user: Entity, *, flags: bool = True) -> Entity:
    """The member as answers show one; a narrow scope opens a part (part 1 §1.9)."""
    whole = user_view(call.tenant, user, call.choices, call.now, flags=flags)
    whole[call.choices.custom_properties_name] = readable_values(call, user)
    granted = call.token.scopes if call.token is not None else frozenset()
    if not call.choices.narrow_reads or granted.intersection(USERS_READ):
        return whole
    return narrowed(whole, granted)


# -- create -----------------------------------------------------------------------------------------


def _create(call: Call) -> Reply:
    managed(call)
    tenant, fields = call.tenant, call.json()
    domain_id = known_domain(call, fields)
    blank: Entity = {**blank_user(domain_id), "userId": "", "email": ""}
    user = read_user(call, fields, blank, partial=False)
    unique_user(call, user)
    kind, password, change = _password(call, fields, user)
    user["userId"] = fresh_user_id(tenant, user["email"])
    user["isPending"] = kind != "SSO"
    user = put_user(tenant, wait_for_activation(call.sandbox, user, call.now))
    user_id = user["userId"]
    set_account(
        tenant, user_id, kind=kind, change=change, invited=call.now.isoformat(), created=iso(call.now)
    )
    if password is not None:
        keep_password(tenant, user_id, password)
    if kind == "MEMBER":
        invite(call.sandbox, user, user["privateEmail"], call.now)
    lead(call, user)
    noted(call, "create", user_id)
    call.sandbox.signal("user.created", id=user_id, by_mail=kind == "MEMBER")
    return Reply(201, shown(call, user, flags=call.choices.create_shows_flags))


def _password(call: Call, fields: dict[str, Any], user: Entity) -> tuple[str, str | None, bool]:
    """Kind of password, the one of ``ADMIN``, whether it must be changed (part 1 §4.4)."""
    config = {} if fields.get("passwordConfig") is None else obj(fields["passwordConfig"], "passwordConfig")
    kind = config.get("passwordCreationType", "MEMBER")
    if kind not in ("ADMIN", "MEMBER"):
        raise bad("passwordConfig.passwordCreationType must be ADMIN or MEMBER.")
    change = flag(config, "changePasswordAtNextLogin", "passwordConfig", default=True)
    needed = kind == "ADMIN" and not call.tenant.get("sso", False)
    password = string(config, "password", "passwordConfig", 200, required=needed) or ""
    if call.tenant.get("sso", False):
        return "SSO", None, False
    if kind == "MEMBER":
        if not user["privateEmail"]:
            raise bad("privateEmail is required.")
        return kind, None, False  # set from the invitation: one login is enough
    check_password(password, "passwordConfig.password", call.choices)
    return kind, password, change


def lead(call: Call, user: Entity) -> None:
    """Who leads a unit replaces its leader so far (part 1 §4.3)."""
    for company in user["organizations"]:
        for unit in company["orgUnits"]:
            if not unit["isManager"]:
                continue
            for other in members_of_unit(call.tenant, unit["orgUnitId"]):
                mine = other["userId"] == user["userId"]
                if not mine and unit_entry(other, unit["orgUnitId"]).get("isManager"):
                    put_user(call.tenant, _without_lead(other, unit["orgUnitId"]))
                    call.sandbox.signal("user.changed", id=other["userId"])


def last_leader(call: Call, user: Entity) -> Entity:
    """Who comes back leads no unit that has got another leader in the meantime."""
    for company in user["organizations"]:
        for unit in company["orgUnits"]:
            others = members_of_unit(call.tenant, unit["orgUnitId"]) if unit["isManager"] else ()
            if any(
                other["userId"] != user["userId"] and unit_entry(other, unit["orgUnitId"]).get("isManager")
                for other in others
            ):
                user = put_user(call.tenant, _without_lead(user, unit["orgUnitId"]))
    return user


def _without_lead(user: Entity, orgunit_id: str) -> Entity:
    companies = [
        {
            **company,
            "orgUnits": [
                {**unit, "isManager": False} if unit["orgUnitId"] == orgunit_id else unit
                for unit in company["orgUnits"]
            ],
        }
        for company in user["organizations"]
    ]
    return {**user, "organizations": companies}


# -- read -------------------------------------------------------------------------------------------


def _by_name(user: Entity) -> tuple[str, str]:
    return full_name(user), str(user["userId"])


def _list(call: Call) -> Reply:
    tenant, domain_id = call.tenant, call.domain_id
    order = call.query.get("orderBy") or "CREATED_TIME"
    direction = call.query.get("sortOrder") or "ASCENDING"
    if order not in ("NAME", "CREATED_TIME"):
        raise bad("orderBy must be NAME or CREATED_TIME.")
    if direction not in ("ASCENDING", "DESCENDING"):
        raise bad("sortOrder must be ASCENDING or DESCENDING.")
    chosen = call.query.get("searchFilterType") or ""
    if chosen not in ("", "VIP"):
        raise bad("searchFilterType must be VIP.")
    sort = _by_name if order == "NAME" else None
    rows = rows_of_domain(tenant, "users", domain_id, sort=sort, descending=direction == "DESCENDING")
    page = call.page("users", [] if chosen else rows, view=lambda user: shown(call, user), empty_above=True)
    return Reply(200, page)


def _get(call: Call) -> Reply:
    return Reply(200, shown(call, the_user(call)))


# -- change -----------------------------------------------------------------------------------------


def _update(call: Call) -> Reply:
    partial = call.operation.method == "PATCH"
    before, fields = writable_user(call), call.json()
    same_domain(call, fields, before, "; move the member")
    if fields.get("passwordConfig") is not None and call.choices.password_on_update is not None:
        raise ApiFault(*call.choices.password_on_update)
    user = read_user(call, fields, before, partial=partial)
    unique_user(call, user)
    if user["activationDate"] != before["activationDate"]:
        user = wait_for_activation(call.sandbox, user, call.now)
    if user != before:
        put_user(call.tenant, user)
        lead(call, user)
        call.sandbox.signal("user.changed", id=user["userId"])
        _rooms_follow(call, before, user)
    noted(call, "update", user["userId"])
    return Reply(200, shown(call, user))


def _rooms_follow(call: Call, before: Entity, user: Entity) -> None:
    """Groups that hold a unit follow transfers (part 1 §6)."""
    if before["organizations"] == user["organizations"]:
        return
    companies = (*before["organizations"], *user["organizations"])
    units = {unit["orgUnitId"] for company in companies for unit in company["orgUnits"]}
    for group_id in groups_above(call.tenant, sorted(units)):
        call.sandbox.signal("group.changed", id=group_id)


_ONE = "/users/{userId}"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "users.create", "POST", "/users", USERS, _create, success=201, body=USER_NEW, paragraph="1 §4.5"
    ),
    Operation("users.list", "GET", "/users", READ, _list, query=USER_LIST, paragraph="1 §4.6"),
    Operation("users.get", "GET", _ONE, READ, _get, paragraph="1 §4.6"),
    *(
        Operation(
            f"users.{name}",
            method,
            _ONE,
            USERS,
            _update,
            serial="member:{userId}",
            body=body,
            paragraph="1 §4.7",
        )
        for name, method, body in (("replace", "PUT", USER_PUT), ("patch", "PATCH", USER_PATCH))
    ),
    *key_operations("users"),
)
