"""Batch normalisation: each channel made mean 0 and variance 1 over the batch, times w, plus b."""

from __future__ import annotations

import math

from ..checks.arguments import InPlace, arguments
from ..checks.operands import batch_norm_fits
from ..device import namespace
from ..dtypes import float64
from ..kernels import replaceable
from ..modes import mode
from ..op import op
from ..tensor import Tensor
from . import more
from .arithmetic import as_constant
from .reduce import array_sum, sum_over
from .shape import reshape
from .terms import Composite


def float64_mean(x, dim):
    """Added up in float64: float32 sums over channels-last memory lose two digits."""
    return x.mean(axis=dim, keepdims=True, dtype=float64).astype(x.dtype)


def standardized(x, dim, eps):
    """Of x over `dim`: (x - m) / sqrt(v + eps), the mean m, the variance v, 1 / sqrt(v + eps)."""
    mean = float64_mean(x, dim)
    centred = x - mean
    variance = float64_mean(centred * centred, dim)
    scale = 1 / namespace(x).sqrt(variance + x.dtype.type(eps))
    return centred * scale, mean, variance, scale


@replaceable("x", "w", "b")
def _batch_norm(x, w, b, dim, eps):
    normal, mean, variance, scale = standardized(x, dim, eps)
    return normal * w + b, mean, variance, scale


@replaceable("gy", "x", "mean", "scale", "w")
def _batch_norm_grad(gy, x, mean, scale, w, dim):
    normal = (x - mean) * scale
    gw, gb = array_sum.readable(gy * normal, dim), array_sum.readable(gy, dim)
    count = x.size // w.size
    return w * scale * (gy - gb / count - normal * (gw / count)), gw, gb


@op("D1-BN", terms=Composite(
    "m = mean(x, dim); v = var(x, dim); z = (x - m) / sqrt(v + eps); y = w * z + b",
    "dy_j/dx_i = w ((i == j) - 1/n - z_i z_j / n) / sqrt(v + eps)"))
def normalized_affine(x: Tensor, w: Tensor, b: Tensor, dim, eps):
    """y = w x^ + b, x^ = (x - m) / sqrt(v + eps), m and v the mean and variance over `dim`.

        gw = sum(gy x^),  gb = sum(gy),  gx = w (gy - gb / n - x^ gw / n) / sqrt(v + eps)

    with sums over `dim`, of n numbers; w and b have length 1 there. Returns y, m and v; only y
    carries a gradient. Source: D1-BN.
    """
    y, mean, variance, scale = _batch_norm(x.data, w.data, b.data, dim, eps)
    count = math.prod(x.shape[i] for i in dim)
    def backward(gy, need):
        if not mode.grad:            # the usual backward, on arrays; below, the same on tensors
            grads = _batch_norm_grad(gy.data, x.data, mean, scale, w.data, dim)
            return [as_constant(g) for g in grads]
        normal, *_ = more.standardization.standardize(x, dim, eps)
        scale_x = (x.var(dim, correction=0, keepdim=True) + eps) ** -0.5
        gw, gb = sum_over(gy * normal, dim, True), sum_over(gy, dim, True)
        return w * scale_x * (gy - gb / count - normal * (gw / count)), gw, gb
    return (y, mean, variance), backward


def scale_and_shift(y: Tensor, weight, bias, shape) -> Tensor:
    """weight * y + bias, both reshaped to `shape`, which is 1 along the axes they repeat on."""
    if weight is not None:
        y = y * reshape(weight, *shape)
    return y if bias is None else y + reshape(bias, *shape)


@arguments
def batch_norm(input: Tensor, running_mean: InPlace | None = None,
               running_var: InPlace | None = None, weight: Tensor | None = None,
               bias: Tensor | None = None, training: bool = False, momentum: float = 0.1,
               eps: float = 1e-5) -> Tensor:
    """gamma (x - m) / sqrt(v + eps) + beta for each channel: x (N,C) or (N,C,...). Source: D1-BN.

    Training: m, v are the mean and biased variance of the batch over all axes but C, and the
    running statistics move by ``r <- (1 - momentum) r + momentum s``, s the mean or the *unbiased*
    variance, as in PyTorch. (Keras writes ``momentum`` for what is 1 - momentum here.)
    Evaluation: m, v are the running statistics. Raises ValueError for one value a channel.
    """
    batch_norm_fits(input, running_mean, running_var, weight, bias, training, momentum, eps)
    C, dim = input.shape[1], (0, *range(2, input.ndim))
    shape = (1, C, *(1,) * (input.ndim - 2))
    if not training:
        scale = (running_var + eps) ** -0.5
        y = (input - reshape(running_mean, *shape)) * reshape(scale, *shape)
        return scale_and_shift(y, weight, bias, shape)
    if not input.numel():                        # nothing to measure: the running ones stay
        return scale_and_shift(input.clone(), weight, bias, shape)
    count = input.numel() // C
    if weight is not None and bias is not None:
        y, mean, variance = normalized_affine(input, reshape(weight, *shape),
                                              reshape(bias, *shape), dim, eps)
    else:
        y, mean, variance = more.standardization.standardize(input, dim, eps)
        y = scale_and_shift(y, weight, bias, shape)
    for running, new in ((running_mean, mean.data.reshape(C)),
                         (running_var, variance.data.reshape(C) * (count / (count - 1)))):
        if running is not None:
            running.copy_(running.data * (1 - momentum) + new * momentum)
    return y
