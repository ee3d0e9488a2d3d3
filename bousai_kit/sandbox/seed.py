"""How a tenant begins: administrator, bot, one board, levels and positions enabled; members if wanted.

Members are put in place as if they had been created, and all but a few had logged in, before the
tenant's first moment: no audit rows, no limits, no callbacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bousai_kit.sandbox.core import modules
from bousai_kit.sandbox.directory_state import new_user
from bousai_kit.sandbox.routes_orgunits import blank_orgunit
from bousai_kit.sandbox.tenant import Tenant

__all__ = ["ADMINISTRATOR", "DOMAIN_ID", "MOST_PENDING", "begin_anew", "found_tenant", "pending_rows"]

DOMAIN_ID = 10000001
GROUP = "city-demo"
ADMINISTRATOR = f"kanri@{GROUP}"
MOST_PENDING = 5
MEMBERS_A_PENDING = 40
FEATURES = ("levels", "positions")


def found_tenant(*, seed: int, now: datetime, people: int = 0, domain_id: int = DOMAIN_ID) -> Tenant:
    """A new tenant.

    Parameters
    ----------
    seed : int
        Ids and the chance of the simulated staff are drawn from it.
    now : datetime
        The tenant's first moment (aware).
    people : int
        Members besides the administrator: the first of the sample roster, generated ones beyond.
    """
    tenant = Tenant(seed=seed, domain_id=domain_id)
    tenant.set("people", people)
    new_user(
        tenant,
        email=ADMINISTRATOR,
        last_name="管理",
        first_name="担当",
        administrator=True,
        privateEmail="kanri@example.invalid",
    )
    for feature in FEATURES:
        tenant.set(f"enabled:{feature}:{domain_id}", True)
    for module in modules():
        found = getattr(module, "found", None)
        if found is not None:
            found(tenant, now)
    if people:
        from bousai_kit.roster.sample import sample_people, sample_units

        _settle(tenant, sample_people(people), sample_units(), now)
    return tenant


def begin_anew(tenant: Tenant, now: datetime) -> None:
    """Put a tenant back to how it began; tokens and the bot's secret stay good."""
    people = int(tenant.get("people", 0))
    fresh = found_tenant(seed=tenant.seed, now=now, people=people, domain_id=tenant.domain_id)
    fresh.tables["bot_secrets"][str(fresh.bot_id)] = tenant.table("bot_secrets")[str(tenant.bot_id)]
    fresh.tables["tokens"] = dict(tenant.table("tokens"))
    tenant.become(fresh)


def pending_rows(people: int) -> frozenset[int]:
    """Which of the members (from 0) have not logged in yet: one in forty, at most five, spread evenly."""
    count = min(MOST_PENDING, people // MEMBERS_A_PENDING)
    return frozenset((2 * number + 1) * people // (2 * count) for number in range(count))


# -- members of a roster ----------------------------------------------------------------------------


def _settle(tenant: Tenant, members: Sequence[Any], places: Sequence[Any], now: datetime) -> None:
    """Org units, positions and members as an onboarding of this roster leaves them."""
    from bousai_kit.sandbox import people as staff

    units = _place_units(tenant, places)
    positions: dict[str, str] = {}
    pending = pending_rows(len(members))
    for row, person in enumerate(members):
        unit = units.get(person.orgunit_code)
        new_user(
            tenant,
            email=person.login_id,
            last_name=person.last_name,
            first_name=person.first_name,
            last_kana=person.last_kana,
            first_kana=person.first_kana,
            external_key=person.staff_number,
            employee_number=person.staff_number,
            units=() if unit is None else (unit,),
            position_id=_position(tenant, positions, person.position),
            pending=row in pending,
            created=now,
            cellPhone=person.phone or None,
            privateEmail=person.private_email or None,
        )
    staff.learn(tenant, members)


def _place_units(tenant: Tenant, units: Sequence[Any]) -> dict[str, str]:
    """Ids by code; parents come before their children, an unknown parent counts as none."""
    ids = {unit.code: tenant.new_id("orgunit", unit.code) for unit in units}
    for unit in units:
        whole = {
            **blank_orgunit(tenant.domain_id),
            "orgUnitId": ids[unit.code],
            "orgUnitExternalKey": unit.code,
            "orgUnitName": unit.name or unit.code,
            "parentOrgUnitId": ids.get(unit.parent_code),
            "displayOrder": max(1, int(unit.order or 1)),
        }
        tenant.put("orgunits", ids[unit.code], whole)
        tenant.put("used_ids", ids[unit.code], {})
    return ids


def _position(tenant: Tenant, known: dict[str, str], name: str) -> str | None:
    if not name:
        return None
    if name not in known:
        known[name] = tenant.new_id("position", name)
        position = {
            "domainId": tenant.domain_id,
            "positionId": known[name],
            "displayOrder": len(known),
            "positionName": name,
            "positionExternalKey": None,
            "i18nNames": [],
        }
        tenant.put("positions", known[name], position)
    return known[name]
