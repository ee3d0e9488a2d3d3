"""JupyterLab on the notebooks, in Japanese, on loopback, with the home's sandbox beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from bousai_kit.errors import ConfigError
from bousai_kit.settings import Settings

__all__ = ["FOLDER_VARIABLE", "choose_port", "leave_out_slow_parts", "serve_lab"]

ROOT = Path(__file__).resolve().parent.parent
FIRST = "00_start.ipynb"
PORTS = range(8888, 8908)
PORT_RETRIES = 50  # two starts at once may choose the same one
START_S = 90.0
SERVER = (
    "from bousai_kit.lab import leave_out_slow_parts; leave_out_slow_parts()\n"
    "from jupyterlab.labapp import main; main()"
)
FOLDER_VARIABLE = "BOUSAI_WORKING_FOLDER"
"""Tells the kernels where `lab` was started: ``.env`` and ``bousai.toml`` are read there."""


def leave_out_slow_parts() -> None:
    """Before Jupyter is imported: halve the CPU time that its start takes.

    jsonschema compiles 38 grammars (2 s) for two formats, IRIs, that no schema of Jupyter has; it does
    without them where the package is not there.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def choose_port(wanted: int = 0) -> int:
    """A free port on loopback.

    Parameters
    ----------
    wanted : int
        This one and no other; 0: the first free one.

    Raises
    ------
    ConfigError
        The wanted one is in use or may not be used.
    """
    for port in (wanted,) if wanted else (*PORTS, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise ConfigError(
        f"ポート {wanted} は使用中か、使用を許可されていません。",
        setting="--port",
        hint="--port に別の番号を指定するか、--port を省いてください（空いている番号を使います）。",
    )


def jupyter_environment(
    settings: Settings, *, token: str, folder: Path, given: Mapping[str, str]
) -> dict[str, str]:
    """Environment of the server and its kernels: nobody's own Jupyter settings get in."""
    state = settings.home / "lab"
    env = {**os.environ, **given}
    for name, place in {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }.items():
        made = state / place
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
        env[name] = str(made)
    kernels = state / "ipython" / "profile_default"
    kernels.mkdir(mode=0o700, exist_ok=True)
    (kernels / "ipython_kernel_config.py").write_text(
        'c = get_config()\nc.IPKernelApp.log_level = "ERROR"\n', encoding="utf-8"
    )
    env.update(
        {
            "JUPYTER_CONFIG_PATH": str(ROOT),  # <here>/labconfig holds the overrides
            "JUPYTER_TOKEN": token,
            "JUPYTER_PREFER_ENV_PATH": "1",
            "JUPYTER_PLATFORM_DIRS": "1",
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "1",
            FOLDER_VARIABLE: str(folder),
            "BOUSAI_LAB_PARENT": str(os.getpid()),
        }
    )
    return env


async def serve_lab(
    settings: Settings,
    *,
    port: int = 0,
    browser: bool = True,
    time_scale: float = 20.0,
    seed: int = 1,
    given: Mapping[str, str] | None = None,
    ready: Callable[[dict[str, Any]], None],
    note: Callable[[str], None],
) -> int:
    """Serve until stopped.

    Parameters
    ----------
    settings : Settings
    port : int
        0: any free one.
    browser : bool
        Open one where there is a screen.
    time_scale : float
        Speed of the sandbox's clock.
    seed : int
        Seed of the sandbox's people.
    given : mapping, optional
        Settings given as options; the kernels get them as environment variables.
    ready : callable
        Called once with ``{"ready": True, "url": …}``.
    note : callable
        Says something to the person at the terminal.

    Returns
    -------
    int
        Exit code: 0, it was stopped; 2, JupyterLab ended by itself.
    """
    chosen = choose_port(port)
    token = secrets.token_urlsafe(24)
    env = jupyter_environment(settings, token=token, folder=Path.cwd(), given=given or {})
    try:
        async with _sandbox(settings, time_scale=time_scale, seed=seed):
            server = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-X", "utf8", "-c", SERVER),
                f"--config={ROOT / 'labconfig' / 'jupyter_server_config.py'}",
                f"--ServerApp.root_dir={ROOT / 'notebooks'}",
                f"--ServerApp.port={chosen}",
                f"--ServerApp.port_retries={0 if port else PORT_RETRIES}",
                "--log-level=ERROR",
                env=env,
                cwd=ROOT / "notebooks",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),
                start_new_session=os.name == "posix",  # Ctrl-C reaches us; we end it in order
            )
            try:
                address = await _wait_ready(server, Path(env["JUPYTER_RUNTIME_DIR"]), token)
                url = f"{address}/doc/tree/{FIRST}?token={token}"
                ready({"ready": True, "url": url})
                if not (browser and await asyncio.to_thread(_show, url)):
                    note("上の url をブラウザーで開いてください。止めるには Ctrl-C を押します。")
                await server.wait()
            finally:
                await _end(server)
    except asyncio.CancelledError:
        note("終了しました。")
        return 0
    note("JupyterLab が終了しました。もう一度 lab を実行してください。")
    return 2


@contextlib.asynccontextmanager
async def _sandbox(settings: Settings, *, time_scale: float, seed: int) -> AsyncIterator[None]:
    """The home's sandbox on loopback, where the profile has one."""
    if not settings.is_sandbox:
        yield
        return
    from bousai_kit.sandbox.home import serve_home_sandbox

    before = await _last_recorded(settings)
    async with serve_home_sandbox(settings.home, time_scale=time_scale, seed=seed, not_before=before):
        yield


async def _last_recorded(settings: Settings) -> datetime | None:
    """When the home's ledger was last written, by the tenant's clock: that clock does not run behind it."""
    from bousai_kit.ledger import Ledger
    from bousai_kit.sandbox.home import peek_clock

    async with await Ledger.open(settings.ledger_url, clock=peek_clock(settings.home)) as ledger:
        seq, _ = await ledger.head()
        events = await ledger.read(after=seq - 1)
        return events[-1].recorded_at if events else None


async def _wait_ready(server: asyncio.subprocess.Process, runtime: Path, token: str) -> str:
    """Where it listens, once it answers: the chosen port, or the next one that was still free."""
    import httpx

    deadline = asyncio.get_running_loop().time() + START_S
    headers = {"Authorization": f"token {token}"}
    async with httpx.AsyncClient(trust_env=False, timeout=5.0, headers=headers) as http:
        while server.returncode is None and asyncio.get_running_loop().time() < deadline:
            port = _announced_port(runtime, token)
            if port is not None:
                with contextlib.suppress(httpx.HTTPError):
                    address = f"http://127.0.0.1:{port}"
                    if (await http.get(f"{address}/api/status")).status_code == 200:
                        return address
            await asyncio.sleep(0.1)
    raise ConfigError(
        "JupyterLab を起動できませんでした。",
        hint="上に表示された内容を確認し、空きメモリーとディスクを確かめてから、もう一度実行してください。",
    )


def _announced_port(runtime: Path, token: str) -> int | None:
    """The port that the server with this token says it has."""
    for path in runtime.glob("jpserver-*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads(path.read_bytes())
            if told["token"] == token:
                return int(told["port"])
    return None


async def _end(server: asyncio.subprocess.Process) -> None:
    """Let the server end its kernels and itself."""
    if server.returncode is None:
        server.terminate()
        try:
            await asyncio.wait_for(server.wait(), 10)
        except TimeoutError:
            server.kill()
            await server.wait()


def _show(url: str) -> bool:
    """Open a browser where there is a screen (a text browser would take the terminal over)."""
    if os.name == "posix" and sys.platform != "darwin":
        wanted = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
        if not any(os.environ.get(name) for name in wanted):
            return False
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
