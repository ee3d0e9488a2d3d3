"""Rooms of the drill route: cut to size, kept while nobody moves, built anew when somebody does."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.drills.opening import rooms_of
from bousai_kit.errors import GuardError, InvalidRequest
from bousai_kit.ledger import NewEvent
from bousai_kit.onboarding import undo_apply
from bousai_kit.onboarding.apply import ApplyResult
from bousai_kit.onboarding.items import PersonItem, Plan
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.living import Living
from bousai_kit.onboarding.plan_file import load_plan, prepare_plan, save_plan
from bousai_kit.onboarding.room_steps import GIVEN_UP_ROOM_S, room_title
from bousai_kit.onboarding.rooms import (
    ROOM_MOST,
    BuiltRoom,
    built_rooms,
    plan_rooms,
    wants_rooms,
    wished_rooms,
)
from bousai_kit.roster import Person, Roster, sample_roster
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.sandbox.routes_admin import truth_of
from bousai_kit.steps import apply_on
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import (
    Killed,
    Killer,
    apply,
    bench_at,
    city,
    new_home,
    plan_for,
    reborn,
    run,
    without,
)

WARDS = ("北区", "南区", "")


def person(number: int, ward: str, bureau: str = "") -> Person:
    return Person(
        row=number + 2,
        staff_number=f"S{number}",
        last_name="試験",
        first_name=str(number),
        login_id=f"a{number}@city",
        orgunit_code="U",
        ward=ward,
        bureau=bureau,
    )


def items(people: dict[int, tuple[str, str]]) -> list[PersonItem]:
    return [PersonItem("unchanged", person(n, *at), f"id{n}") for n, at in sorted(people.items())]


def carried_out(planned: Any, built: list[BuiltRoom], serial: int) -> list[BuiltRoom]:
    """What the ledger says after the plan."""
    left = {one.channel_id for one in planned if one.action in ("leave", "rebuild")}
    kept = [room for room in built if room.channel_id not in left]
    for index, one in enumerate(planned):
        if one.action in ("create", "rebuild"):
            members = tuple("id" + number[1:] for number in one.members)
            kept.append(BuiltRoom(f"c{serial}-{index}", one.key, one.title, members))
    return kept


cities = st.dictionaries(
    st.integers(0, 700),
    st.tuples(st.sampled_from(WARDS), st.sampled_from(("総務局", "消防局"))),
    max_size=450,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(cities, min_size=1, max_size=4))
def test_everybody_is_in_one_room_of_fit_size_and_a_second_plan_changes_nothing(years: list[Any]) -> None:
    built: list[BuiltRoom] = []
    for serial, people in enumerate(years):
        planned = plan_rooms(items(people), built)
        standing = [one for one in planned if one.action != "leave"]
        assert len({one.key for one in standing}) == len(standing)
        assert all(2 <= len(set(one.members)) == len(one.members) <= ROOM_MOST for one in standing)
        inside = [number for one in standing for number in one.members]
        assert len(inside) == len(set(inside))
        alone = {f"S{n}" for n in people} - set(inside)
        assert len(alone) <= len(wished_rooms(one.person for one in items(people))), "one a kind at most"
        assert {one.channel_id for one in planned if one.channel_id} == {room.channel_id for room in built}
        built = carried_out(planned, built, serial)
        again = plan_rooms(items(people), built)
        assert {one.action for one in again} <= {"unchanged"}
        assert plan_rooms(items(people), built) == again


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 500), st.sets(st.integers(0, 499), max_size=3), st.integers(0, 3))
def test_few_who_move_cost_few_rooms(size: int, gone: set[int], came: int) -> None:
    people = dict.fromkeys(range(size), ("北区", ""))
    built = carried_out(plan_rooms(items(people), []), [], 0)
    after = {n: at for n, at in people.items() if n not in gone} | {
        600 + n: ("北区", "") for n in range(came)
    }
    touched = [one for one in plan_rooms(items(after), built) if one.action != "unchanged"]
    assert len(touched) <= len(gone) + came + 1


def test_titles_say_the_ward_and_a_number_only_where_there_are_several() -> None:
    people = {n: ("北区" if n < 150 else "南区", "") for n in range(160)} | {900: ("西区", "")}
    planned = plan_rooms(items(people), [])
    assert [(one.key, one.title, len(one.members)) for one in planned] == [
        ("ward-北区/1", "防災_北区_1", 75),
        ("ward-北区/2", "防災_北区_2", 75),
        ("ward-南区/1", "防災_南区", 10),
    ]  # 西区 has one person: nobody is with them in the main office either, so they are reached directly
    built = carried_out(planned, [], 0)
    others = (
        people | dict.fromkeys(range(150, 160), ("東区", "")) | dict.fromkeys(range(300, 310), ("南区", ""))
    )
    (anew,) = [one for one in plan_rooms(items(others), built) if one.key.startswith("ward-南区")]
    assert (anew.action, anew.title, anew.channel_id) == ("rebuild", "防災_南区", "c0-2")  # nobody stayed
    twice = [*built, replace(built[2], channel_id="later")]
    left = [one.channel_id for one in plan_rooms(items(people), twice) if one.action != "unchanged"]
    assert left == ["c0-2"], "of two rooms of one key the later is used"


def test_rooms_are_planned_where_a_drill_would_use_them_or_they_exist() -> None:
    room = BuiltRoom("c", "main/1", "t", ("a", "b"))
    assert [wants_rooms("auto", people=n, per_minute=240, built=()) for n in (200, 480, 481)] == [
        False,
        False,
        True,
    ]
    assert wants_rooms("auto", people=2, per_minute=240, built=[room])
    assert wants_rooms("always", people=2, per_minute=240, built=())
    assert not wants_rooms("never", people=30_000, per_minute=240, built=[room])
    sizes = [
        len(one.members)
        for one in plan_rooms([PersonItem("create", p) for p in sample_roster(30_000).people], [])
    ]
    assert sum(sizes) == 30_000
    assert len(sizes) < 400


# -- on a tenant ----------------------------------------------------------------------------------------


def wards() -> Roster:
    """Twelve people: five in each of two wards, one alone, one in no ward."""
    roster = city()
    at = ["北区"] * 5 + ["南区"] * 5 + ["西区", ""]
    people = tuple(replace(one, ward=ward) for one, ward in zip(roster.people, at, strict=True))
    return replace(roster, people=people, sha256="wards")


async def apply_rooms(bench: Workbench, roster: Roster) -> tuple[Plan, ApplyResult]:
    plan = prepare_plan(await plan_for(bench, roster, rooms="always"), bench.home)
    return plan, await apply_on(bench, plan)


def rooms_there(bench: Workbench) -> dict[str, int]:
    """Rooms that the bot is in, by the sandbox's own books: title without its mark -> members."""
    tenant = bench.sandbox.tenant  # type: ignore[union-attr]
    there = [one for one in tenant.table("channels").values() if one["type"] == "MULTI_USERS" and one["bots"]]
    titles = [str(one["title"]).partition("（")[0] for one in there]
    assert len(titles) == len(set(titles)), titles
    return {title: len(one["members"]) for title, one in zip(titles, there, strict=True)}


def test_built_kept_and_built_anew(home: Path, tmp_path: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = wards()
        plan, result = await apply_rooms(bench, roster)
        assert load_plan(save_plan(plan, tmp_path / "plan.json")).rooms == plan.rooms
        assert plan.as_json()["rooms"] == {"create": 3, "rebuild": 0, "unchanged": 0, "leave": 0}
        assert result.complete
        assert rooms_there(bench) == {"防災_北区": 5, "防災_南区": 5, "防災_本庁": 2}
        again = await plan_for(bench, roster)
        assert again.nothing_to_do, "rooms that exist are looked after without being asked for"
        assert again.as_json()["rooms"]["unchanged"] == 3

        gone = roster.people[0].staff_number
        moved = without(roster, gone)
        assert bench.sandbox is not None
        bench.sandbox.faults = FaultPlan([Fault("500", on="channels.create", every=1)])
        plan, result = await apply_rooms(bench, moved)
        assert plan.as_json()["rooms"] == {"create": 0, "rebuild": 1, "unchanged": 2, "leave": 0}
        assert any("作り直します" in note for note in plan.notes)
        assert not result.complete
        assert rooms_there(bench)["防災_北区"] == 5, "no old room is left before the new one stands"
        bench.sandbox.faults = FaultPlan()
        assert (await apply_on(bench, plan)).complete
        assert rooms_there(bench) == {"防災_北区": 4, "防災_南区": 5, "防災_本庁": 2}
        drill = await rooms_of(bench.ledger)
        assert sorted(map(len, drill.values())) == [2, 4, 5], "the drills' route knows them"
        assert set(drill) == {
            room.channel_id for room in await built_rooms(bench.ledger, bot_id=bench.bot_id)
        }
        assert (await bench.ledger.verify()).ok

    run(home, work)


def test_a_creation_without_an_answer_is_found_by_its_join_callback(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        assert bench.sandbox is not None
        bench.sandbox.faults = FaultPlan([Fault("drop", on="channels.create", nth=(1, 2))])
        _, result = await apply_rooms(bench, wards())
        assert result.complete
        assert result.orphans == ()
        assert rooms_there(bench) == {"防災_北区": 5, "防災_南区": 5, "防災_本庁": 2}

    run(home, work)


def test_a_room_that_nobody_tells_of_is_built_again_and_listed(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        assert bench.sandbox is not None
        faults = [Fault("drop", on="channels.create", nth=(1,)), Fault("lost", on="join", nth=(1,))]
        bench.sandbox.faults = FaultPlan(faults)
        plan, result = await apply_rooms(bench, wards())
        assert result.complete
        [orphan] = result.orphans
        tenant = bench.sandbox.tenant
        titles = [one["title"] for one in tenant.table("channels").values() if one["type"] == "MULTI_USERS"]
        assert orphan in titles
        assert len(titles) == len(set(titles)) == 4
        assert (await apply_on(bench, plan)).orphans == (orphan,), "said again as long as nobody knows"

    run(home, work)


def test_a_late_join_shows_the_orphan_and_the_bot_leaves_it(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        assert bench.sandbox is not None
        faults = [
            Fault("drop", on="channels.create", nth=(1,)),
            Fault("delay", on="join", nth=(1,), seconds=90),
        ]
        bench.sandbox.faults = FaultPlan(faults)
        plan, result = await apply_rooms(bench, wards())
        assert result.complete
        async with bench.receiving():
            await bench.clock.sleep(120)
        for _ in range(2):  # the bot leaves it, and it is not said again
            assert (await apply_on(bench, plan)).orphans == ()
        assert rooms_there(bench) == {"防災_北区": 5, "防災_南区": 5, "防災_本庁": 2}

    run(home, work)


def test_a_second_room_is_listed_when_the_first_one_shows_late(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        assert bench.sandbox is not None
        faults = [
            Fault("slow", on="channels.create", nth=(1, 4), seconds=45, after=True),
            Fault("delay", on="join", nth=(1,), seconds=50),
            Fault("lost", on="join", nth=(4,)),
        ]
        bench.sandbox.faults = FaultPlan(faults)
        _, result = await apply_rooms(bench, wards())
        assert result.complete
        tenant = bench.sandbox.tenant
        titles = [one["title"] for one in tenant.table("channels").values() if one["type"] == "MULTI_USERS"]
        assert len(titles) == 4
        assert len(result.orphans) == 1
        assert set(result.orphans) < set(titles)

    run(home, work)


def test_another_apply_that_built_or_left_is_drift(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = wards()
        empty = replace(await plan_for(bench, roster, rooms="always"), people=(), positions=(), groups=())
        early = replace(empty, units=(), plan_id="p-early")  # its rooms are all that can drift
        await apply_rooms(bench, roster)
        with pytest.raises(GuardError, match="ルーム"):
            await apply_on(bench, early)
        moved = without(roster, roster.people[0].staff_number)
        first = await plan_for(bench, moved)
        await apply_rooms(bench, without(roster, roster.people[1].staff_number))
        with pytest.raises(GuardError, match="ルーム"):
            await apply_on(bench, first)

    run(home, work)


def test_undo_leaves_the_rooms_and_says_what_stays(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = wards()
        await apply_rooms(bench, roster)
        plan, _ = await apply_rooms(bench, without(roster, roster.people[0].staff_number))
        given = {"client": bench.client, "ledger": bench.ledger, "clock": bench.clock, "home": bench.home}
        result = await undo_apply(plan.plan_id, **given, domain_id=bench.domain_id)  # type: ignore[arg-type]
        assert [one["subject"] for one in result.impossible] == ["ルーム 防災_北区"]
        assert rooms_there(bench) == {"防災_南区": 5, "防災_本庁": 2}
        again = await plan_for(bench, roster)
        assert again.as_json()["rooms"] == {"create": 1, "rebuild": 0, "unchanged": 2, "leave": 0}

    run(home, work)


def test_killed_while_rooms_are_built(founded: Path, tmp_path: Path) -> None:
    roster = wards()

    async def one(number: int) -> None:
        async with await bench_at(new_home(founded, tmp_path / f"home{number}")) as bench:
            _, result = await apply_rooms(bench, roster)
            assert result.complete
            moved = without(roster, *(person.staff_number for person in roster.people[:6:3]))
            plan = prepare_plan(await plan_for(bench, moved), bench.home)
            chance = random.Random(number)
            Killer(bench, chance.randrange(40))
            with contextlib.suppress(Killed):
                await apply_on(bench, plan)
            await reborn(bench)
            result = await apply_on(bench, plan)
            assert result.complete
            assert result.elapsed_s < GIVEN_UP_ROOM_S / 2, "the first run is known to be over"
            assert not [*(bench.home / "runs").iterdir()]
            assert (await plan_for(bench, moved)).nothing_to_do
            assert rooms_there(bench) == {"防災_北区": 3, "防災_南区": 5, "防災_本庁": 2}

    for number in range(12):
        asyncio.run(one(number))


def test_who_gets_an_account_after_the_room_is_named_and_the_next_plan_takes_them_in(home: Path) -> None:
    async def main() -> None:
        async with await bench_at(home) as bench:
            roster = city()
            plan = await plan_for(bench, roster, rooms="always")
            assert bench.sandbox is not None
            late = roster.people[-1]
            create, refused = bench.client.users.create, []

            async def once(body: dict[str, Any]) -> Any:
                if body["userExternalKey"] == late.staff_number and not refused:
                    refused.append(1)
                    raise InvalidRequest("no", status=400, code="INVALID_PARAMETER")
                return await create(body)

            bench.client.users.create = once  # type: ignore[method-assign]
            first = await apply(bench, plan)
            assert [one["staff_number"] for one in first.failed] == [late.staff_number]
            second = await apply(bench, plan)
            assert second.created == 1
            assert not second.complete
            assert [one["staff_number"] for one in second.failed] == [late.staff_number]
            assert "ルームに入っていません" in second.failed[0]["reason"]
            assert second.rejects is None, "the row itself is carried out"
            again = await plan_for(bench, roster, rooms="always")
            assert again.as_json()["rooms"]["rebuild"] == 1
            assert (await apply(bench, again)).complete
            assert (await plan_for(bench, roster, rooms="always")).nothing_to_do

    asyncio.run(main())


@pytest.mark.parametrize("here", [False, True])
def test_a_room_that_waits_for_its_minute_in_another_process_is_not_built_twice(
    home: Path, here: bool
) -> None:
    async def main() -> None:
        async with await bench_at(home) as bench:
            roster = city()
            await apply(bench, await plan_for(bench, roster))
            plan = await plan_for(bench, roster, rooms="always")
            item = plan.rooms[0]
            key, numbers = f"room.create:{item.key}", set(item.members)
            other = Journal(bench.ledger, plan.plan_id)
            await other.intend(key)

            async def slow() -> None:
                await bench.clock.sleep(50)
                ids = [one.user_id for one in plan.people if one.person.staff_number in numbers]
                title = room_title(item, plan.plan_id, 1)
                made = await bench.client.channels.create(plan.bot_id, ids, title=title)
                channel = str(made["channelId"])
                body = {"title": title, "members": ids, "key": item.key, "bot_id": plan.bot_id, "step": key}
                once = f"{other.stream}|room|{key}"
                created = NewEvent(other.stream, "room.created", channel, body, once=once)
                await other.end(key, "done", created, id=channel, without=[])

            with Living(bench.home, plan.plan_id, other.run) if here else contextlib.nullcontext():
                task = asyncio.create_task(slow())
                result = await apply(bench, plan)
                await task
            assert result.complete, result
            assert bench.sandbox is not None
            titles = [one["title"] for one in truth_of(bench.sandbox)["rooms"] if item.title in one["title"]]
            assert titles == [room_title(item, plan.plan_id, 1)]

    asyncio.run(main())


def test_of_two_rooms_built_at_once_the_second_is_left(home: Path) -> None:
    async def main() -> None:
        async with await bench_at(home) as bench:
            roster = city()
            await apply(bench, await plan_for(bench, roster))
            plan = await plan_for(bench, roster, rooms="always")
            key = f"room.create:{plan.rooms[0].key}"
            one, two = Journal(bench.ledger, plan.plan_id), Journal(bench.ledger, plan.plan_id)
            once = f"{one.stream}|room|{key}"
            assert await one.intend(key) == 1
            await two.refresh()
            await two.end(key, "settled_absent")
            assert await two.intend(key) == 2
            await one.refresh()  # sees the other's attempt: its own outcome is still that of the first
            await one.end(key, "done", NewEvent(one.stream, "room.created", "A", {}, once=once), id="A")
            await two.end(key, "done", NewEvent(two.stream, "room.created", "B", {}, once=once), id="B")
            later = Journal(bench.ledger, plan.plan_id)
            await later.refresh()
            for journal in (one, two, later):
                assert journal.id(key) == "A"
            assert two.in_doubt == later.in_doubt == {(key, 2)}

    asyncio.run(main())
