"""The tenant of a home, kept in ``BOUSAI_HOME/sandbox/``: one process runs it, others join it there.

====================  =====================================================================================
``tenant.db``         the tenant: each change before it is answered, what is due, the clock's last reading
``app.json``          client id and secret of the app; ``private_key.pem``: its key (both 0600)
``lock``              held by the process that runs the tenant; says which one
``serving.json``      where it listens (0600), while ``lab`` serves it
====================  =====================================================================================

In process its clock is virtual; served, it goes on from the stored reading at the chosen speed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx

from bousai_kit.clock import Clock, SystemClock, VirtualClock
from bousai_kit.sandbox.core import Credentials, Sandbox
from bousai_kit.sandbox.keys import credentials_for, write_private
from bousai_kit.sandbox.locks import FolderLock
from bousai_kit.sandbox.seed import found_tenant
from bousai_kit.sandbox.store import Store, read_clock
from bousai_kit.sandbox.tenant import Tenant

__all__ = [
    "BEGINNING",
    "AnySandbox",
    "HomeSandbox",
    "JoinedSandbox",
    "beating",
    "open_home_sandbox",
    "open_tenant",
    "peek_clock",
    "serve_home_sandbox",
]

BEGINNING = datetime(2027, 1, 17, tzinfo=UTC)
TENANT, LOCK, SERVING = "tenant.db", "lock", "serving.json"
BEAT_S = 1.0
AHEAD_S = 3.0  # of the wall: so far the clock may go on after the last beat of a served tenant that is killed


class AnySandbox(Protocol):
    """What a workbench sees of its tenant, in this process or in another."""

    clock: Clock
    credentials: Credentials
    api_url: str
    auth_url: str
    storage_url: str
    admin_url: str
    line_url: str

    @property
    def served(self) -> bool:
        """Reached through a socket: another process runs it."""

    def mounts(self) -> dict[str, httpx.AsyncBaseTransport]:
        """Transports by host; empty when it is served."""

    def hosts(self) -> tuple[str, ...]:
        """Hosts to which a client may carry its token."""

    def connect_receiver(self, app: Any) -> str:
        """Let callbacks go to an ASGI app of this process."""

    async def stop(self) -> None:
        """Leave it; what it holds is kept."""


class HomeSandbox(Sandbox):
    """A kept tenant, run by this process; ending it frees the folder for the next one."""

    lock: FolderLock | None = None

    async def stop(self) -> None:
        """End the driver, store the state, free the folder; safe to call twice."""
        try:
            if self.store is not None:
                self.store.save(self.tenant, self.clock.now())
                self.store.promise(None)
        finally:
            try:
                await super().stop()
            finally:
                if self.lock is not None:
                    self.lock.release()


class JoinedSandbox:
    """A kept tenant that another process serves.

    Parameters
    ----------
    serving : mapping
        What ``serving.json`` says.
    """

    served = True

    def __init__(self, serving: Mapping[str, Any]) -> None:
        self.clock: Clock = _served_clock(serving)
        self.credentials = Credentials(**serving["credentials"])
        self.api_url = str(serving["api_url"])
        self.auth_url = str(serving["auth_url"])
        self.storage_url = str(serving["storage_url"])
        self.admin_url = str(serving["admin_url"])
        self.line_url = str(serving["line_url"])

    def __repr__(self) -> str:
        return f"<JoinedSandbox {self.api_url}>"

    def mounts(self) -> dict[str, httpx.AsyncBaseTransport]:
        """None: it is reached through sockets."""
        return {}

    def hosts(self) -> tuple[str, ...]:
        """Hosts to which a client may carry its token."""
        urls = (self.api_url, self.auth_url, self.storage_url)
        return tuple(dict.fromkeys(str(httpx.URL(url).host) for url in urls))

    def connect_receiver(self, app: Any) -> str:
        """Not possible from another process: callbacks are posted to the bot's URL.

        Raises
        ------
        RuntimeError
            Always.
        """
        raise RuntimeError("a served sandbox posts its callbacks to the bot's callbackUrl")

    async def stop(self) -> None:
        """Nothing to end: the tenant is another process's."""


# -- opening ----------------------------------------------------------------------------------------


async def open_home_sandbox(home: Path, *, seed: int = 1) -> AnySandbox:
    """The tenant of a home: run in this process under a virtual clock, or joined where it is served.

    Parameters
    ----------
    home : Path
        ``BOUSAI_HOME``.
    seed : int
        Of a new tenant; one that is there keeps its own.

    Raises
    ------
    ConfigError
        Another process runs it and did not end within 10 s, or its file cannot be used.
    """
    folder = home / "sandbox"
    lock = FolderLock(folder / LOCK)
    joined = await _take_or_join(lock, folder)
    if joined is not None:
        return joined
    try:
        sandbox = _run(folder, seed=seed, clock=None)
    except BaseException:
        lock.release()
        raise
    sandbox.lock = lock
    await sandbox.start()
    return sandbox


@contextlib.asynccontextmanager
async def serve_home_sandbox(
    home: Path, *, time_scale: float = 1.0, seed: int = 1, not_before: datetime | None = None
) -> AsyncIterator[HomeSandbox]:
    """Serve the tenant of a home on loopback while entered; others join it.

    Parameters
    ----------
    home : Path
        ``BOUSAI_HOME``.
    time_scale : float
        Speed of its clock, which goes on from the stored reading.
    seed : int
        Of a new tenant.
    not_before : datetime, optional
        What others of this home remember of the clock; it begins no earlier.

    Raises
    ------
    ConfigError
        Another process runs it and did not end within 10 s, or its file cannot be used.
    """
    from bousai_kit.sandbox.serve import serve_hosts

    folder = home / "sandbox"
    lock = FolderLock(folder / LOCK)
    await _take_or_join(lock, folder, join=False)
    try:
        origin, reading = datetime.now(UTC), read_clock(folder / TENANT) or BEGINNING
        reading = max(reading, not_before or reading)
        clock = SystemClock(speed=time_scale, origin=origin, reading=reading)
        sandbox = _run(folder, seed=seed, clock=clock)
    except BaseException:
        lock.release()
        raise
    sandbox.lock = lock
    try:
        async with beating(sandbox), serve_hosts(sandbox):
            await sandbox.start()
            with _announced(folder, sandbox, origin, reading):
                yield sandbox
    finally:
        await sandbox.stop()


def peek_clock(home: Path) -> Clock:
    """The clock of a home's tenant without running it: the served one's, else one at its last reading.

    Parameters
    ----------
    home : Path
        ``BOUSAI_HOME``.
    """
    folder = home / "sandbox"
    serving = _serving(folder)
    if serving is not None and not FolderLock(folder / LOCK).is_free():
        return _served_clock(serving)
    return VirtualClock(read_clock(folder / TENANT) or BEGINNING)


def open_tenant(store: Store, *, seed: int, now: datetime, people: int = 0) -> Tenant:
    """The tenant of a file, founded in one transaction when the file is new."""
    if store.empty():
        tenant = found_tenant(seed=seed, now=now, people=people)
        store.save(tenant, now)
        return tenant
    tenant = Tenant()
    store.load(tenant)
    return tenant


def _run(folder: Path, *, seed: int, clock: SystemClock | None) -> HomeSandbox:
    store = Store(folder / TENANT)
    try:
        running: Clock = clock or VirtualClock(store.reading() or BEGINNING)
        tenant = open_tenant(store, seed=seed, now=running.now())
        credentials = credentials_for(tenant, folder)
        return HomeSandbox(tenant, clock=running, credentials=credentials, store=store)
    except BaseException:
        store.close()
        raise


# -- one process at a time --------------------------------------------------------------------------


async def _take_or_join(lock: FolderLock, folder: Path, *, join: bool = True) -> JoinedSandbox | None:
    """Hold the lock (None), or have joined the process that serves."""

    async def look() -> JoinedSandbox | None:
        serving = _serving(folder) if join else None
        return JoinedSandbox(serving) if serving is not None and await _listens(serving) else None

    joined = await lock.wait(meanwhile=look)
    if joined is None:
        with contextlib.suppress(OSError):  # of one that was killed
            os.unlink(folder / SERVING)
    return joined


async def _listens(serving: Mapping[str, Any]) -> bool:
    """Whether the process that wrote ``serving.json`` is the one that answers there."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as http:
            answer = await http.get(f"{serving['admin_url']}/ready")
            return answer.status_code == 200 and answer.json().get("pid") == serving["pid"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, AttributeError):
        return False


# -- being served -----------------------------------------------------------------------------------


def _serving(folder: Path) -> dict[str, Any] | None:
    """What ``serving.json`` says, if it is there and whole."""
    try:
        found = json.loads((folder / SERVING).read_bytes())
        JoinedSandbox(found)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(found)


def _served_clock(serving: Mapping[str, Any]) -> SystemClock:
    return SystemClock(
        speed=float(serving["speed"]),
        origin=datetime.fromisoformat(serving["origin"]),
        reading=datetime.fromisoformat(serving["reading"]),
    )


@contextlib.contextmanager
def _announced(folder: Path, sandbox: Sandbox, origin: datetime, reading: datetime) -> Iterator[None]:
    """Say where the tenant listens while entered."""
    serving = {
        "pid": os.getpid(),
        "api_url": sandbox.api_url,
        "auth_url": sandbox.auth_url,
        "storage_url": sandbox.storage_url,
        "admin_url": sandbox.admin_url,
        "line_url": sandbox.line_url,
        "speed": sandbox.clock.speed,
        "origin": origin.isoformat(),
        "reading": reading.isoformat(),
        "credentials": asdict(sandbox.credentials),
    }
    write_private(folder / SERVING, json.dumps(serving).encode())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(folder / SERVING)


@contextlib.asynccontextmanager
async def beating(sandbox: Sandbox) -> AsyncIterator[None]:
    """Keep a moment stored that the clock has not reached yet: who goes on after a kill begins there."""

    async def beat() -> None:
        while sandbox.store is not None:
            ahead = timedelta(seconds=AHEAD_S * sandbox.clock.speed)
            with contextlib.suppress(sqlite3.Error):  # a full disk: said by the next change, not here
                sandbox.store.promise(sandbox.clock.now() + ahead)
            await asyncio.sleep(BEAT_S)

    task = asyncio.create_task(beat(), name="sandbox clock")
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
