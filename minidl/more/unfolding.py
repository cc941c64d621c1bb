"""im2col as a function of its own, and its adjoint."""

from __future__ import annotations

import functools
import math
import operator

from ..checks import sizes
from ..checks.arguments import arguments
from ..checks.images import some_pixels, window_counts
from ..ops.more.indexing import pad, scatter_to
from ..ops.shape import reshape, stack
from ..tensor import Tensor


@arguments
def unfold(input: Tensor, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """im2col itself: (N,C,H,W) -> (N, C KH KW, OH OW), a column for each output pixel's window:
    y[n, (c,u,v), (i,j)] = x[n, c, i SH - PH + u DH, j SW - PW + v DW]."""
    if input.ndim != 4:
        raise ValueError(f"unfold: input must be (N, C, H, W), got {input.shape}")
    some_pixels("unfold", input)
    kernel, args = _window_arguments("unfold", kernel_size, dilation, padding, stride)
    N, C = input.shape[:2]
    out = window_counts("unfold", input.shape[2:], kernel, *args)
    (PH, PW), image = args[1], input
    if PH or PW:
        image = pad(input, (PW, PW, PH, PH))
    taps = [image[under] for under in _under_taps(kernel, out, *args)]
    return reshape(stack(taps, 2), N, C * len(taps), math.prod(out))


@arguments
def fold(input: Tensor, output_size, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """The adjoint of :func:`unfold`: overlapping columns are added up. (N, C KH KW, L) ->
    (N,C,H,W) with (H,W) = `output_size`."""
    kernel, args = _window_arguments("fold", kernel_size, dilation, padding, stride)
    H, W = size = sizes("fold", "output_size", output_size, 2, 1)
    OH, OW = window_counts("fold", size, kernel, *args)
    KK = kernel[0] * kernel[1]
    if input.ndim != 3 or input.shape[1] % KK or input.shape[2] != OH * OW:
        raise ValueError(f"fold: input must be (N, C*{KK}, {OH * OW}), got {input.shape}")
    (PH, PW), (N, C) = args[1], (input.shape[0], input.shape[1] // KK)
    columns = reshape(input, N, C, KK, OH, OW)
    parts = [scatter_to(columns[:, :, k], under, (N, C, H + 2 * PH, W + 2 * PW))
             for k, under in enumerate(_under_taps(kernel, (OH, OW), *args))]
    return functools.reduce(operator.add, parts)[:, :, PH:PH + H, PW:PW + W]


def _window_arguments(op, kernel_size, dilation, padding, stride):
    return sizes(op, "kernel_size", kernel_size, 2, 1), (
        sizes(op, "stride", stride, 2, 1), sizes(op, "padding", padding, 2, 0),
        sizes(op, "dilation", dilation, 2, 1))


def _under_taps(kernel, out, stride, padding, dilation) -> list[tuple]:
    """For each tap (u,v) the pixels of a padded image that lie under it, one an output pixel."""
    rows, columns = ([slice(u * d, u * d + (m - 1) * s + 1, s) for u in range(k)]
                     for k, m, s, d in zip(kernel, out, stride, dilation))
    return [(..., row, column) for row in rows for column in columns]
