"""Memory order: images with the channels last, weights with the taps first.

Shapes are logically (N,C,H,W) everywhere. A kernel walks flat memory and knows no strides: every
array on its way to a kernel goes through one of these functions, which give what the kernel can
read, without a copy where memory is so already. What kernels make comes back as a transposed view.
"""

from __future__ import annotations

import numpy as np

from .threads import parallel
from .tile import get, put

BLOCK = 32
LARGE = 2**17              # numbers; below, NumPy's own copy is as good


@parallel
def _transpose(start, stop, source, target, rows, columns):
    """target[i, c, r] = source[i, r, c] for matrices i; a step is BLOCK rows of one matrix."""
    strips = -(-rows // BLOCK)
    for step in range(start, stop):
        base, first = step // strips * rows * columns, step % strips * BLOCK
        last = min(first + BLOCK, rows)
        for c0 in range(0, columns, BLOCK):              # a block stays in the nearest cache
            for c in range(c0, min(c0 + BLOCK, columns)):
                for r in range(first, last):
                    put(target, base + c * rows + r, get(source, base + r * columns + c))


def transposed(array, count: int, rows: int, columns: int):
    """`count` contiguous matrices (rows, columns), each transposed, flat."""
    target = np.empty(array.size, array.dtype)
    strips = -(-rows // BLOCK)
    _transpose(count * strips, max(1, 16384 // (BLOCK * columns + 1)), flat(array), target,
               rows, columns)
    return target


def line(x):
    """The numbers of x in the order of its axes: flat, without gaps."""
    return (x if x.flags.c_contiguous else np.ascontiguousarray(x)).reshape(-1)


def channels_last(x):
    """The numbers of images x (N,C,H,W) in the order n, h, w, c: flat."""
    last = x.transpose(0, 2, 3, 1)
    if last.flags.c_contiguous:
        return last.reshape(-1)
    if x.flags.c_contiguous and x.size > LARGE:
        N, C, H, W = x.shape
        return transposed(x, N, C, H * W)
    return line(last)


def images(flat, N, C, H, W):
    """Numbers in the order n, h, w, c as images (N,C,H,W)."""
    return flat.reshape(N, H, W, C).transpose(0, 3, 1, 2)


def taps_first(w):
    """The numbers of weights w (O,C,KH,KW) in the order u, v, c, o: flat."""
    first = w.transpose(2, 3, 1, 0)
    if first.flags.c_contiguous:
        return first.reshape(-1)
    if w.flags.c_contiguous and w.size > LARGE:
        O, C, KH, KW = w.shape
        return transposed(w, 1, O, C * KH * KW) if KH == KW == 1 else transposed(
            transposed(w, O, C, KH * KW), 1, O, KH * KW * C)
    return line(first)


def weights(flat, O, C, KH, KW):
    """Numbers in the order u, v, c, o as weights (O,C,KH,KW)."""
    return flat.reshape(KH, KW, C, O).transpose(3, 2, 0, 1)


def flat(x):
    """x in the order in which it stands in memory, as a view; None if it has gaps there, or
    runs backward."""
    if x.flags.c_contiguous:
        return x.reshape(-1)
    if x.ndim == 4:
        for order in ((0, 2, 3, 1), (2, 3, 1, 0)):       # images', and weights'
            dense = x.transpose(order)
            if dense.flags.c_contiguous:
                return dense.reshape(-1)
    dense = x.transpose(sorted(range(x.ndim), key=lambda i: -x.strides[i]))
    return dense.reshape(-1) if dense.flags.c_contiguous else None
