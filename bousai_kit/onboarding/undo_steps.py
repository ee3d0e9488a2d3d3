"""The steps of an undo. Each can be repeated without harm; what is gone already is as good as done."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import Conflict, LineWorksError, NotFound
from bousai_kit.ledger import NewEvent
from bousai_kit.onboarding.plan import clean_organizations
from bousai_kit.onboarding.room_steps import leave_room
from bousai_kit.onboarding.steps import FRESH, Step
from bousai_kit.onboarding.tenant_view import TenantView, see_member
from bousai_kit.onboarding.titles import KINDS, Kind
from bousai_kit.onboarding.undo_items import UndoPlan

if TYPE_CHECKING:
    from bousai_kit.lineworks.client import LineWorksClient

__all__ = ["BegunSince", "ChangedSince", "UndoWork"]


class BegunSince(LineWorksError):
    """Who was to be deleted has begun to use the account while the undo was under way."""

    def __init__(self) -> None:
        super().__init__(
            "取り消しの間に利用を始めたため、削除していません。",
            hint="もう一度取り消すと、削除せずに一時停止します。",
        )


class ChangedSince(LineWorksError):
    """Somebody gave the member another post while the undo was under way: it would be lost."""

    def __init__(self) -> None:
        super().__init__(
            "取り消しの間に所属か役職が変更されたため、元に戻していません。",
            hint="もう一度取り消すと、いまの状態から判断し直します。",
        )


class UndoWork:
    """Makes the steps.

    Parameters
    ----------
    undo : UndoPlan
        Looked up now, not from a file.
    view : TenantView
        From which it was looked up.
    client : LineWorksClient
    """

    def __init__(self, undo: UndoPlan, view: TenantView, client: LineWorksClient) -> None:
        self.undo, self.view, self.client = undo, view, client

    def phases(self) -> list[tuple[str, Callable[[], Iterator[Step]], int]]:
        """Title, steps, and how many at once (0: as many as may be); each ends before the next begins."""
        return [
            ("トークルーム", self.rooms, 0),
            ("グループ", self.groups, 0),
            ("メンバー", self.people, 0),
            ("組織", self.units, 1),
            *((kind.label, partial(self.titles, kind), 0) for kind in KINDS),
        ]

    def rooms(self) -> Iterator[Step]:
        """The bot leaves."""
        client, stream = self.client, f"apply:{self.undo.apply_id}"
        for room in self.undo.rooms:
            step = _step(f"room.leave:{room}", lambda id_=room: leave_room(client, self.undo.bot_id, id_))
            step.also = lambda _, id_=room: [  # type: ignore[misc]
                NewEvent(stream, "room.left", id_, {}, once=f"{stream}|left|{id_}")
            ]
            yield step

    def groups(self) -> Iterator[Step]:
        """Groups of the apply go; others get their names and members back."""
        groups = self.client.groups
        for group_id in self.undo.groups:
            yield _step(f"group.delete:{group_id}", lambda id_=group_id: groups.delete(id_))
        for group_id, name in self.undo.group_names:
            yield _step(
                f"group.name:{group_id}", lambda id_=group_id, old=name: groups.patch(id_, {"groupName": old})
            )
        for group_id, user_id, back in self.undo.group_members:
            call = self._put_back if back else groups.remove_member
            yield _step(
                f"group.member:{group_id}:{user_id}",
                lambda call=call, group=group_id, user=user_id: call(group, user),
            )

    async def _put_back(self, group_id: str, user_id: str) -> None:
        with contextlib.suppress(Conflict):  # is in it
            await self.client.groups.add_member(group_id, user_id)

    def people(self) -> Iterator[Step]:
        """Different members, in any order."""
        for user_id in self.undo.delete:
            yield self._delete(user_id)
        for user_id, _ in self.undo.restore:
            yield _step(f"user.restore:{user_id}", partial(self._restore, user_id))
        for user_id in self.undo.suspend:
            yield self._switch(user_id, suspended=True)
        for user_id in self.undo.unsuspend:
            yield self._switch(user_id, suspended=False)

    def _stale(self) -> bool:
        return abs(self.client.clock.now() - self.view.read_at) > FRESH

    async def _restore(self, user_id: str) -> None:
        users, body = self.client.users, self.undo.before[user_id]
        seen, back = self.view.member_by_id(user_id), body.get("organizations")
        if back is not None and seen is not None and self._stale():
            there = clean_organizations(see_member(await users.get(user_id)))
            if there not in (clean_organizations(seen), back):
                raise ChangedSince
        await users.patch(user_id, body)

    def _delete(self, user_id: str) -> Step:
        users = self.client.users
        member = self.view.member_by_id(user_id)
        waited = member is not None and member.pending

        async def send() -> str:
            with contextlib.suppress(NotFound):
                if waited and self._stale() and not see_member(await users.get(user_id)).pending:
                    raise BegunSince
                await users.delete(user_id)
            return user_id

        async def look() -> str | None:
            try:
                there = see_member(await users.get(user_id))
            except NotFound:
                return user_id
            return user_id if there.deleted else None

        return Step(f"user.delete:{user_id}", send, look)

    def _switch(self, user_id: str, *, suspended: bool) -> Step:
        users = self.client.users

        async def send() -> str:
            await (users.suspend(user_id) if suspended else users.unsuspend(user_id))
            return user_id

        async def look() -> str | None:
            there = see_member(await users.get(user_id))
            return user_id if there.suspended is suspended else None

        return Step(f"user.{'suspend' if suspended else 'unsuspend'}:{user_id}", send, look)

    def units(self) -> Iterator[Step]:
        """Names and places first: a unit that goes must be empty. In their order."""
        orgunits, undo = self.client.orgunits, self.undo
        for unit_id, name in undo.unit_changes:
            body = {"domainId": self.view.domain_id, "orgUnitName": name, **undo.before.get(unit_id, {})}
            yield _step(f"orgunit.name:{unit_id}", lambda id_=unit_id, old=body: orgunits.patch(id_, old))
        for unit_id, parent, order in undo.unit_moves:
            yield _step(
                f"orgunit.move:{unit_id}",
                lambda id_=unit_id, under=parent or None, place=order: orgunits.move(
                    id_, display_order=place, parent_id=under
                ),
            )
        for unit_id in undo.units:
            yield _step(f"orgunit.delete:{unit_id}", lambda id_=unit_id: orgunits.delete(id_))

    def titles(self, kind: Kind) -> Iterator[Step]:
        """Levels or positions of the apply that nobody holds any more."""
        for title_id in getattr(self.undo, kind.plural):
            yield _step(
                f"{kind.field}.delete:{title_id}",
                partial(getattr(self.client, kind.plural).delete, title_id),
            )


def _step(key: str, call: Callable[..., Awaitable[Any]]) -> Step:
    async def send() -> str:
        with contextlib.suppress(NotFound):
            await call()
        return key.rpartition(":")[2]

    return Step(key, send)
