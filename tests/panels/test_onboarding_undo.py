"""The fold that takes an apply back: what cannot be taken back first, a typed word, stop and go on."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.panels import OnboardingPanel
from bousai_kit.roster import roster_rows
from bousai_kit.sandbox.directory_state import first_login
from bousai_kit.steps import apply_on
from bousai_kit.tables import write_csv
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import bench_at, city, plan_for


@pytest.fixture
def home(tmp_path: Path) -> Path:
    async def main() -> None:
        async with await bench_at(tmp_path / "home") as bench:
            plan = await plan_for(bench, city(10, 2))
            assert (await apply_on(bench, plan)).complete
            assert bench.sandbox is not None
            user = next(one for one in bench.sandbox.tenant.table("users").values() if one["isPending"])
            first_login(bench.sandbox, user["userId"])

    asyncio.run(main())
    write_csv(tmp_path / "名簿.csv", *roster_rows(city(10, 2)))
    return tmp_path / "home"


def run(home: Path, work: Any) -> None:
    async def main() -> None:
        async with await bench_at(home) as bench:
            await work(bench, OnboardingPanel(bench, roster=home.parent / "名簿.csv"))

    asyncio.run(main())


async def click(panel: OnboardingPanel, what: Any) -> None:
    what.click()
    await asyncio.sleep(0)
    await asyncio.gather(*panel.model._jobs.values(), return_exceptions=True)
    await asyncio.sleep(0)


def there(bench: Workbench) -> int:
    users = bench.sandbox.tenant.table("users").values()  # type: ignore[union-attr]
    return sum(not one["isDeleted"] for one in users)


def test_shown_confirmed_stopped_and_gone_on_with_by_another_kernel(home: Path) -> None:
    async def first(bench: Workbench, panel: OnboardingPanel) -> None:
        model, fold = panel.model, panel.view.undoing
        assert fold.fold.selected_index is None
        assert fold.go.disabled
        await click(panel, fold.go)  # a disabled button still clicks: the model guards
        assert "取り消しの内容を見る" in model.problem
        await click(panel, fold.find)
        assert "新規 10 名" in model.undo_choices[0][0]
        await click(panel, fold.look)
        shown = fold.shown.value
        assert 0 < shown.index("取り消せないもの（") < shown.index("名のアカウントを削除します")
        assert shown.index("利用を始めているため削除しません") < shown.index("名のアカウントを削除します")
        names = [one.last_name + one.first_name for one in city(10, 2).people]
        assert not [name for name in names if name in shown]
        assert fold.go.disabled
        await click(panel, fold.review)
        assert os.stat(model.undo_review).st_mode & 0o077 == 0
        for typed in ("はい", "取消"):
            fold.word.value = typed
            assert fold.go.disabled
        await click(panel, fold.go)
        assert there(bench) == 11
        fold.word.value = "取り消し"
        assert not fold.go.disabled

        def stop(change: Any) -> None:
            if change["new"] > 2 and not model.stopping:
                model.stop()

        model.min_interval_s = 0.0  # type: ignore[misc]
        model.observe(stop, "progress_done")
        await click(panel, fold.go)
        assert model.undo_result.left
        assert model.undo_typed == ""
        assert fold.go.disabled
        assert "途中で止まった取り消し" in model.next_step

    async def second(bench: Workbench, panel: OnboardingPanel) -> None:
        model, fold = panel.model, panel.view.undoing
        await model.find_applied()  # as the notebook's cell does
        assert "途中で止まった取り消し" in model.next_step
        assert fold.fold.selected_index == 0
        await click(panel, fold.look)
        fold.word.value = "取り消し"
        await click(panel, fold.go)
        assert model.problem == ""
        assert model.undo_result.complete
        assert there(bench) == 2, "the administrator, and who had begun"
        assert "取り消しの結果" in fold.result.value
        assert model.undo_choices == []
        assert "途中" not in model.next_step
        await click(panel, fold.go)
        assert "取り消しの内容を見る" in model.problem

    run(home, first)
    run(home, second)


def test_what_has_changed_since_it_was_shown_is_shown_again_first(home: Path) -> None:
    async def work(bench: Workbench, panel: OnboardingPanel) -> None:
        model, fold = panel.model, panel.view.undoing
        await click(panel, fold.find)
        await click(panel, fold.look)
        fold.word.value = "取り消し"
        tenant = bench.sandbox.tenant  # type: ignore[union-attr]
        waiting = next(one for one in tenant.table("users").values() if one["isPending"])
        first_login(bench.sandbox, waiting["userId"])  # type: ignore[arg-type]
        await click(panel, fold.go)
        assert "変わっています" in model.problem
        assert "取り消しの内容を見る" in model.problem
        assert there(bench) == 11
        assert model.undo_plan is None

    run(home, work)
