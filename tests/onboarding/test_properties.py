"""True of any roster and any tenant: what is applied is the roster, and once; undone, it is as before.

Everything goes through the real thing: kit, ledger and sandbox, whose own books are the judge.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bousai_kit.onboarding import carry_undo, load_plan, plan_undo, prepare_plan, save_plan
from bousai_kit.onboarding.drift import TenantDrifted
from bousai_kit.onboarding.groups import wished_groups
from bousai_kit.onboarding.items import Plan
from bousai_kit.onboarding.plan_file import plan_digest
from bousai_kit.onboarding.undo_file import load_undo, save_undo
from bousai_kit.onboarding.unfinished import find_unfinished
from bousai_kit.roster import Person, Roster
from bousai_kit.roster.columns import key as alike
from bousai_kit.sandbox.directory_state import first_login
from bousai_kit.steps import apply_on
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import bench_at, city, in_memory, new_home, plan_for

PEOPLE = city(5, 2).people
UNITS = city(5, 2).units
NUMBERS = tuple(one.staff_number for one in PEOPLE)
SEVEN_NAMES = ("髙橋", "𠮷野", "神﨑")
PASSWORD = {"passwordCreationType": "ADMIN", "password": "Kx7mTq9rbz"}


# -- what is drawn ----------------------------------------------------------------------------------------


DRAWN = ("staff_number", "last_name", "orgunit_code", "position", "level", "ward", "bureau", "phone")


@st.composite
def rows(draw: st.DrawFn, person: Person, *, levels: bool) -> Person:
    """One person as a roster of some year has them; a level in either width."""
    return replace(
        person,
        last_name=draw(st.sampled_from((person.last_name, *SEVEN_NAMES))),
        orgunit_code=draw(st.sampled_from(("U0", "U1"))),
        position=draw(st.sampled_from(("課長", "係長", ""))),
        level=draw(st.sampled_from(("", "７級", "7級", "部長級"))) if levels else "",
        ward=draw(st.sampled_from(("北区", "南区", ""))),
        bureau=draw(st.sampled_from(("総務局", ""))),
        phone=draw(st.sampled_from(("", "090-1234-5678"))) if person is PEOPLE[0] else "",
    )


@st.composite
def rosters(draw: st.DrawFn, least: int = 1) -> Roster:
    """Some of the five people."""
    chosen = draw(st.lists(st.sampled_from(range(5)), min_size=least, max_size=5, unique=True).map(sorted))
    levels = draw(st.booleans())
    people = tuple(draw(rows(PEOPLE[n], levels=levels)) for n in chosen)
    said = [[getattr(one, name) for name in DRAWN] for one in people]
    return Roster(people=people, units=UNITS, sha256=hashlib.sha256(repr(said).encode()).hexdigest())


HANDS = ("log in", "suspend", "delete", "rename", "move", "strip", "ungroup", "nickname", "grade")
"""What another hand does to one of the five, where they are."""

hands = st.lists(st.tuples(st.sampled_from(HANDS), st.sampled_from(NUMBERS)), max_size=4)
by_hand = st.lists(
    st.tuples(st.sampled_from(NUMBERS), st.sampled_from(("same", "other", "key"))),
    max_size=2,
    unique_by=lambda one: one[0],
)
"""Accounts made in the console before: of the same person, of somebody else, with the key already."""


# -- how it is done -----------------------------------------------------------------------------------------


def on_a_bench(founded: Path, work: Callable[[Workbench], Awaitable[None]]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="bousai-test-", dir=in_memory()))

    async def main() -> None:
        async with await bench_at(new_home(founded, folder / "home")) as bench:
            await work(bench)

    try:
        asyncio.run(main())
    finally:
        shutil.rmtree(folder)


def users(bench: Workbench) -> dict[str, dict[str, Any]]:
    """By user id, by the sandbox's books."""
    return dict(bench.sandbox.tenant.table("users"))  # type: ignore[union-attr]


def user_of(bench: Workbench, number: str) -> dict[str, Any] | None:
    """The living member with this key."""
    found = [
        one for one in users(bench).values() if one["userExternalKey"] == number and not one["isDeleted"]
    ]
    assert len(found) < 2
    return found[0] if found else None


async def make_by_hand(bench: Workbench, number: str, kind: str) -> None:
    """An account made in the console."""
    person = PEOPLE[NUMBERS.index(number)]
    names = {"lastName": person.last_name, "firstName": person.first_name}
    if kind == "other":
        names = {"lastName": "別人", "firstName": "花子"}
    body = {
        "domainId": bench.domain_id,
        "email": person.login_id,
        "userName": names,
        "passwordConfig": PASSWORD,
        **({"userExternalKey": number} if kind == "key" else {}),
    }
    await bench.client.users.create(body)


async def do_by_hand(bench: Workbench, what: str, number: str) -> bool:
    """Something that another hand does; False where it cannot be done."""
    client, user = bench.client, user_of(bench, number)
    if user is None:
        return False
    user_id = str(user["userId"])
    assert bench.sandbox is not None
    if what == "log in":
        return first_login(bench.sandbox, user_id)
    if what == "suspend":
        if user["isPending"] or user["isSuspended"]:
            return False
        await client.users.suspend(user_id)
    elif what == "delete":
        await client.users.delete(user_id)
    elif what == "rename":
        await client.users.patch(user_id, {"userName": {"lastName": "改姓", "firstName": "太郎"}})
    elif what == "nickname":
        await client.users.patch(user_id, {"nickName": "あだ名"})
    elif what == "move":
        unit = await elsewhere(bench)
        seat = {"orgUnitId": unit, "primary": True}
        entry = {"domainId": bench.domain_id, "primary": True, "orgUnits": [seat]}
        await client.users.patch(user_id, {"organizations": [entry]})
    elif what == "grade":
        companies = [{**one, "levelId": await a_level(bench, "外の職級")} for one in user["organizations"]]
        await client.users.patch(user_id, {"organizations": companies})
    elif what == "strip":  # nobody knows whose number it is any more
        await client.users.patch(user_id, {"employeeNumber": None})
    else:
        group = next((one for one in groups(bench).values() if user_id in one["in"]), None)
        if group is None:
            return False
        await client.groups.remove_member(group["groupId"], user_id)
    return True


async def elsewhere(bench: Workbench) -> str:
    """A unit that no roster knows."""
    for one in bench.sandbox.tenant.table("orgunits").values():  # type: ignore[union-attr]
        if one["orgUnitName"] == "外の課":
            return str(one["orgUnitId"])
    body = {"domainId": bench.domain_id, "orgUnitName": "外の課", "displayOrder": 9}
    return str((await bench.client.orgunits.create(body))["orgUnitId"])


async def a_level(bench: Workbench, name: str) -> str:
    """The level of this name."""
    for one in bench.sandbox.tenant.table("levels").values():  # type: ignore[union-attr]
        if one["levelName"] == name:
            return str(one["levelId"])
    body = {"domainId": bench.domain_id, "levelName": name, "displayOrder": 9, "executive": True}
    return str((await bench.client.levels.create(body))["levelId"])


def groups(bench: Workbench) -> dict[str, dict[str, Any]]:
    """The kit's groups by key, with the set of user ids in each."""
    rows = bench.sandbox.tenant.table("groups").values()  # type: ignore[union-attr]
    return {
        str(one["groupExternalKey"]): {**one, "in": {str(entry["id"]) for entry in one["members"]}}
        for one in rows
        if one["groupExternalKey"]
    }


def snapshot(bench: Workbench) -> dict[str, dict[str, Any]]:
    """The whole directory, one entry a thing; members within their seven days and stamps left out."""
    tenant, found = bench.sandbox.tenant, {}  # type: ignore[union-attr]
    for table, key in (
        ("users", "userId"),
        ("orgunits", "orgUnitId"),
        ("levels", "levelId"),
        ("positions", "positionId"),
        ("groups", "groupId"),
    ):
        for row in tenant.table(table).values():
            if row.get("isDeleted"):
                continue
            one = json.loads(json.dumps(row, default=str))
            one.pop("modifiedTime", None)
            if table == "groups":
                one["members"].sort(key=lambda entry: entry["id"])
            found[f"{table} {one[key]}"] = one
    return found


def wrong_with(bench: Workbench, plan: Plan, before: dict[str, set[str]]) -> list[str]:
    """Where the sandbox's books differ from what the plan promises."""
    tenant, wrong = bench.sandbox.tenant, []  # type: ignore[union-attr]
    ids: dict[str, str] = {}
    with_positions = any(item.person.position for item in plan.people)
    with_levels = any(item.person.level for item in plan.people)
    for item in plan.people:
        person, user = item.person, user_of(bench, item.person.staff_number)
        if item.action == "conflict":
            continue
        if user is None:
            wrong.append(f"{person.staff_number} is missing")
            continue
        ids[person.staff_number] = str(user["userId"])
        seat = next(one for one in user["organizations"][0]["orgUnits"] if one["primary"])
        held = tenant.table("positions").get(seat["positionId"] or "", {}).get("positionName", "")
        level_id = user["organizations"][0]["levelId"] or ""
        level = tenant.table("levels").get(level_id, {}).get("levelName", "")
        seen = {
            "login_id": user["email"],
            "staff_number": user["employeeNumber"],
            "last_name": user["userName"]["lastName"],
            "first_name": user["userName"]["firstName"],
            "orgunit_code": tenant.table("orgunits")[seat["orgUnitId"]]["orgUnitExternalKey"],
        }
        seen |= {"position": held} if with_positions else {}
        seen |= {"phone": user["cellPhone"]} if person.phone else {}
        same = alike(level) == alike(person.level)
        seen |= {"level": person.level if same else level} if with_levels else {}
        wrong += [
            f"{person.staff_number} {name}: {value!r}"
            for name, value in seen.items()
            if value != getattr(person, name)
        ]
    names = [alike(one["levelName"]) for one in tenant.table("levels").values()]
    wrong += [f"level {one} is there twice" for one in set(names) if names.count(one) > 1]
    logins = [one["email"].casefold() for one in users(bench).values() if not one["isDeleted"]]
    wrong += [f"{one} is there twice" for one in set(logins) if logins.count(one) > 1]
    gone = {leaver.user_id for leaver in plan.suspend}
    wrong += [f"{one} is not suspended" for one in gone if not users(bench)[one]["isSuspended"]]
    out = gone | {one.user_id for one in plan.stay if one.reason == "pending"}
    there = groups(bench)
    wished = wished_groups(item.person for item in plan.people if item.action != "conflict")
    for key in {*wished, *there}:
        wanted = {ids[one.staff_number] for one in wished.get(key, ("", ()))[1]}
        strangers = before.get(key, set()) - set(ids.values()) - out
        if there.get(key, {"in": set()})["in"] != wanted | strangers:
            wrong.append(f"group {key}: {there.get(key)}, wanted {wanted | strangers}")
    return wrong


def rooms_wrong(bench: Workbench, plan: Plan) -> list[str]:
    """The bot's rooms against the plan's."""
    table = bench.sandbox.tenant.table("channels").values()  # type: ignore[union-attr]
    there = {
        str(one["title"]).partition("（")[0]: set(map(str, one["members"]))
        for one in table
        if one["type"] == "MULTI_USERS" and one["bots"]
    }
    wanted = {
        room.title.partition("（")[0]: {
            str((user_of(bench, number) or {}).get("userId")) for number in room.members
        }
        for room in plan.rooms
        if room.action != "leave"
    }
    return [] if there == wanted else [f"rooms {there}, wanted {wanted}"]


async def a_tenant(bench: Workbench, made: Any, first: Roster, done: Any, *, rooms: bool = False) -> None:
    """Accounts made by hand, then a first roster, then what other hands did since."""
    for number, kind in made:
        await make_by_hand(bench, number, kind)
    plan = await plan_for(bench, first, rooms="always" if rooms else "never")
    assert (await apply_on(bench, plan)).complete
    for what, number in done:
        await do_by_hand(bench, what, number)


AS_DRAWN = settings(
    derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


# -- plan ∘ apply = roster; twice = once ------------------------------------------------------------------


@settings(AS_DRAWN, max_examples=50)
@given(
    made=by_hand, first=rosters(), done=hands, second=rosters(), suspend=st.booleans(), rooms=st.booleans()
)
def test_what_is_applied_is_the_roster_and_twice_is_once(
    founded: Path, made: Any, first: Roster, done: Any, second: Roster, *, suspend: bool, rooms: bool
) -> None:
    async def work(bench: Workbench) -> None:
        await a_tenant(bench, made, first, done, rooms=rooms)
        options = {"leavers": "suspend" if suspend else "keep", "max_leavers": 9}
        before = {key: one["in"] for key, one in groups(bench).items()}
        plan = prepare_plan(await plan_for(bench, second, **options), bench.home)
        assert load_plan(save_plan(plan, bench.home / "plan.json")) == plan
        assert plan_digest(load_plan(bench.home / "plan.json")) == plan_digest(plan)
        result = await apply_on(bench, load_plan(bench.home / "plan.json"))
        assert result.complete, result.as_json()
        assert wrong_with(bench, plan, before) == []
        if plan.bot_id:
            assert rooms_wrong(bench, plan) == []
        after = snapshot(bench)
        again = await apply_on(bench, plan)
        assert (again.done, again.complete) == (0, True)
        assert snapshot(bench) == after
        assert (await plan_for(bench, second, **options)).nothing_to_do
        whole = {"domain_id": bench.domain_id, "roster_sha256": second.sha256}
        assert await find_unfinished(bench.ledger, bench.home, leavers=options["leavers"], **whole) is None

    on_a_bench(founded, work)


# -- undo ∘ apply = before ----------------------------------------------------------------------------------


@settings(AS_DRAWN, max_examples=50)
@given(made=by_hand, first=rosters(), done=hands, second=rosters(), since=hands, suspend=st.booleans())
def test_undone_it_is_as_before_but_for_what_is_named(
    founded: Path, made: Any, first: Roster, done: Any, second: Roster, since: Any, *, suspend: bool
) -> None:
    async def work(bench: Workbench) -> None:
        await a_tenant(bench, made, first, done)
        before = snapshot(bench)
        options = {"leavers": "suspend" if suspend else "keep", "max_leavers": 9}
        plan = await plan_for(bench, second, **options)
        assert (await apply_on(bench, plan)).complete
        touched = {
            number for what, number in since if what == "log in" and await do_by_hand(bench, what, number)
        }
        where: dict[str, Any] = {"client": bench.client, "ledger": bench.ledger, "home": bench.home}
        where["domain_id"] = bench.domain_id
        path = save_undo(await plan_undo(plan.plan_id, **where), bench.home / "undo.json")
        undo = load_undo(path)
        result = await carry_undo(undo, clock=bench.clock, **where)
        assert result.impossible == tuple(undo.impossible)
        assert result.undone == len(undo.steps())
        assert (result.failed, result.left) == ((), 0)
        after = snapshot(bench)
        named = {one["subject"] for one in result.impossible}
        differs = {
            key
            for key in {*before, *after}
            if sans_login(before.get(key), touched) != sans_login(after.get(key), touched)
        }
        assert {subject_of(key, after.get(key) or before[key]) for key in differs} == named

    on_a_bench(founded, work)


def sans_login(one: dict[str, Any] | None, touched: set[str]) -> dict[str, Any] | None:
    """A first login is the person's own doing, not the apply's."""
    if one is not None and one.get("userExternalKey") in touched:
        return {**one, "isPending": False}
    return one


def subject_of(key: str, one: dict[str, Any]) -> str:
    """As an undo names it."""
    return {
        "users": f"職員番号 {one.get('userExternalKey')}",
        "orgunits": f"組織 {one.get('orgUnitExternalKey')}",
        "levels": f"職級 {one.get('levelName')}",
        "positions": f"役職 {one.get('positionName')}",
        "groups": f"グループ {one.get('groupExternalKey')}",
    }[key.partition(" ")[0]]


# -- drift ------------------------------------------------------------------------------------------


async def other_hand(bench: Workbench, what: str, number: str) -> bool:
    """One change that is not the plan's; False where it cannot be done."""
    client, tenant = bench.client, bench.sandbox.tenant  # type: ignore[union-attr]
    if what in HANDS:
        return await do_by_hand(bench, what, number)
    if what == "claim":  # somebody gets the login id of a person who is to be created
        if any(one["email"] == PEOPLE[NUMBERS.index(number)].login_id for one in users(bench).values()):
            return False
        await make_by_hand(bench, number, "other")
    elif what == "stranger":
        names = {"lastName": "部外", "firstName": "者"}
        body = {"domainId": bench.domain_id, "email": "stranger@city-demo", "userName": names}
        await client.users.create({**body, "passwordConfig": PASSWORD})
    elif what == "unit":
        await elsewhere(bench)
    elif what == "position":
        await client.positions.create(
            {"domainId": bench.domain_id, "displayOrder": 9, "positionName": "外の役職"}
        )
    elif what == "foreign group":
        members = [{"id": next(iter(users(bench))), "type": "USER"}]
        body = {"domainId": bench.domain_id, "groupName": "外のグループ", "members": members}
        await client.groups.create({**body, "administrators": [{"userId": next(iter(users(bench)))}]})
    elif what == "planned position":
        if any(one["positionName"] == "係長" for one in tenant.table("positions").values()):
            return False
        await client.positions.create(
            {"domainId": bench.domain_id, "displayOrder": 9, "positionName": "係長"}
        )
    elif what == "planned level":
        if any(alike(one["levelName"]) == "7級" for one in tenant.table("levels").values()):
            return False
        await a_level(bench, "7級")
    elif what == "level renamed":
        if not tenant.table("levels"):
            return False
        await client.levels.patch(next(iter(tenant.table("levels"))), {"levelName": "改めた級"})
    elif what == "levels off":
        await client.levels.disable()
    elif what == "unit renamed":
        unit = next(iter(tenant.table("orgunits").values()))
        await client.orgunits.patch(
            unit["orgUnitId"], {"domainId": bench.domain_id, "orgUnitName": "改めた名"}
        )
    elif what == "group renamed":
        await client.groups.patch(groups(bench)["bousai-all"]["groupId"], {"groupName": "改めた名"})
    elif what == "group gone":
        await client.groups.delete(groups(bench)["bousai-all"]["groupId"])
    elif what == "grouped":  # somebody puts in who is to come in
        user = user_of(bench, number)
        if user is None or user["userId"] in groups(bench)["bousai-all"]["in"]:
            return False
        await client.groups.add_member(groups(bench)["bousai-all"]["groupId"], str(user["userId"]))
    return True


NEVER = ("log in", "nickname", "suspend", "stranger", "unit", "position", "foreign group")
"""Of no concern to any plan, whoever it happens to (but to leavers who are to be suspended)."""
ALWAYS = ("unit renamed", "group renamed", "group gone")
OF_THE_ROSTER = ("delete", "rename", "move", "strip", "claim", "ungroup", "grouped", "grade")
"""Of concern exactly when it happens to somebody of the roster."""


CATALOGUE = ("planned position", "planned level", "level renamed", "levels off")
"""Of concern when the plan names or changes what is in it."""


def concerns(plan: Plan, what: str, number: str) -> bool:
    """Whether the plan would write what has changed, or has read it to decide."""
    mine = {item.person.staff_number: item for item in plan.people}
    leaving = {leaver.staff_number for leaver in plan.suspend}
    if what in ALWAYS:
        return True
    if what == "planned position":
        return any(one.name == "係長" for one in plan.positions)
    if what == "planned level":
        return any(alike(one.name) == "7級" for one in plan.levels)
    if what == "levels off":
        return bool(plan.levels)
    if what == "grade" and not plan.levels:
        return False
    if what in ("delete", "suspend") and number in leaving:
        return True
    if what == "ungroup" and number in leaving:
        return True  # the plan takes them out of the groups
    return what in OF_THE_ROSTER and number in mine and mine[number].action != "conflict"


def names_first_level(bench: Workbench, plan: Plan) -> bool:
    """The plan gives the first level, or somebody of whom it says the level holds it."""
    level_id = next(iter(bench.sandbox.tenant.table("levels")))  # type: ignore[union-attr]
    held = {
        item.user_id
        for item in plan.people
        if item.user_id and users(bench)[item.user_id]["organizations"][0]["levelId"] == level_id
    }
    return bool(plan.levels) and (level_id in {one.level_id for one in plan.levels} or bool(held))


@settings(AS_DRAWN, max_examples=80)
@given(
    first=rosters(least=2),
    active=st.sets(st.sampled_from(NUMBERS)),
    second=rosters(least=2),
    suspend=st.booleans(),
    what=st.sampled_from((*NEVER, *ALWAYS, *OF_THE_ROSTER, *CATALOGUE)),
    number=st.sampled_from(NUMBERS),
)
def test_one_change_by_another_hand_is_refused_where_the_plan_looked_and_nowhere_else(
    founded: Path, first: Roster, active: set[str], second: Roster, what: str, number: str, *, suspend: bool
) -> None:
    async def work(bench: Workbench) -> None:
        await a_tenant(bench, (), first, [("log in", one) for one in sorted(active)])
        options = {"leavers": "suspend" if suspend else "keep", "max_leavers": 9}
        plan = await plan_for(bench, second, **options)
        if not await other_hand(bench, what, number):
            return
        requests, before = bench.client.stats.requests, snapshot(bench)
        if concerns(plan, what, number) or (what == "level renamed" and names_first_level(bench, plan)):
            with pytest.raises(TenantDrifted):
                await apply_on(bench, plan)
            assert snapshot(bench) == before
            assert bench.client.stats.requests - requests <= 7
        else:
            result = await apply_on(bench, plan)
            assert result.complete, result.as_json()
            assert (await apply_on(bench, plan)).done == 0

    on_a_bench(founded, work)
