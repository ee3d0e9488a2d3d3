"""The hosts called as no good server or client would: nothing raises, nothing hangs, nothing is half done."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from bousai_kit.sandbox import asgi
from bousai_kit.sandbox.asgi import HostApp
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.sandbox.gate import Dropped
from tests.sandbox.botlab import Lab, lab, uid
from tests.sandbox.test_sockets import on_sockets
from tests.sandbox.test_sockets import trial as socket_trial

HOSTS = ("api", "auth", "storage", "admin", "line")
Message = dict[str, Any]


def trial(test: Callable[[Lab], Awaitable[None]], **more: Any) -> None:
    async def run() -> None:
        async with lab(2, **more) as bench:
            await asyncio.wait_for(test(bench), 60)

    asyncio.run(run())


def scope_of(bench: Lab, **more: Any) -> Message:
    path = more.pop("path", f"/v1.0/bots/{bench.bot}/users/{uid(1)}/messages")
    token = bench.headers["Authorization"].encode()
    return {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(b"authorization", token), (b"content-type", b"application/json")],
        **more,
    }  # fmt: skip


async def call(bench: Lab, scope: Message, *messages: Message, host: str = "api", then: Any = None) -> Any:
    """Status and JSON of the answer; `then`: what `receive` does when the messages are used up."""
    waiting, sent = list(messages), []

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        return await then() if then is not None else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await HostApp(bench.sandbox, host)(scope, receive, send)
    if not sent or sent[0]["type"] != "http.response.start":
        return sent
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], json.loads(body) if body else None


def part(data: bytes, more: bool = True) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


GOOD = json.dumps({"content": {"type": "text", "text": "【訓練】連絡です。"}}).encode()


# -- bodies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1 << 16])
@pytest.mark.parametrize("ready", [True, False])
def test_a_body_that_never_ends_is_answered(size: int, ready: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large pieces: 413 once it is too large; small or empty ones: 408 once it takes too long."""
    monkeypatch.setattr(asgi, "BODY_WAIT_S", 0.3)
    monkeypatch.setattr(asgi, "DRAIN", 8 << 20)

    async def test(bench: Lab) -> None:
        async def again() -> Message:
            if not ready:
                await asyncio.sleep(0)
            return part(b" " * size)

        status, answer = await call(bench, scope_of(bench), then=again)
        assert status == (413 if size > 1 else 408)
        assert set(answer) == {"code", "description"}
        assert bench.truth()["messages"] == []
        assert (await bench.text(1)).status_code == 201

    trial(test)


def test_a_body_that_comes_in_drops_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece comes in time; all of them do not: the limit is for the whole body."""
    monkeypatch.setattr(asgi, "BODY_WAIT_S", 0.2)

    async def test(bench: Lab) -> None:
        pieces = 0

        async def drop() -> Message:
            nonlocal pieces
            pieces += 1
            await asyncio.sleep(0.05)
            return part(b" ")

        status, _ = await call(bench, scope_of(bench), then=drop)
        assert status == 408
        assert 1 <= pieces <= 6

    trial(test)


@pytest.mark.parametrize("host", ["api", "auth", "storage", "admin"])
def test_a_client_that_sends_nothing_is_not_waited_for_without_end(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "BODY_WAIT_S", 0.1)
    paths = {"api": None, "auth": "/oauth2/v2.0/token", "storage": "/uploads/x", "admin": "/login"}

    async def test(bench: Lab) -> None:
        async def never() -> Message:
            await asyncio.Event().wait()
            raise AssertionError

        path = {"path": paths[host]} if paths[host] else {}
        status, answer = await call(bench, scope_of(bench, **path), part(b"{"), host=host, then=never)
        assert (status, answer["code"]) == (408, "REQUEST_TIMEOUT")

    trial(test)


@pytest.mark.parametrize("at", range(4))
def test_a_client_that_goes_away_in_the_middle_of_a_body_has_asked_nothing(at: int) -> None:
    async def test(bench: Lab) -> None:
        pieces = [part(GOOD[n : n + 20]) for n in range(0, 20 * at, 20)]
        with pytest.raises(Dropped) as dropped:
            await call(bench, scope_of(bench), *pieces)
        assert not dropped.value.processed
        assert bench.truth()["messages"] == []
        assert bench.sandbox.running == set()

    trial(test)


@pytest.mark.parametrize("after", [True, False])
def test_a_client_that_goes_away_during_a_slow_answer_leaves_no_task(after: bool) -> None:
    async def test(bench: Lab) -> None:
        status, _ = await call(bench, scope_of(bench), part(GOOD, more=False))
        assert status == 201
        assert bench.sandbox.running == set()

    trial(test, faults=FaultPlan([Fault("slow", on="messages.*", seconds=60.0, after=after)]))


@pytest.mark.parametrize("length", [b"0", b"5", b"999999999999", b"-1", b"x", b"", b"\xff"])
def test_what_content_length_says_is_not_believed(length: bytes) -> None:
    """A server in front checks it; what counts here is what came."""

    async def test(bench: Lab) -> None:
        scope = scope_of(bench)
        scope["headers"].append((b"content-length", length))
        status, _ = await call(bench, scope, part(GOOD[:30]), part(GOOD[30:], more=False))
        assert status == 201

    trial(test)


# -- methods, paths, headers ------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    "method", ["HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "", "G\x00T", "あ"]
)
def test_other_methods_are_no_api(host: str, method: str) -> None:
    async def test(bench: Lab) -> None:
        for path in ("/v1.0/users", "/oauth2/v2.0/token", "/truth", "/", "", "//", "/v1.0", "/v1.0/"):
            status, answer = await call(bench, scope_of(bench, method=method, path=path), host=host)
            assert (status, answer["code"]) == (404, "NOT_FOUND")

    trial(test)


def test_a_scope_without_a_raw_path_is_read_from_the_decoded_one() -> None:
    async def test(bench: Lab) -> None:
        for name in ("s00001@city-demo", "a%2Fb", "あ", "%", "\udcff"):
            scope = scope_of(
                bench, method="GET", path=f"/v1.0/users/{name}".encode(errors="replace").decode()
            )
            scope |= {"raw_path": None, "path": f"/v1.0/users/{name}"}
            status, _ = await call(bench, scope)
            assert status == (200 if "@" in name else 404)

    trial(test)


def test_a_bomb_of_headers_is_taken_in_its_stride() -> None:
    async def test(bench: Lab) -> None:
        token = (b"authorization", bench.headers["Authorization"].encode())
        for bomb in (
            [(b"x-%d" % n, b"y") for n in range(20_000)],
            [(b"x", b"y" * 100)] * 5_000,
            [(b"x" * (1 << 20), b"y" * (1 << 20))],
            [(b"\xff\x00", b"\xff\x00\r\n")],
            [(b"", b"")] * 3,
        ):
            scope = scope_of(bench, method="GET", path=f"/v1.0/bots/{bench.bot}", headers=[*bomb, token])
            assert (await call(bench, scope))[0] == 200
        for value in (b"Bearer " + b"x" * (1 << 20), b"\xff\xfe", b"Bearer", b"Bearer \x00", b"Bearer a b"):
            scope = scope_of(bench, method="GET", headers=[(b"authorization", value)])
            scope |= {"path": "/v1.0/bots", "raw_path": b"/v1.0/bots"}
            status, answer = await call(bench, scope)
            assert (status, answer["code"]) == (401, "UNAUTHORIZED")

    trial(test)


def test_a_huge_path_and_a_huge_query_are_refused() -> None:
    async def test(bench: Lab) -> None:
        deep = scope_of(bench, method="GET", path="/v1.0" + "/x" * 100_000)
        long = scope_of(bench, method="GET", path="/v1.0/users/" + "x" * 1_000_000)
        assert (await call(bench, deep))[0] == (await call(bench, long))[0] == 404
        wide = scope_of(bench, method="GET", path="/v1.0/bots", query_string=b"a=b&" * 100_000)
        assert (await call(bench, wide))[0] == 400
        flat = scope_of(bench, method="GET", path="/v1.0/bots", query_string=b"a=" + b"%41" * 300_000)
        assert (await call(bench, flat))[0] == 200

    trial(test)


@pytest.mark.parametrize("host", HOSTS)
def test_other_kinds_of_connections_end_at_once(host: str) -> None:
    async def test(bench: Lab) -> None:
        kept = [{"type": "websocket.connect"}]
        closed = await call(bench, scope_of(bench, type="websocket"), *kept, host=host)
        assert closed == [{"type": "websocket.close", "code": 1000}]
        assert await call(bench, {"type": "lifespan"}, {"type": "lifespan.startup"}, host=host) == []
        assert await call(bench, {"type": "something-new"}, host=host) == []

    trial(test)


# -- on sockets -------------------------------------------------------------------------------------


async def spoken(bench: Lab, *pieces: bytes, until: bytes = b"") -> bytes:
    """What the API's port says to some bytes: all until it closes, or until `until` has been said."""
    port = httpx.URL(bench.sandbox.api_url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(10):
            while more := await reader.read(1 << 16):
                heard += more
                if until and until in heard:
                    break
    except ConnectionError:
        pass
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return heard


def test_a_socket_that_promises_a_body_and_waits_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "BODY_WAIT_S", 0.2)

    async def test(bench: Lab) -> None:
        head = f"POST /v1.0/bots/{bench.bot}/users/{uid(1)}/messages HTTP/1.1\r\nHost: x\r\n".encode()
        head += b"Authorization: " + bench.headers["Authorization"].encode() + b"\r\n"
        for rest in (
            b"Content-Length: 100\r\n\r\n{",
            b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
            b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        ):
            assert b" 408 " in await spoken(bench, head + rest, until=b" 408 "), rest
        assert bench.truth()["messages"] == []
        assert (await bench.text(1)).status_code == 201

    socket_trial(test)


def test_a_socket_that_closes_in_the_middle_leaves_nothing_running() -> None:
    async def run() -> None:
        async with on_sockets() as bench:
            head = f"POST /v1.0/bots/{bench.bot}/users/{uid(1)}/messages HTTP/1.1\r\nHost: x\r\n".encode()
            head += b"Authorization: " + bench.headers["Authorization"].encode() + b"\r\n"
            for cut in (20, len(head), len(head) + 15, len(head) + 40):
                whole = head + b"Content-Length: 100\r\n\r\n" + GOOD
                port = httpx.URL(bench.sandbox.api_url).port
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(whole[:cut])
                await writer.drain()
                writer.transport.abort()
            assert (await bench.text(1)).status_code == 201
            await asyncio.wait_for(asyncio.gather(*bench.sandbox.running, return_exceptions=True), 10)
            assert len(bench.truth()["messages"]) == 1

    asyncio.run(run())


def test_head_and_other_methods_on_a_socket_keep_the_connection_in_step() -> None:
    async def test(bench: Lab) -> None:
        token = b"Host: x\r\nAuthorization: " + bench.headers["Authorization"].encode() + b"\r\n"
        last = b"GET /v1.0/bots HTTP/1.1\r\nConnection: close\r\n" + token + b"\r\n"
        for method in (b"HEAD", b"OPTIONS", b"TRACE", b"DELETE"):
            first = method + b" /v1.0/bots HTTP/1.1\r\n" + token + b"\r\n"
            answer = await spoken(bench, first, last)
            assert answer.startswith(b"HTTP/1.1 404"), method
            assert answer.count(b"HTTP/1.1 ") == 2
            assert b"HTTP/1.1 200" in answer
            assert (b"Api not exists" in answer) == (method != b"HEAD"), "HEAD has no body"
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n"
        answer = await spoken(
            bench, b"GET /v1.0/ws HTTP/1.1\r\n" + token + upgrade + b"\r\n", until=b"exists"
        )
        assert answer.startswith(b"HTTP/1.1 404")

    socket_trial(test)


def test_a_socket_with_megabytes_of_headers_does_no_harm() -> None:
    async def test(bench: Lab) -> None:
        many = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(2000))
        first = b"GET /v1.0/bots HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        answer = await spoken(bench, first, many, b"\r\n")
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        assert (await bench.text(1)).status_code == 201

    socket_trial(test)
