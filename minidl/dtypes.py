"""Types of numbers: which there are, and which type an op makes of two.

Floats are computed with, float32 or float64. Integers and booleans are data: class numbers, places,
masks, images as they are stored. What an op makes of two types is PyTorch's rule; it and the rule
of every op stand in docs/numbers.md.
"""

from __future__ import annotations

import functools

import numpy as np

float32, float64 = np.dtype("float32"), np.dtype("float64")
int8, int16, int32, int64 = (np.dtype(f"int{bits}") for bits in (8, 16, 32, 64))
uint8, bool_ = np.dtype("uint8"), np.dtype("bool")

_RANK = {"b": 0, "u": 1, "i": 1, "f": 2}             # bool < integer < float


def higher(a: np.dtype, b: np.dtype) -> bool:
    """Is `a` of a higher category than `b`: bool < integer < float?"""
    return _RANK[a.kind] > _RANK[b.kind]


def common_dtype(a: np.dtype, b: np.dtype) -> np.dtype:
    """The dtype of an array made of a's and b's: the one of the higher category, or the wider of
    a category."""
    return a if higher(a, b) else b if higher(b, a) else np.promote_types(a, b)


def paired(a, b):
    """Both arrays in their :func:`result_type`."""
    if a.dtype is not b.dtype:
        kind = result_type(a, b)
        a, b = a.astype(kind, copy=False), b.astype(kind, copy=False)
    return a, b


def result_type(*arrays) -> np.dtype:
    """PyTorch's dtype of an operation on arrays: :func:`common_dtype` of those that have axes,
    unless a number (no axes) is of a higher category."""
    with_axes = [a.dtype for a in arrays if a.ndim > 0]
    without = [a.dtype for a in arrays if a.ndim == 0]
    if not with_axes or not without:
        return functools.reduce(common_dtype, with_axes or without)
    array, number = (functools.reduce(common_dtype, group) for group in (with_axes, without))
    return number if higher(number, array) else array
