"""Nonlinearities, element by element. At the kink x = 0 the slope of relu is 0, as in PyTorch."""

from __future__ import annotations

from ..checks.arguments import arguments
from ..device import namespace
from ..kernels import replaceable
from ..op import op
from ..tensor import Tensor
from .arithmetic import as_floats
from .terms import Elementwise


@replaceable("x")
def _relu(x):
    return namespace(x).maximum(x, 0)


@replaceable("gy", "y")
def _relu_grad(gy, y):
    return namespace(y).where(y > 0, gy, 0)


@op("D2-RELU", terms=Elementwise("maximum(x, 0)", "(x > 0) * 1.0"))
def relu(input: Tensor):
    """max(0, x); gx = gy where x > 0, else 0. Raises TypeError for booleans. Source: D2-RELU."""
    if input.data.dtype.kind == "b":
        raise TypeError("relu: booleans have no sign; use .int() first")
    def backward(gy, need, out):
        return relu_grad(gy, out.data)
    return _relu(input.data), backward


@op("D2-RELU", terms=Elementwise("g * (x > 0)", "(x > 0) * 1.0"))
def relu_grad(g: Tensor, x):
    """g where x > 0, else 0 (x: relu's output, an array): linear in g, so its own adjoint."""
    def backward(gy):
        return relu_grad(gy, x)
    return _relu_grad(g.data, x), backward


@replaceable("x")
def _leaky_relu(x, slope):
    return namespace(x).where(x > 0, x, x * x.dtype.type(slope))


@replaceable("gy", "x")
def _leaky_relu_grad(gy, x, slope):
    return namespace(x).where(x > 0, gy, gy * gy.dtype.type(slope) if slope else 0)


@arguments
@op("D0-LRELU", terms=Elementwise("where(x > 0, x, negative_slope * x)",
                                  "where(x > 0, 1.0, negative_slope)"))
def leaky_relu(input: Tensor, negative_slope: float = 0.01):
    """x where x > 0, else alpha x; = max(alpha x, x) for alpha <= 1. Alpha 0 is computed as relu,
    for 0 * inf is nan. Source: D0-LRELU."""
    x = as_floats(input)
    def backward(gy):
        return leaky_relu_grad(gy, input, negative_slope)
    return (_leaky_relu(x, negative_slope) if negative_slope else _relu(x)), backward


@op("D0-LRELU", terms=Elementwise("where(x > 0, g, negative_slope * g)",
                                  "where(x > 0, 1.0, negative_slope)", ""))
def leaky_relu_grad(g: Tensor, x: Tensor, negative_slope):
    """g where x > 0, else alpha g: linear in g, so its own adjoint. x is the input or the output of
    leaky_relu, whose signs are equal; the derivative with respect to x is 0."""
    def backward(gy, need):
        return leaky_relu_grad(gy, x, negative_slope) if need[0] else None, None
    return _leaky_relu_grad(g.data, x.data, negative_slope), backward


@op(terms=Elementwise("log1p(exp(-abs(x))) + maximum(x, 0)", "1 / (1 + exp(-x))"))
def softplus1(input: Tensor):
    """Softplus with beta = 1: log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), without overflow.
    gx = gy sigmoid(x)."""
    x, xp = as_floats(input), namespace(input.data)
    def backward(gy):
        return gy * sigmoid(input)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x))), backward


@op("D0-SIGMOID", terms=Elementwise("1 / (1 + exp(-x))", "y * (1 - y)"))
def sigmoid(input: Tensor):
    """s = 1 / (1 + e^-x); gx = gy s (1 - s). Source: D0-SIGMOID."""
    x, xp = as_floats(input), namespace(input.data)
    e = xp.exp(-xp.abs(x))                               # in (0, 1]: never overflows
    def backward(gy, need, out):
        return gy * out * (1 - out)
    return xp.where(x >= 0, 1, e) / (1 + e), backward


@op("D0-TANH", terms=Elementwise("tanh(x)", "1 - y**2"))
def tanh(input: Tensor):
    """t = tanh x; gx = gy (1 - t^2). Source: D0-TANH."""
    def backward(gy, need, out):
        return gy * (1 - out * out)
    return namespace(input.data).tanh(as_floats(input)), backward
