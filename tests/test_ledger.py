"""The ledger as its users see it: what is appended is there, once, in order, for everyone."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.clock import Clock, SystemClock, VirtualClock
from bousai_kit.errors import ConfigError, LedgerUnavailable
from bousai_kit.ledger import GENESIS, Event, Ledger, NewEvent
from bousai_kit.ledger.events import moment
from bousai_kit.ledger.sqlite import SqliteBackend

START = datetime(2027, 1, 17, tzinfo=UTC)


@asynccontextmanager
async def opened(path: Path, clock: Clock | None = None, **more: Any) -> AsyncIterator[Ledger]:
    url = f"sqlite:///{path / 'ledger.db'}"
    async with await Ledger.open(url, clock=clock or VirtualClock(START), **more) as ledger:
        yield ledger


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - whether it gets there at all is the question
            await asyncio.sleep(0)


class SlowBackend:
    """Writes when the gate is open; counts commits."""

    def __init__(self, path: Path) -> None:
        self.inner = SqliteBackend(path)
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[int] = []
        self.error: BaseException | None = None

    def write(self, requests: Sequence[Any], *, wait: bool = True) -> Any:
        if not wait:
            return None  # never here, always in the writer's thread
        assert self.gate.wait(10)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.batches.append(sum(len(request) for request in requests))
        return self.inner.write(requests)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def test_an_appended_event_is_read_back_as_it_was_returned(tmp_path: Path) -> None:
    async def main() -> None:
        clock = VirtualClock(START)
        async with opened(tmp_path, clock) as ledger:
            clock.advance(1.25)
            event = await ledger.append(
                "drill:d1", "dispatch.intended", "u1", {"b": [1, 2.5, None], "い": "ろ"}
            )
            assert event is not None
            assert (event.seq, event.recorded_at) == (1, START + timedelta(seconds=1.25))
            assert (event.prev_hash, event.once) == (GENESIS, None)
            assert await ledger.read() == [event]
            assert await ledger.head() == (1, event.hash)
        async with opened(tmp_path, clock) as again:
            assert await again.read() == [event]

    asyncio.run(main())


def test_an_empty_ledger_has_a_head(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as ledger:
            assert await ledger.head() == (0, GENESIS)
            assert await ledger.read() == []
            assert await ledger.streams() == []
            found = await ledger.verify()
            assert found.ok
            assert (found.events, found.head_hash) == (0, GENESIS)
            assert await ledger.append_many([]) == []

    asyncio.run(main())


def test_once_is_written_once_and_leaves_no_gap(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as ledger:
            first = await ledger.append("s", "k", once="a")
            assert first is not None
            assert await ledger.append("s", "k", once="a") is None
            assert await ledger.append("other", "other", "x", once="a") is None
            mixed = await ledger.append_many(
                [
                    NewEvent("s", "k", once="a"),
                    NewEvent("s", "k", once="b"),
                    NewEvent("s", "k", once="b"),
                    NewEvent("s", "k"),
                ]
            )
            assert [event and event.seq for event in mixed] == [None, 2, None, 3]
            both = await asyncio.gather(*(ledger.append("s", "k", str(n), once="c") for n in range(20)))
            assert sum(event is not None for event in both) == 1
            assert [event.seq for event in await ledger.read()] == [1, 2, 3, 4]

    asyncio.run(main())


def test_many_at_once_share_commits_and_keep_their_own_order(tmp_path: Path) -> None:
    async def main() -> None:
        backend = SlowBackend(tmp_path / "l.db")
        async with Ledger(backend, clock=SystemClock()) as ledger:

            async def one(who: int) -> list[int]:
                return [e.seq for n in range(10) if (e := await ledger.append("s", "k", f"{who}", {"n": n}))]

            numbers = await asyncio.gather(*(one(who) for who in range(64)))
            assert all(mine == sorted(mine) for mine in numbers)
            assert sorted(n for mine in numbers for n in mine) == list(range(1, 641))
            assert len(backend.batches) <= 640 / 8
            for who in range(64):
                events = await ledger.read(subject=str(who))
                assert [event.body["n"] for event in events] == list(range(10))

    asyncio.run(main())


def test_append_many_writes_everything_or_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as ledger:
            with pytest.raises(ValueError, match="empty"):
                await ledger.append_many([NewEvent("s", "k"), NewEvent("s", "")])
            with pytest.raises(TypeError):
                await ledger.append_many([NewEvent("s", "k"), NewEvent("s", "k", body={"x": object()})])
            assert await ledger.read() == []

    asyncio.run(main())


BAD: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"body": {"x": float("nan")}}, ValueError),
    ({"body": {"secret": "\ud800"}}, ValueError),
    ({"subject": "secret\ud800"}, ValueError),
    ({"subject": "secret\0"}, ValueError),
    ({"once": ""}, ValueError),
    ({"stream": ""}, ValueError),
    ({"subject": None}, TypeError),
    ({"stream": 5}, TypeError),
    ({"once": 5}, TypeError),
    ({"body": [("secret", 1), 2]}, (TypeError, ValueError)),
    ({"body": {"secret": {1, 2}}}, TypeError),
    ({"body": {"secret": b"raw"}}, TypeError),
    ({"body": {1: 2, "secret": 3}}, TypeError),
]


@pytest.mark.parametrize(("wrong", "error"), BAD)
def test_what_cannot_be_held_is_refused_without_repeating_it(
    tmp_path: Path, wrong: dict[str, Any], error: type[Exception]
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as ledger:
            with pytest.raises(error) as raised:
                await ledger.append(**{"stream": "s", "kind": "k", **wrong})
            assert "secret" not in str(raised.value)
            assert await ledger.append("s", "k") is not None
            assert await ledger.head() == (1, (await ledger.read())[0].hash)

    asyncio.run(main())


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    body: dict[str, Any] = {}
    for _ in range(100_000):
        body = {"x": body}

    async def main() -> None:
        async with opened(tmp_path) as ledger:
            with pytest.raises(ValueError, match="deep"):
                await ledger.append("s", "k", body=body)
            assert await ledger.append("s", "k") is not None

    try:
        asyncio.run(main())
    finally:  # taken apart by hand: Python's own way is recursive
        while body:
            body = body.pop("x")


def test_a_later_change_of_the_body_does_not_reach_the_event(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as ledger:
            body = {"list": [1], "tuple": (1, 2)}
            event = await ledger.append("s", "k", body=body)
            body["list"].append(2)  # type: ignore[attr-defined]
            assert event is not None
            assert event.body == {"list": [1], "tuple": [1, 2]} == (await ledger.read())[0].body

    asyncio.run(main())


STREAMS = ("callbacks", "drill:d1", "drill:d10", "drill:ア", "drille", "apply:1", "drill:\U0010ffff")
KINDS = ("a", "b.c", "b")
events_of = st.lists(
    st.builds(NewEvent, st.sampled_from(STREAMS), st.sampled_from(KINDS), st.sampled_from(("", "u1", "u2"))),
    max_size=30,
)
questions = st.fixed_dictionaries(
    {},
    optional={
        "after": st.integers(-3, 700),
        "stream": st.sampled_from((*STREAMS, "drill:", "none")),
        "prefix": st.sampled_from(("", "drill:", "drill:d1", "c", "x")),
        "kinds": st.sets(st.sampled_from((*KINDS, "z"))),
        "subject": st.sampled_from(("", "u1", "u9")),
        "limit": st.integers(0, 9),
    },
)


def expected(events: list[Event], **asked: Any) -> list[Event]:
    found = [
        event
        for event in events
        if event.seq > asked.get("after", 0)
        and ("stream" not in asked or event.stream == asked["stream"])
        and event.stream.startswith(asked.get("prefix", ""))
        and ("kinds" not in asked or event.kind in asked["kinds"])
        and ("subject" not in asked or event.subject == asked["subject"])
    ]
    return found[: asked.get("limit")]


@settings(max_examples=25, deadline=None)
@given(st.lists(events_of, max_size=8), st.lists(questions, min_size=1, max_size=12), st.integers(0, 600))
def test_reading_is_filtering(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[NewEvent]],
    asked: list[dict[str, Any]],
    pad: int,
) -> None:
    async def main() -> None:
        async with opened(tmp_path_factory.mktemp("l")) as ledger:
            written: list[Event] = []
            for batch in ([NewEvent("pad", "pad")] * pad, *batches):  # padding: over the edges of blocks
                written += [event for event in await ledger.append_many(batch) if event is not None]
            for question in asked:
                assert await ledger.read(**question) == expected(written, **question), question
                question = {"stream": "callbacks"} | question
                for name in ("prefix", "subject"):
                    question.pop(name, None)
                lines = await ledger.read_lines(**question)
                assert [
                    (line.seq, moment(line.at), line.kind, line.subject, line.body) for line in lines
                ] == [
                    (one.seq, one.recorded_at, one.kind, one.subject, one.body)
                    for one in expected(written, **question)
                ]
            for prefix in ("", "drill:", "pad", "x"):
                names = sorted({e.stream for e in written if e.stream.startswith(prefix)})
                assert sorted(await ledger.streams(prefix)) == names
            assert (await ledger.verify()).ok

    asyncio.run(main())


def test_reading_a_long_ledger_lets_others_run(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, SystemClock()) as ledger:
            await ledger.append_many([NewEvent("s", "k", str(n % 7), {"n": n}) for n in range(12_000)])
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.create_task(other())
            events = await ledger.read(stream="s")
            assert [event.body["n"] for event in events] == list(range(12_000))
            assert turns >= 3
            assert len(await ledger.read(subject="3", kinds=["k"])) == len(range(3, 12_000, 7))
            task.cancel()

    asyncio.run(main())


def test_a_lone_append_does_not_starve_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, SystemClock()) as ledger:
            woke = asyncio.Event()
            asyncio.get_running_loop().call_later(0.02, woke.set)
            for _ in range(5000):
                await ledger.append("s", "k")
                if woke.is_set():
                    return
            pytest.fail("nobody else ever ran")

    asyncio.run(main())


# -- being cancelled ----------------------------------------------------------------------------------


def test_who_is_cancelled_before_the_turn_is_not_written(tmp_path: Path) -> None:
    async def main() -> None:
        backend = SlowBackend(tmp_path / "l.db")
        async with Ledger(backend, clock=SystemClock()) as ledger:
            backend.gate.clear()
            first = asyncio.create_task(ledger.append("s", "first"))
            await asyncio.sleep(0.02)  # the writer has it
            second = asyncio.create_task(ledger.append("s", "second"))
            third = asyncio.create_task(ledger.append("s", "third"))
            await asyncio.sleep(0)
            first.cancel()
            second.cancel()
            await asyncio.sleep(0)
            backend.gate.set()
            assert (await third) is not None
            for task in (first, second):
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert [event.kind for event in await ledger.read()] == ["first", "third"]
            assert (await ledger.verify()).ok

    asyncio.run(main())


def test_a_storm_of_cancellations_breaks_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, SystemClock()) as ledger:

            async def one(n: int) -> Event | None:
                return await ledger.append("s", "k", str(n), once=f"o{n}")

            known: set[int] = set()
            for turn in range(20):
                tasks = [asyncio.create_task(one(turn * 50 + n)) for n in range(50)]
                for _ in range(turn % 4):
                    await asyncio.sleep(0)
                for task in tasks[turn % 3 :: 3]:
                    task.cancel()
                for result in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(result, Event):
                        known.add(int(result.subject))
                    else:
                        assert isinstance(result, asyncio.CancelledError)
            written = [int(event.subject) for event in await ledger.read()]
            assert len(written) == len(set(written))
            assert known <= set(written)
            found = await ledger.verify()
            assert found.ok
            assert found.events == len(written)

    asyncio.run(main())


# -- the virtual clock --------------------------------------------------------------------------------


def test_a_virtual_clock_waits_for_the_commit(tmp_path: Path) -> None:
    async def main() -> None:
        clock = VirtualClock(START)
        backend = SlowBackend(tmp_path / "l.db")
        async with Ledger(backend, clock=clock) as ledger:
            sleeper = asyncio.create_task(clock.sleep(60))
            backend.gate.clear()
            task = asyncio.create_task(ledger.append("s", "k"))
            await asyncio.sleep(0.05)  # of the wall
            assert clock.now() == START
            task.cancel()  # the commit is under way all the same
            await asyncio.sleep(0.05)
            assert clock.now() == START
            backend.gate.set()
            await sleeper
            assert clock.now() == START + timedelta(seconds=60)
            assert len(await ledger.read()) == 1

    asyncio.run(main())


def test_a_virtual_clock_is_let_go_after_an_error(tmp_path: Path) -> None:
    async def main() -> None:
        clock = VirtualClock(START)
        backend = SlowBackend(tmp_path / "l.db")
        async with Ledger(backend, clock=clock) as ledger:
            for error in (LedgerUnavailable("満杯"), RuntimeError("a defect"), MemoryError()):
                backend.error = error
                results = await asyncio.gather(
                    *(ledger.append("s", "k", str(n)) for n in range(3)), return_exceptions=True
                )
                assert all(isinstance(result, LedgerUnavailable) for result in results)
                assert len({id(result) for result in results}) == 3
                assert await ledger.append("s", "k") is not None
                await clock.sleep(5)
            assert clock.now() == START + timedelta(seconds=15)

    asyncio.run(main())


def test_a_loop_given_up_in_the_middle_does_no_harm(tmp_path: Path) -> None:
    clock = VirtualClock(START)
    backend = SlowBackend(tmp_path / "l.db")
    ledger = Ledger(backend, clock=clock)

    async def stopped() -> None:
        backend.gate.clear()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ledger.append("s", "first", once="x"), 0.02)

    async def later() -> None:
        async with ledger:
            event = await ledger.append("s", "second")
            assert event is not None
            await clock.sleep(1)
            assert [e.kind for e in await ledger.read()] == ["first", "second"]

    asyncio.run(stopped())
    backend.gate.set()
    asyncio.run(later())


# -- following ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", [SystemClock(speed=1e-6), VirtualClock(START)])  # no poll could help
def test_a_follower_sees_old_and_new(tmp_path: Path, clock: Clock) -> None:
    async def main() -> None:
        async with opened(tmp_path, clock) as ledger:
            await ledger.append_many([NewEvent("drill:1", "a"), NewEvent("x", "a"), NewEvent("drill:1", "b")])
            got: list[int] = []

            async def follow() -> None:
                async for event in ledger.follow(after=1, prefix="drill:", kinds={"b", "c"}):
                    got.append(event.seq)

            task = asyncio.create_task(follow())
            await until(lambda: got == [3])
            for n in range(30):
                await ledger.append("drill:2" if n % 3 else "x", "c" if n % 2 else "a")
            wanted = [3] + [e.seq for e in await ledger.read(after=3, prefix="drill:", kinds={"c"})]
            await until(lambda: len(got) >= len(wanted))
            assert got == wanted
            await ledger.close()
            await asyncio.wait_for(task, 5)  # ends with the ledger

    asyncio.run(main())


def test_an_idle_follower_does_not_drive_a_virtual_clock(tmp_path: Path) -> None:
    async def main() -> None:
        clock = VirtualClock(START)
        async with opened(tmp_path, clock) as ledger:

            async def follow() -> None:
                async for _ in ledger.follow():
                    pass

            task = asyncio.create_task(follow())
            await asyncio.sleep(0.05)
            assert clock.now() == START
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


# -- opening and closing ------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_files_and_folders_are_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:

        async def main() -> None:
            async with opened(tmp_path / "a" / "b") as ledger:
                await ledger.append("s", "k")
                for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
                    assert stat.S_IMODE((tmp_path / "a" / "b" / name).stat().st_mode) == 0o600, name

        asyncio.run(main())
        for folder in (tmp_path / "a", tmp_path / "a" / "b"):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (tmp_path / "a" / "b" / "ledger.db").chmod(0o644)
        asyncio.run(main())
        assert stat.S_IMODE((tmp_path / "a" / "b" / "ledger.db").stat().st_mode) == 0o600
    finally:
        os.umask(old)


def test_closing_waits_for_what_is_being_written(tmp_path: Path) -> None:
    async def main() -> None:
        backend = SlowBackend(tmp_path / "l.db")
        ledger = Ledger(backend, clock=SystemClock())
        backend.gate.clear()
        tasks = [asyncio.create_task(ledger.append("s", "k")) for _ in range(3)]
        await asyncio.sleep(0.01)
        closing = asyncio.create_task(ledger.close())
        await asyncio.sleep(0.01)
        with pytest.raises(LedgerUnavailable):
            await ledger.append("s", "k")
        backend.gate.set()
        await closing
        await ledger.close()
        assert [event.seq for event in await asyncio.gather(*tasks) if event] == [1, 2, 3]
        for call in (ledger.read(), ledger.head(), ledger.streams(), ledger.verify()):
            with pytest.raises(LedgerUnavailable):
                await call

    asyncio.run(main())
    assert not [thread for thread in threading.enumerate() if thread.name == "ledger writer"]


def test_a_forgotten_ledger_ends_its_thread(tmp_path: Path) -> None:
    async def main() -> None:
        ledger = await Ledger.open(f"sqlite:///{tmp_path / 'l.db'}", clock=SystemClock())
        await ledger.append("s", "k")

    asyncio.run(main())
    import gc

    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "ledger writer":
            thread.join(5)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    "url", ["", "ledger.db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://x/y"]
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        asyncio.run(Ledger.open(url, clock=SystemClock()))
    assert raised.value.setting == "BOUSAI_LEDGER_URL"


def test_postgresql_says_so_without_its_password() -> None:
    with pytest.raises(LedgerUnavailable) as raised:
        asyncio.run(Ledger.open("postgresql://me:geheim@host/db", clock=SystemClock()))
    assert "geheim" not in raised.value.sentence()


def test_paths_with_blanks_and_japanese(tmp_path: Path) -> None:
    async def main() -> None:
        folder = tmp_path / "台帳 の 100% #?&"
        async with opened(folder) as ledger:
            await ledger.append("s", "k")
            assert (await ledger.verify()).ok
        assert (folder / "ledger.db").is_file()

    asyncio.run(main())


def test_what_is_acknowledged_has_been_flushed(tmp_path: Path) -> None:
    backend = SqliteBackend(tmp_path / "l.db")
    try:
        assert backend._writer is not None
        assert backend._writer.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert backend._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        backend.close()
