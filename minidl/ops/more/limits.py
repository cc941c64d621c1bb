"""Limits, element by element: clamp, and the larger and the smaller of two numbers."""

from __future__ import annotations

import operator

import numpy as np

from ...checks.arguments import arguments, tensor_argument
from ...checks.arrays import check_fits
from ...device import namespace
from ...dtypes import int64, paired, result_type
from ...op import op
from ...tensor import Tensor, as_tensor
from ..arithmetic import as_constant, to
from ..terms import Elementwise
from .choices import where


def limited(x, low, high):
    """The array x limited to [low, high], numbers or arrays; None is no limit."""
    if x.dtype.kind in "ui":                     # a limit beyond the dtype's own is the dtype's own
        info = np.iinfo(x.dtype)
        low, high = (min(max(v, info.min), info.max) if isinstance(v, int) else v
                     for v in (low, high))
    return x.clip(low, high)


def bounds(input: Tensor, low, high) -> list:
    """The limits of a clamp: Python's numbers as they are, tensors as arrays."""
    if low is None and high is None:
        raise ValueError("clamp: give min, max or both")
    return [_bound(f"clamp: {name}", v, input) for name, v in (("min", low), ("max", high))]


def _bound(name: str, value, input: Tensor):
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, int):
        check_fits(name, value, input.dtype if input.dtype.kind == "f" else int64)
    if isinstance(value, (int, float, type(None))):
        return value
    limit = tensor_argument(name, value, (input,)).data
    try:
        np.broadcast_shapes(input.shape, limit.shape)
    except ValueError:
        raise ValueError(f"{name} of shape {limit.shape} does not broadcast with input of shape "
                         f"{input.shape}") from None
    return limit


@op(terms=Elementwise("clip(x, min, max)", "(clip(x, min, max) == x) * 1.0"))
def _clamp(input: Tensor, min, max):
    def backward(gy, need, out):
        inside = out.data == input.data
        if min is not None:                      # min > max: y is max, and no x is inside
            inside &= input.data >= min
        return where(as_constant(inside), gy, 0.0)
    return limited(input.data, min, max), backward


@arguments
def clamp(input: Tensor, min=None, max=None) -> Tensor:
    """x limited to [min, max], numbers or tensors; the gradient is 1 inside and on the limits, 0
    outside. A limit that is a tensor gets the gradient where it is the result."""
    limits = bounds(input, min, max)
    given = [as_tensor(v, input) for v in limits if v is not None]
    input = to(input, result_type(input.data, *[v.data for v in given]))
    if all(v is None or isinstance(v, (int, float)) for v in limits):
        return _clamp(input, *limits)
    for limit, beyond in (min, operator.lt), (max, operator.gt):
        if limit is not None:
            end = as_tensor(limit, input)
            outside = beyond(input.data, end.data) | (end.data != end.data)
            input = where(as_constant(outside), end, input)
    return input


@op(terms=Elementwise("maximum(x, z)", "where(x < z, 0.0, where(x == z, 0.5, 1.0))",
                      "where(z < x, 0.0, where(x == z, 0.5, 1.0))"))
def maximum(input: Tensor, other: Tensor):
    """The larger of x and z; where they are equal each gets half of the gradient."""
    def backward(gy, need):
        a, b = paired(input.data, other.data)
        return _larger(gy, a, b) if need[0] else None, _larger(gy, b, a) if need[1] else None
    a, b = paired(input.data, other.data)
    return namespace(a).maximum(a, b), backward


@op(terms=Elementwise("minimum(x, z)", "where(x > z, 0.0, where(x == z, 0.5, 1.0))",
                      "where(z > x, 0.0, where(x == z, 0.5, 1.0))"))
def minimum(input: Tensor, other: Tensor):
    """The smaller of x and z; where they are equal each gets half of the gradient."""
    def backward(gy, need):
        a, b = paired(input.data, other.data)
        return _larger(gy, b, a) if need[0] else None, _larger(gy, a, b) if need[1] else None
    a, b = paired(input.data, other.data)
    return namespace(a).minimum(a, b), backward


def _larger(gy: Tensor, a, b) -> Tensor:
    """The gradient of a in max(a, b): where a is larger gy, half of it where they are equal."""
    return where(as_constant(a == b), gy * 0.5, where(as_constant(a < b), 0.0, gy))
