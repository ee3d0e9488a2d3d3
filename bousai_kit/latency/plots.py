"""Plots of an analysis: PNG bytes with the words that say the same.

Shown is 1 − S(t), the share that has answered, with its 95 % limits and a mark wherever somebody's waiting
ended without an answer. Curves are told apart by line style and label, never by colour alone. The figures are
built without pyplot and without global settings, so that a thread may draw them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bousai_kit.latency.analysis import NAMES, BroadcastResult, GroupResult, say_rate, say_s
from bousai_kit.latency.sheets import INK, PALE, STYLES, Axis, Plot, Sheet, draw_curve

if TYPE_CHECKING:
    from bousai_kit.latency.analysis import Analysis

__all__ = ["Plot", "draw_all", "draw_broadcast", "draw_groups", "draw_overview"]

FEW, MANY = 5, 24  # up to FEW groups share one frame, up to MANY have a small one each, beyond: one line each
MOST = 60  # lines of a list of groups


def draw_all(analysis: Analysis, *, font: Path | None = None) -> Iterator[tuple[str, Plot]]:
    """Every plot of the report with the broadcast that it belongs to ("": all of them)."""
    if len(analysis.broadcasts) > 1:
        yield "", draw_overview(analysis, font=font)
    for place, one in enumerate(analysis.broadcasts, 1):
        yield one.broadcast_id, draw_broadcast(one, name=f"b{place}", font=font)
        for by, groups in one.groups.items():
            if len(groups) > 1:
                yield one.broadcast_id, draw_groups(one, by, name=f"b{place}-{by}", font=font)


def draw_overview(analysis: Analysis, *, font: Path | None = None) -> Plot:
    """The curves of several broadcasts in one frame (the first five), or a line each where there are more."""
    found = [(one.broadcast_id, one.total) for one in analysis.broadcasts]
    title = "一斉送信ごとの応答率"
    if len(found) <= FEW:
        return _lines("overview", title, found, font)
    return _list("overview", title, found, "一斉送信", font)


def draw_broadcast(one: BroadcastResult, *, name: str = "broadcast", font: Path | None = None) -> Plot:
    """The curve of everybody, with limits, censor marks, median and deadline."""
    total, sheet = one.total, Sheet(font, 8.6, 4.6)
    curve, title = total.curve, f"{one.broadcast_id}：送信からの経過時間と応答率"
    axes = sheet.figure.add_subplot()
    sheet.margins(0.75, 0.15, 0.65, 0.6)
    axis = Axis.of(one.deadline_s, [curve])
    axis.frame(axes)
    draw_curve(axes, axis, curve, *STYLES[0], band=True, marks=True)
    axes.axhline(50, color=PALE, lw=0.8, ls=(0, (2, 3)))
    axes.axvline(axis.of_s(one.deadline_s), color=PALE, lw=1.0, ls="--")
    axes.text(
        axis.of_s(one.deadline_s), 103, f"期限 {say_s(one.deadline_s)}", ha="right", va="bottom", color=INK
    )
    median = curve.median_s
    if median is not None:
        x = axis.of_s(median)
        axes.plot([x, x], [0, 50], color=INK, lw=0.9, ls=(0, (2, 2)))
        axes.plot([x], [50], marker="o", ms=7, mfc="white", mec=INK, mew=1.6, ls="none")
        low, high = curve.median_ci_s
        axes.annotate(
            f"中央値 {say_s(median)}\n（95 % 信頼区間 {say_s(low)}〜{say_s(high)}）",
            (x, 50),
            xytext=(10, -8),
            textcoords="offset points",
            ha="left",
            va="top",
            linespacing=1.4,
            bbox={"fc": "white", "ec": "none", "alpha": 0.85, "pad": 1.5},
        )
    axes.set_ylabel("応答率（％）")
    axes.set_title(
        f"{one.broadcast_id}　送達 {total.delivered:,} 人、期限内の応答 {total.acked:,} 人",
        loc="left",
        pad=20,
    )
    marks = "｜" if curve.censored.sum() else ""
    axes.legend(
        handles=sheet.legend([("応答率（1 − S(t)）", *STYLES[0])], band=True, marks=bool(marks)),
        loc="lower right",
        frameon=True,
        framealpha=0.9,
    )
    return sheet.done(name, title, _say_total(one))


def draw_groups(one: BroadcastResult, by: str, *, name: str = "", font: Path | None = None) -> Plot:
    """The groups of one broadcast: in one frame, in a small frame each, or as a list, by their number.

    Parameters
    ----------
    by : {"ward", "bureau", "device_os"}
    """
    groups = [(group.name, group) for group in one.groups[by]]
    title, name = f"{one.broadcast_id}：{NAMES[by]}別の応答率", name or by
    if len(groups) <= FEW:
        return _lines(name, title, groups, font)
    if len(groups) <= MANY:
        return _small(name, title, groups, one.total, font)
    return _list(name, title, groups, NAMES[by], font)


# -- three forms ----------------------------------------------------------------------------------------


def _lines(name: str, title: str, groups: Sequence[tuple[str, GroupResult]], font: Path | None) -> Plot:
    below = 0.85 + 0.23 * (len(groups) + 2)
    sheet = Sheet(font, 8.6, 3.4 + below)
    axes = sheet.figure.add_subplot()
    sheet.margins(0.75, 0.15, 0.4, below)
    axis = Axis.of(max(group.deadline_s for _, group in groups), [group.curve for _, group in groups])
    axis.frame(axes)
    labels = []
    for (label, group), (colour, style) in zip(groups, STYLES, strict=False):
        draw_curve(axes, axis, group.curve, colour, style, band=len(groups) <= 2, marks=True)
        labels.append(
            (f"{_short(label)}　{_say_n(group)}、中央値 {say_s(group.curve.median_s)}", colour, style)
        )
    axes.axhline(50, color=PALE, lw=0.8, ls=(0, (2, 3)))
    axes.set_ylabel("応答率（％）")
    axes.set_title(title, loc="left")
    handles = sheet.legend(labels, band=len(groups) <= 2, marks=True)
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, -0.17), frameon=False, handlelength=3.5)
    return sheet.done(name, title, f"{title}。" + "".join(_say_group(label, one) for label, one in groups))


def _small(
    name: str,
    title: str,
    groups: Sequence[tuple[str, GroupResult]],
    total: GroupResult,
    font: Path | None,
) -> Plot:
    columns = 6 if len(groups) > 12 else 4
    rows = math.ceil(len(groups) / columns)
    sheet = Sheet(font, 1.75 * columns, 1.6 * rows + 0.7, size=8)
    sheet.margins(0.75, 0.15, 0.85, 0.65, gap=(0.16, 0.55))
    grid = sheet.figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    axis = Axis.of(total.deadline_s, [total.curve], few=True)
    for place, axes in enumerate(grid):
        if place >= len(groups):
            axes.set_axis_off()
            continue
        label, group = groups[place]
        axis.frame(axes, labelled=False)
        draw_curve(axes, axis, total.curve, PALE, (0, (3, 2)), width=1.0)
        draw_curve(axes, axis, group.curve, *STYLES[0], marks=True, width=1.6)
        axes.set_title(
            f"{_short(label, 9)}　{_say_n(group)}\n{say_s(group.curve.median_s)}",
            loc="left",
            fontsize=8,
            pad=3,
            linespacing=1.4,
        )
        if place + columns >= len(groups):
            axes.tick_params(labelbottom=True)
    sheet.figure.supxlabel(axis.label, fontsize=9, y=0.02, va="bottom")
    sheet.figure.supylabel("応答率（％）", fontsize=9, x=0.012)
    sheet.figure.suptitle(
        f"{title}（実線：各{_kind(title)}、破線：全体。見出しは応答 n／送達 N と中央値）",
        fontsize=9,
        x=0.012,
        y=1 - 0.12 / (1.6 * rows + 0.7),
        ha="left",
        va="top",
    )
    return sheet.done(name, title, f"{title}。" + "".join(_say_group(label, one) for label, one in groups))


def _list(
    name: str, title: str, groups: Sequence[tuple[str, GroupResult]], kind: str, font: Path | None
) -> Plot:
    shown = sorted(
        groups,
        key=lambda item: (-(_final(item[1]) or 0.0), item[1].curve.median_s or math.inf, item[0]),
    )
    left_out = max(0, len(shown) - MOST)
    if left_out:  # the best and the worst are what one looks for
        shown = [*shown[: MOST // 2], *shown[-MOST // 2 :]]
    sheet = Sheet(font, 8.6, 0.215 * len(shown) + 1.3, size=8)
    axes = sheet.figure.add_subplot()
    sheet.margins(1.6, 2.2, 0.4, 0.75)
    for place, (_, group) in enumerate(shown):
        rate, limits = _final(group), _final_ci(group)
        if limits is not None:
            axes.plot([100 * limits[0], 100 * limits[1]], [place, place], color=STYLES[0][0], lw=1.6)
        if rate is not None:
            axes.plot([100 * rate], [place], marker="o", ms=4.5, color=INK, ls="none", clip_on=False)
        axes.text(
            102, place, f"{_say_n(group)}　中央値 {say_s(group.curve.median_s)}", va="center", color=INK
        )
    axes.set_yticks(range(len(shown)), [_short(label) for label, _ in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xticks(range(0, 101, 20), [str(share) for share in range(0, 101, 20)])
    axes.grid(axis="x", color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel(
        "期限までの応答率（％）\n点：推定値、横線：95 % 信頼区間、右：応答 n／送達 N", linespacing=1.5
    )
    more = f"（上位と下位の {len(shown)}、ほか {left_out}）" if left_out else ""
    axes.set_title(f"{title}{more}", loc="left")
    best, worst = shown[:3], shown[-3:]
    told = "".join(_say_group(label, group) for label, group in [*best, *worst])
    return sheet.done(name, title, f"{title}。{kind}の数 {len(groups)}。高い方と低い方の 3 つずつ：{told}")


# -- parts ----------------------------------------------------------------------------------------------


def _final(group: GroupResult) -> float | None:
    """The share that has answered by the deadline, or by the end of what was followed."""
    return group.curve.ack_rate(min(group.deadline_s, group.curve.followed_s))


def _final_ci(group: GroupResult) -> tuple[float, float] | None:
    return group.curve.ack_rate_ci(min(group.deadline_s, group.curve.followed_s))


def _short(label: str, most: int = 16) -> str:
    text = "".join(letter if letter.isprintable() else " " for letter in label)
    return text if len(text) <= most else text[: most - 1] + "…"


def _kind(title: str) -> str:
    return title.split("：")[-1].removesuffix("別の応答率")


def _say_n(group: GroupResult) -> str:
    return f"{group.acked:,}／{group.delivered:,}"


def _say_group(label: str, group: GroupResult) -> str:
    return (
        f"{label}は {group.delivered:,} 人中 {group.acked:,} 人が応答、中央値 {say_s(group.curve.median_s)}。"
    )


def _say_total(one: BroadcastResult) -> str:
    total, curve = one.total, one.total.curve
    low, high = curve.median_ci_s
    rates = "、".join(
        f"{say_s(float(key))}以内 {say_rate(rate)}"
        for key, rate in total.ack_rate().items()
        if rate is not None
    )
    return (
        f"{one.broadcast_id} の応答率の曲線。"
        f"送達 {total.delivered:,} 人のうち {total.acked:,} 人が期限内に応答。"
        f"中央値 {say_s(curve.median_s)}（95 % 信頼区間 {say_s(low)}〜{say_s(high)}）。"
        f"応答率は {rates or '未到達'}。"
    )
