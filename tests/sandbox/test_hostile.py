"""Anything at all at bots, messages, rooms, files, menus, boards, logs, the admin host: no 500, no defect."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from typing import Any

import pytest

from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.limits import Limits
from bousai_kit.sandbox.ops import Operation
from tests.contract.contents import TAKEN, template
from tests.sandbox.botlab import Lab, lab, uid

CALM = Choices(serial_service_s=0.0, log_open_s=0.0, callback_timeout_s=0.5)
SCALARS: list[Any] = [
    None, True, False, 0, -1, 1.5, 1 << 31, 1 << 63, 10**400, "", " ", "x", "x" * 3000, "あ" * 1001, "𠮷",
    "\u200b", "2027-01-17T00:00:00+09:00", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00",
    "https://example.invalid/a.png", "http://127.0.0.1:9/callback", "http://[::1", "javascript:alert(1)",
    "externalKey:S00001", "s00001@city-demo", "true", "../..", "٣", [], {}, [[]], [None], {"type": "text"},
]  # fmt: skip


def bodies(bench: Lab) -> list[dict[str, Any]]:
    """Good ones, to be spoilt."""
    area = {
        "bounds": {"x": 0, "y": 0, "width": 1250, "height": 843},
        "action": {"type": "message", "label": "a", "text": "b"},
    }
    bot = {
        "botName": "b",
        "photoUrl": "https://example.invalid/a.png",
        "description": "d",
        "administrators": [uid(0)],
    }
    return [
        *({"content": content} for content in TAKEN),
        {"members": [uid(1), uid(2)], "title": "本部"},
        {
            **bot,
            "callbackUrl": "https://example.invalid/c",
            "enableCallback": True,
            "callbackEvents": ["text"],
        },
        {"visible": True, "allowToSelectedMember": True},
        {"userId": uid(1)},
        {"fileName": "a.jpg", "fileSize": 10},
        {"content": {"actions": [{"type": "uri", "label": "a", "uri": "https://example.invalid"}]}},
        {"richmenuName": "m", "areas": [area], "size": {"width": 2500, "height": 1686}},
        {"title": "件名", "body": "本文", "enableComment": True},
        {"domainId": bench.tenant.domain_id},
        {"user": uid(1), "text": "はい", "postback": "p"},
        {"user": uid(1), "content": {"type": "location", "address": "a", "latitude": 1, "longitude": 1}},
        {"kind": "GROUP", "id": "x"},
        {"seed": 1, "fault": [{"kind": "slow", "on": "nothing", "seconds": 1}]},
        {"plan": "standard", "limiter": "fixed", "overrides": {}},
        {"scopes": []},
        {"login": "s00001@city-demo", "password": "x"},
    ]


def spoil(chance: random.Random, value: Any) -> Any:
    """One place of a body becomes something else."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(sorted(value))
        if chance.random() < 0.15:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: spoil(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        if chance.random() < 0.1:
            return value * chance.choice([2, 60])
        return [*value[:at], spoil(chance, value[at]), *value[at + 1 :]]
    return copy.deepcopy(chance.choice(SCALARS))


APART = ("admin.limits.set", "admin.reset")  # they would end the trial


def operations(bench: Lab) -> list[Operation]:
    mine = [op for op in bench.sandbox.routers["api"].operations if not op.paragraph.startswith("1 §")]
    admin = [op for op in bench.sandbox.routers["admin"].operations if op.name not in APART]
    return sorted([*mine, *admin, *bench.sandbox.routers["storage"].operations], key=lambda op: op.name)


def path_of(chance: random.Random, operation: Operation, ids: list[str]) -> str:
    path = operation.path
    while "{" in path:
        head, _, rest = path.partition("{")
        path = head + chance.choice(ids) + rest.partition("}")[2]
    return path


@pytest.mark.parametrize("seed", range(3))
def test_nothing_that_is_sent_breaks_an_operation(seed: int) -> None:
    chance = random.Random(seed)

    async def run() -> None:
        async with lab(4, choices=CALM) as bench:
            all_operations = operations(bench)
            free = {operation.name: 10**6 for operation in all_operations}
            bench.sandbox.limits = Limits(overrides=free)
            room = await bench.room(1, 2)
            board = next(iter(bench.tenant.table("boards")))
            ids = [
                bench.bot,
                uid(1),
                "s00001%40city-demo",
                room,
                board,
                str(bench.tenant.domain_id),
                "nobody",
            ]
            ids += [
                "0",
                "-1",
                "9" * 40,
                "%20",
                "a%00b",
                "%F0%9F%98%80",
                "x" * 1100,
                "externalKey%3AS00001",
                "..",
                "me",
            ]
            hosts = {
                "api": bench.sandbox.api_url,
                "storage": bench.sandbox.storage_url,
                "admin": bench.sandbox.admin_url,
            }
            good = bodies(bench)
            for _ in range(400):
                operation = chance.choice(all_operations)
                body = good[chance.randrange(len(good))]
                for _ in range(chance.randrange(3)):
                    body = spoil(chance, body)
                names = [*operation.query, "count", "cursor", "domainId"]
                query = {name: str(chance.choice(SCALARS))[:200] for name in names if chance.random() < 0.3}
                answer = await bench.http.request(
                    operation.method,
                    hosts[operation.host] + path_of(chance, operation, ids),
                    params=query,
                    content=b"" if operation.method in ("GET", "DELETE") else json.dumps(body).encode(),
                    headers={**bench.headers, "Content-Type": "application/json"},
                )
                said = f"{operation.name} {str(body)[:300]} {query} -> {answer.text[:300]}"
                assert answer.status_code < 500, said
                if answer.status_code >= 400 and operation.host == "api":
                    assert set(answer.json()) == {"code", "description"}, said
                if answer.status_code == 302 and "sandbox.invalid" in answer.headers["location"]:
                    fetched = await bench.http.get(answer.headers["location"], headers=bench.headers)
                    assert fetched.status_code < 500, said
                assert bench.sandbox.defects == [], said
                bench.headers = bench.bearer()
                bench.sandbox.faults.faults.clear()
            await bench.clock.sleep(7200)
            assert (await bench.admin("GET", "/truth")).status_code == 200

    asyncio.run(run())


def test_a_great_many_buttons_and_a_long_talk_stay_quick() -> None:
    async def run() -> None:
        async with lab(2, choices=CALM) as bench:
            bench.sandbox.limits = Limits(overrides={"messages.to_user": 10**6})
            content = template(*[{"type": "message", "label": "無事です A1", "postback": "x" * 1000}] * 10)
            for _ in range(300):
                path = f"/bots/{bench.bot}/users/{uid(1)}/messages"
                assert (await bench.api("POST", path, {"content": content})).status_code == 201
            keys = [message["key"] for message in bench.truth()["messages"]]
            assert len(set(keys)) == 300

    asyncio.run(run())
