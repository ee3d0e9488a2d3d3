"""The hosts as ASGI apps, and httpx transports that call them in process.

A fault that closes the connection aborts the socket under uvicorn; in process it surfaces as the httpx error
that a broken connection gives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from bousai_kit.sandbox.auth import check_address
from bousai_kit.sandbox.gate import DRAIN, Dropped
from bousai_kit.sandbox.ops import ApiFault, Reply

if TYPE_CHECKING:
    from bousai_kit.sandbox.core import Sandbox

__all__ = ["HostApp", "InProcessTransport"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

AUTH_BASE = "/oauth2/v2.0"
BODY_WAIT_S = 30.0
FORM = "application/x-www-form-urlencoded"


class HostApp:
    """One host of a sandbox: ``api``, ``auth``, ``storage`` or ``admin``."""

    def __init__(self, sandbox: Sandbox, host: str) -> None:
        self.sandbox = sandbox
        self.host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":  # refused before the handshake
                await send({"type": "websocket.close", "code": 1000})
            return
        task = asyncio.ensure_future(self._answer(scope, receive))
        self.sandbox.running.add(task)
        task.add_done_callback(self._done)
        try:
            reply = await asyncio.shield(task)  # a client that goes away does not undo what it asked for
        except Dropped as dropped:
            await _drop(dropped, receive, send)
            return
        body = reply.encode()
        headers = {"Date": format_datetime(self.sandbox.clock.now(), usegmt=True), **reply.headers}
        headers["Content-Length"] = str(len(body))
        if body:
            headers.setdefault("Content-Type", reply.content_type)
        if reply.status == 204:
            del headers["Content-Length"]
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [
                    (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
                ],
            }
        )
        await send({"type": "http.response.body", "body": body})

    def _done(self, task: asyncio.Future[Reply]) -> None:
        self.sandbox.running.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, even when the client has gone

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        raw_path: bytes = scope.get("raw_path") or quote(scope["path"], errors="replace").encode()

        arrived: list[bytes | None] = []

        async def body(limit: int) -> bytes | None:
            if not arrived:
                return await _read(receive, limit)
            return arrived[0] if arrived[0] is None or len(arrived[0]) <= limit else None

        try:
            if scope["method"] != "GET" and (self.sandbox.faults or self.sandbox.latency_s):
                arrived.append(
                    await _read(receive, DRAIN)
                )  # whoever hangs up while it waits has asked already
            if self.host in ("api", "storage"):
                check_address(self.sandbox.tenant, scope.get("client"), self.sandbox.choices)
            if self.host == "auth":
                return await self._auth(scope["method"], raw_path, headers, body)
            return await self.sandbox.gate.handle(
                self.host, scope["method"], raw_path, scope["query_string"], headers, body
            )
        except ApiFault as fault:
            return Reply(fault.status, {"code": fault.code, "description": fault.description}, fault.headers)
        except (Dropped, asyncio.CancelledError):
            raise
        except Exception as error:  # a defect of the sandbox: said as the service would, kept for the tests
            self.sandbox.defects.append(error)
            return Reply(500, {"code": "INTERNAL_SERVER_ERROR", "description": "Internal server error."})

    async def _auth(
        self,
        method: str,
        raw_path: bytes,
        headers: dict[str, str],
        body: Callable[[int], Awaitable[bytes | None]],
    ) -> Reply:
        path = raw_path.decode("latin-1")
        below = path.removeprefix(AUTH_BASE)
        if method != "POST" or below not in ("/token", "/revoke") or below == path:
            raise ApiFault(404, "NOT_FOUND", "Api not exists")
        sandbox = self.sandbox
        name = "auth" + below.replace("/", ".")
        faults = sandbox.faults.decide(name, elapsed_s=sandbox.elapsed_s(), method=method, path=below)

        async def run() -> Reply:
            data = await body(1 << 16)
            kind = headers.get("content-type", FORM).partition(";")[0].strip().lower()
            if data is None or kind != FORM:
                return Reply(
                    413 if data is None else 415, {"returnCode": "99", "returnMessage": "UnexpectedError"}
                )
            reply = sandbox.auth.handle(below, data, sandbox.clock.now())
            sandbox.save()
            return reply

        return await sandbox.gate.faulted(faults, None, raw_path, b"", run)


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The body, or None when it is longer than `limit` (the rest is read and thrown away)."""
    try:
        async with asyncio.timeout(BODY_WAIT_S):  # for all of it: a drop now and then is no progress
            return await _collect(receive, limit)
    except TimeoutError:
        raise ApiFault(408, "REQUEST_TIMEOUT", "The request body did not arrive.") from None


async def _collect(receive: Receive, limit: int) -> bytes | None:
    parts: list[bytes] = []
    size = pieces = 0
    while True:
        message = await receive()
        pieces += 1
        if pieces % 256 == 0:
            await asyncio.sleep(0)  # a server that has everything ready never waits
        if message["type"] == "http.disconnect":
            raise Dropped(processed=False)
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            parts.append(chunk)
        elif size > limit + DRAIN:
            return None
        else:
            parts.clear()
        if not message.get("more_body", False):
            return b"".join(parts) if size <= limit else None


async def _drop(dropped: Dropped, receive: Receive, send: Send) -> None:
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise dropped
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


class InProcessTransport(httpx.AsyncBaseTransport):
    """Calls one host's app; a dropped connection becomes `httpx.RemoteProtocolError` (or `ConnectError`)."""

    def __init__(self, app: HostApp) -> None:
        self._inner = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._inner.handle_async_request(request)
        except Dropped as dropped:
            if dropped.processed:
                raise httpx.RemoteProtocolError(
                    "Server disconnected without sending a response.", request=request
                ) from None
            raise httpx.ConnectError("All connection attempts failed", request=request) from None
