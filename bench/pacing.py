"""A broadcast against a tenant's limit, in the three shapes that a server may have, on a virtual clock.

* completion ÷ the least time that the limit allows, goal ≤ 1.03; requests answered 429 while alone, goal 0
* pairs sent out of priority order, goal ≤ 0.01
* peers on the same server: 16 at once with back-off of 2ⁿ s, and 16 at once that wait for `RateLimit-Reset`

``python bench/pacing.py [--messages 1200] [--limit 240] [--rounds 5] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bousai_kit.clock import VirtualClock
from bousai_kit.lineworks.auth import ServiceAccount
from bousai_kit.lineworks.client import LineWorksClient, Shared, build_http
from bousai_kit.sandbox.limits import SHAPES, Limits  # the sandbox's own books are the judge

START = datetime(2027, 1, 17, tzinfo=UTC)
API = "http://api.bench.invalid"
AT_ONCE = 16
TEXT = {"type": "text", "text": "【訓練】"}


class Server(httpx.AsyncBaseTransport):
    """Counts what arrives by one operation's limit; half of the latency lies on either side."""

    def __init__(self, clock: VirtualClock, shape: str, limit: int, seed: int) -> None:
        self.clock = clock
        self.rng = random.Random(seed)
        self.limits = Limits(shape=shape, overrides={"messages": limit})
        self.accepted: list[str] = []
        self.refused = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        half = self.rng.uniform(0.025, 0.1)
        await self.clock.sleep(half)
        if request.url.path.endswith("/token"):
            return httpx.Response(200, json={"access_token": "t", "expires_in": "86400"})
        verdict = self.limits.take("messages", "messages", self.clock.monotonic())
        if verdict.allowed:
            self.accepted.append(request.url.path.split("/")[-2])
        else:
            self.refused += 1
        await self.clock.sleep(half)
        return httpx.Response(201 if verdict.allowed else 429, headers=verdict.headers())


def least_s(shape: str, messages: int, limit: int) -> float:
    """From the first arrival to the last on a fresh tenant."""
    if shape == "bucket":
        return max(0, messages - limit) * 60 / limit
    return ((messages - 1) // limit) * 60.0


async def kit(server: Server, messages: int, who: ServiceAccount) -> None:
    """The client, with priorities in mixed order."""
    clock = server.clock
    http = build_http(mounts={"all://": server}, real_network=False)
    client = LineWorksClient(
        http,
        account=who,
        api_url=f"{API}/v1.0",
        auth_url=f"{API}/oauth2/v2.0",
        domain_id=1,
        clock=clock,
        random=random.Random(1),
        shared=Shared(clock=clock),
    )
    await client.auth.token()
    ranks = [server.rng.randrange(4) for _ in range(messages)]
    await asyncio.gather(
        *(client.messages.to_user(1, f"{rank}-{n:05d}", TEXT, priority=rank) for n, rank in enumerate(ranks))
    )
    await client.aclose()
    await http.aclose()


def peer(wait_for_reset: bool) -> Callable[[Server, int, ServiceAccount], Awaitable[None]]:
    """16 at once, each repeating its own request after a 429."""

    async def run(server: Server, messages: int, who: ServiceAccount) -> None:
        turns, rng = asyncio.Semaphore(AT_ONCE), random.Random(2)
        http = build_http(mounts={"all://": server}, real_network=False)

        async def one(number: int) -> None:
            tries = 0
            async with turns:
                while True:
                    url = f"{API}/v1.0/bots/1/users/0-{number:05d}/messages"
                    answer = await http.post(url, json=TEXT)
                    if answer.status_code == 201:
                        return
                    reset = float(answer.headers["ratelimit-reset"])
                    await server.clock.sleep(
                        reset if wait_for_reset else 2 ** min(tries, 6) * rng.uniform(1, 1.25)
                    )
                    tries += 1

        await asyncio.gather(*(one(number) for number in range(messages)))
        await http.aclose()

    return run


def out_of_order(accepted: list[str]) -> float:
    """Share of pairs of different priority of which the less urgent one was accepted first."""
    later = [0] * 4
    pairs = wrong = 0
    for name in reversed(accepted):
        rank = int(name[0])
        wrong += sum(later[:rank])
        pairs += sum(later) - later[rank]
        later[rank] += 1
    return wrong / pairs if pairs else 0.0


def measure(shape: str, given: argparse.Namespace, who: ServiceAccount) -> dict[str, Any]:
    """All rounds of one shape."""
    found: dict[str, Any] = {"least_s": least_s(shape, given.messages, given.limit)}
    ways = {"kit": kit, "back_off": peer(False), "wait_for_reset": peer(True)}
    for name, way in ways.items():
        ratios, refused, disorder = [], 0, []
        for seed in range(given.rounds if name == "kit" else 1):
            clock = VirtualClock(START)
            server = Server(clock, shape, given.limit, seed)
            asyncio.run(way(server, given.messages, who))
            ratios.append(clock.monotonic() / max(found["least_s"], 1.0))
            refused += server.refused
            disorder.append(out_of_order(server.accepted))
        found[name] = {
            "ratio": [min(ratios), statistics.median(ratios), max(ratios)],
            "throttled": refused,
            "out_of_order_rate": max(disorder),
        }
    return found


def main() -> int:
    """Print the ratios; exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=1200)
    parser.add_argument("--limit", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    who = ServiceAccount("c", "s", "x.serviceaccount@y", key.private_bytes(*pem).decode(), ("bot",))
    shapes = {shape: measure(shape, given, who) for shape in SHAPES}
    ok = all(
        found["kit"]["ratio"][2] <= 1.03
        and found["kit"]["throttled"] == 0
        and found["kit"]["out_of_order_rate"] <= 0.01
        for found in shapes.values()
    )
    if given.json:
        print(json.dumps({"ok": ok, "messages": given.messages, "limit": given.limit, "shapes": shapes}))
        return 0 if ok else 1
    print(
        f"{given.messages} messages, limit {given.limit} a minute (completion ÷ least; min/med/max; ≤ 1.03)"
    )
    for shape, found in shapes.items():
        low, middle, high = found["kit"]["ratio"]
        print(
            f"{shape:8} kit {low:.4f} / {middle:.4f} / {high:.4f}, {found['kit']['throttled']} × 429, "
            f"{found['kit']['out_of_order_rate']:.4f} of pairs out of order (≤ 0.01)"
        )
        for name in ("back_off", "wait_for_reset"):
            print(f"{'':8} {name} {found[name]['ratio'][1]:.2f}, {found[name]['throttled']} × 429")
    print("goals met" if ok else "GOAL MISSED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
