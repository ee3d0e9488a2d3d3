"""Requests, answers and errors of all of the API (part 1 §2.1, §2.4)."""

from __future__ import annotations

import httpx
import pytest

from bousai_kit.sandbox.choices import Choices
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import Lab, trial, uid
from tests.sandbox.directorylab import Desk, at_desk, new_member

BOT = "/bots/{bot}"


def url(bench: Lab, path: str = BOT) -> str:
    return path.format(bot=bench.bot)


def heard(bench: Lab) -> int:
    """Messages that really went to members."""
    return len(bench.truth()["messages"])


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


@paragraph("1 §2.1")
def test_put_replaces_patch_changes_post_creates_delete_takes_away() -> None:
    async def test(desk: Desk) -> None:
        made = await desk.call("POST", "/users", new_member("taro", task="当番", location="本庁"))
        assert made.status_code == 201
        path = f"/users/{made.json()['userId']}"
        patched = await desk.done("PATCH", path, {"task": "連絡"})
        assert (patched["task"], patched["location"]) == ("連絡", "本庁")
        bare = {key: made.json()[key] for key in ("domainId", "email", "userName")}
        assert [(await desk.done("PUT", path, bare))[key] for key in ("task", "location")] == [None, None]
        gone = await desk.call("DELETE", path)
        assert (gone.status_code, gone.content) == (204, b"")

    at_desk(test)


@paragraph("1 §2.1", "1 §10")
def test_empty_properties_are_there_and_one_that_no_page_lists() -> None:
    """``null`` and ``[]`` rather than nothing; fields that the documents do not know occur."""

    async def test(desk: Desk) -> None:
        user = await desk.member()
        for key in ("userExternalKey", "nickName", "messenger", "birthday", "suspendedReason"):
            assert user[key] is None
        for key in ("i18nNames", "aliasEmails", "relations"):
            assert user[key] == []
        assert user["undocumented"] is None
        again = await desk.done("PATCH", f"/users/{user['userId']}", {**user, "nickName": "た"})
        assert again == {**user, "nickName": "た"}, "what was read can be sent back"

    at_desk(test)


@paragraph("1 §2.1")
def test_ids_of_the_directory_are_strings_and_of_domains_bots_and_posts_numbers() -> None:
    async def test(bench: Lab) -> None:
        user = (await bench.api("GET", f"/users/{uid(1)}")).json()
        assert (type(user["userId"]), type(user["domainId"])) == (str, int)
        bot = (await bench.api("GET", url(bench))).json()
        assert type(bot["botId"]) is int
        board = (await bench.api("GET", "/boards")).json()["boards"][0]
        assert type(board["boardId"]) is int
        assert board["boardId"] > 1 << 53, "more than a float holds"

    trial(test)


@paragraph("1 §2.1")
def test_a_plus_in_a_query_is_a_blank_unless_it_is_encoded() -> None:
    async def test(bench: Lab) -> None:
        span = "service=auth&startTime=2027-01-16T00:00:00{0}09:00&endTime=2027-01-17T00:00:00{0}09:00"
        for plus, status in (("%2B", 302), ("+", 400), ("%20", 400)):
            answer = await bench.api("GET", f"/audits/logs/download?{span.format(plus)}")
            assert answer.status_code == status, plus
            if status == 400:
                assert "startTime" in answer.json()["description"]

    trial(test)


@paragraph("1 §2.1", "1 §10")
def test_another_instance_is_a_307_to_be_followed_with_the_token() -> None:
    """The same call there, once; without the header it is nobody's."""

    async def test(bench: Lab) -> None:
        plan = {"fault": [{"kind": "redirect", "on": "users.*"}]}
        assert (await bench.admin("PUT", "/faults", plan)).status_code == 200
        for method, path, body, status in (
            ("GET", "/users?count=2&orderBy=NAME", None, 200),
            ("POST", "/users", new_member("taro"), 201),
            ("PATCH", "/users/taro%40city-demo", {"task": "%2B"}, 200),
            ("DELETE", "/users/taro%40city-demo", None, 204),
        ):
            sent = await bench.api(method, path, body)
            assert sent.status_code == 307
            where = sent.headers["location"]
            assert httpx.URL(where).host != httpx.URL(bench.sandbox.api_url).host
            more = {} if body is None else {"json": body}
            bare = await bench.http.request(method, where, **more)
            assert bare.status_code == 401
            answer = await bench.http.request(method, where, headers=bench.headers, **more)
            assert answer.status_code == status, answer.text
        assert [user["isDeleted"] for user in bench.tenant.table("users").values()].count(True) == 1

    trial(test)


@paragraph("1 §2.4")
@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("429", 429, "TOO_MANY_REQUESTS"),
        ("500", 500, "INTERNAL_SERVER_ERROR"),
        ("503", 503, "SERVICE_UNAVAILABLE"),
    ],
)
def test_a_service_in_trouble_says_so_in_the_same_shape(kind: str, status: int, code: str) -> None:
    async def test(bench: Lab) -> None:
        await bench.admin("PUT", "/faults", {"fault": [{"kind": kind, "on": "users.list", "times": 1}]})
        answer = await bench.api("GET", "/users")
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert set(answer.json()) == {"code", "description"}
        assert "retry-after" not in answer.headers
        assert (await bench.api("GET", "/users")).status_code == 200

    trial(test)


@paragraph("1 §2.4", "1 §10")
def test_garbage_for_a_token_has_the_measured_words() -> None:
    async def test(bench: Lab) -> None:
        answer = await bench.http.get(
            f"{bench.sandbox.api_url}/users", headers={"Authorization": "Bearer garbage"}
        )
        assert answer.status_code == 401
        assert answer.json() == {"code": "UNAUTHORIZED", "description": "Malformed authentication token"}

    trial(test)


@paragraph("1 §2.4", "1 §10")
def test_what_does_not_exist_is_access_denied_on_boards_and_not_found_elsewhere() -> None:
    async def test(bench: Lab) -> None:
        for path, status, code in (
            ("/boards/1", 403, "ACCESS_DENIED"),
            ("/users/nobody", 404, "NOT_FOUND"),
            ("/orgunits/nobody", 404, "NOT_FOUND"),
            ("/groups/nobody", 404, "NOT_FOUND"),
        ):
            answer = await bench.api("GET", path)
            assert (answer.status_code, answer.json()["code"]) == (status, code), path

    trial(test)


@paragraph("1 §2.4")
def test_whether_a_wrong_path_or_a_wrong_token_is_told_first_is_a_choice() -> None:
    async def test(bench: Lab, status: int) -> None:
        answer = await bench.http.get(f"{bench.sandbox.api_url}/no/such/api")
        assert answer.status_code == status
        assert (await bench.api("GET", "/no/such/api")).json()["description"] == "Api not exists"

    trial(lambda bench: test(bench, 404))
    trial(lambda bench: test(bench, 401), choices=Choices(people_answer=False, wrong_path_before_token=False))
