"""Stochastic gradient descent, plain and with momentum."""

from __future__ import annotations

from collections.abc import Iterable

from ...checks.arguments import arguments
from ...device import namespace
from ...kernels import replaceable
from ..optimizer import Optimizer


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
