"""The report: HTML that needs nothing from anywhere, a workbook, and the numbers as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from bousai_kit.errors import ConfigError, os_reason
from bousai_kit.files import write_whole
from bousai_kit.latency.analysis import Analysis, say_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bousai_kit.latency.sheets import Plot

__all__ = ["build_report", "render_text"]


def render_text(analysis: Analysis) -> str:
    """A few lines for a terminal."""
    lines = []
    for one in analysis.broadcasts:
        total = one.total
        low, high = total.curve.median_ci_s
        lines.append(
            f"{one.broadcast_id}：送達 {total.delivered:,} 人のうち {total.acked:,} 人が期限内に応答"
            f"（中央値 {say_s(total.curve.median_s)}、95 % 信頼区間 {say_s(low)}〜{say_s(high)}）。"
            f"期限後 {total.late:,} 人、不達 {total.undelivered:,} 人、未確定 {total.unknown:,} 人。"
        )
    return "\n".join(lines)


def build_report(
    analysis: Analysis,
    out: Path,
    *,
    font: Path | None = None,
    plots: Iterable[tuple[str, Plot]] | None = None,
) -> Mapping[str, Path]:
    """Write ``report.html``, ``report.xlsx`` and ``latency.json``; earlier ones are replaced.

    Each file is written beside its name first: whoever reads meanwhile sees the old or the new one, whole.

    Parameters
    ----------
    font : Path, optional
        Font file of the plots (``BOUSAI_FONT``).
    plots : iterable, optional
        What `draw_all` gave, when it is there already.

    Returns
    -------
    dict
        File name → path.

    Raises
    ------
    ConfigError
        The folder cannot be written.
    """
    from bousai_kit.latency.report_html import render_html
    from bousai_kit.latency.report_xlsx import render_xlsx

    document = json.dumps(analysis.as_json(), ensure_ascii=False, indent=1, allow_nan=False)
    contents = {
        "report.html": render_html(analysis, font=font, drawn=plots).encode("utf-8", "replace"),
        "report.xlsx": render_xlsx(analysis),
        "latency.json": f"{document}\n".encode("utf-8", "replace"),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_whole(out / name, content)
    except OSError as error:
        raise ConfigError(
            f"報告書を書き出せません（{out}：{os_reason(error)}）。",
            setting="--out",
            hint="書き出し先の権限と空き容量を確認してください。Excel で開いている場合は閉じてください。",
        ) from None
    return {name: out / name for name in contents}
