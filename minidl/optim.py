"""How parameters are moved along their gradients, under PyTorch's names.

An update rule is a small function of plain arrays that looks like its formula and changes them in
place; the classes around it only keep its state for each parameter. A parameter that is frozen
(``requires_grad`` False) or has no gradient (``grad`` None, which is not zero) is left out exactly:
no step counted, no decay, no momentum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .device import move, namespace, to_host
from .kernels import fast
from .tape import enable_grad, no_grad
from .tensor import Tensor


# --------------------------------------------------------------------------- update rules
def _adam(p, g, m, v, t, lr, beta1, beta2, eps):
    """m <- b1 m + (1-b1) g;  v <- b2 v + (1-b2) g^2;  p <- p - lr m^ / (sqrt(v^) + eps)"""
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    m_scale, v_scale = 1 - beta1**t, math.sqrt(1 - beta2**t)      # m^ = m / (1 - b1^t), v^ alike
    p -= lr / m_scale * m / (namespace(v).sqrt(v) / v_scale + eps)


# --------------------------------------------------------------------------- optimisers
class Optimizer:
    """Keeps parameters in groups, each with its own options, and the state of each parameter.

    `params`: tensors, or dicts with "params" and options of that group alone.
    """

    def __init__(self, params: Iterable, defaults: dict[str, Any]):
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params) if not isinstance(params, Tensor) else [params]
        if not groups:
            raise ValueError(f"{type(self).__name__}: params is empty")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; options not given are the optimiser's own."""
        name = type(self).__name__
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        known = {p for group in self.param_groups for p in group["params"]}
        for p in params:
            if not isinstance(p, Tensor) or p.node is not None:
                raise TypeError(f"{name}: parameters must be leaf tensors, got {type(p).__name__}")
            if p in known:
                raise ValueError(f"{name}: a parameter of shape {p.shape} is given twice")
            known.add(p)
        self.param_groups.append({**self.defaults, **param_group, "params": params})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients (or set them to zero)."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad = p.grad.detach().zero_()

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Change every parameter that has a gradient. `closure` computes loss and gradients
        first; its loss is returned."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.requires_grad and p.grad is not None:
                        self._update(p, p.grad.data, group, self.state.setdefault(p, {}))
                        p._changed("step")
        return loss

    def _update(self, p: Tensor, g, group: dict[str, Any], state: dict[str, Any]) -> None:
        raise NotImplementedError(f"{type(self).__name__}: define _update(self, p, g, group, "
                                  "state)")


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,
    p <- p - lr m^ / (sqrt(v^) + eps),  m^ = m / (1 - b1^t),  v^ = v / (1 - b2^t).

    ``eps`` is 1e-8 as in PyTorch; Keras's is 1e-7. Source: D0-ADAM; Kingma, Ba (2015).
    """

    def __init__(self, params: Iterable, lr: float = 1e-3,
                 betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps,
                                  "weight_decay": weight_decay})

    def _update(self, p, g, group, state):
        if not state:
            xp = namespace(p.data)
            state.update(step=0, exp_avg=xp.zeros_like(p.data), exp_avg_sq=xp.zeros_like(p.data))
        state["step"] += 1
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p.data
        fast(_adam, p.data, g)(p.data, g, state["exp_avg"], state["exp_avg_sq"], state["step"],
                               group["lr"], *group["betas"], group["eps"])
