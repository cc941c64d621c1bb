"""What an optimiser saves so that a run can go on later, and how the optimiser takes it back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import checks
from ..checks.arrays import numbers
from ..device import is_array, move, namespace, to_host
from ..tensor import Tensor

_MOST_STEPS = 2**53                                   # PyTorch counts in floats
_SQUARES = {"exp_avg_sq", "square_avg", "sum"}        # entries of a parameter's state


class OptimizerState:
    """The part of :class:`minidl.optim.Optimizer` that saves and loads."""

    state: dict[Tensor, dict[str, Any]]
    param_groups: list[dict[str, Any]]
    _parameters: Callable[[], Iterator[Tensor]]
    _checked: Callable[..., dict[str, Any]]
    _start: Callable[..., dict[str, Any]]

    def state_dict(self) -> dict[str, Any]:
        """Numbers, lists and NumPy arrays (copies) that continue the run: ``state`` by the
        parameter's number, and ``param_groups`` with these numbers for the parameters."""
        number = {p: i for i, p in enumerate(self._parameters())}
        state = {number[p]: {key: to_host(value).copy() if is_array(value) else value
                             for key, value in entry.items()} for p, entry in self.state.items()}
        groups = [{**group, "params": [number[p] for p in group["params"]]}
                  for group in self.param_groups]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned, or PyTorch's. Raises ValueError, changing
        nothing, if groups, parameters or shapes differ, and for an option that is not offered and
        would change the numbers (``maximize=True``)."""
        name = f"{type(self).__name__}.load_state_dict"
        if not _has_form(state_dict):
            raise ValueError(f"{name}: state_dict must have 'state', a dict of dicts, and "
                             "'param_groups', a list of dicts with 'params', as state_dict() "
                             "returns them")
        groups, number = state_dict["param_groups"], itertools.count()
        given = [list(group["params"]) for group in groups]
        own = [[next(number) for _ in group["params"]] for group in self.param_groups]
        if given != own:
            sizes, wanted = ([len(part) for part in parts] for parts in (given, own))
            raise ValueError(f"{name}: groups of {sizes} parameters given, this "
                             f"optimiser has {wanted}" if sizes != wanted else
                             f"{name}: 'params' must number the parameters from 0 on, got "
                             f"{checks.brief(given)}")
        groups = [self._checked(name, {**own, **group})
                  for own, group in zip(self.param_groups, groups)]
        params, state = list(self._parameters()), {}
        started = [self._start(p.data, group)
                   for group, own in zip(groups, self.param_groups) for p in own["params"]]
        for number, entry in state_dict["state"].items():
            if isinstance(number, str) and number.isdecimal() and len(number) < 20:
                number = int(number)                      # JSON makes the numbers strings
            if checks.whole(f"{name}: the number of a parameter", number) >= len(params):
                raise ValueError(f"{name}: state of parameter {checks.brief(number)}, this "
                                 f"optimiser has {len(params)} parameters")
            p = params[number]
            state[p] = {key: _loaded(f"{name}: {key} of parameter {number}", p, key, value)
                        for key, value in entry.items() if value is not None}
            for key, value in started[number].items():
                if is_array(value) != is_array(state[p].get(key)):
                    raise ValueError(f"{name}: {key} of parameter {number} is missing, or of "
                                     "another kind")
            if "step" not in state[p] and started[number]:    # PyTorch's SGD does not count
                raise ValueError(f"{name}: step of parameter {number} is missing")
            state[p].setdefault("step", 0)
        self.state = state
        for group, saved in zip(self.param_groups, groups):
            group.update({key: value for key, value in saved.items() if key != "params"})


def _has_form(state_dict) -> bool:
    """Are there dicts and lists where those of a state dict have them?"""
    state, groups = (state_dict.get(key) if isinstance(state_dict, dict) else None
                     for key in ("state", "param_groups"))
    return (isinstance(state, dict) and all(isinstance(entry, dict) for entry in state.values())
            and isinstance(groups, (list, tuple))
            and all(isinstance(group, dict) and isinstance(group.get("params"), (list, tuple))
                    for group in groups))


def _loaded(what: str, p: Tensor, key: str, value):
    """One value of a saved state, the arrays copied to where p is."""
    value = value.data if isinstance(value, Tensor) else value
    if not is_array(value) and hasattr(value, "__array__"):    # a tensor of another library
        value = np.asarray(value)
    if key == "step":                                     # an array of float in PyTorch's files
        step = to_host(value).item() if is_array(value) and value.size == 1 else value
        step = checks.whole(what, int(step) if type(step) is float and step % 1 == 0 else step)
        if step > _MOST_STEPS:
            raise ValueError(f"{what} must be at most {_MOST_STEPS}, got {checks.brief(step)}")
        return step
    if not (is_array(value) or isinstance(value, (tuple, list))):
        if key == "momentum_buffer":
            raise TypeError(f"{what} must be an array, got {checks.brief(value)}")
        return value
    if is_array(value) and value.dtype.kind != p.dtype.kind:
        raise ValueError(f"{what} is of dtype {value.dtype}, the parameter of {p.dtype}")
    value = numbers(what, value, p.dtype)
    if value.shape != p.shape:
        raise ValueError(f"{what} has shape {value.shape}, the parameter {p.shape}")
    if key in _SQUARES and (value < 0).any():
        raise ValueError(f"{what} is a mean or sum of squares and has negative numbers")
    value, copy = move(value, p.device), namespace(p.data).empty_like(p.data, dtype=value.dtype)
    copy[...] = value                                     # in the parameter's memory order
    return copy
