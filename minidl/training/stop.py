"""Signals that ask a program to stop: Ctrl-C, a system that shuts down, a terminal that is closed.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

# Windows has no SIGHUP.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP")
           if hasattr(signal, name)]


class Stopped(KeyboardInterrupt):
    """Training stopped, after a checkpoint, since a signal asked for it. ``status`` is the exit
    status that says so: 128 + the signal's number."""

    def __init__(self, number: int, how_to_go_on: str = "") -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}{how_to_go_on}")
        self.status = 128 + number


@contextlib.contextmanager
def noted() -> Iterator[list[int]]:
    """A list that the first signal fills, so that a step is finished before the program stops; the
    second signal is at once."""
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:
        asked.append(number)
        restore()

    with _handled(note, SIGNALS) as restore:
        yield asked


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Every signal but Ctrl-C, of which Python makes a KeyboardInterrupt, becomes a Stopped."""
    def stop(number: int, frame: Any) -> None:
        raise Stopped(number)

    with _handled(stop, SIGNALS[1:]):
        yield


@contextlib.contextmanager
def _handled(handler: Callable, numbers: list[int]) -> Iterator[Callable[[], None]]:
    """Handle these signals, but SIGTERM and SIGHUP not where they are ignored, as `nohup` has it
    (SIGINT is handled even then). Gives what restores the handlers of before. Python lets only the
    main thread do so."""
    before: dict[int, Any] = {}

    def restore() -> None:
        while before:
            signal.signal(*before.popitem())

    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            was = signal.getsignal(number)
            if number == signal.SIGINT or was != signal.SIG_IGN:
                before[number] = was or (signal.default_int_handler if number == signal.SIGINT
                                         else signal.SIG_DFL)
                signal.signal(number, handler)
    try:
        yield restore
    finally:
        restore()
