"""The ledger in one SQLite file: WAL, ``synchronous=FULL``, several processes.

Never open the database file itself by other means in a process that has a ledger open (``open()``,
``shutil.copy``): closing any handle of it drops the process's locks. SQLite's own backup is safe.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bousai_kit.errors import LedgerError, LedgerUnavailable
from bousai_kit.ledger.backend import Row, Words
from bousai_kit.ledger.chain import BLOCK_BITS, COLUMNS, GENESIS, Verification, verify_file
from bousai_kit.ledger.events import Draft, Event
from bousai_kit.ledger.sqlite_file import BUSY, PATIENCE_S, SqliteFile, code

__all__ = ["SqliteBackend"]

MOST_KNOWN = 4096
MOST_VALUES = 500
_INSERT = f"INSERT INTO events({', '.join(COLUMNS)}) VALUES "  # noqa: S608
_ROW = f"({', '.join('?' * len(COLUMNS))})"
_INSERT_ONE = _INSERT + _ROW
_CHUNKS = (64, 8, 1)  # rows in one statement: every statement gives the interpreter lock away once
_SELECT = "SELECT seq, recorded_at, stream, kind, subject, body, once, prev_hash, hash, salt FROM events "
_SELECT_WORDS = "SELECT seq, recorded_at, kind, subject, body FROM events "
_HEAD = "SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1"
_MARK = "SELECT value FROM meta WHERE key = 'mark'"
_SET_MARK = "INSERT OR REPLACE INTO meta(key, value) VALUES ('mark', ?)"


class SqliteBackend:
    """One file. `write` is called by one thread at a time, the reading methods by one other at most.

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
        self._file = SqliteFile(path, patience_s=patience_s)
        self._writing = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._head: tuple[int, str] | None = None  # the last event this connection wrote
        self._known: set[tuple[str, str, int]] = set()  # rows of `places` that are certainly there
        try:
            self._file.create()
            self._writer = self._file.connect_writer()
            with self._file.transaction(self._writer, patience_s):
                self._file.prepare(self._writer, domain_id)
                self._leave_mark(self._writer)
                self._file.make_room()
            self._reader = self._file.connect()
            self._reader.execute("PRAGMA query_only = ON")
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise self._file.said(error) from None
        except LedgerError:
            self.close()
            raise

    def _leave_mark(self, db: sqlite3.Connection) -> None:
        """Note the head, so that a tail which is cut off later is missed."""
        seq, last = db.execute(_HEAD).fetchone() or (0, GENESIS)
        if seq > _marked(db):
            db.execute(_SET_MARK, (f"{seq}:{last}",))

    def close(self) -> None:
        """Close both connections; safe to call twice."""
        if self._writer is not None and self._head is not None:
            with contextlib.suppress(sqlite3.Error), self._file.transaction(self._writer, 1.0):
                self._leave_mark(self._writer)
        for db in (self._reader, self._writer):
            if db is not None:
                with contextlib.suppress(sqlite3.Error):
                    db.close()
        self._reader = self._writer = None

    # -- writing (the writer's thread) --------------------------------------------------------------

    def write(
        self, requests: Sequence[Sequence[Draft]], *, wait: bool = True
    ) -> list[list[Event | None]] | None:
        """Write all requests in one durable commit.

        Parameters
        ----------
        wait : bool
            False: return None at once when somebody else is writing.

        Returns
        -------
        list of lists
            For every draft its event, or None where its ``once`` exists already.

        Raises
        ------
        LedgerError
            Nothing was written.
        """
        if not self._writing.acquire(blocking=wait):
            return None
        try:
            if self._writer is None:
                self._writer = self._file.connect_writer()
            if len(requests) == 1 and len(requests[0]) == 1 and self._head is not None:
                event = self._write_one(self._writer, requests[0][0], *self._head)
                if event is not None:
                    return [[event]]
            with self._file.transaction(self._writer, self._file.patience_s if wait else 0.0):
                results, head, places = self._write(self._writer, requests)
            self._head = head
            self._remember(places)
            return results
        except (sqlite3.Error, OSError) as error:
            if not wait and code(error) in BUSY:
                return None
            self._drop_writer()
            raise self._file.said(error) from None
        finally:
            self._writing.release()

    def _drop_writer(self) -> None:
        """After an error the next write begins on a fresh connection (a failed flush is never trusted)."""
        if self._writer is not None:
            with contextlib.suppress(sqlite3.Error):
                self._writer.close()
        self._writer = self._head = None

    def _write_one(self, db: sqlite3.Connection, one: Draft, seq: int, last: str) -> Event | None:
        """A lone event in one statement; None when it takes more than that.

        The chain has gone on elsewhere or is being written, `once` exists, or `places` needs a row.
        """
        if (one.stream, one.kind, (seq + 1) >> BLOCK_BITS) not in self._known:
            return None
        event = one.placed(seq + 1, last)
        try:
            db.execute(_INSERT_ONE, _row(one, event))
        except sqlite3.IntegrityError:  # this `seq` or this `once` is there
            return None
        except sqlite3.OperationalError as error:
            if code(error) in BUSY:
                return None
            raise
        self._head = (event.seq, event.hash)
        return event

    def _write(
        self, db: sqlite3.Connection, requests: Sequence[Sequence[Draft]]
    ) -> tuple[list[list[Event | None]], tuple[int, str] | None, set[tuple[str, str, int]]]:
        seq, last = db.execute(_HEAD).fetchone() or (0, GENESIS)
        seq = max(seq, _marked(db))  # a tail that was cut off stays a gap that `verify` finds
        taken = self._taken(db, [d.once for request in requests for d in request if d.once is not None])
        places: set[tuple[str, str, int]] = set()
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
                rows.append(_row(one, event))
                places.add((one.stream, one.kind, seq >> BLOCK_BITS))
                last = event.hash
                placed.append(event)
            results.append(placed)
        start = 0
        for size in _CHUNKS:
            statement = _INSERT + ", ".join([_ROW] * size)
            while len(rows) - start >= size:
                db.execute(statement, [value for row in rows[start : start + size] for value in row])
                start += size
        new = places - self._known
        if new:
            db.executemany("INSERT OR IGNORE INTO places(stream, kind, block) VALUES (?, ?, ?)", sorted(new))
            db.execute(_SET_MARK, (f"{seq}:{last}",))
        return results, (seq, last) if rows else self._head, new

    def _remember(self, places: set[tuple[str, str, int]]) -> None:
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        self._known |= places

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
            raise self._file.said(error) from None

    def head(self) -> tuple[int, str]:
        """``seq`` and ``hash`` of the last event; 0 and 64 zeros when there is none."""
        found = self._read(_HEAD)
        return (int(found[0][0]), str(found[0][1])) if found else (0, GENESIS)

    def streams(self, prefix: str) -> list[str]:
        """Names of the streams that begin so, sorted."""
        names: list[str] = []
        at, step = prefix, ">="
        while True:
            query = f"SELECT stream FROM places WHERE stream {step} ? ORDER BY stream LIMIT 1"  # noqa: S608
            found = self._read(query, (at,))
            if not found or not str(found[0][0]).startswith(prefix):
                return names
            at, step = str(found[0][0]), ">"
            names.append(at)

    def spans(
        self, after: int, upto: int, *, streams: Sequence[str] | None, kinds: Sequence[str] | None
    ) -> list[tuple[int, int]]:
        """Where to look: spans (first, last) of ``seq`` in ``after < seq <= upto``, in order."""
        if streams is None and kinds is None:
            return [(after + 1, upto)] if after < upto else []
        blocks: set[int] = set()
        for part in _parts(streams):
            where, values = _chosen(part, kinds)
            where += ["block >= ?", "block <= ?"]
            values += [(after + 1) >> BLOCK_BITS, upto >> BLOCK_BITS]
            query = f"SELECT DISTINCT block FROM places WHERE {' AND '.join(where)}"  # noqa: S608
            blocks.update(row[0] for row in self._read(query, values))
        found: list[tuple[int, int]] = []
        for block in sorted(blocks):
            first, last = block << BLOCK_BITS, ((block + 1) << BLOCK_BITS) - 1
            if found and found[-1][1] + 1 == first:
                first = found.pop()[0]
            found.append((first, last))
        return [(max(first, after + 1), min(last, upto)) for first, last in found]

    def page(
        self,
        first: int,
        last: int,
        *,
        streams: Sequence[str] | None,
        kinds: Sequence[str] | None,
        subject: str | None,
        limit: int,
    ) -> list[Row]:
        """At most `limit` matching rows with ``first <= seq <= last``, by ``seq``."""
        return self._matching(_SELECT, first, last, streams, kinds, subject, limit)

    def words(
        self,
        first: int,
        last: int,
        *,
        streams: Sequence[str] | None,
        kinds: Sequence[str] | None,
        limit: int,
    ) -> list[Words]:
        """As `page`, of each row only what the event says."""
        return self._matching(_SELECT_WORDS, first, last, streams, kinds, None, limit)

    def _matching(
        self,
        select: str,
        first: int,
        last: int,
        streams: Sequence[str] | None,
        kinds: Sequence[str] | None,
        subject: str | None,
        limit: int,
    ) -> list[Any]:
        found: list[Any] = []
        for part in _parts(streams):
            where, values = _chosen(part, kinds)
            where += ["seq >= ?", "seq <= ?"]
            values += [first, last]
            if subject is not None:
                where.append("subject = ?")
                values.append(subject)
            query = f"{select} WHERE {' AND '.join(where)} ORDER BY seq LIMIT ?"
            found += self._read(query, [*values, limit])
        if streams is not None and len(streams) > MOST_VALUES:
            found = sorted(found)[:limit]
        return found

    def verify(self, expected_head: tuple[int, str] | str | None) -> Verification:
        """Verify on a connection of its own (any thread)."""
        try:
            head = self._head
            return verify_file(self._file.path, expected_head=expected_head, marks=[head] if head else [])
        except (sqlite3.Error, OSError) as error:
            raise self._file.said(error) from None


def _parts(streams: Sequence[str] | None) -> Iterator[Sequence[str] | None]:
    """Names in portions that one statement can take."""
    if streams is None:
        yield None
        return
    for start in range(0, len(streams), MOST_VALUES):
        yield streams[start : start + MOST_VALUES]


def _chosen(streams: Sequence[str] | None, kinds: Sequence[str] | None) -> tuple[list[str], list[Any]]:
    """Conditions and values for streams and kinds."""
    where: list[str] = []
    values: list[Any] = []
    for column, names in (("stream", streams), ("kind", kinds)):
        if names is not None:
            where.append(f"{column} IN ({', '.join('?' * len(names))})")
            values.extend(names)
    return where, values


def _marked(db: sqlite3.Connection) -> int:
    """``seq`` of the mark, 0 without one."""
    found = db.execute(_MARK).fetchone()
    number = str(found[0]).partition(":")[0] if found else ""
    return int(number) if number.isascii() and number.isdigit() else 0


def _row(one: Draft, event: Event) -> tuple[object, ...]:
    """Values in the order of `COLUMNS`."""
    return (event.seq, *one[:7], None, event.prev_hash, event.hash)
