"""The gate for users' arrays and numbers: plain arrays of a known dtype come out, or an error.

Each check is given the name under which its error shall refer to the value.
"""

from __future__ import annotations

import math

import numpy as np

from ..device import is_array
from ..dtypes import bool_, float32, float64, int8, int16, int32, int64, uint8
from . import brief

_KNOWN = {kind: kind for kind in (float32, float64, int8, int16, int32, int64, uint8, bool_)}
_INSTEAD = {"f": "float32", "u": "int64"}          # for a type that is not known, by its kind


def known(name: str, dtype, otherwise: str = "no dtype") -> np.dtype:
    """`dtype`, in this machine's byte order, if a tensor can be of it. Raises TypeError, with what
    to do, for float16, longdouble, complex, uint16 and all others."""
    try:
        dtype = np.dtype(dtype).newbyteorder("=")
    except TypeError:
        raise TypeError(f"{name}: {dtype!r} is {otherwise}") from None
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


def without_gradients(value):
    """`value`, unless it is a list in which a tensor requires grad: no gradient would go to it."""
    for v in value if isinstance(value, (list, tuple)) else ():
        if getattr(v, "_requires_grad", False):
            raise TypeError("Tensor: a list with tensors that require grad: no gradient would go "
                            "through it; join them with minidl.stack")
        without_gradients(v)
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
    if array.dtype.kind not in "buif":
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


def dtype_beside(value, kind: np.dtype) -> np.dtype:
    """The dtype of a Python number `value` beside a tensor of dtype `kind`: that of the tensor, if
    it can hold the number. Raises ValueError or TypeError for a number that fits no dtype."""
    if kind.kind == "f":
        check_fits("Tensor", value, kind)
        return kind
    if isinstance(value, float):
        return float32
    if isinstance(value, bool):
        return bool_
    if kind.kind != "b" and integer_fits(value, kind):
        return kind
    if not integer_fits(value, int64):
        raise TypeError(f"the integer {value} does not fit int64; use float({value})")
    return int64
