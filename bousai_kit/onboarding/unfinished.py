"""Applies of this home that were interrupted, and plans whose passwords still have to be handed out."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from bousai_kit.errors import InputError
from bousai_kit.onboarding.drift import find_drift
from bousai_kit.onboarding.items import Plan
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.plan_file import kept_plan
from bousai_kit.onboarding.tenant_view import TenantView
from bousai_kit.onboarding.titles import KINDS

if TYPE_CHECKING:
    from bousai_kit.ledger import Ledger

__all__ = ["find_unfinished", "is_complete", "plans_of_other_kits", "plans_with_secret"]


async def find_unfinished(
    ledger: Ledger,
    home: Path,
    *,
    domain_id: int,
    roster_sha256: str,
    leavers: str = "keep",
    passwords: str = "admin",
    rooms: str = "auto",
    view: TenantView | None = None,
) -> Plan | None:
    """The newest apply of this roster that has begun and not come to its end; None: there is none.

    Parameters
    ----------
    leavers, passwords : str
        One that did otherwise with them is another apply.
    rooms : {"auto", "always", "never"}
        Likewise; ``auto`` goes on with either.
    view : TenantView, optional
        One that no longer fits this tenant is left out.
    """
    events = await ledger.read(prefix="apply:", kinds=("apply.planned",))
    for event in reversed(events):
        if event.body.get("domain_id") != domain_id or event.body.get("roster_sha256") != roster_sha256:
            continue
        apply_id = event.stream.removeprefix("apply:")
        try:
            plan = kept_plan(home, apply_id)
        except InputError:
            return None  # applied in another home: a new plan sees what it has done
        if (plan.leavers, plan.passwords) != (leavers, passwords):
            return None
        if (rooms == "never" and plan.bot_id) or (rooms == "always" and not plan.bot_id):
            return None
        journal = Journal(ledger, apply_id)
        await journal.refresh()
        if journal.undone or is_complete(plan, journal):
            return None
        drifted = view is not None and any(True for _ in find_drift(plan, view, journal))
        return None if drifted else plan
    return None


def is_complete(plan: Plan, journal: Journal) -> bool:
    """Every step that the plan is known to need has been done."""
    steps = [
        kind.step(one.name) for kind in KINDS for one in getattr(plan, kind.plural) if one.action == "create"
    ]
    steps += [f"orgunit.{one.action}:{one.code}" for one in plan.units if one.action != "unchanged"]
    steps += [
        f"user.{one.action}:{one.person.staff_number}"
        for one in plan.people
        if one.action in ("create", "update")
    ]
    steps += [f"user.suspend:{one.user_id}" for one in plan.suspend]
    for group in plan.groups:
        add = group.add
        if group.action == "create":
            steps.append(f"group.create:{group.key}")
            state = journal.state(steps[-1])
            add = tuple((state.body or {}).get("without") or ()) if state is not None else ()
        steps += [f"group.update:{group.key}"] if "name" in group.changes else []
        steps += [f"group.add:{group.key}:{number}" for number in add]
        steps += [f"group.remove:{group.key}:{user_id}" for user_id in group.remove]
    rooms = [one for one in plan.rooms if one.action != "unchanged"]
    steps += [f"room.create:{one.key}" for one in rooms if one.action != "leave"]
    steps += [f"room.leave:{one.channel_id}" for one in rooms if one.channel_id]
    return all(journal.done(step) for step in steps)


def plans_of_other_kits(home: Path) -> list[str]:
    """Ids of applied plans with a secret that this version cannot read: it cannot print their pages."""
    found = []
    for path in sorted((home / "plans").glob("*.secret")):
        try:
            kept_plan(home, path.stem)
        except InputError:
            found += [path.stem] if path.with_suffix(".json").exists() else []
    return found


def plans_with_secret(home: Path) -> list[Plan]:
    """Plans of this home that were applied and whose passwords can still be derived, oldest first."""
    found = []
    for path in sorted((home / "plans").glob("*.secret")):
        with contextlib.suppress(InputError):  # never applied, or of another version: the others are not lost
            found.append(kept_plan(home, path.stem))
    return found
