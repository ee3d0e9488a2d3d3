"""The ledger: an append-only, hash-chained list of events that every status and report is a fold over.

`Ledger.append` returns after a durable commit. One writer thread groups whatever waits into one commit;
several processes on one file are serialised by the database; readers follow by ``seq``. How events are
hashed, and how to verify a file without the kit: `bousai_kit.ledger.chain`.

A Ledger is used in one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import weakref
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from bousai_kit.clock import Clock, in_thread
from bousai_kit.errors import ConfigError, LedgerError, LedgerUnavailable
from bousai_kit.ledger.chain import GENESIS, Verification, verify_file
from bousai_kit.ledger.events import Draft, Event, NewEvent, draft
from bousai_kit.ledger.sqlite import Row, SqliteBackend, event
from bousai_kit.ledger.writer import Writer

__all__ = ["GENESIS", "Event", "Ledger", "NewEvent", "Verification", "verify_file"]

MOST_IN_COMMIT = 1024
PAGE = 500
WINDOW = 5000


class Backend(Protocol):
    """What a database has to offer; `SqliteBackend` documents it.

    `write` is called in the writer's thread, the others in the loop's (`verify` in any).
    """

    def write(self, requests: Sequence[Sequence[Draft]]) -> list[list[Event | None]]: ...

    def head(self) -> tuple[int, str]: ...

    def streams(self, prefix: str) -> list[str]: ...

    def page(
        self,
        after: int,
        upto: int,
        *,
        stream: str | None,
        kinds: Collection[str] | None,
        subject: str | None,
        limit: int,
    ) -> list[Row]: ...

    def verify(self, expected_head: tuple[int, str] | str | None) -> Verification: ...

    def close(self) -> None: ...


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
        self._hold: AbstractContextManager[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: asyncio.Future[None] | None = None
        self._news: set[asyncio.Future[None]] = set()
        self._written = 0
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
        path = rest[1:]
        return cls(
            await in_thread(clock, lambda: SqliteBackend(Path(path).absolute(), domain_id=domain_id)),
            clock=clock,
        )

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
        return (await self.append_many([NewEvent(stream, kind, subject, body or {}, once)]))[0]

    async def append_many(self, events: Sequence[NewEvent]) -> list[Event | None]:
        """Write several events side by side, all or (but for known `once` keys) nothing.

        A caller that is cancelled while it waits cannot know whether its events were written; they are
        either all there or not at all.
        """
        loop = asyncio.get_running_loop()
        self._refuse_closed()
        at = self._clock.now()
        drafts = [draft(one, at) for one in events]
        if not drafts:
            return []
        if self._loop is not loop:  # an earlier loop was given up while something was under way
            self._release()
            self._loop, self._busy, self._waiting = loop, False, []
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

        def deliver(result: Any, error: BaseException | None) -> None:
            if not loop.is_closed():
                with contextlib.suppress(RuntimeError):  # closed just now: nobody waits any more
                    loop.call_soon_threadsafe(self._landed, loop, batch, result, error)

        self._writer.submit(lambda: backend.write(drafts), deliver)

    def _landed(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[_Waiting],
        results: list[list[Event | None]] | None,
        error: BaseException | None,
    ) -> None:
        wrote = False
        for index, (_, future) in enumerate(batch):
            if results is not None:
                wrote = wrote or any(results[index])
                if not future.done():
                    future.set_result(results[index])
            elif not future.done():
                future.set_exception(_again(error))
        if wrote:
            self._written += 1
            for waiter in self._news:
                if not waiter.done():
                    waiter.set_result(None)
        self._next(loop)

    def _release(self) -> None:
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
        self._refuse_closed()
        if stream is not None and prefix and not stream.startswith(prefix):
            return []
        most = math.inf if limit is None else max(0, limit)
        after = max(0, after)
        upto = self._backend.head()[0]
        chosen = None if kinds is None else sorted(set(kinds))
        if stream is None and prefix:
            found: list[Event] = []
            for name in self._backend.streams(prefix):
                found.extend(await self._pages(after, upto, name, chosen, subject, most))
            found.sort(key=lambda one: one.seq)
            return found if limit is None else found[: max(0, limit)]
        return await self._pages(after, upto, stream, chosen, subject, most)

    async def _pages(
        self,
        after: int,
        upto: int,
        stream: str | None,
        kinds: Sequence[str] | None,
        subject: str | None,
        most: float,
    ) -> list[Event]:
        """Page by page, and others run in between.

        Read here and not in a thread: turning rows into events needs the interpreter lock anyway, and a
        switch of threads costs more than a usual read (µs). No cursor stays open over an ``await``.
        """
        found: list[Event] = []
        while after < upto and len(found) < most:
            size = int(min(PAGE, most - len(found)))
            end = upto if stream is not None else min(upto, after + WINDOW)
            rows = self._backend.page(after, end, stream=stream, kinds=kinds, subject=subject, limit=size)
            found.extend(event(row) for row in rows)
            after = rows[-1][0] if len(rows) == size else end
            if after < upto:
                await asyncio.sleep(0)
        return found

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
        loop = asyncio.get_running_loop()
        while not self._closed:
            written = self._written
            upto = self._backend.head()[0]
            found = await self.read(after=after, stream=stream, prefix=prefix, kinds=kinds, limit=PAGE)
            for one in found:
                after = one.seq
                yield one
            if len(found) < PAGE:
                after = max(after, upto)
                if written == self._written and not self._closed:
                    await self._wait_for_news(loop, poll_s)

    async def _wait_for_news(self, loop: asyncio.AbstractEventLoop, poll_s: float) -> None:
        news: asyncio.Future[None] = loop.create_future()
        self._news.add(news)
        try:
            if math.isinf(self._clock.speed):
                await news
                return
            sleeper = asyncio.ensure_future(self._clock.sleep(poll_s))
            try:
                await asyncio.wait({news, sleeper}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleeper.cancel()
        finally:
            self._news.discard(news)

    async def head(self) -> tuple[int, str]:
        """``seq`` and ``hash`` of the last event; 0 and 64 zeros (`GENESIS`) when there is none."""
        self._refuse_closed()
        return self._backend.head()

    async def streams(self, prefix: str = "") -> list[str]:
        """Names of the streams that begin with `prefix`, sorted."""
        self._refuse_closed()
        return self._backend.streams(prefix)

    async def verify(self, *, expected_head: tuple[int, str] | str | None = None) -> Verification:
        """Verify the whole chain.

        Parameters
        ----------
        expected_head : (int, str) or str, optional
            A head noted earlier, kept outside: without it a tail that was cut off by somebody who knew
            what he did, or a chain written anew, cannot be found.
        """
        self._refuse_closed()
        return await in_thread(self._clock, lambda: self._backend.verify(expected_head))

    # -- end ----------------------------------------------------------------------------------------

    def _refuse_closed(self) -> None:
        if self._closed:
            raise LedgerUnavailable("台帳は閉じられています。", hint="もう一度開いてください。")

    @property
    def closed(self) -> bool:
        """`close` was called."""
        return self._closed

    async def close(self) -> None:
        """Wait for what is being written, then close; safe to call twice."""
        loop = asyncio.get_running_loop()
        first, self._closed = not self._closed, True
        for waiter in self._news:
            if not waiter.done():
                waiter.set_result(None)
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


def _again(error: BaseException | None) -> BaseException:
    """The same error for one more waiter (an exception object belongs to one traceback)."""
    if isinstance(error, LedgerError):
        return type(error)(str(error), hint=error.hint)
    return LedgerUnavailable(f"台帳に書き込めませんでした（{type(error).__name__}）。")
