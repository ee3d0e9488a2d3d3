"""The pacer against servers of every shape: no 429 while alone, hardly slower than the least time."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bousai_kit.lineworks.pacing import Concurrency, Limits, Pacer, known_gap_s, known_limit, read_limits
from tests.lineworks.limiters import WINDOW_S, Limiter, Says, Sender, simulate, together

SHAPES = ("fixed", "first", "sliding", "bucket")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("limit", "requests"), [(240, 1200), (240, 4800), (60, 1200), (10, 120)])
def test_alone_on_the_limit(shape: str, limit: int, requests: int) -> None:
    limiter = Limiter(shape, limit)
    found = simulate(requests, limiter)
    assert found.refused == 0
    assert found.seconds <= 1.02 * limiter.minimum_s(requests)  # the goal is 1.03


@given(
    shape=st.sampled_from(SHAPES),
    limit=st.sampled_from([10, 60, 240]),
    windows=st.integers(1, 6),
    more=st.integers(0, 9),
    phase=st.floats(0, 60),
    quick=st.floats(0.001, 0.5),
    spread=st.floats(0, 4),
    at_once=st.sampled_from([1, 4, 16]),
    seed=st.integers(0, 999),
    headers=st.booleans(),
)
@example("sliding", 240, 3, 0, 0.0, 0.05, 0.0, 16, 0, True)
@settings(max_examples=150, deadline=None)
def test_no_429_while_alone(
    shape: str,
    limit: int,
    windows: int,
    more: int,
    phase: float,
    quick: float,
    spread: float,
    at_once: int,
    seed: int,
    headers: bool,
) -> None:
    """Whatever the shape, the phase of its windows, the latency and its jitter, headers or none."""
    limiter = Limiter(shape, limit, phase)
    requests = min(windows * limit + more, 900)
    latency = (quick, quick + spread)
    found = simulate(
        requests, limiter, latency=latency, at_once=at_once, seed=seed, headers=headers, known=limit
    )
    assert found.done == requests
    assert found.refused == 0
    if shape == "sliding":
        edges = found.departures
        assert all(b - a > WINDOW_S for a, b in zip(edges, edges[limit:], strict=False))


@given(
    shape=st.sampled_from(SHAPES),
    known=st.sampled_from([240, 60]),
    limit=st.integers(5, 300),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_a_limit_is_learned_from_the_first_answer(shape: str, known: int, limit: int, seed: int) -> None:
    pacer = Pacer(known)
    found = simulate(2 * limit + 1, Limiter(shape, limit), pacer=pacer, seed=seed)
    assert found.refused == 0
    assert pacer.limit == limit


@pytest.mark.parametrize("left_s", [10.0, 30.0, 50.0])
@pytest.mark.parametrize("requests", [1200, 1000, 480, 300])
def test_a_window_that_began_before_us_is_used_anew_at_its_end(left_s: float, requests: int) -> None:
    limiter = Limiter("fixed", 240, phase=left_s)
    found = simulate(requests, limiter)
    assert found.refused == 0
    assert (
        found.seconds <= limiter.minimum_s(requests) + 4.0
    )  # a rounded reset, a probe, and 240 at 16 a time


@pytest.mark.parametrize("requests", [300, 700, 1000])
def test_a_bucket_is_used_as_it_refills(requests: int) -> None:
    limiter = Limiter("bucket", 240)
    found = simulate(requests, limiter)
    assert found.refused == 0
    assert found.seconds <= limiter.minimum_s(requests) + 1.0


@pytest.mark.parametrize("requests", [300, 1000])
def test_a_sliding_window_that_says_at_any_time_while_some_are_left(requests: int) -> None:
    """A reset of 0 is no end of a window."""

    def says(limits: Limits, now: float, ok: bool) -> Limits:
        return Limits(limits.limit, limits.remaining, 0.0 if limits.remaining else limits.reset_s)

    assert together([Sender(Pacer(240), requests)], Limiter("sliding", 240), says=says).refused == 0


def lesser(limits: Limits, now: float, ok: bool) -> Limits:
    """Rounded down."""
    return Limits(limits.limit, limits.remaining, max(0.0, (limits.reset_s or 0.0) - 1.0))


@given(
    shape=st.sampled_from(SHAPES),
    limit=st.sampled_from([5, 10, 60, 240]),
    windows=st.floats(0.5, 5),
    phase=st.floats(0, 60),
    quick=st.floats(0.001, 0.5),
    spread=st.sampled_from([0.0, 0.1, 1.0, 4.0, 30.0]),
    at_once=st.sampled_from([1, 4, 16]),
    seed=st.integers(0, 999),
    missing=st.sampled_from([0.0, 0.1, 0.5]),
    parts=st.sampled_from(["all", "no reset", "no remaining", "rounded down"]),
    losses=st.sampled_from([0.0, 0.0, 0.02, 0.2]),
)
@settings(max_examples=150, deadline=None)
def test_alone_it_never_exceeds_whatever_is_missing(
    shape: str,
    limit: int,
    windows: float,
    phase: float,
    quick: float,
    spread: float,
    at_once: int,
    seed: int,
    missing: float,
    parts: str,
    losses: float,
) -> None:
    """Headers go missing in part or whole, answers are lost or hang: never a 429, and all get through."""
    rng = random.Random(seed)

    def says(limits: Limits, now: float, ok: bool) -> Limits:
        if rng.random() < missing:
            return Limits()
        if parts == "no reset":
            return Limits(limits.limit, limits.remaining)
        if parts == "no remaining":
            return Limits(limits.limit, None, limits.reset_s)
        return lesser(limits, now, ok) if parts == "rounded down" else limits

    requests = min(700, 1 + int(windows * limit))
    sender = Sender(Pacer(limit), requests, at_once=at_once)
    limiter = Limiter(shape, limit, phase)
    found = together([sender], limiter, latency=(quick, quick + spread), seed=seed, says=says, losses=losses)
    assert found.done + sender.lost == requests
    assert found.refused == 0
    assert all(b - a <= WINDOW_S + 3 * (quick + spread) + 4 for a, b in pairwise(found.departures))


def slots(limits: Limits, now: float, ok: bool) -> Limits:
    return Limits(limits.limit, limits.remaining, float(math.ceil(10.0 - now % 10)))


LIES: dict[str, Says] = {
    "always full": lambda limits, now, ok: Limits(limits.limit, (limits.limit or 1) - 1, limits.reset_s),
    "full, and soon over": lambda limits, now, ok: Limits(limits.limit, 239 if ok else 0, 1.0),
    "over at once": lambda limits, now, ok: Limits(limits.limit, limits.remaining, 0.0),
    "over in a second": lambda limits, now, ok: Limits(limits.limit, limits.remaining, 1.0),
    "never over": lambda limits, now, ok: Limits(limits.limit, limits.remaining, 60.0),
    "over every ten seconds": slots,
    "a little behind": lambda limits, now, ok: Limits(
        limits.limit, (limits.remaining or 0) + 8, limits.reset_s
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("phase", [0.0, 20.0])
def test_a_server_that_lies_costs_a_handful_and_hardly_time(shape: str, lie: str, phase: float) -> None:
    limiter = Limiter(shape, 240, phase)
    found = together([Sender(Pacer(240), 2400)], limiter, says=LIES[lie])
    assert found.done == 2400
    assert found.refused <= 5
    assert found.seconds <= 1.05 * 9 * WINDOW_S


@given(
    shape=st.sampled_from(SHAPES),
    remaining=st.lists(st.one_of(st.none(), st.integers(0, 300)), min_size=1, max_size=9),
    reset=st.lists(st.one_of(st.none(), st.floats(0, 60)), min_size=1, max_size=9),
    limits=st.lists(st.sampled_from([None, 60, 60, 60, 240]), min_size=1, max_size=5),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_headers_claim_what_leaves_is_bounded(
    shape: str, remaining: list[Any], reset: list[Any], limits: list[Any], seed: int
) -> None:
    """A server that refuses nothing and says anything: at most the greatest limit at once and a window."""
    rng = random.Random(seed)

    def says(_: Limits, now: float, ok: bool) -> Limits:
        return Limits(rng.choice(limits), rng.choice(remaining), rng.choice(reset))

    most = max([60, *(limit for limit in limits if limit)])
    found = together([Sender(Pacer(60), 600)], Limiter(shape, 10**6), says=says, seed=seed)
    assert found.done == 600
    for windows in (1, 2, 3, 5):
        span = windows * (WINDOW_S - 3.0)  # two roundings and a way
        held = [
            b - a for a, b in zip(found.departures, found.departures[(windows + 1) * most :], strict=False)
        ]
        assert all(seconds > span for seconds in held)


@given(
    shape=st.sampled_from(SHAPES),
    phase=st.floats(0, 60),
    requests=st.tuples(st.integers(240, 900), st.integers(100, 900)),
    later=st.floats(0, 90),
    seed=st.integers(0, 99),
    headers=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_two_processes_share_one_limit(
    shape: str, phase: float, requests: tuple[int, int], later: float, seed: int, headers: bool
) -> None:
    """Each knows of the other by the answers alone."""
    senders = [Sender(Pacer(240), requests[0]), Sender(Pacer(240), requests[1], later)]
    found = together(
        senders,
        Limiter(shape, 240, phase),
        seed=seed,
        says=lambda limits, now, ok: limits if headers else Limits(),
    )
    assert found.done == sum(requests)
    windows = found.seconds / WINDOW_S + 1
    assert found.refused <= (12 if headers else 40) * windows
    assert found.seconds <= later + (sum(requests) / 240 + 1) * WINDOW_S * (1.1 if headers else 1.5) + 10


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("later", [0.0, 20.0])
def test_two_processes_together_take_hardly_longer_than_the_limit_asks(shape: str, later: float) -> None:
    limiter = Limiter(shape, 240)
    found = together([Sender(Pacer(240), 1200), Sender(Pacer(240), 1200, later)], limiter)
    assert found.seconds <= 1.1 * limiter.minimum_s(found.accepted)
    assert found.refused <= 40  # of 2,400


@given(
    shape=st.sampled_from(SHAPES),
    per_s=st.floats(0.1, 2.5),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_a_stranger_on_the_same_limit_costs_few_429(shape: str, per_s: float, seed: int) -> None:
    limiter = Limiter(shape, 240)
    found = simulate(1000, limiter, stranger_per_s=per_s, seed=seed)
    assert found.done == 1000
    assert found.refused <= 10  # back-off alone needs hundreds
    rest = 240 - per_s * 60
    assert found.seconds <= 1.6 * 1000 / rest * WINDOW_S + WINDOW_S


@pytest.mark.parametrize("shape", SHAPES)
def test_a_budget_used_up_before_this_process_began(shape: str) -> None:
    """The process before this one was killed after 200 sends: its use shows in the first answer."""
    limiter = Limiter(shape, 240)
    for number in range(200):
        limiter.take(number * 0.01)
    found = simulate(300, limiter, start=3.0)
    assert found.done == 300
    assert found.refused == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_without_any_header_and_with_a_wrong_idea_of_the_limit(shape: str) -> None:
    found = simulate(300, Limiter(shape, 60), headers=False, known=240)
    assert found.done == 300
    assert found.refused <= 60


@pytest.mark.parametrize("shape", SHAPES)
def test_thirty_minutes_of_full_use_leave_half_the_rate(shape: str) -> None:
    found = simulate(10_000, Limiter(shape, 240))
    assert found.refused == 0
    by_minute = [sum(m * 60 <= at < m * 60 + 60 for at in found.departures) for m in range(60)]
    assert min(by_minute[:28]) >= 230
    late = by_minute[36 : int(found.seconds / 60) - 1]
    assert late
    assert all(110 <= count <= 130 for count in late)


def test_rest_wins_the_rate_back() -> None:
    pacer, limiter = Pacer(240), Limiter("sliding", 240)
    used = simulate(9000, limiter, pacer=pacer)
    assert used.seconds > 9000 / 240 * 60 * 1.05
    rested = simulate(2400, limiter, pacer=pacer, start=used.seconds + 3600)
    assert rested.refused == 0
    assert rested.seconds < 2400 / 240 * 60


def test_a_laptop_that_slept_wakes_to_a_whole_window() -> None:
    """20 minutes pass between two readings: nothing is owed, and nobody is let in twice over."""
    pacer = Pacer(240)
    tickets = []
    now = 0.0
    first = pacer.sent(now)
    pacer.answered(first, 0.1, Limits(240, 239, 60.0))
    while pacer.ready_at(0.2) <= 0.2:
        tickets.append(pacer.sent(0.2))
    assert len(tickets) == 239
    now = 1200.0
    for ticket in tickets:  # their answers come in when the lid is opened
        pacer.answered(ticket, now, Limits(240, 100, 60.0))
    sent = 0
    while pacer.ready_at(now) <= now:
        pacer.sent(now)
        sent += 1
    assert sent == 1  # the answers are less than a window old: 1 + 239 were in this one, as far as is known
    assert pacer.ready_at(now + 61) <= now + 61 + 3


def test_a_clock_that_stands_still_lets_out_one_window() -> None:
    pacer = Pacer(10)
    pacer.answered(pacer.sent(5.0), 5.0, Limits())
    sent = 0
    while pacer.ready_at(5.0) <= 5.0:
        pacer.answered(pacer.sent(5.0), 5.0, Limits())
        sent += 1
    assert sent == 9
    assert math.isclose(pacer.ready_at(5.0), 65.0, abs_tol=0.1)


def test_a_hanging_probe_does_not_hold_everybody_up() -> None:
    pacer = Pacer(240)
    pacer.sent(0.0)
    assert pacer.ready_at(0.0) == 3.0


def test_what_never_left_costs_nothing_and_what_was_lost_does() -> None:
    pacer = Pacer(2)
    pacer.unsent(pacer.sent(0.0))
    pacer.answered(pacer.sent(0.0), 0.0, Limits())
    pacer.lost(pacer.sent(1.0), 2.0)
    assert pacer.ready_at(3.0) > 59.0
    pacer.unsent(99)
    pacer.lost(99, 3.0)
    pacer.answered(99, 3.0, Limits(1, 0, 60.0))
    assert pacer.limit == 2  # a ticket that is not out says nothing


@pytest.mark.parametrize(
    "operation", ["orgunits.create", "orgunits.patch", "orgunits.move", "orgunits.delete"]
)
def test_org_unit_writes_keep_a_second_apart_repeats_included(operation: str) -> None:
    pacer = Pacer(240, gap_s=known_gap_s(operation))
    ticket = pacer.sent(0.0)
    assert pacer.ready_at(0.5) == math.inf  # one at a time
    pacer.answered(ticket, 0.7, Limits(240, 239, 60.0))
    assert 1.7 <= pacer.ready_at(0.8) < 1.8
    pacer.refused(pacer.sent(2.0), 2.1, Limits(240, 0, 0.0))
    assert pacer.ready_at(2.2) >= 3.1
    pacer.unsent(pacer.sent(4.0))
    assert pacer.ready_at(4.0) == 4.0


def test_known_limits() -> None:
    assert known_limit("channels.create") == 10
    assert known_limit("channels.get") == 240
    assert known_limit("audit.download") == known_limit("monitoring.download") == 10
    assert known_limit("boards.readers") == 60
    assert known_limit("messages.to-user") == 240


@given(
    st.dictionaries(
        st.sampled_from(["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "rateLimit-ssed"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    )
)
def test_junk_headers_count_as_missing(headers: dict[str, str]) -> None:
    limits = read_limits(httpx.Headers(headers))
    assert limits.limit is None or limits.limit >= 1
    assert limits.remaining is None or limits.remaining >= 0
    assert limits.reset_s is None or 0 <= limits.reset_s <= WINDOW_S


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [("17", 17), ("17.5", 17.5), ("1800000000", 60), ("-1", None), ("nan", None), ("", None)],
)
def test_a_reset_is_seconds_and_never_an_epoch(reset: str, seconds: float | None) -> None:
    assert read_limits(httpx.Headers({"rateLimit-reset": reset})).reset_s == seconds


def test_huge_numbers_in_headers_do_not_open_the_gate() -> None:
    pacer = Pacer(240)
    pacer.answered(pacer.sent(0.0), 0.1, read_limits(httpx.Headers({"RateLimit-Remaining": "1e300"})))
    sent = 0
    while pacer.ready_at(0.2) <= 0.2:
        pacer.sent(0.2)
        sent += 1
    assert sent == 239


def test_concurrency_halves_and_comes_back() -> None:
    both = Concurrency()
    assert both.limit == 16
    for now in (0.0, 0.2, 0.4):
        both.pushed_back(now)
    assert both.limit == 8
    for now in (2.0, 4.0, 6.0, 8.0):
        both.pushed_back(now)
    assert both.limit == 4
    for now in range(10, 1000, 5):
        both.quiet(float(now))
    assert both.limit == 16


def test_departures_are_not_bunched_by_rounding() -> None:
    found = simulate(480, Limiter("fixed", 240))
    gaps = [b - a for a, b in pairwise(found.departures)]
    assert max(gaps) < 62
    assert found.seconds < 64


def test_too_many_at_once_is_not_the_end_of_the_window() -> None:
    """A 429 although requests are left: seconds of rest, doubling while it stays so, not the whole window."""
    pacer, now = Pacer(240), 0.0
    pacer.answered(pacer.sent(now), 0.1, Limits(240, 239, 60.0))
    rests = []
    for _ in range(5):
        now = pacer.ready_at(max(now, 0.1))
        rests.append(pacer.refused(pacer.sent(now), now, Limits(240, 200, 50.0)))
    assert rests == pytest.approx([1.0, 2.0, 4.0, 8.0, 16.0])
    assert not pacer.shared
    now = pacer.ready_at(now)
    pacer.answered(pacer.sent(now), now, Limits(240, 199, 20.0))
    assert pacer.refused(pacer.sent(now), now, Limits(240, 199, 20.0)) == 1.0


def test_the_end_of_a_window_that_a_sleeping_laptop_missed_is_only_tried() -> None:
    """The lid was shut between answer and end; after it one request asks alone, whatever was announced."""
    pacer, limiter = Pacer(240), Limiter("fixed", 240, phase=10.0)
    together([Sender(pacer, 300)], limiter)
    assert pacer.shapes.standing == {"fixed"}
    now = 1200.0
    ticket = pacer.sent(now)
    assert pacer.ready_at(now) > now
    pacer.answered(ticket, now + 0.1, Limits(240, 100, 37.0))  # others were there meanwhile
    sent = 0
    while pacer.ready_at(now + 0.1) <= now + 0.1:
        pacer.sent(now + 0.1)
        sent += 1
    assert 1 <= sent <= 100


@given(
    jumps=st.lists(
        st.sampled_from([0.0, 0.01, 0.5, 30.0, 61.0, 1200.0, -0.5, -90.0]), min_size=5, max_size=80
    ),
    ends=st.lists(st.sampled_from(["answered", "refused", "lost", "unsent"]), min_size=5, max_size=80),
    remaining=st.integers(0, 20),
    reset=st.one_of(st.none(), st.floats(0, 60)),
)
@settings(max_examples=80, deadline=None)
def test_clocks_that_jump_either_way_never_lock_it_up(
    jumps: list[float], ends: list[str], remaining: int, reset: float | None
) -> None:
    """Asleep, set back, set forward between send and answer: once all is answered, somebody may leave."""
    pacer, now = Pacer(10), 1000.0
    out: list[int] = []
    for jump, end in zip(jumps, ends, strict=False):
        now = max(0.0, now + jump)
        if pacer.ready_at(now) <= now:
            out.append(pacer.sent(now))
        elif out:
            ticket, limits = out.pop(0), Limits(10, remaining, reset)
            if end in ("answered", "refused"):
                getattr(pacer, end)(ticket, now, limits)
            elif end == "lost":
                pacer.lost(ticket, now)
            else:
                pacer.unsent(ticket)
    for ticket in out:
        pacer.answered(ticket, now, Limits(10, remaining, reset))
    assert pacer.ready_at(now) <= 1000.0 + sum(max(0.0, jump) for jump in jumps) + 2 * WINDOW_S
