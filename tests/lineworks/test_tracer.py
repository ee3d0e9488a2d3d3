"""The one hook that shows each request: what it tells, and what it can never tell."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bousai_kit.errors import LineWorksError, OutcomeUnknown
from bousai_kit.lineworks.base import quoted
from bousai_kit.lineworks.client import LineWorksClient, Trace
from bousai_kit.lineworks.messages import Text
from bousai_kit.lineworks.problems import public_path
from bousai_kit.panels import StartPanel
from bousai_kit.settings import isolated_settings
from bousai_kit.workbench import open_workbench
from tests.lineworks.wirelab import BOT, SECRET, START, Seen, Wire, run, sample

CANARY = "canary-7c1e"
PERSON = f"{CANARY}.taro@city-demo"


def reply(seen: Seen) -> Any:
    """Every kind of answer, full of what must not be shown."""
    if "worksapis" not in seen.host:
        return httpx.Response(200, content=CANARY.encode())
    if "download" in seen.target:
        return 302, None, {"Location": f"https://apis-storage.worksmobile.com/k/{CANARY}?key={CANARY}"}
    if "attachments" in seen.target:
        url = f"https://apis-storage.worksmobile.com/u/{CANARY}?t={CANARY}"
        return 200, {"fileId": "f", "uploadUrl": url}
    if seen.method == "PATCH":
        return 400, {"code": "INVALID_PARAMETER", "description": CANARY}
    if "messages" in seen.target:
        return httpx.ReadError
    return 200, {"secret": CANARY, "users": [{"email": PERSON}]}, {"RateLimit-Remaining": "7"}


def test_no_canary_whatever_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    found: list[Trace] = []

    async def use(client: LineWorksClient, wire: Wire) -> None:
        window = {"since": START.replace(hour=1), "until": START.replace(hour=2)}
        for ask in (
            client.users.get(PERSON),
            client.users.patch(PERSON, {"task": CANARY}),
            client.users.add_alias("u1", PERSON),
            client.users.create({"email": PERSON, "passwordConfig": {"password": CANARY}}),
            client.call("GET", f"/users/{PERSON}/photo"),
            client.call("GET", "/users", params={"email": PERSON, "cursor": CANARY}),
            client.messages.to_user(BOT, PERSON, Text(CANARY)),
            client.bots.issue_secret(BOT),
            client.monitoring.download(**window),
            client.attachments.upload(BOT, f"{CANARY}.pdf", CANARY.encode()),
        ):
            with pytest.raises(LineWorksError) if ask.__name__ in ("patch", "to_user") else Nothing():
                await ask

    error, wire = run(use, reply, tracer=found.append)
    assert error is None
    assert len(found) == len(wire.seen) + 1  # and the token
    told = repr(found) + caplog.text
    assert CANARY not in told
    assert SECRET not in told
    assert "token-1" not in told
    assert {trace.path for trace in found} >= {
        "/token",
        "/users/{login}",
        "/users/u1/alias-emails/{login}",
        "/users/{login}/photo",
        f"/bots/{BOT}/users/{{login}}/messages",
        f"/bots/{BOT}/secret",
        "→ apis-storage.worksmobile.com",
    }
    by_path = {trace.path: trace for trace in found}
    assert by_path["/users/u1/alias-emails/{login}"].limit_left == 7
    assert by_path[f"/bots/{BOT}/users/{{login}}/messages"].status is None


class Nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


@given(st.text(min_size=1, max_size=12), st.text(max_size=12))
def test_no_address_in_any_spelling_stands_in_a_path(name: str, host: str) -> None:
    address = f"{name}@{host}x"
    for segment in (address, address.replace("@", "＠")):
        for path in (quoted("users", segment), quoted("users", quoted(segment)[1:]), f"/users/{segment}"):
            shown = public_path(path.partition("?")[0] if "?" in segment else path)
            assert "@" not in shown
            assert "＠" not in shown
            assert "%40" not in shown


def test_a_tracer_that_fails_harms_no_request(caplog: pytest.LogCaptureFixture) -> None:
    """An accepted message must not look unknown because somebody looked on."""

    def fail(trace: Trace) -> None:
        raise RuntimeError("on purpose")

    async def use(client: LineWorksClient, wire: Wire) -> Any:
        return await client.messages.to_user(BOT, "u1", Text("x"))

    accepted, wire = run(use, lambda seen: sample("bots/201-message"), tracer=fail)
    assert not isinstance(accepted, OutcomeUnknown), accepted
    assert accepted.accepted_at == wire.clock.now()
    assert "the tracer failed" in caplog.text


def test_a_panel_shows_the_requests_of_its_kernel(tmp_path: Path) -> None:
    """The foldout: method, path, status, milliseconds, what is left of the limit; nothing secret."""

    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            others: list[Trace] = []
            bench.tracer = others.append
            panel = StartPanel(bench)
            view: Any = panel.view
            assert view.fold.selected_index is None  # folded
            assert view.fold.titles == ("通信の記録（0 件）",)
            await panel.run()
            made = bench.sandbox.credentials  # type: ignore[union-attr]
            with pytest.raises(LineWorksError):
                await bench.client.users.get(PERSON)
            await bench.client.call("GET", "/users", params={"cursor": "", "count": 3})
            model: Any = panel.model
            model.refresh()
            shown = view.record.value
            assert view.fold.titles == (f"通信の記録（{model.traffic.count} 件）",)
            assert model.traffic.count == len(others) > 5, "whoever had the hook before is told too"
            assert "<td>GET</td><td>/users/{login}</td>" in shown
            assert "404" in shown
            assert "/token" in shown
            assert f"/bots/{made.bot_id}" in shown
            everything = shown + model.as_html() + repr(vars(model.traffic))
            for secret in (PERSON, CANARY, made.client_secret, made.bot_secret, made.private_key_pem[40:90]):
                assert secret not in everything
            assert "Bearer" not in everything
            assert StartPanel(bench).model is model
            assert len(others) == model.traffic.count, "a cell that runs again does not hang a second hook"

    asyncio.run(main())


def test_two_hundred_are_kept_and_fifty_shown(tmp_path: Path) -> None:
    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            model: Any = StartPanel(bench).model
            for n in range(1000):
                assert bench.tracer is not None
                bench.tracer(Trace("GET", f"/x/{n}", 429 if n % 10 == 0 else None, 1.0, None))
            model.refresh()
            shown = model.traffic.as_html()
            assert shown.count("<tr>") == 51
            assert "/x/999<" in shown
            assert "/x/949<" not in shown
            assert "全 1,000 件" in shown
            assert "（429）100 件" in shown
            assert "応答なし 900 件" in shown

    asyncio.run(main())
