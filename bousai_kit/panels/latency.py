"""30_latency: how long until people answered; the numbers, the curves, the report files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import ipywidgets as ipw
import traitlets as tl

from bousai_kit.clock import in_thread
from bousai_kit.errors import AnalysisError, DataQualityWarning, PermissionDenied
from bousai_kit.panels.base import PanelModel, Report, guarded, remembered
from bousai_kit.panels.latency_html import result_html
from bousai_kit.panels.view import Panel, PanelView, button, field

if TYPE_CHECKING:
    from bousai_kit.latency.analysis import Analysis
    from bousai_kit.latency.durations import Broadcasts
    from bousai_kit.latency.sheets import Plot
    from bousai_kit.logs.archive import PullResult
    from bousai_kit.workbench import Workbench

__all__ = ["LatencyModel", "LatencyPanel", "LatencyView"]

LOG = "message-contents"
BEFORE = timedelta(minutes=1)  # clocks differ: the log is asked for from a little earlier


class LatencyModel(PanelModel):
    """The chosen drill, its analysis, and where the report was written.

    Parameters
    ----------
    out : Path
        Folder of the report.
    scenario, roster, orgunits : Path, optional
        What a sandbox without any drill is given first.
    """

    drills: Any = tl.List()  # of (label, drill id), newest first
    drill_id = tl.Unicode("")
    out = tl.Unicode("")
    analysis = tl.Any(None)  # Analysis or None
    log_sentence = tl.Unicode("")
    files = tl.Dict()  # name -> path as text

    def __init__(
        self,
        bench: Workbench,
        *,
        out: Path,
        scenario: Path | None = None,
        roster: Path | None = None,
        orgunits: Path | None = None,
    ) -> None:
        super().__init__(bench)
        self.out = str(out)
        self.plots: tuple[tuple[str, Plot], ...] = ()
        self._sample = (scenario, roster, orgunits)
        self.refresh()

    # -- what the buttons do ----------------------------------------------------------------------------

    async def look(self) -> None:
        """List the drills of the ledger; the newest is chosen unless one is already."""
        from bousai_kit.drills import list_drills

        found = await list_drills(self.bench.ledger)
        ids = [one.drill_id for one in found]
        with self.hold_trait_notifications():
            self.drills = [(f"{one.title}（{one.drill_id}）", one.drill_id) for one in found]
            if self.drill_id not in ids:
                self.drill_id = ids[0] if ids else ""
        self.refresh()

    async def run_all(self) -> None:
        """Pull the log, analyse, write the report: all steps in order."""
        await self._ensure_drill()
        await self.pull_log()
        await self.analyse()
        await self.write()

    async def _ensure_drill(self) -> None:
        await self.look()
        scenario, roster, orgunits = self._sample
        if self.drill_id or not self.bench.in_sandbox or scenario is None or roster is None:
            return
        from bousai_kit.rehearsal import ensure_drill, ensure_onboarded

        self.tell(0, 0, "サンドボックスで見本の訓練を行っています…")
        await ensure_onboarded(self.bench, roster, orgunits)
        await ensure_drill(self.bench, scenario, roster)
        await self.look()

    def _chosen(self) -> str:
        if not self.drill_id:
            raise AnalysisError(
                "分析できる訓練が台帳にありません。",
                hint="20_drill で訓練を行ってから、もう一度開いてください。",
            )
        return self.drill_id

    async def pull_log(self) -> PullResult | None:
        """Pull the talk log of the drill's period into the archive and hold it against the ledger."""
        from bousai_kit.latency.crosscheck import answer_labels, answered_before, count_log

        bench, drill_id = self.bench, self._chosen()
        drill = await bench.ledger.read(stream=f"drill:{drill_id}")
        taps = await bench.ledger.read(after=drill[0].seq, stream="callbacks")
        since, last = drill[0].recorded_at - BEFORE, [*drill, *taps][-1].recorded_at
        last = max(last, drill[-1].recorded_at) + timedelta(seconds=1)
        until = min(bench.clock.now(), last + timedelta(seconds=bench.log_delay_s))
        if self.unattended:  # nobody waits: let the last rows appear first
            ready = last + timedelta(seconds=bench.log_delay_s + 2) - bench.clock.now()
            await bench.clock.sleep(ready.total_seconds())
            until = last
        until = max(until, since + BEFORE)
        self.tell(0, 3, "トークのログを取得しています…")
        try:
            got = await bench.archive.pull(LOG, since, until, partial(bench.fetch_log, LOG))
        except PermissionDenied:  # the numbers come from the ledger; the log only confirms them
            self.log_sentence = (
                "トークのログを取得する権限（monitoring.read）がないため、台帳だけで分析します。"
            )
            return None
        labels, pieces = answer_labels(drill), bench.archive.pieces(LOG, since, until)
        count = await in_thread(bench.clock, lambda: count_log(pieces, labels))
        in_ledger = answered_before(await self._read(drill_id), until)
        told = [count.sentence(in_ledger), *got.warnings]
        told += [
            f"{gap.since.isoformat()} から {gap.until.isoformat()} まで：{gap.reason}" for gap in got.gaps
        ]
        self.log_sentence = " ".join(told)
        return got

    async def _read(self, drill_id: str) -> Broadcasts:
        from bousai_kit.latency import read_drill

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataQualityWarning)  # said in the result, as a note
            clock = self.bench.clock
            return await read_drill(self.bench.ledger, drill_id, as_of=clock.now(), clock=clock)

    async def analyse(self) -> Analysis:
        """Estimate from the ledger, draw the curves."""
        from bousai_kit.latency import analyse
        from bousai_kit.latency.plots import draw_all

        bench, drill_id = self.bench, self._chosen()
        self.tell(1, 3, "分析しています…")
        source = await self._read(drill_id)

        def work() -> tuple[Analysis, tuple[tuple[str, Plot], ...]]:
            found = analyse(source)
            return found, tuple(draw_all(found, font=bench.settings.font))

        found, self.plots = await in_thread(bench.clock, work)
        self.analysis = found
        return found

    async def write(self) -> Mapping[str, Path]:
        """Write ``report.html``, ``report.xlsx`` and ``latency.json``."""
        from bousai_kit.latency.report import build_report

        if self.analysis is None or self.analysis.source.drill_id != self.drill_id:
            await self.analyse()
        found, plots, out, font = self.analysis, self.plots, Path(self.out), self.bench.settings.font
        self.tell(2, 3, "報告書を書き出しています…")
        files = await in_thread(self.bench.clock, lambda: build_report(found, out, font=font, plots=plots))
        self.files = {name: path.as_posix() for name, path in files.items()}
        self.tell(3, 3, "終わりました")
        return files

    # -- sentences --------------------------------------------------------------------------------------

    @tl.observe("drill_id")
    def _another(self, _: Any) -> None:
        self.analysis, self.plots, self.files, self.log_sentence = None, (), {}, ""
        self.refresh()

    @tl.observe("analysis", "files", "log_sentence", "drills")
    def _changed(self, _: Any) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Say what to do next."""
        found: Analysis | None = self.analysis
        done = [self.log_sentence] if self.log_sentence else []
        if found is not None:
            done.append(f"応答時間を分析しました（{_say(self.bench.clock.now())} 時点）。")
        done += [f"報告書：{path}" for path in self.files.values()]
        self.finished = done
        steps = {
            "ログの取得": bool(self.log_sentence),
            "分析": found is not None,
            "報告書の書き出し": bool(self.files),
        }
        self.missing = [] if all(steps.values()) else [name for name, ok in steps.items() if not ok]
        if self.files:
            self.next_step = "報告書を確認してください。別の訓練を見るときは、上で選び直してください。"
        elif not self.drills and not self.bench.in_sandbox:
            self.next_step = "20_drill で訓練を行ってから、「訓練の一覧を読み直す」を押してください。"
        elif found is not None:
            self.next_step = "結果を確認し、「報告書を書き出す」を押してください。"
        else:
            self.next_step = (
                "「ログを取得して分析し、報告書を書き出す」を押してください。何も送信されません。"
                if self.drills or not self.bench.in_sandbox
                else "「ログを取得して分析し、報告書を書き出す」を押してください。"
                "訓練の記録がまだないため、先にサンドボックスで見本の訓練を行います。"
            )

    # -- result -----------------------------------------------------------------------------------------

    def result_html(self) -> str:
        """Numbers, curves, tables, lists."""
        return "" if self.analysis is None else result_html(self.analysis, self.plots)

    def as_html(self) -> str:
        return super().as_html() + self.result_html()


def _say(moment: datetime) -> str:
    return moment.astimezone(ZoneInfo("Asia/Tokyo")).strftime("%Y-%m-%d %H:%M")


class LatencyView(PanelView):
    """Which drill, three buttons, the result."""

    def __init__(self, model: LatencyModel) -> None:
        self.choice = field("訓練", ipw.Dropdown(options=[]))
        self.out = field("書き出し先", ipw.Text())
        self.go = button(
            "ログを取得して分析し、報告書を書き出す", guarded(model, model.run_all), style="primary"
        )
        self.again = button("分析だけ行う", guarded(model, model.analyse))
        self.save = button("報告書を書き出す", guarded(model, model.write))
        self.look = button("訓練の一覧を読み直す", guarded(model, model.look))
        self.result = ipw.HTML()
        buttons = ipw.HBox([self.go, self.again, self.save, self.look])
        buttons.layout.flex_flow = "row wrap"
        super().__init__(model, [self.choice, self.out, buttons, self.result])
        for widget in (self.go, self.again, self.save, self.look, self.choice):
            ipw.dlink((model, "busy"), (widget, "disabled"))
        ipw.link((model, "out"), (self.out, "value"))
        model.observe(self._drills, ["drills", "drill_id"])
        model.observe(self._result, "analysis")
        self.choice.observe(self._chosen, "value")
        self._drills()
        self._result()

    def _drills(self, _: Any = None) -> None:
        model = self.model
        assert isinstance(model, LatencyModel)
        self._filling = True
        try:
            self.choice.options = model.drills
            known = any(drill_id == model.drill_id for _, drill_id in model.drills)
            self.choice.value = model.drill_id if known else None
        finally:
            self._filling = False

    def _chosen(self, change: Any) -> None:
        assert isinstance(self.model, LatencyModel)
        if not self._filling and change["new"]:
            self.model.drill_id = change["new"]

    def _result(self, _: Any = None) -> None:
        assert isinstance(self.model, LatencyModel)
        self.result.value = self.model.result_html()


class LatencyPanel(Panel):
    """Shown by ``30_latency``.

    Parameters
    ----------
    bench : Workbench
    out : str or Path
        Folder of the report, from the notebook's own.
    scenario, roster, orgunits : str or Path, optional
        What a sandbox without any drill is given first.
    """

    def __init__(
        self,
        bench: Workbench,
        *,
        out: str | Path = "../out/latency",
        scenario: str | Path | None = None,
        roster: str | Path | None = None,
        orgunits: str | Path | None = None,
    ) -> None:
        sample = [None if path is None else Path(path) for path in (scenario, roster, orgunits)]
        self.model = remembered(
            bench,
            ("latency", str(out)),
            lambda: LatencyModel(
                bench, out=Path(out), scenario=sample[0], roster=sample[1], orgunits=sample[2]
            ),
        )
        self.view = LatencyView(self.model)

    @property
    def _model(self) -> LatencyModel:
        assert isinstance(self.model, LatencyModel)
        return self.model

    async def look(self) -> None:
        """List the drills, so that the panel shows them at once."""
        await self._model.look()

    async def run(self) -> Report:
        """What the first button does, awaited."""
        await self._model.start("run_all", self._model.run_all)
        return self.report()

    def report(self) -> Report:
        """What is known now."""
        model = self._model
        found: Analysis | None = model.analysis
        if found is None:
            return Report(True, ["まだ分析していません。上の青いボタンを押してください。"])
        from bousai_kit.latency.report import render_text

        wrong = _contradictions(found)
        lines = [*render_text(found).splitlines(), *wrong]
        lines += [f"報告書：{path}" for path in model.files.values()]
        return Report(not wrong, lines)

    async def check(self) -> Report:
        """Unattended: press the button and judge; in front of a person: judge what is there."""
        if self.model.unattended and self._model.analysis is None:
            return await self.run()
        return self.report()


def _contradictions(found: Analysis) -> list[str]:
    """Counts that do not add up."""
    wrong = []
    for one in found.broadcasts:
        everybody = [one.total, *(group for groups in one.groups.values() for group in groups)]
        for group in everybody:
            if group.delivered + group.undelivered + group.unknown != group.recipients:
                wrong.append(f"{one.broadcast_id} {group.name}：対象の人数が合いません。")
            if group.acked + group.censored != group.delivered or group.late > group.censored:
                wrong.append(f"{one.broadcast_id} {group.name}：応答の人数が合いません。")
    return wrong
