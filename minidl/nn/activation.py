"""Activations as layers; ``minidl/ops/activation.py`` has the formulas in code."""

from __future__ import annotations

from .. import functional as F
from ..checks.arguments import arguments
from ..checks.layer_options import check_not_in_place
from ..tensor import Tensor
from .module import Module


class Activation(Module):
    """A function of each element; PyTorch's ``inplace`` is refused."""

    @arguments
    def __init__(self, inplace: bool = False):
        super().__init__()
        check_not_in_place(type(self).__name__, inplace)


class ReLU(Activation):
    """max(0, x). Source: D2-RELU."""

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input)


class LeakyReLU(Activation):
    """max(alpha x, x), alpha = `negative_slope`: 0.01 as in PyTorch (and D0); Keras's default, so
    D1's, is 0.3. Source: D0-LRELU."""

    @arguments
    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope)


class Tanh(Module):
    """tanh x. Source: D0-TANH."""

    def forward(self, input: Tensor) -> Tensor:
        return F.tanh(input)
