"""The body schemas of directory and boards say what the handlers check, no more and no less."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from bousai_kit.sandbox.core import modules
from bousai_kit.sandbox.ops import Operation
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import Desk, at_desk

COUNT = itertools.count(1)
OPERATIONS = {
    operation.name: operation for module in modules() for operation in getattr(module, "OPERATIONS", ())
}
KINDS = ("levels", "positions", "user_types", "profile_statuses")
OTHERS: dict[str, tuple[Any, ...]] = {  # a value of every JSON type
    "string": ("x",), "integer": (5,), "number": (1.5,), "boolean": (True,), "null": (None,),
    "array": ([],), "object": ({},),
}  # fmt: skip


def good(name: str) -> dict[str, Any]:
    """A body that is taken, with a name of its own."""
    number = f"n{next(COUNT)}"
    domain = {"domainId": DOMAIN}
    if name.startswith("orgunits."):
        return {**domain, "orgUnitName": number, "displayOrder": 1, "email": f"{number}@city-demo"}
    if name.startswith("groups."):
        return {**domain, "groupName": number, "administrators": [{"userId": uid(0)}], "members": []}
    if name.startswith("custom_properties."):
        return {**domain, "propertyName": number, "displayName": "名", "propertyType": "STRING"}
    if name.startswith("boards."):
        return {"title": number, "body": "本文"}
    prefix = OPERATIONS[name].path.split("/")[2].rstrip("s").replace("statuse", "status")
    prefix = {
        "user-type": "userType",
        "employment-type": "employmentType",
        "profile-status": "profileStatus",
    }.get(prefix, prefix)
    more = {"executive": True} if name.startswith("levels") else {}
    return {**domain, "displayOrder": 1, f"{prefix}Name": number, **more}


def allowed(schema: dict[str, Any]) -> set[str]:
    kinds = schema.get("type", [])
    return {kinds} if isinstance(kinds, str) else set(kinds)


def wrong(schema: dict[str, Any]) -> Iterator[Any]:
    """Values that the schema forbids."""
    if "enum" in schema:
        yield from ("nothing like it", 5)
        return
    kinds = allowed(schema)
    for kind, values in OTHERS.items():
        if kind not in kinds:
            yield from (value for value in values if kind != "integer" or "number" not in kinds)
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1)
    if schema.get("minLength"):
        yield ""
    if "minimum" in schema:
        yield schema["minimum"] - 1
        yield schema["maximum"] + 1
    if "maxItems" in schema:
        yield [None] * (schema["maxItems"] + 1)
    if schema.get("minItems"):
        yield [None] * (schema["minItems"] - 1)


def right(schema: dict[str, Any]) -> Iterator[Any]:
    """Values that the schema allows, at its limits."""
    if "enum" in schema:
        yield from schema["enum"]
        return
    kinds = allowed(schema)
    if "null" in kinds:
        yield None
    if "boolean" in kinds:
        yield from (True, False)
    if "minimum" in schema:
        yield from (schema["minimum"], schema["maximum"])
    if "string" in kinds and "maxLength" in schema:
        long = "x" * schema["maxLength"]
        if re.search(schema.get("pattern", ""), long):
            yield long
        yield "xy"
    if "array" in kinds and not schema.get("minItems"):
        yield []


async def prepared(desk: Desk, name: str) -> str:
    """Path of the operation, for something that is there."""
    for feature in KINDS:
        if not name.startswith("custom_properties"):
            await desk.done("POST", f"/directory/{feature.replace('_', '-')}/enable", None, 204)
    desk.bench.sandbox.limits.overrides["boards.posts.create"] = 10**6
    desk.bench.sandbox.limits.overrides["boards.posts.replace"] = 10**6
    operation = OPERATIONS[name]
    path = operation.path.replace("{boardId}", next(iter(desk.tenant.table("boards"))))
    if "{" not in path:
        return path
    first = name.rpartition(".")[0] + ".create"
    above = path.partition("/{")[0]
    made = await desk.done("POST", above, good(first), 201)
    key = re.findall(r"\{(\w+)\}", path)[0]
    return path.replace(f"{{{key}}}", str(made[key]))


NAMES = (
    *(
        f"{kind}.{way}"
        for kind in ("orgunits", "groups", *KINDS, "employment_types")
        for way in ("create", "replace", "patch")
    ),
    "custom_properties.create",
    "boards.posts.create",
    "boards.posts.replace",
)
# What has rules of its own beside type and length: what is allowed there is held in tests/contract.
RULED = {"email", "propertyName", "parentOrgUnitId"}


@pytest.mark.parametrize("name", NAMES)
def test_what_the_schema_forbids_is_400_what_it_allows_is_taken(name: str) -> None:
    operation: Operation = OPERATIONS[name]
    assert operation.body is not None

    async def test(desk: Desk) -> None:
        path = await prepared(desk, name)
        schema = json.loads(json.dumps(operation.body))

        async def send(body: dict[str, Any]) -> Any:
            return await desk.call(operation.method, path, body)

        for key in schema["required"]:
            answer = await send({word: value for word, value in good(name).items() if word != key})
            assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER"), (key, "missing")
            assert key in answer.json()["description"]
        for key, part in schema["properties"].items():
            for value in wrong(part):
                answer = await send({**good(name), key: value})
                assert answer.status_code == 400, (key, str(value)[:60], answer.text)
                assert key in answer.json()["description"], (key, str(value)[:60], answer.text)
            for value in right(part):
                if key not in RULED or value is None:
                    body = (
                        {**good(name), "useMessage": True, key: value}
                        if key.startswith("use")
                        else good(name)
                    )
                    answer = await send({**body, key: value})
                    fine = answer.status_code == operation.success or answer.status_code == 409
                    assert fine, (key, str(value)[:60], answer.text)
        answer = await send({**good(name), "unlisted": [1]})
        assert answer.status_code == operation.success, answer.text

    at_desk(test, plan="advanced")
