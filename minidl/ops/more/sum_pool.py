"""Pooling by sums: the sum of the window under each output pixel."""

from __future__ import annotations

import numpy as np

from ...device import namespace
from ...kernels import replaceable
from ...op import op
from ...tensor import Tensor
from ..pool import NO_BORDER, bordered, window_taps, within_border
from ..terms import Contract


@replaceable("x")
def _sum_pool2d(x, window, stride, pads, out_size):
    x, y = bordered(x, pads, 0) if pads != NO_BORDER else x, 0.0
    for _, place in window_taps(window, stride, (1, 1), *out_size):
        y = y + x[place].astype(np.float64)      # for a window may be the whole image
    return y.astype(x.dtype)


@replaceable("g")
def _sum_pool2d_grad(g, window, stride, pads, size):
    (top, bottom), (left, right) = pads
    N, C, OH, OW = g.shape
    gx = namespace(g).zeros((N, size[0] + top + bottom, size[1] + left + right, C), dtype=g.dtype)
    gx = gx.transpose(0, 3, 1, 2)
    for _, place in window_taps(window, stride, (1, 1), OH, OW):
        gx[place] += g
    return gx[within_border(pads, size)]


_POOLED_PIXEL = "[n, c, i*SH - PH + u, j*SW - PW + v]"

_KERNEL = {"u": "KH", "v": "KW"}


@op("D0-AVGPOOL", terms=Contract(f"y[n,c,i,j] += x{_POOLED_PIXEL}", ranges=_KERNEL))
def sum_pool2d(x: Tensor, window, stride, pads, out_size):
    """y[n,c,i,j] = sum_{u,v} x[n, c, i SH - PH + u, j SW - PW + v]: the average times its divisor.

    x (N,C,H,W) -> y (N,C,OH,OW). Source: D0-AVGPOOL.
    """
    y = _sum_pool2d(x.data, window, stride, pads, out_size)
    size = x.shape[2:]
    def backward(gy):
        return sum_pool2d_grad(gy, window, stride, pads, size)
    return y, backward


@op("D0-AVGPOOL", terms=Contract(f"y{_POOLED_PIXEL} += g[n,c,i,j]", ranges=_KERNEL))
def sum_pool2d_grad(g: Tensor, window, stride, pads, size):
    """gx: each g added to every pixel of its window."""
    out_size = g.shape[2:]
    def backward(gy):
        return sum_pool2d(gy, window, stride, pads, out_size)
    return _sum_pool2d_grad(g.data, window, stride, pads, size), backward
