"""Step 4 of the panel: paper or mail, receipt lists, a passphrase, the end of secret and files."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from bousai_kit.errors import InputError
from bousai_kit.panels import OnboardingPanel
from bousai_kit.roster import roster_rows
from bousai_kit.tables import write_csv
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import bench_at, city


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    people = city(8, 2)
    some = [
        replace(one, private_email=f"home{n}@mail.example" if n < 3 else "")
        for n, one in enumerate(people.people)
    ]
    path = tmp_path / "名簿.csv"
    write_csv(path, *roster_rows(replace(people, people=tuple(some))))
    return path


def run(home: Path, work: Any) -> None:
    async def main() -> None:
        async with await bench_at(home) as bench:
            await work(bench)

    asyncio.run(main())


async def click(panel: OnboardingPanel, what: Any) -> None:
    what.click()
    await asyncio.sleep(0)
    await asyncio.gather(*panel.model._jobs.values(), return_exceptions=True)
    await asyncio.sleep(0)


def test_mail_is_chosen_with_the_plan_and_said_beside_its_numbers(home: Path, roster: Path) -> None:
    async def work(bench: Workbench) -> None:
        panel = OnboardingPanel(bench, roster=roster)
        model, view = panel.model, panel.view
        await click(panel, view.check)
        await click(panel, view.plan)
        assert model.plan.invited == ()
        assert "招待メール" not in view.counts.value
        model.confirm()
        model.passwords = "member"  # another way is another plan
        assert model.plan is None
        assert not model.confirmed
        await click(panel, view.plan)
        assert len(model.plan.invited) == 3
        assert "招待メールが 3 通" in view.counts.value
        view.agree.value = True
        await click(panel, view.apply)
        assert model.result.created == 8
        await click(panel, view.pages)
        assert model.problem == ""
        assert any("5 名分" in note for note in model.handout_notes)
        assert any("招待メールの 3 名" in note for note in model.handout_notes)
        assert "片面" in view.files.value

    run(home, work)


def test_lists_passphrase_and_the_end(home: Path, roster: Path) -> None:
    async def work(bench: Workbench) -> None:
        panel = OnboardingPanel(bench, roster=roster)
        model, view = panel.model, panel.view
        step = view.handing
        await click(panel, view.check)
        await click(panel, view.plan)
        view.agree.value = True
        await click(panel, view.apply)
        assert step.delete.layout.display == "none"
        step.lock.value = "全角"
        await click(panel, view.pages)
        assert "半角" in model.problem
        assert step.lock.value == ""
        step.lock.value = "correct-horse-9"
        await click(panel, view.pages)
        assert model.problem == ""
        assert step.lock.value == ""  # it does not stay in a widget
        locked = PdfReader(model.handouts[0])
        assert locked.decrypt("correct-horse-9")
        assert len(locked.pages) == 8 + len({one.ward or one.bureau for one in city(8, 2).people})
        step.covers.value = False
        other = bench.home / "plans" / "p20270101-000000-00000000.json"
        other.write_text('{"format": "bousai-onboarding-plan/0"}', encoding="utf-8")
        other.with_suffix(".secret").write_bytes(b"0" * 64)
        await click(panel, view.pages)
        assert len(PdfReader(model.handouts[0]).pages) == 8
        assert any("別の版" in note and other.stem in note for note in model.handout_notes)
        other.unlink()
        assert step.delete.layout.display == "block"
        view.given.value = True
        await click(panel, view.end)
        assert any("1 個残っています" in note for note in model.handout_notes)
        await click(panel, step.delete)
        assert model.files_left() == []
        assert step.delete.layout.display == "none"
        assert model.handouts == []
        with pytest.raises(InputError):
            await model.make_handouts("short")

    run(home, work)
