"""The sandbox on loopback: each host on a port of its own, and `bousai sandbox` from start to stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

from bousai_kit.errors import ConfigError
from bousai_kit.sandbox.asgi import AUTH_BASE, HostApp
from bousai_kit.sandbox.core import Sandbox
from bousai_kit.sandbox.gate import API_BASE

__all__ = ["HOSTS", "serve_hosts"]

ADDRESS = "127.0.0.1"
HOSTS = ("api", "auth", "storage", "admin", "line")
BACKLOG = 2048
GRACE_S = 2


@contextlib.asynccontextmanager
async def serve_hosts(sandbox: Sandbox, *, port: int = 0) -> AsyncIterator[None]:
    """Serve a sandbox's hosts while entered; its URLs say where.

    Parameters
    ----------
    port : int
        Of the API; 0: any free one. The other hosts always get free ones.

    Raises
    ------
    ConfigError
        The port cannot be had.
    """
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:  # the command owns the signals
            yield

    with contextlib.ExitStack() as listeners:
        servers: list[Any] = []
        urls: dict[str, str] = {}
        for host in HOSTS:
            listener = listeners.enter_context(_listen(port if host == "api" else 0))
            urls[host] = f"http://{ADDRESS}:{listener.getsockname()[1]}"
            config = uvicorn.Config(
                HostApp(sandbox, host),
                log_config=None,
                log_level="critical",  # an odd request is answered, not told on the terminal
                access_log=False,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                date_header=False,  # the sandbox's own clock is on it
                backlog=BACKLOG,
                timeout_graceful_shutdown=GRACE_S,
            )
            servers.append((Server(config), listener))
        sandbox.api_url = urls["api"] + API_BASE.decode()
        sandbox.auth_url = urls["auth"] + AUTH_BASE
        sandbox.storage_url, sandbox.admin_url, sandbox.line_url = (
            urls["storage"],
            urls["admin"],
            urls["line"],
        )
        tasks = [asyncio.create_task(server.serve(sockets=[listener])) for server, listener in servers]
        try:
            while not all(server.started for server, _ in servers):
                for task in tasks:
                    if task.done():
                        task.result()
                        raise ConfigError(
                            "練習用テナントのサーバーを起動できませんでした。", setting="--port"
                        )
                await asyncio.sleep(0.005)
            yield
        finally:
            for server, _ in servers:
                server.should_exit = True
            await asyncio.gather(*tasks, return_exceptions=True)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((ADDRESS, port), backlog=BACKLOG)
    except PermissionError:
        raise ConfigError(
            f"ポート {port} で待ち受ける権限がありません。",
            setting="--port",
            hint="--port に 1024 以上の番号を指定してください。",
        ) from None
    except (OSError, OverflowError):
        raise ConfigError(
            f"ポート {port} は使用中か、使用を許可されていません。",
            setting="--port",
            hint="--port に別の番号を指定するか、--port を省いてください（空いている番号を使います）。",
        ) from None
