"""Element by element: + - * / ** and the functions of one number.

Operands broadcast against each other as in NumPy; the engine sums gradients back. The result's
dtype is PyTorch's (dtypes.result_type), and a function of an integer is float32.
"""

from __future__ import annotations

import operator

import numpy as np

from .. import checks
from ..checks.arguments import arguments, tensor_argument
from ..checks.arrays import check_fits
from ..device import constant, move, namespace
from ..dtypes import float32, int64, paired, result_type
from ..op import op
from ..tensor import Tensor, as_tensor
from .terms import Elementwise, Gather


def paired_arrays(x: Tensor, y: Tensor):
    """Both arrays in the dtype of the result."""
    a, b = x.data, y.data
    return (a, b) if a.dtype is b.dtype else paired(a, b)


def as_floats(x: Tensor):
    """The array as floats."""
    return x.data if x.data.dtype.kind == "f" else x.data.astype(np.float32)


def needs_floats(name: str, x: Tensor) -> None:
    """Refuse integers and booleans where a formula has no use for them."""
    if x.data.dtype.kind != "f":
        raise TypeError(f"{name}: input must be floats, got {x.dtype}; use .float() first")


def same_floats(name: str, input: Tensor, *others: tuple[str, Tensor | None]) -> None:
    """Refuse integers (images as they are stored, say), and float64 for a float32 network (an array
    that NumPy made, say: it would double the cost of everything after it)."""
    needs_floats(name, input)
    for what, other in others:
        if other is not None and other.data.dtype != input.data.dtype:
            raise TypeError(f"{name}: input is {input.dtype} and {what} {other.dtype}; convert one "
                            "of them, as in x.float() or model.double()")


def as_constant(array) -> Tensor:
    """An array in a backward formula that is not differentiated again: a mask, a sign."""
    return Tensor._wrap(np.asarray(array) if isinstance(array, np.generic) else array)


@op(terms=Elementwise("x + y", "1", "1"))
def add(input: Tensor, other: Tensor):
    """x + y."""
    a, b = paired_arrays(input, other)
    def backward(gy):
        return gy, gy
    return a + b, backward


@op(terms=Elementwise("x - y", "1", "-1"))
def sub(input: Tensor, other: Tensor):
    """x - y. Raises TypeError for two booleans."""
    a, b = paired_arrays(input, other)
    if a.dtype.kind == "b":
        raise TypeError("sub: booleans are not subtracted; use x ^ y, or .int()")
    def backward(gy, need):
        return gy, -gy if need[1] else None
    return a - b, backward


@op(terms=Elementwise("x * y", "y", "x"))
def mul(input: Tensor, other: Tensor):
    """x y."""
    a, b = paired_arrays(input, other)
    def backward(gy, need):
        return gy * other if need[0] else None, gy * input if need[1] else None
    return a * b, backward


@op(terms=Elementwise("where(x == 0, 0, x * y)", "y", "x"))
def weighed(input: Tensor, other: Tensor):
    """x y, but 0 where the weight x is 0, whatever y is: what counts nothing may be inf or nan."""
    a, b = paired_arrays(input, other)
    def backward(gy, need):
        return (weighed(gy, other) if need[0] else None,
                weighed(input, gy) if need[1] else None)
    return namespace(a).where(a == 0, a, a * b), backward


@op(terms=Elementwise("x / y", "1 / y", "-x / y**2"))
def div(input: Tensor, other: Tensor):
    """x / y; of two integers float32."""
    a, b = input.data, other.data
    a, b = paired_arrays(input, other) if "f" in (a.dtype.kind, b.dtype.kind) else (
        a.astype(float32), b.astype(float32))
    def backward(gy, need, out):
        gx = gy / other
        return gx, -gx * out if need[1] else None
    return a / b, backward


@op(terms=Elementwise("x ** y", "where(y == 0, 0, y * x ** (y - 1))", "out * log(x)"))
def pow(input: Tensor, other: Tensor):
    """x^y. At x = 0, where 0 * inf would make nan: the gradient of x^0 is 0, and that of 0^y for y
    is 0 (y >= 0; its limit for y > 0). Raises ValueError for integers to a negative power,
    TypeError for two booleans."""
    a, b = paired_arrays(input, other)
    if a.dtype.kind == "b":
        raise TypeError("pow: of booleans there are no powers; use .int() first")
    if a.dtype.kind != "f":
        checks.require(other.data >= 0, "pow: integers have no negative powers; use .float() first")
    def backward(gy, need, out):
        gx = gb = None
        if need[0]:
            # y x^(y-1); where y = 0 and 1/x is no number, the exponent 0 keeps 0 * inf = nan away
            endless = (b == 0) & ~namespace(a).isfinite(1 / a)
            gx = gy * other * input ** (where(as_constant(endless), 1, other) - 1)
        if need[1]:
            zero = as_constant((input.data == 0) & (other.data >= 0))
            gb = gy * out * log(to(where(zero, 1, input), gy.dtype))
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


@op(terms=Elementwise("abs(x)", "sign(x)"))
def abs(input: Tensor):
    """|x|; the gradient at the kink x = 0 is 0."""
    xp = namespace(input.data)
    def backward(gy):
        return gy * as_constant(xp.sign(input.data))
    return xp.abs(input.data), backward


@op(terms=Elementwise("exp(x)", "out"))
def exp(input: Tensor):
    """e^x."""
    def backward(gy, need, out):
        return gy * out
    return namespace(input.data).exp(as_floats(input)), backward


@op(terms=Elementwise("log(x)", "1 / x"))
def log(input: Tensor):
    """ln x; -inf at 0, nan below."""
    y = namespace(input.data).log(as_floats(input))
    def backward(gy):
        return gy / input
    return y, backward


@op(terms=Elementwise("sqrt(x)", "1 / (2 * out)"))
def sqrt(input: Tensor):
    """The square root; nan below 0. The gradient at 0 is infinite, as the slope is."""
    y = namespace(input.data).sqrt(as_floats(input))
    def backward(gy, need, out):
        return gy / (2 * out)
    return y, backward


@op(terms=Elementwise("sin(x)", "cos(x)"))
def sin(input: Tensor):
    """sin x, x in radians."""
    def backward(gy):
        return gy * cos(input)
    return namespace(input.data).sin(as_floats(input)), backward


@op(terms=Elementwise("cos(x)", "-sin(x)"))
def cos(input: Tensor):
    """cos x, x in radians."""
    def backward(gy):
        return -gy * sin(input)
    return namespace(input.data).cos(as_floats(input)), backward


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


@op(terms=Elementwise("maximum(x, y)", "where(x < y, 0.0, where(x == y, 0.5, 1.0))",
                      "where(y < x, 0.0, where(x == y, 0.5, 1.0))"))
def maximum(input: Tensor, other: Tensor):
    """The larger of x and y; where they are equal each gets half of the gradient."""
    def backward(gy, need):
        a, b = paired_arrays(input, other)
        return _larger(gy, a, b) if need[0] else None, _larger(gy, b, a) if need[1] else None
    a, b = paired_arrays(input, other)
    return namespace(a).maximum(a, b), backward


@op(terms=Elementwise("minimum(x, y)", "where(x > y, 0.0, where(x == y, 0.5, 1.0))",
                      "where(y > x, 0.0, where(x == y, 0.5, 1.0))"))
def minimum(input: Tensor, other: Tensor):
    """The smaller of x and y; where they are equal each gets half of the gradient."""
    def backward(gy, need):
        a, b = paired_arrays(input, other)
        return _larger(gy, b, a) if need[0] else None, _larger(gy, a, b) if need[1] else None
    a, b = paired_arrays(input, other)
    return namespace(a).minimum(a, b), backward


def _larger(gy: Tensor, a, b) -> Tensor:
    """The gradient of a in max(a, b): where a is larger gy, half of it where they are equal."""
    return where(as_constant(a == b), gy * 0.5, where(as_constant(a < b), 0.0, gy))


@op(terms=Elementwise("where(c, x, y)", "", "c * 1.0", "1.0 - c"))
def where(condition: Tensor, input: Tensor, other: Tensor):
    """x where the condition (a boolean tensor) holds, y elsewhere."""
    c = condition.data
    if c.dtype != np.bool_:
        raise TypeError(f"where: condition must be boolean, got {c.dtype}")
    a, b = paired_arrays(input, other)
    def backward(gy, need):
        zero = Tensor._wrap(constant(0.0, gy.dtype, c))
        return (None, where(condition, gy, zero) if need[1] else None,
                where(condition, zero, gy) if need[2] else None)
    return namespace(c).where(c, a, b), backward


# --------------------------------------------------------------------------- copies
@op(terms=Gather())
def clone(input: Tensor):
    """A copy with a gradient path."""
    def backward(gy):
        return gy
    return input.data.copy(), backward


@arguments
def contiguous(input: Tensor) -> Tensor:
    """The tensor itself if it is in C order, else a copy that is."""
    return input if input.data.flags.c_contiguous else clone(input)


@op(terms=Gather())
def _convert(input: Tensor, dtype, device):
    """The numbers in another dtype or on another device."""
    array = move(input.data, device)
    y = array.astype(dtype, copy=array is input.data)             # moved, it is a copy already
    before = input.dtype, input.device
    def backward(gy):
        return to(gy, *before)
    return y, (backward if y.dtype.kind == "f" else None)


def to(input: Tensor, dtype=None, device=None) -> Tensor:
    """The tensor itself if `dtype` and `device` (None: unchanged) fit, else a converted copy."""
    dtype, device = dtype or input.dtype, device or input.device
    if dtype == input.dtype and device == input.device:
        return input
    return _convert(input, dtype, device)
