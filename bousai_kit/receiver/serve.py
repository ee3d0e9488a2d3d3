"""The receiver on a socket, until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from bousai_kit.errors import ConfigError
from bousai_kit.ledger import Ledger
from bousai_kit.receiver.app import CALLBACK_PATH, build_receiver
from bousai_kit.settings import Settings

__all__ = ["callback_url", "open_listener", "serve_receiver", "serving"]

BACKLOG = 2048
GRACE_S = 5


async def serve_receiver(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    ready: Callable[[dict[str, Any]], None],
    note: Callable[[str], None],
) -> int:
    """Serve until cancelled.

    Parameters
    ----------
    settings : Settings
        ``bot_id`` and ``bot_secret`` are needed; ``receiver_token`` opens ``/events``.
    host, port : str, int
        Where to listen; port 0: any free one.
    ready : callable
        Called once with ``{"ready": True, "url": …}``, the whole callback URL.
    note : callable
        Says something to the person at the terminal.

    Returns
    -------
    int
        Exit code 0: what was received is in the ledger.

    Raises
    ------
    ConfigError
        A setting is missing, or the port cannot be had.
    LedgerUnavailable
    """
    bot_id, bot_secret = settings.bot_id, settings.bot_secret
    if bot_id is None or bot_secret is None:
        name = "BOUSAI_BOT_ID" if bot_id is None else "BOUSAI_BOT_SECRET"
        raise ConfigError(
            f"設定 {name} がありません（探した場所：コマンドのオプション、環境変数、.env、bousai.toml）。",
            setting=name,
            hint="Developer Console の Bot の画面にある値を、環境変数か .env に設定してください。",
        )
    token = settings.receiver_token
    clock = settings.clock()
    listener = open_listener(host, port)
    try:
        async with await Ledger.open(
            settings.ledger_url, clock=clock, domain_id=settings.domain_id
        ) as ledger:
            app = build_receiver(
                ledger,
                bot_secret=bot_secret.get_secret_value(),
                bot_id=bot_id,
                token=None if token is None else token.get_secret_value(),
                clock=clock,
            )
            if token is None:
                note(
                    "BOUSAI_RECEIVER_TOKEN がないため、/events は使えません（コールバックの記録はできます）。"
                )
            async with serving(app, listener) as server:
                ready({"ready": True, "url": callback_url(listener)})
                with contextlib.suppress(asyncio.CancelledError):  # stopped: that is how it ends
                    await asyncio.shield(server)
                task = asyncio.current_task()
                if task is not None:
                    task.uncancel()
    finally:
        listener.close()
    return 0


@contextlib.asynccontextmanager
async def serving(app: Any, listener: socket.socket) -> AsyncIterator[asyncio.Task[None]]:
    """Serve an ASGI app on a listening socket while entered; at the end, finish what is under way.

    Yields
    ------
    asyncio.Task
        The server; it ends by itself only when something is badly wrong.
    """
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:  # the command or the notebook owns the signals
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            up.set()

    up = asyncio.Event()
    server = Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=GRACE_S,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]), name="receiver")
    starting = asyncio.create_task(up.wait())
    try:
        await asyncio.wait([task, starting], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            raise ConfigError("受信サーバーを起動できませんでした。", setting="BOUSAI_RECEIVER")
        yield task
    finally:
        starting.cancel()
        server.should_exit = True
        with contextlib.suppress(Exception):
            await task


def open_listener(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises
    ------
    ConfigError
        The port is taken or not allowed, or the address is none of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except PermissionError:
        raise ConfigError(
            f"ポート {port} で待ち受ける権限がありません。",
            setting="--port",
            hint="--port に 1024 以上の番号を指定してください。",
        ) from None
    except socket.gaierror:
        raise ConfigError(
            "--host のアドレスを解決できません。", setting="--host", hint="--host を直してください。"
        ) from None
    except (OSError, OverflowError):
        raise ConfigError(
            f"{host} のポート {port} で待ち受けられません（使用中か、この端末のアドレスではありません）。",
            setting="--port",
            hint="--port に別の番号を指定するか、--port 0（空いている番号）で起動してください。",
        ) from None


def callback_url(listener: socket.socket) -> str:
    """Where callbacks go: loopback when it listens everywhere."""
    address, port = listener.getsockname()[:2]
    if ipaddress.ip_address(address).is_unspecified:
        address = "::1" if ":" in address else "127.0.0.1"
    return f"http://{f'[{address}]' if ':' in address else address}:{port}{CALLBACK_PATH}"
