"""What was given up takes effect later: no duplicate, no false refusal, and the same command ends it well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bousai_kit.errors import LineWorksError, ProtocolViolation
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import apply, changed, city, plan_for, run, tenant_problems


def faults(bench: Workbench, *rules: Fault) -> None:
    assert bench.sandbox is not None
    bench.sandbox.faults = FaultPlan(rules)


def test_it_takes_effect_between_the_look_up_and_the_second_try(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, city())
        late = Fault("slow", on="users.create", nth=(1,), seconds=45.0)  # given up at 30, looked up at 41
        faults(bench, late, Fault("slow", on="users.create", nth=(13,), seconds=6.0))
        result = await apply(bench, plan)
        assert result.complete, result.failed
        assert result.created == 12
        assert tenant_problems(bench, city(), plan=plan) == []

    run(home, work)


def test_it_takes_effect_after_the_run(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, city())
        late = Fault("slow", on="users.create", nth=(1,), seconds=70.0)
        faults(bench, late, Fault("refuse", on="users.create", from_s=31.0))
        with pytest.raises(LineWorksError):
            await apply(bench, plan)
        await bench.clock.sleep(60.0)
        faults(bench)
        result = await apply(bench, plan)
        assert result.complete, result.failed
        assert tenant_problems(bench, city(), plan=plan) == []

    run(home, work)


def test_a_change_that_was_refused_but_took_effect_is_no_drift(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        await apply(bench, await plan_for(bench, roster))
        wanted = changed(roster, roster.people[3].staff_number, position="特命担当")
        plan = await plan_for(bench, wanted)
        faults(bench, Fault("503", on="users.*", method="PATCH", after=True))
        assert not (await apply(bench, plan)).complete
        faults(bench)
        assert (await apply(bench, plan)).complete
        assert tenant_problems(bench, wanted) == []

    run(home, work)


def test_an_answer_that_cannot_be_read_is_looked_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, city())
        create, made = bench.client.users.create, []

        async def garbled(body: Any) -> Any:
            made.append(await create(body))
            if len(made) == 4:
                raise ProtocolViolation("LINE WORKS の応答を JSON として読み取れません。")
            return made[-1]

        monkeypatch.setattr(bench.client.users, "create", garbled)
        result = await apply(bench, plan)
        assert result.complete, result.failed
        assert (result.created, len(made)) == (12, 12)

    run(home, work)
