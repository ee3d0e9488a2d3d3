"""The sandbox against its own description: no 500, ever; nothing hangs; a refusal changes nothing.

The long form is ``bench/fuzz.py``; how requests are made and judged stands in ``fuzzlab``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bousai_kit.clock import VirtualClock
from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.core import Sandbox
from bousai_kit.sandbox.faults import Fault
from bousai_kit.sandbox.limits import Limits
from bousai_kit.sandbox.openapi import AUTH_OPERATIONS, build_openapi, openapi_of
from bousai_kit.sandbox.ops import Call, Operation, Reply, Router
from bousai_kit.sandbox.seed import found_tenant
from bousai_kit.sandbox.store import Store
from tests.sandbox.botlab import START, build
from tests.sandbox.fuzzlab import METHODS, RARE, Trial, Wish, operations_of, same_when_loaded
from tests.yardstick import stint

CALM = Choices(serial_service_s=0.0, log_open_s=0.0, orgunit_too_fast="accept", callback_timeout_s=0.5)
SERVERS = {host: f"http://{host}.example.invalid" for host in ("api", "auth", "storage", "admin")}
ANY_ORDER = settings(
    deadline=None, derandomize=True, max_examples=50, suppress_health_check=list(HealthCheck)
)


@contextlib.asynccontextmanager
async def trial(
    folder: Path | None = None, *, people: int = 3, plan: str = "advanced", **choices: Any
) -> AsyncIterator[Trial]:
    """A small tenant with all features on, and one who asks; nothing may have been wrong at the end."""
    tenant = found_tenant(seed=1, now=START, people=people)
    for feature in ("levels", "positions", "user_types", "profile_statuses"):
        tenant.set(f"enabled:{feature}:{tenant.domain_id}", True)
    store = Store(folder / "tenant.db") if folder is not None else None
    drawn = Choices(**{name: getattr(CALM, name) for name in CALM.__dataclass_fields__} | choices)
    sandbox = build(tenant, clock=VirtualClock(START), choices=drawn, store=store)
    sandbox.limits = Limits(plan=plan, choices=drawn)
    sandbox.auth.plan = plan
    await sandbox.start()
    try:
        found = Trial(sandbox)
        await found.furnish()
        yield found
        assert found.problems == []
        if store is not None:
            assert same_when_loaded(sandbox) == []
    finally:
        await sandbox.stop()


def described(**more: Any) -> tuple[Sandbox, dict[str, Any]]:
    sandbox = build(found_tenant(seed=1, now=START), clock=VirtualClock(START), **more)
    return sandbox, openapi_of(sandbox)


# -- the document -----------------------------------------------------------------------------------


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return here + [ref for item in value.values() for ref in references(item)]
    return [ref for item in value for ref in references(item)] if isinstance(value, list) else []


def test_the_document_keeps_to_openapi() -> None:
    _, document = described()
    assert json.loads(json.dumps(document)) == document
    assert document["openapi"] == "3.1.0"
    assert set(document) <= {
        "openapi", "info", "jsonSchemaDialect", "servers", "paths", "components", "tags",
    }  # fmt: skip
    for ref in references(document):
        found: Any = document
        for part in ref.removeprefix("#/").split("/"):
            found = found[part]
        assert found
    shapes: dict[tuple[str, str], str] = {}
    tags = {tag["name"] for tag in document["tags"]}
    names: list[str] = []
    texts = {json.dumps(schema) for schema in document["components"]["schemas"].values()}
    for path, item in document["paths"].items():
        assert path.startswith("/")
        assert set(item) <= set(METHODS)
        for operation in item.values():
            shape = re.sub(r"\{[^}]*\}", "{}", path)
            assert shapes.setdefault((operation["x-host"], shape), path) == path, "two names of one thing"
            inside = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
            assert inside == re.findall(r"\{([^}]*)\}", path)
            assert all(one["required"] for one in operation["parameters"] if one["in"] == "path")
            keys = [(one["in"], one["name"]) for one in operation["parameters"]]
            assert len(keys) == len(set(keys))
            names.append(operation["operationId"])
            assert set(operation["tags"]) <= tags
            assert all(re.fullmatch(r"[1-5][0-9]{2}", status) for status in operation["responses"])
            assert all(
                "description" in answer or "$ref" in answer for answer in operation["responses"].values()
            )
            schemas = [one["schema"] for one in operation["parameters"]]
            schemas += [
                media["schema"] for media in operation.get("requestBody", {}).get("content", {}).values()
            ]
            texts |= {json.dumps(schema, sort_keys=True) for schema in schemas}
    for text in texts:
        Draft202012Validator.check_schema(json.loads(text))
    assert len(names) == len(set(names))


def test_every_operation_is_in_it_as_its_table_says() -> None:
    sandbox, document = described()
    entries = operations_of(document)
    tables = [operation for router in sandbox.routers.values() for operation in router.operations]
    assert set(entries) == {operation.name for operation in tables} | set(AUTH_OPERATIONS)
    assert len(entries) == len(tables) + len(AUTH_OPERATIONS)
    for operation in tables:
        path, method, entry = entries[operation.name]
        assert (path, method.upper(), entry["x-host"]) == (operation.path, operation.method, operation.host)
        assert str(operation.success) in entry["responses"]
        scopes = [scope for option in entry["security"] for scope in option["bearer"]]
        assert tuple(scopes) == operation.scopes
        if operation.host == "admin":
            assert entry["security"] == []
        if operation.paragraph:
            assert operation.paragraph.partition(" ")[2] in entry["description"]
        if operation.limit != "none" and operation.success != 302:
            assert "RateLimit-Remaining" in entry["responses"][str(operation.success)]["headers"]


def test_the_console_gives_it_with_the_addresses_in_use() -> None:
    async def run() -> None:
        async with trial() as asker:
            asker.sandbox.api_url = "http://127.0.0.1:1234/v1.0"
            answer = await asker.send(
                Wish("admin.openapi", "admin", "GET", b"/openapi.json", documented=("200",))
            )
            assert answer.status == 200
            assert json.loads(answer.body) == openapi_of(asker.sandbox)
            assert b"http://127.0.0.1:1234/v1.0" in answer.body

    asyncio.run(run())


def test_two_operations_of_one_name_or_one_place_are_a_mistake() -> None:
    def one(name: str, path: str) -> Operation:
        return Operation(name, "GET", path, (), lambda call: Reply())

    assert build_openapi([one("a", "/a"), one("b", "/b")], servers=SERVERS)["paths"]
    for second in (one("a", "/b"), one("b", "/a")):
        with pytest.raises(ValueError, match="twice"):
            build_openapi([one("a", "/a"), second], servers=SERVERS)


def test_whoever_reads_a_body_describes_it() -> None:
    """What has no body in the description takes no notice of one."""

    async def run() -> None:
        async with trial(people=3) as asker:
            chance = random.Random(1)
            for name, (_, method, operation) in sorted(asker.maker.operations.items()):
                if method == "get" or "requestBody" in operation or name == "admin.reset":
                    continue
                for _ in range(6):
                    wish = asker.maker.wish(chance, lambda other, name=name: bool(other == name))
                    wish.body = b"{"
                    wish.headers = [pair for pair in wish.headers if pair[0] != b"content-type"]
                    answer = await asker.send(wish)
                    assert b"JSON" not in answer.body, f"{name} reads a body that it does not describe"

    asyncio.run(run())


# -- anything at all --------------------------------------------------------------------------------


def test_every_operation_answers_as_described_and_soon() -> None:
    """Each one eight times on one tenant, what takes away last; CPU in stints (``tests/yardstick.py``)."""
    unit = stint()
    slowest: dict[str, float] = {}
    done: set[str] = set()

    async def run(folder: Path) -> None:
        async with trial(folder, people=30, delegation=True) as asker:
            chance = random.Random(2)
            names = [name for name in asker.maker.operations if name not in RARE]
            for turn in range(9):
                chance.shuffle(names)
                for name in names if turn < 8 else RARE:
                    answer = await asker.one(chance, lambda other, name=name: bool(other == name))
                    slowest[name] = max(slowest.get(name, 0.0), asker.spent_s)
                    if answer.status < 400:
                        done.add(name)
                await asker.sandbox.clock.sleep(600)
            assert len(done) > 0.6 * len(asker.maker.operations), sorted(set(names) - done)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))
    worst = max(slowest, key=lambda name: slowest[name])
    assert slowest[worst] <= 3 * max(unit, stint()), worst


@ANY_ORDER
@given(
    seeds=st.lists(st.integers(0, 1 << 32), min_size=20, max_size=60),
    plan=st.sampled_from(["advanced", "standard", "free"]),
    area=st.sampled_from(
        ["", "", "users.", "groups.", "orgunits.", "bots.", "channels.", "messages.", "boards.", "richmenus."]
    ),
)
def test_any_sequence_is_answered_as_described_and_survives_a_restart(
    seeds: list[int], plan: str, area: str
) -> None:
    """Ids come out of earlier answers: what was created is changed, moved, answered, taken away."""

    def wanted(name: str) -> bool:
        return not area or name.startswith(
            (area, "users.create", "bots.create", "channels.create", "admin.staff")
        )

    async def run(folder: Path) -> None:
        async with trial(folder, plan=plan) as asker:
            for seed in seeds:
                chance = random.Random(seed)
                if seed % 16 == 0:
                    await asker.sandbox.clock.sleep(chance.choice([30, 7200, 8 * 86400]))
                elif seed % 16 == 1:
                    pair = [asker.one(random.Random(seed + n), wanted, alone=False) for n in range(3)]
                    await asyncio.gather(*pair)
                else:
                    await asker.one(chance, wanted)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


# -- the judge can say no ---------------------------------------------------------------------------


def planted(handler: Any) -> Router:
    return Router([Operation("bots.list", "GET", "/bots", ("bot",), handler)])


def breaks(call: Call) -> Reply:
    raise KeyError("x")


def half_changes(call: Call) -> Reply:
    from bousai_kit.sandbox.ops import bad

    call.tenant.set("x", 1)
    raise bad("no")


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (breaks, "status 500"),
        (half_changes, "refused, and yet it changed"),
        (lambda call: Reply(418, {}), "not documented"),
        (lambda call: Reply(400, {"error": "x"}), "another shape"),
        (lambda call: Reply(200, raw=b"{", content_type="application/json"), "not JSON"),
        (lambda call: Reply(204, {}), "204 with a body"),
    ],
)
def test_a_planted_defect_is_seen(handler: Any, said: str) -> None:
    async def run() -> None:
        async with trial() as asker:
            asker.sandbox.routers["api"] = planted(handler)
            wish = asker.maker.wish(random.Random(3), lambda name: name == "bots.list")
            wish.raw_path, wish.query, documented = b"/v1.0/bots", b"", wish.documented
            wish.headers = [(b"authorization", b"Bearer " + asker.maker.tokens()[0].encode())]
            await asker.send(Wish(wish.name, "api", "GET", b"/v1.0/bots", b"", wish.headers, b"", documented))
            assert len(asker.problems) == 1
            assert said in asker.problems[0]
            asker.problems.clear()

    asyncio.run(run())


def test_a_planned_fault_is_the_only_5xx() -> None:
    async def run() -> None:
        async with trial() as asker:
            chance = random.Random(4)

            def wanted(name: str) -> bool:
                return name == "boards.list"

            asker.sandbox.faults.faults.append(Fault("503", on="boards.list"))
            assert (await asker.one(chance, wanted)).status == 503
            assert "status 503" in asker.problems.pop()
            asker.free()
            assert (await asker.one(chance, wanted)).status < 500

    asyncio.run(run())


# -- what was found so ------------------------------------------------------------------------------


def ask_once(name: str, body: Any, **ids: str) -> tuple[int, dict[str, Any]]:
    """Status of one request with administrator authority, and the tables afterwards that differ."""

    async def run() -> tuple[int, dict[str, Any]]:
        async with trial() as asker:
            path, method, operation = asker.maker.operations[name]
            tenant = asker.sandbox.tenant
            known = {"botId": str(tenant.bot_id), "domainId": str(tenant.domain_id), **ids}
            base = "/v1.0" if operation["x-host"] == "api" else ""
            asker.maker.wish(random.Random(3), lambda other: other == "bots.list")
            token = asker.maker.tokens()[0]
            before = json.dumps(tenant.tables, sort_keys=True)
            answer = await asker.send(
                Wish(
                    name, operation["x-host"], method.upper(), (base + path.format(**known)).encode(),
                    headers=[(b"authorization", f"Bearer {token}".encode())],
                    body=json.dumps(body).encode(), documented=tuple(operation["responses"]),
                )
            )  # fmt: skip
            now = json.loads(json.dumps(tenant.tables))
            was = json.loads(before)
            return answer.status, {key: now[key] for key in now if now[key] != was.get(key)}

    return asyncio.run(run())


@pytest.mark.parametrize("name", ["bots.domains.patch", "bots.domains.replace"])
def test_a_refused_change_of_a_domain_leaves_the_first_property_as_it_was(name: str) -> None:
    status, changed = ask_once(name, {"visible": False, "allowToSelectedMember": "x"})
    assert (status, changed) == (400, {})


def test_a_refused_form_leaves_no_file() -> None:
    files = [{"fileName": "a", "hex": "ffd8"}, {"fileName": "b", "hex": "zz"}]
    body = {"managers": ["x"], "responses": [{"userId": "x", "attachments": files}]}
    assert ask_once("admin.forms", body, formId="f") == (400, {})


@pytest.mark.parametrize(
    ("content", "channel"),
    [
        ({"type": "image", "hex": "zz"}, ""),
        ({"type": ["image"]}, ""),
        ({"type": "image"}, {"x": 1}),
        ({"type": "image"}, "no-such-room"),
    ],
)
def test_what_nobody_can_send_leaves_no_file(content: dict[str, Any], channel: Any) -> None:
    body = {"user": "kanri@city-demo", "content": content, "channel": channel}
    status, changed = ask_once("admin.staff.send", body)
    assert status in (400, 404)
    assert not {"attachments", "blobs"} & {table for table, rows in changed.items() if rows}


@pytest.mark.parametrize(
    "body", [{"plan": ["free"]}, {"limiter": {}}, {"overrides": {"x": True}}, {"overrides": []}]
)
def test_limits_of_another_kind_are_refused(body: dict[str, Any]) -> None:
    assert ask_once("admin.limits.set", body)[0] == 400
