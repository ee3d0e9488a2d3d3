"""One seeded run: an apply that is killed and troubled again and again, and at last gone on with in peace.

The draw of a run depends on its number alone. A third of the runs have rooms; half of the lives have faults,
of every kind that a request can meet, and with rooms callbacks that are lost, late or sent twice.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from bousai_kit.errors import LineWorksError
from bousai_kit.onboarding.apply import ApplyResult
from bousai_kit.onboarding.items import Plan
from bousai_kit.onboarding.plan_file import kept_plan
from bousai_kit.onboarding.unfinished import find_unfinished
from bousai_kit.roster import Roster
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.steps import apply_on
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import Killed, Killer, bench_at, city, new_home, plan_for, reborn, tenant_problems

SETTLES_S = 120.0  # longer than any request or callback is held up here


@dataclass(slots=True)
class Run:
    """What one run met, and what was wrong in the end."""

    lives: int = 0
    kills: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


@lru_cache(maxsize=2)
def small_city(*, rooms: bool) -> Roster:
    """Six people, two units, two positions, a level, two bureaus; with rooms, three in each of two wards."""
    roster = city(6, 2)
    people = tuple(
        replace(
            one,
            position=("課長", "係長")[index % 2],
            level="７級" if index % 2 else "",
            bureau=("総務局", "消防局")[index % 2],
            ward=("北区", "南区")[index % 2] if rooms else "",
        )
        for index, one in enumerate(roster.people)
    )
    return replace(roster, people=people, sha256=f"killed-{rooms}")


async def count_points(founded: Path, home: Path, *, rooms: bool) -> int:
    """Points at which a whole apply of that city can be killed."""
    async with await bench_at(new_home(founded, home)) as bench:
        result, points, _ = await live(bench, small_city(rooms=rooms), rooms=rooms)
        assert result is not None
        assert result.complete, result.as_json()
        return points


def draw_faults(chance: random.Random, *, rooms: bool) -> FaultPlan:
    """Two or three troubles at once and, with rooms, one of a callback; or none."""
    if chance.random() < 0.5:
        return FaultPlan()
    kinds = [
        Fault("drop", on="*.create", probability=0.2),
        Fault("drop", method="PATCH", probability=0.2),
        Fault("500", probability=0.1, after=True),
        Fault("503", probability=0.1),
        Fault("429", probability=0.1, seconds=chance.choice((1.0, 17.0))),
        Fault("refuse", probability=0.05),
        Fault("slow", on="*.create", probability=0.1, seconds=chance.choice((5.0, 45.0))),
        Fault("slow", on="*.create", probability=0.1, seconds=45.0, after=True),
        Fault("revoke", nth=(chance.randrange(1, 40),)),
        Fault("no_headers", probability=0.3),
    ]
    drawn = chance.sample(kinds, chance.choice((2, 3)))
    if rooms:
        told = (
            Fault("drop", on="channels.create", probability=0.5),
            Fault("lost", on="join", probability=0.5),
            Fault("delay", on="join", probability=0.5, seconds=60.0),
            Fault("duplicate", on="join", probability=0.5),
        )
        drawn += chance.sample(told, 2)
    return FaultPlan(drawn, seed=chance.randrange(1 << 30))


async def live(
    bench: Workbench, roster: Roster, *, rooms: bool, at: int | None = None
) -> tuple[ApplyResult | None, int, bool]:
    """Plan, or go on with the kept plan, and apply: the result, the points passed, whether killed."""
    killer = Killer(bench, at)
    result = None
    with contextlib.suppress(Killed, LineWorksError):
        plan = await unfinished(bench, roster)
        if plan is None:
            plan = await plan_for(bench, roster, rooms="always" if rooms else "never")
        result = await apply_on(bench, plan)
    return result, killer.points, killer.dead


async def unfinished(bench: Workbench, roster: Roster) -> Plan | None:
    """What a panel would offer to go on with."""
    return await find_unfinished(
        bench.ledger, bench.home, domain_id=bench.domain_id, roster_sha256=roster.sha256
    )


async def one_run(number: int, founded: Path, home: Path, points: Mapping[bool, int]) -> Run:
    """Killed up to three times, troubled, and then looked at by the sandbox's own books.

    Parameters
    ----------
    points : mapping
        `count_points` without rooms and with them: where in an apply a kill may fall.
    """
    chance, run = random.Random(number), Run()
    rooms = number % 3 == 0
    roster = small_city(rooms=rooms)
    async with await bench_at(new_home(founded, home)) as bench:
        assert bench.sandbox is not None
        for _ in range(chance.choice((1, 1, 2, 3))):
            faults = bench.sandbox.faults = draw_faults(chance, rooms=rooms)  # type: ignore[union-attr]
            late = rooms and chance.random() < 0.5  # where the rooms are
            at = chance.randrange(points[rooms] * 3 // 5 if late else 1, points[rooms])
            _, _, killed = await live(bench, roster, rooms=rooms, at=at)
            run.lives, run.kills = run.lives + 1, run.kills + killed
            for fault in faults.faults:
                run.faults[fault.kind] += fault.done
            await reborn(bench)
        bench.sandbox.faults = FaultPlan()  # type: ignore[union-attr]
        result, _, _ = await live(bench, roster, rooms=rooms)
        if result is None or not result.complete:
            run.problems.append(f"not complete: {None if result is None else result.as_json()}")
        await bench.clock.sleep(SETTLES_S)
        run.problems += await verify(bench, roster, rooms=rooms)
    return run


async def verify(bench: Workbench, roster: Roster, *, rooms: bool = False) -> list[str]:
    """Everything that has to hold once an apply has come to its end; [] when it does."""
    found = []
    if await unfinished(bench, roster) is not None:
        found.append("is still offered to go on with")
    created = await bench.ledger.read(prefix="apply:", kinds=("user.created",))
    if sorted(str(one.body["staff_number"]) for one in created) != sorted(
        one.staff_number for one in roster.people
    ):
        found.append(f"{len(created)} user.created")
    plan = kept_plan(bench.home, created[0].stream.removeprefix("apply:"))
    if rooms:
        again = await apply_on(bench, plan)  # late callbacks may have shown rooms that nobody knew of
        if again.created or not again.complete:
            found.append(f"applied again: {again.as_json()}")
        found += room_problems(bench, plan, again.orphans)
    found += tenant_problems(bench, roster, plan=plan)
    if not (await plan_for(bench, roster)).nothing_to_do:
        found.append("the next plan has something to do")
    if not (await bench.ledger.verify()).ok:
        found.append("the ledger's chain is broken")
    return found


def room_problems(bench: Workbench, plan: Plan, orphans: tuple[str, ...]) -> list[str]:
    """Rooms that the bot is in, by the sandbox's books, against the plan; listed orphans aside."""
    tenant = bench.sandbox.tenant  # type: ignore[union-attr]
    there = [one for one in tenant.table("channels").values() if one["type"] == "MULTI_USERS" and one["bots"]]
    titles = [str(one["title"]) for one in there]
    standing = sorted(one.partition("（")[0] for one in titles if one not in orphans)
    wanted = sorted(room.title for room in plan.rooms)
    found = [] if standing == wanted else [f"rooms {titles}, orphans {orphans}, wanted {wanted}"]
    sizes = {title.partition("（")[0]: len(one["members"]) for title, one in zip(titles, there, strict=True)}
    found += [
        f"room {room.title}: {sizes.get(room.title)} members"
        for room in plan.rooms
        if sizes.get(room.title) != len(room.members)
    ]
    return found
