"""Whether a graph is recorded: asked, and set from a value."""

from __future__ import annotations

from collections.abc import Callable

from ..modes import Switch, mode


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


def enable_grad(function: Callable | None = None):
    """Record a graph inside, also within :func:`no_grad`."""
    switch = Switch("grad", True)
    return switch if function is None else switch(function)
