"""Kaplan–Meier's promises in one run.

* 1,200 curves in one pass, goal ≤ 0.3 s
* medians against exact fractions, goal 0 off

``python bench/survival.py [--rounds 7] [--json]``
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from bousai_kit.latency.survival import estimate_curves

CURVES = 1200
PEOPLE = 30_000


def draw(seed: int) -> tuple[Any, Any, Any]:
    """Durations in whole seconds, most of them tied; a fifth never answers, some leave earlier."""
    random = np.random.default_rng(seed)
    group = random.integers(0, CURVES, PEOPLE)
    waited = np.ceil(random.lognormal(4.5, 1.0, PEOPLE))
    cut = np.where(random.random(PEOPLE) < 0.2, random.integers(60, 1800, PEOPLE), 1800)
    never = random.random(PEOPLE) < 0.2
    observed = ~never & (waited <= cut)
    return np.where(observed, waited, cut).astype(float), observed, group


def exact_median(rows: list[tuple[float, bool]]) -> float | None:
    """The first t with S(t) ≤ 1/2, in fractions."""
    rows.sort()
    silent, at_risk, place = Fraction(1), len(rows), 0
    while place < len(rows):
        t, died, left = rows[place][0], 0, 0
        while place < len(rows) and rows[place][0] == t:
            died += rows[place][1]
            left += 1
            place += 1
        silent *= Fraction(at_risk - died, at_risk)
        if silent <= Fraction(1, 2):
            return t
        at_risk -= left
    return None


def main() -> int:
    """Print the numbers; exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    names = [f"g{i}" for i in range(CURVES)]
    took, off, halves = [], 0, 0
    for seed in range(given.rounds):
        duration, observed, group = draw(seed)
        began = time.perf_counter()
        curves = estimate_curves(duration, observed, group, names)
        medians = [curve.median_s for curve in curves]
        took.append(time.perf_counter() - began)
        rows: list[list[tuple[float, bool]]] = [[] for _ in names]
        for t, seen, g in zip(duration.tolist(), observed.tolist(), group.tolist(), strict=True):
            rows[g].append((t, seen))
        off += sum(found != exact_median(own) for found, own in zip(medians, rows, strict=True))
        halves += sum(bool((abs(curve.survival - 0.5) < 1e-9).any()) for curve in curves)
    ok = statistics.median(took) <= 0.3 and off == 0
    if given.json:
        print(json.dumps({"ok": ok, "seconds": took, "off": off, "curves": CURVES * given.rounds}))
    else:
        low, middle, high = min(took), statistics.median(took), max(took)
        print(f"{CURVES:,} curves of {PEOPLE:,} people: {low:.3f} / {middle:.3f} / {high:.3f} s (goal ≤ 0.3)")
        print(
            f"medians off against exact fractions: {off} of {CURVES * given.rounds:,} "
            f"(S is exactly 1/2 in {halves:,} of them; goal 0)"
        )
        print("goals met" if ok else "GOAL MISSED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
