"""A small wire for the tests of the client: a transport that records, a virtual clock, wire samples."""

from __future__ import annotations

import asyncio
import inspect
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bousai_kit.clock import VirtualClock
from bousai_kit.lineworks.auth import ServiceAccount
from bousai_kit.lineworks.client import LineWorksClient, Shared, build_http

START = datetime(2027, 1, 17, tzinfo=UTC)
API = "https://www.worksapis.com/v1.0"
AUTH = "https://auth.worksmobile.com/oauth2/v2.0"
DOMAIN, BOT = 10000001, 2000001
SECRET = "planted-client-secret-5b1f"
SAMPLES = Path(__file__).parent / "samples"


@lru_cache(maxsize=2)
def key_pair(number: int = 0) -> tuple[str, Any]:
    """A private key as PEM text, and its public half."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return pem, key.public_key()


def account(**changes: Any) -> ServiceAccount:
    fields: dict[str, Any] = {
        "client_id": "client-1",
        "client_secret": SECRET,
        "service_account": "abcde.serviceaccount@city-demo",
        "private_key": key_pair()[0],
        "scopes": ("bot", "user"),
    }
    return ServiceAccount(**{**fields, **changes})


def sample(name: str) -> httpx.Response:
    """An answer from ``samples/NAME.http``: status line, headers, blank line, body."""
    head, _, body = (SAMPLES / f"{name}.http").read_bytes().partition(b"\n\n")
    first, *lines = head.decode().split("\n")
    headers = [(line.partition(":")[0], line.partition(":")[2].strip()) for line in lines]
    return httpx.Response(int(first.split()[1]), headers=headers, content=body.removesuffix(b"\n"))


@dataclass(frozen=True)
class Seen:
    """One request as the wire saw it."""

    number: int  # from 1
    at: float  # monotonic seconds
    method: str
    target: str  # path and query as sent
    host: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


Reply = Callable[[Seen], Any]


def made(answer: Any, request: httpx.Request) -> httpx.Response:
    """A status, ``(status, json)``, ``(status, json, headers)``, a response, or an error to raise."""
    if isinstance(answer, type) and issubclass(answer, httpx.RequestError):
        raise answer("on purpose", request=request)
    if isinstance(answer, BaseException):
        raise answer
    if isinstance(answer, int):
        return httpx.Response(answer)
    if isinstance(answer, tuple):
        headers = answer[2] if len(answer) > 2 else None
        return httpx.Response(answer[0], json=answer[1], headers=headers)
    assert isinstance(answer, httpx.Response)
    return answer


@dataclass(repr=False)
class Wire(httpx.AsyncBaseTransport):
    """Answers by `reply`; hands out tokens ``token-1``, ``token-2``, … on the auth host."""

    clock: VirtualClock
    reply: Reply
    latency_s: float = 0.0
    token_reply: Callable[[dict[str, str]], Any] | None = None
    life: Any = "86400"
    seen: list[Seen] = field(default_factory=list)
    token_forms: list[dict[str, str]] = field(default_factory=list)
    token_bodies: list[bytes] = field(default_factory=list)
    flying: int = 0
    peak: int = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        if request.url.host.startswith("auth."):
            return made(await self._token(body), request)
        seen = Seen(
            len(self.seen) + 1,
            self.clock.monotonic(),
            request.method,
            request.url.raw_path.decode(),
            request.url.host,
            dict(request.headers),
            body,
        )
        self.seen.append(seen)
        self.flying += 1
        self.peak = max(self.peak, self.flying)
        try:
            if self.latency_s:
                await self.clock.sleep(self.latency_s / 2)
            answer = self.reply(seen)
            if inspect.isawaitable(answer):
                answer = await answer
            if self.latency_s:
                await self.clock.sleep(self.latency_s / 2)
            return made(answer, request)
        finally:
            self.flying -= 1

    async def _token(self, body: bytes) -> Any:
        form = {name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}
        self.token_bodies.append(body)
        self.token_forms.append(form)
        if self.latency_s:
            await self.clock.sleep(self.latency_s)
        if self.token_reply is not None:
            return self.token_reply(form)
        return self.token(len(self.token_forms))

    def token(self, number: int) -> tuple[int, dict[str, Any], dict[str, str]]:
        body = {"access_token": f"token-{number}", "token_type": "Bearer", "expires_in": self.life}
        return 200, body, {"Date": self.date()}

    def date(self, ahead_s: float = 0.0) -> str:
        return format_datetime(self.clock.now() + timedelta(seconds=ahead_s), usegmt=True)


def script(*answers: Any) -> Reply:
    """One answer after the other; the last one goes on."""

    def reply(seen: Seen) -> Any:
        return answers[min(seen.number, len(answers)) - 1]

    return reply


def build_client(wire: Wire, **more: Any) -> LineWorksClient:
    """A client on this wire; its HTTP client needs no closing (the transport holds nothing)."""
    fields: dict[str, Any] = {
        "account": account(),
        "api_url": API,
        "auth_url": AUTH,
        "domain_id": DOMAIN,
        "clock": wire.clock,
        "random": random.Random(1),
        "real_network": False,
        "shared": Shared(clock=wire.clock),
    }
    http = build_http(mounts={"all://": wire}, real_network=False)
    return LineWorksClient(http, **{**fields, **more})


def run(
    use: Callable[[LineWorksClient, Wire], Awaitable[Any]],
    reply: Reply | None = None,
    *,
    clock: VirtualClock | None = None,
    wire: Mapping[str, Any] | None = None,
    **more: Any,
) -> tuple[Any, Wire]:
    """Run a coroutine with a client; what it returned or raised, and the wire."""
    clock = clock or VirtualClock(START)
    there = Wire(clock, reply or script((200, {})), **(wire or {}))

    async def main() -> Any:
        client = build_client(there, **more)
        try:
            return await use(client, there)
        except Exception as error:
            return error
        finally:
            await client.aclose()
            assert client.gate._inside == 0, "a place in the gate was not given back"

    return asyncio.run(main()), there
