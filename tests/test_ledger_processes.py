"""Several real processes on one file; some of them are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from bousai_kit.clock import SystemClock
from bousai_kit.errors import LedgerUnavailable
from bousai_kit.ledger import Ledger, verify_file
from bousai_kit.ledger.sqlite import SqliteBackend

ROOT = Path(__file__).parent.parent

WRITER = """
import asyncio, os, sys
from bousai_kit.clock import SystemClock
from bousai_kit.ledger import Ledger

async def main(path, who, keys, width):
    async with await Ledger.open(f"sqlite:///{path}", clock=SystemClock()) as ledger:
        print("ready", flush=True)
        sys.stdin.readline()
        async def lane(n):
            for key in range(n, keys, width):
                event = await ledger.append("s", "intended", who, {"key": key}, once=f"send:{key}")
                if event is not None:  # told only after it is durable
                    os.write(1, f"{event.seq} {key}\\n".encode())
                await ledger.append("s", "tick", who, {"key": key})
        await asyncio.gather(*(lane(n) for n in range(width)))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


def start(path: Path, who: str, keys: int, width: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), who, str(keys), str(width)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"ready"
    return process


def go(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def told(output: bytes) -> list[tuple[int, int]]:
    """What the process said before it died (a torn last line does not count)."""
    lines = output.split(b"\n")[:-1]
    return [(int(seq), int(key)) for seq, key in (line.split() for line in lines)]


def rows(path: Path) -> list[tuple[int, str, str, int]]:
    with closing(sqlite3.connect(path)) as db:
        return list(
            db.execute("SELECT seq, kind, subject, json_extract(body, '$.key') FROM events ORDER BY seq")
        )


@pytest.mark.parametrize(("width", "after_s"), [(1, 0.05), (1, 0.15), (8, 0.05), (8, 0.15), (64, 0.1)])
def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path, width: int, after_s: float) -> None:
    path = tmp_path / "ledger.db"
    said: list[tuple[int, int]] = []
    for turn in range(2):  # the second one goes on where the first was killed
        with start(path, f"p{turn}", 100_000, width) as process:
            assert process.stdout is not None
            go(process)
            output = process.stdout.readline()  # it writes, however busy the machine is
            time.sleep(after_s)  # so far into the writing it is killed
            process.send_signal(signal.SIGKILL)
            output += process.stdout.read()
            assert process.wait(20) == -signal.SIGKILL
        assert told(output), "killed before it wrote anything: nothing was tried"
        said += told(output)
    found = verify_file(path)
    assert found.ok, found.broken
    there = rows(path)
    intended = {(seq, key) for seq, kind, _, key in there if kind == "intended"}
    assert set(said) <= intended
    assert [seq for seq, *_ in there] == list(range(1, len(there) + 1))
    keys = Counter(key for _, kind, _, key in there if kind == "intended")
    assert max(keys.values()) == 1  # `once` survived

    async def go_on() -> None:
        async with await Ledger.open(f"sqlite:///{path}", clock=SystemClock()) as ledger:
            assert await ledger.append("s", "intended", once=f"send:{said[0][1]}") is None
            event = await ledger.append("s", "intended", once="send:new")
            assert event is not None
            assert event.seq == len(there) + 1
            assert (await ledger.verify()).ok

    asyncio.run(go_on())


def test_three_processes_never_intend_the_same(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    processes = [start(path, f"p{n}", 150, 5) for n in range(3)]
    for process in processes:
        go(process)
    said = []
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        said += told(output)
    assert sorted(key for _, key in said) == list(range(150))
    there = rows(path)
    assert len(there) == 150 + 3 * 150
    assert {(seq, key) for seq, kind, _, key in there if kind == "intended"} == set(said)
    assert verify_file(path).ok


def test_a_follower_finds_what_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    process = start(path, "other", 40, 4)

    async def main() -> None:
        async with await Ledger.open(f"sqlite:///{path}", clock=SystemClock()) as ledger:
            go(process)
            seen = []
            async with asyncio.timeout(20):
                async for event in ledger.follow(stream="s", kinds={"tick"}, poll_s=0.01):
                    seen.append(event.body["key"])
                    if len(seen) == 40:
                        break
            assert sorted(seen) == list(range(40))

    try:
        asyncio.run(main())
    finally:
        process.communicate(timeout=20)


def test_readers_are_not_kept_waiting_by_a_writer_nor_the_reverse(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with await Ledger.open(f"sqlite:///{path}", clock=SystemClock()) as ledger:
            await ledger.append("s", "k")
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN")
                assert other.execute("SELECT count(*) FROM events").fetchone() == (1,)
                assert await ledger.append("s", "k") is not None  # while another one reads
                other.execute("COMMIT")
                other.execute("BEGIN IMMEDIATE")
                assert len(await ledger.read()) == 2  # while another one writes
                other.execute("ROLLBACK")

    asyncio.run(main())


def test_a_lock_that_is_never_given_back(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        backend = await asyncio.to_thread(SqliteBackend, path, patience_s=0.2)
        async with Ledger(backend, clock=SystemClock()) as ledger:
            await ledger.append("s", "k")
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                turns = 0
                for _ in range(2):  # by the writer, and as a lone append that begins in the loop
                    task = asyncio.create_task(ledger.append("s", "k", once="x"))
                    while not task.done():
                        turns += 1
                        await asyncio.sleep(0.01)
                    with pytest.raises(LedgerUnavailable) as raised:
                        await task
                    assert "使用中" in str(raised.value)
                    assert raised.value.hint
                assert turns > 10  # the loop went on all the time
                other.execute("ROLLBACK")
            assert await ledger.append("s", "k", once="x") is not None
            assert (await ledger.verify()).ok

    asyncio.run(main())


def test_a_lock_that_is_given_back_in_time(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with await Ledger.open(f"sqlite:///{path}", clock=SystemClock()) as ledger:
            await ledger.append("s", "k")
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                task = asyncio.create_task(ledger.append("s", "k"))
                await asyncio.sleep(0.1)
                assert not task.done()
                other.execute("ROLLBACK")
                assert await asyncio.wait_for(task, 5) is not None

    asyncio.run(main())
