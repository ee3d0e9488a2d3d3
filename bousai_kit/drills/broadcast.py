"""Send: intent committed, request out, outcome committed. Never the same dispatch twice.

So many workers as requests may be under way; each takes the most urgent task, waits until its operation's
budget would let it leave, commits the intent (with a key that only one process can write), sends, and commits
the outcome. A process that dies leaves at most one open intent a worker.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bousai_kit.clock import Clock
from bousai_kit.drills.wording import build_text
from bousai_kit.errors import (
    ApiError,
    AuthRejected,
    BousaiKitError,
    ForeignLocation,
    LineWorksError,
    OutcomeUnknown,
    ProtocolViolation,
    RateLimited,
    TransportFailed,
)
from bousai_kit.lineworks.messages import ButtonTemplate, Content, MessageAction, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bousai_kit.ledger import Ledger
    from bousai_kit.lineworks.client import LineWorksClient

__all__ = ["FIRST", "REMINDER", "Sender", "Task", "build_content"]

FIRST, REMINDER = 0, 10
"""Priorities: first messages (and resends) leave before reminders."""

WORKERS = 16
LEAVE_S = 120.0
"""What has not left so long after its intent does not leave any more (a machine that slept, a service that
kept saying 429): whoever settles elsewhere may by then call it absent, and it is sent again."""
LOOK_S = 1.0
REST_S = (2.0, 5.0, 10.0, 20.0, 30.0)
_UNSENT = (TransportFailed, RateLimited, AuthRejected)


@dataclass(frozen=True, slots=True)
class Task:
    """One dispatch to be made.

    Attributes
    ----------
    message_id, attempt : str
        ``b01``; ``first``, ``r1``, ``resend1``.
    subject : str
        User id, or channel id with `members`.
    members : tuple of str or None
        Who is in the room.
    """

    message_id: str
    attempt: str
    subject: str
    content: Content
    priority: int = FIRST
    members: tuple[str, ...] | None = None

    @property
    def key(self) -> str:
        """Names the dispatch in the ledger."""
        return f"{self.message_id}/{self.attempt}/{self.subject}"


def build_content(message: Mapping[str, Any], *, attempt: str, actual: bool) -> Content:
    """A message of ``drill.planned`` as the platform takes it."""
    text = build_text(str(message["text"]), attempt=attempt, actual=actual)
    buttons = message.get("buttons") or ()
    if not buttons:
        return Text(text)
    return ButtonTemplate(
        text,
        [MessageAction(str(button["label"]), postback=str(button["postback"])) for button in buttons],
    )


class Sender:
    """The workers.

    Parameters
    ----------
    still_wanted : callable
        Asked right before a task's intent is written; False: it is dropped (the person has answered).
    done : callable
        Called after each task.
    """

    def __init__(
        self,
        *,
        drill_id: str,
        bot_id: int,
        client: LineWorksClient,
        ledger: Ledger,
        clock: Clock,
        still_wanted: Callable[[Task], bool],
        done: Callable[[Task], None],
    ) -> None:
        self.failure: BaseException | None = None
        self._drill_id = drill_id
        self._bot_id = bot_id
        self._client = client
        self._ledger = ledger
        self._clock = clock
        self._still_wanted = still_wanted
        self._done = done
        self._heap: list[tuple[int, int, Task]] = []
        self._order = itertools.count()
        self._keys: set[str] = set()  # queued or under way
        self._news = asyncio.Event()
        self._stopping = False
        self._active = 0
        self._rests = 0  # how often nothing could leave, one after the other
        self._resting_until = 0.0
        self._workers: list[asyncio.Task[None]] = []

    # -- tasks --------------------------------------------------------------------------------------

    def put(self, task: Task) -> None:
        """Queue a task, unless it is queued or under way."""
        if task.key in self._keys or self._stopping:
            return
        self._keys.add(task.key)
        heapq.heappush(self._heap, (task.priority, next(self._order), task))
        if self._active < WORKERS and len(self._workers) < WORKERS:
            self._workers.append(asyncio.create_task(self._work(), name="drill sender"))
        self._news.set()

    @property
    def idle(self) -> bool:
        """Nothing is queued or under way."""
        return not self._heap and not self._active

    @property
    def waiting(self) -> int:
        """Tasks that have not begun."""
        return len(self._heap)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    # -- the end ------------------------------------------------------------------------------------

    async def finish(self, grace_s: float) -> None:
        """Take no further task; what is under way gets so many seconds, then it is left as unknown."""
        self._stopping = True
        self._heap.clear()
        self._news.set()
        workers = [worker for worker in self._workers if not worker.done()]
        if workers and grace_s > 0:
            everybody = asyncio.create_task(_all_of(workers))
            patience = asyncio.create_task(self._sleep(grace_s))
            try:
                await asyncio.wait({patience, everybody}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                patience.cancel()
                everybody.cancel()
                await asyncio.gather(patience, everybody, return_exceptions=True)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    # -- one worker ---------------------------------------------------------------------------------

    async def _work(self) -> None:
        while not self._stopping:
            if not self._heap:
                self._news.clear()
                await self._news.wait()
                continue
            self._active += 1
            task: Task | None = None
            try:
                if not await self._until_ready(self._heap[0][2]):
                    continue
                if not self._heap or self._stopping:  # others were quicker
                    continue
                task = heapq.heappop(self._heap)[2]
                await self._send(task)
            except Exception as error:  # the conductor raises it
                self._fail(error)
            finally:
                self._active -= 1
                if task is not None:
                    self._keys.discard(task.key)
                    self._done(task)

    def _fail(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self._stopping = True
        self._heap.clear()
        self._news.set()

    async def _until_ready(self, task: Task) -> bool:
        """Wait for the operation's budget before anything is promised; False: look again."""
        operation = "messages.to-user" if task.members is None else "messages.to-channel"
        now = self._clock.monotonic()
        if self._resting_until - now > 0.001:
            await self._clock.sleep(min(self._resting_until - now, LOOK_S))
            return False
        wait = self._client.gate.pacer(operation).ready_at(now) - now
        if wait <= 0.001 or math.isinf(wait) or wait > 86400.0:  # never: an answer under way decides
            return True
        await self._clock.sleep(min(wait, LOOK_S))
        return False

    def _rest(self) -> None:
        """Nothing leaves this machine, or nothing is let in: everybody waits a little before the next."""
        now = self._clock.monotonic()
        if now >= self._resting_until:  # those that were under way together count once
            self._resting_until = now + REST_S[min(self._rests, len(REST_S) - 1)]
            self._rests += 1

    async def _send(self, task: Task) -> None:
        if not self._still_wanted(task):
            return
        stream, once = f"drill:{self._drill_id}", f"drill:{self._drill_id}:{task.key}:intended"
        body: dict[str, Any] = {"message_id": task.message_id, "dispatch": task.key}
        if task.members is not None:
            body["members"] = list(task.members)
        at = self._clock.now()
        intended = {**body, "at": at.isoformat()}
        if await self._ledger.append(stream, "dispatch.intended", task.subject, intended, once=once) is None:
            return  # another process has promised it
        kind, said = await self._outcome(task, at + timedelta(seconds=LEAVE_S))
        await self._ledger.append(stream, f"dispatch.{kind}", task.subject, {**body, **said})
        if kind == "refused" and said.get("unsent"):
            self._rest()
        elif kind == "accepted":
            self._rests = 0

    async def _outcome(self, task: Task, leave_by: datetime) -> tuple[str, dict[str, Any]]:
        messages = self._client.messages
        send = messages.to_user if task.members is None else messages.to_channel
        try:
            accepted = await send(
                self._bot_id, task.subject, task.content, priority=task.priority, leave_by=leave_by
            )
        except (OutcomeUnknown, ProtocolViolation) as error:
            return "unknown", self._said(error)
        except _UNSENT as error:
            return "refused", {**self._said(error), "unsent": True}
        except (ApiError, ForeignLocation, LineWorksError) as error:
            return "refused", self._said(error)
        said: dict[str, Any] = {
            "at": accepted.requested_at.isoformat(),
            "accepted_at": accepted.accepted_at.isoformat(),
        }
        if accepted.server_date is not None:
            said["skew_s"] = round((accepted.server_date - accepted.accepted_at).total_seconds(), 1)
        return "accepted", said

    def _said(self, error: BousaiKitError) -> dict[str, Any]:
        said: dict[str, Any] = {
            "at": self._clock.now().isoformat(),
            "code": type(error).__name__,
            "reason": str(error),
        }
        if isinstance(error, ApiError):  # the vendor's own words could name somebody
            said["code"] = error.code or str(error.status)
            said["reason"] = f"LINE WORKS が {error.status} を返しました（{said['code']}）。"
        return said


async def _all_of(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)
