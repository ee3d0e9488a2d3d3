"""Files that stand whole or not at all, whatever ends the process that writes them."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["sweep", "whole_file", "write_private", "write_whole"]

_NAME_KEPT = 40  # of a name: with the rest it stays below the 255 bytes of a file system


@contextlib.contextmanager
def whole_file(
    path: Path, *, private: bool = True, over: bool = True, like: Path | None = None
) -> Iterator[BinaryIO]:
    """Write beside and rename: another program sees the old file or the new one, never a part.

    Parameters
    ----------
    path : Path
        Its folder is made where there is none.
    private : bool
        For its owner alone (0600), from the first byte.
    over : bool
        Replace a file that is there.
    like : Path, optional
        The file whose permissions it gets in the end.

    Raises
    ------
    FileExistsError
        There is a file and `over` is False.
    OSError
        It cannot be written; ``filename`` is `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:_NAME_KEPT]}.{os.getpid()}.{secrets.token_hex(4)}.part")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(part, flags, 0o600 if private else 0o666), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if like is not None:
            shutil.copymode(like, part)
        if over:
            os.replace(part, path)
        else:
            _link(part, path)
    except OSError as error:
        if error.filename == str(part):
            error.filename = str(path)
            error.filename2 = None
        raise
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_whole(
    path: Path, content: bytes, *, private: bool = False, over: bool = True, like: Path | None = None
) -> Path:
    """`whole_file` of these bytes."""
    with whole_file(path, private=private, over=over, like=like) as file:
        file.write(content)
    return path


def write_private(path: Path, content: bytes) -> Path:
    """`write_whole` for its owner alone."""
    return write_whole(path, content, private=True)


def sweep(folder: Path) -> int:
    """Remove what a killed process left half written; how many files."""
    gone = 0
    for part in folder.glob(".*.part"):
        pid = part.name.split(".")[-3]
        if pid.isdecimal() and not _alive(int(pid)):
            with contextlib.suppress(OSError):  # Windows keeps what is open
                part.unlink(missing_ok=True)
                gone += 1
    return gone


def _link(part: Path, path: Path) -> None:
    """Give the written file its name, unless another file has it."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except (OSError, AttributeError):  # a file system without links
        if path.exists():
            raise FileExistsError(path) from None
        os.rename(part, path)


def _alive(pid: int) -> bool:
    if os.name != "posix":
        return False  # an open file cannot be removed there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
