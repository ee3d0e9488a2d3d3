"""How callbacks reach the ledger: in process, on a loopback port, not at all, followed from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from dotenv import dotenv_values
from pydantic import SecretStr

from bousai_kit.errors import ConfigError
from bousai_kit.settings import Settings, isolated_settings, load_settings
from bousai_kit.workbench import Workbench, open_workbench
from tests.receiver.lab import PATIENCE_S, TOKEN, running, signed, tap, until


async def subjects(bench: Workbench) -> list[str]:
    return [event.subject for event in await bench.ledger.read(stream="callbacks")]


async def bot_of(bench: Workbench) -> dict[str, object]:
    """The bot as it stands, but for when it was touched."""
    found = dict(await bench.client.bots.get(bench.bot_id))
    found.pop("modifiedTime", None)
    return found


# -- in process -----------------------------------------------------------------------------------------


def test_in_process_the_bots_callbacks_reach_the_ledger(tmp_path: Path) -> None:
    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            before = await bot_of(bench)
            sandbox: Any = bench.sandbox
            async with bench.receiving():
                assert (await bench.client.bots.get(bench.bot_id))["enableCallback"] is True
                transport = httpx.ASGITransport(sandbox.receiver_app)
                async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
                    raw = tap()
                    headers = signed(raw, secret=bench.bot_secret, bot=bench.bot_id)
                    assert (await http.post("/callback", content=raw, headers=headers)).status_code == 200
                    assert (await http.get("/events")).status_code == 404  # nobody follows from outside
            assert sandbox.receiver_app is None
            assert await bot_of(bench) == before
            assert await subjects(bench) == ["u1"]

    asyncio.run(main())


def test_entered_again_it_is_the_same_receiver(tmp_path: Path) -> None:
    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            sandbox: Any = bench.sandbox
            async with bench.receiving():
                app = sandbox.receiver_app
                async with bench.receiving():
                    assert sandbox.receiver_app is app
                assert sandbox.receiver_app is app  # the outer one still needs it

            async def one() -> Any:
                async with bench.receiving():
                    app = sandbox.receiver_app
                    await asyncio.sleep(0)
                    return app

            assert None not in await asyncio.gather(*(one() for _ in range(5)))
            assert sandbox.receiver_app is None
            with pytest.raises(ZeroDivisionError):
                async with bench.receiving():
                    raise ZeroDivisionError
            assert sandbox.receiver_app is None

    asyncio.run(main())


def test_closed_while_receiving_it_is_put_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            before = await bot_of(bench)
            async with bench.receiving():
                await bench.close()
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            assert await bot_of(bench) == before

    asyncio.run(main())


def test_off_connects_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        settings = isolated_settings(tmp_path).model_copy(update={"receiver": "off"})
        async with await open_workbench(settings=settings) as bench:
            before = await bot_of(bench)
            sandbox: Any = bench.sandbox
            async with bench.receiving():
                assert sandbox.receiver_app is None
                assert await bot_of(bench) == before

    asyncio.run(main())


# -- a loopback tenant ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """`bousai sandbox` as a process; its settings."""
    folder = tmp_path_factory.mktemp("served")
    env_file = folder / "sandbox.env"
    process = subprocess.Popen(
        [sys.executable, "-m", "bousai_kit", "sandbox", "--people", "2", "--env-file", str(env_file)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["ready"] is True
        yield {name: value or "" for name, value in dotenv_values(env_file, interpolate=False).items()}
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        process.stdout.close()


def test_embedded_on_a_loopback_tenant(served: dict[str, str], tmp_path: Path) -> None:
    async def main() -> None:
        settings = load_settings(environ={**served, "BOUSAI_HOME": str(tmp_path)}, cwd=tmp_path)
        async with await open_workbench(settings=settings) as bench:
            before = await bot_of(bench)
            async with bench.receiving(), httpx.AsyncClient(trust_env=False) as http:
                url = (await bench.client.bots.get(bench.bot_id))["callbackUrl"]
                assert urlsplit(url).hostname == "127.0.0.1"
                raw = tap()
                headers = signed(raw, secret=bench.bot_secret, bot=bench.bot_id)
                assert (await http.post(url, content=raw, headers=headers)).status_code == 200
                assert (await http.post(url, content=raw, headers=signed(raw))).status_code == 401
                assert await subjects(bench) == ["u1"]
            assert await bot_of(bench) == before
            async with httpx.AsyncClient(trust_env=False) as http:
                with pytest.raises(httpx.ConnectError):
                    await http.post(url, content=raw, headers=headers)

            async with bench.receiving():  # somebody else takes the bot over meanwhile
                await bench.client.bots.patch(bench.bot_id, {"callbackUrl": "http://127.0.0.1:9/callback"})
            now = await bench.client.bots.get(bench.bot_id)
            assert now["callbackUrl"] == "http://127.0.0.1:9/callback"

    asyncio.run(main())


def test_embedded_is_refused_elsewhere(tmp_path: Path) -> None:
    async def main() -> None:
        settings = Settings(
            profile="live", api_url="https://www.worksapis.com/v1.0", home=tmp_path, receiver="embedded",
            ledger_url=f"sqlite:///{tmp_path / 'ledger.db'}",
        )  # fmt: skip
        async with await open_workbench(settings=settings) as bench:
            with pytest.raises(ConfigError, match="embedded"):
                async with bench.receiving():
                    raise AssertionError("entered")

    asyncio.run(main())


# -- a receiver elsewhere ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "loopback.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


class Front:
    """What stands before a public receiver: TLS outside, plain HTTP to the process inside."""

    def __init__(self) -> None:
        self.target: str | None = None  # base URL of the receiver; None: it is down
        self.port = 0
        self.asked = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/callback"

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            if self.target is None:
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            else:
                line, *lines = head.decode().split("\r\n")
                headers = dict(one.split(": ", 1) for one in lines if ": " in one)
                async with httpx.AsyncClient(trust_env=False) as http:
                    answer = await http.get(
                        self.target + line.split(" ")[1],
                        headers={
                            "Authorization": headers.get("authorization", headers.get("Authorization", ""))
                        },
                    )
                writer.write(
                    f"HTTP/1.1 {answer.status_code} X\r\nContent-Length: {len(answer.content)}\r\n"
                    "Connection: close\r\n\r\n".encode()
                    + answer.content
                )
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def front(certificate: Path) -> AsyncIterator[Front]:
    made = Front()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(made._pass, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


def following(home: Path, url: str, token: str | None = TOKEN) -> Settings:
    """A city's notebook behind a firewall: its clock runs fast, so that polls come often."""
    origin = dt.datetime.now(dt.UTC).isoformat()
    return Settings(
        profile="live", api_url="http://127.0.0.1:9/v1.0", home=home, receiver=url,
        ledger_url=f"sqlite:///{home / 'ledger.db'}", time_scale=f"50@{origin}",
        receiver_token=None if token is None else SecretStr(token),
    )  # fmt: skip


async def post(url: str, *users: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        for n, user in enumerate(users):
            raw = tap(user, n)
            assert (await http.post(url, content=raw, headers=signed(raw))).status_code == 200


def test_followed_from_elsewhere(certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real receiver behind TLS: each event once, in order, across a break, a restart and a new start."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    here = tmp_path / "here"
    here.mkdir()

    async def main() -> None:
        async with front(certificate) as outside:
            with running(tmp_path / "there") as server:
                outside.target = server.base
                await post(server.url, "u0", "u1")
                async with await open_workbench(settings=following(here, outside.url)) as bench:
                    async with bench.receiving():
                        assert await subjects(bench) == ["u0", "u1"]  # what was there before
                        await post(server.url, "u2")

                        async def all_three() -> bool:
                            return await subjects(bench) == ["u0", "u1", "u2"]

                        await until(all_three)
                        outside.target = None  # it is down for a while: the drill goes on
                        asked = outside.asked
                        await until(lambda: outside.asked > asked)
                        await post(server.url, "u3")
                        outside.target = server.base
                        await until(lambda: _has(bench, "u3"))
                        await post(server.url, "u4")
                    assert "u4" in await subjects(bench)  # fetched once more at the end
                async with await open_workbench(settings=following(here, outside.url)) as bench:
                    async with bench.receiving():
                        pass
                    assert await subjects(bench) == ["u0", "u1", "u2", "u3", "u4"]
                    (first, *_) = await bench.ledger.read(stream="callbacks")
                    assert first.body["postback"] == "bk1|drill=d1|m=b01|a=0"
                    assert first.body["remote_seq"] == 1
                    assert (await bench.ledger.verify()).ok
            with running(tmp_path / "begun anew") as server:
                outside.target = server.base
                await post(server.url, "u0", "u9")
                async with await open_workbench(settings=following(here, outside.url)) as bench:
                    async with bench.receiving():
                        pass
                    assert await subjects(bench) == ["u0", "u1", "u2", "u3", "u4", "u9"]

    asyncio.run(main())


async def _has(bench: Workbench, user: str) -> bool:
    return user in await subjects(bench)


def test_a_wrong_token_or_address_is_said_before_anything_is_sent(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def enter(settings: Settings) -> ConfigError:
        async with await open_workbench(settings=settings) as bench:
            with pytest.raises(ConfigError) as caught:
                async with bench.receiving():
                    raise AssertionError("entered")
            return caught.value

    async def main() -> None:
        async with front(certificate) as outside:
            with running(tmp_path / "there") as server:
                outside.target = server.base
                wrong = await enter(following(tmp_path, outside.url, "another-token-0123"))
                assert wrong.setting == "BOUSAI_RECEIVER_TOKEN"
                assert "401" in str(wrong)
                assert "another-token" not in wrong.sentence()
                missing = await enter(following(tmp_path, outside.url, None))
                assert missing.setting == "BOUSAI_RECEIVER_TOKEN"
                outside.target = server.base + "/nowhere"
                assert "404" in str(await enter(following(tmp_path, outside.url)))
            outside.target = None
            assert "502" in str(await enter(following(tmp_path, outside.url)))
            url = outside.url
        gone = await enter(following(tmp_path, url))
        assert "つながりません" in str(gone)
        assert gone.setting == "BOUSAI_RECEIVER"

    asyncio.run(main())


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)

    async def main() -> None:
        async with (
            front(certificate) as outside,
            await open_workbench(settings=following(tmp_path, outside.url)) as bench,
        ):
            with pytest.raises(ConfigError, match="つながりません"):
                async with bench.receiving():
                    raise AssertionError("entered")
            assert outside.asked == 0  # the token did not leave

    asyncio.run(main())


@pytest.mark.parametrize(
    "junk",
    [b"", b"<html>", b"[]", b"{}", b'{"events": 5, "head": 1}', b'{"events": [{"seq": "x"}], "head": 1}',
     b'{"events": [{"seq": 1, "kind": "k", "subject": "s", "body": [1]}], "head": 1}'],
)  # fmt: skip
def test_what_is_no_receiver_is_named(
    junk: bytes, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(junk) + junk
            )
            await writer.drain()
            writer.close()

        inside = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with front(certificate) as outside, inside:
            outside.target = f"http://127.0.0.1:{inside.sockets[0].getsockname()[1]}"
            async with await open_workbench(settings=following(tmp_path, outside.url)) as bench:
                with pytest.raises(ConfigError, match="読み取れません"):
                    async with bench.receiving():
                        raise AssertionError("entered")
                assert await subjects(bench) == []

    asyncio.run(main())
