"""30_latency: the panel on a small city, end to end, in process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.errors import AnalysisError, PermissionDenied
from bousai_kit.latency.crosscheck import LogCount
from bousai_kit.panels.latency import LatencyPanel
from bousai_kit.roster import roster_rows, sample_roster
from bousai_kit.settings import isolated_settings
from bousai_kit.tables import write_csv
from bousai_kit.workbench import Workbench, open_workbench

SCENARIO = """
title: 安否確認の練習
kind: exercise
messages:
  - {id: b01, text: "【訓練】安否確認です。", buttons: [無事です, 支援が必要]}
deadline_s: 900
"""


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Roster and scenario."""
    folder = tmp_path_factory.mktemp("city")
    write_csv(folder / "roster.csv", *roster_rows(sample_roster(24)))
    (folder / "scenario.yaml").write_text(SCENARIO, encoding="utf-8")
    return folder


def _json(path: str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def on_bench(city: Path, home: str, body: Callable[[Workbench, LatencyPanel], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with await open_workbench(settings=isolated_settings(city / home)) as bench:
            panel = LatencyPanel(
                bench,
                out=city / home / "報告",
                scenario=city / "scenario.yaml",
                roster=city / "roster.csv",
            )
            return await body(bench, panel)

    return asyncio.run(main())


@pytest.fixture(scope="module")
def held(city: Path) -> str:
    """A home in which one drill has been held, and nothing else."""

    async def body(_: Workbench, panel: LatencyPanel) -> None:
        model: Any = panel.model
        await panel.look()
        await model._ensure_drill()

    on_bench(city, "held", body)
    return "held"


def test_from_an_empty_home_to_the_report_and_again(city: Path) -> None:
    async def body(bench: Workbench, panel: LatencyPanel) -> None:
        model: Any = panel.model
        view: Any = panel.view
        await panel.look()
        assert "見本の訓練を行います" in model.next_step
        assert (await panel.check()).ok  # unattended: it presses the button
        analysis = model.analysis
        [one] = analysis.broadcasts
        assert one.total.recipients == one.total.delivered + one.total.undelivered + one.total.unknown
        assert one.total.acked > 0
        assert {Path(path).name for path in model.files.values()} == {
            "report.html", "report.xlsx", "latency.json",
        }  # fmt: skip
        stored = _json(model.files["latency.json"])
        assert stored["broadcasts"][0]["acked"] == one.total.acked
        assert "一致しています" in model.log_sentence
        assert "まだ現れていない" not in model.log_sentence
        assert model.missing == []
        assert model.problem == ""
        # the screen
        assert view.choice.value == model.drill_id
        assert view.result.value.count("<img") == len(model.plots) > 0
        assert view.result.value.count("alt='") == len(model.plots)
        assert "既読かどうかは API からは分からない" in view.result.value
        assert f"{one.total.acked}" in model.as_html()
        assert len(await bench.ledger.read(kinds=("export.pulled",))) == 1
        # a person of the sample is nowhere
        person = sample_roster(24).people[3]
        for text in (model.as_html(), repr(model.log_sentence), view.result.value):
            assert person.name not in text
            assert person.login_id not in text
        # a second time: the same numbers, nothing sent
        before = len(await bench.ledger.read(prefix="drill:"))
        await panel.run()
        assert model.analysis.as_json()["broadcasts"] == analysis.as_json()["broadcasts"]
        assert len(await bench.ledger.read(prefix="drill:")) == before

    on_bench(city, "empty at first", body)


def test_another_kernel_finds_the_drill(city: Path, held: str) -> None:
    async def body(bench: Workbench, panel: LatencyPanel) -> None:
        model: Any = panel.model
        view: Any = panel.view
        await panel.look()
        assert len(model.drills) == 1
        assert model.missing == ["ログの取得", "分析", "報告書の書き出し"]
        view.again.click()  # analysis alone
        await model._jobs["analyse"]
        assert model.analysis is not None
        assert model.files == {}
        assert "報告書を書き出す" in model.next_step
        view.out.value = str(city / "elsewhere")
        view.save.click()
        await model._jobs["write"]
        assert (city / "elsewhere" / "report.html").is_file()
        model.drill_id = "another"  # choosing another drill takes the old result away
        assert (model.analysis, model.files, view.result.value) == (None, {}, "")

    on_bench(city, held, body)


def test_without_the_right_to_read_logs_the_ledger_is_enough(
    city: Path, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any) -> bytes:
        raise PermissionDenied("403", status=403)

    async def body(bench: Workbench, panel: LatencyPanel) -> None:
        monkeypatch.setattr(bench, "fetch_log", refused)
        assert (await panel.run()).ok
        model: Any = panel.model
        assert "monitoring.read" in model.log_sentence
        assert len(model.files) == 3

    on_bench(city, held, body)


def test_nothing_to_analyse_is_said_on_the_screen(city: Path) -> None:
    async def body(_: Workbench, panel: LatencyPanel) -> None:
        model: Any = panel.model
        model._sample = (None, None, None)  # as with a tenant of one's own
        with pytest.raises(AnalysisError):
            await panel.run()
        assert "分析できる訓練が台帳にありません" in model.problem
        assert panel.report().ok

    on_bench(city, "empty", body)


def test_a_folder_that_cannot_be_written_is_said_on_the_screen(city: Path, held: str) -> None:
    async def body(_: Workbench, panel: LatencyPanel) -> None:
        model: Any = panel.model
        await panel.look()
        model.out = str(city / "roster.csv" / "out")
        view: Any = panel.view
        view.save.click()
        await asyncio.wait([model._jobs["write"]])
        assert "書き出せません" in model.problem
        assert model.files == {}

    on_bench(city, held, body)


@pytest.mark.parametrize(
    ("in_log", "says"), [(5, "一致しています"), (7, "確定処理"), (3, "時間をおいて取得し直してください")]
)
def test_log_beside_ledger(in_log: int, says: str) -> None:
    said = LogCount(rows=40, rejected=1, bot_rows=20, answered=in_log).sentence(5)
    assert says in said
    assert "使えなかった行が 1 行" in said
