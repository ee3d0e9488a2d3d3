"""What this machine can do just now, so that limits on CPU time hold on a slow or busy one too."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def stint() -> float:
    """CPU seconds of a fixed piece of work in plain Python (about 0.1 s on a desk PC of 2020)."""
    began = time.process_time()
    seen: dict[str, int] = {}
    for number in range(60_000):
        text = hashlib.sha256(f"{number:05d}".encode()).hexdigest()
        seen[text[:16].upper()] = len(text.strip("0"))
    return time.process_time() - began


def in_stints(work: Callable[[], T]) -> tuple[T, float]:
    """Do ``work`` once; its CPU time in stints, measured before and behind it (the slower one counts)."""
    before = stint()
    began = time.process_time()
    result = work()
    spent = time.process_time() - began
    return result, spent / max(before, stint())
