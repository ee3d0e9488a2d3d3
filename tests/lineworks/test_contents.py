"""Every documented limit: at the limit it goes out, one more and nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bousai_kit.errors import BousaiKitError
from bousai_kit.lineworks.actions import check_action
from bousai_kit.lineworks.messages import (
    Audio,
    ButtonTemplate,
    CameraAction,
    CameraRollAction,
    Carousel,
    CarouselColumn,
    Content,
    Cover,
    File,
    Flex,
    Image,
    ImageCarousel,
    ImageColumn,
    InvalidContent,
    Link,
    ListElement,
    ListTemplate,
    Location,
    LocationAction,
    MessageAction,
    PostbackAction,
    QuickReply,
    QuickReplyItem,
    Sticker,
    Text,
    UriAction,
    Video,
)
from tests.lineworks.limits import ITEMS, SLOTS, WEB

SAY = MessageAction(label="無事です", postback="bk1|drill=d|m=b01|a=1", text="無事です")
TAP = PostbackAction(label="無事です", data="bk1|drill=d", display_text="無事です")


def bubble(size: int) -> dict[str, Any]:
    """A bubble of so many bytes."""
    made = {"type": "bubble", "body": {"type": "box", "contents": [{"type": "text", "text": ""}]}}
    made["body"]["contents"][0]["text"] = "x" * (size - len(json.dumps(made, separators=(",", ":"))))  # type: ignore[index]
    return made


def flex(size: int) -> dict[str, Any]:
    """A carousel of so many bytes, each bubble well below its own limit."""
    made = {"type": "carousel", "contents": [bubble(7000) for _ in range(4)]}
    left = size - len(json.dumps(made, separators=(",", ":"))) - 1
    return {"type": "carousel", "contents": [*made["contents"], bubble(left)]}


LIMITS: dict[str, tuple[int, Callable[[int], Any]]] = {
    **{
        name: (slot.limit, lambda n, slot=slot: slot.build(slot.value(n, "字")))
        for name, slot in SLOTS.items()
    },
    **{name: (limit, build) for name, (limit, _, build) in ITEMS.items()},
    "latitude": (90, lambda n: Location("t", "a", float(n), 0.0)),
    "longitude": (180, lambda n: Location("t", "a", 0.0, -float(n))),
    "flex bytes": (30 * 1024, lambda n: Flex("x", flex(n))),
    "flex bubble bytes": (10 * 1024, lambda n: Flex("x", bubble(n))),
    "menu label": (
        1000,
        lambda n: check_action("a", MessageAction(label="x" * n), allowed=frozenset({"message"}), label=1000),
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_at_the_limit_and_one_more(name: str) -> None:
    limit, build = LIMITS[name]
    build(limit)
    with pytest.raises(InvalidContent) as caught:
        build(limit + 1)
    assert caught.value.limit == limit
    assert caught.value.field
    assert caught.value.hint
    assert isinstance(caught.value, BousaiKitError)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Text(""),
        lambda: Text("x\ud800"),
        lambda: Text("x", i18n_texts={"fr_FR": "x"}),
        lambda: Text(5),  # type: ignore[arg-type]
        lambda: Image(),
        lambda: Image(url=WEB),
        lambda: Image(url=WEB, preview_url=WEB, file_id="f"),
        lambda: Image(url="http://example.invalid/x.png", preview_url=WEB),
        lambda: Audio(),
        lambda: File(url="https://example.invalid/run.EXE"),
        lambda: File(url="https://example.invalid/run.exe?x=1"),
        lambda: Video(file_id="f", preview_url=WEB),
        lambda: Location("t", "a", float("nan"), 0.0),
        lambda: Location("t", "a", float("inf"), 0.0),
        lambda: ButtonTemplate("x", []),
        lambda: ButtonTemplate("x", [TAP]),  # a button template takes no postback action
        lambda: ButtonTemplate("x", [CameraAction(label="x")]),
        lambda: ButtonTemplate("x", [MessageAction(label=None)]),
        lambda: ListTemplate([]),
        lambda: ListTemplate([ListElement("x", action=TAP)]),
        lambda: ListTemplate([ListElement("x")], actions=[[TAP]]),
        lambda: ListTemplate([ListElement("x", url=WEB, file_id="f")]),
        lambda: Carousel([]),
        lambda: Carousel([CarouselColumn("x", [SAY]), CarouselColumn("x", [SAY, SAY])]),
        lambda: Carousel([CarouselColumn("x", [MessageAction(label="x")])]),  # here `text` is required
        lambda: Carousel([CarouselColumn("x", [SAY])], image_size="huge"),
        lambda: ImageCarousel([ImageColumn(SAY)]),
        lambda: Flex("x", {"type": "box"}),
        lambda: Flex("x", {"type": "bubble", "size": "huge"}),
        lambda: Flex("x", {"type": "carousel", "contents": [{"type": "box"}]}),
        lambda: Flex("x", {"type": "carousel", "contents": "bubbles"}),
        lambda: Flex("x", {"type": "bubble", "body": float("nan")}),
        lambda: Flex("x", {"type": "bubble", "body": object()}),
        lambda: Flex("x", {"type": "bubble", "body": "\ud800"}),
        lambda: Cover(background_url=WEB, background_file_id="f").to_wire(),
        lambda: QuickReply((QuickReplyItem(TAP, image_url=WEB, image_resource_id="f"),)),
        lambda: QuickReply((QuickReplyItem(TAP, i18n_image_urls={"en_US": "http://example.invalid/x"}),)),
        lambda: QuickReply((QuickReplyItem(TAP, i18n_image_resource_ids={"en": "f"}),)),
        lambda: Flex("x", {"type": "carousel", "contents": []}),
        lambda: QuickReply(()),
        lambda: QuickReply((QuickReplyItem(PostbackAction(label="x", data="x")),)),
        lambda: QuickReply((QuickReplyItem(MessageAction(label="x")),)),
        lambda: PostbackAction(label="x", data=""),
    ],
)
def test_what_the_platform_refuses_is_refused_here(build: Callable[[], Any]) -> None:
    with pytest.raises(InvalidContent):
        build()


def test_the_drills_buttons_as_the_reference_shows_them() -> None:
    content = ButtonTemplate(
        content_text="【訓練】震度6弱を想定した安否確認です。",
        actions=[
            MessageAction(label="無事です 0117A", postback="bk1|drill=2027-0117A|a=safe|n=7f3c"),
            UriAction(label="詳細を入力", uri="https://example.invalid/form"),
        ],
    )
    assert content.to_wire() == {
        "type": "button_template",
        "contentText": "【訓練】震度6弱を想定した安否確認です。",
        "actions": [
            {"type": "message", "label": "無事です 0117A", "postback": "bk1|drill=2027-0117A|a=safe|n=7f3c"},
            {"type": "uri", "label": "詳細を入力", "uri": "https://example.invalid/form"},
        ],
    }


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (Text("x", i18n_texts={"en_US": "y"}), {"i18nTexts": [{"language": "en_US", "text": "y"}]}),
        (Sticker("1", "2"), {"packageId": "1", "stickerId": "2"}),
        (Image(file_id="f"), {"fileId": "f"}),
        (Link("a", "b", WEB), {"contentText": "a", "linkText": "b", "link": WEB}),
        (Location("t", "a", 34.69, 135.5), {"latitude": 34.69, "longitude": 135.5}),
        (Flex("alt", {"type": "bubble"}), {"type": "flex", "altText": "alt", "contents": {"type": "bubble"}}),
        (
            ListTemplate([ListElement("x")], cover=Cover(background_file_id="f"), actions=[[SAY]]),
            {
                "coverData": {"backgroundFileId": "f"},
                "elements": [{"title": "x"}],
                "actions": [[SAY.to_wire()]],
            },
        ),
        (
            Carousel([CarouselColumn("x", [TAP], default_action=UriAction(label=None, uri=WEB))]),
            {
                "columns": [
                    {"text": "x", "defaultAction": {"type": "uri", "uri": WEB}, "actions": [TAP.to_wire()]}
                ]
            },
        ),
        (
            ImageCarousel([ImageColumn(SAY, url=WEB)]),
            {"columns": [{"originalContentUrl": WEB, "action": SAY.to_wire()}]},
        ),
    ],
    ids=lambda value: value.type if isinstance(value, Content) else "",
)
def test_wire_forms(content: Content, wire: dict[str, Any]) -> None:
    made = content.to_wire()
    assert made["type"] == content.type
    assert {name: made[name] for name in wire} == wire
    assert None not in made.values()


def test_quick_replies_ride_on_every_content() -> None:
    items = (
        QuickReplyItem(TAP, image_url=WEB),
        QuickReplyItem(CameraAction(label="写真")),
        QuickReplyItem(CameraRollAction(label="選ぶ")),
        QuickReplyItem(LocationAction(label="位置")),
    )
    made = Text("x", quick_reply=QuickReply(items)).to_wire()["quickReply"]["items"]
    assert [item["action"]["type"] for item in made] == ["postback", "camera", "cameraRoll", "location"]
    assert made[0]["imageUrl"] == WEB


@given(st.text(max_size=30))
def test_text_goes_out_as_it_is_or_not_at_all(words: str) -> None:
    try:
        made = Text(words)
    except InvalidContent:
        return
    assert made.to_wire() == {"type": "text", "text": words}
    made.to_wire()["text"].encode()
