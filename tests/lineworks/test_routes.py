"""A request typed by hand is the same operation, under the same rules, as the one of an API family."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.clock import VirtualClock
from bousai_kit.errors import GuardError, LineWorksError, PermissionDenied
from bousai_kit.lineworks.base import InvalidContent, quoted
from bousai_kit.lineworks.client import LineWorksClient, build_http
from bousai_kit.lineworks.pacing import known_gap_s, known_limit
from bousai_kit.lineworks.routes import recognise
from bousai_kit.sandbox.core import modules
from bousai_kit.settings import isolated_settings
from bousai_kit.workbench import open_workbench
from tests.lineworks.wirelab import API, AUTH, BOT, DOMAIN, START, Seen, Wire, account, run, sample

LOGIN = "s0001@city-demo"
OPERATIONS = [
    operation
    for module in modules()
    for operation in getattr(module, "OPERATIONS", ())
    if operation.host == "api"
]
REPLACING = {"users.replace", "groups.replace"}
BY_NAME = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def filled(path: str, value: str = "Ab-1") -> str:
    return re.sub(r"\{\w+\}", value, path)


# -- what a path means ----------------------------------------------------------------------------------


@BY_NAME
def test_every_route_of_the_sandbox_is_known(operation: Any) -> None:
    if operation.name in REPLACING:
        with pytest.raises(GuardError):
            recognise(operation.method, filled(operation.path))
        return
    found = recognise(operation.method, filled(operation.path)).operation
    assert re.fullmatch(r"[a-z-]+\.[a-z-]+", found), f"{found}: not in the table"
    other = recognise(operation.method, filled(operation.path, "%E5%8C%97%40x")).operation
    assert other == found, "the id decides"
    limit = {"default": 240, "board": 60, "room": 10, "log": 10}[operation.limit]
    assert known_limit(found) == limit


def test_no_two_operations_share_a_budget_and_none_has_two() -> None:
    found = [
        recognise(operation.method, filled(operation.path)).operation
        for operation in OPERATIONS
        if operation.name not in REPLACING
    ]
    assert len(found) == len(set(found)) >= 115


@BY_NAME
def test_what_the_sandbox_serialises_waits_its_turn(operation: Any) -> None:
    if operation.serial and operation.name not in REPLACING:
        turn = recognise(operation.method, filled(operation.path), {"userId": "u1"}).turn
        assert turn is not None
        assert turn.keys or turn.members
        assert (turn.rest_s == 1.0) == (operation.serial == "orgunit")
    if operation.method == "GET" and operation.limit != "log":
        assert recognise("GET", filled(operation.path)).turn is None


@pytest.mark.parametrize(
    ("method", "path", "operation", "limit"),
    [
        ("GET", "/groups/9f3c-11/note/posts", "groups.get /groups/{}/note/posts", 240),
        ("GET", "/boards/4080000000000000001/files", "boards.get /boards/{}/files", 60),
        ("GET", "/audits/else", "audit.get /audits/else", 10),
        ("PUT", "/users/u1/calendars/Cal1/events/E1", "users.put /users/{}/calendars/{}/events/{}", 240),
        ("POST", "/users/s0001%40city-demo/x-y", "users.post /users/{}/x-y", 240),
        ("DELETE", "/users", "users.delete /users", 240),
    ],
)
def test_an_unknown_route_is_named_by_its_shape(method: str, path: str, operation: str, limit: int) -> None:
    assert recognise(method, path).operation == operation
    assert known_limit(operation) == limit


def test_gaps_are_those_of_known_operations() -> None:
    for operation in ("orgunits.create", "orgunits.patch", "orgunits.move", "orgunits.delete"):
        assert known_gap_s(operation) == 1.0
    assert known_gap_s(recognise("GET", "/audits/logs/download").operation) == 60.0


@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"]),
    st.lists(st.text(min_size=1, max_size=8) | st.sampled_from(["users", "bots", "orgunits"]), min_size=1),
    st.none()
    | st.lists(st.none())
    | st.dictionaries(st.sampled_from(["users", "id", "email"]), st.integers()),
)
@settings(max_examples=300, deadline=None)
def test_any_path_is_something(method: str, parts: list[str], body: Any) -> None:
    try:
        path = quoted(*parts)
    except ValueError:
        return
    try:
        found = recognise(method, path, body)
    except (GuardError, InvalidContent):
        return
    assert "@" not in found.operation
    assert recognise(method, path, body) == found


# -- by hand --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/users/u1", "/groups/g1", "/%75sers/u1", "/users/externalKey:S1"])
def test_a_put_by_hand_is_refused_with_a_sentence(path: str) -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        await client.call("PUT", path, json={"email": LOGIN})

    error, wire = run(use)
    assert isinstance(error, GuardError)
    assert "PATCH" in error.hint
    assert not wire.seen


def test_values_are_encoded_however_they_were_typed() -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        await client.call("GET", "/users/s0001@city-demo")
        await client.call("GET", "/users/externalKey:S+1")
        await client.call("GET", "/users/externalKey%3AS%2B1")
        await client.call("GET", "/boards/recent/posts", params={"since": START, "x": "1+1=2&y"})

    error, wire = run(use)
    assert error is None
    assert [seen.target.removeprefix("/v1.0") for seen in wire.seen] == [
        "/users/s0001%40city-demo",
        "/users/externalKey%3AS%2B1",
        "/users/externalKey%3AS%2B1",
        "/boards/recent/posts?since=2027-01-17T00%3A00%3A00%2B00%3A00&x=1%2B1%3D2%26y",
    ]


@pytest.mark.parametrize("path", ["/users/me", "/users/me/mail", "/users/%6De"])
def test_a_service_account_is_nobody(path: str) -> None:
    with pytest.raises(InvalidContent):
        recognise("GET", path)


@pytest.mark.parametrize("path", ["/users/100%", "/users/%zz", "/users/%4"])
def test_a_stray_percent_is_refused(path: str) -> None:
    async def use(client: LineWorksClient, wire: Wire) -> None:
        await client.call("GET", path)

    error, wire = run(use)
    assert isinstance(error, ValueError)
    assert not wire.seen


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/users", 100),
        ("/groups/g1/members", 100),
        ("/boards/1/posts", 40),
        ("/boards/1/posts/2/readers", 5000),
        ("/forms/f/responses", 1000),
    ],
)
def test_a_page_larger_than_documented_is_not_asked_for(path: str, most: int) -> None:
    """The live service answers an empty page then: a tenant would look empty."""

    async def use(client: LineWorksClient, wire: Wire) -> None:
        await client.call("GET", path, params={"count": most})
        for count in (most + 1, 0, -1, "1e2", "１"):
            with pytest.raises(InvalidContent):
                await client.call("GET", path, params={"count": count})

    error, wire = run(use)
    assert error is None
    assert len(wire.seen) == 1


def one_at_a_time(
    use: Callable[[LineWorksClient], Any], *, answer: Any = (200, {}), times: int | None = None
) -> list[Seen]:
    async def both(client: LineWorksClient, wire: Wire) -> None:
        await asyncio.gather(*use(client))

    error, wire = run(both, lambda seen: answer, wire={"latency_s": 0.5})
    assert error is None
    assert wire.peak == 1, "two at once"
    assert times is None or len(wire.seen) == times
    return wire.seen


def test_a_member_typed_by_hand_waits_for_the_familys_write() -> None:
    one_at_a_time(
        lambda client: [
            client.users.patch(LOGIN, {"task": "1"}),
            client.call("PATCH", "/users/S0001@CITY-DEMO", json={"task": "2"}),
            client.call("POST", "/users/s0001%40city-demo/link-to-line"),
            client.users.suspend(LOGIN),
            client.call("POST", "/users/external-keys", json={"users": [{"id": LOGIN, "externalKey": "K"}]}),
        ],
        times=5,
    )


def test_a_creation_by_hand_ties_the_names_together() -> None:
    body = {"email": LOGIN, "userExternalKey": "S0001"}
    seen = one_at_a_time(
        lambda client: [
            client.call("POST", "/users", json=body),
            client.call("PATCH", "/users/externalKey:S0001", json={"task": "1"}),
            client.users.patch(LOGIN, {"task": "2"}),
        ],
        answer=(200, {**body, "userId": "u1"}),
    )
    assert seen[0].method == "POST"


def test_a_new_key_or_login_is_the_member_as_well() -> None:
    """While it is being given, and from then on: the answer (204) does not tell."""
    renamed = {"userExternalKey": "NEW", "email": "s0002@city-demo"}
    one_at_a_time(
        lambda client: [
            client.users.patch("u1", renamed),
            client.users.patch("externalKey:NEW", {"task": "1"}),
            client.users.patch("s0002@city-demo", {"task": "2"}),
        ],
        answer=(200, {"userId": "u1", **renamed}),
    )
    moved = {"domainId": 10000002, **renamed}
    one_at_a_time(
        lambda client: [
            client.call("POST", "/users/u1/move", json=moved),
            client.users.patch("externalKey:NEW", {"task": "1"}),
            client.users.patch("s0002@city-demo", {"task": "2"}),
        ],
        answer=(200, {"userId": "u1", **renamed}),
    )

    async def use(client: LineWorksClient, wire: Wire) -> None:
        await asyncio.gather(
            client.users.set_external_keys({"u1": "NEW", "u2": None}),
            client.users.patch("externalKey:NEW", {"task": "1"}),
        )
        await asyncio.gather(
            client.users.patch("u1", {"task": "2"}),
            client.users.patch("externalKey:NEW", {"task": "3"}),
        )

    error, wire = run(use, wire={"latency_s": 0.5})
    assert error is None
    assert len(wire.seen) == 4
    assert wire.peak == 1


def test_names_learned_by_any_client_of_the_domain_count_for_all() -> None:
    """Two clients of one account, and one with other scopes: one budget, one turn, names known to all."""
    clock = VirtualClock(START)

    def reply(seen: Seen) -> Any:
        return 200, {"userId": "u1", "email": LOGIN, "userExternalKey": "S1", "users": None}

    wire = Wire(clock, reply, latency_s=0.5)

    async def main() -> None:
        http = build_http(mounts={"all://": wire}, real_network=False)
        fields: dict[str, Any] = {"api_url": API, "auth_url": AUTH, "domain_id": DOMAIN, "clock": clock}
        fields |= {"random": random.Random(1), "real_network": False}
        three = [
            LineWorksClient(http, account=account(scopes=scopes), **fields)
            for scopes in (("bot", "user"), ("bot", "user"), ("user",))
        ]
        await three[0].users.get(LOGIN)
        wire.peak = 0
        await asyncio.gather(
            three[0].users.patch(LOGIN, {"task": "1"}),
            three[1].users.patch("externalKey:S1", {"task": "2"}),
            three[2].users.patch("u1", {"task": "3"}),
            three[2].orgunits.delete("o1"),
            three[1].orgunits.delete("o2"),
        )
        assert wire.peak == 2  # a member and an org unit
        gone = [seen.at for seen in wire.seen if "orgunits" in seen.target]
        assert gone[1] - gone[0] >= 1.25  # a second between them there, and what is not known to be the way
        assert three[0].gate is three[1].gate is three[2].gate
        assert len(wire.token_forms) == 2, "other scopes, another token"
        for client in three:
            await client.aclose()

    asyncio.run(main())


def test_log_downloads_of_all_clients_are_one_at_a_time() -> None:
    clock = VirtualClock(START)

    def reply(seen: Seen) -> Any:
        return sample("logs/302") if "worksapis" in seen.host else httpx.Response(200, content=b"x\r\n")

    wire = Wire(clock, reply, latency_s=2.0)

    async def main() -> None:
        http = build_http(mounts={"all://": wire}, real_network=False)
        fields: dict[str, Any] = {"api_url": API, "auth_url": AUTH, "domain_id": DOMAIN, "clock": clock}
        fields |= {"random": random.Random(1), "real_network": False, "account": account()}
        two = [LineWorksClient(http, **fields) for _ in range(2)]
        window = {"startTime": START, "endTime": START.replace(hour=1)}
        audit, contents = "/audits/logs/download", "/monitoring/message-contents/download"
        await asyncio.gather(
            two[0].audit.download(service="auth", since=START, until=START.replace(hour=1)),
            two[1].call("GET", audit, params={"service": "admin", **window}),
            two[0].call("GET", contents, params=window),
            two[1].monitoring.download(since=START, until=START.replace(hour=2)),
        )
        for client in two:
            await client.aclose()

    asyncio.run(main())
    assert wire.peak == 1
    hosts = [seen.host for seen in wire.seen]
    assert hosts == ["www.worksapis.com", "apis-storage.worksmobile.com"] * 4
    audits = [seen.at for seen in wire.seen if "audits" in seen.target]
    assert audits[1] - audits[0] >= 60


def test_who_rests_between_audit_downloads_holds_up_no_other_log() -> None:
    """A settlement needs the contents now, not after the minute that the next audit log has to wait."""

    async def use(client: LineWorksClient, wire: Wire) -> None:
        window = {"startTime": START, "endTime": START.replace(hour=1)}
        audits = [
            client.call("GET", "/audits/logs/download", params={"service": service, **window})
            for service in ("auth", "admin", "bot")
        ]
        contents = client.call("GET", "/monitoring/message-contents/download", params=window)
        await asyncio.gather(*audits, contents)

    error, wire = run(use, wire={"latency_s": 2.0})
    assert error is None
    assert wire.peak == 1
    assert ["audits" in seen.target for seen in wire.seen] == [True, False, True, True]


def test_org_units_by_hand_rest_a_second() -> None:
    seen = one_at_a_time(
        lambda client: [
            client.orgunits.create({"orgUnitName": "a"}),
            client.call("PUT", "/orgunits/o1", json={"orgUnitName": "b"}),
            client.call("POST", "/orgunits/o2/move", json={"displayOrder": 1}),
            client.call("DELETE", "/orgunits/o3"),
        ],
        times=4,
    )
    assert all(later.at - earlier.at >= 1.5 for earlier, later in pairwise(seen))


def test_bot_administration_by_hand_is_one_at_a_time_per_bot() -> None:
    one_at_a_time(
        lambda client: [
            client.bots.patch(BOT, {"description": "a"}),
            client.call("PUT", f"/bots/{BOT}", json={"botName": "b"}),
            client.call("PATCH", f"/bots/{BOT}/domains/{DOMAIN}", json={"visible": True}),
            client.call("POST", f"/bots/{BOT}/richmenus/r1/set-default"),
            client.bots.add_member(BOT, DOMAIN, "u1"),
        ],
        times=5,
    )

    async def two_bots(client: LineWorksClient, wire: Wire) -> None:
        await client.bots.get(1)
        await asyncio.gather(
            client.call("PATCH", "/bots/1", json={"description": "a"}),
            client.call("POST", "/bots/2/persistentmenu", json={}),
            client.call("POST", f"/bots/{BOT}/users/u1/messages", json={}),
            client.call("POST", f"/bots/{BOT}/users/u1/richmenus", json={"richmenuId": "r1"}),
        )

    _, wire = run(two_bots, wire={"latency_s": 0.5})
    assert wire.peak == 4


# -- against the sandbox --------------------------------------------------------------------------------


def with_bench(tmp_path: Path, use: Callable[[LineWorksClient, Any], Any]) -> None:
    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            assert bench.sandbox is not None
            await use(bench.client, bench.sandbox)
            assert not bench.sandbox.defects  # type: ignore[attr-defined]

    asyncio.run(main())


def test_rich_menus_without_a_family(tmp_path: Path) -> None:
    async def use(client: LineWorksClient, sandbox: Any) -> None:
        bot = sandbox.credentials.bot_id
        body = {
            "richmenuName": "【訓練】メニュー",
            "size": {"width": 2500, "height": 843},
            "areas": [
                {
                    "action": {"type": "message", "label": "無事です", "text": "無事です", "postback": "p"},
                    "bounds": {"x": 0, "y": 0, "width": 2500, "height": 843},
                }
            ],
        }
        made = (await client.call("POST", quoted("bots", bot, "richmenus"), json=body)).json()
        menu = quoted("bots", bot, "richmenus", made["richmenuId"])
        found = (await client.call("GET", quoted("bots", bot, "richmenus"), params={"count": 10})).json()
        assert [each["richmenuId"] for each in found["richmenus"]] == [made["richmenuId"]]
        assert (await client.call("GET", menu)).json()["richmenuName"] == "【訓練】メニュー"
        assert (await client.call("DELETE", menu)).status == 204

    with_bench(tmp_path, use)


def test_custom_properties_without_a_family(tmp_path: Path) -> None:
    async def use(client: LineWorksClient, sandbox: Any) -> None:
        path = "/directory/users/custom-properties"
        body = {
            "domainId": client.domain_id,
            "propertyName": "shuyaku",
            "displayName": "参集先",
            "propertyType": "STRING",
        }
        await client.call("POST", path, json=body)
        assert (await client.call("GET", f"{path}/shuyaku")).json()["displayName"] == "参集先"
        await client.call("PATCH", f"{path}/shuyaku", json={"displayName": "参集場所"})
        assert (await client.call("DELETE", f"{path}/shuyaku")).status == 204

    with_bench(tmp_path, use)


def test_the_security_switch_with_scopes_of_its_own(tmp_path: Path) -> None:
    """The kit's own token lacks the scope and says so; a client for that scope shares budget and turns."""

    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            switch, domain = "/security/external-browser", {"domainId": bench.domain_id}
            with pytest.raises(PermissionDenied) as caught:
                await bench.client.call("POST", f"{switch}/disable", json=domain)
            assert "スコープ" in caught.value.hint
            client = bench.client_for("security.external-browser")
            assert client.gate is bench.client.gate
            assert (await client.call("POST", f"{switch}/disable", json=domain)).status == 204
            found = (await client.call("GET", switch, params=domain)).json()
            assert found["domainId"] == bench.domain_id
            with pytest.raises(PermissionDenied):
                await client.call("GET", "/users")
            await client.aclose()
            assert [user async for user in bench.client.users.list()]

    asyncio.run(main())


def test_forms_say_why_not(tmp_path: Path) -> None:
    """Forms are closed to service accounts: an ordinary error with its hint."""

    async def use(client: LineWorksClient, sandbox: Any) -> None:
        with pytest.raises(PermissionDenied) as caught:
            await client.call("GET", quoted("forms", "f-1", "responses"), params={"count": 500})
        assert caught.value.path == "/forms/f-1/responses"
        assert caught.value.hint
        assert isinstance(caught.value, LineWorksError)

    with_bench(tmp_path, use)


def test_external_keys_of_every_kind(tmp_path: Path) -> None:
    async def use(client: LineWorksClient, sandbox: Any) -> None:
        domain = client.domain_id
        unit = await client.orgunits.create({"domainId": domain, "orgUnitName": "試験課"})
        boss = (await anext(client.users.list()))["userId"]
        group = await client.groups.create(
            {
                "domainId": domain,
                "groupName": "本部",
                "administrators": [{"userId": boss}],
                "members": [{"id": boss, "type": "USER"}],
            }
        )
        await client.user_types.enable()
        level = await client.levels.create(
            {"domainId": domain, "levelName": "部長級", "displayOrder": 1, "executive": False}
        )
        position = await client.positions.create(
            {"domainId": domain, "positionName": "危機管理監", "displayOrder": 1}
        )
        kind = await client.user_types.create(
            {"domainId": domain, "userTypeName": "常勤", "userTypeCode": "JOKIN", "displayOrder": 1}
        )
        for family, entry_id in (
            (client.users, boss),
            (client.orgunits, unit["orgUnitId"]),
            (client.groups, group["groupId"]),
            (client.levels, level["levelId"]),
            (client.positions, position["positionId"]),
            (client.user_types, kind["userTypeId"]),
        ):
            await family.set_external_keys({entry_id: "KEY-1"})
            found = {entry["id"]: entry["externalKey"] async for entry in family.external_keys()}
            assert found[entry_id] == "KEY-1"
            await family.set_external_keys({entry_id: None})
            assert entry_id not in {entry["id"] async for entry in family.external_keys(has_key=True)}

    with_bench(tmp_path, use)
