"""The curve over days: how many have an account, have logged in, can be reached by the bot.

Days are Japan's. A person whose moment is not known stands on the first day; a moment that lies ahead of the
clock stands on the last one.
"""

from __future__ import annotations

import io
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from bousai_kit.settings.font import font_file

__all__ = ["Curve", "build_curve", "day_of", "draw_curve"]

JST = timezone(timedelta(hours=9), "JST")
MOST_DAYS = 400  # shown: the latest
LINES = (  # field, label, colour (Okabe and Ito's, dark), line, marker: never colour alone
    ("created", "登録済み", "#333333", ":", "s"),
    ("logged_in", "ログイン済み", "#0b57a4", "-", "o"),
    ("reachable", "Bot の反応あり", "#b34700", "--", "^"),
)


def day_of(at: datetime) -> date:
    """The day in Japan."""
    return at.astimezone(JST).date()


@dataclass(frozen=True, slots=True)
class Curve:
    """Cumulative counts at the end of each day; all of one length."""

    days: tuple[date, ...] = ()
    created: tuple[int, ...] = ()
    logged_in: tuple[int, ...] = ()
    reachable: tuple[int, ...] = ()
    planned: int = 0

    def as_json(self) -> list[dict[str, Any]]:
        """One object a day."""
        rows = zip(self.days, self.created, self.logged_in, self.reachable, strict=True)
        return [
            {"date": day.isoformat(), "created": created, "logged_in": logged_in, "reachable": reachable}
            for day, created, logged_in, reachable in rows
        ]

    def alt(self) -> str:
        """What the plot shows, in words and numbers."""
        if not self.days:
            return "登録した人はまだいません。"
        first, last = self.days[0], self.days[-1]
        parts = [f"{first:%Y-%m-%d} から {last:%Y-%m-%d} までの累計人数の折れ線。対象 {self.planned:,} 名。"]
        for name, label, *_ in LINES:
            counts = getattr(self, name)
            parts.append(f"{label}は {counts[0]:,} 名から {counts[-1]:,} 名。")
        return "".join(parts)


def build_curve(
    created: Iterable[datetime | None],
    logged_in: Iterable[datetime | None],
    reachable: Iterable[datetime | None],
    *,
    now: datetime,
    planned: int = 0,
) -> Curve:
    """Count by day up to today. Each iterable holds one moment a person, None when it is not known."""
    today = day_of(now)
    series = [
        [None if at is None else min(day_of(at), today) for at in one]
        for one in (created, logged_in, reachable)
    ]
    known = [day for one in series for day in one if day is not None]
    if not any(series):
        return Curve(planned=planned)
    first = max(min(known, default=today), today - timedelta(days=MOST_DAYS - 1))
    days = tuple(first + timedelta(days=number) for number in range((today - first).days + 1))
    sums = []
    for one in series:
        at = sorted(first if day is None else max(day, first) for day in one)
        sums.append(tuple(bisect_right(at, day) for day in days))
    return Curve(days, sums[0], sums[1], sums[2], planned)


def draw_curve(curve: Curve, *, font: Path | None = None) -> bytes:
    """The curve as PNG. Built without pyplot and without global settings, so that a thread may draw it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    face = FontProperties(fname=str(font_file(font)), size=10)
    figure = Figure(figsize=(8.6, 4.2), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    places = range(len(curve.days))
    every = max(1, len(curve.days) // 12)
    for name, label, colour, line, marker in LINES:
        counts: Sequence[int] = getattr(curve, name)
        axes.plot(
            places, counts, color=colour, ls=line, lw=2, marker=marker, ms=5, markevery=every, label=label
        )
    if curve.planned:
        axes.axhline(curve.planned, color="#767676", lw=1, ls=(0, (2, 3)), label=f"対象 {curve.planned:,} 名")
    top = max([curve.planned, 1, *(max(getattr(curve, name), default=0) for name, *_ in LINES)])
    axes.set_ylim(0, top * 1.08)
    at = -1.0
    for count, colour in sorted(
        (getattr(curve, name)[-1], colour) for name, _, colour, *_ in LINES if places
    ):
        at = max(float(count), at + top * 0.055)  # where two end together, one stands above the other
        axes.annotate(
            f"{count:,}", (places[-1], at), (8, 0), textcoords="offset points", va="center", color=colour,
            fontproperties=face, bbox={"fc": "white", "ec": "none", "alpha": 0.9, "pad": 0.5},
        )  # fmt: skip
    axes.set_xlim(-0.3, max(1, len(curve.days) - 1) * 1.06)
    ticks = [place for place in places if place % every == 0]
    axes.set_xticks(ticks, [f"{curve.days[place].month}/{curve.days[place].day}" for place in ticks])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.set_ylabel("人数（累計）", fontproperties=face)
    axes.set_xlabel("日付（日本時間、その日の終わりまで）", fontproperties=face)
    for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        tick.set_fontproperties(face)
    axes.grid(color="#e2e2e2", lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(prop=face, loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=4, frameon=False)
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a letter that the font lacks shows as a box
        figure.savefig(out, format="png", metadata={"Software": None, "Title": "activation"})
    return out.getvalue()
