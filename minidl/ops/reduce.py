"""Sums, means, the place of the maximum, softmax. ``dim`` is an axis, several, or None for all."""

from __future__ import annotations

import math

from ..checks.arguments import arguments
from ..checks.axis_numbers import axis_number, axis_numbers, nonempty_axes
from ..checks.operands import needs_floats
from ..device import namespace
from ..dtypes import float64, int64
from ..kernels import replaceable
from ..op import op
from ..tensor import Tensor
from .arithmetic import as_floats
from .shape import expand_to
from .terms import Composite, Reduce


@replaceable("x")
def array_sum(x, axis, keepdims=True):
    """The sum of x over `axis`: integers in int64, floats in float64. (NumPy adds rows one by one,
    and in float32 four million times 0.1 would make 385,000.)"""
    if x.dtype.kind != "f":
        return x.sum(axis=axis, keepdims=keepdims, dtype=int64)
    return x.sum(axis=axis, keepdims=keepdims, dtype=float64).astype(x.dtype, copy=False)


@op(name="sum", terms=Reduce())
def sum_over(input: Tensor, dim, keepdim):
    """The sum over the axes `dim`; its adjoint repeats."""
    shape = input.shape
    def backward(gy):
        return expand_to(gy, shape, () if keepdim else dim)
    return array_sum(input.data, dim, keepdim), backward


@arguments
def sum(input: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """The sum over `dim`. Booleans and integers are counted in int64."""
    axes = tuple(range(input.ndim)) if dim is None else axis_numbers("sum", dim, input.ndim)
    return sum_over(input, axes, keepdim)


@arguments
def mean(input: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """The mean over `dim`: sum / n."""
    needs_floats("mean", input)
    axes = tuple(range(input.ndim)) if dim is None else axis_numbers("mean", dim, input.ndim)
    return sum_over(input, axes, keepdim) / math.prod([input.shape[i] for i in axes])


def reduce_loss(name: str, loss: Tensor, reduction: str) -> Tensor:
    """The mean, the sum, or the loss of each element. Raises ValueError for another word."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'{name}: reduction must be "mean", "sum" or "none", got {reduction!r}')
    return mean(loss) if reduction == "mean" else sum(loss) if reduction == "sum" else loss


def array_max(x, dim):
    """The maximum over `dim`, kept as axes of length 1; 0 where there are no numbers."""
    return (x.max if x.size else x.sum)(axis=dim, keepdims=True)


@arguments
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the (first) maximum is: in the flattened tensor, or along `dim`. No gradient."""
    return place_of_extreme("argmax", input, dim, keepdim)


def place_of_extreme(name: str, input: Tensor, dim, keepdim) -> Tensor:
    """Where the first largest ("argmax") or smallest ("argmin") element is."""
    dim = None if dim is None else axis_number(name, dim, input.ndim)
    nonempty_axes(name, dim, input.shape)
    y = getattr(input.data, name)(axis=dim if input.ndim else None, keepdims=keepdim)
    return Tensor._wrap(namespace(input.data).asarray(y))


@arguments
@op("D1-SOFTMAX", terms=Composite("m = max(x, dim); e = exp(x - m); s = sum(e, dim); y = e / s",
                                  "dy_j/dx_i = y_j ((i == j) - y_i)"))
def softmax(input: Tensor, dim: int = -1):
    """y_i = e^{x_i} / sum_k e^{x_k} along `dim`, computed with x - max x;
    gx_i = y_i (gy_i - sum_k gy_k y_k). Source: D1-SOFTMAX."""
    dim = axis_numbers("softmax", dim, input.ndim)
    x = as_floats(input)
    e = namespace(x).exp(x - array_max(x, dim))
    def backward(gy, need, out):
        return out * (gy - (gy * out).sum(dim, keepdim=True))
    return e / array_sum.readable(e, dim), backward
