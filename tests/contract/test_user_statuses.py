"""What members say about themselves, ``user-profile-statuses`` (part 1 §3; bodies by analogy)."""

from __future__ import annotations

from datetime import timedelta

from bousai_kit.sandbox.tenant import iso
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import Desk, at_desk

PATH = f"/users/{uid(1)}/user-profile-statuses"


@paragraph("1 §3")
def test_a_status_is_made_shown_changed_and_taken_away() -> None:
    async def test(desk: Desk) -> None:
        desk.tenant.set(f"enabled:profile_statuses:{DOMAIN}", True)
        named = {"domainId": DOMAIN, "profileStatusName": "会議中", "displayOrder": 1}
        kind = (await desk.done("POST", "/directory/profile-statuses", named, 201))["profileStatusId"]
        made = await desk.done("POST", PATH, {"profileStatusId": kind, "statusText": "3階"}, 201)
        assert (made["profileStatusName"], made["statusText"], made["isActive"]) == ("会議中", "3階", True)
        one = f"{PATH}/{made['userProfileStatusId']}"
        assert await desk.get(one) == made
        assert (await desk.get(PATH))["userProfileStatuses"] == [made]
        assert await desk.done("PATCH", one, {"statusText": "4階"}) == {**made, "statusText": "4階"}
        put = await desk.done("PUT", one, {"statusText": "外出"})
        assert (put["profileStatusId"], put["statusText"]) == (None, "外出")
        await desk.done("DELETE", one, None, 204)
        await desk.refused("GET", one, None, 404, "NOT_FOUND")
        await desk.refused("DELETE", one, None, 404, "NOT_FOUND")

    at_desk(test, people=1)


@paragraph("1 §3")
def test_a_status_has_its_time_and_its_own_member() -> None:
    async def test(desk: Desk) -> None:
        begin, end = (iso(desk.clock.now() + timedelta(days=days)) for days in (1, 2))
        made = await desk.done("POST", PATH, {"statusText": "出張", "startTime": begin, "endTime": end}, 201)
        one = f"{PATH}/{made['userProfileStatusId']}"
        active = [made["isActive"]]
        for _ in range(2):
            await desk.days(1)
            active.append((await desk.get(one))["isActive"])
        assert active == [False, True, False]
        other = one.replace(uid(1), uid(2))
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            await desk.refused(method, other, {"statusText": "x"}, 404, "NOT_FOUND")
        await desk.refused("POST", PATH.replace(uid(1), "nobody"), {"statusText": "x"}, 404, "NOT_FOUND")
        for body in ({}, {"statusText": ""}, {"statusText": "x" * 101}, {"statusText": 5}):
            await desk.wrong("POST", PATH, body)
        await desk.wrong("POST", PATH, {"statusText": "x", "startTime": end, "endTime": begin}, "endTime")
        await desk.wrong("POST", PATH, {"statusText": "x", "startTime": "soon"}, "startTime")
        await desk.wrong("PATCH", one, {"endTime": begin}, "endTime")
        unknown = {"profileStatusId": "nothing"}
        await desk.refused("POST", PATH, unknown, 404, "NOT_FOUND")

    at_desk(test, people=2)


@paragraph("1 §3")
def test_members_write_their_own_status_and_it_goes_with_them() -> None:
    async def test(desk: Desk) -> None:
        for number, status in ((2, 403), (1, 201), (0, 201)):
            headers = desk.bench.bearer(user_id=uid(number))
            answer = await desk.bench.api("POST", PATH, {"statusText": "在席"}, headers=headers)
            assert answer.status_code == status, number
        assert len((await desk.get(PATH))["userProfileStatuses"]) == 2
        await desk.done("DELETE", f"/users/{uid(1)}/forcedelete", None, 204)
        assert not desk.tenant.table("user_profile_statuses")
        await desk.refused("GET", PATH, None, 404, "NOT_FOUND")

    at_desk(test, people=2)
