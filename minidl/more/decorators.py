"""A context manager as a decorator, of generator functions too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable


def decorated(function: Callable, switch: Callable) -> Callable:
    """`function` with its body under ``switch()``, a context manager of its own at each call, for
    threads may share the function. Raises TypeError for an async function."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__name__}: an async function cannot be decorated, others "
                        "run while it waits; write `with` blocks without await in its body")
    if inspect.isgeneratorfunction(function):
        @functools.wraps(function)
        def inside(*args, **kwargs):
            return (yield from _stepped(switch, function(*args, **kwargs)))
    else:
        @functools.wraps(function)
        def inside(*args, **kwargs):
            with switch():
                return function(*args, **kwargs)
    return inside


def _stepped(switch: Callable, body):
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
