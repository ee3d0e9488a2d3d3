"""20_drill: who gets what, a typed word, the broadcast with its answers, and what is still unknown."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets as tl

from bousai_kit.errors import DrillGuardError, InputError
from bousai_kit.panels.base import PanelModel, Report, remembered
from bousai_kit.panels.view import Panel
from bousai_kit.settings import account_name

if TYPE_CHECKING:
    from bousai_kit.drills import DrillPlan, DrillResult, DrillState
    from bousai_kit.workbench import Workbench

__all__ = ["WORDS", "DrillModel", "DrillPanel"]

WORDS = {"exercise": "訓練", "actual": "実災害", "test": "試験"}
MOST_SETTLES = 5


class DrillModel(PanelModel):
    """What is going to be sent, whether it may go, and how it stands.

    Attributes
    ----------
    plan : DrillPlan or None
    state : str
        ``""`` (no plan), ``planned``, ``open``, ``closed``.
    recipients, sent, acked, silent, late, unknown, refused : int
        People; unknown and refused: dispatches.
    standing : DrillState or None
        What tables are made from; `ticks` says that it has changed.
    blockers : list of str
        Why nothing may be sent; empty: it may.
    """

    scenario_path = tl.Unicode("")
    roster_path = tl.Unicode("")
    typed = tl.Unicode("")
    reason = tl.Unicode("")
    confirmed = tl.Bool(False)
    plan = tl.Any(None)
    state = tl.Unicode("")
    recipients = tl.Int(0)
    sent = tl.Int(0)
    acked = tl.Int(0)
    silent = tl.Int(0)
    late = tl.Int(0)
    unknown = tl.Int(0)
    refused = tl.Int(0)
    ticks = tl.Int(0)
    notes = tl.List(tl.Unicode())

    def __init__(self, bench: Workbench, *, scenario: str = "", roster: str = "", orgunits: str = "") -> None:
        self._folder = Path.cwd()  # of the notebook, when the cell ran
        self._orgunits = orgunits
        self._shown_at = 0.0
        self.standing: DrillState | None = None
        super().__init__(bench, scenario_path=scenario, roster_path=roster)
        self.refresh()

    # -- choices ----------------------------------------------------------------------------------------

    @tl.observe("scenario_path", "roster_path")
    def _chosen(self, _: Any) -> None:
        self.standing, self.plan, self.state, self.notes = None, None, "", []
        self.confirmed, self.typed = False, ""
        self._count(None)
        self.refresh()

    @tl.observe("typed", "reason")
    def _edited(self, _: Any) -> None:
        self.confirmed = False  # any edit withdraws the confirmation
        self.refresh()

    @tl.observe("plan", "state", "confirmed")
    def _changed(self, _: Any) -> None:
        self.refresh()

    @property
    def drill_id(self) -> str:
        """Of the plan; "" before it."""
        return self.plan.drill_id if self.plan is not None else ""

    @property
    def word(self) -> str:
        """What has to be typed before anything is sent."""
        return WORDS[self.plan.scenario.kind.value] if self.plan is not None else "訓練"

    @property
    def is_actual(self) -> bool:
        """This is no exercise."""
        return self.plan is not None and self.plan.scenario.kind.value == "actual"

    def confirm(self) -> None:
        """Agree to what is shown.

        Raises
        ------
        DrillGuardError
            Nothing is planned, or the word is not there.
        """
        if self.plan is None:
            raise DrillGuardError("送信の計画がまだありません。", hint="「計画を作る」を押してください。")
        if self.typed.strip() != self.word:
            raise DrillGuardError(f"確認の欄に「{self.word}」と入力してください。", hint="")
        if self.is_actual and self._approval is None and not self.reason.strip():
            raise DrillGuardError(
                "実災害の送信には、2 人目の承認か、承認を待てない理由が必要です。",
                hint=f"別の担当者が `bousai drill approve {self.drill_id}` を実行してください。",
            )
        self.confirmed = True

    @property
    def _approval(self) -> Any:
        return self.standing.approval if self.standing is not None else None

    def _file(self, text: str, what: str) -> Path:
        if not text.strip():
            raise InputError(f"{what}のファイルが選ばれていません。", hint="場所を入力してください。")
        return self._folder / os.path.expanduser(text.strip())

    # -- the steps ----------------------------------------------------------------------------------------

    async def make_plan(self) -> DrillPlan:
        """Look who can be reached, by which way; nothing is sent. An open drill is gone on with."""
        from bousai_kit.clock import in_thread
        from bousai_kit.drills import drill_status, load_scenario
        from bousai_kit.roster import read_roster
        from bousai_kit.steps import plan_on

        bench = self.bench
        scenario_file = self._file(self.scenario_path, "シナリオ")
        roster_file = self._file(self.roster_path, "名簿")
        self.confirmed, self.typed = False, ""
        scenario = await in_thread(bench.clock, lambda: load_scenario(scenario_file))
        roster = await in_thread(bench.clock, lambda: read_roster(roster_file))
        if bench.in_sandbox:  # an empty sandbox first gets its people
            from bousai_kit.rehearsal import ensure_onboarded

            units = self._folder / self._orgunits if self._orgunits else None
            await ensure_onboarded(bench, roster_file, units, self.tell)
        self.tell(0, 0, "宛先を確認しています…")
        plan = await plan_on(bench, scenario, roster, planned_by=account_name(), tell=self.tell)
        self.notes = list(plan.notes)
        self.take(await drill_status(bench.ledger, plan.drill_id))
        self.plan = plan
        self.tell(0, 0)
        return plan

    async def send(self) -> DrillResult:
        """Send, remind and collect answers until the deadlines are over; goes on where it stood.

        Raises
        ------
        DrillGuardError
            Something is in the way.
        """
        from bousai_kit.drills import approve_drill, drill_status
        from bousai_kit.steps import conductor_on

        bench = self.bench
        if self.blockers:
            raise DrillGuardError(self.blockers[0], hint="")
        if self.is_actual and self._approval is None:
            who, why = account_name(), self.reason
            await approve_drill(bench.ledger, self.drill_id, clock=bench.clock, approved_by=who, reason=why)
        conductor = conductor_on(bench, self.drill_id)
        try:
            async with bench.receiving():
                result = await conductor.run(self.stop_event, self._live)
        finally:
            self.take(await drill_status(bench.ledger, self.drill_id))
            self.confirmed, self.typed = False, ""
        self.notes = list(result.notes)
        return result

    async def settle(self) -> DrillResult:
        """Find out from answers and logs what has arrived; sends nothing."""
        from bousai_kit.drills import drill_status
        from bousai_kit.steps import settle_on

        bench = self.bench
        result = await settle_on(
            bench,
            self.drill_id,
            stop=self.stop_event,
            tell=lambda done, total, text: self.tell(round(done), round(total), text),
        )
        self.take(await drill_status(bench.ledger, self.drill_id))
        self.notes = list(result.notes)
        self.tell(0, 0)
        return result

    async def close(self) -> DrillResult:
        """End the drill: nothing more is sent, later answers do not count."""
        from bousai_kit.drills import close_drill, drill_status

        result = await close_drill(self.bench.ledger, self.drill_id, clock=self.bench.clock)
        self.take(await drill_status(self.bench.ledger, self.drill_id))
        return result

    # -- what is shown ------------------------------------------------------------------------------------

    def _live(self, standing: DrillState) -> None:
        """At most ten times a second; where nobody looks, once."""
        now = time.monotonic()
        if now - self._shown_at >= (1.0 if self.unattended else self.min_interval_s):
            self._shown_at = now
            self.take(standing, live=True)

    def take(self, standing: DrillState, *, live: bool = False) -> None:
        """Show a drill as it stands; while it is `live`, what is under way is not unknown yet."""
        self.standing = standing
        with self.hold_trait_notifications():
            self._count(standing, live=live)
            self.state = standing.state
            self.ticks += 1
        if self.busy:
            answered = self.acked + self.late
            self.tell(self.sent, self.recipients, f"応答 {answered:,}　未応答 {self.silent:,}")

    def _count(self, standing: DrillState | None, *, live: bool = False) -> None:
        people = standing.people_by_verdict() if standing is not None else {}
        self.recipients = len(standing.people) if standing is not None else 0
        for name in ("sent", "acked", "silent", "late"):
            setattr(self, name, len(people.get(name, ())))
        waiting = standing.open_attempts() if standing is not None else ()
        self.unknown = sum(one.status == "unknown" or not live for one in waiting)
        self.refused = len(standing.refused_attempts()) if standing is not None else 0

    @property
    def left(self) -> int:
        """People who have not been reached, as far as anybody knows."""
        return self.recipients - self.sent

    # -- words --------------------------------------------------------------------------------------------

    def _blockers(self) -> list[str]:
        if self.plan is None:
            return ["送信の計画がまだありません。「計画を作る」を押してください。"]
        if self.state == "closed":
            return ["この訓練は終了しています。"]
        if not self.recipients:
            return ["送信できる人がいません。10_onboarding で登録とログインを確かめてください。"]
        if not self.confirmed:
            return [f"本文と宛先を確かめ、「{self.word}」と入力して「確認した」を押してください。"]
        return []

    def _next(self, done: list[str], missing: list[str]) -> str:
        if self.plan is None:
            missing += ["計画", "送信", "応答の確認", "終了"]
            return "シナリオと名簿を確かめて「計画を作る」を押してください。何も送信されません。"
        done.append(
            f"計画（送信できる人 {self.recipients:,} 人、できない人 {len(self.plan.unreachable):,} 人）"
        )
        if self.state == "planned":
            missing += ["送信", "応答の確認", "終了"]
            if self.confirmed:
                return "「送信する」を押してください。途中で止めても、続きから再開できます。"
            return self._blockers()[0]
        done.append(f"送信 {self.sent:,} / {self.recipients:,} 人")
        done.append(f"応答 {self.acked:,} 人、期限後 {self.late:,} 人")
        if self.state == "closed":
            done.append("終了")
            return "訓練は終了しました。30_latency（応答時間の分析）を開いてください。"
        missing.append("終了")
        if self.busy:
            return "送信と応答の受付を続けています。急ぐ人には電話などでも連絡してください。"
        if self.unknown:
            missing.append(f"届いたか不明な送信 {self.unknown:,} 件")
            return "「不明を確定する」を押してください。ログで確かめるだけで、再送はしません。"
        if self.left:
            missing.append(f"まだ届いていない人 {self.left:,} 人")
            if self.confirmed:
                return "「送信する」を押すと、まだの人にだけ送ります。"
            return f"続けるには「{self.word}」と入力し、「確認した」「送信する」を押してください。"
        return "未応答の人に別の手段で連絡し、済んだら「終了する」を押してください。"

    def as_html(self) -> str:
        from bousai_kit.panels.drill_tables import counts_table, wards_table

        return super().as_html() + f"<div class='bk'>{counts_table(self)}{wards_table(self.standing)}</div>"


class DrillPanel(Panel):
    """Shown by ``20_drill``.

    Parameters
    ----------
    bench : Workbench
    scenario, roster : str
        Files to begin with.
    orgunits : str
        Organisation, for a sandbox that has no people yet.
    """

    model: DrillModel

    def __init__(
        self,
        bench: Workbench,
        *,
        scenario: str | Path = "",
        roster: str | Path = "",
        orgunits: str | Path = "",
    ) -> None:
        from bousai_kit.panels.drill_view import DrillView

        key = ("drill", str(scenario), str(roster))
        self.model = remembered(
            bench,
            key,
            lambda: DrillModel(bench, scenario=str(scenario), roster=str(roster), orgunits=str(orgunits)),
        )
        self.view = DrillView(self.model)

    async def run(self) -> Report:
        """What the buttons do, one after the other, awaited. Unattended it also types the word."""
        model = self.model
        if model.state != "closed":
            await model.start("plan", model.make_plan)
            for _ in range(MOST_SETTLES):
                if model.unattended:
                    model.typed = model.word
                    model.confirm()
                await model.start("send", model.send)
                if model.stop_event.is_set() or not (model.unknown or model.left):
                    break
                if model.unknown:
                    await model.start("settle", model.settle)
                if not model.left:
                    break
            if not model.stop_event.is_set() and not model.unknown:
                await model.start("close", model.close)
        return self.report()

    def report(self) -> Report:
        """What is known now."""
        from bousai_kit.panels.drill_tables import counts_table, wards_table

        model = self.model
        if model.plan is None:
            return Report(True, ["まだ始めていません。上の「計画を作る」を押してください。"])
        lines = [f"済：{line}" for line in model.finished] + [f"まだ：{line}" for line in model.missing]
        ok = not model.unknown and not model.refused and model.acked + model.late <= model.sent
        return Report(ok, [model.next_step, *lines], counts_table(model) + wards_table(model.standing))

    async def check(self) -> Report:
        """Unattended: conduct the whole drill and judge; in front of a person: judge what is there."""
        return await self.run() if self.model.unattended else self.report()
