"""Actions and quick replies as values; every limit is checked when they are made.

Where an action is allowed, and what its label may hold, depends on the content that carries it: the
content checks that with `check_action`.

Source: reference part 2 §2.3, §2.4 (vendor pages bot-actionobject, bot-quickreply).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from bousai_kit.lineworks.base import InvalidContent

__all__ = [
    "Action",
    "CameraAction",
    "CameraRollAction",
    "CopyAction",
    "LocationAction",
    "MessageAction",
    "PostbackAction",
    "QuickReply",
    "QuickReplyItem",
    "UriAction",
]

LANGUAGES = frozenset({"ja_JP", "ko_KR", "zh_CN", "zh_TW", "en_US"})
URL_LENGTH = 1000
FILE_ID_LENGTH = 1000
I18n = Mapping[str, str]  # language -> text


def text(field: str, value: object, most: int, *, required: bool = True) -> str | None:
    """Check a string of at most so many characters."""
    if value is None and not required:
        return None
    if not isinstance(value, str) or (required and not value):
        raise InvalidContent(f"{field} は必須です。", field=field)
    if len(value) > most:
        raise InvalidContent(
            f"{field} は {most} 文字までです（{len(value)} 文字）。", field=field, limit=most
        )
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise InvalidContent(f"{field} に送信できない文字（壊れた文字）があります。", field=field)
    return value


def web(field: str, value: object, *, required: bool = True) -> str | None:
    """Check an HTTPS address of at most 1000 characters."""
    found = text(field, value, URL_LENGTH, required=required)
    if found is not None and not found.startswith("https://"):
        raise InvalidContent(f"{field} は https:// で始まるアドレスにしてください。", field=field)
    return found


def count(field: str, values: Sequence[Any], most: int, *, least: int = 1) -> None:
    """Check how many entries a list has."""
    if not least <= len(values) <= most:
        raise InvalidContent(
            f"{field} は {least}〜{most} 個です（{len(values)} 個）。", field=field, limit=most
        )


def i18n(field: str, name: str, values: I18n | None, most: int) -> list[dict[str, str]] | None:
    """``[{language, name}]`` of texts by language."""
    if not values:
        return None
    for language, value in values.items():
        if language not in LANGUAGES:
            raise InvalidContent(f"{field} の言語「{language}」は使えません。", field=field)
        text(f"{field}[{language}]", value, most)
    return [{"language": language, name: value} for language, value in values.items()]


def wire(**fields: Any) -> dict[str, Any]:
    """A JSON object without its missing fields."""
    return {name: value for name, value in fields.items() if value is not None}


class Action(Protocol):
    """One of the actions below."""

    type: ClassVar[str]

    @property
    def label(self) -> str | None: ...
    def to_wire(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class MessageAction:
    """A tap says the label (or `text`) in the talk and carries `postback` to the bot.

    Parameters
    ----------
    label : str
        At most 20 characters (12 in an image carousel, 1000 in the persistent menu).
    postback : str, optional
        At most 1000; comes back in the callback, not in the talk.
    text : str, optional
        At most 300; required in carousels, rich menus and quick replies. A button template says its label.
    """

    type: ClassVar[str] = "message"
    label: str | None
    postback: str | None = None
    text: str | None = None
    i18n_labels: I18n | None = None
    i18n_texts: I18n | None = None

    def __post_init__(self) -> None:
        text("postback", self.postback, 1000, required=False)
        text("text", self.text, 300, required=False)

    def to_wire(self) -> dict[str, Any]:
        """As the platform takes it."""
        return wire(
            type=self.type,
            label=self.label,
            text=self.text,
            postback=self.postback,
            i18nLabels=i18n("i18nLabels", "label", self.i18n_labels, 1000),
            i18nTexts=i18n("i18nTexts", "text", self.i18n_texts, 300),
        )


@dataclass(frozen=True, slots=True)
class PostbackAction:
    """A tap sends `data` to the bot and leaves no trace in the talk, unless `display_text` is there.

    Parameters
    ----------
    label : str
    data, display_text : str
        At most 300 each; `display_text` is required in quick replies.
    """

    type: ClassVar[str] = "postback"
    label: str | None
    data: str
    display_text: str | None = None
    i18n_labels: I18n | None = None
    i18n_display_texts: I18n | None = None

    def __post_init__(self) -> None:
        text("data", self.data, 300)
        text("displayText", self.display_text, 300, required=False)

    def to_wire(self) -> dict[str, Any]:
        """As the platform takes it."""
        return wire(
            type=self.type,
            label=self.label,
            data=self.data,
            displayText=self.display_text,
            i18nLabels=i18n("i18nLabels", "label", self.i18n_labels, 1000),
            i18nDisplayTexts=i18n("i18nDisplayTexts", "displayText", self.i18n_display_texts, 300),
        )


@dataclass(frozen=True, slots=True)
class UriAction:
    """A tap opens an address (at most 1000 characters)."""

    type: ClassVar[str] = "uri"
    label: str | None
    uri: str
    i18n_labels: I18n | None = None

    def __post_init__(self) -> None:
        text("uri", self.uri, URL_LENGTH)

    def to_wire(self) -> dict[str, Any]:
        """As the platform takes it."""
        return wire(
            type=self.type,
            label=self.label,
            uri=self.uri,
            i18nLabels=i18n("i18nLabels", "label", self.i18n_labels, 1000),
        )


@dataclass(frozen=True, slots=True)
class CopyAction:
    """A tap copies a text (at most 1000 characters; the platform's own limit is not documented)."""

    type: ClassVar[str] = "copy"
    label: str | None
    copy_text: str
    i18n_labels: I18n | None = None

    def __post_init__(self) -> None:
        text("copyText", self.copy_text, 1000)

    def to_wire(self) -> dict[str, Any]:
        """As the platform takes it."""
        return wire(
            type=self.type,
            label=self.label,
            copyText=self.copy_text,
            i18nLabels=i18n("i18nLabels", "label", self.i18n_labels, 1000),
        )


@dataclass(frozen=True, slots=True)
class _PhoneAction:
    """Quick replies only, iOS and Android only."""

    type: ClassVar[str] = ""
    label: str | None
    i18n_labels: I18n | None = None

    def to_wire(self) -> dict[str, Any]:
        """As the platform takes it."""
        return wire(
            type=self.type, label=self.label, i18nLabels=i18n("i18nLabels", "label", self.i18n_labels, 20)
        )


class CameraAction(_PhoneAction):
    """Opens the camera."""

    type: ClassVar[str] = "camera"


class CameraRollAction(_PhoneAction):
    """Opens the photo library."""

    type: ClassVar[str] = "cameraRoll"


class LocationAction(_PhoneAction):
    """Opens the map to send a place."""

    type: ClassVar[str] = "location"


EVERYWHERE = frozenset({"message", "uri", "copy"})
WITH_POSTBACK = EVERYWHERE | {"postback"}
QUICK = WITH_POSTBACK | {"camera", "cameraRoll", "location"}


def check_action(
    field: str,
    action: Action,
    *,
    allowed: frozenset[str],
    label: int = 20,
    label_required: bool = True,
    text_required: bool = False,
) -> dict[str, Any]:
    """Check an action against the place that carries it, and give its wire form.

    Raises
    ------
    InvalidContent
        The type is not allowed there, or a limit is passed.
    """
    if action.type not in allowed:
        raise InvalidContent(
            f"{field}: ここでは {action.type} アクションを使えません。", field=f"{field}.type"
        )
    text(f"{field}.label", action.label, label, required=label_required)
    for language, value in (getattr(action, "i18n_labels", None) or {}).items():
        text(f"{field}.i18nLabels[{language}]", value, label)
    if text_required and isinstance(action, MessageAction):
        text(f"{field}.text", action.text, 300)
    return action.to_wire()


@dataclass(frozen=True, slots=True)
class QuickReplyItem:
    """One quick reply; `image_url` (HTTPS, PNG) or `image_resource_id` gives it an icon.

    Parameters
    ----------
    action : Action
        Any type; a `MessageAction` needs its text, a `PostbackAction` its display text here.
    image_url, image_resource_id : str, optional
        One of the two.
    i18n_image_urls, i18n_image_resource_ids : mapping, optional
        Icons by language.
    """

    action: Action
    image_url: str | None = None
    image_resource_id: str | None = None
    i18n_image_urls: I18n | None = None
    i18n_image_resource_ids: I18n | None = None

    def to_wire(self, place: str = "quickReply.items[]") -> dict[str, Any]:
        """As the platform takes it."""
        if self.image_url is not None and self.image_resource_id is not None:
            raise InvalidContent(
                f"{place}: imageUrl と imageResourceId のどちらか一方を指定してください。",
                field=f"{place}.imageUrl",
            )
        for language, url in (self.i18n_image_urls or {}).items():
            web(f"{place}.i18nImageUrl[{language}]", url)
        if isinstance(self.action, PostbackAction):
            text(f"{place}.action.displayText", self.action.display_text, 300)
        return wire(
            action=check_action(f"{place}.action", self.action, allowed=QUICK, text_required=True),
            imageUrl=web(f"{place}.imageUrl", self.image_url, required=False),
            imageResourceId=text(
                f"{place}.imageResourceId", self.image_resource_id, FILE_ID_LENGTH, required=False
            ),
            i18nImageUrl=i18n(f"{place}.i18nImageUrl", "thumbnailImageUrl", self.i18n_image_urls, URL_LENGTH),
            i18nImageResourceIds=i18n(
                f"{place}.i18nImageResourceIds",
                "imageResourceId",
                self.i18n_image_resource_ids,
                FILE_ID_LENGTH,
            ),
        )


@dataclass(frozen=True, slots=True)
class QuickReply:
    """1–13 quick replies below a message; do not rely on them for a late answer."""

    items: tuple[QuickReplyItem, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))
        self.to_wire()

    def to_wire(self) -> dict[str, Any]:
        """As the platform takes it."""
        count("quickReply.items", self.items, 13)
        return {"items": [item.to_wire(f"quickReply.items[{n}]") for n, item in enumerate(self.items)]}
