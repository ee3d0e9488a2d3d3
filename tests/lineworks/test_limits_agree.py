"""The client's limits against the sandbox's, written apart: both take the limit, both refuse one more.

What is one too many cannot be made with the client's dataclasses, so its wire form is the one at a mark with
the mark blown up, sent by plain HTTP.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.lineworks import actions as action_module
from bousai_kit.lineworks import contents as content_module
from bousai_kit.lineworks import templates as template_module
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
from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.contents import check_content
from bousai_kit.sandbox.ops import ApiFault
from tests.sandbox.botlab import Lab, lab, uid

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

ELSEWHERE = {  # no limit of their own
    *(f"{name}.file_id" for name in ("Image", "Video", "Audio", "File", "ListElement", "CarouselColumn")),
    *("ImageColumn.file_id", "Cover.background_file_id"),  # ids that only the platform gives out
    *("QuickReplyItem.image_resource_id", "QuickReplyItem.i18n_image_resource_ids"),
    *("Carousel.image_aspect_ratio", "Carousel.image_size"),  # one of two words
}


def longer(wire: Any, path: tuple[str | int, ...]) -> Any:
    """The wire form with one entry more in that list."""
    head, *rest = path
    if not rest:
        changed: Any = [*wire[head], wire[head][0]]
    else:
        changed = longer(wire[head], tuple(rest))
    if isinstance(wire, dict):
        return {**wire, head: changed}
    return [changed if n == head else item for n, item in enumerate(wire)]


def test_every_string_and_list_of_every_content_has_its_place_here() -> None:
    held = {name.partition(",")[0] for name in (*SLOTS, *ITEMS)} | ELSEWHERE
    wanted = set()
    for module in (action_module, content_module, template_module):
        for kind in vars(module).values():
            if not dataclasses.is_dataclass(kind) or kind.__module__ != module.__name__:
                continue
            name = kind.__name__
            if name in ("_Media", "_Previewed", "CameraAction", "CameraRollAction", "LocationAction"):
                continue  # their fields are those of their kin
            for field in dataclasses.fields(kind):
                if any(word in str(field.type) for word in ("str", "I18n", "Sequence", "tuple")):
                    wanted.add(f"{name}.{field.name}")
    assert wanted == held


def judged(wire: Any) -> str | None:
    """What the sandbox says against it."""
    try:
        check_content(wire, choices=CHOSEN)
    except ApiFault as fault:
        return fault.description
    return None


@given(name=st.sampled_from(sorted(SLOTS)), data=st.data())
@settings(max_examples=400, deadline=None)
def test_any_length_of_any_string(name: str, data: st.DataObject) -> None:
    slot = SLOTS[name]
    letter = data.draw(st.sampled_from("xあ𠮷\u3099é-"))
    if slot.before:
        letter = "x"  # an address
    near = st.sampled_from([1, 2, slot.limit - 1, slot.limit, slot.limit + 1, slot.limit + 2, slot.limit * 2])
    length = max(len(slot.before) + 1, data.draw(near))
    value = slot.value(length, letter)
    if length <= slot.limit:
        wire = slot.build(value).to_wire()
        assert wire == slot.wire(value)
        assert judged(wire) is None
        return
    with pytest.raises(InvalidContent) as caught:
        slot.build(value)
    assert caught.value.limit == slot.limit
    assert caught.value.field
    assert str(slot.limit) in str(caught.value)
    said = judged(slot.wire(value))
    if length > (slot.sandbox or slot.limit):
        assert said is not None
    assert slot.limit <= (slot.sandbox or slot.limit), "the client must not be laxer"


@pytest.mark.parametrize("name", ITEMS)
def test_one_entry_more(name: str) -> None:
    limit, path, build = ITEMS[name]
    full = build(limit).to_wire()
    assert judged(full) is None
    with pytest.raises(InvalidContent) as caught:
        build(limit + 1)
    assert caught.value.limit == limit
    assert judged(longer(full, path)) is not None


def test_over_the_wire() -> None:
    """By plain HTTP: 201 at every limit, 400 that names the property one beyond."""

    async def use(bench: Lab) -> None:
        bench.sandbox.limits.overrides.update(default=10**6)

        async def post(content: Any) -> tuple[int, Any]:
            path = f"/bots/{bench.bot}/users/{uid(1)}/messages"
            answer = await bench.api("POST", path, {"content": content})
            return answer.status_code, answer.json() if answer.content else {}

        for name, slot in SLOTS.items():
            assert (await post(slot.wire(slot.value(slot.limit))))[0] == 201, name
            status, said = await post(slot.wire(slot.value((slot.sandbox or slot.limit) + 1)))
            assert status == 400, name
            assert said["code"] == "INVALID_PARAMETER"
            assert said["description"].startswith("content."), (name, said)
        for name, (limit, path, build) in ITEMS.items():
            full = build(limit).to_wire()
            assert (await post(full))[0] == 201, name
            assert (await post(longer(full, path)))[0] == 400, name

    async def main() -> None:
        async with lab() as bench:
            await use(bench)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("limit", "lines", "more"), [(120, 4, {}), (60, 2, {"title": "t"}), (60, 2, {"url": WEB})]
)
def test_lines_of_a_card(limit: int, lines: int, more: dict[str, Any]) -> None:
    fitting = "\n".join("x" * lines)
    wire = Carousel([CarouselColumn(fitting, [SAY], **more)]).to_wire()
    assert judged(wire) is None
    with pytest.raises(InvalidContent) as caught:
        Carousel([CarouselColumn(fitting + "\nx", [SAY], **more)])
    assert caught.value.limit == lines
    assert judged(blown(wire, fitting, fitting + "\nx")) is not None


@pytest.mark.parametrize(
    ("carrier", "allowed"),
    [
        (lambda a: ButtonTemplate("x", [a]), {"message", "uri", "copy"}),
        (listed, {"message", "uri", "copy"}),
        (lambda a: ListTemplate([ListElement("x")], actions=[[a]]), {"message", "uri", "copy"}),
        (lambda a: cards(a), {"message", "uri", "copy", "postback"}),
        (lambda a: cards(SAY, default_action=a), {"message", "uri", "copy", "postback"}),
        (lambda a: ImageCarousel([ImageColumn(a, url=WEB)]), {"message", "uri", "copy", "postback"}),
        (quick, {"message", "uri", "copy", "postback", "camera", "cameraRoll", "location"}),
    ],
    ids=["button", "list", "list foot", "carousel", "default", "image", "quick"],
)
def test_which_action_may_stand_where(carrier: Callable[[Any], Content], allowed: set[str]) -> None:
    every = {
        "message": SAY,
        "uri": UriAction("x", WEB),
        "copy": CopyAction("x", "x"),
        "postback": PostbackAction("x", "x", "x"),
        "camera": action_module.CameraAction("x"),
        "cameraRoll": action_module.CameraRollAction("x"),
        "location": LocationAction("x"),
    }
    here = MessageAction(label="ここ", text="ここ")
    pattern = carrier(here).to_wire()
    for kind, action in every.items():
        wire = blown(pattern, here.to_wire(), action.to_wire())
        assert (judged(wire) is None) == (kind in allowed), kind
        if kind in allowed:
            assert carrier(action).to_wire() == wire
        else:
            with pytest.raises(InvalidContent):
                carrier(action)
