"""Layers that enlarge images, and the layer that does nothing."""

from __future__ import annotations

import numpy as np

from ... import checks
from ... import functional as F
from ...checks.arguments import arguments, number_argument
from ...checks.layer_options import check_offered
from ...tensor import Tensor
from ..module import Module


class Identity(Module):
    """y = x; takes any arguments and ignores them."""

    def __init__(self, *args, **kwargs):
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Upsample(Module):
    """Nearest-neighbour up-sampling: (N,C,H,W) -> (N, C, H s, W s), or to `size`. Of PyTorch's
    modes only "nearest" is offered. Source: D2-UPSAMPLE."""

    @arguments
    def __init__(self, size=None, scale_factor=None, mode: str = "nearest"):
        super().__init__()
        check_offered("Upsample", "mode", mode, "nearest")
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
