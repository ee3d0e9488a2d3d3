"""Is this folder on another machine? SQLite's locks and shared memory do not work there."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

__all__ = ["network_filesystem"]

_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ncpfs?|ceph|glusterfs|lustre|gpfs|beegfs|orangefs|pvfs2|davfs|coda"
    r"|fuse\.(sshfs|rclone|s3fs|glusterfs|ceph.*|davfs2?|gvfsd-fuse|smbnetfs|goofys|gcsfuse|blobfuse2?|curlftpfs|juicefs)"
)
_OCTAL = re.compile(r"\\([0-7]{3})")
_DRIVE_REMOTE = 4


def network_filesystem(
    path: Path, *, mountinfo: str | None = None, platform: str = sys.platform
) -> str | None:
    """Type of the network file system that a path is on, or None.

    Parameters
    ----------
    path : Path
        A file that may not exist yet.
    mountinfo : str, optional
        Text in the form of ``/proc/self/mountinfo``; default: that file (Linux).
    platform : str
        As `sys.platform`.

    Notes
    -----
    Linux: the longest mount point that holds the path. Windows: UNC paths and drives mapped to a server.
    Elsewhere nothing is known and None is returned.
    """
    if platform == "win32":
        return _windows(str(path))
    if mountinfo is None:
        if not platform.startswith("linux"):
            return None
        try:
            mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
    kind = _mounted(os.path.realpath(path), mountinfo)
    return kind if kind is not None and _NETWORK.fullmatch(kind) else None


def _mounted(real: str, mountinfo: str) -> str | None:
    best, kind = -1, None
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields = left.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # a later mount on the same point hides the earlier one
            best, kind = len(point), right.split(" ", 1)[0]
    return kind


def _windows(path: str) -> str | None:
    text = path.replace("/", "\\")
    if text.upper().startswith("\\\\?\\UNC\\"):
        return "UNC"
    if text.startswith("\\\\") and not text.startswith(("\\\\?\\", "\\\\.\\")):
        return "UNC"
    drive = text.removeprefix("\\\\?\\")[:2]
    if len(drive) == 2 and drive[1] == ":" and sys.platform == "win32":
        import ctypes

        if ctypes.windll.kernel32.GetDriveTypeW(drive + "\\") == _DRIVE_REMOTE:
            return "SMB"
    return None
