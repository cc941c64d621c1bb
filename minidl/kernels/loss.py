"""Binary cross entropy of logits, element by element."""

from __future__ import annotations

import math

import numpy as np

from . import fits
from .elementwise import _dense, _each
from .threads import parallel
from .tile import get, put


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


@fits(_dense)
def _bce_logits(x, t):
    return _each(_bce_loop, x, t, like=x)


@fits(lambda gy, x, t: _dense(x, t))
def _bce_logits_grad(gy, x, t):
    if not _dense(x, gy):                    # of a sum, as a rule: one number seen many times
        g = np.empty_like(x)
        g[...] = gy
        gy = g
    return _each(_bce_grad_loop, gy, x, t, like=x)
