"""What a probed training step may change, kept before and put back after.

The step's own reach is searched: the object it is a method of, the variables it closes over, the
globals it names, its arguments. Whatever tensors, modules, optimisers, schedulers and generators
are found there are kept, however deep, up to MOST_CONTAINERS containers down.
"""

from __future__ import annotations

import inspect
import random as standard
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import random
from ..device import is_array
from ..nn.module import Module
from ..optim import Optimizer
from ..tape import now
from ..tensor import Tensor

MOST_CONTAINERS = 5


class Snapshot:
    """The state of everything that ``step(*args, **kwargs)`` can reach."""

    def __init__(self, step: Callable, args: tuple, kwargs: dict):
        self.seen: set[int] = set()
        self.undo: list[Callable[[], None]] = []
        self.kept: list[Any] = []
        python = standard.getstate()
        numpy = np.random.get_state()                  # noqa: NPY002 - the program may use it
        self.undo += [lambda: standard.setstate(python),
                      lambda: np.random.set_state(numpy)]                     # noqa: NPY002
        for value in (random.default_generator(), step, *args, *kwargs.values()):
            self._keep(value, MOST_CONTAINERS)

    def restore(self) -> None:
        """Put everything back."""
        for undo in self.undo:
            undo()

    def _keep(self, value: Any, depth: int) -> None:
        if id(value) in self.seen or depth < 0 or isinstance(value, (str, bytes, type)):
            return
        self.seen.add(id(value))
        self.kept.append(value)                        # so that no identity is used twice
        if isinstance(value, Tensor):
            self.tensor(value)
            return
        if isinstance(value, Optimizer):
            self._optimizer(value)
            for p in value._parameters():
                self._keep(p, depth)
            return
        if isinstance(value, random.Generator):
            state = value.get_state()
            self.undo.append(lambda: value.set_state(state))
        elif isinstance(value, (dict, list)):
            self._container(value)
        elif type(value).__module__ != "builtins" and hasattr(value, "__dict__") and not (
                inspect.ismodule(value) or inspect.isfunction(value)):
            self._container(vars(value))
        for inner in _reached_from(value):
            self._keep(inner, depth if isinstance(value, Module) else depth - 1)

    def tensor(self, t: Tensor) -> None:
        """Keep a tensor's numbers and gradient."""
        array, numbers, grad = t.data, t.data.copy(), t.grad if t.node is None else None
        wanted = t.requires_grad
        slope = None if grad is None else grad.data.copy()

        def undo() -> None:
            t.data = array
            if not (array == numbers).all():
                array[...] = numbers
                t._change_cell()[0] = now()
            t.history = None
            if t.node is None:
                t.requires_grad, t.grad = wanted, grad
                if grad is not None:
                    grad.data[...] = slope
        self.undo.append(undo)

    def _optimizer(self, optimizer: Optimizer) -> None:
        state = {p: {k: v.copy(order="K") if is_array(v) else v for k, v in entry.items()}
                 for p, entry in optimizer.state.items()}
        groups = [dict(group) for group in optimizer.param_groups]

        def undo() -> None:
            optimizer.state.clear()
            optimizer.state.update(state)
            for group, before in zip(optimizer.param_groups, groups):
                group.clear()
                group.update(before)
        self.undo.append(undo)

    def _container(self, values: dict | list) -> None:
        before = values.copy()

        def undo() -> None:
            if isinstance(values, dict):
                for key in values.keys() - before.keys():
                    del values[key]
                values.update(before)
            else:
                values[:] = before
        self.undo.append(undo)


def _reached_from(value: Any) -> Iterator[Any]:
    """What a function, a method, a container or an object leads to."""
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, (list, tuple, set)):
        yield from value
    elif inspect.ismethod(value):
        yield value.__self__
        yield value.__func__
    elif inspect.isfunction(value):
        value = inspect.unwrap(value)
        if (value.__module__ or "").split(".")[0] == __package__.split(".")[0]:
            return                                     # the library's own have nothing to put back
        yield from value.__defaults__ or ()
        yield from (value.__kwdefaults__ or {}).values()
        yield from inspect.getclosurevars(value).nonlocals.values()
        yield from (value.__globals__[name] for name in value.__code__.co_names
                    if name in value.__globals__)
    elif not inspect.ismodule(value) and hasattr(value, "__dict__") and not isinstance(
            value, random.Generator):
        yield from list(vars(value).values())
