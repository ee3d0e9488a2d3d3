"""Ctrl-C and SIGTERM: the first lets what is under way end, the second does not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from bousai_kit.cli._terminal import note

__all__ = ["at_the_keyboard", "stop_on_signal", "typed_line"]

SAID = (
    "中断を受け付けました。送信中のものが終わりしだい止まります（順番待ちがあると 1 分ほどかかります）。"
    "すぐに止めるには、もう一度 Ctrl-C を押してください。"
)


@contextlib.contextmanager
def stop_on_signal() -> Iterator[asyncio.Event]:
    """An event that the first signal sets; the second, and any after this block, cancels the task."""
    stop, task, inside = asyncio.Event(), asyncio.current_task(), True

    def signalled() -> None:
        if inside and not stop.is_set():
            stop.set()
            note(f"\n{SAID}")
        elif task is not None:
            task.cancel()

    restore = _listen(signalled)
    try:
        yield stop
    finally:
        inside = False
        restore()


@contextlib.contextmanager
def at_the_keyboard() -> Iterator[None]:
    """While something is typed the loop stands still and hears of no signal: each raises at once.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C, or SIGTERM.
    """

    def leave(*_: object) -> NoReturn:
        note("")  # what was being typed keeps its line
        raise KeyboardInterrupt

    before: dict[signal.Signals, Any] = {}
    try:
        with contextlib.suppress(ValueError):  # not the main thread: no signal comes here
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, leave)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def typed_line(prompt: str) -> str:
    """What somebody types behind the prompt, up to Enter."""
    with at_the_keyboard():
        sys.stderr.write(prompt)
        sys.stderr.flush()
        if os.name == "posix":  # a signal that comes just before a read begins would not end it
            with contextlib.suppress(AttributeError, OSError, ValueError):  # no real file
                while not select.select([sys.stdin.fileno()], [], [], 0.2)[0]:
                    pass
        return sys.stdin.readline().strip()


def _listen(signalled: Callable[[], None]) -> Callable[[], None]:
    """Have both signals call it; gives back what undoes that where the loop itself cannot listen."""
    loop = asyncio.get_running_loop()
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, signalled)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows; a thread
        return _listen_without_loop(loop, signalled)
    return lambda: None  # they stay, and cancel


def _listen_without_loop(
    loop: asyncio.AbstractEventLoop, signalled: Callable[[], None]
) -> Callable[[], None]:
    try:
        before = signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(signalled))
    except ValueError:  # not the main thread: nobody presses anything here
        return lambda: None

    def restore() -> None:
        signal.signal(signal.SIGINT, before)

    return restore
