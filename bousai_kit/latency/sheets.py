"""What plots are drawn on: a figure with its font, an axis of time, a curve."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bousai_kit.settings.font import font_file

if TYPE_CHECKING:
    from bousai_kit.latency.survival import Curve

__all__ = ["INK", "PALE", "STYLES", "Axis", "Plot", "Sheet", "draw_curve"]

DPI = 150
STYLES = (  # Okabe and Ito's colours, dark ones first; each with a line style of its own
    ("#0b57a4", "-"),
    ("#b34700", "--"),
    ("#00694f", "-."),
    ("#7a3f7d", ":"),
    ("#333333", (0, (6, 1, 1, 1, 1, 1))),
)
INK, PALE = "#222222", "#767676"


@dataclass(frozen=True, repr=False)
class Plot:
    """One figure.

    Attributes
    ----------
    name : str
        For files and anchors: ASCII.
    title : str
    alt : str
        What it shows, in words and numbers.
    png : bytes
    """

    name: str
    title: str
    alt: str
    png: bytes

    def __repr__(self) -> str:
        return f"<Plot {self.name!r} {len(self.png):,} bytes>"


class Sheet:
    """A figure with its font."""

    def __init__(self, font: Path | None, width: float, height: float, *, size: float = 9.5) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        self._inches = (width, height)
        self._path = font_file(font)
        self._size = size

    def margins(
        self, left: float, right: float, top: float, bottom: float, *, gap: tuple[float, float] = (0, 0)
    ) -> None:
        """Room around the frames in inches; ``gap`` in widths and heights of a frame."""
        width, height = self._inches
        self.figure.subplots_adjust(
            left=left / width,
            right=1 - right / width,
            top=1 - top / height,
            bottom=bottom / height,
            wspace=gap[0],
            hspace=gap[1],
        )

    def legend(
        self, labels: Sequence[tuple[str, str, Any]], *, band: bool = False, marks: bool = False
    ) -> list[Any]:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        found: list[Any] = [Line2D([], [], color=c, ls=style, lw=2, label=text) for text, c, style in labels]
        if band:
            found.append(Patch(fc=STYLES[0][0], alpha=0.18, label="95 % 信頼区間"))
        if marks:
            found.append(Line2D([], [], color=INK, marker="|", ms=8, ls="none", label="打ち切り（応答なし）"))
        return found

    def done(self, name: str, title: str, alt: str) -> Plot:
        from matplotlib.font_manager import FontProperties
        from matplotlib.text import Text

        for axes in self.figure.axes:
            axes.tick_params(labelsize=self._size - 1)
        fonts: dict[float, FontProperties] = {}
        for text in self.figure.findobj(Text):
            if not text.get_text():
                continue
            size = min(float(text.get_fontsize()), self._size)
            if size not in fonts:
                fonts[size] = FontProperties(fname=str(self._path), size=size)
            text.set_parse_math(False)  # a name may hold dollar signs
            text.set_fontproperties(fonts[size])
        out = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # a letter that the font lacks shows as a box
            self.figure.savefig(
                out,
                format="png",
                metadata={"Software": None, "Title": name},
                pil_kwargs={"compress_level": 4},  # 3 times as fast as the usual 6, 10 % larger
            )
        return Plot(name, title, alt, out.getvalue())


@dataclass(frozen=True, slots=True)
class Axis:
    """Time in the unit that people say: seconds, minutes or hours."""

    unit_s: float
    label: str
    end: float
    ticks: tuple[float, ...]

    @classmethod
    def of(cls, deadline_s: float, curves: Sequence[Curve], *, few: bool = False) -> Axis:
        end_s = max(deadline_s, 1.0) if math.isfinite(deadline_s) else max(c.followed_s for c in curves)
        unit_s, word = (1.0, "秒") if end_s < 300 else (60.0, "分") if end_s < 3 * 3600 else (3600.0, "時間")
        end = end_s / unit_s
        steps = (0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300)
        step = next((step for step in steps if end / step <= (3 if few else 8)), end / 4)
        ticks = tuple(np.arange(0, end + step * 1e-6, step).tolist())
        return cls(unit_s, f"送信からの経過時間（{word}）", end, ticks)

    def of_s(self, seconds: float) -> float:
        return seconds / self.unit_s

    def frame(self, axes: Any, *, labelled: bool = True) -> None:
        axes.set_xlim(0, self.end * 1.01)
        axes.set_xticks(self.ticks, [f"{tick:g}" for tick in self.ticks])
        axes.set_ylim(0, 102)
        shares = range(0, 101, 20) if labelled else range(0, 101, 50)
        axes.set_yticks(shares, [str(share) for share in shares])
        axes.grid(color="#e2e2e2", lw=0.6)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        if labelled:
            axes.set_xlabel(self.label)


def draw_curve(
    axes: Any,
    axis: Axis,
    curve: Curve,
    colour: str,
    style: Any,
    *,
    band: bool = False,
    marks: bool = False,
    width: float = 2.0,
) -> None:
    if not curve.n:
        return
    x = np.concatenate(([0.0], curve.times / axis.unit_s))
    y = 100 * (1 - np.concatenate(([1.0], curve.survival)))
    if y[-1] > 99.99999 and x[-1] < axis.end:  # all have answered: it stays so
        axes.plot([x[-1], axis.end], [100, 100], color=colour, ls=style, lw=width)
    axes.step(x, y, where="post", color=colour, ls=style, lw=width)
    if band:
        low = 100 * (1 - np.concatenate(([1.0], curve.upper)))
        high = 100 * (1 - np.concatenate(([1.0], curve.lower)))
        axes.fill_between(x, low, high, step="post", color=colour, alpha=0.18, lw=0)
    if marks:
        at = np.flatnonzero(curve.censored)
        axes.plot(x[at + 1], y[at + 1], marker="|", ms=8, mew=1.3, color=INK, ls="none", clip_on=False)
