"""00_start: connect and see whether everything that a drill needs is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tl

from bousai_kit.panels.base import PanelModel, Report, guarded, remembered, table_html
from bousai_kit.panels.view import Panel, PanelView, button

if TYPE_CHECKING:
    from bousai_kit.doctor import Examination
    from bousai_kit.workbench import Workbench

__all__ = ["StartModel", "StartPanel", "StartView"]


class StartModel(PanelModel):
    """The checks of `bousai doctor`, and what they mean for the next notebook."""

    examination = tl.Any(None)  # Examination or None

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self.refresh()

    @property
    def ok(self) -> bool:
        """Everything was checked and nothing is wrong."""
        return self.examination is not None and self.examination.ok

    async def examine(self) -> Examination:
        """Run all checks; reads only."""
        from bousai_kit.doctor import examine

        self.tell(0, 0, "確認しています…")
        try:
            self.examination = await examine(self.bench)
        finally:
            self.tell(0, 0)
        return self.examination

    @tl.observe("examination")
    def _changed(self, _: Any) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Say what to do next."""
        seen = self.examination
        if seen is None:
            self.next_step = "「接続を確認する」を押してください。何も送信されません。"
            self.finished, self.missing = [], ["接続の確認"]
            return
        wrong = [check for check in seen.checks if not check.ok]
        self.finished = [f"{len(seen.checks) - len(wrong)} 項目は正常です。"]
        self.missing = [f"{check.label}：{check.detail} → {check.hint}" for check in wrong]
        if wrong:
            self.next_step = f"「{wrong[0].label}」を直してから、もう一度「接続を確認する」を押してください。"
        else:
            self.next_step = "準備ができています。10_onboarding（名簿の登録）を開いてください。"

    def table(self) -> str:
        """All checks as a table."""
        if self.examination is None:
            return ""
        rows = [
            (check.label, "正常" if check.ok else "要対応", check.detail, check.hint)
            for check in self.examination.checks
        ]
        return table_html("接続の確認", ("項目", "結果", "内容", "直し方"), rows)

    def as_html(self) -> str:
        return super().as_html() + f"<div class='bk'>{self.table()}</div>"


class StartView(PanelView):
    """One button, one table."""

    def __init__(self, model: StartModel) -> None:
        self.go = button("接続を確認する", guarded(model, model.examine), style="primary")
        self.result = ipw.HTML()
        super().__init__(model, [ipw.HBox([self.go]), self.result])
        ipw.dlink((model, "busy"), (self.go, "disabled"))
        model.observe(self._result, "examination")
        self._result()

    def _result(self, _: Any = None) -> None:
        self.result.value = f"<div class='bk'>{self.model.table()}</div>"  # type: ignore[attr-defined]


class StartPanel(Panel):
    """Shown by ``00_start``.

    Parameters
    ----------
    bench : Workbench
    """

    def __init__(self, bench: Workbench) -> None:
        self.model = remembered(bench, ("start",), lambda: StartModel(bench))
        self.view = StartView(self.model)

    async def run(self) -> Report:
        """What the button does, awaited."""
        model = self.model
        assert isinstance(model, StartModel)
        await model.start("examine", model.examine)
        return self.report()

    def report(self) -> Report:
        """What is known now."""
        model = self.model
        assert isinstance(model, StartModel)
        if model.examination is None:
            return Report(True, ["まだ確認していません。上の「接続を確認する」を押してください。"])
        return Report(model.ok, [model.next_step, *model.missing], model.table())

    async def check(self) -> Report:
        """Unattended: press the button and judge; in front of a person: judge what is there."""
        return await self.run() if self.model.unattended else self.report()
