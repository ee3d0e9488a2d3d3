"""The roster mended in its table by a person's means: upload, input method, undo, next error, save."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.roster import roster_rows, sample_roster
from bousai_kit.tables import read_table


@pytest.fixture(scope="module")
def lab(start_lab: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    started = start_lab(tmp_path_factory.mktemp("city") / "home", time_scale=40.0)
    yield started
    assert started.stop() in (0, 130)


def damaged(path: Path) -> Path:
    """The sample of 200 in Shift_JIS, with a column of the city's own and three errors."""
    header, rows = roster_rows(sample_roster(200))
    table = [
        [*header, "内線", "<b>旧課</b>"],
        *([*row, f"0{n:03d}", ""] for n, row in enumerate(rows, 1)),
    ]
    table[5][5] = "BAD ID"  # row 6, ログインID
    table[120][3] = "かな"  # row 121, 姓カナ
    table[150][1] = ""  # row 151, 姓
    table[3][19] = "<img src=x onerror=alert(1)>\u202e"
    text = "".join(",".join(row) + "\r\n" for row in table).replace("\u202e", "")
    path.write_bytes(text.encode("cp932"))
    return path


class Table:
    """The grid as a person meets it."""

    def __init__(self, sight: Any) -> None:
        self.sight, self.page = sight, sight.page
        self.root = sight.page.locator(".bkg").first
        self.keys = sight.page.keyboard

    def sum(self) -> str:
        return str(self.root.locator(".bkg-sum").inner_text())

    def say(self) -> str:
        return str(self.root.locator(".bkg-say").inner_text())

    def until(self, words: str, of: str = "say") -> None:
        read = self.sum if of == "sum" else self.say
        self.sight.wait_until(lambda: words in read(), what=f"{words} in {read()}", timeout_s=20)

    def cell(self, row: int, col: int) -> Any:
        return self.root.locator(f'tr[aria-rowindex="{row}"] > [aria-colindex="{col}"]')

    def active(self) -> str:
        return str(self.root.locator('[aria-selected="true"]').first.inner_text())

    def focused(self) -> str:
        return str(self.page.evaluate("document.activeElement.className"))


def opened(sight: Any, lab: Any, roster: Path) -> Table:
    page = sight.page
    page.goto(lab.page("10_onboarding"))
    page.locator(".bk-banner").first.wait_for(timeout=90_000)
    with page.expect_file_chooser() as chooser:
        page.locator("button.widget-upload").first.click()
    chooser.value.set_files(str(roster))
    sight.wait_until(
        lambda: roster.name in page.locator(".widget-text input").first.input_value(), what="chosen"
    )
    sight.press("名簿を確認する")
    sight.wait_for("名簿の確認（")
    page.locator(".bk-mending").get_by_text("名簿を表で直す").first.click()
    page.locator(".bkg td.bkg-first").first.wait_for(timeout=30_000)
    return Table(sight)


def compose(page: Any, *steps: str) -> None:
    """An input method at work: what it shows before it is confirmed."""
    driver = page.context.new_cdp_session(page)
    for text in steps:
        driver.send(
            "Input.imeSetComposition", {"text": text, "selectionStart": len(text), "selectionEnd": len(text)}
        )
    driver.detach()


def test_mend_a_roster(sight: Any, lab: Any, tmp_path: Path) -> None:
    roster = damaged(tmp_path / "職員名簿 髙島.csv")
    table = opened(sight, lab, roster)
    page, keys = sight.page, table.keys
    table.until("全 200 行　誤り 3 件", "sum")
    sight.shoot("grid_opened")

    # the first error; the sentence says what and how
    table.root.get_by_role("button", name="次の誤りへ").click()
    table.until("6 行目「ログインID」　誤り：")
    assert table.focused() == "bkg-input"
    assert table.cell(6, 7).get_attribute("aria-invalid") == "true"
    sight.shoot("grid_error")
    keys.type("shiken9999@city-demo")
    keys.press("Enter")
    table.until("誤り 2 件", "sum")
    table.until("直した所 1 か所（まだ保存していません）", "sum")

    # with an input method: what is being converted is no value, and its Enter does not end the edit
    keys.press("F8")
    table.until("121 行目「姓カナ」　誤り：")
    before = table.active()
    compose(page, "し", "しけ", "シケン")
    assert "bkg-editing" in str(table.root.get_attribute("class"))
    sight.shoot("grid_ime")
    page.evaluate(
        """() => document.activeElement.dispatchEvent(new KeyboardEvent("keydown",
            {key: "Enter", keyCode: 229, isComposing: true, bubbles: true, cancelable: true}))"""
    )
    assert "bkg-editing" in str(table.root.get_attribute("class"))
    table.until("誤り 2 件", "sum")
    driver = page.context.new_cdp_session(page)
    driver.send("Input.insertText", {"text": "シケン"})
    assert page.evaluate("document.activeElement.value") == "シケン"
    keys.press("Enter")
    table.until("誤り 1 件", "sum")
    assert "かな" in before
    assert table.cell(121, 5).inner_text() == "シケン"

    # undo and redo, by the keys
    keys.press("Control+z")
    table.until("誤り 2 件", "sum")
    keys.press("Control+y")
    table.until("誤り 1 件", "sum")

    # a cell of the city's own that looks like a page is text
    assert page.locator(".bkg img").count() == 0

    keys.press("F8")
    table.until("151 行目「姓」　誤り：必須の値が空です")
    driver.send("Input.insertText", {"text": "𠮷野"})
    keys.press("Tab")
    table.until("誤り 0 件", "sum")

    # this file is Shift_JIS, which has no 𠮷: said, and UTF-8 offered
    sight.press("直した名簿を保存して使う")
    sight.wait_for("「𠮷」は Shift_JIS で表せません")
    sight.shoot("grid_cp932")
    table.cell(151, 3).click()
    keys.type("yoshino")
    keys.press("Escape")
    driver.send("Input.insertText", {"text": "吉野"})
    with page.expect_download() as download:
        table.root.get_by_role("button", name="ダウンロード").click()
    assert download.value.suggested_filename == "職員名簿 髙島_修正.csv"
    sight.press("直した名簿を保存して使う")
    sight.wait_for("保存しました：職員名簿 髙島_修正_")
    sight.wait_until(lambda: "計画を作る" in page.locator(".bk-next").first.inner_text(), what="no errors")
    sight.shoot("grid_saved")

    saved = [path for path in (lab.home / "uploads").glob("*.csv") if "_修正_" in path.name]
    assert len(saved) == 1
    old = (lab.home / "uploads" / roster.name).read_bytes()
    assert old == roster.read_bytes()
    assert saved[0].stat().st_mode & 0o077 == 0
    new = saved[0].read_bytes()
    assert new == Path(download.value.path()).read_bytes()
    lines = zip(old.split(b"\r\n"), new.split(b"\r\n"), strict=True)
    assert [n for n, (a, b) in enumerate(lines, 1) if a != b] == [6, 121, 151]
    found = read_table(saved[0])
    assert found.encoding == "cp932"
    assert (found.rows[149][1], found.rows[149][18]) == ("吉野", "0150")
    assert not list((lab.home / "uploads" / "drafts").rglob("*.json"))
    assert sight.errors == []


def test_keys_blocks_and_search(sight: Any, lab: Any, tmp_path: Path) -> None:
    table = opened(sight, lab, damaged(tmp_path / "名簿2.csv"))
    page, keys = sight.page, table.keys
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    cells = page.locator(".jp-Cell").count()
    table.cell(2, 3).click()
    table.until("2 行目「姓」")
    for press, where in (
        ("ArrowDown", "3 行目「姓」"),
        ("ArrowRight", "3 行目「名」"),
        ("End", "3 行目「<b>旧課</b>」"),
        ("Home", "3 行目「職員番号」"),
        ("Control+End", "201 行目「<b>旧課</b>」"),
        ("Control+Home", "2 行目「職員番号」"),
        ("Shift+Tab", ""),
        ("Control+Home", ""),
    ):
        if where:
            keys.press(press)
            table.until(where)
    for letter in "abxyzdd":  # the notebook's own keys: make, cut and delete cells
        keys.press(letter)
    keys.press("Escape")
    assert page.locator(".jp-Cell").count() == cells
    keys.press("ArrowRight")
    keys.press("Shift+ArrowRight")
    keys.press("Shift+ArrowDown")
    keys.press("Control+c")
    table.until("2 行 × 2 列をコピーしました")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(r"\S+\t\S+\r?\n\S+\t\S+", copied)
    page.evaluate('navigator.clipboard.writeText(\'甲\\t"a\\nb"\\r\\n丙\\t"""丁"""\\r\\n\')')
    keys.press("Control+Home")
    keys.press("Control+v")
    table.until("2 行 × 2 列を貼り付けました")
    assert table.cell(2, 3).inner_text().endswith("a⏎b")
    assert table.cell(3, 3).inner_text().endswith('"丁"')
    keys.press("Control+z")
    table.until("直した所 0 か所", "sum")
    keys.press("Control+Home")
    sight.wait_until(lambda: table.active() == "900001", what="the first cell")
    keys.press("PageDown")
    sight.wait_until(lambda: table.active() not in ("", "甲", "900001"), what="a page down")

    # only what is wrong; a search with the input method
    table.root.locator("select").select_option("error")
    table.until("3 行を表示", "sum")
    sight.shoot("grid_errors_only")
    table.root.locator("select").select_option("all")
    table.root.locator("input[type=search]").fill("ＳＨＵＴＳＵＲＹＯＫＵ0150")
    table.until("1 行を表示", "sum")
    table.root.locator("input[type=search]").fill("")
    sight.wait_until(lambda: table.sum().startswith("全 200 行"), what="all rows")

    # rows: remove, restore, add
    table.cell(4, 3).click()
    table.root.get_by_role("button", name="行を削除").click()
    table.until("1 行を削除しました")
    keys.press("x")
    assert table.cell(4, 1).inner_text().startswith("4")
    table.root.get_by_role("button", name="行を戻す").click()
    table.until("1 行を戻しました")
    table.root.get_by_role("button", name="行を追加").click()
    table.until("202 行目を追加しました")
    table.until("全 201 行", "sum")
    sight.shoot("grid_added")
    keys.press("Control+z")
    table.until("全 200 行", "sum")
    # twice as large, in a small window: everything is still there
    page.set_viewport_size({"width": 640, "height": 800})
    page.wait_for_timeout(500)
    table.root.scroll_into_view_if_needed()
    sight.shoot("grid_zoomed")
    assert sight.errors == []


def restart_kernel(sight: Any, lab: Any) -> None:
    """As from the menu: what was in its memory is gone."""
    base, token = lab.url.partition("/doc/")[0], lab.url.partition("token=")[2].partition("&")[0]
    ask = {"headers": {"Authorization": f"token {token}"}}
    for kernel in sight.page.request.get(f"{base}/api/kernels", **ask).json():
        assert sight.page.request.post(f"{base}/api/kernels/{kernel['id']}/restart", **ask).ok


def test_unsaved_edits_outlive_the_kernel(sight: Any, lab: Any, tmp_path: Path) -> None:
    roster = damaged(tmp_path / "名簿3.csv")
    table = opened(sight, lab, roster)
    table.cell(2, 3).click()
    table.keys.type("sagyou")
    table.keys.press("Enter")
    table.until("直した所 1 か所", "sum")
    drafts = lab.home / "uploads" / "drafts"
    sight.wait_until(lambda: bool(list(drafts.rglob("*.json"))), what="a draft")
    assert all(path.stat().st_mode & 0o077 == 0 for path in drafts.rglob("*.*"))
    restart_kernel(sight, lab)
    sight.page.get_by_text("すべて実行", exact=True).first.click()
    sight.wait_until(lambda: sight.page.locator(".bkg").count() == 0, what="a new panel", timeout_s=90)
    sight.page.locator(".bk-banner").first.wait_for(timeout=90_000)
    name = sight.page.locator(".widget-text input").first
    name.fill(str(lab.home / "uploads" / roster.name))
    sight.press("名簿を確認する")
    sight.wait_for("名簿の確認（")
    sight.page.locator(".bk-mending").get_by_text("名簿を表で直す").first.click()
    sight.wait_for("保存していない修正（1 行）が残っています")
    sight.shoot("grid_draft")
    sight.press("続きから直す")
    Table(sight).until("直した所 1 か所", "sum")
    sight.wait_until(lambda: Table(sight).cell(2, 3).inner_text() == "sagyou", what="the draft's cell")
