"""The ledger in one SQLite file: WAL, ``synchronous=FULL``, several processes.

Never open the database file itself by other means in a process that has a ledger open (``open()``,
``shutil.copy``): closing any handle of it drops the process's locks. SQLite's own backup is safe.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from bousai_kit.errors import LedgerCorrupt, LedgerError, LedgerUnavailable
from bousai_kit.ledger.chain import COLUMNS, GENESIS, Verification, verify_file
from bousai_kit.ledger.events import Draft, Event, moment
from bousai_kit.ledger.volume import network_filesystem

__all__ = ["SqliteBackend"]

FORMAT = 1
APPLICATION_ID = 0x424B4C31  # "BKL1"
PATIENCE_S = 10.0

_SCHEMA = (
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE events(seq INTEGER PRIMARY KEY AUTOINCREMENT, recorded_at INTEGER NOT NULL, "
    "stream TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL, once TEXT, "
    "salt TEXT NOT NULL, content TEXT, prev_hash TEXT NOT NULL, hash TEXT NOT NULL)",
    "CREATE UNIQUE INDEX events_once ON events(once) WHERE once IS NOT NULL",
    "CREATE INDEX events_stream ON events(stream, seq, kind)",
    "CREATE TRIGGER events_kept BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    "CREATE TRIGGER events_fixed BEFORE UPDATE ON events WHEN NEW.seq IS NOT OLD.seq "
    "OR NEW.recorded_at IS NOT OLD.recorded_at OR NEW.stream IS NOT OLD.stream OR NEW.kind IS NOT OLD.kind "
    "OR NEW.prev_hash IS NOT OLD.prev_hash OR NEW.hash IS NOT OLD.hash OR NEW.salt <> '' "
    "BEGIN SELECT RAISE(ABORT, 'append-only'); END",
)
_INSERT = f"INSERT INTO events({', '.join(COLUMNS)}) VALUES "  # noqa: S608
_ROW = f"({', '.join('?' * len(COLUMNS))})"
_CHUNKS = (64, 8, 1)  # rows in one statement: every statement gives the interpreter lock away once
_SELECT = "SELECT seq, recorded_at, stream, kind, subject, body, once, prev_hash, hash, salt FROM events "
_HEAD = "SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1"

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

Row = tuple[int, int, str, str, str, str, str | None, str, str, str]


class SqliteBackend:
    """One file. `write` and `erase` belong to one thread, the reading methods to another.

    Parameters
    ----------
    path : Path
        Created, with its folders (0700) and as 0600, if need be.
    domain_id : int, optional
        The ledger is bound to the first domain that it is opened with.
    patience_s : float
        How long to wait for another process that is writing.

    Raises
    ------
    LedgerUnavailable
        A network file system, another domain, a foreign or newer file, no permission, a full disk.
    LedgerCorrupt
        The file is no database.
    """

    def __init__(self, path: Path, *, domain_id: int | None = None, patience_s: float = PATIENCE_S) -> None:
        self.path = path
        self._patience_s = patience_s
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        kind = network_filesystem(path)
        if kind is not None:
            raise LedgerUnavailable(
                f"台帳の置き場所（{path.parent}）はネットワーク上のファイルシステム（{kind}）です。",
                hint="BOUSAI_HOME または BOUSAI_LEDGER_URL を、"
                "この端末のディスク上のフォルダに変えてください。",
            )
        try:
            _create_private(path)
            self._writer = self._connect()
            with self._transaction(self._writer):
                self._prepare(self._writer, domain_id)
            self._reader = self._connect()
            self._reader.execute("PRAGMA query_only = ON")
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise self._said(error) from None
        except LedgerError:
            self.close()
            raise

    # -- connections --------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.path, timeout=self._patience_s, isolation_level=None, check_same_thread=False
        )
        try:
            self._refuse_foreign(db)
            db.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone does not reach the disk
            db.execute("PRAGMA checkpoint_fullfsync = ON")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")
            mode = db.execute("PRAGMA journal_mode").fetchone()
            if mode != ("wal",):
                self._until_free(lambda: db.execute("PRAGMA journal_mode = WAL").fetchone())
        except BaseException:
            db.close()
            raise
        return db

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

    def _prepare(self, db: sqlite3.Connection, domain_id: int | None) -> None:
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

    def _until_free(self, action: Callable[[], object]) -> None:
        """Repeat while another process holds the lock, until patience ends."""
        pause, until = 0.0002, time.monotonic() + self._patience_s
        while True:
            try:
                action()
                return
            except sqlite3.OperationalError as error:
                if _code(error) not in _BUSY or time.monotonic() >= until:
                    raise
            time.sleep(pause)  # in the writer's thread
            pause = min(pause * 1.5, 0.005)

    @contextlib.contextmanager
    def _transaction(self, db: sqlite3.Connection) -> Iterator[None]:
        db.execute("PRAGMA busy_timeout = 0")  # the waiting is done here, in shorter steps than SQLite's
        self._until_free(lambda: db.execute("BEGIN IMMEDIATE"))
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close both connections; safe to call twice."""
        for db in (self._reader, self._writer):
            if db is not None:
                with contextlib.suppress(sqlite3.Error):
                    db.close()
        self._reader = self._writer = None

    # -- writing (the writer's thread) --------------------------------------------------------------

    def write(self, requests: Sequence[Sequence[Draft]]) -> list[list[Event | None]]:
        """Write all requests in one durable commit.

        Returns
        -------
        list of lists
            For every draft its event, or None where its ``once`` exists already.

        Raises
        ------
        LedgerError
            Nothing was written.
        """
        try:
            if self._writer is None:
                self._writer = self._connect()
            with self._transaction(self._writer):
                return self._write(self._writer, requests)
        except (sqlite3.Error, OSError) as error:
            self._drop_writer()
            raise self._said(error) from None

    def _drop_writer(self) -> None:
        """After an error the next write begins on a fresh connection (a failed flush is never trusted)."""
        if self._writer is not None:
            with contextlib.suppress(sqlite3.Error):
                self._writer.close()
        self._writer = None

    def _write(self, db: sqlite3.Connection, requests: Sequence[Sequence[Draft]]) -> list[list[Event | None]]:
        seq, last = db.execute(_HEAD).fetchone() or (0, GENESIS)
        taken = self._taken(db, [d.once for request in requests for d in request if d.once is not None])
        rows: list[tuple[object, ...]] = []
        results: list[list[Event | None]] = []
        for request in requests:
            placed: list[Event | None] = []
            for one in request:
                if one.once is not None:
                    if one.once in taken:
                        placed.append(None)
                        continue
                    taken.add(one.once)
                seq += 1
                event = one.placed(seq, last)
                rows.append(
                    (seq, one.recorded_at, one.stream, one.kind, one.subject, one.body, one.once, one.salt,
                     None, last, event.hash)
                )  # fmt: skip
                last = event.hash
                placed.append(event)
            results.append(placed)
        start = 0
        for size in _CHUNKS:
            statement = _INSERT + ", ".join([_ROW] * size)
            while len(rows) - start >= size:
                db.execute(statement, [value for row in rows[start : start + size] for value in row])
                start += size
        return results

    @staticmethod
    def _taken(db: sqlite3.Connection, keys: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            marks = ", ".join("?" * len(part))
            query = f"SELECT once FROM events WHERE once IN ({marks})"  # noqa: S608
            found.update(row[0] for row in db.execute(query, part))
        return found

    # -- reading (the loop's thread) ----------------------------------------------------------------

    def _read(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        if self._reader is None:
            raise LedgerUnavailable("台帳は閉じられています。", hint="もう一度開いてください。")
        try:
            return self._reader.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._said(error) from None

    def head(self) -> tuple[int, str]:
        """``seq`` and ``hash`` of the last event; 0 and 64 zeros when there is none."""
        found = self._read(_HEAD)
        return (int(found[0][0]), str(found[0][1])) if found else (0, GENESIS)

    def streams(self, prefix: str) -> list[str]:
        """Names of the streams that begin so, sorted."""
        names: list[str] = []
        at, step = prefix, ">="
        while True:
            query = f"SELECT stream FROM events WHERE stream {step} ? ORDER BY stream LIMIT 1"  # noqa: S608
            found = self._read(query, (at,))
            if not found or not str(found[0][0]).startswith(prefix):
                return names
            at, step = str(found[0][0]), ">"
            names.append(at)

    def page(
        self,
        after: int,
        upto: int,
        *,
        stream: str | None,
        kinds: Collection[str] | None,
        subject: str | None,
        limit: int,
    ) -> list[Row]:
        """At most `limit` matching rows with ``after < seq <= upto``, by ``seq``."""
        where, values = ["seq > ?", "seq <= ?"], [after, upto]
        more: list[str] = []
        if stream is not None:
            where.append("stream = ?")
            more.append(stream)
        if kinds is not None:
            where.append(f"kind IN ({', '.join('?' * len(kinds))})")
            more.extend(kinds)
        if subject is not None:
            where.append("subject = ?")
            more.append(subject)
        return self._read(
            f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY seq LIMIT ?", [*values, *more, limit]
        )

    def verify(self, expected_head: tuple[int, str] | str | None) -> Verification:
        """Verify on a connection of its own (any thread)."""
        try:
            return verify_file(self.path, expected_head=expected_head)
        except (sqlite3.Error, OSError) as error:
            raise self._said(error) from None

    # -- words --------------------------------------------------------------------------------------

    def _said(self, error: Exception) -> LedgerError:
        """What went wrong as one of the kit's errors."""
        code = _code(error)
        number = getattr(error, "errno", None)
        if code == sqlite3.SQLITE_FULL or number in (28, 122):  # ENOSPC, EDQUOT
            return LedgerUnavailable(
                f"ディスクの空き容量がないため、台帳（{self.path}）に書き込めません。",
                hint="空き容量を確保してから、同じ操作をもう一度実行してください（この記録は書き込まれていません）。",
            )
        if code in _BUSY:
            return LedgerUnavailable(
                f"ほかのプログラムが台帳（{self.path}）を使用中です（{self._patience_s:g} 秒待ちました）。",
                hint="ほかのノートブックやコマンドが終わってから、もう一度実行してください。",
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return LedgerCorrupt(f"台帳のファイル（{self.path}）が壊れています。")
        denied = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH)
        if code in denied or isinstance(error, PermissionError):
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


def _code(error: Exception) -> int:
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


def event(row: Row) -> Event:
    """A row as an event.

    Raises
    ------
    LedgerCorrupt
        The row does not hold what was written.
    """
    try:
        return Event(row[0], moment(row[1]), row[2], row[3], row[4], json.loads(row[5]), *row[6:10])
    except (TypeError, ValueError, OverflowError):
        raise LedgerCorrupt(f"台帳の seq {row[0]} の記録が壊れています。") from None
