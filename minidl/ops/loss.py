"""Losses of predictions against targets. ``reduction``: "mean" (default), "sum" or "none"."""

from __future__ import annotations

import math

import numpy as np

from .. import checks
from ..checks.arguments import arguments
from ..device import namespace
from ..kernels import replaceable
from ..modes import mode
from ..op import op
from ..tensor import Tensor, same_device
from .activation import sigmoid, softplus1
from .arithmetic import as_constant, log, needs_floats, paired_arrays, same_floats, weighed, where
from .reduce import array_max, array_sum, log_softmax, mean, softmax, sum
from .shape import reshape, transpose
from .terms import Composite, Elementwise


def reduce_loss(name: str, loss: Tensor, reduction: str) -> Tensor:
    """The mean, the sum, or the loss of each element. Raises ValueError for another word."""
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(f'{name}: reduction must be "mean", "sum" or "none", got {reduction!r}')


def _no_larger(name: str, input: Tensor, **weights) -> None:
    """Refuse weights that would make the loss larger than its input by broadcasting."""
    for what, w in weights.items():
        if w is not None and (w.ndim > input.ndim or any(
                n not in (1, m) for n, m in zip(w.shape[::-1], input.shape[::-1]))):
            raise ValueError(f"{name}: {what} {w.shape} must broadcast to the shape of input "
                             f"{input.shape}")


def _same_shape(name: str, input: Tensor, target) -> Tensor:
    needs_floats(name, input)
    if input.shape != target.shape:
        raise ValueError(f"{name}: target {target.shape} must have the shape of input "
                         f"{input.shape}")
    return target if target.is_floating_point() else target.to(input.dtype)


# --------------------------------------------------------------------------- regression
@arguments
def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(1/n) sum (y - t)^2. Source: D1-MSE."""
    difference = input - _same_shape("mse_loss", input, target)
    return reduce_loss("mse_loss", difference * difference, reduction)


@arguments
def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(1/n) sum |y - t|. Source: D4-MAE."""
    difference = input - _same_shape("l1_loss", input, target)
    return reduce_loss("l1_loss", difference.abs(), reduction)


@arguments
def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean",
                   beta: float = 1.0) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta/2, with d = y - t. Girshick (2015)."""
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must be >= 0, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    d = input - _same_shape("smooth_l1_loss", input, target)
    near = d.abs() < beta
    inner = where(near, d, 0.0)              # or d * d, where it is not chosen, would be inf * 0
    loss = where(near, inner * inner * (0.5 / beta), d.abs() - 0.5 * beta)
    return reduce_loss("smooth_l1_loss", loss, reduction)


# --------------------------------------------------------------------------- classes
def _classes_last(x: Tensor) -> Tensor:
    """(N, C, d1, ...) as (N * d1 * ..., C); (C,) as (1, C)."""
    if x.ndim == 2:
        return x
    if x.ndim == 1:
        return reshape(x, 1, -1)
    examples = math.prod(_example_shape(x))
    if x.ndim > 2:
        x = transpose(reshape(x, *x.shape[:2], math.prod(x.shape[2:])), 1, 2)
    return reshape(x, examples, x.shape[-1])


def _example_shape(input: Tensor) -> tuple[int, ...]:
    """(N, d1, ...) of (N, C, d1, ...); () of (C,)."""
    return input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()


def _targets(name: str, input: Tensor, target, ignore_index):
    """The class numbers (n,), if they are integers of the shape that `input` asks for."""
    same_device(name, input, target)
    target = target.data
    checks.integers(name, target)
    if target.shape != _example_shape(input):
        raise ValueError(f"{name}: target {target.shape} of class numbers must have shape "
                         f"{_example_shape(input)} for input {input.shape} (classes on axis 1)")
    return target.reshape(-1)


def _check_numbers(name: str, input: Tensor, numbers) -> None:
    checks.labels(name, numbers, input.shape[min(1, input.ndim - 1)])


def _counted(x, t, ignore_index):
    """Class numbers t (n,), 0 where ignored, and whether each counts: 1 or 0, of x's dtype."""
    counted = t != ignore_index
    return namespace(t).where(counted, t, t.dtype.type(0)), counted.astype(x.dtype)


def _shares(count):
    """What each example counts of the mean, and what to add to it: 0, or nan if none counts: then
    the loss is 0/0, but no weight becomes nan by it."""
    total = count.sum()
    none = total == 0
    number = count.dtype.type
    return count / (total + none), namespace(count).where(none, number(np.nan), number(0))


@replaceable("x")
def _class_shares(x, t, ignore_index):
    """For the mean over class numbers t (n,): these, 0 where ignored; and their shares."""
    numbers, counted = _counted(x, t, ignore_index)
    return numbers, *_shares(counted)


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
    "where(k[:, None] == 0, 0, k[:, None] * (max(x, 1) + log(sum(exp(x - max(x, 1)), 1)) "
    "- take_along_axis(x, t[:, None], 1)))", "dy/dx_i = k (p_i - (i == t)),  p = softmax(x)"))
def cross_entropy_rows(x: Tensor, t, k):
    """-k log p[t] of each row, p = softmax(x): x (N,C), t (N,) class numbers, k (N,) how much each
    row counts (0: nothing, whatever its numbers) -> (N,).

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
def nll_loss(input: Tensor, target: Tensor, weight: Tensor | None = None,
             ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """-log p of the target class: input log p (N,C,...), target class numbers (N,...).

    ``weight`` (C,) weighs each example by its class, and "mean" divides by the weights' sum.
    Examples of class `ignore_index` count nothing. Source: D0-CE.
    """
    needs_floats("nll_loss", input)
    return _nll("nll_loss", input, target, weight, ignore_index, reduction)


def _nll(name: str, input, target, weight, ignore_index, reduction, smoothing=0.0) -> Tensor:
    numbers, counted = _counted(input.data, _targets(name, input, target, ignore_index),
                                ignore_index)
    _check_numbers(name, input, numbers)
    rows, xp = _classes_last(input), namespace(numbers)
    classes = rows.shape[1]
    w = _class_weights(name, weight, rows)
    if w.requires_grad:
        raise TypeError(f"{name}: weight requires grad, and gets none here; use weight.detach()")
    count = counted * w.data[numbers]
    shares, nothing = _shares(count) if reduction == "mean" else (count, None)
    loss = weighed(as_constant(shares), -rows[xp.arange(len(numbers)), numbers])
    if smoothing:                            # (1 - e) of the true class's, and of every class's e/C
        total = count.sum() if reduction == "mean" else 1
        counted = as_constant(counted / (total + (total == 0)))
        every = weighed(counted, -sum(weighed(w, rows), 1)) / classes
        loss = (1 - smoothing) * loss + smoothing * every
    if reduction == "mean":
        return _with(sum(loss), nothing)
    return reduce_loss(name, reshape(loss, *_example_shape(input)), reduction)


def _with(total: Tensor, nothing) -> Tensor:
    """total + nothing, but for an addition of 0, where that can be known without waiting."""
    known = isinstance(nothing, (np.ndarray, np.generic)) and nothing == 0
    return total if known else total + as_constant(nothing)


def _class_weights(name: str, weight, rows: Tensor) -> Tensor:
    classes = rows.shape[1]
    if weight is None:
        return as_constant(namespace(rows.data).ones(classes, rows.dtype))
    if weight.shape != (classes,):
        raise ValueError(f"{name}: weight must have shape ({classes},), got {weight.shape}")
    same_floats(name, rows, ("weight", weight))
    same_device(name, rows, weight)
    return weight


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
    if input.ndim == 0:
        raise ValueError("cross_entropy: input needs a class axis")
    needs_floats("cross_entropy", input)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be in [0, 1], got {label_smoothing}")
    soft = target.dtype.kind == "f" and target.shape == input.shape
    if soft and ignore_index >= 0:
        raise ValueError(f"cross_entropy: ignore_index={ignore_index} is for class numbers, target "
                         "has probabilities")
    if not (soft or label_smoothing or weight is not None):
        return _cross_entropy_of_numbers(input, target, ignore_index, reduction)
    log_p = log_softmax(input, min(1, input.ndim - 1))
    if soft:
        return _soft_cross_entropy(log_p, target, weight, reduction, label_smoothing)
    return _nll("cross_entropy", log_p, target, weight, ignore_index, reduction, label_smoothing)


def _cross_entropy_of_numbers(input, target, ignore_index, reduction):
    x, t, nothing = input.data, _targets("cross_entropy", input, target, ignore_index), None
    if reduction == "mean":
        numbers, shares, nothing = _class_shares(x, t, ignore_index)
    else:
        numbers, shares = _counted(x, t, ignore_index)
    _check_numbers("cross_entropy", input, numbers)
    rows = input if input.ndim == 2 else _classes_last(input)
    loss = cross_entropy_rows(rows, numbers, shares)
    if reduction == "mean":
        return _with(sum(loss), nothing)
    return reduce_loss("cross_entropy", reshape(loss, *_example_shape(input)), reduction)


def _soft_cross_entropy(log_p, target, weight, reduction, label_smoothing):
    """-sum_c w_c t_c log p_c, 0 log 0 being 0; "mean" divides by the number of examples, whatever
    the weights."""
    rows, t = _classes_last(log_p), _classes_last(target)
    t = t * (1 - label_smoothing) + label_smoothing / max(t.shape[1], 1)
    loss = -sum(weighed(t * _class_weights("cross_entropy", weight, rows), rows), 1)
    return reduce_loss("cross_entropy", reshape(loss, *_example_shape(log_p)), reduction)


# --------------------------------------------------------------------------- yes or no
@op("D0-BCE", terms=Elementwise(
    "-(t * maximum(log(p), -100) + (1 - t) * maximum(log(1 - p), -100))",
    "(p - t) / maximum(p * (1 - p), 1e-12)",
    "maximum(log(1 - p), -100) - maximum(log(p), -100)"))
def _bce(p: Tensor, t: Tensor):
    """-[t log p + (1 - t) log(1 - p)], each logarithm at least -100."""
    a, b = paired_arrays(p, t)
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
    target = _same_shape("binary_cross_entropy", input, target)
    _no_larger("binary_cross_entropy", input, weight=weight)
    checks.probabilities("binary_cross_entropy", "input", input.data)
    checks.probabilities("binary_cross_entropy", "target", target.data)
    loss = _bce(input, target)
    return reduce_loss("binary_cross_entropy", loss if weight is None else weighed(weight, loss),
                       reduction)


@op("D0-BCE", terms=Elementwise(
    "log1p(exp(-abs(x))) + where(where(x > 0, 1 - t, t) == 0, 0, where(x > 0, 1 - t, t) * abs(x))",
    "1 / (1 + exp(-x)) - t", "-x"))
def bce_logits(x: Tensor, t: Tensor):
    """-[t log p + (1 - t) log(1 - p)] with p = sigmoid(x), as softplus(x) - x t: stable for any x,
    +-inf too.

    gx = gy (p - t). Source: D0-BCE.
    """
    a, b = paired_arrays(x, t)
    xp = namespace(a)
    share = xp.where(a > 0, 1 - b, b)        # softplus(x) - x t, without its inf - inf and inf * 0
    size = xp.abs(a)
    y = xp.where(share == 0, share, share * size) + xp.log1p(xp.exp(-size))
    def backward(gy, need):
        return gy * (sigmoid(x) - t), gy * -x if need[1] else None
    return y, backward


@arguments
def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Tensor | None = None,
                                     reduction: str = "mean",
                                     pos_weight: Tensor | None = None) -> Tensor:
    """Binary cross entropy of p = sigmoid(x), computed from x: softplus(x) - x t, stable for any x.

    With `pos_weight` w the positive term counts w times:
    (1 - t) softplus(x) + w t softplus(-x). Source: D0-BCE.
    """
    target = _same_shape("binary_cross_entropy_with_logits", input, target)
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
    target = _same_shape("kl_div", input, target)
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
