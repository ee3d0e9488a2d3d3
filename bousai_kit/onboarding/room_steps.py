"""The steps that build rooms and leave them, and how one finds a room whose creation got no answer.

Nothing lists rooms. The bot is told of each one by a ``join`` callback with its ``channelId``, and the room
can then be asked for its title: so the title of each attempt is its own (``防災_北区（a1b2c3d4-2）``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import NotFound, PermissionDenied
from bousai_kit.ledger import NewEvent
from bousai_kit.onboarding.items import Plan, RoomItem
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.steps import Step

if TYPE_CHECKING:
    from bousai_kit.lineworks.client import LineWorksClient

__all__ = ["RoomWork", "leave_room", "room_title"]

CLOCKS_APART = timedelta(minutes=10)
GIVEN_UP_ROOM_S = 75.0  # ten a minute: an intent may wait a minute for its turn


def room_title(item: RoomItem, plan_id: str, attempt: int) -> str:
    """What one attempt calls the room; no other attempt of any plan calls one so."""
    return f"{item.title}（{plan_id[-8:]}-{attempt}）"


async def leave_room(client: LineWorksClient, bot_id: int, channel_id: str) -> None:
    """Let the bot leave; a room in which it is no more is as good as left.

    Who leaves a second time, after a kill or a lost answer, is told 403: so is who may not, but then the room
    can be looked at.
    """
    try:
        await client.channels.leave(bot_id, channel_id)
    except NotFound:  # dissolved: nobody was left in it
        return
    except PermissionDenied:
        if await _is_in(client, bot_id, channel_id):
            raise


async def _is_in(client: LineWorksClient, bot_id: int, channel_id: str) -> bool:
    try:
        await client.channels.get(bot_id, channel_id)
    except (NotFound, PermissionDenied):
        return False
    return True


class RoomWork:
    """Makes the steps of a plan's rooms.

    Parameters
    ----------
    plan : Plan
    journal : Journal
    client : LineWorksClient
    user_id : callable
        User id of a staff number, "" while there is none.
    """

    def __init__(
        self, plan: Plan, journal: Journal, client: LineWorksClient, user_id: Callable[[str], str]
    ) -> None:
        self.plan, self.journal, self.client = plan, journal, client
        self.user_id = user_id
        self._titles: dict[str, str] = {}
        self._joined_after = 0
        self._unread: set[str] = set()
        self._talks: set[str] = set()
        self._reading = asyncio.Lock()

    # -- new rooms ----------------------------------------------------------------------------------------

    def creates(self) -> Iterator[Step]:
        """Rooms that are new, or take another one's place."""
        for item in self.plan.rooms:
            if item.action in ("create", "rebuild"):
                yield self._create(item)

    def _create(self, item: RoomItem) -> Step:
        key, plan = f"room.create:{item.key}", self.plan
        said: dict[str, Any] = {}

        def titles() -> dict[str, int]:
            state = self.journal.state(key)
            return {
                room_title(item, plan.plan_id, n): n for n in range(1, (state.attempt if state else 0) + 1)
            }

        without: list[str] = []

        def members() -> list[str]:
            return [user_id for number in item.members if (user_id := self.user_id(number))]

        def note(inside: list[str]) -> None:
            there = set(inside)
            without[:] = [number for number in item.members if self.user_id(number) not in there]

        async def send() -> str:
            title = next(reversed(titles()))
            inside = members()
            made = await self.client.channels.create(plan.bot_id, inside, title=title)
            said.update(title=title, members=inside)
            note(inside)
            return str(made.get("channelId") or "")

        async def look() -> str | None:
            found = await self._find(titles())
            if not found:
                return None
            channel_id, title = found[-1]
            inside = [one async for one in self.client.channels.members(plan.bot_id, channel_id)]
            said.update(title=title, members=inside)
            note(inside)
            return channel_id

        def too_few() -> str:
            return "" if len(members()) > 1 else "ルームに入る人が、まだ 2 名以上登録されていません。"

        def built(channel_id: str) -> list[NewEvent]:
            body = {**said, "key": item.key, "bot_id": plan.bot_id, "step": key}
            once = f"{self.journal.stream}|room|{key}"
            return [NewEvent(self.journal.stream, "room.created", channel_id, body, once=once)]

        return Step(
            key,
            send,
            look,
            too_few,
            quiet=True,
            also=built,
            result=lambda: {"without": list(without)},
            given_up_s=GIVEN_UP_ROOM_S,
        )

    def came_late(self) -> Iterator[tuple[str, str]]:
        """Step and staff number of who got an account only after the room was built, which nothing edits."""
        for item in self.plan.rooms:
            key = f"room.create:{item.key}"
            if item.action in ("create", "rebuild") and self.journal.done(key):
                body = self.journal.states[key].body or {}
                for number in body.get("without") or ():
                    if self.user_id(str(number)):
                        yield key, str(number)

    async def _find(self, titles: dict[str, int]) -> list[tuple[str, str]]:
        """Rooms that the bot has joined and that bear one of these titles, by attempt."""
        await self._read_titles()
        found = [(titles[title], room, title) for room, title in self._titles.items() if title in titles]
        return [(room, title) for _, room, title in sorted(found)]

    async def _read_titles(self) -> None:
        """Ask each room that the bot has joined since the plan was made for its title, once."""
        async with self._reading:
            for event in await self.journal.ledger.read(
                after=self._joined_after, stream="callbacks", kinds=("callback.join", "callback.begin")
            ):
                self._joined_after = event.seq
                if event.kind == "callback.begin":  # the talk with one person, of which `join` tells as well
                    self._talks.add(str((event.body.get("source") or {}).get("channelId") or ""))
                elif event.recorded_at >= self.plan.made_at - CLOCKS_APART:
                    self._unread.add(event.subject)
            self._unread -= self._talks
            self._unread -= self._answered()
            for room in sorted(self._unread):
                title = ""
                with contextlib.suppress(NotFound, PermissionDenied):  # left again, or not ours
                    title = str((await self.client.channels.get(self.plan.bot_id, room)).get("title") or "")
                self._titles[room] = title
                self._unread.discard(room)

    def _answered(self) -> set[str]:
        """Rooms whose creation was answered: they bear the title of no attempt in doubt."""
        found = set()
        for item in self.plan.rooms:
            key = f"room.create:{item.key}"
            state = self.journal.state(key)
            sure = state is not None and (key, state.attempt) not in self.journal.in_doubt
            if state is not None and sure and state.id:
                found.add(state.id)
        return found

    # -- rooms that are left ------------------------------------------------------------------------------

    def leaves(self) -> Iterator[Step]:
        """Old rooms, once the new one stands."""
        for item in self.plan.rooms:
            if item.action == "leave":
                yield self._leave(item.channel_id, "")
            elif item.action == "rebuild":
                yield self._leave(item.channel_id, f"room.create:{item.key}")

    def _leave(self, channel_id: str, after: str, title: str = "") -> Step:
        async def send() -> str:
            await leave_room(self.client, self.plan.bot_id, channel_id)
            return channel_id

        def waits() -> str:
            return "" if not after or self.journal.done(after) else "新しいルームがまだありません。"

        def left(_: str) -> list[NewEvent]:
            stream = self.journal.stream
            return [NewEvent(stream, "room.left", channel_id, {}, once=f"{stream}|left|{channel_id}")]

        said = {"title": title} if title else {}
        key = f"room.leave:{channel_id}"
        return Step(key, send, None, waits, quiet=True, result=lambda: said, also=left)

    # -- rooms of attempts whose outcome nobody knows -----------------------------------------------------

    async def orphans(self) -> tuple[list[Step], list[str]]:
        """Rooms of attempts without an answer: steps to leave those that are known, titles of the others."""
        steps: list[Step] = []
        lost: list[str] = []
        doubts = {one for one in self.journal.in_doubt if one[0].startswith("room.create:")}
        if not doubts:
            return steps, lost
        await self._read_titles()
        rooms = {title: room for room, title in self._titles.items()}
        left = {str((state.body or {}).get("title")) for state in self.journal.states.values()}
        for item in self.plan.rooms:
            key = f"room.create:{item.key}"
            state = self.journal.state(key)
            if item.action not in ("create", "rebuild") or state is None or state.status != "done":
                continue
            for attempt in range(1, state.attempt + 1):
                title = room_title(item, self.plan.plan_id, attempt)
                room = rooms.get(title, "")
                if (key, attempt) not in doubts or room == state.id or title in left:
                    continue
                if room:
                    steps.append(self._leave(room, "", title))
                else:
                    lost.append(title)
        return steps, lost
