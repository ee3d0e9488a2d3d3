"""Actions, quick replies and Flex (part 2 §2.3 to §2.5): what may stand where, and what a tap sends."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.contents import (
    BUBBLE,
    COPY,
    MESSAGE,
    PHONE_ONLY,
    POSTBACK,
    SAYING,
    TAKEN,
    URI,
    URL,
    columns,
    flex,
    i18n,
    listing,
    pictures,
    quick,
    refused,
    send,
    taken,
    template,
    unlimited,
    url_of,
)
from tests.contract.paragraphs import paragraph
from tests.sandbox.botlab import SILENT, Lab, trial, uid

SHOWN = {**POSTBACK, "displayText": "はい"}
PLACES: dict[str, Any] = {
    "button_template": template,
    "list_template": lambda action: listing(actions=[[action]]),
    "list element": lambda action: listing({"title": "a", "action": action}),
    "carousel": columns,
    "carousel default": lambda action: columns(URI, defaultAction=action),
    "image_carousel": pictures,
    "quick reply": quick,
}
WITHOUT_POSTBACK = ("button_template", "list_template", "list element")


# -- where ------------------------------------------------------------------------------------------


@paragraph("2 §2.3")
@pytest.mark.parametrize("place", PLACES)
def test_actions_stand_where_the_table_lets_them(place: str) -> None:
    async def test(bench: Lab) -> None:
        build = PLACES[place]
        for action in (SAYING, URI, COPY):
            await taken(bench, build(action))
        for action in (SHOWN, *PHONE_ONLY):
            allowed = place == "quick reply" or (action is SHOWN and place not in WITHOUT_POSTBACK)
            if allowed:
                await taken(bench, build(action))
            else:
                await refused(bench, build(action), f"type '{action['type']}' is not allowed here")
        for wrong in ({"label": "a"}, {**URI, "type": "datetimepicker"}, "uri", None, [URI]):
            assert (await send(bench, build(wrong)))[0] == (201 if place in OPTIONAL and not wrong else 400)

    trial(test, people=1)


OPTIONAL = ("carousel default", "list element")


@paragraph("2 §2.3")
@pytest.mark.parametrize("place", PLACES)
def test_a_label_is_needed_and_has_its_limit(place: str) -> None:
    async def test(bench: Lab) -> None:
        build = PLACES[place]
        most = 12 if place == "image_carousel" else 20
        for action in (SAYING, URI, COPY):
            await taken(bench, build({**action, "label": "あ" * most}))
            await refused(bench, build({**action, "label": "あ" * (most + 1)}), "label")
            await taken(bench, build({**action, "i18nLabels": i18n("label", "あ" * most)}))
            await refused(
                bench, build({**action, "i18nLabels": i18n("label", "あ" * (most + 1))}), "i18nLabels"
            )
            bare = build({key: value for key, value in action.items() if key != "label"})
            if place == "carousel default":
                await taken(bench, bare)
            else:
                await refused(bench, bare, "label is required")

    trial(test, people=1)


@paragraph("2 §2.3")
@pytest.mark.parametrize("place", PLACES)
def test_a_message_action_needs_its_text_where_the_label_is_not_sent(place: str) -> None:
    async def test(bench: Lab) -> None:
        build = PLACES[place]
        if place in WITHOUT_POSTBACK:
            await taken(bench, build(MESSAGE))
        else:
            await refused(bench, build(MESSAGE), "text is required")

    trial(test, people=1)


LIMITS: list[tuple[str, int, Any]] = [
    ("postback", 1000, lambda n: template({**MESSAGE, "postback": "x" * n})),
    ("data", 300, lambda n: columns({**POSTBACK, "data": "x" * n})),
    ("displayText", 300, lambda n: columns({**POSTBACK, "displayText": "あ" * n})),
    (
        "i18nDisplayTexts",
        300,
        lambda n: columns({**POSTBACK, "i18nDisplayTexts": i18n("displayText", "あ" * n)}),
    ),
    ("items", 13, lambda n: quick(*[SAYING] * n)),
    ("imageUrl", 1000, lambda n: quick(URI, imageUrl=url_of(n))),
    ("thumbnailImageUrl", 1000, lambda n: quick(URI, i18nImageUrl=i18n("thumbnailImageUrl", url_of(n)))),
]


@paragraph("2 §2.3", "2 §2.4")
@pytest.mark.parametrize(
    ("name", "limit", "build"), LIMITS, ids=[f"{i}-{name}-{n}" for i, (name, n, _) in enumerate(LIMITS)]
)
def test_the_limit_is_taken_and_one_more_is_refused(name: str, limit: int, build: Any) -> None:
    async def test(bench: Lab) -> None:
        await taken(bench, build(limit))
        await refused(bench, build(limit + 1), name)

    trial(test, people=1)


@paragraph("2 §2.3")
def test_limits_that_no_page_names_are_a_choice() -> None:
    async def test(bench: Lab) -> None:
        for name, build in (
            ("text", lambda n: columns({**SAYING, "text": "あ" * n})),
            ("uri", lambda n: template({**URI, "uri": url_of(n)})),
            ("copyText", lambda n: template({**COPY, "copyText": "あ" * n})),
        ):
            await taken(bench, build(50))
            await refused(bench, build(51), name)

    choices = replace(SILENT, message_text_limit=50, uri_limit=50, copy_text_limit=50)
    trial(test, people=1, choices=choices)


@paragraph("2 §2.3")
def test_what_an_action_needs_is_named() -> None:
    async def test(bench: Lab) -> None:
        for action, named in (
            ({"type": "uri", "label": "a"}, "uri is required"),
            ({"type": "uri", "label": "a", "uri": "javascript:alert(1)"}, "uri"),
            ({"type": "uri", "label": "a", "uri": "not a URL"}, "uri"),
            ({"type": "copy", "label": "a"}, "copyText is required"),
            ({**MESSAGE, "postback": 1}, "postback"),
            ({**MESSAGE, "label": 1}, "label"),
            ({**MESSAGE, "i18nLabels": i18n("label", language="xx")}, "language"),
            ({**MESSAGE, "i18nTexts": i18n("text", language="de_DE")}, "language"),
        ):
            await refused(bench, template(action), "content.actions[0].")
            await refused(bench, template(action), named)
        await refused(bench, columns({"type": "postback", "label": "a"}), "data is required")
        for language in ("ja_JP", "ko_KR", "zh_CN", "zh_TW", "en_US"):
            await taken(bench, template({**MESSAGE, "i18nLabels": i18n("label", language=language)}))
        for uri in ("tel:119", "https://example.invalid/?a=b#c", "lineworks://message"):
            await taken(bench, template({**URI, "uri": uri}))

    trial(test)


# -- what comes back --------------------------------------------------------------------------------


@paragraph("2 §2.3", "2 §4.2")
def test_what_a_tap_sends() -> None:
    """Simulated people tap: the label in a button template, the text elsewhere, the data of a postback."""

    async def test(bench: Lab) -> None:
        unlimited(bench)
        contents = [
            template({**MESSAGE, "text": "押した人の言葉"}),
            columns({**MESSAGE, "text": "はい"}),
            columns({**SHOWN, "data": "only-data"}),
            template(URI, COPY),
            template({**MESSAGE, "i18nLabels": i18n("label", "日本語", "ja_JP")}),
        ]
        heard = []
        for content in contents:
            before = len(bench.receiver.events)
            for number in range(1, 21):
                assert (await send(bench, content, f"users/{uid(number)}"))[0] == 201
            await bench.clock.sleep(90_000)
            bench.headers = bench.bearer()
            events = [event for event in bench.receiver.events[before:] if event["type"] != "begin"]
            heard.append(
                {json.dumps(event.get("content") or event["data"], ensure_ascii=False) for event in events}
            )
        said = [[json.loads(text) for text in sorted(texts)] for texts in heard]
        assert said[0] == [{"type": "text", "text": MESSAGE["label"], "postback": MESSAGE["postback"]}]
        assert said[1] == [{"type": "text", "text": "はい", "postback": MESSAGE["postback"]}]
        assert said[2] == ["only-data"], "no text follows, displayText or not"
        assert said[3] == [], "nothing comes of a link"
        assert said[4] == [{"type": "text", "text": "日本語", "postback": MESSAGE["postback"]}]

    trial(test, people=20, choices=replace(SILENT, people_answer=True, people_say_rate=0.0))


# -- quick reply ------------------------------------------------------------------------------------


@paragraph("2 §2.4")
def test_a_quick_reply_goes_with_every_type() -> None:
    async def test(bench: Lab) -> None:
        for content in {content["type"]: content for content in TAKEN}.values():
            await taken(bench, {**content, "quickReply": {"items": [{"action": SAYING}]}})
            await refused(
                bench, {**content, "quickReply": {"items": [{"action": {"type": "x"}}]}}, "quickReply"
            )

    trial(test)


@paragraph("2 §2.4", "2 §2.3")
def test_what_a_quick_reply_needs() -> None:
    async def test(bench: Lab) -> None:
        await refused(bench, quick(POSTBACK), "displayText is required")
        await taken(bench, quick(SHOWN))
        await taken(bench, quick(URI, imageUrl=URL, i18nImageUrl=i18n("thumbnailImageUrl", URL)))
        await refused(bench, quick(URI, imageUrl="http://example.invalid/a.png"), "imageUrl")
        await refused(
            bench, quick(URI, i18nImageUrl=i18n("thumbnailImageUrl", "http://a.invalid/")), "i18nImageUrl"
        )
        await refused(bench, quick(URI, imageResourceId="unknown"), "imageResourceId")
        await refused(
            bench, quick(URI, i18nImageResourceIds=i18n("imageResourceId", language="x")), "language"
        )
        for items in ({}, "x", [{}], [None]):
            await refused(
                bench, {"type": "text", "text": "a", "quickReply": {"items": items}}, "quickReply.items"
            )
        await refused(bench, {"type": "text", "text": "a", "quickReply": []}, "quickReply")

    trial(test)


# -- flex -------------------------------------------------------------------------------------------


def bubble(**more: Any) -> dict[str, Any]:
    return {**BUBBLE, **more}


def carousel(*bubbles: Any) -> dict[str, Any]:
    return flex({"type": "carousel", "contents": list(bubbles)})


def box(*contents: Any) -> dict[str, Any]:
    return bubble(body={"type": "box", "layout": "vertical", "contents": list(contents)})


@paragraph("2 §2.5", "2 §2.2")
def test_flex_holds_a_bubble_or_up_to_ten_of_one_width() -> None:
    async def test(bench: Lab) -> None:
        for size in ("nano", "micro", "kilo", "mega", "giga"):
            await taken(bench, flex(bubble(size=size)))
        await refused(bench, flex(bubble(size="huge")), "size")
        await taken(bench, flex(bubble(direction="rtl")))
        await refused(bench, flex(bubble(direction="up")), "direction")
        await taken(bench, carousel(*[BUBBLE] * 10))
        await refused(bench, carousel(*[BUBBLE] * 11), "content.contents.contents")
        await refused(bench, carousel(), "content.contents.contents")
        await taken(bench, carousel(bubble(size="kilo"), bubble(size="kilo")))
        await refused(bench, carousel(bubble(size="kilo"), bubble(size="nano")), "same size")
        for contents in (None, [], "x", {}, {"type": "box"}, {"type": "flex"}):
            await refused(bench, flex(contents), "content.contents")

    trial(test)


@paragraph("2 §2.5")
def test_a_carousel_has_at_most_30_kilobytes() -> None:
    async def test(bench: Lab) -> None:
        def build(total: int) -> dict[str, Any]:
            empty = {"type": "carousel", "contents": [box({"type": "text", "text": ""}) for _ in range(6)]}
            left = total - len(json.dumps(empty, separators=(",", ":")))
            for at, item in enumerate(empty["contents"]):
                share = left // 6 if at else left - 5 * (left // 6)
                item["body"]["contents"][0]["text"] = "a" * share
            return flex(empty)

        await taken(bench, build(30 << 10))
        await refused(bench, build((30 << 10) + 1), "larger")

    trial(test)


@paragraph("2 §2.5")
def test_components_are_those_of_line_flex() -> None:
    async def test(bench: Lab) -> None:
        text = {"type": "text", "text": "a"}
        button = {"type": "button", "action": URI}
        parts = [
            text,
            {"type": "text", "contents": [{"type": "span", "text": "b"}]},
            {"type": "image", "url": URL},
            {"type": "icon", "url": URL},
            {"type": "separator"},
            {"type": "filler"},
            button,
            {"type": "box", "layout": "horizontal", "contents": [text], "action": COPY},
        ]
        block = {"type": "box", "layout": "vertical", "contents": parts}
        everything = bubble(
            header=block, hero={"type": "image", "url": URL}, body=block, footer=block, styles={}, action=URI
        )
        await taken(bench, flex(everything))
        for wrong in (
            {"type": "marquee"},
            {"type": "text"},
            {"type": "image"},
            {"type": "icon"},
            {"type": "button"},
            {"type": "button", "action": {"type": "camera", "label": "a"}},
            {"type": "button", "action": {**URI, "label": "あ" * 21}},
            "text",
        ):
            await refused(bench, flex(box(wrong)), "content.contents.body.contents[0]")
        await refused(bench, flex(bubble(header=text)), "header")

    trial(test)
