"""The directory's list of endpoints (part 1 §3): scopes, plans, external keys, old and rare paths."""

from __future__ import annotations

import pytest

from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import Choices, Desk, at_desk, in_unit, new_group

NEW = {"domainId": DOMAIN, "orgUnitName": "危機管理室", "displayOrder": 1}


@paragraph("1 §3")
def test_access_restrictions_of_user_types() -> None:
    async def test(desk: Desk) -> None:
        await desk.done("POST", "/directory/user-types/enable", None, 204)
        body = {"domainId": DOMAIN, "displayOrder": 1, "userTypeName": "臨時"}
        kind = (await desk.done("POST", "/directory/user-types", body, 201))["userTypeId"]
        path = f"/directory/user-types/{kind}/orgunit-access-restrict"
        assert await desk.done("POST", path, {"a": 1}, 201) == {"a": 1, "userTypeId": kind}
        await desk.done("DELETE", path, None, 204)

    at_desk(test)


@paragraph("1 §3")
def test_access_restrictions_are_kept_as_they_are_sent() -> None:
    """[C]: known from a public client; what a body holds is not known."""

    async def test(desk: Desk) -> None:
        unit = await desk.unit(orgUnitExternalKey="K")
        path = "/orgunits/externalKey%3AK/orgunit-access-restrict"
        for method, body in (("GET", None), ("PUT", {}), ("DELETE", None)):
            await desk.refused(method, path, body, 404, "NOT_FOUND")
        shown = {"orgUnits": [{"orgUnitId": "x"}], "orgUnitId": unit["orgUnitId"]}
        assert await desk.done("POST", path, {"orgUnits": [{"orgUnitId": "x"}]}, 201) == shown
        await desk.refused("POST", path, {}, 409, "CONFLICT")
        await desk.wrong("PUT", path, [])
        assert await desk.get(path) == shown
        assert await desk.done("PUT", path, {"a": 1}) == {"a": 1, "orgUnitId": unit["orgUnitId"]}
        await desk.done("DELETE", path, None, 204)
        await desk.refused("GET", path, None, 404, "NOT_FOUND")
        await desk.refused("GET", "/orgunits/x/orgunit-access-restrict", None, 404, "NOT_FOUND", "Org unit")

    at_desk(test)


@paragraph("1 §3")
@pytest.mark.parametrize("plan", ["standard", "free"])
def test_scopes(plan: str) -> None:
    """Any one of the listed ones; the Free plan reads only, and knows no directory scopes."""

    async def test(desk: Desk) -> None:
        bench, free = desk.bench, plan == "free"
        if not free:
            await desk.unit(orgUnitExternalKey="K")
        for scope, read, write, keys in (
            ("orgunit", 200, 201, 403),
            ("orgunit.read", 200, 403, 403),
            ("directory", 200, 201, 200),
            ("directory.read", 200, 403, 200),
            ("group", 403, 403, 403),
        ):
            refused = free and scope.startswith("directory")
            headers = bench.bearer(scope)
            await desk.clock.sleep(1.0)
            answers = [
                await bench.api("GET", "/orgunits", headers=headers),
                await bench.api("POST", "/orgunits", NEW, headers=headers),
                await bench.api("GET", "/orgunits/external-keys", headers=headers),
            ]
            wanted = [403 if refused else read, 403 if free else write, 403 if free else keys]
            assert [answer.status_code for answer in answers] == wanted, scope
            if not free:
                members = await bench.api("GET", "/orgunits/externalKey%3AK/members", headers=headers)
                assert members.status_code == read

    at_desk(test, plan=plan)


@paragraph("1 §3", "1 §2.3")
def test_external_keys_are_listed_and_set_in_one_call() -> None:
    """Missing: added; there: replaced; null: removed; all of them or none."""

    async def test(desk: Desk) -> None:
        units = [await desk.unit(f"課{number}") for number in range(3)]
        path, ids = "/orgunits/external-keys", [unit["orgUnitId"] for unit in units]
        wanted = [{"id": one, "externalKey": f"K{at}"} for at, one in enumerate(ids[:2])]
        await desk.done("POST", path, {"orgUnits": wanted}, 204)
        assert [entry["id"] for entry in await desk.pages(path, "orgUnits", count=1)] == ids
        with_key = (await desk.get(path, hasExternalKey="true"))["orgUnits"]
        assert [(entry["name"], entry["externalKey"]) for entry in with_key] == [("課0", "K0"), ("課1", "K1")]
        assert [entry["id"] for entry in (await desk.get(path, hasExternalKey="false"))["orgUnits"]] == ids[
            2:
        ]
        spoilt = [{"id": ids[0], "externalKey": None}, {"id": "nobody", "externalKey": "K9"}]
        await desk.refused("POST", path, {"orgUnits": spoilt}, 404, "NOT_FOUND")
        await desk.wrong("POST", path, {"orgUnits": []})
        await desk.wrong("POST", path, {"orgUnits": [{"id": ids[0], "externalKey": "x"}] * 51})
        await desk.done("POST", path, {"orgUnits": spoilt[:1]}, 204)
        assert (await desk.get(f"/orgunits/{ids[0]}"))["orgUnitExternalKey"] is None

    at_desk(test)


@paragraph("1 §3")
@pytest.mark.parametrize("plan", ["standard", "free"])
def test_scopes_of_groups(plan: str) -> None:
    async def test(desk: Desk) -> None:
        bench, free = desk.bench, plan == "free"
        for scope, read, write in (
            ("group", 200, 201),
            ("group.read", 200, 403),
            ("directory", 200, 201),
            ("directory.read", 200, 403),
            ("user", 403, 403),
        ):
            headers = bench.bearer(scope)
            refused = free and scope.startswith("directory")
            answer = await bench.api("POST", "/groups", new_group(scope), headers=headers)
            assert answer.status_code == (403 if free else write), scope
            assert (await bench.api("GET", "/groups", headers=headers)).status_code == (
                403 if refused else read
            )
            if not free:
                one = f"/groups/{desk.tenant.table('groups').copy().popitem()[0]}"
                for below in ("", "/members", "/administrators"):
                    assert (await bench.api("GET", one + below, headers=headers)).status_code == read
                body = {"id": uid(1), "type": "USER"}
                answer = await bench.api("POST", f"{one}/members", body, headers=headers)
                assert answer.status_code == (201 if write == 201 else 403)

    at_desk(test, people=1, plan=plan)


@paragraph("1 §3")
def test_an_ordinary_member_changes_nothing() -> None:
    """[D]: with user-account tokens all but the super admin are ordinary users."""

    async def test(desk: Desk) -> None:
        bench = desk.bench
        unit = await desk.unit()
        await desk.done("POST", "/directory/positions/enable", None, 204)
        position = {"domainId": DOMAIN, "displayOrder": 1, "positionName": "課長"}
        for number, status in ((1, 403), (0, 201)):
            headers = bench.bearer("orgunit", "group", "directory", user_id=uid(number))
            await desk.clock.sleep(1.0)
            for path, body in (
                ("/orgunits", NEW),
                ("/groups", new_group()),
                ("/directory/positions", position),
                (f"/orgunits/{unit['orgUnitId']}/orgunit-access-restrict", {}),
            ):
                answer = await bench.api("POST", path, body, headers=headers)
                assert answer.status_code == status, (number, path)

    at_desk(test, people=1)


@paragraph("1 §3")
def test_user_types_under_their_old_names() -> None:
    """[D]: ``employmentType*`` became ``userType*``; the old paths are the same thing."""

    async def test(desk: Desk) -> None:
        old, new = "/directory/employment-types", "/directory/user-types"
        await desk.refused("GET", old, None, 403, "ACCESS_DENIED")
        await desk.done("POST", f"{old}/enable", {"domainId": DOMAIN}, 204)
        body = {"domainId": DOMAIN, "displayOrder": 1, "employmentTypeName": "正職員"}
        await desk.wrong("POST", old, {**body, "employmentTypeName": None}, "employmentTypeName")
        made = await desk.done("POST", old, {**body, "employmentTypeExternalKey": "E1"}, 201)
        assert made == {
            "domainId": DOMAIN,
            "employmentTypeId": made["employmentTypeId"],
            "displayOrder": 1,
            "employmentTypeName": "正職員",
            "employmentTypeExternalKey": "E1",
            "i18nNames": [],
        }
        today = await desk.get(f"{new}/externalKey%3AE1")
        assert (today["userTypeId"], today["userTypeName"]) == (made["employmentTypeId"], "正職員")
        assert (await desk.get(old))["employmentTypes"] == [made]
        assert await desk.get(f"{old}/externalKey%3AE1") == made
        one = f"{old}/{made['employmentTypeId']}"
        assert (await desk.done("PATCH", one, {"employmentTypeName": "職員"}))["employmentTypeName"] == "職員"
        await desk.refused("POST", old, {**body, "employmentTypeName": "職員"}, 409, "CONFLICT")
        keys = {"employmentTypes": [{"id": made["employmentTypeId"], "externalKey": "E2"}]}
        await desk.done("POST", f"{old}/external-keys", keys, 204)
        listed = (await desk.get(f"{old}/external-keys"))["employmentTypes"]
        assert [(entry["name"], entry["externalKey"]) for entry in listed] == [("職員", "E2")]
        await desk.done("PATCH", f"/users/{uid(1)}", {"employmentTypeId": "externalKey:E2"})
        shown = await desk.get(f"/users/{uid(1)}")
        assert shown["userTypeName"] == shown["employmentTypeName"] == "職員"
        await desk.done("DELETE", one, None, 204)
        assert (await desk.get(new))["userTypes"] == []

    at_desk(test, people=1)


@paragraph("1 §3", "1 §2.4")
def test_paths_that_ended_match_no_api() -> None:
    """[D]: custom fields ended late 2026-07; both are choices."""

    async def gone(desk: Desk) -> None:
        for path in ("/directory/custom-fields", "/directory/custom-fields/x", "/directory/employment-types"):
            await desk.refused("GET", path, None, 404, "NOT_FOUND", "Api not exists")

    async def there(desk: Desk) -> None:
        path = "/directory/custom-fields"
        body = {
            "domainId": DOMAIN,
            "propertyName": "blood",
            "displayName": "血液型",
            "propertyType": "STRING",
        }
        made = await desk.done("POST", path, body, 201)
        assert await desk.get(path) == {"customFields": [made]}
        today = await desk.get("/directory/users/custom-properties/blood")
        assert today["customPropertyId"] == made["customFieldId"]
        await desk.done("DELETE", f"{path}/{made['customFieldId']}", None, 204)

    at_desk(gone, choices=Choices(employment_types=False, people_answer=False))
    at_desk(there, choices=Choices(custom_fields=True, people_answer=False))


@paragraph("1 §3", "1 §2.3")
def test_profile_statuses() -> None:
    async def test(desk: Desk) -> None:
        path = "/directory/profile-statuses"
        body = {"domainId": DOMAIN, "displayOrder": 1, "profileStatusName": "出張中"}
        await desk.refused("POST", path, body, 403, "ACCESS_DENIED")
        await desk.done("POST", f"{path}/enable", {"domainId": DOMAIN}, 204)
        made = await desk.done("POST", path, body, 201)
        one = f"{path}/{made['profileStatusId']}"
        assert (await desk.get(path))["profileStatuses"] == [made] == [await desk.get(one)]
        await desk.refused("POST", path, body, 409, "CONFLICT", "profileStatusName")
        assert (await desk.done("PUT", one, {**body, "displayOrder": 2}))["displayOrder"] == 2
        assert (await desk.done("PATCH", one, {"profileStatusName": "在宅"}))["profileStatusName"] == "在宅"
        headers = desk.bench.bearer("directory.read")
        assert (await desk.bench.api("GET", path, headers=headers)).status_code == 200
        assert (await desk.bench.api("DELETE", one, headers=headers)).status_code == 403
        await desk.done("DELETE", one, None, 204)
        await desk.refused("GET", one, None, 404, "NOT_FOUND")
        await desk.refused("GET", f"{path}/external-keys", None, 404, "NOT_FOUND")  # they have none

    at_desk(test)


@paragraph("1 §3", "1 §5", "1 §6")
def test_an_ordinary_member_does_not_see_the_whole_domain() -> None:
    """[D]; that it is what is not ``visible`` is a choice."""

    async def test(desk: Desk) -> None:
        bench = desk.bench
        for key, shown in (("K", True), ("L", False), ("M", False)):
            await desk.unit(key, orgUnitExternalKey=key, visible=shown)
        await desk.done("PATCH", f"/users/{uid(1)}", {"organizations": in_unit("externalKey:M")})
        await desk.done(
            "PATCH", f"/users/{uid(2)}", {"organizations": in_unit("externalKey:M", visible=False)}
        )
        await desk.group("公開", groupExternalKey="A")
        await desk.group("非公開", groupExternalKey="B", visible=False)
        unit = [{"id": "externalKey:M", "type": "ORGUNIT"}]
        await desk.group("自分の", groupExternalKey="C", visible=False, members=unit)
        ordinary = bench.bearer("orgunit.read", "group.read", user_id=uid(1))
        for headers, units, groups, members in (
            (ordinary, ["K", "M"], ["A", "C"], [uid(1)]),
            (bench.bearer("orgunit.read", "group.read", user_id=uid(0)), None, None, None),
            (bench.bearer("orgunit.read", "group.read"), None, None, None),
        ):
            listed = (await bench.api("GET", "/orgunits", headers=headers)).json()["orgUnits"]
            assert [one["orgUnitExternalKey"] for one in listed] == (units or ["K", "L", "M"])
            for key in ("K", "L", "M"):
                answer = await bench.api("GET", f"/orgunits/externalKey%3A{key}", headers=headers)
                assert answer.status_code == (404 if units and key not in units else 200)
            listed = (await bench.api("GET", "/groups", headers=headers)).json()["groups"]
            assert [one["groupExternalKey"] for one in listed] == (groups or ["A", "B", "C"])
            answer = await bench.api("GET", "/groups/externalKey%3AB/members", headers=headers)
            assert answer.status_code == (404 if groups else 200)
            path = "/orgunits/externalKey%3AM/members"
            listed = (await bench.api("GET", path, headers=headers)).json()["members"]
            assert [one["userId"] for one in listed] == (members or [uid(1), uid(2)])

    at_desk(test, people=2)


@paragraph("1 §3")
def test_members_are_put_into_units_by_the_member_only() -> None:
    """There is no call that adds a member to an org unit, a level, a position or a user type."""

    async def test(desk: Desk) -> None:
        unit = await desk.unit()
        for path in (
            f"/orgunits/{unit['orgUnitId']}/members",
            "/directory/levels/x/members",
            "/directory/positions/x/members",
            "/directory/user-types/x/members",
        ):
            await desk.refused("POST", path, {"userId": uid(1)}, 404, "NOT_FOUND", "Api not exists")

    at_desk(test, people=1)
