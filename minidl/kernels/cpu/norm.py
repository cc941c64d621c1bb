"""Batch normalisation over all axes but the channels': two passes over x forward, two backward.

Sums are added up in float64, as in the readable arithmetic: part by part of the rows, and the parts
in order.
"""

from __future__ import annotations

import numpy as np

from .. import fits, layout
from .threads import parallel
from .tile import get, put

NORM_SUMS = 16                 # parts of the rows; as many on every machine
STRIP = 512               # channels at a time


@parallel
def _moments_loop(start, stop, x, shift, sums, R, C):
    """sums[s,0,c] = sum of x - shift, sums[s,1,c] = sum of (x - shift)^2 over the rows of part s. A
    step is a part of the rows and a strip of channels."""
    strips, part = -(-C // STRIP), -(-R // NORM_SUMS)
    for step in range(start, stop):
        s, c0 = step // strips, step % strips * STRIP
        at, wide = s * 2 * C + c0, min(STRIP, C - c0)
        for c in range(wide):
            put(sums, at + c, 0.0)
            put(sums, at + C + c, 0.0)
        for r in range(min(s * part, R), min((s + 1) * part, R)):
            for c in range(wide):
                d = np.float64(get(x, r * C + c0 + c)) - get(shift, c0 + c)
                put(sums, at + c, get(sums, at + c) + d)
                put(sums, at + C + c, get(sums, at + C + c) + d * d)


@parallel
def _grad_sum_loop(start, stop, gy, x, mean, scale, sums, R, C):
    """sums[s,0,c] = sum of gy, sums[s,1,c] = sum of gy (x - mean) scale over the rows of part s."""
    strips, part = -(-C // STRIP), -(-R // NORM_SUMS)
    for step in range(start, stop):
        s, c0 = step // strips, step % strips * STRIP
        at, wide = s * 2 * C + c0, min(STRIP, C - c0)
        for c in range(wide):
            put(sums, at + c, 0.0)
            put(sums, at + C + c, 0.0)
        for r in range(min(s * part, R), min((s + 1) * part, R)):
            for c in range(wide):
                g = get(gy, r * C + c0 + c)
                d = g * ((get(x, r * C + c0 + c) - get(mean, c0 + c)) * get(scale, c0 + c))
                put(sums, at + c, get(sums, at + c) + np.float64(g))
                put(sums, at + C + c, get(sums, at + C + c) + np.float64(d))


@parallel
def _scale_loop(start, stop, x, mean, scale, shift, y, C):
    """y = (x - mean) scale + shift; a step is a row."""
    for r in range(start, stop):
        for c in range(C):
            i = r * C + c
            put(y, i, (get(x, i) - get(mean, c)) * get(scale, c) + get(shift, c))


@parallel
def _grad_loop(start, stop, gy, x, mean, scale, share, mean_g, mean_gx, gx, C):
    """gx = share (gy - mean_g - x^ mean_gx), x^ = (x - mean) scale; a step is a row."""
    for r in range(start, stop):
        for c in range(C):
            i = r * C + c
            normal = (get(x, i) - get(mean, c)) * get(scale, c)
            put(gx, i, get(share, c) * (get(gy, i) - get(mean_g, c) - normal * get(mean_gx, c)))


def _steps(C):
    return NORM_SUMS * -(-C // STRIP)


def _statistics(x, R, C):
    """Mean and variance of each channel, in float64."""
    sums = np.empty((NORM_SUMS, 2, C))
    # Shifted by the first row, near the mean as a rule; what the shift is cancels exactly.
    shift = np.where(np.isfinite(x[:C]), x[:C], 0).astype(np.float64)
    _moments_loop(_steps(C), 1, x, shift, sums.reshape(-1), R, C)
    total, squares = sums.sum(0)
    return shift + total / R, np.maximum(squares / R - (total / R) ** 2, 0)


def _channels(x, w, *more) -> bool:
    """Is x (N,C) or (N,C,H,W), and w one number a channel?"""
    return x.ndim in (2, 4) and w.size == x.shape[1] == w.shape[1]


@fits(_channels)
def _batch_norm(x, w, b, dim, eps):
    flat, C, shape = layout.by_rows(x), x.shape[1], w.shape
    mean, variance = (s.astype(x.dtype) for s in _statistics(flat, flat.size // C, C))
    scale = 1 / np.sqrt(variance + x.dtype.type(eps))
    y = np.empty_like(flat)
    _scale_loop(flat.size // C, max(1, 16384 // C), flat, mean, scale * w.reshape(-1),
                layout.line(b), y, C)
    return layout.like_rows(y, x.shape), *(s.reshape(shape) for s in (mean, variance, scale))


@fits(lambda gy, x, mean, scale, w: _channels(x, w))
def _batch_norm_grad(gy, x, mean, scale, w, dim):
    g, flat, C, shape = layout.by_rows(gy), layout.by_rows(x), x.shape[1], w.shape
    R, mean, scale = flat.size // C, layout.line(mean), layout.line(scale)
    sums = np.empty((NORM_SUMS, 2, C))
    _grad_sum_loop(_steps(C), 1, g, flat, mean, scale, sums.reshape(-1), R, C)
    gb, gw = sums.sum(0)
    gx = np.empty_like(flat)
    _grad_loop(R, max(1, 16384 // C), g, flat, mean, scale, scale * w.reshape(-1),
               (gb / R).astype(x.dtype), (gw / R).astype(x.dtype), gx, C)
    return layout.like_rows(gx, x.shape), *(s.astype(x.dtype).reshape(shape) for s in (gw, gb))
