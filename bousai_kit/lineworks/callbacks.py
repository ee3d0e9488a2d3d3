"""Verify a callback's raw bytes, then parse them. Nothing but `CallbackRejected` is ever raised.

There is no retry, no event id and no message id; in a 1:1 room a ``message`` event has no channel.

Source: reference part 2 §4 (vendor pages bot-callback, bot-callback-…).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bousai_kit.errors import MalformedCallback, SignatureMismatch

__all__ = ["EVENT_TYPES", "Callback", "parse_callback", "sign"]

EVENT_TYPES = frozenset({"message", "postback", "join", "leave", "joined", "left", "begin", "end"})
_BY_PERSON = frozenset({"message", "postback", "begin", "end"})
_BY_ROOM = frozenset({"join", "leave", "joined", "left"})
_MAX_BYTES = 1 << 20
_ID_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Callback:
    """One event.

    Attributes
    ----------
    type : str
        One of `EVENT_TYPES`.
    user_id, channel_id : str or None
        ``channel_id`` is None for a ``message`` in a 1:1 room.
    domain_id : int or None
    issued_at : datetime
        The service's clock, aware UTC (milliseconds where it gives them).
    content : mapping
        Of a ``message``: ``type``, and ``text`` with ``postback`` when a button was tapped; else empty.
    data : str or None
        Of a ``postback``.
    members : tuple of str
        Of ``joined`` and ``left``.
    fingerprint : str
        SHA-256 over type, ids, time and content: equal for a duplicate of the same event.
    """

    type: str
    user_id: str | None
    channel_id: str | None
    domain_id: int | None
    issued_at: datetime
    content: Mapping[str, Any] = field(repr=False)
    data: str | None
    members: tuple[str, ...]
    fingerprint: str


def sign(raw: bytes, bot_secret: str) -> str:
    """Base64 of HMAC-SHA256 over the raw body, as ``X-WORKS-Signature`` carries it."""
    key = bot_secret.encode("utf-8", "surrogatepass")
    return base64.b64encode(hmac.new(key, raw, hashlib.sha256).digest()).decode()


def parse_callback(
    raw: bytes,
    headers: Mapping[str, str],
    *,
    bot_secret: str,
    bot_id: int,
    max_bytes: int = _MAX_BYTES,
) -> Callback:
    """Verify, then parse.

    Parameters
    ----------
    raw : bytes
        The body as it came.
    headers : mapping
        Any case of names.
    bot_secret : str
    bot_id : int
        The bot that is configured here.
    max_bytes : int
        A longer body is rejected before it is looked at.

    Raises
    ------
    SignatureMismatch
        The signature is missing, junk or another's, or the bot is another one.
    MalformedCallback
        Too large (``status`` 413), or not an event of the contract (400).
    """
    if len(raw) > max_bytes:
        raise MalformedCallback("コールバックの本文が大きすぎます。", status=413)
    signature = _header(headers, "x-works-signature")
    expected = sign(raw, bot_secret).encode() if bot_secret else b""
    if not expected or not hmac.compare_digest(expected, signature):
        raise SignatureMismatch("コールバックの署名が一致しません。")
    if not hmac.compare_digest(str(bot_id).encode(), _header(headers, "x-works-botid")):
        raise SignatureMismatch("コールバックの Bot が設定と異なります。")
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise MalformedCallback("コールバックの本文を JSON として読み取れません。") from None
    try:
        return _decipher(_mended(body))
    except RecursionError:
        raise MalformedCallback("コールバックの本文の入れ子が深すぎます。") from None


def _header(headers: Mapping[str, str], name: str) -> bytes:
    found = b""
    for key, value in headers.items():
        if isinstance(key, str) and isinstance(value, str) and key.lower() == name:
            found = value.strip().encode("utf-8", "surrogatepass")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # 1e999: nobody could store it
        raise ValueError(text[:20])
    return number


def _mended(value: Any) -> Any:
    """Half of a surrogate pair cannot be stored or shown; the rest of the event counts all the same."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    return value


def _decipher(body: Any) -> Callback:
    if not isinstance(body, dict):
        raise MalformedCallback("コールバックの本文がオブジェクトではありません。")
    kind = body.get("type")
    if not isinstance(kind, str) or kind not in EVENT_TYPES:
        raise MalformedCallback("コールバックの種類が分かりません。")
    source = body.get("source")
    if not isinstance(source, dict):
        raise MalformedCallback("コールバックに source がありません。")
    user_id, channel_id = _id(source, "userId"), _id(source, "channelId")
    if (kind in _BY_PERSON and user_id is None) or (kind in _BY_ROOM and channel_id is None):
        raise MalformedCallback("コールバックの source に必要な ID がありません。")
    domain = source.get("domainId")
    domain_id = domain if isinstance(domain, int) and not isinstance(domain, bool) else None
    issued = body.get("issuedTime")
    content: dict[str, Any] = {}
    if kind == "message":
        given = body.get("content")
        if not isinstance(given, dict) or not isinstance(given.get("type"), str):
            raise MalformedCallback("コールバックに content がありません。")
        content = given
        for name in ("text", "postback"):
            if not isinstance(content.get(name, ""), str | None):
                raise MalformedCallback(f"コールバックの content.{name} が文字列ではありません。")
    data = body.get("data")
    if not isinstance(data, str):
        if kind == "postback":
            raise MalformedCallback("コールバックに data がありません。")
        data = None
    members = body.get("members")
    if members is None:
        members = []
    if not isinstance(members, list) or not all(isinstance(m, str) and len(m) <= _ID_LENGTH for m in members):
        raise MalformedCallback("コールバックの members を読み取れません。")
    mark = json.dumps(
        [kind, user_id, channel_id, issued, content, data, members], sort_keys=True, separators=(",", ":")
    )
    return Callback(
        type=kind,
        user_id=user_id,
        channel_id=channel_id,
        domain_id=domain_id,
        issued_at=_moment(issued),
        content=content,
        data=data,
        members=tuple(members),
        fingerprint=hashlib.sha256(mark.encode()).hexdigest(),
    )


def _id(source: dict[str, Any], name: str) -> str | None:
    value = source.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _ID_LENGTH:
        raise MalformedCallback(f"コールバックの source.{name} を読み取れません。")
    return value


def _moment(issued: Any) -> datetime:
    """``YYYY-MM-DDThh:mm:ss[.SSS]Z`` (or with an offset) as aware UTC."""
    if isinstance(issued, str) and 19 <= len(issued) <= 40:
        try:
            moment = datetime.fromisoformat(issued)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise MalformedCallback("コールバックの issuedTime を読み取れません。")
