"""What every request passes: route, token, scope, limits, faults, overlap (part 1 §2, part 2 §5)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from bousai_kit.errors import InputError
from bousai_kit.sandbox.faults import Fault, FaultPlan, load_faults
from bousai_kit.sandbox.limits import SHAPES, WINDOW_S, Limits
from tests.sandbox.botlab import SILENT, Lab, trial

HEADERS = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-ssed", "ratelimit-used")
BOT = "/bots/{bot}"


def url(bench: Lab, path: str = BOT) -> str:
    return path.format(bot=bench.bot)


def limit_headers(answer: httpx.Response) -> list[int]:
    return [int(answer.headers[name]) for name in HEADERS]


def heard(bench: Lab) -> int:
    """Messages that really went to members."""
    return len(bench.truth()["messages"])


# -- route, token, scope ----------------------------------------------------------------------------


# -- limits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_no_minute_of_a_shape_holds_more_than_the_limit(shape: str) -> None:
    limits = Limits(shape=shape, overrides={"x": 20})
    taken: list[float] = []
    now = 1000.0
    for step in range(4000):
        now += (step * 7919 % 13) / 10.0
        verdict = limits.take("x", "default", now)
        assert 0 <= verdict.remaining <= verdict.limit == 20
        assert 1 <= verdict.reset_s <= 60
        if verdict.allowed:
            taken.append(now)
        else:
            assert limits.take("x", "default", now).allowed is False
    assert len(taken) > 300
    most = max(sum(1 for at in taken if start <= at < start + WINDOW_S) for start in taken)
    assert most <= {"fixed": 40, "sliding": 20, "bucket": 40}[shape]


@pytest.mark.parametrize("shape", SHAPES)
def test_after_the_reset_there_is_room_again(shape: str) -> None:
    limits = Limits(shape=shape)
    while (verdict := limits.take("x", "default", 5.0)).allowed:
        pass
    assert limits.take("x", "default", 5.0 + verdict.reset_s).allowed


# -- faults -----------------------------------------------------------------------------------------


def fault(kind: str, **rule: Any) -> FaultPlan:
    return FaultPlan([Fault(kind=kind, **{"on": "messages.to_user", **rule})])


@pytest.mark.parametrize(
    ("plan", "status", "sent"),
    [
        (fault("500", nth=(2,)), 500, 2),
        (fault("503", nth=(2,)), 503, 2),
        (fault("500", nth=(2,), after=True), 500, 3),
        (fault("429", nth=(2,)), 429, 2),
        (fault("revoke", nth=(2,)), 401, 1),
        (fault("redirect", nth=(2,)), 307, 2),
        (fault("foreign", nth=(2,)), 307, 2),
    ],
    ids=["500", "503", "500 after", "429", "revoke", "redirect", "foreign"],
)
def test_a_fault_strikes_the_request_it_is_meant_for(plan: FaultPlan, status: int, sent: int) -> None:
    async def test(bench: Lab) -> None:
        answers = [await bench.text(number) for number in (1, 2, 3)]
        assert answers[0].status_code == 201
        assert answers[1].status_code == status
        assert answers[2].status_code == (401 if status == 401 else 201)
        assert heard(bench) == sent
        if status == 429:
            assert limit_headers(answers[1]) == [240, 0, 17, 240, 240]
        if status == 307:
            where = answers[1].headers["location"]
            hosts = (httpx.URL(bench.sandbox.storage_url).host, "download.elsewhere.invalid")
            assert httpx.URL(where).host in hosts
            if httpx.URL(where).host == hosts[0]:
                content = {"content": {"type": "text", "text": "【訓練】"}}
                again = await bench.http.post(where, json=content, headers=bench.headers)
                assert again.status_code == 201, "the same call on another instance"
                bare = await bench.http.post(where, json=content)
                assert bare.status_code == 401

    trial(test, faults=plan)


@pytest.mark.parametrize(
    ("kind", "error", "sent"), [("refuse", httpx.ConnectError, 1), ("drop", httpx.RemoteProtocolError, 2)]
)
def test_a_connection_breaks_before_or_after_the_work(kind: str, error: type[Exception], sent: int) -> None:
    async def test(bench: Lab) -> None:
        await bench.text(1)
        with pytest.raises(error):
            await bench.text(2)
        assert heard(bench) == sent

    trial(test, faults=fault(kind, nth=(2,)))


def test_slow_requests_take_the_clock_s_time() -> None:
    async def test(bench: Lab) -> None:
        begin = bench.clock.now()
        await bench.text(1)
        assert bench.clock.now() - begin == timedelta(seconds=2.5)
        assert heard(bench) == 1

    trial(test, faults=fault("slow", seconds=2.5))
    trial(test, faults=fault("slow", seconds=2.5, after=True))
    trial(test, latency_s=2.5)


def test_an_export_breaks_off_and_headers_go_missing() -> None:
    plan = FaultPlan([Fault("truncate", on="logs.fetch"), Fault("no_headers", on="bots.get")])

    async def test(bench: Lab) -> None:
        await bench.text(1)
        await bench.clock.sleep(120)
        query = {"startTime": "2027-01-17T00:00:00+09:00", "endTime": "2027-01-18T00:00:00+09:00"}
        answer = await bench.api("GET", "/monitoring/message-contents/download", params=query)
        export = await bench.http.get(answer.headers["location"], headers=bench.headers)
        assert export.status_code == 200
        assert export.content.splitlines()[-1].startswith(b"downloadLogs error")
        plain = await bench.api("GET", url(bench))
        assert plain.status_code == 200
        assert not [name for name in HEADERS if name in plain.headers]

    trial(test, faults=plan)


def test_rules_count_choose_and_end() -> None:
    plan = load_faults(
        {
            "seed": 7,
            "fault": [
                {"kind": "500", "on": "messages.*", "method": "POST", "every": 3, "times": 2},
                {"kind": "503", "on": "users.*", "path": "/users/a*", "from_s": 10, "until_s": 20},
                {"kind": "drop", "on": "groups.*", "probability": 0.25},
            ],
        }
    )

    def struck(name: str, method: str = "POST", path: str = "/x", at: float = 0.0) -> list[str]:
        return [rule.kind for rule in plan.decide(name, elapsed_s=at, method=method, path=path)]

    assert [struck("messages.to_user") for _ in range(10)].count(["500"]) == 2
    assert [struck("users.get", path="/users/a1", at=at) for at in (5, 10, 20, 21)] == [
        [],
        ["503"],
        ["503"],
        [],
    ]
    assert struck("users.get", path="/users/b", at=15) == []
    share = sum(bool(struck("groups.get")) for _ in range(2000)) / 2000
    assert 0.2 < share < 0.3
    again = load_faults({"seed": 7, "fault": [{"kind": "drop", "probability": 0.25}]})
    same = load_faults({"seed": 7, "fault": [{"kind": "drop", "probability": 0.25}]})
    draws = [[bool(one.decide("x", elapsed_s=0)) for _ in range(50)] for one in (again, same)]
    assert draws[0] == draws[1]


@pytest.mark.parametrize(
    "text",
    [
        "[[fault]]\nkind = 'earthquake'",
        "[[fault]]\nkind = '500'\nwhen = 3",
        "[[fault]]\nkind = '500'\nprobability = 2",
        "[[fault]]\nkind = '500'\nnth = 0",
        "[[fault]]\nkind = '500'\nafter = 1",
        "seed = 'x'",
        "other = 1",
        "fault = [1]",
        "fault = 3",
        "not toml",
    ],
)
def test_a_plan_with_a_mistake_is_refused_as_a_whole(tmp_path: Path, text: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError) as caught:
        load_faults(path)
    assert caught.value.exit_code == 2
    with pytest.raises(InputError):
        load_faults(tmp_path / "none.toml")


def test_faults_can_be_set_while_it_runs() -> None:
    async def test(bench: Lab) -> None:
        plan = {"seed": 3, "fault": [{"kind": "503", "on": "bots.get", "times": 1}]}
        assert (await bench.admin("PUT", "/faults", plan)).status_code == 200
        assert (
            await bench.admin("POST", "/faults", {"fault": [{"kind": "slow", "on": "bots.list"}]})
        ).status_code == 200
        assert (await bench.admin("PUT", "/faults", {"fault": [{"kind": "?"}]})).status_code == 400
        assert [(await bench.api("GET", url(bench))).status_code for _ in range(2)] == [503, 200]
        told = (await bench.admin("GET", "/faults")).json()
        assert (told["seed"], [rule["done"] for rule in told["fault"]]) == (3, [1, 0])
        assert (await bench.admin("PUT", "/faults", {})).json()["fault"] == []

    trial(test)


def test_limits_can_be_set_while_it_runs() -> None:
    async def test(bench: Lab) -> None:
        changed = {"plan": "free", "limiter": "sliding", "overrides": {"bots.get": 2}}
        assert (await bench.admin("PUT", "/limits", changed)).json() == changed
        for bad in ({"plan": "gold"}, {"limiter": "x"}, {"overrides": {"a": 0}}, {"overrides": 3}):
            assert (await bench.admin("PUT", "/limits", bad)).status_code == 400
        assert [(await bench.api("GET", url(bench))).status_code for _ in range(3)] == [200, 200, 429]
        assert (await bench.admin("POST", "/limits/reset")).status_code == 204
        assert (await bench.api("GET", url(bench))).status_code == 200

    trial(test)


# -- overlap ----------------------------------------------------------------------------------------


def test_an_admin_cannot_be_mistaken_for_the_api() -> None:
    async def test(bench: Lab) -> None:
        assert (await bench.admin("GET", "/v1.0/bots")).status_code == 404
        assert (
            await bench.http.get(f"{bench.sandbox.api_url}/truth", headers=bench.headers)
        ).status_code == 404
        assert (await bench.admin("GET", "/ready")).json()["ready"] is True
        page = {"Origin": "https://elsewhere.invalid", "Content-Type": "text/plain"}
        asked = await bench.http.post(f"{bench.sandbox.admin_url}/reset", content=b"{}", headers=page)
        assert asked.status_code == 403, "a page in a browser does not reset anything"

    trial(test, choices=SILENT)
