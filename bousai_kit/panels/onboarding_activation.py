"""Step 5 of ``10_onboarding``: see to it that everybody gets in (state first, pixels below)."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tl

from bousai_kit.errors import GuardError, InputError
from bousai_kit.panels.base import PanelModel, esc, guarded
from bousai_kit.panels.files import Downloads, Made
from bousai_kit.panels.onboarding_tables import (
    funnel_html,
    invitations_html,
    others_table,
    status_table,
    stuck_table,
)
from bousai_kit.panels.view import button, field

if TYPE_CHECKING:
    from bousai_kit.onboarding.activation import Status
    from bousai_kit.onboarding.curve import Curve
    from bousai_kit.onboarding.invitations import Invitations, InviteResult
    from bousai_kit.roster import Roster

__all__ = ["ActivationModel", "ActivationView"]

ENOUGH_RATE = 0.9
LONGEST_WAIT_S = 24 * 3600.0
LOOK_EVERY_S = 1800.0
INVITE = "招待"


class ActivationModel(PanelModel):
    """What is known of who has come, and what may be done about the others.

    Attributes
    ----------
    status : Status or None
    curve_png : bytes
        The curve over days.
    why : str
        Code of the reason by which the list is filtered; "": all.
    invitations, invited : object
        Whom a mail would reach; how the last sending ended.
    reminders : str
        Path of the list for the liaisons.
    """

    status = tl.Any(None)
    curve_png = tl.Bytes(b"")
    why = tl.Unicode("")
    invitations = tl.Any(None)
    invited = tl.Any(None)
    invite_typed = tl.Unicode("")
    reminders = tl.Unicode("")

    @property
    def needs_word(self) -> bool:
        """What is done here reaches real people: the confirmation is typed."""
        return not self.bench.in_sandbox

    def roster_or_none(self) -> Path | None:
        """Path of the chosen roster."""
        raise NotImplementedError

    async def _roster(self) -> Roster | None:
        from bousai_kit.clock import in_thread
        from bousai_kit.roster import read_roster

        path = self.roster_or_none()
        return None if path is None else await in_thread(self.bench.clock, lambda: read_roster(path))

    async def look(self) -> Status:
        """Count who has logged in; the auth log is pulled, the curve drawn."""
        self.invitations = None
        return await self._look(auth=True)

    async def _look(self, *, auth: bool) -> Status:
        from bousai_kit.clock import in_thread
        from bousai_kit.onboarding.curve import draw_curve
        from bousai_kit.steps import status_on

        bench = self.bench
        found = await status_on(bench, await self._roster(), auth=auth)
        self.status = found
        if self.why not in found.stuck_by:
            self.why = ""
        if auth:
            font = bench.settings.font
            self.curve_png = await in_thread(bench.clock, lambda: draw_curve(found.curve, font=font))
        return found

    async def wait_for_logins(self) -> Status:
        """Look again and again until most have logged in (or a day is over, or somebody stops it)."""
        clock = self.bench.clock
        until = clock.monotonic() + LONGEST_WAIT_S
        found = await self._look(auth=False)
        while found.login_rate < ENOUGH_RATE and clock.monotonic() < until and not self.stop_event.is_set():
            self.tell(found.active, found.created, "ログインを待っています…")
            await clock.sleep(LOOK_EVERY_S)
            found = await self._look(auth=False)
        self.tell(0, 0)
        return await self.look()

    async def hurry(self) -> Status:
        """Practice only: let the simulated staff log in now, as if a day had passed."""
        from bousai_kit.rehearsal import let_everybody_log_in

        await let_everybody_log_in(self.bench)
        return await self.look()

    async def plan_invitations(self) -> Invitations:
        """Find out whom a mail would reach now; nothing is sent."""
        from bousai_kit.onboarding.invitations import plan_invitations

        bench = self.bench
        self.invited, self.invite_typed = None, ""
        found = await plan_invitations(
            bench.client, bench.ledger, domain_id=bench.domain_id, roster=await self._roster()
        )
        self.invitations = found
        return found

    async def invite(self) -> InviteResult:
        """Send the mails that were shown, each at most once a day.

        Raises
        ------
        GuardError
            Nobody was shown, or the word is missing.
        """
        from bousai_kit.steps import invite_on

        if self.invite_blocker:
            raise GuardError(self.invite_blocker, hint="")
        planned, self.invitations = self.invitations, None  # a second click finds nothing to send
        result = await invite_on(self.bench, planned, stop=self.stop_event, tell=self.tell)
        self.invited, self.invite_typed = result, ""
        self.tell(0, 0)
        return result

    @property
    def invite_blocker(self) -> str:
        """Why no mail may go out; "": it may."""
        if self.invitations is None:
            return "先に「招待メールを送れる人を調べる」を押してください。"
        if not self.invitations.invitees:
            return "いま招待メールを送れる人はいません。"
        if self.needs_word and self.invite_typed.strip() != INVITE:
            return f"確認の欄に「{INVITE}」と入力してください。"
        return ""

    async def make_reminders(self) -> str:
        """Write the list for the liaisons; it holds names and stays in the home, for its owner alone."""
        from bousai_kit.onboarding.curve import day_of
        from bousai_kit.onboarding.reminders import write_reminders

        roster = await self._roster()
        if roster is None:
            raise InputError(
                "声掛けの一覧には名簿が必要です。", hint="「手順 1：名簿を選ぶ」で名簿を指定してください。"
            )
        found = await self._look(auth=True)
        name = f"声掛け一覧_{day_of(found.as_of):%Y%m%d}.xlsx"
        written = write_reminders(roster, found, self.bench.home / "reminders" / name)
        self.reminders = str(written.path)
        return self.reminders


class ActivationView(ipw.VBox):  # type: ignore[misc]  # ipywidgets ships no types
    """Buttons, the funnel, who is stuck, mails and list, the curve."""

    def __init__(self, model: ActivationModel) -> None:
        self.model = model
        self._filling = False
        self.look = button("ログイン状況を見る", guarded(model, model.look, job="logins"), style="primary")
        self.hurry = button(
            "練習用：全員にログインしてもらう",
            guarded(model, model.hurry, job="logins"),
            hint="サンドボックスの職員が、1 日たったものとしてログインします",
        )
        self.hurry.layout.display = "block" if model.bench.in_sandbox and not model.unattended else "none"
        self.why = ipw.Dropdown(
            options=[("すべて", "")],
            description="理由で絞り込む",
            style={"description_width": "initial"},
            layout={"width": "28em"},
        )
        self.find = button(
            "招待メールを送れる人を調べる",
            guarded(model, model.plan_invitations, job="invitations"),
            hint="調べるだけで、何も送りません",
        )
        self.word = field(f"確認のため「{INVITE}」と入力", ipw.Text())
        self.word.layout.max_width = "24em"
        self.send = button("招待メールを送る", guarded(model, model.invite, job="invite"), style="danger")
        self.list = button(
            "声掛け一覧（Excel）を作る",
            guarded(model, model.make_reminders, job="reminders"),
            hint="区・局ごとのシートに、連絡員と、声を掛ける人を並べます（氏名を含みます）",
        )
        self.status, self.stuck, self.curve = ipw.HTML(), ipw.HTML(), ipw.HTML()
        self.mails, self.others = ipw.HTML(), ipw.HTML()
        self.lists = Downloads(model)
        self.next = ipw.VBox(
            [
                self.why,
                self.stuck,
                ipw.HBox([self.list, self.find]),
                self.lists,
                self.mails,
                *([self.word] if model.needs_word else []),
                ipw.HBox([self.send]),
                self.others,
            ]
        )
        super().__init__([ipw.HBox([self.look, self.hurry]), self.status, self.curve, self.next])
        ipw.link((model, "invite_typed"), (self.word, "value"))
        self.why.observe(self._chosen, "value")
        model.observe(self._shown, ["status", "why", "invitations", "invited", "reminders"])
        model.observe(self._drawn, ["status", "curve_png"])
        model.observe(self._able, ["busy", "status", "invitations", "invite_typed"])
        self._shown()
        self._drawn()
        self._able()

    def _chosen(self, change: Any) -> None:
        if not self._filling:
            self.model.why = change["new"] or ""

    def _shown(self, _: Any = None) -> None:
        from bousai_kit.onboarding.reminders import DELETE_IT
        from bousai_kit.onboarding.stuck import REASONS

        model = self.model
        found = model.status
        counts = {} if found is None else found.stuck_by
        options = [
            ("すべて", ""),
            *((f"{REASONS[code]}（{count:,} 名）", code) for code, count in counts.items()),
        ]
        wanted = model.why if model.why in counts else ""
        if tuple(options) != tuple(self.why.options):
            self._filling = True  # new options choose the first one by themselves
            self.why.options = options
            self._filling = False
        self.why.value = wanted
        self.status.value = _page(funnel_html(found) + status_table(found, stuck=False))
        self.stuck.value = _page(stuck_table(found, model.why))
        files = f"<p>{DELETE_IT}</p>" if model.reminders else ""
        self.lists.offer([Made(Path(model.reminders), "声掛けの一覧")] if model.reminders else [])
        self.mails.value = _page(files + invitations_html(model.invitations, model.invited))
        self.others.value = _page(others_table(model.invitations))
        self.why.layout.display = "flex" if len(counts) > 1 else "none"
        self.next.layout.display = "flex" if found is not None else "none"

    def _drawn(self, _: Any = None) -> None:
        found = self.model.status
        self.curve.value = "" if found is None else curve_html(self.model.curve_png, found.curve)

    def _able(self, _: Any = None) -> None:
        model = self.model
        busy, planned = model.busy, model.invitations
        self.look.disabled = self.hurry.disabled = self.find.disabled = self.list.disabled = busy
        self.send.disabled = busy or bool(model.invite_blocker)
        some = planned is not None and bool(planned.invitees)
        self.send.layout.display = "block" if some else "none"
        self.send.description = (
            f"{len(planned.invitees):,} 名に招待メールを送る" if some else "招待メールを送る"
        )
        self.word.layout.display = "flex" if some else "none"


def curve_html(png: bytes, curve: Curve) -> str:
    """The curve as a figure; folded while there is but one day."""
    if not png:
        return ""
    data, alt = base64.b64encode(png).decode("ascii"), esc(curve.alt())
    shown = " open" if len(curve.days) > 1 else ""
    return _page(
        f"<details{shown}><summary>日ごとの人数</summary><figure style='margin:.6em 0'>"
        f"<img style='max-width:100%;height:auto' src='data:image/png;base64,{data}' alt='{alt}'>"
        "</figure></details>"
    )


def _page(content: str) -> str:
    return f"<div class='bk'>{content}</div>" if content else ""
