"""Adam with weight decay apart from the gradient."""

from __future__ import annotations

from collections.abc import Iterable

from ..update_rules import Adam


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
