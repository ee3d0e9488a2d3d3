"""`bousai receiver` as a real process on loopback: ready line, kill −9 after the answer, order at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from bousai_kit.clock import SystemClock
from bousai_kit.ledger import Ledger, verify_file
from tests.receiver.lab import (
    BOT_SECRET,
    PATIENCE_S,
    TOKEN,
    Process,
    environment,
    running,
    signed,
    tap,
    until,
)

posix = pytest.mark.skipif(os.name != "posix", reason="Windows には SIGTERM の通知がない")


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False)


async def subjects(home: Path) -> list[str]:
    async with await Ledger.open(f"sqlite:///{home / 'ledger.db'}", clock=SystemClock()) as ledger:
        assert (await ledger.verify()).ok
        return [event.subject for event in await ledger.read(stream="callbacks")]


def test_ready_line_all_paths_and_an_end_in_order(tmp_path: Path) -> None:
    home = tmp_path / "台帳 の 場所"

    async def main(server: Process) -> None:
        async with client() as http:
            raw = tap()
            assert (await http.post(server.url, content=raw, headers=signed(raw))).status_code == 200
            assert (
                await http.post(server.url, content=raw, headers=signed(raw, secret="x"))
            ).status_code == 401
            assert (await http.get(f"{server.base}/healthz")).json() == {"ok": True}
            assert 'result="stored",type="message"} 1' in (await http.get(f"{server.base}/metrics")).text
            events = f"{server.base}/events?after=0"
            assert (await http.get(events)).status_code == 401
            assert (await http.get(events, headers={"Authorization": "Bearer x"})).status_code == 401
            found = (await http.get(events, headers={"Authorization": f"Bearer {TOKEN}"})).json()
            assert [event["subject"] for event in found["events"]] == ["u1"]
            answer = await http.get(f"{server.base}/healthz")
            assert "server" not in answer.headers  # nobody needs to know which

    with running(home) as server:
        assert set(server.said) == {"ready", "url"}
        assert server.said["ready"] is True
        assert urlsplit(server.url).hostname == "127.0.0.1"
        assert server.url.endswith("/callback")
        asyncio.run(main(server))
        server.process.terminate()
        code = server.process.wait(PATIENCE_S)
        assert code == 0 or os.name != "posix"  # serving until it is stopped is what it was asked to do
        assert server.process.stdout is not None
        assert server.process.stdout.read() == ""  # one line, then nothing more
        assert "Traceback" not in server.stderr
        assert BOT_SECRET not in server.stderr
        assert TOKEN not in server.stderr
    assert asyncio.run(subjects(home)) == ["u1"]


@pytest.mark.parametrize("turn", range(4))
def test_killed_right_after_the_answer_the_event_is_there(tmp_path: Path, turn: int) -> None:
    """kill −9 the moment a 200 is seen, with other callbacks under way: no answered one is missing."""
    home = tmp_path / "home"
    chance = random.Random(turn)
    victim = chance.randrange(1, 60)
    answered: list[str] = []

    async def main(server: Process) -> None:
        async with client() as http:

            async def one(n: int) -> None:
                raw = tap(f"u{n}", n)
                with contextlib.suppress(httpx.HTTPError):
                    answer = await http.post(server.url, content=raw, headers=signed(raw))
                    if answer.status_code == 200:
                        answered.append(f"u{n}")
                        if len(answered) == victim:
                            server.process.kill()

            await asyncio.gather(*(one(n) for n in range(120)))

    with running(home) as server:
        asyncio.run(main(server))
        server.process.wait(PATIENCE_S)
    assert len(answered) >= victim
    kept = asyncio.run(subjects(home))
    assert set(answered) <= set(kept)
    assert len(kept) == len(set(kept))
    assert verify_file(home / "ledger.db").ok


@posix
def test_stopped_while_busy_what_was_answered_is_there_and_it_ends_in_order(tmp_path: Path) -> None:
    home = tmp_path / "home"
    answered: list[str] = []

    async def main(server: Process) -> None:
        async with client() as http:

            async def one(n: int) -> None:
                raw = tap(f"u{n}", n)
                with contextlib.suppress(httpx.HTTPError):
                    if (await http.post(server.url, content=raw, headers=signed(raw))).status_code == 200:
                        answered.append(f"u{n}")
                        if len(answered) == 20:
                            server.process.terminate()

            await asyncio.gather(*(one(n) for n in range(200)))

    with running(home) as server:
        asyncio.run(main(server))
        assert server.process.wait(PATIENCE_S) == 0
        assert "Traceback" not in server.stderr
    assert set(answered) <= set(asyncio.run(subjects(home)))


def test_ten_megabytes_over_a_socket(tmp_path: Path) -> None:
    big = tap(content={"type": "text", "text": "x" * (10 << 20)})

    async def main(server: Process) -> None:
        async with client() as http:
            with contextlib.suppress(httpx.WriteError, httpx.RemoteProtocolError, httpx.ReadError):
                # the answer may come while the body is still leaving, and the connection is then closed
                assert (await http.post(server.url, content=big, headers=signed(big))).status_code == 413
            shown = (await http.get(f"{server.base}/metrics")).text
            assert 'rejected_total{reason="too_large"} 1' in shown
            raw = tap()
            assert (await http.post(server.url, content=raw, headers=signed(raw))).status_code == 200

    with running(tmp_path / "home") as server:
        asyncio.run(main(server))
    assert asyncio.run(subjects(tmp_path / "home")) == ["u1"]


def test_junk_on_the_socket_harms_nobody(tmp_path: Path) -> None:
    """No HTTP, half a request, a header of a megabyte, a body that never comes: others are served."""
    raw = tap()
    junk = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),  # TLS to a plain port
        b"POST /callback HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{",
        b"POST /callback HTTP/1.1\r\nHost: x\r\nX-WORKS-Signature: " + b"A" * (1 << 20),
        b"POST /callback HTTP/1.1\r\nHost: x\r\nContent-Length: nine\r\n\r\n",
        b"POST /callback HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /events?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        b"\r\n\r\n\0\0\0\0",
    ]

    async def main(server: Process) -> None:
        where = urlsplit(server.url)
        writers = []
        for one in junk:
            _, writer = await asyncio.open_connection(where.hostname, where.port)
            with contextlib.suppress(ConnectionError):
                writer.write(one)
                await writer.drain()
            writers.append(writer)
        async with client() as http:
            assert (await http.post(server.url, content=raw, headers=signed(raw))).status_code == 200
        for writer in writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        async with client() as http:
            assert (await http.get(f"{server.base}/healthz")).status_code == 200

    with running(tmp_path / "home") as server:
        asyncio.run(main(server))
        server.process.terminate()
        server.process.wait(PATIENCE_S)
        assert "Traceback" not in server.stderr
    assert asyncio.run(subjects(tmp_path / "home")) == ["u1"]


def test_a_second_process_reads_what_it_stores(tmp_path: Path) -> None:
    """`drill run` with BOUSAI_RECEIVER=off: another process writes to the same ledger."""
    home = tmp_path / "home"

    async def main(server: Process) -> None:
        async with (
            await Ledger.open(f"sqlite:///{home / 'ledger.db'}", clock=SystemClock()) as ledger,
            client() as http,
        ):
            seen = []

            async def follow() -> None:
                async for event in ledger.follow(stream="callbacks", poll_s=0.02):
                    seen.append(event.subject)

            following = asyncio.create_task(follow())
            for n in range(10):
                raw = tap(f"u{n}", n)
                assert (await http.post(server.url, content=raw, headers=signed(raw))).status_code == 200
                await ledger.append("drill:d1", "dispatch.intended", f"u{n}")
            await until(lambda: len(seen) == 10)
            following.cancel()
            await asyncio.wait([following])
            assert (await ledger.verify()).ok

    with running(home) as server:
        asyncio.run(main(server))


def test_without_a_token_it_says_so_and_still_records(tmp_path: Path) -> None:
    async def main(server: Process) -> None:
        async with client() as http:
            assert (await http.get(f"{server.base}/events")).status_code == 404
            raw = tap()
            assert (await http.post(server.url, content=raw, headers=signed(raw))).status_code == 200

    with running(tmp_path / "home", BOUSAI_RECEIVER_TOKEN="") as server:
        asyncio.run(main(server))
        assert "BOUSAI_RECEIVER_TOKEN" in server.stderr


def refused(home: Path, *args: str, **environ: str) -> str:
    """Leave with 2, one sentence, nothing on stdout; the sentence."""
    home.mkdir(parents=True, exist_ok=True)
    ended = subprocess.run(
        [sys.executable, "-m", "bousai_kit", "receiver", *args],
        capture_output=True, text=True, cwd=home, env=environment(home, **environ), timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert "Traceback" not in ended.stderr
    assert BOT_SECRET not in ended.stderr
    return ended.stderr


def test_a_missing_setting_a_taken_port_and_a_strange_address(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "BOUSAI_BOT_ID" in refused(home, "--port", "0", BOUSAI_BOT_ID="")
    assert "BOUSAI_BOT_SECRET" in refused(home, "--port", "0", BOUSAI_BOT_SECRET="")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused(home, "--port", str(taken.getsockname()[1]))
        assert "--port" in said
    assert "--host" in refused(home, "--port", "0", "--host", "no such host")
    assert "待ち受けられません" in refused(home, "--port", "0", "--host", "192.0.2.1")


@posix
def test_ctrl_c_ends_it_in_order(tmp_path: Path) -> None:
    with running(tmp_path / "home") as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE_S) == 0
        assert "Traceback" not in server.stderr
