"""Settle what is unknown: by the person's own answer, else by the bot's rows in the log export. Never sends.

A dispatch is *absent* when the log is old enough (``BOUSAI_LOG_DELAY_S`` after the intent, or after the
request was given up if that is later), the export of that time is whole, and no row of the bot fits it. Rows
are first given to the dispatches that were accepted: when those are missing too, the log is not complete yet,
and nothing is called absent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bousai_kit.clock import Clock, in_thread
from bousai_kit.drills.evidence import Evidence, find_answers, match_rows
from bousai_kit.drills.result import DrillResult, result_of
from bousai_kit.drills.state import Attempt, DrillState, Reach, fold, read_state
from bousai_kit.drills.store import DrillLock, read_logins
from bousai_kit.errors import InputError, LineWorksError
from bousai_kit.ledger import NewEvent
from bousai_kit.logs.talk import TalkRow, read_talk

if TYPE_CHECKING:
    from bousai_kit.ledger import Ledger
    from bousai_kit.lineworks.client import LineWorksClient
    from bousai_kit.logs.archive import Archive

__all__ = ["settle_drill"]

SERVICE = "message-contents"
SLACK_S = 120.0
STEP_S = 5.0

Fetch = Callable[[datetime, datetime], Awaitable[bytes]]
Tell = Callable[[float, float, str], None]


async def settle_drill(
    drill_id: str,
    *,
    ledger: Ledger,
    clock: Clock,
    archive: Archive,
    fetch: Fetch,
    home: Path | None = None,
    log_delay_s: float = 300.0,
    client: LineWorksClient | None = None,
    stop: asyncio.Event | None = None,
    tell: Tell | None = None,
) -> DrillResult:
    """Wait until the log is old enough, pull it, and mark each unknown dispatch delivered or absent.

    Parameters
    ----------
    archive : Archive
        Keeps the raw export.
    fetch : callable
        ``await fetch(since, until)`` → the export of message contents of one window.
    home : Path, optional
        Where the drill's folder is.
    client : LineWorksClient, optional
        To look up login ids when the drill's folder is on another machine, and to count requests.
    stop : asyncio.Event, optional
        Set: nothing is marked.
    tell : callable, optional
        ``tell(waited_s, total_s, sentence)``.

    Raises
    ------
    DrillError
        There is no such drill.
    LineWorksError
        The log cannot be had.
    """
    began = clock.monotonic()
    before = (client.stats.requests, client.stats.throttled) if client is not None else (0, 0)
    notes: list[str] = []
    lock = DrillLock(home, drill_id)
    alone = lock.take()
    try:
        await _settle_answered(ledger, await read_state(ledger, drill_id))
        state = await _wait(ledger, drill_id, clock, log_delay_s, alone, stop, tell)
        if stop is None or not stop.is_set():
            await _by_log(
                state, ledger=ledger, clock=clock, archive=archive, fetch=fetch, home=home,
                log_delay_s=log_delay_s, client=client, alone=alone, notes=notes, tell=tell,
            )  # fmt: skip
    finally:
        lock.release()
    made = (client.stats.requests, client.stats.throttled) if client is not None else (0, 0)
    return result_of(
        await read_state(ledger, drill_id),
        elapsed_s=clock.monotonic() - began,
        requests=made[0] - before[0],
        throttled=made[1] - before[1],
        notes=tuple(notes),
    )


def _unknown(state: DrillState, *, alone: bool) -> list[Attempt]:
    """What is to be settled; what another process has under way is not (its outcome may come yet)."""
    return [one for one in state.attempts.values() if one.open and (alone or one.status == "unknown")]


def _pressing(state: DrillState, *, alone: bool) -> list[Attempt]:
    """Those that matter to somebody: who has answered needs no reminder's fate."""
    keys = {one.key for one in state.open_attempts()}
    return [one for one in _unknown(state, alone=alone) if one.key in keys]


async def _settle_answered(ledger: Ledger, state: DrillState) -> None:
    """An answer proves the only dispatch that it can have come from."""
    events = []
    for one in state.attempts.values():
        answered = [state.reaches[one.message_id, user] for user in one.members]
        answered = [reach for reach in answered if reach.answer is not None]
        if one.open and any(_alone(reach) for reach in answered):
            events.append(_event(state, one, "settled_delivered", {"how": "answer"}))
    if events:
        await ledger.append_many(events)


def _alone(reach: Reach) -> bool:
    others = [one for one in reach.attempts.values() if one.delivered or one.open]
    return len(others) == 1


async def _wait(
    ledger: Ledger,
    drill_id: str,
    clock: Clock,
    log_delay_s: float,
    alone: bool,
    stop: asyncio.Event | None,
    tell: Tell | None,
) -> DrillState:
    began, waited = clock.now(), 0.0
    while True:
        state = await read_state(ledger, drill_id)
        await _settle_answered(ledger, state)
        ages = [one.ended_at or one.intended_at for one in _pressing(state, alone=alone)]
        ripe = max(ages, default=began) + timedelta(seconds=log_delay_s)
        left = (ripe - clock.now()).total_seconds() if ages else 0.0
        if left <= 0 or (stop is not None and stop.is_set()):
            return state
        if tell is not None:
            tell(waited, waited + left, "ログに現れるのを待っています")
        pause = min(STEP_S, left)
        await clock.sleep(pause)
        waited += pause


async def _by_log(
    state: DrillState,
    *,
    ledger: Ledger,
    clock: Clock,
    archive: Archive,
    fetch: Fetch,
    home: Path | None,
    log_delay_s: float,
    client: LineWorksClient | None,
    alone: bool,
    notes: list[str],
    tell: Tell | None,
) -> None:
    silent = state.people_by_verdict()["silent"]
    if not silent and not _pressing(state, alone=alone):
        return
    since = min(one.intended_at for one in state.attempts.values()) - timedelta(seconds=SLACK_S)
    until = clock.now()
    if tell is not None:
        tell(0, 0, "ログを取得しています")
    pulled = await archive.pull(SERVICE, since, until, fetch)
    notes += [
        f"ログの {gap.since.isoformat()}〜{gap.until.isoformat()} を取得できませんでした（{gap.reason}）。"
        for gap in pulled.gaps
    ]
    rows: list[TalkRow] = []
    whole = not pulled.gaps
    for path in pulled.files:
        found, complete = await in_thread(clock, partial(_read, path))
        rows += found
        whole = whole and complete
    logins = await _logins(state, home, client)
    evidence = Evidence(rows=rows, logins=logins)
    answers = [
        NewEvent(
            f"drill:{state.drill_id}",
            "ack.found",
            user,
            {"message_id": message, "answered_at": at.isoformat(), "choice": choice, "how": "log"},
            once=f"drill:{state.drill_id}:ack:{message}:{user}:{at.isoformat()}:{choice}",
        )
        for message, user, at, choice in find_answers(state, evidence)
    ]
    if answers:
        await ledger.append_many(answers)
        notes.append(f"ログから {len(answers):,} 件の応答を見つけました。")
        state = await read_state(ledger, state.drill_id)
        await _settle_answered(ledger, state)
        state = await read_state(ledger, state.drill_id)
    unknown = _unknown(state, alone=alone)
    if not unknown:
        return
    others = await _others(ledger, state)
    slack_s = max(SLACK_S, log_delay_s)
    matched = match_rows(state, evidence, others, before=until, slack_s=slack_s)
    events = []
    left = 0
    for one in unknown:
        at = matched.rows.get(one.key)
        if at is not None:
            said = {"issued_at": max(at, one.intended_at).isoformat(), "how": "log"}
            events.append(_event(state, one, "settled_delivered", said))
        elif whole and matched.trustworthy and matched.can_say(one):
            events.append(_event(state, one, "settled_absent", {"how": "log", "reason": "ログにありません"}))
        else:
            left += 1
    if events:
        await ledger.append_many(events)
    if left:
        why = "ログが揃っていない" if not whole or not matched.trustworthy else "ログと照合できない"
        notes.append(f"{why}ため、{left:,} 件は不明のままです。時間をおいて、もう一度確定してください。")


def _read(path: Path) -> tuple[list[TalkRow], bool]:
    with contextlib.suppress(InputError, OSError):
        log = read_talk(path.read_bytes())
        return list(log.rows), not log.rejected
    return [], False


def _event(state: DrillState, attempt: Attempt, outcome: str, said: dict[str, Any]) -> NewEvent:
    body: dict[str, Any] = {"message_id": attempt.message_id, "dispatch": attempt.key, **said}
    if attempt.room:
        body["members"] = list(attempt.members)
    once = f"drill:{state.drill_id}:{attempt.key}:settled"
    return NewEvent(f"drill:{state.drill_id}", f"dispatch.{outcome}", attempt.subject, body, once=once)


async def _logins(state: DrillState, home: Path | None, client: LineWorksClient | None) -> dict[str, str]:
    known = {} if home is None else read_logins(home, state.drill_id)
    if client is not None and any(user not in known for user in state.people):
        with contextlib.suppress(LineWorksError):
            async for user in client.users.list():
                if user.get("userId") in state.people and user.get("email"):
                    known.setdefault(str(user["userId"]), str(user["email"]).casefold())
    return known


async def _others(ledger: Ledger, state: DrillState) -> list[DrillState]:
    """Other drills that said the same: their rows are not this one's."""
    texts = {str(message["text"]) for message in state.messages.values()}
    found = []
    for event in await ledger.read(prefix="drill:", kinds=("drill.planned",)):
        name = event.stream.removeprefix("drill:")
        said = {str(message.get("text")) for message in event.body.get("messages", ())}
        if name != state.drill_id and texts & said:
            found.append(fold(name, await ledger.read(stream=event.stream)))
    return found
