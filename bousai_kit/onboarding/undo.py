"""Take an apply back, as far as the platform can; what it cannot is said first (`undo_plan`)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import GuardError, InputError, NotFound
from bousai_kit.ledger import NewEvent
from bousai_kit.onboarding.carry import Carrier, Tell
from bousai_kit.onboarding.journal import AT_ONCE, Journal
from bousai_kit.onboarding.plan_file import kept_plan
from bousai_kit.onboarding.steps import Step
from bousai_kit.onboarding.tenant_view import read_tenant, see_member
from bousai_kit.onboarding.undo_plan import UndoPlan, build_undo

if TYPE_CHECKING:
    from bousai_kit.clock import Clock
    from bousai_kit.ledger import Ledger
    from bousai_kit.lineworks.client import LineWorksClient

__all__ = ["UndoPlan", "UndoResult", "build_undo", "plan_undo", "undo_apply"]

_MADE = ("step.done", "step.settled_done")


@dataclass(frozen=True, slots=True)
class UndoResult:
    """``onboard undo --json``."""

    apply_id: str
    undone: int
    failed: tuple[dict[str, Any], ...] = ()
    impossible: tuple[dict[str, str], ...] = ()
    elapsed_s: float = 0.0
    left: int = 0

    def as_json(self) -> dict[str, Any]:
        """Its keys."""
        return {
            "apply_id": self.apply_id,
            "undone": self.undone,
            "failed": list(self.failed),
            "impossible": list(self.impossible),
            "elapsed_s": self.elapsed_s,
            "left": self.left,
        }


class _Undoing:
    """Makes the steps."""

    def __init__(self, undo: UndoPlan, client: LineWorksClient, domain_id: int) -> None:
        self.undo, self.client, self.domain_id = undo, client, domain_id

    def rooms(self) -> Iterator[Step]:
        client, stream = self.client, f"apply:{self.undo.apply_id}"
        for room in self.undo.rooms:
            step = _step(f"room.leave:{room}", lambda id_=room: client.channels.leave(self.undo.bot_id, id_))
            step.also = lambda _, id_=room: [  # type: ignore[misc]
                NewEvent(stream, "room.left", id_, {}, once=f"{stream}|left|{id_}")
            ]
            yield step

    def groups(self) -> Iterator[Step]:
        client = self.client
        for group_id in self.undo.groups:
            yield _step(f"group.delete:{group_id}", lambda id_=group_id: client.groups.delete(id_))
        for group_id, name in self.undo.group_names:
            yield _step(
                f"group.name:{group_id}",
                lambda id_=group_id, old=name: client.groups.patch(id_, {"groupName": old}),
            )
        for group_id, user_id, back in self.undo.group_members:
            call = client.groups.add_member if back else client.groups.remove_member
            yield _step(
                f"group.member:{group_id}:{user_id}",
                lambda call=call, group=group_id, user=user_id: call(group, user),
            )

    def people(self) -> Iterator[Step]:
        users = self.client.users
        for user_id in self.undo.delete:
            yield _step(f"user.delete:{user_id}", lambda id_=user_id: users.delete(id_))
        for user_id, body in self.undo.restore:
            yield _step(f"user.restore:{user_id}", lambda id_=user_id, old=body: users.patch(id_, old))
        for user_id in self.undo.suspend:
            yield self._switch(user_id, suspended=True)
        for user_id in self.undo.unsuspend:
            yield self._switch(user_id, suspended=False)

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
        orgunits, domain_id = self.client.orgunits, self.domain_id
        for unit_id, name in self.undo.unit_changes:
            yield _step(
                f"orgunit.name:{unit_id}",
                lambda id_=unit_id, old=name: orgunits.patch(
                    id_, {"domainId": domain_id, "orgUnitName": old}
                ),
            )
        for unit_id in self.undo.units:
            yield _step(f"orgunit.delete:{unit_id}", lambda id_=unit_id: orgunits.delete(id_))

    def positions(self) -> Iterator[Step]:
        for position_id in self.undo.positions:
            yield _step(
                f"position.delete:{position_id}", lambda id_=position_id: self.client.positions.delete(id_)
            )


def _step(key: str, call: Any) -> Step:
    """A step that can be repeated without harm; what is gone already is as good as done."""

    async def send() -> str:
        try:
            await call()
        except NotFound:
            return ""
        return key.rpartition(":")[2]

    return Step(key, send)


async def plan_undo(
    apply_id: str, *, client: LineWorksClient, ledger: Ledger, home: Path, domain_id: int
) -> UndoPlan:
    """Look at what an undo would do; changes nothing.

    Raises
    ------
    InputError
        This home knows no such apply.
    GuardError
        It is another tenant's.
    """
    undo, _ = await _look(apply_id, client=client, ledger=ledger, home=home, domain_id=domain_id)
    return undo


async def _look(
    apply_id: str, *, client: LineWorksClient, ledger: Ledger, home: Path, domain_id: int
) -> tuple[UndoPlan, Journal]:
    plan = kept_plan(home, apply_id)
    if plan.domain_id != domain_id:
        raise GuardError("この登録は別のテナント（ドメイン）のものです。何も変更していません。")
    journal = Journal(ledger, apply_id)
    view = await read_tenant(client, domain_id=domain_id, ledger=ledger, bot_id=plan.bot_id)
    await journal.refresh()
    if journal.planned is None:
        raise InputError(
            f"登録 {apply_id} は台帳にありません。",
            hint="ID を確かめてください（`onboard apply` の結果にあります）。",
        )
    unsure = any(".create:" in key and not state.id for key, state in journal.states.items())
    elsewhere = await _made_elsewhere(ledger, journal.stream) if unsure else set()
    return build_undo(plan, view, journal, elsewhere=elsewhere), journal


async def _made_elsewhere(ledger: Ledger, stream: str) -> set[str]:
    """Ids of what other applies than this one have made."""
    found: set[str] = set()
    after = 0
    while events := await ledger.read(after=after, prefix="apply:", kinds=_MADE, limit=AT_ONCE):
        for event in events:
            after = event.seq
            if event.stream != stream and ".create:" in event.subject:
                found.add(str(event.body.get("id", "")))
    return found - {""}


async def undo_apply(
    apply_id: str,
    *,
    client: LineWorksClient,
    ledger: Ledger,
    clock: Clock,
    home: Path,
    domain_id: int,
    stop: asyncio.Event | None = None,
    tell: Tell | None = None,
) -> UndoResult:
    """Take an apply back; the same call again goes on with what is left.

    Raises
    ------
    InputError, GuardError
        See `plan_undo`.
    LineWorksError
        Something that every step would meet.
    """
    began = clock.monotonic()
    undo, applied = await _look(apply_id, client=client, ledger=ledger, home=home, domain_id=domain_id)
    known = {key: state.at for key, state in applied.states.items()}
    journal = Journal(ledger, apply_id, undo=True)
    await ledger.append(journal.stream, "undo.begun", once=f"{journal.stream}|undo.begun")
    await journal.refresh()
    work = _Undoing(undo, client, domain_id)
    phases = (work.rooms, work.groups, work.people, work.units, work.positions)
    total = sum(1 for phase in phases for _ in phase())
    carrier = Carrier(journal, clock=clock, stop=stop, tell=tell, total=total, undoing=True)
    await carrier.phase("トークルーム", work.rooms())
    await carrier.phase("グループ", work.groups())
    await carrier.phase("メンバー", work.people())
    await carrier.phase("組織", work.units(), workers=1)
    await carrier.phase("役職", work.positions())
    await applied.refresh()  # an apply that was under way has ended what it had begun
    since = sum(known.get(key) != state.at for key, state in applied.states.items())
    return UndoResult(
        apply_id=apply_id,
        undone=carrier.done,
        failed=(*carrier.failed, *carrier.unknown),
        impossible=tuple(undo.impossible),
        elapsed_s=clock.monotonic() - began,
        left=carrier.left + since,
    )
