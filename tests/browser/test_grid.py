"""The roster's table by a person's means: keys, late answers, who hears it, mending, drafts; one notebook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bousai_kit.roster import roster_rows, sample_roster
from bousai_kit.tables import read_table

HOLD = """(() => {
  const kept = Object.getOwnPropertyDescriptor(WebSocket.prototype, "onmessage");
  const waiting = [];
  const send = WebSocket.prototype.send;
  window.bkHold = false;
  window.bkSent = 0;
  WebSocket.prototype.send = function (data) {
    window.bkSent++;
    return send.call(this, data);
  };
  window.bkRelease = () => {
    window.bkHold = false;
    for (const [act, socket, event] of waiting.splice(0)) act.call(socket, event);
  };
  Object.defineProperty(WebSocket.prototype, "onmessage", {
    ...kept,
    set(act) {
      const held = function (event) {
        if (window.bkHold) waiting.push([act, this, event]);
        else act.call(this, event);
      };
      kept.set.call(this, act && held);
    },
  });
})();"""  # while bkHold, whatever the kernel says waits until bkRelease()


WATCH = """(id) => {
  const cell = document.getElementById(id);
  window.bkSeen = [];
  const look = () => window.bkSeen.push(cell.textContent);
  new MutationObserver(look).observe(cell, {subtree: true, characterData: true, childList: true});
}"""


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

    def heard(self) -> str:
        """What a screen reader was told last."""
        return str(self.root.locator(".bkg-sr").text_content())

    def until(self, words: str, of: str = "say") -> None:
        read = {"sum": self.sum, "heard": self.heard}.get(of, self.say)
        self.sight.wait_until(lambda: words in read(), what=f"{words} in {read()}", timeout_s=20)

    def cell(self, row: int, col: int) -> Any:
        """By what a screen reader counts, both from 1."""
        owns = self.root.locator(f'[role=row][aria-rowindex="{row}"]').get_attribute("aria-owns")
        return self.root.locator(f"[id='{owns.split()[col - 1]}']")

    def active(self) -> str:
        return str(self.root.locator('[aria-selected="true"]').first.inner_text())

    def focused(self) -> str:
        return str(self.page.evaluate("document.activeElement.className"))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.keys.press(key)

    def button(self, name: str) -> Any:
        return self.root.get_by_role("button", name=name)


def opened(sight: Any, lab: Any, roster: Path, units: Path | None = None) -> Table:
    page = sight.page
    page.add_init_script(HOLD)
    page.goto(lab.page("10_onboarding"))
    page.locator(".bk-banner").first.wait_for(timeout=90_000)
    for place, file in enumerate([roster, *([units] if units else [])]):
        with page.expect_file_chooser() as chooser:
            page.locator("button.widget-upload").nth(place).click()
        chooser.value.set_files(str(file))
        chosen = page.locator(".widget-text input").nth(place)
        sight.wait_until(lambda: file.name in chosen.input_value(), what="chosen")  # noqa: B023
    sight.press("名簿を確認する")
    sight.wait_for("名簿の確認（")
    page.locator(".bk-mending").get_by_text("名簿を表で直す").first.click()
    page.locator(".bkg-body .bkg-c").first.wait_for(timeout=30_000)
    return Table(sight)


def compose(page: Any, *steps: str) -> None:
    """An input method at work: what it shows before it is confirmed."""
    driver = page.context.new_cdp_session(page)
    for text in steps:
        driver.send(
            "Input.imeSetComposition", {"text": text, "selectionStart": len(text), "selectionEnd": len(text)}
        )
    driver.detach()


def test_the_table(sight: Any, lab: Any, tmp_path: Path) -> None:
    roster = damaged(tmp_path / "職員名簿 髙島.csv")
    table = opened(sight, lab, roster)
    table.until("全 200 行　誤り 3 件", "sum")
    sight.shoot("grid_opened")
    moves_and_blocks(table)
    late_answers(table)
    filters_and_rows(table)
    who_hears_it(table)
    keyboard_alone(table)
    mend(table, lab, roster)
    outlive_the_kernel(table, lab)
    assert sight.errors == []


def moves_and_blocks(table: Table) -> None:
    page, keys = table.page, table.keys
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
    ):
        keys.press(press)
        table.until(where)
    for letter in "abxyzdd":  # the notebook's own keys: make, cut and delete cells
        keys.press(letter)
    keys.press("Escape")
    assert page.locator(".jp-Cell").count() == cells
    table.press("ArrowRight", "Shift+ArrowRight", "Shift+ArrowDown", "Control+c")
    table.until("2 行 × 2 列をコピーしました")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(r"\S+\t\S+\r?\n\S+\t\S+", copied)
    page.evaluate('navigator.clipboard.writeText(\'甲\\t"a\\nb"\\r\\n丙\\t"""丁"""\\r\\n\')')
    table.press("Control+Home", "Control+v")
    table.until("2 行 × 2 列を貼り付けました")
    assert table.cell(2, 3).inner_text().endswith("a⏎b")
    assert table.cell(3, 3).inner_text().endswith('"丁"')


def late_answers(table: Table) -> None:
    """An answer that comes after another key moves no cursor, and takes nothing that was typed meanwhile."""
    page, sight = table.page, table.sight
    hold, release = "() => { window.bkHold = true }", "() => window.bkRelease()"

    # the undo of the block at the top, answered when the person is a page further down
    table.press("Control+Home")
    table.until("2 行目「職員番号」")
    page.evaluate(hold)
    table.press("Control+z", "PageDown", "ArrowRight")
    table.until("「姓」")
    there = table.say()
    assert not there.startswith("2 行目")
    page.evaluate(release)
    table.until("直した所 0 か所", "sum")
    table.until("元に戻しました。")
    table.press("ArrowDown", "ArrowUp")
    table.until(there)

    # undo and redo at once: the second answer is not late by what the first one did
    table.press("Control+Home")
    page.evaluate(hold)
    table.press("Control+y", "Control+z", "Control+y")
    page.evaluate(release)
    table.until("直した所 4 か所", "sum")
    sight.wait_until(lambda: table.active() == "甲", what="at what was done again")
    table.press("Control+z")
    table.until("直した所 0 か所", "sum")

    # a search that is answered while somebody types into a cell: the text stays, with its person
    search = table.root.locator("input[type=search]")
    page.evaluate(hold)
    asked = page.evaluate("() => window.bkSent")
    search.fill("ＳＨＵＴＳＵＲＹＯＫＵ0150")
    page.wait_for_function("(asked) => window.bkSent > asked", arg=asked)
    table.cell(5, 3).click()
    table.keys.type("uchi")
    page.evaluate(release)
    table.until("1 行を表示", "sum")
    sight.wait_until(
        lambda: "直した所 1 か所" in table.sum(), what="kept by the row's number, not by its place"
    )
    search.fill("")
    sight.wait_until(lambda: table.sum().startswith("全 200 行"), what="all rows")
    sight.wait_until(lambda: table.cell(5, 3).inner_text() == "uchi", what="in the row of its person")

    # two edits, the first one's answer does not put the second one's old text back
    page.evaluate(hold)
    table.cell(5, 4).click()
    table.keys.type("ichi")
    table.press("Tab")
    table.keys.type("ni")
    table.press("Enter")
    assert [table.cell(5, col).inner_text() for col in (4, 5)] == ["ichi", "ni"]
    page.evaluate(WATCH, table.cell(5, 5).get_attribute("id"))
    page.evaluate(release)
    table.until("直した所 3 か所", "sum")
    assert set(page.evaluate("() => window.bkSeen")) <= {"ni"}
    for left in "210":
        table.button("元に戻す").click()
        table.until(f"直した所 {left} か所", "sum")


def filters_and_rows(table: Table) -> None:
    sight = table.sight
    table.root.locator("select").select_option("error")
    table.until("3 行を表示", "sum")
    sight.shoot("grid_errors_only")
    table.root.locator("select").select_option("all")
    sight.wait_until(lambda: table.sum().startswith("全 200 行"), what="all rows")
    table.cell(4, 3).click()
    table.button("行を削除").click()
    table.until("1 行を削除しました")
    table.keys.press("x")
    assert table.cell(4, 1).inner_text().startswith("4")
    table.button("行を戻す").click()
    table.until("1 行を戻しました")
    table.button("行を追加").click()
    table.until("202 行目を追加しました")
    table.until("全 201 行", "sum")
    sight.shoot("grid_added")
    table.keys.press("Control+z")
    table.until("全 200 行", "sum")
    table.press("Control+Home")


def tree(page: Any) -> dict[str, Any]:
    """What assistive technology is given: id → node."""
    driver = page.context.new_cdp_session(page)
    nodes = driver.send("Accessibility.getFullAXTree")["nodes"]
    driver.detach()
    return {one["nodeId"]: one for one in nodes}


def below(nodes: dict[str, Any], node: Any, *roles: str) -> list[Any]:
    """Nodes of these roles, in the order in which they are read."""
    found = []
    for child in (nodes[one] for one in node.get("childIds", ()) if one in nodes):
        if not child["ignored"] and child["role"]["value"] in roles:
            found.append(child)
        else:
            found += below(nodes, child, *roles)
    return found


def said_of(node: Any) -> dict[str, Any]:
    """Name, description and properties of a node."""
    told = {one["name"]: one["value"] for one in node.get("properties", ())}
    text = {key: node.get(key, {}).get("value", "") for key in ("name", "description")}
    return {**told, **text}


def who_hears_it(table: Table) -> None:
    """The tree of a table of which few rows exist: roles, counts, order, the active cell and its problem."""
    page, sight = table.page, table.sight
    table.button("次の誤りへ").click()
    table.until("6 行目「ログインID」", "heard")
    table.press("F8")
    table.until("121 行目「姓カナ」", "heard")  # far down: other rows than those at the beginning
    assert "誤り：" in table.heard()
    sight.wait_until(lambda: in_order(page), what="rows are read in the order in which they are seen")
    nodes = tree(page)
    (grid,) = [one for one in nodes.values() if one.get("role", {}).get("value") == "grid"]
    headings, *rows = below(nodes, grid, "row")
    titles = [said_of(one)["name"] for one in below(nodes, headings, "columnheader")]
    assert titles[:4] == ["行", "職員番号（必須）", "姓（必須）", "名（必須）"]
    shown = table.root.locator("[role=grid]")
    assert shown.get_attribute("aria-rowcount") == "201"
    assert shown.get_attribute("aria-colcount") == str(len(titles))
    assert 15 < len(rows) < 60
    numbers = []
    for row in rows:
        cells = below(nodes, row, "rowheader", "gridcell")
        assert [one["role"]["value"] for one in cells] == ["rowheader"] + ["gridcell"] * (len(titles) - 1)
        numbers.append(int(said_of(cells[0])["name"].split()[0]))
    assert numbers == list(range(numbers[0], numbers[0] + len(rows)))
    assert 121 in numbers
    cell = below(nodes, rows[numbers.index(121)], "gridcell")[3]
    told = said_of(cell)
    assert "かな" in told["name"]
    assert told["description"].startswith("誤り：")
    assert told["selected"]["value"] is True
    assert told["invalid"]["value"] == "true"
    texts = [one for one in nodes.values() if one.get("role", {}).get("value") == "textbox"]
    (field,) = [one for one in texts if said_of(one).get("focused", {}).get("value")]
    (pointed,) = said_of(field)["activedescendant"]["relatedNodes"]
    assert pointed["backendDOMNodeId"] == cell["backendDOMNodeId"]
    live = [one for one in nodes.values() if said_of(one).get("live", {}).get("value") == "polite"]
    assert any("121 行目「姓カナ」" in heard_in(nodes, one) for one in live)


def heard_in(nodes: dict[str, Any], node: Any) -> str:
    return "".join(said_of(one)["name"] for one in below(nodes, node, "StaticText"))


def in_order(page: Any) -> bool:
    """The order for who hears it has followed the last scrolling."""
    return bool(
        page.evaluate(
            """() => {
      const owns = document.querySelector(".bkg-body").getAttribute("aria-owns") || "";
      const rows = owns.split(" ").map((id) => +(document.getElementById(id)?.getAttribute("aria-rowindex")));
      return rows.length > 1 && rows.every((row, place) => !place || row === rows[place - 1] + 1);
    }"""
        )
    )


def keyboard_alone(table: Table) -> None:
    """Every control is reached by Tab, is seen to be, and is left again."""
    page = table.page
    where = """() => {
      const at = document.activeElement;
      const style = getComputedStyle(at);
      const seen = style.outlineStyle !== "none" || at.className === "bkg-input";
      return [at.closest(".bkg") ? at.textContent || at.type || at.className : "outside", seen];
    }"""
    table.button("次の誤りへ").focus()
    passed = []
    for _ in range(20):
        page.keyboard.press("Tab")
        name, seen = page.evaluate(where)
        assert seen or name == "outside", name
        passed.append(name)
        if name == "outside":
            break
    wanted = [
        "search",
        "行を追加",
        "行を削除",
        "行を戻す",
        "ダウンロード",
        "textarea",
        "キーの使い方",
        "outside",
    ]
    assert [name for name in passed if name in wanted] == wanted
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    assert table.focused() == "bkg-input"


def mend(table: Table, lab: Any, roster: Path) -> None:
    """From the first error to the saved file, with an input method."""
    page, sight, keys = table.page, table.sight, table.keys
    table.press("Control+Home")
    table.button("次の誤りへ").click()
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
    keys.press("Control+z")
    table.until("誤り 2 件", "sum")
    table.until("元に戻しました。", "heard")
    keys.press("Control+y")
    table.until("誤り 1 件", "sum")
    assert page.locator(".bkg img").count() == 0  # a cell of the city's own that looks like a page is text
    keys.press("F8")
    table.until("151 行目「姓」　誤り：必須の値が空です")
    driver.send("Input.insertText", {"text": "𠮷野"})
    keys.press("Tab")
    table.until("誤り 0 件", "sum")
    sight.wait_for("表で直した所を、まだ保存していません。")

    # this file is Shift_JIS, which has no 𠮷: said, and UTF-8 offered
    sight.press("直した名簿を保存して使う")
    sight.wait_for("「𠮷」は Shift_JIS で表せません")
    sight.shoot("grid_cp932")
    table.cell(151, 3).click()
    keys.type("yoshino")
    keys.press("Escape")
    driver.send("Input.insertText", {"text": "吉野"})
    with page.expect_download() as download:
        table.button("ダウンロード").click()
    assert download.value.suggested_filename == "職員名簿 髙島_修正.csv"
    table.until("をダウンロードしました。", "heard")

    # saved: the table has done its work, and what comes next is in sight and has the focus
    sight.press("直した名簿を保存して使う")
    sight.wait_for("保存しました：職員名簿 髙島_修正_")
    sight.wait_until(
        lambda: page.evaluate("document.activeElement.textContent").strip() == "計画を作る", what="handed on"
    )
    assert page.locator(".bkg").count() == 0
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


def outlive_the_kernel(table: Table, lab: Any) -> None:
    """What was not saved is offered again after the kernel has gone."""
    sight, page = table.sight, table.page
    name = page.locator(".widget-text input").first.input_value()
    page.locator(".bk-mending").get_by_text("名簿を表で直す").first.click()
    page.locator(".bkg-body .bkg-c").first.wait_for(timeout=30_000)
    table.cell(2, 3).click()
    table.keys.type("sagyo")
    table.keys.press("Enter")
    table.until("直した所 1 か所", "sum")
    drafts = lab.home / "uploads" / "drafts"
    sight.wait_until(lambda: bool(list(drafts.rglob("*.json"))), what="a draft")
    assert all(path.stat().st_mode & 0o077 == 0 for path in drafts.rglob("*.*"))
    restart_kernel(sight, lab)
    page.get_by_text("すべて実行", exact=True).first.click()
    sight.wait_until(lambda: page.locator(".bkg").count() == 0, what="a new panel", timeout_s=90)
    page.locator(".bk-banner").first.wait_for(timeout=90_000)
    page.locator(".widget-text input").first.fill(name)
    sight.press("名簿を確認する")
    sight.wait_for("名簿の確認（")
    page.locator(".bk-mending").get_by_text("名簿を表で直す").first.click()
    sight.wait_for("保存していない修正（1 行）が残っています")
    sight.shoot("grid_draft")
    sight.press("続きから直す")
    Table(sight).until("直した所 1 か所", "sum")
    sight.wait_until(lambda: Table(sight).cell(2, 3).inner_text() == "sagyo", what="the draft's cell")


def restart_kernel(sight: Any, lab: Any) -> None:
    """As from the menu: what was in its memory is gone."""
    base, token = lab.url.partition("/doc/")[0], lab.url.partition("token=")[2].partition("&")[0]
    ask = {"headers": {"Authorization": f"token {token}"}}
    for kernel in sight.page.request.get(f"{base}/api/kernels", **ask).json():
        assert sight.page.request.post(f"{base}/api/kernels/{kernel['id']}/restart", **ask).ok
