"""The list of stored exports: one JSON line each, appended and flushed, never changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from bousai_kit.errors import ConfigError, os_reason

__all__ = ["Entry", "Manifest", "sha256_file", "stamp"]

_PART = ".part-"


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored export.

    Attributes
    ----------
    file : str
        Path inside the archive, with ``/``.
    since, until : datetime
        The window that was asked for.
    size : int
        Bytes.
    complete : bool
        False: the vendor's trailer, or no CSV.
    pulled_at : datetime
        When it was asked for; rows younger than the log delay may be missing.
    """

    file: str
    service: str
    since: datetime
    until: datetime
    sha256: str
    size: int
    rows: int
    complete: bool
    pulled_at: datetime

    def as_json(self) -> dict[str, Any]:
        """One line of the manifest; also the body of ``export.pulled``."""
        return {
            "file": self.file,
            "service": self.service,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "sha256": self.sha256,
            "size": self.size,
            "rows": self.rows,
            "complete": self.complete,
            "pulled_at": self.pulled_at.isoformat(),
        }

    @classmethod
    def from_json(cls, body: Any) -> Entry:
        """Read a line back.

        Raises
        ------
        ValueError, KeyError, TypeError
            It is none.
        """
        name = PurePosixPath(body["file"])
        if name.is_absolute() or len(name.parts) != 2 or ".." in name.parts or "\\" in body["file"]:
            raise ValueError("not a path inside the archive")
        times = [datetime.fromisoformat(body[key]) for key in ("since", "until", "pulled_at")]
        if any(time.tzinfo is None for time in times):
            raise ValueError("a time without offset")
        return cls(
            str(name), str(body["service"]), times[0], times[1], str(body["sha256"]), int(body["size"]),
            int(body["rows"]), bool(body["complete"]), times[2],
        )  # fmt: skip


class Manifest:
    """Stores exports and knows which of them may be trusted.

    Parameters
    ----------
    folder : Path
        ``BOUSAI_HOME/archive``; made on the first store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "manifest.jsonl"

    def entries(self) -> list[Entry]:
        """All lines that can be read, oldest first."""
        return self._read()[0]

    def _read(self) -> tuple[list[Entry], list[int]]:
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return [], []
        entries, bad = [], []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entries.append(Entry.from_json(json.loads(line)))
            except (ValueError, KeyError, TypeError):
                if number < len(lines):  # the very last one, without a line end, is a killed process's
                    bad.append(number)
        return entries, bad

    def store(self, entry: Entry, raw: bytes, *, settled_at: datetime) -> Entry:
        """Keep an export; the entry that is in force afterwards.

        The same bytes for the same window are not stored again. Their line is, until they have been asked for
        after `settled_at`: a later one says that nothing more has appeared.

        Raises
        ------
        ConfigError
            The archive cannot be written.
        """
        target = self.folder / entry.file
        try:
            self._folders(target.parent)
            earlier = [one for one in self.entries() if one.file == entry.file and one.sha256 == entry.sha256]
            there = bool(earlier) and target.is_file() and sha256_file(target) == entry.sha256
            if there:
                last = max(earlier, key=lambda one: one.pulled_at)
                if last.pulled_at >= min(settled_at, entry.pulled_at):
                    return last
            if there:
                self._append(entry)
                return entry
            for _ in range(3):  # another process may tidy the temporary file away in between
                part = self._write_part(target.parent, raw)
                self._append(entry)
                try:
                    os.replace(part, target)
                except FileNotFoundError:
                    if target.is_file():
                        break
                    continue
                break
            _flush_folder(target.parent)
        except OSError as error:
            raise ConfigError(
                f"ログの保管先に書き込めません（{os_reason(error)}）。",
                setting="BOUSAI_HOME",
                hint="BOUSAI_HOME の場所、権限、ディスクの空き容量を確認してください。",
            ) from None
        return entry

    def _folders(self, inner: Path) -> None:
        for folder in (self.folder, inner):
            if not folder.is_dir():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _write_part(self, folder: Path, raw: bytes) -> Path:
        part = folder / f"{_PART}{secrets.token_hex(8)}"
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            with open(handle, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        return part

    def _append(self, entry: Entry) -> None:
        line = json.dumps(entry.as_json(), ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        handle = os.open(self.path, flags, 0o600)
        try:
            size = os.fstat(handle).st_size
            if size:
                os.lseek(handle, size - 1, os.SEEK_SET)
                if os.read(handle, 1) != b"\n":  # a killed process's half line: end it, it stays unread
                    line = b"\n" + line
            os.write(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)

    def mend(self) -> None:
        """Complete what a killed process had written down, remove what it had not."""
        if not self.folder.is_dir():
            return
        missing = {
            (one.size, one.sha256): self.folder / one.file
            for one in self.entries()
            if not (self.folder / one.file).exists()
        }
        for part in self.folder.glob(f"*/{_PART}*"):
            with contextlib.suppress(OSError):
                target = missing.get((part.stat().st_size, sha256_file(part)))
                if target is not None:
                    os.replace(part, target)
                else:
                    part.unlink()

    def check(self) -> tuple[list[str], dict[str, str]]:
        """What is wrong (Japanese sentences), and the hash of every listed file."""
        entries, bad = self._read()
        listed = {one.file: one.sha256 for one in entries}
        parts = {(part.stat().st_size, sha256_file(part)) for part in self.folder.glob(f"*/{_PART}*")}
        broken = [f"manifest.jsonl {number} 行目：読み取れません" for number in bad]
        for one in {entry.file: entry for entry in entries}.values():
            path = self.folder / one.file
            try:
                if sha256_file(path) != one.sha256:
                    broken.append(f"{one.file}：内容が取得時と異なります（SHA-256 が一致しません）")
            except FileNotFoundError:
                if (one.size, one.sha256) not in parts:  # else: whole, only its name is still due
                    broken.append(f"{one.file}：ファイルがありません")
            except OSError as error:
                broken.append(f"{one.file}：読めません（{os_reason(error)}）")
        if len({(one.file, one.sha256) for one in entries}) != len(listed):
            broken.append("manifest.jsonl：同じファイルに異なるハッシュがあります")
        for path in sorted(self.folder.glob("*/*")):
            name = path.relative_to(self.folder).as_posix()
            if not path.name.startswith(_PART) and name not in listed:
                broken.append(f"{name}：目録にないファイルです")
        return broken, listed


def sha256_file(path: Path) -> str:
    """Hex digest, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stamp(moment: datetime) -> str:
    """A time as part of a file name: ``20270117T000000Z``."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _flush_folder(folder: Path) -> None:
    """Make a new name survive a power cut (not needed, nor possible, on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
