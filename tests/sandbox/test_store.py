"""The tenant's file: what was answered is in it, whatever happens to the process or to the file."""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import sqlite3
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.errors import ConfigError
from bousai_kit.sandbox.store import Store, read_clock
from bousai_kit.sandbox.tenant import Due, Tenant
from tests.sandbox.botlab import SILENT, START, lab, uid


def loaded(path: Path) -> Tenant:
    store = Store(path)
    tenant = Tenant()
    store.load(tenant)
    store.close()
    return tenant


def kept(tenant: Tenant, path: Path, now: datetime = START) -> None:
    store = Store(path)
    store.save(tenant, now)
    store.close()


def plain(tenant: Tenant) -> dict[str, dict[str, object]]:
    return {name: dict(entities) for name, entities in tenant.tables.items() if entities}


def test_what_was_put_is_found_again_in_its_order(tmp_path: Path) -> None:
    tenant = Tenant(seed=5, domain_id=7)
    for number in (3, 1, 2):
        tenant.put("things", f"k{number}", {"n": number, "名": "試験 𠮷", "list": [None, True, 1.5]})
    tenant.delete("things", "k1")
    tenant.put("things", "k3", {"n": 30})
    tenant.schedule(START + timedelta(seconds=5), "x", {"a": 1})
    kept(tenant, tmp_path / "t.db")
    found = loaded(tmp_path / "t.db")
    assert plain(found) == plain(tenant)
    assert list(found.table("things")) == ["k3", "k2"]
    assert found.next_due() == START + timedelta(seconds=5)
    assert (found.seed, found.domain_id) == (5, 7)
    assert found.next_number("due") == 2, "running numbers go on"
    assert os.name != "posix" or (tmp_path / "t.db").stat().st_mode & 0o777 == 0o600


changes = st.lists(
    st.tuples(
        st.sampled_from(["put", "touch", "delete", "save", "schedule", "cancel"]),
        st.integers(0, 5),
        st.integers(0, 99),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(changes)
def test_any_changes_are_kept_once_saved(steps: list[tuple[str, int, int]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.db"
        store, tenant, due = Store(path), Tenant(), []
        for at, (step, key, value) in enumerate(steps):
            now = START + timedelta(seconds=at)
            if step == "put":
                tenant.put("things", str(key), {"v": value})
            elif step == "touch" and str(key) in tenant.table("things"):
                tenant.table("things")[str(key)]["v"] = value
                tenant.touch("things", str(key))
            elif step == "delete":
                tenant.delete("things", str(key))
            elif step == "schedule":
                due.append(tenant.schedule(START + timedelta(seconds=value), "x", {}))
            elif step == "cancel" and due:
                tenant.cancel(due[key % len(due)])
            elif step == "save":
                store.save(tenant, now)
        store.save(tenant, START + timedelta(seconds=100))
        store.close()
        found = loaded(path)
        assert plain(found) == plain(tenant)
        assert {name: list(rows) for name, rows in plain(found).items()} == {
            name: list(rows) for name, rows in plain(tenant).items()
        }, "in the same order, what came back at the end"
        happened: list[Due] = []
        for one in (tenant, found):
            while (event := one.first_due(START + timedelta(seconds=200))) is not None:
                one.cancel(event.key)
                happened.append(event)
        half = len(happened) // 2
        assert happened[:half] == happened[half:], "the same events, in the same order"
        assert read_clock(path) == START + timedelta(seconds=100)


def test_a_write_that_fails_is_made_by_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, tenant = Store(tmp_path / "t.db"), Tenant()
    store.save(tenant, START)
    tenant.put("things", "a", {"v": 1})
    with monkeypatch.context() as patched:
        patched.setattr(Store, "_write", lambda *_: (_ for _ in ()).throw(sqlite3.OperationalError("full")))
        with pytest.raises(sqlite3.OperationalError):
            store.save(tenant, START)
    tenant.put("things", "b", {"v": 2})
    store.save(tenant, START)
    store.close()
    assert loaded(tmp_path / "t.db").table("things") == {"a": {"v": 1}, "b": {"v": 2}}


def test_the_reading_is_what_was_saved_or_promised_last(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    store, tenant = Store(path), Tenant()
    assert (store.reading(), read_clock(path), read_clock(tmp_path / "none.db")) == (None, None, None)
    store.save(tenant, START)
    assert store.reading() == START
    moment = START + timedelta(microseconds=1)
    store.save(tenant, moment)
    assert read_clock(path) == moment, "without any change too"
    ahead = START + timedelta(seconds=60)
    store.promise(ahead)
    store.save(tenant, START + timedelta(seconds=1))
    assert read_clock(path) == store.reading() == ahead
    store.promise(None)
    assert read_clock(path) == START + timedelta(seconds=1)
    store.close()
    store.close()


@pytest.mark.parametrize(
    "damage",
    ["nonsense", "half", "version", "row", "columns", "folder"],
)
def test_a_file_that_is_no_tenant_is_said_and_left_alone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "t.db"
    tenant = Tenant()
    for number in range(2000):
        tenant.put("things", str(number), {"text": "x" * 100})
    kept(tenant, path)
    if damage == "nonsense":
        path.write_bytes(b"no database at all" * 1000)
    elif damage == "half":
        raw = path.read_bytes()
        path.write_bytes(raw[: len(raw) // 2])
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        db = sqlite3.connect(path)
        if damage == "version":
            db.execute("UPDATE meta SET value = '99' WHERE name = 'version'")
        elif damage == "row":
            db.execute("UPDATE entity SET body = '{' WHERE key = '7'")
        else:
            db.execute("DROP TABLE entity")
            db.execute("CREATE TABLE entity (a)")
        db.commit()
        db.close()
    before = b"" if damage == "folder" else path.read_bytes()
    with pytest.raises(ConfigError) as caught:
        loaded(path)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert str(tmp_path) in caught.value.hint
    assert damage == "folder" or path.read_bytes() == before
    assert read_clock(path) is None or damage in ("version", "row", "half", "columns")


def test_a_full_disk_is_no_success_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Store._write
    full = False

    def maybe(self: Store, *args: Any) -> None:
        if full:
            raise ConfigError("full")
        write(self, *args)

    async def test() -> None:
        nonlocal full
        monkeypatch.setattr(Store, "_write", maybe)
        async with lab(3, path=tmp_path / "t.db", choices=SILENT) as bench:
            assert (await bench.text(1)).status_code == 201
            full = True
            assert (await bench.text(2)).status_code == 500, "what is not stored is not said to be done"
            await bench.clock.sleep(5)  # callbacks become due meanwhile
            full = False
            assert (await bench.text(3)).status_code == 201
            await bench.clock.sleep(5)
            assert [event["source"]["userId"] for event in bench.receiver.events] == [uid(1), uid(2), uid(3)]
            assert bench.sandbox.defects, "it was noticed"
            assert {type(error) for error in bench.sandbox.defects} == {ConfigError}
            bench.sandbox.defects.clear()

    asyncio.run(test())
    assert len(loaded(tmp_path / "t.db").table("talks")) == 3


# -- killed -----------------------------------------------------------------------------------------


async def talk_on(path: Path, out: int) -> None:
    """Messages and renamed bots until killed; each is said on `out` once it has been answered."""
    async with lab(3, path=path, choices=SILENT) as bench:
        for number in range(100_000):
            at = bench.clock.now().isoformat()
            if number % 3:
                answer = await bench.text(1 + number % 3, f"【訓練】{os.getpid()} {number}")
                assert answer.status_code == 201, answer.text
                os.write(out, f"message {at} 【訓練】{os.getpid()} {number}\n".encode())
            else:
                name = f"Bot {os.getpid()} {number}"
                answer = await bench.api("PATCH", f"/bots/{bench.bot}", {"botName": name})
                assert answer.status_code == 200, answer.text
                os.write(out, f"name {at} {name}\n".encode())
            await bench.clock.sleep(0.5)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_nothing_that_was_answered_is_lost_by_kill_9(tmp_path: Path) -> None:
    path, chance = tmp_path / "tenant.db", random.Random(20270117)
    answered: list[str] = []
    for _ in range(10):
        inlet, outlet = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(inlet)
                asyncio.run(talk_on(path, outlet))
            finally:
                os._exit(1)
        os.close(outlet)
        text = os.read(inlet, 1)  # it has begun
        deadline = time.monotonic() + chance.random() * 0.15
        while (rest := deadline - time.monotonic()) > 0 and select.select([inlet], [], [], rest)[0]:
            text += os.read(inlet, 65536)
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        while chunk := os.read(inlet, 65536):
            text += chunk
        os.close(inlet)
        answered += [line for line in text.decode().splitlines(keepends=True) if line.endswith("\n")]
        assert read_clock(path) >= datetime.fromisoformat(answered[-1].split(" ")[1])

    said = [line.split(" ", 2)[2].rstrip() for line in answered if line.startswith("message")]
    names = [line.split(" ", 2)[2].rstrip() for line in answered if line.startswith("name")]
    moments = [line.split(" ")[1] for line in answered]

    async def look() -> tuple[list[str], str, datetime]:
        async with lab(3, path=path, choices=SILENT) as bench:
            told = [message["text"] for message in bench.truth()["messages"]]
            return told, bench.tenant.table("bots")[bench.bot]["botName"], bench.clock.now()

    told, name, now = asyncio.run(look())
    assert len(said) >= 5
    assert set(said) <= set(told)
    assert len(told) - len(said) <= 10, "at most what was under way at each kill"
    assert len(told) == len(set(told))
    assert moments == sorted(moments), "no clock ran backwards"
    assert now.astimezone(UTC) >= datetime.fromisoformat(moments[-1])
    assert [*map(int, name.split()[1:])] >= [*map(int, names[-1].split()[1:])], "9 comes before 12"
    assert uid(1)
