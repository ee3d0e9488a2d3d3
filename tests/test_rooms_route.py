"""From the roster to the drill by rooms: what onboarding builds, a drill uses."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from bousai_kit.drills import load_scenario
from bousai_kit.onboarding import build_plan, prepare_plan
from bousai_kit.rehearsal import let_everybody_log_in
from bousai_kit.roster import Roster, sample_roster
from bousai_kit.sandbox import people as staff
from bousai_kit.settings import isolated_settings
from bousai_kit.steps import apply_on, conductor_on, plan_on, tenant_on
from bousai_kit.workbench import Workbench, open_workbench

SCENARIO = """\
title: ルーム訓練
kind: exercise
route: {route}
deadline_s: 1800
messages:
  - {{id: b01, text: "【訓練】安否を知らせてください。", buttons: [無事です, 支援が必要]}}
"""


async def onboard(bench: Workbench, roster: Roster) -> None:
    plan = prepare_plan(build_plan(roster, await tenant_on(bench), rooms="always"), bench.home)
    assert (await apply_on(bench, plan)).complete
    await let_everybody_log_in(bench)


def test_a_drill_through_the_rooms_that_onboarding_built(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO.format(route="rooms"), encoding="utf-8")
    roster = sample_roster(120)

    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path / "home")) as bench:
            await onboard(bench, roster)
            plan = await plan_on(bench, load_scenario(path), roster)
            assert plan.route.name == "rooms", plan.route.reason
            inside = {user for members in plan.route.rooms.values() for user in members}
            assert len(inside) > 80
            assert plan.route.calls == len(plan.route.rooms) + len(plan.people) - len(inside)
            async with bench.receiving():
                result = await conductor_on(bench, plan.drill_id).run()
            assert bench.sandbox is not None
            tenant = bench.sandbox.tenant
            sent = Counter(row["user"] or row["channel"] for row in staff.truth(bench.sandbox)["messages"])
            assert len(sent) == plan.route.calls
            assert max(sent.values()) == 1, "nothing twice"
            assert result.sent == len(plan.people), "everybody in a room is reached"
            assert result.acked > 0.5 * len(plan.people)
            rooms = {one["channelId"] for one in tenant.table("channels").values() if one["bots"]}
            assert set(plan.route.rooms) <= rooms

    asyncio.run(main())
