"""Which runs are still at work on this machine: each holds a lock on a file of its own while it lives.

A run that was killed has let go of its lock: whoever goes on need not wait until it would surely have ended.
Of a run whose file is not here (another machine, another home, a network drive) nothing is known.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from types import TracebackType
from typing import Self

from bousai_kit.ledger.volume import network_filesystem
from bousai_kit.locks import take_lock

__all__ = ["Living"]

_APPLY = re.compile(r"[A-Za-z0-9-]{1,80}")
_RUN = re.compile(r"[0-9a-f]{8}")


class Living:
    """Says of this run that it lives, while entered, and of others whether they do.

    Parameters
    ----------
    home : Path
        ``BOUSAI_HOME``.
    apply_id, run : str
        Of the journal.
    """

    def __init__(self, home: Path, apply_id: str, run: str) -> None:
        self._folder = home / "runs"
        self._apply_id = apply_id
        self._run = run
        self._file: int | None = None
        self._over: set[str] = set()
        self._known = bool(_APPLY.fullmatch(apply_id)) and network_filesystem(self._folder) is None

    def __enter__(self) -> Self:
        if self._known:
            with contextlib.suppress(OSError):  # no lock, no word: the others wait their time
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._file = self._take(self._run, os.O_CREAT | os.O_EXCL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
            if kind is None:  # else something of it may be open, and its file says that it is over
                self._sweep()

    def _sweep(self) -> None:
        """Nothing is open any more of any run of this apply that is over."""
        for path in self._folder.glob(f"{self._apply_id}.*.lock"):
            run = path.name.split(".")[-2]
            if run == self._run or self.is_over(run):
                with contextlib.suppress(OSError):
                    path.unlink()

    def is_over(self, run: str) -> bool:
        """A run of this home has certainly ended; False: it lives, or nobody knows."""
        if run in self._over:
            return True
        if not self._known or run == self._run or not _RUN.fullmatch(run):
            return False
        try:
            file = self._take(run)
        except OSError:  # no such run here
            return False
        if file is None:
            return False
        os.close(file)
        self._over.add(run)
        return True

    def _path(self, run: str) -> Path:
        return self._folder / f"{self._apply_id}.{run}.lock"

    def _take(self, run: str, flags: int = 0) -> int | None:
        """The locked file; None: somebody holds it."""
        file = os.open(self._path(run), os.O_RDWR | flags, 0o600)
        try:
            if take_lock(file):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        return None
