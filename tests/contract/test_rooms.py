"""Rooms (part 2 §3): create, look at, leave; groups and org units; 500 members without push."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.contents import unlimited
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, Lab, trial, uid

TEXT = {"content": {"type": "text", "text": "【訓練】"}}


def path(bench: Lab, room: str = "", below: str = "") -> str:
    return f"/bots/{bench.bot}/channels{room and '/' + room}{below}"


async def create(bench: Lab, members: Any, **more: Any) -> httpx.Response:
    return await bench.api("POST", path(bench), {"members": members, **more})


async def group_of(bench: Lab, *numbers: int) -> str:
    """Id of a group with these members, with a room to talk in."""
    body = {
        "domainId": DOMAIN,
        "groupName": "本部",
        "useMessage": True,
        "administrators": [{"userId": uid(0)}],
        "members": [{"id": uid(number), "type": "USER"} for number in numbers],
    }
    answer = await bench.api("POST", "/groups", body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["groupId"])


async def invite(bench: Lab, kind: str, key: str) -> str:
    """Somebody invites the bot in the app; the channel id."""
    answer = await bench.admin("POST", "/staff/invite", {"kind": kind, "id": key})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["channelId"])


# -- create -----------------------------------------------------------------------------------------


@paragraph("2 §3")
def test_a_room_holds_one_to_a_hundred_members() -> None:
    async def test(bench: Lab) -> None:
        unlimited(bench)
        everyone = [uid(number) for number in range(1, 102)]
        for wrong in ([], everyone, [uid(1), uid(1)], [uid(1), "s00001@city-demo"], [uid(1), 3], "x", None):
            answer = await create(bench, wrong)
            assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER"), wrong
            assert "members" in answer.json()["description"]
        assert (await create(bench, [uid(1), "nobody"])).status_code == 404
        made = await create(bench, everyone[:100], title="本部")
        assert made.status_code == 201
        assert set(made.json()) == {"channelId", "title"}
        assert made.json()["title"] == "本部"
        assert (await create(bench, [uid(1)])).status_code == 201
        mixed = await create(bench, ["s00001@city-demo", uid(2)])
        members = (await bench.api("GET", path(bench, mixed.json()["channelId"], "/members"))).json()
        assert members["members"] == [uid(1), uid(2)]

    trial(test, people=101)


@paragraph("2 §3")
def test_a_title_has_a_thousand_characters_at_most() -> None:
    async def test(bench: Lab) -> None:
        assert (await create(bench, [uid(1), uid(2)], title="あ" * 1000)).status_code == 201
        for wrong in ("あ" * 1001, 3, ["a"]):
            answer = await create(bench, [uid(1), uid(2)], title=wrong)
            assert answer.status_code == 400, wrong
            assert "title" in answer.json()["description"]

    trial(test)


@paragraph("2 §3", "2 §5")
def test_ten_rooms_a_minute() -> None:
    async def test(bench: Lab) -> None:
        answers = [await create(bench, [uid(1), uid(2)]) for _ in range(11)]
        assert [answer.status_code for answer in answers] == [201] * 10 + [429]
        assert answers[-1].headers["ratelimit-limit"] == "10"
        room = answers[0].json()["channelId"]
        assert (await bench.api("GET", path(bench, room))).status_code == 200, "creation alone"
        await bench.clock.sleep(60)
        assert (await create(bench, [uid(1), uid(2)])).status_code == 201

    trial(test)


@paragraph("2 §3", "2 §1.3")
def test_members_must_be_able_to_use_the_bot() -> None:
    async def test(bench: Lab) -> None:
        domain = f"/bots/{bench.bot}/domains/{DOMAIN}"
        assert (await bench.api("PATCH", domain, {"allowToSelectedMember": True})).status_code == 200
        assert (await bench.api("POST", f"{domain}/members", {"userId": uid(1)})).status_code == 201
        assert (await create(bench, [uid(1), uid(2)])).status_code == 403
        assert (await bench.api("POST", f"{domain}/members", {"userId": uid(2)})).status_code == 201
        assert (await create(bench, [uid(1), uid(2)])).status_code == 201

    trial(test)


# -- get, members, leave ----------------------------------------------------------------------------


@paragraph("2 §3")
def test_a_room_is_shown_with_its_members_by_pages() -> None:
    async def test(bench: Lab) -> None:
        made = await create(bench, [uid(number) for number in range(1, 101)], title="本部")
        room = made.json()["channelId"]
        shown = await bench.api("GET", path(bench, room))
        assert shown.status_code == 200
        assert shown.json() == {
            "domainId": DOMAIN,
            "channelId": room,
            "title": "本部",
            "channelType": {"type": "MULTI_USERS"},
        }
        first = (await bench.api("GET", path(bench, room, "/members"))).json()
        assert len(first["members"]) == 50
        cursor = first["responseMetaData"]["nextCursor"]
        rest = (
            await bench.api("GET", path(bench, room, "/members"), params={"cursor": cursor, "count": 100})
        ).json()
        assert first["members"] + rest["members"] == [uid(number) for number in range(1, 101)]
        assert rest["responseMetaData"]["nextCursor"] is None
        for count, status in ((1, 200), (100, 200), (0, 400), (101, 400)):
            answer = await bench.api("GET", path(bench, room, "/members"), params={"count": count})
            assert answer.status_code == status, count

    trial(test, people=100)


@paragraph("2 §3")
def test_no_call_lists_renames_or_enlarges_rooms() -> None:
    async def test(bench: Lab) -> None:
        room = await bench.room(1, 2)
        for method, where, body in (
            ("GET", path(bench), None),
            ("PUT", path(bench, room), {"title": "x"}),
            ("PATCH", path(bench, room), {"title": "x"}),
            ("POST", path(bench, room, "/members"), {"members": [uid(3)]}),
            ("DELETE", path(bench, room, f"/members/{uid(1)}"), None),
        ):
            assert (await bench.api(method, where, body)).status_code == 404, (method, where)

    trial(test)


@paragraph("2 §3")
def test_scopes_of_rooms() -> None:
    async def test(bench: Lab) -> None:
        room = await bench.room(1, 2)
        for scope, write, read in (
            ("bot.message", 201, 200),
            ("bot", 201, 200),
            ("bot.read", 403, 200),
            ("user", 403, 403),
        ):
            token = bench.bearer(scope)
            made = await bench.api("POST", path(bench), {"members": [uid(1), uid(2)]}, headers=token)
            assert made.status_code == write, scope
            assert (await bench.api("GET", path(bench, room), headers=token)).status_code == read, scope
            shown = await bench.api("GET", path(bench, room, "/members"), headers=token)
            assert shown.status_code == read, scope
            gone = await bench.api("DELETE", path(bench, made.json().get("channelId", room)), headers=token)
            assert gone.status_code == (204 if write == 201 else 403), scope

    trial(test)


@paragraph("2 §3", "2 §2.7")
def test_a_bot_that_left_speaks_no_more() -> None:
    async def test(bench: Lab) -> None:
        room = await bench.room(1, 2)
        assert (await bench.api("POST", path(bench, room, "/messages"), TEXT)).status_code == 201
        gone = await bench.api("DELETE", path(bench, room))
        assert (gone.status_code, gone.content) == (204, b"")
        assert (await bench.api("POST", path(bench, room, "/messages"), TEXT)).status_code == 403
        assert (await bench.api("GET", path(bench, room))).status_code == 403
        assert (await bench.api("GET", path(bench, room, "/members"))).status_code == 403
        assert (await bench.api("DELETE", path(bench, room))).status_code == 403
        for method, below, body in (("GET", "", None), ("DELETE", "", None), ("POST", "/messages", TEXT)):
            assert (await bench.api(method, path(bench, "unknown", below), body)).status_code == 404

    trial(test)


@paragraph("2 §3")
def test_a_bot_speaks_in_its_own_rooms_only() -> None:
    async def test(bench: Lab) -> None:
        room = await bench.room(1, 2)
        body = {
            "botName": "b",
            "photoUrl": "https://example.invalid/b.png",
            "description": "d",
            "administrators": [uid(0)],
        }
        other = (await bench.api("POST", "/bots", body)).json()["botId"]
        for method, below, content in (("GET", "", None), ("POST", "/messages", TEXT)):
            answer = await bench.api(method, f"/bots/{other}/channels/{room}{below}", content)
            assert answer.status_code == 403

    trial(test)


@paragraph("2 §3", "2 §4.2")
def test_when_every_human_has_left_the_bot_leaves_too() -> None:
    async def test(bench: Lab) -> None:
        room = await bench.room(1, 2)
        for number in (1, 2):
            left = await bench.admin("POST", "/staff/leave", {"user": uid(number), "channel": room})
            assert left.status_code == 204
        await bench.clock.sleep(5)
        assert [event["type"] for event in bench.receiver.events] == [
            "join",
            "joined",
            "left",
            "left",
            "leave",
        ]
        assert (await bench.api("POST", path(bench, room, "/messages"), TEXT)).status_code == 403

    trial(test)


# -- 1:1 --------------------------------------------------------------------------------------------


@paragraph("2 §3", "2 §4.2")
def test_a_room_for_one_is_the_talk_with_that_member() -> None:
    async def test(bench: Lab) -> None:
        made = await create(bench, [uid(1)])
        room = made.json()["channelId"]
        await bench.clock.sleep(1)
        begin = bench.receiver.events[0]
        assert (begin["type"], begin["source"]["channelId"], begin["source"]["userId"]) == (
            "begin",
            room,
            uid(1),
        )
        shown = (await bench.api("GET", path(bench, room))).json()
        assert (shown["channelType"], shown["domainId"]) == ({"type": "SINGLE_USER"}, DOMAIN)
        assert (await bench.api("GET", path(bench, room, "/members"))).json()["members"] == [uid(1)]
        assert (await bench.api("POST", path(bench, room, "/messages"), TEXT)).status_code == 201
        assert (await bench.text(1)).status_code == 201
        await bench.clock.sleep(1)
        assert [event["type"] for event in bench.receiver.events] == ["begin"], "the same room"
        channels = {message["channel"] for message in (await truth(bench))["messages"]}
        assert channels == {room}

    trial(test)


async def truth(bench: Lab) -> Any:
    return (await bench.admin("GET", "/truth")).json()


# -- groups, org units, many members ----------------------------------------------------------------


@paragraph("2 §3", "2 §4.2")
def test_a_group_s_room_is_known_by_its_join_and_the_group_s_id() -> None:
    async def test(bench: Lab) -> None:
        group = await group_of(bench, 1, 2)
        assert "channelId" not in (await bench.api("GET", f"/groups/{group}")).json()
        room = await invite(bench, "GROUP", group)
        await bench.clock.sleep(1)
        join = bench.receiver.events[0]
        assert (join["type"], join["source"]) == ("join", {"channelId": room, "domainId": DOMAIN})
        shown = (await bench.api("GET", path(bench, room))).json()
        assert shown["channelType"] == {"type": "GROUP", "groupId": group}
        assert set((await bench.api("GET", path(bench, room, "/members"))).json()["members"]) >= {
            uid(1),
            uid(2),
        }
        assert (await bench.api("POST", path(bench, room, "/messages"), TEXT)).status_code == 201
        assert (await truth(bench))["messages"][-1]["channel"] == room

    trial(test)


@paragraph("2 §3")
def test_an_org_unit_s_room_is_known_by_the_unit_s_id() -> None:
    async def test(bench: Lab) -> None:
        unit = {"domainId": DOMAIN, "orgUnitName": "危機管理室", "displayOrder": 1, "useMessage": True}
        made = await bench.api("POST", "/orgunits", unit)
        key = made.json()["orgUnitId"]
        placed = [{"domainId": DOMAIN, "primary": True, "orgUnits": [
            {"orgUnitId": key, "primary": True, "isManager": True}
        ]}]  # fmt: skip
        assert (await bench.api("PATCH", f"/users/{uid(1)}", {"organizations": placed})).status_code == 200
        room = await invite(bench, "ORGUNIT", key)
        shown = (await bench.api("GET", path(bench, room))).json()
        assert shown["channelType"] == {"type": "ORGUNIT", "orgUnitId": key}
        assert (await bench.api("GET", path(bench, room, "/members"))).json()["members"] == [uid(1)]

    trial(test)


@paragraph("2 §1.2", "2 §3")
def test_a_bot_without_group_join_cannot_be_invited() -> None:
    async def test(bench: Lab) -> None:
        group = await group_of(bench, 1, 2)
        assert (await bench.api("PATCH", f"/bots/{bench.bot}", {"enableGroupJoin": False})).status_code == 200
        answer = await bench.admin("POST", "/staff/invite", {"kind": "GROUP", "id": group})
        assert answer.status_code == 404

    trial(test)


@paragraph("2 §1.2", "2 §3")
@pytest.mark.parametrize(("size", "push"), [(499, True), (500, False)])
def test_a_room_of_500_gets_the_message_without_a_push(size: int, push: bool) -> None:
    async def test(bench: Lab) -> None:
        room = await invite(bench, "GROUP", await group_of(bench, *range(size)))
        answer = await bench.api("POST", path(bench, room, "/messages"), TEXT)
        assert answer.status_code == 201
        sent = (await truth(bench))["messages"][-1]
        assert (sent["channel"], sent["members"], sent["push"]) == (room, size, push)

    trial(test, people=size)
