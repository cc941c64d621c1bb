"""Switches of the current thread: is a graph being recorded, and who watches."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from .more.decorators import decorated

__all__ = ["Switch", "mode", "no_grad", "phase", "setting", "silent", "tell"]


class _Mode(threading.local):
    """Switches of the current thread."""

    grad = True          # is a graph being recorded?
    watchers = ()        # whom the engine tells what happens: see watch.py
    hidden = ()          # watchers that are not told of ops now, inside a backward pass


mode = _Mode()

# inf and nan are values, so NumPy shall not warn of them where an op runs. What NumPy warns of is a
# variable of the context (contextvars). An op of the library runs in a copy of this context, which
# costs a fraction of ``with np.errstate(...)``; in a copy, for a context runs one function at a
# time. A user's op keeps the context that it is called in.
silent = contextvars.copy_context()
silent.run(np.seterr, all="ignore")


@contextmanager
def setting(grad: bool, hidden: tuple) -> Iterator[None]:
    """``mode.grad`` and ``mode.hidden`` are these inside a ``with`` block of the engine."""
    before, mode.grad, mode.hidden = (mode.grad, mode.hidden), grad, hidden
    try:
        yield
    finally:
        mode.grad, mode.hidden = before


class Switch:
    """Set one field of `mode` inside a ``with`` block or a decorated function (a generator's body
    too)."""

    def __init__(self, field: str, value):
        self._field, self._value, self._before = field, value, []     # a list: blocks may nest

    def __enter__(self):
        self._before.append(getattr(mode, self._field))
        setattr(mode, self._field, self._value)
        return self

    def __exit__(self, *exc):
        setattr(mode, self._field, self._before.pop())

    def _again(self):
        """A switch of its own for each call of a decorated function."""
        return Switch(self._field, self._value)

    def __call__(self, function: Callable) -> Callable:
        return decorated(function, self._again)


def no_grad(function: Callable | None = None):
    """Record no graph inside: ``with no_grad(): p -= lr * p.grad``, or as a decorator, with or
    without parentheses."""
    switch = Switch("grad", False)
    return switch if function is None else switch(function)


# --------------------------------------------------------------------------- whoever watches
def tell(event: str, *facts) -> None:
    """Tell this thread's watchers: the one that came first is told first, and of an end last."""
    there = mode.watchers
    for watcher in there[::-1] if event.endswith("_ends") else there:
        getattr(watcher, event)(*facts)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """What runs inside is a phase of training: ``with phase("augmentation"): ...``, or as a
    decorator."""
    tell("phase_begins", name)
    try:
        yield
    finally:
        tell("phase_ends", name)
