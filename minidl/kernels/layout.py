"""Memory order: images with the channels last, weights with the taps first; for the CPU and a GPU.

Shapes are logically (N,C,H,W) everywhere. A kernel walks flat memory and knows no strides: every
array on its way to a kernel goes through one of these functions, which give what the kernel can
read, without a copy where memory is so already. What kernels make comes back as a transposed view.
"""

from __future__ import annotations

import numpy as np

from ..device import namespace

LARGE = 2**17              # numbers; below, NumPy's own copy is as good as transpose.py


def line(x):
    """The numbers of x in the order of its axes: flat, without gaps."""
    return (x if x.flags.c_contiguous else namespace(x).ascontiguousarray(x)).reshape(-1)


def channels_last(x):
    """The numbers of images x (N,C,H,W) in the order n, h, w, c: flat."""
    last = x.transpose(0, 2, 3, 1)
    if last.flags.c_contiguous:
        return last.reshape(-1)
    if x.size > LARGE and x.flags.c_contiguous and isinstance(x, np.ndarray):
        from .cpu.transpose import transposed
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
    if w.size > LARGE and w.flags.c_contiguous and isinstance(w, np.ndarray):
        from .cpu.transpose import transposed
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


def alike(*arrays) -> bool:
    """Do they all stand in memory without gaps, in the same order?"""
    first = arrays[0]
    if flat(first) is None:
        return False
    for a in arrays[1:]:
        if a.shape != first.shape or (a.strides != first.strides and any(
                [n > 1 and s != t for n, s, t in zip(a.shape, a.strides, first.strides)])):
            return False
    return True


# --------------------------------------------------------------------------- rows of channels
def by_rows(x):
    """x (N,C) or (N,C,H,W), flat, the channels innermost."""
    return line(x) if x.ndim == 2 else channels_last(x)


def like_rows(flat, shape):
    """Numbers with the channels innermost as an array of `shape`, (N,C) or (N,C,H,W)."""
    return flat.reshape(shape) if len(shape) == 2 else images(flat, *shape)


def one_a_channel(shape, x) -> bool:
    """Does an array of `shape` broadcast along the channels of x (N,C) or (N,C,H,W)?"""
    if x.ndim not in (2, 4):
        return False
    tail = (x.shape[1], *(1,) * (x.ndim - 2))
    return shape in (tail, (1, *tail))
