"""`bousai sandbox`: a tenant of its own on loopback, from start to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bousai_kit.clock import parse_time_scale
from bousai_kit.errors import ConfigError
from bousai_kit.sandbox.envfile import check_env_file, write_env_file
from bousai_kit.sandbox.faults import load_faults
from bousai_kit.sandbox.home import LOCK, TENANT, HomeSandbox, beating, open_tenant
from bousai_kit.sandbox.keys import credentials_for
from bousai_kit.sandbox.locks import FolderLock
from bousai_kit.sandbox.seed import found_tenant
from bousai_kit.sandbox.serve import serve_hosts
from bousai_kit.sandbox.store import Store

__all__ = ["run_sandbox", "time_scale_text"]

ENV = "sandbox.env"
DRIFT = 1e-4
LONGEST = timedelta(days=365 * 30)


async def run_sandbox(
    *,
    people: int = 200,
    seed: int = 1,
    port: int = 0,
    faults: Path | None = None,
    time_scale: float = 1.0,
    env_file: Path | None = None,
    state: Path | None = None,
    plan: str = "standard",
    limiter: str = "fixed",
    ready: Callable[[dict[str, Any]], None],
    note: Callable[[str], None],
) -> int:
    """Serve until cancelled.

    Parameters
    ----------
    people : int
        Members besides the administrator: the first of the sample roster, generated ones beyond.
    seed : int
        Of ids and people.
    port : int
        Of the API; 0: any free one.
    faults : Path, optional
        TOML, see `bousai_kit.sandbox.faults`.
    time_scale : float
        Speed of the clock.
    env_file : Path, optional
        Default: in `state`, else in a folder that is gone afterwards.
    state : Path, optional
        Folder that keeps the tenant; one that is there goes on.
    plan : str
        ``free``, ``standard`` or ``advanced``; not kept, each start says it anew.
    limiter : str
        ``fixed``, ``sliding`` or ``bucket``: how a minute is counted.
    ready : callable
        Called once, with what the ready line says.
    note : callable
        Says something to the person at the terminal.

    Returns
    -------
    int
        Exit code 0: it was stopped.

    Raises
    ------
    ConfigError, InputError
        A port, folder or file cannot be used.
    """
    bad_days = load_faults(faults) if faults is not None else None
    with _env_place(env_file, state) as place:
        check_env_file(place)
        lock = None if state is None else FolderLock(state / LOCK)
        if lock is not None:
            await lock.wait()
        try:
            sandbox, scale = _make(
                people, seed, time_scale, state, note, faults=bad_days, plan=plan, limiter=limiter
            )
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        sandbox.lock = lock
        try:
            async with beating(sandbox), serve_hosts(sandbox, port=port):
                await sandbox.start()
                write_env_file(place, sandbox, time_scale=scale)
                ready(
                    {
                        "ready": True,
                        "api_url": sandbox.api_url,
                        "auth_url": sandbox.auth_url,
                        "storage_url": sandbox.storage_url,
                        "admin_url": sandbox.admin_url,
                        "env_file": str(place),
                        "pid": os.getpid(),
                    }
                )
                note(f"接続設定は {place} にあります。止めるには Ctrl-C を押します。")
                await _until_cancelled()
        finally:
            await sandbox.stop()
    return 0


async def _until_cancelled() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()


@contextlib.contextmanager
def _env_place(env_file: Path | None, state: Path | None) -> Iterator[Path]:
    """Where the env file goes; a folder of its own is gone afterwards."""
    if env_file is not None:
        yield Path(os.path.abspath(env_file.expanduser()))
    elif state is not None:
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            raise ConfigError(
                f"フォルダ「{state}」を使えません（フォルダではないか、作る権限がありません）。",
                setting="--state",
                hint="--state に、この端末の中の別のフォルダを指定してください。",
            ) from None
        yield Path(os.path.abspath(state)) / ENV
    else:
        folder = tempfile.mkdtemp(prefix="bousai-sandbox-")
        try:
            yield Path(folder) / ENV
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _make(
    people: int,
    seed: int,
    time_scale: float,
    state: Path | None,
    note: Callable[[str], None],
    **rest: Any,
) -> tuple[HomeSandbox, str]:
    """The sandbox, and the text that its clock was made from; `rest` goes to the sandbox."""
    store = None if state is None else Store(state / TENANT)
    gc.disable()  # 30,000 members are no garbage: looking through them again and again costs a second
    try:
        reading = store.reading() if store is not None else None
        scale = time_scale_text(time_scale, start=datetime.now(UTC), reading=reading)
        clock = parse_time_scale(scale)
        if store is None:
            tenant = found_tenant(seed=seed, now=clock.now(), people=people)
        else:
            if not store.empty():
                note(f"フォルダ「{state}」のテナントを続けます（--people と --seed は使いません）。")
            tenant = open_tenant(store, seed=seed, now=clock.now(), people=people)
        credentials = credentials_for(tenant, state)
        sandbox = HomeSandbox(tenant, clock=clock, credentials=credentials, store=store, **rest)
    except BaseException:
        if store is not None:
            store.close()
        raise
    finally:
        gc.freeze()
        gc.enable()
    return sandbox, scale


def time_scale_text(speed: float, *, start: datetime, reading: datetime | None = None) -> str:
    """``X@T0`` of a clock of this speed that begins at `start`, and not before `reading`.

    A kept tenant that ran fast is ahead of the wall. ``T0 + X·(wall − T0)`` then needs another T0; at speed
    1, where there is none, the clock becomes a little faster than the wall.

    Raises
    ------
    ConfigError
        The reading is so far ahead that no clock of about this speed can go on from it.
    """
    origin = start
    if reading is not None and reading > start:
        ahead = reading - start
        if speed == 1.0:
            speed = 1.0 + max(DRIFT, ahead / LONGEST)
        speed = float(f"{speed:.12g}")
        if not abs(ahead / LONGEST) <= abs(speed - 1.0) * 1.001:
            raise ConfigError(
                f"練習用テナントの時計（{reading.isoformat(timespec='seconds')}）は、この速さでは続けられません。",
                setting="--time-scale",
                hint="--time-scale を変えるか、--state に別のフォルダを指定してください。",
            )
        origin = start - ahead / (speed - 1.0)
        if origin + (start - origin) * speed < reading:  # T0 is written in whole microseconds
            origin -= timedelta(microseconds=1 if speed > 1 else -1)
    return f"{speed:.12g}@{origin.isoformat()}"
