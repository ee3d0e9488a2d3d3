"""Members and tokens inside the sandbox: what is kept, what outlives the process, what choices bend, cost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

from bousai_kit.sandbox.core import Credentials
from bousai_kit.sandbox.directory_state import find_user, first_login, new_user
from bousai_kit.sandbox.tenant import Tenant, iso
from tests.contract.authlab import ask
from tests.sandbox.botlab import DOMAIN, SILENT, lab, uid
from tests.sandbox.directorylab import Choices, Desk, at_desk, new_member
from tests.yardstick import in_stints

FLAGS = ("isPending", "isSuspended", "isDeleted", "isAwaiting")


async def flags(desk: Desk, user_id: str) -> list[str]:
    user = await desk.get(f"/users/{user_id}")
    return [flag for flag in FLAGS if user[flag]]


def test_no_token_and_no_secret_is_kept(tmp_path: Path) -> None:
    async def test() -> tuple[dict[str, str], Credentials, str]:
        async with lab(2, path=tmp_path / "tenant.db") as bench:
            shown = repr(bench.sandbox) + repr(bench.sandbox.credentials) + repr(bench.sandbox.auth)
            return (await ask(bench)).json(), bench.sandbox.credentials, shown

    body, made, shown = asyncio.run(test())
    whole = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert len(whole) > 4096
    for secret in (body["access_token"], body["refresh_token"], made.client_secret):
        assert secret.encode() not in whole
    for secret in (made.client_secret, made.bot_secret, made.line_channel_token, "PRIVATE KEY"):
        assert secret not in shown


def test_states_and_what_is_due_outlive_the_process(tmp_path: Path) -> None:
    """The seven days, a waiting first day, a first login go on in the next process."""

    async def first() -> Any:
        async with lab(1, path=tmp_path / "tenant.db", choices=SILENT) as bench:
            desk = Desk(bench)
            await desk.done("DELETE", f"/users/{uid(1)}", None, 204)
            begin = iso(bench.clock.now() + timedelta(days=2))
            later = (await desk.member("later", activationDate=begin, userExternalKey="L"))["userId"]
            soon = [(await desk.member(f"b{number}"))["userId"] for number in range(5)]
            return later, soon

    async def second(later: str, soon: list[str]) -> None:
        async with lab(1, path=tmp_path / "tenant.db", choices=SILENT) as bench:
            desk = Desk(bench)
            assert (await desk.get("/users/externalKey%3AL"))["userId"] == later
            await desk.wrong("POST", "/users", new_member("later"), "email")
            await desk.days(8)
            await desk.refused("GET", f"/users/{uid(1)}", None, 404, "NOT_FOUND")
            assert "isAwaiting" not in await flags(desk, later)
            assert sum(desk.state(user_id)["isPending"] for user_id in soon) <= 1

    later, soon = asyncio.run(first())
    asyncio.run(second(later, soon))


def test_a_member_put_in_place_without_a_request_can_log_in() -> None:
    """`new_user`, with which tenants begin."""

    async def test(desk: Desk) -> None:
        user = new_user(
            desk.tenant, email="neu@city-demo", last_name="試験", pending=True, created=desk.clock.now()
        )
        assert (await desk.get("/users/neu%40city-demo"))["isPending"] is True
        assert first_login(desk.bench.sandbox, user["userId"]) is True
        assert first_login(desk.bench.sandbox, user["userId"]) is False
        assert await flags(desk, user["userId"]) == []

    at_desk(test)


def test_choices_bend_what_is_not_known() -> None:
    """Part 1 §11: easy to change in one table."""
    choices = Choices(
        people_answer=False,
        people_log_in=False,
        serial_service_s=0.0,
        member_refs_say_not_found=False,
        create_shows_flags=False,
        delete_again=(400, "INVALID_PARAMETER", "gone"),
        password_on_update=None,
        patch_replaces_objects=False,
    )

    async def test(desk: Desk) -> None:
        user = await desk.member()
        assert "isPending" not in user
        path = f"/users/{user['userId']}"
        patched = await desk.done("PATCH", path, {"userName": {"lastName": "改名"}, "passwordConfig": {}})
        assert patched["userName"]["firstName"] == "太郎"
        wrong = {"organizations": [{"domainId": DOMAIN, "primary": True, "orgUnits": [{"orgUnitId": "x"}]}]}
        await desk.wrong("PATCH", path, wrong, "orgUnitId")
        await desk.done("DELETE", path, None, 204)
        await desk.wrong("DELETE", path, None, "gone")

    at_desk(test, choices=choices)


def test_thirty_thousand_members_are_made_found_and_paged_quickly() -> None:
    """A city: a member made, a look-up and a page cost no walk through all of them."""
    tenant = Tenant(domain_id=DOMAIN)

    def make() -> None:
        for number in range(30_000):
            new_user(
                tenant,
                email=f"b{number:05d}@city-demo",
                last_name="試験",
                first_name=str(number),
                external_key=f"B{number:05d}",
                units=("unit",),
            )

    def look_up() -> None:
        for number in range(0, 30_000, 3):
            found = find_user(tenant, f"b{number:05d}@city-demo")
            assert found is not None
            assert found is find_user(tenant, f"externalKey:B{number:05d}")

    _, made = in_stints(make)
    _, found = in_stints(look_up)
    assert made < 60, "a walk through all for each would be thousands"
    assert found < 60
