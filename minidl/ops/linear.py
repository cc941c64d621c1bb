"""Matrix products, and the layer that is one: y = x W^T + b."""

from __future__ import annotations

import math

from ..checks.arguments import arguments
from ..checks.operands import linear_fits
from ..device import namespace
from ..dtypes import paired
from ..kernels import replaceable
from ..op import op
from ..tensor import Tensor
from .reduce import sum_over
from .shape import permute_axes, reshape
from .terms import Contract


@op(name="matmul", terms=Contract("y[...,i,j] += a[...,i,k] * b[...,k,j]"))
def matrix_product(a: Tensor, b: Tensor):
    """ga = gy b^T,  gb = a^T gy  (``b.mT`` is b with its last two axes exchanged)"""
    def backward(gy, need):
        return (matrix_product(gy, b.mT) if need[0] else None,
                matrix_product(a.mT, gy) if need[1] else None)
    return _matmul_arrays(*paired(a.data, b.data)), backward


@replaceable("a", "b")
def _matmul_arrays(a, b):
    return namespace(a).matmul(a, b)


@replaceable("x", "w")
def _linear_arrays(x, w, b):
    return x @ w.T if b is None else x @ w.T + b


@op("D1-DENSE", terms=Contract("y[n,o] += x[n,i] * w[o,i]", bias="y[n,o] += b[o]"))
def _linear(x: Tensor, w: Tensor, b: Tensor | None):
    """gx = gy W,  gW = gy^T x,  gb = sum_n gy"""
    def backward(gy, need):
        return (matrix_product(gy, w) if need[0] else None,
                matrix_product(permute_axes(gy, (1, 0)), x) if need[1] else None,
                sum_over(gy, (0,), False) if need[2] else None)
    return _linear_arrays(x.data, w.data, None if b is None else b.data), backward


@arguments
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x W^T + b: x (..., I), W (O, I), b (O,) -> y (..., O). Raises ValueError when the lengths
    do not fit, TypeError when the dtypes differ. Source: D1-DENSE."""
    linear_fits(input, weight, bias)
    if input.ndim == 2:
        return _linear(input, weight, bias)
    rows = reshape(input, math.prod(input.shape[:-1]), weight.shape[1])
    return reshape(_linear(rows, weight, bias), *input.shape[:-1], weight.shape[0])
