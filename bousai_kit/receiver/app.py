"""The bot's callback endpoint: verify raw bytes, append, answer 200, think later.

The service never sends a callback twice, so it is answered after the durable commit and not before. When
the ledger cannot take it (full disk) the answer is 503, and the event is kept in memory and tried again for
as long as the process lives.

============================  =========================================================================
``POST /callback``            200; 401 wrong signature or bot; 400 no event; 413 too large; 503 not stored
``GET /healthz``              200, or 503 while the ledger cannot be written
``GET /metrics``              Prometheus text
``GET /events?after=N``       with the bearer token: ``{"events": [...], "head": n}``; ``limit`` (at most
                              1,000), ``wait`` (seconds to wait for the first one, at most 25)
============================  =========================================================================

What people typed themselves is not stored, only its length; a button's text is.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bousai_kit.clock import Clock
from bousai_kit.errors import CallbackRejected, LedgerError, MalformedCallback
from bousai_kit.ledger import Event, Ledger, NewEvent
from bousai_kit.lineworks.callbacks import Callback, parse_callback

__all__ = ["CALLBACK_PATH", "Receiver", "build_receiver", "callback_event"]

CALLBACK_PATH = "/callback"
MAX_BYTES = 1 << 20
BODY_TIMEOUT_S = 20.0
MOST_EVENTS = 1000
MOST_WAIT_S = 25.0
MOST_KEPT = 50_000
RETRY_S = 1.0
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


def build_receiver(
    ledger: Ledger, *, bot_secret: str, bot_id: int, token: str | None = None, clock: Clock
) -> Starlette:
    """Build the ASGI app.

    Parameters
    ----------
    ledger : Ledger
        Takes the events (stream ``callbacks``); a repeated one vanishes.
    bot_secret : str
        Key of the signatures.
    bot_id : int
        Callbacks of any other bot are refused.
    token : str, optional
        Bearer token of ``/events``; without it there is no ``/events``.
    clock : Clock
        Gives ``received_at``.
    """
    receiver = Receiver(ledger, bot_secret=bot_secret, bot_id=bot_id, token=token, clock=clock)
    app = Starlette(
        routes=[
            Route(CALLBACK_PATH, receiver.callback),  # an ASGI app, not a function of a Request: it is busy
            Route("/healthz", receiver.healthz),
            Route("/metrics", receiver.metrics),
            Route("/events", receiver.events),
        ]
    )
    app.state.receiver = receiver
    return app


def callback_event(callback: Callback, *, received_at: str, once: str) -> NewEvent:
    """A callback as it goes into the ledger; what people typed themselves stays out.

    Parameters
    ----------
    received_at : str
        ISO 8601.
    once : str
        Equal for a repeated delivery.
    """
    source: dict[str, object] = {}
    if callback.user_id is not None:
        source["userId"] = callback.user_id
    if callback.channel_id is not None:
        source["channelId"] = callback.channel_id
    if callback.domain_id is not None:
        source["domainId"] = callback.domain_id
    body: dict[str, Any] = {
        "type": callback.type,
        "source": source,
        "issued_at": callback.issued_at.isoformat(),
        "received_at": received_at,
    }
    if callback.type == "message":
        _describe(callback.content, body)
    if callback.type == "postback":
        body["data"] = callback.data
    if callback.type in ("joined", "left"):
        body["members"] = list(callback.members)
    about = (
        callback.user_id if callback.type in ("message", "postback", "begin", "end") else callback.channel_id
    )
    return NewEvent("callbacks", f"callback.{callback.type}", about or "", body, once)


def _describe(content: Mapping[str, Any], body: dict[str, Any]) -> None:
    body["content_type"] = str(content.get("type", ""))[:40]
    text, postback = content.get("text"), content.get("postback")
    if isinstance(postback, str) and postback:
        body["postback"] = postback
        if isinstance(text, str):
            body["text"] = text
    elif isinstance(text, str):
        body["text_length"] = len(text)


class _CallbackEndpoint:
    """The one busy path as a plain ASGI app."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await _answer(send, 405, (b"allow", b"POST"))
            return
        status = await self._receiver.take(scope, receive)
        if status == 413:  # the rest of the body is not read
            await _answer(send, status, (b"connection", b"close"))
        else:
            await _answer(send, status)


async def _answer(send: Send, status: int, *headers: tuple[bytes, bytes]) -> None:
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0"), *headers]}
    )
    await send({"type": "http.response.body", "body": b""})


class Receiver:
    """State of one receiver: counters, and what waits for the ledger; see `build_receiver`."""

    def __init__(
        self, ledger: Ledger, *, bot_secret: str, bot_id: int, token: str | None, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._secret = bot_secret
        self._bot_id = bot_id
        self._token = token.encode() if token else None
        self._clock = clock
        self._counts: Counter[tuple[str, str]] = Counter()
        self._buckets = [0] * (len(_BUCKETS) + 1)
        self._spent_s = 0.0
        self._kept: deque[NewEvent] = deque()
        self._retry: asyncio.Task[None] | None = None
        self.callback = _CallbackEndpoint(self)

    def __repr__(self) -> str:
        return f"<Receiver bot_id={self._bot_id}>"

    # -- callbacks ----------------------------------------------------------------------------------

    async def take(self, scope: Scope, receive: Receive) -> int:
        """Take one callback; the status to answer with."""
        began = time.perf_counter()
        try:
            raw = await _body(scope, receive)
            headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
            callback = parse_callback(
                raw, headers, bot_secret=self._secret, bot_id=self._bot_id, max_bytes=MAX_BYTES
            )
            event = callback_event(
                callback, received_at=self._clock.now().isoformat(), once=self._once(callback.fingerprint)
            )
        except CallbackRejected as error:
            self._counts["rejected", _REASONS.get(error.status, "malformed")] += 1
            return error.status
        try:
            stored = await self._ledger.append_many([event])
        except LedgerError:
            self._counts["failed", ""] += 1
            self._keep(event)
            return 503
        self._counts["stored" if stored[0] is not None else "duplicate", callback.type] += 1
        self._observe(time.perf_counter() - began)
        return 200

    def _once(self, fingerprint: str) -> str:
        # keyed: a plain hash of a short text that somebody typed could be guessed
        return "callback:" + hmac.new(self._secret.encode(), fingerprint.encode(), hashlib.sha256).hexdigest()

    def _observe(self, seconds: float) -> None:
        self._spent_s += seconds
        for index, bound in enumerate(_BUCKETS):
            if seconds <= bound:
                self._buckets[index] += 1
                return
        self._buckets[-1] += 1

    def _keep(self, event: NewEvent) -> None:
        """The service will not send it again: try again for as long as this process lives."""
        if len(self._kept) >= MOST_KEPT:
            self._counts["dropped", ""] += 1
            return
        self._kept.append(event)
        if self._retry is None or self._retry.done():
            self._retry = asyncio.create_task(self._store_kept(), name="receiver retry")

    async def _store_kept(self) -> None:
        while self._kept and not self._ledger.closed:
            await self._clock.sleep_in_background(RETRY_S)
            batch = [self._kept[index] for index in range(min(500, len(self._kept)))]
            try:
                stored = await self._ledger.append_many(batch)
            except LedgerError:
                continue
            for event, written in zip(batch, stored, strict=True):
                self._kept.popleft()
                self._counts[
                    "late" if written is not None else "duplicate", event.kind.partition(".")[2]
                ] += 1

    # -- the other paths ----------------------------------------------------------------------------

    async def healthz(self, request: Request) -> Response:
        """200 while callbacks are being stored."""
        try:
            await self._ledger.head()
        except LedgerError:
            return JSONResponse({"ok": False}, status_code=503)
        return JSONResponse({"ok": not self._kept}, status_code=503 if self._kept else 200)

    async def metrics(self, request: Request) -> Response:
        """Prometheus text exposition."""
        return PlainTextResponse(await self._metrics(), media_type="text/plain; version=0.0.4")

    async def _metrics(self) -> str:
        lines = ["# TYPE bousai_callbacks_total counter"]
        for (what, kind), count in sorted(self._counts.items()):
            if what in ("stored", "duplicate", "late"):
                lines.append(f'bousai_callbacks_total{{result="{what}",type="{kind}"}} {count}')
        lines.append("# TYPE bousai_callbacks_rejected_total counter")
        for reason in sorted({*_REASONS.values()}):
            lines.append(
                f'bousai_callbacks_rejected_total{{reason="{reason}"}} {self._counts["rejected", reason]}'
            )
        lines += [
            "# TYPE bousai_ledger_failures_total counter",
            f"bousai_ledger_failures_total {self._counts['failed', '']}",
            "# TYPE bousai_callbacks_dropped_total counter",
            f"bousai_callbacks_dropped_total {self._counts['dropped', '']}",
            "# TYPE bousai_callbacks_waiting gauge",
            f"bousai_callbacks_waiting {len(self._kept)}",
            "# TYPE bousai_callback_seconds histogram",
        ]
        total = 0
        for bound, count in zip((*map(str, _BUCKETS), "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(f'bousai_callback_seconds_bucket{{le="{bound}"}} {total}')
        lines += [
            f"bousai_callback_seconds_sum {self._spent_s:.6f}",
            f"bousai_callback_seconds_count {total}",
        ]
        try:
            lines += ["# TYPE bousai_ledger_seq gauge", f"bousai_ledger_seq {(await self._ledger.head())[0]}"]
        except LedgerError:
            lines.pop()
        return "\n".join(lines) + "\n"

    async def events(self, request: Request) -> Response:
        """Stored callbacks after a ``seq``."""
        if self._token is None:
            return PlainTextResponse("BOUSAI_RECEIVER_TOKEN が設定されていません。", status_code=404)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        given_bytes = given.strip().encode("utf-8", "surrogatepass")
        if not (hmac.compare_digest(given_bytes, self._token) and scheme.lower() == "bearer"):
            return PlainTextResponse(
                "認証に失敗しました。", status_code=401, headers={"WWW-Authenticate": "Bearer"}
            )
        try:
            after = _count(request.query_params.get("after", "0"), 2**62)
            limit = _count(request.query_params.get("limit", "500"), 2**62)
            wait_s = _count(request.query_params.get("wait", "0"), 2**62)
        except ValueError:
            return PlainTextResponse("after、limit、wait は 0 以上の整数です。", status_code=400)
        try:
            return JSONResponse(
                await self._stored(after, min(limit, MOST_EVENTS), min(wait_s, MOST_WAIT_S)),
                headers={"Cache-Control": "no-store"},
            )
        except LedgerError:
            return PlainTextResponse("台帳を読めません。", status_code=503)

    async def _stored(self, after: int, limit: int, wait_s: float) -> dict[str, object]:
        found = await self._ledger.read(after=after, stream="callbacks", limit=limit)
        if not found and wait_s > 0 and limit > 0:
            try:
                async with asyncio.timeout(wait_s):  # a socket's patience is the wall's
                    async for event in self._ledger.follow(after=after, stream="callbacks"):
                        found = [event]
                        break
            except TimeoutError:
                pass
        head, _ = await self._ledger.head()
        return {"events": [_plain(event) for event in found], "head": head}


_REASONS = {401: "signature", 400: "malformed", 413: "too_large"}


def _plain(event: Event) -> dict[str, object]:
    return {
        "seq": event.seq,
        "recorded_at": event.recorded_at.isoformat(),
        "stream": event.stream,
        "kind": event.kind,
        "subject": event.subject,
        "body": event.body,
        "once": event.once,
    }


def _count(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= most):
        raise ValueError(text)
    return int(text)


async def _body(scope: Scope, receive: Receive) -> bytes:
    """The raw body, never more than `MAX_BYTES` of it.

    Raises
    ------
    MalformedCallback
        Too large (413), cut off, or too slow (400).
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value[:20]) > MAX_BYTES):
            raise MalformedCallback("コールバックの本文が大きすぎます。", status=413)
    first = await _piece(receive)
    if not first[1]:
        return first[0]
    pieces, size = [first[0]], len(first[0])
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):  # a socket's patience is the wall's
            more = True
            while more:
                piece, more = await _piece(receive)
                pieces.append(piece)
                size += len(piece)
                if size > MAX_BYTES:
                    raise MalformedCallback("コールバックの本文が大きすぎます。", status=413)
    except TimeoutError:
        raise MalformedCallback("コールバックの本文が届きません。") from None
    return b"".join(pieces)


async def _piece(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] != "http.request":
        raise MalformedCallback("コールバックの本文が途中で切れました。")
    body = message.get("body", b"")
    if len(body) > MAX_BYTES:
        raise MalformedCallback("コールバックの本文が大きすぎます。", status=413)
    return body, bool(message.get("more_body", False))
