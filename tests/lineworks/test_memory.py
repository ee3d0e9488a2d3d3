"""What is not asked again by this process, and what a write may have mended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bousai_kit.clock import VirtualClock
from bousai_kit.errors import Conflict, InvalidRequest, NotFound, PermissionDenied
from bousai_kit.lineworks.client import LineWorksClient
from bousai_kit.lineworks.memory import RefusalMemory, request_key
from tests.lineworks.wirelab import BOT, START, Seen, Wire, build_client, run, sample, script

ABSENT = "externalKey:S0009"


async def look(client: LineWorksClient) -> str:
    try:
        await client.users.get(ABSENT)
    except NotFound:
        return "absent"
    return "there"


def test_a_look_up_that_found_nothing_rests_ten_seconds() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> list[int]:
        counts = []
        for wait in (0, 0, 9.5, 1, 5):
            await wire.clock.sleep(wait)
            assert await look(client) == "absent"
            counts.append(len(wire.seen))
        return counts

    counts, _ = run(use, script(sample("refusal/404")))
    assert counts == [1, 1, 1, 2, 2]


def test_a_look_up_is_asked_again_once_something_was_written() -> None:
    def reply(seen: Seen) -> Any:
        if seen.method == "GET":
            return sample("refusal/404") if seen.number == 1 else (200, {"userId": "u9"})
        return sample("users/201")

    async def use(client: LineWorksClient, wire: Wire) -> None:
        assert await look(client) == "absent"
        await client.users.create({"email": "s0009@city-demo"})
        assert await look(client) == "there"

    error, wire = run(use, reply)
    assert error is None
    assert len(wire.seen) == 3


def test_also_when_it_is_unknown_whether_something_was_written() -> None:
    def reply(seen: Seen) -> Any:
        return sample("refusal/404") if seen.method == "GET" else 500

    async def use(client: LineWorksClient, wire: Wire) -> None:
        assert await look(client) == "absent"
        with pytest.raises(Exception, match="分かりません"):
            await client.users.create({"email": "s0009@city-demo"})
        assert await look(client) == "absent"

    _, wire = run(use, reply)
    assert [seen.method for seen in wire.seen] == ["GET", "POST", "GET"]


def test_also_when_nobody_waited_for_the_write_to_end() -> None:
    """Somebody pressed stop in the moment of sending: the member may be there, so it is looked up anew."""

    async def reply(seen: Seen) -> Any:
        if seen.method == "GET":
            return sample("refusal/404") if seen.number == 1 else (200, {"userId": "u9"})
        await asyncio.Event().wait()

    async def use(client: LineWorksClient, wire: Wire) -> None:
        assert await look(client) == "absent"
        stopped = asyncio.create_task(client.users.create({"email": "s0009@city-demo"}))
        await wire.clock.sleep(1.0)
        stopped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopped
        assert await look(client) == "there"

    error, wire = run(use, reply)
    assert error is None
    assert [seen.method for seen in wire.seen] == ["GET", "POST", "GET"]


def test_a_look_up_that_a_write_overtook_is_not_remembered() -> None:
    """The 404 was decided before the write was done; it says nothing of the time after it."""
    clock = VirtualClock(START)

    async def reply(seen: Seen) -> Any:
        if seen.method == "GET":
            await clock.sleep(1.0 if seen.number == 1 else 0.0)
            return sample("refusal/404") if seen.number == 1 else (200, {"userId": "u9"})
        return sample("users/201")

    async def use(client: LineWorksClient, wire: Wire) -> None:
        slow = asyncio.create_task(look(client))
        await clock.sleep(0.1)
        await client.users.create({"email": "s0009@city-demo"})
        assert await slow == "absent"
        assert await look(client) == "there"

    error, _ = run(use, reply, clock=clock)
    assert error is None


@pytest.mark.parametrize(
    ("name", "kind"), [("400", InvalidRequest), ("403", PermissionDenied), ("409", Conflict)]
)
def test_a_refused_write_stays_refused(name: str, kind: type[Exception]) -> None:
    body = {"email": "s0001@city-demo", "userExternalKey": "S0001"}

    def reply(seen: Seen) -> Any:
        return sample(f"refusal/{name}") if seen.method == "POST" else (200, {})

    async def use(client: LineWorksClient, wire: Wire) -> None:
        errors = []
        for _ in range(3):
            with pytest.raises(kind) as caught:
                await client.users.create(body)
            errors.append(caught.value)
            await client.users.patch("u2", {"nickName": "試験"})
            await wire.clock.sleep(3600)
        assert len({id(error) for error in errors}) == 3  # each its own, with its own traceback
        assert len({str(error) for error in errors}) == 1
        with pytest.raises(kind):
            await client.users.create({**body, "employeeNumber": "1"})  # a mended one is another request

    error, wire = run(use, reply)
    assert error is None
    assert sum(seen.method == "POST" for seen in wire.seen) == 2


def test_after_a_visit_of_the_doctor_a_mended_refusal_is_asked_anew() -> None:
    """The bot was opened to all in the console, the doctor says so: the same message goes out."""

    async def use(client: LineWorksClient, wire: Wire) -> None:
        send = client.messages.to_user
        for _ in range(2):
            with pytest.raises(PermissionDenied):
                await send(BOT, "u1", {"type": "text", "text": "同文"})
        assert len(wire.seen) == 1
        client.shared.anew()
        await send(BOT, "u1", {"type": "text", "text": "同文"})

    error, wire = run(use, script(sample("refusal/403"), 201))
    assert error is None
    assert len(wire.seen) == 2


def test_the_same_message_to_another_person_is_another_request() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        for person in ("u1", "u2", "u1"):
            with pytest.raises(PermissionDenied):
                await client.messages.to_user(BOT, person, {"type": "text", "text": "同文"})

    _, wire = run(use, script(sample("refusal/403")))
    assert len(wire.seen) == 2


def test_reads_and_deletions_are_asked_anew_after_a_write() -> None:
    def reply(seen: Seen) -> Any:
        if seen.method == "POST":
            return 200, {}
        return sample("refusal/403") if seen.number < 4 else (200, {"positions": [], "responseMetaData": {}})

    async def use(client: LineWorksClient, wire: Wire) -> list[Any]:
        async def positions() -> list[Any]:
            return [entry async for entry in client.positions.list()]

        for _ in range(2):
            with pytest.raises(PermissionDenied):
                await positions()
            with pytest.raises(PermissionDenied):
                await client.orgunits.delete("o1")
        assert len(wire.seen) == 2
        await client.positions.enable()
        await client.orgunits.delete("o1")
        return await positions()

    found, wire = run(use, reply)
    assert found == []
    assert [seen.method for seen in wire.seen] == ["GET", "DELETE", "POST", "DELETE", "GET"]


def test_401_and_429_are_not_remembered() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        for _ in range(2):
            with pytest.raises(Exception, match="401"):
                await client.bots.get(1)
            wire.clock.advance(100)

    _, wire = run(use, script(sample("refusal/401")))
    assert len(wire.seen) == 4


def test_asking_all_the_same() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        for _ in range(2):
            with pytest.raises(NotFound):
                await client.call("GET", "/users/x", operation="users.get", again=True)

    _, wire = run(use, script(sample("refusal/404")))
    assert len(wire.seen) == 2


def test_clients_of_one_process_remember_together() -> None:
    clock = VirtualClock(START)
    wire = Wire(clock, script(sample("refusal/400")))

    async def main() -> None:
        one, other = build_client(wire, shared=None), build_client(wire, shared=None)
        for client in (one, other):
            with pytest.raises(InvalidRequest):
                await client.users.create({"email": "x"})

    asyncio.run(main())
    assert len(wire.seen) == 1


def test_memory_is_bounded_and_holds_no_body() -> None:
    memory = RefusalMemory()
    for number in range(20_100):
        memory.refused(
            str(number), method="POST", status=400, writes=0, now=0.0, make=lambda: NotFound(status=404)
        )
    memory.check("99", 1.0)  # the oldest are forgotten
    with pytest.raises(NotFound):
        memory.check("20099", 1.0)
    assert "試験" not in request_key("POST", "/users", "試験 一郎".encode())
    assert request_key("POST", "/u", b"a") != request_key("POST", "/u", b"b")
    assert request_key("GET", "/u", None) != request_key("DELETE", "/u", None)
