"""One panel a notebook: a traitlets model that decides, an ipywidgets view that shows."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bousai_kit.panels.base import Report, open_bench
    from bousai_kit.panels.drill import DrillPanel
    from bousai_kit.panels.latency import LatencyPanel
    from bousai_kit.panels.onboarding import OnboardingPanel
    from bousai_kit.panels.start import StartPanel

_WHERE = {
    "DrillPanel": "drill",
    "LatencyPanel": "latency",
    "OnboardingPanel": "onboarding",
    "Report": "base",
    "StartPanel": "start",
    "open_bench": "base",
}

__all__ = ["DrillPanel", "LatencyPanel", "OnboardingPanel", "Report", "StartPanel", "open_bench"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"bousai_kit.panels.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'bousai_kit.panels' has no attribute {name!r}")
