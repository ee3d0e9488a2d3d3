"""What the kit's client costs beside bare httpx: CPU of this process a request, the server in another.

Both keep 16 requests under way on as many connections, against the same uvicorn on loopback, with small
answers; rounds alternate. GET (one member) and POST (one message). Goal: kit ÷ bare ≤ 1.3 (median).

``python bench/client.py [--requests 600] [--rounds 7] [--json] [--profile]``
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bousai_kit.clock import SystemClock
from bousai_kit.lineworks.auth import ServiceAccount
from bousai_kit.lineworks.client import LineWorksClient, Shared, build_http

AT_ONCE = 16
SLICE = 48
GOAL = 1.3
TEXT = {"type": "text", "text": "【訓練】安否を答えてください"}
SERVER = """
import sys, uvicorn
HEADERS = [(b"content-type", b"application/json"), (b"ratelimit-limit", b"1000000"),
           (b"ratelimit-remaining", b"999999"), (b"ratelimit-reset", b"60")]
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    path = scope["path"]
    status, body = 200, b'{"userId":"u1","email":"u1@city-demo"}'
    if path.endswith("/token"):
        body = b'{"access_token":"t","expires_in":"86400"}'
    elif path.endswith("/messages"):
        status, body = 201, b""
    await send({"type": "http.response.start", "status": status,
                "headers": [*HEADERS, (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
uvicorn.run(app, fd=int(sys.argv[1]), log_level="critical", access_log=False, lifespan="off")
"""
One = Callable[[], Awaitable[Any]]


async def flood(one: One, requests: int) -> float:
    """CPU seconds of this process for so many requests, 16 under way."""
    left = iter(range(requests))

    async def worker() -> None:
        for _ in left:
            await one()

    began = time.process_time()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return time.process_time() - began


def account() -> ServiceAccount:
    """Nobody's."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return ServiceAccount("c", "s", "x.serviceaccount@y", key.private_bytes(*pem).decode(), ("bot",))


async def measure(base: str, given: argparse.Namespace) -> dict[str, Any]:
    """All rounds, kit and bare in turn."""
    clock = SystemClock()
    http = build_http()
    client = LineWorksClient(
        http,
        account=account(),
        api_url=f"{base}/v1.0",
        auth_url=f"{base}/oauth2/v2.0",
        domain_id=1,
        clock=clock,
        random=random.Random(1),
        shared=Shared(clock=clock),
    )
    pool = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE, keepalive_expiry=3.0)
    bare = httpx.AsyncClient(limits=pool, timeout=30.0, headers={"Authorization": "Bearer t"})

    async def bare_get() -> None:
        (await bare.get(f"{base}/v1.0/users/u1")).raise_for_status().json()

    async def bare_post() -> None:
        answer = await bare.post(f"{base}/v1.0/bots/1/users/u1/messages", json={"content": TEXT})
        answer.raise_for_status()

    async def kit_get() -> None:
        await client.users.get("u1")

    async def kit_post() -> None:
        await client.messages.to_user(1, "u1", TEXT)

    found: dict[str, Any] = {}
    for name, kit, other in (("get", kit_get, bare_get), ("post", kit_post, bare_post)):
        for one in (kit, other):  # connections, token, the limit
            await flood(one, 4 * AT_ONCE)
        costs: dict[str, list[float]] = {"kit": [], "bare": []}
        for number in range(given.rounds):
            spent = {"kit": 0.0, "bare": 0.0}
            slices = max(1, given.requests // SLICE)
            for nth in range(slices):  # thin slices: what a busy machine costs falls on both alike
                turn = [("kit", kit), ("bare", other)]
                for who, one in turn if (number + nth) % 2 else reversed(turn):
                    spent[who] += await flood(one, SLICE)
            for who, seconds in spent.items():
                costs[who].append(seconds / slices / SLICE * 1e6)
        ratios = [a / b for a, b in zip(costs["kit"], costs["bare"], strict=True)]
        found[name] = {
            "kit_us": statistics.median(costs["kit"]),
            "bare_us": statistics.median(costs["bare"]),
            "ratio": [min(ratios), statistics.median(ratios), max(ratios)],
        }
        if given.profile:
            profile = cProfile.Profile()
            profile.enable()
            await flood(kit, given.requests)
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(32)
    await client.aclose()
    await http.aclose()
    await bare.aclose()
    return found


def main() -> int:
    """Print the ratios; exit code 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true", help="print where the kit's time goes")
    given = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [sys.executable, "-c", SERVER, str(listening.fileno())]
        server = subprocess.Popen(command, pass_fds=[listening.fileno()])
        try:
            base = f"http://127.0.0.1:{listening.getsockname()[1]}"
            found = asyncio.run(measure(base, given))
        finally:
            server.terminate()
            server.wait()
    ok = all(one["ratio"][1] <= GOAL for one in found.values())
    if given.json:
        print(json.dumps({"ok": ok, "requests": given.requests, "at_once": AT_ONCE, **found}))
        return 0 if ok else 1
    for name, one in found.items():
        low, middle, high = one["ratio"]
        print(
            f"{name.upper():4} kit {one['kit_us']:.0f} µs, bare httpx {one['bare_us']:.0f} µs of CPU, "
            f"kit ÷ bare {low:.3f} / {middle:.3f} / {high:.3f} (min/med/max; ≤ {GOAL})"
        )
    print("goal met" if ok else "GOAL MISSED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
