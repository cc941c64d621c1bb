"""Max pooling: the largest number of the window under each output pixel. A tap (u, v) is a place in
the window; the pixels that all windows have there are one strided slice of x."""

from __future__ import annotations

from ..device import namespace
from ..kernels import replaceable
from ..op import op
from ..tensor import Tensor
from . import more
from .terms import Gather, Scatter

NO_BORDER = ((0, 0), (0, 0))


def window_taps(window, stride, dilation, OH, OW):
    """For each tap its number u KW + v, and its slice of the padded image."""
    (KH, KW), (SH, SW), (DH, DW) = window, stride, dilation
    for u in range(KH):
        for v in range(KW):
            top, left = u * DH, v * DW
            rows = slice(top, top + (OH - 1) * SH + 1, SH)
            columns = slice(left, left + (OW - 1) * SW + 1, SW)
            yield u * KW + v, (slice(None), slice(None), rows, columns)


def bordered(x, pads, value):
    """x inside a border ((top, bottom), (left, right)) of `value`, memory order kept."""
    (top, bottom), (left, right) = pads
    N, C, H, W = x.shape
    padded = namespace(x).full((N, H + top + bottom, W + left + right, C), value, dtype=x.dtype)
    padded = padded.transpose(0, 3, 1, 2)
    padded[:, :, top:top + H, left:left + W] = x
    return padded


def within_border(pads, size):
    (top, _), (left, _) = pads
    return (slice(None), slice(None), slice(top, top + size[0]), slice(left, left + size[1]))


# --------------------------------------------------------------------------- the arithmetic
def _first_tap_inside(xp, window, stride, pads, dilation, out_size):
    """For each window (OH,OW) the number of its first tap inside the image. Along an axis with a
    border of p pixels in front, window i lacks its first p - i s pixels, so that the first tap
    inside has the number (p - i s) / d, rounded up."""
    u, v = (xp.clip(-((xp.arange(n) * s - p) // d), 0, k - 1) for n, k, s, (p, _), d in
            zip(out_size, window, stride, pads, dilation))
    return (u[:, None] * window[1] + v).astype(xp.int32)


@replaceable("x")
def _max_pool2d(x, window, stride, pads, dilation, out_size):
    """The largest value under each window, and the number of the tap that had it (the first)."""
    xp = namespace(x)
    x = bordered(x, pads, -xp.inf) if pads != NO_BORDER else x
    (_, first), *others = window_taps(window, stride, dilation, *out_size)
    y, tap = x[first].copy(order="K"), xp.zeros_like(x[first], dtype=xp.int32)
    if pads[0][0] or pads[1][0]:          # so that a pixel of -inf wins over the border's -inf
        tap += _first_tap_inside(xp, window, stride, pads, dilation, out_size)
    for k, place in others:
        candidate = x[place]
        better = (candidate > y) | (candidate != candidate)   # of equals the first stays; nan wins
        y = xp.where(better, candidate, y)
        tap = xp.where(better, xp.int32(k), tap)
    return y, tap


@replaceable("g")
def _scatter_taps(g, tap, window, stride, pads, dilation, size):
    """Each g to the pixel its window's maximum came from; shares of overlapping windows add."""
    (top, bottom), (left, right) = pads
    N, C, OH, OW = g.shape
    xp = namespace(g)
    gx = xp.zeros((N, size[0] + top + bottom, size[1] + left + right, C), dtype=g.dtype)
    gx = gx.transpose(0, 3, 1, 2)
    for k, place in window_taps(window, stride, dilation, OH, OW):
        gx[place] += xp.where(tap == k, g, 0)
    return gx[within_border(pads, size)]


# --------------------------------------------------------------------------- the ops
@op("D0-MAXPOOL", terms=Gather())
def max_pool2d(x: Tensor, window, stride, pads, dilation, out_size):
    """y[n,c,i,j] = max_{u,v} x[n, c, i SH - PH + u DH, j SW - PW + v DW]; border: -infinity.

    x (N,C,H,W) -> y (N,C,OH,OW), and the tap u KW + v of each maximum. Among equal values the
    first counts and gets all of the gradient. Source: D0-MAXPOOL.
    """
    y, tap = _max_pool2d(x.data, window, stride, pads, dilation, out_size)
    size = x.shape[2:]
    def backward(gy):
        return max_pool2d_grad(gy, tap, window, stride, pads, dilation, size)
    return (y, tap), backward


@op("D0-MAXPOOL", terms=Scatter())
def max_pool2d_grad(g: Tensor, tap, window, stride, pads, dilation, size):
    """gx: each g is added to the pixel of its tap; the adjoint, in `more`, picks that pixel."""
    y = _scatter_taps(g.data, tap, window, stride, pads, dilation, size)
    def backward(gy):
        return more.pooled_places.max_pool2d_pick(gy, tap, window, stride, pads, dilation, size)
    return y, backward
