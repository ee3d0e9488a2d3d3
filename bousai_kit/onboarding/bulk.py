"""Making very many objects at once."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["collecting_later"]


@contextlib.contextmanager
def collecting_later() -> Iterator[None]:
    """While entered, the collector of cycles rests: 30,000 people of a plan are none, and looking through
    them again and again takes longer than making them. Enter it only where nothing is awaited.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
