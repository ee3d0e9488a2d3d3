"""Paged lists: decipher one page, know when there is no next one, walk them all.

Source: reference part 1 §2.3.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from bousai_kit.errors import ProtocolViolation
from bousai_kit.lineworks.base import Reply

__all__ = ["decipher_page", "walk"]


async def walk(
    call: Callable[..., Awaitable[Reply]],
    path: str,
    names: Sequence[str],
    *,
    operation: str | None,
    params: Mapping[str, Any] | None,
    count: int,
    most: int,
    priority: int,
    again: bool,
) -> AsyncIterator[Any]:
    """All items of a paged list, page by page.

    Parameters
    ----------
    call : callable
        `LineWorksClient.call`.
    path : str
    names : sequence of str
        Names of the array; the first that is there counts.
    count, most : int
        Items a page, and the most that the operation documents.

    Raises
    ------
    ValueError
        `count` lies outside 1..`most` (the live service answers an empty page then).
    ProtocolViolation
        The list is no list, or its cursor does not move on.
    """
    if not 1 <= count <= most:
        raise ValueError(f"count は 1〜{most} で指定してください。")
    query = dict(params or {}, count=count)
    seen: set[str] = set()
    while True:
        answer = await call("GET", path, operation=operation, params=query, priority=priority, again=again)
        found, cursor = decipher_page(answer.json(), names)
        for item in found:
            yield item
        if cursor is None:
            return
        if cursor in seen:
            raise ProtocolViolation("LINE WORKS の一覧が終わりません（同じカーソルが返されました）。")
        seen.add(cursor)
        query["cursor"] = cursor


def decipher_page(body: Any, names: Sequence[str]) -> tuple[list[Any], str | None]:
    """The items of a page, and the next page's cursor (None: this was the last).

    Parameters
    ----------
    body
        The decoded answer.
    names : sequence of str
        Possible names of the array; the first that is there counts. A text or object counts as one item.

    Raises
    ------
    ProtocolViolation
        It does not look like a list at all. (An empty list may be null; a missing one would make a tenant
        look empty.)
    """
    if not isinstance(body, dict) or not ({*names, "responseMetaData"} & body.keys()):
        raise ProtocolViolation("LINE WORKS の一覧の形式が想定と異なります。")
    found: Any = next((body[name] for name in names if body.get(name) is not None), [])
    if not isinstance(found, list | dict | str):
        raise ProtocolViolation("LINE WORKS の一覧の形式が想定と異なります。")
    meta = body.get("responseMetaData")
    cursor = meta.get("nextCursor") if isinstance(meta, dict) else None
    return (found if isinstance(found, list) else [found]), None if cursor in (None, "") else str(cursor)
