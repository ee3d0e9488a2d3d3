"""Drills: from a scenario to a broadcast, its acknowledgements, and what is still unknown.

Everything that happens is an event in the ledger (stream ``drill:<id>``); status is a fold over it. Names
are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bousai_kit.drills.conduct import Conductor
    from bousai_kit.drills.desk import approve_drill, close_drill, drill_status, list_drills
    from bousai_kit.drills.plan import DrillPlan, plan_drill
    from bousai_kit.drills.result import DrillResult
    from bousai_kit.drills.scenario import DrillKind, Scenario, load_scenario
    from bousai_kit.drills.settle import settle_drill
    from bousai_kit.drills.state import DrillState

_WHERE = {
    "Conductor": "conduct",
    "DrillKind": "scenario",
    "DrillPlan": "plan",
    "DrillResult": "result",
    "DrillState": "state",
    "Scenario": "scenario",
    "approve_drill": "desk",
    "close_drill": "desk",
    "drill_status": "desk",
    "list_drills": "desk",
    "load_scenario": "scenario",
    "plan_drill": "plan",
    "settle_drill": "settle",
}

__all__ = [
    "Conductor",
    "DrillKind",
    "DrillPlan",
    "DrillResult",
    "DrillState",
    "Scenario",
    "approve_drill",
    "close_drill",
    "drill_status",
    "list_drills",
    "load_scenario",
    "plan_drill",
    "settle_drill",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(f"bousai_kit.drills.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'bousai_kit.drills' has no attribute {name!r}")
