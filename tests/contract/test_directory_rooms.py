"""Rooms of org units and groups (part 1 §5, §6, part 2 §3): who is in them follows the directory."""

from __future__ import annotations

from typing import Any

from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import uid
from tests.sandbox.directorylab import Choices, Desk, at_desk, in_unit, new_group


async def invited(desk: Desk, group: Any) -> str:
    """Somebody invites the bot into the room of a group."""
    answer = await desk.bench.admin("POST", "/staff/invite", {"kind": "GROUP", "id": group["groupId"]})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["channelId"])


def user(number: int) -> dict[str, str]:
    return {"id": uid(number), "type": "USER"}


@paragraph("1 §5", "2 §3", "2 §4.2")
def test_the_room_of_a_unit_follows_transfers() -> None:
    """Those who do not use the team feature, and those who are gone, are not in it."""

    async def test(desk: Desk) -> None:
        bench = desk.bench
        unit = await desk.unit(orgUnitExternalKey="K")
        await desk.unit("課", orgUnitExternalKey="L")
        asked = {"kind": "ORGUNIT", "id": unit["orgUnitId"]}
        assert (await bench.admin("POST", "/staff/invite", asked)).status_code == 404  # no room yet
        await desk.done("PATCH", "/orgunits/externalKey%3AK", {"useMessage": True})
        channel = (await bench.admin("POST", "/staff/invite", asked)).json()["channelId"]
        room = f"/bots/{bench.bot}/channels/{channel}"

        async def move(number: int, *keys: str, **more: Any) -> None:
            body = {"organizations": in_unit(*(f"externalKey:{key}" for key in keys), **more)}
            await desk.done("PATCH", f"/users/{uid(number)}", body)

        await move(1, "K")
        await move(2, "K", "L")
        await move(3, "K", useTeamFeature=False)
        assert (await desk.get(f"{room}/members"))["members"] == [uid(1), uid(2)]
        await move(2, "K", "L", useTeamFeature=False)
        await move(2, "K", "L")
        await move(1, "L")
        await desk.done("DELETE", f"/users/{uid(2)}", None, 204)
        await desk.done("POST", f"/users/{uid(2)}/undelete")
        await desk.done("DELETE", f"/users/{uid(2)}/forcedelete", None, 204)
        await desk.member("new", organizations=in_unit("externalKey:K"))
        await desk.done("PATCH", "/orgunits/externalKey%3AK", {"orgUnitName": "防災局"})
        shown = await desk.get(room)
        assert (shown["title"], shown["channelType"]["orgUnitId"]) == ("防災局", unit["orgUnitId"])
        await desk.done("PATCH", "/orgunits/externalKey%3AK", {"useMessage": False})
        assert (await desk.call("GET", room)).status_code == 403  # the bot is out
        await desk.clock.sleep(5)
        told = [
            (event["type"], [uid(number) for number in range(4) if uid(number) in event.get("members", ())])
            for event in bench.receiver.events
            if event["source"].get("channelId") == channel
        ]
        assert told == [
            ("join", []), ("joined", [uid(1)]), ("joined", [uid(2)]), ("left", [uid(2)]),
            ("joined", [uid(2)]), ("left", [uid(1)]), ("left", [uid(2)]),
            ("joined", [uid(2)]), ("left", [uid(2)]), ("joined", []), ("leave", []),
        ]  # fmt: skip

    at_desk(test, people=3)


@paragraph("1 §5", "1 §10")
def test_a_room_may_wait_for_its_leader() -> None:
    """The two help pages disagree (§10.17): the other reading is a choice."""

    async def test(desk: Desk) -> None:
        unit = await desk.unit(orgUnitExternalKey="K", useMessage=True)
        asked = {"kind": "ORGUNIT", "id": unit["orgUnitId"]}
        assert (await desk.bench.admin("POST", "/staff/invite", asked)).status_code == 404
        lead = {"organizations": in_unit("externalKey:K", isManager=True)}
        await desk.done("PATCH", f"/users/{uid(1)}", lead)
        assert (await desk.bench.admin("POST", "/staff/invite", asked)).status_code == 201

    at_desk(test, people=1, choices=Choices(unit_room="leader", people_answer=False))


@paragraph("1 §6", "2 §3")
def test_who_is_in_the_room_of_a_group() -> None:
    """A master who is no member is not [V1]; members come at once, and cannot leave by themselves [H]."""

    async def test(desk: Desk) -> None:
        bench = desk.bench
        group = await desk.group(members=[user(1)], useMessage=True)
        channel = await invited(desk, group)
        room = f"/bots/{bench.bot}/channels/{channel}"
        assert (await desk.get(f"{room}/members"))["members"] == [uid(1)]  # not uid(0), the master
        shown = await desk.get(room)
        assert shown["channelType"] == {"type": "GROUP", "groupId": group["groupId"]}
        asked = {"user": uid(1), "channel": channel}
        assert (await bench.admin("POST", "/staff/leave", asked)).status_code == 404
        await desk.done("POST", f"/groups/{group['groupId']}/members", user(2), 201)
        assert (await desk.get(f"{room}/members"))["members"] == [uid(1), uid(2)]
        await desk.done("PATCH", f"/groups/{group['groupId']}", {"groupName": "新本部"})
        assert (await desk.get(room))["title"] == "新本部"
        quiet = await desk.group("静か")
        asked = {"kind": "GROUP", "id": quiet["groupId"]}
        assert (await bench.admin("POST", "/staff/invite", asked)).status_code == 404  # it has no room

    at_desk(test, people=2)


@paragraph("1 §6", "1 §4.8")
def test_whoever_is_deleted_leaves_the_room_that_a_unit_brought() -> None:
    async def test(desk: Desk) -> None:
        bench = desk.bench
        await desk.unit(orgUnitExternalKey="K")
        group = await desk.group(members=[{"id": "externalKey:K", "type": "ORGUNIT"}], useMessage=True)
        channel = await invited(desk, group)
        for number in (1, 2):
            await desk.done("PATCH", f"/users/{uid(number)}", {"organizations": in_unit("externalKey:K")})
        await desk.done("DELETE", f"/users/{uid(1)}", None, 204)
        await desk.done("DELETE", f"/users/{uid(2)}/forcedelete", None, 204)
        members = await desk.get(f"/bots/{bench.bot}/channels/{channel}/members")
        assert members["members"] == []
        await desk.clock.sleep(5)
        assert [event["members"] for event in bench.receiver.of("left")] == [[uid(1)], [uid(2)]]

    at_desk(test, people=2)


@paragraph("1 §6", "2 §4.2")
def test_what_a_put_does_to_the_room() -> None:
    """[D]: with ``useMessage`` in it the room stays and follows ``members``; without, it is closed."""

    async def test(desk: Desk) -> None:
        bench = desk.bench
        group = await desk.group(members=[user(1), user(2)], useMessage=True)
        channel = await invited(desk, group)
        path, room = f"/groups/{group['groupId']}", f"/bots/{bench.bot}/channels/{channel}"
        body = new_group("新", members=[user(2), user(3)], useMessage=True)
        await desk.done("PUT", path, body)
        assert (await desk.get(f"{room}/members"))["members"] == [uid(2), uid(3)]
        assert (await desk.get(room))["title"] == "新"
        await desk.done("PUT", path, {**body, "useMessage": False})
        assert (await desk.call("GET", room)).status_code == 403
        await desk.done("PUT", path, {**body, "members": [user(3)]})  # within 30 days: the same room again
        assert await invited(desk, group) == channel
        assert (await desk.get(f"{room}/members"))["members"] == [uid(3)]
        await desk.done("DELETE", path, None, 204)
        assert (await desk.call("GET", room)).status_code == 403
        await desk.clock.sleep(5)
        told = [(event["type"], event.get("members")) for event in bench.receiver.events]
        assert told == [
            ("join", None), ("joined", [uid(3)]), ("left", [uid(1)]), ("leave", None), ("join", None),
            ("leave", None),
        ]  # fmt: skip

    at_desk(test, people=3)


@paragraph("1 §6", "2 §3")
def test_a_member_of_unit_and_group_is_in_the_room_once() -> None:
    """Two ways into one room: leaving by one of them is no leaving."""

    async def test(desk: Desk) -> None:
        bench = desk.bench
        await desk.unit(orgUnitExternalKey="K")
        inner = await desk.group("内", members=[{"id": "externalKey:K", "type": "ORGUNIT"}])
        members = [{"id": inner["groupId"], "type": "GROUP"}, user(1)]
        group = await desk.group("外", members=members, useMessage=True)
        room = f"/bots/{bench.bot}/channels/{await invited(desk, group)}/members"
        for units in (in_unit("externalKey:K"), [], in_unit("externalKey:K")):
            await desk.done("PATCH", f"/users/{uid(1)}", {"organizations": units})
            assert (await desk.get(room))["members"] == [uid(1)]
        await desk.done("DELETE", f"/groups/{group['groupId']}/members/{uid(1)}", None, 204)
        assert (await desk.get(room))["members"] == [uid(1)]
        await desk.done("PATCH", f"/users/{uid(1)}", {"nickName": "一"})
        await desk.done("PATCH", f"/users/{uid(1)}", {"organizations": []})
        assert (await desk.get(room))["members"] == []
        await desk.clock.sleep(5)
        told = [(event["type"], event.get("members")) for event in bench.receiver.events]
        assert told == [("join", None), ("left", [uid(1)])]

    at_desk(test, people=1)
