"""Where arrays live: NumPy on the CPU, CuPy on a CUDA device.

An op never asks which library it is on: it takes :func:`namespace` of its arrays. CuPy is imported
only when somebody asks for "cuda" or "auto"; what a GPU needs is in cuda.py.
"""

from __future__ import annotations

import sys

import numpy as np

from . import cuda

__all__ = ["beside", "constant", "device_of", "is_array", "move", "namespace", "resolve",
           "same_place", "to_host"]

_NAMESPACES = {np.ndarray: np}


def namespace(array):
    """The array library (``numpy`` or ``cupy``) that `array` belongs to."""
    return _NAMESPACES.get(type(array)) or _other_namespace(array)


def _other_namespace(array):
    if isinstance(array, np.generic):         # a number of NumPy's, which is no array: see is_array
        return np
    module = sys.modules[type(array).__module__.partition(".")[0]]
    return _NAMESPACES.setdefault(type(array), module)


def is_array(value) -> bool:
    """Is `value` an array of NumPy or of CuPy (when CuPy is loaded)?"""
    return type(value) in _NAMESPACES or isinstance(value, np.ndarray) or isinstance(
        value, getattr(sys.modules.get("cupy"), "ndarray", ()))


def device_of(array) -> str:
    """``"cpu"`` or ``"cuda:0"``: the name of the device that holds `array`."""
    return "cpu" if isinstance(array, np.ndarray) else f"cuda:{array.device.id}"


def same_place(array, other) -> bool:
    """Are two arrays on the same device?"""
    return type(array) is type(other) and (isinstance(array, np.ndarray)
                                           or array.device == other.device)


# --------------------------------------------------------------------------- a number as an array
def constant(value: float, dtype, like):
    """The number `value` as a 0-d array of `dtype` where the array `like` is. On a GPU the array is
    made once and kept, so that a training step sends no number to the GPU: never write to it."""
    if type(like) is not np.ndarray:
        return cuda.constant_on(like.device.id, value, dtype)
    if -3e38 < value < 3e38:
        return np.asarray(value, dtype)
    with np.errstate(all="ignore"):                       # beyond float32's range it is infinite
        return np.asarray(value, dtype)


# --------------------------------------------------------------------------- to another device
def resolve(device: str) -> str:
    """The device meant by ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"auto"`` (CUDA if it works).

    One GPU at a time: :func:`minidl.cuda.use` makes it the current one. Raises ValueError for
    another name; RuntimeError if CUDA is asked for by name and cannot be used.
    """
    name = str(device)
    if name in ("cpu", "cpu:0") or (name == "auto" and cuda.cuda_problem()):
        return "cpu"
    if name in ("auto", "cuda") or (name.startswith("cuda:") and name[5:].isdecimal()):
        return cuda.use(name)
    raise ValueError(f'device: expected "cpu", "cuda", "cuda:N" or "auto", got {device!r}')


def move(array, device: str):
    """`array` on `device`: itself if it is there already, else a copy with the same memory order.
    """
    device = resolve(device)
    if device_of(array) == device:
        return array
    if device == "cpu":
        return to_host(array)
    return cuda.copied(array)


def beside(array, other):
    """`array` on the device where the array `other` is."""
    return array if same_place(array, other) else move(array, device_of(other))


def to_host(array) -> np.ndarray:
    """`array` as a NumPy array: itself on the CPU, a copy from a GPU (waits for it)."""
    return array if isinstance(array, np.ndarray) else cuda.fetched(array)
