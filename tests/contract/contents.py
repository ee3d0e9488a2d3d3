"""Message contents and actions to build checks from, and how a check sends them."""

from __future__ import annotations

from typing import Any

from tests.sandbox.botlab import Lab, uid

MESSAGE = {"type": "message", "label": "無事です A1", "postback": "bk1|drill=d|m=b01|a=0"}
SAYING = {**MESSAGE, "text": "はい"}
POSTBACK = {"type": "postback", "label": "はい", "data": "d"}
URI = {"type": "uri", "label": "開く", "uri": "https://example.invalid/form"}
COPY = {"type": "copy", "label": "写す", "copyText": "x"}
URL = "https://example.invalid/a.png"
BUBBLE = {"type": "bubble", "body": {"type": "box", "layout": "vertical", "contents": []}}
PHONE_ONLY = [{"type": kind, "label": "a"} for kind in ("camera", "cameraRoll", "location")]


def template(*actions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "button_template", "contentText": "【訓練】", "actions": list(actions), **more}


def listing(*elements: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "list_template", "elements": list(elements or [{"title": "a"}]), **more}


def columns(*actions: dict[str, Any], count: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": "carousel", "columns": [{"text": "あ", "actions": list(actions), **more}] * count}


def pictures(action: dict[str, Any], count: int = 1, **more: Any) -> dict[str, Any]:
    column = {"originalContentUrl": URL, "action": action, **more}
    return {"type": "image_carousel", "columns": [column] * count}


def flex(contents: Any, **more: Any) -> dict[str, Any]:
    return {"type": "flex", "altText": "a", "contents": contents, **more}


def quick(*actions: dict[str, Any], **more: Any) -> dict[str, Any]:
    items = [{"action": action, **more} for action in actions]
    return {"type": "text", "text": "あ", "quickReply": {"items": items}}


def url_of(length: int) -> str:
    return "https://example.invalid/".ljust(length, "a")


def i18n(key: str, text: str = "b", language: str = "en_US") -> list[dict[str, str]]:
    return [{"language": language, key: text}]


TAKEN: list[dict[str, Any]] = [
    {"type": "text", "text": "あ" * 2000},
    {"type": "text", "text": "a", "i18nTexts": i18n("text")},
    {"type": "text", "text": "a", "postback": "echoed by the official sample"},
    {"type": "text", "text": "a", "unheardOf": 1},
    {"type": "sticker", "packageId": "1", "stickerId": "2"},
    {"type": "image", "previewImageUrl": URL, "originalContentUrl": URL},
    {"type": "file", "originalContentUrl": "https://example.invalid/a.pdf"},
    {"type": "link", "contentText": "a", "linkText": "b", "link": "https://example.invalid"},
    {"type": "audio", "originalContentUrl": "https://example.invalid/a.wav"},
    {"type": "video", "previewImageUrl": URL, "originalContentUrl": URL},
    {"type": "location", "title": "庁舎", "address": "北区", "latitude": 34.7, "longitude": 135.5},
    template(*[MESSAGE] * 10),
    template(URI, COPY),
    template({**MESSAGE, "label": "あ" * 20, "postback": "x" * 1000}),
    listing(*[{"title": "a"}] * 4, actions=[[MESSAGE, URI], [COPY]]),
    columns(SAYING, POSTBACK, URI, count=10),
    pictures(URI),
    flex(BUBBLE),
    quick(*[SAYING] * 13),
    quick(*PHONE_ONLY),
    quick({**POSTBACK, "displayText": "はい"}),
]


async def send(bench: Lab, content: Any, target: str = "", **beside: Any) -> tuple[int, str]:
    """Status, and ``code description`` of a refusal; what was taken is answered with nothing."""
    target = target or f"users/{uid(1)}"
    body = {"content": content, **beside}
    answer = await bench.api("POST", f"/bots/{bench.bot}/{target}/messages", body)
    if answer.status_code == 201:
        assert answer.content == b"", "no message id"
        return 201, ""
    assert set(answer.json()) == {"code", "description"}
    return answer.status_code, f"{answer.json()['code']} {answer.json()['description']}"


async def refused(bench: Lab, content: Any, named: str) -> None:
    """400, and the description names the property."""
    status, said = await send(bench, content)
    assert status == 400, content
    assert said.startswith("INVALID_PARAMETER "), said
    assert named in said, (named, said)


async def taken(bench: Lab, content: Any) -> None:
    assert await send(bench, content) == (201, ""), content


def unlimited(bench: Lab) -> None:
    """For checks that are not about the limits of requests."""
    bench.sandbox.limits.overrides.update(default=10**6, room=10**6, log=10**6)
