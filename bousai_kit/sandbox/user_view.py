"""A member as the API shows one: what the tenant keeps, and what is looked up (part 1 §4.2, §4.3)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.directory_state import account, feature_on
from bousai_kit.sandbox.tenant import Entity, Tenant

__all__ = ["narrowed", "user_view"]

FLAGS = ("isAdministrator", "isPending", "isSuspended", "isDeleted", "isAwaiting")
IDS = ("domainId", "userId", "userExternalKey")
ADDRESSES = {"email", "privateEmail", "aliasEmails"}
MIDDLE = (
    "email", "userName", "i18nNames", "nickName", "privateEmail", "aliasEmails",
)  # fmt: skip
END = (
    "searchable", "telephone", "cellPhone", "location", "task", "messenger", "birthdayCalendarType",
    "birthday", "hiredDate", "employeeNumber", "activationDate",
)  # fmt: skip


def user_view(tenant: Tenant, user: Entity, choices: Choices, now: datetime, *, flags: bool = True) -> Entity:
    """The user object; empty properties are there as ``null`` or ``[]``."""
    shown: dict[str, Any] = {key: user.get(key) for key in IDS}
    if flags:
        shown |= {key: bool(user.get(key)) for key in FLAGS}
        shown["suspendedReason"] = user.get("suspendedReason")
        shown["leaveOfAbsence"] = _leave(account(tenant, str(user["userId"])).get("leave"), now)
    shown |= {key: user.get(key) for key in MIDDLE}
    shown |= _user_type(tenant, user)
    shown |= {key: user.get(key) for key in END}
    shown["locale"] = user.get("locale") or choices.locale
    shown["timeZone"] = user.get("timeZone") or choices.time_zone
    shown["organizations"] = [
        _company(tenant, user, company, choices) for company in user.get("organizations") or ()
    ]
    shown[choices.custom_properties_name] = user.get("customProperties") or {}
    users = tenant.table("users")
    shown["relations"] = [
        {**relation, "externalKey": users[relation["relationUserId"]].get("userExternalKey")}
        for relation in user.get("relations") or ()
        if relation["relationUserId"] in users
    ]
    shown |= dict.fromkeys(choices.undocumented_user_fields)
    return shown


def narrowed(shown: Entity, scopes: Collection[str]) -> Entity:
    """The part of a shown member that ``user.email.read`` and ``user.profile.read`` open."""
    kept = set(IDS)
    if "user.email.read" in scopes:
        kept |= ADDRESSES
    if "user.profile.read" in scopes:
        kept |= set(shown) - ADDRESSES - set(FLAGS)
    return {key: value for key, value in shown.items() if key in kept}


def _leave(leave: list[str] | None, now: datetime) -> Entity:
    if not leave:
        return {"startTime": None, "endTime": None, "isLeaveOfAbsence": False}
    begin, end = (datetime.fromisoformat(text) if text else None for text in leave)
    away = (begin is None or begin <= now) and (end is None or now < end)
    return {"startTime": leave[0] or None, "endTime": leave[1] or None, "isLeaveOfAbsence": away}


def _user_type(tenant: Tenant, user: Entity) -> Entity:
    on = feature_on(tenant, "user_types", user["domainId"])
    found = tenant.table("user_types").get(user.get("userTypeId") or "") if on else None
    entry: Entity = found or {}
    shown = {
        key: entry.get(key) for key in ("userTypeId", "userTypeExternalKey", "userTypeName", "userTypeCode")
    }
    for key in ("Id", "ExternalKey", "Name"):  # deprecated twins, still returned (part 1 §2.8)
        shown[f"employmentType{key}"] = entry.get(f"userType{key}")
    return shown


def _company(tenant: Tenant, user: Entity, company: Entity, choices: Choices) -> Entity:
    domain = company["domainId"]
    found = (
        tenant.table("levels").get(company.get("levelId") or "")
        if feature_on(tenant, "levels", domain)
        else None
    )
    level: Entity = found or {}
    positions = tenant.table("positions") if feature_on(tenant, "positions", domain) else {}
    units = tenant.table("orgunits")
    return {
        "domainId": domain,
        "primary": company["primary"],
        "userExternalKey": user.get("userExternalKey"),
        "email": company.get("email") or user.get("email"),
        "levelId": level.get("levelId"),
        "levelExternalKey": level.get("levelExternalKey"),
        "levelName": level.get("levelName"),
        "executive": bool(level.get("executive", False)),
        "organizationName": tenant.get(f"company:{domain}") or choices.company,
        "orgUnits": [
            _unit(unit, units[unit["orgUnitId"]], positions.get(unit.get("positionId") or "", {}))
            for unit in company.get("orgUnits") or ()
            if unit["orgUnitId"] in units
        ],
    }


def _unit(entry: Entity, unit: Entity, position: Entity) -> Entity:
    return {
        "orgUnitId": entry["orgUnitId"],
        "orgUnitExternalKey": unit.get("orgUnitExternalKey"),
        "orgUnitEmail": unit.get("email"),
        "orgUnitName": unit.get("orgUnitName"),
        "primary": entry["primary"],
        "positionId": position.get("positionId"),
        "positionExternalKey": position.get("positionExternalKey"),
        "positionName": position.get("positionName"),
        "isManager": entry.get("isManager", False),
        "visible": entry.get("visible", True),
        "useTeamFeature": entry.get("useTeamFeature", True),
    }
