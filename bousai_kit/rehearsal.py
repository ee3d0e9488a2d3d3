"""The state that a notebook needs on an empty sandbox: people from the sample roster, and a drill.

Only ever on profile ``sandbox``; what is there already is left as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bousai_kit.clock import in_thread
from bousai_kit.errors import GuardError

if TYPE_CHECKING:
    from bousai_kit.workbench import Workbench

__all__ = ["ensure_drill", "ensure_onboarded", "let_a_day_pass"]

Tell = Callable[[int, int, str], None]
MOST_LOG_IN = timedelta(hours=24)


async def ensure_onboarded(
    bench: Workbench,
    roster_path: str | Path,
    orgunits_path: str | Path | None = None,
    tell: Tell | None = None,
) -> int:
    """Bring the people of a roster into an empty sandbox and let them log in.

    Parameters
    ----------
    bench : Workbench
        Of profile ``sandbox``.
    roster_path, orgunits_path : path
        Roster, and its organisation.
    tell : callable, optional
        ``tell(done, total, text)``.

    Returns
    -------
    int
        Accounts that were made; 0: the tenant has members already.

    Raises
    ------
    GuardError
        The tenant is no sandbox.
    RosterError
        The roster cannot be used.
    """
    from bousai_kit.onboarding.plan import build_plan
    from bousai_kit.onboarding.plan_file import prepare_plan
    from bousai_kit.roster import read_roster, require_ok
    from bousai_kit.steps import apply_on, tenant_on

    _only_in_the_sandbox(bench)
    members = 0
    async for user in bench.client.users.list(count=2):
        members += not user.get("isAdministrator")
        if members:
            return 0
    orgunits = Path(orgunits_path) if orgunits_path is not None else None
    roster = await in_thread(bench.clock, lambda: read_roster(Path(roster_path), orgunits=orgunits))
    require_ok(roster)
    view = await tenant_on(bench)
    plan = prepare_plan(build_plan(roster, view), bench.home)
    result = await apply_on(bench, plan, tell=tell)
    await let_everybody_log_in(bench)
    return result.created


async def let_a_day_pass(bench: Workbench, apply_id: str) -> int:
    """After an apply by a command: let the staff it made log in, for nobody waits between two commands.

    Only where the clock is virtual (a served sandbox's goes on by itself), and only until a day after the
    last account was made: the same command again finds the day gone, or makes up for it.

    Returns
    -------
    int
        Accounts whose day has passed now; 0: nothing was waited for.
    """
    if not bench.in_sandbox or not math.isinf(bench.clock.speed):
        return 0
    made = await bench.ledger.read(stream=f"apply:{apply_id}", kinds=("user.created",))
    if not made:
        return 0
    left = MOST_LOG_IN - (bench.clock.now() - made[-1].recorded_at)
    if left <= timedelta():
        return 0
    await bench.clock.sleep(left.total_seconds())
    return len(made)


async def let_everybody_log_in(bench: Workbench) -> None:
    """Let the simulated staff log in: a virtual clock waits a day, a served one is asked to hurry."""
    import httpx

    _only_in_the_sandbox(bench)
    if math.isinf(bench.clock.speed):
        await bench.clock.sleep(MOST_LOG_IN.total_seconds())
        return
    assert bench.sandbox is not None
    async with httpx.AsyncClient(trust_env=False, timeout=60.0) as http:
        (await http.post(f"{bench.sandbox.admin_url}/staff/login", json={})).raise_for_status()


async def ensure_drill(
    bench: Workbench, scenario_path: str | Path, roster_path: str | Path, tell: Tell | None = None
) -> str:
    """The newest drill of the ledger, else one that is held now and closed.

    Returns
    -------
    str
        Its id.

    Raises
    ------
    GuardError
        The tenant is no sandbox.
    ScenarioError, RosterError
        A file cannot be used.
    """
    from bousai_kit.drills import close_drill, list_drills, load_scenario
    from bousai_kit.drills.state import DrillState
    from bousai_kit.roster import read_roster
    from bousai_kit.steps import conductor_on, plan_on

    found = await list_drills(bench.ledger)
    if found:
        return found[0].drill_id
    _only_in_the_sandbox(bench)
    scenario = await in_thread(bench.clock, lambda: load_scenario(Path(scenario_path)))
    roster = await in_thread(bench.clock, lambda: read_roster(Path(roster_path)))
    plan = await plan_on(bench, scenario, roster)
    conductor = conductor_on(bench, plan.drill_id)

    def told(state: DrillState) -> None:
        if tell is not None:
            tell(state.acked, plan.recipients, "応答を待っています…")

    async with bench.receiving():
        await conductor.run(tell=told)
    await close_drill(bench.ledger, plan.drill_id, clock=bench.clock)
    return plan.drill_id


def _only_in_the_sandbox(bench: Workbench) -> None:
    if not bench.in_sandbox or bench.sandbox is None:
        raise GuardError(
            "見本の名簿と訓練は、サンドボックスでだけ使えます。",
            hint="実際の名簿は 10_onboarding、実際の訓練は 20_drill から始めてください。",
        )
