"""Cross entropy, of classes and of yes or no. ``reduction``: "mean" (default), "sum" or "none".

Both begin with logits, the numbers before softmax or sigmoid: there the logarithm of a small
probability is a difference, and nothing overflows.
"""

from __future__ import annotations

from ..checks.arguments import arguments
from ..checks.operands import cross_entropy_fits
from ..device import namespace
from ..dtypes import paired
from ..kernels import replaceable
from ..modes import mode
from ..op import op
from ..tensor import Tensor
from .activation import sigmoid
from .arithmetic import as_constant
from .counted import counted_classes, sum_of_counted
from .more.class_weights import classes_last, weighted_cross_entropy
from .reduce import array_max, array_sum, softmax
from .shape import reshape
from .terms import Composite, Elementwise


@replaceable("x")
def _cross_entropy(x, t):
    xp = namespace(x)
    shifted = x - array_max(x, (1,))
    log_p = shifted - xp.log(array_sum.readable(xp.exp(shifted), 1))
    return -log_p[xp.arange(len(t)), t], log_p


@replaceable("gy", "log_p")
def _cross_entropy_grad(gy, log_p, t):
    xp = namespace(gy)
    p = xp.exp(log_p)
    p[xp.arange(len(t)), t] -= 1
    return gy[:, None] * p


@op("D0-CE", terms=Composite(
    "m = max(x, 1); picked = take(x, column(t), 1); nll = m - picked + log(sum(exp(x - m), 1)); "
    "y = where(column(k) == 0, 0, column(k) * nll)", "dy/dx_i = k (softmax(x)_i - (i == t))"))
def cross_entropy_rows(x: Tensor, t, k):
    """-k log p[t] of each row, p = softmax(x): x (N,C), t (N,) class numbers, k (N,) how much each
    row counts (1; in a mean 1/N; 0 if ignored, whatever its numbers) -> (N,).

    gx = gy k (p - one_hot(t)): what is predicted, less what is true. Source: D0-CE, D1-SOFTMAX.
    """
    y, log_p = _cross_entropy(x.data, t)
    y = namespace(y).where(k == 0, k, y * k)
    def backward(gy):
        if not mode.grad:
            return Tensor._wrap(_cross_entropy_grad(gy.data * k, log_p, t))
        true = as_constant((t[:, None] == namespace(t).arange(x.shape[1])).astype(x.dtype))
        return reshape(gy * as_constant(k), -1, 1) * (softmax(x, 1) - true)
    return y, backward


@arguments
def cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None,
                  ignore_index: int = -100, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Tensor:
    """-sum_c t_c log p_c with p = softmax(input), from logits (N,C,...). Source: D0-CE.

    `target`: class numbers (N,...), or probabilities (one-hot rows among them) of input's shape.
    Smoothing e replaces t by (1 - e) t + e / C. For `weight` and `ignore_index` see
    :func:`nll_loss`. Raises ValueError for classes out of range or shapes that do not fit,
    TypeError for class numbers that are no integers.
    """
    cross_entropy_fits(input, label_smoothing)
    probabilities = target.dtype.kind == "f" and target.shape == input.shape
    if probabilities or label_smoothing or weight is not None:
        return weighted_cross_entropy(input, target, weight, ignore_index, reduction,
                                      label_smoothing)
    t, k, added = counted_classes("cross_entropy", input, target, ignore_index, reduction)
    losses = cross_entropy_rows(input if input.ndim == 2 else classes_last(input), t, k)
    return sum_of_counted("cross_entropy", losses, added, target.shape, reduction)


@op("D0-BCE", terms=Elementwise(
    "log1p(exp(-abs(x))) + where(where(x > 0, 1 - t, t) == 0, 0, where(x > 0, 1 - t, t) * abs(x))",
    "1 / (1 + exp(-x)) - t", "-x"))
def bce_logits(x: Tensor, t: Tensor):
    """-[t log p + (1 - t) log(1 - p)] with p = sigmoid(x), as softplus(x) - x t: stable for any x,
    +-inf too. gx = gy (p - t). Source: D0-BCE."""
    a, b = paired(x.data, t.data)
    xp = namespace(a)
    share = xp.where(a > 0, 1 - b, b)        # softplus(x) - x t, without its inf - inf and inf * 0
    size = xp.abs(a)
    y = xp.where(share == 0, share, share * size) + xp.log1p(xp.exp(-size))
    def backward(gy, need):
        return gy * (sigmoid(x) - t), gy * -x if need[1] else None
    return y, backward
