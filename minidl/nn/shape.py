"""Layers that give the same numbers another shape."""

from __future__ import annotations

from .. import functional as F
from ..checks.arguments import arguments, tensor_argument
from ..checks.layer_options import whole_numbers
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
        input = input if isinstance(input, Tensor) else tensor_argument("Unflatten: input", input)
        if not -input.ndim <= self.dim < input.ndim:
            raise ValueError(f"Unflatten: dim={self.dim} for an input of shape {input.shape}")
        dim = self.dim % input.ndim
        return F.reshape(input, *input.shape[:dim], *self.unflattened_size, *input.shape[dim + 1:])
