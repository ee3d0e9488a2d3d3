"""Finding the scopes that an app has: right for every set of missing ones, and with few questions."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from bousai_kit.lineworks.scopes import find_granted
from bousai_kit.workbench import SCOPES


def ask(missing: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """What is found, and how many token requests that took, the token's own included."""
    asked: list[tuple[str, ...]] = []

    async def granted(part: tuple[str, ...]) -> bool:
        asked.append(part)
        return not set(part) & set(missing)

    found = asyncio.run(find_granted(SCOPES, granted))
    assert len(asked) == len(set(asked))
    assert () not in asked
    return found, len(asked) + (found not in asked)


@pytest.mark.parametrize("count", range(1, len(SCOPES) + 1))
def test_every_set_of_missing_scopes_is_found(count: int) -> None:
    most = 0
    for missing in itertools.combinations(SCOPES, count):
        found, cost = ask(missing)
        assert found == tuple(scope for scope in SCOPES if scope not in missing)
        most = max(most, cost)
    assert most <= (6 if count == 1 else 14)


def test_the_common_ones_are_cheap() -> None:
    assert ask(("board",))[1] == 1
    assert ask(("audit.read", "monitoring.read", "board"))[1] <= 6
