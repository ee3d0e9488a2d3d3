"""Step 2 of ``10_onboarding``: the plan as an Excel file for a second person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as ipw
import traitlets as tl

from bousai_kit.errors import GuardError
from bousai_kit.panels.base import PanelModel, guarded
from bousai_kit.panels.files import Downloads, Made
from bousai_kit.panels.view import button

__all__ = ["ReviewBox", "ReviewSteps"]


class ReviewSteps(PanelModel):
    """Mixed into the onboarding model.

    Attributes
    ----------
    review : str
        Path of the file that was made of the plan that is shown.
    """

    review = tl.Unicode("")

    @tl.observe("plan")
    def _other_plan(self, _: Any) -> None:
        self.review = ""

    async def make_review(self) -> str:
        """Write what the plan would do, with names; it stays in the home, for its owner alone.

        Raises
        ------
        GuardError
            There is no plan.
        """
        from bousai_kit.clock import in_thread
        from bousai_kit.onboarding.review import write_review

        steps: Any = self
        plan = steps.plan
        if plan is None:
            raise GuardError("計画がまだありません。", hint="「計画を作る」を押してください。")
        path: Path = self.bench.home / "reviews" / f"計画の確認_{plan.plan_id}.xlsx"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        await in_thread(self.bench.clock, lambda: write_review(plan, path))
        self.review = str(path)
        return self.review


class ReviewBox(ipw.VBox):  # type: ignore[misc]  # ipywidgets ships no types
    """The button, and the file; there once there is a plan."""

    def __init__(self, model: ReviewSteps) -> None:
        self._model = model
        self.make = button(
            "確認用の Excel を作る",
            guarded(model, model.make_review, job="review"),
            hint="別の職員に計画を確かめてもらうときに使います（氏名を含みます）",
        )
        self.made = Downloads(model)
        super().__init__([ipw.HBox([self.make]), self.made])
        model.observe(self._shown, ["plan", "review", "busy"])
        self._shown()

    def _shown(self, _: Any = None) -> None:
        model: Any = self._model
        self.layout.display = "flex" if model.plan is not None else "none"
        self.make.disabled = model.busy
        label = "計画の確認用（氏名入り。済んだら削除）"
        self.made.offer([Made(Path(model.review), label)] if model.review else [])
