"""`Ledger`: what everybody above uses."""

from __future__ import annotations

import asyncio
import math
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bousai_kit.clock import Clock, in_thread
from bousai_kit.errors import ConfigError, LedgerError, LedgerUnavailable
from bousai_kit.ledger.backend import Backend, events, lines
from bousai_kit.ledger.chain import Verification
from bousai_kit.ledger.events import Draft, Event, Line, NewEvent, draft
from bousai_kit.ledger.news import News
from bousai_kit.ledger.reading import PAGE, R, T, pages_of, read_pages
from bousai_kit.ledger.sqlite import SqliteBackend
from bousai_kit.ledger.writer import Writer

__all__ = ["Ledger"]

MOST_IN_COMMIT = 1024
QUICK_COMMIT_S = 0.001
TURN_S = 0.005


_Waiting = tuple[Sequence[Draft], "asyncio.Future[list[Event | None]]"]


class Ledger:
    """Made by `Ledger.open`; an async context manager.

    Parameters
    ----------
    backend : Backend
    clock : Clock
        Gives `Event.recorded_at`; a virtual one is held while a commit is under way.
    """

    def __init__(self, backend: Backend, *, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock
        self._writer = Writer(backend.close)
        self._waiting: list[_Waiting] = []
        self._busy = False  # a batch is with the writer, or about to be
        self._commit_s = math.inf  # how long a commit takes here, lately
        self._hold: AbstractContextManager[None] | None = None
        self._holding = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: asyncio.Future[None] | None = None
        self._news = News()
        self._yielded = 0.0
        self._closed = False
        self._finalizer = weakref.finalize(self, self._writer.stop)

    @classmethod
    async def open(cls, url: str, *, clock: Clock, domain_id: int | None = None) -> Self:
        """Open, or make, a ledger.

        Parameters
        ----------
        url : str
            ``sqlite:///path`` (four slashes before an absolute path on Linux and macOS).
        clock : Clock
        domain_id : int, optional
            The tenant; a ledger that was first opened for another one is refused.

        Raises
        ------
        LedgerUnavailable
            See `SqliteBackend`.
        ConfigError
            The address is none.
        """
        scheme, _, rest = url.partition("://")
        if scheme in ("postgresql", "postgres"):
            raise LedgerUnavailable(
                "PostgreSQL の台帳は、この版ではまだ使えません。",
                hint="BOUSAI_LEDGER_URL を外すか、sqlite:/// で始まる値にしてください。",
            )
        if scheme != "sqlite" or not rest.startswith("/") or rest in ("/", "/:memory:"):
            raise ConfigError(
                "設定 BOUSAI_LEDGER_URL が正しくありません。sqlite:///パス の形で指定してください。",
                setting="BOUSAI_LEDGER_URL",
            )
        given_up = threading.Event()

        def connect() -> SqliteBackend:
            backend = SqliteBackend(Path(rest[1:]).absolute(), domain_id=domain_id)
            if given_up.is_set():
                backend.close()
            return backend

        try:
            return cls(await in_thread(clock, connect), clock=clock)
        except asyncio.CancelledError:
            given_up.set()
            raise

    # -- writing ------------------------------------------------------------------------------------

    async def append(
        self,
        stream: str,
        kind: str,
        subject: str = "",
        body: Mapping[str, Any] | None = None,
        *,
        once: str | None = None,
    ) -> Event | None:
        """Write one event; returns after its durable commit.

        Returns
        -------
        Event or None
            None: an event with the same `once` exists, nothing was written.

        Raises
        ------
        LedgerUnavailable
            Nothing was written; the ledger can go on being used.
        """
        return (await self._append([draft(self._clock.now(), stream, kind, subject, body or {}, once)]))[0]

    async def append_many(self, events: Sequence[NewEvent]) -> list[Event | None]:
        """Write several events side by side, all or (but for known `once` keys) nothing.

        A caller that is cancelled while it waits cannot know whether its events were written; they are
        either all there or not at all.
        """
        at = self._clock.now()
        drafts = [draft(at, one.stream, one.kind, one.subject, one.body, one.once) for one in events]
        return await self._append(drafts) if drafts else []

    async def _append(self, drafts: Sequence[Draft]) -> list[Event | None]:
        if self._closed:
            raise _closed()
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # an earlier loop was given up while something was under way
            self._release()
            self._loop, self._busy, self._waiting = loop, False, []
        if self._commit_s < QUICK_COMMIT_S and not self._busy and not getattr(loop, "_ready", True):
            # Nobody else could come along in this turn: commit here. Two changes of thread would cost as
            # much as a quick disk does.
            began = time.perf_counter()
            try:
                here = self._backend.write((drafts,), wait=False)
            except BaseException:
                self._commit_s = math.inf
                raise
            if here is not None:  # else another process is writing: the writer has the patience
                self._took(time.perf_counter() - began)
                self._news.tell()
                await self._let_others()
                return here[0]
        future: asyncio.Future[list[Event | None]] = loop.create_future()
        self._waiting.append((drafts, future))
        if not self._busy:
            self._busy = True
            self._hold = self._clock.hold()
            self._hold.__enter__()
            loop.call_soon(self._next, loop)  # what else is appended in this turn goes along
        return await future

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand what waits to the writer, or rest."""
        batch: list[_Waiting] = []
        size = taken = 0
        for taken, waiting in enumerate(self._waiting, 1):  # noqa: B007 - used after the loop
            if not waiting[1].done():  # cancelled before its turn: never written
                batch.append(waiting)
                size += len(waiting[0])
                if size >= MOST_IN_COMMIT:
                    break
        del self._waiting[:taken]
        if not batch:
            self._busy = False
            self._release()
            if self._idle is not None and not self._idle.done():
                self._idle.set_result(None)
            return
        drafts = [request for request, _ in batch]
        backend = self._backend

        def write() -> tuple[list[list[Event | None]] | None, float]:
            began = time.perf_counter()
            written = backend.write(drafts)
            return written, time.perf_counter() - began

        def deliver(result: Any, error: BaseException | None) -> None:
            written, spent_s = result if error is None else (None, math.inf)
            try:
                loop.call_soon_threadsafe(self._landed, loop, batch, written, error, spent_s)
            except RuntimeError:  # the loop was given up: nobody waits any more
                self._release()

        self._writer.submit(write, deliver)

    def _took(self, spent_s: float) -> None:
        self._commit_s = spent_s if self._commit_s == math.inf else 0.7 * self._commit_s + 0.3 * spent_s

    def _landed(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[_Waiting],
        results: list[list[Event | None]] | None,
        error: BaseException | None,
        spent_s: float,
    ) -> None:
        self._took(spent_s)
        for index, (_, future) in enumerate(batch):
            if future.done():  # cancelled while it was written
                continue
            if results is not None:
                future.set_result(results[index])
            else:
                future.set_exception(_again(error))
        if results is not None:
            self._news.tell()
        self._next(loop)

    def _release(self) -> None:
        with self._holding:
            hold, self._hold = self._hold, None
        if hold is not None:
            hold.__exit__(None, None, None)

    # -- reading ------------------------------------------------------------------------------------

    async def read(
        self,
        *,
        after: int = 0,
        stream: str | None = None,
        prefix: str | None = None,
        kinds: Collection[str] | None = None,
        subject: str | None = None,
        limit: int | None = None,
    ) -> list[Event]:
        """Events with ``seq > after``, by ``seq``, as they stand when this is called.

        Parameters
        ----------
        stream, prefix : str, optional
            Exactly this stream, or all whose name begins so.
        kinds : collection of str, optional
            Only these.
        subject : str, optional
        limit : int, optional
            At most so many, the earliest.

        Raises
        ------
        LedgerCorrupt
            A row does not hold what was written.
        """
        backend = self._backend
        return await self._read(
            partial(backend.page, subject=subject), events, after, limit, stream, prefix, kinds
        )

    async def read_lines(
        self, *, after: int = 0, stream: str, kinds: Collection[str] | None = None, limit: int | None = None
    ) -> list[Line]:
        """As `read`, of each event only what it says: a third of the time where there are very many."""
        return await self._read(self._backend.words, lines, after, limit, stream, None, kinds)

    async def _read(
        self,
        fetch: Callable[..., list[R]],
        make: Callable[[list[R]], list[T]],
        after: int,
        limit: int | None,
        stream: str | None,
        prefix: str | None,
        kinds: Collection[str] | None,
    ) -> list[T]:
        if self._closed:
            raise _closed()
        pages = pages_of(self._backend, after, stream, prefix, kinds)
        return await read_pages(pages, fetch, make, limit, self._let_others)

    async def _let_others(self) -> None:
        """Let the other tasks run when this one has not waited for a while."""
        if time.monotonic() > self._yielded + TURN_S:
            await asyncio.sleep(0)
            self._yielded = time.monotonic()

    async def follow(
        self,
        *,
        after: int = 0,
        stream: str | None = None,
        prefix: str | None = None,
        kinds: Collection[str] | None = None,
        poll_s: float = 0.5,
    ) -> AsyncIterator[Event]:
        """Endless: events with ``seq > after``, then every new one; ends when the ledger is closed.

        Own appends wake it at once; what other processes write is found every `poll_s` seconds of the
        clock. With a virtual clock only own appends wake it: nobody else can share such a time, and a
        poll would drive it on for ever.
        """
        while not self._closed:
            seen = self._news.count
            try:
                upto, _ = self._backend.head()
                found = await self.read(after=after, stream=stream, prefix=prefix, kinds=kinds, limit=PAGE)
            except LedgerError:
                if self.closed:  # while it was read
                    return
                raise
            for one in found:
                after = one.seq
                yield one
            if len(found) < PAGE:
                after = max(after, upto)
                await self._news.wait(seen, clock=self._clock, poll_s=poll_s)

    async def head(self) -> tuple[int, str]:
        """``seq`` and ``hash`` of the last event; 0 and 64 zeros (`GENESIS`) when there is none."""
        if self._closed:
            raise _closed()
        return self._backend.head()

    async def streams(self, prefix: str = "") -> list[str]:
        """Names of the streams that begin with `prefix`, sorted."""
        if self._closed:
            raise _closed()
        return self._backend.streams(prefix)

    async def verify(self, *, expected_head: tuple[int, str] | str | None = None) -> Verification:
        """Verify the whole chain.

        Parameters
        ----------
        expected_head : (int, str) or str, optional
            A head noted earlier, kept outside: without it a tail that was cut off by somebody who knew
            what he did, or a chain written anew, cannot be found.
        """
        if self._closed:
            raise _closed()
        return await in_thread(self._clock, lambda: self._backend.verify(expected_head))

    # -- end ----------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """`close` was called."""
        return self._closed

    async def close(self) -> None:
        """Wait for what is being written, then close; safe to call twice."""
        loop = asyncio.get_running_loop()
        first, self._closed = not self._closed, True
        self._news.tell()
        if self._busy and self._loop is loop:
            if self._idle is None:
                self._idle = loop.create_future()
            await asyncio.shield(self._idle)
        if first:
            self._release()
            self._finalizer()
            await in_thread(self._clock, self._writer.join)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _closed() -> LedgerUnavailable:
    return LedgerUnavailable("台帳は閉じられています。", hint="もう一度開いてください。")


def _again(error: BaseException | None) -> BaseException:
    """The same error for one more waiter (an exception object belongs to one traceback)."""
    if isinstance(error, LedgerError):
        return type(error)(str(error), hint=error.hint)
    return LedgerUnavailable(f"台帳に書き込めませんでした（{type(error).__name__}）。")
