"""An array that nobody else holds becomes a leaf's gradient as it is, without a copy."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np

# What is counted when nobody else holds a gradient, by a call like that of `gradients.deposit`:
# Python versions count differently. Where objects have no such counts, every gradient is copied.
_NOBODY_ELSE: list[tuple] = []


def unshared(g, like) -> bool:
    """May the array of the tensor g be the gradient of a leaf whose array is `like`? If nobody else
    holds g, its array or the array's memory, and if the array lies in memory as `like` does."""
    array, base = g.data, g.data.base
    owner = array if base is None else base
    return bool(_NOBODY_ELSE) and (sys.getrefcount(g), sys.getrefcount(array), (
        base is not None and sys.getrefcount(base))) in _NOBODY_ELSE and (
        type(owner) is type(array) and owner.flags.owndata and owner.nbytes == array.nbytes) and (
        not isinstance(array, np.ndarray) or array.flags.writeable) and all(
        [n == 1 or s == t for n, s, t in zip(array.shape, array.strides, like.strides)])


def _remember(g, like) -> None:
    array, base = g.data, g.data.base
    owner = array if base is None else base      # one more reference to it, as in `unshared`
    _NOBODY_ELSE.append((sys.getrefcount(g), sys.getrefcount(array), (
        base is not None and sys.getrefcount(base))))
    del owner


def _measure(g) -> None:
    _remember(g, None)


if hasattr(sys, "getrefcount"):
    _measure(SimpleNamespace(data=np.empty(2)))
    _measure(SimpleNamespace(data=np.empty(2).reshape(2, 1)))
