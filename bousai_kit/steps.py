"""The steps that commands, panels and rehearsals share: a trade's function, given what a workbench holds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from bousai_kit.errors import PermissionDenied

if TYPE_CHECKING:
    from bousai_kit.drills import Conductor, DrillPlan, DrillResult, Scenario
    from bousai_kit.onboarding import ApplyResult, Status
    from bousai_kit.onboarding.invitations import Invitations, InviteResult
    from bousai_kit.onboarding.items import Plan
    from bousai_kit.onboarding.tenant_view import TenantView
    from bousai_kit.onboarding.undo import UndoPlan, UndoResult
    from bousai_kit.roster import Roster
    from bousai_kit.workbench import Workbench

__all__ = [
    "apply_on",
    "carry_undo_on",
    "conductor_on",
    "invite_on",
    "plan_on",
    "plan_undo_on",
    "settle_on",
    "status_on",
    "tenant_on",
]


@contextlib.contextmanager
def _or_by_console() -> Iterator[None]:
    """A refusal of the directory names the other way in."""
    try:
        yield
    except PermissionDenied as error:
        from bousai_kit.onboarding.tenant_view import CONSOLE_WAY

        error.hint += CONSOLE_WAY
        raise


async def apply_on(
    bench: Workbench,
    plan: Plan,
    *,
    stop: asyncio.Event | None = None,
    tell: Callable[[int, int, str], None] | None = None,
) -> ApplyResult:
    """`bousai_kit.onboarding.apply_plan` on this bench."""
    from bousai_kit.onboarding import apply_plan

    async with contextlib.AsyncExitStack() as stack:
        if plan.bot_id:  # rooms are told of by callbacks
            await stack.enter_async_context(bench.receiving())
        stack.enter_context(_or_by_console())
        return await apply_plan(
            plan,
            client=bench.client,
            ledger=bench.ledger,
            clock=bench.clock,
            home=bench.home,
            domain_id=bench.domain_id,
            stop=stop,
            tell=tell,
        )


async def plan_undo_on(bench: Workbench, apply_id: str) -> UndoPlan:
    """`bousai_kit.onboarding.plan_undo` on this bench."""
    from bousai_kit.onboarding import plan_undo

    return await plan_undo(
        apply_id, client=bench.client, ledger=bench.ledger, home=bench.home, domain_id=bench.domain_id
    )


async def carry_undo_on(
    bench: Workbench,
    undo: UndoPlan | str,
    *,
    stop: asyncio.Event | None = None,
    tell: Callable[[int, int, str], None] | None = None,
) -> UndoResult:
    """`bousai_kit.onboarding.carry_undo` on this bench; given an apply's id, `undo_apply`."""
    from bousai_kit.onboarding import carry_undo, undo_apply

    carry: Callable[..., Awaitable[UndoResult]] = undo_apply if isinstance(undo, str) else carry_undo
    return await carry(
        undo,
        client=bench.client,
        ledger=bench.ledger,
        clock=bench.clock,
        home=bench.home,
        domain_id=bench.domain_id,
        stop=stop,
        tell=tell,
    )


async def tenant_on(bench: Workbench) -> TenantView:
    """`bousai_kit.onboarding.read_tenant` on this bench, with the rooms of its bot where it has one."""
    from bousai_kit.onboarding import read_tenant

    bot_id = bench.bot_id if bench.sandbox is not None else bench.settings.bot_id
    with _or_by_console():
        return await read_tenant(
            bench.client, domain_id=bench.domain_id, ledger=bench.ledger, bot_id=bot_id, home=bench.home
        )


async def status_on(bench: Workbench, roster: Roster | None = None, *, auth: bool = True) -> Status:
    """`bousai_kit.onboarding.onboarding_status` on this bench; with `auth` the auth log is pulled as well."""
    from bousai_kit.onboarding import onboarding_status

    return await onboarding_status(
        bench.client,
        bench.ledger,
        domain_id=bench.domain_id,
        roster=roster,
        archive=bench.archive,
        fetch=partial(bench.fetch_log, "auth") if auth else None,
    )


async def invite_on(
    bench: Workbench,
    planned: Invitations,
    *,
    stop: asyncio.Event | None = None,
    tell: Callable[[int, int, str], None] | None = None,
) -> InviteResult:
    """`bousai_kit.onboarding.invitations.send_invitations` on this bench."""
    from bousai_kit.onboarding.invitations import send_invitations

    return await send_invitations(
        planned, client=bench.client, ledger=bench.ledger, clock=bench.clock, stop=stop, tell=tell
    )


async def plan_on(
    bench: Workbench,
    scenario: Scenario,
    roster: Roster,
    *,
    new: bool = False,
    planned_by: str = "",
    tell: Callable[[int, int, str], None] | None = None,
) -> DrillPlan:
    """`bousai_kit.drills.plan_drill` on this bench."""
    from bousai_kit.drills import plan_drill

    return await plan_drill(
        scenario,
        roster,
        client=bench.client,
        ledger=bench.ledger,
        clock=bench.clock,
        home=bench.home,
        bot_id=bench.bot_id,
        domain_id=bench.domain_id,
        new=new,
        planned_by=planned_by,
        tell=tell,
    )


def conductor_on(bench: Workbench, drill_id: str) -> Conductor:
    """The `bousai_kit.drills.Conductor` of a drill on this bench."""
    from bousai_kit.drills import Conductor

    return Conductor(
        drill_id=drill_id,
        client=bench.client,
        ledger=bench.ledger,
        clock=bench.clock,
        home=bench.home,
        bot_id=bench.bot_id,
    )


async def settle_on(
    bench: Workbench,
    drill_id: str,
    *,
    stop: asyncio.Event | None = None,
    tell: Callable[[float, float, str], None] | None = None,
) -> DrillResult:
    """`bousai_kit.drills.settle_drill` on this bench, listening for answers meanwhile."""
    from bousai_kit.drills import settle_drill

    async with bench.receiving():
        return await settle_drill(
            drill_id,
            ledger=bench.ledger,
            clock=bench.clock,
            archive=bench.archive,
            fetch=partial(bench.fetch_log, "message-contents"),
            home=bench.home,
            log_delay_s=bench.log_delay_s,
            client=bench.client,
            stop=stop,
            tell=tell,
        )
