"""The one table of what contents hold: the limit of each string and list, and a content that has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bousai_kit.lineworks.messages import (
    Audio,
    ButtonTemplate,
    Carousel,
    CarouselColumn,
    Content,
    CopyAction,
    Cover,
    File,
    Flex,
    Image,
    ImageCarousel,
    ImageColumn,
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
from bousai_kit.sandbox.choices import Choices

WEB = "https://example.invalid/"
MARK = "¤"
SAY = MessageAction(label="はい", text="はい", postback="p")
BUBBLE = {"type": "bubble"}
CHOSEN = Choices()


def cards(*actions: Any, **more: Any) -> Carousel:
    return Carousel([CarouselColumn("x", list(actions), **more)])


def listed(action: Any) -> ListTemplate:
    return ListTemplate([ListElement("x", action=action)])


def quick(action: Any, **more: Any) -> Text:
    return Text("x", quick_reply=QuickReply((QuickReplyItem(action, **more),)))


def en(value: str) -> dict[str, str]:
    return {"en_US": value}


@dataclass(frozen=True)
class Slot:
    """A string of a content: its limit, a content that holds it, what stands before it (an address)."""

    limit: int
    build: Callable[[str], Content]
    before: str = ""
    sandbox: int | None = None  # where the reference gives no limit, the sandbox may be laxer

    def value(self, length: int, letter: str = "x") -> str:
        return self.before + letter * (length - len(self.before))

    def wire(self, value: str) -> Any:
        """The wire form with this value, be it within the limit or not."""
        return blown(self.build(self.before + MARK).to_wire(), self.before + MARK, value)


def blown(wire: Any, mark: Any, value: Any) -> Any:
    """The same, with `value` wherever `mark` stands."""
    if wire == mark:
        return value
    if isinstance(wire, dict):
        return {name: blown(item, mark, value) for name, item in wire.items()}
    if isinstance(wire, list):
        return [blown(item, mark, value) for item in wire]
    return wire


SLOTS: dict[str, Slot] = {
    "Text.text": Slot(2000, Text),
    "Text.i18n_texts": Slot(2000, lambda v: Text("x", i18n_texts=en(v))),
    "Sticker.package_id": Slot(100, lambda v: Sticker(v, "2")),
    "Sticker.sticker_id": Slot(100, lambda v: Sticker("1", v)),
    "Image.url": Slot(1000, lambda v: Image(url=v, preview_url=WEB), WEB),
    "Image.preview_url": Slot(1000, lambda v: Image(url=WEB, preview_url=v), WEB),
    "Video.url": Slot(1000, lambda v: Video(url=v, preview_url=WEB), WEB),
    "Video.preview_url": Slot(1000, lambda v: Video(url=WEB, preview_url=v), WEB),
    "Audio.url": Slot(1000, lambda v: Audio(url=v), WEB),
    "File.url": Slot(1000, lambda v: File(url=v), WEB),
    "Link.content_text": Slot(1000, lambda v: Link(v, "x", WEB)),
    "Link.link_text": Slot(1000, lambda v: Link("x", v, WEB)),
    "Link.link": Slot(1000, lambda v: Link("x", "x", v), WEB),
    "Link.i18n_content_texts": Slot(1000, lambda v: Link("x", "x", WEB, i18n_content_texts=en(v))),
    "Link.i18n_link_texts": Slot(1000, lambda v: Link("x", "x", WEB, i18n_link_texts=en(v))),
    "Location.title": Slot(100, lambda v: Location(v, "x", 34.7, 135.5)),
    "Location.address": Slot(100, lambda v: Location("x", v, 34.7, 135.5)),
    "ButtonTemplate.content_text": Slot(1000, lambda v: ButtonTemplate(v, [SAY])),
    "ButtonTemplate.i18n_content_texts": Slot(
        1000, lambda v: ButtonTemplate("x", [SAY], i18n_content_texts=en(v))
    ),
    "ListElement.title": Slot(1000, lambda v: ListTemplate([ListElement(v)])),
    "ListElement.subtitle": Slot(1000, lambda v: ListTemplate([ListElement("x", subtitle=v)])),
    "ListElement.url": Slot(1000, lambda v: ListTemplate([ListElement("x", url=v)]), WEB),
    "Cover.title": Slot(1000, lambda v: ListTemplate([ListElement("x")], cover=Cover(title=v))),
    "Cover.subtitle": Slot(1000, lambda v: ListTemplate([ListElement("x")], cover=Cover(subtitle=v))),
    "Cover.background_url": Slot(
        1000, lambda v: ListTemplate([ListElement("x")], cover=Cover(background_url=v)), WEB
    ),
    "CarouselColumn.text": Slot(120, lambda v: Carousel([CarouselColumn(v, [SAY])])),
    "CarouselColumn.text, titled": Slot(60, lambda v: Carousel([CarouselColumn(v, [SAY], title="t")])),
    "CarouselColumn.text, pictured": Slot(60, lambda v: Carousel([CarouselColumn(v, [SAY], url=WEB)])),
    "CarouselColumn.title": Slot(40, lambda v: cards(SAY, title=v)),
    "CarouselColumn.url": Slot(1000, lambda v: cards(SAY, url=v), WEB),
    "ImageColumn.url": Slot(1000, lambda v: ImageCarousel([ImageColumn(SAY, url=v)]), WEB),
    "Flex.alt_text": Slot(400, lambda v: Flex(v, BUBBLE)),
    "Flex.i18n_alt_texts": Slot(400, lambda v: Flex("x", BUBBLE, i18n_alt_texts=en(v))),
    "QuickReplyItem.image_url": Slot(1000, lambda v: quick(SAY, image_url=v), WEB),
    "QuickReplyItem.i18n_image_urls": Slot(1000, lambda v: quick(SAY, i18n_image_urls=en(v)), WEB),
    "MessageAction.label, button": Slot(20, lambda v: ButtonTemplate("x", [MessageAction(v)])),
    "MessageAction.label, list": Slot(20, lambda v: listed(MessageAction(v))),
    "MessageAction.label, list foot": Slot(
        20, lambda v: ListTemplate([ListElement("x")], actions=[[MessageAction(v)]])
    ),
    "MessageAction.label, carousel": Slot(20, lambda v: cards(MessageAction(v, text="x"))),
    "MessageAction.label, image": Slot(
        12, lambda v: ImageCarousel([ImageColumn(MessageAction(v, text="x"), url=WEB)])
    ),
    "MessageAction.label, quick": Slot(20, lambda v: quick(MessageAction(v, text="x"))),
    "MessageAction.i18n_labels": Slot(
        20, lambda v: ButtonTemplate("x", [MessageAction("x", i18n_labels=en(v))])
    ),
    "MessageAction.i18n_labels, image": Slot(
        12,
        lambda v: ImageCarousel([ImageColumn(MessageAction("x", text="x", i18n_labels=en(v)), url=WEB)]),
    ),
    "MessageAction.postback": Slot(1000, lambda v: ButtonTemplate("x", [MessageAction("x", postback=v)])),
    "MessageAction.text": Slot(
        300, lambda v: cards(MessageAction("x", text=v)), sandbox=CHOSEN.message_text_limit
    ),
    "MessageAction.i18n_texts": Slot(
        300,
        lambda v: cards(MessageAction("x", text="x", i18n_texts=en(v))),
        sandbox=CHOSEN.message_text_limit,
    ),
    "PostbackAction.label": Slot(20, lambda v: cards(PostbackAction(v, data="x"))),
    "PostbackAction.label, image": Slot(
        12, lambda v: ImageCarousel([ImageColumn(PostbackAction(v, data="x"), url=WEB)])
    ),
    "PostbackAction.i18n_labels": Slot(20, lambda v: cards(PostbackAction("x", "x", i18n_labels=en(v)))),
    "PostbackAction.data": Slot(300, lambda v: cards(PostbackAction("x", data=v))),
    "PostbackAction.display_text": Slot(300, lambda v: quick(PostbackAction("x", "x", display_text=v))),
    "PostbackAction.i18n_display_texts": Slot(
        300, lambda v: cards(PostbackAction("x", "x", "x", i18n_display_texts=en(v)))
    ),
    "UriAction.label": Slot(20, lambda v: ButtonTemplate("x", [UriAction(v, WEB)])),
    "UriAction.i18n_labels": Slot(20, lambda v: ButtonTemplate("x", [UriAction("x", WEB, en(v))])),
    "UriAction.uri": Slot(1000, lambda v: ButtonTemplate("x", [UriAction("x", v)]), WEB),
    "CopyAction.label": Slot(20, lambda v: ButtonTemplate("x", [CopyAction(v, "x")])),
    "CopyAction.i18n_labels": Slot(20, lambda v: ButtonTemplate("x", [CopyAction("x", "x", en(v))])),
    "CopyAction.copy_text": Slot(1000, lambda v: ButtonTemplate("x", [CopyAction("x", v)])),
    "_PhoneAction.label": Slot(20, lambda v: quick(LocationAction(v))),
    "_PhoneAction.i18n_labels": Slot(20, lambda v: quick(LocationAction("x", en(v)))),
}

ITEMS: dict[str, tuple[int, tuple[str | int, ...], Callable[[int], Content]]] = {
    "ButtonTemplate.actions": (10, ("actions",), lambda n: ButtonTemplate("x", [SAY] * n)),
    "ListTemplate.elements": (4, ("elements",), lambda n: ListTemplate([ListElement("x")] * n)),
    "ListTemplate.actions": (
        2,
        ("actions",),
        lambda n: ListTemplate([ListElement("x")], actions=[[SAY]] * n),
    ),
    "ListTemplate.actions, row": (
        2,
        ("actions", 0),
        lambda n: ListTemplate([ListElement("x")], actions=[[SAY] * n]),
    ),
    "Carousel.columns": (10, ("columns",), lambda n: Carousel([CarouselColumn("x", [SAY])] * n)),
    "CarouselColumn.actions": (3, ("columns", 0, "actions"), lambda n: cards(*[SAY] * n)),
    "ImageCarousel.columns": (10, ("columns",), lambda n: ImageCarousel([ImageColumn(SAY, url=WEB)] * n)),
    "Flex.contents": (
        10,
        ("contents", "contents"),
        lambda n: Flex("x", {"type": "carousel", "contents": [BUBBLE] * n}),
    ),
    "QuickReply.items": (
        13,
        ("quickReply", "items"),
        lambda n: Text("x", quick_reply=QuickReply((QuickReplyItem(SAY),) * n)),
    ),
}
