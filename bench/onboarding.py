"""Onboarding of 200 against the least that the limits allow; a plan of many; kills and faults.

    python bench/onboarding.py [--people 30000] [--kills 200]

Prints one JSON document: ratios of one run, and counts that have to be 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from bousai_kit.onboarding import apply_plan, build_plan, load_plan, read_tenant, save_plan
from bousai_kit.onboarding.tenant_view import Member, TenantView
from bousai_kit.roster import sample_roster
from bousai_kit.settings import isolated_settings
from bousai_kit.workbench import open_workbench


async def of_200(home: Path) -> dict[str, float]:
    """A new Standard tenant; units cost a second each, everything else fits one window."""
    async with await open_workbench(settings=isolated_settings(home)) as bench:
        view = await read_tenant(bench.client, domain_id=bench.domain_id)
        plan = build_plan(sample_roster(200), view)
        began = time.process_time()
        result = await apply_plan(
            plan,
            client=bench.client,
            ledger=bench.ledger,
            clock=bench.clock,
            home=home,
            domain_id=bench.domain_id,
        )
        least = sum(unit.action == "create" for unit in plan.units) - 1.0
        return {
            "onboard_200_ratio": result.elapsed_s / least,
            "onboard_200_eta_ratio": plan.eta_s / result.elapsed_s,
            "onboard_200_throttled": result.throttled,
            "onboard_200_left": len(result.failed) + len(result.unknown),
            "onboard_200_cpu_s": time.process_time() - began,
        }


def of_many(people: int, folder: Path) -> dict[str, float]:
    """A plan of a tenant that has them all, changed in one field each; and its file."""
    roster = sample_roster(people)
    view = _as_tenant(roster)
    began = time.process_time()
    plan = build_plan(roster, view)
    planned_s = time.process_time() - began
    assert plan.count("update") == people
    began = time.process_time()
    save_plan(plan, folder / "plan.json")
    saved_s = time.process_time() - began
    began = time.process_time()
    assert load_plan(folder / "plan.json") == plan
    return {
        "people": people,
        "plan_cpu_s": planned_s,
        "save_cpu_s": saved_s,
        "load_cpu_s": time.process_time() - began,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _as_tenant(roster: Any) -> TenantView:
    from datetime import UTC, datetime

    from bousai_kit.onboarding.tenant_view import Unit

    units = tuple(Unit(f"id-{unit.code}", unit.code, unit.name) for unit in roster.units)
    members = tuple(
        Member(
            f"id-{one.staff_number}",
            one.staff_number,
            one.login_id,
            one.last_name,
            "旧名",
            one.last_kana,
            one.first_kana,
            one.staff_number,
            organizations=(
                {
                    "domainId": 1,
                    "primary": True,
                    "orgUnits": [
                        {"orgUnitId": f"id-{one.orgunit_code}", "primary": True, "positionId": None}
                    ],
                },
            ),
        )
        for one in roster.people
    )
    return TenantView(1, datetime(2027, 1, 17, tzinfo=UTC), members, units, ())


async def killed(count: int, folder: Path) -> dict[str, float]:
    """Seeded kills and faults; whoever is there twice, or missing, is counted."""
    from tests.onboarding.onlab import bench_at, city, new_home, reborn, tenant_problems
    from tests.onboarding.test_apply_kills import _go_on

    founded, roster = folder / "founded", city(6, 2)
    async with await bench_at(founded):
        pass
    async with await bench_at(new_home(founded, folder / "whole")) as bench:
        points = await _go_on(bench, roster, None)
    kills = wrong = number = 0
    while kills < count:
        chance = random.Random(10_000 + number)
        async with await bench_at(new_home(founded, folder / f"home{number}")) as bench:
            for _ in range(3):
                await _go_on(bench, roster, chance.randrange(1, points), faults=chance.random() < 0.4)
                await reborn(bench)
                kills += 1
            await _go_on(bench, roster, None)
            wrong += len(tenant_problems(bench, roster))
        number += 1
    return {"kills": kills, "kills_wrong": wrong}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=30_000)
    parser.add_argument("--kills", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numbers = of_many(given.people, folder)
        numbers |= asyncio.run(of_200(folder / "of200"))
        numbers |= asyncio.run(killed(given.kills, folder))
    print(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
