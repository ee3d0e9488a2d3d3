"""Rules of single properties of the directory (part 1 §2.2, §4.2, §5): a wrong one is 400 and named."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Collection
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from bousai_kit.sandbox.content_parts import LANGUAGES, array, obj, string
from bousai_kit.sandbox.ops import bad
from bousai_kit.sandbox.tenant import parse_time

__all__ = [
    "NAME_SYMBOLS",
    "UNIT_SYMBOLS",
    "address",
    "code",
    "day",
    "external_key",
    "flag",
    "i18n_names",
    "kana",
    "login_id",
    "mail_address",
    "moment",
    "name",
    "number",
    "one_of",
    "orgunit_address",
    "phone",
    "reference",
    "time_zone",
]

NAME_SYMBOLS = frozenset("!@&()-_+[]{},./#'^~`")
UNIT_SYMBOLS = frozenset("!@&()-_+[]{},./")
USER_KEY = "%\\#/?"
CATALOGUE_KEY = "%#/?"

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._-]*")
_UNIT_LOCAL = re.compile(r"[a-z0-9._\-!#]{2,64}")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)
_MAIL_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PHONE = re.compile(r"[0-9+\-*#PTpt()]+")
_KANA = re.compile(r"[\u30a1-\u30ff\u31f0-\u31ff\u3000 ]*")
_KANA_BOTH = re.compile(r"[\u30a1-\u30ff\u31f0-\u31ff\uff65-\uff9f\u3000 ]*")


def flag(fields: dict[str, Any], key: str, path: str = "", *, default: bool | None = None) -> bool:
    """A boolean; `default` None: required."""
    value = fields.get(key)
    where = f"{path}.{key}" if path else key
    if value is None:
        if default is None:
            raise bad(f"{where} is required.")
        return default
    if not isinstance(value, bool):
        raise bad(f"{where} must be a boolean.")
    return value


def number(fields: dict[str, Any], key: str, *, low: int | None = None) -> int:
    """A required int32."""
    value = fields.get(key)
    if value is None:
        raise bad(f"{key} is required.")
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 31) <= value < 1 << 31:
        raise bad(f"{key} must be an integer.")
    if low is not None and value < low:
        raise bad(f"{key} must be at least {low}.")
    return value


def one_of(fields: dict[str, Any], key: str, allowed: Collection[str], path: str = "") -> str | None:
    """One of some words, or None."""
    value = fields.get(key)
    where = f"{path}.{key}" if path else key
    if value is not None and (not isinstance(value, str) or value not in allowed):
        raise bad(f"{where} must be one of {', '.join(allowed)}.")
    return value


def reference(value: Any, path: str) -> str:
    """An id or ``externalKey:…``."""
    if value is None or value == "":
        raise bad(f"{path} is required.")
    if not isinstance(value, str) or len(value) > 1000:
        raise bad(f"{path} is invalid.")
    return value


def external_key(
    fields: dict[str, Any], key: str, path: str = "", *, forbidden: str = USER_KEY
) -> str | None:
    """At most 100 characters, none of the forbidden ones; None and "" are none."""
    value = string(fields, key, path, 100, required=False)
    where = f"{path}.{key}" if path else key
    if value and any(letter in forbidden or ord(letter) < 32 for letter in value):
        raise bad(f"{where} must not contain {' '.join(forbidden)}.")
    return value or None


def name(
    fields: dict[str, Any],
    key: str,
    path: str,
    limit: int,
    *,
    symbols: frozenset[str] = NAME_SYMBOLS,
    required: bool = False,
) -> str | None:
    """Letters, digits, blanks and the symbols that are allowed."""
    value = string(fields, key, path, limit, required=required)
    where = f"{path}.{key}" if path else key
    if value is None:
        return None
    if required and not value.strip():
        raise bad(f"{where} is required.")
    for letter in value:
        if not (letter.isalnum() or letter in symbols or letter in " \u3000・"):
            if unicodedata.category(letter)[0] == "M":  # voiced marks, variants of a character
                continue
            raise bad(f"{where} contains a character that is not allowed.")
    return value


def kana(fields: dict[str, Any], key: str, path: str, *, halfwidth: bool) -> str | None:
    """Katakana only, at most 100 characters."""
    value = string(fields, key, path, 100, required=False)
    if value and not (_KANA_BOTH if halfwidth else _KANA).fullmatch(value):
        raise bad(f"{path}.{key} must be in katakana.")
    return value or None


def login_id(value: Any, path: str, *, reserved: Collection[str]) -> str:
    """``local@domain``: 2 to 40 characters ``[a-z0-9._-]`` before the ``@``, at most 90 in all."""
    if value is None or value == "":
        raise bad(f"{path} is required.")
    if not isinstance(value, str) or len(value) > 90:
        raise bad(f"{path} is invalid.")
    local, found, host = value.partition("@")
    if not found or not _HOST.fullmatch(host) or host != host.lower():
        raise bad(f"{path} is invalid.")
    if not 2 <= len(local) <= 40 or not _LOGIN.fullmatch(local) or local.endswith(".") or ".." in local:
        raise bad(f"{path} is invalid.")
    if local in reserved:
        raise bad(f"{path} is reserved.")
    return value


def address(value: Any, path: str, limit: int = 256) -> str:
    """A mail address: local part at most 64, domain at most 253 characters."""
    if value is None or value == "":
        raise bad(f"{path} is required.")
    if not isinstance(value, str) or len(value) > limit:
        raise bad(f"{path} is invalid.")
    local, found, host = value.rpartition("@")
    if not found or not _MAIL_LOCAL.fullmatch(local) or len(host) > 253 or not _HOST.fullmatch(host):
        raise bad(f"{path} is invalid.")
    return value


def mail_address(fields: dict[str, Any], key: str) -> str | None:
    """A mail address, or none."""
    value = fields.get(key)
    return None if value is None or value == "" else address(value, key)


def orgunit_address(value: Any, path: str) -> str:
    """Address of an org unit: local part 2 to 64 of ``[a-z0-9._-!#]``, with or without its domain."""
    if not isinstance(value, str) or len(value) > 90:
        raise bad(f"{path} is invalid.")
    local, found, host = value.partition("@")
    if not _UNIT_LOCAL.fullmatch(local) or (found and not _HOST.fullmatch(host)):
        raise bad(f"{path} is invalid.")
    return value


def code(fields: dict[str, Any], key: str, limit: int) -> str | None:
    """A letter, then letters, digits and ``_``; or none."""
    value = string(fields, key, "", limit, required=False)
    if value and not _CODE.fullmatch(value):
        raise bad(f"{key} is invalid.")
    return value or None


def phone(fields: dict[str, Any], key: str) -> str | None:
    """Digits and ``+ - * # P T p t ( )``, one digit at least."""
    value = string(fields, key, "", 100, required=False)
    if not value:
        return None
    if not _PHONE.fullmatch(value) or not any("0" <= letter <= "9" for letter in value):
        raise bad(f"{key} is invalid.")
    return value


def day(fields: dict[str, Any], key: str) -> str | None:
    """``YYYY-MM-DD``, or none."""
    value = fields.get(key)
    if value is None or value == "":
        return None
    try:
        if not isinstance(value, str) or not _DAY.fullmatch(value):
            raise ValueError
        date.fromisoformat(value)
    except ValueError:
        raise bad(f"{key} must be YYYY-MM-DD.") from None
    return value


def moment(fields: dict[str, Any], key: str) -> datetime | None:
    """ISO 8601 with offset, at most 25 characters; None if there is none."""
    value = fields.get(key)
    if value is None or value == "":
        return None
    try:
        if not isinstance(value, str) or not 20 <= len(value) <= 25 or value[10] != "T":
            raise ValueError
        return parse_time(value)
    except (ValueError, OverflowError):
        raise bad(f"{key} must be YYYY-MM-DDThh:mm:ssTZD.") from None


@functools.lru_cache(maxsize=256)
def _known_zone(key: str) -> bool:
    try:
        ZoneInfo(key)
    except (ValueError, OSError, KeyError):
        return False
    return True


def time_zone(fields: dict[str, Any], key: str) -> str | None:
    """A name such as ``Asia/Tokyo``, or none."""
    value = string(fields, key, "", 60, required=False)
    if value and not _known_zone(value):
        raise bad(f"{key} is invalid.")
    return value or None


def i18n_names(fields: dict[str, Any], key: str, parts: tuple[str, ...]) -> list[dict[str, Any]]:
    """``[{language, …}]``, each language once."""
    if fields.get(key) is None:
        return []
    found: dict[str, dict[str, Any]] = {}
    for at, entry in enumerate(array(fields[key], key, low=0, high=20)):
        path = f"{key}[{at}]"
        item = obj(entry, path)
        language = one_of(item, "language", LANGUAGES, path)
        if language is None:
            raise bad(f"{path}.language is required.")
        if language in found:
            raise bad(f"{path}.language is there twice.")
        found[language] = {
            "language": language,
            **{part: string(item, part, path, 100, required=False) for part in parts},
        }
    return list(found.values())
