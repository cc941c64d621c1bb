"""Losses of predictions against targets. ``reduction``: "mean" (default), "sum" or "none"."""

from __future__ import annotations

import numpy as np

from .. import checks
from ..device import namespace
from ..tape import op
from ..tensor import Tensor, as_tensor
from .activation import softplus
from .arithmetic import _constant, log, where
from .reduce import log_softmax, mean, sum
from .shape import reshape, transpose
from .terms import Elementwise


def _reduced(name: str, loss: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(f'{name}: reduction must be "mean", "sum" or "none", got {reduction!r}')


def _same_shape(name: str, input: Tensor, target) -> Tensor:
    target = as_tensor(target, input)
    if input.shape != target.shape:
        raise ValueError(f"{name}: target {target.shape} must have the shape of input "
                         f"{input.shape}")
    return target


# --------------------------------------------------------------------------- regression
def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(1/n) sum (y - t)^2. Source: D1-MSE."""
    difference = input - _same_shape("mse_loss", input, target)
    return _reduced("mse_loss", difference * difference, reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(1/n) sum |y - t|. Source: D4-MAE."""
    difference = input - _same_shape("l1_loss", input, target)
    return _reduced("l1_loss", difference.abs(), reduction)


def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean",
                   beta: float = 1.0) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta/2, with d = y - t. Girshick (2015)."""
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must be >= 0, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    d = input - _same_shape("smooth_l1_loss", input, target)
    loss = where(d.abs() < beta, d * d * (0.5 / beta), d.abs() - 0.5 * beta)
    return _reduced("smooth_l1_loss", loss, reduction)


# --------------------------------------------------------------------------- classes
def _classes_last(x: Tensor) -> Tensor:
    """(N, C, d1, ...) as (N * d1 * ..., C); (C,) as (1, C)."""
    if x.ndim == 1:
        return reshape(x, 1, -1)
    if x.ndim > 2:
        x = transpose(reshape(x, x.shape[0], x.shape[1], -1), 1, 2)
    return reshape(x, -1, x.shape[-1])


def _example_shape(input: Tensor) -> tuple[int, ...]:
    """(N, d1, ...) of (N, C, d1, ...); () of (C,)."""
    return input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()


def _class_numbers(name: str, input: Tensor, target, ignore_index: int):
    """Class numbers (n,), 0 where ignored, and whether each example counts: 1.0 or 0.0."""
    target = as_tensor(target).data
    if target.shape != _example_shape(input):
        raise ValueError(f"{name}: target {target.shape} of class numbers must have shape "
                         f"{_example_shape(input)} for input {input.shape} (classes on axis 1)")
    target = target.reshape(-1)
    counted = target != ignore_index
    numbers = namespace(target).where(counted, target, target.dtype.type(0))
    checks.labels(name, numbers, input.shape[min(1, input.ndim - 1)])
    return numbers, counted.astype(input.dtype)


def nll_loss(input: Tensor, target: Tensor, weight: Tensor | None = None,
             ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """-log p of the target class: input log p (N,C,...), target class numbers (N,...).

    ``weight`` (C,) weighs each example by its class, and "mean" divides by the weights' sum.
    Examples of class `ignore_index` count nothing. Source: D0-CE.
    """
    return _nll("nll_loss", input, target, weight, ignore_index, reduction)


def _nll(name: str, input, target, weight, ignore_index, reduction, smoothing=0.0) -> Tensor:
    numbers, counted = _class_numbers(name, input, target, ignore_index)
    rows, xp = _classes_last(input), namespace(numbers)
    classes = rows.shape[1]
    w = _class_weights(name, weight, rows)
    count = counted * w.data[numbers]
    loss = -rows[xp.arange(len(numbers)), numbers] * _constant(count)
    if smoothing:                            # (1 - e) of the true class's, and of every class's e/C
        every = -sum(rows * w, 1) * _constant(counted) / classes
        loss = (1 - smoothing) * loss + smoothing * every
    if reduction == "mean":
        total = _constant(xp.asarray(count.sum()))
        none = total == 0                    # all ignored: 0/0, but no weight shall become nan
        return where(none, np.nan, sum(loss) / (total + none))
    return _reduced(name, reshape(loss, *_example_shape(input)), reduction)


def _class_weights(name: str, weight, rows: Tensor) -> Tensor:
    classes = rows.shape[1]
    if weight is None:
        return _constant(namespace(rows.data).ones(classes, rows.dtype))
    weight = as_tensor(weight)
    if weight.shape != (classes,):
        raise ValueError(f"{name}: weight must have shape ({classes},), got {weight.shape}")
    return weight


def cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None,
                  ignore_index: int = -100, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Tensor:
    """-sum_c t_c log p_c with p = softmax(input), from logits (N,C,...). Source: D0-CE.

    `target`: class numbers (N,...), or probabilities (one-hot rows among them) of input's shape.
    Smoothing e replaces t by (1 - e) t + e / C. For `weight` and `ignore_index` see
    :func:`nll_loss`. Raises ValueError for classes out of range or shapes that do not fit,
    TypeError for class numbers that are no integers.
    """
    if input.ndim == 0:
        raise ValueError("cross_entropy: input needs a class axis")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be in [0, 1], got {label_smoothing}")
    target = as_tensor(target)
    log_p = log_softmax(input, min(1, input.ndim - 1))
    if target.is_floating_point() and target.shape == input.shape:
        return _soft_cross_entropy(log_p, target, weight, reduction, label_smoothing)
    return _nll("cross_entropy", log_p, target, weight, ignore_index, reduction, label_smoothing)


def _soft_cross_entropy(log_p, target, weight, reduction, label_smoothing):
    """-sum_c w_c t_c log p_c; "mean" divides by the number of examples, whatever the weights."""
    rows, t = _classes_last(log_p), _classes_last(target)
    t = t * (1 - label_smoothing) + label_smoothing / t.shape[1]
    loss = -sum(rows * t * _class_weights("cross_entropy", weight, rows), 1)
    return _reduced("cross_entropy", reshape(loss, *_example_shape(log_p)), reduction)


# --------------------------------------------------------------------------- yes or no
@op("D0-BCE", terms=Elementwise(
    "-(t * maximum(log(p), -100) + (1 - t) * maximum(log(1 - p), -100))",
    "(p - t) / maximum(p * (1 - p), 1e-12)",
    "maximum(log(1 - p), -100) - maximum(log(p), -100)"))
def _bce(p: Tensor, t: Tensor):
    """-[t log p + (1 - t) log(1 - p)], each logarithm at least -100."""
    xp = namespace(p.data)
    with np.errstate(divide="ignore"):
        log_p, log_q = xp.maximum(xp.log(p.data), -100), xp.maximum(xp.log1p(-p.data), -100)
    y = -(t.data * log_p + (1 - t.data) * log_q)
    def backward(gy, need):
        slope = (p - t) / (p * (1 - p)).clamp(min=1e-12)
        if not need[1]:
            return gy * slope, None
        return gy * slope, gy * (log(1 - p).clamp(min=-100) - log(p).clamp(min=-100))
    return y, backward


def binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None,
                         reduction: str = "mean") -> Tensor:
    """-[t log p + (1 - t) log(1 - p)] on probabilities p; a logarithm counts at least -100, as in
    PyTorch. Raises ValueError for p or t outside [0, 1]. Source: D0-BCE."""
    target = _same_shape("binary_cross_entropy", input, target)
    checks.probabilities("binary_cross_entropy", "input", input.data)
    checks.probabilities("binary_cross_entropy", "target", target.data)
    loss = _bce(input, target)
    return _reduced("binary_cross_entropy", loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Tensor | None = None,
                                     reduction: str = "mean",
                                     pos_weight: Tensor | None = None) -> Tensor:
    """Binary cross entropy of p = sigmoid(x), computed from x: softplus(x) - x t, stable for any x.

    With `pos_weight` w the positive term counts w times:
    (1 - t) x + (1 + (w - 1) t) softplus(-x). Source: D0-BCE.
    """
    target = _same_shape("binary_cross_entropy_with_logits", input, target)
    if pos_weight is None:
        loss = softplus(input) - input * target
    else:
        loss = (1 - target) * input + (1 + (pos_weight - 1) * target) * softplus(-input)
    return _reduced("binary_cross_entropy_with_logits", loss if weight is None else loss * weight,
                    reduction)


def kl_div(input: Tensor, target: Tensor, reduction: str = "mean",
           log_target: bool = False) -> Tensor:
    """sum t (log t - input): D_KL(t || q) with input = log q; 0 log 0 = 0. Source: D3-KL.

    "mean" divides by all elements and "batchmean", the divergence itself, by the batch size.
    """
    target = _same_shape("kl_div", input, target)
    if log_target:
        loss = target.exp() * (target - input)
    else:
        positive = target > 0
        loss = target * (where(positive, target, 1.0).log() - input)
    if reduction == "batchmean":
        return sum(loss) / input.shape[0]
    return _reduced("kl_div", loss, reduction)
