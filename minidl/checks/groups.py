"""The groups of parameters that an optimiser is given: are the parameters tensors that can be
moved, and are the options numbers in their ranges?"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from typing import Any

import numpy as np

from ..tensor import Tensor
from . import brief, number

# What an option may be: at least 0 and below this.
BELOW = {"lr": math.inf, "initial_lr": math.inf, "eps": math.inf, "weight_decay": math.inf,
          "momentum": math.inf, "dampening": math.inf, "lr_decay": math.inf,
          "initial_accumulator_value": math.inf, "alpha": 1, "betas": 1}

# PyTorch's options that are not offered, each with the value that leaves the numbers as they are:
# groups may have them with that value. Those in the first line say only how PyTorch computes.
_NEUTRAL = {"foreach": ..., "fused": ..., "capturable": ...,
            "maximize": False, "amsgrad": False, "centered": False, "differentiable": False,
            "momentum": 0}
_LABELS = {"params", "name", "param_names", "initial_lr", "max_lr", "min_lr", "max_momentum",
           "base_momentum"}                  # what describes a group, and what schedules keep there


def groups_of(name: str, params) -> list[dict[str, Any]]:
    """What the optimiser `name` is given, as a list of groups: dicts with tensors as "params"."""
    if hasattr(params, "parameters"):
        raise TypeError(f"{name}: params is a module; give its parameters: "
                        f"{name}(model.parameters(), ...)")
    if isinstance(params, str) or not isinstance(params, Iterable):
        raise TypeError(f"{name}: params must be tensors or groups of them, got {brief(params)}")
    groups = [params] if isinstance(params, (Tensor, dict)) else list(params)
    if not groups:
        raise ValueError(f"{name}: params is empty")
    return groups if isinstance(groups[0], dict) else [{"params": groups}]


def parameters_of(name: str, group, known: Container[Tensor]) -> list[Tensor]:
    """The parameters of a group. Raises TypeError for what is no leaf tensor, ValueError for a
    parameter that is `known` already or given twice."""
    params = group.get("params") if isinstance(group, dict) else None
    if isinstance(params, str) or not isinstance(params, Iterable):
        raise TypeError(f"{name}: a group must be a dict with tensors as its 'params', got "
                        f"{brief(group)}")
    params, seen = [params] if isinstance(params, Tensor) else list(params), set()
    for p in params:
        if not isinstance(p, Tensor) or p.node is not None:
            raise TypeError(f"{name}: params must be leaf tensors, got "
                            f"{p._brief() if isinstance(p, Tensor) else type(p).__name__}")
        if p in known or p in seen:
            raise ValueError(f"{name}: a parameter of shape {p.shape} is given twice")
        seen.add(p)
    return params


def group_options(name: str, kind: str, group: dict[str, Any], defaults: dict[str, Any],
                  decoupled: bool) -> dict[str, Any]:
    """The options of a group as plain numbers in their ranges, without those that have no effect.
    `kind` is the optimiser's class, `defaults` are its own options. Raises TypeError or ValueError,
    naming the option, for one that is no number or out of its range, and for one that is neither
    this optimiser's nor neutral."""
    kept = {}
    for key, value in group.items():
        if key in defaults or key in _LABELS:
            kept[key] = _in_range(f"{name}: {key}", key, value)
        elif not _neutral(key, value, decoupled):
            raise ValueError(f"{name}: {key}={value!r} is not offered by {kind}")
    return kept


def given_once(name: str, default: float, **names: float | None) -> float:
    """An option that has two names, under whichever of them the option is given, or its default.
    Raises ValueError if both are given."""
    given = [value for value in names.values() if value is not None]
    if len(given) > 1:
        said = " and ".join(f"{option}={value}" for option, value in names.items())
        raise ValueError(f"{name}: {said} are the same number; give one")
    return given[0] if given else default


def _in_range(what: str, key: str, value):
    """An option as a plain number, or a pair, in the range of its name."""
    if key == "nesterov" and not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{what} must be True or False, got {brief(value)}")
    if key not in BELOW:
        return value
    if key != "betas":
        return number(what, value, BELOW[key])
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"{what} must be a pair of numbers, got {value!r}")
    return tuple(number(what, beta, BELOW[key]) for beta in value)


def _neutral(key: str, value, decoupled: bool) -> bool:
    """Does an option that this optimiser does not have leave its numbers as they are?"""
    if key == "decoupled_weight_decay":                   # of PyTorch's Adam: true for AdamW
        return bool(value) == decoupled
    neutral = _NEUTRAL.get(key)
    return value is None or neutral is ... or value == neutral
