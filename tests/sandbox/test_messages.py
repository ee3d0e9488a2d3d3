"""Bots, messages and rooms as a client sees them (part 2 §1 to §3), over plain HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from bousai_kit.sandbox.choices import Choices
from tests.sandbox.botlab import Lab, trial, uid

MESSAGE = {"type": "message", "label": "無事です A1", "postback": "bk1|drill=d|m=b01|a=0"}
POSTBACK = {"type": "postback", "label": "はい", "data": "d"}
URI = {"type": "uri", "label": "開く", "uri": "https://example.invalid/form"}
COPY = {"type": "copy", "label": "写す", "copyText": "x"}
URL = "https://example.invalid/a.png"


def template(*actions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "button_template", "contentText": "【訓練】", "actions": list(actions), **more}


CAMERA = {"type": "camera", "label": "a"}
TITLED = [{"title": "a"}]


def columns(*actions: dict[str, Any], count: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": "carousel", "columns": [{"text": "あ", "actions": list(actions), **more}] * count}


def quick(*actions: dict[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": "あ", "quickReply": {"items": [{"action": action} for action in actions]}}


async def send(bench: Lab, content: Any, target: str = "") -> tuple[int, str]:
    target = target or f"users/{uid(1)}"
    answer = await bench.api("POST", f"/bots/{bench.bot}/{target}/messages", {"content": content})
    if answer.status_code == 201:
        assert answer.content == b"", "no message id"
        return 201, ""
    return answer.status_code, f"{answer.json()['code']} {answer.json()['description']}"


TAKEN = [
    {"type": "text", "text": "あ" * 2000},
    {"type": "text", "text": "a", "i18nTexts": [{"language": "en_US", "text": "b"}]},
    {"type": "text", "text": "a", "postback": "echoed by the official sample"},
    {"type": "text", "text": "a", "unheardOf": 1},
    {"type": "sticker", "packageId": "1", "stickerId": "2"},
    {"type": "image", "previewImageUrl": URL, "originalContentUrl": URL},
    {"type": "file", "originalContentUrl": "https://example.invalid/a.pdf"},
    {"type": "link", "contentText": "a", "linkText": "b", "link": "https://example.invalid"},
    {"type": "audio", "originalContentUrl": "https://example.invalid/a.m4a"},
    {"type": "video", "previewImageUrl": URL, "originalContentUrl": URL},
    {"type": "location", "title": "庁舎", "address": "北区", "latitude": 34.7, "longitude": 135.5},
    template(*[MESSAGE] * 10),
    template(URI, COPY),
    template({**MESSAGE, "label": "あ" * 20, "postback": "x" * 1000}),
    {"type": "list_template", "elements": [{"title": "a"}] * 4, "actions": [[MESSAGE, URI], [COPY]]},
    columns({**MESSAGE, "text": "はい"}, POSTBACK, URI, count=10),
    {"type": "image_carousel", "columns": [{"originalContentUrl": URL, "action": URI}]},
    {
        "type": "flex",
        "altText": "a",
        "contents": {"type": "bubble", "body": {"type": "box", "layout": "vertical", "contents": []}},
    },
    quick(*[{**MESSAGE, "text": "はい"}] * 13),
    quick(
        {"type": "camera", "label": "a"},
        {"type": "cameraRoll", "label": "a"},
        {"type": "location", "label": "a"},
    ),
    quick({**POSTBACK, "displayText": "はい"}),
]

REFUSED = [
    (None, "content"),
    ([], "content"),
    ({}, "content.type"),
    ({"type": "template"}, "content.type"),
    ({"type": "flexible_template"}, "content.type"),
    ({"type": "text"}, "content.text"),
    ({"type": "text", "text": ""}, "content.text"),
    ({"type": "text", "text": 3}, "content.text"),
    ({"type": "text", "text": "あ" * 2001}, "content.text"),
    ({"type": "text", "text": "a", "i18nTexts": [{"language": "xx", "text": "b"}]}, "content.i18nTexts"),
    ({"type": "image"}, "content.previewImageUrl/originalContentUrl is required"),
    ({"type": "image", "previewImageUrl": "http://a.invalid/", "originalContentUrl": URL}, "previewImageUrl"),
    ({"type": "image", "fileId": "unknown"}, "content.fileId"),
    ({"type": "file", "originalContentUrl": "https://example.invalid/a.exe"}, "blocked"),
    ({"type": "location", "title": "a", "address": "b", "latitude": 91, "longitude": 0}, "latitude"),
    ({"type": "location", "title": "a", "address": "b", "latitude": True, "longitude": 0}, "latitude"),
    (template(), "content.actions"),
    (template(*[MESSAGE] * 11), "content.actions"),
    (template(POSTBACK), "content.actions[0]"),
    (template({"type": "camera", "label": "a"}), "content.actions[0]"),
    (template({**MESSAGE, "label": "あ" * 21}), "label"),
    (template({**MESSAGE, "label": ""}), "label"),
    (template({**MESSAGE, "postback": "x" * 1001}), "postback"),
    (template({"type": "uri", "label": "a", "uri": "javascript:alert(1)"}), "uri"),
    ({**template(MESSAGE), "contentText": "あ" * 1001}, "contentText"),
    ({"type": "list_template", "elements": [{"title": "a"}] * 5}, "content.elements"),
    ({"type": "list_template", "elements": TITLED, "actions": [[POSTBACK]]}, "content.actions[0][0]"),
    (columns({**MESSAGE, "text": "a"}, count=11), "content.columns"),
    (columns(*[URI] * 4), "actions"),
    (columns(MESSAGE), "text"),
    (columns(URI, text="あ" * 121), "text"),
    (columns(URI, text="あ" * 61, title="a"), "text"),
    (columns({**POSTBACK, "data": "x" * 301}), "data"),
    (
        {
            "type": "carousel",
            "columns": [{"text": "a", "actions": [URI]}, {"text": "a", "actions": [URI, URI]}],
        },
        "same number",
    ),
    (
        {
            "type": "image_carousel",
            "columns": [{"originalContentUrl": URL, "action": {**URI, "label": "あ" * 13}}],
        },
        "label",
    ),
    ({"type": "flex", "altText": "a" * 401, "contents": {"type": "bubble"}}, "altText"),
    (quick(*[{**MESSAGE, "text": "a"}] * 14), "content.quickReply.items"),
    (quick(POSTBACK), "displayText"),
]


def test_what_the_pages_list_is_taken_and_what_they_forbid_is_named() -> None:
    async def test(bench: Lab) -> None:
        for content in TAKEN:
            assert await send(bench, content) == (201, ""), content
        for content, named in REFUSED:
            status, said = await send(bench, content)
            assert status == 400, content
            assert said.startswith("INVALID_PARAMETER"), content
            assert named in said, (content, said)
        truth = bench.truth()
        assert len(truth["messages"]) == len(TAKEN), "a refused content goes nowhere"
        told = (await bench.admin("GET", "/truth")).json()
        assert told["unknown_fields"] == {"text.unheardOf": 1}

    trial(test)


def test_a_member_is_named_by_id_or_login_and_nothing_else() -> None:
    async def test(bench: Lab) -> None:
        text = {"type": "text", "text": "あ"}
        for name, status in (
            (uid(1), 201),
            ("s00001@city-demo", 201),
            ("s00001%40city-demo", 201),
            ("externalKey:S00001", 404),
            ("externalKey%3AS00001", 404),
            ("nobody@city-demo", 404),
            ("nobody", 404),
        ):
            assert (await send(bench, text, f"users/{name}"))[0] == status, name
        assert {message["user"] for message in bench.truth()["messages"]} == {uid(1)}
        unknown = await bench.api("POST", f"/bots/1/users/{uid(1)}/messages", {"content": text})
        assert unknown.status_code == 404

    trial(test)


@pytest.mark.parametrize("path", ["messages", "messages/1", "readers", "messages/1/readers"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_no_message_can_be_looked_up_and_no_reader_either(method: str, path: str) -> None:
    async def test(bench: Lab) -> None:
        answer = await bench.api(method, f"/bots/{bench.bot}/users/{uid(1)}/{path}")
        assert (answer.status_code, answer.json()["description"]) == (404, "Api not exists")

    trial(test)


def test_a_bot_speaks_to_those_who_may_use_it() -> None:
    async def test(bench: Lab) -> None:
        text = {"type": "text", "text": "あ"}
        bench.tenant.table("users")[uid(2)]["isSuspended"] = True
        assert (await send(bench, text, f"users/{uid(2)}"))[0] == 403
        domain = f"/bots/{bench.bot}/domains/{bench.tenant.domain_id}"
        chosen = {"visible": True, "allowToSelectedMember": True}
        assert (await bench.api("PATCH", domain, chosen)).status_code == 200
        assert (await send(bench, text))[0] == 403
        assert (await bench.api("POST", f"{domain}/members", {"userId": uid(1)})).status_code == 201
        assert (await send(bench, text))[0] == 201
        assert (await send(bench, text, f"users/{uid(3)}"))[0] == 403
        assert (await bench.api("DELETE", domain)).status_code == 204
        assert (await send(bench, text))[0] == 403

    trial(test)


def test_rooms_hold_one_to_a_hundred_members() -> None:
    async def test(bench: Lab) -> None:
        path = f"/bots/{bench.bot}/channels"
        for members in (
            [],
            [uid(number) for number in range(1, 102)],
            [uid(1), uid(1)],
            [uid(1), 3],
            "x",
            None,
        ):
            answer = await bench.api("POST", path, {"members": members})
            assert answer.status_code == 400, members
        assert (await bench.api("POST", path, {"members": [uid(1), "nobody"]})).status_code == 404
        await bench.clock.sleep(60)
        answer = await bench.api("POST", path, {"members": [uid(n) for n in range(1, 101)], "title": "本部"})
        assert answer.status_code == 201
        assert set(answer.json()) == {"channelId", "title"}
        room = f"{path}/{answer.json()['channelId']}"
        shown = (await bench.api("GET", room)).json()
        assert shown["channelType"] == {"type": "MULTI_USERS"}
        assert (shown["title"], shown["domainId"]) == ("本部", bench.tenant.domain_id)
        first = (await bench.api("GET", f"{room}/members")).json()
        assert len(first["members"]) == 50
        cursor = first["responseMetaData"]["nextCursor"]
        rest = (await bench.api("GET", f"{room}/members", params={"cursor": cursor, "count": 100})).json()
        assert first["members"] + rest["members"] == [uid(n) for n in range(1, 101)]
        assert rest["responseMetaData"]["nextCursor"] is None
        for method in ("PUT", "PATCH"):
            assert (await bench.api(method, room, {"title": "x"})).status_code == 404, "no room can be edited"
        assert (await bench.api("GET", path)).status_code == 404, "nor listed"

    trial(test, people=101)


def test_the_bot_speaks_in_rooms_it_is_in() -> None:
    async def test(bench: Lab) -> None:
        room = await bench.room(1, 2, 3)
        text = {"type": "text", "text": "あ"}
        assert (await send(bench, text, f"channels/{room}"))[0] == 201
        assert (await send(bench, text, "channels/unknown"))[0] == 404
        sent = bench.truth()["messages"][-1]
        assert (sent["channel"], sent["user"], sent["members"], sent["push"]) == (
            room,
            "",
            [uid(1), uid(2), uid(3)],
            True,
        )
        assert (await bench.api("DELETE", f"/bots/{bench.bot}/channels/{room}")).status_code == 204
        assert (await send(bench, text, f"channels/{room}"))[0] == 403
        assert (await bench.api("GET", f"/bots/{bench.bot}/channels/{room}")).status_code == 403

    trial(test)


def test_large_rooms_ring_no_phone() -> None:
    async def test(bench: Lab) -> None:
        members = [uid(number) for number in range(1, 12)]
        for number, size in enumerate((9, 10)):
            room = await bench.room(*range(1, size + 1))
            await send(bench, {"type": "text", "text": f"{number}"}, f"channels/{room}")
        assert [message["push"] for message in bench.truth()["messages"]] == [True, False]
        assert len(members) == 11

    trial(test, people=12, choices=Choices(people_answer=False, push_below=10))


def test_the_same_text_again_is_another_message() -> None:
    async def test(bench: Lab) -> None:
        for _ in range(2):
            await send(bench, template(MESSAGE))
        keys = [message["key"] for message in bench.truth()["messages"]]
        assert len(set(keys)) == 2
        again = template({**MESSAGE, "label": "無事です B2", "postback": "other"})
        await send(bench, again, f"users/{uid(2)}")
        assert bench.truth()["messages"][-1]["key"] == keys[0], (
            "drill codes are no part of what chance is drawn from"
        )

    trial(test)
