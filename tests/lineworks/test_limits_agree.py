"""The client's limits against the sandbox's, written apart: both take the limit, both refuse one more.

What is one too many cannot be made with the client's dataclasses, so its wire form is the one at a mark with
the mark blown up, sent by plain HTTP.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.lineworks import actions as action_module
from bousai_kit.lineworks import contents as content_module
from bousai_kit.lineworks import templates as template_module
from bousai_kit.lineworks.messages import (
    ButtonTemplate,
    Carousel,
    CarouselColumn,
    Content,
    CopyAction,
    ImageCarousel,
    ImageColumn,
    InvalidContent,
    ListElement,
    ListTemplate,
    LocationAction,
    MessageAction,
    PostbackAction,
    UriAction,
)
from bousai_kit.sandbox.contents import check_content
from bousai_kit.sandbox.ops import ApiFault
from tests.lineworks.limits import CHOSEN, ITEMS, SAY, SLOTS, WEB, blown, cards, listed, quick
from tests.sandbox.botlab import Lab, lab, uid

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
@settings(max_examples=150, deadline=None)
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
