"""Element by element: + - * / ** and exp; the change of dtype and device.

Operands broadcast against each other as in NumPy; the engine sums gradients back. The result's
dtype is PyTorch's (dtypes.result_type), and a function of an integer is float32.
"""

from __future__ import annotations

import numpy as np

from ..checks.operands import power_exists
from ..device import move, namespace
from ..dtypes import paired
from ..op import op
from ..tensor import Tensor
from . import more
from .terms import Elementwise, Gather


def as_floats(x: Tensor):
    """The array as floats."""
    return x.data if x.data.dtype.kind == "f" else x.data.astype(np.float32)


def as_constant(array) -> Tensor:
    """An array of a backward formula (a mask, a sign) as a tensor that wants no gradient."""
    return Tensor._wrap(np.asarray(array) if isinstance(array, np.generic) else array)


@op(terms=Elementwise("x + z", "1", "1"))
def add(input: Tensor, other: Tensor):
    """x + z."""
    a, b = paired(input.data, other.data)
    def backward(gy):
        return gy, gy
    return a + b, backward


@op(terms=Elementwise("x - z", "1", "-1"))
def sub(input: Tensor, other: Tensor):
    """x - z. Raises TypeError for two booleans."""
    a, b = paired(input.data, other.data)
    if a.dtype.kind == "b":
        raise TypeError("sub: booleans are not subtracted; use x ^ y, or .int()")
    def backward(gy, need):
        return gy, (-gy if need[1] else None)
    return a - b, backward


@op(terms=Elementwise("x * z", "z", "x"))
def mul(input: Tensor, other: Tensor):
    """x z."""
    a, b = paired(input.data, other.data)
    def backward(gy, need):
        return (gy * other if need[0] else None), (gy * input if need[1] else None)
    return a * b, backward


@op(terms=Elementwise("x / z", "1 / z", "-x / z**2"))
def div(input: Tensor, other: Tensor):
    """x / z; of two integers float32."""
    floats = "f" in (input.data.dtype.kind, other.data.dtype.kind)
    a, b = paired(input.data, other.data) if floats else (as_floats(input), as_floats(other))
    def backward(gy, need, out):
        gx = gy / other
        return gx, (-gx * out if need[1] else None)
    return a / b, backward


@op(terms=Elementwise("x ** z", "where(z == 0, 0, z * x ** (z - 1))", "y * log(x)"))
def pow(input: Tensor, other: Tensor):
    """x^z. Its gradient for x is 0 where z = 0, also at x = 0; that for z is 0 where x = 0 and
    z >= 0 (for z > 0 the limit). Raises ValueError for integers to a negative power, TypeError for
    two booleans."""
    a, b = paired(input.data, other.data)
    power_exists(a, other.data)
    def backward(gy, need, out):
        gx = gb = None
        if need[0]:
            # z x^(z-1), but z x^0 = 0 where z = 0 and x^-1 is inf or nan: 0 * inf would be nan.
            x_to_0 = as_constant((b == 0) & ~namespace(a).isfinite(1 / a))
            gx = gy * other * input ** (more.choices.where(x_to_0, 1, other) - 1)
        if need[1]:                               # x^z log x, with log 1 for log 0 = -inf
            zero = as_constant((input.data == 0) & (other.data >= 0))
            base = to(more.choices.where(zero, 1, input), gy.dtype)
            gb = gy * out * more.elementary.log(base)
        return gx, gb
    return a ** b, backward


@op(terms=Elementwise("-x", "-1"))
def neg(input: Tensor):
    """-x. Raises TypeError for booleans."""
    if input.data.dtype.kind == "b":
        raise TypeError("neg: booleans have no sign; use ~x, or .int()")
    def backward(gy):
        return -gy
    return -input.data, backward


@op(terms=Elementwise("exp(x)", "y"))
def exp(input: Tensor):
    """e^x."""
    def backward(gy, need, out):
        return gy * out
    return namespace(input.data).exp(as_floats(input)), backward


@op(terms=Gather())
def _convert(input: Tensor, dtype, device):
    """The numbers in another dtype or on another device."""
    moved = move(input.data, device)            # a copy, or the array itself if it is there already
    y = moved.astype(dtype, copy=moved is input.data)
    before = input.dtype, input.device
    def backward(gy):
        return to(gy, *before)
    return y, (backward if y.dtype.kind == "f" else None)


def to(input: Tensor, dtype=None, device=None) -> Tensor:
    """The tensor itself if `dtype` and `device` (None: unchanged) fit, else a converted copy."""
    dtype, device = dtype or input.dtype, device or input.device
    same = dtype == input.dtype and device == input.device
    return input if same else _convert(input, dtype, device)
