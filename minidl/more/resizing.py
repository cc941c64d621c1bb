"""Images made larger or smaller: repeated or picked pixels, channels turned into pixels."""

from __future__ import annotations

import numpy as np

from .. import checks
from ..checks import sizes
from ..checks.arguments import arguments, number_argument
from ..checks.images import some_pixels
from ..device import namespace
from ..ops.more.axes import expand, permute
from ..ops.more.copies import clone
from ..ops.shape import reshape
from ..tensor import Tensor


@arguments
def interpolate(input: Tensor, size=None, scale_factor=None, mode: str = "nearest") -> Tensor:
    """Nearest-neighbour resizing: y[i,j] = x[floor(i / SH), floor(j / SW)].

    Give `size` (OH, OW), then SH = OH / H and SW = OW / W; or `scale_factor` S or (SH, SW), then
    OH = floor(H SH), OW = floor(W SW). Only mode "nearest" is offered. Source: D2-UPSAMPLE.
    """
    if mode != "nearest":
        raise ValueError(f'interpolate: only mode "nearest" is offered, got {mode!r}')
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give either size or scale_factor")
    if input.ndim != 4:
        raise ValueError(f"interpolate: input must be (N, C, H, W), got {input.shape}")
    some_pixels("interpolate", input)
    H, W = input.shape[2:]
    factors = scale_factor if checks.several(scale_factor) else (scale_factor,) * 2
    if size is None:
        factors = [number_argument("interpolate: scale_factor", f) for f in factors]
        if len(factors) != 2 or not all(0 < f < checks.LARGEST_SIZE for f in factors):
            raise ValueError("interpolate: scale_factor must be one or two positive numbers, got "
                             f"{scale_factor!r}")
        size = (int(H * factors[0]), int(W * factors[1]))
    OH, OW = sizes("interpolate", "size", size, 2, 1)
    if (OH, OW) == (H, W):
        return clone(input)                            # and never a view
    factors = [None if m in (n, 2 * n) else f          # 1 and 2 exactly, as PyTorch
               for m, n, f in zip((OH, OW), (H, W), factors)]
    if all(m % n == 0 and f in (None, m // n) for m, n, f in zip((OH, OW), (H, W), factors)):
        N, C = input.shape[:2]                         # whole factors: repeat pixels
        blocks = expand(reshape(input, N, C, H, 1, W, 1), N, C, H, OH // H, W, OW // W)
        return reshape(blocks, N, C, OH, OW)
    xp = namespace(input.data)
    rows, columns = (xp.arange(m) * n // m if f is None else
                     xp.minimum((xp.arange(m) / f).astype(np.int64), n - 1)
                     for m, f, n in zip((OH, OW), factors, (H, W)))
    return input[:, :, rows[:, None], columns]


@arguments
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(N, C r^2, H, W) -> (N, C, H r, W r): y[n,c,i r + a,j r + b] = x[n, c r^2 + a r + b, i, j].
    Shi et al. (2016)."""
    if input.ndim != 4:
        raise ValueError(f"pixel_shuffle: input must be (N, C r^2, H, W), got {input.shape}")
    r, (N, CRR, H, W) = upscale_factor, input.shape
    if r < 1 or CRR % (r * r):
        raise ValueError(f"pixel_shuffle: {CRR} channels do not divide by {r}^2")
    if r == 1:
        return clone(input)                            # and never a view
    y = permute(reshape(input, N, CRR // (r * r), r, r, H, W), 0, 1, 4, 2, 5, 3)
    return reshape(y, N, CRR // (r * r), H * r, W * r)
