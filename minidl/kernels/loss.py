"""Losses: cross entropy row by row, binary cross entropy element by element."""

from __future__ import annotations

import math

import numpy as np

from . import fits, layout
from .elementwise import PIECE, _each
from .threads import parallel
from .tile import get, put


@parallel
def _cross_entropy_loop(start, stop, x, t, loss, log_p, C):
    """log p = x - m - log sum e^(x - m), m the largest of the row; loss = -log p[t]."""
    for r in range(start, stop):
        top = x[r * C]
        for c in range(1, C):
            top = max(top, x[r * C + c])
        total = 0.0
        for c in range(C):
            total += np.float64(math.exp(x[r * C + c] - top))
        shift = top + math.log(total)
        for c in range(C):
            log_p[r * C + c] = x[r * C + c] - shift
        loss[r] = -log_p[r * C + t[r]]


@parallel
def _cross_entropy_grad_loop(start, stop, gy, log_p, t, gx, C):
    """gx = gy (p - [c is t])"""
    for r in range(start, stop):
        for c in range(C):
            gx[r * C + c] = gy[r] * math.exp(log_p[r * C + c])
        gx[r * C + t[r]] = gy[r] * (math.exp(log_p[r * C + t[r]]) - 1)


@parallel
def _bce_loop(start, stop, x, t, y):
    """softplus(x) - x t, without its inf - inf and inf * 0"""
    for i in range(start, stop):
        v, share = get(x, i), get(t, i)
        share = 1 - share if v > 0 else share
        size = abs(v)
        put(y, i, (share if share == 0 else share * size) + math.log1p(math.exp(-size)))


@parallel
def _bce_grad_loop(start, stop, gy, x, t, gx):
    """gy (sigmoid(x) - t)"""
    for i in range(start, stop):
        v = get(x, i)
        e = math.exp(-abs(v))
        put(gx, i, get(gy, i) * ((1 if v >= 0 else e) / (1 + e) - get(t, i)))


def _numbers(t):
    """Class numbers as the loops read them."""
    return layout.line(t.astype(np.int64, copy=False))


@fits(lambda x: x.flags.c_contiguous)
def _cross_entropy(x, t):
    loss, log_p = np.empty(len(x), x.dtype), np.empty_like(x)
    _cross_entropy_loop(len(x), max(1, PIECE // x.shape[1]), layout.line(x), _numbers(t), loss,
                        log_p.reshape(-1), x.shape[1])
    return loss, log_p


@fits(lambda gy, log_p: gy.flags.c_contiguous and log_p.flags.c_contiguous)
def _cross_entropy_grad(gy, log_p, t):
    gx = np.empty_like(log_p)
    _cross_entropy_grad_loop(len(gx), max(1, PIECE // gx.shape[1]), gy, log_p.reshape(-1),
                             _numbers(t), gx.reshape(-1), gx.shape[1])
    return gx


@fits(layout.alike)
def _bce_logits(x, t):
    return _each(_bce_loop, x, t, like=x)


@fits(lambda gy, x, t: layout.alike(x, t))
def _bce_logits_grad(gy, x, t):
    if not layout.alike(x, gy):              # of a sum, as a rule: one number seen many times
        g = np.empty_like(x)
        g[...] = gy
        gy = g
    return _each(_bce_grad_loop, gy, x, t, like=x)
