"""The way to LINE WORKS and back on real sockets: proxies, certificates, and a receiver elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from bousai_kit.clock import SystemClock
from bousai_kit.doctor import Check, examine
from bousai_kit.doctor.road import unreachable
from bousai_kit.ledger import Ledger
from bousai_kit.receiver import build_receiver
from bousai_kit.settings import Settings, isolated_settings
from bousai_kit.workbench import open_workbench

PASSWORD = "pr0xy-passw0rd"
TOKEN = "token-0123456789"


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def answering(raw: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that says one thing to everybody; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def of_a_city(home: Path, **changes: Any) -> Settings:
    """Settings of a tenant whose names nobody resolves; no key is there."""
    fields: dict[str, Any] = {
        "profile": "example-city", "api_url": "https://api.invalid/v1.0", "home": home,
        "auth_url": "https://auth.invalid/oauth2/v2.0", "ledger_url": f"sqlite:///{home / 'ledger.db'}",
    }  # fmt: skip
    return Settings(**{**fields, **changes})


async def seen(settings: Settings) -> dict[str, Check]:
    async with await open_workbench(settings=settings) as bench:
        found = await examine(bench)
        text = found.render_text()
        assert "予期しない誤り" not in text, text
        assert PASSWORD not in text
        assert TOKEN not in text
        return {check.name: check for check in found.checks}


def certificate(folder: Path, *, days: tuple[int, int] = (-1, 1)) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test of loopback")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=days[0]))
        .not_valid_after(now + dt.timedelta(days=days[1]))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "loopback.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def tls(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


# -- the way there --------------------------------------------------------------------------------------


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    checks = asyncio.run(seen(of_a_city(tmp_path)))
    assert checks["proxy"].detail == "プロキシは設定されていません（直接つなぎます）。"
    assert "「auth.invalid」の名前を解決できません" in checks["network:auth"].detail
    assert "HTTPS_PROXY" in checks["network:auth"].hint
    assert checks["clock"].unseen


@pytest.mark.parametrize(
    ("answer", "detail", "hint"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "（407）", "利用者名:パスワード@"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "「auth.invalid」への接続を断りました（403）", "許可リスト"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "断りました（502）", "許可リスト"),
        (b"junk", "プロキシの先の「auth.invalid」につながりません", "ファイアウォール"),
    ],
)
def test_a_proxy_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, detail: str, hint: str
) -> None:
    async def main() -> None:
        async with answering(answer) as port:
            monkeypatch.setenv("HTTPS_PROXY", f"http://city:{PASSWORD}@127.0.0.1:{port}")
            checks = await seen(of_a_city(tmp_path))
        assert checks["proxy"].ok
        assert detail in checks["network:auth"].detail
        assert hint in checks["network:auth"].hint

    asyncio.run(main())


@pytest.mark.parametrize(
    ("proxy", "detail"),
    [
        ("http://127.0.0.1:{closed}", "つながりません"),
        ("http://proxy.invalid:8080", "「proxy.invalid」が見つかりません"),
        ("127.0.0.1:{closed}", "つながりません"),
        ("http://[::bad", "読み取れません"),
        ("http://127.0.0.1:port", "読み取れません"),
        ("socks5://127.0.0.1:1080", "読み取れません"),
        ("＠＠", ""),
    ],
)
def test_a_proxy_setting_that_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, detail: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.replace("{closed}", str(closed_port())))
    checks = asyncio.run(seen(of_a_city(tmp_path)))
    assert not checks["proxy"].ok
    assert detail in checks["proxy"].detail
    assert "HTTPS_PROXY" in checks["proxy"].hint


def test_certificates_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere.pem"))
    checks = asyncio.run(seen(of_a_city(tmp_path, auth_url="https://127.0.0.1:9/oauth2/v2.0")))
    assert "SSL_CERT_FILE" in checks["network:auth"].detail
    (tmp_path / "nowhere.pem").write_text("junk")
    checks = asyncio.run(seen(of_a_city(tmp_path, auth_url="https://127.0.0.1:9/oauth2/v2.0")))
    assert "SSL_CERT_FILE" in checks["network:auth"].detail


def test_who_stands_between_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that nobody signed, as an inspecting proxy shows it; and the same once it is known."""
    path = certificate(tmp_path)
    answer = b"HTTP/1.1 404 X\r\nDate: Fri, 01 Jan 2027 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"

    async def main() -> None:
        async with answering(answer, tls(path)) as port:
            city = of_a_city(tmp_path, auth_url=f"https://127.0.0.1:{port}/oauth2/v2.0")
            checks = await seen(city)
            assert "証明書を確認できません" in checks["network:auth"].detail
            assert "SSL_CERT_FILE" in checks["network:auth"].hint
            monkeypatch.setenv("SSL_CERT_FILE", str(path))
            checks = await seen(city)
            assert checks["network:auth"].ok
            assert "時計が約" in checks["clock"].detail  # and that server's is far from ours

    asyncio.run(main())


def test_a_date_outside_of_the_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = certificate(tmp_path, days=(-9, -2))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))

    async def main() -> None:
        async with answering(b"", tls(path)) as port:
            checks = await seen(of_a_city(tmp_path, auth_url=f"https://127.0.0.1:{port}/oauth2/v2.0"))
            assert "有効期間の外" in checks["network:auth"].detail
            assert "NTP" in checks["network:auth"].hint

    asyncio.run(main())


@pytest.mark.parametrize("kind", [httpx.ConnectTimeout, httpx.ReadTimeout])
def test_silence_is_a_firewalls(kind: type[httpx.RequestError]) -> None:
    assert "ファイアウォール" in unreachable(kind("slow"), "www.worksapis.com", through=False).hint


# -- the way back ---------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def receiver_elsewhere(
    folder: Path, *, bot_secret: str, bot_id: int, token: str | None, context: ssl.SSLContext
) -> AsyncIterator[tuple[str, Ledger]]:
    """`bousai receiver` behind TLS on a socket; its callback URL and its ledger."""
    import uvicorn

    clock = SystemClock()
    async with await Ledger.open(f"sqlite:///{folder / 'elsewhere.db'}", clock=clock) as ledger:
        app = build_receiver(ledger, bot_secret=bot_secret, bot_id=bot_id, token=token, clock=clock)
        config = uvicorn.Config(app, log_level="error", lifespan="off", ws="none")
        config.load()
        config.ssl = context
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            task = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started:  # noqa: ASYNC110 - uvicorn offers nothing to wait for
                await asyncio.sleep(0.01)
            try:
                yield f"https://127.0.0.1:{listener.getsockname()[1]}/callback", ledger
            finally:
                server.should_exit = True
                await task


Look = Callable[..., Awaitable[Check]]


def with_receiver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[[Look], Awaitable[None]],
    *, secret: str = "", token: str | None = TOKEN, known: bool = True,
) -> None:  # fmt: skip
    """Run `work(look)`; `look` examines a bench that follows a receiver elsewhere."""
    path = certificate(tmp_path)
    if known:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))

    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path / "home")) as bench:
            made = bench.sandbox.credentials  # type: ignore[union-attr]
            async with receiver_elsewhere(
                tmp_path, bot_secret=secret or made.bot_secret, bot_id=made.bot_id, token=token,
                context=tls(path),
            ) as (url, ledger):  # fmt: skip
                before = bench.settings

                async def look(**changes: Any) -> Check:
                    given = {"receiver": url, "receiver_token": SecretStr(TOKEN), **changes}
                    bench.settings = before.model_copy(update=given)
                    await bench.client.bots.patch(
                        bench.bot_id, {"enableCallback": True, "callbackUrl": changes.get("receiver", url)}
                    )
                    found = await examine(bench)
                    assert TOKEN not in found.render_text()
                    assert made.bot_secret not in found.render_text()
                    assert await ledger.read() == []
                    assert await bench.ledger.read() == []
                    (check,) = [check for check in found.checks if check.name == "receiver"]
                    assert not [check for check in found.wrong if check.name != "receiver"]
                    return check

                await work(look)

    asyncio.run(main())


def test_a_receiver_that_is_right_but_cannot_be_reached_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(look: Look) -> None:
        check = await look()
        assert not check.ok  # 127.0.0.1 is nowhere on the internet; all else about it is right
        assert "庁内のアドレス" in check.detail
        monkeypatch.setattr("bousai_kit.doctor.reception._inside", lambda host: False)
        check = await look()
        assert check.ok
        assert "まだ 1 件も受信していません" in check.detail

    with_receiver(tmp_path, monkeypatch, work)


def test_a_receiver_with_another_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(look: Look) -> None:
        check = await look()
        assert "BOUSAI_RECEIVER_TOKEN を認めません（401）" in check.detail
        assert "設定 BOUSAI_RECEIVER_TOKEN がありません" in (await look(receiver_token=None)).detail

    with_receiver(tmp_path, monkeypatch, work, token="another-token-987")


def test_a_receiver_without_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(look: Look) -> None:
        assert "/events がありません" in (await look()).detail

    with_receiver(tmp_path, monkeypatch, work, token=None)


def test_a_receiver_with_another_bot_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(look: Look) -> None:
        check = await look()
        assert "署名が一致しません" in check.detail
        assert "BOUSAI_BOT_SECRET" in check.hint

    with_receiver(tmp_path, monkeypatch, work, secret="another-secret")


def test_a_receiver_with_a_certificate_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(look: Look) -> None:
        check = await look()
        assert "証明書を確認できません" in check.detail
        assert "自己署名" in check.hint
        assert (
            "につながりません" in (await look(receiver=f"https://127.0.0.1:{closed_port()}/callback")).detail
        )

    with_receiver(tmp_path, monkeypatch, work, known=False)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"enableCallback": False}, "Callback がオフ"),
        ({"callbackUrl": "https://old.example.jp/callback"}, "「old.example.jp」"),
        ({"callbackUrl": ""}, "空欄"),
        ({"callbackEvents": ["image"]}, "テキスト"),
    ],
)
def test_what_the_console_says_about_callbacks(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            url = f"https://127.0.0.1:{closed_port()}"
            given = {"receiver": url, "receiver_token": SecretStr(TOKEN)}
            bench.settings = bench.settings.model_copy(update=given)
            right = {"enableCallback": True, "callbackUrl": f"{url}/callback"}
            await bench.client.bots.patch(bench.bot_id, {**right, **fields})
            found = {check.name: check for check in (await examine(bench)).checks}
            assert not found["bot:callback"].ok
            assert words in found["bot:callback"].detail + found["bot:callback"].hint
            bench.settings = bench.settings.model_copy(update={"receiver": "off"})
            found = {check.name: check for check in (await examine(bench)).checks}
            assert found["bot:callback"].ok  # nobody waits for it

    asyncio.run(main())
