"""What the report says: exact JSON, a page that needs nothing from outside, a workbook without formulas."""

from __future__ import annotations

import html.parser
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from python_calamine import CalamineWorkbook

from bousai_kit.errors import ConfigError
from bousai_kit.latency import Analysis, analyse
from bousai_kit.latency.analysis import RATE_TIMES_S, say_rate, say_s
from bousai_kit.latency.plots import draw_all
from bousai_kit.latency.report import build_report, render_text
from bousai_kit.latency.report_html import render_html
from bousai_kit.latency.report_xlsx import render_xlsx
from tests.latency.invented import Drill, wards

KEYS = {"60", "180", "300", "600", "1800"}
EVIL = '<script>alert(1)</script>"=1+1'


@pytest.fixture(scope="module")
def city() -> Analysis:
    drill = wards(["北区", "都島区", "=SUM(A1)"])
    drill.dispatch("intended", "x1", 0).dispatch("refused", "x1", 1, description=EVIL)
    drill.dispatch("intended", "x2", 0).dispatch("unknown", "x2", 1)
    drill.tap("u000", 1900).add("drill.unreachable", "9999", {"reason": "アカウントがありません"}, -40)
    return analyse(drill.fold())


@pytest.fixture(scope="module")
def page(city: Analysis) -> str:
    return render_html(city)


def strict(text: str) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


# -- JSON -----------------------------------------------------------------------------------------------


def test_json_has_every_key_of_the_interface(city: Analysis) -> None:
    document = strict(json.dumps(city.as_json(), allow_nan=False))
    assert {"broadcasts", "rows_read", "rows_rejected", "rejects_file", "engine", "elapsed_s"} <= set(
        document
    )
    [one] = document["broadcasts"]
    assert one["broadcast_id"] == "b01"
    assert (one["recipients"], one["delivered"], one["acked"], one["late"], one["censored"]) == (
        32, 30, 15, 1, 15,
    )  # fmt: skip
    assert set(one["ack_rate"]) == set(one["ack_rate_ci"]) == KEYS
    assert set(one["groups"]) == set(one["logrank"]) == {"ward", "bureau", "device_os"}
    assert set(one["logrank"]["ward"]) == {"chi2", "df", "p"}
    for group in one["groups"]["ward"]:
        assert {"name", "recipients", "median_s", "ack_rate"} <= set(group)
        assert set(group["ack_rate"]) == KEYS
    assert one["ack_rate"]["180"] == pytest.approx(
        10 / 30, abs=1e-15
    )  # not rounded: 10 of 30 had answered by then
    assert one["median_s"] == 189.0
    assert one["p90_s"] is None
    assert one["last_ack_s"] == 189.0


def test_rates_beyond_the_deadline_are_null_and_their_keys_stay() -> None:
    drill = Drill(deadline_s=200).send("a", "b").tap("a", 30)
    [one] = analyse(drill.fold()).as_json()["broadcasts"]
    assert one["ack_rate"] == {"60": 0.5, "180": 0.5, "300": None, "600": None, "1800": None}
    assert [one["ack_rate_ci"][key] is None for key in ("180", "300", "1800")] == [False, True, True]
    assert one["median_s"] == 30.0
    assert one["rmst_s"] == (30 + 200) / 2


def test_nobody_answered_and_nobody_reached() -> None:
    silent = analyse(Drill(deadline_s=1800).send("a", "b").fold()).as_json()["broadcasts"][0]
    assert (silent["median_s"], silent["p75_s"], silent["last_ack_s"]) == (None, None, None)
    assert silent["median_ci_s"] == [None, None]
    assert set(silent["ack_rate"].values()) == {0.0}
    gone = Drill().dispatch("intended", "a", 0).dispatch("refused", "a", 1)
    analysis = analyse(gone.fold())
    one = strict(json.dumps(analysis.as_json(), allow_nan=False))["broadcasts"][0]
    assert (one["recipients"], one["delivered"], one["rmst_s"]) == (1, 0, None)
    assert set(one["ack_rate"].values()) == {None}
    render_html(analysis)
    render_xlsx(analysis)


# -- three files ----------------------------------------------------------------------------------------


def test_files_are_left_whole_and_again(city: Analysis, tmp_path: Path) -> None:
    drawn = tuple(draw_all(city))
    out = tmp_path / "報告 書" / "a"
    for _ in range(2):
        files = build_report(city, out, plots=drawn)
        assert sorted(files) == sorted(path.name for path in out.iterdir())
        assert set(files) == {"report.html", "report.xlsx", "latency.json"}
    assert strict(files["latency.json"].read_text(encoding="utf-8")) == strict(json.dumps(city.as_json()))
    first = files["report.html"].read_bytes()
    assert build_report(city, out)["report.html"].read_bytes() == first  # equal numbers, equal bytes


def test_a_folder_that_cannot_be_written_is_a_sentence(city: Analysis, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="書き出せません") as caught:
        build_report(city, tmp_path / "file" / "out", plots=())
    assert caught.value.hint


class Page(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(text: str) -> Page:
    found = Page()
    found.feed(text)
    found.close()
    return found


def test_page_refers_to_nothing_outside(page: str) -> None:
    found = parsed(page)
    assert not {tag for tag, _ in found.tags} & {"script", "link", "iframe", "object", "base"}
    for _, attributes in found.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert "http" not in page.replace("http-equiv", "")
    assert "url(" not in page


def test_page_says_what_its_pictures_show(page: str, city: Analysis) -> None:
    pictures = [attributes for tag, attributes in parsed(page).tags if tag == "img"]
    assert len(pictures) == len(list(draw_all(city))) == 3
    assert all(len(one["alt"] or "") > 20 for one in pictures)
    assert "中央値 3 分 9 秒" in (pictures[0]["alt"] or "")


def test_page_escapes_and_says_what_was_not_reached(page: str) -> None:
    assert "<script>" not in page
    text = parsed(page).text
    for part in (
        EVIL,
        "未到達",
        "届かなかった人（1 人）",
        "届いたか未確定の人（1 人）",
        "期限か次の一斉送信の後に応答した人（1 人）",
    ):
        assert part in text
    assert "アカウントがありません" in text
    assert "10／30" in text  # n and N beside the rate
    assert "既読とは表示しません" in text
    assert "既読率" not in text


def test_no_number_is_called_read(city: Analysis) -> None:
    assert "既読" not in render_text(city)
    assert "既読" not in json.dumps(city.as_json(), ensure_ascii=False)


def test_workbook_read_back(city: Analysis) -> None:
    content = render_xlsx(city)
    book = CalamineWorkbook.from_filelike(io.BytesIO(content))
    assert book.sheet_names == [
        "一斉送信", "区別", "局別", "端末別", "不達・未確定", "期限後の応答", "曲線", "数え方",
    ]  # fmt: skip
    head, row = book.get_sheet_by_name("一斉送信").to_python()
    cells = dict(zip(head, row, strict=True))
    total = city.broadcasts[0].total
    assert (cells["送達 N"], cells["期限内の応答 n"], cells["打ち切り"]) == (30, 15, 15)
    assert cells["中央値（秒）"] == total.curve.median_s
    assert cells["90 % の時間（秒）"] == "未到達"
    assert cells["3 分以内の応答 n"] == 10
    assert cells["3 分以内の応答率"] == pytest.approx(10 / 30, abs=1e-15)
    low, high = total.curve.ack_rate_ci(180) or (0, 0)
    assert cells["3 分以内の応答率の下限"] == pytest.approx(low, abs=1e-15)
    assert cells["3 分以内の応答率の上限"] == pytest.approx(high, abs=1e-15)
    by_ward = book.get_sheet_by_name("区別").to_python()
    assert [row[1] for row in by_ward[1:]] == ["=SUM(A1)", "北区", "都島区"]  # a text, not a formula
    lists = book.get_sheet_by_name("不達・未確定").to_python()
    assert ["b01", "届かなかった人", "", "x1", "", "", "", EVIL] in lists
    assert lists[-1][1:3] == ["送信の対象にできなかった人", "9999"]
    curve = book.get_sheet_by_name("曲線").to_python()[1:]
    assert [row[1] for row in curve] == total.curve.times.tolist()
    assert render_xlsx(city) == content


def test_beyond_the_deadline_the_workbook_says_so() -> None:
    analysis = analyse(Drill(deadline_s=200).send("a").fold())
    book = CalamineWorkbook.from_filelike(io.BytesIO(render_xlsx(analysis)))
    head, row = book.get_sheet_by_name("一斉送信").to_python()
    assert dict(zip(head, row, strict=True))["5 分以内の応答率"] == "期限より後"


# -- pictures -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 5, 24, 70])
def test_any_number_of_groups_is_drawn_and_told(number: int) -> None:
    names = [f"第{i:02d}$区$" for i in range(number)]
    analysis = analyse(wards(names).fold())
    plots = {plot.name: plot for _, plot in draw_all(analysis)}
    assert ("b1-ward" in plots) == (number > 1)
    for plot in plots.values():
        assert plot.png.startswith(b"\x89PNG")
        assert len(plot.png) < 600_000
    if number > 1:
        assert "第00$区$" in plots["b1-ward"].alt


def test_another_font_is_used(city: Analysis, tmp_path: Path) -> None:
    import matplotlib

    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    own = {name: plot.png for name, plot in draw_all(city)}
    other = {name: plot.png for name, plot in draw_all(city, font=font)}
    assert own.keys() == other.keys()
    assert own != other


# -- words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "未到達"), (0, "0 秒"), (7.46, "7.5 秒"), (45.2, "45 秒"), (59.7, "1 分"), (141, "2 分 21 秒"),
        (1800, "30 分"), (3600, "1 時間 0 分"), (5400.4, "1 時間 30 分"),
    ],
)  # fmt: skip
def test_seconds_as_people_say_them(seconds: float | None, said: str) -> None:
    assert say_s(seconds) == said


def test_rates_as_people_say_them() -> None:
    assert (say_rate(None), say_rate(0.7716), say_rate(1.0)) == ("未到達", "77.2 %", "100.0 %")


def test_frames_for_people(city: Analysis) -> None:
    frame = city.table()
    assert list(frame["一斉送信"]) == ["b01"]
    assert frame.loc[0, "中央値（秒）"] == 189.0
    silent = analyse(Drill(deadline_s=200).send("a").fold()).table()
    assert math.isnan(silent.loc[0, "中央値（秒）"])
    assert math.isnan(silent.loc[0, "30 分以内の応答率"])
    wards_frame = city.table("ward")
    assert list(wards_frame["区"]) == ["=SUM(A1)", "北区", "都島区"]
    assert "<table>" in city._repr_html_()
    assert "15/30" in repr(city)
    assert RATE_TIMES_S == (60, 180, 300, 600, 1800)
