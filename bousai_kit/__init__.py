"""Jupyter kit for municipal ICT staff: onboard key people onto LINE WORKS, drill, and measure.

Importing it does no I/O; every public name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bousai_kit.clock import SystemClock, VirtualClock
    from bousai_kit.drills.conduct import Conductor
    from bousai_kit.drills.scenario import load_scenario
    from bousai_kit.errors import BousaiKitError
    from bousai_kit.ledger import Ledger
    from bousai_kit.roster import read_roster, sample_roster
    from bousai_kit.settings import isolated_settings, load_settings
    from bousai_kit.workbench import Workbench, open_workbench

__version__ = "0.1.0"

_WHERE = {
    "BousaiKitError": "errors",
    "Conductor": "drills.conduct",
    "Ledger": "ledger",
    "SystemClock": "clock",
    "VirtualClock": "clock",
    "Workbench": "workbench",
    "isolated_settings": "settings",
    "load_scenario": "drills.scenario",
    "load_settings": "settings",
    "open_workbench": "workbench",
    "read_roster": "roster",
    "sample_roster": "roster",
}

__all__ = [
    "BousaiKitError",
    "Conductor",
    "Ledger",
    "SystemClock",
    "VirtualClock",
    "Workbench",
    "isolated_settings",
    "load_scenario",
    "load_settings",
    "open_workbench",
    "read_roster",
    "sample_roster",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(f"bousai_kit.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'bousai_kit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
