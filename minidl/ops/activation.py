"""Nonlinearities, element by element. At the kink x = 0 the slope of relu is 0, as in PyTorch."""

from __future__ import annotations

import math

from ..checks.arguments import arguments
from ..device import namespace
from ..kernels import replaceable
from ..modes import mode
from ..op import op
from ..tensor import Tensor
from .arithmetic import as_constant, as_floats, clamp, weighed, where
from .more.erf import erf
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


@op("D2-RELU", terms=Elementwise("gy * (y > 0)", "(y > 0) * 1.0"))
def relu_grad(gy: Tensor, y):
    """gy where y > 0, else 0: linear in gy, so its own adjoint."""
    def backward(g):
        return relu_grad(g, y)
    return _relu_grad(gy.data, y), backward


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
    """x where x > 0, else alpha x; = max(alpha x, x) for alpha <= 1. Source: D0-LRELU."""
    x = as_floats(input)
    def backward(gy):
        return leaky_relu_grad(gy, input, negative_slope)
    y = _leaky_relu(x, negative_slope) if negative_slope else _relu(x)         # 0 * inf is nan
    return y, backward


@op("D0-LRELU", terms=Elementwise("where(y > 0, gy, negative_slope * gy)",
                                  "where(y > 0, 1.0, negative_slope)", ""))
def leaky_relu_grad(gy: Tensor, y: Tensor, negative_slope):
    """gy where y > 0, else alpha gy: linear in gy, so its own adjoint; constant in y."""
    def backward(g, need):
        return leaky_relu_grad(g, y, negative_slope) if need[0] else None, None
    return _leaky_relu_grad(gy.data, y.data, negative_slope), backward


# --------------------------------------------------------------------------- with a bias before it
@replaceable("x", "b")
def _bias_activation(x, b, slope):
    z = x + b
    return _leaky_relu.readable(z, slope) if slope else _relu.readable(z)


@replaceable("gy", "y")
def _bias_activation_grad(gy, y, shape, slope):
    """gx, and its sum for b, or None where the engine is to add it up."""
    return _leaky_relu_grad.readable(gy, y, slope), None


@op("D2-RELU", terms=Elementwise("where(x + b > 0, x + b, slope * (x + b))",
                                 "where(x + b > 0, 1.0, slope)", "where(x + b > 0, 1.0, slope)"))
def bias_activation(x: Tensor, b: Tensor, slope):
    """z = x + b, y = z where z > 0, else slope z: a bias and what follows it, in one pass.

    slope 0 is relu, and above 0 leaky relu; b broadcasts. gx = gy where y > 0, else slope gy (y has
    the sign of z), and gb is its sum. Source: D2-RELU, D0-LRELU.
    """
    shape = b.shape
    def backward(gy, need, out):
        if mode.grad or not need[1]:
            gx = leaky_relu_grad(gy, out, slope)
            return gx, gx
        gx, gb = _bias_activation_grad(gy.data, out.data, shape, slope)
        return as_constant(gx), as_constant(gx if gb is None else gb)
    return _bias_activation(x.data, b.data, slope), backward


@arguments
@op(terms=Elementwise("where(x > 0, x, alpha * expm1(x))",
                      "where(x > 0, 1.0, alpha * exp(minimum(x, 0)))"))
def elu(input: Tensor, alpha: float = 1.0):
    """x where x > 0, else alpha (e^x - 1). Clevert, Unterthiner, Hochreiter (2015)."""
    x = as_floats(input)
    xp = namespace(x)
    y = xp.where(x > 0, x, alpha * xp.expm1(xp.minimum(x, 0)))
    positive = as_constant(x > 0)
    def backward(gy):
        return where(positive, gy, gy * alpha * where(positive, 0.0, input).exp())
    return y, backward


@arguments
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Phi(x), Phi the normal distribution function; ``approximate="tanh"`` replaces Phi by
    (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2. Hendrycks, Gimpel (2016)."""
    if approximate == "tanh":
        x = clamp(input, -40, 40)                # tanh is 1 long before, and inf^3 * 0 would be nan
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return weighed(0.5 * (1 + tanh(inner)), input)
    if approximate != "none":
        raise ValueError(f'gelu: approximate must be "none" or "tanh", got {approximate!r}')
    return weighed(normal_cdf(input), input)


@replaceable("x")
def _normal_cdf(x):
    return 0.5 * (1 + erf(x * (1 / math.sqrt(2))))


@op(terms=Elementwise("0.5 * (1 + erf(x / sqrt(2.0)))", "exp(-x**2 / 2) / sqrt(2 * pi)"))
def normal_cdf(input: Tensor):
    """Phi(x) = (1 + erf(x / sqrt 2)) / 2; its slope is the normal density."""
    x = as_floats(input)
    def backward(gy):
        return weighed((input * input * -0.5).exp() * (1 / math.sqrt(2 * math.pi)), gy)
    return _normal_cdf(x), backward


def _softplus(x):
    xp = namespace(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


@op(terms=Elementwise("log1p(exp(-abs(x))) + maximum(x, 0)", "1 / (1 + exp(-x))"))
def softplus1(input: Tensor):
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)"""
    def backward(gy):
        return gy * sigmoid(input)
    return _softplus(as_floats(input)), backward


@arguments
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^{beta x}) / beta, computed so that nothing overflows; x itself, with slope 1, where
    beta x is above `threshold`."""
    if beta == 0:
        raise ValueError("softplus: beta must not be 0")
    scaled = input if beta == 1 else input * beta
    y = softplus1(scaled) if beta == 1 else softplus1(scaled) / beta
    return y if threshold == math.inf else where(scaled > threshold, input, y)


def _array_sigmoid(x):
    xp = namespace(x)
    e = xp.exp(-xp.abs(x))                               # in (0, 1]: never overflows
    return xp.where(x >= 0, 1, e) / (1 + e)


@op("D0-SIGMOID", terms=Elementwise("1 / (1 + exp(-x))", "out * (1 - out)"))
def sigmoid(input: Tensor):
    """s = 1 / (1 + e^-x); gx = gy s (1 - s). Source: D0-SIGMOID."""
    def backward(gy, need, out):
        return gy * out * (1 - out)
    return _array_sigmoid(as_floats(input)), backward


@op("D0-TANH", terms=Elementwise("tanh(x)", "1 - out**2"))
def tanh(input: Tensor):
    """t = tanh x; gx = gy (1 - t^2). Source: D0-TANH."""
    def backward(gy, need, out):
        return gy * (1 - out * out)
    return namespace(input.data).tanh(as_floats(input)), backward
