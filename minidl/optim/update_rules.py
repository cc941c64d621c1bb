"""The update rules: what moves a parameter p along its gradient g.

Each rule is a small function of plain arrays that looks like its formula and changes them in place.
The class below a rule keeps the arrays that the rule needs for each parameter, and its options. The
simplest rule, p <- p - lr g, is SGD's (``more/sgd.py``); those here divide g, or its running mean,
by the root of the running mean of g^2, so that all parameters move by steps of about one size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..checks.arguments import arguments
from ..checks.groups import given_once
from ..device import namespace
from ..kernels import replaceable
from .optimizer import Optimizer


# p parameter, g gradient, t number of the step (from 1); the other arrays are state, zero at first.
# smallest=1: the compiled rule takes small arrays too, which other kernels leave to NumPy.
@replaceable("p", "g", "v", smallest=1)
def _rmsprop(p, g, v, lr, alpha, eps):
    """v <- alpha v + (1 - alpha) g^2;  p <- p - lr g / (sqrt(v) + eps)"""
    v *= alpha
    v += (1 - alpha) * g * g
    p -= lr * g / (namespace(v).sqrt(v) + eps)


class RMSprop(Optimizer):
    """v <- alpha v + (1 - alpha) g^2,  p <- p - lr g / (sqrt(v) + eps).

    Keras calls alpha rho; ``rho=`` is taken too. Keras's defaults are lr=1e-3, rho=0.9, eps=1e-7,
    and D1's ``RMSprop(2e-4, 0.5)`` is ``RMSprop(params, 2e-4, rho=0.5, eps=1e-7)``.
    Source: D1-RMSPROP.
    """

    _zeros = "square_avg",

    @arguments
    def __init__(self, params: Iterable, lr: float = 1e-2, alpha: float | None = None,
                 eps: float = 1e-8, weight_decay: float = 0.0, *, rho: float | None = None):
        alpha = given_once("RMSprop", 0.99, alpha=alpha, rho=rho)
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay)

    def _update(self, p, g, state, group):
        _rmsprop(p, g, state["square_avg"], group["lr"], group["alpha"], group["eps"])


@replaceable("p", "g", "m", "v", smallest=1)
def _adam(p, g, m, v, t, lr, beta1, beta2, eps):
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  p <- p - lr m' / (sqrt(v') + eps)"""
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    m_part, v_part = 1 - beta1**t, 1 - beta2**t           # m' = m / m_part, v' = v / v_part
    p -= lr / m_part * m / (namespace(v).sqrt(v) / math.sqrt(v_part) + eps)


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  p <- p - lr m^ / (sqrt(v^) + eps),
    m^ = m / (1 - b1^t),  v^ = v / (1 - b2^t),  t = 1 at the first step.

    ``eps`` is 1e-8 as in PyTorch; Keras's is 1e-7. Source: D0-ADAM; Kingma, Ba (2015).
    """

    _zeros = "exp_avg", "exp_avg_sq"

    def __init__(self, params: Iterable, lr: float = 1e-3,
                 betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0):
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _update(self, p, g, state, group):
        m, v = state["exp_avg"], state["exp_avg_sq"]
        _adam(p, g, m, v, state["step"], group["lr"], *group["betas"], group["eps"])
