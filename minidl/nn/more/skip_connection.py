"""y = x + F(x): a network with a connection that skips it."""

from __future__ import annotations

from ...checks.arguments import tensor_argument
from ...tensor import Tensor
from ..module import Module


class Residual(Module):
    """y = x + F(x), F any module; `shortcut` (1x1 convolution, say) stands for x where F changes
    the shape. Source: D3-RESIDUAL."""

    def __init__(self, function: Module, shortcut: Module | None = None):
        super().__init__()
        self.function = function
        self.add_module("shortcut", shortcut)

    def forward(self, input: Tensor) -> Tensor:
        input = tensor_argument("Residual: input", input)
        x = input if self.shortcut is None else self.shortcut(input)
        fx = self.function(input)
        if x.shape != fx.shape:
            raise ValueError(f"Residual: x has shape {x.shape}, F(x) {fx.shape}; give a shortcut "
                             "that makes x fit")
        return x + fx
