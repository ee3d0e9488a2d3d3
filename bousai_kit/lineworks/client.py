"""The one narrow call to LINE WORKS: pace, send, follow, repeat or raise.

Redirects are followed by hand, with the bearer token, to allowed hosts only. What is repeated and what is
not stands in `retry`; when a request may leave, in `pacing`; who may see the token, in `hosts`.

Source: reference part 1 §2 (vendor pages api-call, rate-limits).
"""

from __future__ import annotations

import asyncio
import contextlib
import json as jsonlib
import random as randomlib
from collections.abc import AsyncIterator, Callable, Collection, Generator, Hashable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from bousai_kit.clock import Clock
from bousai_kit.errors import (
    ApiError,
    ConfigError,
    ForeignLocation,
    GuardError,
    LineWorksError,
    OutcomeUnknown,
    ProtocolViolation,
    TransportFailed,
)
from bousai_kit.lineworks.auth import Auth, ServiceAccount, Token, TokenAnswer, parse_http_date
from bousai_kit.lineworks.boards import Boards
from bousai_kit.lineworks.bots import Attachments, Bots, Channels
from bousai_kit.lineworks.directory import Groups, Levels, OrgUnits, Positions, Users, UserTypes
from bousai_kit.lineworks.gate import Gate, Turns
from bousai_kit.lineworks.hosts import HostRule, host_of, is_in_process
from bousai_kit.lineworks.logs import Audit, Monitoring
from bousai_kit.lineworks.memory import RefusalMemory, request_key
from bousai_kit.lineworks.messages import Messages
from bousai_kit.lineworks.pacing import Limits, read_limits
from bousai_kit.lineworks.problems import Problem, build_error, public_path, read_problem
from bousai_kit.lineworks.retry import (
    SAFE_METHODS,
    Action,
    Fate,
    Patience,
    Tries,
    back_off_s,
    fate_of,
    judge_absence,
    judge_answer,
)
from bousai_kit.lineworks.transport import TIMEOUT_S, build_http

__all__ = ["Answer", "LineWorksClient", "Shared", "Stats", "Trace", "build_http"]

_HOPS = 4
_FOLLOWED = (301, 302, 303, 307, 308)
_PATH_SAFE = "/-._~!$&'()*+,;=:@%"


@dataclass(frozen=True, slots=True)
class Trace:
    """One request as a notebook may show it: never a secret, a body, a query or a login id.

    Attributes
    ----------
    method, path, status, ms
        `status` is None when no answer came; `ms` are milliseconds of the kit's clock.
    limit_left : int or None
        `RateLimit-Remaining` of the answer.
    operation, attempt
        What the limit counts; 1 for the first try.
    """

    method: str
    path: str
    status: int | None
    ms: float
    limit_left: int | None
    operation: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer.

    Attributes
    ----------
    status : int
    headers : httpx.Headers
    content : bytes
        As it came.
    requested_at, answered_at : datetime
        Kit clock, aware UTC: when the try left that was answered, and when its answer was in.
    """

    status: int
    headers: httpx.Headers = field(repr=False)
    content: bytes = field(repr=False)
    requested_at: datetime
    answered_at: datetime

    def json(self) -> Any:
        """The decoded body; ``{}`` for an empty one.

        Raises
        ------
        ProtocolViolation
            It is not JSON.
        """
        if not self.content.strip():
            return {}
        try:
            return jsonlib.loads(self.content)
        except (ValueError, RecursionError):
            raise ProtocolViolation("LINE WORKS の応答を JSON として読み取れません。") from None

    @property
    def server_date(self) -> datetime | None:
        """The answer's ``Date`` header, aware UTC."""
        return parse_http_date(self.headers.get("date"))


@dataclass(slots=True)
class Stats:
    """Counts of one client since it was built.

    Attributes
    ----------
    requests : int
        Requests that were sent to the API (repeats included; the token and second steps of a redirect not).
    throttled : int
        429 answers among them.
    """

    requests: int = 0
    throttled: int = 0


class _Bearer(httpx.Auth):
    """Adds the token at the last moment, so that it stands in no variable of a frame."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = "Bearer " + self._token.value
        yield request


class Shared:
    """What all clients of one domain share in a process: budgets, turns, refusals.

    Parameters
    ----------
    clock : Clock
    """

    def __init__(self, *, clock: Clock) -> None:
        self.gate = Gate(clock=clock)
        self.turns = Turns(clock=clock)
        self.memory = RefusalMemory()


class LineWorksClient:
    """LINE WORKS API 2.0 with a service account.

    Parameters
    ----------
    http : httpx.AsyncClient
        From `build_http`; stays the caller's to close.
    account : ServiceAccount
    api_url, auth_url : str
        Bases, path included.
    domain_id : int
    clock : Clock
    random : random.Random
        Jitter.
    allowed_hosts : collection of str
        Beside the vendor's own: where the bearer token may follow a ``Location``.
    tracer : callable, optional
        Called with a `Trace` after each request.
    real_network : bool, optional
        A virtual clock is held while a request is under way. Default: unless the API host is
        ``*.invalid`` (a tenant inside this process).
    patience : Patience, optional
        How often a request is repeated.
    shared : Shared, optional
        One for several clients of the same domain in a process.

    Raises
    ------
    ConfigError
        The private key or a base URL cannot be used.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        account: ServiceAccount,
        api_url: str,
        auth_url: str,
        domain_id: int,
        clock: Clock,
        random: randomlib.Random,
        allowed_hosts: Collection[str] = (),
        tracer: Callable[[Trace], None] | None = None,
        real_network: bool | None = None,
        patience: Patience | None = None,
        shared: Shared | None = None,
    ) -> None:
        self.domain_id = domain_id
        self.clock = clock
        self.stats = Stats()
        self._http = http
        self._api = api_url.rstrip("/")
        self._token_url = auth_url.rstrip("/") + "/token"
        self._rng = random
        self._tracer = tracer
        in_process = is_in_process(httpx.URL(api_url).host)
        self._real = (not in_process) if real_network is None else real_network
        self._hosts = HostRule(api_url=api_url, allowed_hosts=allowed_hosts, in_process=not self._real)
        for setting, url in (("BOUSAI_API_URL", api_url), ("BOUSAI_AUTH_URL", auth_url)):
            if not self._hosts.allows_base(url):
                raise ConfigError(f"{setting} は https:// で始まるアドレスにしてください。", setting=setting)
        self._patience = patience or Patience()
        shared = shared or Shared(clock=clock)
        self.gate, self.turns, self._memory = shared.gate, shared.turns, shared.memory
        self.auth = Auth(
            account=account, clock=clock, rng=random, post=self._post_token, patience=self._patience
        )
        self.users, self.orgunits, self.groups = Users(self), OrgUnits(self), Groups(self)
        self.levels, self.positions, self.user_types = Levels(self), Positions(self), UserTypes(self)
        self.bots, self.channels, self.attachments = Bots(self), Channels(self), Attachments(self)
        self.messages, self.boards = Messages(self), Boards(self)
        self.audit, self.monitoring = Audit(self), Monitoring(self)

    def __repr__(self) -> str:
        return f"<LineWorksClient domain={self.domain_id}>"

    async def aclose(self) -> None:
        """Stop waiting. The HTTP client stays open: it is its maker's."""
        self.gate.close()

    # -- the call -------------------------------------------------------------------------------------

    async def call(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        priority: int = 0,
        safe: bool | None = None,
        again: bool = False,
    ) -> Answer:
        """Send one request, with everything that the contract asks of a careful client.

        Parameters
        ----------
        method : str
        path : str
            Below the API's base, with a leading slash and its values encoded (`quoted`).
        operation : str
            What the limit counts, e.g. ``"users.create"``.
        params : mapping, optional
            Query; None values are left out, times become ISO 8601, everything is percent-encoded.
        json : optional
            Body.
        priority : int
            Smaller goes first among those that wait for the same operation.
        safe : bool, optional
            It may be repeated when no answer came; default: unless it is a POST.
        again : bool
            Ask even if this very request was refused for good before.

        Raises
        ------
        ApiError
            A final refusal, of the kind that fits its status.
        TransportFailed
            Certainly not processed.
        OutcomeUnknown
            A POST that may have taken effect; it is not repeated.
        ForeignLocation
            The answer pointed to a host that is not allowed.
        ProtocolViolation
            The answer is not what the contract says.
        """
        return await self._call(
            method.upper(),
            path,
            operation=operation,
            query=_encode_query(params),
            body=None if json is None else jsonlib.dumps(json, ensure_ascii=False, allow_nan=False).encode(),
            priority=priority,
            safe=safe,
            again=again,
        )

    async def _call(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        query: str,
        body: bytes | None,
        priority: int,
        safe: bool | None,
        again: bool,
    ) -> Answer:
        url = self._target(method, path, query)
        key = request_key(method, f"{path}?{query}", body)
        if not again:
            self._memory.check(key, self.clock.monotonic())
        safe = method in SAFE_METHODS if safe is None else safe
        order = self.gate.next_order()
        tries, attempt = Tries(), 0
        while True:
            attempt += 1
            entry = await self.gate.enter(operation, priority=priority, order=order)
            limits: Limits | None = None
            answer: httpx.Response | None = None
            fate = Fate.UNANSWERED
            token = requested_at = None
            try:
                try:
                    token = await self.auth.token()
                except BaseException:
                    fate = Fate.UNSENT
                    raise
                requested_at = self.clock.now()
                try:
                    answer = await self._exchange(method, url, body, token, operation, attempt)
                    limits = read_limits(answer.headers)
                except httpx.TransportError as error:
                    fate = fate_of(error)
                except _Elsewhere as elsewhere:
                    raise self._foreign(key, method, path, elsewhere.host) from None
            finally:  # whatever happened, also when this task was stopped: the place in the gate is given back
                if limits is None:
                    (self.gate.leave_unsent if fate is Fate.UNSENT else self.gate.leave_lost)(entry)
                elif answer is not None and answer.status_code == 429:
                    self.stats.throttled += 1
                    self.gate.leave_refused(entry, limits)
                else:
                    self.gate.leave(entry, limits)
            if answer is None:
                action = judge_absence(fate, safe=safe, tries=tries, patience=self._patience)
                tries.maybe_done |= fate is Fate.UNANSWERED
            else:
                status = answer.status_code
                action = judge_answer(status, safe=safe, tries=tries, patience=self._patience)
                if status == 404 and method == "DELETE" and tries.maybe_done:
                    answer.status_code, action = 204, Action.DONE  # an earlier try did it
                tries.maybe_done |= status >= 500
            if action is Action.DONE and answer is not None and requested_at is not None:
                if method != "GET":
                    self._memory.wrote(method, path)
                return Answer(
                    answer.status_code, answer.headers, answer.content, requested_at, self.clock.now()
                )
            if action is Action.RENEW and token is not None:
                tries.renewed = True
                await self.auth.token(other_than=token)
            elif action is Action.PAUSE:
                tries.refusals += 1  # the gate keeps the whole operation waiting
            elif action is Action.BACK_OFF:
                await self.clock.sleep(back_off_s(tries.broken, safe=safe, rng=self._rng))
                tries.broken += 1
            else:
                raise self._failure(action, answer, fate, key, method, path, safe)

    def _failure(
        self,
        action: Action,
        answer: httpx.Response | None,
        fate: Fate,
        key: str,
        method: str,
        path: str,
        safe: bool,
    ) -> LineWorksError:
        shown = public_path(path)
        if action is Action.UNKNOWN or (answer is None and fate is Fate.UNANSWERED and method != "GET"):
            self._memory.wrote(method, path)  # perhaps: look-ups have to be asked again
            seen = "応答がありません" if answer is None else f"{answer.status_code} が返りました"
            return OutcomeUnknown(
                f"LINE WORKS に送信しましたが、{seen}。処理されたか分かりません。", method=method, path=shown
            )
        if answer is None:
            return TransportFailed("LINE WORKS に接続できません（送信されていません）。")
        status = answer.status_code
        if status < 400:
            return ProtocolViolation(f"LINE WORKS が想定外の応答（{status}）を返しました。")
        limits = read_limits(answer.headers)
        problem = read_problem(answer.content)
        hint = None
        if status == 401:
            self.auth.note_date(parse_http_date(answer.headers.get("date")))
            hint = self.auth.skew_hint()

        def make() -> ApiError:
            return build_error(
                status=status,
                problem=problem,
                method=method,
                path=path,
                retry_after_s=limits.reset_s,
                limit=limits.limit,
                remaining=limits.remaining,
                hint=hint,
            )

        if 400 <= status < 500 and status not in (401, 429):
            self._memory.refused(
                key, method=method, path=path, status=status, now=self.clock.monotonic(), make=make
            )
        return make()

    def _foreign(self, key: str, method: str, path: str, host: str) -> ForeignLocation:
        def make() -> ForeignLocation:
            return ForeignLocation(
                f"LINE WORKS の応答が、許可されていない転送先「{host}」を指しています。追跡しません。", host=host
            )

        self._memory.refused(
            key, method=method, path=path, status=0, now=self.clock.monotonic(), make=make
        )
        return make()

    # -- one exchange ---------------------------------------------------------------------------------

    async def _exchange(
        self, method: str, url: httpx.URL, body: bytes | None, token: Token, operation: str, attempt: int
    ) -> httpx.Response:
        """Send, and follow what the answer points to; a second step belongs to the same try."""
        self.stats.requests += 1
        headers = {"Content-Type": "application/json; charset=UTF-8"} if body is not None else None
        request = self._http.build_request(method, url, content=body, headers=headers)
        answer = await self._send(request, token, operation, attempt)
        for _ in range(_HOPS):
            if answer.status_code not in _FOLLOWED or "location" not in answer.headers:
                return answer
            same = answer.status_code in (307, 308)
            if not same and method != "GET":
                return answer
            location = answer.headers["location"]
            target = self._hosts.follow(answer.request.url, location)
            if target is None:
                raise _Elsewhere(host_of(answer.request.url, location))
            request = self._http.build_request(
                method, target, content=body if same else None, headers=headers if same else None
            )
            answer = await self._send(request, token, operation, attempt)
        return answer

    async def _send(
        self, request: httpx.Request, token: Token, operation: str, attempt: int
    ) -> httpx.Response:
        began = self.clock.monotonic()
        answer: httpx.Response | None = None
        try:
            answer = await self._raw(request, _Bearer(token))
            return answer
        finally:
            if self._tracer is not None:
                self._tracer(
                    Trace(
                        method=request.method,
                        path=self._shown(request.url),
                        status=None if answer is None else answer.status_code,
                        ms=(self.clock.monotonic() - began) * 1000,
                        limit_left=None if answer is None else read_limits(answer.headers).remaining,
                        operation=operation,
                        attempt=attempt,
                    )
                )

    async def _raw(self, request: httpx.Request, auth: httpx.Auth | None) -> httpx.Response:
        if self._real:
            with self._hold():
                return await self._http.send(request, auth=auth, follow_redirects=False)
        async with _deadline(self.clock, TIMEOUT_S, request):
            return await self._http.send(request, auth=auth, follow_redirects=False)

    def _hold(self) -> AbstractContextManager[None]:
        return self.clock.hold()

    async def _post_token(self, form: bytes) -> TokenAnswer:
        request = self._http.build_request(
            "POST",
            self._token_url,
            content=form,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        answer = await self._raw(request, None)
        return TokenAnswer(
            answer.status_code, answer.content, parse_http_date(answer.headers.get("date"))
        )

    async def upload(
        self, url: str, *, name: str, content: bytes, part: str, operation: str
    ) -> Answer:
        """Second step of an upload: ``multipart/form-data`` to the address that the first step gave.

        Raises
        ------
        ForeignLocation
            The address is on a host that may not see the token.
        OutcomeUnknown
            No answer came; start again with the first step.
        ApiError
        """
        base = httpx.URL(self._api)
        target = self._hosts.follow(base, url)
        if target is None:
            host = host_of(base, url)
            raise ForeignLocation(f"アップロード先「{host}」は許可されていません。", host=host)
        token = await self.auth.token()
        requested_at = self.clock.now()
        request = self._http.build_request(
            "POST", target, files={part: (name, content)}, data={"resourceName": name}
        )
        try:
            answer = await self._send(request, token, operation, 1)
        except httpx.TransportError as error:
            raise self._failure(
                judge_absence(fate_of(error), safe=False, tries=Tries(broken=99), patience=self._patience),
                None, fate_of(error), "", "POST", "/upload", False,
            ) from None
        if answer.status_code >= 300:
            problem: Problem = read_problem(answer.content)
            raise build_error(status=answer.status_code, problem=problem, method="POST", path="/upload")
        return Answer(answer.status_code, answer.headers, answer.content, requested_at, self.clock.now())

    # -- helpers for the namespaces -------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def alone(self, *keys: Hashable, rest_s: float = 0.0, rest_key: Hashable = None) -> AsyncIterator[None]:
        """No two requests with one of these keys at once; `rest_s` seconds after the last that rested."""
        async with self.turns.hold(keys, rest_s=rest_s, rest_key=rest_key):
            yield

    async def pages(
        self,
        path: str,
        *items: str,
        operation: str,
        params: Mapping[str, Any] | None = None,
        count: int = 100,
        most: int = 100,
        priority: int = 0,
    ) -> AsyncIterator[Any]:
        """All items of a paged list.

        Parameters
        ----------
        path : str
        *items : str
            Names of the array, the first that is there counts.
        count, most : int
            Items a page, and the most that the operation documents.

        Raises
        ------
        ValueError
            `count` lies outside 1..`most`.
        ProtocolViolation
            The cursor does not move on.
        """
        if not 1 <= count <= most:
            raise ValueError(f"count は 1〜{most} で指定してください。")
        query = dict(params or {}, count=count)
        seen: set[str] = set()
        while True:
            answer = await self.call("GET", path, operation=operation, params=query, priority=priority)
            body = answer.json()
            if not isinstance(body, Mapping):
                raise ProtocolViolation("LINE WORKS の一覧の形式が想定と異なります。")
            found = next((body[name] for name in items if body.get(name) is not None), [])
            for item in found if isinstance(found, list) else [found]:
                yield item
            meta = body.get("responseMetaData")
            cursor = meta.get("nextCursor") if isinstance(meta, Mapping) else None
            if cursor is None or cursor == "":
                return
            if str(cursor) in seen:
                raise ProtocolViolation("LINE WORKS の一覧が終わりません（同じカーソルが返されました）。")
            seen.add(str(cursor))
            query["cursor"] = str(cursor)

    def _target(self, method: str, path: str, query: str) -> httpx.URL:
        parts = path.split("/")
        if not path.startswith("/") or any(p in ("", ".", "..") for p in parts[1:]) or {"?", "#"} & set(path):
            raise ValueError("path は / で始め、値を quoted() で符号化してください。")
        if method == "PUT" and parts[1] in ("users", "groups"):
            raise GuardError(
                "メンバーとグループの全項目置き換え（PUT）は行いません。省略した項目が消えるためです。",
                hint="変更する項目だけを PATCH で送ってください。",
            )
        return httpx.URL(self._api + quote(path, safe=_PATH_SAFE) + (f"?{query}" if query else ""))

    def _shown(self, url: httpx.URL) -> str:
        whole = f"{url.scheme}://{url.netloc.decode()}"
        path = url.raw_path.decode().partition("?")[0]
        base = self._api.removeprefix(whole)
        if self._api.startswith(whole) and path.startswith(base):
            return public_path(path[len(base) :]) or "/"
        return f"{url.host} へ転送"  # one-off addresses hold keys


class _Elsewhere(Exception):
    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host


def _encode_query(params: Mapping[str, Any] | None) -> str:
    if not params:
        return ""
    pairs: list[tuple[str, str]] = []
    for name, value in params.items():
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, datetime):
            if value.tzinfo is None:
                raise ValueError(f"{name}: 時刻にはタイムゾーンが必要です。")
            value = value.isoformat(timespec="seconds")
        pairs.append((name, str(value)))
    return urlencode(pairs, quote_via=quote, safe="")  # `+` of an offset as %2B, `=` of a cursor as %3D


@contextlib.asynccontextmanager
async def _deadline(clock: Clock, seconds: float, request: httpx.Request) -> AsyncIterator[None]:
    """A time-out by the kit's clock, for a tenant inside this process (no socket ever times out there)."""
    task = asyncio.current_task()
    assert task is not None
    late = False

    async def watch() -> None:
        nonlocal late
        await clock.sleep(seconds)
        late = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if late and task.uncancel() == 0:
            raise httpx.ReadTimeout("no answer in time", request=request) from None
        raise
    finally:
        watcher.cancel()


