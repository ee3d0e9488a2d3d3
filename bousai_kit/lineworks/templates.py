"""Contents with several parts: list templates, carousels, Flex. Limits are checked when they are made.

Source: reference part 2 §2.2, §2.5 (vendor pages bot-send-list, -carousel, -flex).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bousai_kit.lineworks.actions import (
    EVERYWHERE,
    WITH_POSTBACK,
    Action,
    I18n,
    check_action,
    count,
    i18n,
    text,
    web,
    wire,
)
from bousai_kit.lineworks.base import InvalidContent
from bousai_kit.lineworks.contents import Content

__all__ = [
    "Carousel",
    "CarouselColumn",
    "Cover",
    "Flex",
    "ImageCarousel",
    "ImageColumn",
    "ListElement",
    "ListTemplate",
]

_FLEX_CAROUSEL_BYTES = 30 * 1024
_FLEX_BUBBLE_BYTES = 10 * 1024  # not in the vendor's pages that could be read; its sibling's limit


_BUBBLE_SIZES = ("nano", "micro", "kilo", "mega", "giga")


@dataclass(frozen=True, slots=True)
class ListElement:
    """One row of a list template."""

    title: str
    subtitle: str | None = None
    action: Action | None = None
    url: str | None = None
    file_id: str | None = None

    def to_wire(self, place: str) -> dict[str, Any]:
        """As the platform takes it."""
        return wire(
            title=text(f"{place}.title", self.title, 1000),
            subtitle=text(f"{place}.subtitle", self.subtitle, 1000, required=False),
            **_picture(place, self.url, self.file_id),
            action=None
            if self.action is None
            else check_action(f"{place}.action", self.action, allowed=EVERYWHERE),
        )


@dataclass(frozen=True, slots=True)
class Cover:
    """The head of a list template; its picture by address or by file id."""

    background_url: str | None = None
    background_file_id: str | None = None
    title: str | None = None
    subtitle: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """As the platform takes it."""
        if self.background_url is not None and self.background_file_id is not None:
            raise InvalidContent(
                "coverData: backgroundImageUrl と backgroundFileId のどちらか一方を指定してください。",
                field="coverData.backgroundImageUrl",
            )
        return wire(
            backgroundImageUrl=web("coverData.backgroundImageUrl", self.background_url, required=False),
            backgroundFileId=text(
                "coverData.backgroundFileId", self.background_file_id, 1000, required=False
            ),
            title=text("coverData.title", self.title, 1000, required=False),
            subtitle=text("coverData.subtitle", self.subtitle, 1000, required=False),
        )


@dataclass(frozen=True, slots=True)
class ListTemplate(Content):
    """1–4 rows, a cover, and up to 2 × 2 actions at the foot."""

    type: ClassVar[str] = "list_template"
    elements: Sequence[ListElement]
    cover: Cover | None = None
    actions: Sequence[Sequence[Action]] = ()

    def _fields(self) -> dict[str, Any]:
        count("elements", self.elements, 4)
        count("actions", self.actions, 2, least=0)
        rows = []
        for r, row in enumerate(self.actions):
            count(f"actions[{r}]", row, 2)
            rows.append(
                [
                    check_action(f"actions[{r}][{c}]", action, allowed=EVERYWHERE)
                    for c, action in enumerate(row)
                ]
            )
        return wire(
            coverData=None if self.cover is None else self.cover.to_wire(),
            elements=[element.to_wire(f"elements[{n}]") for n, element in enumerate(self.elements)],
            actions=rows or None,
        )


@dataclass(frozen=True, slots=True)
class CarouselColumn:
    """One card: text of 120 characters and 4 lines (60 and 2 with a title or a picture), 1–3 actions."""

    text: str
    actions: Sequence[Action]
    title: str | None = None
    url: str | None = None
    file_id: str | None = None
    default_action: Action | None = None

    def to_wire(self, place: str) -> dict[str, Any]:
        """As the platform takes it."""
        rich = self.title is not None or self.url is not None or self.file_id is not None
        most, lines = (60, 2) if rich else (120, 4)
        body = text(f"{place}.text", self.text, most)
        if self.text.count("\n") >= lines:
            raise InvalidContent(f"{place}.text は {lines} 行までです。", field=f"{place}.text", limit=lines)
        count(f"{place}.actions", self.actions, 3)
        return wire(
            title=text(f"{place}.title", self.title, 40, required=False),
            text=body,
            **_picture(place, self.url, self.file_id),
            defaultAction=None
            if self.default_action is None
            else check_action(
                f"{place}.defaultAction", self.default_action, allowed=WITH_POSTBACK, label_required=False
            ),
            actions=[
                check_action(f"{place}.actions[{n}]", action, allowed=WITH_POSTBACK, text_required=True)
                for n, action in enumerate(self.actions)
            ],
        )


@dataclass(frozen=True, slots=True)
class Carousel(Content):
    """1–10 cards with the same number of actions each."""

    type: ClassVar[str] = "carousel"
    columns: Sequence[CarouselColumn]
    image_aspect_ratio: str | None = None
    image_size: str | None = None

    def _fields(self) -> dict[str, Any]:
        count("columns", self.columns, 10)
        if len({len(column.actions) for column in self.columns}) != 1:
            raise InvalidContent(
                "すべてのカードのアクション数をそろえてください。", field="columns[].actions"
            )
        return wire(
            imageAspectRatio=_one_of("imageAspectRatio", self.image_aspect_ratio, "rectangle", "square"),
            imageSize=_one_of("imageSize", self.image_size, "cover", "contain"),
            columns=[column.to_wire(f"columns[{n}]") for n, column in enumerate(self.columns)],
        )


@dataclass(frozen=True, slots=True)
class ImageColumn:
    """One picture with one action (label of 12)."""

    action: Action
    url: str | None = None
    file_id: str | None = None

    def to_wire(self, place: str) -> dict[str, Any]:
        """As the platform takes it."""
        if (self.url is None) == (self.file_id is None):
            raise InvalidContent(
                f"{place}: originalContentUrl と fileId のどちらか一方を指定してください。",
                field=f"{place}.originalContentUrl",
            )
        return wire(
            **_picture(place, self.url, self.file_id),
            action=check_action(
                f"{place}.action", self.action, allowed=WITH_POSTBACK, label=12, text_required=True
            ),
        )


@dataclass(frozen=True, slots=True)
class ImageCarousel(Content):
    """1–10 pictures (the cap of 10 is the sibling's)."""

    type: ClassVar[str] = "image_carousel"
    columns: Sequence[ImageColumn]

    def _fields(self) -> dict[str, Any]:
        count("columns", self.columns, 10)
        return {"columns": [column.to_wire(f"columns[{n}]") for n, column in enumerate(self.columns)]}


@dataclass(frozen=True, slots=True)
class Flex(Content):
    """A bubble (10 KB), or a carousel of 1–10 bubbles (30 KB); `alt_text` at most 400 characters.

    Which actions work inside a Flex is not documented: take ``uri`` there, and a `ButtonTemplate` to ask.
    """

    type: ClassVar[str] = "flex"
    alt_text: str
    contents: Mapping[str, Any]
    i18n_alt_texts: I18n | None = None

    def _fields(self) -> dict[str, Any]:
        kind = self.contents.get("type")
        if kind not in ("bubble", "carousel"):
            raise InvalidContent("contents.type は bubble か carousel です。", field="contents.type")
        if kind == "carousel":
            bubbles = self.contents.get("contents")
            bubbles = bubbles if isinstance(bubbles, Sequence) and not isinstance(bubbles, str) else ()
            count("contents.contents", bubbles, 10)
            _fits("contents", self.contents, _FLEX_CAROUSEL_BYTES)
            for n, bubble in enumerate(bubbles):
                _bubble(f"contents.contents[{n}]", bubble)
        else:
            _bubble("contents", self.contents)
        return wire(
            altText=text("altText", self.alt_text, 400),
            contents=dict(self.contents),
            i18nAltTexts=i18n("i18nAltTexts", "altText", self.i18n_alt_texts, 400),
        )


def _picture(place: str, url: str | None, file_id: str | None) -> dict[str, Any]:
    if url is not None and file_id is not None:
        raise InvalidContent(
            f"{place}: originalContentUrl と fileId のどちらか一方を指定してください。",
            field=f"{place}.originalContentUrl",
        )
    return wire(
        originalContentUrl=web(f"{place}.originalContentUrl", url, required=False),
        fileId=text(f"{place}.fileId", file_id, 1000, required=False),
    )


def _bubble(place: str, bubble: object) -> None:
    if not isinstance(bubble, Mapping) or bubble.get("type") != "bubble":
        raise InvalidContent(f"{place}.type は bubble です。", field=f"{place}.type")
    size = bubble.get("size")
    _one_of(f"{place}.size", None if size is None else str(size), *_BUBBLE_SIZES)
    _fits(place, bubble, _FLEX_BUBBLE_BYTES)


def _fits(place: str, value: Mapping[str, Any], most: int) -> None:
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())
    except (TypeError, ValueError, RecursionError):  # half a surrogate pair is a ValueError too
        raise InvalidContent(f"{place} を JSON にできません。", field=place) from None
    if size > most:
        raise InvalidContent(
            f"{place} は {most // 1024} KB までです（{size:,} バイト）。", field=place, limit=most
        )


def _one_of(field: str, value: str | None, *allowed: str) -> str | None:
    if value is not None and value not in allowed:
        raise InvalidContent(f"{field} は {' か '.join(allowed)} です。", field=field)
    return value
