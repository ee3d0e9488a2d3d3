"""Step 1 of ``10_onboarding``: mend the roster in a table and go on with the mended file."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tl

from bousai_kit.errors import GuardError, InputError
from bousai_kit.panels.base import PanelModel, esc, guarded
from bousai_kit.panels.files import Downloads, Made
from bousai_kit.panels.view import button

if TYPE_CHECKING:
    from bousai_kit.panels.roster_grid import Desk

__all__ = ["RosterMending", "earlier_box", "mending_box"]

CHOSEN = "chosen_roster.json"


class RosterMending(PanelModel):
    """What `OnboardingModel` knows of the table.

    Attributes
    ----------
    desk : Desk or None
        The roster on the table; None while the foldout is shut.
    desk_note : str
        What to know before editing: a draft, another table on the same file, how a draft fitted.
    table_open : bool
        The foldout is open.
    saved : str
        Path of the roster that was written last; "" once another one is chosen.
    saved_note : str
        What became of it, and what comes next.
    as_utf8 : bool
        Write UTF-8 although the file came in Shift_JIS.
    earlier : tuple of str
        Paths of the roster and of the list of units that an earlier notebook had in use; (): none.
    """

    roster_path = tl.Unicode("")
    orgunits_path = tl.Unicode("")
    desk = tl.Any(None)
    desk_note = tl.Unicode("")
    table_open = tl.Bool(False)
    saved, saved_note = tl.Unicode(""), tl.Unicode("")
    as_utf8 = tl.Bool(False)
    earlier = tl.Tuple()
    _saving = False

    if TYPE_CHECKING:

        def _path(self, text: str) -> Path | None: ...
        def _roster_file(self) -> Path: ...
        async def check_roster(self) -> Any: ...

    @tl.observe("roster_path", "orgunits_path")
    def _put_away(self, _: Any) -> None:
        if self.desk is not None:
            self.desk.close()
        self.desk, self.desk_note = None, ""
        self.saved = self.saved_note = ""
        self.table_open = self.table_open and self._saving  # another roster: an empty fold helps nobody

    def keep_choice(self) -> None:
        """Remember which files are in use: a notebook that is opened anew begins with the sample's."""
        from bousai_kit.files import write_private

        chosen = [str(self._path(text) or "") for text in (self.roster_path, self.orgunits_path)]
        with contextlib.suppress(OSError):
            write_private(self.bench.home / CHOSEN, json.dumps(chosen).encode())

    def find_earlier(self) -> None:
        """See which files were in use before, and are there still."""
        with contextlib.suppress(OSError, ValueError):
            roster, units = map(str, json.loads((self.bench.home / CHOSEN).read_bytes()))
            if Path(roster).is_file():
                self.earlier = (roster, units if units and Path(units).is_file() else "")

    def use_earlier(self) -> None:
        """Go on with the files of before."""
        if self.earlier:
            roster, units = self.earlier
            self.roster_path = roster
            self.orgunits_path = units

    @property
    def unsaved(self) -> tuple[int, int]:
        """Cells mended in the table that stand in no file yet, and the errors that are left in it."""
        if self.desk is None:
            return 0, 0
        table = self.desk.table
        return table.edited_count, table.problems.count("error")

    async def open_table(self) -> None:
        """Put the roster on the table; nothing is written.

        Raises
        ------
        RosterError
            The file cannot be used as a whole.
        """
        from bousai_kit.clock import in_thread
        from bousai_kit.panels.roster_grid import Desk
        from bousai_kit.roster.editing import open_roster_table

        path, units = self._roster_file(), self._path(self.orgunits_path)
        self.tell(0, 0, "名簿を表にしています…")
        table = await in_thread(self.bench.clock, lambda: open_roster_table(path, orgunits=units))
        desk = Desk(
            table,
            self.bench.home,
            encoding=lambda: "utf-8-sig" if self.as_utf8 else "",
            changed=self.refresh,
        )
        if self.desk is not None:
            self.desk.close()
        notes = []
        if desk.found is not None:
            notes.append(
                f"前回、保存していない修正（{desk.draft_size():,} 行）が残っています。"
                "「続きから直す」か「下書きを捨てる」を選んでください。"
            )
        if desk.busy:
            notes.append("この名簿は、別の画面でも表で開いています。保存したファイルは別々になります。")
        self.desk_note = "".join(notes)
        self.desk = desk
        self.tell(0, 0)

    def _on_desk(self) -> Desk:
        if self.desk is None:
            raise GuardError("表が開いていません。", hint="「名簿を表で直す」を開いてください。")
        desk: Desk = self.desk
        return desk

    def take_draft(self) -> None:
        """Go on with what was not saved."""
        left = self._on_desk().take()
        self.desk_note = _fitted(left)

    def drop_draft(self) -> None:
        """Throw away what was not saved."""
        self._on_desk().drop()
        self.desk_note = ""

    async def reopen_table(self) -> None:
        """Read the file again (it changed on the disk) and do the edits again where they fit."""
        old = self._on_desk()
        draft, old.frozen = old.draft(), True
        try:
            await self.open_table()
        finally:
            old.frozen = False
        self.desk_note = _fitted(self._on_desk().take_over(draft))

    async def save_table(self) -> None:
        """Write the mended roster to a new file, choose it, and check it again.

        Without an error left the table has done its work and shuts; else it stays open on the new file.

        Raises
        ------
        GuardError
            Nothing has been changed.
        InputError
            The original changed meanwhile, or a character does not fit the file's encoding.
        """
        from bousai_kit.clock import in_thread
        from bousai_kit.roster.keeping import save_beside

        desk = self._on_desk()
        if not desk.table.edited_count:
            raise GuardError("直した所がありません。", hint="表のセルを直してから保存してください。")
        self.tell(0, 0, "直した名簿を保存しています…")
        now, encoding = datetime.now(), "utf-8-sig" if self.as_utf8 else ""
        desk.frozen = True
        try:
            path = await in_thread(self.bench.clock, lambda: save_beside(desk.table, now, encoding=encoding))
        finally:
            desk.frozen = False
        desk.saved()
        self._saving = True
        try:
            self.roster_path = str(path)
        finally:
            self._saving = False
        self.as_utf8 = False
        checked = await self.check_roster()
        said = f"保存しました：{path.name}（元のファイルはそのままです）。"
        if checked.ok:
            self.table_open = False
            said += (
                "誤りはありません。次は、手順 2 の「計画を作る」です。"
                "まだ直すときは、「名簿を表で直す」をもう一度開いてください。"
            )
        else:
            said += (
                f"誤りがあと {checked.errors:,} 件あります。「次の誤りへ」を押して、続けて直してください。"
            )
            with contextlib.suppress(InputError):  # the check says why
                await self.open_table()
        self.saved, self.saved_note = str(path), said

    def shut_table(self) -> None:
        """Fold the table away; what was not saved stays, here and as a draft."""
        self.table_open = False


def _fitted(left: int) -> str:
    if not left:
        return "直した所を当て直しました。"
    return (
        f"直した所のうち {left:,} 行は、元の行が変わったか、なくなったため、当て直せませんでした。"
        "その行を確かめてください。"
    )


def earlier_box(model: RosterMending) -> ipw.HBox:
    """The way back to the roster of before; seen while the sample's is still chosen."""
    use = button(
        "前回の名簿を使う",
        guarded(model, model.use_earlier),
        style="primary",
        hint="前にこの画面で確認した名簿と組織のファイルを選びます。何も送信しません。",
    )
    box = ipw.HBox([use])

    def able(_: Any = None) -> None:
        use.disabled = model.busy
        box.layout.display = "flex" if model.earlier and getattr(model, "checked", None) is None else "none"

    model.observe(able, ["busy", "earlier", "checked"])
    able()
    return box


def mending_box(model: RosterMending) -> ipw.VBox:
    """The foldout 「名簿を表で直す」; the table is made when it is opened for the first time."""
    note, place = ipw.HTML(), ipw.VBox()
    done, mended = ipw.HTML(), Downloads(model)
    take = button("続きから直す", guarded(model, model.take_draft), style="primary")
    drop = button("下書きを捨てる", guarded(model, model.drop_draft))
    offer = ipw.HBox([take, drop])
    utf8 = ipw.Checkbox(description="UTF-8 で保存する（Shift_JIS にない文字を使うとき）", indent=False)
    utf8.layout.width = "auto"
    save = button(
        "直した名簿を保存して使う",
        guarded(model, model.save_table, job="table"),
        style="primary",
        hint="元のファイルの隣に新しいファイルを作り、それを使います。元のファイルは変えません。",
    )
    again = button(
        "開き直す",
        guarded(model, model.reopen_table, job="table"),
        hint="元のファイルを読み直し、直した所を当て直します",
    )
    shut = button("表を閉じる", guarded(model, model.shut_table), hint="直した所は下書きに残ります")
    last = ipw.HBox([save, again, shut], layout=ipw.Layout(flex_flow="row wrap"))
    inside = ipw.VBox([note, offer, place, utf8, last])
    inside.layout.overflow = "visible"
    box = ipw.Accordion(children=[inside], titles=("名簿を表で直す",), selected_index=None)
    box.add_class("bk-mending")
    ipw.link((model, "as_utf8"), (utf8, "value"))

    def opened(_: Any = None) -> None:
        model.table_open = box.selected_index == 0
        if model.table_open and model.desk is None:
            guarded(model, model.open_table, job="table")(None)

    def folded(_: Any = None) -> None:
        box.selected_index = 0 if model.table_open else None

    def shown(_: Any = None) -> None:
        desk = model.desk
        note.value = (
            f"<div class='bk' role='status'><p>{esc(model.desk_note)}</p></div>" if model.desk_note else ""
        )
        done.value = (
            f"<div class='bk' role='status'><p class='bk-done'>{esc(model.saved_note)}</p></div>"
            if model.saved_note
            else ""
        )
        mended.offer([Made(Path(model.saved), "直した名簿")] if model.saved_note else [])
        offer.layout.display = "flex" if desk is not None and desk.found is not None else "none"
        cp932 = desk is not None and desk.table.encoding == "cp932"
        utf8.layout.display = "block" if cp932 else "none"

    def laid(_: Any = None) -> None:
        for old in place.children:
            old.close()
        if model.desk is None:
            place.children = ()
        else:
            from bousai_kit.panels.roster_grid import RosterGrid

            place.children = (RosterGrid(model.desk, at_home=model.at_home),)
        shown()

    def able(_: Any = None) -> None:
        checked = getattr(model, "checked", None)
        some = checked is not None and not checked.hint  # else no row of it could be read
        box.layout.display = "block" if some or model.desk is not None else "none"
        for one in (take, drop, save, again):
            one.disabled = model.busy or model.desk is None

    box.observe(opened, "selected_index")
    model.observe(laid, "desk")
    model.observe(shown, ["desk_note", "saved_note"])
    model.observe(folded, "table_open")
    model.observe(able, ["busy", "desk", "checked"])
    laid()
    able()
    folded()
    return ipw.VBox([done, mended, box])
