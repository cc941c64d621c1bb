"""Smooth relatives of relu: elu, gelu, softplus."""

from __future__ import annotations

import math

from ...checks.arguments import arguments
from ...device import namespace
from ...kernels import replaceable
from ...op import op
from ...tensor import Tensor
from ..activation import softplus1, tanh
from ..arithmetic import as_constant, as_floats
from ..terms import Elementwise
from .choices import weighed, where
from .erf import erf
from .limits import clamp


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


@arguments
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^{beta x}) / beta, computed so that nothing overflows; x itself, with slope 1, where
    beta x is above `threshold`."""
    if beta == 0:
        raise ValueError("softplus: beta must not be 0")
    scaled = input if beta == 1 else input * beta
    y = softplus1(scaled) if beta == 1 else softplus1(scaled) / beta
    return y if threshold == math.inf else where(scaled > threshold, input, y)
