"""Boards by plain HTTP (part 2 §9.1): posts, must-read, recent ones, and who has read (a flag, no time)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import STILL, Choices, Desk, at_desk

READING = Choices(people_log_in=False, serial_service_s=0.0)
POST = {"title": "訓練のお知らせ", "body": "<p>【訓練】本文</p>"}
LISTED = {
    "boardId", "postId", "title", "commentCount", "fileCount", "createdTime", "modifiedTime", "isMustRead",
    "userId", "userName", "readCount", "isUnread",
}  # fmt: skip
WHOLE = LISTED | {"body", "mustReadPeriod", "enableComment"}
WRONG: list[tuple[str, Any]] = [
    ("title", None),
    ("title", ""),
    ("title", 5),
    ("title", "x" * 201),
    ("body", None),
    ("body", ""),
    ("body", {}),
    ("isMustRead", "yes"),
    ("enableComment", 1),
    ("mustReadPeriod", "2027-01-17"),
    ("mustReadPeriod", {"startDate": "17.1.2027"}),
    ("mustReadPeriod", {"endDate": "2027-02-30"}),
    ("mustReadPeriod", {"startDate": "2027-01-18", "endDate": "2027-01-17"}),
]


async def the_board(desk: Desk) -> str:
    """Path of the one board that a tenant begins with."""
    return f"/boards/{(await desk.get('/boards'))['boards'][0]['boardId']}"


async def posted(desk: Desk, **more: Any) -> tuple[str, Any]:
    board = await the_board(desk)
    post = await desk.done("POST", f"{board}/posts", {**POST, **more}, 201)
    return f"{board}/posts/{post['postId']}", post


@paragraph("2 §9.1")
def test_boards_have_64_bit_ids() -> None:
    async def test(desk: Desk) -> None:
        listed = await desk.pages("/boards", "boards", count=1)
        assert [board["domainId"] for board in listed] == [DOMAIN]
        number = listed[0]["boardId"]
        assert isinstance(number, int)
        assert (1 << 53) < number < (1 << 63)
        assert len(str(number)) == 19
        assert await desk.get(f"/boards/{number}") == listed[0]
        for count in ("0", "41", "x"):
            await desk.wrong("GET", f"/boards?count={count}", None, "count")

    at_desk(test)


@paragraph("2 §9.1", "1 §10")
def test_an_unknown_board_is_denied_an_unknown_post_not_found() -> None:
    """[M]: ``ACCESS_DENIED`` for a board that does not exist, as measured."""

    async def test(desk: Desk) -> None:
        board = await the_board(desk)
        for path in (
            "/boards/1",
            "/boards/x",
            "/boards/1/posts",
            "/boards/1/posts/1",
            "/boards/1/posts/1/readers",
        ):
            answer = await desk.call("GET", path)
            assert answer.status_code == 403
            assert answer.json() == {"code": "ACCESS_DENIED", "description": "Access is denied."}
        await desk.refused("POST", "/boards/1/posts", POST, 403, "ACCESS_DENIED")
        for method, below, body in (
            ("GET", "", None),
            ("PUT", "", POST),
            ("DELETE", "", None),
            ("GET", "/readers", None),
        ):
            await desk.refused(method, f"{board}/posts/1{below}", body, 404, "NOT_FOUND")

    at_desk(test)


@paragraph("2 §9.1")
def test_a_post_is_written_shown_replaced_trashed() -> None:
    async def test(desk: Desk) -> None:
        path, made = await posted(desk)
        assert set(made) == WHOLE
        assert len(str(made["postId"])) == 19
        assert (made["title"], made["body"]) == (POST["title"], POST["body"])
        assert (made["readCount"], made["commentCount"], made["fileCount"]) == (1, 0, 0)  # the author
        assert (made["isMustRead"], made["mustReadPeriod"], made["enableComment"]) == (False, None, True)
        assert (made["userId"], made["userName"]) == (uid(0), "試験 00000")
        assert made["createdTime"] == made["modifiedTime"] == "2027-01-17T09:00:00+09:00"
        assert await desk.get(path) == made
        board = path.rpartition("/")[0]
        assert [set(post) for post in (await desk.get(board))["posts"]] == [LISTED]
        await desk.clock.sleep(60)
        put = await desk.done("PUT", path, {"title": "訂正", "body": "新", "enableComment": False})
        assert put == {
            **made,
            "title": "訂正",
            "body": "新",
            "enableComment": False,
            "modifiedTime": "2027-01-17T09:01:00+09:00",
        }
        await desk.done("DELETE", path, None, 204)
        for below in ("", "/readers"):  # not for trashed posts
            await desk.refused("GET", path + below, None, 404, "NOT_FOUND")
        assert (await desk.get(board))["posts"] == []
        assert [task for task, _ in desk.audited("board")] == ["create", "update", "delete"]

    at_desk(test)


@paragraph("2 §9.1")
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_wrong_properties_are_400_and_named(method: str) -> None:
    async def test(desk: Desk) -> None:
        path, made = await posted(desk)
        where = path if method == "PUT" else path.rpartition("/")[0]
        for key, value in WRONG:
            answer = await desk.call(method, where, {**POST, key: value})
            assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER"), (key, value)
            name = key if not isinstance(value, dict) or key == "body" else next(iter(value))
            assert name in answer.json()["description"], (key, value)
        assert await desk.get(path) == made
        await desk.done(method, where, {**POST, "title": "x" * 200}, 201 if method == "POST" else 200)

    at_desk(test)


@paragraph("2 §9.1", "1 §2.3")
def test_posts_come_in_pages_of_20_at_most_40_the_newest_first() -> None:
    async def test(desk: Desk) -> None:
        board = await the_board(desk)
        numbers = [
            (await desk.done("POST", f"{board}/posts", {**POST, "title": f"{at}"}, 201))["postId"]
            for at in range(45)
        ]
        listed = await desk.pages(f"{board}/posts", "posts", count=7)
        assert [post["postId"] for post in listed] == numbers[::-1]
        for query, many in (({}, 20), ({"count": 40}, 40), ({"count": 1}, 1)):
            assert len((await desk.get(f"{board}/posts", **query))["posts"]) == many
        for path in (f"{board}/posts", "/boards/must/posts", "/boards/recent/posts"):
            for count in ("0", "41"):
                await desk.wrong("GET", f"{path}?count={count}", None, "count")

    at_desk(test)


@paragraph("2 §9.1")
def test_must_read_posts_within_their_period() -> None:
    """Both ends of the period are days in Japan and belong to it."""

    async def test(desk: Desk) -> None:
        async def titles() -> list[str]:
            return [post["title"] for post in (await desk.get("/boards/must/posts"))["posts"]]

        period = {"startDate": "2027-01-18", "endDate": "2027-01-19"}
        for title, more in (
            ("普通", {}),
            ("常時", {"isMustRead": True}),
            ("期間", {"isMustRead": True, "mustReadPeriod": period}),
            ("必読でない", {"isMustRead": False, "mustReadPeriod": period}),
        ):
            path, made = await posted(desk, title=title, **more)
            assert (await desk.get(path))["mustReadPeriod"] == made["mustReadPeriod"]
        assert await titles() == ["常時"]
        await desk.clock.sleep(15 * 3600 - 1)  # 23:59:59 on the 17th
        assert await titles() == ["常時"]
        await desk.clock.sleep(1)
        assert await titles() == ["期間", "常時"]
        await desk.clock.sleep(2 * 86400 - 1)  # 23:59:59 on the 19th
        assert await titles() == ["期間", "常時"]
        await desk.clock.sleep(1)
        assert await titles() == ["常時"]
        for ends, there in (({"startDate": "2027-01-20"}, True), ({"endDate": "2027-01-19"}, False)):
            _, made = await posted(desk, title="片方", isMustRead=True, mustReadPeriod=ends)
            assert made["mustReadPeriod"] == {"startDate": None, "endDate": None, **ends}
            assert (await titles() == ["片方", "常時"]) is there
            await desk.done("DELETE", f"/boards/{made['boardId']}/posts/{made['postId']}", None, 204)

    at_desk(test)


@paragraph("2 §9.1")
def test_recent_posts_are_those_of_30_days() -> None:
    async def test(desk: Desk) -> None:
        await posted(desk, title="古い")
        await desk.days(20)
        await posted(desk, title="新しい")
        await desk.days(10)
        listed = await desk.pages("/boards/recent/posts", "posts", count=1)
        assert [post["title"] for post in listed] == ["新しい", "古い"]
        await desk.clock.sleep(1)
        assert [post["title"] for post in (await desk.get("/boards/recent/posts"))["posts"]] == ["新しい"]

    at_desk(test)


@paragraph("2 §9.1", "2 §2.7")
def test_readers_are_all_members_with_a_flag() -> None:
    """Covers unread members too; a flag that flips once; no time anywhere."""

    async def test(desk: Desk) -> None:
        path, _ = await posted(desk, isMustRead=True)
        before: set[str] = set()
        for _ in range(4):
            readers = await desk.pages(f"{path}/readers", "readers", count=7)
            assert [reader["userId"] for reader in readers] == [uid(number) for number in range(31)]
            assert all(set(reader) == {"userId", "userName", "isRead"} for reader in readers)
            read = {reader["userId"] for reader in readers if reader["isRead"]}
            assert before <= read
            assert (await desk.get(path))["readCount"] == len(read)
            before = read
            await desk.clock.sleep(3600)
        assert {uid(0)} < before < {uid(number) for number in range(31)}
        assert (await desk.get(f"{path}/readers", count=5000))["responseMetaData"] == {"nextCursor": None}
        await desk.wrong("GET", f"{path}/readers?count=5001", None, "count")

    at_desk(test, people=30, choices=READING)


@paragraph("2 §9.1")
def test_unread_is_from_the_point_of_view_of_who_asks() -> None:
    async def test(desk: Desk) -> None:
        path, _ = await posted(desk, isMustRead=True)
        await desk.clock.sleep(3600)
        readers = (await desk.get(f"{path}/readers"))["readers"]
        flags = {reader["userId"]: reader["isRead"] for reader in readers}
        assert set(flags.values()) == {True, False}
        for user_id, read in flags.items():
            headers = desk.bench.bearer("board.read", user_id=user_id)
            answer = await desk.bench.api("GET", path, headers=headers)
            assert answer.json()["isUnread"] is not read

    at_desk(test, people=20, choices=READING)


@paragraph("2 §9.1")
@pytest.mark.parametrize("way", ["seven days", "at once", "as before"])
def test_a_reader_who_is_gone_keeps_the_name_and_loses_the_id(way: str) -> None:
    """``userId`` may be null [D]; for whom is a choice."""

    async def test(desk: Desk) -> None:
        path, _ = await posted(desk, isMustRead=True)
        await desk.clock.sleep(3600)
        readers = (await desk.get(f"{path}/readers"))["readers"]
        read = next(r for r in readers[1:] if r["isRead"])
        unread = next(r for r in readers if not r["isRead"])
        for reader in (read, unread):
            below = "/forcedelete" if way == "at once" else ""
            await desk.done("DELETE", f"/users/{reader['userId']}{below}", None, 204)
        await desk.days(8)
        now = (await desk.get(f"{path}/readers"))["readers"]
        assert not {read["userId"], unread["userId"]} & {reader["userId"] for reader in now}
        gone = [reader for reader in now if reader["userId"] is None]
        wanted = [{"userId": None, "userName": read["userName"], "isRead": True}]
        assert gone == ([] if way == "as before" else wanted)
        assert (await desk.get(path))["readCount"] == sum(reader["isRead"] for reader in now)

    choices = Choices(people_log_in=False, serial_service_s=0.0, readers_gone=way != "as before")
    at_desk(test, people=20, choices=choices)


@paragraph("2 §9.1")
def test_scopes() -> None:
    async def test(desk: Desk) -> None:
        path, _ = await posted(desk)
        board = path.rpartition("/")[0]
        for scope, read, write in (("board", 200, 201), ("board.read", 200, 403), ("bot", 403, 403)):
            headers = desk.bench.bearer(scope)
            for where in (
                "/boards",
                board,
                path,
                f"{path}/readers",
                "/boards/must/posts",
                "/boards/recent/posts",
            ):
                assert (await desk.bench.api("GET", where, headers=headers)).status_code == read
            assert (await desk.bench.api("POST", board, POST, headers=headers)).status_code == write
        headers = desk.bench.bearer("board.read")
        for method in ("PUT", "DELETE"):
            assert (await desk.bench.api(method, path, POST, headers=headers)).status_code == 403

    at_desk(test, choices=STILL)


@paragraph("2 §9.1", "2 §5", "1 §2.5")
def test_sixty_a_minute_of_each_operation() -> None:
    async def test(desk: Desk) -> None:
        path, _ = await posted(desk)
        for left in range(59, -1, -1):
            answer = await desk.call("GET", f"{path}/readers")
            assert answer.status_code == 200
            assert (answer.headers["RateLimit-Limit"], answer.headers["RateLimit-Remaining"]) == (
                "60",
                str(left),
            )
        answer = await desk.call("GET", f"{path}/readers")
        assert (answer.status_code, answer.json()["code"]) == (429, "TOO_MANY_REQUESTS")
        assert (await desk.call("GET", path)).status_code == 200  # another operation has its own
        await desk.clock.sleep(60)
        assert (await desk.call("GET", f"{path}/readers")).status_code == 200

    at_desk(test)
