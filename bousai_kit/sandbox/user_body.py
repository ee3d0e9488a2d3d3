"""The body of a member as it is created, replaced or patched (part 1 §4.2, §4.3)."""

from __future__ import annotations

from typing import Any

from bousai_kit.sandbox import directory_checks as check
from bousai_kit.sandbox.content_parts import LANGUAGES, array, obj, string
from bousai_kit.sandbox.custom_values import custom_values, mandatory_values
from bousai_kit.sandbox.directory_index import index
from bousai_kit.sandbox.directory_rules import known_domain, resolve
from bousai_kit.sandbox.directory_state import blank_user, feature_on
from bousai_kit.sandbox.ops import ApiFault, Call, bad
from bousai_kit.sandbox.tenant import Entity
from bousai_kit.sandbox.user_schema import PROTOCOLS

__all__ = ["read_user", "unique_user"]

TEXTS = {"nickName": 100, "location": 100, "task": 100}


def unique_user(call: Call, user: Entity) -> None:
    """Login id, aliases and external key are nobody else's; the login id is told first (part 1 §2.4)."""
    known = index(call.tenant, "users")
    status, code = call.choices.member_duplicate
    for text in (user["email"], *user["aliasEmails"]):
        owners = known.all("address", text)
        if owners and owners != [user["userId"]]:
            raise ApiFault(status, code, f"email is duplicated. ({text})")
    if len(set(user["aliasEmails"])) != len(user["aliasEmails"]):
        raise bad("aliasEmails must not have duplicates.")
    key = user["userExternalKey"]
    owner = known.one("key", key) if key else None
    if owner is not None and owner != user["userId"]:
        raise ApiFault(status, code, f"userExternalKey is duplicated. ({key})")


# -- reading ----------------------------------------------------------------------------------------


def read_user(call: Call, fields: dict[str, Any], before: Entity, *, partial: bool) -> Entity:
    """`before` with the properties of a body put in, checked one by one; nothing is stored.

    Parameters
    ----------
    partial : bool
        PATCH: what is not sent stays. Else it falls back to its default (part 1 §2.1).
    """
    user: Entity = {**blank_user(before["domainId"]), **before}
    if not partial:
        user |= _defaults(before)
    if not partial or "email" in fields:
        user["email"] = check.login_id(fields.get("email"), "email", reserved=call.choices.reserved_login_ids)
    if not partial or "userName" in fields:
        user["userName"] = _names(call, fields.get("userName"), before["userName"], partial=partial)
    if "userExternalKey" in fields:
        user["userExternalKey"] = check.external_key(fields, "userExternalKey")
    if call.tenant.get("sso", False) and not user["userExternalKey"]:
        raise bad("userExternalKey is required.")
    if "i18nNames" in fields:
        user["i18nNames"] = check.i18n_names(fields, "i18nNames", ("firstName", "lastName"))
    for key, limit in TEXTS.items():
        if key in fields:
            user[key] = string(fields, key, "", limit, required=False) or None
    _contacts(call, fields, user, partial=partial)
    _dates(fields, user)
    if "searchable" in fields:
        user["searchable"] = check.flag(fields, "searchable", default=True)
    if "employeeNumber" in fields:
        user["employeeNumber"] = string(fields, "employeeNumber", "", 20, required=False) or None
    if "locale" in fields:
        user["locale"] = check.one_of(fields, "locale", LANGUAGES)
    if "timeZone" in fields:
        user["timeZone"] = check.time_zone(fields, "timeZone")
    if "userTypeId" in fields or "employmentTypeId" in fields:
        user["userTypeId"] = _user_type(call, fields, user["domainId"])
    if "organizations" in fields:
        user["organizations"] = _organizations(call, fields["organizations"], user["domainId"])
    for key in ("customProperties", "customAttributes"):
        if fields.get(key) is not None or (key in fields and not partial):
            kept = {} if call.choices.patch_replaces_objects or not partial else before["customProperties"]
            user["customProperties"] = {**kept, **custom_values(call, fields[key], key)}
    if not partial or fields.keys() & {"customProperties", "customAttributes"}:
        mandatory_values(call, user["customProperties"], user["domainId"])
    if "relations" in fields:
        user["relations"] = _relations(call, fields["relations"])
    return user


def _defaults(before: Entity) -> Entity:
    blank = blank_user(before["domainId"])
    flags = ("isAdministrator", "isPending", "isSuspended", "isDeleted", "isAwaiting", "suspendedReason")
    for key in (*flags, "domainId"):
        del blank[key]
    return blank


def _names(call: Call, value: Any, before: Entity, *, partial: bool) -> Entity:
    fields = obj(value, "userName")
    found: Entity = {
        key: check.name(fields, key, "userName", 80) or None
        for key in ("lastName", "firstName")
        if key in fields
    }
    for key in ("phoneticLastName", "phoneticFirstName"):
        if key in fields:
            found[key] = check.kana(fields, key, "userName", halfwidth=call.choices.halfwidth_kana)
    if partial and not call.choices.patch_replaces_objects:
        found = {**before, **found}
    for key in before:
        found.setdefault(key, None)
    whole = (found["lastName"] or "") + (found["firstName"] or "")
    if not whole.strip():
        raise bad("userName.lastName or userName.firstName is required.")
    if len(whole) > 80:
        raise bad("userName.lastName and userName.firstName must be at most 80 characters together.")
    return {key: found[key] for key in before}


def _contacts(call: Call, fields: dict[str, Any], user: Entity, *, partial: bool) -> None:
    if "privateEmail" in fields:
        user["privateEmail"] = check.mail_address(fields, "privateEmail")
    touched = "privateEmail" in fields or not partial
    if user["isAdministrator"] and touched and not user["privateEmail"]:  # part 1 §4.2: for the super admin
        raise bad("privateEmail is required.")
    if fields.get("aliasEmails") is not None:
        aliases = array(fields["aliasEmails"], "aliasEmails", low=0, high=10)
        if aliases and call.sandbox.limits.plan != "advanced":
            raise ApiFault(*call.choices.not_on_this_plan)
        user["aliasEmails"] = [
            check.address(item, f"aliasEmails[{at}]", 90) for at, item in enumerate(aliases)
        ]
    for key in ("telephone", "cellPhone"):
        if key in fields:
            user[key] = check.phone(fields, key)
    if "messenger" in fields:
        user["messenger"] = _messenger(call, fields["messenger"])


def _messenger(call: Call, value: Any) -> Entity | None:
    if value is None:
        return None
    fields = obj(value, "messenger")
    protocol = check.one_of(fields, "protocol", PROTOCOLS, "messenger")
    if protocol is None or (protocol == "TWITTER" and not call.choices.messenger_twitter):
        raise bad("messenger.protocol is invalid.")
    custom = string(fields, "customProtocol", "messenger", 100, required=protocol == "CUSTOM")
    account = string(fields, "messengerId", "messenger", 100)
    return {
        "protocol": "X" if protocol == "TWITTER" else protocol,
        "customProtocol": custom or None,
        "messengerId": account,
    }


def _dates(fields: dict[str, Any], user: Entity) -> None:
    for key in ("birthday", "hiredDate"):
        if key in fields:
            user[key] = check.day(fields, key)
    if "birthdayCalendarType" in fields:
        user["birthdayCalendarType"] = check.one_of(fields, "birthdayCalendarType", ("SOLAR", "LUNAR"))
    if "activationDate" in fields:
        user["activationDate"] = fields["activationDate"] if check.moment(fields, "activationDate") else None


def _user_type(call: Call, fields: dict[str, Any], domain_id: int) -> str | None:
    key = "userTypeId" if "userTypeId" in fields else "employmentTypeId"
    return _entry(call, "user_types", fields.get(key), key, domain_id)


def _entry(call: Call, table: str, value: Any, path: str, domain_id: int) -> str | None:
    """An entry of a catalogue that must be switched on."""
    if value is None or value == "":
        return None
    if not feature_on(call.tenant, table, domain_id):
        status, code, text = call.choices.feature_off_in_member
        raise ApiFault(status, code, f"{path}: {text}")
    return resolve(call, table, value, path)


def _relations(call: Call, value: Any) -> list[Entity]:
    found = []
    for at, entry in enumerate([] if value is None else array(value, "relations", low=0, high=10)):
        path = f"relations[{at}]"
        fields = obj(entry, path)
        user_id = resolve(call, "users", fields.get("relationUserId"), f"{path}.relationUserId")
        found.append({"relationUserId": user_id, "relationName": string(fields, "relationName", path, 50)})
    return found


# -- organizations ----------------------------------------------------------------------------------


def _organizations(call: Call, value: Any, domain_id: int) -> list[Entity]:
    companies = [] if value is None else array(value, "organizations", low=0, high=len(call.tenant.domains))
    found: list[Entity] = []
    for at, entry in enumerate(companies):
        path = f"organizations[{at}]"
        fields = obj(entry, path)
        here = known_domain(call, fields, f"{path}.domainId")
        if any(here == other["domainId"] for other in found):
            raise bad(f"{path}.domainId is there twice.")
        found.append(
            {
                "domainId": here,
                "primary": check.flag(fields, "primary", path),
                "email": _company_email(call, fields, path),
                "levelId": _entry(call, "levels", fields.get("levelId"), f"{path}.levelId", here),
                "orgUnits": _units(call, fields.get("orgUnits"), f"{path}.orgUnits", here),
            }
        )
    if not found:
        return list(blank_user(domain_id)["organizations"])
    if sum(company["primary"] for company in found) != 1:  # part 1 §4.3: then the first one is
        for at, company in enumerate(found):
            company["primary"] = at == 0
    return found


def _company_email(call: Call, fields: dict[str, Any], path: str) -> str | None:
    value = string(fields, "email", path, 90, required=False)
    if not value or call.sandbox.limits.plan != "advanced":
        return None
    return check.login_id(value, f"{path}.email", reserved=())


def _units(call: Call, value: Any, path: str, domain_id: int) -> list[Entity]:
    found: list[Entity] = []
    for at, entry in enumerate([] if value is None else array(value, path, low=0, high=30)):
        here = f"{path}[{at}]"
        fields = obj(entry, here)
        unit_id = resolve(call, "orgunits", fields.get("orgUnitId"), f"{here}.orgUnitId")
        if call.tenant.table("orgunits")[unit_id]["domainId"] != domain_id:
            raise bad(f"{here}.orgUnitId is of another domain.")
        if any(unit_id == other["orgUnitId"] for other in found):
            raise bad(f"{here}.orgUnitId is there twice.")
        found.append(
            {
                "orgUnitId": unit_id,
                "primary": check.flag(fields, "primary", here),
                "positionId": _entry(
                    call, "positions", fields.get("positionId"), f"{here}.positionId", domain_id
                ),
                "isManager": check.flag(fields, "isManager", here, default=False),
                "visible": check.flag(fields, "visible", here, default=True),
                "useTeamFeature": check.flag(fields, "useTeamFeature", here, default=True),
            }
        )
    if found and sum(unit["primary"] for unit in found) != 1:
        if call.choices.orgunit_primary == "refuse":
            raise bad(f"{path} must have exactly one primary.")
        for at, unit in enumerate(found):
            unit["primary"] = at == 0
    return found
