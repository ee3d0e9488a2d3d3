"""Events of callbacks (part 2 §4.2): what each carries, and when it comes."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.contract.hearing import act, kinds, settle, tap
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import DOMAIN, SILENT, Lab, trial, uid

ISSUED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


# -- messages and postbacks -------------------------------------------------------------------------


@paragraph("2 §4.2", "2 §2.3")
def test_a_tap_in_a_talk_has_text_and_postback_and_no_channel() -> None:
    async def test(bench: Lab) -> None:
        await tap(bench)
        at = bench.clock.now()
        await settle(bench)
        begin, message = bench.receiver.events
        assert set(message) == {"type", "source", "issuedTime", "content"}
        assert message["source"] == {"userId": uid(1), "domainId": DOMAIN}, "no channelId in 1:1"
        assert message["content"] == {"type": "text", "text": "無事です A1", "postback": "bk1|x"}
        for event in (begin, message):
            assert ISSUED.fullmatch(event["issuedTime"])
            issued = datetime.fromisoformat(event["issuedTime"])
            assert abs(issued - at) < timedelta(seconds=1)

    trial(test)


@paragraph("2 §4.2")
def test_in_a_room_the_channel_is_named() -> None:
    async def test(bench: Lab) -> None:
        room = await bench.room(1, 2)
        await tap(bench, 1, channel=room)
        await tap(bench, 2, channel=room, data="bk1|d")
        await settle(bench)
        message, postback = bench.receiver.events[-2:]
        assert message["source"] == {"userId": uid(1), "channelId": room, "domainId": DOMAIN}
        assert postback["source"] == {"userId": uid(2), "channelId": room, "domainId": DOMAIN}
        assert postback["data"] == "bk1|d"
        assert set(postback) == {"type", "source", "issuedTime", "data"}

    trial(test)


@paragraph("2 §4.2")
@pytest.mark.parametrize("named", [True, False])
def test_a_postback_in_a_talk_names_the_channel_or_not(named: bool) -> None:
    async def test(bench: Lab) -> None:
        await tap(bench, data="d")
        await settle(bench)
        assert kinds(bench) == ["begin", "postback"], "no text follows"
        assert ("channelId" in bench.receiver.events[-1]["source"]) is named

    trial(test, choices=replace(SILENT, postback_has_channel_in_1to1=named))


@paragraph("2 §4.2")
def test_each_tap_is_an_event_of_its_own() -> None:
    async def test(bench: Lab) -> None:
        for _ in range(3):
            await tap(bench)
        await settle(bench)
        assert kinds(bench) == ["begin", *["message"] * 3]

    trial(test)


@paragraph("2 §4.2")
def test_typed_text_has_no_postback_and_the_start_button_has() -> None:
    async def test(bench: Lab) -> None:
        assert await act(bench, "open") == 204
        assert await act(bench, "say", text="@防災訓練Bot 了解しました") == 204
        await settle(bench)
        begin, start, said = bench.receiver.events
        assert set(begin["source"]) == {"userId", "channelId", "domainId"}
        assert set(begin) == {"type", "source", "issuedTime"}
        assert (start["content"]["type"], start["content"]["postback"]) == ("text", "start")
        assert said["content"] == {"type": "text", "text": "@防災訓練Bot 了解しました"}

    trial(test)


@paragraph("2 §4.2")
@pytest.mark.parametrize(
    ("content", "fields"),
    [
        ({"type": "location", "address": "北区", "latitude": 34.7, "longitude": 135.5}, None),
        ({"type": "sticker", "packageId": "1", "stickerId": "2"}, None),
        ({"type": "image"}, {"type", "fileId"}),
        ({"type": "file"}, {"type", "fileId"}),
    ],
    ids=["location", "sticker", "image", "file"],
)
def test_contents_of_members(content: dict[str, Any], fields: set[str] | None) -> None:
    async def test(bench: Lab) -> None:
        assert await act(bench, "send", content=content) == 204
        await settle(bench)
        heard = bench.receiver.of("message")[0]["content"]
        if fields is None:
            assert heard == content
        else:
            assert set(heard) == fields

    trial(test)


@paragraph("2 §1.2")
def test_members_write_what_the_bot_lets_them() -> None:
    async def test(bench: Lab) -> None:
        bot, place = f"/bots/{bench.bot}", {"type": "location", "address": "a", "latitude": 1, "longitude": 1}
        assert (await bench.api("PATCH", bot, {"callbackEvents": ["location"]})).status_code == 200
        assert await act(bench, "say", text="了解") == 403
        assert await act(bench, "send", content=place) == 204
        await tap(bench)
        room = await bench.room(1, 2)
        assert await act(bench, "say", text="了解", channel=room) == 204, "of the 1:1 talk alone"
        await settle(bench)
        assert [event["content"]["type"] for event in bench.receiver.of("message")] == [
            "location",
            "text",
            "text",
        ]

    trial(test)


# -- comings and goings -----------------------------------------------------------------------------


@paragraph("2 §4.2")
def test_a_talk_begins_with_the_first_message_and_ends_when_the_member_leaves() -> None:
    async def test(bench: Lab) -> None:
        await bench.text(1)
        await bench.text(1)
        await settle(bench)
        assert kinds(bench) == ["begin"]
        assert await act(bench, "leave") == 204
        assert await act(bench, "leave") == 404
        await bench.text(1)
        await settle(bench)
        assert kinds(bench) == ["begin", "end", "begin"]
        first, end, again = bench.receiver.events
        assert first["source"] == end["source"] == again["source"]
        assert set(end["source"]) == {"userId", "channelId", "domainId"}

    trial(test)


@paragraph("2 §4.2")
@pytest.mark.parametrize(("still", "heard"), [(False, ["begin"]), (True, ["begin", "join", "joined"])])
def test_join_in_a_talk_is_announced_to_stop(still: bool, heard: list[str]) -> None:
    async def test(bench: Lab) -> None:
        await bench.text(1)
        await settle(bench)
        assert kinds(bench) == heard

    trial(test, choices=replace(SILENT, join_in_1to1=still))


@paragraph("2 §4.2", "2 §3")
def test_rooms_tell_of_comings_and_goings() -> None:
    async def test(bench: Lab) -> None:
        room = await bench.room(1, 2)
        assert await act(bench, "leave", 1, channel=room) == 204
        assert await act(bench, "leave", 1, channel=room) == 404
        assert (await bench.api("DELETE", f"/bots/{bench.bot}/channels/{room}")).status_code == 204
        await settle(bench)
        assert kinds(bench) == ["join", "joined", "left", "leave"]
        for event in bench.receiver.events:
            assert event["source"] == {"channelId": room, "domainId": DOMAIN}
            assert ISSUED.fullmatch(event["issuedTime"])
        join, joined, left, leave = bench.receiver.events
        assert (joined["members"], left["members"]) == ([uid(1), uid(2)], [uid(1)])
        assert "members" not in join
        assert "members" not in leave

    trial(test)


@paragraph("2 §4.2")
def test_members_make_rooms_with_the_bot_and_bring_others_in() -> None:
    async def test(bench: Lab) -> None:
        made = await bench.admin(
            "POST", "/staff/room", {"user": uid(1), "members": [uid(2)], "title": "現場"}
        )
        room = made.json()["channelId"]
        assert await act(bench, "join", 3, channel=room) == 204
        assert await act(bench, "join", 3, channel=room) == 404
        shown = (await bench.api("GET", f"/bots/{bench.bot}/channels/{room}/members")).json()
        assert shown["members"] == [uid(1), uid(2), uid(3)]
        await settle(bench)
        assert kinds(bench) == ["join", "joined", "joined"]
        assert [event["members"] for event in bench.receiver.of("joined")] == [[uid(1), uid(2)], [uid(3)]]
        assert (await bench.api("PATCH", f"/bots/{bench.bot}", {"enableGroupJoin": False})).status_code == 200
        again = await bench.admin("POST", "/staff/room", {"user": uid(1), "members": [uid(2)]})
        assert again.status_code == 404

    trial(test)


@paragraph("2 §4.2")
def test_a_group_s_room_follows_the_group() -> None:
    async def test(bench: Lab) -> None:
        def member(number: int) -> dict[str, str]:
            return {"id": uid(number), "type": "USER"}

        body = {
            "domainId": DOMAIN,
            "groupName": "本部",
            "useMessage": True,
            "administrators": [{"userId": uid(1)}],
            "members": [member(1), member(2)],
        }
        group = f"/groups/{(await bench.api('POST', '/groups', body)).json()['groupId']}"
        invited = await bench.admin("POST", "/staff/invite", {"kind": "GROUP", "id": group[8:]})
        room = invited.json()["channelId"]
        changed = await bench.api("PATCH", group, {"members": [member(1), member(3), member(4)]})
        assert changed.status_code == 200, changed.text
        assert (await bench.api("DELETE", f"/users/{uid(4)}")).status_code == 204
        assert (await bench.api("DELETE", group)).status_code == 204
        await settle(bench)
        assert kinds(bench) == ["join", "joined", "left", "left", "leave"]
        assert {event["source"]["channelId"] for event in bench.receiver.events} == {room}
        assert set(bench.receiver.events[1]["members"]) == {uid(3), uid(4)}
        assert [event["members"] for event in bench.receiver.of("left")] == [[uid(2)], [uid(4)]]

    trial(test)


@paragraph("2 §4.2")
def test_a_join_may_come_without_a_fraction_of_a_second() -> None:
    async def test(bench: Lab) -> None:
        await bench.room(1, 2)
        await settle(bench)
        join, joined = bench.receiver.events
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", join["issuedTime"])
        assert ISSUED.fullmatch(joined["issuedTime"])

    trial(test, choices=replace(SILENT, join_without_fraction=True))
