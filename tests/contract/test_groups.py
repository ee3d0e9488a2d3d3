"""Groups by plain HTTP (part 1 §6)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, uid
from tests.sandbox.directorylab import Choices, Desk, at_desk, in_unit, new_group, part

WRONG: list[tuple[str, Any]] = [
    ("domainId", None),
    ("groupName", None),
    ("groupName", ""),
    ("groupName", "  "),
    ("groupName", "x" * 101),
    ("groupExternalKey", "a?b"),
    ("description", "x" * 301),
    ("visible", 0),
    ("useMessage", "true"),
    ("administrators", []),
    ("administrators", [{}]),
    ("administrators", ["x"]),
    ("administrators", {}),
    ("members", None),
    ("members", [{"id": uid(1)}]),
    ("members", [{"type": "USER"}]),
    ("members", [{"id": uid(1), "type": "BOT"}]),
    ("members", [{"id": uid(1), "type": "USER"}] * 2),
    ("useNote", True),
    ("useCalendar", True),
    ("useTask", True),
    ("useFolder", True),
]


DEFAULTS = {
    "visible": True,
    "useServiceNotification": False,
    "serviceManageable": True,
    "useMessage": False,
    "useNote": False,
    "useCalendar": False,
    "useTask": False,
    "useFolder": False,
    "useMail": False,
    "description": None,
    "groupExternalKey": None,
}


def ids(group: Any) -> list[str]:
    return [member["id"] for member in group["members"]]


async def invited(desk: Desk, group: Any) -> str:
    """Somebody invites the bot into the room of a group."""
    answer = await desk.bench.admin("POST", "/staff/invite", {"kind": "GROUP", "id": group["groupId"]})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["channelId"])


def user(number: int) -> dict[str, str]:
    return {"id": uid(number), "type": "USER"}


@paragraph("1 §6")
def test_a_group_is_made_and_shown() -> None:
    async def test(desk: Desk) -> None:
        unit = await desk.unit(orgUnitExternalKey="K")
        inner = await desk.group("内", groupExternalKey="G0")
        members = [
            {"id": "externalKey:S00001", "type": "USER"},
            {"id": "externalKey:K", "type": "ORGUNIT"},
            {"id": "externalKey:G0", "type": "GROUP"},
        ]
        group = await desk.group(
            "本部", groupExternalKey="G1", members=members, useMessage=True, useNote=True
        )
        assert group["members"] == [
            {"id": uid(1), "externalKey": "S00001", "type": "USER"},
            {"id": unit["orgUnitId"], "externalKey": "K", "type": "ORGUNIT"},
            {"id": inner["groupId"], "externalKey": "G0", "type": "GROUP"},
        ]
        assert group["administrators"] == [{"userId": uid(0)}]
        assert (group["visible"], group["serviceManageable"], group["useTask"]) == (True, True, False)
        assert "channelId" not in group  # §6: no room id in the group object
        for reference in (group["groupId"], "externalKey:G1"):
            assert await desk.get(f"/groups/{part(reference)}") == group
        assert await desk.pages("/groups", "groups", count=1) == [inner, group]
        listed = await desk.pages(f"/groups/{group['groupId']}/members", "members", count=2)
        assert listed == group["members"]  # nested ones unexpanded

    at_desk(test, people=1)


@paragraph("1 §6")
def test_wrong_properties_are_400_and_named() -> None:
    async def test(desk: Desk) -> None:
        for key, value in WRONG:
            answer = await desk.call("POST", "/groups", {**new_group(), key: value})
            assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_PARAMETER"), (key, value)
            assert key in answer.json()["description"], (key, value)
        for key, value in (
            ("administrators", [{"userId": "nobody"}]),
            ("members", [{"id": uid(1), "type": "ORGUNIT"}]),
            ("members", [{"id": "externalKey:x", "type": "GROUP"}]),
        ):
            await desk.refused("POST", "/groups", {**new_group(), key: value}, 404, "NOT_FOUND")
        assert (await desk.get("/groups"))["groups"] == []

    at_desk(test, people=1)


@paragraph("1 §6", "1 §2.4")
def test_names_and_keys_are_nobody_elses() -> None:
    """Part 1 §2.4, §6."""

    async def test(desk: Desk) -> None:
        await desk.group("本部", groupExternalKey="G1")
        other = await desk.group("区", groupExternalKey="G2")
        path = f"/groups/{other['groupId']}"
        await desk.refused("POST", "/groups", new_group("本部"), 409, "CONFLICT", "groupName")
        await desk.refused("POST", "/groups", new_group("他", groupExternalKey="G1"), 409, "CONFLICT")
        await desk.refused("PATCH", path, {"groupName": "本部"}, 409, "CONFLICT")
        await desk.refused("PATCH", path, {"groupExternalKey": "G1"}, 409, "CONFLICT")
        await desk.done("PATCH", path, {"groupName": "区", "groupExternalKey": "G3"})
        await desk.done("DELETE", "/groups/externalKey%3AG1", None, 204)
        await desk.done("PATCH", path, {"groupName": "本部", "groupExternalKey": "G1"})
        keys = [{"id": "externalKey:G1", "externalKey": "G9"}]
        await desk.done("POST", "/groups/external-keys", {"groups": keys}, 204)
        assert (await desk.get("/groups/external-keys"))["groups"] == [
            {"domainId": DOMAIN, "name": "本部", "id": other["groupId"], "externalKey": "G9"}
        ]

    at_desk(test)


@paragraph("1 §3", "1 §6")
def test_members_are_added_and_removed() -> None:
    """Part 1 §3, §6: 201 without a body, 404, 409."""

    async def test(desk: Desk) -> None:
        group = await desk.group(members=[user(1)])
        path = f"/groups/{group['groupId']}/members"
        answer = await desk.call("POST", path, user(2))
        assert (answer.status_code, answer.content) == (201, b"")
        await desk.refused("POST", path, user(2), 409, "CONFLICT")
        await desk.refused("POST", path, {"id": "s00002@city-demo", "type": "USER"}, 409, "CONFLICT")
        await desk.refused("POST", path, {"id": "nobody", "type": "USER"}, 404, "NOT_FOUND")
        await desk.wrong("POST", path, {"id": uid(3)}, "type")
        await desk.refused("POST", "/groups/nobody/members", user(3), 404, "NOT_FOUND")
        await desk.done("DELETE", f"{path}/s00001%40city-demo", None, 204)
        await desk.refused("DELETE", f"{path}/{uid(1)}", None, 404, "NOT_FOUND")
        assert ids(await desk.get(f"/groups/{group['groupId']}")) == [uid(2)]

    at_desk(test, people=3)


@paragraph("1 §3", "1 §6")
def test_a_group_keeps_one_administrator() -> None:
    """Part 1 §3, §6."""

    async def test(desk: Desk) -> None:
        group = await desk.group()
        path = f"/groups/{group['groupId']}/administrators"
        answer = await desk.call("POST", path, {"userId": "externalKey:S00001"})
        assert (answer.status_code, answer.content) == (201, b"")
        await desk.refused("POST", path, {"userId": uid(1)}, 409, "CONFLICT")
        await desk.refused("POST", path, {"userId": "nobody"}, 404, "NOT_FOUND")
        assert [entry["userId"] for entry in (await desk.get(path))["administrators"]] == [uid(0), uid(1)]
        await desk.done("DELETE", f"{path}/{uid(0)}", None, 204)
        await desk.refused("DELETE", f"{path}/{uid(0)}", None, 404, "NOT_FOUND")
        await desk.wrong("DELETE", f"{path}/{uid(1)}", None)

    at_desk(test, people=1)


@paragraph("1 §6")
def test_a_careless_put_closes_the_room() -> None:
    """Part 1 §6 [D]: every flag left out falls back to false; the history is lost."""

    async def test(desk: Desk) -> None:
        bench = desk.bench
        body = new_group(members=[user(1), user(2)])
        group = await desk.done("POST", "/groups", {**body, "useMessage": True, "useNote": True}, 201)
        path = f"/groups/{group['groupId']}"
        channel = await invited(desk, group)
        content = {"content": {"type": "text", "text": "【訓練】連絡"}}
        room = f"/bots/{bench.bot}/channels/{channel}/messages"
        await desk.done("POST", room, content, 201)
        patched = await desk.done("PATCH", path, {"description": "説明"})
        assert (patched["useMessage"], patched["useNote"]) == (True, True)
        await desk.done("POST", room, content, 201)
        put = await desk.done("PUT", path, body)
        assert (put["useMessage"], put["useNote"], put["description"]) == (False, False, None)
        assert (await desk.call("POST", room, content)).status_code == 403  # the bot is out
        await desk.days(29)
        again = await desk.done("PATCH", path, {"useMessage": True})
        assert again["useMessage"] is True
        await desk.done("PATCH", path, {"useMessage": False})
        await desk.days(30)
        await desk.wrong("PATCH", path, {"useMessage": True})  # switched off for good
        await desk.done("PATCH", path, {"description": "なお直せる"})

    at_desk(test, people=2)


@paragraph("1 §6")
def test_the_room_follows_transfers_members_and_nested_groups() -> None:
    """Part 1 §6: a whole org unit as a member."""

    async def test(desk: Desk) -> None:
        bench = desk.bench
        await desk.unit(orgUnitExternalKey="K")
        inner = await desk.group("内", members=[{"id": "externalKey:K", "type": "ORGUNIT"}])
        outer = await desk.group(
            "外", members=[{"id": inner["groupId"], "type": "GROUP"}, user(3)], useMessage=True
        )
        channel = await invited(desk, outer)
        path = f"/bots/{bench.bot}/channels/{channel}/members"

        async def inside() -> list[int]:
            members = (await desk.get(path))["members"]
            return sorted(number for number in range(5) if uid(number) in members)

        assert await inside() == [3]
        await desk.done("PATCH", f"/users/{uid(1)}", {"organizations": in_unit("externalKey:K")})
        await desk.done(
            "PATCH", f"/users/{uid(2)}", {"organizations": in_unit("externalKey:K", useTeamFeature=False)}
        )
        assert await inside() == [1, 3]
        await desk.done("POST", f"/groups/{inner['groupId']}/members", user(4), 201)
        assert await inside() == [1, 3, 4]
        await desk.done("DELETE", f"/users/{uid(4)}", None, 204)
        assert await inside() == [1, 3]
        await desk.done("PATCH", f"/users/{uid(1)}", {"organizations": []})
        assert await inside() == [3]
        await desk.clock.sleep(5)
        joined = [tuple(event["members"]) for event in bench.receiver.of("joined")]
        left = [tuple(event["members"]) for event in bench.receiver.of("left")]
        assert joined == [(uid(1),), (uid(4),)]
        assert left == [(uid(4),), (uid(1),)]

    at_desk(test, people=4)


@paragraph("1 §6")
def test_a_group_is_not_in_itself() -> None:
    async def test(desk: Desk) -> None:
        first = await desk.group("一")
        second = await desk.group("二", members=[{"id": first["groupId"], "type": "GROUP"}])
        third = await desk.group("三", members=[{"id": second["groupId"], "type": "GROUP"}])
        for group in (first, third):
            inner = {"id": group["groupId"], "type": "GROUP"}
            await desk.wrong("POST", f"/groups/{first['groupId']}/members", inner, "itself")
            await desk.wrong("PATCH", f"/groups/{first['groupId']}", {"members": [inner]}, "itself")
        await desk.done("DELETE", f"/groups/{second['groupId']}", None, 204)
        assert ids(await desk.get(f"/groups/{third['groupId']}")) == []

    at_desk(test)


@paragraph("1 §6")
def test_a_member_is_in_so_many_groups_at_most() -> None:
    """Part 1 §6 [H]: 2,000."""

    async def test(desk: Desk) -> None:
        for name in ("一", "二"):
            group = await desk.group(name, members=[user(1)])
        await desk.wrong("POST", "/groups", new_group("三", members=[user(1)]), "at most 2")
        await desk.done("PATCH", f"/groups/{group['groupId']}", {"members": [user(1)]})
        await desk.group("三")

    at_desk(test, people=1, choices=Choices(groups_per_member=2, people_answer=False))


@paragraph("1 §6")
def test_put_wipes_members_and_needs_them() -> None:
    async def test(desk: Desk) -> None:
        group = await desk.group(members=[user(1)], groupExternalKey="G", description="説明", visible=False)
        path = f"/groups/{group['groupId']}"
        for missing in ("domainId", "groupName", "administrators", "members"):
            body = {key: value for key, value in new_group().items() if key != missing}
            await desk.wrong("PUT", path, body, missing)
        put = await desk.done("PUT", path, new_group("新"))
        assert (put["groupName"], put["groupExternalKey"], put["visible"], put["members"]) == (
            "新",
            None,
            True,
            [],
        )
        patched = await desk.done("PATCH", path, {"members": [user(1)]})
        assert ids(patched) == [uid(1)]
        await desk.wrong("PATCH", path, {"members": None}, "members")
        await desk.wrong("PATCH", path, {"administrators": []}, "administrators")

    at_desk(test, people=1)


@paragraph("1 §6")
def test_properties_at_their_limits_are_taken_and_shown() -> None:
    async def test(desk: Desk) -> None:
        for key, value in (
            ("groupName", "x" * 100),
            ("groupExternalKey", "x" * 100),
            ("description", "x" * 300),
            ("visible", False),
            ("useServiceNotification", True),
            ("serviceManageable", False),
            ("members", []),
        ):
            made = await desk.group(**{"name": "本部", key: value})
            assert (await desk.get(f"/groups/{made['groupId']}"))[key] == value
            await desk.done("DELETE", f"/groups/{made['groupId']}", None, 204)
        plain = await desk.group()
        assert {key: plain[key] for key in DEFAULTS} == DEFAULTS
        for sign in "%\\#/?":
            await desk.wrong("POST", "/groups", new_group("他", groupExternalKey=f"K{sign}"))

    at_desk(test)


@paragraph("1 §6")
@pytest.mark.parametrize("flag", ["useMessage", "useNote", "useCalendar", "useTask", "useFolder"])
def test_a_put_resets_each_flag_that_it_leaves_out(flag: str) -> None:
    """[D]; a PATCH leaves them alone."""

    async def test(desk: Desk) -> None:
        features = {"useMessage": True, flag: True, "useServiceNotification": True}
        group = await desk.group(**features)
        path = f"/groups/{group['groupId']}"
        patched = await desk.done("PATCH", path, {"groupName": "他"})
        assert {key: patched[key] for key in features} == features
        put = await desk.done("PUT", path, new_group("他"))
        assert {key: put[key] for key in features} == dict.fromkeys(features, False)

    at_desk(test)


@paragraph("1 §6")
@pytest.mark.parametrize(("plan", "status"), [("standard", 400), ("advanced", 201)])
def test_mailing_lists_are_of_the_advanced_plan(plan: str, status: int) -> None:
    async def test(desk: Desk) -> None:
        answer = await desk.call("POST", "/groups", new_group(useMail=True))
        assert answer.status_code == status
        assert (await desk.group("他", useMail=False))["useMail"] is False

    at_desk(test, plan=plan)


@paragraph("1 §6")
@pytest.mark.parametrize("kind", ["EXTERNAL", "DYNAMIC"])
def test_external_and_dynamic_groups_are_not_edited(kind: str) -> None:
    """[D]; how it is refused is a choice."""

    async def test(desk: Desk) -> None:
        group = await desk.group(members=[user(1)])
        path = f"/groups/{group['groupId']}"
        assert (await desk.bench.admin("PUT", f"{path}/kind", {"kind": kind})).status_code == 204
        assert await desk.get(path) == group
        for method, below, body in (
            ("PUT", "", new_group()),
            ("PATCH", "", {"description": "x"}),
            ("DELETE", "", None),
            ("POST", "/members", user(2)),
            ("DELETE", f"/members/{uid(1)}", None),
            ("POST", "/administrators", {"userId": uid(1)}),
            ("DELETE", f"/administrators/{uid(0)}", None),
        ):
            await desk.refused(method, path + below, body, 403, "ACCESS_DENIED")
        assert await desk.get(path) == group
        await desk.bench.admin("PUT", f"{path}/kind", {"kind": "NORMAL"})
        await desk.done("PATCH", path, {"description": "x"})

    at_desk(test, people=2)
