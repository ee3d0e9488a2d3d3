"""What the API families need from the client, and how ids become paths."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from bousai_kit.clock import Clock
from bousai_kit.errors import BousaiKitError

__all__ = ["Caller", "InvalidContent", "Json", "Reply", "as_object", "external_key", "quoted"]

Json = dict[str, Any]


_KEY_LENGTH = 100
_KEY_FORBIDDEN = "%\\#/?"


class InvalidContent(BousaiKitError, ValueError):
    """Something was about to be sent that the platform refuses; nothing was sent.

    Attributes
    ----------
    field : str
        The vendor's name of the property, with its place (``"actions[3].label"``).
    limit : int or None
        The limit that was passed, where there is one.
    """

    default_hint = "内容を直してから、もう一度実行してください。"

    def __init__(self, message: str, *, field: str, limit: int | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.limit = limit


class Reply(Protocol):
    """What a call gives back."""

    @property
    def status(self) -> int: ...
    @property
    def content(self) -> bytes: ...
    @property
    def requested_at(self) -> datetime: ...
    @property
    def answered_at(self) -> datetime: ...
    @property
    def server_date(self) -> datetime | None: ...
    def json(self) -> Any: ...


class Caller(Protocol):
    """The client as the families see it."""

    domain_id: int
    clock: Clock

    async def call(
        self,
        method: str,
        path: str,
        *,
        operation: str | None = None,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        priority: int = 0,
        safe: bool | None = None,
        again: bool = False,
        leave_by: datetime | None = None,
    ) -> Reply: ...

    async def upload(self, url: str, *, name: str, content: bytes, part: str, operation: str) -> Reply: ...

    def pages(
        self,
        path: str,
        *items: str,
        operation: str | None = None,
        params: Mapping[str, Any] | None = None,
        count: int = 100,
        most: int = 100,
        priority: int = 0,
        again: bool = False,
    ) -> AsyncIterator[Any]: ...


def quoted(*segments: str | int) -> str:
    """A path with every value encoded (``@`` as %40, ``:`` as %3A).

    Raises
    ------
    ValueError
        A segment is empty, or would climb (``.``, ``..``).
    """
    parts = [str(segment) for segment in segments]
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("ID が空です。")
    return "".join("/" + quote(part, safe="") for part in parts)


def external_key(key: str) -> str:
    """The id form ``externalKey:…`` of a member, org unit, group, level or position.

    Raises
    ------
    InvalidContent
        Longer than 100 characters, empty, or with one of ``% \\ # / ?``.
    """
    if not key or len(key) > _KEY_LENGTH:
        raise InvalidContent(
            f"External Key は 1〜{_KEY_LENGTH} 文字です（{len(key)} 文字）。",
            field="externalKey",
            limit=_KEY_LENGTH,
        )
    bad = sorted(set(key) & set(_KEY_FORBIDDEN))
    if bad:
        raise InvalidContent(f"External Key に使えない文字があります: {' '.join(bad)}", field="externalKey")
    return f"externalKey:{key}"


def as_object(body: Any) -> Json:
    """A decoded answer where an object is expected; ``{}`` when it is empty or something else."""
    return body if isinstance(body, dict) else {}
