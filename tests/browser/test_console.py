"""10_onboarding on a Free plan, in a real browser: the admin console's files are offered and made."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from bousai_kit.roster import roster_rows, sample_roster
from bousai_kit.tables import read_table, write_csv
from tests.browser.test_doctor import admin
from tests.browser.test_onboarding_walk import saved

FOLD = "API が使えないとき（管理者画面で一括追加）"


def test_a_free_plan(sight: Any, lab: Any, tmp_path: Path) -> None:
    roster = tmp_path / "名簿.csv"
    write_csv(roster, *roster_rows(sample_roster(120)))
    sight.page.goto(lab.page("10_onboarding"))
    sight.page.locator(".bk-banner").first.wait_for(timeout=90_000)
    assert not sight.page.get_by_text(FOLD).first.is_visible()
    admin(lab.home, "/limits", {"plan": "free"})
    try:
        files_are_made(sight, lab, roster)
    finally:  # others work on this tenant
        admin(lab.home, "/limits", {"plan": "standard"})


def files_are_made(sight: Any, lab: Any, roster: Path) -> None:
    sight.type_into("名簿のファイル", str(roster))
    sight.press("名簿を確認する")
    sight.press("計画を作る", timeout_s=60)
    sight.page.get_by_text(FOLD).first.wait_for(timeout=60_000)
    sight.wait_for("Free プランでは API による登録はできません")
    sight.wait_for("手順 3 の「管理者画面用のファイルを作る」を押してください。")  # not to agree to the plan
    sight.press("管理者画面用のファイルを作る")
    sight.wait_for("2_メンバー_自動作成_002.xlsx")
    sight.wait_for("【未確認】")
    sight.wait_for("できた ZIP をダウンロードし")
    sight.page.get_by_text(FOLD).first.scroll_into_view_if_needed()
    sight.shoot("10_console")
    name, content = saved(sight, "取り込むファイルと手順")
    with zipfile.ZipFile(io.BytesIO(content)) as pack:
        assert name == "管理者画面用_auto.zip"
        assert {"手順.txt", "2_メンバー_自動作成_002.xlsx"} <= set(pack.namelist())
    made = sorted((lab.home / "console" / "auto").glob("2_*.xlsx"))
    assert [len(read_table(path).rows) for path in made] == [100, 20]
