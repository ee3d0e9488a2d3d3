"""Killed at any point, as often as you like, and gone on with: nobody twice, nobody missing, as planned."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bousai_kit.onboarding import prepare_plan, save_plan, undo_apply
from bousai_kit.onboarding.items import Plan
from bousai_kit.onboarding.plan_file import kept_plan
from bousai_kit.onboarding.undo import UndoResult
from bousai_kit.onboarding.unfinished import find_unfinished
from bousai_kit.roster import Roster
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import (
    Killed,
    Killer,
    apply,
    bench_at,
    city,
    new_home,
    plan_for,
    reborn,
    tenant_problems,
)

RUNS = 30


async def _go_on(bench: Workbench, roster: Roster, at: int | None, *, faults: bool = False) -> int:
    """Plan (or go on with the kept plan) and apply, until killed; the number of points that were passed."""
    if bench.sandbox is not None:
        rules = [Fault("drop", on="*.create", probability=0.2), Fault("500", probability=0.1, after=True)]
        bench.sandbox.faults = FaultPlan(rules if faults else (), seed=at or 0)
    plan = await _unfinished(bench, roster) or await plan_for(bench, roster)
    killer = Killer(bench, at)
    with contextlib.suppress(Killed):
        result = await apply(bench, plan)
        assert faults or result.complete, result.failed
    return killer.points


async def _unfinished(bench: Workbench, roster: Roster) -> Plan | None:
    return await find_unfinished(
        bench.ledger, bench.home, domain_id=bench.domain_id, roster_sha256=roster.sha256
    )


async def _verify(bench: Workbench, roster: Roster) -> None:
    assert await _unfinished(bench, roster) is None
    created = await bench.ledger.read(prefix="apply:", kinds=("user.created",))
    assert len(created) == len(roster.people)
    plan = kept_plan(bench.home, created[0].stream.removeprefix("apply:"))
    assert tenant_problems(bench, roster, plan=plan) == []
    assert (await plan_for(bench, roster)).nothing_to_do
    assert (await bench.ledger.verify()).ok


def test_killed_anywhere_and_resumed(founded: Path, tmp_path: Path) -> None:
    roster = city(6, 2)

    async def whole() -> int:
        async with await bench_at(new_home(founded, tmp_path / "whole")) as bench:
            return await _go_on(bench, roster, None)

    points = asyncio.run(whole())
    assert points > 100

    async def one(number: int) -> None:
        chance = random.Random(number)
        async with await bench_at(new_home(founded, tmp_path / f"home{number}")) as bench:
            for _ in range(chance.choice((1, 1, 2, 3))):
                await _go_on(bench, roster, chance.randrange(1, points), faults=number % 3 == 0)
                await reborn(bench)
            await _go_on(bench, roster, None)
            await _verify(bench, roster)

    for number in range(RUNS):
        asyncio.run(one(number))


def test_killed_while_undoing(founded: Path, tmp_path: Path) -> None:
    roster = city(6, 2)

    async def undo(bench: Workbench, plan_id: str) -> UndoResult:
        given = {"client": bench.client, "ledger": bench.ledger, "clock": bench.clock, "home": bench.home}
        return await undo_apply(plan_id, **given, domain_id=bench.domain_id)  # type: ignore[arg-type]

    async def one(number: int) -> None:
        async with await bench_at(new_home(founded, tmp_path / f"undo{number}")) as bench:
            plan = await plan_for(bench, roster)
            assert (await apply(bench, plan)).complete
            Killer(bench, number * 11 + 3)
            with contextlib.suppress(Killed):
                await undo(bench, plan.plan_id)
            await reborn(bench)
            result = await undo(bench, plan.plan_id)
            assert (result.failed, result.left) == ((), 0)
            tenant = bench.sandbox.tenant  # type: ignore[union-attr]
            assert not tenant.table("groups")
            assert not tenant.table("orgunits")
            assert not tenant.table("positions")
            left = [one for one in tenant.table("users").values() if not one["isDeleted"]]
            assert [one["isAdministrator"] for one in left] == [True]

    for number in range(6):
        asyncio.run(one(number))


def _command(*words: str, home: Path) -> list[str]:
    return [sys.executable, "-m", "bousai_kit", "onboard", *words, "--home", str(home)]


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX signal")
def test_a_real_kill_minus_nine_of_the_command(founded: Path, tmp_path: Path) -> None:
    home, roster, path = new_home(founded, tmp_path / "home"), city(60, 20), tmp_path / "plan.json"

    async def prepare() -> None:
        async with await bench_at(home) as bench:
            save_plan(prepare_plan(await plan_for(bench, roster), home), path)

    asyncio.run(prepare())
    first = subprocess.Popen(
        _command("apply", str(path), home=home), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert first.stderr is not None
    for line in first.stderr:
        if "メンバー" in line:  # people are being created just now
            os.kill(first.pid, signal.SIGKILL)
            break
    first.stderr.close()
    assert first.wait(30) == -signal.SIGKILL
    second = subprocess.run(
        _command("apply", str(path), "--json", home=home),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 0, second.stderr
    said = json.loads(second.stdout)
    assert said["failed"] == said["unknown"] == []
    assert said["skipped"] > 20

    async def verify() -> None:
        async with await bench_at(home) as bench:
            await _verify(bench, roster)

    asyncio.run(verify())
