"""Who was reached when, and how long until the answer: censoring is decided here and nowhere else.

* The clock of a person starts with that person's own first send that arrived (201 time); a reminder or a
  resend does not start it again.
* It ends with the first answer, or at the deadline, the next broadcast to the same person, the drill's close
  or the moment of the analysis, whichever is first: who has not answered by then is right-censored there.
* A person whose message was not delivered is in no denominator and is listed; so is one whose outcome is
  still unknown (an answer of that person settles it: delivered).
* An answer after the cut is *late*: it stays visible, and the person stays censored.
* A message without answer buttons asks nothing: it is left out, and ends nobody's waiting.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from bousai_kit.clock import Clock, in_thread
from bousai_kit.errors import AnalysisError, DataQualityWarning

if TYPE_CHECKING:
    import pandas as pd

    from bousai_kit.ledger import Event, Ledger

__all__ = ["COLUMNS", "GROUPINGS", "Broadcasts", "from_drill_events", "read_drill"]

GROUPINGS = ("ward", "bureau", "device_os")
COLUMNS = (
    "broadcast_id",
    "person",
    "staff_number",
    "hq_role",
    *GROUPINGS,
    "outcome",  # delivered, undelivered, unknown
    "reason",
    "sent_at",
    "duration_s",  # to the answer or to the censoring; NaN unless delivered
    "observed",  # an answer by the cut
    "late_s",  # an answer after the cut; NaN: none
)
DEADLINE_S = 1800.0
_MARKS = {"exercise": "【訓練】", "test": "【試験】"}


@dataclass(frozen=True, repr=False)
class Broadcasts:
    """One row a broadcast and person.

    Attributes
    ----------
    frame : pandas.DataFrame
        The columns of `COLUMNS`; ``person`` is an id (user id, or login id with a talk log), never a name.
    deadlines_s : mapping
        Broadcast id → deadline, in the order of the first sends.
    rows_read, rows_rejected : int
        Rows of the talk logs, or answers in the ledger.
    rejects_file : str or None
        List of the rows that could not be used.
    engine : str
        ``ledger``, ``duckdb`` or ``spark``.
    notes : tuple of str
        Japanese sentences about odd data.
    incomplete : bool
        A talk log breaks off: some who look silent may have answered.
    unreachable : mapping
        Staff number → Japanese reason: people to whom nothing could be sent at all; in no broadcast.
    """

    frame: pd.DataFrame
    deadlines_s: Mapping[str, float]
    title: str = ""
    drill_id: str | None = None
    rows_read: int = 0
    rows_rejected: int = 0
    rejects_file: str | None = None
    engine: str = "ledger"
    elapsed_s: float = 0.0
    notes: tuple[str, ...] = field(default=())
    unreachable: Mapping[str, str] = field(default_factory=dict)
    incomplete: bool = False

    def __repr__(self) -> str:
        return f"<Broadcasts {len(self.deadlines_s)} rows={len(self.frame)} engine={self.engine!r}>"


async def read_drill(
    ledger: Ledger,
    drill_id: str,
    *,
    as_of: datetime,
    deadline_s: float | None = None,
    clock: Clock | None = None,
) -> Broadcasts:
    """Read one drill's broadcasts and answers from the ledger.

    Parameters
    ----------
    as_of : datetime
        Aware; the moment of the analysis (people of an open drill are followed until then).
    deadline_s : float, optional
        In place of the drill's own.
    clock : Clock, optional
        Held while a thread folds the events, so that the event loop stays free.

    Raises
    ------
    AnalysisError
        No such drill, or nothing has been sent.
    """
    drill = await ledger.read(stream=f"drill:{drill_id}")
    if not drill:
        raise AnalysisError(
            f"訓練 {drill_id} は台帳にありません。",
            hint="`bousai drill list` で訓練 ID を確認してください。",
        )
    answers = await ledger.read(
        after=drill[0].seq, stream="callbacks", kinds=("callback.message", "callback.postback")
    )
    fold = partial(from_drill_events, [*drill, *answers], as_of=as_of, deadline_s=deadline_s)
    return fold() if clock is None else await in_thread(clock, fold)


def from_drill_events(
    events: Iterable[Event], *, as_of: datetime | None = None, deadline_s: float | None = None
) -> Broadcasts:
    """Fold the events of one drill, and the callbacks beside them, into durations.

    Parameters
    ----------
    events : iterable of Event
        Streams ``drill:<id>`` and ``callbacks``, any order.
    as_of : datetime, optional
        The moment of the analysis; default: the latest event's.
    deadline_s : float, optional
        In place of the drill's own.

    Raises
    ------
    AnalysisError
        No drill among them, more than one, or nothing has been sent.
    """
    fold = _Fold()
    for event in sorted(events, key=lambda event: event.seq):
        fold.take(event)
    return fold.finish(as_of, deadline_s)


@dataclass(slots=True)
class _Attempt:
    intended_at: datetime
    state: str = "intended"
    sent_at: datetime | None = None
    reason: str = ""


@dataclass(slots=True)
class _Reach:
    """One person and one message."""

    attempts: dict[str, _Attempt] = field(default_factory=dict)
    acks: list[datetime] = field(default_factory=list)

    def outcome(self) -> tuple[str, datetime | None, str]:
        attempts = list(self.attempts.values())
        sent = [attempt.sent_at for attempt in attempts if attempt.sent_at is not None]
        if sent:
            return "delivered", min(sent), ""
        if self.acks:  # nobody answers what did not arrive
            return "delivered", min(attempt.intended_at for attempt in attempts), ""
        if any(attempt.state in ("intended", "unknown") for attempt in attempts):
            return "unknown", None, "結果が未確定です"
        return "undelivered", None, attempts[-1].reason or "届きませんでした"


class _Fold:
    def __init__(self) -> None:
        self.drill_id = ""
        self.title = ""
        self.deadlines: dict[str, float] = {}
        self.postbacks: dict[str, list[str]] = {}
        self.asks_nothing: set[str] = set()
        self.people: dict[str, Mapping[str, Any]] = {}
        self.unreachable: dict[str, str] = {}
        self.rooms: dict[str, list[str]] = {}
        self.reached: dict[tuple[str, str], _Reach] = {}
        self.callbacks: list[tuple[str, str, datetime]] = []
        self.direct: list[tuple[str, str, datetime]] = []
        self.closed_at: datetime | None = None
        self.last_at: datetime | None = None
        self.rows = 0

    # -- one event ----------------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        if self.last_at is None or event.recorded_at > self.last_at:
            self.last_at = event.recorded_at
        body = event.body
        if event.stream == "callbacks":
            said = body.get("postback") or body.get("data")
            if isinstance(said, str) and said:
                self.rows += 1
                self.callbacks.append(
                    (said, event.subject, _moment(body.get("issued_at")) or event.recorded_at)
                )
            return
        if not event.stream.startswith("drill:"):
            return
        name = event.stream.removeprefix("drill:")
        if self.drill_id not in ("", name):
            raise AnalysisError("複数の訓練が混ざっています。", hint="訓練を 1 つ指定してください。")
        self.drill_id = name
        area, _, what = event.kind.partition(".")
        if area == "dispatch":
            self._dispatch(event, what)
        elif area == "ack":
            at = _moment(body.get("answered_at") or body.get("issued_at") or body.get("at"))
            if at is not None and body.get("message_id"):
                self.rows += 1
                self.direct.append((str(body["message_id"]), event.subject, at))
        elif event.kind == "drill.planned":
            self._planned(body)
        elif event.kind == "drill.recipient":
            self.people[event.subject] = body
            room = body.get("room") or body.get("channel_id")
            if room:
                self.rooms.setdefault(str(room), []).append(event.subject)
        elif event.kind == "drill.unreachable":
            self.unreachable[event.subject] = str(body.get("reason", ""))
        elif event.kind == "drill.closed":
            self.closed_at = _moment(body.get("at")) or event.recorded_at

    def _planned(self, body: Mapping[str, Any]) -> None:
        self.title = str(body.get("title", ""))
        mark = _MARKS.get(str(body.get("kind", "")), "")
        if not self.title.startswith(mark):  # a report, too, says what it is about
            self.title = mark + self.title
        deadline = float(body.get("deadline_s", DEADLINE_S))
        for message in body.get("messages", ()):
            key = str(message["id"])
            self.deadlines[key] = float(message.get("deadline_s") or deadline)
            if not message.get("buttons"):
                self.asks_nothing.add(key)
            for button in message.get("buttons", ()):
                said = button.get("postback") if isinstance(button, Mapping) else None
                if said:
                    self.postbacks.setdefault(str(said), []).append(key)

    def _dispatch(self, event: Event, what: str) -> None:
        body = event.body
        message = str(body.get("message_id", ""))
        key = str(body.get("dispatch") or f"{message}/first/{event.subject}")
        at = _moment(body.get("at")) or event.recorded_at
        members = body.get("members")
        if not isinstance(members, list | tuple):
            members = self.rooms.get(event.subject, [event.subject])
        for person in members:
            reach = self.reached.setdefault((message, str(person)), _Reach())
            attempt = reach.attempts.setdefault(key, _Attempt(at))
            if what == "accepted":
                attempt.sent_at = _moment(body.get("accepted_at")) or at
            elif what == "settled_delivered":
                found = _moment(body.get("accepted_at")) or _moment(body.get("issued_at"))
                attempt.sent_at = attempt.sent_at or found or attempt.intended_at
            elif what in ("refused", "settled_absent"):
                reason = str(body.get("reason") or body.get("description") or body.get("code") or "")
                attempt.reason = reason or ("受付拒否" if what == "refused" else "ログに無し")
            attempt.state = what

    # -- all of them --------------------------------------------------------------------------------

    def finish(self, as_of: datetime | None, deadline_s: float | None) -> Broadcasts:
        import pandas as pd

        if not self.reached:
            raise AnalysisError(
                "まだ何も送信されていません。", hint="訓練を実行してから、もう一度分析してください。"
            )
        left_out = sorted({key for key, _ in self.reached if key in self.asks_nothing})
        self.reached = {pair: reach for pair, reach in self.reached.items() if pair[0] not in left_out}
        if not self.reached:
            raise AnalysisError(
                "応答ボタンのある一斉送信がまだありません。",
                hint="シナリオの messages に buttons を付けて、訓練を行ってください。",
            )
        self._match()
        outcomes = {key: reach.outcome() for key, reach in self.reached.items()}
        order: dict[str, datetime] = {}
        own: dict[str, list[tuple[datetime, str]]] = {}
        for (message, person), (_, sent, _) in outcomes.items():
            if sent is not None:
                order[message] = min(order.get(message, sent), sent)
                own.setdefault(person, []).append((sent, message))
        for sends in own.values():
            sends.sort()
        # an answer that is here was given before now, whatever the clocks of service and kit say
        now = [at for at in (as_of or self.last_at,) if at is not None]
        now += [at for reach in self.reached.values() for at in reach.acks]
        end = max(now) if self.closed_at is None else min(max(now), self.closed_at)
        deadlines = {key: deadline_s or self.deadlines.get(key, DEADLINE_S) for key, _ in outcomes}
        early = 0
        rows: list[tuple[Any, ...]] = []
        for (message, person), (outcome, sent, reason) in outcomes.items():
            who = self.people.get(person, {})
            duration, observed, late = math.nan, False, math.nan
            if sent is not None:
                following = [at for at, other in own[person] if at > sent and other != message]
                allowed = deadlines[message]
                cut = min([sent + timedelta(seconds=allowed), *following[:1], max(end, sent)])
                acks = self.reached[message, person].acks
                first = min(acks) if acks else None
                if first is not None and first < sent:
                    early += 1
                    first = sent
                duration = (cut - sent).total_seconds()
                if first is not None and first <= cut:
                    duration, observed = (first - sent).total_seconds(), True
                elif first is not None:
                    late = (first - sent).total_seconds()
            groups = [str(who.get(name) or "") for name in ("staff_number", "hq_role", *GROUPINGS)]
            rows.append((message, person, *groups, outcome, reason, sent, duration, observed, late))
        notes = []
        if left_out:
            notes.append(f"応答ボタンのない連絡（{'、'.join(left_out)}）は、応答時間の分析に含めていません。")
        if early:
            notes.append(f"送信より前の時刻の応答 {early} 件を 0 秒として数えました（時計のずれ）。")
            warnings.warn(DataQualityWarning(notes[-1]), stacklevel=4)
        ids = sorted({message for message, _ in outcomes})
        ids.sort(key=lambda key: order.get(key, datetime.max.replace(tzinfo=UTC)))
        places = {key: place for place, key in enumerate(ids)}
        rows.sort(key=lambda row: (places[row[0]], row[1]))
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        frame["sent_at"] = pd.to_datetime(frame["sent_at"], utc=True).astype("datetime64[us, UTC]")
        return Broadcasts(
            frame=frame,
            deadlines_s={key: deadlines[key] for key in places},
            title=self.title,
            drill_id=self.drill_id,
            rows_read=self.rows,
            notes=tuple(notes),
            unreachable=dict(self.unreachable),
        )

    def _match(self) -> None:
        """Give each answer to the message whose button it is."""
        for said, person, at in self.callbacks:
            messages = self.postbacks.get(said) or _named(said, self.drill_id)
            known = [key for key in messages if (key, person) in self.reached]
            if len(known) > 1:  # the same button under several messages: the latest before the tap
                began = {key: self._began(key, person) for key in known}
                before = [key for key in known if began[key] <= at]
                known = [max(before or known, key=lambda key: began[key])]
            for key in known:
                self.reached[key, person].acks.append(at)
        for key, person, at in self.direct:
            if (key, person) in self.reached:
                self.reached[key, person].acks.append(at)

    def _began(self, message: str, person: str) -> datetime:
        return min(attempt.intended_at for attempt in self.reached[message, person].attempts.values())


def _named(said: str, drill_id: str) -> list[str]:
    """The message that a postback string of this drill names by itself (``…|drill=ID|m=b01|…``)."""
    parts = dict(re.findall(r"(?:^|\|)([a-z]+)=([^|]*)", said))
    return [parts["m"]] if parts.get("drill") == drill_id and "m" in parts else []


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None
