"""An array that nobody else holds becomes a leaf's gradient as it is, without a copy."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np

_references = getattr(sys, "getrefcount", None)    # where objects have none, all is copied


def unshared(g, like) -> bool:
    """May the array of the tensor g be the gradient of a leaf whose array is `like`? If nobody else
    holds g, the array of g, or the memory of that array, all of which belongs to an array; and if
    the array lies in memory as `like` does."""
    if _references is None:
        return False
    array, base = g.data, g.data.base
    counts = _references(g), _references(array), base is not None and _references(base)
    if like is None:                               # the measurement, below
        _NOBODY_ELSE.append(counts)
        return False
    owner = array if base is None else base
    return counts in _NOBODY_ELSE and (
        type(owner) is type(array) and owner.flags.owndata and owner.nbytes == array.nbytes) and (
        not isinstance(array, np.ndarray) or array.flags.writeable) and all(
        [n == 1 or s == t for n, s, t in zip(array.shape, array.strides, like.strides)])


def _measure(g) -> None:
    unshared(g, None)


# What is counted when nobody else holds a gradient, by a call like that of `gradients.deposit`:
# Python versions count differently.
_NOBODY_ELSE: list[tuple] = []
_measure(SimpleNamespace(data=np.empty(2)))
_measure(SimpleNamespace(data=np.empty(2).reshape(2, 1)))
