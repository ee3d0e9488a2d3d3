"""Real sockets on loopback: what left this machine and what did not, idle connections, proxies."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from bousai_kit.clock import SystemClock, VirtualClock
from bousai_kit.errors import OutcomeUnknown, ProtocolViolation, TransportFailed
from bousai_kit.lineworks.client import LineWorksClient, Shared, build_http
from bousai_kit.lineworks.retry import Patience
from tests.lineworks.wirelab import START, account

TOKEN = b'{"access_token": "t", "expires_in": "86400"}'
Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]
ONCE = Patience(repeats=0, unsent=0, refusals=0)


def answer(status: int, body: bytes = b"{}", *more: bytes) -> bytes:
    head = [f"HTTP/1.1 {status} x".encode(), b"Content-Length: " + str(len(body)).encode(), *more]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


@contextlib.asynccontextmanager
async def listening(handle: Handle) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server; its base, and the request lines that it saw."""
    seen: list[bytes] = []

    tasks: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), contextlib.closing(writer):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                if length:
                    await reader.readexactly(int(length[0].split(b":")[1]))
                seen.append(head.split(b"\r\n")[0])
                if b"/token " in seen[-1]:
                    writer.write(answer(200, TOKEN))
                else:
                    await handle(reader, writer, seen[-1])
                await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # transports that were closed end a turn later


def client_for(http: httpx.AsyncClient, base: str, **more: Any) -> LineWorksClient:
    clock = more.pop("clock", None) or SystemClock()
    return LineWorksClient(
        http,
        account=account(),
        api_url=f"{base}/v1.0",
        auth_url=f"{base}/oauth2/v2.0",
        domain_id=1,
        clock=clock,
        random=random.Random(1),
        shared=Shared(clock=clock),
        **{"patience": ONCE, **more},
    )


def run(
    handle: Handle, use: Callable[[LineWorksClient], Awaitable[Any]], **more: Any
) -> tuple[Any, list[bytes]]:
    async def main() -> tuple[Any, list[bytes]]:
        async with (
            listening(handle) as (base, seen),
            build_http(timeout_s=more.pop("timeout_s", 5.0)) as http,
        ):
            try:
                return await use(client_for(http, base, **more)), seen
            except Exception as error:
                return error, seen

    return asyncio.run(main())


async def send(client: LineWorksClient) -> Any:
    return await client.messages.to_user(1, "u1", {"type": "text", "text": "x"})


def abort(writer: asyncio.StreamWriter) -> None:
    """A reset, not a polite end."""
    found = writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
    abort(writer)


async def vanish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
    writer.close()


async def half_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
    writer.write(b"HTTP/1.1 201 Crea")
    writer.close()


async def half_a_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
    writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{")
    writer.close()


async def no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
    writer.write(b"\x15\x03\x01\x00\x02\x02F\r\n\r\n")
    writer.close()


async def bad_gzip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
    writer.write(answer(201, b"no gzip at all", b"Content-Encoding: gzip"))


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
    await asyncio.sleep(30)


@pytest.mark.parametrize("handle", [reset, vanish, half_a_head, half_a_body, no_http, bad_gzip])
def test_a_post_whose_answer_broke_is_unknown(handle: Handle) -> None:
    error, seen = run(handle, send)
    assert isinstance(error, OutcomeUnknown)
    assert sum(b"/messages " in line for line in seen) == 1


def test_a_post_that_got_no_answer_in_time_is_unknown() -> None:
    error, seen = run(silence, send, timeout_s=0.2)
    assert isinstance(error, OutcomeUnknown)
    assert sum(b"/messages " in line for line in seen) == 1


def test_an_answer_that_drips_without_end_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
        writer.write(b"HTTP/1.1 201 x\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    monkeypatch.setattr("bousai_kit.lineworks.exchange.WHOLE_S", 0.5)
    error, seen = run(drip, send)
    assert isinstance(error, OutcomeUnknown)
    assert sum(b"/messages " in line for line in seen) == 1


def test_a_refused_connection_is_certainly_not_processed() -> None:
    async def main() -> Any:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]

        async def fine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
            writer.write(answer(201))

        async with listening(fine) as (base, _), build_http() as http:
            client = client_for(http, base)
            await client.auth.token()
            client._exchange._api = f"http://127.0.0.1:{port}/v1.0"  # the API is down, the auth host is not
            with pytest.raises(TransportFailed) as caught:
                await send(client)
            return caught.value

    assert "送信されていません" in str(asyncio.run(main()))


def test_a_certificate_that_nobody_believes_is_named(tmp_path: Path) -> None:
    """A device that inspects the town hall's traffic: no waiting, and the hint says what to set."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    day = datetime(2027, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(day - timedelta(days=3650))
        .not_valid_after(day + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "c.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem")

    async def main() -> None:
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        try:
            async with build_http() as http:
                client = client_for(http, f"https://localhost:{port}", patience=Patience())
                for call in (send(client), client.bots.get(1)):
                    with pytest.raises(TransportFailed) as caught:
                        await call
                    assert "SSL_CERT_FILE" in caught.value.hint
        finally:
            server.close()

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 5  # the back-off would take more than a minute


def test_a_name_that_nobody_knows_is_certainly_not_processed() -> None:
    async def main() -> None:
        async with build_http() as http:
            client = client_for(http, "https://no-such-host.invalid", real_network=True)
            with pytest.raises(TransportFailed):
                await send(client)

    asyncio.run(main())


def test_an_idle_connection_that_the_server_closed_costs_no_message() -> None:
    """The kit sees the end before it sends: a POST that dies on a dead connection would be unknown."""

    async def close_after(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
        writer.write(answer(201))
        await writer.drain()
        writer.close()

    async def use(client: LineWorksClient) -> int:
        for number in range(20):
            await client.messages.to_user(1, f"u{number}", {"type": "text", "text": "x"})
            await asyncio.sleep(0.01)
        return 20

    found, seen = run(close_after, use)
    assert found == 20
    assert sum(b"/messages " in line for line in seen) == 20


def test_cancelled_in_the_air_leaves_gate_and_pool_usable() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
        await asyncio.sleep(0.05)
        writer.write(answer(201))

    async def use(client: LineWorksClient) -> int:
        for round_ in range(3):
            tasks = [
                asyncio.create_task(
                    client.messages.to_user(1, f"u{round_}-{n}", {"type": "text", "text": "x"})
                )
                for n in range(20)
            ]
            await asyncio.sleep(0.03)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert client.gate._inside == 0
        await asyncio.gather(
            *(client.messages.to_user(1, f"last-{n}", {"type": "text", "text": "x"}) for n in range(20))
        )
        return client.gate._inside

    found, _ = run(slow, use)
    assert found == 0


def test_a_virtual_clock_waits_for_a_real_answer() -> None:
    """While a request is under way nothing jumps: a sleeper of an hour is still asleep when it comes."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
        await asyncio.sleep(0.05)
        writer.write(answer(201))

    clock = VirtualClock(START)

    async def use(client: LineWorksClient) -> float:
        sleeper = asyncio.create_task(clock.sleep(3600))
        await client.auth.token()
        before = clock.monotonic()
        await send(client)
        after = clock.monotonic()
        sleeper.cancel()
        return after - before

    found, _ = run(slow, use, clock=clock)
    assert found == 0


def test_loopback_is_never_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    async def fine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
        writer.write(answer(201))

    found, _ = run(fine, send)
    assert not isinstance(found, Exception)


def test_the_environments_proxy_is_honoured_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that refuses: nothing has left, and the sentence names the proxy."""
    asked: list[bytes] = []

    async def main() -> Any:
        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
            writer.write(answer(403, b""))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(proxy, "127.0.0.1", 0)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        try:
            async with build_http() as http:
                with pytest.raises(TransportFailed) as caught:
                    await send(client_for(http, "https://www.worksapis.com"))
                return caught.value
        finally:
            server.close()

    error = asyncio.run(main())
    assert "HTTPS_PROXY" in error.hint
    assert asked == [b"CONNECT www.worksapis.com:443 HTTP/1.1"]


def test_a_huge_head_is_no_answer() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n")
        writer.close()

    async def look(client: LineWorksClient) -> Any:
        return await client.bots.get(1)

    error, _ = run(endless, look)
    assert isinstance(error, TransportFailed)


def test_a_login_page_in_place_of_the_api_is_a_violation() -> None:
    """A captive portal answers 200 with HTML."""

    async def portal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> None:
        writer.write(answer(200, b"<html>login</html>", b"Content-Type: text/html"))

    async def look(client: LineWorksClient) -> Any:
        return await client.bots.get(1)

    error, _ = run(portal, look)
    assert isinstance(error, ProtocolViolation)


def test_sniffio_is_looked_for_once() -> None:
    asyncio.run(build_http().aclose())
    assert "sniffio" in sys.modules
