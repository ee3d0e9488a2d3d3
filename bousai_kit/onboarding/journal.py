"""What an apply has done so far: a fold over its stream of the ledger.

Every step is ``step.intended`` (committed before the request leaves) and then ``step.done``, ``step.failed``
or ``step.unknown``; an intent without outcome is as unknown. Unknown ones end as ``step.settled_done`` or
``step.settled_absent``. The intent of an attempt can be written once, by one process.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bousai_kit.ledger import NewEvent
from bousai_kit.ledger.events import microseconds, moment
from bousai_kit.onboarding.bulk import collecting_later

if TYPE_CHECKING:
    from bousai_kit.ledger import Ledger
    from bousai_kit.ledger.events import Line

__all__ = ["Journal", "State"]

_ENDS = {
    "step.done": "done",
    "step.settled_done": "done",
    "step.failed": "failed",
    "step.unknown": "unknown",
    "step.settled_absent": "absent",
}
_ABOUT = ("apply.planned", "undo.begun", "secret.ended")
AT_ONCE = 5000
"""Events read at a time: an apply of 30,000 people has 90,000 of them."""


@dataclass(slots=True)
class State:
    """Where one step stands.

    Attributes
    ----------
    status : str
        ``open`` (intended, no outcome), ``unknown``, ``done``, ``failed`` or ``absent``.
    attempt : int
    id : str
        What came of it: a user id, an id of a unit or group.
    at_us : int
        When the last intent was written, µs since the epoch.
    run : str
        Which run intended it.
    reason : str
        Why it failed.
    """

    status: str
    attempt: int
    at_us: int
    run: str = ""
    id: str = ""
    reason: str = ""
    body: Mapping[str, Any] | None = None

    @property
    def at(self) -> datetime:
        """When the last intent was written."""
        return moment(self.at_us)


class Journal:
    """The stream ``apply:<id>``.

    Parameters
    ----------
    ledger : Ledger
    apply_id : str
    undo : bool
        Look at the steps of the undo, which stand in the same stream under kinds of their own.

    Attributes
    ----------
    states : dict
        Step → where it stands.
    in_doubt : set of (str, int)
        Attempts of which no answer said what came of them; they may have taken effect all the same.
    """

    def __init__(self, ledger: Ledger, apply_id: str, *, undo: bool = False) -> None:
        self.ledger = ledger
        self.apply_id = apply_id
        self.stream = f"apply:{apply_id}"
        self.run = secrets.token_hex(4)
        self.states: dict[str, State] = {}
        self.planned: Mapping[str, Any] | None = None
        self.undone = False
        self.secret_ended = False
        self.in_doubt: set[tuple[str, int]] = set()
        self._head = "undo." if undo else ""
        self._steps = {f"{self._head}{kind}": kind for kind in ("step.intended", *_ENDS)}
        self._kinds = (*_ABOUT, *self._steps)
        self._seq = 0
        self._own: dict[str, int] = {}  # attempts of this run

    async def refresh(self) -> None:
        """Read what has been written since the last time."""
        while True:
            lines = await self.ledger.read_lines(
                after=self._seq, stream=self.stream, kinds=self._kinds, limit=AT_ONCE
            )
            with collecting_later():
                for line in lines:
                    self._take(line)
            if lines:
                self._seq = lines[-1].seq
            if len(lines) < AT_ONCE:
                return

    def _take(self, line: Line) -> None:
        kind = line.kind
        step = self._steps.get(kind)
        if step is not None:
            self._step(line, step)
        elif kind == "apply.planned":
            self.planned = line.body
        elif kind == "undo.begun":
            self.undone = True
        elif kind == "secret.ended":
            self.secret_ended = True

    def _step(self, line: Line, kind: str) -> None:
        step, body = line.subject, line.body
        attempt, made = int(body.get("attempt", 1)), str(body.get("id", ""))
        self._doubt(step, attempt, kind, made)
        known = self.states.get(step)
        if kind == "step.intended":
            if known is None or (attempt > known.attempt and known.status != "done"):
                run = sys.intern(str(body.get("run", "")))
                self.states[step] = State("open", attempt, line.at, run)
        elif (
            known is not None
            and known.status != "done"
            and (attempt >= known.attempt or _ENDS[kind] == "done")
        ):
            known.status = _ENDS[kind]
            known.id = made
            known.reason = str(body.get("reason", ""))
            known.body = body

    def _doubt(self, step: str, attempt: int, kind: str, made: str = "") -> None:
        """What a look-up finds or does not find tells nothing sure of one attempt; only an answer does."""
        if kind == "step.intended":
            self.in_doubt.add((step, attempt))
        elif kind in ("step.done", "step.failed") and not self._one_too_many(step, made):
            self.in_doubt.discard((step, attempt))

    def _one_too_many(self, step: str, made: str) -> bool:
        """Another attempt has done it already, and made something else."""
        known = self.states.get(step)
        return known is not None and known.status == "done" and bool(made) and known.id != made

    def state(self, step: str) -> State | None:
        """Where a step stands; None: never tried."""
        return self.states.get(step)

    def may_have_done(self, step: str) -> State | None:
        """A step that can have taken effect; None: it surely has not.

        What was given up and called absent may have taken effect later, whatever became of a later attempt.
        """
        state = self.states.get(step)
        if state is None or state.status != "failed":
            return state
        doubt = any((step, attempt) in self.in_doubt for attempt in range(1, state.attempt + 1))
        return state if doubt else None

    def done(self, step: str) -> bool:
        """The step is known to have been done."""
        state = self.states.get(step)
        return state is not None and state.status == "done"

    def id(self, step: str) -> str:
        """What came of a step that was done, "" if it was not."""
        state = self.states.get(step)
        return state.id if state is not None and state.status == "done" else ""

    async def plan(self, body: Mapping[str, Any], people: Sequence[NewEvent]) -> None:
        """Write down which plan this is, and whom it is about (ids, no names)."""
        for first in range(0, len(people), 500):
            await self.ledger.append_many(people[first : first + 500])
        await self.ledger.append(self.stream, "apply.planned", body=body, once=f"{self.stream}|planned")
        await self.refresh()

    async def intend(self, step: str, **body: Any) -> int | None:
        """Commit the next attempt; None: another process has just done so."""
        known = self.states.get(step)
        attempt = 1 if known is None else known.attempt + 1
        event = await self.ledger.append(
            self.stream,
            f"{self._head}step.intended",
            step,
            {"attempt": attempt, "run": self.run, **body},
            once=f"{self.stream}|{self._head}{step}|{attempt}",
        )
        if event is None:
            return None
        self.states[step] = State("open", attempt, microseconds(event.recorded_at), self.run)
        self._own[step] = attempt
        self._doubt(step, attempt, "step.intended")
        return attempt

    async def end(self, step: str, how: str, *also: NewEvent, **body: Any) -> None:
        """Commit an outcome; `also` is written with it or not at all."""
        attempt = self._own.get(step, self.states[step].attempt)  # another run may have begun a later one
        said = {"attempt": attempt, **body}
        kind = f"{self._head}step.{how}"
        written = await self.ledger.append_many([NewEvent(self.stream, kind, step, said), *also])
        if None in written:  # another run was quicker: what it made stands
            await self.refresh()
        state = self.states[step]
        if self._one_too_many(step, str(body.get("id", ""))):
            return
        self._doubt(step, attempt, f"step.{how}")
        if state.status == "done" != _ENDS[f"step.{how}"]:  # another attempt has done it: that stands
            return
        state.status = _ENDS[f"step.{how}"]
        state.id, state.reason = str(body.get("id", "")), str(body.get("reason", ""))
        state.body = said
