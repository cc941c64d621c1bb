"""Element by element: activations, and the bias before them.

An array is walked in the order in which it stands in memory, whatever its axes are called; the
result gets the same order. Loops are over `get` and `put`, so that the compiler makes vectors of
them.
"""

from __future__ import annotations

import math

import numpy as np

from .. import READABLE, fits, layout
from .threads import parallel
from .tile import get, put

PIECE = 16384             # elements that a thread takes at a time
BIAS_SUMS = 32                 # partial sums of a sum over rows: as many on every machine


@parallel
def _relu_loop(start, stop, x, y):
    zero = x.dtype.type(0)
    for i in range(start, stop):
        v = get(x, i)
        put(y, i, v if v > 0 or v != v else zero)            # nan stays


@parallel
def _leaky_loop(start, stop, x, y, slope):
    slope = x.dtype.type(slope)
    for i in range(start, stop):
        v = get(x, i)
        put(y, i, v if v > 0 else v * slope)


@parallel
def _slope_loop(start, stop, gy, x, gx, slope):
    """gx = gy where x > 0, else slope gy; with slope 0 it is 0, also for an infinite gy."""
    slope, zero = x.dtype.type(slope), x.dtype.type(0)
    for i in range(start, stop):
        g = get(gy, i)
        put(gx, i, g if get(x, i) > 0 else zero if slope == zero else g * slope)


@parallel
def _normal_cdf_loop(start, stop, x, y):
    for i in range(start, stop):
        put(y, i, 0.5 * (1 + math.erf(get(x, i) * math.sqrt(0.5))))




def _each(loop, *arrays_and_numbers, like):
    """The result of `loop` over all elements, in the memory order of `like`."""
    y = np.empty_like(like)
    arrays = [layout.flat(a) for a in arrays_and_numbers if isinstance(a, np.ndarray)]
    numbers = [a for a in arrays_and_numbers if not isinstance(a, np.ndarray)]
    loop(y.size, PIECE, *arrays, layout.flat(y), *numbers)
    return y


@fits(layout.alike)
def _relu(x):
    return _each(_relu_loop, x, like=x)


@fits(layout.alike)
def _relu_grad(gy, y):
    return _each(_slope_loop, gy, y, 0.0, like=gy)


@fits(layout.alike)
def _leaky_relu(x, slope):
    return _each(_leaky_loop, x, float(slope), like=x)


@fits(layout.alike)
def _leaky_relu_grad(gy, x, slope):
    return _each(_slope_loop, gy, x, float(slope), like=gy)


@fits(layout.alike)
def _normal_cdf(x):
    return _each(_normal_cdf_loop, x, like=x)


# --------------------------------------------------------------------------- bias and activation
@parallel
def _bias_loop(start, stop, x, b, y, slope):
    """y[r,c] = act(x[r,c] + b[c]); a step is a row."""
    C, slope, zero = len(b), x.dtype.type(slope), x.dtype.type(0)
    for r in range(start, stop):
        for c in range(C):
            z = get(x, r * C + c) + get(b, c)
            # relu of -inf is 0, and of nan nan
            put(y, r * C + c, z if z > 0 or z != z else zero if slope == zero else z * slope)


@parallel
def _bias_grad_loop(start, stop, gy, y, gx, sums, rows, C, slope):
    """gx = gy act'(z), and its sum over the rows of each of BIAS_SUMS parts; a step is a part."""
    part, slope, zero = -(-rows // BIAS_SUMS), gy.dtype.type(slope), gy.dtype.type(0)
    for s in range(start, stop):
        for c in range(C):
            put(sums, s * C + c, 0.0)
        for r in range(min(s * part, rows), min((s + 1) * part, rows)):
            for c in range(C):
                i = r * C + c
                g = get(gy, i)
                g = g if get(y, i) > 0 else zero if slope == zero else g * slope
                put(gx, i, g)
                put(sums, s * C + c, get(sums, s * C + c) + np.float64(g))


@parallel
def _row_sums(start, stop, x, sums, rows, C):
    """The sum over the rows of each of BIAS_SUMS parts; a step is a part."""
    part = -(-rows // BIAS_SUMS)
    for s in range(start, stop):
        for c in range(C):
            put(sums, s * C + c, 0.0)
        for r in range(min(s * part, rows), min((s + 1) * part, rows)):
            for c in range(C):
                put(sums, s * C + c, get(sums, s * C + c) + np.float64(get(x, r * C + c)))


def plus_bias(y, b):
    """y + b (O,) along y's last axis, or along the O innermost numbers of a flat y: in place where
    y has no gaps. Without a bias (None) it is y."""
    if b is None:
        return y
    if not y.flags.c_contiguous:
        return y + b
    flat, C = y.reshape(-1), len(b)
    _bias_loop(flat.size // C, max(1, PIECE // C), flat, layout.line(b), flat, 1.0)
    return y


@fits(lambda x, b, *more: layout.one_a_channel(b.shape, x))
def _bias_activation(x, b, slope):
    flat, C = layout.by_rows(x), x.shape[1]
    y = np.empty_like(flat)
    _bias_loop(flat.size // C, max(1, PIECE // C), flat, layout.line(b), y, float(slope))
    return layout.like_rows(y, x.shape)


@fits(lambda gy, y: gy.ndim in (2, 4))
def _bias_activation_grad(gy, y, shape, slope):
    g, C = layout.by_rows(gy), gy.shape[1]
    if not layout.one_a_channel(shape, gy):
        return READABLE["_bias_activation_grad"](gy, y, shape, slope)
    sums, gx = np.empty(BIAS_SUMS * C), np.empty_like(g)
    _bias_grad_loop(BIAS_SUMS, 1, g, layout.by_rows(y), gx, sums, g.size // C, C, float(slope))
    return layout.like_rows(gx, gy.shape), _added_up(sums, g.dtype).reshape(shape)


def array_sum(x, axis, keepdims=True):
    """The sum over all axes but the channels of (N,C) or (N,C,H,W): the gradient of a bias."""
    if keepdims or axis != ((0,) if x.ndim == 2 else (0, 2, 3)) or x.ndim not in (2, 4):
        return READABLE["array_sum"](x, axis, keepdims)
    C, sums = x.shape[1], np.empty(BIAS_SUMS * x.shape[1])
    _row_sums(BIAS_SUMS, 1, layout.by_rows(x), sums, x.size // C, C)
    return _added_up(sums, x.dtype)


def _added_up(sums, dtype):
    """Each channel's BIAS_SUMS partial sums, in float64: a gradient's sum may nearly cancel."""
    return sums.reshape(BIAS_SUMS, -1).sum(0).astype(dtype)
