"""The result of an analysis as HTML: for the panel, and for pages without a kernel."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bousai_kit.panels.base import esc, table_html

if TYPE_CHECKING:
    from bousai_kit.latency.analysis import Analysis
    from bousai_kit.latency.sheets import Plot

__all__ = ["result_html"]


def result_html(found: Analysis, plots: Sequence[tuple[str, Plot]]) -> str:
    """Numbers, curves, tables, lists."""
    from bousai_kit.latency.analysis import NAMES
    from bousai_kit.latency.report_html import HEAD, listed_people, say_line

    rows = [(one.broadcast_id, *say_line(one.total)) for one in found.broadcasts]
    parts = [f"<p>注意：{esc(note)}</p>" for note in found.source.notes]
    parts += [table_html("一斉送信ごとの結果（n：応答、N：送達）", HEAD, rows)]
    parts += [_figure(plot) for key, plot in plots if not key]
    for one in found.broadcasts:
        parts.append(f"<h3>{esc(one.broadcast_id)}</h3>")
        mine = {plot.name.partition("-")[2]: plot for key, plot in plots if key == one.broadcast_id}
        parts += [_figure(mine[""])] if "" in mine else []
        for by, groups in one.groups.items():
            if not groups:
                continue
            table = table_html(
                f"{one.broadcast_id}：{NAMES[by]}別",
                (NAMES[by], *HEAD[1:]),
                [(group.name, *say_line(group)) for group in groups],
            )
            plot = _figure(mine[by]) if by in mine else ""
            parts.append(f"<details><summary>{NAMES[by]}別（{len(groups)}）</summary>{plot}{table}</details>")
        for caption, header, people in listed_people(found, one.broadcast_id):
            if people:
                parts.append(table_html(f"{caption}（{len(people):,} 人）", header, people))
    if found.source.unreachable:
        listed = sorted(found.source.unreachable.items())
        parts.append(
            table_html(f"送信の対象にできなかった人（{len(listed):,} 人）", ("職員番号", "理由"), listed)
        )
    parts.append("<p>応答の記録です。既読かどうかは API からは分からないため、表示しません。</p>")
    return f"<div class='bk bk-wide'>{''.join(parts)}</div>"


def _figure(plot: Plot) -> str:
    data = base64.b64encode(plot.png).decode("ascii")
    return (
        f"<figure style='margin:.6em 0'><img style='max-width:100%;height:auto' "
        f"src='data:image/png;base64,{data}' alt='{esc(plot.alt)}'></figure>"
    )
