"""Widgets of ``20_drill``; they decide nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as ipw

from bousai_kit.panels.base import esc, guarded
from bousai_kit.panels.drill_tables import (
    counts_table,
    plan_table,
    preview,
    silent_table,
    unsettled_table,
    wards_table,
)
from bousai_kit.panels.view import PanelView, button, field

if TYPE_CHECKING:
    from bousai_kit.panels.drill import DrillModel

__all__ = ["DrillView"]


class DrillView(PanelView):
    """Four steps from top to bottom: plan, look, send, end."""

    def __init__(self, model: DrillModel) -> None:
        self.scenario = field("シナリオのファイル", ipw.Text())
        self.roster = field("名簿のファイル", ipw.Text())
        self.plan = button("計画を作る", guarded(model, model.make_plan, job="plan"), style="primary")
        self.planned, self.texts = ipw.HTML(), ipw.HTML()
        self.word = field("確認のため入力", ipw.Text(continuous_update=True))
        self.word.layout.max_width = "26em"
        self.reason = field("承認を待てない理由（実災害で、ほかに誰もいないとき）", ipw.Text())
        self.agree = button("確認した", guarded(model, model.confirm), hint="本文と宛先を確かめました")
        self.send = button("送信する", guarded(model, model.send, job="send"), style="danger")
        self.why = ipw.HTML()
        self.counts, self.wards = ipw.HTML(), ipw.HTML()
        self.calls, self.unsettled = ipw.HTML(), ipw.HTML()
        self.details = ipw.Accordion(
            children=[self.calls], titles=("未応答の人の一覧（電話連絡用）",), selected_index=None
        )
        self.settle = button(
            "不明を確定する", guarded(model, model.settle, job="settle"), hint="再送はしません"
        )
        self.close_it = button(
            "終了する", guarded(model, model.close, job="close"), hint="以後は送信も集計もしません"
        )
        self.said = ipw.HTML()
        body = [
            _title("手順 1：計画を作る"),
            self.scenario,
            self.roster,
            ipw.HBox([self.plan]),
            self.planned,
            _title("手順 2：本文を確かめる（届くとおりの表示）"),
            self.texts,
            _title("手順 3：確認して送信する"),
            self.word,
            self.reason,
            ipw.HBox([self.agree, self.send]),
            self.why,
            self.counts,
            self.wards,
            self.details,
            _title("手順 4：確定して終了する"),
            self.unsettled,
            ipw.HBox([self.settle, self.close_it]),
            self.said,
        ]
        super().__init__(model, body)
        ipw.link((model, "scenario_path"), (self.scenario, "value"))
        ipw.link((model, "roster_path"), (self.roster, "value"))
        ipw.link((model, "typed"), (self.word, "value"))
        ipw.link((model, "reason"), (self.reason, "value"))
        model.observe(self._able, ["busy", "blockers", "plan", "state", "confirmed", "unknown"])
        model.observe(self._planned, "plan")
        model.observe(self._stands, ["ticks", "plan"])
        model.observe(self._said, "notes")
        self._able()
        self._planned()
        self._stands()
        self._said()

    def _able(self, _: Any = None) -> None:
        model: Any = self.model
        busy, ready = model.busy, model.plan is not None and model.state != "closed"
        self.plan.disabled = self.scenario.disabled = self.roster.disabled = busy
        self.word.disabled = self.reason.disabled = busy or not ready
        self.agree.disabled = busy or not ready or model.confirmed
        self.send.disabled = busy or bool(model.blockers)
        self.send.description = "続きを送信する" if model.state == "open" else "送信する"
        self.settle.disabled = busy or model.state != "open"
        self.close_it.disabled = busy or model.state != "open"
        self.word.description = f"確認のため「{model.word}」と入力"
        self.reason.layout.display = "flex" if model.is_actual else "none"
        why = model.blockers[0] if model.blockers and not busy and model.plan is not None else ""
        self.why.value = f"<div class='bk'><p>{esc(why)}</p></div>" if why else ""

    def _planned(self, _: Any = None) -> None:
        model: Any = self.model
        self.planned.value = _boxed(plan_table(model.plan))
        self.texts.value = _boxed(preview(model.plan))

    def _stands(self, _: Any = None) -> None:
        model: Any = self.model
        self.counts.value = _boxed(counts_table(model))
        self.wards.value = _boxed(wards_table(model.standing))
        self.calls.value = _boxed(silent_table(model.standing))
        self.unsettled.value = _boxed(unsettled_table(model.standing))
        self.details.layout.display = "block" if self.calls.value else "none"

    def _said(self, _: Any = None) -> None:
        model: Any = self.model
        self.said.value = _boxed("".join(f"<p>{esc(note)}</p>" for note in model.notes))


def _boxed(content: str) -> str:
    return f"<div class='bk'>{content}</div>" if content else ""


def _title(text: str) -> ipw.HTML:
    return ipw.HTML(f"<div class='bk'><h3>{esc(text)}</h3></div>")
