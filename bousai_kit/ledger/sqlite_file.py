"""One SQLite file as a place for a ledger: made, opened, locked, and what its errors mean."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bousai_kit.errors import LedgerCorrupt, LedgerError, LedgerUnavailable
from bousai_kit.ledger.volume import network_filesystem

__all__ = ["BUSY", "SqliteFile", "code"]

FORMAT = 1
APPLICATION_ID = 0x424B4C31  # "BKL1"
PATIENCE_S = 10.0
LOG_BYTES = 1000 * (4096 + 24) + 32  # SQLite starts its log anew after 1,000 pages

_SCHEMA = (
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE events(seq INTEGER PRIMARY KEY, recorded_at INTEGER NOT NULL, "
    "stream TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL, once TEXT, "
    "salt TEXT NOT NULL, content TEXT, prev_hash TEXT NOT NULL, hash TEXT NOT NULL)",
    "CREATE UNIQUE INDEX events_once ON events(once) WHERE once IS NOT NULL",
    "CREATE TABLE places(stream TEXT NOT NULL, kind TEXT NOT NULL, block INTEGER NOT NULL, "
    "PRIMARY KEY(stream, kind, block)) WITHOUT ROWID",
)
BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class SqliteFile:
    """The file of a ledger.

    Parameters
    ----------
    path : Path
        Created, with its folders (0700) and as 0600, if need be.
    patience_s : float
        How long to wait for another process that is writing.

    Raises
    ------
    LedgerUnavailable
        The path is on a network file system.
    """

    def __init__(self, path: Path, *, patience_s: float = PATIENCE_S) -> None:
        self.path = path
        self.patience_s = patience_s
        kind = network_filesystem(path)
        if kind is not None:
            raise LedgerUnavailable(
                f"台帳の置き場所（{path.parent}）はネットワーク上のファイルシステム（{kind}）です。",
                hint="BOUSAI_HOME または BOUSAI_LEDGER_URL を、"
                "この端末のディスク上のフォルダに変えてください。",
            )

    def create(self) -> None:
        """Make the file and its folders, private."""
        _create_private(self.path)

    def connect(self) -> sqlite3.Connection:
        """A connection, ready to read."""
        db = sqlite3.connect(
            self.path, timeout=self.patience_s, isolation_level=None, check_same_thread=False
        )
        try:
            self._refuse_foreign(db)
            db.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone does not reach the disk
            db.execute("PRAGMA checkpoint_fullfsync = ON")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")
            mode = db.execute("PRAGMA journal_mode").fetchone()
            if mode != ("wal",):
                self._until_free(lambda: db.execute("PRAGMA journal_mode = WAL").fetchone(), self.patience_s)
        except BaseException:
            db.close()
            raise
        return db

    def connect_writer(self) -> sqlite3.Connection:
        """A connection that never waits by itself."""
        db = self.connect()
        db.execute("PRAGMA busy_timeout = 0")  # `_until_free` waits, in shorter steps than SQLite's
        return db

    def make_room(self) -> None:
        """Give the log its full size at once: flushing a file that grows costs twice as much.

        Called while this connection holds the write lock, so nobody else can be adding to the log. What
        follows its last valid frame is ignored by SQLite.
        """
        log = f"{self.path}-wal"
        if os.name != "posix" or shutil.disk_usage(self.path.parent).free < 64 * LOG_BYTES:
            return
        with contextlib.suppress(OSError):
            handle = os.open(log, os.O_WRONLY)
            try:
                size = os.fstat(handle).st_size
                if size < LOG_BYTES:
                    os.pwrite(handle, bytes(LOG_BYTES - size), size)
                    os.fsync(handle)
            finally:
                os.close(handle)

    def _refuse_foreign(self, db: sqlite3.Connection) -> bool:
        """True when the file is still empty; raises when it is not a ledger of this format."""
        application = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if application == 0 and version == 0 and not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            return True
        if application != APPLICATION_ID:
            raise LedgerUnavailable(
                f"{self.path} はこのキットの台帳ではありません。",
                hint="BOUSAI_LEDGER_URL または BOUSAI_HOME を確認してください。",
            )
        if version != FORMAT:
            raise LedgerUnavailable(
                f"台帳（{self.path}）はこの版では扱えない形式（{version}）です。",
                hint="新しい版の bousai_kit を使ってください。",
            )
        return False

    def prepare(self, db: sqlite3.Connection, domain_id: int | None) -> None:
        """Make the tables of a new ledger and bind it to its domain (in a transaction)."""
        if self._refuse_foreign(db):
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {FORMAT}")
        if domain_id is None:
            return
        db.execute("INSERT OR IGNORE INTO meta(key, value) VALUES ('domain_id', ?)", (str(domain_id),))
        bound = db.execute("SELECT value FROM meta WHERE key = 'domain_id'").fetchone()[0]
        if bound != str(domain_id):
            raise LedgerUnavailable(
                f"この台帳（{self.path}）は別のドメイン（{bound}）のものです。",
                hint="接続先ごとに BOUSAI_PROFILE か BOUSAI_HOME を分けてください。",
            )

    def _until_free(self, action: Callable[[], object], patience_s: float) -> None:
        """Repeat while another process holds the lock, until patience ends."""
        pause, until = 0.0002, time.monotonic() + patience_s
        while True:
            try:
                action()
                return
            except sqlite3.OperationalError as error:
                if code(error) not in BUSY or time.monotonic() >= until:
                    raise
            time.sleep(pause)  # in the writer's thread
            pause = min(pause * 1.5, 0.005)

    @contextlib.contextmanager
    def transaction(self, db: sqlite3.Connection, patience_s: float) -> Iterator[None]:
        """All or nothing; durable when it ends."""
        self._until_free(lambda: db.execute("BEGIN IMMEDIATE"), patience_s)
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
            raise

    def said(self, error: Exception) -> LedgerError:
        """What went wrong as one of the kit's errors."""
        result = code(error)
        number = getattr(error, "errno", None)
        if result == sqlite3.SQLITE_FULL or number in (28, 122):  # ENOSPC, EDQUOT
            return LedgerUnavailable(
                f"ディスクの空き容量がないため、台帳（{self.path}）に書き込めません。",
                hint="空き容量を確保してから、同じ操作をもう一度実行してください（この記録は書き込まれていません）。",
            )
        if result in BUSY:
            return LedgerUnavailable(
                f"ほかのプログラムが台帳（{self.path}）を使用中です（{self.patience_s:g} 秒待ちました）。",
                hint="ほかのノートブックやコマンドが終わってから、もう一度実行してください。",
            )
        if result in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return LedgerCorrupt(f"台帳のファイル（{self.path}）が壊れています。")
        denied = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH)
        if result in denied or isinstance(error, PermissionError):
            return LedgerUnavailable(
                f"台帳（{self.path}）を開けないか、書き込む権限がありません。",
                hint="BOUSAI_HOME のフォルダの場所と権限を確認してください。",
            )
        name = (
            getattr(error, "sqlite_errorname", None)
            or getattr(error, "strerror", None)
            or type(error).__name__
        )
        return LedgerUnavailable(f"台帳（{self.path}）の読み書きに失敗しました（{name}）。")


def code(error: Exception) -> int:
    """SQLite's primary result code, 0 for other errors."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _create_private(path: Path) -> None:
    missing = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return
    if os.name == "posix":  # the new name itself has to survive a power cut
        folder_handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder_handle)
        finally:
            os.close(folder_handle)
