"""From a roster to people who have logged in: plan, apply, undo, hand-outs, status."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bousai_kit.onboarding.activation import Status, onboarding_status
    from bousai_kit.onboarding.apply import ApplyResult, apply_plan
    from bousai_kit.onboarding.plan import Plan, build_plan
    from bousai_kit.onboarding.plan_file import load_plan, prepare_plan, save_plan
    from bousai_kit.onboarding.slips import destroy_secret, handouts_for_plan
    from bousai_kit.onboarding.tenant_view import TenantView, read_tenant
    from bousai_kit.onboarding.undo import UndoResult, carry_undo, plan_undo, undo_apply

_WHERE = {
    "ApplyResult": "apply",
    "Plan": "plan",
    "Status": "activation",
    "TenantView": "tenant_view",
    "UndoResult": "undo",
    "apply_plan": "apply",
    "build_plan": "plan",
    "carry_undo": "undo",
    "destroy_secret": "slips",
    "handouts_for_plan": "slips",
    "load_plan": "plan_file",
    "onboarding_status": "activation",
    "plan_undo": "undo",
    "prepare_plan": "plan_file",
    "read_tenant": "tenant_view",
    "save_plan": "plan_file",
    "undo_apply": "undo",
}

__all__ = [
    "ApplyResult",
    "Plan",
    "Status",
    "TenantView",
    "UndoResult",
    "apply_plan",
    "build_plan",
    "carry_undo",
    "destroy_secret",
    "handouts_for_plan",
    "load_plan",
    "onboarding_status",
    "plan_undo",
    "prepare_plan",
    "read_tenant",
    "save_plan",
    "undo_apply",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
