"""The transport of callbacks (part 2 §4.1): signed posts, never made again, and their switches."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.contract.hearing import act, kinds, settle, tap
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import Lab, trial


@paragraph("2 §4.1")
def test_each_event_is_one_signed_post_of_one_object() -> None:
    raw: list[tuple[dict[str, str], bytes]] = []

    async def keep(scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        raw.append((headers, (await receive())["body"]))
        assert scope["method"] == "POST"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def test(bench: Lab) -> None:
        bench.sandbox.connect_receiver(keep)
        secret = (await bench.api("POST", f"/bots/{bench.bot}/secret")).json()["secret"]
        room = await bench.room(1, 2)
        await tap(bench, 1, channel=room)
        await tap(bench, 2, text='𠮷 "引用" </script>')
        await settle(bench)
        assert len(raw) == 5
        for headers, body in raw:
            mac = hmac.new(secret.encode(), body, hashlib.sha256).digest()
            assert headers["x-works-signature"] == base64.b64encode(mac).decode(), "over the raw bytes"
            assert headers["x-works-botid"] == bench.bot
            assert headers["content-type"] == "application/json; charset=UTF-8"
            assert isinstance(json.loads(body), dict)

    trial(test)


@paragraph("2 §4.1")
@pytest.mark.parametrize("status", [500, 404, 302, 201])
def test_what_was_not_taken_is_never_sent_again(status: int) -> None:
    async def test(bench: Lab) -> None:
        bench.receiver.status = status
        await tap(bench)
        await bench.clock.sleep(86_400)
        assert kinds(bench) == ["begin", "message"]
        counts = (await bench.admin("GET", "/truth")).json()["callbacks"]
        assert counts == {"refused": 2}

    trial(test)


@paragraph("2 §4.1")
def test_a_slow_server_does_not_hold_up_later_events() -> None:
    async def test(bench: Lab) -> None:
        async def slow(scope: Any, receive: Any, send: Any) -> None:
            if len(bench.receiver.events) == 0:
                await bench.receiver(scope, receive, send)
                await bench.clock.sleep(30)
                return
            await bench.receiver(scope, receive, send)

        bench.sandbox.connect_receiver(slow)
        for number in (1, 2, 3):
            await tap(bench, number)
        await bench.clock.sleep(1)
        assert len(bench.receiver.events) == 6

    trial(test)


def self_signed(folder: Path) -> ssl.SSLContext:
    """Of a server whose certificate nobody vouches for."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1))
        .not_valid_after(datetime(2120, 1, 1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, *form)
    (folder / "both.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


@paragraph("2 §4.1", "2 §1.2")
def test_a_self_signed_certificate_is_refused(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1))
        writer.close()

    async def test(bench: Lab) -> None:
        server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=self_signed(tmp_path))
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}/callback"
        assert (await bench.api("PATCH", f"/bots/{bench.bot}", {"callbackUrl": url})).status_code == 200
        await tap(bench)
        await settle(bench)
        server.close()
        await server.wait_closed()
        assert (await bench.admin("GET", "/truth")).json()["callbacks"] == {"unreachable": 2}
        assert heard == []

    trial(test)


@paragraph("2 §4.1", "2 §1.2")
def test_callbacks_follow_the_bot_s_switches() -> None:
    async def test(bench: Lab) -> None:
        bot = f"/bots/{bench.bot}"
        where = (await bench.api("GET", bot)).json()["callbackUrl"]
        assert (await bench.api("PATCH", bot, {"enableCallback": False})).status_code == 200
        await tap(bench)
        await settle(bench)
        assert kinds(bench) == []
        assert (await bench.api("PATCH", bot, {"enableCallback": True})).status_code == 200
        await tap(bench)
        await settle(bench)
        assert kinds(bench) == ["message"]
        assert (await bench.api("PATCH", bot, {"callbackUrl": ""})).status_code == 200
        await tap(bench)
        await settle(bench)
        assert (await bench.api("PATCH", bot, {"callbackUrl": where})).status_code == 200
        await settle(bench)
        assert kinds(bench) == ["message"], "what happened meanwhile is not sent later"

    trial(test)


@paragraph("2 §4.1")
def test_each_event_type_can_be_switched_off() -> None:
    async def test(bench: Lab) -> None:
        for events, heard in (
            (["begin", "left"], ["begin", "left"]),
            ([], ["begin", "join", "joined", "message", "postback", "left"]),
        ):
            switched = await bench.admin("PUT", f"/bots/{bench.bot}/events", {"events": events})
            assert switched.status_code == 204
            assert (await bench.text(len(heard))).status_code == 201
            room = await bench.room(1, 2)
            await tap(bench, channel=room)
            await tap(bench, channel=room, data="d")
            assert await act(bench, "leave", channel=room) == 204
            await settle(bench)
            assert kinds(bench) == heard
            bench.receiver.events.clear()
        for wrong in (["read"], "message", None):
            answer = await bench.admin("PUT", f"/bots/{bench.bot}/events", {"events": wrong})
            assert answer.status_code == 400

    trial(test, people=8)
