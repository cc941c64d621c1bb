"""Optimizer: at each step, every parameter that has a gradient is moved by an update rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..checks.groups import group_options, groups_of, parameters_of
from ..device import move, namespace
from ..kernels import together
from ..modes import mode, setting, tell
from ..tensor import Tensor
from .more.clearing import clear_gradients
from .more.optimizer_methods import OptimizerMethods
from .optimizer_state import OptimizerState


class Optimizer(OptimizerState, OptimizerMethods):
    """Keeps parameters in groups, each with its own options, and the state of each parameter.

    `params`: tensors, or dicts with "params" and the options of that group alone. A parameter that
    is frozen (``requires_grad`` False) or has no gradient (``grad`` None, which is not zero) is
    left out exactly: no step counted, no decay, no momentum. A subclass defines ``_update``, which
    moves the array p of one parameter, and ``_start``, its first state, or ``_zeros``.
    Raises ValueError for a parameter given twice and for an option out of its range.
    """

    _zeros: tuple[str, ...] = ()       # a parameter's state: names of arrays like p, zero at first
    _decoupled = False                 # does _update decay p itself, apart from the gradient?

    def __init__(self, params: Iterable, **defaults: Any):
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[dict[str, Any]] = []
        for group in groups_of(type(self).__name__, params):
            self.add_param_group(group)
        tell("optimizer_made", self)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; options that are not given are the optimiser's own."""
        name = type(self).__name__
        params = parameters_of(name, param_group, set(self._parameters()))
        group = {**self.defaults, **param_group, "params": params}
        self.param_groups.append(self._checked(name, group))

    def _checked(self, name: str, group: dict[str, Any]) -> dict[str, Any]:
        return group_options(name, type(self).__name__, group, self.defaults, self._decoupled)

    def _parameters(self) -> Iterator[Tensor]:
        return (p for group in self.param_groups for p in group["params"])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients (or set them to zero)."""
        if set_to_none is True:
            for param in self._parameters():
                param._grad = None
        else:
            clear_gradients(self._parameters(), set_to_none)

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Move every parameter that has a gradient. `closure`, if given, computes loss and
        gradients first; its loss is returned."""
        loss = None if closure is None else self._loss_of(closure)
        moved = [(param, group) for group in self.param_groups for param in group["params"]
                 if param._requires_grad and param._grad is not None]
        first = moved[0][0].data if moved else None
        for w in mode.watchers:
            w.update_begins(self, moved)
        done = None                    # what watchers hear when an update fails
        try:                           # no graph; on a GPU (where `first` is) in few launches
            with setting(False, mode.hidden), together(first), np.errstate(all="ignore"):
                for param, group in moved:
                    self._step(param, group)
            done = moved
        finally:
            for w in mode.watchers[::-1]:
                w.update_ends(self, done)
        return loss

    def _step(self, param: Tensor, group: dict[str, Any]) -> None:
        p, g, state = param.data, param._grad.data, self.state.get(param)
        if state is None:
            state = self.state[param] = {"step": 0, **self._start(p, group)}
        for key, value in state.items():         # model.to(...) may have converted the parameter
            if hasattr(value, "dtype") and (value.device != p.device or value.dtype != p.dtype):
                state[key] = move(value, param.device).astype(p.dtype, copy=False)
        state["step"] += 1
        if group.get("weight_decay") and not self._decoupled:
            g = g + group["weight_decay"] * p            # the gradient of weight_decay / 2 * |p|^2
        self._update(p, g, state, group)
        param.changed()

    def _start(self, p, group: dict[str, Any]) -> dict[str, Any]:
        return {name: namespace(p).zeros_like(p) for name in self._zeros}

    def _update(self, p, g, state: dict[str, Any], group: dict[str, Any]) -> None:
        raise NotImplementedError(f"{type(self).__name__}: define _update(self, p, g, state, "
                                  "group)")
