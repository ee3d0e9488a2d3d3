"""One process at a time on one folder: an advisory lock that ends with the process, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from bousai_kit.errors import ConfigError

__all__ = ["WAIT_S", "FolderLock"]

T = TypeVar("T")

WAIT_S = 10.0
LOOK_S = 0.1
OPEN_ELSEWHERE = (
    "すでに開いている画面を使うか、その端末で Ctrl-C を押して終了してから、もう一度実行してください。"
)
BUSY = (
    "そのコマンドの終了を待つか、ノートブックならカーネルを停止してから、もう一度実行してください。"
    "同時に使うときは `bousai lab` を起動しておきます。"
)
OWN = ("__main__.py", "bousai", "bousai.exe", "bousai.py")

_FAR = 1 << 30  # Windows locks bytes, and a locked byte cannot be read: lock one that is never written


class FolderLock:
    """The lock file of a folder.

    Parameters
    ----------
    path : Path
        Made with mode 0600; never removed (a removed lock file could be locked twice).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def __repr__(self) -> str:
        return f"<FolderLock {'held' if self.held else 'free'}>"

    @property
    def held(self) -> bool:
        """Whether this object holds it."""
        return self._file is not None

    def take(self) -> bool:
        """Try to get it, without waiting; notes who holds it.

        Raises
        ------
        ConfigError
            The folder's file system knows no locks.
        """
        if self._file is not None:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            if not _lock(file):
                os.close(file)
                return False
        except OSError:  # no lock of any kind to be had there
            os.close(file)
            raise ConfigError(
                f"フォルダ「{self.path.parent}」では、同時使用を防ぐロックを使えません。",
                setting="BOUSAI_HOME",
                hint="BOUSAI_HOME に、ネットワーク上ではなくこの端末の中のフォルダを指定してください。",
            ) from None
        self._file = file
        note = json.dumps({"pid": os.getpid(), "what": _what()}, ensure_ascii=False).encode()
        with contextlib.suppress(OSError):  # a full disk does not matter to a lock
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, note)
            os.ftruncate(file, len(note))
        return True

    async def wait(self, *, meanwhile: Callable[[], Awaitable[T | None]] | None = None) -> T | None:
        """Take it, waiting up to 10 s of the wall for whoever holds it.

        Parameters
        ----------
        meanwhile : callable, optional
            Called while it is held elsewhere; what it returns (not None) ends the waiting without the lock.

        Raises
        ------
        ConfigError
            Somebody else still holds it; says who and what to do.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT_S
        while not self.take():
            found = await meanwhile() if meanwhile is not None else None
            if found is not None:
                return found
            if loop.time() >= deadline:
                raise self._in_use()
            await asyncio.sleep(LOOK_S)
        return None

    def _in_use(self) -> ConfigError:
        holder = self.holder()
        pid = holder.get("pid")
        if pid == os.getpid():
            who = "このプログラム自身"
            hint = "先に開いたワークベンチを閉じる（await bench.close()）か、カーネルを再起動してください。"
        else:
            what = str(holder.get("what") or "別のプログラム")
            who = f"別のプロセス（{what}、PID {pid}）" if isinstance(pid, int) else "別のプロセス"
            hint = OPEN_ELSEWHERE if what in ("bousai lab", "bousai sandbox") else BUSY
        return ConfigError(
            f"練習用テナント（{self.path.parent}）は{who}が使用中です。", setting="BOUSAI_HOME", hint=hint
        )

    def release(self) -> None:
        """Give it back; safe to call twice."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)  # ends the lock

    def holder(self) -> dict[str, Any]:
        """``pid`` and ``what`` of whoever took it last; empty when that cannot be read."""
        try:
            found = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def is_free(self) -> bool:
        """Whether nobody holds it at this moment."""
        if self._file is not None:
            return False
        try:
            file = os.open(self.path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        except OSError:
            return True
        try:
            return _lock(file)
        except OSError:
            return True
        finally:
            os.close(file)


def _what() -> str:
    """How this process would be called by a person."""
    words = [Path(word).name for word in sys.argv[:2] if word and word[0] != "-"]
    if not words:
        return "python"
    if "ipykernel" in words[0]:
        return "ノートブック"
    return " ".join(["bousai", *words[1:]]) if words[0] in OWN else words[0]


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> bool:
        os.lseek(file, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
