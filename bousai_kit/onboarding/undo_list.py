"""The applies of a home, and how far each has been taken back. Reads the ledger only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bousai_kit.ledger import Ledger

__all__ = ["Applied", "list_applied"]

_STATES = {
    "undo.begun": "undoing",
    "undo.stopped": "undoing",
    "undo.failed": "failed",
    "undo.ended": "undone",
}


@dataclass(frozen=True, slots=True)
class Applied:
    """One apply.

    Attributes
    ----------
    apply_id : str
    at : datetime
        When it began.
    create, update, suspend : int
        People, as planned.
    state : str
        ``applied``, ``undoing`` (an undo has begun and was interrupted), ``failed`` (it came to its end, and
        something could not be taken back) or ``undone``.
    """

    apply_id: str
    at: datetime
    create: int = 0
    update: int = 0
    suspend: int = 0
    state: str = "applied"


async def list_applied(ledger: Ledger, *, home: Path, domain_id: int) -> list[Applied]:
    """Applies of this tenant whose plan this home keeps, newest first; first those whose undo is open."""
    found: dict[str, Applied] = {}
    states: dict[str, str] = {}
    for event in await ledger.read(prefix="apply:", kinds=("apply.planned", *_STATES)):
        apply_id = event.stream.removeprefix("apply:")
        if event.kind != "apply.planned":
            states[apply_id] = _STATES[event.kind]
        elif event.body.get("domain_id") == domain_id and (home / "plans" / f"{apply_id}.json").is_file():
            create, update, suspend = (
                int(event.body.get(name) or 0) for name in ("create", "update", "suspend")
            )
            found[apply_id] = Applied(apply_id, event.recorded_at, create, update, suspend)
    listed = [
        replace(one, state=states.get(apply_id, "applied")) for apply_id, one in reversed(found.items())
    ]
    return sorted(listed, key=lambda one: one.state != "undoing")
