"""External keys of a whole directory resource: listed with their ids, set up to 50 at a time.

Source: reference part 1 §2.2, §3, §4.8 (vendor pages user-external-key-…).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from bousai_kit.lineworks.base import Caller, InvalidContent, Json, external_key, quoted

__all__ = ["Keyed"]

_MOST = 50


class Keyed:
    """Members, org units, groups, levels, positions and user types: what they have in common."""

    _path: tuple[str, ...]
    _items: tuple[str, ...]
    """Names of the array in an answer; the first one in a request."""

    def __init__(self, client: Caller) -> None:
        self._client = client

    def external_keys(self, *, has_key: bool | None = None, count: int = 100) -> AsyncIterator[Json]:
        """``{domainId, id, name, externalKey}`` of all entries (members also ``email``)."""
        return self._client.pages(
            quoted(*self._path, "external-keys"),
            *self._items,
            params={"domainId": self._client.domain_id, "hasExternalKey": has_key},
            count=count,
        )

    async def set_external_keys(self, keys: Mapping[str, str | None]) -> None:
        """Set (or with None remove) the keys of 1–50 entries by their ids, all or none.

        Raises
        ------
        InvalidContent
            Too many, a key that the platform refuses, or one key twice; nothing was sent.
        """
        if not 1 <= len(keys) <= _MOST:
            raise InvalidContent(
                f"External Key は 1〜{_MOST} 件ずつ設定できます。", field=self._items[0], limit=_MOST
            )
        wanted = [key for key in keys.values() if key is not None]
        for key in wanted:
            external_key(key)
        if len(set(wanted)) != len(wanted):
            raise InvalidContent("同じ External Key が 2 回あります。", field="externalKey")
        entries = [{"id": id_, "externalKey": key} for id_, key in keys.items()]
        await self._client.call("POST", quoted(*self._path, "external-keys"), json={self._items[0]: entries})
