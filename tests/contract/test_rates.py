"""Rate limits of part 2 §5, API by API; what is common to all is checked in test_limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from bousai_kit.sandbox.limits import SHAPES
from tests.contract.exports import AUDIT, CONTENTS, LIMIT_HEADERS, ask
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import Lab, trial, uid

TEXT = {"content": {"type": "text", "text": "【訓練】"}}
Request = Callable[[Lab], Awaitable[httpx.Response]]


async def log(bench: Lab, path: str) -> httpx.Response:
    """Asked for and fetched, so that the next one is not refused for being parallel."""
    answer = await ask(bench, path, service="auth")
    if answer.status_code == 302:
        await bench.http.get(answer.headers["location"], headers=bench.headers)
    return answer


APIS: dict[str, tuple[int, Request]] = {
    "messages": (240, lambda bench: bench.api("POST", f"/bots/{bench.bot}/users/{uid(1)}/messages", TEXT)),
    "rooms": (
        10,
        lambda bench: bench.api("POST", f"/bots/{bench.bot}/channels", {"members": [uid(1), uid(2)]}),
    ),
    "attachments": (
        240,
        lambda bench: bench.api("POST", f"/bots/{bench.bot}/attachments", {"fileName": "a"}),
    ),
    "boards": (60, lambda bench: bench.api("GET", "/boards")),
    "audit": (10, lambda bench: log(bench, AUDIT)),
    "monitoring": (10, lambda bench: log(bench, CONTENTS)),
}


@paragraph("2 §5")
@pytest.mark.parametrize(
    ("name", "plan"),
    [(name, "standard") for name in APIS]
    + [("messages", "advanced"), ("messages", "free"), ("rooms", "free"), ("boards", "free")],
)
def test_an_api_takes_so_many_requests_a_minute(name: str, plan: str) -> None:
    limit, request = APIS[name]
    limit = min(limit, 60) if plan == "free" else limit

    async def test(bench: Lab) -> None:
        statuses = [(await request(bench)).status_code for _ in range(limit)]
        assert max(statuses) < 400
        over = await request(bench)
        assert over.status_code == 429
        assert over.json() == {"code": "TOO_MANY_REQUESTS", "description": "API rate limit exceeded"}
        assert [int(over.headers[head]) for head in LIMIT_HEADERS] == [limit, 0, 60, limit, limit]
        assert "retry-after" not in over.headers
        for other, (_, ask_other) in APIS.items():
            if other != name:
                assert (await ask_other(bench)).status_code != 429, "an API has a limit of its own"
        await bench.clock.sleep(60)
        assert (await request(bench)).status_code < 400, "clear within a minute"

    trial(test, plan=plan)


@paragraph("2 §5")
def test_all_bots_of_the_domain_share_a_limit() -> None:
    async def test(bench: Lab) -> None:
        body = {
            "botName": "b",
            "photoUrl": "https://example.invalid/b.png",
            "description": "d",
            "administrators": [uid(0)],
        }
        other = (await bench.api("POST", "/bots", body)).json()["botId"]
        assert (await bench.api("POST", f"/bots/{other}/domains/10000001", {})).status_code == 201
        tokens = [bench.bearer("bot.message"), bench.bearer("bot")]
        for number in range(241):
            bot = other if number % 2 else bench.bot
            token = tokens[number // 2 % 2]
            answer = await bench.api("POST", f"/bots/{bot}/users/{uid(1)}/messages", TEXT, headers=token)
            assert answer.status_code == (201 if number < 240 else 429)

    trial(test)


@paragraph("2 §5")
def test_the_headers_count_down_and_reset_is_in_seconds() -> None:
    async def test(bench: Lab) -> None:
        for used, wait in ((1, 10.0), (2, 20.5), (3, 0.0)):
            answer = await bench.text(1)
            shown = {name: int(answer.headers[name]) for name in LIMIT_HEADERS}
            left = {1: 60, 2: 50, 3: 30}[used]
            assert shown == {
                "ratelimit-limit": 240,
                "ratelimit-remaining": 240 - used,
                "ratelimit-reset": left,
                "ratelimit-ssed": used,
                "ratelimit-used": used,
            }
            await bench.clock.sleep(wait)
        refused = await bench.api("POST", f"/bots/{bench.bot}/users/{uid(1)}/messages", {})
        assert refused.status_code == 400
        assert refused.headers["ratelimit-ssed"] == "4", "refusals have them too"

    trial(test)


@paragraph("2 §5")
@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_of_limiter_clears_within_a_minute(shape: str) -> None:
    async def test(bench: Lab) -> None:
        changed: Any = {"plan": "free", "limiter": shape}
        assert (await bench.admin("PUT", "/limits", changed)).status_code == 200
        statuses = [(await bench.text(1)).status_code for _ in range(61)]
        assert statuses == [201] * 60 + [429]
        refused = await bench.text(1)
        wait = int(refused.headers["ratelimit-reset"])
        assert 1 <= wait <= 60
        await bench.clock.sleep(wait)
        assert (await bench.text(1)).status_code == 201

    trial(test)
