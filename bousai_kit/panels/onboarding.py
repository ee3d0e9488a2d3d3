"""10_onboarding: from a roster to people who have logged in, one step after the other."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets as tl

from bousai_kit.errors import GuardError, InputError
from bousai_kit.panels.base import Report, remembered
from bousai_kit.panels.onboarding_activation import ENOUGH_RATE, ActivationModel, curve_html
from bousai_kit.panels.onboarding_console import ConsoleSteps
from bousai_kit.panels.onboarding_handouts import END, HandoutSteps
from bousai_kit.panels.onboarding_review import ReviewSteps
from bousai_kit.panels.onboarding_roster import RosterMending
from bousai_kit.panels.onboarding_undo import GO_ON, UndoSteps
from bousai_kit.panels.view import Panel

if TYPE_CHECKING:
    from bousai_kit.onboarding.apply import ApplyResult
    from bousai_kit.onboarding.items import Plan
    from bousai_kit.roster import Check
    from bousai_kit.workbench import Workbench

__all__ = ["OnboardingModel", "OnboardingPanel"]

WORD = "登録"
LARGEST_UPLOAD = 50 << 20
SAMPLE, SAMPLE_UNITS = "sample_roster", "sample_orgunits.csv"


class OnboardingModel(ActivationModel, ConsoleSteps, HandoutSteps, ReviewSteps, RosterMending, UndoSteps):
    """What has been chosen, what was found, what may be done next.

    Attributes
    ----------
    rooms : str
        Rooms for the drill route, as `build_plan` takes it.
    orgunits_note : str
        That the list of units was taken away with the sample's roster.
    checked, plan, result, status
        What the steps brought; None before them.
    blockers : list of str
        Why the plan may not be carried out; empty: it may.
    """

    roster_path = tl.Unicode("")
    orgunits_path = tl.Unicode("")
    leavers = tl.Enum(["keep", "suspend"], "keep")
    max_leavers = tl.Int(0)  # 0: the guard's own threshold
    rooms = tl.Enum(["auto", "always", "never"], "auto")
    orgunits_note = tl.Unicode("")
    typed = tl.Unicode("")
    confirmed = tl.Bool(False)
    checked = tl.Any(None)
    plan = tl.Any(None)
    result = tl.Any(None)

    _applying = False

    def __init__(self, bench: Workbench, *, roster: str = "", orgunits: str = "") -> None:
        self._folder = Path.cwd()  # of the notebook, when the cell ran
        super().__init__(bench, roster_path=roster, orgunits_path=orgunits)
        if Path(roster).name.startswith(SAMPLE) and not self.unattended:
            self.find_earlier()
        self.refresh()

    # -- choices ----------------------------------------------------------------------------------------

    @tl.observe("roster_path", "orgunits_path")
    def _chosen(self, _: Any) -> None:
        self.checked = self.plan = self.result = self.status = None
        self.earlier = ()
        self.confirmed = False
        self.refresh()

    @tl.observe("leavers", "max_leavers", "passwords", "rooms")
    def _rule_changed(self, _: Any) -> None:
        self.plan = self.result = None
        self.confirmed = False
        self.refresh()

    @tl.observe("typed")
    def _typed(self, _: Any) -> None:
        self.confirmed = False
        self.refresh()

    @tl.observe("checked", "plan", "result", "status", "handouts", "confirmed", "saved_note", "undoing")
    def _changed(self, _: Any) -> None:
        self.refresh()

    def confirm(self) -> None:
        """Agree to the plan that is shown.

        Raises
        ------
        GuardError
            There is none, or the word is missing.
        """
        if self.plan is None:
            raise GuardError("計画がまだありません。", hint="「計画を作る」を押してください。")
        if self.needs_word and self.typed.strip() != WORD:
            raise GuardError(f"確認の欄に「{WORD}」と入力してください。", hint="")
        self.confirmed = True

    def withdraw(self) -> None:
        """No longer agree."""
        self.confirmed = False

    def take_upload(self, name: str, content: bytes, *, units: bool = False) -> Path:
        """Keep a file from the browser for its owner alone and choose it, as the roster or the units' list.

        Raises
        ------
        InputError
            Too large, or neither CSV nor XLSX.
        """
        from bousai_kit.files import write_private

        what = "組織" if units else "名簿"
        plain = re.sub(r"[\x00-\x1f/\\:*?\"<>|]", "_", name).lstrip(".")[-80:] or f"{what}.csv"
        if not plain.lower().endswith((".csv", ".xlsx")):
            raise InputError(
                f"{what}のファイルは CSV か XLSX にしてください。", hint="Excel で保存し直してください。"
            )
        if len(content) > LARGEST_UPLOAD:
            raise InputError(f"{what}のファイルが大きすぎます。", hint="50 MB 以下にしてください。")
        path = self.bench.home / "uploads" / plain
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if units:  # a roster of the same name stays what it was
            path = path.parent / "units" / plain
            path.parent.mkdir(exist_ok=True, mode=0o700)
        write_private(path, content)
        chosen = "orgunits_path" if units else "roster_path"
        self.set_trait(chosen, "")
        self.set_trait(chosen, str(path))
        return path

    @tl.observe("roster_path")
    def _own_roster(self, change: Any) -> None:
        """The sample's organisation goes with the sample's roster only."""
        name = Path(change["new"].strip()).name
        self.orgunits_note = ""
        if name and not name.startswith(SAMPLE) and Path(self.orgunits_path.strip()).name == SAMPLE_UNITS:
            self.orgunits_path = ""
            self.orgunits_note = (
                "見本の組織のファイルは外しました。組織は、名簿の所属コードと所属名から作ります。"
                "市の組織のファイルがあれば、「組織のファイルを選ぶ」で選んでください。"
            )

    def _path(self, text: str) -> Path | None:
        return self._folder / os.path.expanduser(text.strip()) if text.strip() else None

    def _roster_file(self) -> Path:
        path = self._path(self.roster_path)
        if path is None:
            raise InputError("名簿のファイルが選ばれていません。", hint="名簿の場所を入力してください。")
        return path

    # -- the steps ----------------------------------------------------------------------------------------

    async def check_roster(self) -> Check:
        """Look for all problems of the roster; nothing is sent."""
        from bousai_kit.clock import in_thread
        from bousai_kit.roster import check_roster

        path, units = self._roster_file(), self._path(self.orgunits_path)
        self.tell(0, 0, "名簿を確認しています…")
        checked = await in_thread(self.bench.clock, lambda: check_roster(path, units))
        self.checked = checked
        if not checked.hint and not path.name.startswith(SAMPLE):
            self.keep_choice()
        self.tell(0, 0)
        return checked

    async def make_plan(self) -> Plan:
        """Compare with the tenant; nothing is changed. An apply that was interrupted is gone on with."""
        from bousai_kit.clock import in_thread
        from bousai_kit.onboarding import build_plan
        from bousai_kit.onboarding.unfinished import find_unfinished
        from bousai_kit.roster import read_roster
        from bousai_kit.steps import tenant_on

        bench = self.bench
        path, units = self._roster_file(), self._path(self.orgunits_path)
        self.confirmed, self.plan, self.result = False, None, None
        roster = await in_thread(bench.clock, lambda: read_roster(path, orgunits=units))
        self.tell(0, 0, "テナントと比べています…")
        view = await tenant_on(bench)
        plan = await find_unfinished(
            bench.ledger,
            bench.home,
            domain_id=bench.domain_id,
            roster_sha256=roster.sha256,
            leavers=self.leavers,
            passwords=self.passwords,
            rooms=self.rooms,
            view=view,
        )
        if plan is None:
            allowed = self.max_leavers or None
            plan = build_plan(
                roster,
                view,
                leavers=self.leavers,
                max_leavers=allowed,
                passwords=self.passwords,
                rooms=self.rooms,
            )
        self.plan = plan
        self.tell(0, 0)
        return plan

    async def apply(self) -> ApplyResult:
        """Carry the confirmed plan out; stops at the next safe point when asked to.

        Raises
        ------
        GuardError
            Something is in the way.
        """
        from bousai_kit.steps import apply_on

        if self.blockers:
            raise GuardError(self.blockers[0], hint="")
        self.status = None  # what was seen of the logins before is true no more
        self._applying = True
        self.refresh()
        try:
            result = await apply_on(self.bench, self.plan, stop=self.stop_event, tell=self.tell)
        finally:
            self._applying = False
        self.result = result
        return result

    def roster_or_none(self) -> Path | None:
        """Path of the chosen roster."""
        return self._path(self.roster_path)

    # -- words --------------------------------------------------------------------------------------------

    def _blockers(self) -> list[str]:
        if self.plan is None:
            return ["計画がまだありません。「計画を作る」を押してください。"]
        if not self.confirmed:
            return ["計画の内容を確かめ、「計画を確認しました」に印を付けてください。"]
        return []

    def _next(self, done: list[str], missing: list[str]) -> str:
        checked, plan, result, status = self.checked, self.plan, self.result, self.status
        if self.undo_open and not self.busy:
            missing.append("取り消しの残り")
            return GO_ON
        if self.undoing:
            missing.append("取り消し")
            return "取り消しています。終わるまでお待ちください（下の「停止する」で止められます）。"
        edited, errors = self.unsaved
        if edited and plan is None:
            missing += ["直した名簿の保存", "計画", "登録", "配付資料", "ログインの確認"]
            if errors:
                return (
                    f"表の誤りはあと {errors:,} 件です。「次の誤りへ」を押して直し、"
                    "終わったら「直した名簿を保存して使う」を押してください。"
                )
            return "表で直した所を、まだ保存していません。「直した名簿を保存して使う」を押してください。"
        if checked is None:
            missing += ["名簿の確認", "計画", "登録", "配付資料", "ログインの確認"]
            if self.earlier:
                return (
                    f"前回の名簿（{Path(self.earlier[0]).name}）で続けるときは「前回の名簿を使う」を、"
                    "別の名簿なら、選んでから「名簿を確認する」を押してください。"
                )
            return "名簿の場所を確かめて「名簿を確認する」を押してください。何も送信されません。"
        if not checked.ok:
            missing.append("名簿の確認")
            if checked.hint:  # no row of it could be read
                return f"名簿を読めません。{checked.hint}その後、もう一度「名簿を確認する」を押してください。"
            return (
                f"名簿の誤り {checked.errors:,} 件を「名簿を表で直す」で直して保存するか、"
                "ファイルを直して、もう一度「名簿を確認する」を押してください。"
            )
        warnings = len(checked.issues)
        done.append(f"名簿の確認（{checked.people:,} 名、注意 {warnings:,} 件）")
        if plan is None:
            missing += ["計画", "登録", "配付資料", "ログインの確認"]
            saved = "直した名簿を保存しました。" if self.saved_note else ""
            return f"{saved}「計画を作る」を押してください。テナントと比べるだけで、何も変更しません。"
        done.append(f"計画（新規 {plan.count('create'):,} 名、変更 {plan.count('update'):,} 名）")
        if result is None or not result.complete:
            missing += ["登録", "配付資料", "ログインの確認"]
            if self.console_step and not self._applying:
                return self.console_step
            if self._applying:
                return "登録しています。終わるまでお待ちください（下の「停止する」で止められます）。"
            if result is not None and not self.busy:
                return "登録が残っています。「登録を実行する」をもう一度押すと、残りだけを続けます。"
            if plan.nothing_to_do:
                missing.remove("登録")
                return "テナントは名簿のとおりです。「ログイン状況を見る」で状況を確かめてください。"
            if self.confirmed:
                return "「登録を実行する」を押してください。途中で止めても、続きから再開できます。"
            return "計画の人数と差分を確かめ、「計画を確認しました」に印を付けてください。"
        done.append(f"登録（{result.done + result.skipped:,} 件、失敗 0 件）")
        if not self.handouts and plan.on_paper:
            missing += ["配付資料", "ログインの確認"]
            return "「配付資料を作る」を押し、印刷して本人に渡してください。"
        if self.handouts:
            done.append("配付資料")
        if status is None:
            missing.append("ログインの確認")
            return "「ログイン状況を見る」を押してください。"
        done.append(f"ログイン状況の確認（{status.created:,} 名中 {status.active:,} 名がログイン済み）")
        if status.login_rate >= ENOUGH_RATE:
            if self.secret_left:
                missing.append("配付の終了（初期パスワードを印刷できないようにする）")
                return (
                    "登録は完了です。全員に渡し終えたら手順 4 の「全員に渡し終えました」に印を付けて"
                    f"「{END}」を押し、20_drill（訓練の実施）を開いてください。"
                )
            return "登録は完了です。20_drill（訓練の実施）を開いてください。"
        missing.append(f"まだログインしていない {status.created - status.active:,} 名")
        if not status.stuck:
            return "本人のログインを待ち、翌日もう一度「ログイン状況を見る」を押してください。"
        return "「声掛け一覧（Excel）を作る」を使って声を掛け、翌日「ログイン状況を見る」を押してください。"

    def as_html(self) -> str:
        from bousai_kit.panels.onboarding_tables import counts_table, funnel_html, status_table

        tables = counts_table(self.plan) + funnel_html(self.status) + status_table(self.status)
        if self.status is not None:
            tables += curve_html(self.curve_png, self.status.curve)
        return super().as_html() + f"<div class='bk'>{tables}</div>"


class OnboardingPanel(Panel):
    """Shown by ``10_onboarding``.

    Parameters
    ----------
    bench : Workbench
    roster, orgunits : str
        Files to begin with.
    """

    model: OnboardingModel

    def __init__(self, bench: Workbench, *, roster: str | Path = "", orgunits: str | Path = "") -> None:
        from bousai_kit.panels.onboarding_view import OnboardingView

        key = ("onboarding", str(roster), str(orgunits))
        self.model = remembered(
            bench, key, lambda: OnboardingModel(bench, roster=str(roster), orgunits=str(orgunits or ""))
        )
        self.view = OnboardingView(self.model)

    async def run(self) -> Report:
        """What the buttons do, one after the other, awaited; ends early where a person has to act."""
        model = self.model
        checked = await model.start("check", model.check_roster)
        if not checked.ok:
            return self.report()
        plan = await model.start("plan", model.make_plan)
        if not plan.nothing_to_do:
            if model.unattended:
                model.confirm()
            await model.start("apply", model.apply)
        await model.start("handouts", model.make_handouts)
        await model.start("logins", model.wait_for_logins if model.unattended else model.look)
        return self.report()

    def report(self) -> Report:
        """What is known now."""
        from bousai_kit.panels.onboarding_tables import status_table

        model = self.model
        if model.checked is None:
            return Report(True, ["まだ始めていません。登録の画面の「名簿を確認する」を押してください。"])
        lines = [f"済：{line}" for line in model.finished] + [f"まだ：{line}" for line in model.missing]
        result, status = model.result, model.status
        ok = bool(
            model.checked.ok
            and (result is None or result.complete)
            and (status is None or status.created == status.planned)
        )
        return Report(ok, [model.next_step, *lines], status_table(status))

    async def check(self) -> Report:
        """Unattended: go the whole way and judge; in front of a person: judge what is there."""
        if self.model.unattended:
            return await self.run()
        await self.model.find_applied()  # an undo that another kernel left open is gone on with
        return self.report()
