"""Invented drills: events as a drill and a receiver write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bousai_kit.latency.durations import Broadcasts, from_drill_events
from bousai_kit.ledger import Event

START = datetime(2027, 1, 17, 0, 0, tzinfo=UTC)
DRILL = "d-0001"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class Drill:
    """Events in the order in which they are added; times are seconds after the start."""

    def __init__(self, *messages: str, deadline_s: float = 1800.0) -> None:
        self.events: list[Event] = []
        body = {
            "title": "【訓練】試験",
            "deadline_s": deadline_s,
            "messages": [
                {
                    "id": key,
                    "text": "【訓練】",
                    "buttons": [{"label": f"[K7] {key}", "postback": self.postback(key)}],
                }
                for key in messages or ("b01",)
            ],
        }
        self.add("drill.planned", "", body, -60)

    @staticmethod
    def postback(message: str, answer: int = 0) -> str:
        return f"bk1|drill={DRILL}|m={message}|a={answer}"

    def add(
        self,
        kind: str,
        subject: str,
        body: Mapping[str, Any],
        seconds: float,
        *,
        stream: str = f"drill:{DRILL}",
    ) -> Drill:
        seq = len(self.events) + 1
        self.events.append(Event(seq, at(seconds), stream, kind, subject, dict(body), None, "", ""))
        return self

    def person(self, *users: str, **groups: str) -> Drill:
        for user in users:
            self.add("drill.recipient", user, {"staff_number": f"9{user}", **groups}, -50)
        return self

    def dispatch(self, what: str, user: str, seconds: float, message: str = "b01", **body: Any) -> Drill:
        key = body.pop("attempt", "first")
        said = {"message_id": message, "dispatch": f"{message}/{key}/{user}", "at": at(seconds).isoformat()}
        return self.add(f"dispatch.{what}", user, {**said, **body}, seconds)

    def send(self, *users: str, seconds: float = 0.0, message: str = "b01", **body: Any) -> Drill:
        for user in users:
            self.dispatch("intended", user, seconds, message, **body)
            self.dispatch("accepted", user, seconds, message, accepted_at=at(seconds).isoformat(), **body)
        return self

    def tap(
        self, user: str, seconds: float, message: str = "b01", *, data: str = "", recorded: float = 0
    ) -> Drill:
        body = {"postback": data or self.postback(message), "issued_at": at(seconds).isoformat()}
        return self.add("callback.message", user, body, recorded or seconds, stream="callbacks")

    def close(self, seconds: float) -> Drill:
        return self.add("drill.closed", "", {"at": at(seconds).isoformat()}, seconds)

    def fold(self, as_of: float | None = 7200.0, **options: Any) -> Broadcasts:
        return from_drill_events(self.events, as_of=None if as_of is None else at(as_of), **options)


def rows(found: Broadcasts, message: str = "b01") -> dict[str, dict[str, Any]]:
    """Person → row of one broadcast."""
    frame = found.frame[found.frame["broadcast_id"] == message]
    return {str(row["person"]): row for row in frame.to_dict("records")}


def wards(names: Sequence[str]) -> Drill:
    """Ten people a ward; the i-th ward's people answer after 60·(i + 1) seconds, half of them never."""
    drill = Drill()
    for i, name in enumerate(names):
        for j in range(10):
            user = f"u{i:02d}{j}"
            drill.person(
                user, ward=name, bureau="" if j % 2 else "試験局", device_os="iOS" if j < 5 else "Android"
            )
            drill.send(user)
            if j % 2:
                drill.tap(user, 60.0 * (i + 1) + j)
    return drill
