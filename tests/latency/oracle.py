"""Kaplan–Meier by exact fractions and plain loops: slow, and right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction


def survival(rows: Sequence[tuple[float, bool]]) -> list[tuple[float, Fraction, Fraction]]:
    """Time, S, sum of Greenwood's terms, at each distinct time."""
    found, s, greenwood = [], Fraction(1), Fraction(0)
    for t in sorted({t for t, _ in rows}):
        at_risk = sum(1 for other, _ in rows if other >= t)
        died = sum(1 for other, seen in rows if other == t and seen)
        s *= Fraction(at_risk - died, at_risk)
        if died and at_risk > died:
            greenwood += Fraction(died, at_risk * (at_risk - died))
        found.append((t, s, greenwood))
    return found


def quantile(rows: Sequence[tuple[float, bool]], share: Fraction = Fraction(1, 2)) -> float | None:
    return next((t for t, s, _ in survival(rows) if s <= 1 - share), None)


def limits(s: Fraction, greenwood: Fraction) -> tuple[float, float]:
    """log(−log) limits of S, 0 < S < 1."""
    spread = math.exp(1.959963984540054 * math.sqrt(greenwood) / -math.log(s))
    return float(s) ** spread, float(s) ** (1 / spread)


def rmst(rows: Sequence[tuple[float, bool]], until: Fraction) -> Fraction:
    """Area under S up to `until`, which must be followed."""
    area, last, height = Fraction(0), Fraction(0), Fraction(1)
    for t, s, _ in survival(rows):
        if t >= until:
            break
        area += (Fraction(t) - last) * height
        last, height = Fraction(t), s
    return area + (until - last) * height


def log_rank_two(a: Sequence[tuple[float, bool]], b: Sequence[tuple[float, bool]]) -> Fraction:
    """Chi-squared of two groups."""
    gap, variance = Fraction(0), Fraction(0)
    for t in sorted({t for t, seen in [*a, *b] if seen}):
        n1, n2 = (sum(1 for other, _ in group if other >= t) for group in (a, b))
        d1, d2 = (sum(1 for other, seen in group if other == t and seen) for group in (a, b))
        n, d = n1 + n2, d1 + d2
        gap += d1 - Fraction(d * n1, n)
        if n > 1:
            variance += Fraction(d * n1 * n2 * (n - d), n * n * (n - 1))
    return gap * gap / variance
