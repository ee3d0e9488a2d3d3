"""10_onboarding from top to bottom as a new member of staff goes through it, with a roster of one's own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bousai_kit.tables import read_table
from tests.browser.conftest import SHOTS
from tests.browser.test_doctor import admin
from tests.browser.test_grid import compose
from tests.browser.test_grid import opened as on_table
from tests.browser.test_notebooks import moved, next_step, until_next
from tests.onboarding.papers import read_page

HEADER = (
    "職員番号,姓,名,姓カナ,名カナ,ログインID,所属コード,所属名,役職,"
    "本部役割,区,局,代理順位,代理対象,端末OS,携帯電話,内線"
)
PEOPLE = (
    ("見本", "太郎", "ミホン", "タロウ", "市長", "本部長", "", ""),
    ("架空", "花子", "カクウ", "ハナコ", "副市長", "副本部長", "", ""),
    ("試験", "一郎", "シケン", "イチロウ", "危機管理監", "事務局", "", "危機管理室"),
    ("例示", "夏子", "レイジ", "ナツコ", "課長", "事務局", "", "危機管理室"),
    ("仮名", "次郎", "カメイ", "ジロウ", "係員", "事務局", "", "危機管理室"),
    ("模擬", "秋子", "モギ", "アキコ", "局長", "本部員", "", "消防局"),
    ("練習", "三郎", "レンシュウ", "サブロウ", "課長", "連絡員", "", "消防局"),
    ("見本", "冬子", "ミホン", "フユコ", "係員", "", "", "消防局"),
    ("架空", "四郎", "カクウ", "シロウ", "区長", "区本部長", "東区", ""),
    ("試験", "春子", "しけん", "ハルコ", "係長", "連絡員", "東区", ""),  # 姓カナ is no katakana
    ("例示", "五郎", "レイジ", "ゴロウ", "区長", "区本部長", "西区", ""),
    ("", "梅子", "カメイ", "ウメコ", "係長", "連絡員", "西区", ""),  # no 姓
)
UNITS = {"市長": "A00", "副市長": "A00", "危機管理室": "A10", "消防局": "B20", "東区": "W01", "西区": "W02"}
NAMES = {"A00": "市長室", "A10": "危機管理室", "B20": "消防局", "W01": "東区役所", "W02": "西区役所"}


def own_roster(path: Path) -> Path:
    """Twelve invented people in Shift_JIS with two mistakes and a column that the kit does not know."""
    lines = [HEADER]
    for n, (last, first, last_kana, first_kana, position, role, ward, bureau) in enumerate(PEOPLE, 1):
        code = UNITS.get(ward or bureau or position, "A00")
        person = [f"00{n:02d}", last, first, last_kana, first_kana, f"walk{n:02d}@city-demo"]
        person += [code, NAMES[code], position, role, ward, bureau]
        person += ["1" if n == 2 else "", "0001" if n == 2 else "", "Android" if n % 3 else "iOS"]
        lines.append(",".join([*person, f"090-0000-00{n:02d}", f"0{n:03d}"]))
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode("cp932"))
    return path


def own_units(path: Path) -> Path:
    """The city's list of units, in Shift_JIS too."""
    lines = [
        "組織コード,組織名,上位組織コード,表示順",
        *(f"{code},{name},,{n}" for n, (code, name) in enumerate(NAMES.items(), 1)),
    ]
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode("cp932"))
    return path


def saved(sight: Any, label: str) -> tuple[str, bytes]:
    """Press the button of a file that was made; its name and bytes as the browser has got them."""
    press = sight.page.get_by_role("button", name=f"ダウンロード：{label}").first
    press.scroll_into_view_if_needed()
    with sight.page.expect_download() as download:
        press.click()
    name = str(download.value.suggested_filename)
    sight.wait_for(f"{name} をダウンロードしました。")
    return name, Path(download.value.path()).read_bytes()


def in_every_size(sight: Any, name: str) -> None:
    """As on an office screen, a small one, and twice as large (for whoever looks at the pictures)."""
    if SHOTS:
        for width, height in ((1280, 1600), (1024, 1200), (640, 900)):  # 640 of 1280: 200 %
            sight.page.set_viewport_size({"width": width, "height": height})
            sight.page.wait_for_timeout(400)
            sight.shoot(f"{name}_{width}")
        sight.page.set_viewport_size({"width": 1280, "height": 1600})


def look_at(pdf: Path) -> None:
    """Everybody has a page; two of them are kept beside the screenshots, where a tool can draw them."""
    from pypdf import PdfReader

    reader = PdfReader(pdf)
    text = "".join(read_page(page) for page in reader.pages)
    assert all(f"walk{n:02d}@city-demo" in text for n in range(1, len(PEOPLE) + 1))
    draw = shutil.which("pdftoppm")
    if SHOTS and draw:
        subprocess.run([draw, "-r", "110", "-l", "2", "-png", pdf, f"{SHOTS}/walk_10_page"], check=True)


def test_a_new_member_of_staff(sight: Any, start_lab: Callable[..., Any], tmp_path: Path) -> None:
    lab = start_lab(time_scale=10.0)
    roster = own_roster(tmp_path / "名簿_令和9年度.csv")
    page = sight.page

    # a roster from the computer, mended in the table with an input method
    table = on_table(sight, lab, roster, own_units(tmp_path / "組織一覧 令和9年度.csv"))
    table.until("誤り 2 件", "sum")
    sight.shoot("walk_01_table")
    driver = page.context.new_cdp_session(page)
    table.root.get_by_role("button", name="次の誤りへ").click()
    table.until("11 行目「姓カナ」　誤り：")
    in_every_size(sight, "walk_02_error")
    compose(page, "し", "しけ", "シケン")
    driver.send("Input.insertText", {"text": "シケン"})
    page.keyboard.press("Enter")
    table.until("誤り 1 件", "sum")
    table.keys.press("F8")
    table.until("13 行目「姓」　誤り：")
    compose(page, "か", "かめい", "仮名")
    driver.send("Input.insertText", {"text": "仮名"})
    page.keyboard.press("Enter")
    table.until("誤り 0 件", "sum")
    sight.shoot("walk_03_mended")
    sight.press("直した名簿を保存して使う")
    until_next(sight, "計画を作る")
    in_every_size(sight, "walk_04_saved")
    name, content = saved(sight, "直した名簿")
    (tmp_path / name).write_bytes(content)
    mended = read_table(tmp_path / name)
    assert [mended.rows[9][3], mended.rows[11][1], mended.rows[11][16]] == ["シケン", "仮名", "0012"]
    assert "名簿_令和9年度_修正" in name

    # the plan, its posts and rooms
    page.get_by_label("作る（区・局ごとのトークルームに Bot から送る）").first.check()
    sight.press("計画を作る")
    until_next(sight, "計画を確認しました")
    page.locator(".bk-side td").first.wait_for()
    numbers = page.locator(".bk-side td").all_inner_texts()
    assert numbers[numbers.index("メンバー") + 1] == "12"
    assert numbers[numbers.index("組織") + 1] == "5"  # the roster's own, not the sample's hundred
    assert numbers[numbers.index("トークルーム") + 1] != "0"
    assert page.locator(".bk-next").first.bounding_box()["y"] >= 0  # in sight, however far down
    page.get_by_text("ポストと一人ずつの内容").first.click()
    sight.wait_for("危機管理室 危機管理監")
    in_every_size(sight, "walk_05_plan")
    page.get_by_text("ポストと一人ずつの内容").first.click()
    sight.press("確認用の Excel を作る")
    name, content = saved(sight, "計画の確認用")
    assert (name[:6], content[:2]) == ("計画の確認_", b"PK")
    page.get_by_label("計画を確認しました").first.check()
    until_next(sight, "「登録を実行する」を押してください")
    sight.shoot("walk_06_agreed")

    # stopped in the middle (twelve people would be through too soon), gone on with
    slow = {"kind": "slow", "method": "POST", "path": "/orgunits", "seconds": 30}
    admin(lab.home, "/faults", {"fault": [slow]})
    sight.press("登録を実行する")
    sight.wait_until(lambda: moved(sight), what="live progress")
    sight.shoot("walk_07_running")
    sight.press("停止する")
    sight.wait_for("停止しました。ここまでの結果は台帳に残っています。")
    sight.shoot("walk_08_stopped")
    admin(lab.home, "/faults", {"fault": [{"kind": "500", "method": "POST", "path": "/users"}]})
    sight.press("登録を実行する")

    # rows that failed are handed over as a file that can be mended; the next run makes up for them
    sight.wait_for("登録できなかった行だけのファイルを作りました。", timeout_s=120.0)
    admin(lab.home, "/faults", {"fault": []})
    name, content = saved(sight, "登録できなかった行")
    assert name == "登録できなかった行.csv"
    (tmp_path / name).write_bytes(content)
    left = read_table(tmp_path / name)
    assert len(left.rows) == len(PEOPLE)
    assert "登録できない理由" in left.header
    in_every_size(sight, "walk_09_rejected")
    sight.press("登録を実行する")
    until_next(sight, "配付資料", timeout_s=120.0)
    sight.shoot("walk_09_applied")

    # pages for everybody
    sight.press("配付資料を作る")
    name, content = saved(sight, "配付資料")
    in_every_size(sight, "walk_10_handouts")
    (pages,) = lab.home.rglob("handouts.pdf")
    assert (name, content) == ("配付資料.pdf", pages.read_bytes())
    look_at(pages)

    # who has come
    sight.press("ログイン状況を見る")
    sight.wait_for("どこまで進んだか（対象 12 名）")
    sight.shoot("walk_11_funnel")
    sight.press("声掛け一覧（Excel）を作る")
    sight.wait_for("声掛けが済んだら削除してください。")
    name, content = saved(sight, "声掛けの一覧")
    (reminders,) = lab.home.rglob("声掛け一覧_*.xlsx")
    assert (name, content) == (reminders.name, reminders.read_bytes())
    in_every_size(sight, "walk_12_reminders")
    sight.press("練習用：全員にログインしてもらう")
    until_next(sight, "20_drill")
    sight.shoot("walk_13_done")
    assert "配付を終える" in next_step(sight)  # who has pages to print still needs it
    end = page.get_by_role("button", name="配付を終える（以後は印刷できません）", exact=True).first
    assert end.is_disabled()
    page.get_by_label("全員に渡し終えました").first.check()
    end.click()
    sight.wait_for("配付を終えました。")
    sight.shoot("walk_14_ended")
    assert not list((lab.home / "plans").glob("*.secret"))
    for kept in Path("notebooks").glob("*.ipynb"):  # nothing of what went over the comm is saved with them
        assert "walk12@" not in kept.read_text(encoding="utf-8")
    if SHOTS:
        page.set_viewport_size({"width": 1280, "height": 4200})
        sight.shoot("walk_15_all")
    assert sight.errors == []
