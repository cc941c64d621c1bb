"""Learning rates that change while training, under PyTorch's names and by PyTorch's recursions.

A schedule goes on from the rate that stands in the group: so two schedules on one optimiser both
act, and a rate set by hand stays until the schedule next changes it, from there. OneCycleLR alone
sets rates whatever stood there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ... import checks
from ...checks.arguments import arguments

if TYPE_CHECKING:
    from .. import Optimizer


class LRScheduler:
    """Changes each group's "lr" at every ``step()`` (once an epoch, as a rule): a subclass defines
    ``_lr(lr, base, t)``, the rate after step t = 1, 2, ..., from the rate `lr` before it and the
    group's first rate `base`."""

    _said = ("step_size", "gamma", "T_max", "eta_min", "total_steps")    # options a state may hold

    def __init__(self, optimizer: Optimizer):
        self.optimizer = optimizer
        for group in _groups(self, optimizer):
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = -1
        self.step()

    def step(self) -> None:
        """Go on by one step."""
        self.last_epoch += 1
        groups = self.optimizer.param_groups
        if len(groups) != len(self.base_lrs):
            raise ValueError(f"{type(self).__name__}: {len(groups)} groups of parameters, "
                             f"{len(self.base_lrs)} when the schedule was made; add groups first")
        for group, base in zip(groups, self.base_lrs):
            self._set(group, base, self.last_epoch)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _set(self, group: dict[str, Any], base: float, t: int) -> None:
        if t > 0:
            group["lr"] = self._lr(group["lr"], base, t)

    def _lr(self, lr: float, base: float, t: int) -> float:
        raise NotImplementedError(f"{type(self).__name__}: define _lr(self, lr, base, t)")

    def get_last_lr(self) -> list[float]:
        """Each group's learning rate after this schedule's last step."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """What there is to save; the optimiser's own state dict has the learning rates."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs),
                "_last_lr": self.get_last_lr()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken (or PyTorch's); the rates themselves come
        with the optimiser's state dict. Raises ValueError if the state has other options."""
        name = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state_dict, dict) or "last_epoch" not in state_dict:
            raise ValueError(f"{name}: there is no last_epoch in {checks.brief(state_dict)}")
        for key in self._said:
            own = getattr(self, key, None)
            if key in state_dict and state_dict[key] != own:
                raise ValueError(f"{name}: {key}={state_dict[key]!r} given, this schedule has "
                                 f"{own!r}")
        bases, last = (self._rates(name, key, state_dict.get(key, getattr(self, key)))
                       for key in ("base_lrs", "_last_lr"))
        epoch = checks.whole(f"{name}: last_epoch", state_dict["last_epoch"])
        if epoch > (most := getattr(self, "total_steps", 2**53)):
            raise ValueError(f"{name}: last_epoch must be at most {most}, got "
                             f"{checks.brief(epoch)}")
        self.last_epoch, self.base_lrs, self._last_lr = epoch, bases, last

    def _rates(self, name: str, key: str, rates: Any) -> list[float]:
        if not isinstance(rates, (list, tuple)):
            raise TypeError(f"{name}: {key} must be a list of rates, got {checks.brief(rates)}")
        if len(rates) != len(self.base_lrs):
            raise ValueError(f"{name}: {len(rates)} groups given, this schedule has "
                             f"{len(self.base_lrs)}")
        return [checks.number(f"{name}: {key}", lr) for lr in rates]


def _groups(schedule: LRScheduler, optimizer: Optimizer) -> list[dict[str, Any]]:
    """The optimiser's groups. Raises TypeError for what is no optimiser."""
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(f"{type(schedule).__name__}: expected an optimiser, got "
                        f"{type(optimizer).__name__}")
    return optimizer.param_groups


class StepLR(LRScheduler):
    """lr_t = gamma lr_{t-1} at every step_size-th step, else lr_{t-1}: alone on its optimiser
    lr gamma^floor(t / step_size)."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1):
        step_size = checks.whole("StepLR: step_size", step_size, 1)
        gamma = checks.number("StepLR: gamma", gamma)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def _lr(self, lr, base, t):
        return lr if t % self.step_size else lr * self.gamma


class CosineAnnealingLR(LRScheduler):
    """lr_t = eta_min + (lr_{t-1} - eta_min) (1 + cos(pi t / T_max)) / (1 + cos(pi (t-1) / T_max)):
    alone on its optimiser eta_min + (lr - eta_min) (1 + cos(pi t / T_max)) / 2. Loshchilov, Hutter
    (2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0):
        T_max = checks.whole("CosineAnnealingLR: T_max", T_max, 1)
        eta_min = checks.number("CosineAnnealingLR: eta_min", eta_min)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def _lr(self, lr, base, t):
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:         # it was eta_min: no ratio to that
            return lr + (base - self.eta_min) * (1 - math.cos(math.pi / self.T_max)) / 2
        ratio = _height(t / self.T_max) / _height((t - 1) / self.T_max)
        return self.eta_min + (lr - self.eta_min) * ratio


class OneCycleLR(LRScheduler):
    """From max_lr / div_factor up to max_lr in the first `pct_start` of all steps, then down to
    max_lr / div_factor / final_div_factor, along a cosine or a line; momentum (or Adam's beta1)
    goes the other way, from max_momentum to base_momentum and back. Stepped once a batch.
    Smith, Topin (2019)."""

    @arguments
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
        for option, value in ("epochs", epochs), ("steps_per_epoch", steps_per_epoch):
            if value is not None and value < 1:
                raise ValueError(f"OneCycleLR: {option} must be at least 1, got {value}")
        for option, value in ("base_momentum", base_momentum), ("max_momentum", max_momentum):
            checks.number(f"OneCycleLR: {option}", value if cycle_momentum else 0)
        self.total_steps = epochs * steps_per_epoch if total_steps is None else total_steps
        self.total_steps = checks.whole("OneCycleLR: total_steps", self.total_steps)
        self.peak = checks.number("OneCycleLR: pct_start", pct_start) * self.total_steps - 1
        if not 0 < self.peak < self.total_steps - 1:
            raise ValueError(f"OneCycleLR: the peak at pct_start={pct_start} of {self.total_steps} "
                             "steps must lie after the first and before the last step")
        self.anneal = _cosine if anneal_strategy == "cos" else _straight
        for option, value in ("div_factor", div_factor), ("final_div_factor", final_div_factor):
            if checks.number(f"OneCycleLR: {option}", value) == 0:
                raise ValueError(f"OneCycleLR: {option} must be above 0, got {value}")
        first = checks.number("OneCycleLR: max_lr", max_lr) / div_factor
        self.lrs = (first, max_lr, first / final_div_factor)
        self.momenta = (max_momentum, base_momentum, max_momentum) if cycle_momentum else None
        for group in _groups(self, optimizer):
            if cycle_momentum and not group.keys() & {"betas", "momentum"}:
                raise ValueError("OneCycleLR: the optimiser has neither momentum nor betas; give "
                                 "cycle_momentum=False")
            group["initial_lr"] = first
        super().__init__(optimizer)

    def _at(self, levels: tuple[float, float, float], t: int) -> float:
        start, peak, end = levels
        if t <= self.peak:
            return self.anneal(start, peak, t / self.peak)
        return self.anneal(peak, end, (t - self.peak) / (self.total_steps - 1 - self.peak))

    def _set(self, group, base, t):
        if t > self.total_steps:         # t = total_steps: the step() after the last batch
            raise ValueError(f"OneCycleLR: step() number {t}, a cycle has {self.total_steps}")
        group["lr"] = self._at(self.lrs, t)
        if self.momenta and "betas" in group:
            group["betas"] = (self._at(self.momenta, t), *group["betas"][1:])
        elif self.momenta:
            group["momentum"] = self._at(self.momenta, t)


def _height(part: float) -> float:
    return 1 + math.cos(math.pi * part)


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * _height(part) / 2


def _straight(start: float, end: float, part: float) -> float:
    return start + (end - start) * part
