"""00_start: connect and see whether everything that a drill needs is there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tl

from bousai_kit.errors import BousaiKitError
from bousai_kit.panels.base import PanelModel, Report, esc, guarded, remembered, table_html
from bousai_kit.panels.traffic import Traffic
from bousai_kit.panels.view import Panel, PanelView, button

if TYPE_CHECKING:
    from bousai_kit.doctor import Check, Examination
    from bousai_kit.workbench import Workbench

__all__ = ["StartModel", "StartPanel", "StartView"]


class StartModel(PanelModel):
    """The checks of `bousai doctor`, and what they mean for the next notebook."""

    examination = tl.Any(None)  # Examination or None
    requests = tl.Int(0)  # seen on the wire so far

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self.traffic = Traffic(bench, self._traffic_changed)
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
        self._traffic_changed()
        if seen is None:
            self.next_step = "「接続を確認する」を押してください。何も送信されません。"
            self.finished, self.missing = [], ["接続の確認"]
            return
        good = sum(check.ok for check in seen.checks)
        self.finished = [f"{good} 項目は正常です。"] if good else []
        if not seen.wrong:
            self.missing = []
            self.next_step = "準備ができています。10_onboarding（名簿の登録）を開いてください。"
            return
        first, *others = seen.wrong
        missing = [f"{first.label}：{first.detail}"]
        if others:
            missing.append(
                f"ほかに対応が必要：{'、'.join(check.label for check in others)}（下の表にあります）。"
            )
        if seen.unseen:
            missing.append(f"ほかの {len(seen.unseen)} 項目は、直すと確認できます。")
        self.missing = missing
        self.next_step = f"{first.hint}直したら、もう一度「接続を確認する」を押してください。"

    def _traffic_changed(self) -> None:
        self.requests = self.traffic.count

    @property
    def where(self) -> str:
        """Whom this notebook speaks to, in a sentence; and how to speak to the other one."""
        bench = self.bench
        if bench.in_sandbox:
            said = (
                "いまの接続先は、この端末の中の練習用の街（サンドボックス）です。実在の人には何も届きません。"
            )
            named = _named_profile()
            if named not in ("", "sandbox"):
                said += (
                    f"設定にはプロファイル「{named}」があります。実際のテナントにつなぐときは、"
                    f'上の設定のセルを PROFILE = "{named}" に書き換えて、最初から実行してください。'
                )
            return said
        tenant = f"ドメイン {bench.settings.domain_id or '未設定'}、Bot {bench.settings.bot_id or '未設定'}"
        name = bench.settings.profile
        if bench.settings.is_loopback:
            return f"いまの接続先は、この端末の中の試験用サーバー「{name}」（{tenant}）です。"
        return (
            f"いまの接続先は、実際のテナント「{name}」（{tenant}）です。"
            "この画面は読み取るだけですが、ほかのノートブックの送信は実在の人に届きます。"
        )

    def table(self) -> str:
        """All checks as a table; when something is wrong, only that, and the others folded below it."""
        seen = self.examination
        if seen is None:
            return ""
        if seen.ok:
            return _table("接続の確認", seen.checks, mended=False)
        good = [check for check in seen.checks if check.ok]
        waiting = "直すと確認できる項目"
        return (
            _table(f"対応が必要な項目（{len(seen.wrong)} 件。上から順に直してください）", seen.wrong)
            + _folded(waiting, _table(waiting, seen.unseen), len(seen.unseen))
            + _folded("正常な項目", _table("正常な項目", good, mended=False), len(good))
        )

    def as_html(self) -> str:
        traffic = f"<summary>{esc(self.traffic.title())}</summary>{self.traffic.as_html()}"
        shown = f"<p>{esc(self.where)}</p>{self.table()}<details>{traffic}</details>"
        return super().as_html() + f"<div class='bk'>{shown}</div>"


def _named_profile() -> str:
    """The profile that the settings name by themselves, "" when they cannot be read."""
    from bousai_kit.lab import FOLDER_VARIABLE
    from bousai_kit.settings import load_settings

    folder = os.environ.get(FOLDER_VARIABLE)
    with contextlib.suppress(BousaiKitError):
        return load_settings(cwd=Path(folder) if folder else None).profile
    return ""


def _table(caption: str, checks: Sequence[Check], *, mended: bool = True) -> str:
    header = ("項目", "内容", "直し方") if mended else ("項目", "結果", "内容")
    rows = [
        (c.label, c.detail, c.hint) if mended else (c.label, c.verdict, c.detail + c.hint) for c in checks
    ]
    return table_html(caption, header, rows)


def _folded(caption: str, table: str, count: int) -> str:
    return f"<details><summary>{esc(caption)}（{count} 件）</summary>{table}</details>" if count else ""


class StartView(PanelView):
    """One button, one table, and the record of requests folded away."""

    def __init__(self, model: StartModel) -> None:
        self.go = button("接続を確認する", guarded(model, model.examine), style="primary")
        self.where = ipw.HTML(f"<div class='bk'><p>{esc(model.where)}</p></div>")
        self.result = ipw.HTML()
        self.record = ipw.HTML()
        self.fold = ipw.Accordion(children=[self.record], selected_index=None)
        super().__init__(model, [self.where, ipw.HBox([self.go]), self.result, self.fold])
        ipw.dlink((model, "busy"), (self.go, "disabled"))
        model.observe(self._result, "examination")
        model.observe(self._traffic, "requests")
        self._result()
        self._traffic()

    def _result(self, _: Any = None) -> None:
        self.result.value = f"<div class='bk'>{self.model.table()}</div>"  # type: ignore[attr-defined]

    def _traffic(self, _: Any = None) -> None:
        traffic = self.model.traffic  # type: ignore[attr-defined]
        self.record.value = f"<div class='bk'>{traffic.as_html()}</div>"
        self.fold.titles = (traffic.title(),)


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
            return Report(
                True,
                [
                    "まだ確認していません。「接続を確認する」を押し、終わったら、上の「すべて実行」を押してください。"
                ],
            )
        said = "接続の確認は、すべて正常です。" if model.ok else "直すところがあります。"
        return Report(model.ok, [said, model.next_step, *model.missing], model.table())

    async def check(self) -> Report:
        """Unattended: press the button and judge; in front of a person: judge what is there."""
        return await self.run() if self.model.unattended else self.report()
