"""Layers that give the same numbers another shape."""

from __future__ import annotations

from .. import functional as F
from ..checks.arguments import arguments
from ..checks.layer_options import input_with_axis, whole_numbers
from ..tensor import Tensor
from .module import Module


class Flatten(Module):
    """Axes `start_dim` to `end_dim` made one: (N,C,H,W) -> (N, C H W)."""

    @arguments
    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        return F.flatten(input, self.start_dim, self.end_dim)


class Unflatten(Module):
    """Axis `dim` made several: ``Unflatten(1, (512, 4, 4))``; one length may be -1."""

    @arguments
    def __init__(self, dim: int, unflattened_size):
        super().__init__()
        self.dim = dim
        self.unflattened_size = whole_numbers("Unflatten", "unflattened_size", unflattened_size, -1)

    def forward(self, input: Tensor) -> Tensor:
        input, dim = input_with_axis("Unflatten", input, self.dim)
        return F.reshape(input, *input.shape[:dim], *self.unflattened_size, *input.shape[dim + 1:])
