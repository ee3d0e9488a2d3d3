"""Boards: posts, must-read, and the only place of the platform that says who has read something.

Source: reference part 2 §9.1 (vendor pages board-…). 60 requests a minute.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from bousai_kit.lineworks.base import Caller, Json, as_object, quoted

__all__ = ["Boards"]


class Boards:
    """Boards and their posts; ids are 64-bit integers."""

    def __init__(self, client: Caller) -> None:
        self._client = client

    def list(self) -> AsyncIterator[Json]:
        """All boards."""
        return self._client.pages("/boards", "boards", count=40, most=40)

    async def get(self, board_id: int) -> Json:
        """One board."""
        return await self._object("GET", quoted("boards", board_id))

    def posts(self, board_id: int, *, count: int = 40) -> AsyncIterator[Json]:
        """Posts of a board, with ``readCount`` and ``isUnread``."""
        return self._client.pages(quoted("boards", board_id, "posts"), "posts", count=count, most=40)

    def must_read(self) -> AsyncIterator[Json]:
        """Must-read posts."""
        return self._client.pages("/boards/must/posts", "posts", count=40, most=40)

    def recent(self) -> AsyncIterator[Json]:
        """Posts of the last 30 days."""
        return self._client.pages("/boards/recent/posts", "posts", count=40, most=40)

    async def post(
        self, board_id: int, *, title: str, body: str, more: Mapping[str, Any] | None = None
    ) -> Json:
        """Write a post (`body` is HTML); `more` for further documented properties."""
        return await self._object(
            "POST",
            quoted("boards", board_id, "posts"),
            {"title": title, "body": body, **(more or {})},
        )

    async def replace_post(
        self, board_id: int, post_id: int, *, title: str, body: str, more: Mapping[str, Any] | None = None
    ) -> Json:
        """Replace a post: what `more` leaves out falls back to its default."""
        return await self._object(
            "PUT",
            quoted("boards", board_id, "posts", post_id),
            {"title": title, "body": body, **(more or {})},
        )

    async def get_post(self, board_id: int, post_id: int) -> Json:
        """One post."""
        return await self._object("GET", quoted("boards", board_id, "posts", post_id))

    async def delete_post(self, board_id: int, post_id: int) -> None:
        """Delete a post."""
        await self._object("DELETE", quoted("boards", board_id, "posts", post_id))

    def readers(self, board_id: int, post_id: int, *, count: int = 5000) -> AsyncIterator[Json]:
        """``{userId, userName, isRead}`` of everybody concerned; a flag, no time."""
        return self._client.pages(
            quoted("boards", board_id, "posts", post_id, "readers"),
            "readers",
            count=count,
            most=5000,
        )

    async def _object(self, method: str, path: str, body: Json | None = None) -> Json:
        return as_object((await self._client.call(method, path, json=body)).json())
