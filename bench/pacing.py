"""A broadcast against a tenant's limit, in the three shapes that a server may have, on a virtual clock.

* alone: completion ÷ the least time that the limit allows, goal ≤ 1.03 (median); 429 answers, goal 0
* pairs sent out of priority order, goal ≤ 0.01
* fixed windows that began before the broadcast, the same goals; two windows' worth beside it, without a goal
* with a second sender of as many messages on the same limit (another kit, or a peer): completion ÷ the least
  time for what both got through until then, goal ≤ 1.1
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
from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.limits import SHAPES, Limits  # the sandbox's own books are the judge

START = datetime(2027, 1, 17, tzinfo=UTC)
API = "http://api.bench.invalid"
AT_ONCE = 16
Way = Callable[["Server", int, ServiceAccount], Awaitable[None]]
TEXT = {"type": "text", "text": "【訓練】"}


class Server(httpx.AsyncBaseTransport):
    """Counts what arrives by one operation's limit; half of the latency lies on either side."""

    def __init__(self, clock: VirtualClock, shape: str, limit: int, seed: int, into_s: float = 0.0) -> None:
        self.clock = clock
        self.rng = random.Random(seed)
        grid = "minute" if into_s else "first"
        choices = Choices(fixed_window_starts_at=grid)
        self.limits = Limits(shape=shape, choices=choices, overrides={"messages": limit})
        self.into_s = into_s  # so far the minute had gone when the broadcast began
        self.accepted: list[tuple[float, str]] = []
        self.refused: dict[str, int] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        half = self.rng.uniform(0.025, 0.1)
        await self.clock.sleep(half)
        if request.url.path.endswith("/token"):
            return httpx.Response(200, json={"access_token": "t", "expires_in": "86400"})
        sender, _, name = request.url.path.split("/")[-2].partition("~")
        verdict = self.limits.take("messages", "messages", self.into_s + self.clock.monotonic())
        if verdict.allowed:
            self.accepted.append((self.clock.monotonic(), f"{sender}~{name}"))
        else:
            self.refused[sender] = self.refused.get(sender, 0) + 1
        await self.clock.sleep(half)
        return httpx.Response(201 if verdict.allowed else 429, headers=verdict.headers())


def least_s(shape: str, messages: int, limit: int, into_s: float = 0.0) -> float:
    """From the first arrival to the last on a fresh tenant."""
    if shape == "bucket":
        return max(0, messages - limit) * 60 / limit
    windows = (messages - 1) // limit
    return windows * 60.0 - (into_s if windows else 0.0)


async def kit(server: Server, messages: int, who: ServiceAccount, name: str = "kit") -> None:
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
        *(
            client.messages.to_user(1, f"{name}~{rank}-{n:05d}", TEXT, priority=rank)
            for n, rank in enumerate(ranks)
        )
    )
    await client.aclose()
    await http.aclose()


def peer(wait_for_reset: bool) -> Way:
    """16 at once, each repeating its own request after a 429."""

    async def run(server: Server, messages: int, who: ServiceAccount) -> None:
        turns, rng = asyncio.Semaphore(AT_ONCE), random.Random(2)
        http = build_http(mounts={"all://": server}, real_network=False)

        async def one(number: int) -> None:
            tries = 0
            async with turns:
                while True:
                    url = f"{API}/v1.0/bots/1/users/peer~0-{number:05d}/messages"
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


def run(server: Server, messages: int, who: ServiceAccount, *ways: Way) -> dict[str, float]:
    """One round: until the first of the senders is through."""

    async def all_of_them() -> None:
        first, *others = [asyncio.ensure_future(way(server, messages, who)) for way in ways]
        await first
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    limit = server.limits.overrides["messages"]
    asyncio.run(all_of_them())
    got = [name.partition("~") for _, name in server.accepted]
    mine = "peer" if ways[0] is not kit else "kit"
    seconds = server.clock.monotonic()
    return {
        "ratio": seconds / max(1.0, least_s(server.limits.shape, len(got), limit, server.into_s)),
        "throttled": server.refused.get(mine, 0),
        "others_throttled": sum(server.refused.values()) - server.refused.get(mine, 0),
        "out_of_order_rate": out_of_order([name for sender, _, name in got if sender == mine]),
    }


def rounds(of: int, one: Callable[[int], dict[str, float]]) -> dict[str, Any]:
    """The figures of several rounds."""
    found = [one(seed) for seed in range(of)]
    ratios = [each["ratio"] for each in found]
    return {
        "ratio": [min(ratios), statistics.median(ratios), max(ratios)],
        "throttled": max(each["throttled"] for each in found),
        "others_throttled": max(each["others_throttled"] for each in found),
        "out_of_order_rate": max(each["out_of_order_rate"] for each in found),
    }


def measure(shape: str, given: argparse.Namespace, who: ServiceAccount) -> dict[str, Any]:
    """All rounds of one shape: by kind (alone, begun, shared), by what was tried."""
    many, limit = given.messages, given.limit

    def server(seed: int, into_s: float = 0.0) -> Server:
        return Server(VirtualClock(START), shape, limit, seed, into_s)

    async def second_kit(server: Server, messages: int, who: ServiceAccount) -> None:
        await kit(server, messages, who, "second")

    back_off, wait = peer(False), peer(True)
    alone = {
        "kit": rounds(given.rounds, lambda seed: run(server(seed), many, who, kit)),
        "back_off": rounds(1, lambda seed: run(server(seed), many, who, back_off)),
        "wait_for_reset": rounds(1, lambda seed: run(server(seed), many, who, wait)),
    }
    begun = {}
    for into_s in (10.0, 30.0, 50.0) if shape == "fixed" else ():
        for name, messages in (("all", many), ("two_windows", 2 * limit)):
            begun[f"{name}_{into_s:.0f}s"] = rounds(
                given.rounds, lambda seed, s=into_s, m=messages: run(server(seed, s), m, who, kit)
            )
    shared = {
        name: rounds(min(3, given.rounds), lambda seed, way=way: run(server(seed), many, who, kit, way))
        for name, way in (("second_kit", second_kit), ("back_off", back_off), ("wait_for_reset", wait))
    }
    return {"least_s": least_s(shape, many, limit), "alone": alone, "begun": begun, "shared": shared}


def is_met(found: dict[str, Any]) -> bool:
    """The goals."""
    alone = [found["alone"]["kit"], *(one for name, one in found["begun"].items() if name.startswith("all"))]
    return all(
        one["ratio"][1] <= 1.03 and one["throttled"] == 0 and one["out_of_order_rate"] <= 0.01
        for one in alone
    ) and all(one["ratio"][1] <= 1.1 and one["out_of_order_rate"] <= 0.01 for one in found["shared"].values())


def line(name: str, one: dict[str, Any], goal: str = "") -> str:
    """One line of the table."""
    low, middle, high = one["ratio"]
    others = f" (the others {one['others_throttled']})" if one["others_throttled"] else ""
    return (
        f"  {name:32} {low:.4f} / {middle:.4f} / {high:.4f} {goal:8} {one['throttled']:4} × 429"
        f"{others}, "
        f"{one['out_of_order_rate']:.4f} out of order"
    )


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
    ok = all(is_met(found) for found in shapes.values())
    if given.json:
        print(json.dumps({"ok": ok, "messages": given.messages, "limit": given.limit, "shapes": shapes}))
        return 0 if ok else 1
    print(
        f"{given.messages} messages, limit {given.limit} a minute: completion ÷ least (min/med/max), most 429"
    )
    for shape, found in shapes.items():
        print(f"{shape}, least {found['least_s']:.0f} s")
        for name, one in found["alone"].items():
            print(line(f"alone: {name}", one, "(≤ 1.03)" if name == "kit" else ""))
        for name, one in found["begun"].items():
            print(line(f"window begun: {name} ago", one, "(≤ 1.03)" if name.startswith("all") else ""))
        for name, one in found["shared"].items():
            print(line(f"kit beside {name}", one, "(≤ 1.1)"))
    print("goals met" if ok else "GOAL MISSED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
