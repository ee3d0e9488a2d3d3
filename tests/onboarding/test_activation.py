"""The funnel: planned, created, invited, pending, active, reachable; who is stuck, why, and what to do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.onboarding import facts as facts_module
from bousai_kit.onboarding import handouts_for_plan, onboarding_status, undo_apply
from bousai_kit.onboarding.activation import Expected, Status, count_status
from bousai_kit.onboarding.auth_log import AuthLog, Login
from bousai_kit.onboarding.curve import Curve, build_curve, draw_curve
from bousai_kit.onboarding.facts import Facts, read_facts, write_facts
from bousai_kit.onboarding.items import Plan
from bousai_kit.onboarding.plan_file import prepare_plan
from bousai_kit.onboarding.stuck import REASONS
from bousai_kit.onboarding.tenant_view import Member
from bousai_kit.sandbox.directory_state import find_user
from bousai_kit.sandbox.logins import attempt_login
from bousai_kit.steps import status_on
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import Killed, Killer, apply, bench_at, changed, city, plan_for, reborn, without
from tests.yardstick import in_stints

NOW = datetime(2027, 3, 1, tzinfo=UTC)
COUNTED = ("planned", "created", "invited", "pending", "active", "reachable")


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def one_case(member: Member | None, facts: Facts, *rows: Login) -> dict[str, Any] | None:
    """The case of S1, who logs in as ``a@x``."""
    found = count_status(
        [Expected("S1", "iOS")],
        [] if member is None else [member],
        facts=facts,
        auth=AuthLog({"a@x": rows}),
        now=NOW,
    )
    return dict(found.stuck[0]) if found.stuck else None


@pytest.mark.parametrize(
    ("member", "age", "code", "words"),
    [
        (None, 0, "no_account", "アカウントがまだありません"),
        (Member("u", key="S1"), 40, "", ""),
        (Member("u", key="S1", pending=True), 1, "", ""),
        (Member("u", key="S1", pending=True), 4, "pending", "登録から 4 日"),
        (Member("u", key="S1", pending=True), 30, "expired", "期限切れ"),
        (Member("u", key="S1", pending=True), -400, "", ""),  # the clock was wrong
        (Member("u", key="S1", suspended=True, suspended_reason="LOGIN_FAIL"), 1, "locked", "失敗"),
        (Member("u", key="S1", suspended=True, suspended_reason="MASTER"), 1, "suspended", "一時停止中"),
    ],
)
def test_who_is_stuck_and_why(member: Member | None, age: int, code: str, words: str) -> None:
    found = one_case(member, Facts(created_at={"u": ago(age)}))
    assert (found or {}).get("code", "") == code
    assert words in (found or {}).get("reason", "")
    assert code in ("", *REASONS)
    if found is not None:
        assert found["todo"]
        assert found["ask"]
        assert "onboard" not in found["ask"]  # a liaison types no commands
        assert found["days"] >= 0


def test_failures_and_half_a_first_login() -> None:
    member = Member("u", key="S1", login_id="A@x", pending=True)
    facts = Facts(created_at={"u": ago(1)})
    bad = Login(ago(0.5), False, "password")
    found = one_case(member, facts, bad, Login(ago(0.4), False, "second_factor"), bad)
    assert found is not None
    assert found["code"] == "login_failed"
    assert "3 回" in found["reason"]
    assert "パスワードの誤り 2 回" in found["reason"]
    assert "2 段階認証の失敗 1 回" in found["reason"]
    half = one_case(member, facts, bad, Login(ago(0.3), True))
    assert half is not None
    assert half["code"] == "password"
    assert one_case(member, facts, Login(ago(9), False, "password")) is None  # an earlier account's


def test_somebody_in_use_may_mistype_twice() -> None:
    member = Member("u", key="S1", login_id="a@x")
    facts = Facts(created_at={"u": ago(40)})
    bad = Login(ago(1), False, "password")
    assert one_case(member, facts, bad, bad) is None
    found = one_case(member, facts, bad, bad, bad)
    assert found is not None
    assert found["code"] == "login_failed"
    assert one_case(member, facts, bad, bad, bad, Login(ago(0.5), True)) is None


def test_never_opened_is_said_only_where_callbacks_come() -> None:
    member = Member("u", key="S1", login_id="a@x")
    facts = Facts(created_at={"u": ago(9)}, logins={"u": ago(8)})
    silent = count_status([Expected("S1")], [member], facts=facts, now=NOW)
    assert silent.stuck == ()
    assert any("受信がまだ" in note for note in silent.notes)
    facts.reached["somebody else"] = ago(1)
    found = one_case(member, facts)
    assert found is not None
    assert (found["code"], found["days"]) == ("never_opened", 8)
    facts.logins["u"] = ago(2)
    assert one_case(member, facts) is None


def test_who_is_asked_to_pass_it_on() -> None:
    people = [
        Expected("1", ward="北区", hq_role="区本部長"),
        Expected("2", ward="北区", hq_role="連絡員"),
        Expected("3", ward="北区"),
        Expected("4", bureau="消防局", hq_role="本部員"),
        Expected("5", bureau="消防局"),
        Expected("6"),
    ]
    found = count_status(people, [], facts=Facts(), now=NOW)
    assert {one["staff_number"]: one["give_to"] for one in found.stuck} == {
        "1": "2", "2": "1", "3": "2", "4": "", "5": "4", "6": "",
    }  # fmt: skip
    members = [Member("u1", key="1"), Member("u2", key="2", suspended=True)]
    found = count_status(people[:3], members, facts=Facts(), now=NOW)
    assert [one["give_to"] for one in found.stuck] == ["1", "1"], "the liaison is out; the head is in"
    assert (found.active, found.uninvited) == (1, 1), "of those in use, not of the suspended"


def test_the_funnel_from_the_ledger_and_from_a_roster(home: Path) -> None:
    async def main() -> None:
        roster = city(24)
        async with await bench_at(home) as bench:
            empty = await status_on(bench)
            assert (empty.planned, empty.as_json()["curve"]) == (0, [])
            before = await status_on(bench, roster)
            assert (before.planned, before.created, len(before.stuck)) == (24, 0, 24)
            plan = prepare_plan(await plan_for(bench, roster), bench.home)
            await apply(bench, plan)
            new = await status_on(bench)
            assert (new.planned, new.created, new.invited, new.pending, new.active) == (24, 24, 0, 24, 0)
            await print_slips(bench, plan)
            assert (await status_on(bench)).invited == 24
            await bench.clock.sleep(24 * 3600)
            later = await status_on(bench)
            assert later.active + later.pending == 24
            assert later.active > 20
            someone = next(iter(await bench.ledger.read(prefix="apply:", kinds=("user.created",)))).subject
            await bench.ledger.append("callbacks", "callback.join", "somebody's room")
            await bench.ledger.append("callbacks", "callback.begin", someone)
            seen = await status_on(bench, roster)
            assert seen.reachable == 1
            for table in (seen.by_device_os, seen.by_ward, seen.by_bureau):
                for name in COUNTED:
                    assert sum(group[name] for group in table.values()) == getattr(seen, name)
            last = seen.curve.as_json()[-1]
            assert (last["created"], last["logged_in"], last["reachable"]) == (24, seen.active, 1)
            said = str(seen.as_json())
            assert not any(one.first_name in said or one.login_id in said for one in roster.people)

    asyncio.run(main())


async def print_slips(bench: Workbench, plan: Plan) -> None:
    given: Any = {"ledger": bench.ledger, "clock": bench.clock, "home": bench.home}
    await handouts_for_plan(plan, **given, out=bench.home / "slips")


def test_first_logins_are_told_by_the_log_and_written_once(home: Path) -> None:
    """The log says when; without it the first look does, and what was written stays."""

    async def main() -> None:
        async with await bench_at(home) as bench:
            await apply(bench, await plan_for(bench, city(12)))
            await bench.clock.sleep(26 * 3600)
            args: dict[str, Any] = {"domain_id": bench.domain_id}
            blind = await onboarding_status(bench.client, bench.ledger, **args)
            facts = await read_facts(bench.ledger)
            assert len(facts.seen) == blind.active > 8
            assert facts.logins == {}
            assert set(facts.seen.values()) == {max(facts.seen.values())}
            await bench.clock.sleep(3600)
            await status_on(bench)
            facts = await read_facts(bench.ledger)
            assert len(facts.logins) == blind.active
            assert all(facts.logins[who] < facts.seen[who] for who in facts.logins)
            assert list((bench.home / "archive" / "auth").glob("*.csv"))
            count = len(await bench.ledger.read(stream="activation"))
            await status_on(bench)
            await onboarding_status(bench.client, bench.ledger, **args)
            assert len(await bench.ledger.read(stream="activation")) == count

    asyncio.run(main())


def test_failures_in_the_sandbox_s_log(home: Path) -> None:
    async def main() -> None:
        async with await bench_at(home) as bench:
            roster = city(4)
            await apply(bench, await plan_for(bench, roster))
            person = roster.people[0]
            user = find_user(bench.sandbox.tenant, person.login_id)  # type: ignore[union-attr]
            assert user is not None
            for _ in range(4):
                assert attempt_login(bench.sandbox, user, "Wrong-1") == "wrong"  # type: ignore[arg-type]
            await bench.clock.sleep(120)
            found = await status_on(bench)
            assert [(one["staff_number"], one["code"]) for one in found.stuck] == [
                (person.staff_number, "login_failed")
            ]
            assert "パスワードの誤り 4 回" in found.stuck[0]["reason"]
            assert found.notes == ()

    asyncio.run(main())


def test_renamed_and_made_again(home: Path) -> None:
    """A new name changes nothing; a new account begins anew, whatever the old one of this number did."""

    async def main() -> None:
        async with await bench_at(home) as bench:
            roster = city(4)
            plan = prepare_plan(await plan_for(bench, roster), bench.home)
            await apply(bench, plan)
            await print_slips(bench, plan)
            await bench.clock.sleep(26 * 3600)
            number = roster.people[0].staff_number
            member = await bench.client.users.get(f"externalKey:{number}")
            await bench.ledger.append("callbacks", "callback.message", member["userId"])
            first = await status_on(bench, roster)
            assert (first.reachable, first.invited) == (1, 4)
            renamed = changed(roster, number, last_name="改姓", login_id="kaisei0001@city-demo")
            await apply(bench, await plan_for(bench, renamed))
            same = await status_on(bench, renamed)
            assert (same.reachable, same.invited, same.active) == (1, 4, first.active)
            await bench.client.users.forcedelete(member["userId"])
            gone = await status_on(bench, renamed)
            assert [one["code"] for one in gone.stuck if one["staff_number"] == number] == ["no_account"]
            await bench.clock.sleep(3600)
            await apply(bench, await plan_for(bench, renamed))
            again = await status_on(bench, renamed)
            assert (again.created, again.reachable, again.invited) == (4, 0, 3)
            assert again.pending >= 1
            assert not [one for one in again.stuck if one["staff_number"] == number]

    asyncio.run(main())


def test_signs_of_life_are_looked_for_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks and what a log showed later; written down, and not read again, whoever was killed between."""
    monkeypatch.setattr(facts_module, "_WORTH", 1)

    async def main() -> None:
        async with await bench_at(home) as bench:
            await apply(bench, await plan_for(bench, city(6)))
            made = await bench.ledger.read(prefix="apply:", kinds=("user.created",))
            one, two, three, four = (event.subject for event in made[:4])
            ledger = bench.ledger
            await ledger.append("callbacks", "callback.begin", one)
            await ledger.append("callbacks", "callback.joined", four)  # says nothing about the bot's talk
            early = (bench.clock.now() + timedelta(seconds=5)).isoformat()
            await bench.clock.sleep(100)
            await ledger.append("drill:x", "ack.found", two, {"answered_at": early})
            before = await read_facts(ledger)
            assert set(before.reached) == before.new_reached == {one, two}
            assert before.reached[two].isoformat() == early
            killer = Killer(bench, 2)  # the people are written, the mark is not
            with pytest.raises(Killed):
                await write_facts(ledger, before, [])
            assert killer.dead
            await reborn(bench)
            ledger = bench.ledger
            again = await read_facts(ledger)
            assert (again.scanned, again.new_reached, again.reached) == (2, set(), before.reached)
            await asyncio.gather(write_facts(ledger, again, []), write_facts(ledger, before, []))
            await ledger.append("callbacks", "callback.postback", three)
            last = await read_facts(ledger)
            assert (last.scanned, last.new_reached, set(last.reached)) == (1, {three}, {one, two, three})
            rows = await ledger.read(stream="activation", kinds=("activation.reached",))
            assert sorted(event.subject for event in rows) == sorted([one, two])
            assert (await read_facts(ledger, alive=False)).scanned == 0

    asyncio.run(main())


def test_the_curve_counts_by_japan_s_days() -> None:
    late = datetime(2027, 2, 27, 15, 30, tzinfo=UTC)  # half past midnight in Japan, the 28th
    curve = build_curve(
        [late - timedelta(hours=1), late, None, NOW + timedelta(days=900)],
        [late, NOW],
        [],
        now=NOW,
        planned=5,
    )
    assert [day.isoformat() for day in curve.days] == ["2027-02-27", "2027-02-28", "2027-03-01"]
    assert (curve.created, curve.logged_in, curve.reachable) == ((2, 3, 4), (0, 1, 2), (0, 0, 0))
    assert "登録済みは 2 名から 4 名" in curve.alt()
    old = build_curve([datetime(1990, 1, 1, tzinfo=UTC)], [], [], now=NOW)  # a clock that stood in 1990
    assert len(old.days) == 400
    assert set(old.created) == {1}
    for one in (Curve(), curve, old):
        assert draw_curve(one).startswith(b"\x89PNG")
    assert Curve().as_json() == []


def test_thirty_thousand_people_are_counted_in_no_time() -> None:
    count = 30_000
    people = [Expected(str(number), "iOS", f"{number % 24}区", hq_role="連絡員") for number in range(count)]
    members = [Member(f"u{number}", key=str(number), login_id=f"l{number}@x") for number in range(count)]
    rows = {f"l{number}@x": (Login(ago(3), False, "password"),) * 3 for number in range(0, count, 3)}
    facts = Facts(created_at={one.user_id: ago(5) for one in members})

    def work() -> Status:
        return count_status(people, members, facts=facts, auth=AuthLog(rows), now=NOW)

    found, stints = in_stints(work)
    assert found.stuck_by == {"login_failed": count // 3}
    assert stints < 20  # about 6 are seen


def test_who_has_left_is_no_longer_waited_for(home: Path) -> None:
    async def main() -> None:
        async with await bench_at(home) as bench:
            roster = city()
            assert (await apply(bench, await plan_for(bench, roster))).complete
            await bench.clock.sleep(24 * 3600)
            users = bench.sandbox.tenant.table("users").values()  # type: ignore[union-attr]
            gone = next(
                one["userExternalKey"] for one in users if one["userExternalKey"] and not one["isPending"]
            )
            plan = await plan_for(bench, without(roster, gone), leavers="suspend", max_leavers=1)
            assert len(plan.suspend) == 1
            assert (await apply(bench, plan)).complete
            assert set((await read_facts(bench.ledger)).people) == {
                one.staff_number for one in roster.people if one.staff_number != gone
            }
            given = {"client": bench.client, "ledger": bench.ledger, "clock": bench.clock}
            await undo_apply(plan.plan_id, home=bench.home, domain_id=bench.domain_id, **given)
            assert gone in (await read_facts(bench.ledger)).people

    asyncio.run(main())
