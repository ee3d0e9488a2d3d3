"""One request as it stays through all its tries: path and query encoded once, its identity. Pure.

Source: reference part 1 §2.1, §2.2 (vendor pages api-call, directory).
"""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from bousai_kit.errors import TransportFailed
from bousai_kit.lineworks.memory import request_key
from bousai_kit.lineworks.retry import SAFE_METHODS
from bousai_kit.lineworks.routes import Turn, check_count, recognise

__all__ = ["Ask", "build_ask"]

_PATH_SAFE = "/-._~%"
_STRAY = re.compile(r"%(?![0-9A-Fa-f]{2})")


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
    turn : Turn or None
        What it may not overlap with.
    tells_names : bool
        Its answer tells which names mean the same member.
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
    turn: Turn | None = None
    tells_names: bool = False

    @property
    def key(self) -> str:
        """Its identity: equal for the same request."""
        return request_key(self.method, self.target, self.body)

    @property
    def bot(self) -> bool:
        """It administers a bot, which takes one such request at a time, whoever sends it."""
        return self.turn is not None and any(
            isinstance(key, tuple) and key[0] == "bot" for key in self.turn.keys
        )

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
    operation: str | None,
    params: Mapping[str, Any] | None,
    json: Any,
    priority: int,
    order: int,
    safe: bool | None,
    leave_by: datetime | None,
    domain_id: int,
) -> Ask:
    """Encode a request, and say what it is (`routes`).

    Raises
    ------
    ValueError
        The path is not made of encoded values, or a time has no zone.
    InvalidContent
        A page would be larger than documented.
    GuardError
        It would replace a member or a group (PUT).
    """
    method = method.upper()
    target = _target(path, params)
    route = recognise(method, path, json, domain_id=domain_id)
    check_count(route.operation, params)
    return Ask(
        method=method,
        path=path,
        target=target,
        body=None if json is None else _encode(json),
        operation=operation or route.operation,
        priority=priority,
        order=order,
        safe=method in SAFE_METHODS if safe is None else safe,
        leave_by=leave_by,
        turn=route.turn,
        tells_names=route.tells_names,
    )


def _target(path: str, params: Mapping[str, Any] | None) -> str:
    parts = path.split("/")
    if parts[0] or {"", ".", ".."} & set(parts[1:]) or {"?", "#"} & set(path) or _STRAY.search(path):
        raise ValueError("path は / で始め、値を quoted() で符号化してください。")
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


def _encode(body: Any) -> bytes:
    return jsonlib.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
