"""The one narrow call to LINE WORKS: pace, send, repeat or raise.

What is repeated and what is not stands in `retry`; when a request may leave, in `pacing`; who may see the
token, in `hosts`; what is not asked again, in `memory`. `exchange` sends.

Source: reference part 1 §2 (vendor pages api-call, rate-limits).
"""

from __future__ import annotations

import json as jsonlib
import random as randomlib
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from bousai_kit.clock import Clock
from bousai_kit.errors import (
    ConfigError,
    ForeignLocation,
    GuardError,
    LineWorksError,
    OutcomeUnknown,
    ProtocolViolation,
    TransportFailed,
)
from bousai_kit.lineworks.auth import Auth, ServiceAccount, parse_http_date
from bousai_kit.lineworks.boards import Boards
from bousai_kit.lineworks.bots import Attachments, Bots, Channels
from bousai_kit.lineworks.directory import Groups, Levels, OrgUnits, Positions, Users, UserTypes
from bousai_kit.lineworks.exchange import Elsewhere, Exchange
from bousai_kit.lineworks.gate import Gate, Turns
from bousai_kit.lineworks.hosts import HostRule, is_in_process
from bousai_kit.lineworks.logs import Audit, Monitoring
from bousai_kit.lineworks.memory import RefusalMemory, request_key
from bousai_kit.lineworks.messages import Messages
from bousai_kit.lineworks.pacing import Limits, read_limits
from bousai_kit.lineworks.problems import build_error, public_path, read_problem
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
from bousai_kit.lineworks.transport import build_http
from bousai_kit.lineworks.values import Answer, Stats, Trace

__all__ = ["Answer", "LineWorksClient", "Shared", "Stats", "Trace", "build_http"]

_PATH_SAFE = "/-._~!$&'()*+,;=:@%"


class Shared:
    """What all clients of one domain share in a process: budgets, turns, final refusals.

    Parameters
    ----------
    clock : Clock
    """

    def __init__(self, *, clock: Clock) -> None:
        self.gate = Gate(clock=clock)
        self.turns = Turns(clock=clock)
        self.memory = RefusalMemory()


@dataclass(frozen=True, slots=True)
class _Ask:
    """One request as it stays through all its tries."""

    method: str
    path: str
    target: str
    body: bytes | None
    operation: str
    priority: int
    order: int
    safe: bool

    @property
    def key(self) -> str:
        return request_key(self.method, self.target, self.body)


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

    Attributes
    ----------
    auth : Auth
    stats : Stats
        Requests and 429 answers since it was built.
    users, orgunits, groups, levels, positions, user_types, bots, channels, attachments, messages, boards,
    audit, monitoring
        The API families.

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
        self._rng = random
        self._patience = patience or Patience()
        if real_network is None:
            real_network = not is_in_process(httpx.URL(api_url).host)
        hosts = HostRule(api_url=api_url, allowed_hosts=allowed_hosts, in_process=not real_network)
        for setting, url in (("BOUSAI_API_URL", api_url), ("BOUSAI_AUTH_URL", auth_url)):
            if not hosts.allows_base(url):
                raise ConfigError(f"{setting} は https:// で始まるアドレスにしてください。", setting=setting)
        self._exchange = Exchange(
            http,
            api_url=api_url.rstrip("/"),
            token_url=auth_url.rstrip("/") + "/token",
            clock=clock,
            hosts=hosts,
            real_network=real_network,
            tracer=tracer,
        )
        shared = shared or Shared(clock=clock)
        self.gate, self.turns, self._memory = shared.gate, shared.turns, shared.memory
        self.auth = Auth(
            account=account,
            clock=clock,
            rng=random,
            post=self._exchange.post_token,
            patience=self._patience,
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
            Below the API's base, with a leading slash and its values encoded (`base.quoted`).
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
            It may have taken effect; a POST is not repeated.
        ForeignLocation
            The answer pointed to a host that is not allowed.
        ProtocolViolation
            The answer is not what the contract says.
        """
        method = method.upper()
        ask = _Ask(
            method=method,
            path=path,
            target=_target(method, path, params),
            body=None if json is None else jsonlib.dumps(json, ensure_ascii=False, allow_nan=False).encode(),
            operation=operation,
            priority=priority,
            order=self.gate.next_order(),
            safe=method in SAFE_METHODS if safe is None else safe,
        )
        if not again:
            self._memory.check(ask.key, self.clock.monotonic())
        tries, attempt = Tries(), 0
        while True:
            attempt += 1
            requested_at, outcome = await self._try(ask, attempt)
            if isinstance(outcome, Fate):
                action = judge_absence(outcome, safe=ask.safe, tries=tries, patience=self._patience)
                tries.maybe_done |= outcome is Fate.UNANSWERED
            else:
                status = outcome.status_code
                action = judge_answer(status, safe=ask.safe, tries=tries, patience=self._patience)
                if status == 404 and method == "DELETE" and tries.maybe_done:
                    outcome.status_code, action = 204, Action.DONE  # an earlier try did it
                tries.maybe_done |= status >= 500
                if action is Action.DONE:
                    if method != "GET":
                        self._memory.wrote(method, path)
                    return Answer(
                        outcome.status_code,
                        outcome.headers,
                        outcome.content,
                        requested_at,
                        self.clock.now(),
                    )
            if action is Action.RENEW:
                tries.renewed = True  # the next try takes another token
            elif action is Action.PAUSE:
                tries.refusals += 1  # the gate keeps the whole operation waiting
            elif action is Action.BACK_OFF:
                await self.clock.sleep(back_off_s(tries.broken, safe=ask.safe, rng=self._rng))
                tries.broken += 1
            else:
                raise self._failure(ask, action, outcome, maybe_done=tries.maybe_done)

    async def _try(self, ask: _Ask, attempt: int) -> tuple[datetime, httpx.Response | Fate]:
        """One try: wait for its turn, send, and give the place in the gate back whatever happens."""
        await self.auth.token()  # before the gate: who has no token takes nobody's place
        entry = await self.gate.enter(ask.operation, priority=ask.priority, order=ask.order)
        outcome: httpx.Response | Fate = Fate.UNSENT
        try:
            token = await self.auth.token()
            outcome = Fate.UNANSWERED
            requested_at = self.clock.now()
            self.stats.requests += 1
            try:
                outcome = await self._exchange.run(
                    ask.method, ask.target, ask.body, token, ask.operation, attempt
                )
            except httpx.TransportError as error:
                outcome = fate_of(error)
            except Elsewhere as elsewhere:
                raise self._foreign(ask, elsewhere.host) from None
            if not isinstance(outcome, Fate) and outcome.status_code == 401:
                self.auth.discard(token)
            return requested_at, outcome
        finally:
            if outcome is Fate.UNSENT:
                self.gate.leave_unsent(entry)
            elif isinstance(outcome, Fate):
                self.gate.leave_lost(entry)
            elif outcome.status_code == 429:
                self.stats.throttled += 1
                self.gate.leave_refused(entry, read_limits(outcome.headers))
            else:
                self.gate.leave(entry, read_limits(outcome.headers))

    def _failure(
        self, ask: _Ask, action: Action, outcome: httpx.Response | Fate, *, maybe_done: bool
    ) -> LineWorksError:
        answered = not isinstance(outcome, Fate)
        if action is Action.UNKNOWN or (not answered and maybe_done and ask.method != "GET"):
            self._memory.wrote(ask.method, ask.path)  # perhaps: look-ups have to be asked again
            seen = f"{outcome.status_code} が返りました" if answered else "応答がありません"
            return OutcomeUnknown(
                f"LINE WORKS に送信しましたが、{seen}。処理されたか分かりません。",
                method=ask.method,
                path=public_path(ask.path),
            )
        if isinstance(outcome, Fate):
            return TransportFailed(
                "LINE WORKS に接続できません。"
                if maybe_done
                else "LINE WORKS に接続できません（送信されていません）。"
            )
        status, headers = outcome.status_code, outcome.headers
        if status < 400:
            return ProtocolViolation(f"LINE WORKS が想定外の応答（{status}）を返しました。")
        if status == 401:
            self.auth.note_date(parse_http_date(headers.get("date")))
        limits: Limits = read_limits(headers)
        problem = read_problem(outcome.content)
        hint = self.auth.skew_hint() if status == 401 else None

        def make() -> LineWorksError:
            return build_error(
                status=status,
                problem=problem,
                method=ask.method,
                path=ask.path,
                retry_after_s=limits.reset_s,
                limit=limits.limit,
                remaining=limits.remaining,
                hint=hint,
            )

        if 400 <= status < 500 and status not in (401, 429):
            self._remember(ask, status, make)
        return make()

    def _foreign(self, ask: _Ask, host: str) -> LineWorksError:
        def make() -> LineWorksError:
            return _foreign_location(host)

        self._remember(ask, 0, make)
        return make()

    def _remember(self, ask: _Ask, status: int, make: Callable[[], LineWorksError]) -> None:
        self._memory.refused(
            ask.key,
            method=ask.method,
            path=ask.path,
            status=status,
            now=self.clock.monotonic(),
            make=make,
        )

    # -- what the families build on -------------------------------------------------------------------

    async def upload(self, url: str, *, name: str, content: bytes, part: str, operation: str) -> Answer:
        """Second step of an upload: ``multipart/form-data`` to the address that the first step gave.

        Raises
        ------
        ForeignLocation
            The address is on a host that may not see the token.
        OutcomeUnknown
            No answer came; start again with the first step.
        ApiError, TransportFailed
        """
        token = await self.auth.token()
        requested_at = self.clock.now()
        ask = _Ask("POST", "/upload", "/upload", None, operation, 0, 0, safe=False)
        try:
            answer = await self._exchange.upload(
                url, {part: (name, content)}, {"resourceName": name}, token, operation
            )
        except Elsewhere as elsewhere:
            raise _foreign_location(elsewhere.host) from None
        except httpx.TransportError as error:
            fate = fate_of(error)
            action = Action.UNKNOWN if fate is Fate.UNANSWERED else Action.FAIL
            raise self._failure(ask, action, fate, maybe_done=False) from None
        if answer.status_code >= 300:
            raise build_error(
                status=answer.status_code,
                problem=read_problem(answer.content),
                method="POST",
                path="/upload",
            )
        return Answer(answer.status_code, answer.headers, answer.content, requested_at, self.clock.now())

    def alone(
        self, *keys: Hashable, rest_s: float = 0.0, rest_key: Hashable = None
    ) -> AbstractAsyncContextManager[None]:
        """No two requests with one of these keys at once; `rest_s` seconds after the last that rested."""
        return self.turns.hold(keys, rest_s=rest_s, rest_key=rest_key)

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
            Names of the array; the first that is there counts.
        count, most : int
            Items a page, and the most that the operation documents.

        Raises
        ------
        ValueError
            `count` lies outside 1..`most`.
        ProtocolViolation
            The list is no list, or its cursor does not move on.
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
            found: Any = next((body[name] for name in items if body.get(name) is not None), [])
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


def _foreign_location(host: str) -> ForeignLocation:
    return ForeignLocation(
        f"LINE WORKS の応答が、許可されていない転送先「{host}」を指しています。追跡しません。", host=host
    )


def _target(method: str, path: str, params: Mapping[str, Any] | None) -> str:
    """Path and query as they are sent."""
    parts = path.split("/")
    if parts[0] or {"", ".", ".."} & set(parts[1:]) or {"?", "#"} & set(path):
        raise ValueError("path は / で始め、値を quoted() で符号化してください。")
    if method == "PUT" and parts[1] in ("users", "groups"):
        raise GuardError(
            "メンバーとグループの全項目置き換え（PUT）は行いません。省略した項目が消えるためです。",
            hint="変更する項目だけを PATCH で送ってください。",
        )
    query = _encode_query(params)
    return quote(path, safe=_PATH_SAFE) + (f"?{query}" if query else "")


def _encode_query(params: Mapping[str, Any] | None) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in (params or {}).items():
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, datetime):
            if value.tzinfo is None:
                raise ValueError(f"{name}: 時刻にはタイムゾーンが必要です。")
            value = value.isoformat(timespec="seconds")
        pairs.append((name, str(value)))
    return urlencode(pairs, quote_via=quote, safe="")  # the `+` of an offset as %2B, `=` of a cursor as %3D
