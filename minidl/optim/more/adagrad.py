"""Adagrad: a step shrinks by the root of the sum of all squared gradients so far."""

from __future__ import annotations

from collections.abc import Iterable

from ...device import namespace
from ...kernels import replaceable
from ..optimizer import Optimizer


@replaceable("p", "g", "s", smallest=1)
def _adagrad(p, g, s, lr, eps):
    """s <- s + g^2;  p <- p - lr g / (sqrt(s) + eps)"""
    s += g * g
    p -= lr * g / (namespace(s).sqrt(s) + eps)


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
