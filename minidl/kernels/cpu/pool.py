"""Pooling, one output pixel of all channels at a time: the channels stand together in memory."""

from __future__ import annotations

import numpy as np

from .. import layout
from .threads import parallel
from .tile import get, put


@parallel
def _max_loop(start, stop, x, y, taps, H, W, C, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW):
    """A step is one row of output pixels of one image. A window that lies in the border is left."""
    for step in range(start, stop):
        image, i = step // OH * H * W, step % OH
        for j in range(OW):
            at, first = (step * OW + j) * C, True
            for u in range(KH):
                a = i * SH - PH + u * DH
                if a < 0 or a >= H:
                    continue
                for v in range(KW):
                    b = j * SW - PW + v * DW
                    if b < 0 or b >= W:
                        continue
                    place, tap = (image + a * W + b) * C, np.int32(u * KW + v)
                    if first:
                        for c in range(C):
                            put(y, at + c, get(x, place + c))
                            put(taps, at + c, tap)
                    else:
                        for c in range(C):
                            value, best = get(x, place + c), get(y, at + c)
                            better = value > best or value != value      # nan wins
                            put(y, at + c, value if better else best)
                            put(taps, at + c, tap if better else get(taps, at + c))
                    first = False


@parallel
def _scatter_loop(start, stop, g, taps, gx, H, W, C, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW):
    """Each g to the pixel that its tap names; a step is an image, for windows may overlap."""
    zero = g.dtype.type(0)
    for n in range(start, stop):
        for k in range(n * H * W * C, (n + 1) * H * W * C):
            put(gx, k, zero)
        for i in range(OH):
            for j in range(OW):
                at = ((n * OH + i) * OW + j) * C
                for u in range(KH):
                    a = i * SH - PH + u * DH
                    for v in range(KW):
                        b = j * SW - PW + v * DW
                        if 0 <= a < H and 0 <= b < W:
                            place, tap = ((n * H + a) * W + b) * C, u * KW + v
                            for c in range(C):
                                share = get(g, at + c) if get(taps, at + c) == tap else zero
                                put(gx, place + c, get(gx, place + c) + share)


@parallel
def _add_windows(start, stop, x, y, H, W, C, OH, OW, KH, KW, SH, SW, PH, PW):
    """A step is one row of output pixels of one image; sums are of float64, for a window may be the
    whole image."""
    sums = np.empty(C)
    for step in range(start, stop):
        image, i = step // OH * H * W, step % OH
        for j in range(OW):
            for c in range(C):
                put(sums, c, 0.0)
            for a in range(max(i * SH - PH, 0), min(i * SH - PH + KH, H)):
                for b in range(max(j * SW - PW, 0), min(j * SW - PW + KW, W)):
                    place = (image + a * W + b) * C
                    for c in range(C):
                        put(sums, c, get(sums, c) + np.float64(get(x, place + c)))
            for c in range(C):
                put(y, (step * OW + j) * C + c, x.dtype.type(get(sums, c)))


@parallel
def _spread_loop(start, stop, g, gx, H, W, C, OH, OW, KH, KW, SH, SW, PH, PW):
    """Each g to all pixels of its window; a step is an image."""
    zero = g.dtype.type(0)
    for n in range(start, stop):
        for k in range(n * H * W * C, (n + 1) * H * W * C):
            put(gx, k, zero)
        for i in range(OH):
            for j in range(OW):
                at = ((n * OH + i) * OW + j) * C
                for a in range(max(i * SH - PH, 0), min(i * SH - PH + KH, H)):
                    for b in range(max(j * SW - PW, 0), min(j * SW - PW + KW, W)):
                        place = ((n * H + a) * W + b) * C
                        for c in range(C):
                            put(gx, place + c, get(gx, place + c) + get(g, at + c))


def _corner_border(pads):
    """The border above and on the left; what comes after shows in the output's size."""
    return pads[0][0], pads[1][0]


def _first_taps(window, stride, pads, dilation, out_size):
    """For each window (OH,OW,1) the number of its first tap that does not lie before the image."""
    u, v = (np.clip(-((np.arange(n) * s - before) // d), 0, k - 1) for n, k, s, (before, _), d in
            zip(out_size, window, stride, pads, dilation))
    return (u[:, None] * window[1] + v)[:, :, None]


def _max_pool2d(x, window, stride, pads, dilation, out_size):
    N, C, H, W = x.shape
    y = np.empty(N * out_size[0] * out_size[1] * C, x.dtype)
    taps = np.empty(y.size, np.int32)
    if any(map(any, pads)):                   # some window may lie in the border, all of it
        y.fill(-np.inf)
        taps.reshape(N, *out_size, C)[...] = _first_taps(window, stride, pads, dilation, out_size)
    _max_loop(N * out_size[0], 8, layout.channels_last(x), y, taps, H, W, C, *out_size, *window,
              *stride, *_corner_border(pads), *dilation)
    return layout.images(y, N, C, *out_size), layout.images(taps, N, C, *out_size)


def _scatter_taps(g, tap, window, stride, pads, dilation, size):
    N, C, OH, OW = g.shape
    gx = np.empty(N * size[0] * size[1] * C, g.dtype)
    _scatter_loop(N, 1, layout.channels_last(g), layout.channels_last(tap), gx, *size, C, OH, OW,
                  *window, *stride, *_corner_border(pads), *dilation)
    return layout.images(gx, N, C, *size)


def _sum_pool2d(x, window, stride, pads, out_size):
    N, C, H, W = x.shape
    y = np.empty(N * out_size[0] * out_size[1] * C, x.dtype)
    _add_windows(N * out_size[0], 8, layout.channels_last(x), y, H, W, C, *out_size, *window,
                 *stride, *_corner_border(pads))
    return layout.images(y, N, C, *out_size)


def _sum_pool2d_grad(g, window, stride, pads, size):
    N, C, OH, OW = g.shape
    gx = np.empty(N * size[0] * size[1] * C, g.dtype)
    _spread_loop(N, 1, layout.channels_last(g), gx, *size, C, OH, OW, *window, *stride,
                 *_corner_border(pads))
    return layout.images(gx, N, C, *size)
