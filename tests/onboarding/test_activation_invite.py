"""Invitations by mail: at most one a person and day, whatever breaks, whoever else tries."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from bousai_kit.errors import InputError, LineWorksError
from bousai_kit.ledger import Ledger
from bousai_kit.onboarding.facts import day_text, read_facts
from bousai_kit.onboarding.invitations import (
    Invitations,
    InviteResult,
    plan_invitations,
    send_invitations,
)
from bousai_kit.onboarding.plan_file import prepare_plan
from bousai_kit.roster import Roster
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.steps import invite_on, status_on
from bousai_kit.workbench import Workbench
from tests.onboarding.onlab import Killed, Killer, apply, city, plan_for, reborn, run

JST = timezone(timedelta(hours=9))
DAY_S = 24 * 3600.0
INVITE = "users.invite"


def by_mail(people: int = 6) -> Roster:
    """All but the last have a private address."""
    roster = city(people, 2)
    with_mail = [replace(one, private_email=f"p{one.staff_number}@example.jp") for one in roster.people[:-1]]
    return replace(roster, people=(*with_mail, roster.people[-1]))


async def mailed(bench: Workbench, roster: Roster, *, after_s: float = DAY_S) -> Roster:
    """Accounts whose owners were mailed, and have not come; some time later."""
    sandbox: Any = bench.sandbox
    sandbox.choices = replace(sandbox.choices, people_log_in=False)
    await apply(bench, prepare_plan(await plan_for(bench, roster, passwords="member"), bench.home))
    await bench.clock.sleep(after_s)
    return roster


async def invited(bench: Workbench, roster: Roster | None = None, only: Any = ()) -> Invitations:
    return await plan_invitations(
        bench.client, bench.ledger, domain_id=bench.domain_id, roster=roster, only=only
    )


def mails_a_day(bench: Workbench) -> Counter[tuple[str, str]]:
    """What really went out, by person and day: the sandbox's own truth."""
    rows: Any = bench.sandbox.tenant.table("mails").values()  # type: ignore[union-attr]
    return Counter(
        (row["user"], datetime.fromisoformat(row["at"]).astimezone(JST).date().isoformat()) for row in rows
    )


def test_once_a_day_and_the_others_with_what_to_do(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = by_mail()
        await mailed(bench, roster, after_s=60)
        today = await invited(bench)
        assert today.invitees == ()  # the mail of the creation was today's
        assert Counter(one["code"] for one in today.others) == {"today": 5, "by_slip": 1}
        slip = next(one for one in today.others if one["code"] == "by_slip")
        assert f"--only {roster.people[-1].staff_number}" in slip["todo"]
        await bench.clock.sleep(DAY_S)
        planned = await invited(bench)
        assert len(planned.invitees) == 5
        result = await invite_on(bench, planned)
        assert (len(result.sent), result.failed, result.unknown, result.left) == (5, [], [], 0)
        again = await invited(bench)
        assert Counter(one["code"] for one in again.others) == {"today": 5, "by_slip": 1}
        twice = await invite_on(bench, planned)  # an old plan of the same day
        assert (twice.sent, len(twice.elsewhere)) == ([], 5)
        assert max(mails_a_day(bench).values()) == 1
        said = json.dumps([result.as_json(), today.others, again.others], ensure_ascii=False)
        assert "example.jp" not in said + repr(planned)
        text = str([event.body for event in await bench.ledger.read(stream="activation")])
        assert "example.jp" not in text
        assert (await status_on(bench)).invited == 5
        await bench.clock.sleep(30 * DAY_S)
        (slip,) = [one for one in (await invited(bench)).others if one["code"] == "by_slip"]
        assert "再発行" in slip["todo"]  # the password on the slip is refused by now

    run(home, work)


def test_only_some_and_an_address_that_only_the_roster_has(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = await mailed(bench, by_mail())
        number = roster.people[0].staff_number
        with pytest.raises(InputError, match="0000"):
            await invited(bench, roster, ["0000"])
        one = await bench.client.users.get(f"externalKey:{number}")
        await bench.client.users.patch(one["userId"], {"privateEmail": None})
        assert [other["code"] for other in (await invited(bench, None, [number])).others] == ["no_address"]
        planned = await invited(bench, roster, [number])
        assert [invitee.email for invitee in planned.invitees] == [roster.people[0].private_email]
        assert (await invite_on(bench, planned)).sent == [number]

    run(home, work)


def test_whoever_logged_in_or_is_unknown_gets_none(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        roster = by_mail()
        await apply(bench, prepare_plan(await plan_for(bench, roster, passwords="member"), bench.home))
        await bench.clock.sleep(3 * DAY_S)
        found = await invited(bench)
        codes = Counter(one["code"] for one in found.others)
        assert codes["logged_in"] >= 4
        assert len(found.invitees) + sum(codes.values()) == 6
        strangers = await invited(
            bench, replace(roster, people=(replace(roster.people[0], staff_number="X"),))
        )
        assert [one["code"] for one in strangers.others] == ["no_account"]

    run(home, work)


FAULTS = {
    "500 after": [Fault("500", on=INVITE, every=2, after=True)],
    "500 before": [Fault("500", on=INVITE, every=2)],
    "drop": [Fault("drop", on=INVITE, every=2)],
    "storm": [Fault("429", on=INVITE, from_s=0, until_s=40, seconds=5)],
    "token": [Fault("revoke", every=3)],
    "refuse": [Fault("refuse", on=INVITE, every=2)],
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_send_nothing_twice(home: Path, name: str) -> None:
    async def work(bench: Workbench) -> None:
        await mailed(bench, by_mail())
        sandbox: Any = bench.sandbox
        sandbox.faults = FaultPlan([replace(fault) for fault in FAULTS[name]], seed=3)
        before = sum(mails_a_day(bench).values())
        for _ in range(4):
            try:
                await invite_on(bench, await invited(bench))
            except LineWorksError:
                continue
        sandbox.faults = FaultPlan()
        await invite_on(bench, await invited(bench))
        counts = mails_a_day(bench)
        assert max(counts.values()) == 1
        left = await invited(bench)
        assert left.invitees == ()
        codes = Counter(one["code"] for one in left.others)
        assert codes["today"] + codes["unsure"] == 5
        if name in ("storm", "token", "refuse"):  # certainly not sent is sent later the same day
            assert (codes["unsure"], sum(counts.values()) - before) == (0, 5)
        else:
            assert codes["unsure"] > 0
        await bench.clock.sleep(DAY_S)
        assert len((await invited(bench)).invitees) == 5

    run(home, work)


def test_two_consoles_at_once(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        await mailed(bench, by_mail(10))
        first, second = await asyncio.gather(invited(bench), invited(bench))
        one, two = await asyncio.gather(invite_on(bench, first), invite_on(bench, second))
        assert len(one.sent) + len(two.sent) == 9
        assert sorted([*one.sent, *one.elsewhere]) == sorted([*two.sent, *two.elsewhere])
        assert max(mails_a_day(bench).values()) == 1

        await bench.clock.sleep(DAY_S)
        url, more = bench.settings.ledger_url, {"clock": bench.clock, "domain_id": bench.domain_id}
        async with await Ledger.open(url, **more) as other:  # a console of its own on the same file
            planned = await invited(bench)
            one, two = await asyncio.gather(
                invite_on(bench, planned),
                send_invitations(planned, client=bench.client, ledger=other, clock=bench.clock),
            )
        assert len(one.sent) + len(two.sent) == len(planned.invitees) == 9
        assert max(mails_a_day(bench).values()) == 1

    run(home, work)


def test_killed_anywhere_nothing_goes_out_twice(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        await mailed(bench, by_mail(5))
        killed = 0
        for seed in range(24):
            await bench.clock.sleep(DAY_S)
            while True:
                killer = Killer(bench, random.Random(seed).randrange(2, 16) if killed == seed else None)
                try:
                    await invite_on(bench, await invited(bench))
                except Killed:
                    killed += 1
                await reborn(bench)
                if not killer.dead:
                    break
            mails = (await read_facts(bench.ledger)).mails.values()  # nobody is lost in silence
            assert len(mails) == 4
            today = day_text(bench.clock.now())
            counts = mails_a_day(bench)
            for mail in mails:
                assert (mail.day, mail.status in ("sent", "open")) == (today, True)
                assert counts[mail.user_id, today] == 1 or mail.status == "open"
        assert killed == 24
        assert max(counts.values()) == 1

    run(home, work)


def test_a_clock_that_went_back_and_midnight(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        await mailed(bench, by_mail(4))
        today = await invited(bench)
        ahead = replace(today, day=day_text(bench.clock.now() + timedelta(days=2)))
        late = await invite_on(bench, ahead)  # planned on another day than today: not sent
        assert (late.sent, late.left) == ([], 3)
        first = today.invitees[0]
        await bench.ledger.append(
            "activation",
            "invite.intended",
            first.staff_number,
            {"user_id": first.user_id, "day": ahead.day, "attempt": 1},
        )
        left = await invited(bench)  # the clock had been two days ahead
        assert first.staff_number not in [one.staff_number for one in left.invitees]
        assert {one["staff_number"]: one["code"] for one in left.others}[first.staff_number] == "unsure"

    run(home, work)


def test_stopped_and_gone_on_with(home: Path) -> None:
    async def work(bench: Workbench) -> None:
        await mailed(bench, by_mail(12))
        stop = asyncio.Event()
        told: list[int] = []

        def tell(done: int, total: int, text: str) -> None:
            told.append(done)
            stop.set()

        part: InviteResult = await invite_on(bench, await invited(bench), stop=stop, tell=tell)
        assert part.left > 0
        assert len(part.sent) + part.left == 11
        rest = await invite_on(bench, await invited(bench))
        assert len(rest.sent) == part.left
        assert told

    run(home, work)


def test_a_mail_that_did_not_go_out_leaves_the_one_before(home: Path) -> None:
    """Expired again thirty days after the last mail that went out; a failed one does not count."""

    async def work(bench: Workbench) -> None:
        await mailed(bench, by_mail(3))
        await invite_on(bench, await invited(bench))
        first = (await read_facts(bench.ledger)).mailed_at
        assert len(first) == 2
        sandbox: Any = bench.sandbox
        await bench.clock.sleep(20 * DAY_S)
        sandbox.faults = FaultPlan([Fault("refuse", on=INVITE)])
        with pytest.raises(LineWorksError):
            await invite_on(bench, await invited(bench))
        sandbox.faults = FaultPlan()
        assert (await read_facts(bench.ledger)).mailed_at == first
        await bench.clock.sleep(10 * DAY_S)
        found = await status_on(bench)
        assert found.stuck_by == {"expired": 3}
        by_way = {one["todo"].partition("（")[2][:14] for one in found.stuck}
        assert "onboard invite" in by_way
        await invite_on(bench, await invited(bench))
        assert (await status_on(bench)).stuck_by == {"expired": 1, "pending": 2}

    run(home, work)


@pytest.mark.parametrize("killed", [False, True])
def test_a_mail_that_left_behind_midnight_counts_for_the_new_day(home: Path, killed: bool) -> None:
    async def work(bench: Workbench) -> None:
        await mailed(bench, by_mail(3))
        sandbox: Any = bench.sandbox
        now = bench.clock.now().astimezone(JST)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        await bench.clock.sleep((midnight - now).total_seconds() - 1)
        planned = await invited(bench)
        sandbox.faults = FaultPlan([Fault("slow", on=INVITE, seconds=20)])
        if killed:
            task = asyncio.ensure_future(invite_on(bench, planned))
            for _ in range(200):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await reborn(bench)
        else:
            assert len((await invite_on(bench, planned)).sent) == 2
        sandbox.faults = FaultPlan()
        await bench.clock.sleep(3600)
        intents = await bench.ledger.read(stream="activation", kinds=("invite.intended",))
        assert {event.body["day"] for event in intents} == {now.date().isoformat()}
        new_day = await invited(bench)
        assert day_text(bench.clock.now()) > planned.day
        assert len(new_day.invitees) == 2 - len(intents) == 0
        assert max(mails_a_day(bench).values()) == 1
        await bench.clock.sleep(DAY_S)
        assert len((await invited(bench)).invitees) == 2

    run(home, work)
