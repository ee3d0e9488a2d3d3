"""Hostile bodies, queries and orders of events at the directory: no 500, no stale index, no half change."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.core import Sandbox
from bousai_kit.sandbox.directory_index import TERMS, Index
from bousai_kit.sandbox.directory_index import index as index_of
from bousai_kit.sandbox.directory_state import new_user
from bousai_kit.sandbox.ops import Operation
from bousai_kit.sandbox.store import Store
from bousai_kit.sandbox.tenant import Tenant
from tests.sandbox.botlab import DOMAIN, lab, uid
from tests.sandbox.directorylab import STILL, Desk, at_desk, in_unit, new_group, new_member

QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, max_examples=15)
ANYTHING = settings(
    QUICK, max_examples=200, phases=(Phase.generate,)
)  # one tenant for all: nothing to shrink
CALM = Choices(people_answer=False, people_log_in=False, orgunit_too_fast="accept", serial_service_s=0.0)

# -- anything at all --------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        [
            "",
            " ",
            "externalKey:",
            "externalKey:K",
            uid(1),
            "s00001@city-demo",
            "ORGUNIT",
            "USER",
            "ADMIN",
            "x" * 3000,
        ]
    ),
    st.sampled_from([DOMAIN, -1, 0, 1 << 31, 1 << 63, 10**400]),
    st.sampled_from(
        ["2027-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2027-02-30T00:00:00Z"]
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.text(max_size=8), st.sampled_from(["id", "userId", "type"])), inner, max_size=4
        ),
    ),
    max_leaves=12,
)


def properties_of(operation: Operation) -> list[str]:
    return sorted((operation.body or {}).get("properties", {})) + EXTRA


EXTRA = [
    "organizations", "orgUnits", "relations", "messenger", "activationDate", "customProperties",
    "aliasEmails", "timeZone", "birthday", "passwordConfig", "users", "groups", "levels",
    "externalKey", "usePrivateEmail",
]  # fmt: skip
GOOD: dict[str, Callable[[], dict[str, Any]]] = {
    "users": new_member,
    "groups": new_group,
    "orgunits": lambda: {"domainId": DOMAIN, "orgUnitName": "課", "displayOrder": 1},
    "levels": lambda: {"domainId": DOMAIN, "levelName": "級", "displayOrder": 1, "executive": True},
    "positions": lambda: {"domainId": DOMAIN, "positionName": "長", "displayOrder": 1},
}


def operations(sandbox: Sandbox) -> list[Operation]:
    found = sandbox.routers["api"].operations
    return sorted((op for op in found if op.paragraph.startswith("1 §")), key=lambda op: op.name)


PARTS = ("userId", "orgUnitId", "groupId", "memberId", "levelId", "positionId", "userTypeId", "email")
STATUSES = (200, 201, 202, 204, 302, 400, 403, 404, 409, 413, 415)


def test_no_body_and_no_query_breaks_an_operation() -> None:
    """Every operation of the directory answers 2xx, 302 or 4xx; `sandbox.defects` stays empty (see `lab`)."""

    async def once(desk: Desk, data: st.DataObject) -> None:
        operation = data.draw(st.sampled_from(operations(desk.bench.sandbox)))
        path = operation.path.replace("{customPropertyId}", "x")
        for name in PARTS:
            if f"{{{name}}}" in path:
                path = path.replace(f"{{{name}}}", data.draw(PATHS))
        body: Any = data.draw(JSON)
        if data.draw(st.booleans()):
            extra = st.dictionaries(st.sampled_from(properties_of(operation)), JSON, max_size=3)
            body = {**GOOD.get(operation.name.partition(".")[0], dict)(), **data.draw(extra)}
        query = data.draw(
            st.dictionaries(st.sampled_from(["count", "cursor", "domainId", "orderBy"]), TEXTS, max_size=2)
        )
        answer = await desk.bench.api(operation.method, path, params=query, content=as_bytes(body))
        assert answer.status_code in STATUSES, (operation.name, body, answer.text)
        if answer.status_code >= 400:
            assert set(answer.json()) == {"code", "description"}
        same_as_rebuilt(desk.tenant)

    with asyncio.Runner() as runner:
        opened = lab(2, choices=CALM)
        desk = Desk(runner.run(opened.__aenter__()))
        for table in ("levels", "positions", "user_types"):
            desk.tenant.set(f"enabled:{table}:{DOMAIN}", True)
        runner.run(desk.unit(orgUnitExternalKey="K"))
        runner.run(desk.group(groupExternalKey="K", members=[{"id": uid(1), "type": "USER"}]))

        @ANYTHING
        @given(data=st.data())
        def anything(data: st.DataObject) -> None:
            runner.run(once(desk, data))

        anything()
        for table in ("users", "orgunits", "groups"):  # whatever was taken can be shown
            assert runner.run(desk.call("GET", f"/{table}")).status_code == 200
        runner.run(opened.__aexit__(None, None, None))


PATHS = st.sampled_from([
    uid(0), uid(1), uid(2), "s00001%40city-demo", "externalKey%3AK", "externalKey%3AS00002", "externalKey%3A",
    "nobody", "%20", "..", "external-keys", "me", "%F0%9F%98%80", "a%00b", "x" * 1000, "kacho%40city-demo",
])  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=12),
    st.integers().map(str),
    st.sampled_from(["NAME", "100", "MTAw", "OTk5OTk5OTk5OTk6eA==", "٣", "1e3"]),
)


def as_bytes(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=True).encode()


BYTES = [
    b"", b"null", b"[]", b'"x"', b"{", b"\xff\xfe", b"{}", b'{"a":NaN}', b'{"domainId":1e999}', b"[" * 5000,
    b'{"email":"\\ud800"}', b'{"userName":{"lastName":"\\u0000"}}', b'{"a":1}' + b" " * (1 << 20),
    "﻿{}".encode(), b'{"domainId":10000001,"domainId":null}',
]  # fmt: skip


def test_no_bytes_break_an_operation() -> None:
    async def test(desk: Desk) -> None:
        for operation in operations(desk.bench.sandbox):
            path = operation.path.replace("{email}", "x%40y.invalid")
            for name in ("userId", "orgUnitId", "groupId", "memberId", "levelId", "positionId", "userTypeId"):
                path = path.replace(f"{{{name}}}", uid(0))
            path = path.replace("{customPropertyId}", "x")
            for body in BYTES if operation.method != "GET" else [b""]:
                answer = await desk.call(operation.method, path, content=body)
                assert answer.status_code < 500, (operation.name, body[:40])

    at_desk(
        test,
        choices=Choices(
            people_answer=False, people_log_in=False, orgunit_too_fast="accept", serial_service_s=0
        ),
    )


# -- any order of events ----------------------------------------------------------------------------


def same_as_rebuilt(tenant: Tenant) -> None:
    """The indexes that were kept equal those made from the tables."""
    for table, terms in TERMS.items():
        kept, fresh = index_of(tenant, table), Index(tenant.table(table), terms)
        assert kept._of == fresh._of
        assert {term: set(keys) for term, keys in kept._by.items()} == {
            term: set(keys) for term, keys in fresh._by.items()
        }


def change(what: int, first: int, second: int, units: list[str], group: str) -> tuple[str, str, Any]:
    user, key = f"/users/{uid(first)}", f"S0000{second}"
    place = in_unit(units[second], isManager=True)
    return (
        ("PATCH", user, {"userExternalKey": key}),
        ("PATCH", user, {"email": f"{key.lower()}@city-demo"}),
        ("PATCH", user, {"organizations": place}),
        ("DELETE", user, None),
        ("POST", f"{user}/undelete", None),
        ("DELETE", f"{user}/forcedelete", None),
        ("POST", "/users", new_member(key.lower(), userExternalKey=key, organizations=place)),
        ("DELETE", f"/orgunits/{units[first]}", None),
        ("POST", f"/groups/{group}/members", {"id": uid(first), "type": "USER"}),
    )[what]


STEP = st.tuples(st.integers(0, 9), st.integers(1, 4), st.integers(1, 4))


@QUICK
@given(steps=st.lists(STEP, min_size=4, max_size=25))
def test_any_order_of_changes_keeps_indexes_names_and_rooms_right(steps: list[tuple[int, int, int]]) -> None:
    async def test(desk: Desk) -> None:
        units = [(await desk.unit(f"課{n}", orgUnitExternalKey=f"U{n}"))["orgUnitId"] for n in range(5)]
        inside = [{"id": units[1], "type": "ORGUNIT"}, {"id": uid(2), "type": "USER"}]
        group = (await desk.group(members=inside))["groupId"]
        for what, first, second in steps:
            if what == 9:
                await desk.days(3)
            else:
                await desk.call(*change(what, first, second, units, group))
        same_as_rebuilt(desk.tenant)
        users = list(desk.tenant.table("users").values())
        for key in ("email", "userExternalKey", "userId"):
            values = [user[key] for user in users if user[key]]
            assert len(values) == len(set(values))
        for unit in units:
            if unit in desk.tenant.table("orgunits"):
                members = (await desk.get(f"/orgunits/{unit}/members"))["members"]
                assert sum(member["isManager"] for member in members) <= 1
        listed = await desk.pages("/users", "users", count=2)
        assert [user["userId"] for user in listed] == [user["userId"] for user in users]
        for member in desk.tenant.table("groups")[group]["members"]:
            if member["type"] == "USER":
                assert not desk.state(member["id"])["isDeleted"]

    at_desk(test, people=4)


def test_whatever_was_answered_is_there_after_a_kill(tmp_path: Path) -> None:
    """The file alone, read as if the process had just died, holds every answered change."""

    async def run() -> None:
        async with lab(3, path=tmp_path / "tenant.db", choices=STILL) as bench:
            desk = Desk(bench)
            await desk.unit(orgUnitExternalKey="K")
            user = await desk.member("taro", userExternalKey="T", organizations=in_unit("externalKey:K"))
            await desk.done("PATCH", f"/users/{uid(1)}", {"email": "neu@city-demo"})
            await desk.done("DELETE", f"/users/{uid(2)}/forcedelete", None, 204)
            await desk.wrong("PATCH", f"/users/{uid(3)}", {"nickName": "x", "cellPhone": "x"})
            store, found = Store(tmp_path / "tenant.db"), Tenant()
            store.load(found)
            store.close()
            assert found.tables["users"] == desk.tenant.tables["users"]
            assert found.table("accounts") == desk.tenant.table("accounts")
            assert found.table("users")[user["userId"]]["userExternalKey"] == "T"
            assert uid(2) not in found.table("users")
            same_as_rebuilt(found)

    asyncio.run(run())


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_gives_the_same_ids_and_logins_in_any_order(seed: int) -> None:
    """Design §2: equal seeds give equal numbers; who is created when does not change when others log in."""

    async def state(order: list[int]) -> dict[str, Any]:
        async with lab(0, seed=seed, choices=Choices(people_answer=False, serial_service_s=0.0)) as bench:
            desk = Desk(bench)
            for number in order:
                await desk.member(f"b{number:02d}", employeeNumber=f"{number:06d}")
            due = [
                entry for entry in desk.tenant.table("due").values() if entry["kind"] == "people.first_login"
            ]
            return {entry["payload"]["u"]: entry["due"] for entry in due}

    async def both() -> None:
        assert await state(list(range(20))) == await state(list(reversed(range(20))))

    asyncio.run(both())


async def cost(size: int) -> float:
    """CPU seconds of sixty requests in a tenant of so many members."""
    async with lab(0, choices=STILL) as bench:
        desk = Desk(bench)
        for number in range(size):
            new_user(
                bench.tenant,
                email=f"b{number:05d}@city-demo",
                last_name="試験",
                external_key=f"B{number:05d}",
            )
        await desk.member("first")
        costs = []
        for turn in range(3):
            began = time.process_time()
            for number in range(20):
                await desk.member(f"neu{turn}x{number}")
                await desk.get(f"/users/externalKey%3AB{number:05d}")
                await desk.get("/users", count=1)
            costs.append(time.process_time() - began)
        return min(costs)


def test_a_request_in_a_city_of_30000_costs_about_what_it_costs_in_a_town() -> None:
    """150 times the sample: creates, look-ups and pages do not walk through everybody."""
    assert asyncio.run(cost(30_000)) < 10 * asyncio.run(cost(200)) + 0.1
