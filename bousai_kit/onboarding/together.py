"""Several coroutines at once: the first failure ends the others and comes out alone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["together"]


async def together(*works: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run them side by side; their results in the order given.

    Raises
    ------
    BaseException
        What the first of them raised: no group, so that a person is told what happened.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as failed:
        first: BaseException = failed
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
    return [task.result() for task in tasks]
