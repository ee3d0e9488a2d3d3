"""Free, Standard and Advanced: limits of a minute, and what a contract does not hold (part 1 §1.9, §2.5)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from dotenv import dotenv_values

from bousai_kit.sandbox.auth import KNOWN_SCOPES
from tests.sandbox.botlab import DOMAIN, Lab, trial, uid
from tests.sandbox.test_serve import log_in, served

PLANS = ("free", "standard", "advanced")
DAY = {"startTime": "2027-01-16T00:00:00+09:00", "endTime": "2027-01-17T00:00:00+09:00"}


def unit(number: int) -> dict[str, Any]:
    return {"domainId": DOMAIN, "orgUnitName": f"課{number}", "displayOrder": number}


async def minute(bench: Lab, method: str, path: str, body: Any = None, **more: Any) -> int:
    """How many of these a minute lets through; what it says of itself is held against it."""
    for number in range(300):
        answer = await bench.api(method, path, body, **more)
        if answer.status_code == 429:
            assert int(answer.headers["ratelimit-limit"]) == number
            assert answer.headers["ratelimit-remaining"] == "0"
            return number
    raise AssertionError("no limit")


@pytest.mark.parametrize(("plan", "each"), [("free", 60), ("standard", 240), ("advanced", 240)])
def test_a_minute_of_each_class(plan: str, each: int) -> None:
    async def test(bench: Lab) -> None:
        board = next(iter(bench.tenant.table("boards")))
        text = {"content": {"type": "text", "text": "【訓練】"}}
        assert await minute(bench, "POST", f"/bots/{bench.bot}/users/{uid(1)}/messages", text) == each
        assert await minute(bench, "GET", f"/users/{uid(1)}") == each
        assert await minute(bench, "GET", f"/boards/{board}") == 60
        assert await minute(bench, "POST", f"/bots/{bench.bot}/channels", {"members": [uid(1)]}) == 10
        if plan != "free":  # a period without end: refused and counted, and no download that stays open
            for path in ("/audits/logs/download", "/monitoring/message-contents/download"):
                assert await minute(bench, "GET", path, params={"startTime": DAY["startTime"]}) == 10

    trial(test, plan=plan)


OPEN = {  # what the table of part 1 §1.9 says: scope, request, and the status on each plan
    "bot": ("GET", "/bots", None, (200, 200, 200)),
    "bot.read": ("GET", "/bots", None, (200, 200, 200)),
    "user": ("POST", "/users", {}, (403, 400, 400)),
    "user ": ("GET", "/users", None, (200, 200, 200)),
    "user.read": ("GET", "/users", None, (200, 200, 200)),
    "orgunit": ("POST", "/orgunits", unit(1), (403, 201, 201)),
    "orgunit.read": ("GET", "/orgunits", None, (200, 200, 200)),
    "group": ("POST", "/groups", {}, (403, 400, 400)),
    "group.read": ("GET", "/groups", None, (200, 200, 200)),
    "directory": ("GET", "/users", None, (403, 200, 200)),
    "directory.read": ("GET", "/users", None, (403, 200, 200)),
    "audit.read": ("GET", "/audits/logs/download?service=auth", DAY, (403, 302, 302)),
    "monitoring.read": ("GET", "/monitoring/message-contents/download", DAY, (403, 302, 302)),
    "board": ("GET", "/boards", None, (200, 200, 200)),
}


@pytest.mark.parametrize("plan", PLANS)
def test_what_a_scope_opens_on_a_plan(plan: str) -> None:
    async def test(bench: Lab) -> None:
        for name, (method, path, sent, statuses) in OPEN.items():
            scope = name.strip()
            assert scope in KNOWN_SCOPES
            query = {
                **(sent if method == "GET" and sent else {}),
                **dict(httpx.QueryParams(path.partition("?")[2])),
            }
            answer = await bench.api(
                method,
                path.partition("?")[0],
                sent if method == "POST" else None,
                params=query,
                headers=bench.bearer(scope),
            )
            assert answer.status_code == statuses[PLANS.index(plan)], (plan, name, answer.text)
            if answer.status_code == 403:
                assert answer.json()["code"] == "ACCESS_DENIED"

    trial(test, plan=plan)


@pytest.mark.parametrize("plan", PLANS)
def test_alias_addresses_belong_to_advanced(plan: str) -> None:
    async def test(bench: Lab) -> None:
        answer = await bench.api("PATCH", f"/users/{uid(1)}", {"aliasEmails": ["a.b@city-demo"]})
        expected = {"free": (403,), "standard": (400, 403), "advanced": (200,)}[plan]
        assert answer.status_code in expected, answer.text

    trial(test, plan=plan)


def test_a_change_of_contract_counts_for_tokens_that_are_out() -> None:
    async def test(bench: Lab) -> None:
        reader = bench.bearer("audit.read")
        query = {**DAY, "service": "auth"}
        seen = []
        for plan in ("standard", "free", "advanced"):
            assert (await bench.admin("PUT", "/limits", {"plan": plan})).json()["plan"] == plan
            answer = await bench.api("GET", "/audits/logs/download", params=query, headers=reader)
            seen.append(answer.status_code)
            await asyncio.sleep(0)
            await bench.clock.sleep(120)
        assert seen == [302, 403, 302]

    trial(test)


@pytest.mark.parametrize(("plan", "limit", "shape"), [("free", 60, "sliding"), ("advanced", 240, "bucket")])
def test_the_command_takes_a_plan_a_way_to_count_and_faults(
    tmp_path: Path, plan: str, limit: int, shape: str
) -> None:
    faults = tmp_path / "障害.toml"
    faults.write_text('[[fault]]\nkind = "503"\non = "users.list"\ntimes = 1\n', "utf-8")
    options = ("--plan", plan, "--limiter", shape, "--faults", str(faults))
    with served("--people", "0", *options) as (_, ready):
        with log_in(dotenv_values(ready["env_file"])) as http:
            assert [http.get("/users").status_code for _ in range(2)] == [503, 200]
            assert http.get("/users").headers["ratelimit-limit"] == f"{limit}"
        told = httpx.get(ready["admin_url"] + "/limits", trust_env=False).json()
        assert told == {"plan": plan, "limiter": shape, "overrides": {}}
