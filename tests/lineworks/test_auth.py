"""One token: what it is bought with, how long it is kept, and when another one is fetched."""

from __future__ import annotations

import asyncio
import itertools
import random
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bousai_kit.clock import SystemClock, VirtualClock
from bousai_kit.errors import (
    AuthRejected,
    ConfigError,
    InvalidRequest,
    ProtocolViolation,
    ServiceUnavailable,
    TransportFailed,
)
from bousai_kit.lineworks.auth import (
    Auth,
    TokenAnswer,
    build_assertion,
    build_token_form,
    decipher_token,
    parse_http_date,
    read_key,
)
from bousai_kit.lineworks.client import LineWorksClient
from bousai_kit.lineworks.retry import Patience
from bousai_kit.lineworks.shared import shared_by
from tests.lineworks.wirelab import (
    API,
    AUTH,
    DOMAIN,
    SECRET,
    START,
    Seen,
    Wire,
    account,
    build_client,
    key_pair,
    run,
    sample,
    script,
)


async def look(client: LineWorksClient, _: Wire) -> Any:
    return await client.bots.get(1)


def test_assertion_is_rs256_with_numeric_times() -> None:
    clock = VirtualClock(START)
    text = build_assertion(clock, account())
    assert jwt.get_unverified_header(text) == {"alg": "RS256", "typ": "JWT"}
    claims = jwt.decode(
        text, key_pair()[1], algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False}
    )
    now = int(START.timestamp())
    assert claims["iss"] == "client-1"
    assert claims["sub"] == "abcde.serviceaccount@city-demo"
    assert isinstance(claims["iat"], int)
    assert isinstance(claims["exp"], int)
    assert claims["iat"] <= now < claims["exp"] <= claims["iat"] + 3600
    assert "=" not in text


def test_form_percent_encodes_what_a_secret_may_hold() -> None:
    who = account(client_secret="a+b/c=d&e %")
    form = build_token_form(VirtualClock(START), who, ("bot", "user.read"), key=read_key(who)).decode()
    assert "client_secret=a%2Bb%2Fc%3Dd%26e+%25" in form
    assert "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer" in form
    assert "scope=bot+user.read" in form


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [("86400", 86100), ("3600", 3300), (3600, 3300), ("100", 90), (None, 3300), ("soon", 3300), ("-5", 0.9)],
)
def test_expires_in_is_a_string_of_digits(expires_in: object, seconds: float) -> None:
    body = httpx.Response(200, json={"access_token": "t", "expires_in": expires_in}).content
    assert decipher_token(body, asked_at=START).renew_at == START + timedelta(seconds=seconds)


def test_sample_answer() -> None:
    token = decipher_token(sample("token/200").content, asked_at=START)
    assert token.value == "jp1AAAAfaketoken+/fake=="
    assert "faketoken" not in repr(token)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"access_token": 5}', b'{"access_token": "a\\nb"}', b"\xff", b"[" * 100_000]
)
def test_an_answer_without_a_token_is_no_answer(body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decipher_token(body, asked_at=START)


@pytest.mark.parametrize("text", [None, "", "yesterday", "Sun, 99 Jan 2027 00:00:00 GMT", "\x00"])
def test_an_unreadable_date_is_no_date(text: str | None) -> None:
    assert parse_http_date(text) is None


def test_a_key_that_is_none_names_the_setting() -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    closed = read_key(account()).private_bytes(*pem, serialization.BestAvailableEncryption(b"x")).decode()
    other = curve.private_bytes(*pem, serialization.NoEncryption()).decode()
    for text in ("", "no key", closed, other):
        with pytest.raises(ConfigError) as caught:
            read_key(account(private_key=text))
        assert caught.value.setting == "BOUSAI_PRIVATE_KEY_FILE"
        assert caught.value.__cause__ is None


def test_one_token_for_all_tasks() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        await asyncio.gather(*(client.bots.get(n) for n in range(50)))

    _, wire = run(use, wire={"latency_s": 0.1})
    assert len(wire.token_forms) == 1
    assert {seen.token for seen in wire.seen} == {"token-1"}
    assert len(wire.seen) == 50


def test_renewed_shortly_before_it_expires_and_not_before() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        await client.bots.get(1)
        wire.clock.advance(3200)
        await client.bots.get(2)
        assert len(wire.token_forms) == 1
        wire.clock.advance(150)
        await asyncio.gather(*(client.bots.get(n) for n in range(3, 20)))

    error, wire = run(use, wire={"life": "3600"})
    assert error is None
    assert len(wire.token_forms) == 2
    assert wire.seen[-1].token == "token-2"


def test_a_401_renews_once_for_everybody() -> None:
    """Also for those whose 401 comes when the new token is already in use."""
    clock = VirtualClock(START)

    async def reply(seen: Seen) -> Any:
        if seen.number == 1 or seen.token != "token-1":
            return 200, {"botId": 1}
        await clock.sleep(0.3 * seen.number)
        return sample("refusal/401")

    async def use(client: LineWorksClient, wire: Wire) -> None:
        await client.bots.get(0)
        await asyncio.gather(*(client.bots.get(n) for n in range(1, 17)))

    error, wire = run(use, reply, clock=clock, wire={"latency_s": 0.1})
    assert error is None
    assert len(wire.token_forms) == 2
    assert sum(seen.token == "token-2" for seen in wire.seen) == 16


def test_a_second_401_is_final_and_the_token_stays() -> None:
    """A scope that was never granted answers 401 whatever the token: no storm of tokens follows."""

    def reply(seen: Seen) -> Any:
        return sample("refusal/401") if seen.target.startswith("/v1.0/users") else (200, {})

    async def use(client: LineWorksClient, wire: Wire) -> None:
        for number in range(5):
            with pytest.raises(AuthRejected) as caught:
                await client.users.get(f"u{number}")
            assert caught.value.code == "UNAUTHORIZED"
        await client.bots.get(1)

    error, wire = run(use, reply)
    assert error is None
    assert len(wire.token_forms) == 2
    assert [seen.token for seen in wire.seen[:2]] == ["token-1", "token-2"]
    assert len(wire.seen) == 2 + 4 + 1
    assert wire.seen[-1].token == "token-2"


def test_a_token_killed_a_minute_after_doubt_is_replaced() -> None:
    good = {"token-1"}

    def reply(seen: Seen) -> Any:
        return (200, {}) if seen.token in good else sample("refusal/401")

    async def use(client: LineWorksClient, wire: Wire) -> None:
        await client.bots.get(1)
        good.clear()
        with pytest.raises(AuthRejected):
            await client.bots.get(2)
        wire.clock.advance(61)
        good.add("token-3")
        await client.bots.get(2)

    error, wire = run(use, reply)
    assert error is None
    assert len(wire.token_forms) == 3


@pytest.mark.parametrize(
    ("name", "code", "kind"),
    [
        ("400-invalid-grant", "invalid_grant", AuthRejected),
        ("400-return-code", "99", AuthRejected),
        ("401-invalid-client", "invalid_client", AuthRejected),
    ],
)
def test_a_refused_token_request_is_final(name: str, code: str, kind: type[Exception]) -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        results = await asyncio.gather(*(client.bots.get(n) for n in range(5)), return_exceptions=True)
        assert all(isinstance(one, kind) for one in results)
        for _ in range(3):
            with pytest.raises(kind) as caught:
                await client.bots.get(9)
            assert caught.value.code == code  # type: ignore[attr-defined]

    error, wire = run(use, wire={"token_reply": lambda form: sample(f"token/{name}")})
    assert error is None
    assert len(wire.token_forms) == 1
    assert not wire.seen


def test_missing_scopes_are_left_out_and_named() -> None:
    def reply(form: dict[str, str]) -> Any:
        if "audit.read" in form["scope"].split():
            return sample("token/400-invalid-scope")
        return 200, {"access_token": "narrow", "expires_in": "86400"}

    async def use(client: LineWorksClient, wire: Wire) -> list[str]:
        await client.bots.get(1)
        return await client.auth.refused_scopes()

    refused, wire = run(
        use, wire={"token_reply": reply}, account=account(scopes=("bot", "user", "audit.read"))
    )
    assert refused == ["audit.read"]
    assert wire.token_forms[-1]["scope"] == "bot user"


def test_only_missing_scopes_say_so() -> None:
    error, _ = run(look, wire={"token_reply": lambda form: sample("token/400-invalid-scope")})
    assert isinstance(error, AuthRejected)
    assert error.code == "invalid_scope"
    assert "スコープ" in error.hint


@pytest.mark.parametrize("minutes", [10, -10])
def test_a_wrong_clock_gets_its_hint(minutes: int) -> None:
    """10 minutes off: the assertion is refused, and the answer's Date tells why."""
    clock = VirtualClock(START)

    def reply(form: dict[str, str]) -> Any:
        body = {"error": "invalid_grant", "error_description": "iat"}
        return 400, body, {"Date": wire_date(clock, -minutes * 60)}

    error, _ = run(look, clock=clock, wire={"token_reply": reply})
    assert isinstance(error, AuthRejected)
    assert "10 分" in error.hint
    assert ("進んで" if minutes > 0 else "遅れて") in error.hint


def wire_date(clock: VirtualClock, ahead_s: float) -> str:
    return Wire(clock, script(200)).date(ahead_s)


def test_a_right_clock_gets_another_hint() -> None:
    error, _ = run(look, wire={"token_reply": lambda form: sample("token/400-invalid-grant")})
    assert "時計" in error.hint  # the general one: console, key and clock
    assert "分進んで" not in error.hint


@pytest.mark.parametrize("broken", [503, httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError])
def test_a_broken_token_request_is_repeated(broken: Any) -> None:
    asked: list[float] = []
    clock = VirtualClock(START)

    def reply(form: dict[str, str]) -> Any:
        asked.append(clock.monotonic())
        if clock.monotonic() < 62:  # a window of 60 s during which nothing works
            return broken
        return 200, {"access_token": "late", "expires_in": "3600"}

    found, wire = run(look, clock=clock, wire={"token_reply": reply})
    assert found == {}
    assert wire.seen[0].token == "late"


def test_a_dead_auth_host_ends_in_an_error() -> None:
    error, wire = run(look, wire={"token_reply": lambda form: httpx.ConnectError})
    assert isinstance(error, TransportFailed)
    assert wire.clock.monotonic() > 60
    error, wire = run(look, wire={"token_reply": lambda form: 500})
    assert isinstance(error, ServiceUnavailable)
    assert not wire.seen


def test_a_throttled_token_request_waits_as_it_is_told() -> None:
    clock = VirtualClock(START)
    asked: list[float] = []

    def reply(form: dict[str, str]) -> Any:
        asked.append(clock.monotonic())
        answers: list[Any] = [(429, {}, {"RateLimit-Reset": "17"}), (429, {}), (429, {})]
        return answers[len(asked) - 1] if len(asked) < 4 else (200, {"access_token": "t"})

    assert run(look, clock=clock, wire={"token_reply": reply})[0] == {}
    gaps = [round(b - a, 1) for a, b in itertools.pairwise(asked)]
    assert gaps == [17.0, 2.0, 4.0]


def test_whoever_is_stopped_does_not_stop_the_token_for_the_others() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        first = asyncio.create_task(client.bots.get(1))
        second = asyncio.create_task(client.bots.get(2))
        await wire.clock.sleep(0.5)
        first.cancel()
        await second
        with pytest.raises(asyncio.CancelledError):
            await first

    error, wire = run(use, wire={"latency_s": 1.0})
    assert error is None
    assert len(wire.token_forms) == 1
    assert len(wire.seen) == 1


def test_the_token_outlives_an_event_loop() -> None:
    clock = VirtualClock(START)
    posted: list[bytes] = []

    async def post(form: bytes) -> TokenAnswer:
        posted.append(form)
        await asyncio.sleep(0)
        return TokenAnswer(200, b'{"access_token": "t", "expires_in": "3600"}')

    auth = Auth(account=account(), clock=clock, rng=random.Random(1), post=post, patience=Patience())
    assert asyncio.run(auth.token()) == asyncio.run(auth.token())
    assert len(posted) == 1


def test_clients_of_one_account_share_one_token() -> None:
    clock = VirtualClock(START)
    wire = Wire(clock, script((200, {})), latency_s=0.1)

    async def main() -> None:
        clients = [build_client(wire, shared=None) for _ in range(3)]
        await asyncio.gather(*(client.bots.get(1) for client in clients))
        stranger = build_client(wire, shared=None, account=account(client_id="client-2"))
        await stranger.bots.get(1)

    asyncio.run(main())
    assert len(wire.token_forms) == 2
    assert [form["client_id"] for form in wire.token_forms] == ["client-1", "client-2"]


def test_a_client_that_ends_stops_nobody_else() -> None:
    """One of two clients of an account is closed while the other waits for the next window."""
    clock = VirtualClock(START)
    wire = Wire(clock, script((201, {"channelId": "c"})))

    async def main() -> float:
        one, other = build_client(wire, shared=None), build_client(wire, shared=None)
        rooms = [asyncio.create_task(other.channels.create(1, [f"u{n}"])) for n in range(11)]
        await clock.sleep(1)
        await one.aclose()
        await one.aclose()
        await asyncio.gather(*rooms)
        return clock.monotonic()

    assert 60 < asyncio.run(main()) < 62


def test_what_was_refused_may_be_asked_again_once_all_clients_have_ended() -> None:
    """As two commands would; while one of them lives, it is not."""
    clock = VirtualClock(START)
    wire = Wire(clock, script(sample("refusal/400")))

    async def refused(client: LineWorksClient) -> None:
        with pytest.raises(InvalidRequest):
            await client.users.create({"email": "x"})

    async def main() -> None:
        one, other = build_client(wire, shared=None), build_client(wire, shared=None)
        await refused(one)
        await one.aclose()
        await refused(other)
        assert len(wire.seen) == 1
        await other.aclose()
        again = build_client(wire, shared=None)
        await refused(again)
        await refused(again)

    asyncio.run(main())
    assert len(wire.seen) == 2


def test_sharing_needs_clocks_that_agree() -> None:
    def shared(clock: Any, **changes: Any) -> object:
        return shared_by(
            account=account(**changes), api_url=API, auth_url=AUTH, domain_id=DOMAIN, clock=clock
        )

    one, other = VirtualClock(START), VirtualClock(START)
    assert shared(one) is not shared(other)
    kept = shared(SystemClock())
    assert shared(SystemClock()) is kept
    assert shared(SystemClock(speed=20.0)) is not kept
    assert shared(SystemClock(), client_secret=SECRET + "x") is not kept
