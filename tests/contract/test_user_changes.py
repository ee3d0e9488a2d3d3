"""Members replaced, patched, moved; their units, keys, addresses, photo (part 1 §4.3, §4.7, §4.8)."""

from __future__ import annotations

from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import Desk, at_desk, in_unit, new_member

# -- replace, patch, move (§2.1, §4.7) --------------------------------------------------------------


@paragraph("1 §2.1", "1 §4.7")
def test_put_wipes_what_is_left_out_and_patch_does_not() -> None:
    async def test(desk: Desk) -> None:
        unit = await desk.unit(orgUnitExternalKey="K1")
        full = {
            "userExternalKey": "S1",
            "employeeNumber": "000001",
            "cellPhone": "090-0000-0000",
            "searchable": False,
            "organizations": in_unit("externalKey:K1"),
        }
        user = await desk.member("taro", **full)
        path = f"/users/{user['userId']}"
        patched = await desk.done("PATCH", path, {"task": "防災"})
        assert patched == {**user, "task": "防災"}
        body = {key: new_member()[key] for key in ("domainId", "email", "userName")}
        wiped = await desk.done("PUT", path, body)
        for key, default in (
            ("userExternalKey", None),
            ("employeeNumber", None),
            ("task", None),
            ("searchable", True),
        ):
            assert wiped[key] == default
        assert wiped["organizations"][0]["orgUnits"] == []
        assert (await desk.get(f"/orgunits/{unit['orgUnitId']}/members"))["members"] == []
        assert wiped["userId"] == user["userId"]
        assert wiped["isPending"] is True
        await desk.refused("GET", "/users/externalKey%3AS1", None, 404, "NOT_FOUND")

    at_desk(test)


@paragraph("1 §4.7")
def test_put_needs_what_create_needs() -> None:
    async def test(desk: Desk) -> None:
        for missing in ("domainId", "email", "userName"):
            body = {key: new_member()[key] for key in ("domainId", "email", "userName") if key != missing}
            await desk.wrong("PUT", f"/users/{uid(1)}", body, missing)

    at_desk(test, people=1)


@paragraph("1 §4.7")
def test_patch_takes_null_as_empty_but_not_where_a_value_is_needed() -> None:
    async def test(desk: Desk) -> None:
        user = await desk.member("taro", userExternalKey="S1", cellPhone="1", nickName="た")
        path = f"/users/{user['userId']}"
        patched = await desk.done("PATCH", path, {"userExternalKey": None, "cellPhone": None, "nickName": ""})
        assert [patched[key] for key in ("userExternalKey", "cellPhone", "nickName")] == [None, None, None]
        await desk.wrong("PATCH", path, {"email": None}, "email")
        await desk.wrong("PATCH", path, {"userName": None}, "userName")
        await desk.wrong("PATCH", path, {"domainId": 2.5}, "domainId")
        assert await desk.get(path) == patched

    at_desk(test)


@paragraph("1 §4.7")
def test_a_refused_change_changes_nothing() -> None:
    async def test(desk: Desk) -> None:
        before = await desk.get(f"/users/{uid(1)}")
        await desk.wrong("PATCH", f"/users/{uid(1)}", {"nickName": "た", "cellPhone": "x"}, "cellPhone")
        assert await desk.get(f"/users/{uid(1)}") == before
        assert desk.audited("admin") == []

    at_desk(test, people=1)


@paragraph("1 §4.7")
def test_a_member_moves_to_another_domain() -> None:
    async def test(desk: Desk) -> None:
        desk.tenant.set("domains", [DOMAIN, DOMAIN + 1])
        group = await desk.group(members=[{"id": uid(1), "type": "USER"}])
        path, there = f"/users/{uid(1)}/move", {"domainId": DOMAIN + 1, "email": "neu@other-demo"}
        await desk.wrong("POST", path, {"domainId": DOMAIN})
        await desk.wrong("POST", f"/users/{uid(0)}/move", there)
        await desk.refused("POST", path, {"domainId": 7}, 403, "ACCESS_DENIED")
        moved = await desk.done("POST", path, there)
        assert (moved["userId"], moved["domainId"]) == (uid(1), DOMAIN + 1)
        assert [user["userId"] for user in (await desk.get("/users"))["users"]] == [uid(0)]
        assert [user["email"] for user in (await desk.get("/users", domainId=DOMAIN + 1))["users"]] == [
            there["email"]
        ]
        assert (await desk.get(f"/groups/{group['groupId']}"))["members"] == []

    at_desk(test, people=1)


# -- organizations (§4.3) ---------------------------------------------------------------------------


@paragraph("1 §4.3")
def test_units_positions_and_levels_are_looked_up() -> None:
    async def test(desk: Desk) -> None:
        for feature in ("levels", "positions", "user_types"):
            desk.tenant.set(f"enabled:{feature}:{DOMAIN}", True)
        unit = await desk.unit("危機管理室", orgUnitExternalKey="K1")
        place = {"domainId": DOMAIN, "displayOrder": 1}
        await desk.done(
            "POST", "/directory/positions", {**place, "positionName": "課長", "positionExternalKey": "P"}, 201
        )
        level = {**place, "levelName": "7級", "executive": True, "levelExternalKey": "L"}
        await desk.done("POST", "/directory/levels", level, 201)
        kind = {**place, "userTypeName": "常勤", "userTypeCode": "full"}
        kind_id = (await desk.done("POST", "/directory/user-types", kind, 201))["userTypeId"]
        companies = in_unit("externalKey:K1", positionId="externalKey:P", isManager=True)
        companies[0]["levelId"] = "externalKey:L"
        user = await desk.member("taro", organizations=companies, userTypeId=kind_id)
        company = user["organizations"][0]
        shown = company["orgUnits"][0]
        assert (shown["orgUnitId"], shown["orgUnitName"]) == (unit["orgUnitId"], "危機管理室")
        assert (shown["positionName"], shown["isManager"], shown["useTeamFeature"]) == ("課長", True, True)
        assert (company["levelName"], company["executive"], company["primary"]) == ("7級", True, True)
        assert user["employmentTypeName"] == user["userTypeName"] == "常勤"
        await desk.done("PATCH", "/orgunits/externalKey%3AK1", {"orgUnitName": "防災局"})
        again = await desk.get("/users/taro%40city-demo")
        assert again["organizations"][0]["orgUnits"][0]["orgUnitName"] == "防災局"

    at_desk(test)


@paragraph("1 §4.3")
def test_wrong_organizations() -> None:
    async def test(desk: Desk) -> None:
        for key in ("A", "B"):
            await desk.unit(f"課{key}", orgUnitExternalKey=key)
        a, b = "externalKey:A", "externalKey:B"
        both = in_unit(a, b)
        both[0]["orgUnits"][1]["primary"] = True
        await desk.wrong("POST", "/users", new_member(organizations=both), "primary")
        await desk.wrong("POST", "/users", new_member(organizations=in_unit(a, a)), "twice")
        await desk.wrong("POST", "/users", new_member(organizations=in_unit(a, positionId="x")), "positionId")
        await desk.refused(
            "POST", "/users", new_member(organizations=in_unit("externalKey:C")), 404, "NOT_FOUND", "Org unit"
        )
        foreign = [{**in_unit(a)[0], "domainId": 7}]
        await desk.refused("POST", "/users", new_member(organizations=foreign), 403, "ACCESS_DENIED")
        assert len((await desk.get("/users"))["users"]) == 1

    at_desk(test)


@paragraph("1 §4.3")
def test_one_company_is_the_primary_one_else_the_first() -> None:
    async def test(desk: Desk) -> None:
        desk.tenant.set("domains", [DOMAIN, DOMAIN + 1])
        for given, primary in (((False, True), 1), ((False, False), 0), ((True, True), 0)):
            companies = [
                {"domainId": DOMAIN + at, "primary": flag, "orgUnits": []} for at, flag in enumerate(given)
            ]
            user = await desk.done("PATCH", f"/users/{uid(1)}", {"organizations": companies})
            assert [company["primary"] for company in user["organizations"]] == [primary == 0, primary == 1]

    at_desk(test, people=1)


@paragraph("1 §4.3")
def test_a_new_leader_replaces_the_one_so_far() -> None:
    """IsManager replaces the current leader."""

    async def test(desk: Desk) -> None:
        unit = await desk.unit(orgUnitExternalKey="K")
        for login in ("taro", "jiro"):
            await desk.member(login, organizations=in_unit("externalKey:K", isManager=True))
        members = (await desk.get(f"/orgunits/{unit['orgUnitId']}/members"))["members"]
        assert [member["isManager"] for member in members] == [False, True]
        await desk.done(
            "PATCH", "/users/taro%40city-demo", {"organizations": in_unit("externalKey:K", isManager=True)}
        )
        members = (await desk.get(f"/orgunits/{unit['orgUnitId']}/members"))["members"]
        assert [member["isManager"] for member in members] == [True, False]

    at_desk(test)


# -- keys, aliases, photo (§4.8) --------------------------------------------------------------------


@paragraph("1 §4.8", "1 §2.4")
def test_external_keys_in_bulk() -> None:
    """Added, replaced, removed, all or none; 404, 409."""

    async def test(desk: Desk) -> None:
        path = "/users/external-keys"
        swapped = [{"id": uid(1), "externalKey": "S00002"}, {"id": uid(2), "externalKey": "S00001"}]
        await desk.done("POST", path, {"users": swapped}, 204)
        assert (await desk.get("/users/externalKey%3AS00002"))["userId"] == uid(1)
        await desk.done("POST", path, {"users": [{"id": uid(1), "externalKey": None}]}, 204)
        taken = [{"id": uid(1), "externalKey": "neu"}, {"id": uid(2), "externalKey": "S00003"}]
        await desk.refused("POST", path, {"users": taken}, 409, "CONFLICT")
        same = [{"id": uid(number), "externalKey": "same"} for number in (1, 2)]
        await desk.refused("POST", path, {"users": same}, 409, "CONFLICT")
        unknown = [{"id": uid(1), "externalKey": "x"}, {"id": "nobody", "externalKey": "y"}]
        await desk.refused("POST", path, {"users": unknown}, 404, "NOT_FOUND")
        for rubbish in ([], [{}], [{"id": uid(1), "externalKey": "a/b"}], [{"id": uid(1)}] * 51, None, [5]):
            await desk.wrong("POST", path, {"users": rubbish})
        keyless = await desk.get(path, hasExternalKey="false")
        assert [entry["id"] for entry in keyless["users"]] == [uid(1)]
        listed = await desk.pages(path, "users", hasExternalKey="true", count=2)
        assert [entry["externalKey"] for entry in listed] == ["S00000", "S00001", "S00003"]
        assert set(listed[0]) == {"domainId", "name", "email", "id", "externalKey"}

    at_desk(test, people=3)


@paragraph("1 §4.2", "1 §4.8")
def test_aliases_and_their_place_on_the_advanced_plan() -> None:
    """At most ten, nobody else's."""

    async def test(desk: Desk) -> None:
        path = f"/users/{uid(1)}/alias-emails"
        await desk.done("POST", f"{path}/kacho%40city-demo", None, 204)
        assert (await desk.get(f"/users/{uid(1)}"))["aliasEmails"] == ["kacho@city-demo"]
        await desk.wrong("POST", f"{path}/kacho%40city-demo", None)
        await desk.wrong("POST", "/users", new_member("kacho"), "email")
        await desk.done("DELETE", f"{path}/kacho%40city-demo", None, 204)
        await desk.refused("DELETE", f"{path}/kacho%40city-demo", None, 404, "NOT_FOUND")
        await desk.member("kacho")

    at_desk(test, people=1, plan="advanced")


@paragraph("1 §2.7", "1 §4.8")
def test_a_photo_goes_up_and_comes_down() -> None:
    async def test(desk: Desk) -> None:
        path, data = f"/users/{uid(1)}/photo", b"\xff\xd8\xff\xd9"
        await desk.refused("GET", path, None, 404, "NOT_FOUND")
        await desk.wrong("POST", path, {"fileName": "a.jpg", "fileSize": 10_485_761}, "fileSize")
        url = (await desk.done("POST", path, {"fileName": "a.jpg", "fileSize": len(data)}))["uploadUrl"]
        http, headers = desk.bench.http, desk.bench.headers
        sent = await http.post(url, headers=headers, files={"Filedata": ("a.jpg", data, "image/jpeg")})
        assert sent.status_code == 200
        found = await desk.call("GET", path)
        assert found.status_code == 302
        assert (await http.get(found.headers["Location"], headers=headers)).content == data
        await desk.done("DELETE", path, None, 204)
        await desk.refused("GET", path, None, 404, "NOT_FOUND")

    at_desk(test, people=1)
