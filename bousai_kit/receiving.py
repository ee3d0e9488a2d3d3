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
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bousai_kit.errors import BousaiKitError, ConfigError
from bousai_kit.ledger import NewEvent

if TYPE_CHECKING:
    import httpx

    from bousai_kit.workbench import Workbench

__all__ = ["open_receiving"]

FOLLOW_POLL_S = 2.0
MOST_PAUSE_S = 60.0
_CALLBACK = ("enableCallback", "callbackUrl")


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
    from bousai_kit.receiver.serve import callback_url, open_listener, serving

    bots, bot_id = bench.client.bots, bench.bot_id
    listener = open_listener("127.0.0.1", 0)
    try:
        async with serving(_receiver_app(bench), listener):
            url = callback_url(listener)
            before = await bots.get(bot_id)
            await bots.patch(bot_id, {"enableCallback": True, "callbackUrl": url})
            try:
                yield
            finally:
                with contextlib.suppress(
                    BousaiKitError
                ):  # the drill's result matters more than a tidy tenant
                    if (await bots.get(bot_id)).get("callbackUrl") == url:  # nobody else has taken over
                        await bots.patch(bot_id, {name: before.get(name) for name in _CALLBACK})
    finally:
        listener.close()


# -- a receiver elsewhere -----------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _follow_remote(bench: Workbench, url: str) -> AsyncIterator[None]:
    import httpx

    token = bench.settings.receiver_token
    if token is None:
        raise ConfigError(
            "外部の受信サーバーを使うための設定 BOUSAI_RECEIVER_TOKEN がありません。",
            setting="BOUSAI_RECEIVER_TOKEN",
            hint="受信サーバーに設定したものと同じ BOUSAI_RECEIVER_TOKEN を設定してください。",
        )
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
    async with httpx.AsyncClient(headers=headers, timeout=20.0, follow_redirects=False) as http:
        remote = _Remote(bench, http, url.rstrip("/").removesuffix("/callback"))
        await remote.start()  # a wrong address or token is said before anything is sent
        task = asyncio.create_task(remote.keep_taking(), name="follow receiver")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            with contextlib.suppress(BousaiKitError):
                await remote.take()  # what came in the last seconds


class _Remote:
    """Another receiver's events, copied into this ledger: each once, in its order.

    The place reached in the other ledger is kept in the copies themselves, by receiver: another receiver,
    or one whose ledger has begun anew, is read from its beginning; `once` keeps copies from being made twice.
    """

    def __init__(self, bench: Workbench, http: httpx.AsyncClient, base: str) -> None:
        self._bench = bench
        self._http = http
        self._base = base
        self._name = urlsplit(base).netloc
        self._after = 0

    async def start(self) -> None:
        for event in await self._bench.ledger.read(stream="callbacks"):
            if event.body.get("remote") == self._name:
                self._after = max(self._after, int(event.body.get("remote_seq", 0)))
        await self.take()

    async def keep_taking(self) -> None:
        pause = FOLLOW_POLL_S
        while True:
            await self._bench.clock.sleep_in_background(pause)
            try:
                await self.take()
                pause = FOLLOW_POLL_S
            except BousaiKitError:
                pause = min(pause * 2, MOST_PAUSE_S)  # the drill goes on; the logs settle what is missing

    async def take(self) -> None:
        """Copy what is new.

        Raises
        ------
        ConfigError
            The receiver cannot be reached, refuses the token, or is none.
        LedgerError
            The copies could not be written; they are fetched again.
        """
        while True:
            events, head = await self._ask()
            if not events and head < self._after:  # its ledger has begun anew
                self._after = 0
                if head > 0:
                    continue
            if not events:
                return
            await self._bench.ledger.append_many([new for _, new in events])
            self._after = events[-1][0]

    async def _ask(self) -> tuple[list[tuple[int, NewEvent]], int]:
        import httpx

        try:
            with self._bench.clock.hold():
                answer = await self._http.get(f"{self._base}/events", params={"after": self._after})
        except httpx.HTTPError as error:
            raise ConfigError(
                f"受信サーバーにつながりません（{type(error).__name__}）。",
                setting="BOUSAI_RECEIVER",
                hint="BOUSAI_RECEIVER の URL と、受信サーバーが動いているかを確認してください。",
            ) from None
        if answer.status_code in (401, 403, 404):
            raise ConfigError(
                f"受信サーバーが {answer.status_code} を返しました。",
                setting="BOUSAI_RECEIVER_TOKEN",
                hint="受信サーバーとこの端末で、BOUSAI_RECEIVER_TOKEN を同じ値にしてください。",
            )
        try:
            if answer.status_code != 200:
                raise ValueError(answer.status_code)
            told = answer.json()
            return [self._copy(event) for event in told["events"]], int(told["head"])
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ConfigError(
                f"受信サーバーの応答（{answer.status_code}）を読み取れません。",
                setting="BOUSAI_RECEIVER",
                hint="BOUSAI_RECEIVER が `bousai receiver` の URL であることを確認してください。",
            ) from None

    def _copy(self, event: Mapping[str, Any]) -> tuple[int, NewEvent]:
        seq = int(event["seq"])
        body = {**event["body"], "remote": self._name, "remote_seq": seq}
        once = event.get("once") or f"remote:{self._name}:{seq}"
        return seq, NewEvent("callbacks", str(event["kind"]), str(event["subject"]), body, str(once))
