"""Optimizer: keeps the parameters in groups, and moves every one that has a gradient at each step.

A parameter that is frozen (``requires_grad`` False) or has no gradient (``grad`` None, which is not
zero) is left out exactly: no step counted, no decay, no momentum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..checks.arguments import arguments
from ..checks.groups import group_options, groups_of, parameters_of
from ..device import move
from ..kernels import together
from ..modes import mode, setting, tell
from ..tensor import Tensor
from .more.optimizer_methods import OptimizerMethods
from .optimizer_state import OptimizerState


class Optimizer(OptimizerState, OptimizerMethods):
    """Keeps parameters in groups, each with its own options, and the state of each parameter.

    `params`: tensors, or dicts with "params" and the options of that group alone. A subclass
    defines ``_start`` (a parameter's first state) and ``_update`` (one step of one parameter).
    Raises ValueError for a parameter given twice and for an option out of its range.
    """

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
        clear_gradients(self._parameters(), set_to_none)

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Move every parameter that has a gradient. `closure`, if given, computes loss and
        gradients first; its loss is returned."""
        loss = None if closure is None else self._loss_of(closure)
        moved = [(p, group) for group in self.param_groups for p in group["params"]
                 if p._requires_grad and p._grad is not None]
        for w in mode.watchers:
            w.update_begins(self, moved)
        done = None
        try:
            with (setting(False, mode.hidden), together(moved[0][0].data if moved else None),
                  np.errstate(all="ignore")):                        # inf and nan are values
                for p, group in moved:
                    self._step(p, group)
            done = moved
        finally:
            for w in mode.watchers[::-1]:
                w.update_ends(self, done)
        return loss

    def _step(self, p: Tensor, group: dict[str, Any]) -> None:
        array, g, state = p.data, p._grad.data, self.state.get(p)
        if state is None:
            state = self.state[p] = {"step": 0, **self._start(array, group)}
        for key, value in state.items():             # the model may have moved: model.to(...)
            if getattr(value, "device", array.device) != array.device or (
                    getattr(value, "dtype", array.dtype) != array.dtype):
                state[key] = move(value, p.device).astype(array.dtype, copy=False)
        state["step"] += 1
        if group.get("weight_decay") and not self._decoupled:
            g = g + group["weight_decay"] * array    # the gradient of weight_decay / 2 * |p|^2
        self._update(array, g, state, group)
        p.changed()

    _decoupled = False

    def _start(self, p, group: dict[str, Any]) -> dict[str, Any]:
        return {}

    def _update(self, p, g, state: dict[str, Any], group: dict[str, Any]) -> None:
        raise NotImplementedError(f"{type(self).__name__}: define _update(self, p, g, state, "
                                  "group)")


@arguments
def clear_gradients(parameters: Iterable[Tensor], set_to_none: bool = True) -> None:
    """Set every gradient to None, or to zero."""
    for p in parameters:
        if set_to_none:
            (p.node or p)._grad = None
        elif p.grad is not None:
            p.grad = p.grad.detach().zero_()
