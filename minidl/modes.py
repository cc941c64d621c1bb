"""Switches of the current thread: is a graph being recorded, and who watches.

Each is a context manager and a decorator, of generator functions too.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager

import numpy as np


class _Mode(threading.local):
    """Switches of the current thread."""

    grad = True          # is a graph being recorded?
    watchers = ()        # whom the engine tells what happens: see watch.py
    hidden = ()          # whom it tells nothing of ops, those that a backward pass calls


mode = _Mode()

# inf and nan are values, so NumPy shall not warn of them where an op runs. What NumPy warns of is a
# variable of the context (contextvars): an op of the library runs in a copy of this context, which
# costs a fraction of ``with np.errstate(...)``. A user's op keeps the context that it is called in.
silent = contextvars.copy_context()
silent.run(np.seterr, all="ignore")


@contextmanager
def setting(grad: bool, hidden: tuple) -> Iterator[None]:
    """Both set inside a ``with`` block of the engine."""
    before, mode.grad, mode.hidden = (mode.grad, mode.hidden), grad, hidden
    try:
        yield
    finally:
        mode.grad, mode.hidden = before


class Switch(ContextDecorator):
    """Set one field of `mode` inside a ``with`` block or a decorated function (a generator's body
    too). Raises TypeError for an async function."""

    def __init__(self, field: str, value):
        self._field, self._value, self._before = field, value, []     # a list: blocks may nest

    def __enter__(self):
        self._before.append(getattr(mode, self._field))
        setattr(mode, self._field, self._value)
        return self

    def __exit__(self, *exc):
        setattr(mode, self._field, self._before.pop())

    def _recreate_cm(self):
        """ContextDecorator's hook: a decorated function gets a switch of its own at each call, for
        threads may share the function."""
        return Switch(self._field, self._value)

    def __call__(self, function):
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function.__name__}: an async function cannot be decorated, others "
                            "run while it waits; write `with` blocks without await in its body")
        if not inspect.isgeneratorfunction(function):
            return super().__call__(function)

        @functools.wraps(function)
        def generator(*args, **kwargs):
            return (yield from _inside(self._recreate_cm, function(*args, **kwargs)))
        return generator


def _inside(switch: Callable, body):
    """The generator `body`, each of its steps run under ``switch()``: between them the caller's
    own mode holds."""
    go_on, sent = body.send, None
    while True:
        try:
            with switch():
                result = go_on(sent)
        except StopIteration as end:
            return end.value
        try:
            go_on, sent = body.send, (yield result)
        except GeneratorExit:
            with switch():
                body.close()
            raise
        except BaseException as error:
            go_on, sent = body.throw, error


def no_grad(function: Callable | None = None):
    """Record no graph inside: ``with no_grad(): p -= lr * p.grad``, or as a decorator, with or
    without parentheses."""
    return _switch("grad", False, function)


def enable_grad(function: Callable | None = None):
    """Record a graph inside, also within :func:`no_grad`."""
    return _switch("grad", True, function)


def _switch(field: str, value, function: Callable | None):
    switch = Switch(field, value)
    return switch if function is None else switch(function)


class set_grad_enabled(Switch):
    """``set_grad_enabled(False)`` switches at once; a ``with`` block of it switches back after it,
    as a decorator it holds inside the function."""

    def __init__(self, enabled: bool):
        super().__init__("grad", bool(enabled))
        super().__enter__()

    def __enter__(self):
        return self

    def __call__(self, function):
        self.__exit__()                    # as a decorator it must not have switched yet
        return super().__call__(function)


def is_grad_enabled() -> bool:
    """Is a graph being recorded in this thread?"""
    return mode.grad
