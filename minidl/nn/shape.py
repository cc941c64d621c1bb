"""Layers that give the same numbers another shape."""

from __future__ import annotations

from .. import checks
from .. import functional as F
from ..checks.arguments import arguments, tensor_argument
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
        if not checks.several(unflattened_size):
            raise TypeError("Unflatten: unflattened_size must be several whole numbers, got "
                            f"{unflattened_size!r}")
        self.dim, self.unflattened_size = dim, tuple(
            checks.whole("Unflatten: each of unflattened_size", n, -1) for n in unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        input = input if isinstance(input, Tensor) else tensor_argument("Unflatten: input", input)
        if not -input.ndim <= self.dim < input.ndim:
            raise ValueError(f"Unflatten: dim={self.dim} for an input of shape {input.shape}")
        dim = self.dim % input.ndim
        return F.reshape(input, *input.shape[:dim], *self.unflattened_size, *input.shape[dim + 1:])
