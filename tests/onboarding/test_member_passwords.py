"""Invitations by mail: to whom, once, said before; and everybody else as ever."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.errors import GuardError, LineWorksError
from bousai_kit.onboarding import (
    destroy_secret,
    load_plan,
    plan_undo,
    prepare_plan,
    save_plan,
    undo_apply,
)
from bousai_kit.onboarding.items import Plan
from bousai_kit.onboarding.passwords import PlanSecret
from bousai_kit.onboarding.unfinished import find_unfinished
from bousai_kit.roster import Roster
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import (
    Killed,
    Killer,
    apply,
    bench_at,
    changed,
    city,
    new_home,
    plan_for,
    reborn,
    run,
    tenant_problems,
)


def with_mail(roster: Roster, every: int = 2) -> Roster:
    """Every second person has a private address."""
    people = tuple(
        replace(one, private_email=f"home{n}@mail.example" if n % every == 0 else "")
        for n, one in enumerate(roster.people)
    )
    return replace(roster, people=people, sha256=f"{roster.sha256}-mail{every}")


def mails(bench: Workbench) -> Counter[str]:
    assert bench.sandbox is not None
    return Counter(one["to"] for one in bench.sandbox.tenant.table("mails").values())


def faults(bench: Workbench, *rules: Fault) -> None:
    assert bench.sandbox is not None
    bench.sandbox.faults = FaultPlan(rules)


def creates_seen(bench: Workbench) -> list[str]:
    """Login ids of the requests that reached the platform, in their order."""
    seen: list[str] = []
    users: Any = bench.client.users
    whole = users.create

    async def create(body: dict[str, Any]) -> Any:
        seen.append(body["email"])
        return await whole(body)

    users.create = create
    return seen


def test_whoever_has_a_private_address_is_invited_and_the_others_get_a_slip(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = with_mail(city())
        plan = await plan_for(bench, roster, passwords="member")
        assert (len(plan.invited), len(plan.on_paper)) == (6, 6)
        said = plan.as_json()
        assert (said["passwords"], said["invitations"], said["slips"]) == ("member", 6, 6)
        assert "6 通" in plan.notes[0]
        assert "取り消せません" in plan.notes[0]
        assert "6 名には、初期パスワード" in plan.notes[1]
        assert mails(bench) == {}
        assert (await apply(bench, plan)).complete
        assert mails(bench) == {one.private_email: 1 for one in roster.people if one.private_email}
        tenant = bench.sandbox.tenant  # type: ignore[union-attr]
        users = {one["userExternalKey"]: one for one in tenant.table("users").values()}
        accounts = tenant.table("accounts")
        for item in plan.creates:
            user = users[item.person.staff_number]
            kind = accounts[user["userId"]]["kind"]
            assert kind == ("MEMBER" if item.person.private_email else "ADMIN")
            assert (user["privateEmail"] or "") == item.person.private_email
        assert tenant_problems(bench, roster, plan=replace(plan, people=plan.on_paper)) == []
        people = await bench.ledger.read(stream=f"apply:{plan.plan_id}", kinds=("apply.person",))
        assert Counter(event.body["passwords"] for event in people) == {"member": 6, "admin": 6}
        ledger = "".join(str(event.body) for event in await bench.ledger.read())
        assert "mail.example" not in ledger

    run(home, work)


def test_without_the_choice_no_mail_goes_out_and_no_address_is_sent(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, with_mail(city(), 1))
        assert plan.invited == ()
        assert plan.password_notes() == []
        assert (await apply(bench, plan)).complete
        assert mails(bench) == {}
        tenant = bench.sandbox.tenant  # type: ignore[union-attr]
        assert not any(
            one["privateEmail"] for one in tenant.table("users").values() if not one["isAdministrator"]
        )
        assert {one["kind"] for one in tenant.table("accounts").values() if "kind" in one} == {"ADMIN"}

    run(home, work)


def test_the_way_is_part_of_the_plan_and_of_its_id(home: Path, tmp_path: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = with_mail(city())
        paper = await plan_for(bench, roster)
        mail = await plan_for(bench, roster, passwords="member")
        assert paper.plan_id != mail.plan_id
        assert load_plan(save_plan(mail, tmp_path / "plan.json")) == mail
        with pytest.raises(ValueError, match="passwords"):
            await plan_for(bench, roster, passwords="sms")

    run(home, work)


def test_one_address_of_two_people_is_said(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = with_mail(city(), 1)
        people = tuple(
            replace(one, private_email="Home0@mail.example") if n == 3 else one
            for n, one in enumerate(roster.people)
        )
        plan = await plan_for(bench, replace(roster, people=people), passwords="member")
        assert any("2 名は、私用メールがほかの人と同じ" in note for note in plan.notes)

    run(home, work)


def test_all_by_mail_needs_no_secret_at_all(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = prepare_plan(await plan_for(bench, with_mail(city(), 1), passwords="member"), bench.home)
        assert (await apply(bench, plan)).complete
        assert not PlanSecret(bench.home, plan.plan_id).exists
        assert await destroy_secret(plan, ledger=bench.ledger, home=bench.home) is False

    run(home, work)


@pytest.mark.parametrize("after", [False, True])
def test_an_answer_that_never_came_is_no_reason_to_send_again(home: Path, after: bool) -> None:
    async def work(bench: Workbench) -> None:
        roster = with_mail(city(), 1)
        plan = await plan_for(bench, roster, passwords="member")
        seen = creates_seen(bench)
        faults(bench, Fault("500", on="users.create", nth=(2, 5), after=after))
        result = await apply(bench, plan)
        assert len(seen) == len(set(seen)) == 12  # nobody was asked for twice
        if after:  # they exist: found by their key
            assert result.complete
        else:
            assert len(result.unknown) == 2
            assert "二重" in result.unknown[0]["reason"]
            again = await apply(bench, plan)  # at once: still too early to be sure
            assert len(again.unknown) == 2
            assert len(seen) == 12
            await bench.clock.sleep(601.0)
            assert (await apply(bench, plan)).complete
            assert len(seen) == 14
        assert set(mails(bench).values()) == {1}
        assert tenant_problems(bench, roster) == []

    run(home, work)


@pytest.mark.parametrize("passwords", ["member", "admin"])
def test_another_plan_waits_for_what_the_first_left_open(home: Path, passwords: str) -> None:
    """Lost, killed or late: no other plan registers the person before that is certain to be over."""

    async def work(bench: Workbench) -> None:
        roster = with_mail(city(), 1)
        first = await plan_for(bench, roster, passwords=passwords)
        other = replace(first, plan_id=first.plan_id[:-8] + "0000aaaa")  # made before, carried out after
        seen = creates_seen(bench)
        faults(bench, Fault("slow", on="users.create", nth=(1,), seconds=300.0), Fault("refuse", from_s=35.0))
        with pytest.raises(LineWorksError):
            await apply(bench, first)
        faults(bench)
        lost = await plan_for(bench, roster)
        (late,) = (item for item in lost.of("conflict"))
        number, login = late.person.staff_number, late.person.login_id
        assert login == seen[0]
        assert first.plan_id in late.reason
        assert (lost.count("create"), lost.count("conflict")) == (0, 1)
        assert "10 分" in late.reason
        assert [note for note in lost.notes if "名は、" in note] == [
            "1 名は、前の登録の結果が未確定のため、この計画では登録しません（進め方は一人ずつ示します）。"
        ]
        new = changed(roster, number, staff_number="999999", login_id=login.upper())  # a typing error mended
        assert [item.person.staff_number for item in (await plan_for(bench, new)).of("conflict")] == [
            "999999"
        ]
        before = len(seen)
        result = await apply(bench, await plan_for(bench, roster, passwords=passwords))
        assert (result.complete, len(seen)) == (True, before)  # the others; the held row is in the file
        assert result.rejects is not None
        assert number in result.rejects.read_text("utf-8-sig")
        with pytest.raises(GuardError):  # the tenant has changed
            await apply(bench, other)
        await bench.clock.sleep(601.0)
        last = await plan_for(bench, roster, passwords=passwords)
        assert (last.count("create"), last.count("conflict")) == (0, 0)  # it came late
        assert (await apply(bench, last)).complete
        assert len(seen) == before
        assert set(mails(bench).values()) == ({1} if passwords == "member" else set())
        assert tenant_problems(bench, roster) == []

    run(home, work)


def test_a_create_that_takes_effect_late_mails_once(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = with_mail(city(), 1)
        plan = await plan_for(bench, roster, passwords="member")
        seen = creates_seen(bench)
        faults(bench, Fault("slow", on="users.create", nth=(1,), seconds=45.0))
        first = await apply(bench, plan)
        await bench.clock.sleep(120.0)
        result = first if first.complete else await apply(bench, plan)
        assert result.complete, result.unknown
        assert len(seen) == 12
        assert set(mails(bench).values()) == {1}
        assert tenant_problems(bench, roster) == []

    run(home, work)


def test_killed_anywhere_nobody_gets_two_mails(founded: Path, tmp_path: Path) -> None:
    roster = with_mail(city(6, 2))

    async def go_on(bench: Workbench, at: int | None) -> int:
        view: dict[str, Any] = {"domain_id": bench.domain_id, "roster_sha256": roster.sha256}
        plan = await find_unfinished(bench.ledger, bench.home, **view, passwords="member")
        plan = plan or await plan_for(bench, roster, passwords="member")
        killer = Killer(bench, at)
        with contextlib.suppress(Killed):
            await apply(bench, plan)
        return killer.points

    async def one(number: int, points: int) -> None:
        chance = random.Random(number)
        async with await bench_at(new_home(founded, tmp_path / f"home{number}")) as bench:
            for _ in range(chance.choice((1, 2, 3))):
                rules = [Fault("drop", on="users.create", probability=0.3), Fault("500", probability=0.1)]
                faults(bench, *(rules if number % 2 else ()))
                await go_on(bench, chance.randrange(points // 3, points))
                await reborn(bench)
            faults(bench)
            await bench.clock.sleep(601.0)
            await go_on(bench, None)
            await reborn(bench)
            assert tenant_problems(bench, roster) == []
            assert mails(bench) == {one.private_email: 1 for one in roster.people if one.private_email}
            assert (await bench.ledger.verify()).ok

    async def whole() -> int:
        async with await bench_at(new_home(founded, tmp_path / "whole")) as bench:
            return await go_on(bench, None)

    points = asyncio.run(whole())
    for number in range(12):
        asyncio.run(one(number, points))


def test_two_at_once_send_one_mail_each(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = with_mail(city(), 1)
        plan = await plan_for(bench, roster, passwords="member")
        faults(bench, Fault("slow", on="users.create", every=3, seconds=20.0))  # longer than 10 s
        await asyncio.gather(apply(bench, plan), apply(bench, plan))
        await bench.clock.sleep(601.0)
        assert (await apply(bench, plan)).complete
        assert set(mails(bench).values()) == {1}
        assert tenant_problems(bench, roster) == []

    run(home, work)


def test_an_unfinished_apply_of_the_other_way_is_not_gone_on_with(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = with_mail(city())
        plan = await plan_for(bench, roster, passwords="member")
        stop = asyncio.Event()
        stop.set()
        await apply(bench, plan, stop=stop)
        given: dict[str, Any] = {"domain_id": bench.domain_id, "roster_sha256": roster.sha256}
        assert await find_unfinished(bench.ledger, bench.home, **given) is None
        found = await find_unfinished(bench.ledger, bench.home, **given, passwords="member")
        assert found is not None
        assert found.plan_id == plan.plan_id

    run(home, work)


def test_undo_says_first_that_mails_stay_sent(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        plan = await plan_for(bench, with_mail(city()), passwords="member")
        assert (await apply(bench, plan)).complete
        given: dict[str, Any] = {"client": bench.client, "ledger": bench.ledger, "home": bench.home}
        undo = await plan_undo(plan.plan_id, **given, domain_id=bench.domain_id)
        assert undo.sentences()[0].startswith("取り消せないもの：招待メール 6 通")
        result = await undo_apply(plan.plan_id, **given, clock=bench.clock, domain_id=bench.domain_id)
        assert result.failed == ()
        assert sum(mails(bench).values()) == 6

    run(home, work)


def test_the_tenant_decides_only_about_new_people(home: Path) -> None:
    """Who has an account already is neither invited nor counted."""

    async def work(bench: Workbench) -> None:
        roster = with_mail(city(), 1)
        assert (await apply(bench, await plan_for(bench, roster))).complete
        plan: Plan = await plan_for(bench, roster, passwords="member")
        assert plan.nothing_to_do
        assert plan.invited == ()
        assert plan.password_notes() == []

    run(home, work)
