"""What a drill amounts to, as a value: the keys of ``drill run --json`` and the lines for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bousai_kit.drills.state import Attempt, DrillState

__all__ = ["DrillResult", "result_of"]


@dataclass(frozen=True)
class DrillResult:
    """Numbers of people, and lists of what is not in order.

    Attributes
    ----------
    sent : int
        People reached, settled deliveries included.
    acked, late : int
        People whose first answer came by the deadline, or after it.
    silent : int
        People reached and asked who have not answered.
    refused, unknown, absent : tuple of dict
        ``{user_id, staff_number, message_id, attempt, …}``; unknown: the open ones; absent: settled,
        and to be sent again by whoever resumes.
    requests, throttled : int
        Sent, and answered with 429.
    """

    drill_id: str
    title: str
    kind: str
    state: str
    recipients: int
    sent: int
    refused: tuple[dict[str, Any], ...]
    unknown: tuple[dict[str, Any], ...]
    absent: tuple[dict[str, Any], ...]
    acked: int
    late: int
    silent: int
    unreachable: int
    aside: int
    elapsed_s: float
    requests: int
    throttled: int
    messages: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Nothing failed and nothing is unknown."""
        return not self.refused and not self.unknown

    def as_json(self) -> dict[str, Any]:
        """Keys of ``drill run --json``."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def render_text(self) -> str:
        """A few lines for a terminal."""
        lines = [
            f"訓練 {self.drill_id}「{self.title}」（{STATES.get(self.state, self.state)}）",
            f"  送信 {self.sent:,} / 対象 {self.recipients:,} 人、"
            f"応答 {self.acked:,}、未応答 {self.silent:,}、期限後 {self.late:,}",
        ]
        if self.unreachable:
            lines.append(f"  送信できない人 {self.unreachable:,}（未登録・未ログイン・停止中など）")
        if self.refused:
            lines.append(f"  受け付けられなかった送信 {len(self.refused):,}")
        if self.unknown:
            lines.append(
                f"  届いたか不明な送信 {len(self.unknown):,}："
                f"`bousai drill settle {self.drill_id}` で確定してください。"
            )
        if self.absent:
            lines.append(
                f"  届いていないと確定した送信 {len(self.absent):,}："
                f"`bousai drill resume {self.drill_id}` で送り直してください。"
            )
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)


STATES = {"planned": "計画済み", "open": "実施中", "closed": "終了"}


def result_of(
    state: DrillState,
    *,
    elapsed_s: float | None = None,
    requests: int | None = None,
    throttled: int | None = None,
    notes: tuple[str, ...] = (),
) -> DrillResult:
    """The result of a drill as it stands.

    Parameters
    ----------
    elapsed_s, requests, throttled : optional
        Of this run; default: of all runs, as the ledger tells.
    """
    people = state.people_by_verdict()
    end = state.closed_at or state.last_at
    if elapsed_s is None:
        began = state.started_at
        elapsed_s = 0.0 if began is None or end is None else max(0.0, (end - began).total_seconds())
    return DrillResult(
        drill_id=state.drill_id,
        title=state.title,
        kind=state.kind,
        state=state.state,
        recipients=len(state.people),
        sent=len(people["sent"]),
        refused=tuple(_item(state, one) for one in state.refused_attempts()),
        unknown=tuple(_item(state, one) for one in state.open_attempts()),
        absent=tuple(_item(state, one) for one in state.absent_attempts()),
        acked=len(people["acked"]),
        late=len(people["late"]),
        silent=len(people["silent"]),
        unreachable=len(state.unreachable),
        aside=len(state.aside),
        elapsed_s=elapsed_s,
        requests=state.requests if requests is None else requests,
        throttled=state.throttled if throttled is None else throttled,
        messages=tuple(_message(state, one) for one in state.messages),
        notes=notes,
    )


def _item(state: DrillState, attempt: Attempt) -> dict[str, Any]:
    person = state.people.get(attempt.subject, {})
    found: dict[str, Any] = {
        "user_id": "" if attempt.room else attempt.subject,
        "staff_number": str(person.get("staff_number", "")),
        "message_id": attempt.message_id,
        "attempt": attempt.attempt,
        "at": attempt.intended_at.isoformat(),
    }
    if attempt.room:
        found |= {"room": attempt.subject, "people": len(attempt.members)}
    if attempt.code or attempt.reason:
        found |= {"code": attempt.code, "reason": attempt.reason}
    return found


def _message(state: DrillState, message: str) -> dict[str, Any]:
    counts = dict.fromkeys(("acked", "late", "silent", "told", "unknown", "refused"), 0)
    choices: dict[str, int] = {}
    buttons = [
        str(button.get("answer") or button["label"]) for button in state.messages[message].get("buttons", ())
    ]
    for pair, reach in state.reaches.items():
        if pair[0] != message:
            continue
        counts[state.verdict(pair)] += 1
        if reach.answer is not None and 1 <= reach.answer.choice <= len(buttons):
            name = buttons[reach.answer.choice - 1]
            choices[name] = choices.get(name, 0) + 1
    sent = counts["acked"] + counts["late"] + counts["silent"] + counts["told"]
    return {
        "id": message,
        "sent": sent,
        **{name: counts[name] for name in ("acked", "late", "silent", "unknown", "refused")},
        "answers": {name: choices.get(name, 0) for name in buttons},
    }
