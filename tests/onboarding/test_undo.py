"""Undo: back to before where the platform can; what it cannot is said first."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.errors import GuardError, InputError
from bousai_kit.onboarding import plan_undo, undo_apply
from bousai_kit.onboarding.bodies import build_user
from bousai_kit.onboarding.journal import Journal
from bousai_kit.onboarding.plan_file import content_digest, keep_copy
from bousai_kit.onboarding.room_steps import room_title
from bousai_kit.onboarding.undo import UndoResult
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import apply, changed, city, plan_for, run, tenant_problems, without


def given(bench: Workbench) -> dict[str, Any]:
    return {"client": bench.client, "ledger": bench.ledger, "home": bench.home, "domain_id": bench.domain_id}


async def undo(bench: Workbench, apply_id: str) -> UndoResult:
    return await undo_apply(apply_id, clock=bench.clock, **given(bench))


def state(bench: Workbench) -> str:
    """The directory as it stands, without what an undo may leave (members in their seven days)."""
    tenant = bench.sandbox.tenant  # type: ignore[union-attr]
    tables = {}
    for name in ("users", "orgunits", "levels", "positions", "groups"):
        rows = [one for one in tenant.table(name).values() if not one.get("isDeleted")]
        tables[name] = json.loads(json.dumps(rows, sort_keys=True, default=str))
    for group in tables["groups"]:
        group["members"].sort(key=lambda one: one["id"])
        group.pop("modifiedTime", None)
    return json.dumps(tables, sort_keys=True, ensure_ascii=False, indent=1)


def test_undo_of_an_apply_is_before(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        before = state(bench)
        roster = city()
        plan = await plan_for(bench, roster)
        done = await apply(bench, plan)
        preview = await plan_undo(plan.plan_id, **given(bench))
        assert preview.impossible == []
        assert "12 名のアカウントを削除します" in "".join(preview.sentences())
        result = await undo(bench, plan.plan_id)
        assert (result.undone, result.failed, result.impossible) == (done.done, (), ())
        assert state(bench) == before
        again = await undo(bench, plan.plan_id)
        assert (again.undone, again.failed) == (0, ())
        with pytest.raises(GuardError, match="取り消され"):
            await apply(bench, plan)
        # within their seven days they come back with a new plan
        back = await plan_for(bench, roster)
        assert back.as_json()["update"] == 12
        assert (await apply(bench, back)).complete
        assert tenant_problems(bench, roster) == []
        assert (await plan_for(bench, roster)).nothing_to_do

    run(home, work)


def test_undo_of_changes_sets_them_back(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city(30)
        await apply(bench, await plan_for(bench, roster))
        await bench.clock.sleep(24 * 3600)  # most log in
        tenant = bench.sandbox.tenant  # type: ignore[union-attr]
        active = [
            one["userExternalKey"]
            for one in tenant.table("users").values()
            if not one["isPending"] and one["userExternalKey"]
        ]
        first, second, leaver, last = active[:4]
        before = state(bench)
        wanted = changed(roster, first, last_name="改姓", last_kana="カイセイ", position="特命担当", ward="")
        wanted = changed(wanted, second, orgunit_code="U3", login_id="moved@city-demo", bureau="水道局")
        wanted = without(wanted, leaver)
        plan = await plan_for(bench, wanted, leavers="suspend")
        assert (plan.as_json()["update"], plan.as_json()["suspend"]) == (2, 1)
        assert (await apply(bench, plan)).complete
        assert state(bench) != before
        assert (await plan_for(bench, wanted, leavers="suspend")).nothing_to_do
        result = await undo(bench, plan.plan_id)
        assert (result.failed, result.impossible) == ((), ())
        assert state(bench) == before
        again = await undo(bench, plan.plan_id)
        assert (again.undone, again.failed, again.impossible) == (0, (), ()), "what is back is not amiss"
        assert last

    run(home, work)


def test_units_that_were_renamed_get_their_names_back(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city(12, 4)
        await apply(bench, await plan_for(bench, roster))
        before = state(bench)
        units = [replace(one, name="改称課") if one.code == "U2" else one for one in roster.units]
        renamed = replace(roster, units=tuple(units), sha256="renamed")
        plan = await plan_for(bench, renamed)
        assert plan.as_json()["orgunits"] == {"create": 0, "update": 1, "unchanged": 3}
        assert (await apply(bench, plan)).complete
        assert (await plan_for(bench, renamed)).nothing_to_do
        assert (await undo(bench, plan.plan_id)).failed == ()
        assert state(bench) == before
        units = [replace(one, parent_code="U1") if one.code == "U2" else one for one in roster.units]
        moved = await plan_for(bench, replace(roster, units=tuple(units), sha256="moved"))
        assert (await apply(bench, moved)).complete
        assert (await plan_for(bench, replace(roster, units=tuple(units)))).nothing_to_do
        result = await undo(bench, moved.plan_id)
        assert (result.undone, result.failed, result.impossible) == (1, (), ())
        assert state(bench) == before, "and its place below the unit where it was"

    run(home, work)


def test_an_apply_that_is_undone_meanwhile_does_not_go_on(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, city())
        begun = asyncio.Event()

        def tell(done: int, total: int, text: str) -> None:
            if text.startswith("メンバー"):
                begun.set()

        async def take_back() -> UndoResult:
            await begun.wait()
            return await undo(bench, plan.plan_id)

        applied, undone = await asyncio.gather(
            apply(bench, plan, tell=tell), take_back(), return_exceptions=True
        )
        assert isinstance(applied, GuardError)
        assert isinstance(undone, UndoResult)
        await undo(bench, plan.plan_id)
        users = bench.sandbox.tenant.table("users").values()  # type: ignore[union-attr]
        assert [one["isAdministrator"] for one in users if not one["isDeleted"]] == [True]

    run(home, work)


def test_what_an_apply_had_under_way_is_waited_for_and_said_to_be_left(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city(6, 2)
        few = without(roster, *(one.staff_number for one in roster.people[2:]))
        assert (await apply(bench, await plan_for(bench, few))).complete
        before = state(bench)
        plan = await plan_for(bench, roster)
        slow = Fault("slow", on="users.create", nth=(2,), seconds=25.0)
        bench.sandbox.faults = FaultPlan([slow])  # type: ignore[union-attr]

        async def take_back() -> UndoResult:
            await bench.clock.sleep(3.0)
            return await undo(bench, plan.plan_id)

        applied, undone = await asyncio.gather(apply(bench, plan), take_back(), return_exceptions=True)
        assert isinstance(applied, GuardError)
        assert isinstance(undone, UndoResult)
        assert (undone.left, undone.complete) == (1, False), "an account came after the last deletion"
        assert (await undo(bench, plan.plan_id)).complete
        assert state(bench) == before

    run(home, work)


def test_who_was_brought_back_before_the_rest_of_the_row_was_refused(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city(6, 3)
        first = await plan_for(bench, roster)
        assert (await apply(bench, first)).complete
        assert (await undo(bench, first.plan_id)).complete
        await bench.clock.sleep(700)
        second = await plan_for(bench, roster)

        def tell(done: int, total: int, text: str) -> None:
            units = bench.sandbox.tenant.table("orgunits")  # type: ignore[union-attr]
            lost = [key for key, one in units.items() if one["orgUnitExternalKey"] == "U2"]
            if text.startswith("メンバー") and lost:
                units.pop(lost[0])

        assert len((await apply(bench, second, tell=tell)).failed) == 2
        assert (await undo(bench, second.plan_id)).complete
        users = bench.sandbox.tenant.table("users").values()  # type: ignore[union-attr]
        assert [one["isAdministrator"] for one in users if not one["isDeleted"]] == [True]

    run(home, work)


def test_an_attempt_without_an_answer_counts_though_the_next_one_was_refused(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city(6, 1)
        few = without(roster, roster.people[0].staff_number)
        assert (await apply(bench, await plan_for(bench, few))).complete
        before = state(bench)
        plan = await plan_for(bench, roster)
        (item,) = plan.creates
        journal = Journal(bench.ledger, plan.plan_id)
        keep_copy(plan, bench.home)
        await journal.plan({"domain_id": bench.domain_id, "plan_sha256": content_digest(plan)}, [])
        step = f"user.create:{item.person.staff_number}"
        for ends in (("unknown", "settled_absent"), ("failed",)):
            await journal.intend(step)
            for how in ends:
                await journal.end(step, how)
        body = build_user(
            item.person,
            domain_id=bench.domain_id,
            unit_id=plan.units[0].unit_id,
            position_id=None,
            level_id=None,
            password="Vx8%late-comer",
        )
        await bench.client.users.create(body)  # the first attempt took effect late
        assert (await undo(bench, plan.plan_id)).undone == 1
        assert state(bench) == before

    run(home, work)


def test_whose_creation_is_in_doubt_may_appear_later(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, city())
        journal = Journal(bench.ledger, plan.plan_id)
        keep_copy(plan, bench.home)
        await journal.plan({"domain_id": bench.domain_id, "plan_sha256": content_digest(plan)}, [])
        step = f"user.create:{plan.people[0].person.staff_number}"
        await journal.intend(step)
        await journal.end(step, "unknown")
        said = "".join((await plan_undo(plan.plan_id, **given(bench))).notes)
        assert "登録できたか分からない 1 名" in said
        await bench.clock.sleep(600)
        assert (await plan_undo(plan.plan_id, **given(bench))).notes == []

    run(home, work)


def test_who_has_begun_is_not_deleted_and_later_changes_stay(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        plan = await plan_for(bench, roster)
        await apply(bench, plan)
        await bench.clock.sleep(24 * 3600)
        users = bench.sandbox.tenant.table("users")  # type: ignore[union-attr]
        begun = [one["userId"] for one in users.values() if not one["isPending"] and one["userExternalKey"]]
        assert len(begun) > 5
        preview = await plan_undo(plan.plan_id, **given(bench))
        assert "取り消せないもの" in preview.sentences()[0]
        alike = [one for one in preview.sentences() if "利用を始めているため削除しません" in one]
        assert [f"ほか {len(begun) - 5:,} 件" in one for one in alike] == [True]  # said once, not for each
        said = [one["subject"].partition(" ")[0] for one in preview.impossible]
        assert said.count("職員番号") == len(begun)
        assert {"組織", "役職"} <= set(said), "those in which they sit stay"
        result = await undo(bench, plan.plan_id)
        assert all(users[user_id]["isSuspended"] and not users[user_id]["isDeleted"] for user_id in begun)
        assert result.failed == ()
        assert result.impossible == tuple(preview.impossible)

    run(home, work)


def test_an_unknown_apply_is_said_to_be_unknown(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        with pytest.raises(InputError, match="BOUSAI_HOME"):
            await plan_undo("p20270117-000000-00000000", **given(bench))

    run(home, work)


def test_what_was_made_anew_since_is_left(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        first = await plan_for(bench, roster)
        assert (await apply(bench, first)).complete
        tenant = bench.sandbox.tenant  # type: ignore[union-attr]
        gone = next(one for one in tenant.table("users").values() if one["userExternalKey"])
        await bench.client.users.forcedelete(gone["userId"])
        group = next(
            one for one in tenant.table("groups").values() if one["groupExternalKey"] == "bousai-all"
        )
        await bench.client.groups.delete(group["groupId"])
        await bench.clock.sleep(660)  # until then the account may only not be shown yet
        second = await plan_for(bench, roster)
        assert (second.count("create"), second.as_json()["groups"]["create"]) == (1, 1)
        assert (await apply(bench, second)).complete
        number = gone["userExternalKey"]
        preview = await plan_undo(first.plan_id, **given(bench))
        said = [one["subject"] for one in preview.impossible]
        assert f"職員番号 {number}" in said
        assert "グループ 防災_全員" in said
        await undo(bench, first.plan_id)
        mine = [one for one in tenant.table("users").values() if one["userExternalKey"] == number]
        assert [one["isDeleted"] for one in mine] == [False]
        names = [one["groupExternalKey"] for one in tenant.table("groups").values()]
        assert names.count("bousai-all") == 1

    run(home, work)


def test_a_group_that_a_later_apply_has_filled_is_left(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        whole = city()
        late = whole.people[-1].staff_number
        first = await plan_for(bench, without(whole, late))
        assert (await apply(bench, first)).complete
        assert (await apply(bench, await plan_for(bench, whole))).complete
        preview = await plan_undo(first.plan_id, **given(bench))
        assert "グループ 防災_全員" in [one["subject"] for one in preview.impossible]
        await undo(bench, first.plan_id)
        tenant = bench.sandbox.tenant  # type: ignore[union-attr]
        groups = [one for one in tenant.table("groups").values() if one["groupExternalKey"] == "bousai-all"]
        assert [len(one["members"]) for one in groups] == [1]

    run(home, work)


def test_a_second_post_given_while_a_long_apply_runs_is_not_lost(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        await apply(bench, await plan_for(bench, roster))
        who = roster.people[1]
        code = next(unit.code for unit in roster.units if unit.code != who.orgunit_code)
        plan = await plan_for(bench, changed(roster, who.staff_number, orgunit_code=code))
        tenant = bench.sandbox.tenant  # type: ignore[union-attr]
        user = next(
            one for one in tenant.table("users").values() if one["userExternalKey"] == who.staff_number
        )
        held = {unit["orgUnitId"] for unit in user["organizations"][0]["orgUnits"]}
        taken = {unit.unit_id for unit in plan.units if unit.code == code} | held
        other = next(unit_id for unit_id in tenant.table("orgunits") if unit_id not in taken)

        def tell(done: int, total: int, text: str) -> None:
            if text.startswith("メンバー 0/"):
                user["organizations"][0]["orgUnits"].append(
                    {"orgUnitId": other, "primary": False, "positionId": None}
                )
                tenant.put("users", user["userId"], user)
                bench.clock.advance(120)  # type: ignore[attr-defined]

        assert (await apply(bench, plan, tell=tell)).complete
        now = tenant.table("users")[user["userId"]]["organizations"][0]["orgUnits"]
        assert {unit["orgUnitId"] for unit in now} == (taken - held) | {other}
        # and while it is undone
        user = tenant.table("users")[user["userId"]]
        del user["organizations"][0]["orgUnits"][1]
        tenant.put("users", user["userId"], user)
        result = await undo_apply(plan.plan_id, clock=bench.clock, tell=tell, **given(bench))
        assert [one["staff_number"] for one in result.failed] == [who.staff_number]
        assert "取り消しの間に所属か役職が変更された" in result.failed[0]["reason"]
        assert len(tenant.table("users")[user["userId"]]["organizations"][0]["orgUnits"]) == 2

    run(home, work)


def test_a_second_post_given_since_is_not_lost(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        await apply(bench, await plan_for(bench, roster))
        number = roster.people[1].staff_number
        code = next(unit.code for unit in roster.units if unit.code != roster.people[1].orgunit_code)
        plan = await plan_for(bench, changed(roster, number, orgunit_code=code))
        assert (await apply(bench, plan)).complete
        tenant = bench.sandbox.tenant  # type: ignore[union-attr]
        user = next(one for one in tenant.table("users").values() if one["userExternalKey"] == number)
        held = {unit["orgUnitId"] for unit in user["organizations"][0]["orgUnits"]}
        other = next(unit_id for unit_id in tenant.table("orgunits") if unit_id not in held)
        user["organizations"][0]["orgUnits"].append(
            {"orgUnitId": other, "primary": False, "positionId": None}
        )
        tenant.put("users", user["userId"], user)
        result = await undo(bench, plan.plan_id)
        assert [one["subject"] for one in result.impossible] == [f"職員番号 {number}"]
        now = tenant.table("users")[user["userId"]]["organizations"][0]["orgUnits"]
        assert other in {unit["orgUnitId"] for unit in now}

    run(home, work)


def test_another_apply_made_the_account_that_this_one_gave_up(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        number = roster.people[0].staff_number
        first = await plan_for(bench, roster)
        journal = Journal(bench.ledger, first.plan_id)
        keep_copy(first, bench.home)
        await journal.plan({"domain_id": bench.domain_id, "plan_sha256": content_digest(first)}, [])
        await journal.intend(f"user.create:{number}")
        await journal.end(f"user.create:{number}", "settled_absent")  # killed before the next try
        second = await plan_for(bench, replace(roster, sha256="again"))
        assert (await apply(bench, second)).complete
        preview = await plan_undo(first.plan_id, **given(bench))
        assert preview.delete == []

    run(home, work)


def test_a_room_that_may_have_been_built_is_named(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, city(), rooms="always")
        journal = Journal(bench.ledger, plan.plan_id)
        keep_copy(plan, bench.home)
        await journal.plan({"domain_id": bench.domain_id, "plan_sha256": content_digest(plan)}, [])
        await journal.intend(f"room.create:{plan.rooms[0].key}")
        preview = await plan_undo(plan.plan_id, **given(bench))
        titles = [one["subject"] for one in preview.impossible]
        assert titles == [f"ルーム {room_title(plan.rooms[0], plan.plan_id, 1)}"]

    run(home, work)
