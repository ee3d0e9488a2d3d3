"""Unsaved edits of a roster, kept for their owner alone so that a kernel that ends takes none along."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bousai_kit.errors import InputError
from bousai_kit.files import write_private
from bousai_kit.sandbox.locks import FolderLock

__all__ = ["Drafts"]


class Drafts:
    """The drafts of one roster file; each table in front of somebody has its own, locked while it is open.

    Parameters
    ----------
    home : Path
        Of the workbench; drafts stand in ``uploads/drafts``, mode 0600.
    source : Path
        The roster.
    """

    def __init__(self, home: Path, source: Path) -> None:
        place = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:20]
        self._folder = home / "uploads" / "drafts" / place
        self._path = self._folder / f"{secrets.token_hex(6)}.json"
        self._lock = FolderLock(self._path.with_suffix(".lock"))

    def others(self) -> tuple[list[Path], int]:
        """Drafts that nobody holds any more, the newest first, and how many tables are open elsewhere."""
        left: list[Path] = []
        busy = 0
        for lock in self._folder.glob("*.lock"):
            if lock == self._lock.path:
                continue
            other = FolderLock(lock)
            if not other.take():
                busy += 1
                continue
            other.release()
            draft = lock.with_suffix(".json")
            if draft.exists():
                left.append(draft)
        return sorted(left, key=lambda path: path.stat().st_mtime_ns, reverse=True), busy

    def open(self) -> None:
        """Say that somebody edits this roster."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock.take()

    def write(self, draft: Mapping[str, Any]) -> None:
        """Keep what has not been saved; nothing to keep: no draft."""
        if draft["edited"] or draft["removed"] or draft["added"]:
            write_private(self._path, json.dumps(draft, ensure_ascii=False).encode())
        else:
            self._path.unlink(missing_ok=True)

    def read(self, path: Path) -> dict[str, Any]:
        """One of `others`.

        Raises
        ------
        InputError
            It cannot be read.
        """
        try:
            found = json.loads(path.read_bytes())
        except (OSError, ValueError):
            found = None
        if not isinstance(found, dict):
            raise InputError("下書きを読み取れません。", hint="「下書きを捨てる」を押してください。")
        return found

    def drop(self, path: Path | None = None) -> None:
        """Throw a draft away (default: the own one)."""
        (path or self._path).unlink(missing_ok=True)

    def close(self) -> None:
        """Nobody edits here any more; an unsaved draft stays and will be offered."""
        self._lock.release()
        if not self._path.exists():
            with contextlib.suppress(OSError):
                self._lock.path.unlink(missing_ok=True)
