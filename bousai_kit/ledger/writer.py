"""The one thread of a process that writes: whatever waits goes into one durable commit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

__all__ = ["Writer"]

Job = tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]


class Writer:
    """Runs jobs one after the other in a daemon thread.

    Parameters
    ----------
    finish : callable
        Called in the thread at its end.
    """

    def __init__(self, finish: Callable[[], None]) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(
            target=_work, args=(self._jobs, finish), name="ledger writer", daemon=True
        )
        self._thread.start()

    def submit(self, job: Callable[[], Any], deliver: Callable[[Any, BaseException | None], None]) -> None:
        """Run `job` in the thread; `deliver` gets its result or its error there."""
        self._jobs.put((job, deliver))

    def stop(self) -> None:
        """Let the thread end after what is queued; does not wait."""
        self._jobs.put(None)

    def join(self) -> None:
        """Wait for the thread's end."""
        self._thread.join()


def _work(jobs: SimpleQueue[Job | None], finish: Callable[[], None]) -> None:
    try:
        while (item := jobs.get()) is not None:
            job, deliver = item
            result, error = None, None
            try:
                result = job()
            except BaseException as raised:  # whatever it was, its caller is waiting for an answer
                error = raised
            deliver(result, error)
            del item, job, deliver, result, error  # keep nothing alive while waiting
    finally:
        finish()
