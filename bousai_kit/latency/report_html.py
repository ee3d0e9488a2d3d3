"""The report as one page that needs nothing from anywhere: styles and plots inside, every text escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bousai_kit.latency.analysis import NAMES, RATE_TIMES_S, say_rate, say_s
from bousai_kit.latency.plots import draw_all

if TYPE_CHECKING:
    from bousai_kit.latency.analysis import Analysis, BroadcastResult, GroupResult
    from bousai_kit.latency.sheets import Plot

__all__ = ["HEAD", "METHOD", "listed_people", "rate_rows", "render_html", "say_line"]

FEW_PEOPLE = 5  # a test over groups smaller than this is shown with a caution
METHOD = (
    "時間は、各人への送信が LINE WORKS に受け付けられた時刻から、その人の最初の応答までです。"
    "一斉送信の開始時刻からではありません。",
    "期限、同じ人への次の一斉送信、訓練の終了のうち最も早い時までに応答がない人は、"
    "その時点で「打ち切り」として数えます（除外も 0 秒扱いもしません）。",
    "期限後の応答は件数として示し、率と中央値では打ち切りのままです。",
    "届かなかった人と、届いたか未確定の人は分母 N に含めず、別に一覧にします。",
    "応答率は Kaplan–Meier 法による 1 − S(t)、信頼区間は 95 %（Greenwood、log(−log) 変換）です。"
    "「未到達」は、その割合にまだ達していないことを表し、0 ではありません。",
    "これは応答の記録です。既読かどうかは API からは分からないため、既読とは表示しません。",
)

_PAGE = """<!DOCTYPE html>
<html lang="ja">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;
  style-src 'unsafe-inline'">
<title>{{ title }}</title>
<style>
body{font-family:"Noto Sans CJK JP","Hiragino Sans","Yu Gothic UI",Meiryo,sans-serif;color:#1a1a1a;
  line-height:1.7;max-width:66em;margin:1.5em auto;padding:0 1em}
h1{font-size:1.5em;border-bottom:3px solid #0b57a4;padding-bottom:.2em}
h2{font-size:1.25em;border-left:.4em solid #0b57a4;padding-left:.5em;margin-top:2em}
h3{font-size:1.05em;margin:1.4em 0 .3em}
table{border-collapse:collapse;font-size:.88em;margin:.6em 0}
caption{text-align:left;font-weight:bold;padding:.2em 0}
th,td{border:1px solid #b8b8b8;padding:.2em .6em;text-align:left;vertical-align:top}
th{background:#f0f0f0}
th[scope=row]{white-space:nowrap}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
img{max-width:100%;height:auto}
figure{margin:.8em 0}
.lead{font-size:1.1em;background:#eef5fc;border-left:.4em solid #0b57a4;padding:.4em .8em}
.note{background:#fff3c4;border:1px solid #8a6d00;padding:.3em .8em}
.wide{overflow-x:auto}
@media print{body{max-width:none;margin:0}h2{break-before:page}h2.first{break-before:auto}
  figure,tr{break-inside:avoid}}
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ subtitle }}</p>
{% for note in notes %}<p class="note">注意：{{ note }}</p>{% endfor %}
{% macro table(t) %}{% if t.rows %}<div class="wide"><table><caption>{{ t.caption }}</caption>
<thead><tr>{% for cell in t.header %}<th scope="col">{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in t.rows %}<tr>{% for cell in row %}
{% if loop.first %}<th scope="row">{{ cell }}</th>{% else -%}
<td{% if loop.index0 in t.numbers %} class="n"{% endif %}>{{ cell }}</td>{% endif %}{% endfor %}</tr>
{% endfor %}</tbody></table></div>{% endif %}{% endmacro %}
{% macro figure(p) %}
<figure><img src="data:image/png;base64,{{ p.data }}" alt="{{ p.alt }}"></figure>{% endmacro %}
<h2 class="first">全体</h2>
{{ table(summary) }}
{% for plot in overview %}{{ figure(plot) }}{% endfor %}
{% for one in broadcasts %}
<h2>{{ one.name }}</h2>
<p class="lead">{{ one.lead }}</p>
{{ table(one.rates) }}
{% for plot in one.plots %}{{ figure(plot) }}{% endfor %}
{% for by in one.groups %}<h3>{{ by.title }}</h3>
{% if by.test %}<p>{{ by.test }}</p>{% endif %}
{% for plot in by.plots %}{{ figure(plot) }}{% endfor %}
{{ table(by.table) }}
{% endfor %}
{% for t in one.lists %}{{ table(t) }}{% endfor %}
{% endfor %}
{{ table(unreachable) }}
<h2>数え方</h2>
<ul>{% for line in method %}<li>{{ line }}</li>{% endfor %}</ul>
</body>
</html>
"""


def render_html(
    analysis: Analysis, *, font: Path | None = None, drawn: Iterable[tuple[str, Plot]] | None = None
) -> str:
    """The whole report.

    Parameters
    ----------
    font : Path, optional
        Font file of the plots (``BOUSAI_FONT``).
    drawn : iterable, optional
        What `draw_all` gave, when it is there already.
    """
    from jinja2 import Environment, StrictUndefined

    plots: dict[str, list[Plot]] = {}
    for key, plot in draw_all(analysis, font=font) if drawn is None else drawn:
        plots.setdefault(key, []).append(plot)
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(_PAGE)
    source = analysis.source
    title = f"応答時間の報告：{source.title}" if source.title else "応答時間の報告"
    whole = page.render(
        title=title,
        subtitle=_subtitle(analysis),
        notes=source.notes,
        summary=_table(
            "一斉送信ごとの結果",
            HEAD,
            [(one.broadcast_id, *say_line(one.total)) for one in analysis.broadcasts],
        ),
        overview=[_figure(plot) for plot in plots.get("", ())],
        broadcasts=[_section(one, plots.get(one.broadcast_id, ()), analysis) for one in analysis.broadcasts],
        unreachable=_table(
            f"送信の対象にできなかった人（{len(source.unreachable):,} 人。どの一斉送信の対象にも含みません）",
            ("職員番号", "理由"),
            sorted(source.unreachable.items()),
            numbers=(),
        ),
        method=METHOD,
    )
    return "".join(letter for letter in whole if letter in "\n\t" or ord(letter) >= 0x20)


def _subtitle(analysis: Analysis) -> str:
    source = analysis.source
    parts = [f"訓練 ID {source.drill_id}"] if source.drill_id else []
    sent = source.frame["sent_at"].dropna()
    if len(sent):
        first = sent.min().tz_convert("Asia/Tokyo")
        parts.append(f"最初の送信 {first:%Y-%m-%d %H:%M:%S}（日本時間）")
    parts.append(
        f"応答の記録 {source.rows_read:,} 件"
        if source.engine == "ledger"
        else f"トークログ {source.rows_read:,} 行（使えなかった行 {source.rows_rejected:,}）"
    )
    return "、".join(parts)


HEAD = (
    "名称",
    "対象",
    "送達 N",
    "期限内の応答 n",
    "期限後",
    "不達",
    "未確定",
    "中央値",
    "95 % 信頼区間",
    "75 %",
    "90 %",
    "期限までの応答率（95 % 信頼区間）",
)


def say_line(group: GroupResult) -> tuple[str, ...]:
    """The cells under `HEAD`, the name left out."""
    curve = group.curve
    low, high = curve.median_ci_s
    end = min(group.deadline_s, curve.followed_s)
    counts = (
        f"{number:,}"
        for number in (
            group.recipients, group.delivered, group.acked, group.late, group.undelivered, group.unknown
        )
    )  # fmt: skip
    return (
        *counts,
        say_s(curve.median_s),
        f"{say_s(low)}〜{say_s(high)}",
        say_s(curve.quantile_s(0.75)),
        say_s(curve.quantile_s(0.90)),
        _rate(curve.ack_rate(end), curve.ack_rate_ci(end)),
    )


def _rate(rate: float | None, limits: Sequence[float] | None) -> str:
    if rate is None or limits is None:
        return say_rate(rate)
    return f"{say_rate(rate)}（{say_rate(limits[0])}〜{say_rate(limits[1])}）"


def rate_rows(group: GroupResult) -> list[tuple[int, int | None, float | None, list[float] | None]]:
    """For each time of the report: seconds, n answered by then, rate, limits; None beyond the deadline."""
    limits, rates = group.ack_rate_ci(), group.ack_rate()
    found = []
    for t in RATE_TIMES_S:
        rate = rates[str(t)]
        n = int(group.curve.answered[group.curve.times <= t].sum()) if rate is not None else None
        found.append((t, n, rate, limits[str(t)]))
    return found


def _section(one: BroadcastResult, plots: Iterable[Plot], analysis: Analysis) -> dict[str, Any]:
    total = one.total
    low, high = total.curve.median_ci_s
    by_name = {plot.name.partition("-")[2]: plot for plot in plots}
    rates = [
        (
            f"{say_s(t)}以内",
            "期限より後" if t > one.deadline_s else "未到達" if n is None else f"{n:,}／{total.delivered:,}",
            "―" if rate is None else say_rate(rate),
            "―" if limits is None else f"{say_rate(limits[0])}〜{say_rate(limits[1])}",
        )
        for t, n, rate, limits in rate_rows(total)
    ]
    groups = []
    for by, found in one.groups.items():
        if not found:
            continue
        groups.append(
            {
                "title": f"{NAMES[by]}別",
                "test": _say_test(one, by),
                "plots": [_figure(by_name[by])] if by in by_name else [],
                "table": _table(
                    f"{one.broadcast_id}：{NAMES[by]}別",
                    (NAMES[by], *HEAD[1:]),
                    [(group.name, *say_line(group)) for group in found],
                ),
            }
        )
    lists = []
    for caption, header, rows in listed_people(analysis, one.broadcast_id):
        lists.append(_table(f"{caption}（{len(rows):,} 人）", header, rows, numbers=()))
    return {
        "name": one.broadcast_id,
        "lead": (
            f"送達 {total.delivered:,} 人のうち {total.acked:,} 人が"
            f"期限（{say_s(one.deadline_s)}）内に応答しました。"
            f"応答までの時間の中央値は {say_s(total.curve.median_s)}"
            f"（95 % 信頼区間 {say_s(low)}〜{say_s(high)}）です。"
            f"期限後の応答 {total.late:,} 人、不達 {total.undelivered:,} 人、未確定 {total.unknown:,} 人。"
        ),
        "rates": _table("時間ごとの応答率", ("送信から", "n／N", "応答率", "95 % 信頼区間"), rates),
        "plots": [_figure(by_name[""])] if "" in by_name else [],
        "groups": groups,
        "lists": lists,
    }


def _say_test(one: BroadcastResult, by: str) -> str:
    test = one.logrank[by]
    if test.chi2 is None or test.p is None:
        return ""
    p = f"{test.p:.3f}" if test.p >= 0.001 else "0.001 未満"
    told = "差があると考えられます" if test.p < 0.05 else "差があるとは言えません"
    found = f"χ² = {test.chi2:.2f}、自由度 {test.df}、p = {p}"
    sizes = sorted(group.delivered for group in one.groups[by])
    small = "人数の少ない区分が多いため、参考値です。" if sizes[len(sizes) // 2] < FEW_PEOPLE else ""
    return f"ログランク検定：{found}。{NAMES[by]}による{told}（有意水準 5 %）。{small}"


def listed_people(
    analysis: Analysis, broadcast_id: str
) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Who is in no rate of a broadcast, and who answered late: caption, header, rows.

    People are ids and staff numbers; no name is known here.
    """
    frame = analysis.source.frame
    rows = frame[frame["broadcast_id"] == broadcast_id]
    who = ["staff_number", "person", "ward", "bureau", "device_os"]
    header = ("職員番号", "ID", "区", "局", "端末")
    found: list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]] = []
    for outcome, caption in (("undelivered", "届かなかった人"), ("unknown", "届いたか未確定の人")):
        kept = rows.loc[rows["outcome"] == outcome, [*who, "reason"]].astype(str)
        found.append((caption, (*header, "理由"), [tuple(row) for row in kept.to_numpy().tolist()]))
    late = rows.loc[rows["late_s"].notna(), [*who, "late_s"]].sort_values("late_s")
    lines = [(*map(str, row[:-1]), say_s(row[-1])) for row in late.to_numpy().tolist()]
    found.append(("期限か次の一斉送信の後に応答した人", (*header, "送信から"), lines))
    return found


def _table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    numbers: Sequence[int] | None = None,
) -> Mapping[str, Any]:
    right = range(1, len(header)) if numbers is None else numbers
    return {"caption": caption, "header": header, "rows": rows, "numbers": list(right)}


def _figure(plot: Plot) -> Mapping[str, str]:
    return {"data": base64.b64encode(plot.png).decode("ascii"), "alt": plot.alt}
