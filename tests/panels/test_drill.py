"""20_drill without a kernel: what may be sent, when, and what the screen says meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.drills import close_drill
from bousai_kit.errors import DrillGuardError
from bousai_kit.panels.drill import DrillPanel
from bousai_kit.panels.drill_view import DrillView
from bousai_kit.roster import roster_rows, sample_roster
from bousai_kit.sandbox.faults import Fault
from bousai_kit.tables import write_csv
from bousai_kit.workbench import Workbench
from tests.drills.stage import SAFETY, bench_of, check_truth, found, got, state_of

TEXT = "【訓練】震度6弱を想定した安否確認です。"


def trial(
    tmp_path: Path,
    test: Callable[[Workbench, DrillPanel], Awaitable[None]],
    *faults: Fault,
    scenario: str = SAFETY,
) -> None:
    async def run() -> None:
        found(tmp_path / "home", 40)
        (tmp_path / "s.yaml").write_text(scenario, encoding="utf-8")
        header, rows = roster_rows(sample_roster(40))
        write_csv(tmp_path / "r.csv", header, rows)
        async with bench_of(tmp_path / "home", *faults) as bench:
            await test(bench, DrillPanel(bench, scenario=tmp_path / "s.yaml", roster=tmp_path / "r.csv"))

    asyncio.run(run())


def walk(widget: Any) -> Iterator[Any]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def test_unattended_conducts_the_whole_drill_and_never_twice(tmp_path: Path) -> None:
    async def test(bench: Workbench, panel: DrillPanel) -> None:
        report = await panel.check()
        model = panel.model
        assert report.ok, report
        assert (model.state, model.unknown, model.problem) == ("closed", 0, "")
        assert model.sent == model.recipients == sum(got(bench, TEXT).values())
        assert 0.6 < model.acked / model.sent < 1
        assert "30_latency" in model.next_step
        await panel.check()
        assert sum(got(bench, TEXT).values()) == model.sent
        again = DrillPanel(bench, scenario=tmp_path / "s.yaml", roster=tmp_path / "r.csv")
        assert again.model is model

    trial(tmp_path, test)


def test_unattended_settles_and_sends_what_is_absent(tmp_path: Path) -> None:
    async def test(bench: Workbench, panel: DrillPanel) -> None:
        report = await panel.run()
        assert report.ok, report
        assert panel.model.sent == panel.model.recipients
        check_truth(bench, await state_of(bench, panel.model.drill_id))
        assert got(bench, TEXT) == dict.fromkeys(panel.model.standing.people, 1)  # type: ignore[union-attr]

    trial(
        tmp_path,
        test,
        Fault("500", on="messages.*", probability=0.2),
        Fault("drop", on="messages.*", probability=0.2),
    )


def test_nothing_goes_without_the_word_and_an_edit_withdraws_it(tmp_path: Path) -> None:
    async def test(bench: Workbench, panel: DrillPanel) -> None:
        model, view = panel.model, panel.view
        assert isinstance(view, DrillView)
        assert view.send.disabled
        with pytest.raises(DrillGuardError):
            model.confirm()
        view.plan.click()
        await model.start("plan", model.make_plan)
        assert "【訓練】震度6弱" in view.texts.value
        assert f"無事です {model.plan.short_code}" in view.texts.value
        assert "送信できない人" in view.planned.value
        view.send.click()  # Button.click ignores `disabled`
        with pytest.raises(DrillGuardError):
            await model._jobs["send"]
        assert "「訓練」と入力" in model.problem
        assert got(bench, TEXT) == {}
        view.word.value = "はい"
        view.agree.click()
        assert not model.confirmed
        assert "「訓練」" in model.problem
        view.word.value = "訓練"
        view.agree.click()
        assert model.confirmed
        assert not view.send.disabled
        view.word.value = "訓"
        assert not model.confirmed
        view.word.value = "訓練"
        view.agree.click()
        view.scenario.value = str(tmp_path / "other.yaml")
        assert model.plan is None
        assert view.send.disabled
        assert got(bench, TEXT) == {}

    trial(tmp_path, test)


def test_stop_resume_settle_close_from_the_buttons(tmp_path: Path) -> None:
    async def test(bench: Workbench, panel: DrillPanel) -> None:
        model, view = panel.model, panel.view
        assert isinstance(view, DrillView)
        sandbox: Any = bench.sandbox
        sandbox.latency_s = 0.5
        await model.start("plan", model.make_plan)
        model.typed = "訓練"
        model.confirm()
        view.send.click()
        sending = model._jobs["send"]
        await bench.clock.sleep(0.6)
        assert model.busy
        assert view.close_it.disabled
        view.halt.click()
        await sending
        assert 0 < model.sent < model.recipients
        assert "停止しました" in model.problem
        assert "まだ届いていない人" in "".join(model.missing)
        assert not model.confirmed, "going on is a new decision"
        assert view.send.description == "続きを送信する"
        view.word.value = "訓練"
        view.agree.click()
        view.send.click()
        await model._jobs["send"]
        assert model.sent == model.recipients
        assert "応答" in view.counts.value
        view.settle.click()
        await model._jobs["settle"]
        view.close_it.click()
        await model._jobs["close"]
        assert model.state == "closed"
        assert view.send.disabled
        assert view.settle.disabled
        check_truth(bench, await state_of(bench, model.drill_id))

    trial(tmp_path, test)


def test_a_panel_opened_later_goes_on_with_the_open_drill(tmp_path: Path) -> None:
    async def first(bench: Workbench, panel: DrillPanel) -> None:
        model = panel.model
        await model.start("plan", model.make_plan)
        model.typed = "訓練"
        model.confirm()
        await model.start("send", model.send)

    trial(tmp_path, first)

    async def run() -> None:
        async with bench_of(tmp_path / "home") as bench:
            panel = DrillPanel(bench, scenario=tmp_path / "s.yaml", roster=tmp_path / "r.csv")
            await panel.model.start("plan", panel.model.make_plan)
            assert panel.model.state == "open"
            assert panel.model.sent == panel.model.recipients > 0
            assert panel.model.acked > 0
            assert panel.model.plan.continued
            await close_drill(bench.ledger, panel.model.drill_id, clock=bench.clock)

    asyncio.run(run())


def test_reality_asks_for_a_second_person_or_a_reason(tmp_path: Path) -> None:
    async def test(bench: Workbench, panel: DrillPanel) -> None:
        model = panel.model
        await model.start("plan", model.make_plan)
        assert model.word == "実災害"
        model.typed = "実災害"
        with pytest.raises(DrillGuardError, match="2 人目"):
            model.confirm()
        model.reason = "当直 1 名のため"
        model.confirm()
        await model.start("send", model.send)
        state = await state_of(bench, model.drill_id)
        assert state.approval is not None
        assert state.approval["reason"] == "当直 1 名のため"
        assert model.sent == model.recipients

    scenario = SAFETY.replace("exercise", "actual").replace("【訓練】", "") + "deadline_s: 60\n"
    trial(tmp_path, test, scenario=scenario)


def test_no_name_reaches_the_widgets_and_text_stays_text(tmp_path: Path) -> None:
    async def test(bench: Workbench, panel: DrillPanel) -> None:
        await panel.check()
        states = [widget.get_state() for widget in walk(panel.view)]
        assert len(states) > 30
        shown = json.dumps(states, default=str, ensure_ascii=False)
        shown += panel.model.as_html() + panel.report()._repr_html_()
        for person in sample_roster(40).people:
            assert person.name not in shown
            assert person.login_id not in shown
        assert "<script>alert" not in shown
        assert "&lt;script&gt;alert" in shown

    scenario = SAFETY.replace("安否確認です。", "安否確認です。<script>alert(1)</script>")
    trial(tmp_path, test, scenario=scenario)


def test_live_counts_move_at_most_ten_times_a_second(tmp_path: Path) -> None:
    async def test(bench: Workbench, panel: DrillPanel) -> None:
        import time

        model = panel.model
        await model.start("plan", model.make_plan)
        model.typed = model.word
        model.confirm()
        seen: list[int] = []
        model.observe(lambda change: seen.append(change["new"]), "ticks")
        began = time.monotonic()
        await model.start("send", model.send)
        assert 1 <= len(seen) <= 2 + 10 * (time.monotonic() - began)

    trial(tmp_path, test)
