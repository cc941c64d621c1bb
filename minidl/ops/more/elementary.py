"""Further functions of one number, element by element: |x|, log, sqrt, sin, cos."""

from __future__ import annotations

from ...device import namespace
from ...op import op
from ...tensor import Tensor
from ..arithmetic import as_constant, as_floats
from ..terms import Elementwise


@op(terms=Elementwise("abs(x)", "sign(x)"))
def abs(input: Tensor):
    """|x|; the gradient at the kink x = 0 is 0."""
    xp = namespace(input.data)
    def backward(gy):
        return gy * as_constant(xp.sign(input.data))
    return xp.abs(input.data), backward


@op(terms=Elementwise("log(x)", "1 / x"))
def log(input: Tensor):
    """ln x; -inf at 0, nan below."""
    y = namespace(input.data).log(as_floats(input))
    def backward(gy):
        return gy / input
    return y, backward


@op(terms=Elementwise("sqrt(x)", "1 / (2 * y)"))
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
