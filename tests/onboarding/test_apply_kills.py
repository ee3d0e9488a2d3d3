"""Killed at any point, as often as you like, and gone on with: nobody twice, nobody missing, as planned."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bousai_kit.onboarding import prepare_plan, save_plan, undo_apply
from bousai_kit.onboarding.undo import UndoResult
from bousai_kit.workbench import Workbench
from tests.onboarding.killlab import count_points, one_run, verify
from tests.onboarding.onlab import Killed, Killer, apply, bench_at, city, new_home, plan_for, reborn

RUNS = 200


def test_killed_and_troubled_anywhere_and_resumed(founded: Path, swift: Path) -> None:
    """`bench/onboarding.py --kills 10000` is the long form."""

    async def counted() -> dict[bool, int]:
        return {
            rooms: await count_points(founded, swift / f"whole{rooms}", rooms=rooms)
            for rooms in (False, True)
        }

    points = asyncio.run(counted())
    assert min(points.values()) > 80
    kills, faults, wrong = 0, Counter[str](), {}
    for number in range(RUNS):
        run = asyncio.run(one_run(number, founded, swift / f"home{number}", points))
        kills, faults = kills + run.kills, faults + run.faults
        if run.problems:
            wrong[number] = run.problems
        shutil.rmtree(swift / f"home{number}")
    assert wrong == {}
    assert kills >= RUNS
    troubles = {"drop", "500", "503", "429", "refuse", "slow", "revoke", "lost", "delay", "duplicate"}
    assert troubles <= {kind for kind, count in faults.items() if count}, "each kind has struck"


def test_killed_while_undoing(founded: Path, tmp_path: Path) -> None:
    roster = city(6, 2)

    async def undo(bench: Workbench, plan_id: str) -> UndoResult:
        given = {"client": bench.client, "ledger": bench.ledger, "clock": bench.clock, "home": bench.home}
        return await undo_apply(plan_id, **given, domain_id=bench.domain_id)  # type: ignore[arg-type]

    async def one(number: int) -> None:
        async with await bench_at(new_home(founded, tmp_path / f"undo{number}")) as bench:
            plan = await plan_for(bench, roster)
            assert (await apply(bench, plan)).complete
            Killer(bench, number * 22 + 3)
            with contextlib.suppress(Killed):
                await undo(bench, plan.plan_id)
            await reborn(bench)
            result = await undo(bench, plan.plan_id)
            assert (result.failed, result.left) == ((), 0)
            tenant = bench.sandbox.tenant  # type: ignore[union-attr]
            assert not tenant.table("groups")
            assert not tenant.table("orgunits")
            assert not tenant.table("levels")
            assert not tenant.table("positions")
            left = [one for one in tenant.table("users").values() if not one["isDeleted"]]
            assert [one["isAdministrator"] for one in left] == [True]

    for number in range(3):  # each kind of step: test_undo_file
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

    async def look() -> None:
        async with await bench_at(home) as bench:
            assert await verify(bench, roster) == []

    asyncio.run(look())
