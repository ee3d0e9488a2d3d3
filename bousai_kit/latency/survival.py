"""Kaplan–Meier, all groups in one pass, in numpy.

S is compared with a tolerance of 1e-9: where S is exactly 1/2 in fractions, floating point may say
0.5000000000000001, and a median would be missed. Times are seconds, rates 0..1, limits two-sided 95 %.

Sources: Kaplan and Meier 1958; Greenwood 1926; Brookmeyer and Crowley 1982 (limits of the median from the
log(−log) band, as R's ``survfit(conf.type="log-log")``); log-rank as R's ``survdiff``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["LEVEL", "TOLERANCE", "Curve", "Curves", "LogRank", "chi2_sf", "estimate_curves", "log_rank"]

TOLERANCE = 1e-9
LEVEL = 0.95
Z = 1.959963984540054  # of LEVEL

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, repr=False)
class Curve:
    """The share still silent over time, of one group.

    Attributes
    ----------
    name : str
    n : int
        People followed.
    events : int
        Answers observed.
    times : ndarray
        Distinct times of answers and censorings, ascending, seconds.
    at_risk : ndarray
        Followed and silent just before each time.
    answered, censored : ndarray
        At each time. An answer at the moment of a censoring comes before it.
    survival : ndarray
        S at each time: right-continuous steps, 1 before the first.
    lower, upper : ndarray
        Pointwise limits of S (Greenwood, log(−log)); where S is 0 the upper one is that of the time before.
    """

    name: str
    n: int
    events: int
    times: Floats
    at_risk: Ints
    answered: Ints
    censored: Ints
    survival: Floats
    lower: Floats
    upper: Floats

    def __repr__(self) -> str:
        return f"<Curve {self.name!r} n={self.n} events={self.events} median_s={self.median_s}>"

    @property
    def followed_s(self) -> float:
        """The last moment at which anybody was followed; 0 without people."""
        return float(self.times[-1]) if self.times.size else 0.0

    def quantile_s(self, share: float) -> float | None:
        """Time by which this share of the people has answered: the first t with S(t) ≤ 1 − share.

        Returns
        -------
        float or None
            Seconds; None: not reached.
        """
        return _first(self.times, self.survival, 1.0 - share)

    @property
    def median_s(self) -> float | None:
        """Half of the people have answered; None: not reached."""
        return self.quantile_s(0.5)

    def quantile_ci_s(self, share: float) -> tuple[float | None, float | None]:
        """Limits of a quantile; None: not reached."""
        below = 1.0 - share
        return _first(self.times, self.lower, below), _first(self.times, self.upper, below)

    @property
    def median_ci_s(self) -> tuple[float | None, float | None]:
        """Limits of the median; None: not reached."""
        return self.quantile_ci_s(0.5)

    def survival_at(self, t: float) -> float | None:
        """S(t), the step at `t` included; None where nobody was followed so long."""
        if not self.n or (t > self.followed_s and self.survival[-1] > TOLERANCE):
            return None
        place = int(np.searchsorted(self.times, t, side="right")) - 1
        return float(self.survival[place]) if place >= 0 else 1.0

    def ack_rate(self, t: float) -> float | None:
        """Share that has answered within `t` seconds: 1 − S(t)."""
        silent = self.survival_at(t)
        return None if silent is None else 1.0 - silent

    def ack_rate_ci(self, t: float) -> tuple[float, float] | None:
        """Limits of `ack_rate`.

        Notes
        -----
        Greenwood's formula gives a width of 0 where nobody has answered yet or everybody has. There the
        limits are those of "0 of n", n being the people at risk at `t` (Clopper and Pearson), and of the
        step before.
        """
        silent = self.survival_at(t)
        if silent is None:
            return None
        place = int(np.searchsorted(self.times, t, side="right")) - 1
        if silent > 1.0 - TOLERANCE:
            return 0.0, 1.0 - math.pow((1.0 - LEVEL) / 2, 1.0 / max(1, self.at_risk_at(t)))
        return 1.0 - float(self.upper[place]), 1.0 - float(self.lower[place])

    def at_risk_at(self, t: float) -> int:
        """People followed and silent just before `t`."""
        before = int(np.searchsorted(self.times, t, side="left"))
        return self.n - int(self.answered[:before].sum() + self.censored[:before].sum())

    def rmst_s(self, until: float) -> float | None:
        """Mean time to the answer, restricted to `until`: the area under S.

        Parameters
        ----------
        until : float
            Seconds; where people were followed for less long, the area ends there.
        """
        if not self.n:
            return None
        end = until if self.survival[-1] <= TOLERANCE else min(until, self.followed_s)
        inside = self.times < end
        edges = np.concatenate(([0.0], self.times[inside], [end]))
        heights = np.concatenate(([1.0], self.survival[inside]))
        return float(np.dot(np.diff(edges), heights))


@dataclass(frozen=True, slots=True, repr=False)
class Curves:
    """Curves of all groups, in the order of the groups."""

    curves: tuple[Curve, ...]

    def __repr__(self) -> str:
        return f"<Curves {len(self.curves)}>"

    def __iter__(self) -> Iterator[Curve]:
        return iter(self.curves)

    def __len__(self) -> int:
        return len(self.curves)

    def __getitem__(self, place: int) -> Curve:
        return self.curves[place]


def _first(times: Floats, values: Floats, below: float) -> float | None:
    reached = np.flatnonzero(values <= below + TOLERANCE)
    return float(times[reached[0]]) if reached.size else None


def estimate_curves(
    duration_s: ArrayLike, observed: ArrayLike, group: ArrayLike | None = None, names: Sequence[str] = ("",)
) -> Curves:
    """Estimate S of every group.

    Parameters
    ----------
    duration_s : array_like of float
        Seconds to the answer, or to the censoring; finite, ≥ 0.
    observed : array_like of bool
        Whether it was an answer.
    group : array_like of int, optional
        Index into `names`; default: all in the one group.
    names : sequence of str
        One curve a name, also where nobody is in it.

    Raises
    ------
    ValueError
        A negative, infinite or missing duration, or an index outside of `names`.
    """
    t = np.asarray(duration_s, dtype=np.float64).ravel()
    answered = np.asarray(observed, dtype=bool).ravel()
    g = np.zeros(t.size, dtype=np.int64) if group is None else np.asarray(group, dtype=np.int64).ravel()
    if not t.size == answered.size == g.size:
        raise ValueError("durations, observed and group differ in length")
    if t.size and not (np.isfinite(t).all() and (t >= 0).all()):
        raise ValueError("durations must be finite and not negative")
    if g.size and not (g.min() >= 0 and g.max() < len(names)):
        raise ValueError("a group has no name")
    order = np.lexsort((t, g))
    t, g, answered = t[order], g[order], answered[order]
    new = np.empty(t.size, dtype=bool)
    new[:1] = True
    new[1:] = (t[1:] != t[:-1]) | (g[1:] != g[:-1])
    starts = np.flatnonzero(new)  # of each (group, time)
    counts = np.diff(np.append(starts, t.size))
    deaths = np.add.reduceat(answered.astype(np.int64), starts) if starts.size else starts
    size = np.bincount(g, minlength=len(names))
    at_risk = (np.cumsum(size)[g[starts]] if starts.size else starts) - starts
    # factors and Greenwood's terms of all groups at once; products and sums within each group
    silent, lost = at_risk - deaths, counts - deaths
    # (n₁−d₁)/n₁·(n₂−d₂)/n₂… with n₂ = n₁−d₁ is (n₂−d₂)/n₁: only a censoring leaves a factor, so S stays exact
    factor = np.where((lost > 0) & (silent > lost), silent / np.maximum(silent - lost, 1), 1.0)
    with np.errstate(divide="ignore"):
        term = np.where(silent > 0, deaths / (at_risk * np.maximum(silent, 1)), 0.0)
    bounds = np.searchsorted(g[starts], np.arange(len(names) + 1))
    survival, greenwood = np.empty_like(factor), np.empty_like(factor)
    for i, (a, b) in enumerate(itertools.pairwise(bounds.tolist())):
        survival[a:b] = silent[a:b] / max(1, size[i])
        survival[a + 1 : b] *= np.cumprod(factor[a : max(a, b - 1)])
        np.cumsum(term[a:b], out=greenwood[a:b])
    lower, upper = _limits(survival, greenwood, np.isin(np.arange(starts.size), bounds[:-1]), at_risk)
    at = t[starts]
    curves = []
    for i, (a, b) in enumerate(itertools.pairwise(bounds.tolist())):
        steps: list[Any] = [values[a:b] for values in (at, at_risk, deaths, lost, survival, lower, upper)]
        curves.append(Curve(names[i], int(size[i]), int(deaths[a:b].sum()), *steps))
    return Curves(tuple(curves))


def _limits(
    survival: Floats, greenwood: Floats, first: NDArray[np.bool_], at_risk: Ints
) -> tuple[Floats, Floats]:
    """S^exp(±z·se), se that of log(−log S)."""
    inner = (survival > TOLERANCE) & (survival < 1.0)
    s = np.where(inner, survival, 0.5)
    spread = np.exp(Z * np.sqrt(greenwood) / -np.log(s))
    lower = np.where(inner, s**spread, survival)
    upper = np.where(inner, s ** (1.0 / spread), survival)
    gone = np.flatnonzero(survival <= TOLERANCE)  # all have answered: the last step of its group, or after it
    for i in gone.tolist():
        alone = 1.0 - math.pow((1.0 - LEVEL) / 2, 1.0 / max(1, int(at_risk[i])))
        upper[i] = alone if first[i] or upper[i - 1] >= 1.0 else upper[i - 1]
    return lower, upper


@dataclass(frozen=True, slots=True)
class LogRank:
    """Whether the curves of several groups differ.

    Attributes
    ----------
    chi2 : float or None
        None: nothing to compare (fewer than two groups in which an answer was possible).
    df : int
    p : float or None
    """

    chi2: float | None
    df: int
    p: float | None

    def as_json(self) -> dict[str, Any]:
        """The three keys of interfaces §4."""
        return {"chi2": self.chi2, "df": self.df, "p": self.p}


def log_rank(duration_s: ArrayLike, observed: ArrayLike, group: ArrayLike) -> LogRank:
    """Compare the curves of k groups (Mantel 1966; ties by the hypergeometric variance).

    Parameters
    ----------
    duration_s, observed
        As `estimate_curves`.
    group : array_like of int
        0 .. k−1; groups without people, or whose people left before anybody answered, are not compared.
    """
    t = np.asarray(duration_s, dtype=np.float64).ravel()
    seen = np.asarray(observed, dtype=bool).ravel()
    g = np.asarray(group, dtype=np.int64).ravel()
    k = int(g.max()) + 1 if g.size else 0
    times = np.unique(t[seen])
    if k < 2 or not times.size:
        return LogRank(None, 0, None)
    at_risk = np.empty((times.size, k))
    died = np.empty((times.size, k))
    for i in range(k):
        own, own_seen = np.sort(t[g == i]), np.sort(t[(g == i) & seen])
        at_risk[:, i] = own.size - np.searchsorted(own, times, side="left")
        died[:, i] = np.searchsorted(own_seen, times, "right") - np.searchsorted(own_seen, times, "left")
    n, d = at_risk.sum(axis=1), died.sum(axis=1)
    share = at_risk / n[:, None]
    expected = (d[:, None] * share).sum(axis=0)
    kept = np.flatnonzero(expected > TOLERANCE)
    if kept.size < 2:
        return LogRank(None, 0, None)
    weight = np.where(n > 1, d * (n - d) / np.maximum(n - 1, 1), 0.0)
    p = share[:, kept]
    covariance = np.diag((weight[:, None] * p).sum(axis=0)) - p.T @ (weight[:, None] * p)
    gap = (died.sum(axis=0) - expected)[kept]
    # one group is redundant; where more are (all who were at risk answered together) the rank says so
    values, vectors = np.linalg.eigh(covariance)
    good = values > max(1.0, float(values[-1])) * 1e-10
    df = int(good.sum())
    if df == 0:
        return LogRank(None, 0, None)
    chi2 = float((((vectors[:, good].T @ gap) ** 2) / values[good]).sum())
    return LogRank(chi2, df, chi2_sf(chi2, df))


def chi2_sf(x: float, df: int) -> float:
    """P(X > x) of a chi-squared distribution with an integer number of degrees of freedom.

    A finite sum of positive terms: Q(df/2, x/2) (Abramowitz and Stegun 26.4.4, 26.4.5).

    Raises
    ------
    ValueError
        ``df`` < 1, or `x` is not a number.
    """
    if df < 1 or math.isnan(x):
        raise ValueError("df must be at least 1 and x a number")
    if x <= 0:
        return 1.0
    if math.isinf(x):
        return 0.0
    half = x / 2
    odd = df % 2
    total = math.erfc(math.sqrt(half)) if odd else 0.0
    total += math.fsum(
        math.exp((j + odd / 2) * math.log(half) - half - math.lgamma(j + 1 + odd / 2)) for j in range(df // 2)
    )
    return min(1.0, total)
