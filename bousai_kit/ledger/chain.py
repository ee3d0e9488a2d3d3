"""The hash chain: how an event is hashed, and how a file is verified years later.

Nothing here needs anything but Python's standard library: ``python chain.py ledger.db [SEQ:HASH]``
verifies a ledger file (with its ``-wal`` beside it, if there is one) without the kit.

Format 1
--------
Table ``events``, one row an event, ``seq`` = 1, 2, 3, … without a gap::

    seq INTEGER, recorded_at INTEGER (µs since 1970-01-01T00:00:00Z), stream, kind, subject TEXT,
    body TEXT (a JSON object), once TEXT or NULL, salt TEXT (32 hex digits), content TEXT or NULL,
    prev_hash TEXT, hash TEXT (64 hex digits, lower case)

Two digests, both SHA-256 over UTF-8, in lower-case hex::

    content digest = SHA-256( J([salt, subject, body, once]) )
    hash           = SHA-256( J([seq, recorded_at, stream, kind, content digest, prev_hash]) )

``prev_hash`` is the ``hash`` of the event before; for the first event 64 zeros. ``J`` is JSON without
blanks as in RFC 8785: an array of strings, integers and null; only ``"``, ``\\`` and U+0000 to U+001F are
escaped (``\\b \\t \\n \\f \\r``, else ``\\u00xx`` in lower case), every other character stands for itself.
``body`` enters as the *text* that is stored, so nobody has to serialise it again (it was written by the
same rules, keys sorted).

The column ``content`` is NULL while the content is there. When a person's data is erased, ``subject``,
``body``, ``once`` and ``salt`` are emptied (``""``, ``{}``, NULL, ``""``) and ``content`` keeps the digest,
so the chain still holds; the random salt keeps the digest from betraying what it stood for. Every erasure
is itself an event (stream ``ledger``, kind ``ledger.erased``, ``seqs`` in its body); an emptied row that no
such event names is broken.

Table ``places`` says in which blocks of 256 numbers (``seq >> 8``) a stream has events of a kind. It only
makes reading quick; verifying compares it with the events. Table ``meta`` holds the tenant (``domain_id``)
and a ``mark``: ``seq:hash`` of an event that was the head when a process closed the ledger or a block began.

What this finds: any changed, missing, added, reordered or exchanged event, and a tail that was cut off before
the mark. What no file can tell of itself: that its tail was cut off by someone who also set back the mark (or
put back an older copy, or cut off what a process wrote after it that was then killed), or that somebody wrote
the whole chain anew. Against these keep ``(seq, hash)`` of the head elsewhere (on paper, in a mail, in an
evidence package) and hand it to `verify_file` as `expected_head`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "BLOCK_BITS",
    "COLUMNS",
    "GENESIS",
    "Verification",
    "canonical",
    "content_digest",
    "event_hash",
    "verify_file",
    "verify_rows",
]

GENESIS = "0" * 64
"""``prev_hash`` of the first event."""

BLOCK_BITS = 8

COLUMNS = (
    "seq",
    "recorded_at",
    "stream",
    "kind",
    "subject",
    "body",
    "once",
    "salt",
    "content",
    "prev_hash",
    "hash",
)
_TEXT_OR_NULL = (str, type(None))
_TYPES: tuple[type | tuple[type, ...], ...] = (
    *(int, int, str, str, str, str),
    *(_TEXT_OR_NULL, str, _TEXT_OR_NULL, str, str),
)
_MOST_SAID = 1000
_quoted = json.encoder.encode_basestring  # a JSON string that leaves everything but controls as it is


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check of the chain found.

    Attributes
    ----------
    events : int
        Rows looked at.
    head_seq, head_hash : int, str
        Of the last row; 0 and 64 zeros when there is none.
    broken : list of str
        Japanese, one sentence a finding (at most 1,000); empty: the chain holds.
    erased : int
        Events whose content was erased in order.
    """

    events: int
    head_seq: int
    head_hash: str
    broken: list[str] = field(default_factory=list)
    erased: int = 0

    @property
    def ok(self) -> bool:
        """The chain holds."""
        return not self.broken


def canonical(values: Sequence[str | int | None]) -> bytes:
    """``J`` of the module's docstring."""
    return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def content_digest(salt: str, subject: str, body: str, once: str | None) -> str:
    """Digest of what can be erased; `body` is the stored text."""
    # ``J`` spelt out: a third of the time of `canonical`, which the tests hold against it
    last = "null" if once is None else _quoted(once)
    text = f"[{_quoted(salt)},{_quoted(subject)},{_quoted(body)},{last}]"
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def event_hash(seq: int, recorded_at: int, stream: str, kind: str, content: str, prev_hash: str) -> str:
    """Hash of one event; `recorded_at` in µs since the epoch."""
    text = (
        f"[{seq:d},{recorded_at:d},{_quoted(stream)},{_quoted(kind)},{_quoted(content)},{_quoted(prev_hash)}]"
    )
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def verify_rows(
    rows: Iterable[Sequence[Any]],
    *,
    marks: Sequence[tuple[int, str]] = (),
    expected_head: tuple[int, str] | str | None = None,
    found_before: Sequence[str] = (),
) -> Verification:
    """Verify raw rows.

    Parameters
    ----------
    rows : iterable of sequences
        In the order of `COLUMNS`, by ``seq``.
    marks : sequence of (int, str)
        Events (``seq``, ``hash``) that have been the head.
    expected_head : (int, str) or str, optional
        A head noted earlier (``seq`` and ``hash``, or the hash alone): it must be in the chain.
    found_before : sequence of str
        Findings to begin with.
    """
    broken = list(found_before)
    count, seq, last = 0, 0, GENESIS
    emptied: set[int] = set()
    allowed: set[int] = set()
    wanted_seq, wanted = expected_head if isinstance(expected_head, tuple) else (None, expected_head)
    met = wanted is None or (wanted == GENESIS and not wanted_seq)
    remembered = dict(marks)

    def say(sentence: str) -> None:
        if len(broken) < _MOST_SAID:
            broken.append(sentence)

    iterator = iter(rows)
    while True:
        try:
            row = next(iterator)
        except StopIteration:
            break
        except sqlite3.Error as error:
            say(f"seq {seq + 1} 以降を読めません（{type(error).__name__}）。")
            break
        count += 1
        if len(row) != len(COLUMNS) or not all(isinstance(v, t) for v, t in zip(row, _TYPES, strict=True)):
            say(f"seq {seq + 1} 付近の記録の形が壊れています。")
            number = row[0] if row and isinstance(row[0], int) else seq + 1
            seq, last = number, str(row[-1]) if row else last
            continue
        number, at, stream, kind, subject, body, once, salt, content, prev_hash, own = row
        if number != seq + 1:
            gap = f"seq {seq + 1}" if number == seq + 2 else f"seq {seq + 1}〜{number - 1}"
            say(f"{gap} の記録がありません。" if number > seq + 1 else f"seq {number} の順序が違います。")
        if prev_hash != last:
            say(f"seq {number} が直前の記録とつながっていません。")
        if content is None:
            try:
                content = content_digest(salt, subject, body, once)
                parsed = json.loads(body)
            except ValueError:  # a lone surrogate, or no JSON
                content, parsed = "", None
            if not isinstance(parsed, dict):
                say(f"seq {number} の本文が読めません。")
            elif stream == "ledger" and kind == "ledger.erased":
                allowed.update(s for s in parsed.get("seqs", ()) if isinstance(s, int) and s < number)
        else:
            emptied.add(number)
            if subject or salt or once is not None or body != "{}":
                say(f"seq {number} は消去済みのはずの内容が残っています。")
        try:
            fits = event_hash(number, at, stream, kind, content, prev_hash) == own
        except ValueError:
            fits = False
        if not fits:
            say(f"seq {number} の内容が書き換えられています。")
        if remembered.get(number, own) != own:
            say(f"seq {number} が、書き込んだときの控えと違います。")
        if own == wanted and wanted_seq in (None, number):
            met = True
        seq, last = number, own
    for number in sorted(emptied - allowed):
        say(f"seq {number} の内容が、消去の記録なしに消されています。")
    highest = max(remembered, default=0)
    if highest > seq:
        say(f"末尾の seq {seq + 1}〜{highest} の記録が切り取られています。")
    if not met:
        say("控えておいた先頭ハッシュが台帳にありません。末尾が切り取られたか、台帳が作り直されています。")
    return Verification(count, seq, last, broken, len(emptied & allowed))


def verify_file(
    path: str | Path,
    *,
    expected_head: tuple[int, str] | str | None = None,
    marks: Sequence[tuple[int, str]] = (),
) -> Verification:
    """Verify a ledger file, tables against indexes included; parameters as for `verify_rows`.

    Raises
    ------
    sqlite3.Error, OSError
        The file cannot be opened as a ledger at all.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(2, "no such ledger", str(file))
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        db.execute("BEGIN")  # one snapshot for everything below
        return verify_rows(
            _rows(db), marks=[*_mark(db), *marks], expected_head=expected_head, found_before=_damage(db)
        )


def _rows(db: sqlite3.Connection) -> Iterator[Sequence[Any]]:
    yield from db.execute(f"SELECT {', '.join(COLUMNS)} FROM events NOT INDEXED ORDER BY seq")  # noqa: S608


def _mark(db: sqlite3.Connection) -> list[tuple[int, str]]:
    try:
        row = db.execute("SELECT value FROM meta WHERE key = 'mark'").fetchone()
        number, _, digest = str(row[0]).partition(":") if row else ("", "", "")
        return [(int(number), digest)] if number else []
    except (sqlite3.Error, ValueError):
        return [(1, "")]  # unreadable: nothing fits it


def _damage(db: sqlite3.Connection) -> list[str]:
    try:
        found = [str(row[0]) for row in db.execute("PRAGMA integrity_check(10)")]
    except sqlite3.Error as error:
        return [f"データベースのファイルが壊れています（{type(error).__name__}）。"]
    said = (
        [] if found == ["ok"] else [f"データベースのファイルまたは索引が壊れています（{len(found)} か所）。"]
    )
    try:
        hidden = db.execute(
            f"SELECT count(*) FROM (SELECT DISTINCT stream, kind, seq >> {BLOCK_BITS} FROM events "  # noqa: S608
            "EXCEPT SELECT stream, kind, block FROM places)"
        ).fetchone()[0]
    except sqlite3.Error as error:
        return [*said, f"記録の索引（places）を読めません（{type(error).__name__}）。"]
    return [*said, f"記録の索引（places）に {hidden} か所の抜けがあります。"] if hidden else said


def _main(arguments: Sequence[str]) -> int:
    if not 1 <= len(arguments) <= 2:
        print("usage: python chain.py ledger.db [SEQ:HASH]", file=sys.stderr)
        return 2
    head: tuple[int, str] | None = None
    if len(arguments) == 2:
        number, _, digest = arguments[1].partition(":")
        head = (int(number), digest)
    found = verify_file(arguments[0], expected_head=head)
    summary = {
        "ok": found.ok,
        "events": found.events,
        "head_seq": found.head_seq,
        "head_hash": found.head_hash,
    }
    print(json.dumps({**summary, "erased": found.erased, "broken": found.broken}, ensure_ascii=False))
    return 0 if found.ok else 1


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
