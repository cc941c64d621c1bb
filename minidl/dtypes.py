"""Types of numbers: which there are, which two of them make, and the one gate for users' arrays.

Floats are computed with, float32 or float64. Integers and booleans are data: class numbers, places,
masks, images as they are stored. What an op makes of two types is PyTorch's rule; it and the rule
of every op stand in docs/numbers.md.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from .checks import brief
from .device import is_array

float32, float64 = np.dtype("float32"), np.dtype("float64")
int8, int16, int32, int64 = (np.dtype(f"int{bits}") for bits in (8, 16, 32, 64))
uint8, bool_ = np.dtype("uint8"), np.dtype("bool")

_KNOWN = {kind: kind for kind in (float32, float64, int8, int16, int32, int64, uint8, bool_)}
_INSTEAD = {"f": "float32", "u": "int64"}          # for a type that is not known, by its kind
_RANK = {"b": 0, "u": 1, "i": 1, "f": 2}             # bool < integer < float


def known(name: str, dtype) -> np.dtype:
    """`dtype`, in this machine's byte order, if a tensor can be of it. Raises TypeError, with what
    to do, for float16, longdouble, complex, uint16 and all others."""
    try:
        dtype = np.dtype(dtype).newbyteorder("=")
    except TypeError:
        raise TypeError(f"{name}: {dtype!r} is no dtype") from None
    if dtype in _KNOWN:
        return _KNOWN[dtype]
    instead = _INSTEAD.get(dtype.kind)
    raise TypeError(f"{name}: nothing here computes with {dtype}; " + (
        f"convert the array with .astype(np.{instead}), or give dtype=minidl.{instead}"
        if instead else f"expected numbers: {', '.join(map(str, _KNOWN))}"))


def unmasked(name: str, value):
    """`value`, if it is no masked array and no list with one in it: where those are masked they
    have no numbers, and NumPy takes what stands below the mask without a word."""
    if isinstance(value, (list, tuple)):
        for v in value:
            if isinstance(v, (list, tuple, np.ma.MaskedArray)):
                unmasked(name, v)
    elif isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: a masked array has no numbers where it is masked; put some there "
                        "with .filled(...)")
    return value


def numbers(name: str, value, dtype=None, copy: bool = False, floats=float32):
    """The gate: whatever the user has, as a plain array of a known dtype (`dtype`, if given; else
    Python's floats are of the dtype `floats`).

    A subclass of NumPy's array (a matrix, a memmap) becomes a plain one, other byte orders become
    this machine's. Raises TypeError for masked arrays, for what is no array of numbers and for a
    dtype that is not known; ValueError for lists of unequal length.
    """
    array, inner = value, value if isinstance(value, (list, tuple)) else (value,)
    if any([isinstance(v, (list, tuple, np.ma.MaskedArray)) for v in inner]):
        unmasked(name, value)
    if isinstance(value, np.ndarray):
        array = np.asarray(value)
    elif not is_array(value):
        try:
            array = np.array(value)
        except ValueError as error:                       # ragged lists
            raise ValueError(f"{name}: {error}") from None
        if dtype is None and array.dtype == float64 and not isinstance(value, np.generic):
            dtype = floats                                # Python's
    if isinstance(value, int) and array.dtype == object:
        check_fits(name, value, float64)
        raise TypeError(f"{name}: {value} does not fit int64; use float({value})")
    if array.dtype.kind not in _RANK:
        raise TypeError(f"{name}: expected numbers, got {type(value).__name__} of dtype "
                        f"{array.dtype}")
    dtype = array.dtype if dtype is None else dtype
    if not isinstance(dtype, np.dtype) or dtype not in _KNOWN:
        dtype = known(name, dtype)
    if array.dtype == dtype:
        return array.astype(dtype) if copy else array
    if dtype.kind in "iu" and array.size and not is_array(value):
        check_fits(name, array.min(), dtype)              # of Python's numbers; arrays are cast
        check_fits(name, array.max(), dtype)
    with np.errstate(all="ignore"):                       # inf and nan are values
        return array.astype(dtype)


def integer_fits(number: int, dtype) -> bool:
    """Is the integer `number` one of `dtype`?"""
    return np.iinfo(dtype).min <= number <= np.iinfo(dtype).max


def check_fits(name: str, number, dtype: np.dtype) -> None:
    """Raise ValueError for a number that an integer `dtype` cannot hold, and for an integer that
    is beyond all floats."""
    if dtype.kind in "iu" and isinstance(number, (int, float, np.integer, np.floating)) and not (
            abs(number) < math.inf and integer_fits(int(number), dtype)) or (
            dtype.kind == "f" and isinstance(number, int) and abs(number) > 1e308):
        number = brief(number.item() if isinstance(number, np.generic) else number)
        raise ValueError(f"{name}: {number} does not fit {dtype}")


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
    groups = [[a.dtype for a in arrays if (a.ndim > 0) is axes] for axes in (True, False)]
    kinds = [functools.reduce(common_dtype, group) for group in groups if group]
    return kinds[-1] if len(kinds) == 1 or higher(kinds[1], kinds[0]) else kinds[0]
