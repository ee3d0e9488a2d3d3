"""A lock on an open file that ends with its process, however that ends. Not for network drives."""

from __future__ import annotations

import os
import sys

__all__ = ["take_lock"]

_FAR = 1 << 30  # Windows locks bytes, and a locked byte cannot be read: lock one that is never written

if sys.platform == "win32":
    import msvcrt

    def take_lock(file: int) -> bool:
        """Try to lock a file (opened for writing) until it is closed; False: somebody else holds it."""
        os.lseek(file, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def take_lock(file: int) -> bool:
        """Try to lock a file until it is closed; False: somebody else holds it.

        Raises
        ------
        OSError
            The file system knows no locks.
        """
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
