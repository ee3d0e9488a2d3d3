"""What is done about a drill without sending: look, list, approve, close. Only the ledger is needed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bousai_kit.clock import Clock
from bousai_kit.drills.result import DrillResult, result_of
from bousai_kit.drills.state import DrillState, fold, read_state
from bousai_kit.errors import DrillClosed, DrillError, DrillGuardError

if TYPE_CHECKING:
    from bousai_kit.ledger import Event, Ledger

__all__ = ["Approval", "DrillSummary", "approve_drill", "close_drill", "drill_status", "list_drills"]


@dataclass(frozen=True, slots=True)
class DrillSummary:
    """One line of the list."""

    drill_id: str
    title: str
    kind: str
    state: str
    planned_at: datetime | None
    started_at: datetime | None
    open_unknown: int
    recipients: int
    sent: int
    acked: int

    def as_json(self) -> dict[str, Any]:
        """One entry of ``drill list --json``."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Approval:
    """Who has approved an `actual`, when."""

    drill_id: str
    approved_by: str
    approved_at: datetime
    reason: str = ""
    same_account: bool = False

    def as_json(self) -> dict[str, Any]:
        """Keys of ``drill approve --json``."""
        return {name: getattr(self, name) for name in self.__slots__}


async def drill_status(ledger: Ledger, drill_id: str) -> DrillState:
    """One drill as the ledger tells it; no request is made.

    Raises
    ------
    DrillError
        There is no such drill.
    """
    return await read_state(ledger, drill_id)


async def list_drills(ledger: Ledger) -> list[DrillSummary]:
    """Every drill in the ledger, newest first."""
    by_drill: dict[str, list[Event]] = {}
    for event in await ledger.read(prefix="drill:"):
        by_drill.setdefault(event.stream.removeprefix("drill:"), []).append(event)
    if not by_drill:
        return []
    answers: dict[str, list[Event]] = {}
    first = min(events[0].seq for events in by_drill.values())
    kinds = ("callback.message", "callback.postback")
    for event in await ledger.read(after=first, stream="callbacks", kinds=kinds):
        said = str(event.body.get("postback") or event.body.get("data") or "")
        name = said.partition("|drill=")[2].partition("|")[0]
        if name in by_drill:
            answers.setdefault(name, []).append(event)
    found = [_summary(fold(name, [*own, *answers.get(name, ())])) for name, own in by_drill.items()]
    order = {name: events[0].seq for name, events in by_drill.items()}
    return sorted(found, key=lambda one: -order[one.drill_id])


def _summary(state: DrillState) -> DrillSummary:
    people = state.people_by_verdict()
    return DrillSummary(
        drill_id=state.drill_id,
        title=state.title,
        kind=state.kind,
        state=state.state,
        planned_at=state.planned_at,
        started_at=state.started_at,
        open_unknown=len(state.open_attempts()),
        recipients=len(state.people),
        sent=len(people["sent"]),
        acked=len(people["acked"]),
    )


async def approve_drill(
    ledger: Ledger,
    drill_id: str,
    *,
    clock: Clock,
    approved_by: str,
    reason: str = "",
    at_console: bool = False,
) -> Approval:
    """Record a second person's confirmation of an `actual`, or one person's reason at 3 a.m.

    Parameters
    ----------
    approved_by : str
        An account or a staff number, never a name.
    reason : str
        Why nobody else confirms.
    at_console : bool
        `approved_by` is the account of this console and not a person's own word: duty accounts are shared,
        so the planner's account is accepted and recorded as the same (``same_account``).

    Raises
    ------
    DrillGuardError
        It is no `actual`, nobody says who approves, or who planned it does and gives no reason.
    DrillClosed
    """
    state = await read_state(ledger, drill_id)
    if state.kind != "actual":
        raise DrillGuardError(
            "承認が要るのは実災害（kind: actual）だけです。",
            hint="そのまま `bousai drill run` を実行できます。",
        )
    if state.closed_at is not None:
        raise DrillClosed(f"訓練 {drill_id} は終了しています。")
    if not approved_by.strip():
        raise DrillGuardError("承認する人が分かりません。", hint="--by に職員番号を指定してください。")
    same = approved_by.strip() == state.plan.get("planned_by")
    if same and not reason.strip() and not at_console:
        raise DrillGuardError(
            "計画した人は、2 人目として承認できません。",
            hint="別の人なら --by に職員番号を、誰もいなければ drill run の --reason に理由を書きます。",
        )
    body: dict[str, Any] = {"approved_by": approved_by.strip()[:100], "at": clock.now().isoformat()}
    if reason.strip():
        body["reason"] = reason.strip()[:500]
    if same:
        body["same_account"] = True
    await ledger.append(
        f"drill:{drill_id}", "drill.approved", drill_id, body, once=f"drill:{drill_id}:approved"
    )
    state = await read_state(ledger, drill_id)
    assert state.approval is not None
    return Approval(
        drill_id,
        str(state.approval.get("approved_by", "")),
        datetime.fromisoformat(str(state.approval["at"])),
        str(state.approval.get("reason", "")),
        bool(state.approval.get("same_account", False)),
    )


async def close_drill(ledger: Ledger, drill_id: str, *, clock: Clock) -> DrillResult:
    """End a drill: nothing more is sent, later answers do not count. Closing it again changes nothing.

    Raises
    ------
    DrillError
        There is no such drill.
    """
    state = await read_state(ledger, drill_id)
    if not state.plan:
        raise DrillError(f"訓練 {drill_id} の計画が台帳にありません。")
    await ledger.append(
        f"drill:{drill_id}",
        "drill.closed",
        drill_id,
        {"at": clock.now().isoformat()},
        once=f"drill:{drill_id}:closed",
    )
    return result_of(await read_state(ledger, drill_id))
