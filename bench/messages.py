"""200 direct messages at 100 ms latency on a fresh window, over real sockets.

* the kit: seconds from the first call to the last 201 (token included), goal ≤ 2; answers 429, goal 0
* its peer in the same run: bare httpx with 16 connections, no token, no pacing, no ledger

``python bench/messages.py [--messages 200] [--latency-ms 100] [--rounds 5] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bousai_kit.clock import SystemClock
from bousai_kit.lineworks.auth import ServiceAccount
from bousai_kit.lineworks.client import LineWorksClient, Shared, build_http
from bousai_kit.lineworks.messages import ButtonTemplate, MessageAction

LIMIT, WINDOW_S, CONNECTIONS = 240, 60.0, 16
CONTENT = ButtonTemplate(
    "【訓練】震度6弱を想定した安否確認です。",
    [
        MessageAction(label=label, postback=f"bk1|drill=d1|m=b01|a={n}")
        for n, label in enumerate(("無事", "けが"))
    ],
)


class Server:
    """Answers after a while; every first part of a path is a tenant with a window of its own."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.windows: dict[str, tuple[float, int]] = {}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        await asyncio.sleep(self.latency_s)
        _, tenant, *rest = scope["path"].split("/")
        status, headers, body = 200, [(b"content-type", b"application/json")], b""
        if rest[-1] == "token":
            body = b'{"access_token": "t", "token_type": "Bearer", "expires_in": "86400"}'
        else:
            began, used = self.windows.get(tenant, (-WINDOW_S, 0))
            now = time.monotonic()
            if now >= began + WINDOW_S:
                began, used = now, 0
            status = 201 if used < LIMIT else 429
            used += status == 201
            self.windows[tenant] = (began, used)
            for name, value in (("Limit", LIMIT), ("Remaining", LIMIT - used), ("Reset", began + 61 - now)):
                headers.append((f"ratelimit-{name}".lower().encode(), str(int(value)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def serve(latency_s: float) -> None:
    """Listen on a free port of loopback and print it."""

    class Announced(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            print(self.servers[0].sockets[0].getsockname()[1], flush=True)

    config = uvicorn.Config(Server(latency_s), port=0, log_level="warning", access_log=False, lifespan="off")
    Announced(config).run()


def account() -> ServiceAccount:
    """A service account that this server believes anyway."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return ServiceAccount("c", "s", "x.serviceaccount@y", key.private_bytes(*pem).decode(), ("bot",))


async def kit(base: str, number: int, who: ServiceAccount) -> tuple[float, int]:
    """Seconds until the last message was accepted, and how many requests met a 429."""
    clock = SystemClock()
    async with build_http() as http:
        client = LineWorksClient(
            http,
            account=who,
            api_url=f"{base}/v1.0",
            auth_url=f"{base}/oauth2/v2.0",
            domain_id=1,
            clock=clock,
            random=random.Random(1),
            shared=Shared(clock=clock),
        )
        began = time.perf_counter()
        await asyncio.gather(*(client.messages.to_user(1, f"u{n}", CONTENT) for n in range(number)))
        seconds = time.perf_counter() - began
        await client.aclose()
        return seconds, client.stats.throttled


async def bare(base: str, number: int) -> tuple[float, int]:
    """The same requests by httpx alone."""
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    body = {"content": CONTENT.to_wire()}
    async with httpx.AsyncClient(
        limits=limits, timeout=httpx.Timeout(30, pool=None), trust_env=False
    ) as http:
        began = time.perf_counter()
        answers = await asyncio.gather(
            *(http.post(f"{base}/v1.0/bots/1/users/u{n}/messages", json=body) for n in range(number))
        )
        return time.perf_counter() - began, sum(answer.status_code == 429 for answer in answers)


async def measure(port: int, rounds: int, number: int) -> dict[str, Any]:
    """One after the other, each on a window of its own."""
    ours, theirs, refused, refused_bare = [], [], 0, 0
    who = account()
    for turn in range(-1, rounds):
        a, b = await kit(f"http://127.0.0.1:{port}/kit{turn}", number, who), None
        b = await bare(f"http://127.0.0.1:{port}/bare{turn}", number)
        if turn >= 0:  # the first warms up
            ours.append(a[0])
            theirs.append(b[0])
            refused += a[1]
            refused_bare += b[1]
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "messages": number,
        "kit_s": spread(ours),
        "bare_s": spread(theirs),
        "ratio": spread(ratios),
        "throttled": refused,
        "throttled_bare": refused_bare,
    }


def spread(values: list[float]) -> list[float]:
    """Least, median, most."""
    return [min(values), statistics.median(values), max(values)]


def main() -> int:
    """Print the numbers; exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=200)
    parser.add_argument("--latency-ms", type=float, default=100.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.latency_ms / 1000)
        return 0
    command = [sys.executable, __file__, "--serve", "--latency-ms", str(given.latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = asyncio.run(measure(int(server.stdout.readline()), given.rounds, given.messages))
        finally:
            server.terminate()
    ok = found["kit_s"][1] <= 2.0 and found["throttled"] == 0
    if given.json:
        print(json.dumps({"ok": ok, **found}))
    else:
        for name, key, goal in (
            ("kit, seconds to the last 201", "kit_s", "≤ 2"),
            ("bare httpx, 16 connections", "bare_s", ""),
            ("kit ÷ bare", "ratio", ""),
        ):
            low, middle, high = found[key]
            print(
                f"{name + ':':32}{low:.2f} / {middle:.2f} / {high:.2f} (min/med/max{'; ' * bool(goal)}{goal})"
            )
        print(f"answers 429: {found['throttled']} (goal 0); bare {found['throttled_bare']}")
        print("goals met" if ok else "GOAL MISSED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
