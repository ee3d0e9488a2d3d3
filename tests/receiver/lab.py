"""What the receiver's tests share: a signed callback, and `bousai receiver` as a real process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from bousai_kit.clock import Clock, VirtualClock
from bousai_kit.ledger import Ledger
from bousai_kit.lineworks.callbacks import sign
from bousai_kit.receiver import build_receiver

ROOT = Path(__file__).parents[2]
START = datetime(2027, 1, 17, tzinfo=UTC)
BOT_ID = 6000001
BOT_SECRET = "receiver-bot-secret-0123456789"
TOKEN = "receiver-bearer-0123456789"
PATIENCE_S = 20.0


def tap(user: str = "u1", n: int = 0, **more: Any) -> bytes:
    """A tap on an answer button, as raw bytes."""
    body = {
        "type": "message",
        "source": {"userId": user, "domainId": 10000001},
        "issuedTime": f"2027-01-17T00:{n // 60 % 60:02d}:{n % 60:02d}.000Z",
        "content": {"type": "text", "text": "無事です", "postback": "bk1|drill=d1|m=b01|a=0"},
        **more,
    }
    return json.dumps(body, ensure_ascii=False).encode()


def signed(raw: bytes, *, secret: str = BOT_SECRET, bot: int | str = BOT_ID) -> dict[str, str]:
    return {
        "X-WORKS-Signature": sign(raw, secret),
        "X-WORKS-BotId": str(bot),
        "Content-Type": "application/json",
    }


@dataclass
class Bench:
    """A receiver in this process, its ledger and a client to it."""

    ledger: Ledger
    http: httpx.AsyncClient
    app: Any
    clock: Clock

    async def post(self, raw: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        return await self.http.post(
            "/callback", content=raw, headers=signed(raw) if headers is None else headers
        )


@contextlib.asynccontextmanager
async def receiver(
    folder: Path, *, token: str | None = TOKEN, clock: Clock | None = None
) -> AsyncIterator[Bench]:
    clock = clock or VirtualClock(START)
    async with await Ledger.open(f"sqlite:///{folder / 'ledger.db'}", clock=clock) as ledger:
        app = build_receiver(ledger, bot_secret=BOT_SECRET, bot_id=BOT_ID, token=token, clock=clock)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            yield Bench(ledger, http, app, clock)


async def stored(ledger: Ledger) -> list[Any]:
    return await ledger.read(stream="callbacks")


# -- a real process -----------------------------------------------------------------------------------------


def environment(home: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "BOUSAI_HOME": str(home),
        "BOUSAI_BOT_ID": str(BOT_ID),
        "BOUSAI_BOT_SECRET": BOT_SECRET,
        "BOUSAI_RECEIVER_TOKEN": TOKEN,
        **more,
    }


@dataclass
class Process:
    """`bousai receiver --port 0`, ready."""

    process: subprocess.Popen[str]
    url: str
    log: Path
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return self.url.removesuffix("/callback")

    @property
    def stderr(self) -> str:
        return self.log.read_text("utf-8")


@contextlib.contextmanager
def running(home: Path, *args: str, **environ: str) -> Iterator[Process]:
    home.mkdir(parents=True, exist_ok=True)
    log = home.parent / f"{home.name}.stderr"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "bousai_kit", "receiver", "--port", "0", *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=home,
            env=environment(home, **environ),
        )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()  # ends with the line, or with the process
        assert line, log.read_text("utf-8")
        ready = json.loads(line)
        yield Process(process, ready["url"], log, ready)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE_S)
        if process.stdout is not None:
            process.stdout.close()


async def until(what: Any) -> Any:
    """Poll something observable, with a deadline."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = what()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.01)
