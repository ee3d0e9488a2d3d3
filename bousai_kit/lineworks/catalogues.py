"""Levels, positions and user types: three catalogues of the same shape.

Source: reference part 1 §7 (vendor pages directory-…).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from bousai_kit.lineworks.base import Json, as_object, quoted
from bousai_kit.lineworks.keys import Keyed

__all__ = ["Levels", "Positions", "UserTypes"]

Body = Mapping[str, Any]


class _Catalogue(Keyed):
    """Levels, positions and user types are alike: endpoints as data.

    While the feature is off everything is refused (403, as far as known). The console may switch it on
    meanwhile: with `again` this is asked even if it was refused for good before.
    """

    def list(self, *, count: int = 100, again: bool = False) -> AsyncIterator[Json]:
        """All entries."""
        return self._client.pages(
            quoted(*self._path),
            *self._items,
            params={"domainId": self._client.domain_id},
            count=count,
            again=again,
        )

    async def get(self, entry_id: str) -> Json:
        """One entry."""
        answer = await self._client.call("GET", quoted(*self._path, entry_id))
        return as_object(answer.json())

    async def create(self, body: Body, *, again: bool = False) -> Json:
        """Create an entry."""
        answer = await self._client.call("POST", quoted(*self._path), json=dict(body), again=again)
        return as_object(answer.json())

    async def patch(self, entry_id: str, body: Body) -> Json:
        """Change what is in `body`."""
        answer = await self._client.call("PATCH", quoted(*self._path, entry_id), json=dict(body))
        return as_object(answer.json())

    async def delete(self, entry_id: str) -> None:
        """Delete an entry."""
        await self._client.call("DELETE", quoted(*self._path, entry_id))

    async def enable(self) -> None:
        """Switch the feature on for the domain."""
        await self._switch("enable")

    async def disable(self) -> None:
        """Switch the feature off for the domain."""
        await self._switch("disable")

    async def _switch(self, verb: str) -> None:
        await self._client.call("POST", quoted(*self._path, verb))


class Levels(_Catalogue):
    """職級 (``/directory/levels``)."""

    _path, _items = ("directory", "levels"), ("levels",)


class Positions(_Catalogue):
    """役職 (``/directory/positions``)."""

    _path, _items = ("directory", "positions"), ("positions",)


class UserTypes(_Catalogue):
    """利用権限タイプ (``/directory/user-types``)."""

    _path, _items = ("directory", "user-types"), ("userTypes", "employmentTypes")
