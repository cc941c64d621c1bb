"""Gradients kept small: by the norm of all of them, or number by number."""

from __future__ import annotations

import math

import numpy as np

from ...checks.arguments import arguments
from ...device import namespace
from ...modes import no_grad
from ...tensor import Tensor


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
