"""Further activations as layers; the formulas are in ``minidl.functional``."""

from __future__ import annotations

from ... import functional as F
from ...checks.arguments import arguments
from ...checks.layer_options import check_choice
from ...tensor import Tensor
from ..activation import Activation
from ..module import Module


class Sigmoid(Module):
    """1 / (1 + e^-x). Source: D0-SIGMOID."""

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


class ELU(Activation):
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
        check_choice("GELU", "approximate", approximate, "none", "tanh")
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
