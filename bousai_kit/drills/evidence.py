"""What the export of message contents says about a drill: which sends arrived, which answers came. Pure.

Rows are told apart by whom they went to, what they said, and when. Each row proves one dispatch at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bousai_kit.drills.state import Attempt, DrillState
from bousai_kit.drills.wording import build_text
from bousai_kit.logs.talk import TalkRow

__all__ = ["Evidence", "Match", "find_answers", "match_rows"]

SAME_S = 1.5  # the export knows whole seconds
MOST_MISSING = 0.05


@dataclass(frozen=True)
class Evidence:
    """Rows of the export, and whose login is whose.

    Attributes
    ----------
    logins : mapping
        User id → login id, lower case.
    """

    rows: Sequence[TalkRow]
    logins: Mapping[str, str]


@dataclass
class Match:
    """Which dispatch has which row.

    Attributes
    ----------
    rows : dict
        Dispatch key → when the row says it was sent.
    accepted, missing : int
        Accepted dispatches that should be in the log, and those that are not.
    stray : set
        Dispatches without a row whose words went to their recipient at another time, by no other dispatch:
        a clock that was set in between says nothing certain.
    """

    rows: dict[str, datetime] = field(default_factory=dict)
    accepted: int = 0
    missing: int = 0
    stray: set[str] = field(default_factory=set)
    known: Mapping[str, str] = field(default_factory=dict)

    @property
    def trustworthy(self) -> bool:
        """What is known to have arrived is there; so what is not there has not arrived."""
        return self.missing <= MOST_MISSING * self.accepted

    def can_say(self, attempt: Attempt) -> bool:
        """Whether the rows of this person or room could have been recognised."""
        return attempt.key not in self.stray and (attempt.room or bool(self.known.get(attempt.subject)))


def match_rows(
    state: DrillState,
    evidence: Evidence,
    others: Iterable[DrillState] = (),
    *,
    before: datetime,
    slack_s: float,
) -> Match:
    """Give each dispatch its row in the log.

    Parameters
    ----------
    others : iterable of DrillState
        Drills with the same texts: their accepted dispatches take their own rows first.
    before : datetime
        When the export was asked for.
    slack_s : float
        How far a row may lie from when the request was under way.
    """
    rows: dict[str, list[tuple[datetime, str]]] = {}
    for row in evidence.rows:
        if row.is_bot:
            for where in {row.receiver_login, f"room:{row.channel_id}"}:
                rows.setdefault(where, []).append((row.at, _plain(row.text)))
    slack = timedelta(seconds=slack_s)
    sure: list[tuple[datetime, Attempt, str, bool]] = []
    unsure: list[tuple[datetime, Attempt, str]] = []
    for drill, own in ((state, True), *((other, False) for other in others)):
        for one in drill.attempts.values():
            text = _said(drill, one)
            if one.delivered:
                sure.append((one.accepted_at or one.intended_at, one, text, own))
            elif own and one.open:
                unsure.append((one.intended_at, one, text))
    sure.sort(key=lambda item: item[0])
    unsure.sort(key=lambda item: item[0])
    exact = _exact(sure, rows, evidence.logins)
    used: set[tuple[str, int]] = set()
    match = Match(known=evidence.logins)

    def free(one: Attempt, text: str) -> list[tuple[datetime, tuple[str, int]]]:
        where = f"room:{one.subject}" if one.room else evidence.logins.get(one.subject, "?")
        return [
            (at, (where, index))
            for index, (at, said) in enumerate(rows.get(where, ()))
            if (where, index) not in used and (said == text if exact else said.startswith(text))
        ]

    def take(one: Attempt, text: str, around: datetime, first: datetime, last: datetime) -> datetime | None:
        fitting = [(abs(at - around), place, at) for at, place in free(one, text) if first <= at <= last]
        if not fitting:
            return None
        _, place, at = min(fitting)
        used.add(place)
        return at

    for at, one, text, own in sure:
        found = take(one, text, at, one.intended_at - slack, at + slack)
        if (
            own
            and one.status == "accepted"
            and at + slack <= before
            and (one.room or evidence.logins.get(one.subject))
        ):
            match.accepted += 1
            match.missing += found is None
        if own and found is not None:
            match.rows[one.key] = found
    for at, one, text in unsure:
        found = take(one, text, at, at - slack, (one.ended_at or at) + slack)
        if found is not None:
            match.rows[one.key] = found
    for _, one, text in unsure:
        if one.key not in match.rows and free(one, text):
            match.stray.add(one.key)
    return match


def _exact(
    sure: Sequence[tuple[datetime, Attempt, str, bool]],
    rows: Mapping[str, Sequence[tuple[datetime, str]]],
    logins: Mapping[str, str],
) -> bool:
    """Whether this export shows a message's text alone (else its buttons may stand behind it)."""
    for _, one, text, _ in sure:
        where = f"room:{one.subject}" if one.room else logins.get(one.subject, "?")
        if any(said == text for _, said in rows.get(where, ())):
            return True
    return not sure


def find_answers(state: DrillState, evidence: Evidence) -> list[tuple[str, str, datetime, int]]:
    """Taps that the export shows and no callback has brought: message, person, moment, choice."""
    labels: dict[str, list[tuple[str, int]]] = {}
    for name, described in state.messages.items():
        for number, button in enumerate(described.get("buttons", ()), 1):
            labels.setdefault(_plain(str(button["label"])), []).append((name, number))
    people = {login: user for user, login in evidence.logins.items()}
    found: list[tuple[str, str, datetime, int]] = []
    for row in evidence.rows:
        user = people.get(row.sender_login) if row.sender_login and not row.is_bot else None
        meant = labels.get(_plain(row.text)) if user else None
        if user is None or not meant:
            continue
        began: list[tuple[datetime, str, int]] = []
        for message, number in meant:
            reach = state.reaches.get((message, user))
            if reach is not None:
                began.append((min(one.intended_at for one in reach.attempts.values()), message, number))
        before = [one for one in began if one[0] <= row.at + timedelta(seconds=SAME_S)]
        if not before:
            continue
        _, message, number = max(before)
        answer = state.reaches[message, user].answer
        if answer is not None:
            same = timedelta(seconds=SAME_S)
            if answer.first_at - same <= row.at <= answer.last_at + same:
                continue
        found.append((message, user, row.at, number))
    return found


def _said(state: DrillState, attempt: Attempt) -> str:
    text = str(state.messages.get(attempt.message_id, {}).get("text", ""))
    return _plain(build_text(text, attempt=attempt.attempt, actual=state.kind == "actual"))


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()
