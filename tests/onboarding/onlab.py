"""A small city, a workbench on a home, and a way to kill what works on it at any point."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from bousai_kit.ledger import Ledger
from bousai_kit.onboarding import apply_plan, build_plan
from bousai_kit.onboarding.apply import ApplyResult
from bousai_kit.onboarding.items import Plan
from bousai_kit.onboarding.passwords import PlanSecret, derive_password
from bousai_kit.roster import Person, Roster, RosterUnit, sample_roster
from bousai_kit.sandbox.directory_state import find_user
from bousai_kit.sandbox.logins import attempt_login
from bousai_kit.settings import isolated_settings
from bousai_kit.steps import tenant_on
from bousai_kit.workbench import Workbench, open_workbench

Found = TypeVar("Found")
MEMORY = "/dev/shm"
ENOUGH = 50_000_000


@lru_cache(maxsize=8)
def city(people: int = 12, units: int = 4) -> Roster:
    """So many people in so few units (an org-unit write takes a second)."""
    everybody = [*sample_roster(200).people]
    chosen = everybody[:: max(1, 200 // people)][:people]
    codes = [RosterUnit(f"U{n}", f"第{n}課", "" if n == 0 else "U0", n + 1) for n in range(units)]
    moved = [
        replace(one, row=n + 2, orgunit_code=f"U{n % units}", orgunit_name=f"第{n % units}課", deputy_for="")
        for n, one in enumerate(chosen)
    ]
    return Roster(people=tuple(moved), units=tuple(codes), sha256=f"city-{people}-{units}")


def changed(roster: Roster, number: str, **fields: Any) -> Roster:
    """The same roster with one person changed."""
    people = tuple(replace(one, **fields) if one.staff_number == number else one for one in roster.people)
    return replace(roster, people=people, sha256=roster.sha256 + "+")


def without(roster: Roster, *numbers: str) -> Roster:
    """The same roster without some people."""
    people = tuple(one for one in roster.people if one.staff_number not in numbers)
    return replace(roster, people=people, sha256=roster.sha256 + "-")


async def bench_at(home: Path) -> Workbench:
    """A workbench on this home."""
    return await open_workbench(settings=isolated_settings(home))


def run(home: Path, work: Callable[[Workbench], Awaitable[Found]]) -> Found:
    """What work on a workbench on this home comes to."""

    async def main() -> Found:
        async with await bench_at(home) as bench:
            return await work(bench)

    return asyncio.run(main())


def new_home(template: Path, home: Path) -> Path:
    """A home of its own with a founded, empty tenant (making a key takes longer than a test)."""
    shutil.copytree(template, home)
    return home


def in_memory() -> str | None:
    """Where files are kept in memory and no commit waits for a disk; None: this system has no such place.

    What is committed is the same; a test in which a machine loses power has no use for it.
    """
    usable = os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free > ENOUGH
    return MEMORY if usable else None


async def reborn(bench: Workbench) -> None:
    """As a new process finds it: ledger and client are opened anew on the same files and the same tenant."""
    await bench.ledger.close()
    client, http = bench._client, bench._http
    bench._client = bench._http = None
    if client is not None:
        await client.aclose()
    if http is not None:
        await http.aclose()
    bench.ledger = await Ledger.open(bench.settings.ledger_url, clock=bench.clock, domain_id=bench.domain_id)


async def plan_for(bench: Workbench, roster: Roster, **options: Any) -> Plan:
    """Read and compare."""
    view = await tenant_on(bench)
    return build_plan(roster, view, **options)


async def apply(bench: Workbench, plan: Plan, **options: Any) -> ApplyResult:
    """Carry out."""
    return await apply_plan(
        plan,
        client=bench.client,
        ledger=bench.ledger,
        clock=bench.clock,
        home=bench.home,
        domain_id=bench.domain_id,
        **options,
    )


def tenant_problems(bench: Workbench, roster: Roster, *, plan: Plan | None = None) -> list[str]:
    """Where the sandbox's own truth differs from the roster; [] when it is as it should be."""
    tenant = bench.sandbox.tenant  # type: ignore[union-attr]
    users = [one for one in tenant.table("users").values() if not one["isDeleted"]]
    found: list[str] = []
    for person in roster.people:
        mine = [one for one in users if one["userExternalKey"] == person.staff_number]
        if len(mine) != 1:
            found.append(f"{person.staff_number}: {len(mine)} accounts")
            continue
        found += _differences(tenant, mine[0], person)
    for table, name, wanted in (
        ("orgunits", "orgUnitExternalKey", [unit.code for unit in roster.units]),
        ("levels", "levelName", sorted({one.level for one in roster.people if one.level})),
        ("positions", "positionName", sorted({one.position for one in roster.people if one.position})),
    ):
        there = [one[name] for one in tenant.table(table).values()]
        found += [f"{table} {one}: {there.count(one)}" for one in wanted if there.count(one) != 1]
    everybody = [one for one in tenant.table("groups").values() if one["groupExternalKey"] == "bousai-all"]
    if len(everybody) != 1 or len(everybody[0]["members"]) != len(roster.people):
        found.append(f"group of all: {[len(one['members']) for one in everybody]}")
    if plan is not None:
        found += _wrong_passwords(bench, plan)
    return found


def _differences(tenant: Any, user: dict[str, Any], person: Person) -> list[str]:
    unit = next(one for one in user["organizations"][0]["orgUnits"] if one["primary"])
    position = tenant.table("positions").get(unit["positionId"] or "", {}).get("positionName", "")
    level_id = user["organizations"][0]["levelId"] or ""
    names = user["userName"]
    seen = {
        "login_id": user["email"],
        "staff_number": user["employeeNumber"],
        "last_name": names["lastName"],
        "first_name": names["firstName"],
        "last_kana": names["phoneticLastName"],
        "first_kana": names["phoneticFirstName"],
        "position": position,
        "level": tenant.table("levels").get(level_id, {}).get("levelName", ""),
        "orgunit_code": tenant.table("orgunits")[unit["orgUnitId"]]["orgUnitExternalKey"],
    }
    wrong = [name for name, value in seen.items() if value != getattr(person, name)]
    return [f"{person.staff_number}: {wrong}"] if wrong else []


def _wrong_passwords(bench: Workbench, plan: Plan) -> list[str]:
    secret = PlanSecret(bench.home, plan.plan_id).read()
    wrong, tried = [], 0
    for item in plan.creates:
        number = item.person.staff_number
        user = find_user(bench.sandbox.tenant, item.person.login_id)  # type: ignore[union-attr]
        if user is not None and not user["isPending"]:
            continue  # has logged in and chosen an own password
        tried += 1
        password = derive_password(secret, plan.plan_id, number)
        if user is None or attempt_login(bench.sandbox, user, password) != "change":  # type: ignore[arg-type]
            wrong.append(f"{number}: the slip's password does not open the account")
    if plan.creates and not tried:
        wrong.append("everybody has logged in already: no slip could be tried")
    return wrong


class Killed(BaseException):
    """The process is gone."""


class Killer:
    """Ends everything at the n-th point: before or after a commit, before a request or after its effect.

    Once it has struck, nothing more is written or sent, whatever the kit still tries.
    """

    def __init__(self, bench: Workbench, at: int | None = None) -> None:
        self.points = 0
        self.at = at
        self.dead = False
        ledger, exchange = bench.ledger, bench.client._exchange
        for owner, name in ((ledger, "append"), (ledger, "append_many"), (exchange, "run")):
            setattr(owner, name, self._around(getattr(owner, name)))

    def _point(self) -> None:
        self.points += 1
        if self.dead or self.points == self.at:
            self.dead = True
            raise Killed

    def _around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            self._point()
            result = await call(*args, **kwargs)
            self._point()
            return result

        return wrapped
