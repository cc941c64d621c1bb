"""How parameters are moved along their gradients, under PyTorch's names.

An update rule is a small function of plain arrays that looks like its formula and changes them in
place; the classes around it only keep each parameter's state. A parameter that is frozen
(``requires_grad`` False) or has no gradient (``grad`` None, which is not zero) is left out exactly:
no step counted, no decay, no momentum.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import checks
from ..checks.arguments import arguments
from ..checks.arrays import numbers
from ..device import is_array, move, namespace, to_host
from ..kernels import replaceable, together
from ..modes import enable_grad, mode, no_grad, setting
from ..tensor import Tensor
from ..watch import tell
from .more.schedules import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR

__all__ = ["Adagrad", "Adam", "AdamW", "CosineAnnealingLR", "LRScheduler", "OneCycleLR",
           "Optimizer", "RMSprop", "SGD", "StepLR", "clear_gradients", "clip_grad_norm_",
           "clip_grad_value_", "lr_scheduler"]


# --------------------------------------------------------------------------- update rules
# p parameter, g gradient, t number of the step (from 1); the other arrays are state, zero at first.
@replaceable("p", "g", smallest=1)
def _sgd(p, g, lr):
    """p <- p - lr g"""
    p -= lr * g


@replaceable("p", "g", "b", smallest=1)
def _sgd_momentum(p, g, b, lr, momentum, share, nesterov):
    """b <- momentum b + share g;  p <- p - lr b, or, looking ahead, p - lr (g + momentum b)"""
    b *= momentum
    b += share * g
    p -= lr * (g + momentum * b) if nesterov else lr * b


@replaceable("p", "g", "v", smallest=1)
def _rmsprop(p, g, v, lr, alpha, eps):
    """v <- alpha v + (1 - alpha) g^2;  p <- p - lr g / (sqrt(v) + eps)"""
    v *= alpha
    v += (1 - alpha) * g * g
    p -= lr * g / (namespace(v).sqrt(v) + eps)


@replaceable("p", "g", "m", "v", smallest=1)
def _adam(p, g, m, v, t, lr, beta1, beta2, eps):
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  p <- p - lr m^ / (sqrt(v^) + eps)"""
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    m_part, v_part = 1 - beta1**t, 1 - beta2**t           # m^ = m / m_part, v^ = v / v_part
    p -= lr / m_part * m / (namespace(v).sqrt(v) / math.sqrt(v_part) + eps)


@replaceable("p", "g", "s", smallest=1)
def _adagrad(p, g, s, lr, eps):
    """s <- s + g^2;  p <- p - lr g / (sqrt(s) + eps)"""
    s += g * g
    p -= lr * g / (namespace(s).sqrt(s) + eps)


# --------------------------------------------------------------------------- optimisers
# What an option may be: at least 0 and below this.
_BELOW = {"lr": math.inf, "initial_lr": math.inf, "eps": math.inf, "weight_decay": math.inf,
          "momentum": math.inf, "dampening": math.inf, "lr_decay": math.inf,
          "initial_accumulator_value": math.inf, "alpha": 1, "betas": 1}

# PyTorch's options that are not offered, each with the value that leaves the numbers as they are:
# groups may have them with that value. Those in the first line say only how PyTorch computes.
_NEUTRAL = {"foreach": ..., "fused": ..., "capturable": ...,
            "maximize": False, "amsgrad": False, "centered": False, "differentiable": False,
            "momentum": 0, "decoupled_weight_decay": False}
_MOST_STEPS = 2**53                                   # PyTorch counts in floats
_SQUARES = {"exp_avg_sq", "square_avg", "sum"}        # entries of a parameter's state
_LABELS = {"params", "name", "param_names", "initial_lr", "max_lr", "min_lr", "max_momentum",
           "base_momentum"}                  # what describes a group, and what schedules keep there


class Optimizer:
    """Keeps parameters in groups, each with its own options, and the state of each parameter.

    `params`: tensors, or dicts with "params" and the options of that group alone. A subclass
    defines ``_start`` (a parameter's first state) and ``_update`` (one step of one parameter).
    Raises ValueError for a parameter given twice and for an option out of its range.
    """

    def __init__(self, params: Iterable, **defaults: Any):
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[dict[str, Any]] = []
        if hasattr(params, "parameters"):
            raise TypeError(f"{type(self).__name__}: params is a module; give its parameters: "
                            f"{type(self).__name__}(model.parameters(), ...)")
        if isinstance(params, str) or not isinstance(params, Iterable):
            raise TypeError(f"{type(self).__name__}: params must be tensors or groups of them, got "
                            f"{checks.brief(params)}")
        groups = [params] if isinstance(params, (Tensor, dict)) else list(params)
        if not groups:
            raise ValueError(f"{type(self).__name__}: params is empty")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)
        tell("optimizer_made", self)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; options that are not given are the optimiser's own."""
        name = type(self).__name__
        params = param_group.get("params") if isinstance(param_group, dict) else None
        if isinstance(params, str) or not isinstance(params, Iterable):
            raise TypeError(f"{name}: a group must be a dict with tensors as its 'params', got "
                            f"{checks.brief(param_group)}")
        group = {**self.defaults, **param_group}
        group["params"] = [params] if isinstance(params, Tensor) else list(params)
        known = set(self._parameters())
        for p in group["params"]:
            if not isinstance(p, Tensor) or p.node is not None:
                raise TypeError(f"{name}: params must be leaf tensors, got "
                                f"{p._brief() if isinstance(p, Tensor) else type(p).__name__}")
            if p in known:
                raise ValueError(f"{name}: a parameter of shape {p.shape} is given twice")
            known.add(p)
        self.param_groups.append(self._checked(name, group))

    def _checked(self, name: str, group: dict[str, Any]) -> dict[str, Any]:
        """The options of a group, as plain numbers in their ranges, without those that have no
        effect. Raises TypeError or ValueError, naming it, for one that is no number or out of its
        range, and for one that is neither this optimiser's nor neutral."""
        kept = {}
        for key, value in group.items():
            if key in self.defaults or key in _LABELS:
                kept[key] = _in_range(f"{name}: {key}", key, value)
            elif not _neutral(key, value, self._decoupled):
                raise ValueError(f"{name}: {key}={value!r} is not offered by {type(self).__name__}")
        return kept

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

    def _loss_of(self, closure: Callable[[], Tensor]) -> Tensor:
        if not callable(closure):
            raise TypeError(f"{type(self).__name__}.step: closure must be a function, got "
                            f"{checks.brief(closure)}")
        with enable_grad():
            return closure()

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

    def __repr__(self):
        groups = [", ".join(f"{k}={v}" for k, v in group.items() if k != "params")
                  for group in self.param_groups]
        return f"{type(self).__name__}({'; '.join(groups)})"


def _has_form(state_dict) -> bool:
    """Are there dicts and lists where those of a state dict have them?"""
    state, groups = (state_dict.get(key) if isinstance(state_dict, dict) else None
                     for key in ("state", "param_groups"))
    return (isinstance(state, dict) and all(isinstance(entry, dict) for entry in state.values())
            and isinstance(groups, (list, tuple))
            and all(isinstance(group, dict) and isinstance(group.get("params"), (list, tuple))
                    for group in groups))


def _neutral(key: str, value, decoupled: bool) -> bool:
    """Does an option that this optimiser does not have leave its numbers as they are?"""
    if key == "decoupled_weight_decay":                   # of PyTorch's Adam: true for AdamW
        return bool(value) == decoupled
    neutral = _NEUTRAL.get(key)
    return value is None or neutral is ... or value == neutral


def _in_range(what: str, key: str, value):
    """An option as a plain number, or a pair, in the range of its name."""
    if key == "nesterov" and not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{what} must be True or False, got {checks.brief(value)}")
    if key not in _BELOW:
        return value
    if key != "betas":
        return checks.number(what, value, _BELOW[key])
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"{what} must be a pair of numbers, got {value!r}")
    return tuple(checks.number(what, beta, _BELOW[key]) for beta in value)


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


class SGD(Optimizer):
    """p <- p - lr g; with momentum b <- momentum b + (1 - dampening) g (at first b = g) and
    p <- p - lr b, or, ``nesterov``, p - lr (g + momentum b). Source: D0-SGD."""

    @arguments
    def __init__(self, params: Iterable, lr: float = 1e-3, momentum: float = 0.0,
                 dampening: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False):
        super().__init__(params, lr=lr, momentum=momentum, dampening=dampening,
                         weight_decay=weight_decay, nesterov=nesterov)

    def _checked(self, name, group):
        kept = super()._checked(name, group)
        if kept["nesterov"] and (kept["momentum"] == 0 or kept["dampening"] != 0):
            raise ValueError(f"{name}: nesterov needs a momentum and no dampening")
        return kept

    def _update(self, p, g, state, group):
        if not group["momentum"]:
            return _sgd(p, g, group["lr"])
        share = 1 - group["dampening"]
        if "momentum_buffer" not in state:
            state["momentum_buffer"], share = namespace(p).zeros_like(p), 1.0
        b = state["momentum_buffer"]
        _sgd_momentum(p, g, b, group["lr"], group["momentum"], share, group["nesterov"])


class RMSprop(Optimizer):
    """v <- alpha v + (1 - alpha) g^2,  p <- p - lr g / (sqrt(v) + eps).

    Keras calls alpha rho; ``rho=`` is taken too. Keras's defaults are lr=1e-3, rho=0.9, eps=1e-7,
    and D1's ``RMSprop(2e-4, 0.5)`` is ``RMSprop(params, 2e-4, rho=0.5, eps=1e-7)``.
    Source: D1-RMSPROP.
    """

    @arguments
    def __init__(self, params: Iterable, lr: float = 1e-2, alpha: float | None = None,
                 eps: float = 1e-8, weight_decay: float = 0.0, *, rho: float | None = None):
        if alpha is not None and rho is not None:
            raise ValueError(f"RMSprop: alpha={alpha} and rho={rho} are the same number; give one")
        alpha = 0.99 if alpha is None and rho is None else rho if alpha is None else alpha
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay)

    def _start(self, p, group):
        return {"square_avg": namespace(p).zeros_like(p)}

    def _update(self, p, g, state, group):
        v = state["square_avg"]
        _rmsprop(p, g, v, group["lr"], group["alpha"], group["eps"])


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  p <- p - lr m^ / (sqrt(v^) + eps),
    m^ = m / (1 - b1^t),  v^ = v / (1 - b2^t),  t = 1 at the first step.

    ``eps`` is 1e-8 as in PyTorch; Keras's is 1e-7. Source: D0-ADAM; Kingma, Ba (2015).
    """

    def __init__(self, params: Iterable, lr: float = 1e-3,
                 betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0):
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _start(self, p, group):
        zeros_like = namespace(p).zeros_like
        return {"exp_avg": zeros_like(p), "exp_avg_sq": zeros_like(p)}

    def _update(self, p, g, state, group):
        m, v = state["exp_avg"], state["exp_avg_sq"]
        _adam(p, g, m, v, state["step"], group["lr"], *group["betas"], group["eps"])


class AdamW(Adam):
    """Adam, with weight decay apart from the gradient: p <- (1 - lr weight_decay) p first.
    Loshchilov, Hutter (2019)."""

    _decoupled = True

    def __init__(self, params: Iterable, lr: float = 1e-3,
                 betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-2):
        super().__init__(params, lr, betas, eps, weight_decay)

    def _update(self, p, g, state, group):
        p *= 1 - group["lr"] * group["weight_decay"]
        super()._update(p, g, state, group)


class Adagrad(Optimizer):
    """s <- s + g^2,  p <- p - lr_t g / (sqrt(s) + eps),  lr_t = lr / (1 + (t - 1) lr_decay).
    Duchi, Hazan, Singer (2011)."""

    def __init__(self, params: Iterable, lr: float = 1e-2, lr_decay: float = 0.0,
                 weight_decay: float = 0.0, initial_accumulator_value: float = 0.0,
                 eps: float = 1e-10):
        super().__init__(params, lr=lr, lr_decay=lr_decay, weight_decay=weight_decay,
                         initial_accumulator_value=initial_accumulator_value, eps=eps)

    def _start(self, p, group):
        return {"sum": namespace(p).full_like(p, group["initial_accumulator_value"])}

    def _update(self, p, g, state, group):
        s, lr = state["sum"], group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"])
        _adagrad(p, g, s, lr, group["eps"])


# --------------------------------------------------------------------------- gradients
@arguments
def clear_gradients(parameters: Iterable[Tensor], set_to_none: bool = True) -> None:
    """Set every gradient to None, or to zero."""
    for p in parameters:
        if set_to_none:
            (p.node or p)._grad = None
        elif p.grad is not None:
            p.grad = p.grad.detach().zero_()


def _gradients(parameters) -> list[Tensor]:
    if hasattr(parameters, "parameters"):
        raise TypeError("clip_grad_norm_ and clip_grad_value_: parameters is a module; give its "
                        "parameters: clip_grad_norm_(model.parameters(), ...)")
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in parameters if p.grad is not None]


def _p_norm(xp, x, p: float):
    """(sum |x|^p)^(1/p), as m (sum (|x| / m)^p)^(1/p) with m = max |x|: no power is too large or
    too small for its dtype."""
    size = abs(x)
    top = size.max() if x.size else size.sum()
    if p == math.inf:
        return top
    scale = xp.where(xp.isfinite(top) & (top > 0), top, 1).astype(x.dtype)
    return scale * (((size / scale) ** p).sum(dtype=np.float64) ** (1 / p)).astype(x.dtype)


@arguments
@np.errstate(all="ignore")
def clip_grad_norm_(parameters, max_norm: float, norm_type: float = 2.0,
                    error_if_nonfinite: bool = False) -> Tensor:
    """g <- g min(1, max_norm / (|g| + 1e-6)), |g| the norm of all gradients as one vector.

    Returns |g| as it was. ``norm_type`` may be any p >= 1, or infinity. Raises RuntimeError, if
    asked to, when |g| is not finite.
    """
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm_: max_norm must be at least 0, got {max_norm}")
    if not norm_type >= 1:
        raise ValueError(f"clip_grad_norm_: norm_type must be at least 1, got {norm_type}")
    gradients = _gradients(parameters)
    if not gradients:
        return Tensor(0.0)
    xp = namespace(gradients[0].data)
    norm = _p_norm(xp, xp.stack([_p_norm(xp, g.data, norm_type) for g in gradients]), norm_type)
    if error_if_nonfinite and not bool(xp.isfinite(norm)):
        raise RuntimeError(f"clip_grad_norm_: the norm of the gradients is {float(norm)}")
    scale = xp.minimum(max_norm / (norm + 1e-6), 1)          # no branch: a GPU need not wait
    with no_grad():
        for g in gradients:
            g.mul_(scale)
    return Tensor(norm)


@arguments
def clip_grad_value_(parameters, clip_value: float) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value]."""
    if not clip_value >= 0:
        raise ValueError(f"clip_grad_value_: clip_value must be at least 0, got {clip_value}")
    with no_grad():
        for g in _gradients(parameters):
            g.clamp_(-clip_value, clip_value)


# --------------------------------------------------------------------------- learning rates
lr_scheduler = SimpleNamespace(LRScheduler=LRScheduler, StepLR=StepLR, OneCycleLR=OneCycleLR,
                               CosineAnnealingLR=CosineAnnealingLR)
"""PyTorch's place for the schedules: ``optim.lr_scheduler.StepLR``."""
