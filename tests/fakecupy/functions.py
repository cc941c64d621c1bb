"""CuPy's functions of arrays. Their parameters are CuPy's: see signatures.py."""

from __future__ import annotations

import builtins
import math

import numpy as np

from .arrays import as_view, device_array, fresh, memory_of, ndarray, number_or_array, own, result
from .counts import Violation, launch, sync, upload
from .elementwise import ufuncs
from .memory import here, poisoned
from .names import cupy


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    return array(a, dtype, bool(copy), order or "K", blocking=blocking)


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    if type(obj) is ndarray:
        if obj.device.id != here.device:
            obj, copy = obj.copy(order), False
        return obj.astype(obj.dtype if dtype is None else dtype, order=order, copy=copy)
    if isinstance(obj, (list, tuple)) and obj and type(obj[0]) is ndarray:
        return stack(obj)
    order = "F" if isinstance(obj, np.ndarray) and obj.flags.fnc and order in "KA" else (
        "C" if order in "KA" else order)
    new = np.array(obj, dtype=dtype, copy=True, order=order, ndmin=ndmin)
    if new.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {new.dtype}")
    upload("asarray")
    return own(new)


def ascontiguousarray(a, dtype=None): return array(a, dtype, copy=False, order="C")


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    if type(a) is ndarray:
        return a.get(stream, order, out, blocking)
    return np.asarray(a, order=order)


def get_array_module(*args):
    return cupy if builtins.any(type(a) is ndarray for a in args) else np


def empty(shape, dtype=float, order="C"): return ndarray(shape, dtype, order=order)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    like = np.empty_like(memory_of("empty_like", prototype), dtype, order, shape=shape)
    like[...] = poisoned((), like.dtype)
    return own(like)


def _filled(name: str, array: ndarray, value) -> ndarray:
    """`array` with `value`, a number or a device array, in all elements."""
    array._a[...] = number_or_array(value)
    launch(name)
    return array


def zeros(shape, dtype=float, order="C"): return _filled("fill", empty(shape, dtype, order), 0)
def ones(shape, dtype=float, order="C"): return _filled("fill", empty(shape, dtype, order), 1)


def full(shape, fill_value, dtype=None, order="C"):
    dtype = np.asarray(number_or_array(fill_value)).dtype if dtype is None else dtype
    return _filled("fill", empty(shape, dtype, order), fill_value)


def zeros_like(a, dtype=None, order="K", subok=None, shape=None):
    return _filled("fill", empty_like(a, dtype, order, subok, shape), 0)
def ones_like(a, dtype=None, order="K", subok=None, shape=None):
    return _filled("fill", empty_like(a, dtype, order, subok, shape), 1)
def full_like(a, fill_value, dtype=None, order="K", subok=None, shape=None):
    return _filled("fill", empty_like(a, dtype, order, subok, shape), fill_value)


def arange(start, stop=None, step=1, dtype=None):
    if type(start) is ndarray or type(stop) is ndarray:
        raise Violation("arange: limits on the device")
    return result("arange", np.arange(start, stop, step, dtype) if stop is not None
                   else np.arange(start, dtype=dtype))


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    return result("linspace", np.linspace(start, stop, num, endpoint, dtype=dtype))


def eye(N, M=None, k=0, dtype=float, order="C"):
    launch("fill")
    return result("eye", np.eye(N, M, k, dtype))


def tri(N, M=None, k=0, dtype=float):
    return result("tri", np.tri(N, M, k, dtype))


def copy(a, order="K"): return a.copy(order)


def copyto(dst, src, casting="same_kind", where=None):
    given = {} if where is None else {"where": device_array("copyto", where)}
    launch("copyto")
    np.copyto(dst._a, number_or_array(src), casting, **given)


def concatenate(tup, axis=0, out=None, *, dtype=None, casting="same_kind"):
    arrays = [device_array("concatenate", a) for a in tup]
    launch("concatenate", len(arrays) - 1)
    return result("concatenate", np.concatenate(arrays, axis, dtype=dtype, casting=casting))


def stack(tup, axis=0, out=None, *, dtype=None, casting="same_kind"):
    return concatenate([expand_dims(_checked(a), axis) for a in tup], axis)


def _checked(a) -> ndarray:
    device_array("stack", a)
    return a


def where(condition, x=None, y=None):
    if (x is None) != (y is None):
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    if x is None:
        return nonzero(condition)
    if not isinstance(condition, np.generic):
        device_array("where", condition)
    c = number_or_array(condition.astype("?", copy=False))
    return result("where", np.where(c, number_or_array(x), number_or_array(y)))


def nonzero(a): return a.nonzero()
def argwhere(a): return stack(a.nonzero(), 1)
def flatnonzero(a): return a.ravel().nonzero()[0]


def unique(ar, return_index=False, return_inverse=False, return_counts=False, axis=None, *,
           equal_nan=True):
    sync("unique")
    launch("unique", 4)
    found = np.unique(ar._a, return_index, return_inverse, return_counts, axis, equal_nan=equal_nan)
    return tuple(map(fresh, found)) if isinstance(found, tuple) else fresh(found)


def take(a, indices, axis=None, out=None): return a.take(indices, axis, out)


def take_along_axis(a, indices, axis):
    device_array("take_along_axis", indices)
    if axis is None:
        a, axis = a.ravel(), 0
    if a.ndim != indices.ndim:
        raise ValueError("`indices` and `a` must have the same number of dimensions")
    axis %= a.ndim
    return a[tuple(indices if i == axis else arange(n).reshape((-1,) + (1,) * (a.ndim - i - 1))
                   for i, n in enumerate(a.shape))]


def broadcast_to(array, shape):
    view = np.broadcast_to(memory_of("broadcast_to", array), shape)
    view.flags.writeable = view.size <= array.size    # elements that share memory are not written
    return as_view(view, array)


def expand_dims(a, axis):
    return as_view(np.expand_dims(memory_of("expand_dims", a), axis), a)


def squeeze(a, axis=None): return a.squeeze(axis)
def reshape(a, newshape, order="C", *, copy=None): return a.reshape(newshape, order=order)
def ravel(a, order="C"): return a.ravel(order)
def transpose(a, axes=None): return a.transpose() if axes is None else a.transpose(axes)
def swapaxes(a, axis1, axis2): return a.swapaxes(axis1, axis2)


def moveaxis(a, source, destination):
    return as_view(np.moveaxis(memory_of("moveaxis", a), source, destination), a)


def flip(a, axis=None):
    return as_view(np.flip(memory_of("flip", a), axis), a)


def roll(a, shift, axis=None):
    return result("roll", np.roll(device_array("roll", a), shift, axis))


def repeat(a, repeats, axis=None): return a.repeat(repeats, axis)


def pad(array, pad_width, mode="constant", **kwargs):
    launch("fill")
    return result("pad", np.pad(device_array("pad", array), pad_width, mode, **kwargs))


def sort(a, axis=-1, kind=None):
    new = a.copy()
    new.sort(axis)
    return new


def argsort(a, axis=-1, kind=None): return a.argsort(axis)
def clip(a, a_min, a_max, out=None): return a.clip(a_min, a_max)
def sum(a, axis=None, dtype=None, out=None, keepdims=False):
    return a.sum(axis, dtype, out, keepdims)
def mean(a, axis=None, dtype=None, out=None, keepdims=False):
    return a.mean(axis, dtype, out, keepdims)
def prod(a, axis=None, dtype=None, out=None, keepdims=False):
    return a.prod(axis, dtype, out, keepdims)
def max(a, axis=None, out=None, keepdims=False): return a.max(axis, out, keepdims)
def min(a, axis=None, out=None, keepdims=False): return a.min(axis, out, keepdims)
def all(a, axis=None, out=None, keepdims=False): return a.all(axis, out, keepdims)
def any(a, axis=None, out=None, keepdims=False): return a.any(axis, out, keepdims)
def var(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False):
    return a.var(axis, dtype, out, ddof, keepdims)
def std(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False):
    return a.std(axis, dtype, out, ddof, keepdims)
def argmax(a, axis=None, dtype=None, out=None, keepdims=False):
    return a.argmax(axis, out, dtype, keepdims)
def argmin(a, axis=None, dtype=None, out=None, keepdims=False):
    return a.argmin(axis, out, dtype, keepdims)
def cumsum(a, axis=None, dtype=None, out=None): return a.cumsum(axis, dtype)


def isclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    x, y = number_or_array(a), number_or_array(b)
    return result("isclose", np.isclose(x, y, rtol, atol, equal_nan))


def allclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    return isclose(a, b, rtol, atol, equal_nan).all()


def array_equal(a1, a2, equal_nan=False):
    x, y = device_array("array_equal", a1), device_array("array_equal", a2)
    return result("array_equal", np.array_equal(x, y, equal_nan))


def may_share_memory(a, b, max_work=None):
    return np.may_share_memory(memory_of("shares_memory", a), memory_of("shares_memory", b))
def shares_memory(a, b, max_work=None):
    return np.shares_memory(memory_of("shares_memory", a), memory_of("shares_memory", b))


def matmul(x1, x2, /, out=None):
    """Two-dimensional operands go to cuBLAS as they are, also transposed; what is in neither order,
    or of more axes and not in C order, is copied first."""
    a, b = device_array("matmul", x1), device_array("matmul", x2)
    for m in (a, b):
        in_order = m.flags.forc if a.ndim <= 2 and b.ndim <= 2 else m.flags.c_contiguous
        if not in_order or m.dtype != np.result_type(a, b):
            launch("matmul: copy")
    if a.shape[:-2] != b.shape[:-2] and a.ndim > 2 < b.ndim:
        launch("matmul: pointers", 3)
    with np.errstate(all="ignore"):
        y = np.matmul(a, b)
    if out is None:
        return result("matmul", y)
    launch("matmul")
    out._a[...] = y
    return out


def dot(a, b, out=None):
    if a.ndim > 2 or b.ndim > 2:
        raise NotImplementedError("the fake CuPy's dot is for at most two axes")
    if a.ndim == 0 or b.ndim == 0:
        return ufuncs["multiply"](a, b)
    return matmul(a, b, out)


def outer(a, b, out=None): return ufuncs["multiply"](a.reshape(-1, 1), b.reshape(1, -1))


def as_strided(x, shape=None, strides=None):
    strided = np.lib.stride_tricks.as_strided(memory_of("as_strided", x), shape, strides)
    view = as_view(strided, x)
    view.base = None                                  # CuPy makes it of the pointer alone
    return view


def sliding_window_view(x, window_shape, axis=None, *, subok=False, writeable=False):
    upload("sliding_window_view")                    # CuPy really sends the shape to the device
    sync("sliding_window_view")
    return as_view(np.lib.stride_tricks.sliding_window_view(x._memory, window_shape, axis), x)


def erf(x):
    values = np.frompyfunc(math.erf, 1, 1)(device_array("erf", x))
    return result("erf", np.asarray(values, dtype=x.dtype))
