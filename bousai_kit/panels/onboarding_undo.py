"""The last fold of ``10_onboarding``: take an apply back; what cannot be taken back is shown first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import ipywidgets as ipw
import traitlets as tl

from bousai_kit.errors import GuardError, InputError
from bousai_kit.panels.base import PanelModel, esc, guarded, table_html
from bousai_kit.panels.files import Downloads, Made
from bousai_kit.panels.view import button, field

if TYPE_CHECKING:
    from bousai_kit.onboarding.items import Plan
    from bousai_kit.onboarding.undo import UndoPlan, UndoResult
    from bousai_kit.onboarding.undo_list import Applied

__all__ = ["UndoFold", "UndoSteps"]

TITLE = "登録を取り消す（間違えて登録したとき）"
WORD = "取り消し"
GO_ON = "途中で止まった取り消しがあります。いちばん下の「登録を取り消す」を開き、内容を見て続けてください。"


class UndoSteps(PanelModel):
    """Mixed into the onboarding model.

    Attributes
    ----------
    undo_choices : list of (str, str)
        What is said of an apply, and its id.
    undo_looked : bool
        Somebody looked.
    undo_of : str
        The apply that was chosen.
    undo_open : str
        One whose undo has begun and not come to its end; "": none is known.
    undo_plan : UndoPlan or None
        What the chosen one's undo would do.
    undo_rows : sequence of (str, str, str)
        The same one by one, without names.
    undo_typed : str
        The confirmation; any change withdraws it.
    undo_result : UndoResult or None
    undo_review : str
        Path of the file for the second person.
    undoing : bool
        It is being taken back now.
    """

    undo_choices = tl.List(tl.Any())
    undo_looked = tl.Bool(False)
    undo_of = tl.Unicode("")
    undo_open = tl.Unicode("")
    undo_plan = tl.Any(None)
    undo_rows = tl.Any(())
    undo_typed = tl.Unicode("")
    undo_result = tl.Any(None)
    undo_review = tl.Unicode("")
    undoing = tl.Bool(False)

    @tl.observe("undo_of")
    def _other_apply(self, _: Any) -> None:
        self.undo_plan = self.undo_result = None

    @tl.observe("undo_plan")
    def _other_undo(self, change: Any) -> None:
        self.undo_typed = self.undo_review = ""
        if change["new"] is None:
            self.undo_rows = ()

    @tl.observe("undo_open")
    def _open_changed(self, _: Any) -> None:
        self.refresh()

    async def find_applied(self) -> list[Applied]:
        """See which applies can be taken back, and whether an undo was interrupted; reads the ledger only."""
        from bousai_kit.onboarding.undo_list import list_applied

        bench = self.bench
        found = await list_applied(bench.ledger, home=bench.home, domain_id=bench.domain_id)
        left = [one for one in found if one.state != "undone"]
        ids = [one.apply_id for one in left]
        with self.hold_trait_notifications():
            self.undo_choices = [(_said(one), one.apply_id) for one in left]
            self.undo_looked = True
            self.undo_open = next((one.apply_id for one in left if one.state == "undoing"), "")
            if self.undo_of not in ids:
                self.undo_of = ids[0] if ids else ""
        return found

    async def look_at_undo(self) -> UndoPlan:
        """Find out what would be taken back; nothing is changed.

        Raises
        ------
        InputError
            No apply is chosen.
        """
        from bousai_kit.onboarding.undo_review import undo_rows
        from bousai_kit.steps import plan_undo_on

        if not self.undo_of:
            raise InputError(
                "取り消す登録が選ばれていません。", hint="「取り消せる登録を調べる」を押してください。"
            )
        self.undo_plan = self.undo_result = None
        self.tell(0, 0, "取り消せるものを調べています…")
        undo = await plan_undo_on(self.bench, self.undo_of)
        self.undo_rows = undo_rows(undo, self._kept())
        self.undo_plan = undo
        self.tell(0, 0)
        return undo

    def _kept(self) -> Plan:
        from bousai_kit.onboarding.plan_file import kept_plan

        return kept_plan(self.bench.home, self.undo_of)

    async def make_undo_review(self) -> str:
        """Write what would be taken back, with names; it stays in the home, for its owner alone."""
        from bousai_kit.clock import in_thread
        from bousai_kit.onboarding.undo_review import write_undo_review

        undo = self.undo_plan
        if undo is None:
            raise GuardError("取り消しの内容がまだありません。", hint="")
        path: Path = self.bench.home / "reviews" / f"取り消しの確認_{undo.undo_id}.xlsx"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        await in_thread(self.bench.clock, lambda: write_undo_review(undo, self._kept(), path))
        self.undo_review = str(path)
        return self.undo_review

    @property
    def undo_blocker(self) -> str:
        """Why nothing may be taken back; "": it may."""
        if self.undo_plan is None:
            return "先に「取り消しの内容を見る」を押してください。"
        if self.undo_plan.nothing_to_do and not self.undo_open:
            return "取り消すものはありません。"
        if self.undo_typed.strip() != WORD:
            return f"取り消せないものと件数を確かめ、確認の欄に「{WORD}」と入力してください。"
        return ""

    async def undo(self) -> UndoResult:
        """Take back what was shown; the same again goes on where it was stopped.

        Raises
        ------
        GuardError
            Nothing was shown, the word is missing, or the tenant has changed since.
        """
        from bousai_kit.onboarding.undo_drift import UndoDrifted
        from bousai_kit.steps import carry_undo_on

        if self.undo_blocker:
            raise GuardError(self.undo_blocker, hint="")
        undo = self.undo_plan
        self.undo_typed = ""  # a second click finds nothing confirmed
        whole: Any = self
        self.undoing = True
        try:
            result = await carry_undo_on(self.bench, undo, stop=self.stop_event, tell=self.tell)
        except UndoDrifted as error:
            self.undo_plan = None
            raise GuardError(str(error), hint="「取り消しの内容を見る」をもう一度押してください。") from None
        finally:
            self.undoing = False
            await self.find_applied()
            whole.plan = whole.result = whole.status = None  # what was said of the tenant is true no more
            whole.confirmed = False
        self.undo_result = result
        if result.complete:
            self.undo_plan = None
        self.tell(0, 0)
        return result


def _said(one: Applied) -> str:
    counts = [("新規", one.create), ("変更", one.update), ("一時停止", one.suspend)]
    people = "、".join(f"{word} {count:,} 名" for word, count in counts if count) or "人の変更なし"
    open_ = {"undoing": "【取り消しの途中】", "failed": "【取り消しの失敗が残っています】"}.get(one.state, "")
    at = one.at.astimezone(ZoneInfo("Asia/Tokyo"))
    return f"{open_}{at:%Y-%m-%d %H:%M}　{people}　{one.apply_id}"


class UndoFold(ipw.VBox):  # type: ignore[misc]  # ipywidgets ships no types
    """Folded while nobody asks for it; open when an undo was interrupted."""

    def __init__(self, model: UndoSteps) -> None:
        self._model = model
        self._filling = False
        self.find = button(
            "取り消せる登録を調べる",
            guarded(model, model.find_applied, job="undo_find"),
            hint="台帳を読むだけで、何も変更しません",
        )
        self.which = ipw.Dropdown(
            options=[], description="取り消す登録", style={"description_width": "initial"}
        )
        self.which.layout.width, self.which.layout.max_width = "100%", "60em"
        self.look = button(
            "取り消しの内容を見る",
            guarded(model, model.look_at_undo, job="undo_look"),
            style="primary",
            hint="テナントを読むだけで、何も変更しません",
        )
        self.review = button(
            "取り消しの確認用 Excel を作る",
            guarded(model, model.make_undo_review, job="undo_review"),
            hint="別の職員に確かめてもらうときに使います（氏名を含みます）",
        )
        self.file = Downloads(model)
        self.word = field(f"確認のため「{WORD}」と入力", ipw.Text(continuous_update=True))
        self.word.layout.max_width = "26em"
        self.go = button("取り消しを実行する", guarded(model, model.undo, job="undo"), style="danger")
        self.none, self.shown, self.why, self.result = ipw.HTML(), ipw.HTML(), ipw.HTML(), ipw.HTML()
        words = ipw.HTML(
            "<div class='bk'><p>登録を、できる範囲で元に戻します。まだログインしていない人は削除し、"
            "利用を始めた人は一時停止します。取り消した登録を、もう一度実行することはできません。</p></div>"
        )
        self.chosen = ipw.VBox([self.which, ipw.HBox([self.look])])
        self.agreed = ipw.VBox([ipw.HBox([self.review]), self.file, self.word, ipw.HBox([self.go]), self.why])
        inside = [words, ipw.HBox([self.find]), self.none, self.chosen, self.shown, self.agreed, self.result]
        self.fold = ipw.Accordion(children=[ipw.VBox(inside)], titles=(TITLE,), selected_index=None)
        super().__init__([self.fold])
        ipw.link((model, "undo_typed"), (self.word, "value"))
        self.which.observe(self._chose, "value")
        model.observe(self._list, ["undo_choices", "undo_of", "undo_looked", "undo_open"])
        model.observe(self._show, ["undo_plan", "undo_rows", "undo_result", "undo_review"])
        model.observe(self._able, ["busy", "undo_of", "undo_plan", "undo_typed", "undo_open"])
        self._list()
        self._show()
        self._able()

    def _chose(self, change: Any) -> None:
        if not self._filling:
            self._model.undo_of = change["new"] or ""

    def _list(self, _: Any = None) -> None:
        model = self._model
        if tuple(model.undo_choices) != tuple(self.which.options):
            self._filling = True  # new options choose the first one by themselves
            self.which.options = model.undo_choices
            self._filling = False
        if model.undo_choices and model.undo_of:
            self._filling = True
            self.which.value = model.undo_of
            self._filling = False
        if model.undo_open:
            self.fold.selected_index = 0
        self.chosen.layout.display = "flex" if model.undo_choices else "none"
        none = model.undo_looked and not model.undo_choices
        self.none.value = "<div class='bk'><p>取り消せる登録はありません。</p></div>" if none else ""

    def _show(self, _: Any = None) -> None:
        model = self._model
        self.shown.value = _page(undo_html(model.undo_plan, model.undo_rows))
        self.result.value = _page(undo_result_html(model.undo_result))
        self.agreed.layout.display = "flex" if model.undo_plan is not None else "none"
        label = "取り消しの確認用（氏名を含みます。確認が済んだら削除してください）"
        self.file.offer([Made(Path(model.undo_review), label)] if model.undo_review else [])

    def _able(self, _: Any = None) -> None:
        model = self._model
        busy, blocker = model.busy, model.undo_blocker
        self.find.disabled = self.which.disabled = self.review.disabled = self.word.disabled = busy
        self.look.disabled = busy or not model.undo_of
        self.go.disabled = busy or bool(blocker)
        self.why.value = _page(f"<p>{esc(blocker)}</p>" if blocker and not busy else "")


def undo_html(undo: UndoPlan | None, rows: Sequence[tuple[str, str, str]]) -> str:
    """What cannot be taken back, then how much is, then each."""
    if undo is None:
        return ""
    from bousai_kit.onboarding.undo_items import by_reason, some_of

    impossible = [(some_of(subjects), reason) for reason, subjects in by_reason(undo.impossible).items()]
    first = (
        table_html(f"取り消せないもの（{len(undo.impossible):,} 件）", ("対象", "理由"), impossible)
        if impossible
        else "<p><b>取り消せないものはありません。</b></p>"
    )
    notes = "".join(f"<li>注意：{esc(note)}</li>" for note in undo.notes)
    counts = "".join(f"<li>{count:,} {esc(text)}。</li>" for count, text in undo.counts())
    minutes = max(1, round(undo.eta_s / 60))
    said = f"<ul>{notes}{counts or '<li>取り消すものはありません。</li>'}</ul>"
    said += f"<p>通信 {undo.calls:,} 回、およそ {minutes:,} 分。</p>"
    total = len(undo.steps())
    if not rows:
        return first + said
    each = table_html(f"一つずつの内容（{total:,} 件）", ("すること", "職員番号・名称", "内容"), rows)
    more = f"<p>ほか {total - len(rows):,} 件は、確認用の Excel にあります。</p>" if total > len(rows) else ""
    return f"{first}{said}<details><summary>一つずつの内容</summary>{each}{more}</details>"


def undo_result_html(result: UndoResult | None) -> str:
    """How it ended, and what is left."""
    if result is None:
        return ""
    rows = [
        ("今回取り消した件数", result.undone),
        ("以前に取り消した件数", result.skipped),
        ("失敗・未確定", len(result.failed)),
        ("残った件数", result.left),
        ("取り消せないもの", len(result.impossible)),
    ]
    text = table_html("取り消しの結果", ("項目", "件数"), rows)
    failed = [(one["staff_number"] or one["step"], one["reason"]) for one in result.failed]
    if failed:
        text += table_html("取り消せなかったもの", ("職員番号など", "理由"), failed)
    if result.impossible:
        from bousai_kit.onboarding.undo_items import by_reason, some_of

        kept = [(some_of(subjects), reason) for reason, subjects in by_reason(result.impossible).items()]
        text += table_html("取り消せなかったので、手で確かめるもの", ("対象", "理由"), kept)
    if not result.complete:
        text += (
            f"<p>残りを続けるには、確認の欄にもう一度「{WORD}」と入力し、"
            "「取り消しを実行する」を押してください。</p>"
        )
    return text


def _page(content: str) -> str:
    return f"<div class='bk'>{content}</div>" if content else ""
