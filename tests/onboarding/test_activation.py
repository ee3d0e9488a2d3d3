"""The funnel: planned, created, pending, active, reachable, stuck and why."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bousai_kit.onboarding import onboarding_status
from bousai_kit.onboarding.activation import Expected, count_status
from bousai_kit.onboarding.tenant_view import Member
from tests.onboarding.onlab import apply, bench_at, city, plan_for

NOW = datetime(2027, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("member", "age", "words"),
    [
        (None, 0, "アカウントがまだありません"),
        (Member("u", key="S1"), 40, ""),
        (Member("u", key="S1", pending=True), 1, ""),
        (Member("u", key="S1", pending=True), 4, "登録から 4 日"),
        (Member("u", key="S1", pending=True), 30, "期限切れ"),
        (Member("u", key="S1", suspended=True, suspended_reason="LOGIN_FAIL"), 1, "失敗"),
        (Member("u", key="S1", suspended=True, suspended_reason="MASTER"), 1, "一時停止中"),
    ],
)
def test_who_is_stuck_and_why(member: Member | None, age: int, words: str) -> None:
    found = count_status(
        [Expected("S1", "iOS")],
        [] if member is None else [member],
        reachable=set(),
        created_at={"u": NOW - timedelta(days=age)},
        now=NOW,
    )
    assert [one["reason"] for one in found.stuck] == [] if not words else words in found.stuck[0]["reason"]
    assert found.active == (member is not None and not member.pending and not member.suspended)


def test_the_funnel_from_the_ledger_and_from_a_roster(home: Path) -> None:
    async def main() -> None:
        roster = city(24)
        async with await bench_at(home) as bench:
            empty = await onboarding_status(bench.client, bench.ledger, domain_id=bench.domain_id)
            assert empty.planned == 0
            before = await onboarding_status(
                bench.client, bench.ledger, domain_id=bench.domain_id, roster=roster
            )
            assert (before.planned, before.created, len(before.stuck)) == (24, 0, 24)
            await apply(bench, await plan_for(bench, roster))
            new = await onboarding_status(bench.client, bench.ledger, domain_id=bench.domain_id)
            assert (new.planned, new.created, new.pending, new.active) == (24, 24, 24, 0)
            await bench.clock.sleep(24 * 3600)
            later = await onboarding_status(bench.client, bench.ledger, domain_id=bench.domain_id)
            assert later.active + later.pending == 24
            assert later.active > 20
            someone = next(iter(await bench.ledger.read(prefix="apply:", kinds=("user.created",)))).subject
            await bench.ledger.append("callbacks", "callback.begin", someone)
            seen = await onboarding_status(
                bench.client, bench.ledger, domain_id=bench.domain_id, roster=roster
            )
            assert seen.reachable == 1
            for table in (seen.by_device_os, seen.by_ward, seen.by_bureau):
                for name in ("planned", "created", "pending", "active", "reachable"):
                    assert sum(group[name] for group in table.values()) == getattr(seen, name)
            said = str(seen.as_json())
            assert not any(one.first_name in said for one in roster.people)

    asyncio.run(main())
