"""Two at once, a clock that jumps: nobody twice, nobody missing, whoever comes second."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from bousai_kit.clock import SystemClock
from bousai_kit.errors import BousaiKitError, GuardError
from bousai_kit.ledger import Ledger
from bousai_kit.onboarding import apply_plan, undo_apply
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import (
    Killed,
    Killer,
    apply,
    changed,
    city,
    new_home,
    plan_for,
    reborn,
    run,
    tenant_problems,
)
from tests.onboarding.test_properties import snapshot


def given(bench: Workbench) -> dict[str, Any]:
    return {"client": bench.client, "clock": bench.clock, "home": bench.home, "domain_id": bench.domain_id}


@contextlib.asynccontextmanager
async def another_process(bench: Workbench) -> Any:
    """A ledger of its own on the same file."""
    other = await Ledger.open(bench.settings.ledger_url, clock=bench.clock)
    try:
        yield other
    finally:
        await other.close()


@pytest.mark.parametrize("faults", [(), (Fault("slow", on="*.create", probability=0.3, seconds=3.0),)])
def test_two_different_plans_at_once(home: Path, faults: tuple[Fault, ...]) -> None:
    async def work(bench: Workbench) -> None:
        roster = city(12)
        wanted = changed(roster, roster.people[0].staff_number, position="特命担当")
        one, two = await plan_for(bench, roster), await plan_for(bench, wanted)
        assert one.plan_id != two.plan_id
        bench.sandbox.faults = FaultPlan(faults)  # type: ignore[union-attr]
        async with another_process(bench) as other:
            results = await asyncio.gather(
                apply_plan(one, ledger=bench.ledger, **given(bench)),
                apply_plan(two, ledger=other, **given(bench)),
                return_exceptions=True,
            )
        assert all(isinstance(result, BousaiKitError) or not isinstance(result, BaseException)
                   for result in results), results  # fmt: skip
        bench.sandbox.faults = FaultPlan()  # type: ignore[union-attr]
        last = await plan_for(bench, wanted)
        assert (await apply(bench, last)).complete
        assert tenant_problems(bench, wanted) == []
        created = await bench.ledger.read(prefix="apply:", kinds=("user.created",))
        assert Counter(event.body["staff_number"] for event in created) == Counter(
            person.staff_number for person in roster.people
        ), "each account has come of one plan, whose slip opens it"
        assert not (await plan_for(bench, wanted)).as_json()["update"]

    run(home, work)


def test_what_another_run_has_done_meanwhile_needs_no_look(home: Path) -> None:
    """Given up, tried again by a second run, done by the first all the same; then nobody can be looked up."""

    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, city(2, 1))
        slow = [Fault("slow", on="users.create", nth=(nth,), seconds=s) for nth, s in ((1, 28.0), (3, 15.0))]
        gone = Fault("500", on="users.get", nth=tuple(range(2, 99)))
        bench.sandbox.faults = FaultPlan([*slow, gone])  # type: ignore[union-attr]
        async with another_process(bench) as other:
            results = await asyncio.gather(
                apply_plan(plan, ledger=bench.ledger, **given(bench)),
                apply_plan(plan, ledger=other, **given(bench)),
            )
        assert [(one.failed, one.unknown) for one in results] == [((), ())] * 2
        assert tenant_problems(bench, city(2, 1), plan=plan) == []

    run(home, work)


@pytest.mark.parametrize("wait_s", [0.0, 1.5, 3.0, 4.2, 8.0])
def test_an_apply_and_its_undo_at_once(home: Path, wait_s: float) -> None:
    async def work(bench: Workbench) -> None:
        bench.sandbox.latency_s = 0.3  # type: ignore[union-attr]
        before = snapshot(bench)
        plan = await plan_for(bench, city(24))

        async def undo(ledger: Ledger) -> Any:
            await bench.clock.sleep(wait_s)
            return await undo_apply(plan.plan_id, ledger=ledger, **given(bench))

        async with another_process(bench) as other:
            applied, undone = await asyncio.gather(apply(bench, plan), undo(other), return_exceptions=True)
            if isinstance(applied, BaseException):
                assert isinstance(applied, GuardError), applied
            if isinstance(undone, BaseException):
                assert isinstance(undone, BousaiKitError), undone  # nothing had been begun
            elif snapshot(bench) != before:
                assert undone.left or undone.failed, "what is left is said"
            for _ in range(2):
                last = await undo_apply(plan.plan_id, ledger=other, **given(bench))
                assert last.failed == ()
            assert last.left == 0
        assert snapshot(bench) == before
        with pytest.raises(GuardError, match="取り消"):
            await apply(bench, plan)

    run(home, work)


# -- clocks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1200.0, -3600.0])
@pytest.mark.parametrize("at", [5, 20, 40])
def test_a_clock_that_jumps_in_mid_apply(
    home: Path, monkeypatch: pytest.MonkeyPatch, at: int, seconds: float
) -> None:
    """A laptop that slept for 20 minutes; a clock that was set back by an hour."""

    async def work(bench: Workbench) -> None:
        roster = city(12)
        plan = await plan_for(bench, roster)

        def tell(done: int, total: int, text: str) -> None:
            if done == at:
                jump(bench, monkeypatch, seconds)

        result = await apply(bench, plan, tell=tell)
        assert result.complete, result.as_json()
        assert tenant_problems(bench, roster, plan=plan) == []
        assert (await plan_for(bench, roster)).nothing_to_do

    run(home, work)


@pytest.mark.parametrize("seconds", [1200.0, -3600.0])
@pytest.mark.parametrize("at", [30, 70, 110])
def test_a_clock_that_jumps_between_a_kill_and_the_next_run(
    founded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, seconds: float
) -> None:
    async def work(bench: Workbench) -> None:
        roster = city(12)
        plan = await plan_for(bench, roster)
        Killer(bench, at)
        with contextlib.suppress(Killed):
            await apply(bench, plan)
        await reborn(bench)
        jump(bench, monkeypatch, seconds)
        result = await apply(bench, plan)
        assert result.complete, result.as_json()
        assert tenant_problems(bench, roster, plan=plan) == []
        assert result.elapsed_s < 60

    run(new_home(founded, tmp_path / "home"), work)


def jump(bench: Workbench, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    clock: Any = bench.clock
    if seconds > 0:
        clock.advance(seconds)
        return
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(seconds=seconds))


# -- real processes -----------------------------------------------------------------------------------------


@pytest.fixture
def tenant(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A tenant of a process of its own, at four times the speed of the wall; environment to reach it."""
    env_file = tmp_path / "sandbox.env"
    words = ["sandbox", "--people", "0", "--time-scale", "4", "--env-file", str(env_file)]
    process = subprocess.Popen(
        [sys.executable, "-m", "bousai_kit", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"]
        found = {name: value or "" for name, value in dotenv_values(env_file, interpolate=False).items()}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BOUSAI_")}
        home = {"BOUSAI_PROFILE": "machida", "BOUSAI_HOME": str(tmp_path / "kit")}
        yield {**kept, **found, **home}
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


def test_the_same_plan_from_two_processes(tenant: dict[str, str], tmp_path: Path) -> None:
    roster, path = tmp_path / "名簿.csv", tmp_path / "plan.json"
    head = "職員番号,姓,名,ログインID,所属コード,所属名,役職"
    rows = [f"{700000 + n},試験,{n}号,t{n}@city-demo,C{n % 2},第{n % 2}課,係員" for n in range(40)]
    roster.write_text("\n".join((head, *rows)), encoding="utf-8")

    def bousai(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "bousai_kit", "onboard", *words, "--json"]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=tenant, cwd=tmp_path)

    def said(process: subprocess.Popen[str]) -> dict[str, Any]:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, (out, err)
        return dict(json.loads(out))

    planned = said(bousai("plan", str(roster), "--out", str(path)))
    assert planned["create"] == 40
    both = [bousai("apply", str(path), "--yes") for _ in range(2)]
    for one in both:
        _, err = one.communicate(timeout=120)
        assert one.returncode in (0, 1), (
            err
        )  # on a slow machine one may take the other for dead and list a row
    last = said(bousai("apply", str(path), "--yes"))
    assert (last["created"], last["failed"], last["unknown"]) == (0, [], [])
    assert last["skipped"] == 2 + 1 + 40 + planned["groups"]["create"]

    async def created() -> Counter[str]:
        url = f"sqlite:///{tmp_path / 'kit' / 'ledger.db'}"
        async with await Ledger.open(url, clock=SystemClock()) as ledger:
            events = await ledger.read(prefix="apply:", kinds=("user.created",))
            return Counter(str(event.body["staff_number"]) for event in events)

    assert asyncio.run(created()) == {str(700000 + n): 1 for n in range(40)}
    again = said(bousai("plan", str(roster)))
    assert (again["create"], again["update"], again["unchanged"]) == (0, 0, 40)
