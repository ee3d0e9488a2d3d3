"""References, pages and files, alike in all of the API (part 1 §2.2, §2.3, §2.7)."""

from __future__ import annotations

import httpx

from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, Lab, trial, uid
from tests.sandbox.directorylab import Desk, at_desk, new_group, new_member, part


def heard(bench: Lab) -> int:
    """Messages that really went to members."""
    return len(bench.truth()["messages"])


@paragraph("1 §2.2")
def test_a_member_is_found_by_id_login_id_and_external_key() -> None:
    async def test(desk: Desk) -> None:
        user = await desk.member("taro", userExternalKey="S:1@x")
        for reference in (user["userId"], "taro@city-demo", "externalKey:S:1@x"):
            assert (await desk.get(f"/users/{part(reference)}"))["userId"] == user["userId"]
        for nobody in ("S:1@x", "jiro@city-demo", "externalKey:", "externalKey:s:1@x", "nobody"):
            await desk.refused("GET", f"/users/{part(nobody)}", None, 404, "NOT_FOUND")

    at_desk(test)


@paragraph("1 §2.2")
def test_a_changed_login_id_is_found_and_the_old_one_is_free() -> None:
    """Email changes what matches, userId never changes."""

    async def test(desk: Desk) -> None:
        user = await desk.member("taro", userExternalKey="S1")
        changed = {"email": "ichiro@city-demo", "userExternalKey": "S9"}
        await desk.done("PATCH", "/users/taro%40city-demo", changed)
        assert (await desk.get("/users/ichiro%40city-demo"))["userId"] == user["userId"]
        await desk.refused("GET", "/users/taro%40city-demo", None, 404, "NOT_FOUND")
        await desk.refused("GET", "/users/externalKey%3AS1", None, 404, "NOT_FOUND")
        again = await desk.member("taro", userExternalKey="S1")
        assert again["userId"] != user["userId"]

    at_desk(test)


@paragraph("1 §2.4")
def test_a_service_account_is_not_me() -> None:
    async def test(desk: Desk) -> None:
        await desk.refused("GET", "/users/me", None, 403, "ACCESS_DENIED")

    at_desk(test)


@paragraph("1 §2.3", "1 §4.6")
def test_pages_hold_everybody_once_in_order_of_creation() -> None:
    async def test(desk: Desk) -> None:
        for count in (1, 7, 100):
            users = await desk.pages("/users", "users", count=count)
            assert [user["userId"] for user in users] == [uid(number) for number in range(8)]
        down = await desk.pages("/users", "users", count=3, sortOrder="DESCENDING")
        assert [user["userId"] for user in down] == [uid(number) for number in reversed(range(8))]

    at_desk(test, people=7)


@paragraph("1 §2.3", "1 §10")
def test_more_than_100_gives_an_empty_page() -> None:
    """Part 1 §10.8, measured 2026-08-07: no error."""

    async def test(desk: Desk) -> None:
        for count in ("101", "1000", "9" * 40):
            page = await desk.get("/users", count=count)
            assert page == {"users": [], "responseMetaData": {"nextCursor": None}}
        for count in ("0", "-1", "x", "1.5"):
            await desk.wrong("GET", f"/users?count={count}", None, "count")
        await desk.wrong("GET", "/users?cursor=rubbish", None, "cursor")
        await desk.wrong("GET", "/users?orderBy=AGE", None, "orderBy")
        await desk.wrong("GET", "/users?sortOrder=UP", None, "sortOrder")
        await desk.refused("GET", "/users?domainId=7", None, 403, "ACCESS_DENIED")

    at_desk(test, people=2)


@paragraph("1 §2.3")
def test_a_page_goes_on_after_the_same_member_when_others_went() -> None:
    async def test(desk: Desk) -> None:
        first = await desk.get("/users", count=3)
        await desk.done("DELETE", f"/users/{uid(1)}/forcedelete", status=204)
        cursor = first["responseMetaData"]["nextCursor"]
        rest = await desk.get("/users", cursor=cursor, count=100)
        assert [user["userId"] for user in rest["users"]] == [uid(number) for number in (3, 4, 5)]

    at_desk(test, people=5)


@paragraph("1 §2.3")
def test_a_page_holds_a_hundred_unless_told_and_the_last_one_ends_in_null() -> None:
    async def test(desk: Desk) -> None:
        first = await desk.get("/users")
        assert len(first["users"]) == 100
        cursor = first["responseMetaData"]["nextCursor"]
        assert cursor.endswith("==")
        last = await desk.get("/users", cursor=cursor)
        assert (len(last["users"]), last["responseMetaData"]) == (31, {"nextCursor": None})
        exact = await desk.get("/users", cursor=cursor, count=31)
        assert exact["responseMetaData"]["nextCursor"] is None, "no empty page after a full one"
        keys = await desk.get("/users/external-keys")
        assert len(keys["users"]) == 100
        for wrong in ("101", "0", "1_0", "٣", " 5"):
            await desk.wrong("GET", f"/users/external-keys?count={part(wrong)}", None, "count")

    at_desk(test, people=130)


@paragraph("1 §2.3", "1 §3")
def test_each_list_has_its_own_name() -> None:
    async def test(desk: Desk) -> None:
        for name in ("levels", "positions", "user_types", "profile_statuses"):
            desk.tenant.set(f"enabled:{name}:{DOMAIN}", True)
        group = (await desk.group())["groupId"]
        unit = (await desk.unit())["orgUnitId"]
        for path, name in (
            ("/users", "users"),
            ("/orgunits", "orgUnits"),
            ("/groups", "groups"),
            (f"/orgunits/{unit}/members", "members"),
            (f"/groups/{group}/members", "members"),
            (f"/groups/{group}/administrators", "administrators"),
            ("/directory/levels", "levels"),
            ("/directory/positions", "positions"),
            ("/directory/user-types", "userTypes"),
            ("/directory/employment-types", "employmentTypes"),
            ("/directory/profile-statuses", "profileStatuses"),
            (f"/users/{uid(0)}/user-profile-statuses", "userProfileStatuses"),
            ("/users/external-keys", "users"),
            ("/groups/external-keys", "groups"),
            ("/orgunits/external-keys", "orgUnits"),
        ):
            page = await desk.get(path)
            assert set(page) == {name, "responseMetaData"}, path
            assert page["responseMetaData"] == {"nextCursor": None}

    at_desk(test)


@paragraph("1 §2.2", "1 §10")
def test_a_path_value_may_come_encoded_or_not_and_a_key_in_any_letters() -> None:
    async def test(desk: Desk) -> None:
        key = "職員 1+1&=:;@"
        user = await desk.member("taro", userExternalKey=key)
        for reference in ("taro%40city-demo", "taro@city-demo", part(f"externalKey:{key}")):
            assert (await desk.get(f"/users/{reference}"))["userId"] == user["userId"], reference
        for other in ("TARO%40city-demo", "taro%2540city-demo", "externalKey%3Ataro%40city-demo"):
            await desk.refused("GET", f"/users/{other}", None, 404, "NOT_FOUND")

    at_desk(test)


@paragraph("1 §2.2")
def test_a_key_is_nobody_else_s_in_the_whole_tenant() -> None:
    async def test(desk: Desk) -> None:
        desk.tenant.set("domains", [DOMAIN, DOMAIN + 1])
        other = {"domainId": DOMAIN + 1, "userExternalKey": "S00001"}
        await desk.wrong("POST", "/users", new_member("neu@other-demo", **other), "userExternalKey")
        key = {"orgUnitExternalKey": "K"}
        await desk.unit(**key)
        unit = {"domainId": DOMAIN + 1, "orgUnitName": "課", "displayOrder": 1, **key}
        await desk.refused("POST", "/orgunits", unit, 409, "CONFLICT")
        await desk.group("一", groupExternalKey="G")
        group = new_group("二", domainId=DOMAIN + 1, groupExternalKey="G")
        await desk.refused("POST", "/groups", group, 409, "CONFLICT")

    at_desk(test, people=1)


@paragraph("1 §2.2")
def test_messages_do_not_take_an_external_key() -> None:
    async def test(bench: Lab) -> None:
        content = {"content": {"type": "text", "text": "【訓練】"}}
        for reference, status in ((uid(1), 201), ("s00001%40city-demo", 201), ("externalKey%3AS00001", 404)):
            answer = await bench.api("POST", f"/bots/{bench.bot}/users/{reference}/messages", content)
            assert answer.status_code == status, (reference, answer.text)
        assert heard(bench) == 2

    trial(test)


@paragraph("1 §2.7", "1 §4.8")
def test_a_file_goes_in_two_steps_and_only_as_announced() -> None:
    async def test(desk: Desk) -> None:
        path, data, http = f"/users/{uid(1)}/photo", b"\xff\xd8\xff\xd9", desk.bench.http
        headers = desk.bench.headers
        for wrong in ({"fileName": "a.jpg"}, {"fileSize": 4}, {"fileName": "", "fileSize": 4}):
            await desk.wrong("POST", path, wrong)
        for size in (0, -1, 10_485_761, "4", 4.5, True):
            await desk.wrong("POST", path, {"fileName": "a.jpg", "fileSize": size}, "fileSize")
        await desk.done("POST", path, {"fileName": "a.jpg", "fileSize": 10_485_760})
        url = (await desk.done("POST", path, {"fileName": "a.jpg", "fileSize": 4}))["uploadUrl"]
        assert httpx.URL(url).host == httpx.URL(desk.bench.sandbox.storage_url).host
        bare = await http.post(url, files={"Filedata": ("a.jpg", data)})
        assert (bare.status_code, bare.text) == (401, "Authentication failed.")
        for files in ({"Filedata": ("a.jpg", data + b"x")}, {"picture": ("a.jpg", data)}):
            assert (await http.post(url, headers=headers, files=files)).status_code == 400
        assert (await http.post(url, headers=headers, content=data)).status_code == 400
        good = {"Filedata": ("写真.jpg", data, "image/jpeg")}
        assert (await http.post(url, headers=headers, files=good)).status_code == 200
        assert (await http.post(url, headers=headers, files=good)).status_code == 404, "once"
        place = (await desk.call("GET", path)).headers["location"]
        assert (await http.get(place)).status_code == 401
        assert (await http.get(place, headers=headers)).content == data
        await desk.clock.sleep(desk.bench.sandbox.choices.download_ticket_s)
        assert (await http.get(place, headers=headers)).status_code == 404, "the URL ends after a while"

    at_desk(test, people=1)
