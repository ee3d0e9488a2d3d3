"""Message contents as the service takes them (part 2 §2.2 to §2.5): every limit held, limit + 1 refused.

Unknown keys are taken and reported in `Content.unknown`, as the reference asks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.content_parts import (
    EVERYWHERE,
    QUICK_ONLY,
    Tap,
    action,
    array,
    https,
    i18n,
    obj,
    string,
)
from bousai_kit.sandbox.flex import check_flex
from bousai_kit.sandbox.ops import bad

__all__ = ["TYPES", "Content", "File", "check_content", "extension_allowed"]

WITH_POSTBACK = EVERYWHERE | {"postback"}
IN_QUICK_REPLY = WITH_POSTBACK | QUICK_ONLY


@dataclass(frozen=True, slots=True)
class File:
    """An uploaded file as far as messages care: name, and size in bytes."""

    name: str
    size: int = 0


FileLookup = Callable[[str], File | None]


@dataclass(slots=True)
class Content:
    """A content that has passed.

    Attributes
    ----------
    type : str
    shown : str
        What the talk log shows of it.
    taps : list of Tap
        What its buttons send, in order; buttons that send nothing are left out.
    unknown : list of str
        Keys that no page of the reference names.
    """

    type: str
    shown: str = ""
    taps: list[Tap] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Check:
    """One content on its way."""

    fields: dict[str, Any]
    choices: Choices
    find_file: FileLookup
    out: Content

    def media(self, *, preview: bool, required: bool = True) -> str:
        """`fileId`, or the URLs; the file name."""
        fields = self.fields
        if fields.get("fileId") is not None:
            return self.file(fields, "fileId", "content")
        missing = fields.get("originalContentUrl") is None or (
            preview and fields.get("previewImageUrl") is None
        )
        if missing and required:
            names = "previewImageUrl/originalContentUrl" if preview else "originalContentUrl"
            raise bad(f"content.{names} is required")
        if preview:
            https(fields, "previewImageUrl", "content", required=True)
        url = https(fields, "originalContentUrl", "content", required=True) or ""
        return unquote(urlsplit(url).path).rpartition("/")[2]

    def file(self, fields: dict[str, Any], name: str, path: str, *, picture: bool = False) -> str:
        """The name of an uploaded file; a picture of a template has a tighter cap."""
        file_id = string(fields, name, path, 1000)
        found = self.find_file(file_id or "")
        if found is None:
            raise bad(f"{path}.{name} is invalid.")
        if picture and found.size > self.choices.template_image_bytes:
            raise bad(f"{path}.{name} must be at most {self.choices.template_image_bytes} bytes.")
        return found.name

    def picture(self, fields: dict[str, Any], path: str, *, required: bool = False) -> bool:
        """An image of a template: a URL or a file; whether there is one."""
        if fields.get("fileId") is not None:
            self.file(fields, "fileId", path, picture=True)
            return True
        return https(fields, "originalContentUrl", path, required=required) is not None

    def tap(self, value: Any, path: str, **rules: Any) -> None:
        """Check an action and keep what it sends."""
        found = action(value, path, choices=self.choices, unknown=self.out.unknown, **rules)
        if found is not None:
            self.out.taps.append(found)


def check_content(value: Any, *, choices: Choices, find_file: FileLookup = lambda file_id: None) -> Content:
    """Check the object below ``content``.

    Parameters
    ----------
    find_file : callable
        An uploaded file by its id, None when there is none (any more).

    Raises
    ------
    ApiFault
        400 INVALID_PARAMETER naming the property.
    """
    fields = obj(value, "content")
    kind = fields.get("type")
    if kind is None or kind == "":
        raise bad("content.type is required.")
    if not isinstance(kind, str) or kind not in _CHECKS:
        raise bad("content.type is invalid.")
    checker, known = _CHECKS[kind]
    check = _Check(fields, choices, find_file, Content(kind))
    checker(check)
    if fields.get("quickReply") is not None:
        _quick_reply(check)
    own = {str(key)[:60] for key in fields if key not in known and key not in _COMMON}
    check.out.unknown = sorted(own.union(check.out.unknown))
    return check.out


def extension_allowed(name: str, choices: Choices) -> bool:
    """Whether the tenant lets such a file pass."""
    return "." not in name or name.rpartition(".")[2].lower() not in choices.blocked_extensions


def _text(check: _Check) -> None:
    check.out.shown = string(check.fields, "text", "content", 2000) or ""
    i18n(check.fields, "i18nTexts", "text", "content", 2000)


def _sticker(check: _Check) -> None:
    package = string(check.fields, "packageId", "content", 100)
    sticker = string(check.fields, "stickerId", "content", 100)
    check.out.shown = f"https://static.worksmobile.net/static/wm/stickers/{package}/{sticker}.png"


def _image(check: _Check) -> None:
    check.out.shown = f"(写真) {check.media(preview=True)}"


def _video(check: _Check) -> None:
    check.out.shown = f"(動画) {check.media(preview=True)}"


def _audio(check: _Check) -> None:
    name = check.media(preview=False)
    if "." in name and name.rpartition(".")[2].lower() in check.choices.audio_refused:
        raise bad("content: audio of this format is not supported.")
    check.out.shown = f"(音声) {name}"


def _file(check: _Check) -> None:
    name = check.media(preview=False)
    if not extension_allowed(name, check.choices):
        raise bad("content: files of this extension are blocked.")
    check.out.shown = f"(ファイル) {name}"


def _link(check: _Check) -> None:
    limit = check.choices.link_limit
    check.out.shown = string(check.fields, "contentText", "content", limit) or ""
    string(check.fields, "linkText", "content", limit)
    link = string(check.fields, "link", "content", limit) or ""
    action(
        {"type": "uri", "label": "link", "uri": link}, "content.link", choices=check.choices, allowed={"uri"}
    )
    i18n(check.fields, "i18nContentTexts", "contentText", "content", limit)
    i18n(check.fields, "i18nLinkTexts", "linkText", "content", limit)


def _location(check: _Check) -> None:
    title = string(check.fields, "title", "content", 100)
    address = string(check.fields, "address", "content", 100)
    for name, bound in (("latitude", 90), ("longitude", 180)):
        value = check.fields.get(name)
        if value is None:
            raise bad(f"content.{name} is required.")
        if isinstance(value, bool) or not isinstance(value, int | float) or not -bound <= value <= bound:
            raise bad(f"content.{name} is invalid.")
    check.out.shown = f"(位置情報) {title} {address}"


def _buttons(check: _Check) -> None:
    check.out.shown = string(check.fields, "contentText", "content", 1000) or ""
    i18n(check.fields, "i18nContentTexts", "contentText", "content", 1000)
    for index, item in enumerate(array(check.fields.get("actions"), "content.actions", high=10)):
        sends = check.choices.button_sends
        check.tap(item, f"content.actions[{index}]", allowed=EVERYWHERE, sends=sends)


def _list(check: _Check) -> None:
    fields = check.fields
    titles: list[str] = []
    cover = fields.get("coverData")
    if cover is not None:
        path = "content.coverData"
        cover = obj(cover, path)
        if cover.get("backgroundFileId") is not None:
            check.file(cover, "backgroundFileId", path, picture=True)
        https(cover, "backgroundImageUrl", path)
        titles.append(string(cover, "title", path, 1000, required=False) or "")
        string(cover, "subtitle", path, 1000, required=False)
        i18n(cover, "i18nTitles", "title", path, 1000)
        i18n(cover, "i18nSubtitles", "subtitle", path, 1000)
    for index, entry in enumerate(array(fields.get("elements"), "content.elements", high=4)):
        path = f"content.elements[{index}]"
        element = obj(entry, path)
        titles.append(string(element, "title", path, 1000) or "")
        string(element, "subtitle", path, 1000, required=False)
        i18n(element, "i18nTitles", "title", path, 1000)
        i18n(element, "i18nSubtitles", "subtitle", path, 1000)
        check.picture(element, path)
        if element.get("action") is not None:
            check.tap(element["action"], f"{path}.action", allowed=EVERYWHERE)
    if fields.get("actions") is not None:
        for row, entry in enumerate(array(fields["actions"], "content.actions", low=0, high=2)):
            for column, item in enumerate(array(entry, f"content.actions[{row}]", low=0, high=2)):
                check.tap(item, f"content.actions[{row}][{column}]", allowed=EVERYWHERE)
    check.out.shown = "\n".join(title for title in titles if title)


def _carousel(check: _Check) -> None:
    fields = check.fields
    for name, values in (("imageAspectRatio", ("rectangle", "square")), ("imageSize", ("cover", "contain"))):
        if fields.get(name) is not None and fields[name] not in values:
            raise bad(f"content.{name} must be one of {', '.join(values)}.")
    shown: list[str] = []
    counts: set[int] = set()
    for index, entry in enumerate(array(fields.get("columns"), "content.columns", high=10)):
        path = f"content.columns[{index}]"
        column = obj(entry, path)
        title = string(column, "title", path, 40, required=False)
        pictured = check.picture(column, path)
        limit = 60 if pictured or title else 120
        text = string(column, "text", path, limit) or ""
        lines = limit // 30
        if check.choices.carousel_lines and text.count("\n") >= lines:
            raise bad(f"{path}.text must be at most {lines} lines.")
        shown.append(text)
        i18n(column, "i18nTexts", "text", path, limit)
        i18n(column, "i18nTitles", "title", path, 40)
        if column.get("defaultAction") is not None:
            check.tap(
                column["defaultAction"],
                f"{path}.defaultAction",
                allowed=WITH_POSTBACK,
                label_required=False,
                text_required=True,
            )
        actions = array(column.get("actions"), f"{path}.actions", high=3)
        counts.add(len(actions))
        for number, item in enumerate(actions):
            check.tap(item, f"{path}.actions[{number}]", allowed=WITH_POSTBACK, text_required=True)
    if len(counts) > 1:
        raise bad("content.columns must all have the same number of actions.")
    check.out.shown = "\n".join(shown)


def _image_carousel(check: _Check) -> None:
    columns = array(check.fields.get("columns"), "content.columns", high=check.choices.image_carousel_columns)
    for index, entry in enumerate(columns):
        path = f"content.columns[{index}]"
        column = obj(entry, path)
        check.picture(column, path, required=True)
        check.tap(column.get("action"), f"{path}.action", allowed=WITH_POSTBACK, label=12, text_required=True)
    check.out.shown = "(カルーセル)"


def _flex(check: _Check) -> None:
    check.out.shown = string(check.fields, "altText", "content", 400) or ""
    i18n(check.fields, "i18nAltTexts", "altText", "content", 400)
    allowed = WITH_POSTBACK if check.choices.flex_message_actions else frozenset({"uri", "copy"})
    for path, found in check_flex(check.fields.get("contents"), "content.contents", check.choices):
        check.tap(found, path, allowed=allowed, label_required=False)


def _quick_reply(check: _Check) -> None:
    path = "content.quickReply"
    reply = obj(check.fields["quickReply"], path)
    for index, entry in enumerate(array(reply.get("items"), f"{path}.items", high=13)):
        here = f"{path}.items[{index}]"
        item = obj(entry, here)
        https(item, "imageUrl", here)
        if item.get("imageResourceId") is not None:
            check.file(item, "imageResourceId", here, picture=True)
        for url in i18n(item, "i18nImageUrl", "thumbnailImageUrl", here, 1000).values():
            https({"thumbnailImageUrl": url}, "thumbnailImageUrl", f"{here}.i18nImageUrl")
        i18n(item, "i18nImageResourceIds", "imageResourceId", here, 1000)
        check.tap(
            item.get("action"),
            f"{here}.action",
            allowed=IN_QUICK_REPLY,
            text_required=True,
            display_required=True,
        )


_COMMON = {"type", "quickReply", "postback"}  # `postback`: sent back by the official echo sample (§15)
_MEDIA = {"originalContentUrl", "fileId"}
_CHECKS: dict[str, tuple[Callable[[_Check], None], set[str]]] = {
    "text": (_text, {"text", "i18nTexts"}),
    "sticker": (_sticker, {"packageId", "stickerId"}),
    "image": (
        _image,
        {"previewImageUrl", *_MEDIA, "i18nPreviewImageUrls", "i18nOriginalContentUrls", "i18nFileIds"},
    ),
    "file": (_file, {*_MEDIA, "i18nOriginalContentUrls", "i18nFileIds"}),
    "link": (_link, {"contentText", "linkText", "link", "i18nContentTexts", "i18nLinkTexts"}),
    "audio": (_audio, set(_MEDIA)),
    "video": (_video, {"previewImageUrl", *_MEDIA}),
    "location": (_location, {"title", "address", "latitude", "longitude"}),
    "button_template": (_buttons, {"contentText", "i18nContentTexts", "actions"}),
    "list_template": (_list, {"coverData", "elements", "actions"}),
    "carousel": (_carousel, {"columns", "imageAspectRatio", "imageSize"}),
    "image_carousel": (_image_carousel, {"columns"}),
    "flex": (_flex, {"altText", "contents", "i18nAltTexts"}),
}
TYPES = tuple(_CHECKS)
