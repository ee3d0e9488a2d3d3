"""Step 5 of the panel by its buttons: funnel, list by reason, mails, list for the liaisons, curve."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bousai_kit.panels import OnboardingPanel
from bousai_kit.roster import roster_rows
from bousai_kit.sandbox.directory_state import find_user
from bousai_kit.sandbox.logins import attempt_login
from bousai_kit.tables import write_csv
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import bench_at
from tests.onboarding.test_activation_invite import DAY_S, by_mail, mailed

Work = Callable[[Workbench, OnboardingPanel], Awaitable[None]]


def run(home: Path, tmp_path: Path, work: Work) -> None:
    """A panel on six people of whom five were mailed four days ago; one of them has tried in vain."""

    async def main() -> None:
        async with await bench_at(home) as bench:
            roster = await mailed(bench, by_mail(), after_s=4 * DAY_S)
            user = find_user(bench.sandbox.tenant, roster.people[0].login_id)  # type: ignore[union-attr]
            assert user is not None
            assert attempt_login(bench.sandbox, user, "Wrong-1") == "wrong"  # type: ignore[arg-type]
            await bench.clock.sleep(120)
            path = tmp_path / "名簿.csv"
            write_csv(path, *roster_rows(roster))
            await work(bench, OnboardingPanel(bench, roster=path))

    asyncio.run(main())


async def settled(panel: OnboardingPanel) -> None:
    await asyncio.sleep(0)
    await asyncio.gather(*panel.model._jobs.values(), return_exceptions=True)
    await asyncio.sleep(0)


def test_button_by_button(home: Path, tmp_path: Path) -> None:
    async def work(bench: Workbench, panel: OnboardingPanel) -> None:
        model, view = panel.model, panel.view.activation
        assert view.next.layout.display == "none"
        view.look.click()
        await settled(panel)
        assert model.problem == ""
        assert "どこまで進んだか（対象 6 名）" in view.status.value
        assert "data:image/png;base64," in view.curve.value
        assert "対象 6 名" in view.curve.value  # its alt text
        assert [code for _, code in view.why.options] == ["", "login_failed", "pending"]
        view.why.value = "login_failed"
        assert "（ログインに失敗している、1 名）" in view.stuck.value
        assert "パスワードの誤り 1 回" in view.stuck.value
        view.look.click()
        await settled(panel)
        assert view.why.value == model.why == "login_failed"  # looking again keeps the filter
        view.send.click()  # a hidden button still clicks: the model guards
        await settled(panel)
        assert "先に" in model.problem
        view.find.click()
        await settled(panel)
        assert "いま招待メールを送れる人：5 名" in view.mails.value
        assert "招待メールを送らない人" in view.others.value
        assert view.send.description == "5 名に招待メールを送る"
        assert not view.send.disabled
        view.send.click()
        view.send.click()
        await settled(panel)
        assert model.invited.sent
        assert "招待メールを 5 名に送りました" in view.mails.value
        view.find.click()
        await settled(panel)
        assert "いま招待メールを送れる人：0 名" in view.mails.value
        assert view.send.layout.display == "none"
        view.list.click()
        await settled(panel)
        assert os.stat(model.reminders).st_mode & 0o077 == 0
        assert "削除してください" in view.mails.value
        page = panel.model.as_html()
        assert "どこまで進んだか" in page
        assert not any(one in page for one in ("example.jp", "見本 "))

    run(home, tmp_path, work)


def test_real_people_need_a_typed_word(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workbench, "in_sandbox", property(lambda self: False))

    async def work(bench: Workbench, panel: OnboardingPanel) -> None:
        model, view = panel.model, panel.view.activation
        view.look.click()
        await settled(panel)
        view.find.click()
        await settled(panel)
        assert view.send.disabled
        view.send.click()
        await settled(panel)
        assert "「招待」と入力してください" in model.problem
        assert model.invited is None
        view.word.value = "招待"
        assert not view.send.disabled
        view.send.click()
        await settled(panel)
        assert len(model.invited.sent) == 5
        assert view.word.value == ""  # for the next time it is typed again
        assert math.isinf(bench.clock.speed)

    run(home, tmp_path, work)


def test_without_a_roster_there_is_no_list(home: Path, tmp_path: Path) -> None:
    async def work(bench: Workbench, panel: OnboardingPanel) -> None:
        model = panel.model
        model.roster_path = ""
        await model.look()
        assert model.status.planned == 6  # those of the ledger
        panel.view.activation.list.click()
        await settled(panel)
        assert "名簿が必要です" in model.problem

    run(home, tmp_path, work)
