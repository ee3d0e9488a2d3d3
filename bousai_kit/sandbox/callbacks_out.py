"""The bot's callbacks: one signed POST an event, never made again (part 2 §4).

An event is due a moment after it happened (``callback_lag_s``); what is due is stored, so a POST that the
death of this process cut off is made by its successor. In process the POST goes to
`Sandbox.receiver_app`; else to the bot's ``callbackUrl``, on this machine only unless the choices say
otherwise.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from bousai_kit.sandbox import journal
from bousai_kit.sandbox.bot_state import bot_secret
from bousai_kit.sandbox.choices import Choices
from bousai_kit.sandbox.ops import Call, DueHandler, Operation, Reply, bad, missing
from bousai_kit.sandbox.schemas import array_of, body, one_of

if TYPE_CHECKING:
    from bousai_kit.sandbox.core import Sandbox

__all__ = ["DUE_HANDLERS", "OPERATIONS", "emit", "issued", "signature", "truth"]

IN_PROCESS_HOST = "receiver.sandbox.invalid"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
HOLD_BACK_S = 60.0
LOG = "callback_log"
EVENTS = Choices().callback_types


def issued(at: datetime) -> str:
    """``YYYY-MM-DDThh:mm:ss.SSSZ``."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def signature(secret: str, body: bytes) -> str:
    """Base64 of HMAC-SHA256 over the raw body."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def emit(
    sandbox: Sandbox,
    bot_id: str,
    kind: str,
    at: datetime,
    *,
    user: str = "",
    channel: str = "",
    **rest: Any,
) -> None:
    """Let an event reach the bot's server, if callbacks are on.

    Parameters
    ----------
    kind : str
        ``message``, ``postback``, ``join``, ``leave``, ``joined``, ``left``, ``begin`` or ``end``.
    at : datetime
        When it happened; becomes ``issuedTime``.
    **rest
        ``content``, ``data`` or ``members``.
    """
    bot = sandbox.tenant.table("bots").get(bot_id)
    if bot is None or not bot.get("enableCallback") or not bot.get("callbackUrl"):
        return
    if kind not in (sandbox.tenant.get(f"callback_types:{bot_id}") or sandbox.choices.callback_types):
        return
    source: dict[str, Any] = {}
    if user:
        source["userId"] = user
    if channel:
        source["channelId"] = channel
    owner = sandbox.tenant.table("users").get(user) or sandbox.tenant.table("channels").get(channel) or {}
    source["domainId"] = owner.get("domainId", sandbox.tenant.domain_id)
    event = {"type": kind, "source": source, "issuedTime": issued(at), **rest}
    if kind == "join" and sandbox.choices.join_without_fraction:
        event["issuedTime"] = f"{event['issuedTime'][:19]}Z"
    due = max(at, sandbox.clock.now()) + timedelta(seconds=sandbox.choices.callback_lag_s)
    sandbox.tenant.schedule(due, "callback", {"bot": bot_id, "event": event})


async def _due(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    """Decide about faults, then post beside the other events."""
    bot_id, event = payload["bot"], payload["event"]
    copies, bad_signature = 1, False
    if not payload.get("decided"):
        for fault in sandbox.faults.decide(event["type"], elapsed_s=sandbox.elapsed_s(), callback=True):
            if fault.kind == "lost":
                _note(sandbox, bot_id, event, "lost")
                return
            if fault.kind == "duplicate":
                copies = 2
            elif fault.kind == "bad_signature":
                bad_signature = True
            elif fault.kind == "delay":
                later = sandbox.clock.now() + timedelta(
                    seconds=fault.seconds if fault.seconds is not None else 30.0
                )
                sandbox.tenant.schedule(later, "callback", {**payload, "decided": True})
                return
            elif fault.kind == "reorder":
                later = sandbox.clock.now() + timedelta(seconds=HOLD_BACK_S)
                key = sandbox.tenant.schedule(later, "callback", {**payload, "decided": True})
                sandbox.tenant.set(f"held_callback:{bot_id}", key)
                return
    await _dispatch(sandbox, bot_id, event, copies=copies, bad_signature=bad_signature)
    held = sandbox.tenant.get(f"held_callback:{bot_id}")
    if held:
        sandbox.tenant.set(f"held_callback:{bot_id}", "")
        entry = sandbox.tenant.table("due").get(held)
        if entry is not None:
            sandbox.tenant.cancel(held)
            await _dispatch(sandbox, bot_id, entry["payload"]["event"])


async def _dispatch(
    sandbox: Sandbox, bot_id: str, event: dict[str, Any], *, copies: int = 1, bad_signature: bool = False
) -> None:
    posts = _posts(sandbox)
    while len(posts) >= sandbox.choices.callback_parallel:
        await asyncio.wait(set(posts), return_when=asyncio.FIRST_COMPLETED)
    lease = sandbox.tenant.schedule(
        sandbox.clock.now() + timedelta(seconds=sandbox.choices.callback_lease_s),
        "callback",
        {"bot": bot_id, "event": event, "decided": True},
    )
    task = asyncio.ensure_future(_post_all(sandbox, bot_id, event, lease, copies, bad_signature))
    posts.add(task)
    sandbox.running.add(task)
    task.add_done_callback(posts.discard)
    task.add_done_callback(sandbox.running.discard)


def _posts(sandbox: Sandbox) -> set[asyncio.Future[None]]:
    posts: set[asyncio.Future[None]] = sandbox.tenant.caches.setdefault("callbacks:posts", set())
    for task in [task for task in posts if task.get_loop().is_closed()]:
        posts.discard(task)
    return posts


async def _post_all(
    sandbox: Sandbox, bot_id: str, event: dict[str, Any], lease: str, copies: int, bad_signature: bool
) -> None:
    try:
        for _ in range(copies):
            await _post(sandbox, bot_id, event, bad_signature)
    except Exception as error:  # nobody awaits this task
        sandbox.defects.append(error)
    sandbox.tenant.cancel(lease)
    sandbox.save_or_note()


async def _post(sandbox: Sandbox, bot_id: str, event: dict[str, Any], bad_signature: bool) -> None:
    bot = sandbox.tenant.table("bots").get(bot_id)
    url = str(bot.get("callbackUrl") or "") if bot is not None else ""
    if bot is None or not bot.get("enableCallback") or not url:
        _note(sandbox, bot_id, event, "no_receiver")
        return
    body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    secret = bot_secret(sandbox.tenant, bot_id)
    headers = {
        "Content-Type": "application/json; charset=UTF-8",
        "X-WORKS-BotId": bot_id,
        "X-WORKS-Signature": signature(f"not-{secret}" if bad_signature else secret, body),
    }
    try:
        status = await _send(sandbox, url, body, headers)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, ValueError):
        status = 0
    outcome = "taken" if status == 200 else "refused" if status else "unreachable"
    _note(sandbox, bot_id, event, outcome, status, bad_signature)


async def _send(sandbox: Sandbox, url: str, body: bytes, headers: dict[str, str]) -> int:
    """Status of the answer; 0: there is nobody."""
    target = httpx.URL(url)
    if target.host == IN_PROCESS_HOST:
        if sandbox.receiver_app is None:
            return 0
        return await _call_app(sandbox.receiver_app, target, body, headers)
    if target.host not in LOOPBACK and not sandbox.choices.callbacks_leave_loopback:
        return 0
    async with _client(sandbox) as client:
        with sandbox.clock.hold():  # a virtual clock waits for the road
            answer = await client.post(url, content=body, headers=headers)
            return int(answer.status_code)


async def _call_app(app: Any, url: httpx.URL, body: bytes, headers: dict[str, str]) -> int:
    """POST to an ASGI app in this process."""
    status = 0
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = int(message["status"])

    lines = {**headers, "Host": url.host, "Content-Length": str(len(body))}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in lines.items()],
        "client": ("127.0.0.1", 1),
        "server": (url.host, 443),
    }
    try:
        await app(scope, receive, send)
    except Exception:  # the receiver's trouble, not the service's
        return 500
    return status


@functools.lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Made once: it takes 30 ms."""
    return ssl.create_default_context()


@contextlib.asynccontextmanager
async def _client(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """One client for all posts that overlap; closed when none is under way."""
    caches = sandbox.tenant.caches
    shared: list[Any] = caches.get("callbacks:client") or [None, 0, None]
    if shared[2] is not asyncio.get_running_loop():
        limits = httpx.Limits(max_connections=sandbox.choices.callback_parallel)
        client = httpx.AsyncClient(
            trust_env=False,
            verify=_tls(),
            timeout=sandbox.choices.callback_timeout_s,
            limits=limits,
            follow_redirects=False,
        )
        shared = [client, 0, asyncio.get_running_loop()]
        caches["callbacks:client"] = shared
    shared[1] += 1
    try:
        yield shared[0]
    finally:
        shared[1] -= 1
        if shared[1] == 0:
            if caches.get("callbacks:client") is shared:
                del caches["callbacks:client"]
            await shared[0].aclose()


def _note(
    sandbox: Sandbox, bot_id: str, event: dict[str, Any], outcome: str, status: int = 0, forged: bool = False
) -> None:
    tenant, source = sandbox.tenant, event["source"]
    counts = tenant.get("callback_counts") or {}
    tenant.set("callback_counts", {**counts, outcome: counts.get(outcome, 0) + 1})
    who = (source.get("userId", ""), source.get("channelId", ""))
    row = [event["type"], bot_id, *who, event["issuedTime"], outcome, status, int(forged)]
    journal.append(tenant, LOG, [journal.ms(sandbox.clock.now()), *row])


def truth(sandbox: Sandbox) -> dict[str, Any]:
    """``callbacks``: how many were taken (200), refused, unreachable, without receiver, lost on purpose.

    ``posts``: each of them, in order: ``at, type, bot, user, channel, issued_at, outcome``, ``status`` (0: no
    answer) and ``forged`` (badly signed on purpose).
    """
    posts = []
    for at, kind, bot, user, channel, issued_at, outcome, status, forged in journal.rows(sandbox.tenant, LOG):
        post = {"at": issued(journal.moment(at)), "type": kind, "bot": bot, "user": user, "channel": channel}
        post |= {"issued_at": issued_at, "outcome": outcome, "status": status, "forged": bool(forged)}
        posts.append(post)
    return {"callbacks": dict(sandbox.tenant.get("callback_counts") or {}), "posts": posts}


def _switch(call: Call) -> Reply:
    """``{"events": […]}``: what the Developer Console has on for this bot; empty: the default."""
    bot_id, events = call.path["botId"], call.json().get("events")
    if bot_id not in call.tenant.table("bots"):
        raise missing("Bot not found.")
    if not isinstance(events, list) or not all(event in EVENTS for event in events):
        raise bad(f"events must be a list of {', '.join(EVENTS)}.")
    call.tenant.set(f"callback_types:{bot_id}", events)
    return Reply(204)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "admin.events",
        "PUT",
        "/bots/{botId}/events",
        (),
        _switch,
        success=204,
        host="admin",
        limit="none",
        body=body({"events": array_of(one_of(*EVENTS))}, "events"),
    ),
)
DUE_HANDLERS: dict[str, DueHandler] = {"callback": _due}
