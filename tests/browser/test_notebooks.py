"""Every notebook opened and clicked through once by a person's means, in order (the start: test_doctor)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def opened(sight: Any, lab: Any, notebook: str) -> None:
    """Open it as a document; its panel shows by itself, in Japanese, with folded code and no dialog."""
    sight.page.goto(lab.page(notebook))
    sight.page.locator(".bk-banner").first.wait_for(timeout=90_000)
    sight.wait_for("【サンドボックス】実際には送信されません。時計は 40 倍速です。")
    assert sight.page.locator(".jp-Dialog").count() == 0
    assert sight.page.locator("html").get_attribute("lang") is not None
    assert "ファイル" in sight.page.locator("#jp-MainMenu, #jp-menu-panel").first.inner_text()


def next_step(sight: Any) -> str:
    return str(sight.page.locator(".bk-next").first.inner_text())


def until_next(sight: Any, words: str, *, timeout_s: float = 90.0) -> None:
    sight.wait_until(lambda: words in next_step(sight), what=words, timeout_s=timeout_s)


def test_10_onboarding(sight: Any, lab: Any) -> None:
    opened(sight, lab, "10_onboarding")
    sight.press("名簿を確認する")
    until_next(sight, "計画を作る")
    sight.press("計画を作る")
    until_next(sight, "計画を確認しました")
    sight.shoot("10_onboarding_plan")
    apply = sight.page.get_by_role("button", name="登録を実行する", exact=True).first
    assert apply.is_disabled()  # nothing goes out before somebody agreed
    sight.page.get_by_label("計画を確認しました").first.check()
    sight.press("登録を実行する")
    sight.page.locator(".bk-running").first.wait_for(timeout=30_000)
    sight.wait_until(lambda: moved(sight), what="live progress")
    assert in_sight(sight, "停止する")  # wherever on the panel one has pressed
    sight.shoot("10_onboarding_running")
    sight.press("停止する")
    sight.wait_for("停止しました。ここまでの結果は台帳に残っています。")
    sight.shoot("10_onboarding_stopped")
    sight.press("登録を実行する")
    until_next(sight, "配付資料", timeout_s=120.0)
    sight.press("配付資料を作る")
    sight.wait_for("handouts.pdf")
    sight.press("ログイン状況を見る")
    sight.wait_for("どこまで進んだか（対象 200 名）")  # not heard sooner: the look is still going on
    sight.press("練習用：全員にログインしてもらう")
    until_next(sight, "20_drill")
    sight.shoot("10_onboarding_done")
    handouts = list(lab.home.rglob("handouts*.pdf"))
    assert handouts
    assert all(path.stat().st_mode & 0o077 == 0 for path in handouts)


def in_sight(sight: Any, label: str) -> bool:
    """The button can be seen without scrolling, on an office laptop's screen."""
    sight.page.set_viewport_size({"width": 1280, "height": 720})
    box = sight.page.get_by_role("button", name=label, exact=True).first.bounding_box()
    sight.page.set_viewport_size({"width": 1280, "height": 1600})
    return box is not None and box["y"] >= 0 and box["y"] + box["height"] <= 720


def test_20_drill(sight: Any, lab: Any) -> None:
    opened(sight, lab, "20_drill")
    sight.press("計画を作る")
    until_next(sight, "と入力し")
    assert "【訓練】" in sight.text()
    send = sight.page.get_by_role("button", name="送信する", exact=True).first
    assert send.is_disabled()  # nothing goes out before the word was typed
    word = re.search(r"「([^」]+)」と入力", next_step(sight))
    assert word is not None
    sight.type_into("確認のため", word.group(1))
    sight.press("確認した")
    until_next(sight, "「送信する」を押してください")
    sight.shoot("20_drill_ready")
    sight.press("送信する")
    sight.wait_until(lambda: answered(sight) >= 20, what="answers come in live")
    sight.shoot("20_drill")
    sight.press("停止する")
    sight.wait_for("停止しました。ここまでの結果は台帳に残っています。")
    before = answered(sight)
    sight.press("終了する")
    until_next(sight, "訓練は終了しました")
    assert answered(sight) >= before
    sight.shoot("20_drill_closed")


def answered(sight: Any) -> int:
    """People whose answer is on the screen."""
    found = re.search(r"(?<!未)応答 ([\d,]+)", sight.page.locator(".bk-running").first.inner_text())
    return int(found.group(1).replace(",", "")) if found else 0


def test_30_latency(sight: Any, lab: Any) -> None:
    opened(sight, lab, "30_latency")
    sight.press("ログを取得して分析し、報告書を書き出す")
    until_next(sight, "報告書を確認してください")
    sight.shoot("30_latency")
    images = sight.page.locator(".bk-panel img")
    assert images.count() >= 2
    assert all(images.nth(place).get_attribute("alt") for place in range(images.count()))
    assert "既読率" not in sight.text()


def moved(sight: Any) -> bool:
    """The counter beside the bar shows a number between nothing and everything."""
    found = re.search(r"([\d,]+)/([\d,]+)", sight.page.locator(".bk-running").first.inner_text())
    if found is None:
        return False
    done, total = (int(text.replace(",", "")) for text in found.groups())
    return 0 < done < total


def test_no_result_is_stored(lab: Any) -> None:
    """Whatever was done in the notebooks: their files hold no output (labs save without asking)."""
    for path in (Path(__file__).parent.parent.parent / "notebooks").glob("*.ipynb"):
        assert '"outputs": []' in path.read_text(encoding="utf-8")
        assert "bk-banner" not in path.read_text(encoding="utf-8")
