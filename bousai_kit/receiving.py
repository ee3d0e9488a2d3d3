"""How callbacks reach the ledger while a drill runs: the four ways of ``BOUSAI_RECEIVER``.

==============================  ==========================================================================
in-process sandbox              the receiver's ASGI app is handed to the sandbox; no socket
``embedded``, loopback tenant   a receiver on a loopback port of this process; the bot's callback URL points
                                to it while it is open and is put back afterwards
``off``                         another ``bousai receiver`` writes to the same ledger, or the logs must do
``https://…``                   a receiver elsewhere is followed through its ``/events``
==============================  ==========================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from bousai_kit.errors import ConfigError
from bousai_kit.ledger import NewEvent

if TYPE_CHECKING:
    from bousai_kit.workbench import Workbench

__all__ = ["open_receiving"]

FOLLOW_POLL_S = 2.0


@contextlib.asynccontextmanager
async def open_receiving(bench: Workbench) -> AsyncIterator[None]:
    """Receive callbacks into ``bench.ledger`` while entered."""
    mode = bench.settings.receiver
    if mode == "off":
        yield
    elif mode.startswith("https://"):
        async with _follow_remote(bench, mode):
            yield
    elif bench.sandbox is not None and not bench.sandbox.served:
        bench.sandbox.connect_receiver(_receiver_app(bench))
        try:
            yield
        finally:
            if bench.sandbox is not None:
                bench.sandbox.connect_receiver(None)
    elif bench.in_sandbox or bench.settings.is_loopback:
        async with _embedded(bench):
            yield
    else:
        raise ConfigError(
            "BOUSAI_RECEIVER=embedded は、この端末上（ループバック）のテナントでだけ使えます。",
            setting="BOUSAI_RECEIVER",
            hint="`off`、または外部から届く受信サーバーの https:// アドレスを指定してください。",
        )


def _receiver_app(bench: Workbench) -> Any:
    from bousai_kit.receiver import build_receiver

    return build_receiver(bench.ledger, bot_secret=bench.bot_secret, bot_id=bench.bot_id, clock=bench.clock)


@contextlib.asynccontextmanager
async def _embedded(bench: Workbench) -> AsyncIterator[None]:
    import uvicorn

    class _Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Any:  # the notebook or the command owns the signals
            yield

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = _Server(
        uvicorn.Config(
            _receiver_app(bench), log_level="error", access_log=False, lifespan="off", loop="asyncio"
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]), name="embedded receiver")
    try:
        while not server.started:
            if task.done():
                task.result()
                raise ConfigError("受信サーバーを起動できませんでした。", setting="BOUSAI_RECEIVER")
            await asyncio.sleep(0.01)
        before = await bench.client.bots.get(bench.bot_id)
        await bench.client.bots.patch(
            bench.bot_id, {"enableCallback": True, "callbackUrl": f"http://127.0.0.1:{port}/callback"}
        )
        try:
            yield
        finally:
            with contextlib.suppress(Exception):  # the drill's result matters more than a tidy tenant
                await bench.client.bots.patch(bench.bot_id, {"callbackUrl": before.get("callbackUrl") or ""})
    finally:
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await task
        listener.close()


@contextlib.asynccontextmanager
async def _follow_remote(bench: Workbench, url: str) -> AsyncIterator[None]:
    import httpx

    token = bench.settings.receiver_token
    if token is None:
        raise ConfigError(
            "外部の受信サーバーを使うには BOUSAI_RECEIVER_TOKEN が必要です。", setting="BOUSAI_RECEIVER_TOKEN"
        )
    base = url.rstrip("/").removesuffix("/callback")
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
    async with httpx.AsyncClient(headers=headers, timeout=20.0, follow_redirects=False) as http:
        after = await _remote_cursor(bench)
        after = await _take(
            bench, http, base, after
        )  # a wrong address or token is said before anything is sent
        task = asyncio.create_task(_keep_following(bench, http, base, after), name="follow receiver")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _remote_cursor(bench: Workbench) -> int:
    events = await bench.ledger.read(stream="callbacks")
    return max((int(event.body.get("remote_seq", 0)) for event in events), default=0)


async def _keep_following(bench: Workbench, http: Any, base: str, after: int) -> None:
    pause = FOLLOW_POLL_S
    while True:
        try:
            after = await _take(bench, http, base, after)
            pause = FOLLOW_POLL_S
        except ConfigError:
            pause = min(pause * 2, 60.0)  # the drill goes on; the logs settle what is missing
        await bench.clock.sleep(pause)


async def _take(bench: Workbench, http: Any, base: str, after: int) -> int:
    import httpx

    while True:
        try:
            with bench.clock.hold():
                answer = await http.get(f"{base}/events", params={"after": after})
        except httpx.HTTPError as error:
            raise ConfigError(
                f"受信サーバーにつながりません（{type(error).__name__}）。", setting="BOUSAI_RECEIVER"
            ) from None
        if answer.status_code != 200:
            raise ConfigError(
                f"受信サーバーが {answer.status_code} を返しました。",
                setting="BOUSAI_RECEIVER_TOKEN" if answer.status_code in (401, 403) else "BOUSAI_RECEIVER",
            )
        events = answer.json().get("events", [])
        if not events:
            return after
        await bench.ledger.append_many(
            [
                NewEvent(
                    stream="callbacks",
                    kind=str(event["kind"]),
                    subject=str(event["subject"]),
                    body={**event["body"], "remote_seq": int(event["seq"])},
                    once=event.get("once"),
                )
                for event in events
            ]
        )
        after = max(int(event["seq"]) for event in events)
