"""The report: HTML that needs nothing from anywhere, a workbook, and the numbers as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from bousai_kit.latency.analysis import Analysis, say_s

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["build_report", "render_text"]


def render_text(analysis: Analysis) -> str:
    """A few lines for a terminal."""
    lines = []
    for one in analysis.broadcasts:
        total = one.total
        low, high = total.curve.median_ci_s
        lines.append(
            f"{one.broadcast_id}：送達 {total.delivered:,} 人のうち {total.acked:,} 人が期限内に回答"
            f"（中央値 {say_s(total.curve.median_s)}、95 % 信頼区間 {say_s(low)}〜{say_s(high)}）。"
            f"期限後 {total.late:,} 人、不達 {total.undelivered:,} 人、未確定 {total.unknown:,} 人。"
        )
    return "\n".join(lines)


def build_report(analysis: Analysis, out: Path) -> Mapping[str, Path]:
    """Write the report files.

    Returns
    -------
    dict
        File name → path.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "latency.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(analysis.as_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)
    return {path.name: path}
