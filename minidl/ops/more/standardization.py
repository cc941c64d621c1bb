"""Standardization, and what is made of it: layer norm, group norm, batch norm without weights."""

from __future__ import annotations

import math

from ... import checks
from ...checks.arguments import arguments
from ...checks.axis_numbers import axis_numbers, sizes_given
from ...checks.operands import needs_floats, parameters_fit
from ...modes import mode
from ...op import op
from ...tensor import Tensor
from ..arithmetic import as_constant
from ..norm import float64_mean, scale_and_shift, standardized
from ..reduce import sum_over
from ..shape import reshape
from ..terms import Composite
from .copies import clone
from .variance import var


def _standardize_grad(gy, y, scale, dim):
    return scale * (gy - float64_mean(gy, dim) - y * float64_mean(gy * y, dim))


@op("D1-BN", terms=Composite(
    "m = mean(x, dim); v = var(x, dim); y = (x - m) / sqrt(v + eps)",
    "dy_j/dx_i = ((i == j) - 1/n - y_i y_j / n) / sqrt(v + eps)"))
def standardize(x: Tensor, dim, eps):
    """y = (x - m) / sqrt(v + eps), m and v the mean and (biased) variance over the axes `dim`.

        gx = (gy - mean(gy) - y mean(gy y)) / sqrt(v + eps)

    Returns y, m and v; only y carries a gradient. Source: D1-BN.
    """
    y, mean, variance, scale = standardized(x.data, dim, eps)
    count = math.prod(x.shape[i] for i in dim)

    def backward(gy, need, out):
        if not mode.grad:            # the usual backward: the formula on arrays, in one go
            return as_constant(_standardize_grad(gy.data, y, scale, dim))
        # Recording: the same in tensors, the scale too as a function of x.
        scale_x = (var(x, dim, correction=0, keepdim=True) + eps) ** -0.5
        mean_g = sum_over(gy, dim, True) / count
        mean_gy = sum_over(gy * out, dim, True) / count
        return scale_x * (gy - mean_g - out * mean_gy)

    return (y, mean, variance), backward


def _standard(x: Tensor, dim, eps) -> Tensor:
    """y of :func:`standardize`; of no numbers there is no mean."""
    return standardize(x, dim, eps)[0] if x.numel() else clone(x)


@arguments
def layer_norm(input: Tensor, normalized_shape, weight: Tensor | None = None,
               bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """(x - m) / sqrt(v + eps) over the last axes, which have `normalized_shape`, times weight plus
    bias of that shape. Ba, Kiros, Hinton (2016)."""
    shape = sizes_given("layer_norm: each length of normalized_shape", (normalized_shape,))
    if not shape or input.shape[input.ndim - len(shape):] != shape:
        raise ValueError(f"layer_norm: input {input.shape} does not end in {shape}")
    needs_floats("layer_norm", input)
    checks.number("layer_norm: eps", eps)
    parameters_fit("layer_norm", input, shape, weight=weight, bias=bias)
    y = _standard(input, axis_numbers("layer_norm", tuple(range(-len(shape), 0)), input.ndim), eps)
    return scale_and_shift(y, weight, bias, shape)


@arguments
def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None,
               bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Standardized over each of `num_groups` groups of channels, then weight, bias a channel:
    x (N,C,...). Wu, He (2018)."""
    if input.ndim < 2:
        raise ValueError(f"group_norm: input must be (N, C) or (N, C, ...), got {input.shape}")
    needs_floats("group_norm", input)
    checks.number("group_norm: eps", eps)
    N, C = input.shape[:2]
    if num_groups < 1 or C % num_groups:
        raise ValueError(f"group_norm: {C} channels do not divide into {num_groups} groups")
    parameters_fit("group_norm", input, (C,), weight=weight, bias=bias)
    grouped = reshape(input, N, num_groups, math.prod(input.shape[1:]) // num_groups)
    y = _standard(grouped, (2,), eps)
    return scale_and_shift(reshape(y, *input.shape), weight, bias, (1, C, *(1,) * (input.ndim - 2)))
