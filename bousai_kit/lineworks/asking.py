"""One request as it stays through all its tries: path and query encoded once, its identity. Pure.

Source: reference part 1 §2.1, §2.2 (vendor pages api-call, directory).
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from bousai_kit.errors import GuardError, TransportFailed
from bousai_kit.lineworks.memory import request_key
from bousai_kit.lineworks.retry import SAFE_METHODS

__all__ = ["Ask", "build_ask"]

_PATH_SAFE = "/-._~!$&'()*+,;=:@%"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes
    ----------
    method, path : str
    target : str
        Path and query as they are sent.
    body : bytes or None
        JSON.
    operation : str
        What the limit counts.
    priority, order : int
        Its place in the queue.
    safe : bool
        It may be repeated when no answer came.
    leave_by : datetime or None
        Later it is not sent any more.
    """

    method: str
    path: str
    target: str
    body: bytes | None = field(repr=False)
    operation: str
    priority: int
    order: int
    safe: bool
    leave_by: datetime | None = None

    @property
    def key(self) -> str:
        """Its identity: equal for the same request."""
        return request_key(self.method, self.target, self.body)

    def check_due(self, now: datetime) -> None:
        """Refuse to leave too late.

        Raises
        ------
        TransportFailed
            Its turn came after `leave_by`; nothing was sent.
        """
        if self.leave_by is not None and now > self.leave_by:
            raise TransportFailed(
                "LINE WORKS への送信の順番が、時間内に来ませんでした（送信されていません）。"
            )


def build_ask(
    method: str,
    path: str,
    *,
    operation: str,
    params: Mapping[str, Any] | None,
    json: Any,
    priority: int,
    order: int,
    safe: bool | None,
    leave_by: datetime | None = None,
) -> Ask:
    """Encode a request.

    Raises
    ------
    ValueError
        The path is not made of encoded values, or a time has no zone.
    GuardError
        A member or group would be replaced (PUT).
    """
    method = method.upper()
    return Ask(
        method=method,
        path=path,
        target=_target(method, path, params),
        body=None if json is None else jsonlib.dumps(json, ensure_ascii=False, allow_nan=False).encode(),
        operation=operation,
        priority=priority,
        order=order,
        safe=method in SAFE_METHODS if safe is None else safe,
        leave_by=leave_by,
    )


def _target(method: str, path: str, params: Mapping[str, Any] | None) -> str:
    parts = path.split("/")
    if parts[0] or {"", ".", ".."} & set(parts[1:]) or {"?", "#"} & set(path):
        raise ValueError("path は / で始め、値を quoted() で符号化してください。")
    if method == "PUT" and parts[1] in ("users", "groups"):
        raise GuardError(
            "メンバーとグループの全項目置き換え（PUT）は行いません。省略した項目が消えるためです。",
            hint="変更する項目だけを PATCH で送ってください。",
        )
    query = _encode_query(params)
    return quote(path, safe=_PATH_SAFE) + (f"?{query}" if query else "")


def _encode_query(params: Mapping[str, Any] | None) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in (params or {}).items():
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, datetime):
            if value.tzinfo is None:
                raise ValueError(f"{name}: 時刻にはタイムゾーンが必要です。")
            value = value.isoformat(timespec="seconds")
        pairs.append((name, str(value)))
    return urlencode(pairs, quote_via=quote, safe="")  # the `+` of an offset as %2B, `=` of a cursor as %3D
