"""An apply that leaves something of every kind to take back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bousai_kit.onboarding import carry_undo, plan_undo, prepare_plan
from bousai_kit.onboarding.items import PRIVATE, Plan
from bousai_kit.onboarding.undo import UndoPlan, UndoResult
from bousai_kit.roster import Roster, RosterUnit
from bousai_kit.sandbox.directory_state import first_login
from bousai_kit.steps import apply_on
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import changed, city, plan_for, without
from tests.onboarding.test_properties import groups, snapshot, user_of

OLD_PHONE = "090-0000-1111"


def given(bench: Workbench) -> dict[str, Any]:
    """What planning an undo takes of a bench."""
    return {"client": bench.client, "ledger": bench.ledger, "home": bench.home, "domain_id": bench.domain_id}


async def planned(bench: Workbench, plan: Plan) -> UndoPlan:
    """What an undo would do."""
    return await plan_undo(plan.plan_id, **given(bench))


async def carried(bench: Workbench, undo: UndoPlan, **options: Any) -> UndoResult:
    """Carry it out."""
    return await carry_undo(undo, clock=bench.clock, **given(bench), **options)


async def eventful(bench: Workbench) -> tuple[Plan, dict[str, Any], Roster]:
    """A city in use, then an apply of every kind: the plan, the directory before it, the roster of before.

    Afterwards one of the two new people has logged in.
    """
    assert bench.sandbox is not None
    roster = city(12, 4)
    people = tuple(
        replace(
            one,
            ward=("北区", "南区")[n % 2],
            bureau="総務局" if n == 3 else "",
            phone=OLD_PHONE if n == 1 else "",
            device_os="iOS",
        )
        for n, one in enumerate(roster.people)
    )
    fresh = people[-2:]
    before = replace(roster, people=people[:-2], sha256="eventful-1")
    assert (await apply_on(bench, await plan_for(bench, before, rooms="always"))).complete
    for one in before.people[:-1]:
        first_login(bench.sandbox, str(user_of(bench, one.staff_number)["userId"]))  # type: ignore[index]
    hand = groups(bench)["bousai-hq"] if "bousai-hq" in groups(bench) else groups(bench)["bousai-all"]
    await bench.client.groups.patch(hand["groupId"], {"groupName": "災害対策の手作りの名"})
    state = snapshot(bench)
    first, second, third = (one.staff_number for one in before.people[1:4])
    wanted = changed(
        before,
        first,
        last_name="改姓",
        last_kana="カイセイ",
        position="特命担当",
        ward="北区",
        level="部長級",
    )
    wanted = changed(wanted, first, phone="090-2222-3333")
    wanted = changed(wanted, second, orgunit_code="U9", login_id="moved@city-demo", bureau="水道局")
    wanted = without(wanted, third)
    begun, waiting = fresh
    new = (
        replace(begun, orgunit_code="U1", position=before.people[0].position),
        replace(waiting, orgunit_code="U9", position="特命担当"),
    )
    new_ones: dict[str, dict[str, Any]] = {"U2": {"name": "改称課"}, "U3": {"parent_code": "U1"}}
    units = [replace(one, **new_ones.get(one.code, {})) for one in before.units]
    units.append(RosterUnit("U9", "新設課", "U0", 9))
    wanted = replace(wanted, people=(*wanted.people, *new), units=tuple(units), sha256="eventful-2")
    plan = await plan_for(bench, wanted, leavers="suspend", max_leavers=5)
    plan = prepare_plan(plan, bench.home)
    assert (await apply_on(bench, plan)).complete
    first_login(bench.sandbox, str(user_of(bench, new[0].staff_number)["userId"]))  # type: ignore[index]
    return plan, state, before


def names_in(plan: Plan) -> set[str]:
    """What no undo file may hold."""
    found = set()
    for item in plan.people:
        person = item.person
        found |= {person.name, person.last_name + person.first_name, person.login_id, person.phone}
        private = [pair for name, pair in item.changes.items() if name in PRIVATE]
        found |= {value for pair in private for value in pair}
    return {one for one in found if len(one) > 2} | {OLD_PHONE}
