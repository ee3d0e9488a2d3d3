"""``--state DIR`` on bad days: two at once, kill −9, half a file, a full disk, a laptop that slept."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from dotenv import dotenv_values

from bousai_kit.clock import SystemClock
from bousai_kit.errors import ConfigError
from bousai_kit.sandbox import core, keys, locks
from bousai_kit.sandbox.seed import found_tenant
from bousai_kit.sandbox.standalone import run_sandbox
from bousai_kit.sandbox.store import Store
from bousai_kit.sandbox.tenant import Tenant
from tests.sandbox.botlab import SILENT, START, new_tenant, opened, private_key, tls, uid
from tests.sandbox.test_serve import log_in, served
from tests.yardstick import in_stints

FOUNDING_STINTS, LOADING_STINTS = 18.0, 5.0  # three times what was seen

linux = pytest.mark.skipif(sys.platform != "linux", reason="the size of a running process's files (prlimit)")


@pytest.fixture(autouse=True)
def _one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "new_key", private_key)


@contextlib.asynccontextmanager
async def running(state: Path, **options: Any) -> AsyncIterator[dict[str, Any]]:
    """The command in this process, and its ready line."""
    ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        run_sandbox(**{"people": 3, **options}, state=state, ready=ready.set_result, note=lambda _: None)
    )
    await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        await task
    try:
        yield ready.result()
    finally:
        task.cancel()
        assert await task == 0


async def truth(ready: dict[str, Any]) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False, verify=tls()) as http:
        return dict((await http.get(ready["admin_url"] + "/truth")).json())


def test_a_folder_is_run_by_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with running(tmp_path / "state") as first:
            env = Path(first["env_file"]).read_text("utf-8")  # noqa: ASYNC240 - a small file
            monkeypatch.setattr(locks, "WAIT_S", 0.05)
            for _ in range(2):
                with pytest.raises(ConfigError) as caught:
                    async with running(tmp_path / "state"):
                        pass
                assert caught.value.exit_code == 2
                assert "使用中" in str(caught.value)
            assert Path(first["env_file"]).read_text("utf-8") == env, "the first one's file"  # noqa: ASYNC240
            assert (await truth(first))["defects"] == []
        async with running(tmp_path / "state") as again:
            assert (await truth(again))["defects"] == []

    asyncio.run(test())


@pytest.mark.parametrize("damage", ["half", "nothing of use", "a folder"])
def test_half_a_state_is_said_and_left_alone(tmp_path: Path, damage: str) -> None:
    state = tmp_path / "state"

    async def test() -> None:
        async with running(state):
            pass
        kept = state / "tenant.db"
        raw = kept.read_bytes()
        if damage == "a folder":
            kept.unlink()
            kept.mkdir()
        else:
            raw = raw[: len(raw) // 2] if damage == "half" else b"\0" * 20_000
            kept.write_bytes(raw)
        for _ in range(2):  # the lock is free again
            with pytest.raises(ConfigError) as caught:
                async with running(state):
                    pass
            assert caught.value.exit_code == 2
            assert str(state) in caught.value.hint
        assert damage == "a folder" or kept.read_bytes() == raw

    asyncio.run(test())


def test_a_place_that_is_no_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    async def test() -> None:
        for place in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(ConfigError) as caught:
                async with running(place):
                    pass
            assert "--state" in caught.value.hint

    asyncio.run(test())


# -- a disk that is really full ---------------------------------------------------------------------


@linux
@pytest.mark.parametrize("size", [0, 5_000, 40_000])
def test_a_disk_that_is_full_at_the_start_leaves_nothing_half(tmp_path: Path, size: int) -> None:
    import resource

    state = tmp_path / "state"

    async def test() -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))  # Python ignores the signal
        try:
            with pytest.raises(ConfigError) as caught:
                async with running(state, people=100):
                    pass
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert caught.value.exit_code == 2
        assert "書き込めません" in str(caught.value)
        assert "空き容量" in caught.value.hint
        async with running(state, people=100) as ready:
            members = (await truth(ready))["members"]
            assert members["active"] + members["pending"] == 100, "founded as if nothing had been"

    asyncio.run(test())


@linux
def test_a_disk_that_fills_up_costs_no_answered_message_even_with_kill_9(tmp_path: Path) -> None:
    import resource

    options = ("--people", "3", "--state", str(tmp_path / "state"))
    said: Counter[str] = Counter()

    def send(http: httpx.Client, env: dict[str, Any], users: list[str], number: int) -> int:
        text = f"【訓練】{number} " + "あ" * 900
        path = f"/bots/{env['BOUSAI_BOT_ID']}/users/{users[number % len(users)]}/messages"
        status = http.post(path, json={"content": {"type": "text", "text": text}}).status_code
        if status == 201:
            said[text] += 1
        return status

    with served(*options) as (process, ready):
        env = dict(dotenv_values(ready["env_file"]))
        with log_in(env) as http:
            users = [user["userId"] for user in http.get("/users").json()["users"]]
            assert send(http, env, users, 0) == 201
            wal = (tmp_path / "state" / "tenant.db-wal").stat().st_size
            _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (wal + 300_000, hard))
            statuses = [send(http, env, users, number) for number in range(1, 40)]
            assert statuses[0] == 201
            assert statuses[-1] == 500, "what is not stored is not said to be done"
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
            assert send(http, env, users, 40) == 201
        process.kill()
    with served(*options) as (_, ready):
        told = httpx.get(ready["admin_url"] + "/truth", trust_env=False).json()
        arrived = Counter(message["text"] for message in told["messages"])
        assert set(said) <= set(arrived)
        assert max(arrived.values()) == 1


# -- a laptop that slept ----------------------------------------------------------------------------


def test_what_became_due_while_the_laptop_slept_happens_when_it_wakes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The wall goes on, the loop's own clock does not."""
    monkeypatch.setattr(core, "LOOK_S", 0.02)

    async def test() -> None:
        clock = SystemClock()
        async with opened(new_tenant(2), clock=clock, choices=SILENT) as bench:
            happened = asyncio.Event()

            async def ring(sandbox: Any, payload: dict[str, Any]) -> None:
                happened.set()

            bench.sandbox.due_handlers["test.ring"] = ring
            bench.tenant.schedule(clock.now() + timedelta(hours=1), "test.ring", {})
            await asyncio.sleep(0.1)
            assert not happened.is_set()
            assert (await bench.text(1)).status_code == 201
            clock._reading += timedelta(hours=2)  # what `now` says after two hours of sleep
            await asyncio.wait_for(happened.wait(), 20)
            assert (await bench.api("GET", f"/users/{uid(1)}")).status_code == 200

    asyncio.run(test())


# -- a large one ------------------------------------------------------------------------------------


def test_a_large_tenant_is_founded_saved_and_loaded_in_its_time(tmp_path: Path) -> None:
    """A fifth of the largest; bench/sandbox.py measures all of it, with a peer."""
    found: list[Tenant] = []

    def found_and_save() -> None:
        tenant = found_tenant(seed=1, now=START, people=6000)
        with contextlib.closing(Store(tmp_path / "t.db")) as store:
            store.save(tenant, START)
        found.append(tenant)

    def load() -> None:
        tenant = Tenant()
        with contextlib.closing(Store(tmp_path / "t.db")) as store:
            store.load(tenant)
        found.append(tenant)

    _, founding = in_stints(found_and_save)
    _, loading = in_stints(load)
    assert found[0].table("users") == found[1].table("users")
    assert len(found[1].table("users")) == 6001
    assert founding <= FOUNDING_STINTS
    assert loading <= LOADING_STINTS
    names = {id(name) for user in found[1].table("users").values() for name in user}
    assert len(names) < 6001, "names of properties are shared, not held 6,001 times"
