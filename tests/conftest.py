"""A founded, empty home to copy from: made once a session, as making a key takes longer than most tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only to be copied."""
    from tests.onboarding.onlab import bench_at  # not before the root's conftest has cleared the settings

    home = tmp_path_factory.mktemp("founded") / "home"

    async def main() -> None:
        async with await bench_at(home):
            pass

    asyncio.run(main())
    return home


@pytest.fixture
def home(founded: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    from tests.onboarding.onlab import new_home

    return new_home(founded, tmp_path / "home")
