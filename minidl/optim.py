"""How parameters are moved along their gradients, under PyTorch's names.

An update rule is a small function of plain arrays that looks like its formula and changes them in
place; the classes around it only keep each parameter's state. A parameter that is frozen
(``requires_grad`` False) or has no gradient (``grad`` None, which is not zero) is left out exactly:
no step counted, no decay, no momentum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

from . import checks
from .device import is_array, move, namespace, same_place, to_host
from .kernels import fast, together
from .tape import enable_grad, mode, no_grad
from .tensor import Tensor


# --------------------------------------------------------------------------- update rules
# p parameter, g gradient, t number of the step (from 1); the other arrays are state, zero at first.
def _sgd(p, g, lr):
    """p <- p - lr g"""
    p -= lr * g


def _sgd_momentum(p, g, b, lr, momentum, share, nesterov):
    """b <- momentum b + share g;  p <- p - lr b, or, looking ahead, p - lr (g + momentum b)"""
    b *= momentum
    b += share * g
    p -= lr * (g + momentum * b) if nesterov else lr * b


def _rmsprop(p, g, v, lr, alpha, eps):
    """v <- alpha v + (1 - alpha) g^2;  p <- p - lr g / (sqrt(v) + eps)"""
    v *= alpha
    v += (1 - alpha) * g * g
    p -= lr * g / (namespace(v).sqrt(v) + eps)


def _adam(p, g, m, v, t, lr, beta1, beta2, eps):
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  p <- p - lr m^ / (sqrt(v^) + eps)"""
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    m_part, v_part = 1 - beta1**t, 1 - beta2**t           # m^ = m / m_part, v^ = v / v_part
    p -= lr / m_part * m / (namespace(v).sqrt(v) / math.sqrt(v_part) + eps)


def _adagrad(p, g, s, lr, eps):
    """s <- s + g^2;  p <- p - lr g / (sqrt(s) + eps)"""
    s += g * g
    p -= lr * g / (namespace(s).sqrt(s) + eps)


# --------------------------------------------------------------------------- optimisers
# What an option may be: at least 0 and below this.
_BELOW = {"lr": math.inf, "initial_lr": math.inf, "eps": math.inf, "weight_decay": math.inf,
          "momentum": math.inf, "dampening": math.inf, "lr_decay": math.inf,
          "initial_accumulator_value": math.inf, "alpha": 1, "betas": 1}


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
        groups = [params] if isinstance(params, (Tensor, dict)) else list(params)
        if not groups:
            raise ValueError(f"{type(self).__name__}: params is empty")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; options that are not given are the optimiser's own."""
        name, group = type(self).__name__, {**self.defaults, **param_group}
        params = group["params"]
        group["params"] = [params] if isinstance(params, Tensor) else list(params)
        known = set(self._parameters())
        for p in group["params"]:
            if not isinstance(p, Tensor) or p.node is not None:
                raise TypeError(f"{name}: params must be leaf tensors, got "
                                f"{p._brief() if isinstance(p, Tensor) else type(p).__name__}")
            if p in known:
                raise ValueError(f"{name}: a parameter of shape {p.shape} is given twice")
            known.add(p)
        self.param_groups.append(_checked(name, group))

    def _parameters(self) -> Iterator[Tensor]:
        return (p for group in self.param_groups for p in group["params"])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients (or set them to zero)."""
        clear_gradients(self._parameters(), set_to_none)

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Move every parameter that has a gradient. `closure`, if given, computes loss and
        gradients first; its loss is returned."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        step, waiting = self._step, together(next((p.data for p in self._parameters()), None))
        if mode.watcher is not None:                # sees each update for itself
            step, waiting = partial(mode.watcher.update, self), nullcontext()
        with no_grad(), waiting:
            for group in self.param_groups:
                for p in group["params"]:
                    if p.requires_grad and p.grad is not None:
                        step(p, group)
        return loss

    def _step(self, p: Tensor, group: dict[str, Any]) -> None:
        array, g, state = p.data, p.grad.data, self.state.get(p)
        if state is None:
            state = self.state[p] = {"step": 0, **self._start(array, group)}
        kind = array.dtype
        for key, value in state.items():             # the model may have moved: model.to(...)
            if key != "step" and is_array(value) and (value.dtype != kind
                                                      or not same_place(value, array)):
                state[key] = move(value, p.device).astype(kind, copy=False)
        state["step"] += 1
        if group.get("weight_decay") and not self._decoupled:
            g = g + group["weight_decay"] * array    # the gradient of weight_decay / 2 * |p|^2
        self._update(array, g, state, group)
        p._write("step")                           # a graph that saved p must notice

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
        """Continue from what :meth:`state_dict` returned. Raises ValueError, changing nothing, if
        groups, parameters or shapes differ."""
        name = type(self).__name__
        groups = [_checked(f"{name}.load_state_dict", g) for g in state_dict["param_groups"]]
        sizes, own = ([len(g["params"]) for g in gs] for gs in (groups, self.param_groups))
        if sizes != own:
            raise ValueError(f"{name}.load_state_dict: groups of {sizes} parameters given, this "
                             f"optimiser has {own}")
        params, state = list(self._parameters()), {}
        for number, entry in state_dict["state"].items():
            if not 0 <= int(number) < len(params):        # int: JSON makes the numbers strings
                raise ValueError(f"{name}.load_state_dict: state of parameter {number}, this "
                                 f"optimiser has {len(params)} parameters")
            p = params[int(number)]
            state[p] = {key: _loaded(f"{name}.load_state_dict: {key} of parameter {number}", p, key,
                                     value) for key, value in entry.items() if value is not None}
            state[p].setdefault("step", 0)                # PyTorch's SGD does not count
            for key, value in self._start(p.data, self.defaults).items():
                if is_array(value) != is_array(state[p].get(key)):
                    raise ValueError(f"{name}.load_state_dict: {key} of parameter {number} is "
                                     "missing, or of another kind")
        self.state = state
        for group, saved in zip(self.param_groups, groups):
            group.update({key: value for key, value in saved.items() if key != "params"})

    def __repr__(self):
        groups = [", ".join(f"{k}={v}" for k, v in group.items() if k != "params")
                  for group in self.param_groups]
        return f"{type(self).__name__}({'; '.join(groups)})"


def _checked(name: str, group: dict[str, Any]) -> dict[str, Any]:
    """`group`, its options as plain numbers in their ranges."""
    plain = {}
    for key in group.keys() & _BELOW.keys():
        what, below = f"{name}: {key}", _BELOW[key]
        if key != "betas":
            plain[key] = checks.number(what, group[key], below)
        elif not isinstance(group[key], (tuple, list)) or len(group[key]) != 2:
            raise ValueError(f"{what} must be a pair of numbers, got {group[key]!r}")
        else:
            plain[key] = tuple(checks.number(what, beta, below) for beta in group[key])
    return {**group, **plain}


def _loaded(what: str, p: Tensor, key: str, value):
    """One value of a saved state, the arrays copied to where p is."""
    value = value.data if isinstance(value, Tensor) else value
    if key == "step":                                     # an array of float in PyTorch's files
        step = to_host(value).item() if is_array(value) and value.size == 1 else value
        return checks.whole(what, int(step) if type(step) is float and step % 1 == 0 else step)
    if not is_array(value):
        return value
    if value.dtype.kind != p.dtype.kind:
        raise ValueError(f"{what} is of dtype {value.dtype}, the parameter of {p.dtype}")
    if value.shape != p.shape:
        raise ValueError(f"{what} has shape {value.shape}, the parameter {p.shape}")
    value, copy = move(value, p.device), namespace(p.data).empty_like(p.data, dtype=value.dtype)
    copy[...] = value                                     # in the parameter's memory order
    return copy


class SGD(Optimizer):
    """p <- p - lr g; with momentum b <- momentum b + (1 - dampening) g (at first b = g) and
    p <- p - lr b, or, ``nesterov``, p - lr (g + momentum b). Source: D0-SGD."""

    def __init__(self, params: Iterable, lr: float = 1e-3, momentum: float = 0.0,
                 dampening: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False):
        super().__init__(params, lr=lr, momentum=momentum, dampening=dampening,
                         weight_decay=weight_decay, nesterov=nesterov)
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError("SGD: nesterov needs a momentum and no dampening")

    def _update(self, p, g, state, group):
        if not group["momentum"]:
            return fast(_sgd, p, g, smallest=1)(p, g, group["lr"])
        share = 1 - group["dampening"]
        if "momentum_buffer" not in state:
            state["momentum_buffer"], share = namespace(p).zeros_like(p), 1.0
        b = state["momentum_buffer"]
        fast(_sgd_momentum, p, g, b, smallest=1)(p, g, b, group["lr"], group["momentum"], share,
                                     group["nesterov"])


class RMSprop(Optimizer):
    """v <- alpha v + (1 - alpha) g^2,  p <- p - lr g / (sqrt(v) + eps).

    Keras calls alpha rho; ``rho=`` is taken too. Keras's defaults are lr=1e-3, rho=0.9, eps=1e-7,
    and D1's ``RMSprop(2e-4, 0.5)`` is ``RMSprop(params, 2e-4, rho=0.5, eps=1e-7)``.
    Source: D1-RMSPROP.
    """

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
        fast(_rmsprop, p, g, v, smallest=1)(p, g, v, group["lr"], group["alpha"], group["eps"])


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
        fast(_adam, p, g, m, v, smallest=1)(p, g, m, v, state["step"], group["lr"], *group["betas"],
                                group["eps"])


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
        fast(_adagrad, p, g, s, smallest=1)(p, g, s, lr, group["eps"])


# --------------------------------------------------------------------------- gradients
def clear_gradients(parameters: Iterable[Tensor], set_to_none: bool = True) -> None:
    """Set every gradient to None, or to zero."""
    for p in parameters:
        if set_to_none:
            p.grad = None
        elif p.grad is not None:
            p.grad = p.grad.detach().zero_()


def _gradients(parameters) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in parameters if p.grad is not None]


def clip_grad_norm_(parameters, max_norm: float, norm_type: float = 2.0,
                    error_if_nonfinite: bool = False) -> Tensor:
    """g <- g min(1, max_norm / (|g| + 1e-6)), |g| the norm of all gradients as one vector.

    Returns |g| as it was. ``norm_type`` may be any p >= 1, or infinity. Raises RuntimeError, if
    asked to, when |g| is not finite.
    """
    gradients = _gradients(parameters)
    if not gradients:
        return Tensor(0.0)
    xp = namespace(gradients[0].data)
    sizes = [abs(g.data) for g in gradients]
    if norm_type == math.inf:
        norm = xp.stack([s.max() for s in sizes if s.size]).max()
    else:
        norm = sum((s**norm_type).sum() for s in sizes) ** (1 / norm_type)
    if error_if_nonfinite and not bool(xp.isfinite(norm)):
        raise RuntimeError(f"clip_grad_norm_: the norm of the gradients is {float(norm)}")
    scale = xp.minimum(max_norm / (norm + 1e-6), 1)          # no branch: a GPU need not wait
    with no_grad():
        for g in gradients:
            g.mul_(scale)
    return Tensor(norm)


def clip_grad_value_(parameters, clip_value: float) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value]."""
    with no_grad():
        for g in _gradients(parameters):
            g.clamp_(-clip_value, clip_value)


# --------------------------------------------------------------------------- learning rates
class LRScheduler:
    """Sets each group's "lr" as a function of the number of ``step()`` calls (epochs, as a rule):
    a subclass defines ``_lr(base, t)``, base being the group's first learning rate."""

    def __init__(self, optimizer: Optimizer):
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.last_epoch = -1
        self.step()

    def step(self) -> None:
        """Go on by one step."""
        self.last_epoch += 1
        for group in self.optimizer.param_groups:
            self._set(group, self.last_epoch)

    def _set(self, group: dict[str, Any], t: int) -> None:
        group["lr"] = self._lr(group["initial_lr"], t)

    def _lr(self, base: float, t: int) -> float:
        raise NotImplementedError(f"{type(self).__name__}: define _lr(self, base, t)")

    def get_last_lr(self) -> list[float]:
        """Each group's learning rate now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, int]:
        """All there is to save; the optimiser's own state dict has the first learning rates."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        self.last_epoch = state_dict["last_epoch"] - 1
        self.step()


class StepLR(LRScheduler):
    """lr_t = lr gamma^floor(t / step_size)."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1):
        self.step_size = checks.whole("StepLR: step_size", step_size, 1)
        self.gamma = checks.number("StepLR: gamma", gamma)
        super().__init__(optimizer)

    def _lr(self, base, t):
        return base * self.gamma ** (t // self.step_size)


class CosineAnnealingLR(LRScheduler):
    """lr_t = eta_min + (lr - eta_min) (1 + cos(pi t / T_max)) / 2. Loshchilov, Hutter (2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0):
        self.T_max = checks.whole("CosineAnnealingLR: T_max", T_max, 1)
        self.eta_min = checks.number("CosineAnnealingLR: eta_min", eta_min)
        super().__init__(optimizer)

    def _lr(self, base, t):
        return _cosine(base, self.eta_min, t / self.T_max)


class OneCycleLR(LRScheduler):
    """From max_lr / div_factor up to max_lr in the first `pct_start` of all steps, then down to
    max_lr / div_factor / final_div_factor, along a cosine or a line; momentum (or Adam's beta1)
    goes the other way, from max_momentum to base_momentum and back. Stepped once a batch.
    Smith, Topin (2019)."""

    def __init__(self, optimizer: Optimizer, max_lr: float, total_steps: int | None = None,
                 epochs: int | None = None, steps_per_epoch: int | None = None,
                 pct_start: float = 0.3, anneal_strategy: str = "cos", cycle_momentum: bool = True,
                 base_momentum: float = 0.85, max_momentum: float = 0.95, div_factor: float = 25.0,
                 final_div_factor: float = 1e4):
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ValueError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError('OneCycleLR: anneal_strategy must be "cos" or "linear", got '
                             f"{anneal_strategy!r}")
        self.total_steps = epochs * steps_per_epoch if total_steps is None else total_steps
        self.total_steps = checks.whole("OneCycleLR: total_steps", self.total_steps)
        self.peak = checks.number("OneCycleLR: pct_start", pct_start) * self.total_steps - 1
        if not 0 < self.peak < self.total_steps - 1:
            raise ValueError(f"OneCycleLR: the peak at pct_start={pct_start} of {self.total_steps} "
                             "steps must lie after the first and before the last step")
        self.anneal = _cosine if anneal_strategy == "cos" else _line
        first = checks.number("OneCycleLR: max_lr", max_lr) / div_factor
        self.lrs = (first, max_lr, first / final_div_factor)
        self.momenta = (max_momentum, base_momentum, max_momentum) if cycle_momentum else None
        super().__init__(optimizer)

    def _at(self, levels: tuple[float, float, float], t: int) -> float:
        start, peak, end = levels
        if t <= self.peak:
            return self.anneal(start, peak, t / self.peak)
        return self.anneal(peak, end, (t - self.peak) / (self.total_steps - 1 - self.peak))

    def _set(self, group, t):
        if t > self.total_steps:         # t = total_steps: the step() after the last batch
            raise ValueError(f"OneCycleLR: step() number {t}, a cycle has {self.total_steps}")
        group["lr"] = self._at(self.lrs, t)
        if self.momenta and "betas" in group:
            group["betas"] = (self._at(self.momenta, t), *group["betas"][1:])
        elif self.momenta and "momentum" in group:
            group["momentum"] = self._at(self.momenta, t)


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def _line(start: float, end: float, part: float) -> float:
    return start + (end - start) * part


lr_scheduler = SimpleNamespace(LRScheduler=LRScheduler, StepLR=StepLR, OneCycleLR=OneCycleLR,
                               CosineAnnealingLR=CosineAnnealingLR)
"""PyTorch's place for the schedules: ``optim.lr_scheduler.StepLR``."""
