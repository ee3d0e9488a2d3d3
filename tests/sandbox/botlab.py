"""A small tenant for the tests of bots, rooms, people and logs: plain HTTP to a sandbox in this process."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bousai_kit.clock import Clock, VirtualClock
from bousai_kit.sandbox.auth import KNOWN_SCOPES, issue
from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.core import Credentials, Sandbox, modules
from bousai_kit.sandbox.directory_state import blank_user
from bousai_kit.sandbox.faults import FaultPlan
from bousai_kit.sandbox.store import Store
from bousai_kit.sandbox.tenant import Tenant

START = datetime(2027, 1, 17, tzinfo=UTC)
DOMAIN = 10000001
# no `join`/`joined` in talks, as the vendor announces it; `test_join_in_a_talk_is_announced_to_stop` has both
SILENT = Choices(people_answer=False, serial_service_s=0.0, join_in_1to1=False)


@lru_cache(maxsize=1)
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    """For every client of the tests: making one takes 30 ms."""
    return ssl.create_default_context()


def user(number: int, **more: Any) -> dict[str, Any]:
    """A member in use."""
    return {
        **blank_user(DOMAIN),
        "userId": f"u{number:05d}-0000-4000-8000-000000000000",
        "userExternalKey": f"S{number:05d}",
        "employeeNumber": f"S{number:05d}",
        "email": f"s{number:05d}@city-demo",
        "userName": {"lastName": "試験", "firstName": f"{number:05d}"},
        "isAdministrator": number == 0,
        "isPending": False,
        "isSuspended": False,
        "isDeleted": False,
        "isAwaiting": False,
        "organizations": [],
        **more,
    }


def uid(number: int) -> str:
    return str(user(number)["userId"])


@dataclass
class Receiver:
    """Takes callbacks; keeps bodies, headers and the moment of arrival."""

    clock: Clock
    secret: str
    status: int = 200
    events: list[dict[str, Any]] = field(default_factory=list)
    badly_signed: int = 0
    arrived: list[datetime] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        mac = hmac.new(self.secret.encode(), body, hashlib.sha256).digest()
        if base64.b64encode(mac).decode() != headers.get("x-works-signature"):
            self.badly_signed += 1
        self.headers.append(headers)
        self.arrived.append(self.clock.now())
        self.events.append(json.loads(body))
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]


class Lab:
    """A running sandbox, an HTTP client with a token, and a receiver."""

    def __init__(self, sandbox: Sandbox, http: httpx.AsyncClient, receiver: Receiver) -> None:
        self.sandbox = sandbox
        self.tenant = sandbox.tenant
        self.clock = sandbox.clock
        self.http = http
        self.receiver = receiver
        self.bot = str(sandbox.tenant.bot_id)
        self.headers = self.bearer()

    def bearer(self, *scopes: str, user_id: str = "") -> dict[str, str]:
        token = issue(
            self.tenant,
            kind="access",
            scopes=scopes or sorted(KNOWN_SCOPES),
            life_s=90 * 86400,
            now=self.clock.now(),
            user_id=user_id,
        )
        return {"Authorization": f"Bearer {token}"}

    async def api(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """One API call; `more`: params, headers."""
        headers = {**self.headers, **more.pop("headers", {})}
        if body is not None:
            more["json"] = body
        return await self.http.request(method, f"{self.sandbox.api_url}{path}", headers=headers, **more)

    async def admin(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return await self.http.request(method, f"{self.sandbox.admin_url}{path}", json=body)

    async def text(self, number: int, text: str = "【訓練】連絡です。") -> httpx.Response:
        content = {"type": "text", "text": text}
        return await self.api("POST", f"/bots/{self.bot}/users/{uid(number)}/messages", {"content": content})

    async def buttons(
        self, target: str, text: str = "【訓練】安否確認です。", code: str = "A1"
    ) -> httpx.Response:
        actions = [
            {"type": "message", "label": f"{label} {code}", "postback": f"bk1|{code}|{answer}"}
            for label, answer in (("無事です", "safe"), ("けが有り", "hurt"), ("支援が必要", "help"))
        ]
        content = {"type": "button_template", "contentText": text, "actions": actions}
        return await self.api("POST", f"/bots/{self.bot}/{target}/messages", {"content": content})

    async def room(self, *numbers: int, title: str = "本部") -> str:
        body = {"members": [uid(number) for number in numbers], "title": title}
        answer = await self.api("POST", f"/bots/{self.bot}/channels", body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["channelId"])

    def truth(self) -> dict[str, Any]:
        from bousai_kit.sandbox import people

        return people.truth(self.sandbox)


def new_tenant(people: int, *, seed: int = 1) -> Tenant:
    tenant = Tenant(seed=seed, domain_id=DOMAIN)
    for number in range(people + 1):
        tenant.put("users", uid(number), user(number))
    for module in modules():
        if module.__name__.rpartition(".")[2] in ("routes_bots", "routes_boards"):
            module.found(tenant, START)
    return tenant


def build(
    tenant: Tenant,
    *,
    clock: Clock,
    choices: Choices | None = None,
    faults: FaultPlan | None = None,
    store: Store | None = None,
    **more: Any,
) -> Sandbox:
    bot_id = tenant.bot_id
    credentials = Credentials(
        client_id="app",
        client_secret="app-secret",
        service_account="kit.serviceaccount@city-demo",
        private_key_pem=private_key(),
        domain_id=DOMAIN,
        bot_id=bot_id,
        bot_secret=str(tenant.table("bot_secrets")[str(bot_id)]["secret"]),
        line_channel_token="line",
    )
    return Sandbox(
        tenant, clock=clock, credentials=credentials, choices=choices, faults=faults, store=store, **more
    )


@contextlib.asynccontextmanager
async def lab(
    people: int = 5,
    *,
    choices: Choices | None = SILENT,
    faults: FaultPlan | None = None,
    seed: int = 1,
    path: Path | None = None,
    **more: Any,
) -> AsyncIterator[Lab]:
    clock = VirtualClock(START)
    store = Store(path) if path is not None else None
    if store is not None and not store.empty():
        tenant = Tenant()
        store.load(tenant)
        clock = VirtualClock(store.reading() or START)
    else:
        tenant = new_tenant(people, seed=seed)
    async with opened(tenant, clock=clock, choices=choices, faults=faults, store=store, **more) as bench:
        yield bench


@contextlib.asynccontextmanager
async def opened(
    tenant: Tenant, *, clock: Clock | None = None, choices: Choices | None = None, **more: Any
) -> AsyncIterator[Lab]:
    """A running sandbox of any tenant, with a receiver; no defect may have shown up in it."""
    running = clock or VirtualClock(START)
    sandbox = build(tenant, clock=running, choices=choices, **more)
    receiver = Receiver(running, sandbox.credentials.bot_secret)
    sandbox.connect_receiver(receiver)
    await sandbox.start()
    try:
        async with httpx.AsyncClient(mounts=sandbox.mounts(), trust_env=False, verify=tls()) as http:
            yield Lab(sandbox, http, receiver)
        assert sandbox.defects == []
    finally:
        await sandbox.stop()


def trial(test: Callable[[Lab], Awaitable[None]], people: int = 5, **more: Any) -> None:
    """Run a test coroutine in a fresh lab."""

    async def run() -> None:
        async with lab(people, **more) as bench:
            await test(bench)

    asyncio.run(run())
