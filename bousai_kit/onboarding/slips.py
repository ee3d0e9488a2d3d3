"""Hand-outs of a plan, and the end of its secret."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bousai_kit.errors import GuardError
from bousai_kit.onboarding.facts import note_printed
from bousai_kit.onboarding.handouts import Handouts, Slip, load_text, write_handouts
from bousai_kit.onboarding.items import PersonItem, Plan
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.passwords import PlanSecret, derive_password

if TYPE_CHECKING:
    from bousai_kit.ledger import Ledger

__all__ = ["PlanHandouts", "destroy_secret", "handouts_for_plan", "open_creates"]


@dataclass(frozen=True, slots=True)
class PlanHandouts:
    """What was written.

    Attributes
    ----------
    handouts : Handouts
    not_created : int
        People of the plan who have no page because they have no account.
    applied : bool
        The plan has been applied; before that every new person gets a page.
    """

    handouts: Handouts
    not_created: int
    applied: bool


async def handouts_for_plan(
    plan: Plan,
    *,
    ledger: Ledger,
    home: Path,
    out: Path,
    font: Path | None = None,
    single: bool = False,
    passphrase: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PlanHandouts:
    """Write one page for each person whom this plan gave an account.

    Raises
    ------
    ConfigError
        The secret is not in this home or has been ended; the city's words cannot be used.
    """
    journal = Journal(ledger, plan.plan_id)
    await journal.refresh()
    applied = journal.planned is not None
    creates = plan.creates
    wanted = [one for one in creates if not applied or journal.done(_step(one))]
    text = load_text(home)
    if not wanted:
        return PlanHandouts(Handouts((), 0), len(creates), applied)
    secret = PlanSecret(home, plan.plan_id, plan.home_mark).obtain(made=applied or journal.secret_ended)
    names = {unit.code: unit.name for unit in plan.units}
    slips = [
        Slip(
            key=one.person.staff_number,
            name=one.person.name,
            login_id=one.person.login_id,
            password=derive_password(secret, plan.plan_id, one.person.staff_number),
            device_os=one.person.device_os,
            unit=names.get(one.person.orgunit_code) or one.person.orgunit_name,
            position=one.person.position,
        )
        for one in wanted
    ]
    written = await asyncio.to_thread(
        write_handouts,
        slips,
        out,
        text=text,
        font=font,
        single=single,
        passphrase=passphrase,
        progress=progress,
    )
    await note_printed(ledger, journal.stream, [slip.key for slip in slips])
    return PlanHandouts(written, len(creates) - len(wanted), applied)


def _step(item: PersonItem) -> str:
    return f"user.create:{item.person.staff_number}"


def open_creates(plan: Plan, journal: Journal) -> list[str]:
    """Staff numbers whose account has yet to be made, or of which nobody knows."""
    if journal.undone:
        return []
    waiting = []
    for item in plan.creates:
        state = journal.state(_step(item))
        if state is None or state.status not in ("done", "failed"):
            waiting.append(item.person.staff_number)
    return waiting


async def destroy_secret(plan: Plan, *, ledger: Ledger, home: Path) -> bool:
    """End the secret of a plan's passwords: afterwards nobody can derive them.

    Returns
    -------
    bool
        False: it had been ended before.

    Raises
    ------
    GuardError
        An account of the plan is still to be made, or unknown.
    ConfigError
        The secret is not in this home.
    """
    journal = Journal(ledger, plan.plan_id)
    await journal.refresh()
    secret = PlanSecret(home, plan.plan_id, plan.home_mark)
    if not plan.creates or (journal.secret_ended and not secret.left_over):
        return False
    _refuse_open(plan, journal)
    if not secret.left_over:
        secret.read()  # says that it is not here
    with secret.ending():  # whoever intends a create from now on finds no secret
        await journal.refresh()
        _refuse_open(plan, journal)
        await ledger.append(journal.stream, "secret.ended", once=f"{journal.stream}|secret.ended")
    return True


def _refuse_open(plan: Plan, journal: Journal) -> None:
    waiting = open_creates(plan, journal)
    if waiting:
        raise GuardError(
            f"まだ登録が終わっていない人が {len(waiting):,} 名いるため、秘密を破棄できません。",
            hint="`bousai onboard apply` を最後まで実行してから、もう一度実行してください。",
        )
