"""Dense layers."""

from __future__ import annotations

import numpy as np

from .. import checks
from .. import functional as F
from ..checks.arguments import arguments
from ..tensor import Tensor
from .initial_weights import pytorch_
from .module import Module
from .more.showing import CountedLayer
from .parameter import Parameter


def uninitialised(*shape: int) -> Parameter:
    """A float32 parameter still to be initialised."""
    return Parameter(np.zeros(shape, np.float32))


class WeightedLayer(CountedLayer, Module):
    """A dense or convolution layer. A subclass has ``weight``, ``bias`` (or None), and a method
    ``product(input, bias=None)``: nn/fusion.py calls it without the bias, and adds that later."""

    def reset_parameters(self) -> None:
        """Draw new weights."""
        pytorch_(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return self.product(input, self.bias)


class Linear(WeightedLayer):
    """y = x W^T + b: (..., in_features) -> (..., out_features), W (out_features, in_features).
    Source: D1-DENSE."""

    @arguments
    def __init__(self, in_features: int, out_features: int, bias: bool = True):
        super().__init__()
        self.in_features = checks.whole("Linear: in_features", in_features, 1)
        self.out_features = checks.whole("Linear: out_features", out_features, 1)
        self.weight = uninitialised(out_features, in_features)
        self.register_parameter("bias", uninitialised(out_features) if bias else None)
        self.reset_parameters()

    def product(self, input: Tensor, bias: Tensor | None = None) -> Tensor:
        """input W^T, plus `bias`."""
        return F.linear(input, self.weight, bias)
