"""The description of bodies is honest: what is taken fits it, what does not fit is refused."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from bousai_kit.sandbox.core import modules
from tests.contract import test_actions, test_bots, test_menus, test_messages
from tests.contract.contents import TAKEN, flex, unlimited
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import Lab, trial, uid
from tests.sandbox.test_hostile import SCALARS, spoil


@cache
def description(name: str) -> Draft202012Validator:
    found = next(op for module in modules() for op in getattr(module, "OPERATIONS", ()) if op.name == name)
    assert found.body is not None
    return Draft202012Validator(dict(found.body))


def fits(name: str, body: Any) -> bool:
    return bool(description(name).is_valid(body))


@paragraph("2 §2.2", "2 §2.3", "2 §2.4", "2 §2.5")
def test_messages_are_as_described() -> None:
    async def test(bench: Lab) -> None:
        unlimited(bench)
        path = f"/bots/{bench.bot}/users/{uid(1)}/messages"
        contents = [*TAKEN, *(content for content, _ in test_messages.REFUSED)]
        for _, limit, build in (*test_messages.LIMITS, *test_actions.LIMITS):
            contents += [build(limit), build(limit + 1)]
        chance = random.Random(7)
        contents += [spoil(chance, content) for content in TAKEN for _ in range(6)]
        contents += [flex(value) for value in SCALARS]
        told = {True: 0, False: 0}
        for content in contents:
            body = {"content": content}
            taken = (await bench.api("POST", path, body)).status_code == 201
            described = fits("messages.to_user", body)
            assert described or not taken, f"taken, but not as described: {str(content)[:400]}"
            told[described == taken] += 1
        assert told[True] > 9 * told[False], "and most of what is refused is described"

    trial(test)


@paragraph("2 §1.2", "2 §1.4", "2 §1.5")
def test_bots_and_menus_are_as_described() -> None:
    async def test(bench: Lab) -> None:
        unlimited(bench)
        chance = random.Random(7)
        told = {True: 0, False: 0}
        for name, path, good in (
            ("bots.create", "/bots", {**test_bots.NEW, "callbackEvents": ["text"], "enableCallback": True}),
            (
                "bots.menu.create",
                f"/bots/{bench.bot}/persistentmenu",
                {"content": {"actions": [TAKEN_ACTION]}},
            ),
            ("richmenus.create", f"/bots/{bench.bot}/richmenus", test_menus.RICH),
            ("channels.create", f"/bots/{bench.bot}/channels", {"members": [uid(1), uid(2)], "title": "a"}),
            ("attachments.create", f"/bots/{bench.bot}/attachments", {"fileName": "a.pdf"}),
        ):
            for body in [good, *(spoil(chance, good) for _ in range(40))]:
                answer = await bench.api("POST", path, body)
                described = fits(name, body)
                assert described or answer.status_code >= 400, f"{name}: {str(body)[:400]}"
                told[described == (answer.status_code < 400)] += 1
            assert fits(name, good)
            for kept in [entry["richmenuId"] for entry in await menus(bench)]:
                await bench.api("DELETE", f"/bots/{bench.bot}/richmenus/{kept}")
        assert told[True] > 9 * told[False], told

    trial(test)


TAKEN_ACTION = {"type": "message", "label": "a", "text": "b", "postback": "c"}


async def menus(bench: Lab) -> list[dict[str, Any]]:
    return list(
        (await bench.api("GET", f"/bots/{bench.bot}/richmenus", params={"count": 100})).json()["richmenus"]
    )
