"""One exchange: send, and follow by hand what the answer points to. The only module that does I/O.

The token enters a request at the last moment and stands in no variable of a frame; it follows a ``Location``
to allowed hosts only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from dataclasses import dataclass, field

import httpx

from bousai_kit.clock import Clock
from bousai_kit.lineworks.asking import Ask
from bousai_kit.lineworks.hosts import HostRule, host_of
from bousai_kit.lineworks.pacing import read_limits
from bousai_kit.lineworks.problems import is_page, public_path
from bousai_kit.lineworks.tokens import Token, TokenAnswer, parse_http_date
from bousai_kit.lineworks.transport import DOWNLOAD_S, TIMEOUT_S, WHOLE_S
from bousai_kit.lineworks.values import Trace

__all__ = ["Elsewhere", "Exchange", "Received"]

log = logging.getLogger(__name__)

_HOPS = 4
_LOCATION = "bousai_kit.location"
_FOLLOWED = (301, 302, 303, 307, 308)
_JSON = {"Content-Type": "application/json; charset=UTF-8"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(slots=True)
class Received:
    """An answer as it came.

    Attributes
    ----------
    status : int
    headers : httpx.Headers
    content : bytes
    moved : bool
        It is the answer of a one-off address that a 302 had given, not of the request itself.
    page : bool
        It is a page for people in place of the API's answer: a proxy or a login page spoke.
    """

    status: int
    headers: httpx.Headers = field(repr=False)
    content: bytes = field(repr=False)
    moved: bool = False

    @property
    def page(self) -> bool:
        return not self.moved and is_page(self.content, self.headers.get("content-type", ""))


class Elsewhere(Exception):
    """A ``Location`` on a host that is not allowed; `headers` are those of the answer that holds it."""

    def __init__(self, host: str, headers: httpx.Headers | None = None) -> None:
        super().__init__(host)
        self.host = host
        self.headers = httpx.Headers() if headers is None else headers


async def _keep_location(answer: httpx.Response) -> None:
    """Take ``Location`` out of httpx's sight: it reads it even when it is not to follow, and may stumble."""
    if "location" in answer.headers:
        answer.extensions[_LOCATION] = answer.headers.pop("location")


class _Bearer(httpx.Auth):
    """Adds the token at the last moment, so that it stands in no variable of a frame."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = "Bearer " + self._token.value
        yield request


class Exchange:
    """Sends requests of one client.

    Parameters
    ----------
    http : httpx.AsyncClient
    api_url : str
        Base, without a trailing slash.
    token_url : str
    clock : Clock
    hosts : HostRule
    real_network : bool
        The clock is held while a request is under way; else the kit's clock owns the time-out.
    tracer : callable or None
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        api_url: str,
        token_url: str,
        clock: Clock,
        hosts: HostRule,
        real_network: bool,
        tracer: Callable[[Trace], None] | None,
    ) -> None:
        self._http = http
        hooks = http.event_hooks
        if _keep_location not in hooks["response"]:
            http.event_hooks = {**hooks, "response": [*hooks["response"], _keep_location]}
        self._api = api_url
        self._token_url = token_url
        self._clock = clock
        self._hosts = hosts
        self._real = real_network
        self._tracer = tracer

    async def run(self, ask: Ask, token: Token, attempt: int) -> Received:
        """Send, and follow what the answer points to; a second step belongs to the same try.

        Raises
        ------
        httpx.RequestError
            No answer.
        Elsewhere
            The answer points to a host that is not allowed.
        """
        request = self._http.build_request(
            ask.method, self._api + ask.target, content=ask.body, headers=None if ask.body is None else _JSON
        )
        answer, moved = await self._send(request, token, ask.operation, attempt), False
        for _ in range(_HOPS):
            location = answer.extensions.get(_LOCATION)
            if answer.status_code not in _FOLLOWED or not location:
                break
            same = answer.status_code in (307, 308)
            if not same and ask.method != "GET":
                break
            found = self._hosts.follow(answer.request.url, location)
            if found is None:
                raise Elsewhere(host_of(answer.request.url, location), answer.headers)
            moved = moved or not same
            body = ask.body if same else None
            request = self._http.build_request(
                ask.method, found, content=body, headers=None if body is None else _JSON
            )
            answer = await self._send(request, token, ask.operation, attempt)
        return Received(answer.status_code, answer.headers, answer.content, moved)

    async def upload(
        self,
        url: str,
        files: Mapping[str, tuple[str, bytes]],
        fields: Mapping[str, str],
        token: Token,
        operation: str,
    ) -> Received:
        """POST ``multipart/form-data`` to an address that an answer gave; raises as `run`."""
        base = httpx.URL(self._api)
        found = self._hosts.follow(base, url)
        if found is None:
            raise Elsewhere(host_of(base, url))
        request = self._http.build_request("POST", found, files=dict(files), data=dict(fields))
        answer = await self._send(request, token, operation, 1)
        return Received(answer.status_code, answer.headers, answer.content, moved=True)

    async def post_token(self, form: bytes) -> TokenAnswer:
        """The token request; never redirected."""
        request = self._http.build_request("POST", self._token_url, content=form, headers=_FORM)
        answer = await self._send(request, None, "token", 1)
        headers = answer.headers
        return TokenAnswer(
            answer.status_code, answer.content, parse_http_date(headers.get("date")), read_limits(headers)
        )

    async def _send(
        self, request: httpx.Request, token: Token | None, operation: str, attempt: int
    ) -> httpx.Response:
        began = self._clock.monotonic()
        answer: httpx.Response | None = None
        try:
            answer = await self._raw(request, None if token is None else _Bearer(token))
            return answer
        finally:
            if self._tracer is not None:
                self._tell(
                    Trace(
                        method=request.method,
                        path=self._shown(request.url),
                        status=None if answer is None else answer.status_code,
                        ms=(self._clock.monotonic() - began) * 1000,
                        limit_left=None if answer is None else read_limits(answer.headers).remaining,
                        operation=operation,
                        attempt=attempt,
                    )
                )

    def _tell(self, trace: Trace) -> None:
        assert self._tracer is not None
        try:
            self._tracer(trace)
        except Exception:  # an onlooker must not make an accepted message look unknown
            log.exception("the tracer failed")

    async def _raw(self, request: httpx.Request, auth: httpx.Auth | None) -> httpx.Response:
        if self._real:
            whole_s = DOWNLOAD_S if request.method == "GET" else WHOLE_S
            try:
                with self._clock.hold():
                    async with asyncio.timeout(whole_s):
                        return await self._http.send(request, auth=auth, follow_redirects=False)
            except TimeoutError:
                raise httpx.ReadTimeout("the answer does not end", request=request) from None
        async with _deadline(self._clock, TIMEOUT_S, request):
            return await self._http.send(request, auth=auth, follow_redirects=False)

    def _shown(self, url: httpx.URL) -> str:
        whole = str(url)
        if whole == self._token_url:
            return "/token"
        if whole.startswith(self._api + "/"):
            return public_path(whole[len(self._api) :])
        return f"→ {url.host}"  # one-off addresses hold keys


@contextlib.asynccontextmanager
async def _deadline(clock: Clock, seconds: float, request: httpx.Request) -> AsyncIterator[None]:
    """A time-out by the kit's clock, for a tenant inside this process (no socket ever times out there)."""
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()  # a task group whose child failed may have left its own request behind
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
        if late and task.uncancel() <= before:
            raise httpx.ReadTimeout("no answer in time", request=request) from None
        raise
    finally:
        watcher.cancel()
