"""Limits a minute, their headers, and what must not overlap (part 1 §2.5)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from bousai_kit.sandbox.choices import Choices
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import Lab, trial, uid
from tests.sandbox.directorylab import Desk, at_desk

HEADERS = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-ssed", "ratelimit-used")
BOT = "/bots/{bot}"


def url(bench: Lab, path: str = BOT) -> str:
    return path.format(bot=bench.bot)


def limit_headers(answer: httpx.Response) -> list[int]:
    return [int(answer.headers[name]) for name in HEADERS]


def heard(bench: Lab) -> int:
    """Messages that really went to members."""
    return len(bench.truth()["messages"])


@paragraph("1 §2.5")
@pytest.mark.parametrize(("plan", "limit"), [("standard", 240), ("free", 60)])
def test_a_minute_holds_so_many_requests(plan: str, limit: int) -> None:
    async def test(bench: Lab) -> None:
        for number in range(limit):
            answer = await bench.text(1)
            assert answer.status_code == 201
            assert limit_headers(answer) == [limit, limit - number - 1, 60, number + 1, number + 1]
        await bench.clock.sleep(43)
        answer = await bench.text(1)
        assert answer.status_code == 429
        assert answer.json() == {"code": "TOO_MANY_REQUESTS", "description": "API rate limit exceeded"}
        assert limit_headers(answer) == [limit, 0, 17, limit, limit]
        other = await bench.api("GET", url(bench))
        assert other.status_code == 200, "each operation has a budget of its own"
        await bench.clock.sleep(17)
        assert limit_headers(await bench.text(1))[1] == limit - 1
        assert heard(bench) == limit + 1, "a refused request has no effect"

    trial(test, plan=plan)


@paragraph("1 §2.5")
def test_the_whole_domain_shares_a_budget() -> None:
    async def test(bench: Lab) -> None:
        others = [bench.bearer(), bench.bearer("bot.message")]
        for number in range(241):
            path = f"/bots/{bench.bot}/users/{uid(number % 5)}/messages"
            content = {"content": {"type": "text", "text": "【訓練】"}}
            answer = await bench.api("POST", path, content, headers=others[number % 2])
        assert answer.status_code == 429

    trial(test)


@paragraph("1 §2.5")
def test_rooms_logs_and_refusals_count_too() -> None:
    async def test(bench: Lab) -> None:
        for number in range(11):
            answer = await bench.api("POST", f"/bots/{bench.bot}/channels", {"members": [uid(1)]})
            assert answer.status_code == (201 if number < 10 else 429)
        assert limit_headers(answer)[0] == 10
        for number in range(241):
            answer = await bench.api("GET", "/bots/9999999")
            assert answer.status_code == (404 if number < 240 else 429), "a refusal uses the budget up"
        unknown = await bench.http.get(
            f"{bench.sandbox.api_url}/bots/1", headers={"Authorization": "Bearer x"}
        )
        assert not [name for name in HEADERS if name in unknown.headers], "nobody's budget"

    trial(test)


@paragraph("1 §2.5")
def test_a_302_shows_no_limit() -> None:
    async def test(bench: Lab) -> None:
        query = {
            "service": "auth",
            "startTime": "2027-01-16T00:00:00+09:00",
            "endTime": "2027-01-17T00:00:00+09:00",
        }
        answer = await bench.api("GET", "/audits/logs/download", params=query)
        assert answer.status_code == 302
        assert not [name for name in HEADERS if name in answer.headers]
        refused = await bench.api("GET", "/audits/logs/download", params={**query, "service": "x"})
        assert refused.status_code == 400
        assert limit_headers(refused)[0] == 10

    trial(test)


# -- overlap ----------------------------------------------------------------------------------------


@paragraph("2 §1.1")
def test_two_writes_of_one_bot_do_not_overlap() -> None:
    async def test(bench: Lab) -> None:
        body = {"description": "訓練用"}
        answers = await asyncio.gather(*(bench.api("PATCH", url(bench), body) for _ in range(3)))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
        assert next(a for a in answers if a.status_code == 409).json()["code"] == "CONFLICT"
        assert (await bench.api("PATCH", url(bench), body)).status_code == 200

    trial(test, choices=Choices(people_answer=False))


@paragraph("1 §2.5")
def test_two_writes_of_one_member_do_not_overlap() -> None:
    async def test(bench: Lab) -> None:
        def patch(key: str) -> Any:
            return bench.api("PATCH", f"/users/{key}", {"task": "連絡"})

        both = await asyncio.gather(patch(uid(1)), patch("externalKey:S00001"), patch(uid(2)))
        assert sorted(answer.status_code for answer in both[:2]) == [200, 409]
        assert both[2].status_code == 200, "another member is nobody's business"

    trial(test, choices=Choices(people_answer=False))


@paragraph("1 §2.5")
def test_two_writes_of_one_member_at_once_are_refused_whatever_they_call_the_member() -> None:
    async def test(desk: Desk) -> None:
        names = (uid(1), "s00001%40city-demo", "externalKey%3AS00001", uid(2))
        calls = [desk.call("PATCH", f"/users/{name}", {"nickName": "x"}) for name in names]
        answers = await asyncio.gather(*calls)
        assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409]

    at_desk(test, people=2, choices=Choices(people_answer=False))


@paragraph("1 §2.5")
@pytest.mark.parametrize(("rule", "status"), [("429", 429), ("409", 409), ("accept", 201)])
def test_org_units_are_written_one_a_second(rule: str, status: int) -> None:
    async def test(bench: Lab) -> None:
        def create(number: int) -> Any:
            unit = {"domainId": 10000001, "orgUnitName": f"課{number}", "displayOrder": number}
            return bench.api("POST", "/orgunits", unit)

        assert (await create(1)).status_code == 201
        early = await create(2)
        assert early.status_code == status
        if rule == "429":
            assert early.headers["ratelimit-reset"] == "1"
        await bench.clock.sleep(1.0)
        both = await asyncio.gather(create(3), create(4))
        assert sorted(answer.status_code for answer in both) == sorted([201, status])

    trial(test, choices=Choices(people_answer=False, orgunit_too_fast=rule))


@paragraph("1 §2.5")
def test_the_number_of_requests_under_way_can_be_limited() -> None:
    async def test(bench: Lab) -> None:
        names = [f"/bots/{bench.bot}", *(f"/users/{uid(number)}" for number in (1, 2))]
        answers = await asyncio.gather(
            *(
                bench.api("PATCH", name, {"description": "x"} if "bots" in name else {"task": "x"})
                for name in names
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200, 200, 429]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert limit_headers(refused)[1] > 0, "the minute's budget is not what ran out"

    trial(test, choices=Choices(people_answer=False, concurrent=2))
