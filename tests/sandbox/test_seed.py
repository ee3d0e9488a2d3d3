"""How tenants begin, and begin anew: members of the sample roster, the admin host's reset and list."""

from __future__ import annotations

from pathlib import Path

import pytest

from bousai_kit.roster import sample_roster
from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.seed import ADMINISTRATOR, found_tenant
from bousai_kit.sandbox.store import Store
from bousai_kit.sandbox.tenant import Tenant
from tests.sandbox.botlab import START, Lab, opened, trial, uid


@pytest.mark.parametrize("people", [0, 1, 39, 200, 450])
def test_the_members_are_the_first_of_the_sample_roster(people: int) -> None:
    roster = sample_roster(max(people, 1))
    tenant = found_tenant(seed=1, now=START, people=people)
    users = list(tenant.table("users").values())
    assert [user["email"] for user in users] == [ADMINISTRATOR, *(p.login_id for p in roster.people[:people])]
    assert sum(user["isPending"] for user in users) == min(5, people // 40)
    assert not any(user["isAdministrator"] for user in users[1:])
    for user, person in zip(users[1:], roster.people, strict=False):
        assert user["userExternalKey"] == user["employeeNumber"] == person.staff_number
        assert user["userName"]["lastName"] == person.last_name
        seat = user["organizations"][0]["orgUnits"]
        assert [entry["primary"] for entry in seat] == [True]
        unit = tenant.table("orgunits")[seat[0]["orgUnitId"]]
        assert unit["orgUnitExternalKey"] == person.orgunit_code
        if person.position:
            assert tenant.table("positions")[seat[0]["positionId"]]["positionName"] == person.position
    for table in ("audit", "talks", "channels", "talk_log", "due", "groups"):
        assert not tenant.table(table), "empty rooms and logs, nothing on its way"


def test_equal_seeds_found_equal_tenants() -> None:
    one, two, other = (found_tenant(seed=seed, now=START, people=30) for seed in (1, 1, 2))
    assert one.table("users") == two.table("users")
    assert one.table("orgunits") == two.table("orgunits")
    assert set(one.table("users")).isdisjoint(other.table("users"))


def test_a_tenant_can_begin_anew(tmp_path: Path) -> None:
    async def test(bench: Lab) -> None:
        before = {
            name: dict(bench.tenant.table(name)) for name in ("users", "orgunits", "positions", "boards")
        }
        member = next(key for key, user in before["users"].items() if not user["isAdministrator"])
        await bench.buttons(f"users/{member}")
        await bench.clock.sleep(3600)
        assert bench.truth()["answers"]
        assert (await bench.api("DELETE", f"/users/{member}")).status_code == 204
        await bench.buttons(f"users/{next(iter(before['users']))}")
        assert (await bench.admin("POST", "/reset")).status_code == 204
        told = (await bench.admin("GET", "/truth")).json()
        assert (told["messages"], told["answers"], told["due"], told["defects"]) == ([], [], 0, [])
        assert told["members"]["active"] == 5
        for name, entities in before.items():
            assert bench.tenant.table(name).keys() == entities.keys()
        shown = await bench.api("GET", f"/users/{member}")
        assert shown.status_code == 200, "the token is still good"
        assert shown.json()["isDeleted"] is False
        bench.sandbox.connect_receiver(bench.receiver)
        count = len(bench.receiver.events)
        assert (await bench.buttons(f"users/{member}")).status_code == 201
        await bench.clock.sleep(86_400)
        assert len(bench.receiver.events) > count
        assert bench.receiver.badly_signed == 0, "the bot's secret is the same"

    async def run() -> dict[str, int]:
        store = Store(tmp_path / "t.db")
        tenant = found_tenant(seed=1, now=START, people=5)
        async with opened(tenant, choices=Choices(), store=store) as bench:
            await test(bench)
        return {name: len(entities) for name, entities in tenant.tables.items() if entities}

    import asyncio

    sizes = asyncio.run(run())
    kept = Tenant()
    store = Store(tmp_path / "t.db")
    store.load(kept)
    store.close()
    assert {name: len(entities) for name, entities in kept.tables.items() if entities} == sizes


def test_the_admin_host_lists_members() -> None:
    async def test(bench: Lab) -> None:
        bench.tenant.table("users")[uid(2)]["isSuspended"] = True
        bench.tenant.table("users")[uid(3)]["isDeleted"] = True
        members = (await bench.admin("GET", "/members")).json()["members"]
        assert [member["state"] for member in members] == ["active", "active", "suspended", "deleted"]
        assert [member["administrator"] for member in members] == [True, False, False, False]
        assert all("試験" not in str(member) for member in members), "no name is needed"
        counts = (await bench.admin("GET", "/truth")).json()["members"]
        assert counts == {"active": 1, "pending": 0, "suspended": 1, "deleted": 1, "awaiting": 0}

    trial(test, people=3)
