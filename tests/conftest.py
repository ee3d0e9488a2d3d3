"""A founded, empty home to copy from: made once a session, as making a key takes longer than most tests."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
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


@pytest.fixture
def swift(tmp_path: Path) -> Iterator[Path]:
    """A folder on which a commit waits for no disk, where there is one: for hundreds of small homes."""
    from tests.onboarding.onlab import in_memory

    if in_memory() is None:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="bousai-test-", dir=in_memory()) as folder:
        yield Path(folder)
