"""Widgets of ``10_onboarding``; they decide nothing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw

from bousai_kit.panels.base import esc, guarded
from bousai_kit.panels.files import Downloads, Made
from bousai_kit.panels.onboarding_activation import ActivationView
from bousai_kit.panels.onboarding_console import ConsoleFold
from bousai_kit.panels.onboarding_handouts import HandoutsView, way_choice
from bousai_kit.panels.onboarding_review import ReviewBox
from bousai_kit.panels.onboarding_roster import earlier_box, mending_box
from bousai_kit.panels.onboarding_tables import (
    changes_table,
    check_table,
    counts_table,
    posts_table,
    result_table,
)
from bousai_kit.panels.onboarding_undo import UndoFold
from bousai_kit.panels.view import PanelView, button, field

if TYPE_CHECKING:
    from bousai_kit.panels.onboarding import OnboardingModel

__all__ = ["OnboardingView"]

ROOMS = [
    ("自動（人数が多く、個別の送信では時間がかかるときに作る）", "auto"),
    ("作る（区・局ごとのトークルームに Bot から送る）", "always"),
    ("作らない（一人ずつに Bot から送る）", "never"),
]


class OnboardingView(PanelView):
    """Six steps from top to bottom, each with its button and what it brought."""

    def __init__(self, model: OnboardingModel) -> None:
        self.roster = field("名簿のファイル", ipw.Text())
        self.orgunits = field("組織のファイル（なくても可）", ipw.Text())
        self.upload = _upload("名簿のファイルを選ぶ")
        self.units_upload = _upload("組織のファイルを選ぶ")
        self.leavers = ipw.RadioButtons(
            options=[("そのままにする", "keep"), ("一時停止する", "suspend")],
            description="名簿にない人",
            style={"description_width": "initial"},
        )
        self.max_leavers = field("一時停止してよい人数（0 は標準）", ipw.BoundedIntText(min=0, max=100_000))
        self.max_leavers.layout.max_width = "24em"
        self.rooms = ipw.RadioButtons(
            options=ROOMS,
            description="訓練用のトークルーム",
            style={"description_width": "initial"},
            layout=ipw.Layout(width="auto", margin="2px 2px 8px 0"),
        )
        self.units_note = ipw.HTML()
        self.check = button(
            "名簿を確認する", guarded(model, model.check_roster, job="check"), style="primary"
        )
        self.plan = button("計画を作る", guarded(model, model.make_plan, job="plan"), style="primary")
        self.agree = ipw.Checkbox(description="計画を確認しました", indent=False)
        self.word = field("確認のため「登録」と入力", ipw.Text())
        self.word.layout.max_width = "24em"
        self.apply = button("登録を実行する", guarded(model, model.apply, job="apply"), style="danger")
        self.handing = HandoutsView(model)
        self.pages, self.end, self.files = self.handing.pages, self.handing.end, self.handing.files
        self.given = self.handing.given
        self.activation, self.undoing = ActivationView(model), UndoFold(model)
        self.look, self.hurry, self.status = (
            self.activation.look,
            self.activation.hurry,
            self.activation.status,
        )
        self.checked, self.counts, self.changes = ipw.HTML(), ipw.HTML(), ipw.HTML()
        self.result, self.rejects = ipw.HTML(), Downloads(model)
        self.details = ipw.Accordion(
            children=[self.changes], titles=("ポストと一人ずつの内容",), selected_index=None
        )
        self.why = ipw.HTML()
        mending = mending_box(model)
        self.mending = mending.children[-1]
        body = [
            _title("手順 1：名簿を選ぶ"),
            _row(self.roster, self.upload),
            _row(self.orgunits, self.units_upload),
            self.units_note,
            ipw.HBox([self.check, earlier_box(model)]),
            self.checked,
            mending,
            _title("手順 2：計画を作る"),
            self.leavers,
            self.max_leavers,
            way_choice(model),
            self.rooms,
            ipw.HBox([self.plan]),
            self.counts,
            self.details,
            ReviewBox(model),
            _title("手順 3：確認して登録する"),
            self.agree,
            *([self.word] if model.needs_word else []),
            ipw.HBox([self.apply]),
            self.why,
            self.result,
            self.rejects,
            ConsoleFold(model),
            _title("手順 4：配付資料を渡す"),
            self.handing,
            _title("手順 5：ログインを見届ける"),
            self.activation,
            self.undoing,
        ]
        super().__init__(model, body)
        ipw.link((model, "roster_path"), (self.roster, "value"))
        ipw.link((model, "orgunits_path"), (self.orgunits, "value"))
        ipw.link((model, "leavers"), (self.leavers, "value"))
        ipw.link((model, "rooms"), (self.rooms, "value"))
        ipw.link((model, "max_leavers"), (self.max_leavers, "value"))
        ipw.link((model, "typed"), (self.word, "value"))
        ipw.dlink((model, "confirmed"), (self.agree, "value"))
        self.agree.observe(self._agreed, "value")
        for widget in (self.upload, self.units_upload):
            widget.observe(self._uploaded, "value")
        self._hand_on = False
        model.observe(self._saved, "saved_note")
        model.observe(self._able, ["busy", "blockers", "checked", "plan", "leavers"])
        model.observe(self._shown, ["checked", "plan", "result", "orgunits_note"])
        self._able()
        self._shown()

    def _agreed(self, change: Any) -> None:
        model: Any = self.model
        if change["new"] and not model.confirmed:
            guarded(model, model.confirm)(None)
            self.agree.value = model.confirmed
        elif not change["new"] and model.confirmed:
            model.withdraw()

    def _uploaded(self, change: Any) -> None:
        model: Any = self.model
        for file in change["new"] or ():
            name, content = str(file["name"]), bytes(file["content"])
            units = change["owner"] is self.units_upload
            guarded(model, partial(model.take_upload, name, content, units=units))(None)
        if change["new"]:
            change["owner"].value = ()  # the roster does not stay in a widget

    def _saved(self, change: Any) -> None:
        model: Any = self.model  # the pressed button has gone with the table
        self._hand_on = bool(change["new"]) and not model.table_open

    def _able(self, _: Any = None) -> None:
        model: Any = self.model
        busy = model.busy
        self.check.disabled = self.upload.disabled = self.units_upload.disabled = busy
        self.plan.disabled = busy or model.checked is None or not model.checked.ok
        if self._hand_on and not self.plan.disabled:
            self._hand_on = False
            self.plan.focus()
        self.agree.disabled = busy or model.plan is None
        self.apply.disabled = busy or bool(model.blockers)
        self.max_leavers.layout.display = "flex" if model.leavers == "suspend" else "none"
        why = model.blockers[0] if model.blockers and not busy and model.plan is not None else ""
        self.why.value = f"<div class='bk'><p>{esc(why)}</p></div>" if why else ""

    def _shown(self, _: Any = None) -> None:
        model: Any = self.model
        note = model.orgunits_note
        for widget, content in (
            (self.units_note, f"<p>{esc(note)}</p>" if note else ""),
            (self.checked, check_table(model.checked)),
            (self.counts, counts_table(model.plan)),
            (self.changes, posts_table(model.plan) + changes_table(model.plan)),
            (self.result, result_table(model.result)),
        ):
            widget.value = f"<div class='bk'>{content}</div>" if content else ""
        rejects = None if model.result is None else model.result.rejects
        label = "登録できなかった行"
        self.rejects.offer([] if rejects is None else [Made(rejects, label, f"{label}{rejects.suffix}")])
        self.details.layout.display = "block" if self.changes.value else "none"


def _upload(text: str) -> ipw.FileUpload:
    return ipw.FileUpload(
        accept=".csv,.xlsx", multiple=False, description=text, layout=ipw.Layout(width="14em")
    )


def _row(text: ipw.Widget, upload: ipw.FileUpload) -> ipw.HBox:
    """A path that can be typed, and beside it (below it, where there is no room) the way to choose a file."""
    text.layout.flex, text.layout.width = "1 1 24em", "auto"
    return ipw.HBox([text, upload], layout=ipw.Layout(flex_flow="row wrap", max_width="76em"))


def _title(text: str) -> ipw.HTML:
    return ipw.HTML(f"<div class='bk'><h3>{esc(text)}</h3></div>")
