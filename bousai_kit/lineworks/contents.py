"""Message contents as values: one class a wire type, every limit checked when it is made.

``to_wire()`` gives the JSON object below ``content``. Limits are characters. An error names the vendor's
field and the limit, and nothing has been sent then.

Source: reference part 2 §2.2 (vendor pages bot-send-…). Lists, carousels and Flex: `templates`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bousai_kit.lineworks.actions import (
    EVERYWHERE,
    Action,
    I18n,
    QuickReply,
    check_action,
    count,
    i18n,
    text,
    web,
    wire,
)
from bousai_kit.lineworks.base import InvalidContent

__all__ = [
    "Audio",
    "ButtonTemplate",
    "Content",
    "File",
    "Image",
    "Link",
    "Location",
    "Sticker",
    "Text",
    "Video",
]

BLOCKED_EXTENSIONS = frozenset({"bat", "cmd", "com", "cpl", "exe", "scr", "js", "vbs", "wsf", "hta"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What every content has: its wire type, and quick replies where wanted."""

    type: ClassVar[str] = ""
    quick_reply: QuickReply | None = None

    def __post_init__(self) -> None:
        self.to_wire()

    def to_wire(self) -> dict[str, Any]:
        """As the platform takes it, below ``content``."""
        fields = {"type": self.type, **self._fields()}
        if self.quick_reply is not None:
            fields["quickReply"] = self.quick_reply.to_wire()
        return fields

    def _fields(self) -> dict[str, Any]:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Text(Content):
    """Plain text, at most 2000 characters."""

    type: ClassVar[str] = "text"
    text: str
    i18n_texts: I18n | None = None

    def _fields(self) -> dict[str, Any]:
        return wire(
            text=text("text", self.text, 2000), i18nTexts=i18n("i18nTexts", "text", self.i18n_texts, 2000)
        )


@dataclass(frozen=True, slots=True)
class Sticker(Content):
    """A sticker of the published list."""

    type: ClassVar[str] = "sticker"
    package_id: str
    sticker_id: str

    def _fields(self) -> dict[str, Any]:
        return wire(
            packageId=text("packageId", self.package_id, 100),
            stickerId=text("stickerId", self.sticker_id, 100),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Media(Content):
    """By address (HTTPS) or by the id of an uploaded file: exactly one of the two."""

    url: str | None = None
    file_id: str | None = None

    def _fields(self) -> dict[str, Any]:
        if (self.url is None) == (self.file_id is None):
            raise InvalidContent(
                "originalContentUrl と fileId のどちらか一方を指定してください。", field="originalContentUrl"
            )
        return wire(
            originalContentUrl=web("originalContentUrl", self.url, required=False),
            fileId=text("fileId", self.file_id, 1000, required=False),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Previewed(_Media):
    preview_url: str | None = None

    def _fields(self) -> dict[str, Any]:
        if (self.preview_url is None) != (self.url is None):
            raise InvalidContent(
                "previewImageUrl と originalContentUrl は両方指定してください。", field="previewImageUrl"
            )
        return wire(
            previewImageUrl=web("previewImageUrl", self.preview_url, required=False),
            **_Media._fields(self),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Image(_Previewed):
    """A picture: both addresses (preview PNG), or `file_id`."""

    type: ClassVar[str] = "image"


@dataclass(frozen=True, kw_only=True, slots=True)
class Video(_Previewed):
    """A video: both addresses, or `file_id`."""

    type: ClassVar[str] = "video"


@dataclass(frozen=True, kw_only=True, slots=True)
class Audio(_Media):
    """A sound; WAV plays everywhere."""

    type: ClassVar[str] = "audio"


@dataclass(frozen=True, kw_only=True, slots=True)
class File(_Media):
    """A file; some extensions are blocked by default."""

    type: ClassVar[str] = "file"

    def _fields(self) -> dict[str, Any]:
        tail = (self.url or "").partition("?")[0].rpartition("/")[2]
        if "." in tail and tail.rpartition(".")[2].lower() in BLOCKED_EXTENSIONS:
            raise InvalidContent("この拡張子のファイルは送信できません。", field="originalContentUrl")
        return _Media._fields(self)


@dataclass(frozen=True, slots=True)
class Link(Content):
    """A text with a linked line below it, at most 1000 characters each."""

    type: ClassVar[str] = "link"
    content_text: str
    link_text: str
    link: str
    i18n_content_texts: I18n | None = None
    i18n_link_texts: I18n | None = None

    def _fields(self) -> dict[str, Any]:
        return wire(
            contentText=text("contentText", self.content_text, 1000),
            linkText=text("linkText", self.link_text, 1000),
            link=text("link", self.link, 1000),
            i18nContentTexts=i18n("i18nContentTexts", "contentText", self.i18n_content_texts, 1000),
            i18nLinkTexts=i18n("i18nLinkTexts", "linkText", self.i18n_link_texts, 1000),
        )


@dataclass(frozen=True, slots=True)
class Location(Content):
    """A place; title and address at most 100 characters, degrees."""

    type: ClassVar[str] = "location"
    title: str
    address: str
    latitude: float
    longitude: float

    def _fields(self) -> dict[str, Any]:
        return wire(
            title=text("title", self.title, 100),
            address=text("address", self.address, 100),
            latitude=_degrees("latitude", self.latitude, 90),
            longitude=_degrees("longitude", self.longitude, 180),
        )


def _degrees(field: str, value: float, most: int) -> float:
    if not math.isfinite(value) or abs(value) > most:
        raise InvalidContent(f"{field} は -{most}〜{most} の数値です。", field=field, limit=most)
    return float(value)


@dataclass(frozen=True, slots=True)
class ButtonTemplate(Content):
    """A text (1000) with 1–10 buttons; ``message``, ``uri`` and ``copy`` actions, labels of 20."""

    type: ClassVar[str] = "button_template"
    content_text: str
    actions: Sequence[Action]
    i18n_content_texts: I18n | None = None

    def _fields(self) -> dict[str, Any]:
        count("actions", self.actions, 10)
        return wire(
            contentText=text("contentText", self.content_text, 1000),
            actions=[
                check_action(f"actions[{n}]", action, allowed=EVERYWHERE)
                for n, action in enumerate(self.actions)
            ],
            i18nContentTexts=i18n("i18nContentTexts", "contentText", self.i18n_content_texts, 1000),
        )
