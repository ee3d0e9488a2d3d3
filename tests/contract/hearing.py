"""What checks of callbacks share: members act at the admin host's word, and the receiver is looked at."""

from __future__ import annotations

from typing import Any

from tests.sandbox.botlab import Lab, uid


async def tap(bench: Lab, number: int = 1, **more: Any) -> None:
    body = {"user": uid(number), "text": "無事です A1", "postback": "bk1|x", **more}
    answer = await bench.admin("POST", "/staff/tap", body)
    assert answer.status_code == 204, answer.text


async def act(bench: Lab, what: str, number: int = 1, **more: Any) -> int:
    return (await bench.admin("POST", f"/staff/{what}", {"user": uid(number), **more})).status_code


async def settle(bench: Lab) -> None:
    await bench.clock.sleep(5)


def kinds(bench: Lab) -> list[str]:
    return [event["type"] for event in bench.receiver.events]
