"""Jobs, guarded handlers and the frame of every panel, without a kernel."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from bousai_kit.errors import DrillGuardError
from bousai_kit.panels.base import STOPPED, PanelModel, Report, banner_of, guarded, remembered, table_html
from bousai_kit.panels.view import Panel, PanelView, button


class Bench:
    """As much of a workbench as a banner looks at."""

    def __init__(self, *, sandbox: bool = True, loopback: bool = True, speed: float = math.inf) -> None:
        self.in_sandbox = sandbox
        self.clock = SimpleNamespace(speed=speed)
        self.settings = SimpleNamespace(is_loopback=loopback, profile="sandbox" if sandbox else "live")


def model() -> Any:
    return PanelModel(Bench())  # type: ignore[arg-type]


def test_second_click_starts_nothing() -> None:
    async def main() -> None:
        panel, began = model(), 0

        async def work() -> str:
            nonlocal began
            began += 1
            await asyncio.sleep(0.01)
            return "done"

        press = guarded(panel, work, job="send")
        press(None)
        assert not panel.busy  # the task has not run yet
        await asyncio.sleep(0)
        assert panel.busy
        press(None)
        assert await panel.start("send", work) == "done"
        assert began == 1
        assert not panel.busy
        assert await panel.start("send", work) == "done"  # afterwards it may run again
        assert began == 2

    asyncio.run(main())


@pytest.mark.parametrize("coroutine", [False, True])
def test_failure_is_a_sentence_on_the_screen(coroutine: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        panel = model()

        def wrong() -> None:
            raise DrillGuardError("本文を【訓練】で始めてください。", hint="直してください。")

        async def wrong_later() -> None:
            wrong()

        guarded(panel, wrong_later if coroutine else wrong)(None)
        await asyncio.sleep(0.01)
        assert panel.problem == "本文を【訓練】で始めてください。 直してください。"
        assert not panel.busy

    asyncio.run(main())
    assert not caplog.records


def test_a_defect_shows_its_kind_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        panel = model()

        async def wrong() -> None:
            raise KeyError("試験 花子 090-0000-0000")

        with caplog.at_level(logging.CRITICAL):
            guarded(panel, wrong)(None)
            await asyncio.sleep(0.01)
        assert "KeyError" in panel.problem
        assert "花子" not in panel.problem

    asyncio.run(main())


def test_stop_asks_first_and_cancels_the_second_time() -> None:
    async def main() -> None:
        panel = model()

        async def polite() -> str:
            await panel.stop_event.wait()
            return "left in order"

        task = panel.start("a", polite)
        await asyncio.sleep(0)
        panel.stop()
        assert panel.stopping
        assert await task == "left in order"
        assert panel.problem == STOPPED
        assert not panel.stopping

        async def deaf() -> None:
            await asyncio.Event().wait()

        task = panel.start("b", deaf)
        await asyncio.sleep(0)
        assert panel.problem == ""
        panel.stop()
        panel.stop()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert panel.problem == STOPPED

    asyncio.run(main())


def test_a_second_job_neither_revokes_the_stop_of_the_first_nor_ends_its_business() -> None:
    async def main() -> None:
        panel = model()

        async def send() -> None:
            await panel.stop_event.wait()
            await asyncio.sleep(0.02)
            assert panel.stop_event.is_set(), "the stop was revoked before everything had ended"

        async def look() -> None:
            await asyncio.sleep(0.001)

        sending = panel.start("send", send)
        await asyncio.sleep(0.005)
        await panel.start("look", look)
        assert panel.busy, "the first one is still sending"
        panel.stop()
        assert panel.stopping
        await asyncio.sleep(0.005)
        await panel.start("look", look)
        await sending
        assert (panel.busy, panel.stopping) == (False, False)
        assert await panel.start("look", look) is None
        assert panel.problem == "", "the stop belonged to the jobs before"

    asyncio.run(main())


def test_progress_reaches_the_screen_at_most_ten_times_a_second_and_ends_true() -> None:
    async def main() -> int:
        panel, seen = model(), 0

        def count(_: Any) -> None:
            nonlocal seen
            seen += 1

        panel.observe(count, "progress_done")

        async def work() -> None:
            for done in range(1, 501):
                panel.tell(done, 500, "送信中")
                await asyncio.sleep(0.001)

        began = time.monotonic()
        await panel.start("work", work)
        assert (panel.progress_done, panel.progress_total) == (500, 500)
        assert 2 <= seen <= 2 + 10 * (time.monotonic() - began)
        return seen

    asyncio.run(main())


def test_view_follows_the_model_and_escapes() -> None:
    async def main() -> None:
        panel = model()
        view = PanelView(panel, [])
        panel.next_step = "<b>「送信」を押す</b>"
        panel.finished, panel.missing = ["登録 200 名"], ["送信"]
        panel.problem = "<script>"
        assert "&lt;b&gt;「送信」" in view.ask.value
        assert "済：登録 200 名" in view.steps.value
        assert "まだ：送信" in view.steps.value
        assert "【サンドボックス】実際には送信されません" in view.head.value
        assert "<script>" not in view.trouble.value
        assert view.running.layout.display == "none"

        async def work() -> None:
            panel.tell(3, 9, "3 名")
            await panel.stop_event.wait()

        task = panel.start("work", work)
        await asyncio.sleep(0)
        assert view.running.layout.display == "flex"
        assert (view.bar.value, view.bar.max) == (3, 9)
        view.halt.click()
        assert view.halt.description == "すぐに止める"
        await task
        assert view.halt.layout.display == "none"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("bench", "says"),
    [
        (Bench(), "実際には送信されません。時計は仮想です（待ち時間なし）。"),
        (Bench(speed=20.0), "【サンドボックス】実際には送信されません。時計は 20 倍速です。"),
        (Bench(sandbox=False, speed=1.0), "【試験用サーバー】"),
        (Bench(sandbox=False, loopback=False, speed=1.0), "【本番】実際に送信されます（接続先：live）。"),
    ],
)
def test_banner_says_where_it_goes(bench: Any, says: str) -> None:
    assert says in banner_of(bench)


def test_running_a_cell_again_gives_the_same_model() -> None:
    bench: Any = Bench()
    first = remembered(bench, ("drill", "a"), lambda: PanelModel(bench))
    assert remembered(bench, ("drill", "a"), lambda: PanelModel(bench)) is first
    assert remembered(bench, ("drill", "b"), lambda: PanelModel(bench)) is not first
    other: Any = Bench()
    assert remembered(other, ("drill", "a"), lambda: PanelModel(other)) is not first


def test_table_and_report_are_escaped_and_say_what_they_leave_out() -> None:
    table = table_html("表 <1>", ["区", "人数"], [("北区", 3), ("<b>", None)] * 150, limit=200)
    assert "<caption>表 &lt;1&gt;</caption>" in table
    assert '<td class="bk-n">3</td>' in table
    assert "<b>" not in table
    assert "ほか 100 行" in table
    report = Report(False, ["<i>"])
    assert not report
    assert "&lt;i&gt;" in report._repr_html_()


def test_panel_shows_the_widget_and_a_page_without_kernel() -> None:
    panel = Panel()
    panel.model = model()
    panel.view = PanelView(panel.model, [button("実行", lambda _: None)])
    bundle = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "次にすること" in bundle["text/html"]


def test_a_click_from_another_loop_runs_in_the_loop_of_the_bench() -> None:
    """JupyterLab may deliver clicks in a subshell: another thread, another loop."""

    async def main() -> None:
        loops: list[asyncio.AbstractEventLoop] = []
        ran = asyncio.Event()

        async def work() -> None:
            loops.append(asyncio.get_running_loop())
            ran.set()

        click = guarded(model(), work)

        async def subshell() -> None:
            click(None)

        thread = threading.Thread(target=lambda: asyncio.run(subshell()))
        thread.start()
        await asyncio.wait_for(ran.wait(), 10)
        thread.join()
        assert loops == [asyncio.get_running_loop()]

    asyncio.run(main())
