"""What a command prints: one JSON document or a text on stdout, everything else on stderr."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from enum import Enum
from typing import Any

__all__ = ["Bar", "emit", "emit_ready", "emitted", "forget", "note", "plain"]

_printed = False


def plain(value: Any) -> Any:
    """Make a value fit for JSON: times as ISO 8601, paths as text, what is not finite as null."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "item"):  # numpy's scalars
        return plain(value.item())
    raise TypeError(f"{type(value).__name__} does not belong into JSON")


def emit(document: Any, text: str | Callable[[], str], as_json: bool) -> None:
    """Print the result: one JSON document, or the text for people."""
    global _printed
    _printed = True
    if as_json:
        print(json.dumps(plain(document), ensure_ascii=False, allow_nan=False), flush=True)
    else:
        shown = text() if callable(text) else text
        if shown:
            print(shown, flush=True)


def emit_ready(document: Mapping[str, Any]) -> None:
    """Print the one line that says a server is ready (with and without ``--json``)."""
    emit(document, "", True)


def emitted() -> bool:
    """Whether this command has printed its result."""
    return _printed


def forget() -> None:
    """A new command line begins."""
    global _printed
    _printed = False


def note(sentence: str) -> None:
    """Say something on stderr."""
    print(sentence, file=sys.stderr, flush=True)


SAY_AGAIN_S = 30.0


class Bar:
    """How far something is, on stderr: redrawn in place on a terminal, a few lines elsewhere.

    Parameters
    ----------
    label : str
        What is being done.
    total : int
        Steps; may be set again later through `update`.
    """

    width = 30

    def __init__(self, label: str, total: int = 0) -> None:
        self.label = label
        self.total = total
        self.done = 0
        self._drawn_at = -1.0
        self._shown = (-1, "")  # quarter, and what was being done
        self._terminal = sys.stderr.isatty()
        self._closed = False

    def update(self, done: int, total: int | None = None, detail: str = "") -> None:
        """Show the new state, at most ten times a second.

        Elsewhere than on a terminal: every quarter, when something else is being done (the first word of
        `detail`), and each half minute.
        """
        self.done, self.total = done, self.total if total is None else total
        share = min(1.0, done / self.total) if self.total else 0.0
        counts = f"{done:,}/{self.total:,}" if self.total else f"{done:,}"  # nobody knows yet of how many
        counts += f" {detail}" if detail else ""
        now, doing = time.monotonic(), (int(share * 4), detail.partition("（")[0].partition(" ")[0])
        if self._terminal:
            if now - self._drawn_at < 0.1 and done < self.total:
                return
            self._drawn_at = now
            full = round(share * self.width)
            drawn = "#" * full + "-" * (self.width - full)
            sys.stderr.write(f"\r{self.label} [{drawn}] {counts}\x1b[K")
        elif doing != self._shown or now - self._drawn_at >= SAY_AGAIN_S:
            self._shown, self._drawn_at = doing, now
            sys.stderr.write(f"{self.label} {counts}\n")
        sys.stderr.flush()

    @contextlib.contextmanager
    def interrupted(self, what: str) -> Iterator[None]:
        """Close it at the end; when that is an interruption, say how far it was."""
        try:
            yield
        except (KeyboardInterrupt, asyncio.CancelledError):
            self.close()
            far = f"{self.done:,}/{self.total:,} 件まで進んで" if self.done else "始まる前に"
            note(f"{what}は、{far}止まりました。")
            raise
        finally:
            self.close()

    def close(self) -> None:
        """Leave the line as it is and go to the next."""
        if self._terminal and self.done and not self._closed:
            sys.stderr.write("\n")
            sys.stderr.flush()
        self._closed = True
