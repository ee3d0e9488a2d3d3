"""A founded, empty home to copy from: made once a session."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.onboarding.onlab import bench_at, new_home


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("founded") / "home"

    async def main() -> None:
        async with await bench_at(home):
            pass

    asyncio.run(main())
    return home


@pytest.fixture
def home(founded: Path, tmp_path: Path) -> Path:
    return new_home(founded, tmp_path / "home")
