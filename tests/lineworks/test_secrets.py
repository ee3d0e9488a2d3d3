"""A secret, a token and a key are planted; they are found in no repr, message, traceback, log or trace."""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from bousai_kit.clock import VirtualClock
from bousai_kit.errors import ConfigError
from bousai_kit.lineworks.auth import decipher_token, read_key
from bousai_kit.lineworks.callbacks import parse_callback
from bousai_kit.lineworks.client import LineWorksClient, Trace
from bousai_kit.lineworks.transport import build_http
from tests.lineworks.wirelab import (
    BOT,
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

TOKEN = "planted-token-9c41"
NAME = "機密 花子"
LOGIN = "kimitsu-hanako@city-demo"
BOT_SECRET = "planted-bot-secret-77aa"
ONE_OFF = "planted-one-off-key-31d0"
KEY_LINE = key_pair()[0].splitlines()[5]
PLANTED = (SECRET, TOKEN, NAME, LOGIN, LOGIN.replace("@", "%40"), ONE_OFF, KEY_LINE, BOT_SECRET)


def token_reply(form: dict[str, str]) -> Any:
    return 200, {"access_token": TOKEN, "expires_in": "86400"}


def whole(error: BaseException) -> Iterator[str]:
    """Everything that a console, a log or a debugger prints of an error, the variables of its frames too."""
    yield repr(error)
    yield str(error)
    yield "".join(traceback.format_exception(error))
    found: BaseException | None = error
    seen: set[int] = set()
    chain = []
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        chain.append(found)
        found = found.__cause__ or found.__context__
    for link in chain:
        yield repr(link.__dict__)
        for frame, _ in traceback.walk_tb(link.__traceback__):
            if "/tests/" in frame.f_code.co_filename:
                continue
            for name, value in frame.f_locals.items():
                if callable(getattr(value, "get_secret_value", None)):
                    continue
                yield f"{frame.f_code.co_qualname}.{name} = {value!r}"


def clean(texts: Iterator[str] | list[str], but: tuple[str, ...] = ()) -> None:
    for text in texts:
        for secret in PLANTED:
            if secret not in but:
                assert secret not in text, text[:400]


BROKEN: dict[str, tuple[Callable[[Seen], Any], Any]] = {
    "400": (script(sample("refusal/400")), None),
    "401": (script((401, {"code": "UNAUTHORIZED", "description": f"bad token {'A' * 80}"})), None),
    "403": (script(sample("refusal/403")), None),
    "429": (script(sample("refusal/429")), None),
    "500": (script(500), None),
    "no answer": (script(httpx.ReadTimeout), None),
    "no connection": (script(httpx.ConnectError), None),
    "no json": (script(httpx.Response(200, content=b"<html>")), None),
    "elsewhere": (
        script(httpx.Response(307, headers={"Location": f"https://evil.example/?k={ONE_OFF}"})),
        None,
    ),
    "token refused": (script(200), lambda form: (400, {"error": "invalid_grant", "error_description": "no"})),
    "token host down": (script(200), lambda form: httpx.ConnectError),
    "token host broken": (script(200), lambda form: 503),
    "token host silent": (script(200), lambda form: httpx.ReadTimeout),
    "no token": (script(200), lambda form: (200, {"access_token": f"{TOKEN}\n", "expires_in": "1"})),
    "token moved": (
        script(200),
        lambda form: httpx.Response(302, headers={"Location": f"https://x/{ONE_OFF}"}),
    ),
}
USES: dict[str, Callable[[LineWorksClient], Any]] = {
    "get": lambda client: client.users.get("u1"),
    "create": lambda client: client.users.create({"userExternalKey": "S1"}),
    "message": lambda client: client.messages.to_user(BOT, "u1", {"type": "text", "text": "x"}),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("broken", BROKEN)
def test_no_failure_shows_a_secret(broken: str, use: str, caplog: pytest.LogCaptureFixture) -> None:
    reply, tokens = BROKEN[broken]
    traces: list[Trace] = []

    async def one(client: LineWorksClient, wire: Wire) -> Any:
        return await USES[use](client)

    with caplog.at_level(logging.DEBUG):
        error, wire = run(one, reply, wire={"token_reply": tokens or token_reply}, tracer=traces.append)
    if (broken, use) == ("no json", "message"):
        return  # nobody reads that body
    assert isinstance(error, Exception)
    assert any(seen.token == TOKEN for seen in wire.seen) or tokens is not None  # it was really there
    clean(whole(error))
    clean([caplog.text, repr(traces)])


def test_people_stand_in_no_error_and_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    """Names go out in bodies and login ids in paths; neither comes back in words."""
    traces: list[Trace] = []

    async def one(client: LineWorksClient, wire: Wire) -> list[BaseException]:
        return await asyncio.gather(
            client.users.patch(LOGIN, {"userName": {"lastName": NAME}}),
            client.messages.to_user(BOT, LOGIN, {"type": "text", "text": NAME}),
            return_exceptions=True,
        )

    with caplog.at_level(logging.DEBUG):
        errors, _ = run(one, script(500), tracer=traces.append)
    assert len(errors) == 2
    for error in errors:
        clean([repr(error), str(error), repr(error.__dict__), "".join(traceback.format_exception(error))])
    clean([caplog.text, repr(traces)])


def test_reprs_of_everything_that_holds_one() -> None:
    clock = VirtualClock(START)
    wire = Wire(clock, script((200, {})), token_reply=token_reply)

    async def main() -> list[str]:
        client = build_client(wire)
        token = await client.auth.token()
        answer = await client.call("GET", "/bots", operation="bots.list")
        return [
            repr(thing)
            for thing in (
                client,
                client.auth,
                token,
                answer,
                account(),
                client.gate,
                client.users,
                client._shared.purse,
            )
        ]

    clean(asyncio.run(main()))


def test_a_client_cannot_be_pickled_with_its_secrets() -> None:
    clock = VirtualClock(START)
    client = build_client(Wire(clock, script(200)))
    with pytest.raises((TypeError, pickle.PicklingError, AttributeError)):
        pickle.dumps(client)


def test_a_wrong_key_file_does_not_show_its_text() -> None:
    text = "-----BEGIN PRIVATE KEY-----\n" + BOT_SECRET + "\n-----END PRIVATE KEY-----\n"
    with pytest.raises(ConfigError) as caught:
        read_key(account(private_key=text))
    clean(whole(caught.value))


def test_an_unreadable_token_answer_does_not_show_it() -> None:
    body = f'{{"access_token": "{TOKEN}\\u0001"}}'.encode()
    with pytest.raises(Exception, match="アクセストークン") as caught:
        decipher_token(body, asked_at=START)
    clean(whole(caught.value))


def test_a_rejected_callback_does_not_show_the_bot_secret() -> None:
    for raw in (b"{}", b"x" * (2 << 20)):
        with pytest.raises(Exception, match="コールバック") as caught:
            parse_callback(raw, {"x-works-signature": "x"}, bot_secret=BOT_SECRET, bot_id=BOT)
        error = caught.value
        clean([repr(error), str(error), repr(error.__dict__), "".join(traceback.format_exception(error))])


def test_a_cancelled_send_does_not_show_the_token() -> None:
    clock = VirtualClock(START)

    sent = asyncio.Event()

    async def never(seen: Seen) -> Any:
        sent.set()
        await asyncio.get_running_loop().create_future()

    async def one(client: LineWorksClient, wire: Wire) -> list[str]:
        task = asyncio.create_task(client.bots.get(1))
        await sent.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return [
            text for text in whole(caught.value) if "Wire." not in text and "handle_async_request" not in text
        ]

    found, _ = run(one, never, clock=clock, wire={"token_reply": token_reply})
    assert found
    clean(found)


def test_httpx_does_not_log_whole_addresses(caplog: pytest.LogCaptureFixture) -> None:
    """Its INFO lines hold login ids and one-off keys."""

    async def main() -> None:
        mounts: dict[str, httpx.AsyncBaseTransport] = {
            "all://api.invalid": httpx.MockTransport(lambda r: httpx.Response(200))
        }
        async with build_http(mounts=mounts, real_network=False) as http:
            await http.get(f"http://api.invalid/users/{LOGIN}?key={ONE_OFF}")
            with pytest.raises(httpx.ConnectError):
                await http.get("http://other.invalid/")

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert ONE_OFF not in caplog.text


def test_nothing_is_left_open() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        async def main() -> None:
            async with build_http() as http:
                assert http.timeout.connect == 10.0
                assert not http.follow_redirects

        asyncio.run(main())
        gc.collect()
