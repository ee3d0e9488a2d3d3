"""The roster editable in place: the desk (one table, its draft, who looks at it) and the widget.

Rows travel as messages, in windows, when they come into sight: no name is part of the widget's state, so
none can end up in a notebook file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakSet

import anywidget

from bousai_kit.errors import BousaiKitError
from bousai_kit.panels.files import program, send_file
from bousai_kit.panels.grid_session import GridSession
from bousai_kit.panels.roster_drafts import Drafts
from bousai_kit.roster.editing import RosterTable
from bousai_kit.roster.keeping import draft_of, take_draft

__all__ = ["Desk", "RosterGrid"]

log = logging.getLogger(__name__)

REST_S = 0.4  # after the last edit: compare the rows with each other, keep the draft
_WAIT = "保存しています。終わってから、もう一度直してください（いまの入力は入っていません）。"
_QUIET = ("hello", "rows", "where", "download")


class Desk:
    """A roster on the table: edits, their draft, and the grids that show it.

    Parameters
    ----------
    table : RosterTable
    home : Path
        Of the workbench.
    encoding : callable
        The encoding in which to write (as `RosterTable.content`).
    changed : callable
        Called after each edit.

    Attributes
    ----------
    found : Path or None
        A draft of another time that nobody holds: `take` or `drop` it.
    busy : int
        Tables of the same file that are open elsewhere.
    frozen : bool
        It is being saved or read again: an edit now would be in neither, so it is refused.
    """

    def __init__(
        self,
        table: RosterTable,
        home: Path,
        *,
        encoding: Callable[[], str] = lambda: "",
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.table = table
        self.session = GridSession(table)
        self._drafts = Drafts(home, table.source)
        self._encoding = encoding
        self._changed = changed
        self._grids: WeakSet[RosterGrid] = WeakSet()
        self._rest: asyncio.TimerHandle | None = None
        self.frozen = False
        left, self.busy = self._drafts.others()
        self._drafts.open()
        self.found: Path | None = left[0] if left else None

    def __repr__(self) -> str:
        return f"<Desk {self.table!r}>"

    # -- drafts -----------------------------------------------------------------------------------------

    def draft_size(self) -> int:
        """Rows in the draft that was found."""
        if self.found is None:
            return 0
        try:
            draft = self._drafts.read(self.found)
            return sum(len(draft[name]) for name in ("edited", "removed", "added"))
        except (BousaiKitError, KeyError, TypeError):
            return 0

    def take(self) -> int:
        """Do again what the found draft holds; how many of its rows fit no row of this file.

        Raises
        ------
        InputError
            It cannot be used.
        """
        if self.found is None:
            return 0
        left = self.take_over(self._drafts.read(self.found))
        self.rest()  # the own draft is on the disk before the other one goes
        self.drop()
        return left

    def take_over(self, draft: Mapping[str, Any]) -> int:
        """Do again what a draft holds, and show it."""
        left = take_draft(self.table, draft)
        self.session.answer({"do": "view", "only": "all", "search": ""})
        self.tell()
        return left

    def drop(self) -> None:
        """Throw the found draft away."""
        if self.found is not None:
            self._drafts.drop(self.found)
            self.found = None

    def draft(self) -> dict[str, Any]:
        """What has not been saved."""
        return draft_of(self.table)

    def saved(self) -> None:
        """Everything stands in a file: no draft any more."""
        self._cancel()
        self._drafts.drop()

    def close(self) -> None:
        """Put the table away; what was not saved stays as a draft."""
        if self._rest is not None:
            self.rest()
        self._drafts.close()

    # -- grids ------------------------------------------------------------------------------------------

    def seen_by(self, grid: RosterGrid) -> None:
        """Another grid shows this table."""
        self._grids.add(grid)

    def heard(self, grid: RosterGrid, asked: Mapping[str, Any]) -> None:
        """Answer a grid, and let the others know; every answer names its question (``of``)."""
        what, of = asked.get("do"), {"of": asked.get("of")}
        if what == "download":
            self._download(grid, of)
            return
        if self.frozen and what not in (*_QUIET, "view", "next"):
            grid.send(self.session.state() | of)
            grid.send({"kind": "said", "text": _WAIT, "bad": True} | of)
            return
        edited = self.table.version
        for message in self.session.answer(asked):
            grid.send(message | of)
        if what in _QUIET:
            return
        self.tell(but=grid)
        if self.table.version != edited:
            self._later()
            self._changed()

    def tell(self, *, but: RosterGrid | None = None) -> None:
        """Let the grids show the table as it is."""
        state = self.session.state(rows=False)
        for grid in list(self._grids):
            if grid is not but:
                grid.send(state)

    def rest(self) -> None:
        """After the last edit: look how the rows stand to each other, show it, keep the draft."""
        self._cancel()
        if self.table.settle():
            for grid in list(self._grids):
                grid.send(self.session.state(rows=len(self._grids) == 1))
        try:
            self._drafts.write(draft_of(self.table))
        except (OSError, BousaiKitError) as error:
            log.error("draft not kept", exc_info=error)
            said = "下書きを保存できません（ディスクの空きを確かめてください）。早めに保存してください。"
            for grid in list(self._grids):
                grid.send({"kind": "said", "text": said, "bad": True})

    def _later(self) -> None:
        self._cancel()
        try:
            self._rest = asyncio.get_running_loop().call_later(REST_S, self.rest)
        except RuntimeError:  # without a loop (tests): at once
            self.rest()

    def _cancel(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _download(self, grid: RosterGrid, of: dict[str, Any]) -> None:
        try:
            content = self.table.content(encoding=self._encoding())
        except BousaiKitError as error:
            grid.send({"kind": "said", "text": error.sentence(), "bad": True} | of)
            return
        source = self.table.source
        name = f"{source.stem}_修正{source.suffix}" if self.table.edited_count else source.name
        send_file(grid, name, content, of)


class RosterGrid(anywidget.AnyWidget):
    """Shows a desk's table; its state holds the program and no row.

    Parameters
    ----------
    desk : Desk
    at_home : callable
        Runs something in the loop of the cells (`PanelModel.at_home`).
    """

    _esm = program("roster_grid.js")
    _css = Path(__file__).with_name("roster_grid.css")

    def __init__(self, desk: Desk, *, at_home: Callable[[Callable[[], None]], None]) -> None:
        super().__init__()
        self._desk = desk
        self._at_home = at_home
        desk.seen_by(self)
        self.on_msg(self._heard)

    def _heard(self, _: Any, content: Any, buffers: Any) -> None:
        if isinstance(content, dict):
            self._at_home(lambda: self._desk.heard(self, content))
