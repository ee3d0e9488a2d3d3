"""The real client against the sandbox, which was written apart from it: the main job, and many faults."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from bousai_kit.errors import (
    ApiError,
    AuthRejected,
    ForeignLocation,
    LineWorksError,
    NotFound,
    OutcomeUnknown,
    TransportFailed,
    TruncatedExport,
)
from bousai_kit.lineworks.auth import ServiceAccount
from bousai_kit.lineworks.base import external_key
from bousai_kit.lineworks.client import LineWorksClient, build_http
from bousai_kit.lineworks.logs import check_complete
from bousai_kit.lineworks.messages import ButtonTemplate, MessageAction
from bousai_kit.sandbox.directory_state import first_login
from bousai_kit.sandbox.faults import Fault, FaultPlan
from bousai_kit.sandbox.people import truth
from bousai_kit.settings import isolated_settings
from bousai_kit.workbench import SCOPES, open_workbench


@dataclass
class Tap(httpx.AsyncBaseTransport):
    """Sees what goes over the wire: requests, answers, and how often each was sent."""

    inner: httpx.AsyncBaseTransport
    answers: list[tuple[str, str, int | None]] = field(default_factory=list)
    tokens: list[int] = field(default_factory=lambda: [0])

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        path = request.url.raw_path.decode()
        if path.endswith("/token"):
            self.tokens[0] += 1
            return await self.inner.handle_async_request(request)
        key = f"{request.method} {path} {body!r}"
        try:
            answer = await self.inner.handle_async_request(request)
        except httpx.TransportError as error:
            if not isinstance(error, httpx.ConnectError):  # that one never left
                self.answers.append((key, request.method, None))
            raise
        self.answers.append((key, request.method, answer.status_code))
        return answer

    def check(self) -> None:
        """No request that was refused for good, and no POST that may have been done, was sent again."""
        final: set[str] = set()
        for key, method, status in self.answers:
            assert key not in final, key[:120]
            refused = status is not None and 400 <= status < 500 and status not in (401, 429)
            unknown = method == "POST" and (status is None or status >= 500)
            if (refused and method != "GET") or unknown:
                final.add(key)


async def with_sandbox(
    tmp_path: Path, use: Callable[[LineWorksClient, Any, Tap], Awaitable[Any]], **plan: Any
) -> Any:
    async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
        sandbox = bench.sandbox
        assert sandbox is not None
        sandbox.latency_s = 0.1  # type: ignore[attr-defined]
        for name, value in plan.items():
            setattr(sandbox, name, value)
        made = sandbox.credentials
        mounts = sandbox.mounts()
        tap = Tap(next(iter(mounts.values())))
        taps = {pattern: (tap if inner is tap.inner else Tap(inner)) for pattern, inner in mounts.items()}
        for each in taps.values():
            each.answers, each.tokens = tap.answers, tap.tokens
        async with build_http(mounts=taps, real_network=False) as http:
            client = LineWorksClient(
                http,
                account=ServiceAccount(
                    made.client_id, made.client_secret, made.service_account, made.private_key_pem, SCOPES
                ),
                api_url=sandbox.api_url,
                auth_url=sandbox.auth_url,
                domain_id=made.domain_id,
                clock=bench.clock,
                random=random.Random(1),
                allowed_hosts=sandbox.hosts(),
            )
            try:
                found = await use(client, sandbox, tap)
            finally:
                await client.aclose()
            assert not sandbox.defects  # type: ignore[attr-defined]
            return found


def body(number: int) -> dict[str, Any]:
    return {
        "domainId": 10000001,
        "email": f"s{number:05d}@city-demo",
        "userExternalKey": f"S{number:05d}",
        "userName": {"lastName": "試験", "firstName": f"{number:05d}"},
        "passwordConfig": {
            "passwordCreationType": "ADMIN",
            "password": "Kx7-mTq9-rb",
            "changePasswordAtNextLogin": False,
        },
    }


async def people(client: LineWorksClient, sandbox: Any, number: int) -> list[str]:
    """So many members in use."""
    made = await asyncio.gather(*(client.users.create(body(n)) for n in range(number)))
    for user in made:
        first_login(sandbox, user["userId"])
    return [user["userId"] for user in made]


BUTTONS = ButtonTemplate(
    "【訓練】安否確認", [MessageAction(label="無事です", postback="bk1|drill=d1|m=b01|a=1")]
)


def test_two_hundred_people_and_messages(tmp_path: Path) -> None:
    """200 members created, 200 messages within 2 s of a fresh window, no 429, one token."""

    async def use(client: LineWorksClient, sandbox: Any, tap: Tap) -> None:
        ids = await people(client, sandbox, 200)
        began = sandbox.clock.monotonic()
        accepted = await asyncio.gather(*(client.messages.to_user(2000001, who, BUTTONS) for who in ids))
        assert (
            max(one.accepted_at for one in accepted) - min(one.requested_at for one in accepted)
        ) <= timedelta(seconds=2)
        assert sandbox.clock.monotonic() - began <= 2.0
        assert client.stats.throttled == 0
        assert client.stats.requests == 400
        got = Counter(message["user"] for message in truth(sandbox)["messages"])
        assert got == Counter(ids)
        members = [user async for user in client.users.list()]
        assert len(members) == 201
        assert (await client.users.get(external_key("S00007")))["email"] == "s00007@city-demo"
        tap.check()
        assert tap.tokens == [1]

    asyncio.run(with_sandbox(tmp_path, use))


@pytest.mark.parametrize("limiter", ["fixed", "sliding", "bucket"])
def test_a_free_plan_in_each_shape(tmp_path: Path, limiter: str) -> None:
    """60 a minute without any setting: learned from the first answer, no 429."""
    from bousai_kit.sandbox.limits import Limits

    async def use(client: LineWorksClient, sandbox: Any, tap: Tap) -> None:
        ids = await people(client, sandbox, 90)
        sandbox.limits = Limits(shape=limiter, overrides={"messages.to_user": 60})
        began = sandbox.clock.monotonic()
        await asyncio.gather(*(client.messages.to_user(2000001, who, BUTTONS) for who in ids))
        least = 30.0 if limiter == "bucket" else 60.0
        assert client.stats.throttled == 0
        assert sandbox.clock.monotonic() - began <= least * (2.1 if limiter == "bucket" else 1.03)

    asyncio.run(with_sandbox(tmp_path, use))


def test_directory_and_logs_end_to_end(tmp_path: Path) -> None:
    """Org units, positions, groups, rooms, exports: what the client sends is what the sandbox takes."""

    async def use(client: LineWorksClient, sandbox: Any, tap: Tap) -> None:
        ids = await people(client, sandbox, 3)
        units = await asyncio.gather(
            *(
                client.orgunits.create(
                    {"domainId": 10000001, "orgUnitName": f"試験区{n}", "orgUnitExternalKey": f"K{n}"}
                )
                for n in range(4)
            )
        )
        assert len({unit["orgUnitId"] for unit in units}) == 4
        organizations = [
            {
                "domainId": 10000001,
                "primary": True,
                "orgUnits": [{"orgUnitId": "externalKey:K0", "primary": True}],
            }
        ]
        await asyncio.gather(
            *(client.users.patch(who, {"organizations": organizations}) for who in ids),
            client.users.patch("s00000@city-demo", {"task": "連絡"}),
            client.users.patch(external_key("S00000"), {"location": "本庁"}),
        )
        assert [m["userId"] async for m in client.orgunits.members(external_key("K0"))].sort() == ids.sort()
        with pytest.raises(ApiError):
            await client.orgunits.delete(external_key("K0"))  # it has members
        room = await client.channels.create(2000001, ids, "【訓練】北区")
        await client.messages.to_channel(2000001, room["channelId"], BUTTONS)
        assert sorted([who async for who in client.channels.members(2000001, room["channelId"])]) == sorted(
            ids
        )
        await sandbox.clock.sleep(120)
        until = sandbox.clock.now()
        raw = await client.monitoring.download(since=until - timedelta(hours=1), until=until)
        assert raw.startswith(b"\xef\xbb\xbf")
        assert "【訓練】安否確認".encode() in raw
        check_complete(raw)
        began = sandbox.clock.monotonic()
        await client.audit.download(service="auth", since=until - timedelta(hours=1), until=until)
        await client.audit.download(service="message", since=until - timedelta(hours=1), until=until)
        assert sandbox.clock.monotonic() - began >= 60
        assert client.stats.throttled == 0
        tap.check()

    asyncio.run(with_sandbox(tmp_path, use))


def test_every_token_revoked_in_the_middle(tmp_path: Path) -> None:
    async def use(client: LineWorksClient, sandbox: Any, tap: Tap) -> None:
        ids = await people(client, sandbox, 60)
        sandbox.faults = FaultPlan([Fault("revoke", on="messages.to_user", nth=(20,))])
        await asyncio.gather(*(client.messages.to_user(2000001, who, BUTTONS) for who in ids))
        assert Counter(m["user"] for m in truth(sandbox)["messages"]) == Counter(ids)
        assert client.stats.throttled == 0

    asyncio.run(with_sandbox(tmp_path, use))


def test_the_console_set_to_specified_addresses_only(tmp_path: Path) -> None:
    """That ends every token at once, in the middle of a broadcast: one renewal for all, nothing twice."""

    async def use(client: LineWorksClient, sandbox: Any, tap: Tap) -> None:
        ids = await people(client, sandbox, 120)
        tap.tokens[0] = 0

        async def switch() -> None:
            await sandbox.clock.sleep(0.25)
            async with httpx.AsyncClient(mounts=sandbox.mounts()) as http:
                body = {"allowed_ips": ["127.0.0.0/8"]}
                answer = await http.put(f"{sandbox.admin_url}/console", json=body)
            assert answer.status_code == 204, answer.text

        await asyncio.gather(switch(), *(client.messages.to_user(2000001, who, BUTTONS) for who in ids))
        assert Counter(m["user"] for m in truth(sandbox)["messages"]) == Counter(ids)
        assert tap.tokens[0] == 1
        assert 1 <= sum(status == 401 for _, _, status in tap.answers) <= 16
        tap.check()

    asyncio.run(with_sandbox(tmp_path, use))


def test_a_foreign_location_is_named_and_not_asked_again(tmp_path: Path) -> None:
    async def use(client: LineWorksClient, sandbox: Any, tap: Tap) -> None:
        until = sandbox.clock.now()
        window = {"since": until - timedelta(hours=1), "until": until}
        sandbox.faults = FaultPlan([Fault("foreign", on="monitoring.*", times=1)])
        for _ in range(2):
            with pytest.raises(ForeignLocation) as caught:
                await client.monitoring.download(**window)
        assert caught.value.host == "download.elsewhere.invalid"
        assert len(tap.answers) == 1
        sandbox.faults = FaultPlan([Fault("redirect"), Fault("truncate", on="storage.*")])
        assert (await client.bots.get(2000001))["botId"] == 2000001

    asyncio.run(with_sandbox(tmp_path, use))


def test_a_truncated_export_is_seen(tmp_path: Path) -> None:
    async def use(client: LineWorksClient, sandbox: Any, tap: Tap) -> None:
        sandbox.faults = FaultPlan([Fault("truncate")])
        until = sandbox.clock.now()
        raw = await client.monitoring.download(since=until - timedelta(hours=1), until=until)
        with pytest.raises(TruncatedExport):
            check_complete(raw)

    asyncio.run(with_sandbox(tmp_path, use))


def test_a_clock_ten_minutes_off(tmp_path: Path) -> None:
    """The sandbox's clock is right, this machine's is not: one sentence says so."""

    async def use(client: LineWorksClient, sandbox: Any, tap: Tap) -> None:
        class Off:
            speed = sandbox.clock.speed

            def __getattr__(self, name: str) -> Any:
                return getattr(sandbox.clock, name)

            def now(self) -> Any:
                return sandbox.clock.now() + timedelta(minutes=10)

        client.auth._clock = Off()  # type: ignore[assignment]
        with pytest.raises(AuthRejected) as caught:
            await client.bots.get(2000001)
        assert "10 分進んで" in caught.value.hint

    asyncio.run(with_sandbox(tmp_path, use))


CHAOS = ("500", "503", "refuse", "drop", "slow", "revoke", "429", "redirect", "no_headers")


def chaos(seed: int) -> FaultPlan:
    rng = random.Random(seed)
    faults = [
        Fault(kind, on=on, probability=rng.uniform(0.01, 0.06))
        for kind in CHAOS
        for on in ("messages.*", "users.*")
    ]
    for fault in faults:
        fault.after = fault.kind in ("500", "503", "slow") and rng.random() < 0.5
        fault.seconds = rng.choice([1.0, 5.0, 40.0]) if fault.kind == "slow" else 3.0
        if fault.kind in ("revoke", "429"):
            fault.probability /= 4
    return FaultPlan(faults, seed=seed)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_twice_and_nothing_lost_in_silence(tmp_path: Path, seed: int) -> None:
    """Faults strike every tenth request or so; afterwards each outcome is held against the truth."""

    async def use(client: LineWorksClient, sandbox: Any, tap: Tap) -> int:
        ids = await people(client, sandbox, 80)
        sandbox.faults = chaos(seed)
        results = await asyncio.gather(
            *(client.messages.to_user(2000001, who, BUTTONS) for who in ids),
            *(client.users.patch(who, {"task": f"班{n}"}) for n, who in enumerate(ids)),
            *(client.users.create(body(1000 + n)) for n in range(40)),
            return_exceptions=True,
        )
        struck = sum(fault.done for fault in sandbox.faults.faults)
        sandbox.faults = FaultPlan()
        sent, patched, made = results[:80], results[80:160], results[160:]
        got = Counter(message["user"] for message in truth(sandbox)["messages"])
        for who, result in zip(ids, sent, strict=True):
            assert got[who] <= 1, "twice"
            if isinstance(result, OutcomeUnknown):
                continue
            assert got[who] == (0 if isinstance(result, BaseException) else 1), repr(result)
            assert not isinstance(result, BaseException) or isinstance(result, TransportFailed | AuthRejected)
        members = sandbox.tenant.table("users")
        for n, (who, result) in enumerate(zip(ids, patched, strict=True)):
            assert isinstance(result, LineWorksError) or members[who]["task"] == f"班{n}"
        await sandbox.clock.sleep(60)  # what was given up after 30 s may still be under way on the other side
        names = Counter(user["email"] for user in members.values())
        for n, result in enumerate(made):
            count = names[f"s{1000 + n:05d}@city-demo"]
            assert count <= 1
            if not isinstance(result, OutcomeUnknown):
                assert count == (0 if isinstance(result, BaseException) else 1)
                continue
            try:  # an unknown creation is settled by looking its key up
                found = await client.users.get(external_key(f"S{1000 + n:05d}"))
            except NotFound:
                assert count == 0
            else:
                assert count == 1
                assert found["email"] == f"s{1000 + n:05d}@city-demo"
        tap.check()
        assert client.gate._inside == 0
        return struck

    assert asyncio.run(with_sandbox(tmp_path, use)) > 10
