"""Step 4 of ``10_onboarding``: how people get their first password, pages for them, the end of the secret."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tl

from bousai_kit.errors import BousaiKitError, GuardError, InputError
from bousai_kit.panels.base import PanelModel, esc, guarded
from bousai_kit.panels.files import Downloads, Made
from bousai_kit.panels.view import button, field

if TYPE_CHECKING:
    from bousai_kit.onboarding.slips import PlanHandouts
    from bousai_kit.onboarding.tenant_view import Member

__all__ = ["HandoutSteps", "HandoutsView", "way_choice"]

LEAST = 10
END = "配付を終える（以後は印刷できません）"
NOTHING_TO_PRINT = (
    "印刷できる初期パスワードはありません。登録がまだなら、先に「登録を実行する」を押してください。"
    "配付を終えた後の人は、管理画面でパスワードを再設定してください。"
)
NOBODY_YET = "紙を渡す人がまだいません。「登録を実行する」で登録を済ませてから、もう一度押してください。"
WAYS = [
    ("全員に、初期パスワードを紙で渡す（メールは送られません）", "admin"),
    ("私用メールのある人には、登録と同時に招待メールを送る（ない人には紙）", "member"),
]


class HandoutSteps(PanelModel):
    """Pages with passwords.

    Attributes
    ----------
    passwords : str
        ``admin`` or ``member``, for the next plan.
    covers : bool
        With a list a unit on which people sign.
    given_out : bool
        Everybody has got theirs: the secret may end.
    handouts : list of str
        Paths of the pages.
    handout_notes : list of str
        What the pages do not say.
    """

    passwords = tl.Enum(["admin", "member"], "admin")
    covers = tl.Bool(True)
    given_out = tl.Bool(False)
    handouts = tl.List(tl.Unicode())
    handout_notes = tl.List(tl.Unicode())

    async def make_handouts(self, passphrase: str = "") -> list[str]:
        """Write the pages of every plan of this home whose secret still exists.

        Raises
        ------
        InputError
            The passphrase cannot be used.
        """
        from bousai_kit.onboarding import handouts_for_plan
        from bousai_kit.onboarding.unfinished import plans_of_other_kits, plans_with_secret

        if passphrase and (len(passphrase) < LEAST or not all("!" <= one <= "~" for one in passphrase)):
            raise InputError(
                f"合言葉は、半角の英字・数字・記号で {LEAST} 文字以上にしてください。",
                hint="開く人のパソコンでも入力できる文字だけを使います。",
            )
        bench = self.bench
        made: list[str] = []
        notes: list[str] = []
        self.tell(0, 0, "配付資料を作っています…")
        plans = plans_with_secret(bench.home)
        members = await self._members() if plans else None
        for plan in plans:
            written = await handouts_for_plan(
                plan,
                ledger=bench.ledger,
                clock=bench.clock,
                home=bench.home,
                out=bench.home / "handouts" / plan.plan_id,
                font=bench.settings.font,
                covers=self.covers,
                passphrase=passphrase or None,
                members=members,
                now=bench.clock.now(),
            )
            made += [str(path) for path in written.handouts.files]
            notes += _notes(written)
        if not plans:
            notes = [NOTHING_TO_PRINT]
        elif not made:
            notes = notes or [NOBODY_YET]
        others = plans_of_other_kits(bench.home)
        if others:
            notes.append(
                f"別の版のキットで登録した計画 {len(others):,} 件の配付資料は、ここでは作れません"
                f"（{'、'.join(others[:3])}）。登録したときの版で作るか、管理画面でパスワードを再設定してください。"
            )
        self.handout_notes = notes
        self.handouts = made
        self.tell(0, 0)
        return made

    async def _members(self) -> list[Member] | None:
        from bousai_kit.onboarding.tenant_view import see_member

        with contextlib.suppress(BousaiKitError):
            return [see_member(user) async for user in self.bench.client.users.list()]
        return None

    async def end_secret(self) -> None:
        """After the slips have been given out: nobody can derive the passwords any more.

        Raises
        ------
        GuardError
            Nobody has said that they have been given out.
        """
        from bousai_kit.onboarding import destroy_secret
        from bousai_kit.onboarding.unfinished import plans_with_secret

        if not self.given_out:
            raise GuardError(
                "配付を終えると、初期パスワードを印刷し直せません。",
                hint="全員に渡し終えてから「全員に渡し終えました」に印を付け、もう一度押してください。",
            )
        for plan in plans_with_secret(self.bench.home):
            await destroy_secret(plan, ledger=self.bench.ledger, home=self.bench.home)
        left = len(self.files_left())
        said = f"初期パスワードの載ったファイルが {left:,} 個残っています。印刷が済んだら削除してください。"
        self.given_out = False
        ended = "配付を終えました。初期パスワードは、もう印刷できません（元になる秘密を破棄しました）。"
        self.handout_notes = [ended, *([said] if left else [])]
        self.refresh()

    @property
    def secret_left(self) -> bool:
        """The passwords of some plan can still be derived."""
        from bousai_kit.onboarding.unfinished import plans_with_secret

        return bool(plans_with_secret(self.bench.home))

    def files_left(self) -> list[Path]:
        """Files with passwords."""
        from bousai_kit.onboarding.slips import handout_files

        return handout_files(self.bench.home)

    async def delete_files(self) -> None:
        """Delete the files with passwords; the secret, while it lasts, can make them again."""
        files = self.files_left()
        for path in files:
            path.unlink(missing_ok=True)
        self.handout_notes = [f"配付資料のファイル {len(files):,} 個を削除しました。"]
        self.handouts = []


def _notes(written: PlanHandouts) -> list[str]:
    notes = []
    if written.handouts.pages:
        lists = f"と受領簿 {written.handouts.covers:,} ページ" if written.handouts.covers else ""
        notes.append(
            f"{written.handouts.pages:,} 名分{lists}。A5 の片面で印刷してください"
            "（両面にすると、別の人のパスワードが裏に刷られます）。"
        )
    if written.invited:
        notes.append(f"招待メールの {written.invited:,} 名に、紙のパスワードはありません。")
    if written.spent:
        notes.append(f"{written.spent:,} 名はログイン済みのため、ページに初期パスワードを載せていません。")
    if written.expired:
        notes.append(
            f"登録から 30 日たった {len(written.expired):,} 名はパスワードが期限切れで、ページがありません。"
            "管理画面で再発行してください。"
        )
    if written.handouts.boxes:
        numbers = "、".join(written.handouts.boxes[:10])
        notes.append(
            f"{len(written.handouts.boxes):,} 名のページに、フォントにない字があり、□ になります。"
            f"手で書き添えてください（職員番号 {numbers}）。"
        )
    return notes


def way_choice(model: HandoutSteps) -> ipw.RadioButtons:
    """How people get their first password; belongs to the plan."""
    choice = ipw.RadioButtons(
        options=WAYS, description="初期パスワード", style={"description_width": "initial"}
    )
    choice.layout.width = "auto"
    ipw.link((model, "passwords"), (choice, "value"))
    return choice


class HandoutsView(ipw.VBox):  # type: ignore[misc]  # ipywidgets ships no types
    """Buttons of the step, and where the files are."""

    def __init__(self, model: HandoutSteps) -> None:
        self.model = model
        self.covers = ipw.Checkbox(
            description="区・局ごとの受領簿を付ける（受領印をもらう名簿。パスワードは載りません）",
            indent=False,
            layout=ipw.Layout(width="auto"),
        )
        self.lock = field("PDF を開く合言葉（空なら暗号化しません）", ipw.Password())
        self.lock.layout.max_width = "36em"
        self.pages = button("配付資料を作る", guarded(model, self._make, job="handouts"), style="primary")
        self.end = button(
            END,
            guarded(model, model.end_secret, job="end"),
            hint="初期パスワードの元になる秘密を消します。全員に渡し終えてから押してください。",
        )
        self.delete = button(
            "配付資料のファイルを削除",
            guarded(model, model.delete_files, job="handouts"),
            hint="初期パスワードの載った PDF を、このフォルダ（BOUSAI_HOME）から消します。",
        )
        self.given = ipw.Checkbox(
            description="全員に渡し終えました（配付を終えると、なくした人の紙も印刷し直せません）",
            indent=False,
            layout=ipw.Layout(width="auto"),
        )
        self.files, self.papers = ipw.HTML(), Downloads(model)
        self.after = ipw.VBox([self.given, ipw.HBox([self.end, self.delete])])
        super().__init__(
            [self.covers, self.lock, ipw.HBox([self.pages]), self.papers, self.files, self.after]
        )
        ipw.link((model, "covers"), (self.covers, "value"))
        ipw.link((model, "given_out"), (self.given, "value"))
        model.observe(self._shown, ["handouts", "handout_notes"])
        model.observe(self._able, ["busy", "handouts", "handout_notes", "given_out"])
        self._shown()
        self._able()

    async def _make(self) -> list[str]:
        passphrase, self.lock.value = self.lock.value, ""  # it does not stay in a widget
        return await self.model.make_handouts(passphrase)

    def _able(self, _: Any = None) -> None:
        busy = self.model.busy
        self.pages.disabled = self.delete.disabled = self.given.disabled = busy
        self.end.disabled = busy or not self.model.given_out
        secret, files = self.model.secret_left, bool(self.model.files_left())
        self.given.layout.display = self.end.layout.display = "block" if secret else "none"
        self.delete.layout.display = "block" if files else "none"
        self.after.layout.display = "flex" if secret or files else "none"
        self._offered()

    def _shown(self, _: Any = None) -> None:
        content = "".join(f"<p>{esc(line)}</p>" for line in self.model.handout_notes)
        self.files.value = f"<div class='bk'>{content}</div>" if content else ""

    def _offered(self) -> None:
        """What was made now; else what an earlier notebook has made and nobody has deleted."""
        new = [Path(path) for path in self.model.handouts]
        old = [] if new else [path for path in self.model.files_left() if not path.name.startswith(".")]
        label = "配付資料" if new else "前に作った配付資料"
        self.papers.offer(
            [
                Made(path, label, f"配付資料{f'_{number}' if number > 1 else ''}{path.suffix}")
                for number, path in enumerate(new or old, 1)
            ]
        )
