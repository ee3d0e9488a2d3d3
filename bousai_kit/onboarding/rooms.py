"""Rooms for the drill route, built in peacetime: one a ward, the rest of the city together.

The bot's rooms can be neither edited nor listed (reference part 2 §3): what was built stands in the ledger,
and a room whose members have changed is built anew under a new title; then the bot leaves the old one. Each
room holds at most as many members as one creation takes, far from the size without push notifications.
People stay in their room while it lasts: a new one among 30,000 costs one room, not all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bousai_kit.onboarding.items import PersonItem, RoomItem
from bousai_kit.roster import Person

if TYPE_CHECKING:
    from bousai_kit.ledger import Ledger

__all__ = ["ROOM_MOST", "BuiltRoom", "built_rooms", "plan_rooms", "wants_rooms", "wished_rooms"]

ROOM_MOST = 100
"""Members of one creation (reference part 2 §3)."""

OWN_ROOM = 20
"""A bureau of so many people has a room of its own; smaller ones share the room of the main office."""

MAIN_OFFICE = ("main", "本庁")
DIRECT_WINDOWS = 2
"""Beyond so many full windows of one message a person, posts to rooms are faster by far."""


@dataclass(frozen=True, slots=True)
class BuiltRoom:
    """A room that the bot made and has not left; `members` are user ids."""

    channel_id: str
    key: str
    title: str = ""
    members: tuple[str, ...] = ()


async def built_rooms(ledger: Ledger, *, bot_id: int) -> tuple[BuiltRoom, ...]:
    """The rooms of this bot that applies have built and not left, oldest first."""
    rooms: dict[str, BuiltRoom] = {}
    for event in await ledger.read(prefix="apply:", kinds=("room.created", "room.left")):
        body = event.body
        if event.kind == "room.left":
            rooms.pop(event.subject, None)
        elif int(body.get("bot_id") or bot_id) == bot_id:
            rooms[event.subject] = BuiltRoom(
                event.subject, str(body["key"]), str(body["title"]), tuple(map(str, body["members"]))
            )
    return tuple(rooms.values())


def wants_rooms(choice: str, *, people: int, per_minute: int, built: Sequence[BuiltRoom]) -> bool:
    """Whether rooms are part of a plan.

    Parameters
    ----------
    choice : {"auto", "always", "never"}
        ``auto``: where one message a person would take more than two windows, or rooms exist already.
    """
    if choice not in ("auto", "always", "never"):
        raise ValueError("rooms is auto, always or never")
    if choice == "auto":
        return bool(built) or people > DIRECT_WINDOWS * per_minute
    return choice == "always"


def wished_rooms(people: Iterable[Person]) -> dict[str, tuple[str, list[Person]]]:
    """Key → (label, people) of the rooms before they are cut to size; everybody in exactly one.

    A ward or bureau of one person, in which a room would have one member, belongs to the main office.
    """
    people = list(people)
    wards = Counter(person.ward for person in people if person.ward)
    bureaus = Counter(person.bureau for person in people if person.bureau and wards[person.ward] < 2)
    wished: dict[str, tuple[str, list[Person]]] = {}
    for person in people:
        if person.ward and wards[person.ward] > 1:
            key, label = f"ward-{person.ward}", person.ward
        elif person.bureau and bureaus[person.bureau] >= OWN_ROOM:
            key, label = f"bureau-{person.bureau}", person.bureau
        else:
            key, label = MAIN_OFFICE
        wished.setdefault(key, (label, []))[1].append(person)
    return wished


def plan_rooms(items: Iterable[PersonItem], built: Sequence[BuiltRoom]) -> tuple[RoomItem, ...]:
    """What becomes of the rooms: kept, built anew, built, left. The same input gives the same answer."""
    inside = {user_id for room in built for user_id in room.members}
    people = [item for item in items if item.action != "conflict" or item.user_id in inside]
    user_ids = {item.person.staff_number: item.user_id for item in people}
    wished = wished_rooms(item.person for item in people)
    rooms = {one.key: one for one in built}
    chunks: dict[str, list[BuiltRoom]] = {}
    for one in rooms.values():
        chunks.setdefault(one.key.rpartition("/")[0], []).append(one)
    surplus = [one for one in built if rooms[one.key] is not one]  # of one key only the last is used
    found: list[RoomItem] = []
    for base, (label, wanted) in wished.items():
        numbers = [person.staff_number for person in wanted]
        found += _Cutter(base, label, user_ids, chunks.pop(base, [])).items(numbers)
    gone = [room for rest in chunks.values() for room in rest]
    found += [RoomItem("leave", room.key, room.title, (), room.channel_id) for room in (*gone, *surplus)]
    return tuple(found)


@dataclass(slots=True)
class _Chunk:
    room: BuiltRoom | None
    number: int
    numbers: list[str]
    changed: bool = False


def _number(room: BuiltRoom) -> int:
    """Which of its ward's rooms it is."""
    return int(room.key.rpartition("/")[2])


@dataclass(slots=True)
class _Cutter:
    """The rooms of one ward: who is in one stays there; newcomers go where a room changes anyway."""

    base: str
    label: str
    user_ids: Mapping[str, str]
    built: list[BuiltRoom]
    leaving: list[BuiltRoom] = field(default_factory=list)

    def items(self, numbers: list[str]) -> Iterator[RoomItem]:
        chunks = self._place(numbers)
        several = len(chunks) > 1
        for chunk in chunks:
            key = f"{self.base}/{chunk.number}"
            title = f"防災_{self.label}" + (f"_{chunk.number}" if several or chunk.number > 1 else "")
            action = "create" if chunk.room is None else "rebuild" if chunk.changed else "unchanged"
            old = chunk.room
            if old is not None and not chunk.changed:
                title = old.title
            yield RoomItem(action, key, title, tuple(chunk.numbers), old.channel_id if old else "")
        for room in self.leaving:
            yield RoomItem("leave", room.key, room.title, (), room.channel_id)

    def _place(self, numbers: list[str]) -> list[_Chunk]:
        waiting = dict.fromkeys(numbers)
        chunks: list[_Chunk] = []
        for room in self.built:
            inside = set(room.members)
            here = [one for one in waiting if self.user_ids[one] in inside]
            if len(here) < 2:
                self.leaving.append(room)
                continue
            for one in here:
                del waiting[one]
            chunks.append(_Chunk(room, _number(room), here, changed=len(here) != len(inside)))
        for chunk in sorted(chunks, key=lambda one: not one.changed):  # those that change anyway come first
            room_for = ROOM_MOST - len(chunk.numbers)
            taken = list(waiting)[: max(0, room_for)]
            for one in taken:
                del waiting[one]
            chunk.changed |= bool(taken)
            chunk.numbers += taken
        return sorted([*chunks, *self._fresh(list(waiting), chunks)], key=lambda one: one.number)

    def _fresh(self, waiting: list[str], chunks: list[_Chunk]) -> Iterator[_Chunk]:
        """New rooms of about equal size, so that some space is left in each."""
        if len(waiting) == 1 and chunks:  # a room of one is none: somebody moves over
            waiting.append(chunks[-1].numbers.pop())
            chunks[-1].changed = True
        taken = {chunk.number for chunk in chunks}
        taken |= {_number(room) for room in self.leaving}
        rooms = -(-len(waiting) // ROOM_MOST)
        numbers = (n for n in range(1, len(taken) + rooms + 1) if n not in taken)
        for index in range(rooms):
            part = waiting[index * len(waiting) // rooms : (index + 1) * len(waiting) // rooms]
            if len(part) > 1:  # takes the place of one that everybody has gone from
                old = self.leaving.pop(0) if self.leaving else None
                yield _Chunk(old, next(numbers) if old is None else _number(old), part, changed=True)
