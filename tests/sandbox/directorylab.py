"""The directory by plain HTTP: what the tests of members, org units, groups and catalogues share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx

from bousai_kit.sandbox.choices import Choices
from tests.sandbox.botlab import DOMAIN, Lab, lab

STILL = Choices(people_answer=False, people_log_in=False, serial_service_s=0.0)
PASSWORD = "Kx7-mTq9-rb"
COUNT = 1_000_000


class Desk:
    """One who administers the directory."""

    def __init__(self, bench: Lab) -> None:
        self.bench = bench
        self.tenant = bench.tenant
        self.clock = bench.clock
        bench.sandbox.limits.overrides["default"] = COUNT

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        if path.startswith("/orgunits") and method != "GET" and not path.endswith("external-keys"):
            await self.clock.sleep(1.0)  # part 1 §2.5
        return await self.bench.api(method, path, body, **more)

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def pages(self, path: str, key: str, **params: Any) -> list[Any]:
        items: list[Any] = []
        cursor = ""
        while True:
            page = await self.get(path, **params, **({"cursor": cursor} if cursor else {}))
            items += page[key]
            cursor = page["responseMetaData"]["nextCursor"]
            if cursor is None:
                return items
            assert cursor.endswith("==")

    async def done(self, method: str, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
        answer = await self.call(method, path, body, **more)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def refused(self, method: str, path: str, body: Any, status: int, code: str, said: str = "") -> str:
        answer = await self.call(method, path, body)
        assert answer.status_code == status, answer.text
        assert set(answer.json()) == {"code", "description"}
        assert answer.json()["code"] == code
        assert said in answer.json()["description"], answer.text
        return str(answer.json()["description"])

    async def wrong(self, method: str, path: str, body: Any, said: str = "") -> str:
        return await self.refused(method, path, body, 400, "INVALID_PARAMETER", said)

    # -- bodies and things ----------------------------------------------------------------------

    async def member(self, login: str = "taro", **more: Any) -> Any:
        return await self.done("POST", "/users", new_member(login, **more), 201)

    async def unit(self, name: str = "危機管理室", **more: Any) -> Any:
        body = {"domainId": DOMAIN, "orgUnitName": name, "displayOrder": 1, **more}
        return await self.done("POST", "/orgunits", body, 201)

    async def group(self, name: str = "本部", **more: Any) -> Any:
        return await self.done("POST", "/groups", new_group(name, **more), 201)

    def state(self, user_id: str) -> dict[str, Any]:
        return self.tenant.table("users")[user_id]

    def audited(self, service: str) -> list[tuple[str, str]]:
        rows = [row for row in self.tenant.table("audit").values() if row["service"] == service]
        return [(row.get("task", ""), row.get("target", row.get("user", ""))) for row in rows]

    async def days(self, number: float) -> None:
        """Time goes by, and what is due happens."""
        await self.clock.sleep(timedelta(days=number).total_seconds())
        await self.bench.sandbox.run_due()


def new_member(login: str = "taro", **more: Any) -> dict[str, Any]:
    """The smallest body of an ``ADMIN`` member."""
    return {
        "domainId": DOMAIN,
        "email": login if "@" in login else f"{login}@city-demo",
        "userName": {"lastName": "試験", "firstName": "太郎"},
        "passwordConfig": {"passwordCreationType": "ADMIN", "password": PASSWORD},
        **more,
    }


def new_group(name: str = "本部", **more: Any) -> dict[str, Any]:
    masters = more.pop("administrators", None)
    return {
        "domainId": DOMAIN,
        "groupName": name,
        "administrators": masters or [{"userId": "s00000@city-demo"}],
        "members": [],
        **more,
    }


def in_unit(*units: str, **more: Any) -> list[dict[str, Any]]:
    """``organizations`` of somebody in these units, the first the primary one."""
    entries = [{"orgUnitId": unit, "primary": at == 0, **more} for at, unit in enumerate(units)]
    return [{"domainId": DOMAIN, "primary": True, "orgUnits": entries}]


def part(text: str) -> str:
    """A path value as clients send it (part 1 §2.2)."""
    return quote(text, safe="")


def at_desk(test: Callable[[Desk], Awaitable[None]], people: int = 0, **more: Any) -> None:
    """Run a test coroutine at a desk of a fresh tenant whose people do nothing by themselves."""

    async def run() -> None:
        async with lab(people, **{"choices": STILL, **more}) as bench:
            await test(Desk(bench))

    asyncio.run(run())
