"""00_start: one button, one table, and what to open next; and the one bench of a kernel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bousai_kit.doctor import Check, Examination
from bousai_kit.errors import ConfigError
from bousai_kit.panels import StartPanel, base, open_bench
from bousai_kit.panels.start import StartModel
from bousai_kit.settings import isolated_settings
from bousai_kit.workbench import Workbench, open_workbench


@asynccontextmanager
async def a_bench(home: Path) -> AsyncIterator[Workbench]:
    async with await open_workbench(settings=isolated_settings(home)) as bench:
        yield bench


@pytest.fixture(autouse=True)
def no_bench_stays() -> Iterator[None]:
    yield
    assert not base._benches


WRONG = Examination(
    (
        Check("settings", True, "プロファイル"),
        Check("key", False, "読めません <b>", "鍵を直してください。"),
        Check("token", False, "確認できませんでした。", "先に「秘密鍵」を直してください。"),
    )
)


def test_from_nothing_to_the_next_notebook(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_bench(tmp_path) as bench:
            panel = StartPanel(bench)
            model = panel.model
            assert isinstance(model, StartModel)
            assert "接続を確認する" in model.next_step
            assert model.missing == ["接続の確認"]
            assert panel.view.go.description == "接続を確認する"  # type: ignore[attr-defined]
            panel.view.go.click()  # type: ignore[attr-defined]
            panel.view.go.click()  # type: ignore[attr-defined]
            await model._jobs["examine"]
            assert model.ok
            assert not model.busy
            assert model.missing == []
            assert "10_onboarding" in model.next_step
            assert panel.view.result.value.count("<tr>") == len(model.examination.checks) + 1  # type: ignore[attr-defined]
            assert await bench.ledger.read() == []

    asyncio.run(main())


def test_what_is_wrong_comes_first_and_escaped(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_bench(tmp_path) as bench:
            panel = StartPanel(bench)
            model = panel.model
            assert isinstance(model, StartModel)
            model.examination = WRONG
            assert model.next_step.startswith("鍵を直してください。直したら")
            assert model.finished == ["1 項目は正常です。"]
            assert model.missing == ["秘密鍵：読めません <b>", "ほかの 1 項目は、直すと確認できます。"]
            view = panel.view
            shown = view.result.value + view.ask.value + view.steps.value + model.as_html()  # type: ignore[attr-defined]
            assert "<b>" not in shown
            assert "対応が必要な項目（1 件" in shown
            assert "ほかの 1 項目は、直すと確認できます。" in view.steps.value
            assert shown.index("対応が必要な項目") < shown.index("<summary>直すと確認できる項目（1 件）")
            report = panel.report()
            assert not report.ok
            assert "鍵を直してください。" in repr(report)

    asyncio.run(main())


def test_an_unattended_check_presses_the_button(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_bench(tmp_path) as bench:
            assert StartPanel(bench).report().ok  # nothing looked at, nothing wrong
            report = await StartPanel(bench).check()
            assert report.ok
            assert "正常" in report._repr_html_()
            assert StartPanel(bench).model is StartPanel(bench).model

    asyncio.run(main())


def test_a_failure_of_the_examination_itself_is_on_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with a_bench(tmp_path) as bench:
            panel = StartPanel(bench)

            async def fail(_: Workbench) -> None:
                raise ConfigError("設定がありません。", hint="設定してください。")

            monkeypatch.setattr("bousai_kit.doctor.examine", fail)
            with pytest.raises(ConfigError):
                await panel.run()
            assert panel.model.problem == "設定がありません。 設定してください。"
            assert not panel.model.busy
            assert panel.model.progress_text == ""

    asyncio.run(main())


def test_it_says_whom_it_speaks_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        async with a_bench(tmp_path / "home") as bench:
            model = StartModel(bench)
            assert "実在の人には何も届きません。" in model.where
            monkeypatch.setenv("BOUSAI_PROFILE", "example-city")  # named, and yet this is the sandbox
            assert 'PROFILE = "example-city"' in model.where
            monkeypatch.setenv("BOUSAI_PROFILE", "＠")
            assert "PROFILE" not in model.where
            city = {"profile": "example-city", "domain_id": 7, "bot_id": 8}
            for url, words in (
                ("https://www.worksapis.com/v1.0", "実際のテナント「example-city」（ドメイン 7、Bot 8）"),
                ("http://127.0.0.1:9/v1.0", "この端末の中の試験用サーバー"),
            ):
                bench.settings = bench.settings.model_copy(update={**city, "api_url": url})
                assert words in model.where
                assert words in model.as_html()

    asyncio.run(main())


# -- the bench of a kernel ------------------------------------------------------------------------------


def test_one_bench_a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOUSAI_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        first = await open_bench("sandbox", seed=1)
        assert await open_bench("sandbox", seed=1) is first  # the cell ran again
        assert first.seed == 1
        second = await open_bench("sandbox", seed=2)
        assert second is not first
        assert first.ledger.closed  # and the home is free for the new one
        with pytest.raises(ConfigError):
            await open_bench("no such profile")
        assert not base._benches
        third = await open_bench("sandbox", seed=2)
        assert third is not second
        await third.close()
        fourth = await open_bench("sandbox", seed=2)  # closed by hand: opened anew
        assert fourth is not third
        assert await fourth.client.bots.get(fourth.bot_id)
        await fourth.close()
        base._benches.clear()

    asyncio.run(main())


def test_two_cells_at_once_open_one_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOUSAI_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        one, two = await asyncio.gather(open_bench("sandbox"), open_bench("sandbox"))
        assert one is two
        await one.close()
        base._benches.clear()

    asyncio.run(main())


def test_the_folder_where_lab_was_started_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, notebooks = tmp_path / "city", tmp_path / "notebooks"
    started.mkdir()
    notebooks.mkdir()
    monkeypatch.delenv("BOUSAI_HOME", raising=False)
    monkeypatch.setenv("BOUSAI_WORKING_FOLDER", str(started))
    monkeypatch.chdir(notebooks)
    (started / "bousai.toml").write_text(f"home = '{tmp_path / 'kept'}'\n", encoding="utf-8")

    async def main() -> None:
        bench = await open_bench("sandbox")
        assert bench.home == tmp_path / "kept"
        await bench.close()
        base._benches.clear()

    asyncio.run(main())
