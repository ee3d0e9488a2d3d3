"""The tenant of a home: kept, run by one process at a time, joined where it is served (interfaces §1)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from bousai_kit.clock import VirtualClock
from bousai_kit.errors import ConfigError
from bousai_kit.sandbox import home as home_module
from bousai_kit.sandbox import keys, locks, open_home_sandbox, peek_clock, serve_home_sandbox
from bousai_kit.sandbox.home import BEGINNING, AnySandbox, HomeSandbox
from bousai_kit.sandbox.keys import new_key
from bousai_kit.sandbox.locks import FolderLock
from bousai_kit.sandbox.store import Store, read_clock
from tests.sandbox.botlab import tls

PEM = new_key()
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")


class Client:
    """A client of a tenant, in process or served: plain HTTP with the tenant's own credentials."""

    def __init__(self, sandbox: AnySandbox, http: httpx.AsyncClient) -> None:
        self.sandbox, self.http = sandbox, http
        self.headers: dict[str, str] = {}

    async def log_in(self) -> None:
        made = self.sandbox.credentials
        now = int(self.sandbox.clock.now().timestamp())
        claims = {"iss": made.client_id, "sub": made.service_account, "iat": now, "exp": now + 600}
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": jwt.encode(claims, made.private_key_pem, algorithm="RS256"),
            "client_id": made.client_id,
            "client_secret": made.client_secret,
            "scope": "bot user",
        }
        answer = await self.http.post(f"{self.sandbox.auth_url}/token", data=form)
        assert answer.status_code == 200, answer.text
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def api(self, method: str, path: str, body: Any = None) -> httpx.Response:
        url = f"{self.sandbox.api_url}{path}"
        return await self.http.request(method, url, json=body, headers=self.headers)

    async def bot(self) -> dict[str, Any]:
        answer = await self.api("GET", f"/bots/{self.sandbox.credentials.bot_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def rename(self, name: str) -> None:
        body = {"botName": name}
        answer = await self.api("PATCH", f"/bots/{self.sandbox.credentials.bot_id}", body)
        assert answer.status_code == 200, answer.text


@contextlib.asynccontextmanager
async def client_of(sandbox: AnySandbox) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(mounts=sandbox.mounts(), trust_env=False, verify=tls()) as http:
        client = Client(sandbox, http)
        await client.log_in()
        yield client


@contextlib.asynccontextmanager
async def opened(home: Path, **more: Any) -> AsyncIterator[Any]:
    sandbox = await open_home_sandbox(home, **more)
    try:
        yield sandbox
    finally:
        await sandbox.stop()


@pytest.fixture(autouse=True)
def _one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a key takes a tenth of a second: these tests share one."""
    monkeypatch.setattr(keys, "new_key", lambda: PEM)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for another process is short."""
    assert locks.WAIT_S == 10.0
    monkeypatch.setattr(locks, "WAIT_S", 0.3)
    monkeypatch.setattr(locks, "LOOK_S", 0.01)


# -- kept -------------------------------------------------------------------------------------------


def test_a_new_home_begins_with_what_the_interfaces_say(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as sandbox, client_of(sandbox) as client:
            assert sandbox.clock.now() == datetime(2027, 1, 17, tzinfo=UTC) == BEGINNING
            assert isinstance(sandbox.clock, VirtualClock)
            assert not sandbox.served
            users = (await client.api("GET", "/users")).json()["users"]
            assert [(user["isAdministrator"], user["isPending"]) for user in users] == [(True, False)]
            bot = await client.bot()
            assert bot["enableCallback"]
            assert bot["enableGroupJoin"]
            domains = (await client.api("GET", f"/bots/{bot['botId']}/domains")).json()["domains"]
            assert [(d["domainId"], d["visible"]) for d in domains] == [(sandbox.credentials.domain_id, True)]
            assert len(sandbox.tenant.table("boards")) == 1
            for feature in ("levels", "positions"):
                assert sandbox.tenant.get(f"enabled:{feature}:{sandbox.credentials.domain_id}") is True
            truth = (await client.http.get(f"{sandbox.admin_url}/truth")).json()
            assert (truth["messages"], truth["answers"], truth["due"]) == ([], [], 0)

    asyncio.run(test())


def test_what_one_kernel_did_the_next_one_finds(tmp_path: Path) -> None:
    async def first() -> tuple[Any, datetime]:
        async with opened(tmp_path, seed=7) as sandbox, client_of(sandbox) as client:
            await client.rename("市の Bot")
            await sandbox.clock.sleep(3600.5)
            return sandbox.credentials, sandbox.clock.now()

    async def second(before: Any, at: datetime) -> None:
        async with opened(tmp_path, seed=8) as sandbox, client_of(sandbox) as client:
            assert sandbox.credentials == before, "app, key and bot secret stay"
            assert sandbox.clock.now() == at
            assert sandbox.tenant.seed == 7, "a tenant keeps its seed"
            assert (await client.bot())["botName"] == "市の Bot"

    assert peek_clock(tmp_path).now() == BEGINNING, "nothing there yet, and nothing made by looking"
    assert not (tmp_path / "sandbox").exists()
    before, at = asyncio.run(first())
    assert peek_clock(tmp_path).now() == at
    assert isinstance(peek_clock(tmp_path), VirtualClock)
    asyncio.run(second(before, at))


def test_equal_seeds_give_equal_ids(tmp_path: Path) -> None:
    async def ids(home: Path, seed: int) -> list[str]:
        async with opened(home, seed=seed) as sandbox:
            return list(sandbox.tenant.table("users"))

    one, two, other = (asyncio.run(ids(tmp_path / str(n), seed)) for n, seed in enumerate((1, 1, 2)))
    assert one == two != other


@posix
def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with serve_home_sandbox(tmp_path) as sandbox:
            folder = tmp_path / "sandbox"
            assert sandbox.store is not None
            assert folder.stat().st_mode & 0o777 == 0o700
            names = {path.name for path in folder.iterdir()}
            assert {"tenant.db", "app.json", "private_key.pem", "lock", "serving.json"} <= names
            assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == dict.fromkeys(
                names, 0o600
            )

    asyncio.run(test())


@pytest.mark.parametrize("name", ["app.json", "private_key.pem"])
@pytest.mark.parametrize("content", [b"", b"{", b'{"client_id": 3}', b"-----BEGIN PRIVATE KEY-----\n", None])
def test_damaged_credentials_are_made_anew(tmp_path: Path, name: str, content: bytes | None) -> None:
    async def test() -> None:
        async with opened(tmp_path):
            pass
        path = tmp_path / "sandbox" / name
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        async with opened(tmp_path) as sandbox, client_of(sandbox) as client:
            assert await client.bot()
            assert os.name != "posix" or path.stat().st_mode & 0o777 == 0o600

    asyncio.run(test())


def test_a_founding_that_was_cut_off_begins_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "sandbox" / "tenant.db")  # made, nothing founded yet
    store.close()

    async def test() -> None:
        async with opened(tmp_path) as sandbox:
            assert len(sandbox.tenant.table("users")) == 1
            assert sandbox.clock.now() == BEGINNING

    asyncio.run(test())


def test_a_file_that_is_no_tenant_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    folder.mkdir()
    (folder / "tenant.db").write_bytes(b"nonsense" * 1000)
    for _ in range(2):  # the lock is free again
        with pytest.raises(ConfigError) as caught:
            asyncio.run(open_home_sandbox(tmp_path))
        assert "別の場所に移して" in caught.value.hint
    assert peek_clock(tmp_path).now() == BEGINNING
    assert FolderLock(folder / "lock").is_free()


# -- one at a time ----------------------------------------------------------------------------------


@contextlib.contextmanager
def child(work: Callable[[Callable[[], None]], Awaitable[None]]) -> Iterator[int]:
    """A forked process that does `work(begun)`; entered once it has called ``begun()``."""
    inlet, outlet = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(inlet)

            async def run() -> None:
                await work(lambda: os.write(outlet, b"."))

            asyncio.run(run())
        finally:
            os._exit(0)
    os.close(outlet)
    try:
        assert os.read(inlet, 1) == b"."
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(inlet)


async def hold_for(home: Path, begun: Callable[[], None], seconds: float = 60.0) -> None:
    async with opened(home):
        begun()
        await asyncio.sleep(seconds)


@posix
@pytest.mark.usefixtures("impatient")
def test_a_home_in_use_is_said_with_who_and_what_to_do(tmp_path: Path) -> None:
    with child(lambda begun: hold_for(tmp_path, begun)) as pid:
        with pytest.raises(ConfigError) as caught:
            asyncio.run(open_home_sandbox(tmp_path))
        assert f"PID {pid}" in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        assert "bousai lab" in caught.value.hint
        assert caught.value.exit_code == 2

        async def serve() -> None:
            async with serve_home_sandbox(tmp_path):
                pass

        with pytest.raises(ConfigError):
            asyncio.run(serve())
        assert isinstance(peek_clock(tmp_path), VirtualClock)

    async def after() -> None:
        async with opened(tmp_path) as sandbox:
            assert sandbox.clock.now() == BEGINNING

    asyncio.run(after())  # whoever was killed holds nothing


@posix
def test_a_folder_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def none(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(ConfigError) as caught:
        asyncio.run(open_home_sandbox(tmp_path))
    assert "BOUSAI_HOME" in caught.value.hint
    assert peek_clock(tmp_path).now() == BEGINNING


@posix
def test_who_ends_within_the_wait_lets_the_next_one_in(tmp_path: Path) -> None:
    async def next_one() -> None:
        async with opened(tmp_path) as sandbox:
            assert isinstance(sandbox, HomeSandbox)

    with child(lambda begun: hold_for(tmp_path, begun, 0.3)):
        asyncio.run(next_one())


@pytest.mark.usefixtures("impatient")
def test_a_second_bench_in_one_kernel_is_told_so(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path):
            with pytest.raises(ConfigError) as caught:
                await open_home_sandbox(tmp_path)
            assert "このプログラム自身" in str(caught.value)
            assert "カーネルを再起動" in caught.value.hint
        async with opened(tmp_path):
            pass

    asyncio.run(test())


@pytest.mark.usefixtures("impatient")
def test_a_failed_start_leaves_the_home_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no")

    async def serve() -> None:
        async with serve_home_sandbox(tmp_path):
            pass

    async def test() -> None:
        for name in ("found_tenant", "credentials_for", "write_private"):
            with monkeypatch.context() as patched:
                patched.setattr(home_module, name, fail)
                with pytest.raises(OSError, match="no"):
                    await serve()
        async with opened(tmp_path) as sandbox:
            assert sandbox.clock.now() >= BEGINNING

    asyncio.run(test())


# -- served -----------------------------------------------------------------------------------------


def test_others_join_what_is_served(tmp_path: Path) -> None:
    async def test() -> None:
        async with serve_home_sandbox(tmp_path, time_scale=200.0, seed=3) as served:
            assert served.clock.speed == 200.0
            joined = await open_home_sandbox(tmp_path)
            again = await open_home_sandbox(tmp_path)
            assert joined.served
            assert joined.credentials == served.credentials
            hosts = {httpx.URL(url).netloc for url in (served.api_url, served.auth_url, served.storage_url)}
            assert len(hosts) == 3, "three hosts"
            assert {httpx.URL(url).host for url in (served.api_url, served.admin_url)} == {"127.0.0.1"}
            async with client_of(joined) as one, client_of(again) as two:
                await one.rename("一つ目から")
                assert (await two.bot())["botName"] == "一つ目から"
            for clock in (joined.clock, peek_clock(tmp_path)):
                behind = served.clock.now() - clock.now()
                assert abs(behind) < timedelta(seconds=60), "one clock for all"
                assert clock.speed == 200.0
            await again.stop()
            await joined.stop()
            at = joined.clock.now()
        assert not (tmp_path / "sandbox" / "serving.json").exists()
        async with opened(tmp_path) as sandbox, client_of(sandbox) as client:
            assert sandbox.clock.now() >= at
            assert sandbox.clock.now() - at < timedelta(seconds=200 * 5), "nor does it jump ahead"
            assert (await client.bot())["botName"] == "一つ目から"

    asyncio.run(test())


def test_a_served_clock_goes_on_from_the_reading(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as sandbox:
            await sandbox.clock.sleep(5000)
            before = sandbox.clock.now()
        async with serve_home_sandbox(tmp_path, time_scale=20.0) as served:
            assert timedelta(0) <= served.clock.now() - before < timedelta(seconds=20 * 5)

    asyncio.run(test())


def test_a_served_clock_begins_no_earlier_than_others_remember(tmp_path: Path) -> None:
    async def test() -> None:
        for later_s in (90.0, -90.0):
            moment = BEGINNING + timedelta(days=1, seconds=later_s)
            async with serve_home_sandbox(tmp_path, not_before=moment) as served:
                assert served.clock.now() >= BEGINNING + timedelta(days=1, seconds=90)

    asyncio.run(test())


@posix
def test_a_served_tenant_that_is_killed_leaves_nothing_behind_the_clock(tmp_path: Path) -> None:
    async def serve(begun: Callable[[], None]) -> None:
        async with serve_home_sandbox(tmp_path, time_scale=500.0):
            begun()
            await asyncio.sleep(60)

    async def after(last: datetime, address: str) -> None:
        async with opened(tmp_path) as sandbox:
            assert not sandbox.served, f"{address} is no more"
            assert sandbox.clock.now() >= last
            assert not (tmp_path / "sandbox" / "serving.json").exists()

    for _ in range(2):
        with child(serve) as pid:
            clock = peek_clock(tmp_path)
            assert clock.speed == 500.0
            told = json.loads((tmp_path / "sandbox" / "serving.json").read_text())
            assert told["pid"] == pid
            last = clock.now()
        asyncio.run(after(last, told["api_url"]))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"speed": "x"}'])
def test_a_damaged_notice_is_no_notice(tmp_path: Path, content: str) -> None:
    async def test() -> None:
        async with opened(tmp_path):
            (tmp_path / "sandbox" / "serving.json").write_text(content)
            with pytest.raises(ConfigError):
                await open_home_sandbox(tmp_path)
            assert isinstance(peek_clock(tmp_path), VirtualClock)

    asyncio.run(test())


@pytest.mark.usefixtures("impatient")
def test_a_notice_of_a_process_that_does_not_answer_is_not_believed(tmp_path: Path) -> None:
    async def test() -> None:
        async with serve_home_sandbox(tmp_path):
            notice = tmp_path / "sandbox" / "serving.json"
            told = json.loads(notice.read_text())
            for change in ({"pid": told["pid"] + 1}, {"admin_url": "http://127.0.0.1:9"}, {"admin_url": "x"}):
                notice.write_text(json.dumps({**told, **change}))
                with pytest.raises(ConfigError):
                    await open_home_sandbox(tmp_path)

    asyncio.run(test())


def test_a_joined_one_cannot_take_the_callbacks_into_its_process(tmp_path: Path) -> None:
    async def test() -> None:
        async with serve_home_sandbox(tmp_path):
            joined = await open_home_sandbox(tmp_path)
            with pytest.raises(RuntimeError):
                joined.connect_receiver(object())
            assert joined.credentials.bot_secret not in repr(joined)

    asyncio.run(test())


def test_a_stop_can_be_repeated(tmp_path: Path) -> None:
    async def test() -> None:
        sandbox = await open_home_sandbox(tmp_path)
        await sandbox.stop()
        await sandbox.stop()
        assert read_clock(tmp_path / "sandbox" / "tenant.db") == BEGINNING

    asyncio.run(test())
