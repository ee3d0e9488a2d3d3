"""Carry steps out: intent before the request, outcome after it, unknown ones looked up, one failure alone.

Several processes may do this to one plan at once: the intent of an attempt can be written once, and what
another one has begun is left to it until it is old enough to have been given up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import (
    ApiError,
    AuthRejected,
    BousaiKitError,
    ConfigError,
    Conflict,
    ForeignLocation,
    GuardError,
    InvalidRequest,
    LedgerError,
    LineWorksError,
    OutcomeUnknown,
    PermissionDenied,
    ProtocolViolation,
    TransportFailed,
)
from bousai_kit.ledger import NewEvent
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.steps import GIVEN_UP_S, Step
from bousai_kit.onboarding.together import together

if TYPE_CHECKING:
    from bousai_kit.clock import Clock

__all__ = ["LOOK_AROUND_S", "Carrier", "Tell"]

Tell = Callable[[int, int, str], None]

WORKERS = 16
LOOK_AGAIN_S = 11.0  # the client does not ask again earlier
MAIL_SURE_S = 600.0  # a create that mails the person is not sent again before it is certain to have been lost
LOOK_AROUND_S = 5.0
BEAT_S = 5.0  # so often the time left is said anew while nothing ends
DENIED_IN_A_ROW = 5
MAIL_UNSURE = (
    "登録できたか確認できません。招待メールが二重に届かないよう、すぐには送り直しません。"
    "10 分ほどたってから、もう一度実行してください。"
)
_FATAL = (AuthRejected, TransportFailed, ForeignLocation, ConfigError)


class Carrier:
    """One run.

    Parameters
    ----------
    total : int
        Steps of all phases.
    foreseen : mapping
        Seconds that a phase will take, by its title.
    counts : mapping
        How many steps a phase has whose steps are to be made one by one: 30,000 at once fill the memory.
    is_over : callable
        Whether another run, by its name, has certainly ended: what it had begun is nobody's any more.

    Attributes
    ----------
    done, skipped : int
        Steps done in this run; steps that had been done before.
    failed, unknown : list of dict
        ``step, row, staff_number, reason``.
    left : int
        Steps not reached because of a stop.
    created : int
        Accounts made in this run.
    refused : bool
        The tenant's API does not let us make org units or people.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Clock,
        stop: asyncio.Event | None = None,
        tell: Tell | None = None,
        total: int = 0,
        foreseen: Mapping[str, float] | None = None,
        paces: Mapping[str, str] | None = None,
        counts: Mapping[str, int] | None = None,
        is_over: Callable[[str], bool] = lambda _: False,
        undoing: bool = False,
    ) -> None:
        self.journal = journal
        self.done = self.skipped = self.left = self.created = 0
        self.failed: list[dict[str, Any]] = []
        self.unknown: list[dict[str, Any]] = []
        self._clock = clock
        self._stop = stop
        self._tell = tell
        self._total = total
        self._foreseen = dict(foreseen or {})
        self._counts = dict(counts or {})
        self._is_over = is_over
        self._paces = dict(paces or {})
        self._phase = (0.0, 0, 0)  # of the phase: when it began, steps ended before it, its steps
        self._undoing = undoing
        self._ended = 0
        self._began = self._looked = clock.monotonic()
        self._fatal: BousaiKitError | None = None
        self._denied = 0
        self.refused = False

    @property
    def stopped(self) -> bool:
        """Somebody asked to stop."""
        return self._stop is not None and self._stop.is_set()

    async def phase(self, title: str, steps: Iterable[Step], *, workers: int = WORKERS) -> None:
        """Carry out steps that do not depend on each other (with one worker: in their order).

        Raises
        ------
        BousaiKitError
            Something that would meet every step: no access, no network, no ledger. What was under way has
            been written down.
        """
        await self._look_around()
        count = self._counts.get(title)
        if count is None:
            steps = list(steps)
            count = len(steps)
        todo, later = iter(steps), list[Step]()
        self._phase = (self._clock.monotonic(), self._ended, count)
        if count and not self.stopped:
            self._say(title)

        async def work() -> None:
            while self._fatal is None and not self.stopped:
                step = next(todo, None)
                if step is None:
                    return
                if self.journal.done(step.key):  # in an earlier run: not said one by one
                    self.skipped += 1
                    self._ended += 1
                    continue
                try:
                    if self._clock.monotonic() - self._looked > LOOK_AROUND_S:
                        await self._look_around()
                    if await self._carry(step, patient=False, pending=bool(later)):
                        self._tick(title)
                    else:
                        later.append(step)
                except BousaiKitError as error:
                    self._fatal = self._fatal or error

        async with self._beating(title):
            await together(*(work() for _ in range(workers)))
        for round_ in range(8):
            if not later or self._fatal is not None or self.stopped:
                break
            await self._clock.sleep(GIVEN_UP_S)
            await self._look_around()
            waiting, later = later, []
            for step in waiting:
                if await self._carry(step, patient=True, pending=bool(later)):
                    self._tick(title)
                elif round_ < 7:
                    later.append(step)
                else:
                    self._list(self.unknown, step, "別の処理が実行中です。")
        self.left += sum(1 for _ in todo) + (len(later) if self.stopped else 0)
        if self._fatal is not None:
            raise self._fatal

    async def _look_around(self) -> None:
        """See what another process has done meanwhile, an undo above all."""
        self._looked = self._clock.monotonic()
        await self.journal.refresh()
        if self.journal.undone and not self._undoing:
            raise GuardError("この登録は、別の処理で取り消されています。続きは実行しません。", hint="")

    @contextlib.asynccontextmanager
    async def _beating(self, title: str) -> AsyncIterator[None]:
        """Say the time left again and again in a phase that is long: a whole minute may end nothing."""
        if self._tell is None or self._foreseen.get(title, 0.0) < 2 * BEAT_S:
            yield
            return

        async def beat() -> None:
            while True:
                await self._clock.sleep(BEAT_S)
                self._say(title)

        task = asyncio.create_task(beat())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _tick(self, title: str) -> None:
        self._ended += 1
        self._say(title)

    def _say(self, title: str) -> None:
        """How far all is, how far this phase is, what it waits for and for how long."""
        if self._tell is None:
            return
        _, before, steps = self._phase
        said = [self._paces[title]] if title in self._paces else []
        if self._ended < self._total and (said or self._clock.monotonic() - self._began > 5):
            said.append(_left(self._left_s(title)))
        text = f"{title} {self._ended - before:,}/{steps:,}" + (f"（{'。'.join(said)}）" if said else "")
        self._tell(self._ended, max(self._total, self._ended), text)

    def _left_s(self, title: str) -> float:
        """Seconds to the end: what was foreseen of this phase, while that lasts, and of those after it."""
        began, before, steps = self._phase
        now = self._clock.monotonic()
        if title not in self._foreseen:
            return (now - self._began) / self._ended * (self._total - self._ended)
        spent, ended = now - began, max(1, self._ended - before)
        left_s = self._foreseen[title] - spent
        if left_s <= 0 or (title == "組織" and self._ended > before):  # these come evenly, others in bursts
            left_s = spent / ended * max(0, steps - ended)
        titles = list(self._foreseen)
        return left_s + sum(self._foreseen[one] for one in titles[titles.index(title) + 1 :])

    # -- one step -----------------------------------------------------------------------------------------

    async def _carry(self, step: Step, *, patient: bool, pending: bool) -> bool:
        """True: it has come to an end for this run. False: another process is at it, or at what it needs."""
        state = self.journal.state(step.key)
        if state is not None and state.status == "done":
            self.skipped += 1
            return True
        reason = step.blocked()
        if reason and pending:
            return False
        if reason:
            if not step.quiet:
                self._list(self.failed, step, reason)
            return True
        if state is not None and state.status in ("open", "unknown"):
            age = (self._clock.now() - state.at).total_seconds()
            theirs = state.status == "open" and state.run != self.journal.run
            wait_s = self._given_up_s(step, state.run) if theirs else 0.0
            if age < wait_s and not (patient and wait_s <= GIVEN_UP_S):
                return False
            if step.look is not None:
                try:
                    found = await step.look()
                except LineWorksError as error:
                    self._list(self.unknown, step, str(error))
                    self._raise_if_fatal(error)
                    return True
                if found is not None:
                    await self._settled(step, found)
                    return True
                if step.mails and age < MAIL_SURE_S:
                    self._list(self.unknown, step, MAIL_UNSURE)
                    return True
                await self.journal.end(step.key, "settled_absent")
        return await self._try(step)

    def _given_up_s(self, step: Step, run: str) -> float:
        """A run that is over waits for no turn any more; what it had sent may still be on its way."""
        if step.given_up_s <= GIVEN_UP_S or not self._is_over(run):
            return step.given_up_s
        return GIVEN_UP_S

    async def _try(self, step: Step) -> bool:
        for again in (False, True):
            known = self.journal.done(step.key)  # another run has been quicker
            attempt = None if known else await self.journal.intend(step.key, **step.body)
            if attempt is None:
                await self.journal.refresh()
                if not self.journal.done(step.key):
                    return False
                self.skipped += 1
                return True
            try:
                made = await step.send()
            except (OutcomeUnknown, ProtocolViolation) as error:  # an answer that says nothing is none
                await self.journal.end(step.key, "unknown")
                if step.look is not None:
                    found = await self._find(step)
                    if found is not None:
                        await self._settled(step, found)
                        return True
                    if self.journal.states[step.key].status == "unknown":
                        self._list(self.unknown, step, MAIL_UNSURE if step.mails else str(error))
                        return True
                if again and not self.journal.done(step.key):
                    where = self.unknown if step.look is None else self.failed
                    self._list(where, step, str(error))
            except LineWorksError as error:
                taken = isinstance(error, InvalidRequest | Conflict) and step.look is not None
                if taken and await self._may_be_ours(step, attempt):
                    again_s = [LOOK_AGAIN_S] if self.journal.states[step.key].attempt > 1 else []
                    found = self.journal.id(step.key) or None
                    with contextlib.suppress(LineWorksError):
                        found = found or await self._look(step, *again_s)  # one that was given up came late
                    if found is not None:  # an earlier try, or another process, has done it
                        await self._settled(step, found)
                        return True
                await self._failed(step, error)
                return True
            except (ConfigError, LedgerError) as error:
                if isinstance(error, ConfigError):
                    await self.journal.end(step.key, "failed", reason="ConfigError")
                raise
            else:
                self._denied = 0
                await self._done(step, "done", made)
                return True
        return True

    async def _may_be_ours(self, step: Step, attempt: int) -> bool:
        """What is there already may have come of another attempt of this apply.

        A member who did not is another plan's or another hand's: no slip of this plan would open the account.
        """
        if not step.creates_member:
            return True
        await self.journal.refresh()
        others = {number for key, number in self.journal.in_doubt if key == step.key} - {attempt}
        return bool(others) or self.journal.done(step.key)

    async def _find(self, step: Step) -> str | None:
        """Look at once and, when nothing is there, again later; absent is written down as such."""
        try:
            found = await self._look(step, LOOK_AGAIN_S)
        except LineWorksError:
            return None  # stays unknown
        if found is None and not step.mails:
            await self.journal.end(step.key, "settled_absent")
        return found

    async def _look(self, step: Step, *later_s: float) -> str | None:
        """Look at once and, while nothing is there, again after so many seconds."""
        for wait_s in (0.0, *later_s):
            if wait_s:
                await self._clock.sleep(wait_s)
            found = await step.look() if step.look is not None else None
            if found is not None:
                return found
        return None

    async def _settled(self, step: Step, found: str) -> None:
        await self._done(step, "settled_done", found)

    async def _done(self, step: Step, how: str, made: str) -> None:
        also = [*step.also(made)]
        if step.creates_member and step.person is not None:
            stream = self.journal.stream
            body = {"staff_number": step.person.staff_number, "step": step.key}
            also.append(NewEvent(stream, "user.created", made, body, once=f"{stream}|created|{step.key}"))
            self.created += 1
        await self.journal.end(step.key, how, *also, id=made, **step.result())
        self.done += 1

    async def _failed(self, step: Step, error: LineWorksError) -> None:
        kind = type(error).__name__
        said = {"status": error.status, "code": error.code} if isinstance(error, ApiError) else {}
        await self.journal.end(step.key, "failed", reason=kind, **said)
        self._list(self.failed, step, str(error))
        if isinstance(error, PermissionDenied) and step.key.startswith(("user.create:", "orgunit.create:")):
            self.refused = True
        self._raise_if_fatal(error)

    def _raise_if_fatal(self, error: LineWorksError) -> None:
        self._denied = self._denied + 1 if isinstance(error, PermissionDenied) else 0
        if isinstance(error, _FATAL) or self._denied >= DENIED_IN_A_ROW:
            raise error

    def _list(self, where: list[dict[str, Any]], step: Step, reason: str) -> None:
        person = step.person
        where.append(
            {
                "step": step.key,
                "row": person.row if person is not None else None,
                "staff_number": person.staff_number if person is not None else None,
                "reason": reason,
            }
        )


def _left(seconds: float) -> str:
    if seconds >= 90:
        return f"残り約 {seconds / 60:,.0f} 分"
    return f"残り約 {seconds:.0f} 秒" if seconds >= 10 else "まもなく終わります"
