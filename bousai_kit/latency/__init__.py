"""How long until people answered: durations with censoring, Kaplan–Meier, plots, report.

Names are loaded on first use: importing this pulls in no pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bousai_kit.latency.analysis import Analysis, analyse
    from bousai_kit.latency.durations import Broadcasts, from_drill_events, read_drill

_WHERE = {
    "Analysis": "analysis",
    "Broadcasts": "durations",
    "analyse": "analysis",
    "from_drill_events": "durations",
    "read_drill": "durations",
}

__all__ = ["Analysis", "Broadcasts", "analyse", "from_drill_events", "read_drill"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
