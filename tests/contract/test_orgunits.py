"""Org units by plain HTTP (part 1 §5)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import Choices, Desk, at_desk, in_unit, part

NEW = {"domainId": DOMAIN, "orgUnitName": "危機管理室", "displayOrder": 1}
WRONG: list[tuple[str, Any]] = [
    ("domainId", None),
    ("domainId", "x"),
    ("orgUnitName", None),
    ("orgUnitName", ""),
    ("orgUnitName", " "),
    ("orgUnitName", "x" * 101),
    ("orgUnitName", "課#1"),
    ("orgUnitName", "課\n"),
    ("orgUnitName", 5),
    ("displayOrder", None),
    ("displayOrder", 0),
    ("displayOrder", "1"),
    ("displayOrder", 1.0),
    ("displayOrder", 1 << 31),
    ("orgUnitExternalKey", "a/b"),
    ("orgUnitExternalKey", "x" * 101),
    ("email", "a"),
    ("email", "Kiki@city-demo"),
    ("email", "x" * 65 + "@city-demo"),
    ("email", "a b@city-demo"),
    ("description", "x" * 161),
    ("visible", "no"),
    ("useMessage", 1),
    ("useNote", True),
    ("useFolder", True),
    ("i18nNames", [{"language": "ja"}]),
    ("aliasEmails", ["a@b.invalid"] * 21),
    ("parentOrgUnitId", 5),
    ("membersAllowedToUseOrgUnitEmailAsSender", [{}]),
]


@paragraph("1 §5")
def test_a_unit_is_made_and_shown() -> None:
    async def test(desk: Desk) -> None:
        top = await desk.unit(orgUnitExternalKey="K1", email="kiki@city-demo", description="室")
        assert (top["displayLevel"], top["parentOrgUnitId"], top["parentExternalKey"]) == (1, None, None)
        assert (top["visible"], top["useMessage"], top["useNote"]) == (True, False, False)
        below = await desk.unit("係", parentOrgUnitId="externalKey:K1")
        assert below["parentOrgUnitId"] == top["orgUnitId"]
        assert (below["displayLevel"], below["parentExternalKey"]) == (2, "K1")
        for reference in (top["orgUnitId"], "externalKey:K1"):
            assert await desk.get(f"/orgunits/{part(reference)}") == top
        assert await desk.pages("/orgunits", "orgUnits", count=1) == [top, below]
        assert desk.audited("admin") == [("create", "危機管理室"), ("create", "係")]

    at_desk(test)


@paragraph("1 §5", "1 §10")
def test_the_order_is_needed_though_the_table_does_not_say_so() -> None:
    """Part 1 §5, §10.10."""

    async def test(desk: Desk) -> None:
        await desk.wrong("POST", "/orgunits", {"domainId": DOMAIN, "orgUnitName": "課"}, "displayOrder")

    at_desk(test)


@paragraph("1 §5")
def test_wrong_properties_are_400_and_named() -> None:
    async def test(desk: Desk) -> None:
        for key, value in WRONG:
            answer = await desk.call("POST", "/orgunits", {**NEW, key: value})
            assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER"), (key, value)
            assert key in answer.json()["description"], (key, value)
        await desk.refused(
            "POST", "/orgunits", {**NEW, "parentOrgUnitId": "externalKey:no"}, 404, "NOT_FOUND", "Org unit"
        )
        await desk.refused("POST", "/orgunits", {**NEW, "domainId": 7}, 403, "ACCESS_DENIED")
        for count in ("0", "101"):
            await desk.wrong("GET", f"/orgunits?count={count}", None, "count")
        assert (await desk.get("/orgunits"))["orgUnits"] == []

    at_desk(test)


@paragraph("1 §5", "1 §2.2", "1 §2.4")
def test_keys_and_addresses_are_nobody_elses() -> None:
    """Part 1 §2.2, §2.4."""

    async def test(desk: Desk) -> None:
        await desk.unit(orgUnitExternalKey="K1", email="kiki@city-demo")
        other = await desk.unit(orgUnitExternalKey="K2")  # equal names are no clash
        path = f"/orgunits/{other['orgUnitId']}"
        await desk.refused("POST", "/orgunits", {**NEW, "orgUnitExternalKey": "K1"}, 409, "CONFLICT")
        await desk.refused("PATCH", path, {"orgUnitExternalKey": "K1"}, 409, "CONFLICT")
        await desk.wrong("PATCH", path, {"email": "kiki@city-demo"}, "email")
        await desk.wrong("PATCH", path, {"email": "s00001@city-demo"}, "email")
        await desk.done("PATCH", path, {"orgUnitExternalKey": "K3", "email": "bosai@city-demo"})
        await desk.refused("GET", "/orgunits/externalKey%3AK2", None, 404, "NOT_FOUND")
        keys = [{"id": "externalKey:K1", "externalKey": "K3"}]
        await desk.refused("POST", "/orgunits/external-keys", {"orgUnits": keys}, 409, "CONFLICT")
        keys.append({"id": other["orgUnitId"], "externalKey": "K1"})
        await desk.done("POST", "/orgunits/external-keys", {"orgUnits": keys}, 204)
        listed = (await desk.get("/orgunits/external-keys"))["orgUnits"]
        assert [entry["externalKey"] for entry in listed] == ["K3", "K1"]

    at_desk(test, people=1)


@paragraph("1 §5")
def test_put_needs_an_address_and_wipes_patch_does_neither() -> None:
    """Part 1 §2.1, §5: email is required when updating; order and place change by move only."""

    async def test(desk: Desk) -> None:
        top = await desk.unit("局", orgUnitExternalKey="T")
        unit = await desk.unit(
            orgUnitExternalKey="K1",
            description="室",
            parentOrgUnitId=top["orgUnitId"],
            useMessage=True,
            useNote=True,
        )
        path = f"/orgunits/{unit['orgUnitId']}"
        patched = await desk.done(
            "PATCH", path, {"orgUnitName": "防災局", "displayOrder": 9, "parentOrgUnitId": None}
        )
        assert patched == {**unit, "orgUnitName": "防災局"}
        whole = {"domainId": DOMAIN, "orgUnitName": "防災局"}
        await desk.wrong("PUT", path, whole, "email")
        put = await desk.done("PUT", path, {**whole, "email": "bosai@city-demo"})
        assert (put["orgUnitExternalKey"], put["description"], put["useMessage"], put["useNote"]) == (
            None,
            None,
            False,
            False,
        )
        assert (put["parentOrgUnitId"], put["displayOrder"]) == (top["orgUnitId"], 1)
        await desk.wrong("PATCH", path, {"orgUnitName": None}, "orgUnitName")

    at_desk(test)


@paragraph("1 §5")
def test_below_a_private_unit_all_is_private() -> None:
    async def test(desk: Desk) -> None:
        top = await desk.unit("局")
        below = await desk.unit("室", parentOrgUnitId=top["orgUnitId"])
        leaf = await desk.unit("係", parentOrgUnitId=below["orgUnitId"])
        await desk.done("PATCH", f"/orgunits/{top['orgUnitId']}", {"visible": False})
        for unit in (below, leaf):
            assert (await desk.get(f"/orgunits/{unit['orgUnitId']}"))["visible"] is False
        new = {**NEW, "parentOrgUnitId": leaf["orgUnitId"]}
        await desk.wrong("POST", "/orgunits", {**new, "visible": True}, "visible")
        assert (await desk.done("POST", "/orgunits", new, 201))["visible"] is False
        other = await desk.unit("別")
        under = await desk.unit("下", parentOrgUnitId=other["orgUnitId"])
        down = {"displayOrder": 1, "parentOrgUnitId": top["orgUnitId"]}
        assert (await desk.done("POST", f"/orgunits/{other['orgUnitId']}/move", down))["visible"] is False
        assert (await desk.get(f"/orgunits/{under['orgUnitId']}"))["visible"] is False

    at_desk(test)


@paragraph("1 §5")
def test_units_move_but_not_below_themselves_nor_too_deep() -> None:
    """Part 1 §5: depth 15."""

    async def test(desk: Desk) -> None:
        chain = [await desk.unit("層0")]
        for level in range(1, 15):
            chain.append(await desk.unit(f"層{level}", parentOrgUnitId=chain[-1]["orgUnitId"]))
        assert chain[-1]["displayLevel"] == 15
        ids = [unit["orgUnitId"] for unit in chain]
        await desk.wrong("POST", "/orgunits", {**NEW, "parentOrgUnitId": ids[14]}, "15")
        for parent in (ids[3], ids[9]):
            await desk.wrong(
                "POST", f"/orgunits/{ids[3]}/move", {"displayOrder": 1, "parentOrgUnitId": parent}
            )
        await desk.wrong("POST", f"/orgunits/{ids[3]}/move", {"parentOrgUnitId": None}, "displayOrder")
        moved = await desk.done(
            "POST", f"/orgunits/{ids[3]}/move", {"displayOrder": 4, "parentOrgUnitId": None}
        )
        assert (moved["displayLevel"], moved["displayOrder"], moved["parentOrgUnitId"]) == (1, 4, None)
        assert (await desk.get(f"/orgunits/{ids[14]}"))["displayLevel"] == 12
        other = await desk.unit("別")
        deep = {"displayOrder": 1, "parentOrgUnitId": other["orgUnitId"]}
        await desk.done("POST", f"/orgunits/{ids[3]}/move", deep)
        stay = await desk.done("POST", f"/orgunits/{ids[3]}/move", {"displayOrder": 2})
        assert stay["parentOrgUnitId"] == other["orgUnitId"]
        await desk.wrong(
            "POST", f"/orgunits/{other['orgUnitId']}/move", {"displayOrder": 1, "parentOrgUnitId": ids[14]}
        )
        await desk.done(
            "POST", f"/orgunits/{other['orgUnitId']}/move", {"displayOrder": 1, "parentOrgUnitId": ids[1]}
        )
        again = {"displayOrder": 1, "parentOrgUnitId": ids[2]}
        await desk.wrong("POST", f"/orgunits/{ids[0]}/move", again)
        assert (await desk.get(f"/orgunits/{ids[14]}"))["displayLevel"] == 15

    at_desk(test)


@paragraph("1 §5")
def test_a_small_circle_and_a_tall_tree_are_refused_for_what_they_are() -> None:
    """Part 1 §5: the whole tree below a unit counts for the depth."""

    async def test(desk: Desk) -> None:
        top = await desk.unit("上")
        below = await desk.unit("下", parentOrgUnitId=top["orgUnitId"])
        leaf = await desk.unit("末", parentOrgUnitId=below["orgUnitId"])
        circle = {"displayOrder": 1, "parentOrgUnitId": leaf["orgUnitId"]}
        await desk.wrong("POST", f"/orgunits/{top['orgUnitId']}/move", circle, "below it")
        other = await desk.unit("別")
        deep = {"displayOrder": 1, "parentOrgUnitId": other["orgUnitId"]}
        await desk.wrong("POST", f"/orgunits/{top['orgUnitId']}/move", deep, "3 levels")
        await desk.done("POST", f"/orgunits/{below['orgUnitId']}/move", deep)

    at_desk(test, choices=Choices(orgunit_depth=3, people_answer=False))


@paragraph("1 §5")
def test_a_unit_with_members_or_units_below_stays() -> None:
    """Part 1 §5: admin guide; the status is a choice."""

    async def test(desk: Desk) -> None:
        top = await desk.unit("局", orgUnitExternalKey="T")
        unit = await desk.unit("室", orgUnitExternalKey="K", parentOrgUnitId=top["orgUnitId"])
        group = await desk.group(members=[{"id": "externalKey:K", "type": "ORGUNIT"}])
        await desk.done("PATCH", f"/users/{uid(1)}", {"organizations": in_unit("externalKey:K")})
        await desk.wrong("DELETE", f"/orgunits/{top['orgUnitId']}", None, "below")
        await desk.wrong("DELETE", f"/orgunits/{unit['orgUnitId']}", None, "members")
        await desk.done("DELETE", f"/users/{uid(1)}", None, 204)
        await desk.done("DELETE", "/orgunits/externalKey%3AK", None, 204)
        await desk.refused("DELETE", "/orgunits/externalKey%3AK", None, 404, "NOT_FOUND")
        assert (await desk.get(f"/groups/{group['groupId']}"))["members"] == []
        back = await desk.done("POST", f"/users/{uid(1)}/undelete")
        assert back["organizations"][0]["orgUnits"] == []
        again = await desk.unit("室", orgUnitExternalKey="K")
        assert again["orgUnitId"] != unit["orgUnitId"]

    at_desk(test, people=1)


@paragraph("1 §5")
def test_members_of_a_unit() -> None:
    async def test(desk: Desk) -> None:
        unit, other = (
            await desk.unit("室", orgUnitExternalKey="K"),
            await desk.unit("課", orgUnitExternalKey="L"),
        )
        for number in range(1, 6):
            companies = in_unit("externalKey:K", "externalKey:L", visible=False, useTeamFeature=number > 2)
            await desk.done("PATCH", f"/users/{uid(number)}", {"organizations": companies})
        members = await desk.pages(f"/orgunits/{unit['orgUnitId']}/members", "members", count=2)
        assert [member["userId"] for member in members] == [uid(number) for number in range(1, 6)]
        assert members[0] == {
            "userId": uid(1),
            "userExternalKey": "S00001",
            "isManager": False,
            "visible": False,
            "useTeamFeature": False,
        }
        await desk.done("DELETE", f"/users/{uid(2)}", None, 204)
        await desk.done("PATCH", f"/users/{uid(3)}", {"organizations": in_unit("externalKey:L")})
        members = (await desk.get("/orgunits/externalKey%3AK/members"))["members"]
        assert [member["userId"] for member in members] == [uid(1), uid(4), uid(5)]
        assert len((await desk.get(f"/orgunits/{other['orgUnitId']}/members"))["members"]) == 4

    at_desk(test, people=5)


@paragraph("1 §5", "1 §2.5")
@pytest.mark.parametrize(
    ("method", "below", "body", "status"),
    [
        ("PUT", "", {"domainId": DOMAIN, "orgUnitName": "課", "email": "ka@city-demo"}, 200),
        ("PATCH", "", {"description": "x"}, 200),
        ("POST", "/move", {"displayOrder": 2}, 200),
        ("DELETE", "", None, 204),
    ],
)
def test_writes_come_one_a_second(method: str, below: str, body: Any, status: int) -> None:
    """[D]: single thread, one call a second, per domain; every kind of write after every other."""

    async def test(desk: Desk) -> None:
        call, one = desk.bench.api, f"/orgunits/externalKey%3AK{below}"
        assert (await call("POST", "/orgunits", {**NEW, "orgUnitExternalKey": "K"})).status_code == 201
        for _ in range(3):
            answer = await call(method, one, body)
            assert (answer.status_code, answer.json()["code"]) == (429, "TOO_MANY_REQUESTS")
            assert answer.headers["RateLimit-Reset"] == "1"
        assert (await call("GET", "/orgunits")).status_code == 200  # reading is free
        await desk.clock.sleep(1.0)
        assert (await call(method, one, body)).status_code == status
        assert (await call("POST", "/orgunits", NEW)).status_code == 429
        await desk.clock.sleep(1.0)
        answers = await asyncio.gather(*(call("POST", "/orgunits", NEW) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [201, 429, 429, 429]

    at_desk(test)


@paragraph("1 §5")
def test_the_most_units() -> None:
    async def test(desk: Desk) -> None:
        await desk.unit()
        await desk.wrong("POST", "/orgunits", NEW, "at most 1")

    at_desk(test, choices=Choices(max_orgunits=1, people_answer=False))


TAKEN: list[tuple[str, Any]] = [
    ("orgUnitName", "x" * 100),
    ("orgUnitName", "課 !@&()-_+[]{},./ 1"),
    ("orgUnitExternalKey", "x" * 100),
    ("orgUnitExternalKey", "K-1_&=あ"),
    ("email", "ab"),
    ("email", "a.b_c-d!e#@city-demo"),
    ("email", "x" * 64 + "@city-demo"),
    ("description", "x" * 160),
    ("displayOrder", (1 << 31) - 1),
    ("aliasEmails", [f"a{number}@city-demo" for number in range(20)]),
    ("i18nNames", [{"language": "en_US", "name": "Crisis management"}]),
    ("canReceiveExternalMail", True),
    ("useServiceNotification", True),
    ("membersAllowedToUseOrgUnitEmailAsRecipient", [{"userId": uid(0)}]),
    ("membersAllowedToUseOrgUnitEmailAsSender", [{"userId": uid(0)}]),
]


@paragraph("1 §5")
def test_properties_at_their_limits_are_taken_and_shown() -> None:
    async def test(desk: Desk) -> None:
        for key, value in TAKEN:
            made = await desk.done("POST", "/orgunits", {**NEW, key: value}, 201)
            assert (await desk.get(f"/orgunits/{made['orgUnitId']}"))[key] == value
            await desk.done("DELETE", f"/orgunits/{made['orgUnitId']}", None, 204)
        for sign in "%\\#/?":
            await desk.wrong("POST", "/orgunits", {**NEW, "orgUnitExternalKey": f"K{sign}"})
        for local in ("a", "x" * 65, "a+b", "A1"):
            await desk.wrong("POST", "/orgunits", {**NEW, "email": f"{local}@city-demo"}, "email")
        features = dict.fromkeys(("useMessage", "useNote", "useCalendar", "useTask", "useFolder"), True)
        made = await desk.done("POST", "/orgunits", {**NEW, **features}, 201)
        assert {key: made[key] for key in features} == features

    at_desk(test)


@paragraph("1 §5", "1 §2.1")
def test_two_readings_of_the_page_are_choices() -> None:
    """Whether a PATCH needs the address as well, and whether two units below one parent share a name."""

    async def test(desk: Desk) -> None:
        unit = await desk.unit("課", orgUnitExternalKey="K")
        path = f"/orgunits/{unit['orgUnitId']}"
        await desk.wrong("PATCH", path, {"description": "x"}, "email")
        await desk.done("PATCH", path, {"description": "x", "email": "ka@city-demo"})
        await desk.refused("POST", "/orgunits", {**NEW, "orgUnitName": "課"}, 409, "CONFLICT", "orgUnitName")
        below = await desk.unit("課", parentOrgUnitId="externalKey:K")
        up = {"displayOrder": 1, "parentOrgUnitId": None}
        await desk.refused("POST", f"/orgunits/{below['orgUnitId']}/move", up, 409, "CONFLICT", "orgUnitName")

    choices = Choices(patch_orgunit_needs_email=True, orgunit_same_names=False, people_answer=False)
    at_desk(test, choices=choices)


@paragraph("1 §5", "1 §2.5")
def test_each_domain_of_a_tenant_has_its_own_second() -> None:
    async def test(desk: Desk) -> None:
        call, other = desk.bench.api, {**NEW, "domainId": DOMAIN + 1}
        desk.tenant.set("domains", [DOMAIN, DOMAIN + 1])
        answers = [await call("POST", "/orgunits", body) for body in (NEW, other, NEW, other)]
        assert [answer.status_code for answer in answers] == [201, 201, 429, 429]
        await desk.clock.sleep(1.0)
        for answer, status in ((answers[0], 200), (answers[1], 200), (answers[1], 429)):
            path = f"/orgunits/{answer.json()['orgUnitId']}"
            assert (await call("PATCH", path, {"description": "x"})).status_code == status
        assert (await call("POST", "/orgunits", {**NEW, "domainId": [1]})).status_code == 429
        assert [(await desk.get("/orgunits", domainId=one["domainId"]))["orgUnits"][0]["domainId"]
                for one in (NEW, other)] == [DOMAIN, DOMAIN + 1]  # fmt: skip

    at_desk(test)
