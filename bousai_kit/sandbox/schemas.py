"""Pieces of JSON schema for `Operation.query` and `Operation.body`: they say what the handlers check."""

from __future__ import annotations

from typing import Any

__all__ = [
    "DOMAIN",
    "FLAG",
    "FLAG_OR_NULL",
    "INT32",
    "PAGE",
    "array_of",
    "body",
    "key",
    "one_of",
    "page",
    "partial",
    "text",
    "without",
]

FLAG: dict[str, Any] = {"type": "boolean"}
FLAG_OR_NULL: dict[str, Any] = {"type": ["boolean", "null"]}
INT32: dict[str, Any] = {"type": "integer", "minimum": -(1 << 31), "maximum": (1 << 31) - 1}
DOMAIN: dict[str, Any] = {"type": "integer"}


def text(limit: int, *, low: int = 1, null: bool = False, pattern: str = "") -> dict[str, Any]:
    """A string of `low` to `limit` characters; `null`: it may be null, and then empty as well."""
    found: dict[str, Any] = {"type": ["string", "null"] if null else "string", "maxLength": limit}
    if low and not null:
        found["minLength"] = low
    if pattern:
        found["pattern"] = pattern
    return found


def without(letters: str) -> str:
    """Pattern of what holds none of some characters, and no control character."""
    return "^[^\\x00-\\x1f{}]*$".format(letters.replace("\\", "\\\\"))


def key(forbidden: str) -> dict[str, Any]:
    """An external key, or null for none (part 1 §2.2)."""
    return text(100, null=True, pattern=without(forbidden))


def one_of(*words: str, null: bool = False) -> dict[str, Any]:
    """One of some words."""
    return {"enum": [*words, *((None,) if null else ())]}


def array_of(
    items: dict[str, Any], *, low: int = 0, high: int | None = None, null: bool = False
) -> dict[str, Any]:
    """A list of `low` to `high` items."""
    found: dict[str, Any] = {"type": ["array", "null"] if null else "array", "items": items}
    if low:
        found["minItems"] = low
    if high is not None:
        found["maxItems"] = high
    return found


def body(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """An object; unlisted properties are let through (part 2 §15)."""
    return {"type": "object", "required": list(required), "properties": properties}


def partial(properties: dict[str, Any]) -> dict[str, Any]:
    """Body of a PATCH: nothing is required, and ``domainId`` may be null."""
    domain = {"domainId": {"type": ["integer", "null"]}} if "domainId" in properties else {}
    return body({**properties, **domain})


def page(maximum: int = 100, *, domain: bool = False) -> dict[str, Any]:
    """``count``, ``cursor``, and ``domainId`` if wanted (part 1 §2.3)."""
    found = {
        "count": {"type": "integer", "minimum": 1, "maximum": maximum},
        "cursor": {"type": "string"},
    }
    return {"domainId": DOMAIN, **found} if domain else found


PAGE = page(domain=True)
