"""Step 5 of 10_onboarding in a real browser, on a city in which some have not come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.onboarding.plan_file import prepare_plan
from bousai_kit.roster import Roster, roster_rows, sample_roster
from bousai_kit.sandbox.directory_state import find_user
from bousai_kit.sandbox.logins import attempt_login
from bousai_kit.tables import write_csv
from tests.onboarding.onlab import apply, bench_at, plan_for

DAY_S = 86_400.0


def with_mail(roster: Roster) -> Roster:
    """Every third has a private address."""
    people = (
        replace(one, private_email=f"p{one.staff_number}@example.jp") if number % 3 == 0 else one
        for number, one in enumerate(roster.people)
    )
    return replace(roster, people=tuple(people))


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home in which 20 of 120 wait for four days, two of them in vain, and half have opened the bot."""
    folder = tmp_path_factory.mktemp("waiting")
    roster = with_mail(sample_roster(120))
    write_csv(folder / "名簿.csv", *roster_rows(roster))

    async def main() -> None:
        async with await bench_at(folder / "home") as bench:
            sandbox: Any = bench.sandbox
            first = replace(roster, people=roster.people[:100])
            plan = await plan_for(bench, first, passwords="member")
            await apply(bench, prepare_plan(plan, bench.home))
            await bench.clock.sleep(2 * DAY_S)
            sandbox.choices = replace(sandbox.choices, people_log_in=False)
            plan = await plan_for(bench, roster, passwords="member")
            await apply(bench, prepare_plan(plan, bench.home))
            await bench.clock.sleep(4 * DAY_S)
            for person in roster.people[-2:]:
                user = find_user(sandbox.tenant, person.login_id)
                assert user is not None
                for _ in range(3):
                    attempt_login(sandbox, user, "Wrong-1")
            made = await bench.ledger.read(prefix="apply:", kinds=("user.created",))
            for event in made[:50]:
                await bench.ledger.append("callbacks", "callback.begin", event.subject)
            await bench.clock.sleep(300)

    with ThreadPoolExecutor(1) as thread:  # the browser's driver has a loop in this one
        thread.submit(asyncio.run, main()).result()
    return folder / "home", folder / "名簿.csv"


def test_who_has_not_come(sight: Any, start_lab: Callable[..., Any], city: tuple[Path, Path]) -> None:
    home, roster = city
    lab = start_lab(home, time_scale=60.0)
    sight.page.goto(lab.page("10_onboarding"))
    sight.page.locator(".bk-banner").first.wait_for(timeout=90_000)
    sight.type_into("名簿のファイル", str(roster))
    sight.press("ログイン状況を見る")
    sight.wait_for("どこまで進んだか（対象 120 名）")
    sight.wait_for("対応が必要な人")
    image = sight.page.locator(".bk-panel img").first
    image.scroll_into_view_if_needed()
    assert "ログイン済み" in str(image.get_attribute("alt"))
    sight.page.get_by_text("どこまで進んだか").first.scroll_into_view_if_needed()
    sight.shoot("10_activation")
    choose = sight.page.locator(".widget-dropdown").filter(has_text="理由で絞り込む").locator("select").first
    choose.select_option(label="ログインに失敗している（2 名）")
    sight.wait_for("（ログインに失敗している、2 名）")
    sight.press("招待メールを送れる人を調べる")
    sight.wait_for("いま招待メールを送れる人：")
    choose.scroll_into_view_if_needed()
    sight.shoot("10_activation_invite")
    sight.press("声掛け一覧（Excel）を作る")
    sight.wait_for("声掛けが済んだら削除してください。")
    send = sight.page.get_by_role("button", name="名に招待メールを送る").first
    send.scroll_into_view_if_needed()
    sight.page.set_viewport_size({"width": 1280, "height": 3200})
    sight.shoot("10_activation_all")
    assert list(home.rglob("声掛け一覧_*.xlsx"))
    assert "example.jp" not in sight.text()
