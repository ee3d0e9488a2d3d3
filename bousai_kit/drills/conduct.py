"""Conduct a drill: waves, reminders, injects, escalation, deadlines; from the ledger, so from anywhere.

A `Conductor` holds nothing that the ledger does not hold. It follows the ledger, works out what is due, and
hands it to the `Sender`. Whoever runs the same drill in another process of this home stands by and goes on
should the first one die; dispatch keys in the ledger keep every dispatch single, whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bousai_kit.clock import Clock
from bousai_kit.drills.agenda import Agenda
from bousai_kit.drills.broadcast import Sender
from bousai_kit.drills.plan import DrillPlan
from bousai_kit.drills.result import DrillResult, result_of
from bousai_kit.drills.state import DrillState, Pair, read_state
from bousai_kit.drills.store import DrillLock
from bousai_kit.errors import DrillClosed, DrillError, DrillGuardError, LedgerError

if TYPE_CHECKING:
    from bousai_kit.ledger import Ledger
    from bousai_kit.lineworks.client import LineWorksClient

__all__ = ["Conductor"]

GRACE_S = 20.0
STAND_BY_S = 1.0
TELL_S = 0.1

Tell = Callable[[DrillState], None]


class Conductor:
    """Runs one drill, from wherever it stands.

    Parameters
    ----------
    plan : DrillPlan, optional
    drill_id : str, optional
        One of the two.
    client : LineWorksClient
    ledger : Ledger
    clock : Clock, optional
        Default: the client's.
    home : Path or None
        Holds the lock of the drill; None: the ledger's keys alone keep dispatches single.
    bot_id : int
        The bot that speaks.

    Notes
    -----
    Callbacks have to reach the same ledger while it runs (``async with bench.receiving()``).
    """

    def __init__(
        self,
        *,
        plan: DrillPlan | None = None,
        drill_id: str = "",
        client: LineWorksClient,
        ledger: Ledger,
        bot_id: int,
        clock: Clock | None = None,
        home: Path | None = None,
    ) -> None:
        self.drill_id = plan.drill_id if plan is not None else drill_id
        self.client = client
        self.ledger = ledger
        self.clock = clock or client.clock
        self.home = home
        self.bot_id = bot_id
        self._wake = asyncio.Event()
        self._tell_again_at = 0.0

    def __repr__(self) -> str:
        return f"<Conductor {self.drill_id}>"

    # -- running ------------------------------------------------------------------------------------

    async def run(
        self, stop: asyncio.Event | None = None, tell: Tell | None = None, *, wait: bool = True
    ) -> DrillResult:
        """Send what is due and not sent, remind, escalate, and wait for answers.

        Parameters
        ----------
        stop : asyncio.Event, optional
            Set: what is under way is finished, nothing more is sent.
        tell : callable, optional
            Gets the state, at most ten times a second; reads from it, keeps nothing of it.
        wait : bool
            False: return when all that is due now has been sent.

        Raises
        ------
        DrillError
            There is no such drill.
        DrillClosed
        DrillGuardError
            An `actual` that nobody has approved.
        LedgerError
            What happened cannot be written down any more; sending has stopped.
        LineWorksError
            Nothing gets through at all.
        """
        self._wake = asyncio.Event()
        state = await read_state(self.ledger, self.drill_id)
        check_may_run(state)
        lock = DrillLock(self.home, self.drill_id)
        try:
            while not lock.take():
                await self._catch_up(state)
                if (stop is not None and stop.is_set()) or state.closed_at is not None:
                    return result_of(state, elapsed_s=0.0, requests=0, throttled=0)
                self._tell(tell, state)
                await self.clock.sleep(STAND_BY_S)
            return await self._run(stop, tell, wait=wait)
        finally:
            lock.release()

    async def _run(self, stop: asyncio.Event | None, tell: Tell | None, *, wait: bool) -> DrillResult:
        began, stats = self.clock.monotonic(), self.client.stats
        requests, throttled = stats.requests, stats.throttled
        await self.ledger.append(
            f"drill:{self.drill_id}",
            "drill.started",
            self.drill_id,
            {"at": self.clock.now().isoformat()},
            once=f"drill:{self.drill_id}:started",
        )
        state = await read_state(self.ledger, self.drill_id)
        check_may_run(state)
        agenda = Agenda(state, clock=self.clock)
        sender = Sender(
            drill_id=self.drill_id,
            bot_id=self.bot_id,
            client=self.client,
            ledger=self.ledger,
            clock=self.clock,
            still_wanted=agenda.wants,
            done=lambda _: self._wake.set(),
        )
        follower = asyncio.create_task(self._follow(state.seq), name="drill follower")
        why = "interrupted"
        try:
            await self._conduct(state, agenda, sender, stop, tell, wait=wait)
            why = "stopped" if stop is not None and stop.is_set() else "done" if wait else "sent"
        finally:
            follower.cancel()
            with contextlib.suppress(asyncio.CancelledError, LedgerError):
                await follower
            await sender.finish(GRACE_S)
            with contextlib.suppress(LedgerError):
                await self.ledger.append(
                    f"drill:{self.drill_id}",
                    "drill.rested",
                    self.drill_id,
                    {
                        "why": why,
                        "at": self.clock.now().isoformat(),
                        "requests": stats.requests - requests,
                        "throttled": stats.throttled - throttled,
                    },
                )
        if sender.failure is not None:
            raise sender.failure
        await self._catch_up(state)
        self._tell(tell, state, now=True)
        return result_of(
            state,
            elapsed_s=self.clock.monotonic() - began,
            requests=stats.requests - requests,
            throttled=stats.throttled - throttled,
            notes=self._notes(state, why),
        )

    async def _conduct(
        self,
        state: DrillState,
        agenda: Agenda,
        sender: Sender,
        stop: asyncio.Event | None,
        tell: Tell | None,
        *,
        wait: bool,
    ) -> None:
        agenda.begin()
        while True:
            for pair in await self._catch_up(state):
                agenda.consider(pair)
            if state.closed_at is not None or sender.failure is not None:
                return
            if stop is not None and stop.is_set():
                return
            while (wave := agenda.due_wave()) is not None:
                await self._decide(state, wave)
                for pair in await self._catch_up(state):
                    agenda.consider(pair)
                agenda.wave_decided(wave)
            for task in agenda.due_tasks():
                sender.put(task)
            self._tell(tell, state)
            idle, upcoming = sender.idle, agenda.next_due()
            over = upcoming is None or (not wait and upcoming > self.clock.now())
            if idle and over and not self._wake.is_set():
                if not await self._behind(state):
                    return
                continue
            await self._pause(upcoming if wait or not idle else None, stop)

    async def _decide(self, state: DrillState, wave: int) -> None:
        """Whether a wave goes out; whoever decides first has decided."""
        if wave in state.waves:
            return
        condition = state.plan["waves"][wave].get("unless")
        body: dict[str, Any] = {"wave": wave, "at": self.clock.now().isoformat(), "skipped": False}
        if condition:
            answered = answered_so_far(state, wave)
            body |= {"answered": answered, "skipped": answered >= int(condition["answered"])}
        once = f"drill:{self.drill_id}:wave:{wave}"
        await self.ledger.append(f"drill:{self.drill_id}", "drill.wave", str(wave), body, once=once)

    # -- following ----------------------------------------------------------------------------------

    async def _follow(self, after: int) -> None:
        async for _ in self.ledger.follow(after=after):
            self._wake.set()

    async def _catch_up(self, state: DrillState) -> list[Pair]:
        """Take what is new in the ledger; whom it is about."""
        self._wake.clear()
        changed: list[Pair] = []
        for event in await self.ledger.read(after=state.seq):
            changed.extend(state.take(event))
        return list(dict.fromkeys(changed))

    async def _behind(self, state: DrillState) -> bool:
        return (await self.ledger.head())[0] > state.seq

    async def _pause(self, until: datetime | None, stop: asyncio.Event | None) -> None:
        waits: list[Awaitable[Any]] = [self._wake.wait()]
        if until is not None:
            waits.append(self.clock.sleep(max(0.0, (until - self.clock.now()).total_seconds())))
        if stop is not None:
            waits.append(stop.wait())
        tasks = [asyncio.ensure_future(one) for one in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _tell(self, tell: Tell | None, state: DrillState, *, now: bool = False) -> None:
        if tell is None:
            return
        reading = time.monotonic()
        if now or reading >= self._tell_again_at:
            tell(state)
            spent = time.monotonic() - reading
            self._tell_again_at = reading + spent + max(TELL_S, 9 * spent)  # a tenth of the time at most

    def _notes(self, state: DrillState, why: str) -> tuple[str, ...]:
        notes = []
        if why == "stopped":
            notes.append(f"停止しました。`bousai drill resume {self.drill_id}` で続きから再開できます。")
        if state.closed_at is not None:
            notes.append("この訓練は終了しています。")
        silent = any(state.asks(message) for message, _ in state.reaches)
        if why == "done" and silent and not any(one.answer for one in state.reaches.values()):
            notes.append(
                "応答を 1 件も受信していません。受信サーバー（bousai doctor）を確認してください。"
                f"`bousai drill settle {self.drill_id}` でログから応答を拾えます。"
            )
        return tuple(notes)


def check_may_run(state: DrillState) -> None:
    """Refuse what must not go out.

    Raises
    ------
    DrillError, DrillClosed, DrillGuardError
    """
    if not state.plan:
        raise DrillError(f"訓練 {state.drill_id} の計画が台帳にありません。")
    if state.closed_at is not None:
        raise DrillClosed(f"訓練 {state.drill_id} は終了しています。")
    if not state.people:
        raise DrillError(
            "送信できる人が 1 人もいません。",
            hint="`bousai onboard status` で、登録と初回ログインが済んでいるか確認してください。",
        )
    if state.kind == "actual" and state.approval is None:
        raise DrillGuardError(
            "実災害の送信には、2 人目の承認が必要です。",
            hint=f"別の担当者が `bousai drill approve {state.drill_id}` を実行するか、"
            "ほかに誰もいないときは --reason に理由を書いてください。",
        )


def answered_so_far(state: DrillState, wave: int) -> int:
    """How many have answered what a wave's condition is about."""
    waves = state.plan["waves"]
    condition = waves[wave].get("unless") or {}
    earlier = [message for one in waves[:wave] for message in one["messages"] if state.asks(message)]
    own = [message for message in waves[wave]["messages"] if message in earlier]
    about = condition.get("message") or (own or earlier[-1:] or [""])[0]
    return sum(
        1 for (message, _), reach in state.reaches.items() if message == about and reach.answer is not None
    )
