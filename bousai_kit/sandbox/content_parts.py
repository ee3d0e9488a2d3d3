"""What contents, menus and quick replies are made of: checked strings, URLs, languages, action objects.

Everything raises `ApiFault` 400 ``INVALID_PARAMETER`` with the property's path in the description. None
counts as left out. Limits are characters (part 2 §2.2, §2.3).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.ops import bad

__all__ = [
    "EVERYWHERE",
    "LANGUAGES",
    "QUICK_ONLY",
    "Tap",
    "action",
    "array",
    "https",
    "i18n",
    "members_of",
    "obj",
    "string",
]

LANGUAGES = ("ja_JP", "ko_KR", "zh_CN", "zh_TW", "en_US")
EVERYWHERE = frozenset({"message", "uri", "copy"})
QUICK_ONLY = frozenset({"camera", "cameraRoll", "location"})
APP_LANGUAGE = "ja_JP"
_NAMED = {"type", "label", "i18nLabels"}
_ACTION_KEYS = {
    "message": {*_NAMED, "text", "postback", "i18nTexts"},
    "postback": {*_NAMED, "data", "displayText", "i18nDisplayTexts"},
    "uri": {*_NAMED, "uri"},
    "copy": {*_NAMED, "copyText"},
    **dict.fromkeys(QUICK_ONLY, _NAMED),
}


@dataclass(frozen=True, slots=True)
class Tap:
    """What a tap sends: a text with or without postback string, or a postback's data (text "" then)."""

    text: str
    postback: str | None = None
    data: str | None = None


def obj(value: Any, path: str) -> dict[str, Any]:
    """A JSON object."""
    if value is None:
        raise bad(f"{path} is required.")
    if not isinstance(value, dict):
        raise bad(f"{path} must be an object.")
    return value


def array(value: Any, path: str, *, low: int = 1, high: int | None = None) -> list[Any]:
    """A JSON array of `low` to `high` items."""
    if value is None:
        raise bad(f"{path} is required.")
    if not isinstance(value, list):
        raise bad(f"{path} must be an array.")
    if len(value) < low or (high is not None and len(value) > high):
        most = "" if high is None else f" to {high}"
        raise bad(f"{path} must have {low}{most} items.")
    return value


def string(fields: dict[str, Any], name: str, path: str, limit: int, *, required: bool = True) -> str | None:
    """A string of 1 to `limit` characters (0 characters when not required)."""
    value = fields.get(name)
    where = f"{path}.{name}" if path else name
    if value is None or (value == "" and required):
        if required:
            raise bad(f"{where} is required.")
        return None
    if not isinstance(value, str):
        raise bad(f"{where} must be a string.")
    if len(value) > limit:
        raise bad(f"{where} must be at most {limit} characters.")
    return value


def https(fields: dict[str, Any], name: str, path: str, *, required: bool = False) -> str | None:
    """An ``https`` URL of at most 1000 characters."""
    value = string(fields, name, path, 1000, required=required)
    if value is None or (value == "" and not required):
        return None
    if not _is_url(value, ("https",)):
        raise bad(f"{path}.{name} must be an HTTPS URL." if path else f"{name} must be an HTTPS URL.")
    return value


def _is_url(value: str, schemes: Collection[str]) -> bool:
    if any(letter.isspace() or ord(letter) < 32 for letter in value):
        return False
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        return False
    scheme = parts.scheme.lower()
    return scheme in schemes and (bool(host) or scheme not in ("http", "https"))


def i18n(fields: dict[str, Any], name: str, key: str, path: str, limit: int) -> dict[str, str]:
    """``[{language, key}]``; the texts by language."""
    value = fields.get(name)
    if value is None:
        return {}
    where = f"{path}.{name}" if path else name
    found: dict[str, str] = {}
    for index, entry in enumerate(array(value, where, low=0, high=len(LANGUAGES) * 4)):
        here = f"{where}[{index}]"
        item = obj(entry, here)
        if item.get("language") not in LANGUAGES:
            raise bad(f"{here}.language must be one of {', '.join(LANGUAGES)}.")
        text = string(item, key, here, limit, required=False)
        if text:
            found[item["language"]] = text
    return found


def members_of(value: Any, path: str, *, low: int, high: int) -> list[str]:
    """A list of unique member ids."""
    ids = array(value, path, low=low, high=high)
    if not all(isinstance(item, str) and 0 < len(item) <= 1000 for item in ids):
        raise bad(f"{path} must be an array of user IDs.")
    if len(set(ids)) != len(ids):
        raise bad(f"{path} must not have duplicates.")
    return [str(item) for item in ids]


def action(
    value: Any,
    path: str,
    *,
    choices: Choices,
    allowed: Collection[str],
    label: int = 20,
    label_required: bool = True,
    text_required: bool = False,
    display_required: bool = False,
    sends: str = "text",
    unknown: list[str] | None = None,
) -> Tap | None:
    """Check one action object (part 2 §2.3).

    Parameters
    ----------
    allowed : collection of str
        Types that may stand here.
    label : int
        Limit of the label.
    text_required, display_required : bool
        Whether ``text`` of a message action, ``displayText`` of a postback action must be there.
    sends : str
        ``label``: a tapped message action sends its label; ``text``: its text where it has one.

    unknown : list of str, optional
        Gets the keys that no page of the reference names, as ``action.key``.

    Returns
    -------
    Tap or None
        None: nothing comes back from a tap.
    """
    fields = obj(value, path)
    kind = fields.get("type")
    if not isinstance(kind, str):
        raise bad(f"{path}.type is required.")
    if kind not in allowed:
        raise bad(f"{path}.type '{kind[:40]}' is not allowed here.")
    if unknown is not None:
        unknown += [f"action.{str(key)[:60]}" for key in fields if key not in _ACTION_KEYS[kind]]
    said = string(fields, "label", path, label, required=label_required) or ""
    said = i18n(fields, "i18nLabels", "label", path, label).get(APP_LANGUAGE, said)
    if kind == "message":
        text = string(fields, "text", path, choices.message_text_limit, required=text_required) or ""
        text = i18n(fields, "i18nTexts", "text", path, choices.message_text_limit).get(APP_LANGUAGE, text)
        postback = string(fields, "postback", path, 1000, required=False)
        shown = said if sends == "label" or not text else text
        return Tap(shown or text, postback=postback or None) if shown or text else None
    if kind == "postback":
        data = string(fields, "data", path, 300)
        string(fields, "displayText", path, 300, required=display_required)
        i18n(fields, "i18nDisplayTexts", "displayText", path, 300)
        return Tap("", data=data)
    if kind == "uri":
        uri = string(fields, "uri", path, choices.uri_limit)
        if not _is_url(uri or "", choices.uri_schemes):
            raise bad(f"{path}.uri is invalid.")
    elif kind == "copy":
        string(fields, "copyText", path, choices.copy_text_limit)
    return None
