"""What a unit means for the people model: wards and roles are read from names of units."""

from __future__ import annotations

from bousai_kit.sandbox.people import profile
from tests.sandbox.botlab import uid
from tests.sandbox.directorylab import STILL, Desk, at_desk, in_unit


def test_simulated_people_know_their_unit_as_it_is_now() -> None:
    """A transfer changes who somebody is for the people model."""

    async def test(desk: Desk) -> None:
        await desk.unit("危機管理室", orgUnitExternalKey="K")
        assert profile(desk.tenant, desk.state(uid(1))).role == "staff"
        await desk.done("PATCH", f"/users/{uid(1)}", {"organizations": in_unit("externalKey:K")})
        assert profile(desk.tenant, desk.state(uid(1))).role == "crisis"
        await desk.done("PATCH", "/orgunits/externalKey%3AK", {"orgUnitName": "北区役所"})
        assert profile(desk.tenant, desk.state(uid(1))).ward == "北区"

    at_desk(test, people=1, choices=STILL)
