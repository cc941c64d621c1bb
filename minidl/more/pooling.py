"""Further pooling: averages, windows counted rounded up, and the places of maxima."""

from __future__ import annotations

import math

import numpy as np

from ..checks.arguments import arguments
from ..checks.images import as_batch, pool_arguments, window_counts
from ..checks.operands import needs_floats
from ..device import namespace
from ..ops.more.axes import squeeze
from ..ops.more.sum_pool import sum_pool2d
from ..ops.windows import output_size, pool_borders
from ..tensor import Tensor


def counts_rounded_up(op: str, size, window, stride, padding, dilation) -> tuple[int, int]:
    """How many windows there are with ``ceil_mode``: a last one may be partial, if it begins inside
    the image or the padding before it."""
    more = tuple((p, p + s - 1) for p, s in zip(padding, stride))
    counts = []
    for count, n, s, p in zip(output_size(size, window, stride, more, dilation), size, stride,
                              padding):
        counts.append(count - 1 if (count - 1) * s >= n + p else count)
        if counts[-1] < 1:
            raise ValueError(f"{op}: no window of {window} begins inside an image of {size}")
    return tuple(counts)


def places_of_maxima(tap, W: int, window, stride, pads, dilation) -> Tensor:
    """The place y W + x in its plane of each maximum, from the number of its tap."""
    xp, t = namespace(tap), tap.astype(np.int64)
    OH, OW = tap.shape[2:]
    rows = xp.arange(OH)[:, None] * stride[0] - pads[0][0] + t // window[1] * dilation[0]
    columns = xp.arange(OW) * stride[1] - pads[1][0] + t % window[1] * dilation[1]
    return Tensor._wrap(rows * W + columns)


@arguments
def avg_pool2d(input: Tensor, kernel_size, stride=None, padding=0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override=None) -> Tensor:
    """The mean over the window. With padding the divisor counts the border's zeros, or, with
    ``count_include_pad=False``, only the image's pixels. Source: D0-AVGPOOL."""
    if divisor_override is not None:
        raise ValueError("avg_pool2d: divisor_override is not offered; multiply the result instead")
    input, single = as_batch("avg_pool2d", input)
    needs_floats("avg_pool2d", input)
    size = input.shape[2:]
    geometry = window, stride, *_ = pool_arguments("avg_pool2d", input, kernel_size, stride,
                                                   padding, 1)
    out = (counts_rounded_up if ceil_mode else window_counts)("avg_pool2d", size, *geometry)
    pads = pool_borders(size, out, *geometry)
    total = sum_pool2d(input, window, stride, pads, out)
    if not any(pads[0] + pads[1]):                    # every window lies inside
        y = total * (1 / math.prod(window))
        return squeeze(y, 0) if single else y
    counts, xp = [], namespace(input.data)
    for n, k, s, (before, _), m in zip(size, window, stride, pads, out):
        start = xp.arange(m) * s - before
        low, high = (-before, n + before) if count_include_pad else (0, n)
        counts.append(xp.minimum(start + k, high) - xp.maximum(start, low))
    divisor = (counts[0][:, None] * counts[1]).astype(input.dtype)
    y = total * Tensor._wrap(1 / divisor)
    return squeeze(y, 0) if single else y
