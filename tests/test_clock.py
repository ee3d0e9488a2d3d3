"""Time that nobody waits for, and the wall at a chosen speed."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bousai_kit.clock import Clock, SystemClock, VirtualClock, in_thread, parse_time_scale

T0 = datetime(2027, 1, 17, tzinfo=UTC)
PATIENCE_S = 10.0  # of the wall; only a broken clock needs it


def run(main: object) -> object:
    async def limited() -> object:
        async with asyncio.timeout(PATIENCE_S):
            return await main  # type: ignore[misc]

    return asyncio.run(limited())


# -- the virtual clock ------------------------------------------------------------------------------------


def test_jumps_to_the_next_due_time_when_everything_waits() -> None:
    clock, seen = VirtualClock(T0), []

    async def one(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        seen.append((name, clock.monotonic()))

    async def main() -> None:
        began = time.monotonic()
        await asyncio.gather(one("hour", 3600), one("second", 1), one("day", 86400))
        assert time.monotonic() - began < 5

    run(main())
    assert seen == [("second", 1.0), ("hour", 3600.0), ("day", 86400.0)]
    assert clock.now() == T0 + timedelta(days=1)


def test_never_jumps_while_something_can_run() -> None:
    clock = VirtualClock(T0)

    async def main() -> None:
        sleeper = asyncio.create_task(clock.sleep(60))
        for _ in range(1000):
            await asyncio.sleep(0)
            assert clock.now() == T0
        await sleeper
        assert clock.now() == T0 + timedelta(seconds=60)

    run(main())


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.5, 1800.0]), st.booleans()), min_size=1, max_size=25
    )
)
@settings(max_examples=60, deadline=None)
def test_wakes_by_due_time_and_equal_ones_in_the_order_of_their_beginning(
    sleeps: list[tuple[float, bool]],
) -> None:
    clock = VirtualClock(T0)
    woken: list[int] = []

    async def one(index: int, seconds: float, background: bool) -> None:
        await (clock.sleep_in_background if background else clock.sleep)(seconds)
        woken.append(index)
        assert clock.monotonic() == seconds

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for index, (seconds, background) in enumerate(sleeps):
                group.create_task(one(index, seconds, background))
            group.create_task(clock.sleep(1801))  # drives, so that the background ones wake on the way

    run(main())
    assert woken == sorted(range(len(sleeps)), key=lambda index: (sleeps[index][0], index))


def test_equal_programs_give_equal_readings() -> None:
    async def program() -> list[tuple[int, float]]:
        clock, seen = VirtualClock(T0), []

        async def one(who: int) -> None:
            for step in range(5):
                await clock.sleep((who * 7 + step * 3) % 11 + 0.25)
                seen.append((who, clock.monotonic()))

        await asyncio.gather(*(one(who) for who in range(20)))
        return seen

    first = run(program())
    assert first == run(program())


@pytest.mark.parametrize("seconds", [0, -1, -1e300])
def test_nothing_to_wait_for_lets_others_run_once(seconds: float) -> None:
    clock, order = VirtualClock(T0), []

    async def other() -> None:
        order.append("other")

    async def main() -> None:
        task = asyncio.create_task(other())
        await clock.sleep(seconds)
        order.append("self")
        await task

    run(main())
    assert order == ["other", "self"]
    assert clock.now() == T0


def test_later_than_can_be_written_is_never() -> None:
    clock = VirtualClock(T0)

    async def main() -> None:
        never = asyncio.create_task(clock.sleep(1e18))
        await clock.sleep(5)
        assert not never.done()
        never.cancel()
        with pytest.raises(asyncio.CancelledError):
            await never

    run(main())
    assert clock.monotonic() == 5


def test_whoever_sleeps_in_the_background_does_not_drive() -> None:
    clock, woken = VirtualClock(T0), []

    async def background() -> None:
        await clock.sleep_in_background(10)
        woken.append(clock.monotonic())

    async def main() -> None:
        task = asyncio.create_task(background())
        for _ in range(100):
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)  # the loop is idle: an idle notebook stays at its moment
        assert clock.now() == T0
        await clock.sleep(30)
        assert woken == [10.0]
        await task

    run(main())


def test_the_clock_stops_where_the_last_driver_woke() -> None:
    clock = VirtualClock(T0)

    async def main() -> None:
        behind = asyncio.create_task(clock.sleep_in_background(10))
        await clock.sleep(4)
        await asyncio.sleep(0.02)
        assert clock.monotonic() == 4
        assert not behind.done()
        behind.cancel()

    run(main())


# -- cancelled sleepers -----------------------------------------------------------------------------------


def test_a_cancelled_sleeper_neither_wakes_nor_drives() -> None:
    clock = VirtualClock(T0)

    async def main() -> None:
        far = asyncio.create_task(clock.sleep(1000))
        await asyncio.sleep(0)
        far.cancel()
        with pytest.raises(asyncio.CancelledError):
            await far
        await asyncio.sleep(0.02)
        assert clock.now() == T0
        await clock.sleep(2000)
        assert clock.monotonic() == 2000  # not 3000, and the dead entry did not stop it at 1000

    run(main())


def test_time_limits_that_are_not_needed_leave_no_heap_behind() -> None:
    clock = VirtualClock(T0)

    async def main() -> int:
        for _ in range(5000):
            limit = asyncio.create_task(clock.sleep(3600))
            await asyncio.sleep(0)
            limit.cancel()
            with pytest.raises(asyncio.CancelledError):
                await limit
        assert clock._sleepers is not None
        return len(clock._sleepers.heap)

    assert run(main()) <= 200  # type: ignore[operator]
    assert clock.now() == T0


def test_cancelled_and_due_in_the_same_turn() -> None:
    """A sleeper that is cancelled just as it would wake: the others still get their time."""
    clock, seen = VirtualClock(T0), []

    async def main() -> None:
        victim = asyncio.create_task(clock.sleep(5))

        async def killer() -> None:
            await clock.sleep(5)
            victim.cancel()
            seen.append(clock.monotonic())
            await clock.sleep(5)
            seen.append(clock.monotonic())

        await killer()
        await asyncio.wait([victim])

    run(main())
    assert seen == [5.0, 10.0]


# -- holds and threads ------------------------------------------------------------------------------------


def test_held_it_stays_and_afterwards_goes_on() -> None:
    clock = VirtualClock(T0)

    async def main() -> None:
        sleeper = asyncio.create_task(clock.sleep(60))
        with clock.hold(), clock.hold():
            await asyncio.sleep(0.02)
            assert clock.now() == T0
            assert not sleeper.done()
        await sleeper
        assert clock.monotonic() == 60

    run(main())


def test_a_hold_ends_with_an_exception() -> None:
    clock = VirtualClock(T0)

    async def main() -> None:
        with pytest.raises(ZeroDivisionError), clock.hold():
            raise ZeroDivisionError
        await clock.sleep(1)

    run(main())


def test_a_thread_at_work_keeps_the_time() -> None:
    clock = VirtualClock(T0)
    go = threading.Event()

    async def main() -> None:
        sleeper = asyncio.create_task(clock.sleep(60))
        work = asyncio.create_task(in_thread(clock, lambda: (go.wait(PATIENCE_S), clock.now())))
        await asyncio.sleep(0.03)
        assert not sleeper.done()
        go.set()
        assert await work == (True, T0)
        await sleeper

    run(main())


def test_a_hold_given_back_by_another_thread_wakes_the_loop() -> None:
    clock = VirtualClock(T0)
    hold = clock.hold()
    hold.__enter__()

    async def main() -> None:
        sleeper = asyncio.create_task(clock.sleep(60))
        await asyncio.sleep(0.01)
        giver = threading.Thread(target=hold.__exit__, args=(None, None, None))
        giver.start()
        await sleeper  # nothing else would ever wake this loop
        giver.join()

    run(main())


def test_cancelled_while_its_thread_works_the_clock_waits_for_the_thread() -> None:
    clock = VirtualClock(T0)
    began, go, ended = threading.Event(), threading.Event(), []

    def work() -> None:
        began.set()
        go.wait(PATIENCE_S)
        ended.append(clock.now())

    async def main() -> None:
        task = asyncio.create_task(in_thread(clock, work))
        assert await asyncio.to_thread(began.wait, PATIENCE_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        sleeper = asyncio.create_task(clock.sleep(60))
        await asyncio.sleep(0.03)
        assert not sleeper.done()  # the thread is still writing
        go.set()
        await sleeper

    run(main())
    assert ended == [T0]


def test_cancelled_before_a_thread_was_free_the_call_is_not_made() -> None:
    from concurrent.futures import ThreadPoolExecutor

    clock = VirtualClock(T0)
    go, made = threading.Event(), []

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        first = asyncio.create_task(in_thread(clock, lambda: go.wait(PATIENCE_S)))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(in_thread(clock, lambda: made.append(1)))
        await asyncio.sleep(0.01)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        go.set()
        assert await first
        await clock.sleep(1)  # no hold was left behind

    run(main())
    assert made == []


def test_in_thread_hands_on_what_the_call_raised() -> None:
    clock = VirtualClock(T0)

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await in_thread(clock, lambda: 1 / 0)
        assert await in_thread(clock, lambda: 7) == 7
        await clock.sleep(1)

    run(main())


def test_many_threads_hold_and_give_back() -> None:
    clock = VirtualClock(T0)

    async def main() -> None:
        sleepers = [asyncio.create_task(clock.sleep(n)) for n in range(1, 50)]

        def work() -> datetime:
            with clock.hold():
                before = clock.now()
                time.monotonic()
                assert clock.now() == before  # held: nobody moves it
                return before

        await asyncio.gather(*(in_thread(clock, work) for _ in range(200)), *sleepers)

    run(main())
    assert clock.monotonic() == 49
    assert clock._holds == 0


# -- loops, and moving by hand ----------------------------------------------------------------------------


def test_goes_on_in_another_loop_and_forgets_whoever_was_left() -> None:
    clock = VirtualClock(T0)
    loop = asyncio.new_event_loop()
    left = loop.create_task(clock.sleep(10))
    loop.run_until_complete(asyncio.sleep(0, None))
    run(clock.sleep(100))
    assert clock.monotonic() == 100
    left.cancel()
    loop.run_until_complete(asyncio.wait([left]))
    loop.close()
    with clock.hold():  # ending a hold looks into no closed loop
        pass
    clock.advance(1)
    assert clock.monotonic() == 101


def test_advance_by_hand_wakes_whoever_is_due() -> None:
    clock, woken = VirtualClock(T0), []

    async def one(seconds: float) -> None:
        await clock.sleep_in_background(seconds)
        woken.append(seconds)

    async def main() -> None:
        tasks = [asyncio.create_task(one(seconds)) for seconds in (3, 1, 9)]
        await asyncio.sleep(0)
        clock.advance(5)
        await asyncio.sleep(0)
        assert woken == [1, 3]
        clock.advance(-100)
        assert clock.monotonic() == 5  # never back
        tasks[2].cancel()
        await asyncio.wait(tasks)

    run(main())


def test_starts_in_utc_and_only_aware() -> None:
    tokyo = timezone(timedelta(hours=9))
    clock: Clock = VirtualClock(datetime(2027, 1, 17, 9, tzinfo=tokyo))
    assert clock.now() == T0
    assert clock.now().tzinfo is UTC
    assert clock.speed == float("inf")
    with pytest.raises(ValueError, match="aware"):
        VirtualClock(datetime(2027, 1, 17))


# -- the wall ---------------------------------------------------------------------------------------------


def test_the_wall_at_a_chosen_speed() -> None:
    origin = datetime.now(UTC) - timedelta(seconds=100)
    clock = SystemClock(speed=20, origin=origin)
    before = datetime.now(UTC)
    seen = clock.now()
    after = datetime.now(UTC)
    assert origin + (before - origin) * 20 <= seen <= origin + (after - origin) * 20
    assert seen.tzinfo is UTC


def test_goes_on_from_a_stored_reading() -> None:
    origin = datetime.now(UTC)
    clock = SystemClock(speed=2, origin=origin, reading=T0)
    assert T0 <= clock.now() < T0 + timedelta(seconds=2 * PATIENCE_S)
    same_speed = SystemClock(origin=origin, reading=T0)  # speed 1, but not the wall
    assert same_speed.now() < T0 + timedelta(seconds=PATIENCE_S)


def test_one_is_the_wall() -> None:
    before = datetime.now(UTC)
    assert before <= SystemClock().now() <= datetime.now(UTC)


def test_sleeps_so_many_seconds_of_its_own() -> None:
    clock = SystemClock(speed=200)

    async def main() -> float:
        began, read = time.monotonic(), clock.monotonic()
        await clock.sleep(10)
        await clock.sleep_in_background(-1)
        with clock.hold():
            pass
        assert clock.monotonic() - read >= 9.9
        return time.monotonic() - began

    assert 0.049 <= run(main()) < 5  # type: ignore[operator]


@pytest.mark.parametrize("speed", [0, -1, float("inf"), float("nan")])
def test_no_speed_is_none(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        SystemClock(speed=speed)


def test_naive_times_are_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        SystemClock(origin=datetime(2027, 1, 17))
    with pytest.raises(ValueError, match="aware"):
        SystemClock(reading=datetime(2027, 1, 17))


# -- BOUSAI_TIME_SCALE ------------------------------------------------------------------------------------


def test_time_scale_gives_the_sandboxs_clock() -> None:
    text = (datetime.now(UTC) - timedelta(seconds=10)).isoformat()
    clock = parse_time_scale(f"20@{text}")
    assert clock.speed == 20
    ahead = (clock.now() - datetime.now(UTC)).total_seconds()
    assert 190 <= ahead <= 190 + 20 * PATIENCE_S


@pytest.mark.parametrize(
    "text", ["1", " 1 ", "1.0", "1@2027-01-17T00:00:00Z", "0.5@2027-01-17T09:00:00+09:00"]
)
def test_time_scale_accepts(text: str) -> None:
    assert parse_time_scale(text).speed in (1.0, 0.5)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2", "x", "@", "20@", "20@now", "nan", "20@2027-01-17T00:00:00", "@2027-01-17T00:00:00Z"),
        *(f"{speed}@2027-01-17T00:00:00Z" for speed in ("0", "-3", "inf", "nan")),
    ],
)
def test_time_scale_refuses(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - several sources, the settings reword them
        parse_time_scale(text)


@given(
    st.one_of(
        st.text(max_size=20),
        st.builds(
            lambda speed, moment, offset: f"{speed}@{moment.isoformat()}{offset}",
            st.floats() | st.integers(),
            st.datetimes(),
            st.sampled_from(["Z", "+09:00", "-23:59", ""]),
        ),
    )
)
@settings(max_examples=150, deadline=None)
def test_time_scale_gives_a_clock_that_reads_or_says_that_it_is_none(text: str) -> None:
    with contextlib.suppress(ValueError):
        parse_time_scale(text).now()
