"""Decipher what a refusal says: three error shapes, one error tree. Pure.

The API host answers ``{"code", "description"}``; the auth host ``{"error", "error_description"}`` or
``{"returnCode", "returnMessage"}``; proxies and storage hosts plain text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from bousai_kit.errors import (
    ApiError,
    AuthRejected,
    Conflict,
    ForeignLocation,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    PermissionDenied,
    ProtocolViolation,
    RateLimited,
    ServiceUnavailable,
    TransportFailed,
)
from bousai_kit.lineworks.retry import Fate

__all__ = [
    "PAGE_HINT",
    "Problem",
    "build_error",
    "foreign_location",
    "in_doubt",
    "is_page",
    "public_path",
    "read_problem",
    "strange",
    "unreached",
]

PAGE_HINT = (
    "庁内のプロキシや通信検査装置が返したページと思われるので、ブラウザでの認証、HTTPS_PROXY、"
    "BOUSAI_API_URL を確認してください。"
)
_SHAPES = (("code", "description"), ("error", "error_description"), ("returnCode", "returnMessage"))
_OPAQUE = re.compile(r"[A-Za-z0-9+/_=.\-]{60,}")  # a token or an assertion echoed back
_AT = frozenset("@＠")
_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: AuthRejected,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """The vendor's ``code`` and ``description``, cleaned; "" where the answer has none."""

    code: str
    description: str


def read_problem(content: bytes) -> Problem:
    """Read an error body of any of the three shapes, or plain text; never raises."""
    text = content[:20_000].decode("utf-8", "replace")
    try:
        body: Any = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, Mapping):
        for code, description in _SHAPES:
            if body.get(code) not in (None, ""):
                return Problem(_clean(body[code], 80), _clean(body.get(description), 300))
    if "<html" in text.lower():
        return Problem("", "")
    return Problem("", _clean(text, 200))


def _clean(value: object, length: int) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool):
        return ""
    flat = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return _OPAQUE.sub("…", flat)[:length]


def public_path(path: str) -> str:
    """A path as it may be shown: ids stay, login ids (they hold names) and queries do not."""
    plain = path.partition("?")[0]
    return "/".join("{login}" if _AT & set(unquote(unquote(part))) else part for part in plain.split("/"))


def build_error(
    *,
    status: int,
    problem: Problem,
    method: str,
    path: str,
    retry_after_s: float | None = None,
    limit: int | None = None,
    remaining: int | None = None,
    hint: str | None = None,
) -> ApiError:
    """The error of the kit's tree for a status and the vendor's code (never for its text)."""
    code, description, shown = problem.code, problem.description, public_path(path)
    if status == 429:
        return RateLimited(
            code=code,
            description=description,
            method=method,
            path=shown,
            hint=hint,
            retry_after_s=retry_after_s,
            limit=limit,
            remaining=remaining,
        )
    if status >= 500:
        kind: type[ApiError] = ServiceUnavailable
    elif status == 403 and code.upper() == "UNAUTHORIZED":
        kind = AuthRejected
    else:
        kind = _BY_STATUS.get(status, InvalidRequest)
    return kind(status=status, code=code, description=description, method=method, path=shown, hint=hint)


def foreign_location(host: str) -> ForeignLocation:
    """The error of an answer that points to a host which may not see the token."""
    return ForeignLocation(
        f"LINE WORKS の応答が、許可されていない転送先「{host}」を指しています。追跡しません。", host=host
    )


def in_doubt(status: int | None, *, method: str, path: str) -> OutcomeUnknown:
    """The error of a request that may have taken effect; None: no answer came."""
    seen = "応答がありません" if status is None else f"{status} が返りました"
    return OutcomeUnknown(
        f"LINE WORKS に送信しましたが、{seen}。処理されたか分かりません。",
        method=method,
        path=public_path(path),
    )


def is_page(content: bytes, content_type: str = "") -> bool:
    """Tell whether this is a page for people: a proxy or a login page spoke, not the API."""
    if not content:
        return False
    head = content[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return "html" in content_type.lower() or head.startswith((b"<html", b"<!doctype html"))


def strange(status: int, *, page: bool) -> ProtocolViolation:
    """The error of an answer below 400 that is none: a detour without address, or a page for people."""
    if page:
        return ProtocolViolation(
            f"LINE WORKS の応答の代わりに、人が読むためのページ（{status}）が返りました。", hint=PAGE_HINT
        )
    return ProtocolViolation(f"LINE WORKS が想定外の応答（{status}）を返しました。")


def unreached(fate: Fate, whom: str, *, maybe_done: bool = False) -> TransportFailed:
    """The error of a request that got no answer and did nothing (`maybe_done`: an earlier try may have)."""
    if fate is Fate.UNTRUSTED:
        return TransportFailed(
            f"{whom}の証明書を確認できないため、接続しませんでした。",
            hint="庁内の通信検査装置やプロキシの証明書（PEM）を SSL_CERT_FILE に指定してください。"
            "端末の時計も確認してください。",
        )
    never = "" if maybe_done else "（送信されていません）"
    return TransportFailed(f"{whom}に接続できません{never}。")
