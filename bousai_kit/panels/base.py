"""What every panel is made of: a model (state, decisions, jobs) and a view (pixels).

The model is plain traitlets: it can be tested without a kernel. A button starts one job, the job is one
task that the model keeps; its failure becomes ``model.problem``, a Japanese sentence on the screen. Views
hold widgets and links; they decide nothing. Text reaches HTML only through `esc`.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import inspect
import logging
import math
import os
import re
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary

import traitlets as tl

from bousai_kit.errors import BousaiKitError

if TYPE_CHECKING:
    from bousai_kit.workbench import Workbench

__all__ = ["PanelModel", "Report", "esc", "guarded", "open_bench", "remembered", "table_html"]

log = logging.getLogger(__name__)

M = TypeVar("M", bound="PanelModel")
_RATE = re.compile(r"[\d.]+%")
STOPPED = "停止しました。ここまでの結果は台帳に残っています。同じボタンで続きから再開できます。"


def esc(value: object) -> str:
    """Text for HTML: nothing in it is markup."""
    return html.escape(str(value), quote=True)


def table_html(
    caption: str, header: Sequence[str], rows: Sequence[Sequence[object]], *, limit: int = 200
) -> str:
    """An accessible table.

    Parameters
    ----------
    caption : str
        What the table shows; read aloud first.
    header : sequence of str
        Column headings.
    rows : sequence of sequences
        Cells; numbers and rates are set to the right. Empty cells are ``None``.
    limit : int
        Rows shown; the rest is counted in a last line.
    """
    head = "".join(f'<th scope="col">{esc(cell)}</th>' for cell in header)
    body = []
    for row in rows[:limit]:
        cells = "".join(
            f'<td class="bk-n">{f"{cell:,}" if isinstance(cell, int) else esc(cell)}</td>'
            if isinstance(cell, int | float) or (isinstance(cell, str) and _RATE.fullmatch(cell))
            else f"<td>{'' if cell is None else esc(cell)}</td>"
            for cell in row
        )
        body.append(f"<tr>{cells}</tr>")
    if len(rows) > limit:
        body.append(f'<tr><td colspan="{len(header)}">ほか {len(rows) - limit:,} 行</td></tr>')
    return (
        f'<table class="bk-table"><caption>{esc(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


class Report:
    """What a panel's check says: a value with ``ok`` and both reprs.

    Parameters
    ----------
    ok : bool
        Nothing contradicts.
    lines : sequence of str
        Japanese sentences: what was looked at and what was seen.
    html : str
        The result itself, ready for the page (already escaped).
    """

    def __init__(self, ok: bool, lines: Sequence[str], html: str = "") -> None:
        self.ok = ok
        self.lines = tuple(lines)
        self._html = html

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{esc(line)}</li>" for line in self.lines)
        return f"{STYLE}<div class='bk'><ul>{items}</ul>{self._html}</div>"


class PanelModel(tl.HasTraits):
    """State of one panel, its jobs, and the sentences on top of it.

    Parameters
    ----------
    bench : Workbench
        Open; closed by whoever opened it.
    """

    banner = tl.Unicode("")
    next_step = tl.Unicode("")
    finished = tl.List(tl.Unicode())  # what has been done
    missing = tl.List(tl.Unicode())  # what has not
    blockers = tl.List(tl.Unicode())  # what is in the way of sending
    problem = tl.Unicode("")
    busy = tl.Bool(False)
    stopping = tl.Bool(False)
    progress_done = tl.Int(0)
    progress_total = tl.Int(0)
    progress_text = tl.Unicode("")

    min_interval_s: ClassVar[float] = 0.1  # a screen changes at most ten times a second

    def __init__(self, bench: Workbench, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bench = bench
        self.banner = banner_of(bench)
        self.stop_event = asyncio.Event()
        self._jobs: dict[str, asyncio.Task[Any]] = {}
        self._home: asyncio.AbstractEventLoop | None = None
        with contextlib.suppress(RuntimeError):  # made without a loop (tests): clicks run where they come
            self._home = asyncio.get_running_loop()
        self._told_at = -math.inf
        self._waiting: tuple[int, int, str] | None = None
        self._later: asyncio.TimerHandle | None = None

    @property
    def unattended(self) -> bool:
        """Nobody waits in front of it: the sandbox runs in this process and its clock jumps."""
        return bool(self.bench.clock.speed == math.inf)

    def at_home(self, act: Callable[[], None]) -> None:
        """Run something in the loop in which the bench was opened.

        A front end may deliver clicks in a subshell, which is another thread with a loop of its own; what the
        bench holds (connections, locks, tasks) belongs to the loop of the cells.
        """
        home = self._home
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if home is None or here is home or not home.is_running():
            act()
        else:
            home.call_soon_threadsafe(act)

    # -- jobs -----------------------------------------------------------------------------------------

    def start(self, name: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Task[Any]:
        """Start a job, or return the one of this name that is still running (a second click is none)."""
        running = self._jobs.get(name)
        if running is not None and not running.done():
            return running
        task = asyncio.get_running_loop().create_task(self._carry(work), name=name)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # said on the screen
        self._jobs[name] = task
        return task

    async def _carry(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        self.problem, self.busy = "", True
        if not self._others():  # else a stop that another job is still obeying stays in force
            self.stopping = False
            self.stop_event.clear()
        try:
            result = await work()
            if self.stop_event.is_set():
                self.problem = STOPPED
            return result
        except asyncio.CancelledError:
            self.problem = STOPPED
            raise
        except Exception as error:
            self.fail(error)
            raise
        finally:
            self._flush()
            self.busy = self._others()
            self.stopping = self.stopping and self.busy
            with contextlib.suppress(Exception):  # what went wrong has been said already
                self.refresh()

    def _others(self) -> bool:
        """Another job than the one that asks is running."""
        here = asyncio.current_task()
        return any(task is not here and not task.done() for task in self._jobs.values())

    def stop(self) -> None:
        """Let the running jobs end at their next safe point; a second time: at once."""
        if self.stopping:
            for task in self._jobs.values():
                task.cancel()
        self.stopping = self.busy
        self.stop_event.set()

    def fail(self, error: BaseException) -> None:
        """Put a failure on the screen (never its text, unless it is one of the kit's own)."""
        if isinstance(error, BousaiKitError):
            self.problem = error.sentence()
        else:
            log.error("panel job failed", exc_info=error)
            self.problem = (
                f"予期しない誤りで止まりました（{type(error).__name__}）。"
                "もう一度同じボタンを押すと続きから再開します。直らないときは担当者に連絡してください。"
            )

    def tell(self, done: int, total: int, text: str = "") -> None:
        """Show progress; more than ten times a second only the newest is kept."""
        now = time.monotonic()
        self._waiting = (done, total, text)
        wait = self._told_at + self.min_interval_s - now
        if wait <= 0:
            self._flush()
        elif self._later is None:
            with contextlib.suppress(RuntimeError):  # no loop: the end of the job shows it
                self._later = asyncio.get_running_loop().call_later(wait, self._flush)

    def _flush(self) -> None:
        if self._later is not None:
            self._later.cancel()
        self._later = None
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._told_at = time.monotonic()
            with self.hold_trait_notifications():
                self.progress_done, self.progress_total, self.progress_text = waiting

    def refresh(self) -> None:
        """Say where we are and what comes next (called after every job)."""
        self.blockers = self._blockers()
        done: list[str] = []
        missing: list[str] = []
        self.next_step = self._next(done, missing)
        self.finished, self.missing = done, missing

    def _blockers(self) -> list[str]:
        """What is in the way of sending."""
        return []

    def _next(self, done: list[str], missing: list[str]) -> str:
        """The next step; puts into the lists what has been done and what has not."""
        return self.next_step

    # -- result ---------------------------------------------------------------------------------------

    def as_html(self) -> str:
        """The result without widgets: for a saved page, and for readers without a kernel."""
        done = "".join(f"<li>済：{esc(line)}</li>" for line in self.finished)
        todo = "".join(f"<li>まだ：{esc(line)}</li>" for line in self.missing)
        problem = f"<p class='bk-problem'>{esc(self.problem)}</p>" if self.problem else ""
        return (
            f"{STYLE}<div class='bk'><p class='bk-banner'>{esc(self.banner)}</p>"
            f"<p class='bk-next'>次にすること：{esc(self.next_step)}</p>{problem}<ul>{done}{todo}</ul></div>"
        )


def banner_of(bench: Workbench) -> str:
    """Where this sends to, and how fast the clock runs."""
    speed = bench.clock.speed
    if bench.in_sandbox:
        pace = "時計は仮想です（待ち時間なし）" if speed == math.inf else f"時計は {speed:g} 倍速です"
        return f"【サンドボックス】実際には送信されません。{pace}。"
    pace = "" if speed == 1 else f"時計は {speed:g} 倍速です。"
    if bench.settings.is_loopback:
        return f"【試験用サーバー】この端末の中だけで動きます（接続先：{bench.settings.profile}）。{pace}"
    return f"【本番】実際に送信されます（接続先：{bench.settings.profile}）。{pace}"


def guarded(model: PanelModel, action: Callable[[], Any], *, job: str = "") -> Callable[[Any], None]:
    """A click handler whose failure reaches the screen; ipywidgets would swallow it.

    Parameters
    ----------
    model : PanelModel
        Where a failure goes.
    action : callable
        A plain function, or one that returns a coroutine: it then becomes the job `job`.
    job : str
        Name of the job; default: the action's name.
    """

    def act() -> None:
        try:
            if inspect.iscoroutinefunction(action):
                model.start(job or action.__name__, action)
            else:
                model.problem = ""
                action()
        except Exception as error:  # every failure is said
            model.fail(error)

    def handler(_: Any = None) -> None:
        model.at_home(act)

    return handler


# -- one bench and one model a kernel, however often a cell runs ---------------------------------------

_benches: dict[tuple[str, int], Workbench] = {}
_opening: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
_models: WeakKeyDictionary[Any, dict[tuple[Any, ...], PanelModel]] = WeakKeyDictionary()


async def open_bench(profile: str | None = None, *, seed: int = 1) -> Workbench:
    """Open the workbench of a notebook; running the cell again gives the same one back.

    Parameters
    ----------
    profile : str, optional
        Default: what the settings say.
    seed : int
        Seed of the embedded sandbox's people.
    """
    from bousai_kit.lab import FOLDER_VARIABLE
    from bousai_kit.settings import load_settings
    from bousai_kit.workbench import open_workbench

    key = (profile or "", seed)
    async with _opening.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        if key not in _benches or _benches[key].ledger.closed:
            for other in list(_benches.values()):
                await other.close()
            _benches.clear()
            folder = os.environ.get(FOLDER_VARIABLE)
            given = {"BOUSAI_PROFILE": profile} if profile else {}
            settings = load_settings(overrides=given, cwd=Path(folder) if folder else None)
            _benches[key] = await open_workbench(settings=settings, seed=seed)
        return _benches[key]


def remembered(bench: Workbench, key: tuple[Any, ...], make: Callable[[], M]) -> M:
    """The model of this bench and key: what was typed survives, and nothing is done twice."""
    models = _models.setdefault(bench, {})
    if key not in models:
        models[key] = make()
    return models[key]  # type: ignore[return-value]  # one class a key


STYLE = """<style>
.bk{font-family:"Noto Sans CJK JP","Hiragino Sans","Yu Gothic UI",Meiryo,sans-serif;
  font-size:14px;line-height:1.6;color:#1a1a1a;max-width:60em}
.bk p,.bk ul{margin:.3em 0}
.bk-banner{background:#fff3c4;color:#1a1a1a;border:2px solid #8a6d00;padding:.3em .8em;font-weight:bold}
.bk-banner.bk-live{background:#ffdcd9;border-color:#a30000}
.bk-next{font-size:1.2em;font-weight:bold;border-left:.4em solid #0b57a4;padding:.2em .7em;background:#eef5fc}
.bk-done{border:2px solid #1b6e2f;background:#eaf6ec;padding:.4em .8em;font-weight:bold}
.bk-problem{border:2px solid #a30000;background:#fff0ef;padding:.4em .8em;font-weight:bold}
.bk-table{border-collapse:collapse;margin:.5em 0;font-size:13px}
.bk-table caption{text-align:left;font-weight:bold;padding:.3em 0}
.bk .bk-table th,.bk .bk-table td{border:1px solid #b8b8b8;padding:.2em .6em;text-align:left;
  vertical-align:top}
.bk .bk-table td.bk-n{text-align:right;font-variant-numeric:tabular-nums}
.bk-table th{background:#f0f0f0}
.bk-table thead th{white-space:nowrap}
.jp-OutputArea-output:has(.bk-panel),.jp-OutputArea-child:has(.bk-panel),.jp-OutputArea:has(.bk-panel),
.jp-Cell-outputWrapper:has(.bk-panel),.jp-Cell:has(.bk-panel),.bk-panel{overflow:visible!important}
.bk-top{position:sticky;top:0;z-index:6;background:#fff;overflow:visible}
.bk-side{display:flex;flex-wrap:wrap;gap:0 2em;align-items:flex-start}
.bk-running{position:sticky;bottom:0;z-index:5;background:#fff;border-top:2px solid #0b57a4;
  padding:.3em 0;align-items:center}
</style>"""
