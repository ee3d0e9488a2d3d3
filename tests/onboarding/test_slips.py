"""Hand-outs of a plan, and the end of its secret."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.errors import ConfigError, GuardError
from bousai_kit.onboarding import destroy_secret, handouts_for_plan, prepare_plan
from bousai_kit.onboarding import slips as module
from bousai_kit.onboarding.passwords import PlanSecret, derive_password
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import apply, bench_at, changed, city, plan_for


def run(home: Path, work: Any) -> Any:
    async def main() -> Any:
        async with await bench_at(home) as bench:
            return await work(bench)

    return asyncio.run(main())


def test_a_page_for_everybody_who_got_an_account(home: Path, tmp_path: Path) -> None:
    from pypdf import PdfReader

    async def work(bench: Workbench) -> None:
        roster = city()
        bad = roster.people[2].staff_number
        plan = prepare_plan(
            await plan_for(bench, changed(roster, bad, login_id="admin@city-demo")), bench.home
        )
        await apply(bench, plan)
        out = tmp_path / "配付"
        written = await handouts_for_plan(plan, ledger=bench.ledger, home=bench.home, out=out)
        assert written.handouts.pages == 11
        assert written.not_created == 1
        (path,) = written.handouts.files
        assert os.stat(path).st_mode & 0o077 == 0
        pages = [page.extract_text() for page in PdfReader(path).pages]
        assert len(pages) == 11
        person = plan.people[0].person
        secret = PlanSecret(bench.home, plan.plan_id).read()
        assert person.login_id in pages[0]
        assert derive_password(secret, plan.plan_id, person.staff_number) in pages[0].replace("\n", "")

    run(home, work)


def test_the_secret_ends_when_nothing_is_open(home: Path, tmp_path: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = prepare_plan(await plan_for(bench, city()), bench.home)
        given: dict[str, Any] = {"ledger": bench.ledger, "home": bench.home}
        with pytest.raises(GuardError) as refused:  # not applied yet
            await destroy_secret(plan, **given)
        assert refused.value.exit_code == 3
        assert bench.sandbox is not None
        rules = [Fault("500", on="users.create", nth=(3, 4)), Fault("503", on="users.get")]
        bench.sandbox.faults = FaultPlan(rules)
        result = await apply(bench, plan)
        assert result.unknown
        with pytest.raises(GuardError):
            await destroy_secret(plan, **given)
        assert PlanSecret(bench.home, plan.plan_id).exists
        bench.sandbox.faults = FaultPlan()
        assert (await apply(bench, plan)).complete
        assert await destroy_secret(plan, **given) is True
        assert await destroy_secret(plan, **given) is False
        assert not list((bench.home / "plans").glob("*.secret"))
        assert not list((bench.home / "plans").glob("*.ending"))
        with pytest.raises(ConfigError):
            await handouts_for_plan(plan, **given, out=tmp_path / "out")
        assert (await apply(bench, plan)).complete  # nothing is left, so nothing needs it

    run(home, work)


def test_an_end_that_was_killed_is_finished_by_the_next(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = prepare_plan(await plan_for(bench, city(4, 1)), bench.home)
        await apply(bench, plan)
        secret = PlanSecret(bench.home, plan.plan_id)
        os.replace(secret.path, secret.path.with_suffix(".ending"))  # as a kill leaves it
        assert await destroy_secret(plan, ledger=bench.ledger, home=bench.home) is True
        assert not secret.left_over

    run(home, work)


def test_a_create_that_begins_while_the_secret_ends_is_not_sent(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city(4, 1)
        plan = prepare_plan(await plan_for(bench, roster), bench.home)
        PlanSecret(bench.home, plan.plan_id).ensure()
        with PlanSecret(bench.home, plan.plan_id).ending():
            pass
        before = len(bench.sandbox.tenant.table("users"))  # type: ignore[union-attr]
        await bench.ledger.append(f"apply:{plan.plan_id}", "secret.ended")
        with pytest.raises(ConfigError):
            await apply(bench, plan)
        assert len(bench.sandbox.tenant.table("users")) == before  # type: ignore[union-attr]

    run(home, work)


def test_open_means_neither_done_nor_refused(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        bad = roster.people[2].staff_number
        plan = prepare_plan(
            await plan_for(bench, changed(roster, bad, login_id="admin@city-demo")), bench.home
        )
        await apply(bench, plan)
        journal = module.Journal(bench.ledger, plan.plan_id)
        await journal.refresh()
        assert module.open_creates(plan, journal) == []  # the refused row keeps nobody waiting
        assert await destroy_secret(plan, ledger=bench.ledger, home=bench.home) is True
        with pytest.raises(ConfigError, match="秘密"):
            await apply(bench, plan)  # the refused row cannot get a password any more

    run(home, work)
