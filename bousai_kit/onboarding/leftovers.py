"""Files below ``BOUSAI_HOME`` that hold names and have served their time.

Rosters from a browser, drafts of rosters that nobody has saved, reminder lists, reviews of plans, rejected
rows. (A draft is removed when its roster is saved; plans that were applied stay, since an undo needs them.)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

__all__ = ["KEPT_FOR", "old_files_with_names"]

KEPT_FOR = timedelta(days=30)
_WHERE = (
    "uploads/*.csv",
    "uploads/*.xlsx",
    "uploads/drafts/*/*.json",
    "reminders/*.xlsx",
    "reviews/*.xlsx",
    "plans/*.rejected.csv",
)


def old_files_with_names(home: Path, *, now: datetime) -> list[tuple[Path, timedelta]]:
    """Those that nobody has written to for `KEPT_FOR`, with their age, the oldest first.

    Parameters
    ----------
    now : datetime
        Of the wall: the files' own times are.
    """
    found = [(path, now - at) for path, at in _files(home) if now - at >= KEPT_FOR]
    return sorted(found, key=lambda one: one[1], reverse=True)


def _files(home: Path) -> Iterator[tuple[Path, datetime]]:
    for pattern in _WHERE:
        for path in sorted(home.glob(pattern)):
            with contextlib.suppress(OSError):  # gone meanwhile
                if path.is_file():
                    yield path, datetime.fromtimestamp(path.stat().st_mtime, UTC)
