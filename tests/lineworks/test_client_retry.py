"""What is repeated, how long it waits, and what is never sent again."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bousai_kit.errors import (
    ApiError,
    AuthRejected,
    ConfigError,
    Conflict,
    GuardError,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    PermissionDenied,
    ProtocolViolation,
    RateLimited,
    ServiceUnavailable,
    TransportFailed,
)
from bousai_kit.lineworks.client import LineWorksClient, Trace
from bousai_kit.lineworks.problems import public_path, read_problem
from bousai_kit.lineworks.retry import Action, Fate, Patience, Tries, back_off_s, judge_absence, judge_answer
from tests.lineworks.wirelab import SAMPLES, Seen, Wire, account, run, sample, script

UNSENT = [
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ProxyError,
    httpx.PoolTimeout,
    httpx.LocalProtocolError,
]
UNANSWERED = [
    httpx.ReadError,
    httpx.ReadTimeout,
    httpx.WriteError,
    httpx.WriteTimeout,
    httpx.RemoteProtocolError,
    httpx.CloseError,
    httpx.DecodingError,
]


async def post(client: LineWorksClient, _: Wire) -> Any:
    return await client.users.create({"email": "s0001@city-demo", "userExternalKey": "S0001"})


async def get(client: LineWorksClient, _: Wire) -> Any:
    return await client.users.get("u1")


async def patch(client: LineWorksClient, _: Wire) -> Any:
    return await client.users.patch("u1", {"nickName": "試験"})


async def delete(client: LineWorksClient, _: Wire) -> Any:
    return await client.users.delete("u1")


REPEATABLE = [get, patch, delete]


# -- refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("400", InvalidRequest, "INVALID_PARAMETER"),
        ("403", PermissionDenied, "ACCESS_DENIED"),
        ("403-unauthorized", AuthRejected, "UNAUTHORIZED"),
        ("404", NotFound, "NOT_FOUND"),
        ("409", Conflict, "CONFLICT"),
        ("418-plain", InvalidRequest, ""),
    ],
)
@pytest.mark.parametrize("use", [post, get, patch, delete], ids=lambda use: use.__name__)
def test_a_refusal_is_final(use: Any, name: str, kind: type[ApiError], code: str) -> None:
    error, wire = run(use, script(sample(f"refusal/{name}"), (200, {})))
    assert type(error) is kind
    assert error.status == sample(f"refusal/{name}").status_code
    assert error.code == code
    assert error.method == wire.seen[0].method
    assert len(wire.seen) == 1


def test_every_refusal_sample_is_read() -> None:
    for path in sorted(SAMPLES.glob("refusal/*.http")):
        answer = sample(f"refusal/{path.stem}")
        problem = read_problem(answer.content)
        speechless = not answer.content or "html" in path.read_text()
        assert bool(problem.code or problem.description) != speechless, path.stem
        assert len(problem.description) <= 300


@given(st.binary(max_size=300))
def test_an_error_body_never_breaks_the_reader(body: bytes) -> None:
    problem = read_problem(body)
    assert problem.code.isprintable()
    assert problem.description.isprintable()


@pytest.mark.parametrize(
    "body",
    [
        b'{"code": {"a": 1}}',
        b'{"code": true}',
        b'{"code": "X", "description": 5}',
        b"[" * 60_000,
        b"[]",
        b"null",
    ],
)
def test_odd_error_bodies(body: bytes) -> None:
    read_problem(body)


def test_an_echoed_token_is_not_repeated_to_people() -> None:
    problem = read_problem(b'{"code": "X", "description": "bad token ' + b"jp1AAAA+/" * 12 + b'"}')
    assert "jp1AAAA" not in problem.description


def test_a_login_id_is_not_shown() -> None:
    assert public_path("/users/s0001%40city-demo/suspend?x=1") == "/users/{login}/suspend"
    assert public_path("/users/3ae1f0c2/suspend") == "/users/3ae1f0c2/suspend"


# -- 429 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", [post, get, patch, delete], ids=lambda use: use.__name__)
def test_a_429_waits_for_the_reset(use: Any) -> None:
    result, wire = run(use, script(sample("refusal/429"), (200, {})))
    assert not isinstance(result, Exception)
    assert [seen.method for seen in wire.seen] == [wire.seen[0].method] * 2
    assert 17.0 <= wire.seen[1].at - wire.seen[0].at <= 17.5
    assert wire.seen[0].body == wire.seen[1].body


def test_a_429_without_headers_waits_powers_of_two() -> None:
    bare = [sample("refusal/429-bare") for _ in range(6)]
    result, wire = run(get, script(*bare, (200, {})))
    assert not isinstance(result, Exception)
    gaps = [b.at - a.at for a, b in itertools.pairwise(wire.seen)]
    assert [round(gap) for gap in gaps] == [1, 2, 4, 8, 16, 16]


def test_a_429_stops_the_whole_operation_and_no_other() -> None:
    def reply(seen: Seen) -> Any:
        return sample("refusal/429") if seen.number == 1 else (200, {})

    async def use(client: LineWorksClient, wire: Wire) -> None:
        first = asyncio.create_task(client.users.get("u0"))
        await asyncio.sleep(0)
        await wire.clock.sleep(0.5)
        rest = [asyncio.create_task(client.users.get(f"u{n}")) for n in range(1, 6)]
        await client.bots.get(1)
        assert wire.clock.monotonic() < 2
        await asyncio.gather(first, *rest)

    error, wire = run(use, reply, wire={"latency_s": 0.1})
    assert error is None
    assert [seen.target for seen in wire.seen[:2]] == ["/v1.0/users/u0", "/v1.0/bots/1"]
    assert all(seen.at >= 17 for seen in wire.seen[2:])


def test_patience_with_429_ends() -> None:
    error, wire = run(get, script(sample("refusal/429")))
    assert isinstance(error, RateLimited)
    assert (error.limit, error.remaining, error.retry_after_s) == (240, 0, 17.0)
    assert len(wire.seen) == 21


# -- 409 ------------------------------------------------------------------------------------------------


def test_a_write_to_a_bot_lets_another_programs_pass_and_no_other_409_is_repeated() -> None:
    overlap = (409, {"code": "CONFLICT", "description": "Another request is being processed."})

    async def change(client: LineWorksClient, _: Wire) -> Any:
        return await client.bots.patch(1, {"enableCallback": True})

    result, wire = run(change, script(overlap, overlap, (200, {})))
    assert not isinstance(result, Exception)
    assert len(wire.seen) == 3
    assert wire.seen[-1].at >= 2
    error, wire = run(change, script(overlap))
    assert isinstance(error, Conflict)
    assert len(wire.seen) == 5
    error, wire = run(patch, script(overlap))
    assert isinstance(error, Conflict)
    assert len(wire.seen) == 1


# -- no answer, 5xx -------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [*UNANSWERED, *UNSENT, 500, 502, 503])
@pytest.mark.parametrize("use", REPEATABLE, ids=lambda use: use.__name__)
def test_repeatable_requests_outlast_a_minute(use: Any, broken: Any) -> None:
    def reply(seen: Seen) -> Any:
        return broken if seen.at < 60 else (200, {})

    result, wire = run(use, reply)
    assert not isinstance(result, Exception)
    assert len(wire.seen) >= 5
    assert wire.seen[-1].at >= 60


@pytest.mark.parametrize("seed", range(20))
def test_back_off_outlasts_a_window_whatever_the_jitter(seed: int) -> None:
    rng = random.Random(seed)
    assert sum(back_off_s(n, safe=True, rng=rng) for n in range(Patience().repeats)) > 60


@pytest.mark.parametrize("broken", [*UNANSWERED, 500, 502, 503, 504])
def test_a_post_without_an_answer_is_unknown_and_never_repeated(broken: Any) -> None:
    error, wire = run(post, script(broken, (201, {})))
    assert isinstance(error, OutcomeUnknown)
    assert (error.method, error.path) == ("POST", "/users")
    assert len(wire.seen) == 1


def test_a_post_that_is_too_late_is_unknown() -> None:
    """The kit's clock owns the time-out of an in-process tenant."""

    async def never(seen: Seen, wire: list[Wire] = []) -> Any:  # noqa: B006
        await asyncio.get_running_loop().create_future()

    error, wire = run(post, never)
    assert isinstance(error, OutcomeUnknown)
    assert len(wire.seen) == 1
    assert 30 <= wire.clock.monotonic() < 31


@pytest.mark.parametrize("broken", UNSENT)
def test_a_post_that_never_left_is_tried_again_and_then_certainly_not_processed(broken: Any) -> None:
    result, wire = run(post, script(broken, broken, sample("users/201")))
    assert result["userId"].startswith("3ae1f0c2")
    assert len(wire.seen) == 3
    error, wire = run(post, script(broken))
    assert isinstance(error, TransportFailed)
    assert "送信されていません" in str(error)


def test_a_post_answered_by_a_detour_is_unknown() -> None:
    error, wire = run(post, script(httpx.Response(303, headers={"Location": "https://example.invalid/"})))
    assert isinstance(error, OutcomeUnknown)
    assert len(wire.seen) == 1


def test_a_get_answered_by_a_detour_without_address_is_a_violation() -> None:
    error, _ = run(get, script(304))
    assert isinstance(error, ProtocolViolation)


def test_a_delete_that_was_done_by_an_earlier_try_is_done() -> None:
    result, wire = run(delete, script(httpx.ReadTimeout, sample("refusal/404")))
    assert result is None
    assert len(wire.seen) == 2
    error, _ = run(delete, script(sample("refusal/404")))
    assert isinstance(error, NotFound)
    error, _ = run(delete, script(httpx.ConnectError, sample("refusal/404")))
    assert isinstance(error, NotFound)  # the first try never left
    page = httpx.Response(404, content=b"<html>", headers={"Content-Type": "text/html"})
    error, _ = run(delete, script(httpx.ReadTimeout, page))
    assert isinstance(error, NotFound)  # a proxy spoke: it does not know what the first try did


def test_after_all_repeats_the_error_says_how_it_stands() -> None:
    error, _ = run(get, script(503))
    assert isinstance(error, ServiceUnavailable)
    error, _ = run(get, script(httpx.ConnectError))
    assert isinstance(error, TransportFailed)
    error, _ = run(patch, script(httpx.ReadError))
    assert isinstance(error, OutcomeUnknown)


def test_401_then_5xx_then_429_each_get_their_own_treatment() -> None:
    answers = (sample("refusal/401"), 503, sample("refusal/429"), (200, {"userId": "u1"}))
    result, wire = run(get, script(*answers))
    assert result == {"userId": "u1"}
    assert len(wire.seen) == 4
    assert len(wire.token_forms) == 2


def test_a_post_after_401_is_sent_once_more_only() -> None:
    result, wire = run(post, script(sample("refusal/401"), sample("users/201")))
    assert result["isPending"] is True
    error, wire = run(post, script(sample("refusal/401")))
    assert isinstance(error, AuthRejected)
    assert len(wire.seen) == 2


@given(
    status=st.integers(100, 599),
    safe=st.booleans(),
    broken=st.integers(0, 9),
    refusals=st.integers(0, 12),
    renewed=st.booleans(),
)
def test_the_judge_never_repeats_what_may_have_been_done(
    status: int, safe: bool, broken: int, refusals: int, renewed: bool
) -> None:
    tries = Tries(broken=broken, refusals=refusals, renewed=renewed)
    action = judge_answer(status, safe=safe, tries=tries, patience=Patience())
    assert (action is Action.DONE) == (200 <= status < 300)
    if action is Action.BACK_OFF:
        assert safe
        assert status >= 500
    if action is Action.PAUSE:
        assert status == 429
    if action is Action.RENEW:
        assert status == 401
        assert not renewed
    if not safe and (status >= 500 or status < 200 or 300 <= status < 400):
        assert action is Action.UNKNOWN
    for fate in Fate:
        missing = judge_absence(fate, safe=safe, tries=tries, patience=Patience())
        if not safe:
            assert (missing is Action.UNKNOWN) == (fate is Fate.UNANSWERED)


# -- the request ----------------------------------------------------------------------------------------


def test_a_request_carries_what_the_contract_asks() -> None:
    _, wire = run(patch, script((200, {})))
    seen = wire.seen[0]
    assert seen.headers["authorization"] == "Bearer token-1"
    assert seen.headers["content-type"].startswith("application/json")
    assert seen.body == '{"nickName":"試験"}'.encode()
    _, wire = run(get)
    assert "content-type" not in wire.seen[0].headers


@pytest.mark.parametrize(
    "path", ["users", "/users//x", "/users/../bots", "/users/x?y=1", "/users/#", "/./users"]
)
def test_a_path_that_was_not_encoded_is_refused(path: str) -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        await client.call("GET", path, operation="x.y")

    error, wire = run(use)
    assert isinstance(error, ValueError)
    assert not wire.seen


@pytest.mark.parametrize("path", ["/users/u1", "/groups/g1"])
def test_members_and_groups_are_never_replaced(path: str) -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        await client.call("put", path, operation="x.y", json={})

    error, wire = run(use)
    assert isinstance(error, GuardError)
    assert not wire.seen


def test_an_answer_that_is_no_json_is_a_violation() -> None:
    for body in (b"<html>", b"\xff\xfe", b"[" * 200_000):
        error, _ = run(get, script(httpx.Response(200, content=body)))
        assert isinstance(error, ProtocolViolation)


def test_an_api_address_without_tls_is_refused() -> None:
    for url in ("http://www.worksapis.com/v1.0", "ftp://x", "https://user:pass@www.worksapis.com/v1.0"):
        with pytest.raises(ConfigError):
            run(get, api_url=url)


# -- pages ----------------------------------------------------------------------------------------------


async def everybody(client: LineWorksClient, _: Wire) -> list[str]:
    return [user["userId"] async for user in client.users.list()]


def test_pages_are_walked_with_an_encoded_cursor() -> None:
    found, wire = run(everybody, script(sample("users/200-first"), sample("users/200-last")))
    assert found == ["u1", "u2", "u3"]
    assert wire.seen[0].target == "/v1.0/users?domainId=10000001&count=100"
    assert wire.seen[1].target.endswith("&cursor=Y3Vyc29y%2B%2F%3D%3D")


@pytest.mark.parametrize("meta", [None, {}, {"nextCursor": ""}, {"nextCursor": None}])
def test_each_way_to_end_a_list(meta: Any) -> None:
    found, wire = run(everybody, script((200, {"users": [{"userId": "u1"}], "responseMetaData": meta})))
    assert found == ["u1"]
    assert len(wire.seen) == 1


def test_an_empty_list_may_be_null_but_not_missing() -> None:
    assert run(everybody, script((200, {"users": None, "responseMetaData": {}})))[0] == []
    for body in ({}, [], "users", {"error": 1}):
        error, _ = run(everybody, script((200, body)))
        assert isinstance(error, ProtocolViolation), body  # a tenant that looks empty would be built anew


def test_a_cursor_that_does_not_move_ends_the_walk() -> None:
    page = {"users": [{"userId": "u1"}], "responseMetaData": {"nextCursor": "same"}}
    error, wire = run(everybody, script((200, page)))
    assert isinstance(error, ProtocolViolation)
    assert len(wire.seen) == 2


@pytest.mark.parametrize("count", [0, 101, -1])
def test_a_page_size_beyond_the_documented_one_is_not_asked_for(count: int) -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        async for _ in client.users.list(count=count):
            pass

    error, wire = run(use)
    assert isinstance(error, ValueError)
    assert not wire.seen


# -- what is told ---------------------------------------------------------------------------------------


def test_traces_and_counts_hold_no_login_and_no_query() -> None:
    found: list[Trace] = []

    async def use(client: LineWorksClient, wire: Wire) -> tuple[int, int]:
        await client.users.get("s0001@city-demo")
        async for _ in client.users.list():
            pass
        return client.stats.requests, client.stats.throttled

    answers = (sample("refusal/429"), (200, {"users": []}))
    counts, _ = run(use, script(*answers), tracer=found.append)
    assert counts == (3, 1)
    assert [(t.path, t.status, t.attempt, t.operation) for t in found] == [
        ("/token", 200, 1, "token"),
        ("/users/{login}", 429, 1, "users.get"),
        ("/users/{login}", 200, 2, "users.get"),
        ("/users", 200, 1, "users.list"),
    ]
    assert found[1].limit_left == 0


def test_a_wrong_clock_is_told_with_a_401_of_the_api() -> None:
    def reply(seen: Seen) -> Any:
        return 401, {"code": "UNAUTHORIZED"}, {"Date": "Sun, 17 Jan 2027 00:10:00 GMT"}

    error, _ = run(get, reply, account=account(scopes=("bot",)))
    assert isinstance(error, AuthRejected)
    assert "10 分遅れて" in error.hint
