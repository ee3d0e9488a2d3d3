"""Where a tenant is kept: one SQLite file, written before each answer leaves.

``synchronous`` is off: what was answered survives the death of this process (kill −9), which is what the
sandbox promises, not the death of the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from bousai_kit.errors import ConfigError
from bousai_kit.sandbox.tenant import Entity, Tenant

__all__ = ["Store", "read_clock"]

VERSION = "1"
BLOCK = 256


class Store:
    """The file of one tenant.

    Parameters
    ----------
    path : Path
        Made with mode 0600, its folder with 0700.

    Raises
    ------
    ConfigError
        The file is not a tenant, of a later version, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
        except (OSError, sqlite3.OperationalError):
            raise _unwritable(path) from None
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=OFF")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS entity"
                " (id INTEGER PRIMARY KEY, tbl TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL,"
                " UNIQUE (tbl, key))"
            )
            self._db.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('version', ?)", (VERSION,))
            version = self.meta("version")
        except sqlite3.DatabaseError as error:
            self._db.close()
            broken = not isinstance(error, sqlite3.OperationalError) or "no such column" in str(error)
            raise (_unusable if broken else _unwritable)(path) from None
        if version != VERSION:
            self._db.close()
            raise _unusable(path)
        self._reading: datetime | None = None

    def meta(self, name: str) -> str | None:
        """A named text."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def reading(self) -> datetime | None:
        """The clock's last reading, or what was promised it would not pass, whichever is later."""
        return _later(self.meta("reading"), self.meta("promise"))

    def promise(self, until: datetime | None) -> None:
        """Store a moment that the clock will not pass before the next promise (None: takes it back).

        A process that is killed between two changes leaves a reading that is too early; its successor's
        clock begins at the promise instead.
        """
        if until is None:
            self._db.execute("DELETE FROM meta WHERE name = 'promise'")
        else:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('promise', ?)", (until.isoformat(),))

    def empty(self) -> bool:
        """Whether no tenant is in it yet."""
        return self._db.execute("SELECT 1 FROM entity LIMIT 1").fetchone() is None

    def load(self, tenant: Tenant) -> None:
        """Fill a tenant from the file."""
        try:
            tenant.load(self._rows())
        except (sqlite3.DatabaseError, ValueError, KeyError, TypeError):
            raise _unusable(self.path) from None

    def _rows(self) -> Iterator[tuple[str, str, Entity]]:
        """In blocks: names of properties are then shared, and 30,000 members take 60 MB less."""
        found = self._db.execute("SELECT tbl, key, body FROM entity ORDER BY id")
        while block := found.fetchmany(BLOCK):
            entities = json.loads(f"[{','.join(body for _, _, body in block)}]")
            for (table, key, _), entity in zip(block, entities, strict=True):
                if type(entity) is not dict:
                    raise ValueError("not an entity")
                yield table, key, entity

    def save(self, tenant: Tenant, now: datetime) -> None:
        """Write what has changed and the clock's reading, in one transaction."""
        if not tenant.dirty and now == self._reading:
            return
        changed = dict(tenant.dirty)
        gone = [name for name, taken in changed.items() if taken]
        puts = (
            (table, key, _dump(entity)) for table, key, entity in tenant.take_dirty() if entity is not None
        )
        try:
            self._write(puts, gone, now)
        except BaseException:
            later = {name: taken or changed.get(name, False) for name, taken in tenant.dirty.items()}
            tenant.dirty = {**changed, **later}
            raise
        self._reading = now

    def _write(
        self, puts: Iterator[tuple[str, str, str]], gone: list[tuple[str, str]], now: datetime
    ) -> None:
        """All of it or nothing; what was taken away first: if it came back, then at the end of its table."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            if gone:
                db.executemany("DELETE FROM entity WHERE tbl = ? AND key = ?", gone)
            db.executemany(  # one by one: the whole of a large tenant as text would need its memory twice
                "INSERT INTO entity (tbl, key, body) VALUES (?, ?, ?)"
                " ON CONFLICT (tbl, key) DO UPDATE SET body = excluded.body",
                puts,
            )
            db.execute("INSERT OR REPLACE INTO meta VALUES ('reading', ?)", (now.isoformat(),))
            db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise _unwritable(self.path) from None
            raise

    def close(self) -> None:
        """Give the file back; safe to call twice."""
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()


def read_clock(path: Path) -> datetime | None:
    """The stored reading of a tenant's file, without running or changing it; None when there is none."""
    if not path.is_file():
        return None
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
        try:
            found = dict(db.execute("SELECT name, value FROM meta WHERE name IN ('reading', 'promise')"))
        finally:
            db.close()
        return _later(found.get("reading"), found.get("promise"))
    except (sqlite3.Error, ValueError):
        return None


def _later(*readings: str | None) -> datetime | None:
    return max((datetime.fromisoformat(text) for text in readings if text is not None), default=None)


_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _unwritable(path: Path) -> ConfigError:
    return ConfigError(
        f"練習用テナントのファイル（{path.name}）に書き込めません。",
        setting="BOUSAI_HOME",
        hint=f"フォルダ「{path.parent}」の権限とディスクの空き容量を確認してから、もう一度実行してください。",
    )


def _unusable(path: Path) -> ConfigError:
    return ConfigError(
        f"練習用テナントのファイル（{path.name}）を読めません。",
        setting="BOUSAI_HOME",
        hint=f"壊れているか、別の版のものです。フォルダ「{path.parent}」を別の場所に移してから、もう一度実行してください。",
    )
