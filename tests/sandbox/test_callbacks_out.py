"""The bot's callbacks: signed, one POST an event, never made again (part 2 §4)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from bousai_kit.sandbox.callbacks_out import signature
from bousai_kit.sandbox.faults import Fault, FaultPlan
from tests.sandbox.botlab import SILENT, Lab, lab, trial, uid


def test_a_signature_is_base64_of_hmac_sha256_over_the_raw_body() -> None:
    body = '{"type":"message","text":"試験"}'.encode()
    mac = hmac.new(b"secret", body, hashlib.sha256).digest()
    assert signature("secret", body) == base64.b64encode(mac).decode()


async def tap(bench: Lab, number: int = 1, **more: Any) -> None:
    body = {"user": uid(number), "text": "無事です A1", "postback": "bk1|x", **more}
    answer = await bench.admin("POST", "/staff/tap", body)
    assert answer.status_code == 204, answer.text


def test_a_receiver_is_connected_and_taken_away() -> None:
    async def test(bench: Lab) -> None:
        await tap(bench)
        await bench.clock.sleep(1)
        count = len(bench.receiver.events)
        assert count == 2
        bench.sandbox.connect_receiver(None)
        shown = (await bench.api("GET", f"/bots/{bench.bot}")).json()
        assert shown["callbackUrl"] != "https://receiver.sandbox.invalid/callback"
        await tap(bench)
        await bench.clock.sleep(1)
        assert len(bench.receiver.events) == count

    trial(test)


def test_callbacks_stay_on_this_machine() -> None:
    async def test(bench: Lab) -> None:
        for url in ("https://elsewhere.invalid/callback", "https://192.0.2.1/", "http://0.0.0.0:9/"):
            bot = bench.tenant.table("bots")[bench.bot]
            bot["callbackUrl"], bot["enableCallback"] = url, True
            await tap(bench)
            await bench.clock.sleep(1)
        counts = (await bench.admin("GET", "/truth")).json()["callbacks"]
        assert counts["unreachable"] >= 3
        assert bench.receiver.events == []

    trial(test)


def test_a_real_socket_gets_the_same_bytes() -> None:
    bodies: list[tuple[bytes, bytes]] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
        bodies.append((head, await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def test(bench: Lab) -> None:
        server = await asyncio.start_server(take, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/callback?x=1"
        assert (await bench.api("PATCH", f"/bots/{bench.bot}", {"callbackUrl": url})).status_code == 200
        for _ in range(3):
            await tap(bench)
        await bench.clock.sleep(2)
        server.close()
        await server.wait_closed()
        posted = [json.loads(body) for _, body in bodies]
        assert [event["type"] for event in posted].count("message") == 3
        for head, body in bodies:
            assert head.startswith(b"POST /callback?x=1 HTTP/1.1")
            mac = signature(bench.sandbox.credentials.bot_secret, body)
            assert f"x-works-signature: {mac}".lower() in head.decode().lower()
        assert (await bench.admin("GET", "/truth")).json()["callbacks"]["taken"] == len(bodies)

    trial(test)


@pytest.mark.parametrize(
    ("kind", "count", "bad"),
    [("lost", 2, 0), ("duplicate", 4, 0), ("bad_signature", 3, 1), ("delay", 3, 0), ("reorder", 3, 0)],
)
def test_faults_strike_callbacks(kind: str, count: int, bad: int) -> None:
    plan = FaultPlan([Fault(kind, on="message", nth=(2,), seconds=20.0 if kind == "delay" else None)])

    async def test(bench: Lab) -> None:
        for number in range(3):
            await tap(bench, text=f"{number}")
            await bench.clock.sleep(1)
        await bench.clock.sleep(120)
        said = [event["content"]["text"] for event in bench.receiver.of("message")]
        assert len(said) == count
        assert bench.receiver.badly_signed == bad
        if kind in ("delay", "reorder"):
            assert said == ["0", "2", "1"]
        if kind == "duplicate":
            assert said == ["0", "1", "1", "2"]

    trial(test, faults=plan)


def test_what_was_due_when_it_stopped_is_posted_by_the_next_one(tmp_path: Path) -> None:
    async def first() -> None:
        late = replace(SILENT, callback_lag_s=30.0)
        async with lab(2, path=tmp_path / "t.db", choices=late) as bench:
            await tap(bench)
            assert bench.receiver.events == []

    async def second() -> list[str]:
        async with lab(2, path=tmp_path / "t.db", choices=SILENT) as bench:
            await bench.clock.sleep(60)
            return [event["type"] for event in bench.receiver.events]

    asyncio.run(first())
    assert asyncio.run(second()) == ["begin", "message"]
    assert asyncio.run(second()) == [], "once"


def test_an_app_that_fails_is_a_receiver_s_trouble() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("receiver")

    async def test(bench: Lab) -> None:
        bench.sandbox.connect_receiver(broken)
        await tap(bench)
        await bench.clock.sleep(1)
        assert (await bench.admin("GET", "/truth")).json()["callbacks"]["refused"] >= 1
        assert bench.sandbox.defects == []
        assert isinstance(bench.http, httpx.AsyncClient)

    trial(test)
