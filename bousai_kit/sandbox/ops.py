"""What a route is made of: `Operation` (data), `Call` (one request), `Reply`, `ApiFault`, and the `Router`.

A module with routes exports ``OPERATIONS``; the path values arrive decoded (``%40``, ``externalKey%3A…``,
a raw ``@``), the query without unknown-parameter checks (public clients send extra ones, part 2 §15), the
body as raw bytes. A handler is ``def`` or ``async def``, takes the `Call`, returns a `Reply` or raises
`ApiFault`; whatever it changed in ``call.tenant`` is stored before the reply leaves.

Besides ``OPERATIONS`` a module may export

- ``DUE_HANDLERS: dict[str, DueHandler]``: ``async def f(sandbox, payload)`` by kind, for `Tenant.schedule`;
- ``LISTENERS: dict[str, Listener]``: ``def f(sandbox, payload)`` by signal name, for `Sandbox.signal`;
- ``found(tenant, now)``: puts its part of a new tenant in place (bot, board, levels…);
- ``truth(sandbox) -> dict``: its part of the admin host's ``GET /truth``.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bousai_kit.sandbox.routing import Router

if TYPE_CHECKING:
    from bousai_kit.sandbox.auth import Token
    from bousai_kit.sandbox.choices import Choices
    from bousai_kit.sandbox.core import Sandbox
    from bousai_kit.sandbox.tenant import Tenant

__all__ = [
    "ApiFault",
    "Call",
    "DueHandler",
    "Handler",
    "Listener",
    "Operation",
    "Reply",
    "Router",
    "bad",
    "conflict",
    "denied",
    "missing",
]

Handler = Callable[["Call"], "Reply | Awaitable[Reply]"]
DueHandler = Callable[["Sandbox", dict[str, Any]], Awaitable[None]]
Listener = Callable[["Sandbox", dict[str, Any]], None]

MAX_BODY = 1 << 20
MAX_DEPTH = 64
_UNSET = object()


class ApiFault(Exception):
    """An answer that says no: ``{"code", "description"}`` with a status (part 1 §2.4)."""

    def __init__(
        self, status: int, code: str, description: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(description)
        self.status = status
        self.code = code
        self.description = description
        self.headers = dict(headers or {})


def bad(description: str) -> ApiFault:
    """400 INVALID_PARAMETER; the text names the property."""
    return ApiFault(400, "INVALID_PARAMETER", description)


def missing(description: str = "Resource not found.") -> ApiFault:
    """404 NOT_FOUND."""
    return ApiFault(404, "NOT_FOUND", description)


def denied(description: str = "Access is denied.") -> ApiFault:
    """403 ACCESS_DENIED."""
    return ApiFault(403, "ACCESS_DENIED", description)


def conflict(description: str) -> ApiFault:
    """409 CONFLICT."""
    return ApiFault(409, "CONFLICT", description)


@dataclass(frozen=True, slots=True)
class Operation:
    """One route.

    Parameters
    ----------
    name : str
        Unique, dotted (``users.create``); the rate limit is counted under it.
    method, path : str
        Path below the base (``/users/{userId}``); a literal segment wins over ``{…}``.
    scopes : tuple of str
        Any one of them opens it (host ``api`` only).
    handler : callable
    success : int
        Status of success, for the OpenAPI description.
    host : str
        ``api``, ``storage`` (bearer needed, text errors, no limits), ``admin`` (no bearer).
    limit : str
        ``default`` (60/240), ``room`` (10), ``log`` (10), ``board`` (60), ``none``.
    serial : str
        ``""``, or what must never be written twice at once: a template over path values, e.g.
        ``member:{userId}``, ``bot:{botId}`` (409 when two overlap), ``orgunit`` (one a second).
    user_only : bool
        Refused for service-account tokens (forms, part 2 §9.2).
    query : mapping
        Name -> JSON schema of known query parameters, for the OpenAPI description.
    body : mapping or None
        JSON schema of the request body, for the OpenAPI description.
    max_body : int
        Bytes; more is 413.
    paragraph : str
        Where the reference says so, e.g. ``1 §4.5``.
    """

    name: str
    method: str
    path: str
    scopes: tuple[str, ...]
    handler: Handler
    success: int = 200
    host: str = "api"
    limit: str = "default"
    serial: str = ""
    user_only: bool = False
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    max_body: int = MAX_BODY
    paragraph: str = ""


@dataclass(slots=True)
class Reply:
    """What goes back. ``json`` None: empty body; ``raw`` bytes win over ``json``."""

    status: int = 200
    json: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    content_type: str = "application/json; charset=UTF-8"

    def encode(self) -> bytes:
        """The body as bytes."""
        if self.raw is not None:
            return self.raw
        if self.json is None:
            return b""
        return json.dumps(self.json, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


@dataclass(slots=True)
class Call:
    """One request on its way to a handler.

    Attributes
    ----------
    path : dict
        Decoded path values by name.
    query : dict
        Decoded query values; the last one wins.
    headers : dict
        Lower-case names.
    now : datetime
        The sandbox clock's reading on arrival (aware UTC).
    token : Token or None
        Who asks (None on the admin host).
    """

    sandbox: Sandbox
    operation: Operation
    path: dict[str, str]
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    now: datetime
    token: Token | None = None
    _json: Any = _UNSET

    @property
    def tenant(self) -> Tenant:
        """The state."""
        return self.sandbox.tenant

    @property
    def choices(self) -> Choices:
        """What the reference leaves open."""
        return self.sandbox.choices

    @property
    def domain_id(self) -> int:
        """``domainId`` of the query, else the domain that the token belongs to.

        Raises
        ------
        ApiFault
            400 not a number; 403 another tenant's domain.
        """
        text = self.query.get("domainId", "")
        if not text:
            return self.tenant.domain_id
        if len(text) > 19 or not text.isascii() or not text.isdigit():
            raise bad("domainId is invalid.")
        value = int(text)
        if value not in self.tenant.domains:
            raise denied()
        return value

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises
        ------
        ApiFault
            400: not JSON, not UTF-8, too deep, a duplicate or NaN constant, or not an object.
        """
        if self._json is _UNSET:
            self._json = parse_json(self.body)
        if not isinstance(self._json, dict):
            raise bad("Request body must be a JSON object.")
        return self._json

    def put_json(self, value: Any) -> None:
        """Let `json` give this from now on: the body under other names (`old_names`)."""
        self._json = value

    def flag(self, name: str, default: bool) -> bool:
        """A boolean property of the body."""
        value = self.json().get(name, default)
        if not isinstance(value, bool):
            raise bad(f"{name} must be a boolean.")
        return value

    def int_query(self, name: str, default: int, *, low: int, high: int) -> int:
        """An integer of the query between `low` and `high`, else 400."""
        text = self.query.get(name, "")
        if not text:
            return default
        plain = len(text) < 20 and text.isascii() and text.isdigit()
        value = int(text) if plain else low - 1
        if not low <= value <= high:
            raise bad(f"{name} must be between {low} and {high}.")
        return value

    def page(
        self,
        key: str,
        items: Sequence[tuple[str, Any]],
        *,
        default: int = 100,
        maximum: int = 100,
        view: Callable[[Any], Any] | None = None,
        empty_above: bool = False,
    ) -> dict[str, Any]:
        """One page of a list: ``{key: […], "responseMetaData": {"nextCursor": …}}`` (part 1 §2.3).

        Parameters
        ----------
        items : sequence of (stable key, item)
            The whole list in its order.
        view : callable, optional
            Applied to the items of this page only.
        empty_above : bool
            ``count`` above the maximum gives an empty page as measured on ``/users``; else 400.
        """
        if empty_above and self.query.get("count", "").isdecimal() and _above(self.query["count"], maximum):
            return {key: [], "responseMetaData": {"nextCursor": None}}
        count = self.int_query("count", default, low=1, high=maximum)
        start = _position(self.query.get("cursor", ""), items)
        chosen = items[start : start + count]
        end = start + len(chosen)
        following = cursor_of(end, chosen[-1][0]) if chosen and end < len(items) else None
        shown = [view(item) if view else item for _, item in chosen]
        return {key: shown, "responseMetaData": {"nextCursor": following}}


def _above(text: str, maximum: int) -> bool:
    return len(text) > 9 or int(text) > maximum


def cursor_of(offset: int, key: str) -> str:
    """An opaque cursor whose text ends in ``==``."""
    raw = f"{offset}:{key}".encode()
    raw += b" " * ((1 - len(raw)) % 3)
    return base64.b64encode(raw).decode()


def _position(cursor: str, items: Sequence[tuple[str, Any]]) -> int:
    if not cursor:
        return 0
    try:
        offset_text, _, key = base64.b64decode(cursor, validate=True).decode().rstrip(" ").partition(":")
        offset = int(offset_text) if len(offset_text) < 12 else -1
    except (binascii.Error, ValueError):
        offset, key = -1, ""
    if offset < 0:
        raise bad("cursor is invalid.")
    if 0 < offset <= len(items) and items[offset - 1][0] == key:
        return offset
    for index, (name, _) in enumerate(items):  # the list changed in between: go on after the same item
        if name == key:
            return index + 1
    return min(offset, len(items))


def parse_json(body: bytes) -> Any:
    """Strict JSON: UTF-8 (a BOM is let through), no NaN, at most 64 levels deep."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise bad("Request body is not valid UTF-8.") from None
    if _depth(text) > MAX_DEPTH:
        raise bad("Request body is nested too deeply.")
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise bad("Request body is not valid JSON.") from None
    if "\\u" in text and not _clean(value):
        raise bad("Request body holds a character that is not allowed.")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _clean(value: Any) -> bool:
    """No NUL and no lone surrogate: neither can be stored nor sent back."""
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, dict):
        return all(_clean(key) and _clean(item) for key, item in value.items())
    return all(map(_clean, value)) if isinstance(value, list) else True


def _depth(text: str) -> int:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    inside = escaped = False
    for letter in text:
        if inside:
            if escaped:
                escaped = False
            elif letter == "\\":
                escaped = True
            elif letter == '"':
                inside = False
        elif letter == '"':
            inside = True
        elif letter in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "]}":
            depth -= 1
    return deepest
