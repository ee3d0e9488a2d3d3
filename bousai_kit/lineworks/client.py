"""The one narrow call to LINE WORKS: pace, send, repeat or raise.

What is repeated and what is not stands in `retry`; when a request may leave, in `pacing`; who may see the
token, in `hosts`; what is not asked again, in `memory`. `exchange` sends.

Source: reference part 1 §2 (vendor pages api-call, rate-limits).
"""

from __future__ import annotations

import functools
import random as randomlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from datetime import datetime
from typing import Any

import httpx

from bousai_kit.clock import Clock
from bousai_kit.errors import ConfigError, LineWorksError
from bousai_kit.lineworks import problems
from bousai_kit.lineworks.asking import Ask, build_ask
from bousai_kit.lineworks.auth import Auth, ServiceAccount
from bousai_kit.lineworks.boards import Boards
from bousai_kit.lineworks.bots import Attachments, Bots, Channels
from bousai_kit.lineworks.directory import Groups, Levels, OrgUnits, Positions, Users, UserTypes
from bousai_kit.lineworks.exchange import Elsewhere, Exchange, Received
from bousai_kit.lineworks.hosts import HostRule, is_in_process
from bousai_kit.lineworks.logs import Audit, Monitoring
from bousai_kit.lineworks.messages import Messages
from bousai_kit.lineworks.names import held
from bousai_kit.lineworks.pacing import read_limits
from bousai_kit.lineworks.paging import walk
from bousai_kit.lineworks.retry import (
    Action,
    Fate,
    Patience,
    Tries,
    back_off_s,
    fate_of,
    judge_absence,
    judge_answer,
)
from bousai_kit.lineworks.shared import Shared, shared_by
from bousai_kit.lineworks.tokens import parse_http_date
from bousai_kit.lineworks.transport import build_http
from bousai_kit.lineworks.values import Answer, Stats, Trace

__all__ = ["Answer", "LineWorksClient", "Shared", "Stats", "Trace", "build_http"]

Outcome = Received | Fate | Elsewhere
_ONCE = Patience(repeats=0, unsent=0, refusals=0)


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
    allowed_hosts : collection of str
        Beside the vendor's own: where the bearer token may follow a ``Location``.
    tracer : callable, optional
        Called with a `Trace` after each request.
    real_network : bool, optional
        A virtual clock is held while a request is under way. Default: unless the host is ``*.invalid``.
    patience : Patience, optional
        How often a request is repeated.
    shared : Shared, optional
        Budgets, turns, refusals and token together with other clients; default: with all that speak for
        the same account in this process.

    Attributes
    ----------
    auth : Auth
    stats : Stats
        Requests and 429 answers since it was built.
    users, orgunits, groups, levels, positions, user_types, bots, channels, attachments, messages, boards, …
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
        self._shared = shared or shared_by(
            account=account, api_url=api_url, auth_url=auth_url, domain_id=domain_id, clock=clock
        )
        self._shared.clients.add(self)
        self.gate, self.turns, self._memory = self._shared.gate, self._shared.turns, self._shared.memory
        self.auth = Auth(
            account=account,
            clock=clock,
            rng=random,
            post=self._exchange.post_token,
            patience=self._patience,
            purse=self._shared.purse,
        )
        self.users, self.orgunits, self.groups = Users(self), OrgUnits(self), Groups(self)
        self.levels, self.positions, self.user_types = Levels(self), Positions(self), UserTypes(self)
        self.bots, self.channels, self.attachments = Bots(self), Channels(self), Attachments(self)
        self.messages, self.boards = Messages(self), Boards(self)
        self.audit, self.monitoring = Audit(self), Monitoring(self)

    def __repr__(self) -> str:
        return f"<LineWorksClient domain={self.domain_id}>"

    @property
    def shared(self) -> Shared:
        """What it shares with the other clients of its account."""
        return self._shared

    async def aclose(self) -> None:
        """End. The HTTP client stays open: it is its maker's."""
        self._shared.leave(self)

    # -- the call -------------------------------------------------------------------------------------

    async def call(
        self,
        method: str,
        path: str,
        *,
        operation: str | None = None,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        priority: int = 0,
        safe: bool | None = None,
        again: bool = False,
        leave_by: datetime | None = None,
    ) -> Answer:
        """Send one request, with everything that the contract asks of a careful client.

        The way to whatever no family has (rich menus, custom properties, forms, the security switch)::

            await client.call("GET", quoted("bots", bot_id, "richmenus"), params={"count": 50})

        Budget, serial rules (`routes`), token, repeats and errors are those of the families.

        Parameters
        ----------
        method : str
        path : str
            Below the API's base, with a leading slash; values that may hold ``/ ? # %`` encoded with
            `base.quoted`.
        operation : str, optional
            What the limit counts; default: what method and path say (``"users.create"``).
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
        leave_by : datetime, optional
            Later it is not sent any more (`TransportFailed`), however long it had to wait for its turn.

        Raises
        ------
        GuardError
            It would replace a member or a group (PUT).
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
        ask = build_ask(
            method,
            path,
            operation=operation,
            params=params,
            json=json,
            priority=priority,
            order=self.gate.next_order(),
            safe=safe,
            leave_by=leave_by,
            domain_id=self.domain_id,
        )
        if ask.turn is None:
            return await self._answered(ask, again=again)
        async with held(ask.turn, turns=self.turns, names=self._shared.names):
            return await self._answered(ask, again=again)

    async def _answered(self, ask: Ask, *, again: bool) -> Answer:
        """Try until it is done or has failed for good."""
        if not again:
            self._memory.check(ask.key, self.clock.monotonic())
        tries = Tries()
        while True:
            tries.count += 1
            tries.writes = self._memory.writes
            requested_at, outcome = await self._try(ask, tries)
            action = self._judge(ask, outcome, tries, self._patience)
            if action is Action.DONE and isinstance(outcome, Received):
                if ask.method != "GET":
                    self._memory.wrote()
                answer = self._answer(outcome, requested_at)
                if ask.tells_names:
                    self._shared.names.read(answer)
                return answer
            if action is Action.RENEW:
                tries.renewed = True  # the next try takes another token
            elif action is Action.PAUSE:
                tries.refusals += 1  # the gate keeps the whole operation waiting
            elif action is Action.BACK_OFF:
                await self.clock.sleep(back_off_s(tries.broken, safe=ask.safe, rng=self._rng))
                tries.broken += 1
            else:
                raise self._failure(ask, action, outcome, tries)

    async def _try(self, ask: Ask, tries: Tries) -> tuple[datetime, Outcome]:
        """One try: wait for its turn, send, and give the place in the gate back whatever happens."""
        await self.auth.token()  # before the gate: who has no token takes nobody's place
        entry = await self.gate.enter(ask.operation, priority=ask.priority, order=ask.order)
        outcome: Outcome = Fate.UNSENT
        try:
            token = await self.auth.token()
            ask.check_due(self.clock.now())
            outcome = Fate.UNANSWERED
            requested_at = self.clock.now()
            self.stats.requests += 1
            try:
                outcome = await self._exchange.run(ask, token, tries.count)
            except httpx.RequestError as error:
                outcome = fate_of(error)
            except Elsewhere as elsewhere:
                outcome = elsewhere.with_traceback(None)
            if isinstance(outcome, Received) and outcome.status == 401:
                renew = self.auth.refused(token, ask.operation, again=tries.renewed)
                tries.renewed = tries.renewed or not renew
            return requested_at, outcome
        finally:
            if outcome in (Fate.UNSENT, Fate.UNTRUSTED):
                self.gate.leave_unsent(entry)
            elif isinstance(outcome, Fate):
                self.gate.leave_lost(entry)
                if ask.method != "GET":
                    self._memory.wrote()  # perhaps, also when nobody waits for it any more
            else:
                limits = read_limits(outcome.headers)
                if isinstance(outcome, Received) and outcome.status == 429:
                    self.stats.throttled += 1
                    self.gate.leave_refused(entry, limits)
                else:
                    self.gate.leave(entry, limits)

    def _answer(self, got: Received, requested_at: datetime) -> Answer:
        return Answer(got.status, got.headers, got.content, requested_at, self.clock.now())

    def _judge(self, ask: Ask, outcome: Outcome, tries: Tries, patience: Patience) -> Action:
        if isinstance(outcome, Elsewhere):
            return Action.FAIL
        if isinstance(outcome, Fate):
            action = judge_absence(outcome, safe=ask.safe, tries=tries, patience=patience)
            tries.maybe_done |= outcome is Fate.UNANSWERED
            return action
        if outcome.page and outcome.status < 300:  # a login page says nothing about the request
            return Action.FAIL if ask.safe else Action.UNKNOWN
        if outcome.status == 404 and ask.method == "DELETE" and tries.maybe_done and not outcome.page:
            outcome.status, outcome.content = 204, b""  # an earlier try did it
            return Action.DONE
        action = judge_answer(outcome.status, safe=ask.safe, tries=tries, patience=patience, bot=ask.bot)
        tries.maybe_done |= outcome.status >= 500
        return action

    def _failure(self, ask: Ask, action: Action, outcome: Outcome, tries: Tries) -> LineWorksError:
        if isinstance(outcome, Elsewhere):
            elsewhere = functools.partial(problems.foreign_location, outcome.host)
            self._memory.foreign(ask.key, elsewhere, now=self.clock.monotonic())
            return elsewhere()
        lost = isinstance(outcome, Fate)
        if action is Action.UNKNOWN or (lost and tries.maybe_done and ask.method != "GET"):
            self._memory.wrote()  # perhaps: look-ups have to be asked again
            seen = outcome.status if isinstance(outcome, Received) else None
            return problems.in_doubt(seen, method=ask.method, path=ask.path)
        if isinstance(outcome, Fate):
            return problems.unreached(outcome, "LINE WORKS ", maybe_done=tries.maybe_done)
        status = outcome.status
        if status < 400:
            return problems.strange(status, page=outcome.page)
        if status == 401:
            self.auth.note_date(parse_http_date(outcome.headers.get("date")))
        limits, problem = read_limits(outcome.headers), problems.read_problem(outcome.content)
        make = functools.partial(
            problems.build_error,
            status=status,
            problem=problem,
            method=ask.method,
            path=ask.path,
            retry_after_s=limits.reset_s,
            limit=limits.limit,
            remaining=limits.remaining,
            hint=problems.PAGE_HINT if outcome.page else self.auth.skew_hint() if status == 401 else None,
        )
        if status < 500 and status not in (401, 429) and not outcome.moved and not outcome.page:
            self._memory.refused(
                ask.key,
                method=ask.method,
                status=status,
                writes=tries.writes,
                now=self.clock.monotonic(),
                make=make,
            )
        return make()

    # -- what the families build on -------------------------------------------------------------------

    async def upload(self, url: str, *, name: str, content: bytes, part: str, operation: str) -> Answer:
        """Second step of an upload: ``multipart/form-data`` to the address that the first step gave.

        Raises
        ------
        ForeignLocation, ApiError, TransportFailed
        OutcomeUnknown
            No answer came; start again with the first step.
        """
        ask = Ask("POST", "/upload", "/upload", None, operation, 0, 0, safe=False)
        token, requested_at = await self.auth.token(), self.clock.now()
        outcome: Outcome
        try:
            outcome = await self._exchange.upload(
                url, {part: (name, content)}, {"resourceName": name}, token, operation
            )
        except httpx.RequestError as error:
            outcome = fate_of(error)
        except Elsewhere as elsewhere:
            outcome = elsewhere.with_traceback(None)
        tries = Tries(renewed=True)
        action = self._judge(ask, outcome, tries, _ONCE)
        if action is Action.DONE and isinstance(outcome, Received):
            return self._answer(outcome, requested_at)
        raise self._failure(ask, action, outcome, tries)

    def pages(
        self,
        path: str,
        *items: str,
        operation: str | None = None,
        params: Mapping[str, Any] | None = None,
        count: int = 100,
        most: int = 100,
        priority: int = 0,
        again: bool = False,
    ) -> AsyncIterator[Any]:
        """All items of a paged list, as `paging.walk` gives them."""
        more: Any = {"operation": operation, "params": params, "priority": priority, "again": again}
        return walk(self.call, path, items, count=count, most=most, **more)
