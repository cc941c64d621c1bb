"""Losses of probabilities: binary cross entropy, the divergence of distributions. ``reduction``:
"mean" (default), "sum" or "none".
"""

from __future__ import annotations

import math

from ... import checks
from ...checks.arguments import arguments
from ...device import namespace
from ...dtypes import paired
from ...op import op
from ...tensor import Tensor
from ..activation import softplus1
from ..loss import bce_logits
from ..reduce import reduce_loss, sum
from ..terms import Elementwise
from .choices import weighed, where
from .elementary import log
from .regression import target_like

__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div"]


def _no_larger(name: str, input: Tensor, **weights) -> None:
    """Refuse weights that would make the loss larger than its input by broadcasting."""
    for what, w in weights.items():
        if w is not None and (w.ndim > input.ndim or any(
                n not in (1, m) for n, m in zip(w.shape[::-1], input.shape[::-1]))):
            raise ValueError(f"{name}: {what} {w.shape} must broadcast to the shape of input "
                             f"{input.shape}")


@op("D0-BCE", terms=Elementwise(
    "-(t * maximum(log(p), -100) + (1 - t) * maximum(log(1 - p), -100))",
    "(p - t) / maximum(p * (1 - p), 1e-12)",
    "maximum(log(1 - p), -100) - maximum(log(p), -100)"))
def _bce(p: Tensor, t: Tensor):
    """-[t log p + (1 - t) log(1 - p)], each logarithm at least -100."""
    a, b = paired(p.data, t.data)
    xp = namespace(a)
    log_p, log_q = xp.maximum(xp.log(a), -100), xp.maximum(xp.log1p(-a), -100)
    y = -(b * log_p + (1 - b) * log_q)
    def backward(gy, need):
        slope = (p - t) / (p * (1 - p)).clamp(min=1e-12)
        if not need[1]:
            return gy * slope, None
        return gy * slope, gy * (log(1 - p).clamp(min=-100) - log(p).clamp(min=-100))
    return y, backward


@arguments
def binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None,
                         reduction: str = "mean") -> Tensor:
    """-[t log p + (1 - t) log(1 - p)] on probabilities p; a logarithm counts at least -100, as in
    PyTorch. Raises ValueError for p or t outside [0, 1]. Source: D0-BCE."""
    target = target_like("binary_cross_entropy", input, target)
    _no_larger("binary_cross_entropy", input, weight=weight)
    checks.probabilities("binary_cross_entropy", "input", input.data)
    checks.probabilities("binary_cross_entropy", "target", target.data)
    loss = _bce(input, target)
    return reduce_loss("binary_cross_entropy", loss if weight is None else weighed(weight, loss),
                       reduction)


@arguments
def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Tensor | None = None,
                                     reduction: str = "mean",
                                     pos_weight: Tensor | None = None) -> Tensor:
    """Binary cross entropy of p = sigmoid(x), computed from x: softplus(x) - x t, stable for any x.

    With `pos_weight` w the positive term counts w times:
    (1 - t) softplus(x) + w t softplus(-x). Source: D0-BCE.
    """
    target = target_like("binary_cross_entropy_with_logits", input, target)
    _no_larger("binary_cross_entropy_with_logits", input, weight=weight, pos_weight=pos_weight)
    if pos_weight is None:
        loss = bce_logits(input, target)
    else:
        loss = (weighed(1 - target, softplus1(input))
                + weighed(pos_weight * target, softplus1(-input)))
    return reduce_loss("binary_cross_entropy_with_logits",
                       loss if weight is None else weighed(weight, loss), reduction)


@arguments
def kl_div(input: Tensor, target: Tensor, reduction: str = "mean",
           log_target: bool = False) -> Tensor:
    """sum t (log t - input): D_KL(t || q) with input = log q; 0 log 0 = 0. Source: D3-KL.

    "mean" divides by all elements and "batchmean", the divergence itself, by the batch size.
    """
    target = target_like("kl_div", input, target)
    if log_target:
        zero = target == -math.inf
        loss = where(zero, 0.0, target.exp() * (where(zero, 0.0, target) - where(zero, 0.0, input)))
    else:
        positive = target > 0
        loss = weighed(target, where(positive, target, 1.0).log() - input)
    if reduction == "batchmean" and not input.ndim:
        raise ValueError('kl_div: reduction "batchmean" needs a batch, input has no axes')
    if reduction == "batchmean":
        return sum(loss) / input.shape[0]
    return reduce_loss("kl_div", loss, reduction)
