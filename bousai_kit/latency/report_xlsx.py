"""The report as a workbook: numbers unrounded, every text a text (never a formula), 「未到達」 for null."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bousai_kit.latency.analysis import NAMES, RATE_TIMES_S, say_s
from bousai_kit.latency.report_html import METHOD, listed_people, rate_rows

if TYPE_CHECKING:
    from bousai_kit.latency.analysis import Analysis, GroupResult

__all__ = ["render_xlsx"]

EPOCH = datetime(2027, 1, 1)  # a workbook's date of creation, unless something was sent
NOT_REACHED = "未到達"

_COUNTS = ("対象", "送達 N", "期限内の応答 n", "期限後の応答", "打ち切り", "不達", "未確定")
_TIMES = (
    "中央値（秒）",
    "中央値の下限（秒）",
    "中央値の上限（秒）",
    "75 % の時間（秒）",
    "90 % の時間（秒）",
    "最後の応答（秒）",
    "期限までの平均（秒）",
)


def _header(*first: str) -> tuple[str, ...]:
    rates = []
    for t in RATE_TIMES_S:
        said = f"{say_s(t)}以内の応答"
        rates += [f"{said} n", f"{said}率", f"{said}率の下限", f"{said}率の上限"]
    return (*first, *_COUNTS, *_TIMES, *rates)


def _cells(group: GroupResult) -> Iterable[Any]:
    curve = group.curve
    yield from (group.recipients, group.delivered, group.acked, group.late, group.censored)
    yield from (group.undelivered, group.unknown)
    yield from (curve.median_s, *curve.median_ci_s, curve.quantile_s(0.75), curve.quantile_s(0.90))
    yield from (group.last_ack_s, curve.rmst_s(group.deadline_s))
    for t, n, rate, limits in rate_rows(group):
        none = "期限より後" if t > group.deadline_s else None
        yield from (none, none, none, none) if rate is None or limits is None else (n, rate, *limits)


def render_xlsx(analysis: Analysis) -> bytes:
    """Sheets: all broadcasts; by ward, bureau, device; who was not reached; who was late; curves; method."""
    import xlsxwriter

    out = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "nan_inf_to_errors": False,
    }
    book = xlsxwriter.Workbook(out, options)
    sent = analysis.source.frame["sent_at"].dropna()
    made = sent.max().tz_convert("Asia/Tokyo").to_pydatetime().replace(tzinfo=None) if len(sent) else EPOCH
    book.set_properties({"title": "応答時間の報告", "subject": analysis.source.title, "created": made})
    formats = _Formats(book)
    total = [(one.broadcast_id, one.deadline_s, *_cells(one.total)) for one in analysis.broadcasts]
    _sheet(book, formats, "一斉送信", _header("一斉送信", "期限（秒）"), total)
    for by, name in NAMES.items():
        rows = [
            (one.broadcast_id, group.name, *_cells(group))
            for one in analysis.broadcasts
            for group in one.groups.get(by, ())
        ]
        if by in ("ward", "bureau", "device_os"):
            _sheet(book, formats, f"{name}別", _header("一斉送信", name), rows)
    _people(book, formats, analysis)
    curves = [
        (one.broadcast_id, *row)
        for one in analysis.broadcasts
        for row in zip(
            *(
                values.tolist()
                for values in (
                    one.total.curve.times,
                    one.total.curve.at_risk,
                    one.total.curve.answered,
                    one.total.curve.censored,
                    1 - one.total.curve.survival,
                    1 - one.total.curve.upper,
                    1 - one.total.curve.lower,
                )
            ),
            strict=True,
        )
    ]
    head = (
        "一斉送信",
        "送信から（秒）",
        "その直前の未応答 n",
        "応答",
        "打ち切り",
        "応答率",
        "下限（応答率）",
        "上限（応答率）",
    )
    _sheet(book, formats, "曲線", head, curves[:1_048_000])
    _sheet(book, formats, "数え方", ("説明",), [(line,) for line in (*METHOD, *analysis.source.notes)])
    book.close()
    return out.getvalue()


def _people(book: Any, formats: _Formats, analysis: Analysis) -> None:
    missing: list[Sequence[Any]] = []
    late: list[Sequence[Any]] = []
    for one in analysis.broadcasts:
        not_delivered, unknown, after = listed_people(analysis, one.broadcast_id)
        for caption, _, rows in (not_delivered, unknown):
            missing += [(one.broadcast_id, caption, *row) for row in rows]
        late += [(one.broadcast_id, *row) for row in after[2]]
    missing += [
        ("", "送信の対象にできなかった人", number, "", "", "", "", reason)
        for number, reason in sorted(analysis.source.unreachable.items())
    ]
    who = ("職員番号", "ID", "区", "局", "端末")
    _sheet(book, formats, "不達・未確定", ("一斉送信", "区分", *who, "理由"), missing)
    _sheet(book, formats, "期限後の応答", ("一斉送信", *who, "送信から"), late)


class _Formats:
    def __init__(self, book: Any) -> None:
        self.head = book.add_format(
            {"bold": True, "bg_color": "#F0F0F0", "text_wrap": True, "valign": "top", "border": 1}
        )
        self.rate = book.add_format({"num_format": "0.0%"})
        self.seconds = book.add_format({"num_format": "#,##0.0"})
        self.count = book.add_format({"num_format": "#,##0"})
        self.none = book.add_format({"font_color": "#666666", "align": "right"})


def _sheet(
    book: Any, formats: _Formats, name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    sheet = book.add_worksheet(name)
    sheet.freeze_panes(1, 2 if len(header) > 3 else 0)
    for column, title in enumerate(header):
        sheet.write_string(0, column, title, formats.head)
    for number, row in enumerate(rows, 1):
        for column, value in enumerate(row):
            if value is None:
                sheet.write_string(number, column, NOT_REACHED, formats.none)
            elif isinstance(value, str):
                sheet.write_string(number, column, value)
            else:
                kind = (
                    formats.rate
                    if "率" in header[column]
                    else formats.seconds
                    if "秒" in header[column]
                    else formats.count
                )
                sheet.write_number(number, column, value, kind)
    if len(header) == 1:
        sheet.set_column(0, 0, 110)
    else:
        sheet.set_column(0, len(header) - 1, 13)
        sheet.autofilter(0, 0, max(1, len(rows)), len(header) - 1)
