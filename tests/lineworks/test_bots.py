"""Bots, rooms, messages, boards, files: paths, bodies, and turns."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from bousai_kit.errors import (
    ForeignLocation,
    OutcomeUnknown,
    PermissionDenied,
    ProtocolViolation,
    TransportFailed,
)
from bousai_kit.lineworks.client import LineWorksClient
from bousai_kit.lineworks.messages import ButtonTemplate, InvalidContent, MessageAction, PostbackAction, Text
from tests.lineworks.wirelab import BOT, DOMAIN, Seen, Wire, run, sample, script

FORM = {
    "botName": "訓練",
    "photoUrl": "https://example.invalid/p.png",
    "description": "訓練用",
    "administrators": ["u1"],
}

CALLS: dict[str, tuple[Any, str, str, Any]] = {
    "get": (lambda c: c.bots.get(BOT), "GET", "/bots/2000001", None),
    "create": (lambda c: c.bots.create(FORM), "POST", "/bots", FORM),
    "patch": (
        lambda c: c.bots.patch(BOT, {"callbackUrl": ""}),
        "PATCH",
        "/bots/2000001",
        {"callbackUrl": ""},
    ),
    "delete": (lambda c: c.bots.delete(BOT), "DELETE", "/bots/2000001", None),
    "register": (
        lambda c: c.bots.register_domain(BOT, DOMAIN, visible=True),
        "POST",
        "/bots/2000001/domains/10000001",
        {"visible": True, "allowToSelectedMember": False},
    ),
    "patch domain": (
        lambda c: c.bots.patch_domain(BOT, DOMAIN, {"visible": False}),
        "PATCH",
        "/bots/2000001/domains/10000001",
        {"visible": False},
    ),
    "remove domain": (
        lambda c: c.bots.remove_domain(BOT, DOMAIN),
        "DELETE",
        "/bots/2000001/domains/10000001",
        None,
    ),
    "add member": (
        lambda c: c.bots.add_member(BOT, DOMAIN, "s1@city"),
        "POST",
        "/bots/2000001/domains/10000001/members",
        {"userId": "s1@city"},
    ),
    "remove member": (
        lambda c: c.bots.remove_member(BOT, DOMAIN, "s1@city"),
        "DELETE",
        "/bots/2000001/domains/10000001/members/s1%40city",
        None,
    ),
    "menu": (
        lambda c: c.bots.set_menu(BOT, [MessageAction(label="安否を報告", postback="menu:report")]),
        "POST",
        "/bots/2000001/persistentmenu",
        {"content": {"actions": [{"type": "message", "label": "安否を報告", "postback": "menu:report"}]}},
    ),
    "read menu": (lambda c: c.bots.menu(BOT), "GET", "/bots/2000001/persistentmenu", None),
    "delete menu": (lambda c: c.bots.delete_menu(BOT), "DELETE", "/bots/2000001/persistentmenu", None),
    "room": (
        lambda c: c.channels.create(BOT, ["u1", "u2"], "【訓練】北区"),
        "POST",
        "/bots/2000001/channels",
        {"members": ["u1", "u2"], "title": "【訓練】北区"},
    ),
    "room get": (lambda c: c.channels.get(BOT, "9c0e"), "GET", "/bots/2000001/channels/9c0e", None),
    "room leave": (lambda c: c.channels.leave(BOT, "9c0e"), "DELETE", "/bots/2000001/channels/9c0e", None),
    "to user": (
        lambda c: c.messages.to_user(BOT, "s1@city", Text("【訓練】")),
        "POST",
        "/bots/2000001/users/s1%40city/messages",
        {"content": {"type": "text", "text": "【訓練】"}},
    ),
    "to room": (
        lambda c: c.messages.to_channel(BOT, "9c0e", {"type": "text", "text": "x"}),
        "POST",
        "/bots/2000001/channels/9c0e/messages",
        {"content": {"type": "text", "text": "x"}},
    ),
    "buttons": (
        lambda c: c.messages.to_user(
            BOT, "u1", ButtonTemplate("x", [MessageAction(label="無事", postback="p")])
        ),
        "POST",
        "/bots/2000001/users/u1/messages",
        {
            "content": {
                "type": "button_template",
                "contentText": "x",
                "actions": [{"type": "message", "label": "無事", "postback": "p"}],
            }
        },
    ),
    "board post": (
        lambda c: c.boards.post(1234567890123456789, title="t", body="<p>b</p>", more={"isMustRead": True}),
        "POST",
        "/boards/1234567890123456789/posts",
        {"title": "t", "body": "<p>b</p>", "isMustRead": True},
    ),
    "board get": (lambda c: c.boards.get_post(1, 2), "GET", "/boards/1/posts/2", None),
    "board delete": (lambda c: c.boards.delete_post(1, 2), "DELETE", "/boards/1/posts/2", None),
}


@pytest.mark.parametrize("name", CALLS)
def test_requests(name: str) -> None:
    use, method, path, body = CALLS[name]

    async def one(client: LineWorksClient, wire: Wire) -> None:
        await use(client)

    error, wire = run(one, script((200, {})))
    assert error is None
    seen = wire.seen[0]
    assert (seen.method, seen.target) == (method, f"/v1.0{path}")
    assert (seen.json if seen.body else None) == body


LISTS = {
    "bots": (lambda c: c.bots.list(), "/bots?count=100"),
    "domains": (lambda c: c.bots.domains(BOT), "/bots/2000001/domains?count=100"),
    "bot members": (
        lambda c: c.bots.members(BOT, DOMAIN),
        "/bots/2000001/domains/10000001/members?count=100",
    ),
    "room members": (lambda c: c.channels.members(BOT, "c"), "/bots/2000001/channels/c/members?count=100"),
    "boards": (lambda c: c.boards.list(), "/boards?count=40"),
    "posts": (lambda c: c.boards.posts(1), "/boards/1/posts?count=40"),
    "must read": (lambda c: c.boards.must_read(), "/boards/must/posts?count=40"),
    "recent": (lambda c: c.boards.recent(), "/boards/recent/posts?count=40"),
    "readers": (lambda c: c.boards.readers(1, 2), "/boards/1/posts/2/readers?count=5000"),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists(name: str) -> None:
    use, target = LISTS[name]
    page = {each: ["x"] for each in ("bots", "domains", "members", "boards", "posts", "readers")}

    async def one(client: LineWorksClient, wire: Wire) -> list[Any]:
        return [item async for item in use(client)]

    found, wire = run(one, script((200, page)))
    assert found == ["x"]
    assert wire.seen[0].target == f"/v1.0{target}"


def test_everybody_may_use_the_bot() -> None:
    async def one(client: LineWorksClient, wire: Wire) -> list[Any]:
        return [item async for item in client.bots.members(BOT, DOMAIN)]

    assert run(one, script(sample("bots/200-members-all")))[0] == ["All users"]


def test_an_accepted_message_has_times_and_no_id() -> None:
    async def one(client: LineWorksClient, wire: Wire) -> Any:
        return await client.messages.to_user(BOT, "u1", Text("x"))

    accepted, _ = run(one, script(sample("bots/201-message")), wire={"latency_s": 0.5})
    assert (accepted.accepted_at - accepted.requested_at).total_seconds() == 0.5
    assert accepted.server_date is not None
    assert accepted.server_date.tzinfo is not None


def test_the_send_time_is_that_of_the_try_which_was_taken() -> None:
    async def one(client: LineWorksClient, wire: Wire) -> Any:
        began = wire.clock.now()
        accepted = await client.messages.to_user(BOT, "u1", Text("x"))
        return (accepted.requested_at - began).total_seconds()

    waited, _ = run(one, script(sample("refusal/429"), sample("bots/201-message")))
    assert waited >= 17


def test_administration_of_one_bot_is_one_at_a_time() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        await asyncio.gather(
            *(client.bots.add_member(BOT, DOMAIN, f"u{n}") for n in range(5)),
            client.bots.patch(BOT, {"enableCallback": True}),
            client.bots.register_domain(BOT, DOMAIN),
            client.bots.delete_menu(BOT),
        )
        assert wire.peak == 1
        await asyncio.gather(*(client.bots.patch(n, {"enableCallback": True}) for n in range(5)))
        assert wire.peak == 5

    error, wire = run(use, wire={"latency_s": 0.1})
    assert error is None
    assert len(wire.seen) == 13


def test_messages_do_not_wait_for_administration() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        await asyncio.gather(
            client.bots.patch(BOT, {"enableCallback": True}), client.messages.to_user(BOT, "u1", Text("x"))
        )

    _, wire = run(use, wire={"latency_s": 0.1})
    assert wire.peak == 2


def test_rooms_are_built_ten_a_minute() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        await asyncio.gather(*(client.channels.create(BOT, [f"u{n}"], str(n)) for n in range(25)))

    error, wire = run(use, script((201, {"channelId": "c"})))
    assert error is None
    times = [seen.at for seen in wire.seen]
    assert all(later - earlier > 60 for earlier, later in zip(times, times[10:], strict=False))
    assert times[-1] < 125


REFUSED = {
    "room of nobody": lambda c: c.channels.create(BOT, []),
    "room of 101": lambda c: c.channels.create(BOT, [f"u{n}" for n in range(101)]),
    "room with one twice": lambda c: c.channels.create(BOT, ["u1", "u1"]),
    "title": lambda c: c.channels.create(BOT, ["u1"], "x" * 1001),
    "external key": lambda c: c.messages.to_user(BOT, "externalKey:S1", Text("x")),
    "menu of 5": lambda c: c.bots.set_menu(BOT, [MessageAction(label="x")] * 5),
    "menu postback": lambda c: c.bots.set_menu(BOT, [PostbackAction(label="x", data="x")]),
    "bot without name": lambda c: c.bots.create({**FORM, "botName": ""}),
    "4 administrators": lambda c: c.bots.patch(BOT, {"administrators": ["1", "2", "3", "4"]}),
    "long name": lambda c: c.bots.patch(BOT, {"botName": "x" * 101}),
    "program": lambda c: c.attachments.upload(BOT, "run.EXE", b"x"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_before_anything_is_sent(name: str) -> None:
    async def one(client: LineWorksClient, wire: Wire) -> None:
        await REFUSED[name](client)

    error, wire = run(one)
    assert isinstance(error, InvalidContent)
    assert not wire.seen


def test_a_room_of_a_hundred_is_asked_for() -> None:
    async def one(client: LineWorksClient, wire: Wire) -> Any:
        return await client.channels.create(BOT, [f"u{n}" for n in range(100)], "x" * 1000)

    assert run(one, script((201, {"channelId": "c"})))[0] == {"channelId": "c"}


def test_a_new_secret() -> None:
    async def one(client: LineWorksClient, wire: Wire) -> Any:
        return await client.bots.issue_secret(BOT)

    assert run(one, script((200, {"secret": "new"})))[0] == "new"
    assert isinstance(run(one, script((200, {})))[0], ProtocolViolation)


# -- files ----------------------------------------------------------------------------------------------

UP = {"fileId": "jp1.file", "uploadUrl": "https://apis-storage.worksmobile.com/up?key=one-off"}


async def upload(client: LineWorksClient, _: Wire) -> Any:
    return await client.attachments.upload(BOT, "避難所 地図.pdf", b"%PDF-1.7 ...")


def test_a_file_goes_up_in_two_steps_with_the_bearer() -> None:
    file_id, wire = run(upload, script((200, UP), 201))
    assert file_id == "jp1.file"
    first, second = wire.seen
    assert first.json == {"fileName": "避難所 地図.pdf"}
    assert (second.method, second.host) == ("POST", "apis-storage.worksmobile.com")
    assert second.token == "token-1"
    assert second.headers["content-type"].startswith("multipart/form-data")
    assert b'name="FileData"' in second.body
    assert b'name="resourceName"' in second.body
    assert b"%PDF-1.7" in second.body


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (500, OutcomeUnknown),
        (httpx.ReadError, OutcomeUnknown),
        (302, OutcomeUnknown),
        (httpx.ConnectError, TransportFailed),
        (403, PermissionDenied),
    ],
)
def test_an_upload_that_fails(answer: Any, kind: type[Exception]) -> None:
    async def twice(client: LineWorksClient, wire: Wire) -> None:
        for _ in range(2):
            with pytest.raises(kind):
                await upload(client, wire)

    error, wire = run(twice, lambda seen: (200, UP) if seen.host.startswith("www.") else answer)
    assert error is None
    assert len(wire.seen) == 4  # an address is used once; the first step is asked anew


@pytest.mark.parametrize(
    "url", ["https://evil.example/up", "http://apis-storage.worksmobile.com/up", "https://0.0.0.0/"]
)
def test_a_file_is_not_handed_to_strangers(url: str) -> None:
    error, wire = run(upload, script((200, {**UP, "uploadUrl": url}), 201))
    assert isinstance(error, ForeignLocation)
    assert len(wire.seen) == 1


def test_an_upload_without_address_is_a_violation() -> None:
    assert isinstance(run(upload, script((200, {"fileId": 5})))[0], ProtocolViolation)


def test_a_file_comes_down_through_a_redirect() -> None:
    def reply(seen: Seen) -> Any:
        if seen.host.startswith("www."):
            return httpx.Response(302, headers={"Location": "https://apis-storage.worksmobile.com/d"})
        return httpx.Response(200, content=b"\x00\x01")

    async def one(client: LineWorksClient, wire: Wire) -> Any:
        return await client.attachments.download(BOT, "jp1.file/+=")

    content, wire = run(one, reply)
    assert content == b"\x00\x01"
    assert wire.seen[0].target == "/v1.0/bots/2000001/attachments/jp1.file%2F%2B%3D"
    assert wire.seen[1].token == "token-1"
