"""Activations as layers; the formulas are in ``minidl.functional``."""

from __future__ import annotations

from .. import functional as F
from ..checks.arguments import arguments
from ..tensor import Tensor
from .module import Module


class _Activation(Module):
    """A function of each element; PyTorch's ``inplace`` is refused."""

    @arguments
    def __init__(self, inplace: bool = False):
        super().__init__()
        if inplace:
            raise ValueError(f"{type(self).__name__}: inplace=True is not offered; the result is a "
                             "new tensor")


class ReLU(_Activation):
    """max(0, x). Source: D2-RELU."""

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input)


class LeakyReLU(_Activation):
    """max(alpha x, x), alpha = `negative_slope`: 0.01 as in PyTorch (and D0); Keras's default, so
    D1's, is 0.3. Source: D0-LRELU."""

    @arguments
    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope)


class ELU(_Activation):
    """x where x > 0, else alpha (e^x - 1)."""

    @arguments
    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha)


class GELU(Module):
    """x Phi(x), Phi the normal distribution function; `approximate` "none" or "tanh"."""

    @arguments
    def __init__(self, approximate: str = "none"):
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f'GELU: approximate must be "none" or "tanh", got {approximate!r}')
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, self.approximate)


class Softplus(Module):
    """log(1 + e^{beta x}) / beta."""

    @arguments
    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        super().__init__()
        if beta == 0:
            raise ValueError("Softplus: beta must not be 0")
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)


class Sigmoid(Module):
    """1 / (1 + e^-x). Source: D0-SIGMOID."""

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


class Tanh(Module):
    """tanh x. Source: D0-TANH."""

    def forward(self, input: Tensor) -> Tensor:
        return F.tanh(input)


class Softmax(Module):
    """e^{x_i} / sum_k e^{x_k} along `dim`, which must be given. Source: D1-SOFTMAX."""

    @arguments
    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)


class LogSoftmax(Module):
    """log softmax along `dim`, which must be given. Source: D1-SOFTMAX."""

    @arguments
    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)
