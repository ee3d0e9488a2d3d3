"""JSON schemas of bots, message contents, menus and rich menus, for the OpenAPI description.

They say what `contents`, `flex` and `routes_richmenus` check of a body alone: a body that does not fit is
refused. What hangs on the tenant (files, sizes in bytes, equal numbers of actions) is left to the handlers.
"""

from __future__ import annotations

from typing import Any

from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.content_parts import EVERYWHERE, LANGUAGES, QUICK_ONLY
from bousai_kit.sandbox.flex import COMPONENTS, SIZES
from bousai_kit.sandbox.schemas import FLAG_OR_NULL, array_of, body, one_of, text

__all__ = ["BOT", "BOT_I18N", "BOT_PATCH", "MENU", "MESSAGE", "RICH_MENU"]

Schema = dict[str, Any]
CHOICES = Choices()
HTTPS = "^[Hh][Tt][Tt][Pp][Ss]://"
WITH_POSTBACK = EVERYWHERE | {"postback"}
MISSING: Schema = {"type": "null"}


def _i18n(key: str, limit: int) -> Schema:
    entry = body({"language": one_of(*LANGUAGES), key: text(limit, null=True)}, "language")
    return {"anyOf": [MISSING, array_of(entry, high=4 * len(LANGUAGES))]}


def _url(*, required: bool = False) -> Schema:
    return text(1000, pattern=HTTPS) if required else {"anyOf": [MISSING, {"const": ""}, _url(required=True)]}


def _maybe(schema: Schema) -> Schema:
    return {"anyOf": [MISSING, schema]}


FILE = text(1000)


def _action(
    *kinds: str,
    label: int = 20,
    label_required: bool = True,
    text_required: bool = False,
    display_required: bool = False,
) -> Schema:
    """One of these kinds; the same rules as `content_parts.action`."""
    named = {
        "label": text(label, null=not label_required),
        "i18nLabels": _i18n("label", label),
    }
    said = CHOICES.message_text_limit
    own: dict[str, tuple[Schema, tuple[str, ...]]] = {
        "message": (
            {
                "text": text(said, null=not text_required),
                "i18nTexts": _i18n("text", said),
                "postback": text(1000, null=True),
            },
            ("text",) if text_required else (),
        ),
        "postback": (
            {
                "data": text(300),
                "displayText": text(300, null=not display_required),
                "i18nDisplayTexts": _i18n("displayText", 300),
            },
            ("data", "displayText") if display_required else ("data",),
        ),
        "uri": ({"uri": text(CHOICES.uri_limit)}, ("uri",)),
        "copy": ({"copyText": text(CHOICES.copy_text_limit)}, ("copyText",)),
        **dict.fromkeys(QUICK_ONLY, ({}, ())),
    }
    base = ("type", "label") if label_required else ("type",)
    return {
        "oneOf": [
            body({"type": {"const": kind}, **named, **own[kind][0]}, *base, *own[kind][1])
            for kind in sorted(kinds)
        ]
    }


def _content(kind: str, properties: Schema, *required: str) -> Schema:
    known = {"type": {"const": kind}, **properties, "quickReply": _maybe(_QUICK_REPLY)}
    return body(known, "type", *required)


def _media(kind: str, *, preview: bool) -> Schema:
    """A file by its id, or by its addresses."""
    names = ["originalContentUrl", *(["previewImageUrl"] if preview else [])]
    linked = body({"fileId": MISSING, **{name: _url(required=True) for name in names}}, *names)
    return {"allOf": [_content(kind, {}), {"anyOf": [body({"fileId": FILE}, "fileId"), linked]}]}


def _picture(*, required: bool = False) -> Schema:
    """Keys of an image of a template."""
    if required:
        linked = body({"fileId": MISSING, "originalContentUrl": _url(required=True)}, "originalContentUrl")
        return {"anyOf": [body({"fileId": FILE}, "fileId"), linked]}
    linked = body({"fileId": MISSING, "originalContentUrl": _url()})
    return {"anyOf": [body({"fileId": FILE}, "fileId"), linked]}


_QUICK_ACTION = _action(*WITH_POSTBACK, *QUICK_ONLY, text_required=True, display_required=True)
_QUICK_ITEM = body(
    {
        "action": _QUICK_ACTION,
        "imageUrl": _url(),
        "imageResourceId": _maybe(FILE),
        "i18nImageUrl": _i18n("thumbnailImageUrl", 1000),
        "i18nImageResourceIds": _i18n("imageResourceId", 1000),
    },
    "action",
)
_QUICK_REPLY = body({"items": array_of(_QUICK_ITEM, low=1, high=13)}, "items")

_PLAIN = _action(*EVERYWHERE)
_TEMPLATE = text(1000, null=True)
_TITLES = {
    "subtitle": _TEMPLATE,
    "i18nTitles": _i18n("title", 1000),
    "i18nSubtitles": _i18n("subtitle", 1000),
}
_ELEMENT: Schema = {
    "allOf": [body({"title": text(1000), **_TITLES, "action": _maybe(_PLAIN)}, "title"), _picture()]
}
_COVER = body({"title": _TEMPLATE, **_TITLES, "backgroundFileId": _maybe(FILE), "backgroundImageUrl": _url()})
_COLUMN: Schema = {
    "allOf": [
        body(
            {
                "text": text(120),
                "title": text(40, null=True),
                "i18nTexts": _i18n("text", 120),
                "i18nTitles": _i18n("title", 40),
                "defaultAction": _maybe(_action(*WITH_POSTBACK, label_required=False, text_required=True)),
                "actions": array_of(_action(*WITH_POSTBACK, text_required=True), low=1, high=3),
            },
            "text",
            "actions",
        ),
        _picture(),
    ]
}
_IMAGE_COLUMN: Schema = {
    "allOf": [
        body({"action": _action(*WITH_POSTBACK, label=12, text_required=True)}, "action"),
        _picture(required=True),
    ]
}
_BLOCK = body({"type": {"const": "box"}}, "type")
_BUBBLE = body(
    {
        "type": {"const": "bubble"},
        "size": one_of(*SIZES, null=True),
        "direction": one_of("ltr", "rtl", null=True),
        "action": _maybe(_action(*WITH_POSTBACK, label_required=False)),
        "header": _maybe(_BLOCK),
        "hero": _maybe(body({"type": one_of(*sorted(COMPONENTS))}, "type")),
        "body": _maybe(_BLOCK),
        "footer": _maybe(_BLOCK),
    },
    "type",
)
_BUBBLES = body(
    {"type": {"const": "carousel"}, "contents": array_of(_BUBBLE, low=1, high=10)}, "type", "contents"
)
_LINK = CHOICES.link_limit

_CONTENTS: tuple[Schema, ...] = (
    _content("text", {"text": text(2000), "i18nTexts": _i18n("text", 2000)}, "text"),
    _content("sticker", {"packageId": text(100), "stickerId": text(100)}, "packageId", "stickerId"),
    _media("image", preview=True),
    _media("file", preview=False),
    _content(
        "link",
        {
            "contentText": text(_LINK),
            "linkText": text(_LINK),
            "link": text(_LINK),
            "i18nContentTexts": _i18n("contentText", _LINK),
            "i18nLinkTexts": _i18n("linkText", _LINK),
        },
        "contentText",
        "linkText",
        "link",
    ),
    _media("audio", preview=False),
    _media("video", preview=True),
    _content(
        "location",
        {
            "title": text(100),
            "address": text(100),
            "latitude": {"type": "number", "minimum": -90, "maximum": 90},
            "longitude": {"type": "number", "minimum": -180, "maximum": 180},
        },
        "title",
        "address",
        "latitude",
        "longitude",
    ),
    _content(
        "button_template",
        {
            "contentText": text(1000),
            "i18nContentTexts": _i18n("contentText", 1000),
            "actions": array_of(_PLAIN, low=1, high=10),
        },
        "contentText",
        "actions",
    ),
    _content(
        "list_template",
        {
            "coverData": _maybe(_COVER),
            "elements": array_of(_ELEMENT, low=1, high=4),
            "actions": _maybe(array_of(array_of(_PLAIN, high=2), high=2)),
        },
        "elements",
    ),
    _content(
        "carousel",
        {
            "columns": array_of(_COLUMN, low=1, high=10),
            "imageAspectRatio": one_of("rectangle", "square", null=True),
            "imageSize": one_of("cover", "contain", null=True),
        },
        "columns",
    ),
    _content(
        "image_carousel",
        {"columns": array_of(_IMAGE_COLUMN, low=1, high=CHOICES.image_carousel_columns)},
        "columns",
    ),
    _content(
        "flex",
        {
            "altText": text(400),
            "i18nAltTexts": _i18n("altText", 400),
            "contents": {"oneOf": [_BUBBLE, _BUBBLES]},
        },
        "altText",
        "contents",
    ),
)

MESSAGE: Schema = body({"content": {"oneOf": list(_CONTENTS)}}, "content")

_MENU_ACTION = _action(*EVERYWHERE, label=1000)
MENU: Schema = body(
    {"content": body({"actions": array_of(_MENU_ACTION, low=1, high=4)}, "actions")}, "content"
)


def _whole(low: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": 10_000}


_BOUNDS = body(
    {"x": _whole(0), "y": _whole(0), "width": _whole(1), "height": _whole(1)}, "x", "y", "width", "height"
)
_AREA = body(
    {"action": _action(*WITH_POSTBACK, label_required=False, text_required=True), "bounds": _BOUNDS},
    "action",
    "bounds",
)
RICH_MENU: Schema = body(
    {
        "richmenuName": text(300),
        "areas": array_of(_AREA, low=1, high=20),
        "size": body({"width": {"const": 2500}, "height": {"enum": [1686, 843]}}, "width", "height"),
    },
    "richmenuName",
    "areas",
    "size",
)

# -- bots ------------------------------------------------------------------------------------------

BOT_I18N = (
    ("i18nBotNames", "botName", 100),
    ("i18nDescriptions", "description", 100),
    ("i18nPhotoUrls", "photoUrl", 1000),
)


def _bot(*required: str) -> dict[str, Any]:
    def words(name: str, limit: int) -> dict[str, Any]:
        return text(limit, null=name not in required)

    people = array_of(text(1000), high=3)
    masters = {**people, "minItems": 1, "uniqueItems": True}
    return body(
        {
            "botName": words("botName", 100),
            "photoUrl": words("photoUrl", 1000),
            "description": words("description", 100),
            "administrators": masters if "administrators" in required else _maybe(masters),
            "subadministrators": _maybe({**people, "uniqueItems": True}),
            "allowDomains": _maybe({**array_of({"type": "integer"}, high=1000), "uniqueItems": True}),
            "enableCallback": FLAG_OR_NULL,
            "callbackEvents": _maybe(array_of(one_of(*CHOICES.callback_events), high=20)),
            "callbackUrl": text(1000, null=True),
            "enableGroupJoin": FLAG_OR_NULL,
            "defaultRichmenuId": {"type": ["string", "null"]},
            **{name: _i18n(key, limit) for name, key, limit in BOT_I18N},
        },
        *required,
    )


BOT = _bot("botName", "photoUrl", "description", "administrators")
BOT_PATCH = _bot()
