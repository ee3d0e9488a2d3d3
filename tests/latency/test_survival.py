"""Kaplan–Meier against exact fractions, a published table, and what must not change anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bousai_kit.latency.survival import Curve, LogRank, chi2_sf, estimate_curves, log_rank
from tests.latency import oracle

Rows = list[tuple[float, bool]]
SIX_MP: Rows = [
    *[(float(t), True) for t in (6, 6, 6, 7, 10, 13, 16, 22, 23)],
    *[(float(t), False) for t in (6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35)],
]
PLACEBO: Rows = [
    (float(t), True) for t in (1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23)
]
rows_of = st.lists(st.tuples(st.integers(0, 12).map(lambda t: t / 4), st.booleans()), min_size=1, max_size=40)


def curve(rows: Sequence[tuple[float, bool]]) -> Curve:
    return estimate_curves([t for t, _ in rows], [seen for _, seen in rows])[0]


def compare(*groups: Sequence[tuple[float, bool]]) -> LogRank:
    every = [(t, seen, i) for i, rows in enumerate(groups) for t, seen in rows]
    return log_rank(*zip(*every, strict=True)) if every else log_rank([], [], [])


def test_freireich_as_published() -> None:
    found = curve(SIX_MP)
    table = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    for t, s in table.items():
        assert round(found.survival_at(t) or 0, 3) == s
    assert found.survival_at(5.9) == 1.0
    assert found.median_s == 23.0
    assert curve(PLACEBO).median_s == 8.0
    test = compare(SIX_MP, PLACEBO)
    assert test.chi2 is not None
    assert test.p is not None
    assert round(test.chi2, 2) == 16.79
    assert f"{test.p:.2e}" == "4.17e-05"
    assert test.df == 1


@settings(deadline=None, max_examples=300)
@given(rows_of)
def test_as_exact_fractions_say(rows: Rows) -> None:
    found, exact = curve(rows), oracle.survival(rows)
    assert found.times.tolist() == [t for t, _, _ in exact]
    assert np.allclose(found.survival, [float(s) for _, s, _ in exact], atol=1e-12)
    for i, (_, s, greenwood) in enumerate(exact):
        if 0 < s < 1:
            low, high = oracle.limits(s, greenwood)
            assert math.isclose(found.lower[i], low, rel_tol=1e-9, abs_tol=1e-12)
            assert math.isclose(found.upper[i], high, rel_tol=1e-9, abs_tol=1e-12)
        assert 0 <= found.lower[i] <= found.survival[i] + 1e-12
        assert found.survival[i] <= found.upper[i] + 1e-12 <= 1 + 2e-12
    for share in (Fraction(1, 2), Fraction(3, 4), Fraction(9, 10)):
        assert found.quantile_s(float(share)) == oracle.quantile(rows, share)
    end = max(t for t, _ in rows)
    assert math.isclose(
        found.rmst_s(end) or 0.0, float(oracle.rmst(rows, Fraction(end))), rel_tol=1e-9, abs_tol=1e-12
    )


@given(st.integers(1, 400), st.data())
def test_median_where_s_is_exactly_a_half(half: int, data: st.DataObject) -> None:
    """n people, all but censored ones after it: S steps through fractions that floats miss."""
    answers = sorted(data.draw(st.lists(st.integers(1, 60), min_size=half, max_size=half)))
    rows: Rows = [(float(t), True) for t in answers] + [(61.0, False)] * half
    assert oracle.survival(rows)[-2 if 61.0 not in answers else -1][1] == Fraction(1, 2)
    assert curve(rows).median_s == oracle.quantile(rows) == float(answers[-1])


@settings(deadline=None)
@given(rows_of, st.randoms(use_true_random=False), st.integers(0, 1000))
def test_order_shift_and_unit_change_nothing(rows: Rows, chance: object, shift: int) -> None:
    found = curve(rows)
    mixed = list(rows)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    again = curve(mixed)
    assert again.survival.tolist() == found.survival.tolist()
    moved = curve([(t + shift, seen) for t, seen in rows])
    assert moved.survival.tolist() == found.survival.tolist()
    assert moved.median_s == (None if found.median_s is None else found.median_s + shift)
    scaled = curve([(t * 64, seen) for t, seen in rows])
    assert scaled.median_s == (None if found.median_s is None else found.median_s * 64)
    doubled = curve([*rows, *rows])
    assert np.allclose(doubled.survival, found.survival, atol=1e-12)


@settings(deadline=None)
@given(st.lists(rows_of, min_size=1, max_size=6))
def test_all_groups_in_one_pass_as_each_alone(groups: list[Rows]) -> None:
    every = [(t, seen, i) for i, rows in enumerate(groups) for t, seen in rows]
    t, seen, g = zip(*every, strict=True)
    together = estimate_curves(t, seen, g, [str(i) for i in range(len(groups))])
    for own, rows in zip(together, groups, strict=True):
        alone = curve(rows)
        for field in ("times", "at_risk", "answered", "censored", "survival", "lower", "upper"):
            assert getattr(own, field).tolist() == getattr(alone, field).tolist(), field


def test_answer_and_censoring_at_one_moment_the_answer_comes_first() -> None:
    found = curve([(5.0, True), (5.0, False), (5.0, False), (9.0, True)])
    assert found.survival.tolist() == [0.75, 0.0]
    assert found.at_risk.tolist() == [4, 1]
    assert found.censored.tolist() == [2, 0]


def test_all_censored_says_not_reached() -> None:
    found = curve([(60.0, False)] * 5)
    assert found.median_s is None
    assert found.median_ci_s == (None, None)
    assert found.ack_rate(60) == 0.0
    assert found.ack_rate(61) is None  # nobody was followed so long
    low, high = found.ack_rate_ci(60) or (1, 0)
    assert (low, round(high, 3)) == (0.0, 0.522)  # "0 of 5": Clopper and Pearson
    assert found.rmst_s(60) == 60.0


def test_all_answered_rate_stays_one_beyond() -> None:
    found = curve([(1.0, True), (2.0, True)])
    assert found.ack_rate(1800) == 1.0
    assert found.quantile_s(0.9) == 2.0
    assert found.rmst_s(1800) == 1.5


def test_empty_group_keeps_its_place() -> None:
    found = estimate_curves([1.0, 2.0], [True, False], [0, 2], ["北区", "西区", "南区"])
    empty = found[1]
    assert (empty.n, empty.events, empty.median_s, empty.rmst_s(60)) == (0, 0, None, None)
    assert empty.ack_rate(60) is None
    assert [one.n for one in found] == [1, 0, 1]
    assert len(estimate_curves([], [], [], [])) == 0


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_a_duration_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        estimate_curves([1.0, bad], [True, True])


@settings(deadline=None)
@given(rows_of, rows_of)
def test_log_rank_of_two_as_exact_fractions_say(a: Rows, b: Rows) -> None:
    found = compare(a, b)
    try:
        exact = oracle.log_rank_two(a, b)
    except ZeroDivisionError:
        assert found.chi2 is None
        return
    assume(found.chi2 is not None)
    assert found.df == 1
    assert math.isclose(found.chi2 or 0.0, float(exact), rel_tol=1e-8, abs_tol=1e-9)
    assert math.isclose(compare(b, a).chi2 or 0.0, float(exact), rel_tol=1e-8, abs_tol=1e-9)


@settings(deadline=None)
@given(rows_of)
def test_log_rank_of_equal_groups_is_nothing(rows: Rows) -> None:
    found = compare(rows, rows, rows)
    assert found.chi2 is None or found.chi2 < 1e-9


def test_log_rank_without_anything_to_compare() -> None:
    assert compare().chi2 is None
    assert compare(SIX_MP).chi2 is None
    assert compare([(5.0, False)], [(3.0, False)]).p is None


@pytest.mark.parametrize(
    ("x", "df", "p"),  # tables: the 5 % and 1 % points
    [(3.841459, 1, 0.05), (5.991465, 2, 0.05), (35.172462, 23, 0.05), (41.638398, 23, 0.01), (0, 4, 1.0)],
)
def test_chi_squared_tail(x: float, df: int, p: float) -> None:
    assert math.isclose(chi2_sf(x, df), p, rel_tol=1e-6)


def test_chi_squared_tail_is_no_number_for_no_question() -> None:
    assert chi2_sf(math.inf, 3) == 0.0
    assert 0 <= chi2_sf(2000.0, 49) < 1e-300
    for x, df in ((1.0, 0), (math.nan, 2)):
        with pytest.raises(ValueError, match="df"):
            chi2_sf(x, df)
