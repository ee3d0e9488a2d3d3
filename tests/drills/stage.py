"""A home with a city in it, a drill on it, and the sandbox's own truth to judge by."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

from bousai_kit.drills import Conductor, DrillPlan, DrillResult, plan_drill, settle_drill
from bousai_kit.drills.scenario import Scenario
from bousai_kit.drills.scenario_reading import read_scenario
from bousai_kit.drills.state import DrillState, read_state
from bousai_kit.drills.wording import build_text
from bousai_kit.roster import Roster, sample_roster
from bousai_kit.sandbox import people as staff
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.sandbox.home import BEGINNING, TENANT, open_tenant
from bousai_kit.sandbox.store import Store
from bousai_kit.settings import isolated_settings
from bousai_kit.workbench import Workbench, open_workbench

SAFETY = """
title: 安否確認の訓練
kind: exercise
messages:
  - {id: b01, text: "【訓練】震度6弱を想定した安否確認です。", buttons: [無事です, けが有り, 支援が必要]}
"""


def found(home: Path, people: int, *, seed: int = 1) -> None:
    """A tenant with so many members, all but a few of them logged in."""
    (home / "sandbox").mkdir(parents=True, mode=0o700)
    store = Store(home / "sandbox" / TENANT)
    open_tenant(store, seed=seed, now=BEGINNING, people=people)
    store.close()


@contextlib.asynccontextmanager
async def bench_of(home: Path, *faults: Fault, seed: int = 1, **choices: Any) -> AsyncIterator[Workbench]:
    async with await open_workbench(settings=isolated_settings(home), seed=seed) as bench:
        sandbox: Any = bench.sandbox
        sandbox.faults = FaultPlan(faults, seed=seed)
        yield bench
        assert sandbox.defects == []


async def plan(
    bench: Workbench, scenario: str | Scenario = SAFETY, roster: Roster | None = None, **more: Any
) -> DrillPlan:
    return await plan_drill(
        read_scenario(scenario) if isinstance(scenario, str) else scenario,
        roster or sample_roster(40),
        client=bench.client,
        ledger=bench.ledger,
        home=bench.home,
        bot_id=bench.bot_id,
        domain_id=bench.domain_id,
        **more,
    )


def conductor(bench: Workbench, drill_id: str) -> Conductor:
    return Conductor(
        drill_id=drill_id, client=bench.client, ledger=bench.ledger, home=bench.home, bot_id=bench.bot_id
    )


async def conduct(bench: Workbench, drill_id: str, **how: Any) -> DrillResult:
    async with bench.receiving():
        return await conductor(bench, drill_id).run(**how)


async def settle(bench: Workbench, drill_id: str, **how: Any) -> DrillResult:
    return await settle_drill(
        drill_id,
        ledger=bench.ledger,
        clock=bench.clock,
        archive=bench.archive,
        fetch=partial(bench.fetch_log, "message-contents"),
        client=bench.client,
        **{"home": bench.home, "log_delay_s": bench.log_delay_s, **how},
    )


def got(bench: Workbench, text: str) -> Counter[str]:
    """How often each member really got this text."""
    return Counter(
        entry["user"]
        for entry in staff.truth(bench.sandbox)["messages"]
        if entry["text"] == text  # type: ignore[arg-type]
    )


def answered(bench: Workbench, drill_id: str, message: str) -> dict[str, str]:
    """When each member really answered first, as the sandbox knows."""
    first: dict[str, str] = {}
    for entry in staff.truth(bench.sandbox)["answers"]:  # type: ignore[arg-type]
        if f"|drill={drill_id}|m={message}|" in (entry["postback"] or ""):
            user, at = entry["user"], entry["issued_at"]
            first[user] = min(first.get(user, at), at)
    return first


def check_truth(bench: Workbench, state: DrillState) -> None:
    """Nobody got anything twice, and what the ledger is sure of is so."""
    for message, described in state.messages.items():
        for attempt in {one.attempt for one in state.attempts.values() if one.message_id == message}:
            text = build_text(str(described["text"]), attempt=attempt, actual=state.kind == "actual")
            truth = got(bench, text)
            assert max(truth.values(), default=0) <= 1, (text, truth.most_common(2))
            same = [
                one
                for one in state.attempts.values()
                if one.message_id == message
                and build_text(str(described["text"]), attempt=one.attempt, actual=state.kind == "actual")
                == text
            ]
            arrived = {one.subject for one in same if one.delivered}
            maybe = {one.subject for one in same if one.open}
            assert arrived <= set(truth), "delivered, says the ledger"
            assert set(truth) <= arrived | maybe, "lost in silence"


async def state_of(bench: Workbench, drill_id: str) -> DrillState:
    return await read_state(bench.ledger, drill_id)
