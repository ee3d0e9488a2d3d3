"""Drills in a sandbox that answers: the ledger's numbers against the sandbox's own truth."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.drills import approve_drill, close_drill, drill_status, list_drills
from bousai_kit.drills.broadcast import WORKERS
from bousai_kit.drills.scenario_reading import read_scenario
from bousai_kit.drills.store import DrillLock, roster_file
from bousai_kit.errors import DrillClosed, DrillError, DrillGuardError
from bousai_kit.latency import read_drill
from bousai_kit.roster import sample_roster
from bousai_kit.workbench import Workbench
from tests.drills import stage
from tests.drills.stage import SAFETY, bench_of, check_truth, conduct, conductor, found, got, plan, state_of

TEXT = "【訓練】震度6弱を想定した安否確認です。"


def trial(
    tmp_path: Path, test: Callable[[Workbench], Awaitable[None]], *, people: int = 40, seed: int = 1
) -> None:
    async def run() -> None:
        found(tmp_path / "home", people, seed=seed)
        async with bench_of(tmp_path / "home", seed=seed) as bench:
            await test(bench)

    asyncio.run(run())


def test_everybody_gets_it_once_and_the_numbers_are_the_truth(tmp_path: Path) -> None:
    async def test(bench: Workbench) -> None:
        made = await plan(bench, SAFETY + "reminders: [{after_s: 300, max: 2}]\n")
        assert (made.recipients, len(made.unreachable), made.route.name) == (39, 1, "direct")
        result = await conduct(bench, made.drill_id)
        assert (result.sent, result.unknown, result.refused) == (39, (), ())
        assert result.requests == sum(
            one["type"] != "" for one in stage.staff.truth(bench.sandbox)["messages"]
        )  # type: ignore[arg-type]
        state = await state_of(bench, made.drill_id)
        check_truth(bench, state)
        truth = stage.answered(bench, made.drill_id, "b01")
        assert set(truth) == {user for (_, user), reach in state.reaches.items() if reach.answer is not None}
        for user, first in truth.items():
            reach = state.reaches["b01", user]
            assert reach.answer is not None
            assert reach.answer.first_at == datetime.fromisoformat(first)
        in_time = [
            user
            for user, first in truth.items()
            if datetime.fromisoformat(first)
            <= (state.reaches["b01", user].sent_at or datetime.max) + timedelta(seconds=1800)
        ]
        assert result.acked == len(in_time)
        analysed = await read_drill(bench.ledger, made.drill_id, as_of=bench.clock.now())
        assert int(analysed.frame["observed"].sum()) == result.acked
        assert (await bench.ledger.verify()).ok

    trial(tmp_path, test)


def test_the_same_seed_gives_the_same_numbers(tmp_path: Path) -> None:
    results: list[dict[str, Any]] = []
    for turn in ("a", "b"):

        async def test(bench: Workbench) -> None:
            made = await plan(bench, SAFETY + "reminders: [{after_s: 120, max: 2}]\n")
            results.append((await conduct(bench, made.drill_id)).as_json())

        trial(tmp_path / turn, test, seed=7)
    assert results[0] == results[1]
    assert results[0]["acked"] > 20


def test_waves_reminders_injects_and_what_is_left_out(tmp_path: Path) -> None:
    scenario = """
title: 段階
kind: exercise
messages:
  - {id: b01, text: 【訓練】一, buttons: [了解]}
  - {id: b02, text: 【訓練】二, buttons: [了解, 不可]}
  - {id: b03, text: 【訓練】三, buttons: [了解]}
waves:
  - {who: [{hq_role: 事務局}], message: b01}
  - {who: all, after_s: 120, message: b02}
  - {who: all, after_s: 1200, message: b03, unless: {answered: 3, of: 5, message: b01}}
  - {who: [{hq_role: 本部長}], after_s: 1300, message: b03, unless: {answered: 9999}}
reminders: [{after_s: 300, max: 1}]
deadline_s: 900
injects:
  - {id: i1, at_s: 240, to: [{hq_role: 本部長}], text: 【訓練】状況}
"""

    async def test(bench: Workbench) -> None:
        began = bench.clock.now()
        made = await plan(bench, scenario)
        staff = {one.user_id for one in made.people if one.person.hq_role == "事務局"}
        mayor = {one.user_id for one in made.people if one.person.hq_role == "本部長"}
        result = await conduct(bench, made.drill_id)
        state = await state_of(bench, made.drill_id)
        check_truth(bench, state)
        assert set(got(bench, "【訓練】一")) == staff
        assert set(got(bench, "【訓練】二")) == {one.user_id for one in made.people}
        assert set(got(bench, "【訓練】三")) == mayor, "left out for all, sent where too few had answered"
        assert set(got(bench, "【訓練】状況")) == mayor
        assert [state.waves[index]["skipped"] for index in range(5)] == [False, False, False, True, False]
        for attempt in state.attempts.values():
            offset = (attempt.intended_at - began).total_seconds()
            if attempt.reminds:
                reach = state.reaches[attempt.message_id, attempt.subject]
                assert reach.sent_at is not None
                assert (attempt.intended_at - reach.sent_at).total_seconds() >= 300
                assert reach.answer is None or reach.answer.first_at >= attempt.intended_at
            elif attempt.message_id != "b03":
                assert offset == pytest.approx({"b01": 0, "b02": 120, "i1": 240}[attempt.message_id], abs=2)
        assert result.messages[0]["answers"] == {
            "了解": result.messages[0]["acked"] + result.messages[0]["late"]
        }

    trial(tmp_path, test)


def test_no_wait_returns_and_resume_goes_on_and_late_answers_count(tmp_path: Path) -> None:
    async def test(bench: Workbench) -> None:
        scenario = SAFETY + "reminders: [{after_s: 60, max: 1}]\ndeadline_s: 90\n"
        made = await plan(bench, scenario)
        first = await conduct(bench, made.drill_id, wait=False)
        assert (first.sent, first.acked, first.state) == (39, 0, "open")
        assert bench.clock.now() < stage.BEGINNING + timedelta(seconds=5)
        async with bench.receiving():
            await bench.clock.sleep(70)
            second = await conductor(bench, made.drill_id).run()
            assert second.acked > 0
            assert second.requests > 0, "overdue reminders"
            await bench.clock.sleep(3600)
        status = await drill_status(bench.ledger, made.drill_id)
        assert status.late > 0
        assert status.acked == second.acked
        await close_drill(bench.ledger, made.drill_id, clock=bench.clock)
        with pytest.raises(DrillClosed):
            await conduct(bench, made.drill_id)
        assert (await drill_status(bench.ledger, made.drill_id)).state == "closed"
        check_truth(bench, await state_of(bench, made.drill_id))

    trial(tmp_path, test)


def test_two_overdue_reminders_are_one(tmp_path: Path) -> None:
    async def test(bench: Workbench) -> None:
        made = await plan(bench, SAFETY + "reminders: [{after_s: 60, max: 3}]\n")
        await conduct(bench, made.drill_id, wait=False)
        bench.clock.advance(200)  # type: ignore[attr-defined]  # nobody was there
        await conduct(bench, made.drill_id, wait=False)
        state = await state_of(bench, made.drill_id)
        assert {one.attempt for one in state.attempts.values()} <= {"first", "r3"}
        assert any(one.reminds for one in state.attempts.values())

    trial(tmp_path, test)


def test_run_again_continues_and_new_begins_another(tmp_path: Path) -> None:
    async def test(bench: Workbench) -> None:
        first = await plan(bench)
        again = await plan(bench, "# 並びだけ違う\n" + SAFETY)
        assert (again.drill_id, again.continued) == (first.drill_id, True)
        other_roster = await plan(bench, roster=sample_roster(39))
        assert other_roster.drill_id != first.drill_id
        fresh = await plan(bench, new=True)
        assert fresh.drill_id not in (first.drill_id, other_roster.drill_id)
        assert (await plan(bench)).drill_id == fresh.drill_id
        await close_drill(bench.ledger, fresh.drill_id, clock=bench.clock)
        assert (await plan(bench)).drill_id == first.drill_id
        listed = await list_drills(bench.ledger)
        assert [one.drill_id for one in listed] == [fresh.drill_id, other_roster.drill_id, first.drill_id]
        assert len({(await state_of(bench, one.drill_id)).plan["short_code"] for one in listed}) == 3

    trial(tmp_path, test)


def test_two_plans_at_once_are_one_drill(tmp_path: Path) -> None:
    async def test(bench: Workbench) -> None:
        made = await asyncio.gather(*(plan(bench) for _ in range(4)))
        assert len({one.drill_id for one in made}) == 1
        assert len(await list_drills(bench.ledger)) == 1
        state = await state_of(bench, made[0].drill_id)
        assert len(state.people) == 39

    trial(tmp_path, test)


@pytest.mark.parametrize("locked", [True, False])
def test_two_conductors_at_once_send_once(tmp_path: Path, locked: bool) -> None:
    async def test(bench: Workbench) -> None:
        made = await plan(bench)
        pair = [conductor(bench, made.drill_id), conductor(bench, made.drill_id)]
        if not locked:  # two machines on one ledger: only its keys are there
            for one in pair:
                one.home = None
        async with bench.receiving():
            results = await asyncio.gather(*(one.run() for one in pair))
        assert {(one.sent, one.acked, one.silent, len(one.unknown)) for one in results} == {
            (39, results[0].acked, results[0].silent, 0)
        }
        check_truth(bench, await state_of(bench, made.drill_id))
        assert sum(got(bench, TEXT).values()) == 39

    trial(tmp_path, test)


def test_stop_finishes_what_is_under_way_and_resume_sends_the_rest(tmp_path: Path) -> None:
    async def test(bench: Workbench) -> None:
        sandbox: Any = bench.sandbox
        sandbox.latency_s = 0.5
        made = await plan(bench)
        stop = asyncio.Event()

        async def press() -> None:
            await bench.clock.sleep(0.7)
            stop.set()

        press_soon = asyncio.create_task(press())
        stopped = await conduct(bench, made.drill_id, stop=stop)
        await press_soon
        assert 0 < stopped.sent < 39
        assert stopped.unknown == ()
        assert stopped.sent <= 2 * WORKERS
        assert "resume" in stopped.notes[0]
        result = await conduct(bench, made.drill_id)
        assert (result.sent, result.unknown) == (39, ())
        check_truth(bench, await state_of(bench, made.drill_id))

    trial(tmp_path, test)


def test_who_cannot_be_reached_and_why_and_who_can_later(tmp_path: Path) -> None:
    async def test(bench: Workbench) -> None:
        sandbox: Any = bench.sandbox
        users = list(sandbox.tenant.table("users").values())
        active = [user for user in users if user.get("employeeNumber") and not user["isPending"]]
        pending = next(user for user in users if user.get("isPending"))
        await bench.client.users.suspend(active[0]["userId"])
        await bench.client.users.delete(active[1]["userId"])
        roster = sample_roster(42)  # two more than the tenant has
        made = await plan(bench, roster=roster)
        why = {one.staff_number: one.code for one in made.unreachable}
        assert why[active[0]["employeeNumber"]] == "suspended"
        assert why[active[1]["employeeNumber"]] == "deleted"
        assert why[pending["employeeNumber"]] in ("pending", "no_device")
        assert [why[one.staff_number] for one in roster.people[40:]] == ["absent", "absent"]
        assert len(why) + made.recipients == 42
        assert all(one.reason for one in made.unreachable)
        from bousai_kit.sandbox.directory_state import first_login

        first_login(sandbox, pending["userId"])
        again = await plan(bench, roster=roster)
        assert again.drill_id == made.drill_id
        assert again.recipients == made.recipients + 1
        result = await conduct(bench, made.drill_id, wait=False)
        assert (result.sent, result.unreachable) == (again.recipients, 4)

    trial(tmp_path, test)


def test_nobody_meant_or_nobody_there_is_a_sentence(tmp_path: Path) -> None:
    async def test(bench: Workbench) -> None:
        with pytest.raises(DrillError, match="名簿にいません"):
            await plan(bench, SAFETY + "targets: [{ward: 存在しない区}]\n")
        strangers = sample_roster(300)
        absent = type(strangers)(strangers.people[250:260], sha256="0" * 64)
        made = await plan(bench, roster=absent)
        assert "送信できる人が 1 人もいません。" in made.notes
        with pytest.raises(DrillError, match="1 人もいません"):
            await conduct(bench, made.drill_id)
        with pytest.raises(DrillError, match="台帳にありません"):
            await conduct(bench, "no-such-drill")
        assert got(bench, TEXT) == {}

    trial(tmp_path, test)


def test_a_real_one_needs_a_second_person_or_a_reason(tmp_path: Path) -> None:
    async def test(bench: Workbench) -> None:
        scenario = SAFETY.replace("exercise", "actual").replace("【訓練】", "")
        made = await plan(bench, scenario)
        with pytest.raises(DrillGuardError) as caught:
            await conduct(bench, made.drill_id)
        assert caught.value.exit_code == 3
        assert made.drill_id in caught.value.hint
        approved = await approve_drill(bench.ledger, made.drill_id, clock=bench.clock, approved_by="900002")
        assert approved.as_json()["approved_by"] == "900002"
        again = await approve_drill(bench.ledger, made.drill_id, clock=bench.clock, approved_by="900003")
        assert again.approved_by == "900002", "the first approval stands"
        assert (await conduct(bench, made.drill_id, wait=False)).sent == 39
        exercise = await plan(bench)
        with pytest.raises(DrillGuardError, match="実災害"):
            await approve_drill(bench.ledger, exercise.drill_id, clock=bench.clock, approved_by="900002")

    trial(tmp_path, test)


def test_the_folder_keeps_the_inputs_for_the_owner_and_the_ledger_holds_no_names(tmp_path: Path) -> None:
    async def test(bench: Workbench) -> None:
        made = await plan(bench)
        await conduct(bench, made.drill_id)
        folder = bench.home / "drills" / made.drill_id
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        names = sorted(path.name for path in folder.iterdir())
        assert names == ["lock", "people.json", "roster.csv", "scenario.yaml"]
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
        assert roster_file(bench.home, made.drill_id) == folder / "roster.csv"
        assert (folder / "scenario.yaml").read_bytes() == read_scenario(SAFETY).raw
        written = json.dumps([event.body for event in await bench.ledger.read()], ensure_ascii=False)
        for person in sample_roster(40).people:
            assert person.name not in written
            assert person.last_name + person.first_name not in written
            assert person.login_id not in written

    trial(tmp_path, test)


def test_whoever_stands_by_goes_on_when_the_first_one_is_gone(tmp_path: Path) -> None:
    async def test(bench: Workbench) -> None:
        made = await plan(bench)
        lock = DrillLock(bench.home, made.drill_id)
        assert lock.take()
        waiting = asyncio.create_task(conduct(bench, made.drill_id, wait=False))
        await bench.clock.sleep(30)
        assert got(bench, TEXT) == {}
        lock.release()
        assert (await waiting).sent == 39

    trial(tmp_path, test)


def test_without_a_receiver_the_logs_bring_the_answers_and_it_says_so(tmp_path: Path) -> None:
    async def test(bench: Workbench) -> None:
        made = await plan(bench, SAFETY + "deadline_s: 600\n")
        deaf = await conductor(bench, made.drill_id).run()
        assert (deaf.sent, deaf.acked) == (39, 0)
        assert "settle" in deaf.notes[0]
        heard = await stage.settle(bench, made.drill_id)
        truth = stage.answered(bench, made.drill_id, "b01")
        assert heard.acked + heard.late >= 0.9 * len(truth) > 0
        status = await drill_status(bench.ledger, made.drill_id)
        for user, first in truth.items():
            answer = status.reaches["b01", user].answer
            if answer is not None:
                assert abs((answer.first_at - datetime.fromisoformat(first)).total_seconds()) <= 1

    trial(tmp_path, test)
