"""The chain: any change is found with nothing but the file, by hashes as somebody else reads them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.clock import VirtualClock
from bousai_kit.ledger import GENESIS, Ledger, NewEvent, Verification, chain, verify_file

START = datetime(2027, 1, 17, tzinfo=UTC)
COLUMNS = [name for name in chain.COLUMNS if name != "seq"]

texts = st.text(max_size=12).filter(lambda text: "\0" not in text)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
events = st.builds(
    NewEvent,
    texts.filter(bool),
    texts.filter(bool),
    texts,
    st.dictionaries(st.text(max_size=8), values, max_size=4),
)


def write(path: Path, batches: list[list[NewEvent]]) -> None:
    async def main() -> None:
        async with await Ledger.open(f"sqlite:///{path}", clock=VirtualClock(START), domain_id=5) as ledger:
            for batch in batches:
                await ledger.append_many(batch)

    asyncio.run(main())


def tamper(path: Path, *statements: str | tuple[str, tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(*((statement,) if isinstance(statement, str) else statement))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve events, closed in order."""
    path = tmp_path_factory.mktemp("good") / "ledger.db"
    made = [
        NewEvent(f"s{n % 3}", "k", f"u{n}", {"n": n, "い": "ろ"}, f"o{n}" if n % 2 else None)
        for n in range(12)
    ]
    write(path, [made[:5], made[5:]])
    assert verify_file(path).ok
    return path


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(good, tmp_path / "copy.db"))


# -- written from the description ---------------------------------------------------------------------


def independent(path: Path) -> list[str]:
    """The docstring of `chain`, read by somebody else: hashes of all events."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute(
            "SELECT seq, recorded_at, stream, kind, subject, body, once, salt, prev_hash, hash "
            "FROM events ORDER BY seq"
        ).fetchall()
    previous, hashes = "0" * 64, []

    def j(parts: list[Any]) -> bytes:
        return json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()

    for n, (seq, at, stream, kind, subject, body, once, salt, prev_hash, own) in enumerate(rows, 1):
        assert seq == n
        assert prev_hash == previous
        content = hashlib.sha256(j([salt, subject, body, once])).hexdigest()
        assert hashlib.sha256(j([seq, at, stream, kind, content, prev_hash])).hexdigest() == own
        previous = own
        hashes.append(own)
    return hashes


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(events, max_size=5), max_size=3))
def test_every_event_hashes_as_described(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[NewEvent]]
) -> None:
    path = tmp_path_factory.mktemp("l") / "ledger.db"
    write(path, batches)
    hashes = independent(path)
    found = verify_file(path)
    assert found == Verification(len(hashes), len(hashes), hashes[-1] if hashes else GENESIS)
    assert found.ok


@given(st.lists(st.text() | st.integers(-(2**53), 2**53) | st.none(), max_size=5))
def test_the_quick_spelling_is_the_canonical_one(parts: list[Any]) -> None:
    strings = [part if isinstance(part, str) else "x" for part in parts] + ['a"\\\n\x1f\x7f ', "", "b", "c"]
    salt, subject, body, once = strings[:4]
    content = hashlib.sha256(chain.canonical([salt, subject, body, once])).hexdigest()
    assert chain.content_digest(salt, subject, body, once) == content
    none = hashlib.sha256(chain.canonical([salt, subject, body, None])).hexdigest()
    assert chain.content_digest(salt, subject, body, None) == none
    own = hashlib.sha256(chain.canonical([7, 8, salt, subject, body, once])).hexdigest()
    assert chain.event_hash(7, 8, salt, subject, body, once) == own


def test_the_file_is_verified_by_the_module_alone(copy: Path, tmp_path: Path) -> None:
    script = Path(shutil.copy(chain.__file__, tmp_path / "chain.py"))

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(script), str(copy), *arguments],
            capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, timeout=30, check=False,
            env={"PYTHONUTF8": "1"},
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout)

    hashes = independent(copy)
    code, said = run()
    assert (code, said["ok"], said["events"], said["head_hash"]) == (0, True, 12, hashes[-1])
    assert run(f"12:{hashes[11]}")[0] == 0
    assert run(f"11:{hashes[11]}")[0] == 1
    tamper(copy, "UPDATE events SET kind = 'x' WHERE seq = 4")
    code, said = run()
    assert code == 1
    assert any("seq 4" in sentence for sentence in said["broken"])


# -- mutations ----------------------------------------------------------------------------------------


def other(value: Any) -> Any:
    return value + 1 if isinstance(value, int) else f"{value or ''}x"


@settings(max_examples=60, deadline=None)
@given(
    seq=st.integers(1, 12),
    column=st.sampled_from(COLUMNS),
    change=st.sampled_from(
        (
            other,
            lambda v: None,
            lambda v: v.encode() if isinstance(v, str) else str(v),
            lambda v: "",
            lambda v: 7,
        )
    ),
)
def test_any_changed_cell_is_found(
    good: Path, tmp_path_factory: pytest.TempPathFactory, seq: int, column: str, change: Callable[[Any], Any]
) -> None:
    path = Path(shutil.copy(good, tmp_path_factory.mktemp("m") / "l.db"))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        before = db.execute(f"SELECT {column} FROM events WHERE seq = ?", (seq,)).fetchone()[0]
        try:
            db.execute(f"UPDATE events SET {column} = ? WHERE seq = ?", (change(before), seq))
        except sqlite3.IntegrityError:
            return  # the table itself refuses it
        after = db.execute(f"SELECT {column} FROM events WHERE seq = ?", (seq,)).fetchone()[0]
    found = verify_file(path)
    same = type(before) is type(after) and before == after
    assert found.ok is same
    if not same:
        assert any(f"seq {seq} " in sentence for sentence in found.broken)


@settings(max_examples=40, deadline=None)
@given(gone=st.sets(st.integers(1, 12), min_size=1))
def test_any_missing_events_are_found(
    good: Path, tmp_path_factory: pytest.TempPathFactory, gone: set[int]
) -> None:
    path = Path(shutil.copy(good, tmp_path_factory.mktemp("m") / "l.db"))
    tamper(path, f"DELETE FROM events WHERE seq IN ({', '.join(map(str, gone))})")
    assert not verify_file(path).ok


@settings(max_examples=20, deadline=None)
@given(pair=st.lists(st.integers(1, 12), min_size=2, max_size=2, unique=True))
def test_exchanged_events_are_found(
    good: Path, tmp_path_factory: pytest.TempPathFactory, pair: list[int]
) -> None:
    path = Path(shutil.copy(good, tmp_path_factory.mktemp("m") / "l.db"))
    a, b = pair
    tamper(
        path,
        f"UPDATE events SET seq = -1 WHERE seq = {a}",
        f"UPDATE events SET seq = {a} WHERE seq = {b}",
        f"UPDATE events SET seq = {b} WHERE seq = -1",
    )
    assert not verify_file(path).ok


COPIED = "recorded_at, stream, kind, subject, body, NULL, salt, content"
HASH = "(SELECT hash FROM events WHERE seq = {})"
EMPTIED = "UPDATE events SET subject = '', body = '{}', once = NULL, salt = '', content = "
MARK = "UPDATE meta SET value = {} WHERE key = 'mark'"
FORGERIES = {
    "one more at the end": f"INSERT INTO events SELECT 13, {COPIED}, {HASH.format(12)}, hash "
    "FROM events WHERE seq = 1",
    "one more in front": f"INSERT INTO events SELECT 0, {COPIED}, prev_hash, hash FROM events WHERE seq = 1",
    "content without salt": "UPDATE events SET salt = '' WHERE seq = 2",
    "emptied, unrecorded": f"{EMPTIED} 'x' WHERE seq = 2",
    "mark of another": MARK.format(f"'12:' || {HASH.format(11)}"),
    "mark beyond the end": MARK.format(f"'13:' || {HASH.format(11)}"),
    "mark unreadable": MARK.format("'x:y'"),
    "hidden from reading by stream": "DELETE FROM places WHERE stream = 's1'",
    "no places": "DROP TABLE places",
    "no meta": "DROP TABLE meta",
    "no events": "DELETE FROM events",
    "no table": "DROP TABLE events",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_are_found(copy: Path, name: str) -> None:
    tamper(copy, FORGERIES[name])
    found = verify_file(copy)
    assert not found.ok
    assert found.broken
    assert all("。" in sentence for sentence in found.broken)


def test_a_forged_erasure_without_its_event_is_found_and_a_recorded_one_is_not(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as db:
        salt, subject, body, once = db.execute(
            "SELECT salt, subject, body, once FROM events WHERE seq = 2"
        ).fetchone()
    digest = chain.content_digest(salt, subject, body, once)
    tamper(copy, (f"{EMPTIED} ? WHERE seq = 2", (digest,)))
    found = verify_file(copy)
    assert found.broken == ["seq 2 の内容が、消去の記録なしに消されています。"]
    write(copy, [[NewEvent("ledger", "ledger.erased", body={"seqs": [2], "reason": "退職"})]])
    found = verify_file(copy)
    assert found.ok
    assert found.erased == 1


def test_damaged_pages_and_a_torn_file_are_found(copy: Path, tmp_path: Path) -> None:
    raw = copy.read_bytes()
    for name, damaged in {
        "torn": raw[: len(raw) // 2],
        "zeroed": raw[:8192] + bytes(4096) + raw[12288:],
        "text": raw.replace(b"u7", b"u8"),
    }.items():
        path = tmp_path / f"{name}.db"
        path.write_bytes(damaged)
        try:
            assert not verify_file(path).ok, name
        except sqlite3.DatabaseError:
            assert name != "text"


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verify_file(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


# -- what a file cannot tell of itself ----------------------------------------------------------------


def test_a_tail_cut_off_with_its_mark_needs_a_head_kept_elsewhere(copy: Path) -> None:
    hashes = independent(copy)
    tamper(
        copy,
        "DELETE FROM events WHERE seq > 9",
        ("UPDATE meta SET value = ? WHERE key = 'mark'", (f"9:{hashes[8]}",)),
    )
    assert verify_file(copy).ok  # as documented
    assert not verify_file(copy, expected_head=(12, hashes[11])).ok
    assert not verify_file(copy, expected_head=hashes[11]).ok
    assert verify_file(copy, expected_head=(9, hashes[8])).ok
    assert verify_file(copy, expected_head=(5, hashes[4])).ok  # it has grown since
    assert not verify_file(copy, expected_head=(4, hashes[4])).ok


def test_a_tail_cut_off_stays_found_when_the_ledger_goes_on(copy: Path) -> None:
    tamper(copy, "DELETE FROM events WHERE seq > 9")
    assert "末尾の seq 10〜12 の記録が切り取られています。" in verify_file(copy).broken
    write(copy, [[NewEvent("s0", "k")], [NewEvent("s0", "k")]])
    found = verify_file(copy)
    assert "seq 10〜12 の記録がありません。" in found.broken
    assert found.head_seq == 14


def test_an_open_ledger_remembers_its_own_head(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "l.db"
        async with await Ledger.open(f"sqlite:///{path}", clock=VirtualClock(START)) as ledger:
            for n in range(5):
                await ledger.append("s", "k", str(n))
            tamper(path, "DELETE FROM events WHERE seq = 5")
            assert not (await ledger.verify()).ok
            seq, digest = await ledger.head()
            assert seq == 4
            assert not (await ledger.verify(expected_head=(5, digest))).ok

    asyncio.run(main())


@settings(max_examples=40)
@given(st.lists(st.tuples(*[st.integers() | st.text() | st.none() | st.binary()] * 11), max_size=5))
def test_no_rows_make_it_stumble(rows: list[Any]) -> None:
    found = chain.verify_rows(rows)
    assert found.ok is (not rows)
