"""A founded, empty home to copy from: made once a session, as making a key takes longer than most tests."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
ENOUGH = 50_000_000


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
    """A folder on which a commit waits for no disk, where there is one: for hundreds of small homes.

    What is committed is the same; a test in which a machine could lose power has no use for it.
    """
    usable = os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free > ENOUGH
    if not usable:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="bousai-test-", dir=MEMORY) as folder:
        yield Path(folder)
