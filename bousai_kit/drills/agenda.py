"""What is due when: waves, reminders, deadlines, resends. Decides, sends nothing, waits for nothing.

Entries are looked at again when their time comes: who has answered meanwhile is not reminded.
"""

from __future__ import annotations

import heapq
import itertools
from datetime import datetime, timedelta

from bousai_kit.clock import Clock
from bousai_kit.drills.broadcast import FIRST, REMINDER, Task, build_content
from bousai_kit.drills.state import Attempt, DrillState, Pair, Reach
from bousai_kit.lineworks.messages import Content

__all__ = ["Agenda"]

RETRY_S = (15.0, 30.0, 60.0, 120.0)
"""Before what certainly did not leave is tried again, within one run."""


class Agenda:
    """Of one run.

    Parameters
    ----------
    state : DrillState
        Kept up to date by the conductor.
    clock : Clock
    """

    def __init__(self, state: DrillState, *, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._heap: list[tuple[datetime, int, str, Pair, int]] = []
        self._order = itertools.count()
        self._followed: dict[Pair, datetime] = {}  # pair -> the send that its entries run from
        self._hoped: set[Pair] = set()  # unknown: an answer may come
        self._again: set[str] = set()  # unknown dispatches of an `actual` whose stated time runs
        self._tries: dict[Pair, int] = {}
        self._waves: list[tuple[datetime, int]] = []
        self._ready: list[Task] = []
        self._contents: dict[tuple[str, str], Content] = {}
        self._actual = state.kind == "actual"
        self._offsets = [float(one) for one in state.plan.get("reminders_s", ())]

    # -- what changes -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Take the drill up as it stands."""
        started = self._state.started_at or self._clock.now()
        for index, wave in enumerate(self._state.plan.get("waves", ())):
            self._waves.append((started + timedelta(seconds=float(wave["after_s"])), index))
        heapq.heapify(self._waves)
        for pair in list(self._state.reaches):
            self.consider(pair, resumed=True)

    def consider(self, pair: Pair, *, resumed: bool = False) -> None:
        """Something is new about this message and person."""
        reach, verdict = self._state.reaches[pair], self._state.verdict(pair)
        if verdict == "silent":
            self._follow(pair, reach)
        elif verdict == "refused":
            self._try_again(pair, reach, resumed=resumed)
        elif verdict == "unknown":
            self._wait_for_unknown(pair, reach)

    def _follow(self, pair: Pair, reach: Reach) -> None:
        sent = reach.sent_at
        if sent is None or self._followed.get(pair) == sent:
            return
        self._followed[pair] = sent
        deadline_s = self._state.deadline_s(pair[0])
        for number, offset in enumerate(self._offsets, 1):
            if offset < deadline_s and self._reminder_key(pair, number) not in reach.attempts:
                self._push(sent + timedelta(seconds=offset), "remind", pair, number)
        self._push(sent + timedelta(seconds=deadline_s), "deadline", pair)

    def _try_again(self, pair: Pair, reach: Reach, *, resumed: bool) -> None:
        last = _last(reach)
        if last.status == "settled_absent":
            self._push(self._clock.now(), "resend", pair)
        elif last.unsent:
            tries = self._tries.get(pair, 0)
            if tries < len(RETRY_S):
                self._tries[pair] = tries + 1
                wait_s = 0.0 if resumed else RETRY_S[tries]
                self._push(self._clock.now() + timedelta(seconds=wait_s), "resend", pair)
        elif resumed or last.room:  # a room that refuses: its people one by one
            self._push(self._clock.now(), "resend", pair)

    def _wait_for_unknown(self, pair: Pair, reach: Reach) -> None:
        """The person's own answer may settle it; of an `actual` it goes out again after the stated time."""
        last = _last(reach)
        if self._actual and not last.room and last.status == "unknown" and last.key not in self._again:
            self._again.add(last.key)
            since = last.ended_at or last.intended_at
            after = timedelta(seconds=float(self._state.plan.get("resend_after_s", 120.0)))
            self._push(since + after, "again", pair)
        if self._state.asks(pair[0]) and pair not in self._hoped:
            self._hoped.add(pair)
            after = timedelta(seconds=self._state.deadline_s(pair[0]))
            self._push(last.intended_at + after, "unknown", pair)

    def _push(self, due: datetime, kind: str, pair: Pair, number: int = 0) -> None:
        heapq.heappush(self._heap, (due, next(self._order), kind, pair, number))

    # -- what is due --------------------------------------------------------------------------------

    def due_wave(self) -> int | None:
        """A wave whose time has come and that nobody has looked at in this run."""
        if self._waves and self._waves[0][0] <= self._clock.now():
            return heapq.heappop(self._waves)[1]
        return None

    def wave_decided(self, wave: int) -> None:
        """Queue the first messages of a wave that goes out, to whoever has not got them."""
        state = self._state
        if state.waves.get(wave, {}).get("skipped"):
            return
        people = [user for user, person in state.people.items() if wave in person.get("waves", ())]
        for message in state.plan["waves"][wave]["messages"]:
            missing = [user for user in people if (message, user) not in state.reaches]
            for room, members in self._rooms(missing).items():
                content = self._content(message, "first")
                self._ready.append(Task(message, "first", room, content, members=members))
                missing = [user for user in missing if user not in set(members)]
            for user in missing:
                self._ready.append(Task(message, "first", user, self._content(message, "first")))

    def _rooms(self, people: list[str]) -> dict[str, tuple[str, ...]]:
        """Rooms all of whose planned members are among these people."""
        wanted = set(people)
        rooms: dict[str, list[str]] = {}
        for user, person in self._state.people.items():
            if person.get("room"):
                rooms.setdefault(str(person["room"]), []).append(user)
        return {room: tuple(members) for room, members in rooms.items() if set(members) <= wanted}

    def due_tasks(self) -> list[Task]:
        """Everything to be sent now."""
        now = self._clock.now()
        while self._heap and self._heap[0][0] <= now:
            _, _, kind, pair, number = heapq.heappop(self._heap)
            if self._valid(kind, pair, number):
                task = self._task(kind, pair, number)
                if task is not None:
                    self._ready.append(task)
        ready, self._ready = self._ready, []
        return ready

    def next_due(self) -> datetime | None:
        """When to look again; None: nothing more will be due."""
        while self._heap and not self._valid(*self._heap[0][2:]):
            heapq.heappop(self._heap)
        times = [self._heap[0][0]] if self._heap else []
        if self._waves:
            times.append(self._waves[0][0])
        return min(times, default=None)

    def wants(self, task: Task) -> bool:
        """Whether a task still makes sense, asked right before it is promised."""
        state = self._state
        if state.closed_at is not None or task.key in state.attempts:
            return False
        if task.members is None and task.priority != REMINDER:
            pair = (task.message_id, task.subject)
            if task.attempt == "first":
                return pair not in state.reaches
            return state.verdict(pair) in ("refused", "unknown")
        if task.priority != REMINDER:
            return True
        return self._valid("remind", (task.message_id, task.subject), int(task.attempt[1:]))

    def _valid(self, kind: str, pair: Pair, number: int) -> bool:
        verdict = self._state.verdict(pair)
        if kind == "deadline":
            return verdict == "silent"
        if kind in ("unknown", "again"):
            return verdict == "unknown"
        if kind == "resend":
            return verdict == "refused"
        deadline = self._state.deadline_of(pair)
        if verdict != "silent" or deadline is None or self._clock.now() >= deadline:
            return False
        return self._reminder_key(pair, number) not in self._state.reaches[pair].attempts

    def _task(self, kind: str, pair: Pair, number: int) -> Task | None:
        message, user = pair
        reach = self._state.reaches[pair]
        if kind == "remind":
            sent = reach.sent_at
            later = self._offsets[number : number + 1]
            if sent is None or (later and sent + timedelta(seconds=later[0]) <= self._clock.now()):
                return None  # the next one is due as well: one of them is enough
            return Task(message, f"r{number}", user, self._content(message, f"r{number}"), REMINDER)
        if kind in ("resend", "again"):
            last = _last(reach)
            attempt = f"resend{1 + sum(one.attempt.startswith('resend') for one in reach.firsts)}"
            content = self._content(message, attempt)
            if last.room and (last.status == "settled_absent" or last.unsent):
                return Task(message, attempt, last.subject, content, FIRST, members=last.members)
            return Task(message, attempt, user, content)
        return None

    def _reminder_key(self, pair: Pair, number: int) -> str:
        return f"{pair[0]}/r{number}/{pair[1]}"

    def _content(self, message: str, attempt: str) -> Content:
        key = (message, attempt)
        if key not in self._contents:
            described = self._state.messages[message]
            self._contents[key] = build_content(described, attempt=attempt, actual=self._actual)
        return self._contents[key]


def _last(reach: Reach) -> Attempt:
    """The latest attempt that is no reminder."""
    return max(reach.firsts, key=lambda one: one.intended_at)
