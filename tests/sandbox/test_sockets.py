"""The same hosts on real sockets: broken connections, large bodies, odd bytes, many at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from bousai_kit.clock import SystemClock
from bousai_kit.errors import ConfigError
from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.sandbox.serve import HOSTS, serve_hosts
from tests.sandbox.botlab import SILENT, Lab, new_tenant, opened, tls, uid

FEW = httpx.Limits(max_connections=16)  # more of them only make httpx slow


@contextlib.asynccontextmanager
async def on_sockets(people: int = 5, **more: Any) -> AsyncIterator[Lab]:
    """A lab whose client goes through sockets."""
    clock = SystemClock(speed=more.pop("speed", 100.0))
    async with (
        opened(new_tenant(people), clock=clock, **{"choices": SILENT, **more}) as bench,
        serve_hosts(bench.sandbox),
        httpx.AsyncClient(trust_env=False, timeout=20, verify=tls(), limits=FEW) as http,
    ):
        yield Lab(bench.sandbox, http, bench.receiver)


def trial(test: Callable[[Lab], Awaitable[None]], **more: Any) -> None:
    async def run() -> None:
        async with on_sockets(**more) as bench:
            await test(bench)

    asyncio.run(run())


def test_each_host_has_a_port_of_its_own_and_knows_only_its_own_paths() -> None:
    async def test(bench: Lab) -> None:
        box = bench.sandbox
        urls = (box.api_url, box.auth_url, box.storage_url, box.admin_url, box.line_url)
        ports = {httpx.URL(url).port for url in urls}
        assert len(ports) == len(HOSTS) == 5
        assert box.hosts() == ("127.0.0.1",)
        api = httpx.URL(box.api_url)
        crossed = await bench.http.get(f"http://127.0.0.1:{api.port}/truth", headers=bench.headers)
        assert crossed.status_code == 404
        answer = await bench.api("GET", f"/bots/{bench.bot}")
        assert answer.status_code == 200
        assert "server" not in answer.headers
        assert len(answer.headers.get_list("date")) == 1

    trial(test)


@pytest.mark.parametrize(("kind", "sent"), [("refuse", 0), ("drop", 1)])
def test_a_connection_breaks_without_a_byte(kind: str, sent: int) -> None:
    async def test(bench: Lab) -> None:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await bench.text(1)
        assert len(bench.truth()["messages"]) == sent
        assert (await bench.text(2)).status_code == 201

    trial(test, faults=FaultPlan([Fault(kind, on="messages.*", nth=(1,))]))


def test_a_client_that_goes_away_does_not_undo_what_it_asked_for() -> None:
    async def test(bench: Lab) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await bench.http.post(
                f"{bench.sandbox.api_url}/bots/{bench.bot}/users/{uid(1)}/messages",
                json={"content": {"type": "text", "text": "あ"}},
                headers=bench.headers,
                timeout=httpx.Timeout(5, read=0.05),
            )
        await bench.clock.sleep(40)
        assert len(bench.truth()["messages"]) == 1

    trial(test, faults=FaultPlan([Fault("slow", on="messages.*", seconds=20.0)]))


def test_many_at_once_are_each_answered_once() -> None:
    async def test(bench: Lab) -> None:
        answers = await asyncio.gather(
            *(bench.text(1 + number % 5, f"【訓練】{number}") for number in range(240))
        )
        assert {answer.status_code for answer in answers} == {201}
        remaining = sorted(int(answer.headers["ratelimit-remaining"]) for answer in answers)
        assert remaining == list(range(240))
        texts = [message["text"] for message in bench.truth()["messages"]]
        assert len(set(texts)) == len(texts) == 240

    trial(test, speed=1.0)


async def raw(bench: Lab, data: bytes) -> bytes:
    """What the API's port answers to some bytes."""
    port = httpx.URL(bench.sandbox.api_url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(65536), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def test_odd_bytes_are_refused_and_break_nothing() -> None:
    async def test(bench: Lab) -> None:
        token = bench.headers["Authorization"].encode()
        head = b"Host: x\r\nAuthorization: " + token + b"\r\n"
        for data in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
            b"GET /v1.0/\xff\xfe HTTP/1.1\r\n" + head + b"\r\n",
            b"GET /v1.0/bots/%00 HTTP/1.1\r\n" + head + b"\r\n",
            b"GET http://elsewhere.invalid/v1.0/bots HTTP/1.1\r\n" + head + b"\r\n",
            b"POST /v1.0/bots HTTP/1.1\r\n" + head + b"Content-Length: 5\r\n\r\n{",
            b"POST /v1.0/bots HTTP/1.1\r\n" + head + b"Content-Length: x\r\n\r\n",
            b"POST /v1.0/bots HTTP/1.1\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET /v1.0/bots?" + b"a=b&" * 200 + b" HTTP/1.1\r\n" + head + b"\r\n",
            b"FOO /v1.0/bots HTTP/1.1\r\n" + head + b"\r\n",
            b"GET /v1.0/bots HTTP/1.1\r\nAuthorization: \xff\xfe\r\nHost: x\r\n\r\n",
        ):
            answer = await raw(bench, data)
            assert not answer.startswith(b"HTTP/1.1 5"), data[:40]
            assert not answer.startswith(b"HTTP/1.1 20"), data[:40]
        assert bench.sandbox.defects == []
        assert (await bench.text(1)).status_code == 201

    trial(test)


def test_a_large_body_is_refused_while_it_comes() -> None:
    async def test(bench: Lab) -> None:
        big = b'{"content":{"type":"text","text":"' + b"x" * (10 << 20) + b'"}}'
        answer = await bench.http.post(
            f"{bench.sandbox.api_url}/bots/{bench.bot}/users/{uid(1)}/messages",
            content=big,
            headers={**bench.headers, "Content-Type": "application/json"},
        )
        assert answer.status_code == 413
        assert bench.truth()["messages"] == []

    trial(test)


def test_a_port_in_use_leaves_nothing_open() -> None:
    async def run() -> None:
        async with opened(new_tenant(1), clock=SystemClock(), choices=SILENT) as one:
            async with serve_hosts(one.sandbox):
                port = httpx.URL(one.sandbox.api_url).port or 0
                async with opened(new_tenant(1), clock=SystemClock(), choices=Choices()) as two:
                    with pytest.raises(ConfigError) as caught:
                        async with serve_hosts(two.sandbox, port=port):
                            pass
                    assert str(port) in str(caught.value)
            async with serve_hosts(one.sandbox, port=port):
                assert httpx.URL(one.sandbox.api_url).port == port

    asyncio.run(run())
