"""Plans carried out against the sandbox: as planned, twice, with faults, two at once, stopped, drifted."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.errors import AuthRejected, ConfigError, GuardError, LineWorksError
from bousai_kit.ledger import Ledger
from bousai_kit.onboarding import apply_plan, prepare_plan
from bousai_kit.onboarding.drift import TenantDrifted
from bousai_kit.onboarding.passwords import PlanSecret, derive_password
from bousai_kit.onboarding.plan import PartOfRoster
from bousai_kit.roster import read_roster
from bousai_kit.sandbox.directory_state import find_user, first_login
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.steps import apply_on
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import apply, changed, city, plan_for, run, tenant_problems, without


def test_what_is_applied_is_the_roster(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        told: list[tuple[int, int, str]] = []
        plan = await plan_for(bench, roster)
        assert plan.as_json()["create"] == 12
        result = await apply(bench, plan, tell=lambda *said: told.append(said))
        assert result.complete
        assert result.created == 12
        assert tenant_problems(bench, roster, plan=plan) == []
        assert told[-1][0] == told[-1][1] == result.done
        again = await plan_for(bench, roster)
        assert again.nothing_to_do
        assert again.as_json()["unchanged"] == 12
        assert again.left_alone == 1  # the administrator

    run(home, work)


def test_applied_twice_is_applied_once(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, city())
        first = await apply(bench, plan)
        second = await apply(bench, plan)
        assert second.complete
        assert (second.done, second.created) == (0, 0)
        assert second.skipped == first.done
        assert second.requests <= 6  # it only looked
        by_hand = await bench.client.groups.get("externalKey:bousai-all")
        await bench.client.groups.patch(by_hand["groupId"], {"groupExternalKey": None})
        assert (await plan_for(bench, city())).nothing_to_do  # known by its name, with who is in it

    run(home, work)


def test_a_shipped_city_takes_one_window_and_a_second_a_unit(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        from bousai_kit.roster import sample_roster

        roster = sample_roster(60)
        plan = await plan_for(bench, roster)
        result = await apply(bench, plan)
        least = sum(unit.action == "create" for unit in plan.units) - 1
        assert result.elapsed_s <= 1.05 * least
        assert result.throttled == 0
        assert abs(plan.eta_s - result.elapsed_s) < 0.2 * result.elapsed_s

    run(home, work)


FAULTS = {
    "500 after": [Fault("500", on="users.create", every=3, after=True)],
    "500 before": [Fault("500", on="users.create", every=3)],
    "drop": [Fault("drop", on="*.create", every=4)],
    "drop half": [Fault("drop", on="*.create", probability=0.5)],
    "503 everywhere": [Fault("503", probability=0.2), Fault("503", probability=0.1, after=True)],
    "storm": [Fault("429", from_s=0.5, until_s=40, seconds=5)],
    "token": [Fault("revoke", every=9)],
    "refuse": [Fault("refuse", every=7)],
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_leave_no_duplicate_and_no_gap(home: Path, name: str) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        plan = await plan_for(bench, roster)
        sandbox = bench.sandbox
        assert sandbox is not None
        sandbox.faults = FaultPlan([replace(fault) for fault in FAULTS[name]], seed=3)
        for _ in range(6):
            with contextlib.suppress(LineWorksError):  # what every step would meet ends the run
                if (await apply(bench, plan)).complete:
                    break
        sandbox.faults = FaultPlan()
        final = await apply(bench, plan)
        assert final.complete, final
        assert tenant_problems(bench, roster, plan=plan) == []
        assert sandbox.defects == []
        created = await bench.ledger.read(prefix="apply:", kinds=("user.created",))
        assert len({event.body["staff_number"] for event in created}) == len(created) == 12

    run(home, work)


def test_two_applies_at_once_create_nobody_twice(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city(24)
        plan = await plan_for(bench, roster)
        other = await Ledger.open(bench.settings.ledger_url, clock=bench.clock)
        try:
            given: dict[str, Any] = {"client": bench.client, "clock": bench.clock}
            given |= {"home": bench.home, "domain_id": bench.domain_id}
            results = await asyncio.gather(
                apply_plan(plan, ledger=bench.ledger, **given), apply_plan(plan, ledger=other, **given)
            )
        finally:
            await other.close()
        assert all(result.complete for result in results), results
        assert sum(result.created for result in results) == 24
        assert tenant_problems(bench, roster, plan=plan) == []
        assert bench.client.stats.throttled == 0

    run(home, work)


def test_a_stop_leaves_the_rest_for_the_next_time(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster, stop = city(), asyncio.Event()
        plan = await plan_for(bench, roster)

        def tell(done: int, total: int, text: str) -> None:
            if text.startswith("メンバー") and done > 20:
                stop.set()

        first = await apply(bench, plan, stop=stop, tell=tell)
        assert first.left > 0
        assert not first.complete
        assert first.failed == first.unknown == ()
        second = await apply(bench, plan)
        assert second.complete
        assert first.done + second.done == second.done + second.skipped
        assert tenant_problems(bench, roster, plan=plan) == []

    run(home, work)


def test_the_time_left_is_near_the_truth(home: Path) -> None:
    """Also of a second run, for which little is left of what the plan foresaw."""

    async def work(bench: Workbench) -> None:
        bench.sandbox.latency_s = 0.05  # type: ignore[union-attr]
        plan, stop = await plan_for(bench, city(24, 60)), asyncio.Event()
        told: list[tuple[float, float]] = []

        def tell(done: int, total: int, text: str) -> None:
            assert 0 <= done <= total
            left = re.search(r"残り約 (\d+) (分|秒)", text)
            if left:
                told.append((bench.clock.monotonic(), float(left[1]) * (60 if left[2] == "分" else 1)))
            if done == 40:
                stop.set()

        first = await apply(bench, plan, stop=stop, tell=tell)
        second = await apply(bench, plan, tell=tell)
        assert second.complete
        end = bench.clock.monotonic()
        assert first.elapsed_s > 20 < second.elapsed_s
        assert len(told) > 20
        assert all(0.7 <= said / (end - at) <= 1.3 for at, said in told if end - at > 10), told

    run(home, work)


def test_while_rooms_wait_for_their_turn_the_bar_says_so_and_for_how_long(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        bench.sandbox.latency_s = 0.05  # type: ignore[union-attr]
        people = tuple(replace(one, ward=f"{n // 2}区") for n, one in enumerate(city(24, 1).people))
        plan = await plan_for(bench, replace(city(24, 1), people=people), rooms="always")
        assert len(plan.rooms) == 12
        told: list[tuple[float, str]] = []
        result = await apply_on(
            bench, plan, tell=lambda done, total, text: told.append((bench.clock.monotonic(), text))
        )
        assert result.complete
        end = bench.clock.monotonic()
        waiting = [
            (at, text) for at, text in told if text.startswith("トークルーム 10/12（1 分に 10 個まで。")
        ]
        assert len(waiting) > 8  # again and again, though nothing ends meanwhile
        for at, text in waiting:
            left = re.search(r"残り約 (\d+) 秒", text)
            assert abs((float(left[1]) if left else 5.0) - (end - at)) <= 6.0, (text, end - at)
        assert told[-1][1] == "トークルーム 12/12（1 分に 10 個まで）"

    run(home, work)


def test_one_row_that_is_refused_does_not_stop_the_rest(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        bad = roster.people[3]
        plan = await plan_for(bench, changed(roster, bad.staff_number, login_id="admin@city-demo"))
        result = await apply(bench, plan)
        assert [entry["staff_number"] for entry in result.failed] == [bad.staff_number]
        assert result.failed[0]["row"] == bad.row
        assert result.created == 11
        assert result.rejects is not None
        assert os.stat(result.rejects).st_mode & 0o077 == 0
        with result.rejects.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["職員番号"] for row in rows] == [bad.staff_number]
        assert "400" in rows[0]["登録できない理由"]
        text = result.rejects.read_text("utf-8-sig").replace("admin@", "mended@")
        result.rejects.write_text(text, "utf-8-sig")
        mended = read_roster(result.rejects)  # mended and fed back
        assert mended.ok
        with pytest.raises(PartOfRoster, match="登録できない理由"):  # everybody else would be suspended
            await plan_for(bench, mended, leavers="suspend", max_leavers=100)
        alone = await plan_for(bench, mended, rooms="always")
        assert (alone.count("create"), alone.rooms, alone.suspend) == (1, (), ())
        assert not [group.remove for group in alone.groups if group.remove]
        assert any("ルームは変えません" in note for note in alone.notes)
        both = replace(roster, people=(*without(roster, bad.staff_number).people, *mended.people))
        assert (await apply(bench, await plan_for(bench, both))).complete
        assert tenant_problems(bench, both) == []

    run(home, work)


def test_people_of_a_unit_that_failed_are_listed_and_come_later(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        plan = await plan_for(bench, roster)
        assert bench.sandbox is not None
        bench.sandbox.faults = FaultPlan([Fault("500", on="orgunits.create", nth=(2, 3, 4, 5))])
        result = await apply(bench, plan)
        bench.sandbox.faults = FaultPlan()
        missing = [one for one in result.failed if one["staff_number"]]
        assert missing
        assert "所属" in missing[0]["reason"]
        assert (await apply(bench, plan)).complete
        assert tenant_problems(bench, roster, plan=plan) == []

    run(home, work)


# -- drift ----------------------------------------------------------------------------------------------


async def _rename(bench: Workbench, number: str) -> None:
    await bench.client.users.patch(f"externalKey:{number}", {"nickName": "x"})


def test_a_tenant_that_changed_in_what_matters_is_refused(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        await apply(bench, await plan_for(bench, roster))
        person = roster.people[2]
        wanted = changed(roster, person.staff_number, position="特命担当")
        plan = await plan_for(bench, wanted)
        assert plan.as_json()["update"] == 1
        await bench.client.users.patch(
            f"externalKey:{person.staff_number}",
            {"userName": {"lastName": "改姓", "firstName": person.first_name}},
        )
        before = bench.client.stats.requests
        with pytest.raises(TenantDrifted) as refused:
            await apply(bench, plan)
        assert person.staff_number in str(refused.value)
        assert "改姓" not in refused.value.sentence()
        assert refused.value.exit_code == 3
        assert bench.client.stats.requests - before <= 6  # nothing but reading
        assert bench.sandbox is not None
        found = find_user(bench.sandbox.tenant, roster.people[5].login_id)
        assert found is not None
        leaver = str(found["userId"])
        first_login(bench.sandbox, leaver)
        rest = without(roster, roster.people[5].staff_number)
        plan = await plan_for(bench, rest, leavers="suspend", max_leavers=1)
        assert [one.user_id for one in plan.suspend] == [leaver]
        group = next(one for one in plan.groups if leaver in one.remove)
        await bench.client.groups.remove_member(group.group_id, leaver)  # by hand
        with pytest.raises(TenantDrifted, match=f"グループ {group.key}"):
            await apply(bench, plan)
        plan = await plan_for(bench, rest, leavers="suspend", max_leavers=1)
        await bench.client.users.suspend(leaver)  # by hand
        with pytest.raises(TenantDrifted, match=leaver):
            await apply(bench, plan)

    run(home, work)


def test_whoever_is_to_look_after_new_groups_has_to_be_there(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, city())
        assert plan.masters
        for masters in (("gone",), ()):
            with pytest.raises(TenantDrifted, match="管理者"):
                await apply(bench, replace(plan, masters=masters))
        assert (await apply(bench, plan)).complete
        for masters in (("gone",), ()):  # the groups stand
            other = replace(await plan_for(bench, city()), masters=masters)
            assert (await apply(bench, replace(other, plan_id=f"{other.plan_id}-{len(masters)}"))).complete

    run(home, work)


def test_what_the_plan_does_not_look_at_is_no_drift(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        await apply(bench, await plan_for(bench, roster))
        wanted = changed(roster, roster.people[2].staff_number, position="特命担当")
        plan = await plan_for(bench, wanted)
        await _rename(bench, roster.people[4].staff_number)  # a property that no roster has
        await bench.client.users.create(
            {
                "domainId": bench.domain_id,
                "email": "stranger@city-demo",
                "userName": {"lastName": "部外"},
                "passwordConfig": {"passwordCreationType": "ADMIN", "password": "Kx7mTq9rbz"},
            }
        )
        await bench.clock.sleep(3 * 3600)  # first logins
        assert any(not one["isPending"] for one in bench.sandbox.tenant.table("users").values())  # type: ignore[union-attr]
        assert (await apply(bench, plan)).complete

    run(home, work)


def test_somebody_else_made_the_person_meanwhile(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = city()
        plan = await plan_for(bench, roster)
        person = roster.people[0]
        await bench.client.users.create(
            {
                "domainId": bench.domain_id,
                "email": person.login_id,
                "userName": {"lastName": "別人"},
                "passwordConfig": {"passwordCreationType": "ADMIN", "password": "Kx7mTq9rbz"},
            }
        )
        with pytest.raises(TenantDrifted):
            await apply(bench, plan)
        again = await plan_for(bench, roster)
        assert again.as_json()["conflict"] == 1
        result = await apply(bench, again)
        assert result.created == 11
        assert result.rejects is not None

    run(home, work)


# -- guards and secrets -----------------------------------------------------------------------------------


def test_another_tenant_and_another_home_are_refused(home: Path, tmp_path: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, city())
        with pytest.raises(GuardError):
            await apply(bench, replace(plan, domain_id=4711))
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        with pytest.raises(ConfigError, match="BOUSAI_HOME"):
            await apply(bench, prepare_plan(plan, elsewhere))
        assert (await apply(bench, prepare_plan(plan, bench.home))).complete

    run(home, work)


def test_no_access_ends_the_apply_at_once_and_says_so(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, city())
        assert bench.sandbox is not None
        bench.sandbox.faults = FaultPlan([Fault("revoke", on="users.create")])
        with pytest.raises(AuthRejected):
            await apply(bench, plan)
        bench.sandbox.faults = FaultPlan()
        assert (await apply(bench, plan)).complete

    run(home, work)


def test_no_password_and_no_name_where_it_does_not_belong(home: Path) -> None:
    async def work(bench: Workbench) -> tuple[list[str], list[str]]:
        roster = city()
        plan = prepare_plan(await plan_for(bench, roster), bench.home)
        result = await apply(bench, plan)
        secret = PlanSecret(bench.home, plan.plan_id).read()
        passwords = [derive_password(secret, plan.plan_id, one.staff_number) for one in roster.people]
        shown = [repr(plan), repr(plan.people[0]), repr(result), str(result.as_json()), repr(result)]
        assert not any(password in text for text in shown for password in passwords)
        names = [one.last_name + one.first_name for one in roster.people]
        names += [one.first_name for one in roster.people]
        assert not any(name in text for text in shown for name in names)
        return [*passwords, secret.hex()], names

    passwords, names = run(home, work)
    found = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    for path, content in found.items():
        inside = [word for word in passwords if word.encode() in content]
        assert not inside or path.suffix == ".secret", path
        if path.parent == home:  # the ledger
            assert not any(name.encode() in content for name in names), path
    plans = [path for path in found if path.parent.name == "plans"]
    assert {path.suffix for path in plans} == {".json", ".secret", ".id"}
    assert all(os.stat(path).st_mode & 0o077 == 0 for path in plans)


@pytest.mark.parametrize("seed", range(3))
def test_faults_while_posts_change_hands(home: Path, seed: int) -> None:
    async def work(bench: Workbench) -> None:
        roster = city(24)
        await apply(bench, await plan_for(bench, roster))
        await bench.clock.sleep(86400)
        numbers = [one.staff_number for one in roster.people]
        wanted = without(roster, numbers[0])
        for number, ward in zip(numbers[1:9], ("北区", "", "西区", "港区") * 2, strict=True):
            wanted = changed(
                wanted, number, position="特命担当", ward=ward, orgunit_code="U2", bureau="水道局"
            )
        plan = await plan_for(bench, wanted, leavers="suspend", max_leavers=3)
        assert bench.sandbox is not None
        rules = [Fault("drop", probability=0.3), Fault("500", probability=0.2, after=True)]
        bench.sandbox.faults = FaultPlan(rules, seed=seed)
        for _ in range(4):
            with contextlib.suppress(LineWorksError):
                if (await apply(bench, plan)).complete:
                    break
        bench.sandbox.faults = FaultPlan()
        assert (await apply(bench, plan)).complete
        assert (await plan_for(bench, wanted, leavers="suspend", max_leavers=3)).nothing_to_do

    run(home, work)
