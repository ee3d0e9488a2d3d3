"""The record of what went over the wire, as a panel shows it: never a secret, a body, a query or a login id.

It hangs on the workbench's one hook (`Workbench.tracer`), so it shows what any notebook of this kernel asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from bousai_kit.panels.base import esc, table_html

if TYPE_CHECKING:
    from bousai_kit.lineworks.values import Trace
    from bousai_kit.workbench import Workbench

__all__ = ["Traffic"]

KEPT = 200
SHOWN = 50
_INTERVAL_S = 0.1  # a screen changes at most ten times a second


class Traffic:
    """The last requests of a workbench.

    Parameters
    ----------
    bench : Workbench
        Its hook is taken; whoever had it before is told too.
    changed : callable
        Called, at most ten times a second, when there is something new.

    Attributes
    ----------
    count, throttled, unanswered : int
        Requests since it began; those answered 429; those without an answer.
    """

    def __init__(self, bench: Workbench, changed: Callable[[], None]) -> None:
        self._kept: deque[tuple[datetime, Trace]] = deque(maxlen=KEPT)
        self._clock = bench.clock
        self._changed = changed
        self._told_at = float("-inf")
        self._later: asyncio.TimerHandle | None = None
        self._before = bench.tracer
        self.count = self.throttled = self.unanswered = 0
        bench.tracer = self.note

    def note(self, trace: Trace) -> None:
        """One request has ended."""
        if self._before is not None:
            self._before(trace)
        self._kept.append((self._clock.now(), trace))
        self.count += 1
        self.throttled += trace.status == 429
        self.unanswered += trace.status is None
        wait = self._told_at + _INTERVAL_S - time.monotonic()
        if wait <= 0:
            self._tell()
        elif self._later is None:
            with contextlib.suppress(RuntimeError):  # no loop: whoever looks next sees it
                self._later = asyncio.get_running_loop().call_later(wait, self._tell)

    def _tell(self) -> None:
        if self._later is not None:
            self._later.cancel()
        self._later, self._told_at = None, time.monotonic()
        self._changed()

    def title(self) -> str:
        """The line above the fold."""
        return f"通信の記録（{self.count:,} 件）"

    def as_html(self) -> str:
        """The newest requests as a table, the newest first."""
        if not self.count:
            return "<p>まだ通信していません。</p>"
        rows = [
            (
                f"{at.astimezone():%H:%M:%S}",
                trace.method,
                trace.path,
                "応答なし" if trace.status is None else trace.status,
                round(trace.ms),
                trace.limit_left,
                None if trace.attempt == 1 else f"{trace.attempt} 回目",
            )
            for at, trace in list(self._kept)[: -SHOWN - 1 : -1]
        ]
        said = f"全 {self.count:,} 件、制限による待ち（429）{self.throttled:,} 件、"
        said += f"応答なし {self.unanswered:,} 件。新しい {len(rows)} 件を表示しています。"
        header = ("時刻", "要求", "宛先", "結果", "ミリ秒", "残り回数", "再試行")
        note = "本文、検索条件、トークン、ログイン ID は記録しません。"
        return f"<p>{esc(said)}{esc(note)}</p>{table_html('通信の記録', header, rows)}"
