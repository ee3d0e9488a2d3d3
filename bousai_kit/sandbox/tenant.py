"""The tenant's state: plain JSON-able dicts in named tables, what is due, and what has not been stored yet.

No input or output, no clock. Every change goes through `put`, `touch` or `delete`, so that `store` can write
exactly what changed before an answer leaves.

Tables of the frame: ``settings``, ``due``, ``users``, ``orgunits``, ``groups``, ``levels``, ``positions``,
``user_types``, ``custom_properties``, ``profile_statuses``, ``tokens``, ``audit``. Others belong to the
modules that use them.
"""

from __future__ import annotations

import hashlib
import heapq
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

__all__ = ["JST", "Due", "Entity", "Tenant", "iso", "parse_time"]

Entity = dict[str, Any]
JST = ZoneInfo("Asia/Tokyo")


def iso(moment: datetime) -> str:
    """``YYYY-MM-DDThh:mm:ss+09:00``, the form of the vendor's samples."""
    return moment.astimezone(JST).isoformat(timespec="seconds")


def parse_time(text: str) -> datetime:
    """An ISO 8601 moment with offset, as aware UTC.

    Raises
    ------
    ValueError
        Not a moment, or without offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("offset is missing")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("out of range") from None


@dataclass(frozen=True, slots=True)
class Due:
    """Something that happens at a moment."""

    key: str
    due: datetime
    kind: str
    payload: dict[str, Any]


class Tenant:
    """One tenant with one or more domains.

    Parameters
    ----------
    seed : int
        Ids and simulated people are drawn from it.
    domain_id : int
        The domain that registered the app.
    """

    def __init__(self, *, seed: int = 1, domain_id: int = 10000001) -> None:
        self.tables: defaultdict[str, dict[str, Entity]] = defaultdict(dict)
        self.dirty: dict[tuple[str, str], bool] = {}  # in order of change; True: was taken away in between
        self.scheduled: Callable[[], None] | None = None  # told when something new is due
        self._heap: list[tuple[datetime, str]] = []
        self.caches: dict[str, Any] = {}  # indexes that modules build from the tables; never stored
        self.set("seed", seed)
        self.set("domain_id", domain_id)
        self.set("domains", [domain_id])

    # -- settings -----------------------------------------------------------------------------------

    @property
    def seed(self) -> int:
        """Seed of ids and people."""
        return int(self.get("seed"))

    @property
    def domain_id(self) -> int:
        """The domain that registered the app."""
        return int(self.get("domain_id"))

    @property
    def domains(self) -> list[int]:
        """All domains of the tenant."""
        return list(self.get("domains"))

    @property
    def bot_id(self) -> int:
        """The bot that every tenant begins with."""
        return int(self.get("bot_id"))

    def get(self, name: str, default: Any = None) -> Any:
        """A setting."""
        entry = self.tables["settings"].get(name)
        return default if entry is None else entry["v"]

    def set(self, name: str, value: Any) -> None:
        """Change a setting (JSON-able)."""
        self.put("settings", name, {"v": value})

    # -- entities -----------------------------------------------------------------------------------

    def table(self, name: str) -> dict[str, Entity]:
        """All entities of a table by key, in order of creation. Read only; change through `put`."""
        return self.tables[name]

    def put(self, table: str, key: str, entity: Entity) -> Entity:
        """Create or replace."""
        entities, changed = self.tables[table], (table, key)
        if key in entities:
            self.dirty.setdefault(changed, False)
        else:  # at the end of its table, in the file too
            self.dirty[changed] = self.dirty.pop(changed, False)
        entities[key] = entity
        return entity

    def touch(self, table: str, key: str) -> None:
        """Say that an entity was changed in place."""
        self.dirty.setdefault((table, key), False)

    def delete(self, table: str, key: str) -> Entity | None:
        """Take away; None if it was not there."""
        entity = self.tables[table].pop(key, None)
        if entity is not None:
            self.dirty[table, key] = True
        return entity

    def next_number(self, name: str, start: int = 1) -> int:
        """1, 2, 3, … per name, going on after a restart."""
        number = int(self.get(f"number:{name}", start - 1)) + 1
        self.set(f"number:{name}", number)
        return number

    def new_id(self, kind: str, salt: str = "") -> str:
        """A UUID-like id drawn from the seed: the same salt gives the same id on a tenant of the same seed.

        Parameters
        ----------
        kind : str
            What it is for.
        salt : str
            What it is drawn from (a login id, an external key); default: a running number. The caller sees
            to it that a salt is not used twice for things that live at the same time, or passes
            ``f"{salt}|{n}"``.
        """
        salt = salt or f"#{self.next_number('id:' + kind)}"
        digest = hashlib.sha256(f"{self.seed}|{kind}|{salt}".encode()).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))

    # -- what is due --------------------------------------------------------------------------------

    def schedule(self, due: datetime, kind: str, payload: dict[str, Any]) -> str:
        """Let a ``DUE_HANDLERS[kind]`` run at `due` (aware); stored, so it survives a restart.

        Equal moments run in the order in which they were scheduled. Returns a key for `cancel`.
        """
        key = f"{self.next_number('due'):012d}"
        moment = due.astimezone(UTC)
        self.put("due", key, {"due": moment.isoformat(), "kind": kind, "payload": payload})
        heapq.heappush(self._heap, (moment, key))
        if self.scheduled is not None:
            self.scheduled()
        return key

    def cancel(self, key: str) -> None:
        """Take something off the list; nothing happens if it is gone."""
        self.delete("due", key)

    def next_due(self) -> datetime | None:
        """When the next thing happens."""
        while self._heap and self._heap[0][1] not in self.tables["due"]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def first_due(self, now: datetime) -> Due | None:
        """The next thing whose time has come; it stays on the list until `cancel`."""
        moment = self.next_due()
        if moment is None or moment > now:
            return None
        key = self._heap[0][1]
        entry = self.tables["due"][key]
        return Due(key, moment, entry["kind"], entry["payload"])

    # -- audit trail --------------------------------------------------------------------------------

    def audit(self, service: str, at: datetime, **fields: Any) -> None:
        """Note a row for the audit log of `service` (``auth``, ``admin``, ``bot``, ``message``, …).

        Fields are the module's own that renders the export (JSON-able), e.g. ``user`` (user id), ``task``,
        ``target``, ``ok``.
        """
        self.put(
            "audit", f"{self.next_number('audit'):012d}", {"service": service, "at": at.isoformat(), **fields}
        )

    # -- storing ------------------------------------------------------------------------------------

    def take_dirty(self) -> Iterator[tuple[str, str, Entity | None]]:
        """What has changed since the last time: table, key, entity (None: gone)."""
        changed, self.dirty = self.dirty, {}
        for table, key in changed:
            yield table, key, self.tables[table].get(key)

    def load(self, rows: Iterator[tuple[str, str, Entity]]) -> None:
        """Fill from stored rows; nothing is dirty afterwards."""
        self.tables.clear()
        for table, key, entity in rows:
            self.tables[table][key] = entity
        self._read_due()
        self.dirty.clear()
        self.caches.clear()

    def become(self, other: Tenant) -> None:
        """Take over everything of another tenant; keys of due events are not used again."""
        number = self.get("number:due", 0)
        for table, entities in list(self.tables.items()):
            for key in list(entities):
                self.delete(table, key)
        for table, entities in other.tables.items():
            for key, entity in entities.items():
                self.put(table, key, entity)
        self.set("number:due", max(number, self.get("number:due", 0)))
        self._read_due()
        self.caches.clear()

    def _read_due(self) -> None:
        self._heap = [
            (datetime.fromisoformat(entry["due"]), key) for key, entry in self.tables["due"].items()
        ]
        heapq.heapify(self._heap)
