"""What all of the API has in common: requests, references, pages, errors (part 1 §2)."""

from __future__ import annotations

import httpx

from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import Lab, trial, uid
from tests.sandbox.directorylab import Desk, at_desk, part

BOT = "/bots/{bot}"


def url(bench: Lab, path: str = BOT) -> str:
    return path.format(bot=bench.bot)


def heard(bench: Lab) -> int:
    """Messages that really went to members."""
    return len(bench.truth()["messages"])


# -- requests (§2.1, §2.4) --------------------------------------------------------------------------


@paragraph("1 §2.4", "1 §10")
def test_a_path_that_is_no_api_says_so() -> None:
    async def test(bench: Lab) -> None:
        api = bench.sandbox.api_url
        for path in ("/bot", "/bots/1/x", "/bots//messages", "/%00", "/" + "x" * 2000, "/bots/%ff"):
            answer = await bench.http.get(api + path)
            assert answer.status_code == 404, path
            assert answer.json() == {"code": "NOT_FOUND", "description": "Api not exists"}
        outside = await bench.http.get(api.removesuffix("/v1.0") + "/v2.0/bots", headers=bench.headers)
        assert outside.json()["description"] == "Api not exists"
        wrong = await bench.api("PUT", "/bots")
        assert wrong.json()["description"] == "Api not exists"

    trial(test)


@paragraph("1 §1.9", "1 §2.4")
def test_a_scope_opens_what_is_its_own() -> None:
    async def test(bench: Lab) -> None:
        for scope, status in (("bot", 200), ("bot.read", 200), ("bot.message", 403), ("user", 403)):
            answer = await bench.api("GET", url(bench), headers=bench.bearer(scope))
            assert answer.status_code == status, scope
        refused = await bench.api("GET", url(bench), headers=bench.bearer("user"))
        assert refused.json() == {"code": "ACCESS_DENIED", "description": "Access is denied."}
        me = await bench.api("POST", f"/bots/{bench.bot}/users/me/messages", {"content": {}})
        assert me.status_code == 403, "a service account is nobody"

    trial(test)


@paragraph("1 §2.1")
def test_bodies_are_read_strictly() -> None:
    async def test(bench: Lab) -> None:
        path = f"{bench.sandbox.api_url}/bots/{bench.bot}/users/{uid(1)}/messages"

        async def send(content: bytes, kind: str = "application/json") -> httpx.Response:
            return await bench.http.post(
                path, content=content, headers={**bench.headers, "Content-Type": kind}
            )

        good = '{"content":{"type":"text","text":"【訓練】"}}'.encode()
        assert (await send(good, "application/json; charset=UTF-8")).status_code == 201
        assert (await send(b"\xef\xbb\xbf" + good)).status_code == 201
        for body in (b"", b"[]", b"{", b'{"content":NaN}', b"\xff", b"[" * 5000, b'{"content":"\\u0000"}'):
            answer = await send(body)
            assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER"), body[:20]
        assert (await send(good, "text/plain")).status_code == 415
        assert (
            await send(b'{"content":{"type":"text","text":"' + b"x" * (1 << 20) + b'"}}')
        ).status_code == 413
        assert heard(bench) == 2

    trial(test)


# -- references (§2.2) ------------------------------------------------------------------------------


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


# -- pages (§2.3) -----------------------------------------------------------------------------------


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
