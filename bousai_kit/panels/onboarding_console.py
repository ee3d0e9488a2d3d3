"""Where the API is refused: the way through the admin console, as a part of ``10_onboarding``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tl

from bousai_kit.errors import RosterError
from bousai_kit.onboarding.tenant_view import CONSOLE_WAY
from bousai_kit.panels.base import PanelModel, esc, guarded
from bousai_kit.panels.files import Downloads, Made, zipped
from bousai_kit.panels.view import button

if TYPE_CHECKING:
    from bousai_kit.onboarding.console import ConsoleFiles

__all__ = ["ConsoleFold", "ConsoleSteps"]

MOST_SHOWN = 100  # problems on the screen
METHODS = [
    ("画面が自動で作る（ファイルに残らない）", "auto"),
    ("ファイルに書く（管理者が作成）", "admin"),
    ("本人が招待メールから決める", "member"),
]


class ConsoleSteps(PanelModel):
    """Mixed into the onboarding model.

    Attributes
    ----------
    refused : bool
        A sentence has named this way, so it is shown.
    console_method : str
        ``auto``, ``admin`` or ``member``.
    console_files : list of str
        Paths of what was made, the steps last.
    console_doubt : str
        What has to be said beside them.
    """

    refused = tl.Bool(False)
    console_method = tl.Enum(["auto", "admin", "member"], "auto")
    console_files = tl.List(tl.Unicode())
    console_doubt = tl.Unicode("")

    @tl.observe("plan", "result", "problem")
    def _noticed(self, change: Any) -> None:
        new = change["new"]
        said = [new] if isinstance(new, str) else getattr(new, "notes", ())
        if any(CONSOLE_WAY in one for one in said) or getattr(new, "refused", False):
            self.refused = True

    @tl.observe("roster_path", "orgunits_path", "console_method")
    def _other_files(self, _: Any) -> None:
        self.console_files, self.console_doubt = [], ""

    @property
    def console_step(self) -> str:
        """What to do where the API registers nobody; "": it may."""
        plan, result = getattr(self, "plan", None), getattr(self, "result", None)
        notes = plan.notes if plan is not None else ()
        if not (any(CONSOLE_WAY in one for one in notes) or getattr(result, "refused", False)):
            return ""
        if not self.console_files:
            return "API では登録できません。手順 3 の「管理者画面用のファイルを作る」を押してください。"
        return "できた ZIP をダウンロードし、中の「手順.txt」のとおり管理者画面で取り込んでください。"

    async def make_console_files(self) -> ConsoleFiles:
        """Write the console's bulk files of the chosen roster; nothing is registered."""
        from bousai_kit.clock import in_thread
        from bousai_kit.onboarding.console import plan_console, see_tenant
        from bousai_kit.onboarding.console_files import ConsolePasswords, write_console
        from bousai_kit.onboarding.console_table import load_console_table
        from bousai_kit.roster import Check, read_roster

        steps: Any = self
        bench, method = self.bench, self.console_method
        path, units = steps._roster_file(), steps._path(steps.orgunits_path)
        self.tell(0, 0, "管理者画面用のファイルを作っています…")
        roster = await in_thread(bench.clock, lambda: read_roster(path, orgunits=units))
        table = load_console_table(bench.home)
        view = await see_tenant(bench.client, domain_id=bench.domain_id)
        try:
            made = plan_console(
                roster, table, method=method, view=view, password_of=ConsolePasswords(bench.home)
            )
        except RosterError as error:  # all of it at once
            self.console_doubt = Check(len(roster.people), error.issues[:MOST_SHOWN], "").render_text()
            raise
        out = bench.home / "console" / method
        out.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = await in_thread(bench.clock, lambda: write_console(made, out))
        self.console_files = [str(one) for one in written]
        doubts = (
            []
            if table.confirmed
            else ["【未確認】見出しは画面で確かめていません。手順.txt のとおり見比べてください。"]
        )
        if made.holds_passwords:
            doubts.append(
                "【重要】ファイルに全員の初期パスワードが書かれています。渡し終えたらフォルダーを消し、"
                "`bousai onboard console --destroy` でパスワードの元も破棄してください。"
            )
        if made.left_out:
            doubts.append(f"ファイルに入れていない人が {len(made.left_out):,} 名います（手順.txt に一覧）。")
        self.console_doubt = "\n".join([*doubts, *made.notes])
        self.tell(0, 0)
        return made


class ConsoleFold(ipw.VBox):  # type: ignore[misc]  # ipywidgets ships no types
    """A foldout that is there once the API has been refused."""

    def __init__(self, model: ConsoleSteps) -> None:
        self._model = model
        self.method = ipw.RadioButtons(
            options=METHODS,
            description="初期パスワード",
            style={"description_width": "initial"},
            layout=ipw.Layout(width="auto"),
        )
        self.make = button(
            "管理者画面用のファイルを作る",
            guarded(model, model.make_console_files, job="console"),
            hint="管理者画面の「メンバー一括追加」に取り込むファイルです。登録はまだされません。",
        )
        self.made, self.files = ipw.HTML(), Downloads(model)
        words = ipw.HTML(
            "<div class='bk'><p>API で登録できないときは、管理者画面の「メンバー一括追加」に、"
            "ここで作るファイルを取り込みます。</p></div>"
        )
        self.fold = ipw.Accordion(
            children=[ipw.VBox([words, self.method, ipw.HBox([self.make]), self.made, self.files])],
            titles=("API が使えないとき（管理者画面で一括追加）",),
            selected_index=0,
        )
        super().__init__([self.fold])
        ipw.link((model, "console_method"), (self.method, "value"))
        model.observe(self._shown, ["refused", "console_files", "console_doubt", "busy"])
        self._shown()

    def _shown(self, _: Any = None) -> None:
        model = self._model
        self.layout.display = "flex" if model.refused else "none"
        self.make.disabled = model.busy
        made = "、".join(Path(path).name for path in model.console_files)
        lines = [*([f"作ったファイル：{made}"] if made else []), *model.console_doubt.splitlines()]
        body = "".join(f"<p>{esc(line)}</p>" for line in lines)
        self.made.value = f"<div class='bk'>{body}</div>" if body else ""
        paths = [Path(path) for path in model.console_files]
        name = f"管理者画面用_{model.console_method}.zip"
        label = "取り込むファイルと手順（ZIP）"
        pack = [Made(paths[0].parent, label, name, lambda: zipped(paths))] if paths else []
        self.files.offer(pack)
