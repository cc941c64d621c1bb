"""Layers that rearrange numbers, or repeat them."""

from __future__ import annotations

import numpy as np

from .. import checks
from .. import functional as F
from ..checks.arguments import arguments, number_argument, tensor_argument
from ..tensor import Tensor
from .module import Module


class Identity(Module):
    """y = x; takes any arguments and ignores them."""

    def __init__(self, *args, **kwargs):
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


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


class Upsample(Module):
    """Nearest-neighbour up-sampling: (N,C,H,W) -> (N, C, H s, W s), or to `size`. Of PyTorch's
    modes only "nearest" is offered. Source: D2-UPSAMPLE."""

    @arguments
    def __init__(self, size=None, scale_factor=None, mode: str = "nearest"):
        super().__init__()
        if mode != "nearest":
            raise ValueError(f'Upsample: only mode="nearest" is offered, got {mode!r}')
        if (size is None) == (scale_factor is None):
            raise ValueError("Upsample: give either size or scale_factor")
        if size is not None:
            checks.sizes("Upsample", "size", size, 2, 1)
        for factor in scale_factor if checks.several(scale_factor) else (scale_factor,):
            if size is None and not 0 < number_argument("Upsample: scale_factor", factor) < np.inf:
                raise ValueError(f"Upsample: scale_factor must be positive, got {scale_factor}")
        self.size, self.scale_factor, self.mode = size, scale_factor, mode

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(input, self.size, self.scale_factor, self.mode)


class PixelShuffle(Module):
    """(N, C r^2, H, W) -> (N, C, H r, W r), r = `upscale_factor`: channels become pixels. Shi et
    al. (2016)."""

    @arguments
    def __init__(self, upscale_factor: int):
        super().__init__()
        self.upscale_factor = checks.whole("PixelShuffle: upscale_factor", upscale_factor, 1)

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_shuffle(input, self.upscale_factor)
