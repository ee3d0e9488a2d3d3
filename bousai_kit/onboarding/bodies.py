"""What is sent for a person, a unit, a level, a group: the vendor's words made of the kit's. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bousai_kit.onboarding.items import GroupItem, LevelItem, PersonItem, PositionItem, UnitItem
from bousai_kit.onboarding.plan import clean_organizations
from bousai_kit.onboarding.tenant_view import Member
from bousai_kit.onboarding.titles import Kind
from bousai_kit.roster import Person

__all__ = ["build_group", "build_title", "build_unit", "build_update", "build_user"]

_WIRE = {
    "external_key": "userExternalKey",
    "staff_number": "employeeNumber",
    "login_id": "email",
    "phone": "cellPhone",
}
_SOURCE = {"external_key": "staff_number"}
_NAMES = ("last_name", "first_name", "last_kana", "first_kana")


def build_user(
    person: Person,
    *,
    domain_id: int,
    unit_id: str,
    position_id: str | None,
    level_id: str | None,
    password: str | None,
) -> dict[str, Any]:
    """Body of ``POST /users``.

    Parameters
    ----------
    password : str or None
        The initial one (``ADMIN``, no mail goes out); None: the person sets one from the invitation that the
        platform mails at once (``MEMBER``).
    """
    config: dict[str, Any] = {"passwordCreationType": "MEMBER"}
    if password is not None:
        config = {"passwordCreationType": "ADMIN", "password": password, "changePasswordAtNextLogin": True}
    unit = {"orgUnitId": unit_id, "primary": True, "positionId": position_id}
    own = {"domainId": domain_id, "primary": True, **({"levelId": level_id} if level_id else {})}
    return {
        "domainId": domain_id,
        "email": person.login_id,
        "userExternalKey": person.staff_number,
        "employeeNumber": person.staff_number,
        "userName": _user_name(person.last_name, person.first_name, person.last_kana, person.first_kana),
        "passwordConfig": config,
        **({"privateEmail": person.private_email} if password is None else {}),
        "locale": "ja_JP",
        "timeZone": "Asia/Tokyo",
        "organizations": [{**own, "orgUnits": [unit]}],
        **({"cellPhone": person.phone} if person.phone else {}),
    }


def _user_name(last: str, first: str, last_kana: str, first_kana: str) -> dict[str, str | None]:
    return {
        "lastName": last or None,
        "firstName": first or None,
        "phoneticLastName": last_kana or None,
        "phoneticFirstName": first_kana or None,
    }


def build_update(
    item: PersonItem,
    member: Member,
    *,
    domain_id: int,
    unit_id: str,
    position_id: str | None,
    level_id: str | None,
) -> dict[str, Any]:
    """Body of ``PATCH /users/{id}``: what changes, objects and arrays whole.

    Parameters
    ----------
    member : Member
        As it stands now: what the plan does not change is taken from it.
    """
    person, changes = item.person, item.changes
    body: dict[str, Any] = {}
    for name, wire in _WIRE.items():
        if name in changes:
            body[wire] = getattr(person, _SOURCE.get(name, name))
    if set(_NAMES) & set(changes):
        body["userName"] = _user_name(
            *(str(getattr(person if name in changes else member, name)) for name in _NAMES)
        )
    if {"orgunit", "position", "level"} & set(changes):
        body["organizations"] = _organizations(
            member,
            domain_id=domain_id,
            unit_id=unit_id if "orgunit" in changes else None,
            position=(position_id,) if "position" in changes else None,
            level=(level_id,) if "level" in changes else None,
        )
    return body


def _organizations(
    member: Member,
    *,
    domain_id: int,
    unit_id: str | None,
    position: tuple[str | None] | None,
    level: tuple[str | None] | None,
) -> list[dict[str, Any]]:
    """As they are, but for this domain's level, primary unit and the position held there; the rest stays."""
    entries = clean_organizations(member)
    own = next((one for one in entries if one.get("domainId") in (None, domain_id)), None)
    if own is None:
        own = {"domainId": domain_id, "primary": not entries, "orgUnits": []}
        entries.append(own)
    if level is not None:
        own["levelId"] = level[0]
    units: list[dict[str, Any]] = own["orgUnits"]
    primary = next((one for one in units if one.get("primary")), None)
    wanted = unit_id or (primary or {}).get("orgUnitId")
    if wanted is None:
        return entries
    post = next((one for one in units if one.get("orgUnitId") == wanted), None) or {"orgUnitId": wanted}
    held = position[0] if position is not None else (primary or {}).get("positionId")
    rest = [one for one in units if one is not primary and one.get("orgUnitId") != wanted]
    own["orgUnits"] = [
        {**post, "primary": True, "positionId": held},
        *({**one, "primary": False} for one in rest),
    ]
    return entries


def build_title(kind: Kind, one: LevelItem | PositionItem, *, domain_id: int) -> dict[str, Any]:
    """Body of ``POST /directory/levels`` or ``/directory/positions``."""
    body = {"domainId": domain_id, "displayOrder": one.order, f"{kind.field}Name": one.name}
    return body | ({"executive": one.executive} if isinstance(one, LevelItem) else {})


def build_unit(unit: UnitItem, *, domain_id: int, parent_id: str | None) -> dict[str, Any]:
    """Body of ``POST /orgunits``."""
    return {
        "domainId": domain_id,
        "orgUnitExternalKey": unit.code,
        "orgUnitName": unit.name,
        "parentOrgUnitId": parent_id,
        "displayOrder": unit.order,
    }


def build_group(
    group: GroupItem, *, domain_id: int, members: Sequence[str], masters: Sequence[str]
) -> dict[str, Any]:
    """Body of ``POST /groups``: with a room to talk in."""
    return {
        "domainId": domain_id,
        "groupExternalKey": group.key,
        "groupName": group.name,
        "description": "防災キットが名簿から作成",
        "administrators": [{"userId": user_id} for user_id in masters],
        "members": [{"id": user_id, "type": "USER"} for user_id in members],
        "useMessage": True,
    }
