"""Members, org units, groups and catalogues: paths, encoding, and what is never done."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from bousai_kit.clock import VirtualClock
from bousai_kit.errors import ProtocolViolation
from bousai_kit.lineworks.base import InvalidContent, external_key, quoted
from bousai_kit.lineworks.client import LineWorksClient
from bousai_kit.lineworks.paging import decipher_page
from tests.lineworks.wirelab import DOMAIN, START, Seen, Wire, run, sample

LOGIN = "s0001@city-demo"


async def collect(found: Any) -> list[Any]:
    return [item async for item in found]


CALLS: dict[str, tuple[Any, str, str, Any]] = {
    "users.get login": (lambda c: c.users.get(LOGIN), "GET", "/users/s0001%40city-demo", None),
    "users.get key": (
        lambda c: c.users.get(external_key("S 1+2")),
        "GET",
        "/users/externalKey%3AS%201%2B2",
        None,
    ),
    "users.create": (lambda c: c.users.create({"email": LOGIN}), "POST", "/users", {"email": LOGIN}),
    "users.patch": (lambda c: c.users.patch("u1", {"task": "災害"}), "PATCH", "/users/u1", {"task": "災害"}),
    "users.delete": (lambda c: c.users.delete("u1"), "DELETE", "/users/u1", None),
    "users.forcedelete": (lambda c: c.users.forcedelete("u1"), "DELETE", "/users/u1/forcedelete", None),
    "users.undelete": (lambda c: c.users.undelete("u1"), "POST", "/users/u1/undelete", None),
    "users.suspend": (lambda c: c.users.suspend("u1"), "POST", "/users/u1/suspend", None),
    "users.unsuspend": (lambda c: c.users.unsuspend("u1"), "POST", "/users/u1/unsuspend", None),
    "users.force_logout": (lambda c: c.users.force_logout("u1"), "POST", "/users/u1/force-logout", None),
    "users.leave": (
        lambda c: c.users.set_leave_of_absence("u1", start=START, end=START + timedelta(days=1)),
        "POST",
        "/users/u1/set-leave-of-absence",
        {"startTime": "2027-01-17T00:00:00+00:00", "endTime": "2027-01-18T00:00:00+00:00"},
    ),
    "users.invite": (
        lambda c: c.users.send_invitation("u1"),
        "POST",
        "/users/u1/send-invitation-email",
        {"usePrivateEmail": True},
    ),
    "users.invite to": (
        lambda c: c.users.send_invitation("u1", email="a@example.invalid"),
        "POST",
        "/users/u1/send-invitation-email",
        {"usePrivateEmail": False, "email": "a@example.invalid"},
    ),
    "users.invite all": (
        lambda c: c.users.send_invitations(),
        "POST",
        "/users/send-invitation-email",
        {"domainId": DOMAIN},
    ),
    "users.alias": (
        lambda c: c.users.add_alias("u1", "a@b"),
        "POST",
        "/users/u1/alias-emails/a%40b",
        None,
    ),
    "users.keys": (
        lambda c: c.users.set_external_keys({"u1": "S1", "u2": None}),
        "POST",
        "/users/external-keys",
        {"users": [{"id": "u1", "externalKey": "S1"}, {"id": "u2", "externalKey": None}]},
    ),
    "orgunits.create": (
        lambda c: c.orgunits.create({"orgUnitName": "北区"}),
        "POST",
        "/orgunits",
        {"displayOrder": 1, "orgUnitName": "北区"},
    ),
    "orgunits.get": (lambda c: c.orgunits.get("externalKey:K"), "GET", "/orgunits/externalKey%3AK", None),
    "orgunits.patch": (
        lambda c: c.orgunits.patch("o1", {"email": "x"}),
        "PATCH",
        "/orgunits/o1",
        {"email": "x"},
    ),
    "orgunits.move": (
        lambda c: c.orgunits.move("o1", display_order=2),
        "POST",
        "/orgunits/o1/move",
        {"displayOrder": 2, "parentOrgUnitId": None},
    ),
    "orgunits.delete": (lambda c: c.orgunits.delete("o1"), "DELETE", "/orgunits/o1", None),
    "groups.create": (
        lambda c: c.groups.create({"groupName": "本部"}),
        "POST",
        "/groups",
        {"groupName": "本部"},
    ),
    "groups.patch": (
        lambda c: c.groups.patch("g1", {"visible": True}),
        "PATCH",
        "/groups/g1",
        {"visible": True},
    ),
    "groups.add": (
        lambda c: c.groups.add_member("g1", "u1"),
        "POST",
        "/groups/g1/members",
        {"id": "u1", "type": "USER"},
    ),
    "groups.remove": (
        lambda c: c.groups.remove_member("g1", "u/1"),
        "DELETE",
        "/groups/g1/members/u%2F1",
        None,
    ),
    "groups.master": (
        lambda c: c.groups.add_administrator("g1", "u1"),
        "POST",
        "/groups/g1/administrators",
        {"userId": "u1"},
    ),
    "positions.create": (
        lambda c: c.positions.create({"positionName": "区長"}),
        "POST",
        "/directory/positions",
        {"positionName": "区長"},
    ),
    "positions.enable": (lambda c: c.positions.enable(), "POST", "/directory/positions/enable", None),
    "levels.get": (lambda c: c.levels.get("l1"), "GET", "/directory/levels/l1", None),
    "user-types.delete": (lambda c: c.user_types.delete("t1"), "DELETE", "/directory/user-types/t1", None),
}


@pytest.mark.parametrize("name", CALLS)
def test_requests(name: str) -> None:
    use, method, path, body = CALLS[name]

    async def one(client: LineWorksClient, wire: Wire) -> None:
        await use(client)

    error, wire = run(one, lambda seen: (200, {}))
    assert error is None
    seen = wire.seen[0]
    assert (seen.method, seen.target) == (method, f"/v1.0{path}")
    assert (seen.json if seen.body else None) == body
    assert len(wire.seen) == 1


LISTS = {
    "users": (lambda c: c.users.list(), "/users?domainId=10000001&count=100"),
    "users filtered": (
        lambda c: c.users.list(count=1, orderBy="NAME", searchFilterType=None),
        "/users?domainId=10000001&orderBy=NAME&count=1",
    ),
    "users keys": (
        lambda c: c.users.external_keys(has_key=False),
        "/users/external-keys?domainId=10000001&hasExternalKey=false&count=100",
    ),
    "orgUnits": (lambda c: c.orgunits.list(), "/orgunits?domainId=10000001&count=100"),
    "orgunit members": (lambda c: c.orgunits.members("o1"), "/orgunits/o1/members?count=100"),
    "groups": (lambda c: c.groups.list(), "/groups?domainId=10000001&count=100"),
    "group members": (lambda c: c.groups.members("g1"), "/groups/g1/members?count=100"),
    "group masters": (lambda c: c.groups.administrators("g1"), "/groups/g1/administrators?count=100"),
    "levels": (lambda c: c.levels.list(), "/directory/levels?domainId=10000001&count=100"),
    "positions": (lambda c: c.positions.list(), "/directory/positions?domainId=10000001&count=100"),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists(name: str) -> None:
    use, target = LISTS[name]
    names = ("users", "orgUnits", "members", "groups", "administrators", "levels", "positions")
    page = {**{each: [{"id": "x"}] for each in names}, "responseMetaData": {"nextCursor": None}}

    async def one(client: LineWorksClient, wire: Wire) -> list[Any]:
        return await collect(use(client))

    found, wire = run(one, lambda seen: (200, page))
    assert found == [{"id": "x"}]
    assert wire.seen[0].target == f"/v1.0{target}"


def test_user_types_under_their_old_name() -> None:
    async def one(client: LineWorksClient, wire: Wire) -> list[Any]:
        return await collect(client.user_types.list())

    assert run(one, lambda seen: (200, {"employmentTypes": [{"a": 1}]}))[0] == [{"a": 1}]


REFUSED = {
    "password by patch": lambda c: c.users.patch("u1", {"passwordConfig": {}}),
    "me": lambda c: c.users.get("me"),
    "51 keys": lambda c: c.users.set_external_keys({f"u{n}": "x" for n in range(51)}),
    "no keys": lambda c: c.users.set_external_keys({}),
    "key with a slash": lambda c: c.users.set_external_keys({"u1": "a/b"}),
    "history of a group": lambda c: c.groups.patch("g1", {"useMessage": False}),
    "naive leave": lambda c: c.users.set_leave_of_absence("u1", start=datetime(2027, 1, 1), end=START),
    "empty id": lambda c: c.users.get(""),
    "climbing id": lambda c: c.users.get(".."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_before_anything_is_sent(name: str) -> None:
    async def one(client: LineWorksClient, wire: Wire) -> None:
        await REFUSED[name](client)

    error, wire = run(one)
    assert isinstance(error, ValueError)
    assert not wire.seen


@pytest.mark.parametrize("key", ["", "x" * 101, "a%b", "a\\b", "a#b", "a/b", "a?b"])
def test_external_keys_out_of_bounds(key: str) -> None:
    with pytest.raises(InvalidContent):
        external_key(key)


def test_external_keys_within() -> None:
    assert external_key("x" * 100) == "externalKey:" + "x" * 100
    assert quoted("users", external_key("試験")) == "/users/externalKey%3A%E8%A9%A6%E9%A8%93"


def test_never_two_writes_of_one_member_at_once() -> None:
    """By whichever of its names it is called: login id (any case), external key, userId."""
    clock = VirtualClock(START)
    flying: dict[str, int] = {}

    async def reply(seen: Seen) -> Any:
        who = "user"
        assert flying.get(who, 0) == 0, "two at once"
        flying[who] = 1
        await clock.sleep(0.1)
        flying[who] = 0
        body = {"userId": "u1", "email": LOGIN, "userExternalKey": "S0001"}
        return (201 if seen.method == "POST" else 200), body

    async def use(client: LineWorksClient, wire: Wire) -> None:
        first = asyncio.create_task(client.users.create({"email": LOGIN, "userExternalKey": "S0001"}))
        await clock.sleep(0.01)
        await asyncio.gather(
            first,
            client.users.patch(LOGIN, {"task": "1"}),
            client.users.patch("externalKey:S0001", {"task": "2"}),
        )
        names = (LOGIN, LOGIN.upper(), "u1", "externalKey:S0001")
        await asyncio.gather(
            *(client.users.patch(name, {"task": str(n)}) for n, name in enumerate(names)),
            client.users.suspend("u1"),
            client.users.set_external_keys({LOGIN: "S0002"}),
            client.users.delete("u1"),
        )

    error, wire = run(use, reply, clock=clock)
    assert error is None
    assert len(wire.seen) == 10


def test_a_name_learned_meanwhile_excludes_too() -> None:
    """A write by login id flies while a list shows whose login it is; a write by userId waits for it."""
    clock = VirtualClock(START)
    flying: list[str] = []

    async def reply(seen: Seen) -> Any:
        if seen.method == "GET":
            return 200, {"users": [{"userId": "u1", "email": LOGIN}]}
        assert not flying
        flying.append(seen.target)
        await clock.sleep(1.0)
        flying.remove(seen.target)
        return 200, {}

    async def use(client: LineWorksClient, wire: Wire) -> None:
        writes = [asyncio.create_task(client.users.patch(LOGIN, {"task": str(n)})) for n in range(2)]
        await clock.sleep(0.5)
        await collect(client.users.list())
        await asyncio.gather(*writes, client.users.patch("u1", {"task": "x"}), client.users.suspend(LOGIN))

    error, wire = run(use, reply, clock=clock)
    assert error is None
    assert len(wire.seen) == 5


def test_who_waited_under_an_old_name_looks_again() -> None:
    """A slow write by userId flies beside one by login id; the next by login id knows better by then."""
    clock = VirtualClock(START)
    flying: list[str] = []
    met: list[int] = []

    async def reply(seen: Seen) -> Any:
        if seen.method == "GET":
            return 200, {"users": [{"userId": "u1", "email": LOGIN}]}
        flying.append(seen.target)
        met.append(len(flying))
        await clock.sleep(10.0 if seen.target.endswith("/u1") else 1.0)
        flying.remove(seen.target)
        return 200, {}

    async def use(client: LineWorksClient, wire: Wire) -> None:
        await client.users.patch("u0", {"task": "0"})  # no probe stands in between
        writes = [
            asyncio.create_task(client.users.patch(who, {"task": str(n)}))
            for n, who in enumerate(("u1", LOGIN, LOGIN))
        ]
        await clock.sleep(0.5)
        await collect(client.users.list())
        await asyncio.gather(*writes)

    error, _ = run(use, reply, clock=clock)
    assert error is None
    assert met == [1, 1, 2, 1]  # the third waited for both


def test_different_members_are_written_at_the_same_time() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        await asyncio.gather(*(client.users.patch(f"u{n}", {"task": "x"}) for n in range(40)))

    _, wire = run(use, wire={"latency_s": 0.1})
    assert wire.peak == 16


def test_org_unit_writes_one_at_a_time_and_a_second_apart() -> None:
    """Of whatever kind, repeats after a 401 and after a 5xx included."""
    answers = {2: sample("refusal/401"), 4: 503}

    async def use(client: LineWorksClient, wire: Wire) -> None:
        await asyncio.gather(
            client.orgunits.create({"orgUnitName": "a"}),
            client.orgunits.patch("o1", {"email": "x"}),
            client.orgunits.delete("o2"),
            client.orgunits.move("o3", display_order=1),
            client.orgunits.create({"orgUnitName": "b"}),
        )

    error, wire = run(use, lambda seen: answers.get(seen.number, (200, {})), wire={"latency_s": 0.2})
    assert error is None
    assert wire.peak == 1
    assert len(wire.seen) == 7
    assert all(later.at - earlier.at > 1 - 1e-6 for earlier, later in pairwise(wire.seen))  # at the server
    assert wire.seen[-1].at < 15


def test_reading_org_units_does_not_wait_for_writes() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> float:
        writes = [asyncio.create_task(client.orgunits.create({"orgUnitName": str(n)})) for n in range(5)]
        await wire.clock.sleep(0.01)
        await client.orgunits.get("o1")
        at = wire.clock.monotonic()
        await asyncio.gather(*writes)
        return at

    at, wire = run(use, wire={"latency_s": 0.1})
    assert at < 0.5
    assert wire.seen[-1].at >= 4


@pytest.mark.parametrize("body", [{"users": 3}, {"users": True}, [], {"error": "x"}, "x", None])
def test_what_is_no_list_does_not_make_a_tenant_look_empty(body: Any) -> None:
    with pytest.raises(ProtocolViolation):
        decipher_page(body, ("users",))


def test_one_thing_in_place_of_a_list_is_a_list_of_one() -> None:
    assert decipher_page({"members": "All users"}, ("members",)) == (["All users"], None)
    assert decipher_page({"members": None, "responseMetaData": {"nextCursor": ""}}, ("members",)) == (
        [],
        None,
    )
