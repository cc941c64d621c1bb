"""A stand-in for CuPy 14 that runs on NumPy, and refuses what a GPU refuses or silently does wrong.

    with fakecupy.installed() as cupy:              # or the pytest fixture `gpu`
        x = minidl.tensor([1.0, 2.0], device="cuda")
        with fakecupy.forbid_sync(), fakecupy.counting() as count:
            y = x * x
        assert count.launches == 1 and count.uploads == 0

Where the real CuPy raises, so does this, with the same type. What CuPy lets pass although no
program should do it is a :class:`Violation`, which no ``except ValueError`` catches:

* a host array among device arrays (also the 0-d arrays and index arrays that CuPy copies silently),
* integer indices out of range (CuPy wraps them), repeated indices in an assignment (undefined),
* ``np.exp(device_array)`` and its like, which CuPy carries out slowly,
* waiting for the device inside :func:`forbid_sync`.

Memory that nobody has written holds nan, or the largest integer. Results of reductions are 0-d
arrays, elementwise results are in C order whatever their operands are, as CuPy's are.

Names and keywords are CuPy's and no others: where the real CuPy can be imported (it needs no GPU
for that), every signature here is compared with the real one before the first use. A kernel of a
RawModule is compiled by g++ and really run: see cuda_on_cpu.py.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import importlib.util
import inspect
import math
import re
import sys
import time
from collections import Counter
from types import ModuleType, SimpleNamespace

import numpy as np


class Violation(AssertionError):
    """What the real CuPy lets pass, and no program should do."""


class HiddenSync(Violation):
    """The host waits for the device where it must not."""


# --------------------------------------------------------------------------- counting
class Counts:
    """What happened inside ``with counting():``. `launches`: kernels, fills and copies on the
    device; `syncs`: how often the host waited; `uploads`, `downloads`: copies from and to the host;
    `calls`: all of these by name."""

    def __init__(self):
        self.launches = self.syncs = self.uploads = self.downloads = 0
        self.calls: Counter[str] = Counter()

    def __repr__(self):
        return (f"{self.launches} launches, {self.syncs} syncs, {self.uploads} uploads, "
                f"{self.downloads} downloads: {dict(self.calls)}")


_open: list[Counts] = []             # the counts of all `with counting()` blocks we are in
_state = SimpleNamespace(sync_forbidden=0, wrap=0, used=0, limit=None)


@contextlib.contextmanager
def counting():
    """Count what the block makes the device do."""
    counts = Counts()
    _open.append(counts)
    try:
        yield counts
    finally:
        _open.remove(counts)


@contextlib.contextmanager
def _raised(name: str):
    setattr(_state, name, getattr(_state, name) + 1)
    try:
        yield
    finally:
        setattr(_state, name, getattr(_state, name) - 1)


def forbid_sync():
    """A block in which waiting for the device raises HiddenSync."""
    return _raised("sync_forbidden")


def wrapping_indices():
    """A block in which integer indices out of range wrap around silently, as in CuPy."""
    return _raised("wrap")


@contextlib.contextmanager
def memory_limit(nbytes: int):
    """A device with `nbytes` more than are in use now: beyond it, OutOfMemoryError."""
    before, _state.limit = _state.limit, _state.used + nbytes
    try:
        yield
    finally:
        _state.limit = before


def _launch(name: str, times: int = 1) -> None:
    for counts in _open:
        counts.launches += times
        counts.calls[name] += times


def _upload(name: str) -> None:
    for counts in _open:
        counts.uploads += 1
        counts.calls[name] += 1


def _sync(name: str, download: bool = False) -> None:
    if _state.sync_forbidden:
        raise HiddenSync(f"{name} waits for the device")
    for counts in _open:
        counts.syncs += 1
        counts.downloads += download
        counts.calls[name] += 1


# --------------------------------------------------------------------------- memory
class OutOfMemoryError(MemoryError):
    """As CuPy's."""

    def __init__(self, size: int, total: int, limit: int = 0):
        tail = f", limit set to: {limit:,} bytes" if limit else ""
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} "
                         f"bytes{tail}).")


class _Block:
    """An allocation: in use until the last array that sees it is gone. CuPy's sizes are multiples
    of 512 bytes."""

    __slots__ = ("nbytes",)

    def __init__(self, nbytes: int):
        self.nbytes = 0
        nbytes = -(-nbytes // 512) * 512
        if _state.limit is not None and _state.used + nbytes > _state.limit:
            raise OutOfMemoryError(nbytes, _state.used, _state.limit)
        self.nbytes = nbytes
        _state.used += nbytes

    def __del__(self):
        _state.used -= self.nbytes


class _Pool:
    """``get_default_memory_pool()``; nothing is kept here that is not in use."""

    def used_bytes(self): return _state.used
    def total_bytes(self): return _state.used
    def free_bytes(self): return 0
    def free_all_blocks(self, stream=None): return None
    def set_limit(self, size=None, fraction=None): _state.limit = size or None
    def get_limit(self): return _state.limit or 0


def _poisoned(shape, dtype, order="C") -> np.ndarray:
    """Memory as nobody has written it: nan, or the largest integer, or True."""
    array = np.empty(shape, dtype, order)
    kind = array.dtype.kind
    array.fill(np.nan if kind in "fc" else np.iinfo(array.dtype).max if kind in "iu" else True)
    return array


# --------------------------------------------------------------------------- the array
class Flags:
    """What CuPy tells of an array's memory; there is no ``writeable``."""

    def __init__(self, array: np.ndarray, owndata: bool):
        self.c_contiguous, self.f_contiguous = array.flags.c_contiguous, array.flags.f_contiguous
        self.owndata, self.forc = owndata, array.flags.forc
        self.fnc = array.flags.fnc

    def __getitem__(self, name):
        return getattr(self, name.lower())


def _own(array) -> ndarray:
    """A device array with memory of its own."""
    new = object.__new__(ndarray)
    new._a, new.base = np.asarray(array, order=None), None
    new._block = _Block(new._a.nbytes)
    return new


def _fresh(array) -> ndarray:
    """A result: in C order, whatever NumPy chose."""
    return _own(np.asarray(array, order="C"))


def _result(name: str, array) -> ndarray:
    """The result of one kernel."""
    _launch(name)
    return _fresh(array)


def _as_view(array: np.ndarray, of: ndarray) -> ndarray:
    new = object.__new__(ndarray)
    new._a, new._block, new.base = array, of._block, of if of.base is None else of.base
    return new


def _host(name: str, value) -> Violation:
    return Violation(f"{name}: a NumPy array of shape {value.shape} among arrays on the device")


def _number_or_array(value):
    """An operand as NumPy takes it: a device array's memory, or a number."""
    if type(value) is ndarray:
        return value._a
    if type(value) in (float, int, bool, complex) or isinstance(value, np.generic):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def _device_array(name: str, value) -> np.ndarray:
    if type(value) is ndarray:
        return value._a
    raise TypeError(f"{name}: expected a cupy.ndarray, got {type(value)}")


def _other_decides(x, y) -> bool:
    """Does `y` want the operator for itself (as Tensor does)?"""
    return getattr(y, "__array_ufunc__", x) is None


def _binary(name: str):
    def forward(x, y):
        return NotImplemented if _other_decides(x, y) else ufuncs[name](x, y)

    def reflected(x, y):
        return NotImplemented if _other_decides(x, y) else ufuncs[name](y, x)

    def in_place(x, y):
        return ufuncs[name](x, y, out=x)
    return forward, reflected, in_place


def _reduction(name: str, dtype: bool = False):
    """A method that reduces over axes; `dtype`: with the dtype to add up in."""
    def run(x, axis, out, keepdims, **more):
        with np.errstate(all="ignore"):
            y = getattr(x._a, name)(axis=axis, keepdims=bool(keepdims), **more)
        if out is None:
            return _result(name, y)
        _launch(name)
        out._a[...] = y
        return out
    if dtype:
        def method(self, axis=None, dtype=None, out=None, keepdims=False):
            return run(self, axis, out, keepdims, dtype=dtype)
    else:
        def method(self, axis=None, out=None, keepdims=False):
            return run(self, axis, out, keepdims)
    method.__name__ = name
    return method


def _spread(name: str):
    def method(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False):
        _launch("mean")
        y = getattr(self._a, name)(axis=axis, dtype=dtype, ddof=ddof, keepdims=keepdims)
        return _result(name, y)
    return method


def _place(name: str):
    def method(self, axis=None, out=None, dtype=None, keepdims=False):
        y = getattr(self._a, name)(axis=axis, keepdims=keepdims)
        return _result(name, np.asarray(y, dtype=dtype or np.int64))
    return method


class ndarray:
    """An array on the device: wraps a NumPy array that nobody else gets to see."""

    __slots__ = ("__weakref__", "_a", "_block", "base")
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        if memptr is not None:
            raise NotImplementedError("the fake CuPy makes no arrays of foreign pointers")
        self._a, self.base = _poisoned(shape, dtype, order or "C"), None
        self._block = _Block(self._a.nbytes)

    # ------------------------------------------------------------------ what it is
    shape = property(lambda self: self._a.shape)
    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    nbytes = property(lambda self: self._a.nbytes)
    itemsize = property(lambda self: self._a.itemsize)
    strides = property(lambda self: self._a.strides)
    flags = property(lambda self: Flags(self._a, self.base is None))
    device = property(lambda self: Device(0))
    data = property(lambda self: SimpleNamespace(ptr=self._a.ctypes.data, device_id=0,
                                                 device=Device(0)),
                    doc="The address is that of the wrapped array's memory.")

    def __len__(self):
        if self._a.ndim == 0:
            raise TypeError("len() of unsized object")
        return len(self._a)

    def __iter__(self):
        if self._a.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    # ------------------------------------------------------------------ NumPy stays out
    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` "
                        "to construct a NumPy array explicitly.")

    def __array_ufunc__(self, function, method, *inputs, **kwargs):
        name = {"divide": "true_divide"}.get(function.__name__, function.__name__)
        number = builtins.any(isinstance(x, np.generic) for x in inputs)    # np.float32(2) * array
        if method == "__call__" and number and name in ufuncs and not kwargs:
            return ufuncs[name](*inputs)
        for x in inputs:
            if isinstance(x, np.ndarray):
                raise TypeError(f"Unsupported type {type(x)}")
        raise Violation(f"numpy.{function.__name__} of an array on the device; call its own "
                        "library's function (minidl.device.namespace)")

    def __array_function__(self, function, types, args, kwargs):
        if np.ndarray in types:
            raise TypeError(f"Unsupported type {np.ndarray}")
        if builtins.any(isinstance(x, np.generic) for x in args):    # np.where(np.True_, ...)
            return getattr(cupy, function.__name__)(*args, **kwargs)
        raise Violation(f"numpy.{function.__name__} of an array on the device; call its own "
                        "library's function (minidl.device.namespace)")

    # ------------------------------------------------------------------ to and from the host
    def get(self, stream=None, order="C", out=None, blocking=True):
        _sync("get", download=True)
        if order.upper() == "A":
            order = "F" if self._a.flags.f_contiguous else "C"
        if not (self._a.flags.c_contiguous if order.upper() == "C" else self._a.flags.f_contiguous):
            _launch("copy")
        if out is None:
            return self._a.copy(order=order)
        if not isinstance(out, np.ndarray) or (out.dtype, out.shape) != (self.dtype, self.shape):
            raise TypeError(f"get: out must be a NumPy array of shape {self.shape} and dtype "
                            f"{self.dtype}")
        out[...] = self._a
        return out

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not self._a.flags.forc:
            raise RuntimeError("Cannot set to non-contiguous array")
        _upload("set")
        self._a[...] = arr

    def item(self):
        if self._a.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        _sync("item", download=True)
        return self._a.item()

    def tolist(self):
        _sync("tolist", download=True)
        return self._a.tolist()

    def tobytes(self, order="C"):
        _sync("tobytes", download=True)
        return self._a.tobytes(order)

    def __bool__(self):
        if self._a.size != 1:
            raise ValueError("The truth value of an array with more than one element is ambiguous. "
                             "Use a.any() or a.all()")
        _sync("bool", download=True)
        return bool(self._a)

    def __int__(self):
        _sync("int", download=True)
        return int(self._a)

    def __float__(self):
        _sync("float", download=True)
        return float(self._a)

    def __repr__(self):
        _sync("repr", download=True)
        return repr(self._a)

    def __str__(self):
        _sync("str", download=True)
        return str(self._a)

    def __format__(self, spec):
        _sync("format", download=True)
        return format(self._a, spec)

    # ------------------------------------------------------------------ copies
    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if casting is not None or subok is not None:
            raise TypeError("casting and subok are not supported yet")
        with np.errstate(all="ignore"):
            new = self._a.astype(dtype, order=order, copy=copy)
        if new is self._a:
            return self
        _launch("astype" if new.dtype != self.dtype else "copy")
        return _own(new)

    def copy(self, order="C"):
        return self.astype(self.dtype, order=order)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def fill(self, value):
        value = _number_or_array(value)
        _launch("fill")
        self._a.fill(value)

    # ------------------------------------------------------------------ rearranging
    def view(self, dtype=None, type=None):
        return _as_view(self._a.view(self.dtype if dtype is None else dtype), self)

    def reshape(self, *shape, order="C", copy=None):
        shape = shape[0] if len(shape) == 1 else shape
        new = self._a.reshape(shape, order=order)
        if np.may_share_memory(new, self._a) or not new.size:       # a copy is apart
            return _as_view(new, self)
        return _result("reshape", new)

    def ravel(self, order="C"):
        return self.reshape(-1, order=order)

    def flatten(self, order="C"):
        return _result("copy", self._a.flatten(order))

    def transpose(self, *axes):
        axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return _as_view(self._a.transpose(axes or None), self)

    def swapaxes(self, axis1, axis2):
        return _as_view(self._a.swapaxes(axis1, axis2), self)

    def squeeze(self, axis=None):
        return _as_view(self._a.squeeze(axis), self)

    def diagonal(self, offset=0, axis1=0, axis2=1):
        diagonal = self._a.diagonal(offset, axis1, axis2)
        diagonal.flags.writeable = True
        return _as_view(diagonal, self)

    T = property(lambda self: self if self.ndim < 2 else _as_view(self._a.T, self))
    mT = property(lambda self: _as_view(self._a.swapaxes(-1, -2), self))

    # ------------------------------------------------------------------ picking
    def __getitem__(self, index):
        index, arrays, masks = _prepared_index(self._a.shape, index)
        if not arrays:
            return _as_view(self._a[index], self)
        if masks:
            _sync("index by a mask")
        _launch("getitem", 3 if masks else 1 if arrays == 1 else arrays + 2)
        return _fresh(self._a[index])

    def __setitem__(self, index, value):
        index, arrays, masks = _prepared_index(self._a.shape, index)
        if isinstance(value, np.ndarray):
            raise _host("a[i] = v", value)
        new = _number_or_array(value)
        if masks:
            _sync("assign to a mask")
        if arrays and type(value) is not ndarray:
            _upload("a[indices] = number")
        if arrays:
            _refuse_repeated(self._a.shape, index)
        elif type(value) is ndarray and _same_memory(self._a[index], new):
            return                                           # what `a[i] += b` ends with
        _launch("setitem", 3 if masks else 1 if arrays < 2 else arrays + 2)
        with np.errstate(all="ignore"):
            self._a[index] = new

    def take(self, indices, axis=None, out=None):
        if isinstance(indices, (int, np.integer)):
            return _result("take", self._a.take(indices, axis))
        if type(indices) is not ndarray:
            raise Violation("take: indices on the host")
        length = self.size if axis is None else self.shape[axis]
        y = self._a.take(_in_range(indices._a, length), axis)
        if out is None:
            return _result("take", y)
        if (out.dtype, out.shape) != (y.dtype, y.shape):
            raise TypeError("Output dtype or shape mismatch")
        _launch("take")
        out._a[...] = y
        return out

    def repeat(self, repeats, axis=None):
        return _result("repeat", self._a.repeat(repeats, axis))

    def nonzero(self):
        _sync("nonzero")
        _launch("nonzero", 3)
        return tuple(_fresh(i) for i in self._a.nonzero())

    def sort(self, axis=-1, kind=None):
        _launch("sort")
        self._a.sort(axis, kind="stable")

    def argsort(self, axis=-1, kind=None):
        return _result("argsort", self._a.argsort(axis, kind="stable"))

    # ------------------------------------------------------------------ reductions
    sum, mean, prod = (_reduction(name, dtype=True) for name in ("sum", "mean", "prod"))
    max, min, all, any = (_reduction(name) for name in ("max", "min", "all", "any"))
    var, std = _spread("var"), _spread("std")
    argmax, argmin = _place("argmax"), _place("argmin")

    def cumsum(self, axis=None, dtype=None, out=None):
        return _result("cumsum", self._a.cumsum(axis, dtype))

    def clip(self, min=None, max=None, out=None):
        low, high = (None if v is None else _number_or_array(v) for v in (min, max))
        with np.errstate(all="ignore"):
            return _result("clip", self._a.clip(low, high))

    def round(self, decimals=0, out=None):
        return _result("round", self._a.round(decimals))

    def dot(self, b, out=None):
        return dot(self, b, out)

    # ------------------------------------------------------------------ operators
    __add__, __radd__, __iadd__ = _binary("add")
    __sub__, __rsub__, __isub__ = _binary("subtract")
    __mul__, __rmul__, __imul__ = _binary("multiply")
    __truediv__, __rtruediv__, __itruediv__ = _binary("true_divide")
    __floordiv__, __rfloordiv__, __ifloordiv__ = _binary("floor_divide")
    __mod__, __rmod__, __imod__ = _binary("remainder")
    __pow__, __rpow__, __ipow__ = _binary("power")
    __and__, __rand__, __iand__ = _binary("bitwise_and")
    __or__, __ror__, __ior__ = _binary("bitwise_or")
    __xor__, __rxor__, __ixor__ = _binary("bitwise_xor")
    __lshift__, __rlshift__, __ilshift__ = _binary("left_shift")
    __rshift__, __rrshift__, __irshift__ = _binary("right_shift")
    __eq__, __ne__ = _binary("equal")[0], _binary("not_equal")[0]
    __lt__, __le__ = _binary("less")[0], _binary("less_equal")[0]
    __gt__, __ge__ = _binary("greater")[0], _binary("greater_equal")[0]

    def __neg__(self): return ufuncs["negative"](self)
    def __pos__(self): return self
    def __abs__(self): return ufuncs["absolute"](self)
    def __invert__(self): return ufuncs["invert"](self)

    def __matmul__(self, other):
        return NotImplemented if _other_decides(self, other) else matmul(self, other)

    def __rmatmul__(self, other):
        return NotImplemented if _other_decides(self, other) else matmul(other, self)


def _same_memory(a: np.ndarray, b) -> bool:
    return (a.ctypes.data, a.shape, a.strides) == (b.ctypes.data, b.shape, b.strides)


# --------------------------------------------------------------------------- indices
def _prepared_index(shape, index):
    """(the index as NumPy takes it, how many arrays are in it, how many of these are masks)."""
    parts = list(index) if isinstance(index, tuple) else [index]
    axis = arrays = masks = 0
    for i, part in enumerate(parts):
        if isinstance(part, (np.ndarray, bool, np.bool_)):
            raise Violation("an index on the host: CuPy copies it to the device at every call")
        if isinstance(part, list):                           # few numbers, written by hand
            _upload("index by a list")
            parts[i] = part = _own(np.asarray(part, dtype=None if part else np.int64))
        if part is Ellipsis:
            rest = [p for p in parts[i + 1:] if p is not None]
            axis = len(shape) - builtins.sum(
                p.ndim if type(p) is ndarray and p.dtype == bool else 1 for p in rest)
        elif type(part) is ndarray:
            if part.dtype.kind not in "iub":
                raise IndexError("arrays used as indices must be of integer or boolean type. "
                                 f"(actual: {part.dtype.type})")
            arrays += 1
            if part.dtype == bool:
                masks, axis, parts[i] = masks + 1, axis + part.ndim, part._a
            else:
                length = shape[axis] if axis < len(shape) else 0
                parts[i], axis = _in_range(part._a, length), axis + 1
        elif part is None or isinstance(part, (int, np.integer, slice)):
            axis += part is not None
        else:
            raise IndexError("only integers, slices (`:`), ellipsis (`...`), numpy.newaxis "
                             "(`None`) and integer or boolean arrays are valid indices")
    if not builtins.any(p is Ellipsis for p in parts):
        parts.append(Ellipsis)                               # so that even one number is a view
    return tuple(parts), arrays, masks


def _in_range(index: np.ndarray, length: int) -> np.ndarray:
    if not index.size or (-length <= index.min() and index.max() < length):
        return index
    if _state.wrap and length:
        return index % length
    raise Violation(f"indices from {index.min()} to {index.max()} on an axis of length {length}: "
                    "CuPy wraps them silently")


def _refuse_repeated(shape, index) -> None:
    targets = np.arange(math.prod(shape)).reshape(shape)[index]
    if len(np.unique(targets)) < targets.size:
        raise Violation("a[indices] = v names an element twice: CuPy leaves open which value stays")


# --------------------------------------------------------------------------- elementwise
class ufunc:
    """One number for each element: ``f(x, ..., out=None, dtype=None, casting="same_kind")``."""

    def __init__(self, name: str, function: np.ufunc):
        self.__name__ = self.name = f"cupy_{name}"
        self.nin, self.nout, self._numpy = function.nin, 1, function

    def __call__(self, *args, out=None, dtype=None, casting="same_kind"):
        if not self.nin <= len(args) <= self.nin + 1:
            raise TypeError(f"Wrong number of arguments for {self.name!r}: {len(args)}")
        if len(args) > self.nin:
            *args, out = args
        given = [_number_or_array(x) for x in args]
        more = {} if dtype is None else {"dtype": dtype}
        if out is not None:
            out = out[0] if isinstance(out, tuple) else out
            more["out"] = _device_array(f"{self.name}, out", out)
            if np.broadcast_shapes(*[np.shape(x) for x in given]) != out.shape:
                raise ValueError("Out shape is mismatched")
        with np.errstate(all="ignore"):
            y = self._numpy(*given, casting=casting, **more)
        if out is None:
            return _result(self.name, y)
        _launch(self.name)
        return out

    def at(self, a, indices, b=None):
        if self.name != "cupy_add":
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        if a.dtype.name not in ("int32", "float16", "float32", "float64", "uint32", "uint64"):
            raise TypeError("scatter_add only supports int32, float16, float32, float64, uint32, "
                            "uint64, as data type")
        index, arrays, masks = _prepared_index(a.shape, indices)
        if masks:
            _sync("add.at a mask")
        _launch("add.at", 3 if masks else 1 if arrays < 2 else arrays + 2)
        np.add.at(a._a, index, _number_or_array(b))

    def outer(self, A, B, **kwargs):
        return self(A.reshape(A.shape + (1,) * B.ndim), B, **kwargs)


_NAMES = """
add subtract multiply true_divide floor_divide power remainder negative absolute exp expm1 exp2 log
log1p log2 log10 sqrt cbrt square reciprocal sin cos tan sinh cosh tanh arcsin arccos arctan arctan2
maximum minimum fmax fmin sign floor ceil trunc rint isfinite isnan isinf signbit copysign hypot
equal not_equal less less_equal greater greater_equal logical_and logical_or logical_not logical_xor
bitwise_and bitwise_or bitwise_xor invert left_shift right_shift logaddexp deg2rad rad2deg
""".split()
ufuncs = {name: ufunc(name, getattr(np, name)) for name in _NAMES}


# --------------------------------------------------------------------------- functions
# The parameters are CuPy's, compared with the real ones by check_signatures().
def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    return array(a, dtype, bool(copy), order or "K", blocking=blocking)


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    if type(obj) is ndarray:
        return obj.astype(obj.dtype if dtype is None else dtype, order=order, copy=copy)
    if isinstance(obj, (list, tuple)) and obj and type(obj[0]) is ndarray:
        return stack(obj)
    order = "F" if isinstance(obj, np.ndarray) and obj.flags.fnc and order in "KA" else (
        "C" if order in "KA" else order)
    new = np.array(obj, dtype=dtype, copy=True, order=order, ndmin=ndmin)
    if new.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {new.dtype}")
    _upload("asarray")
    return _own(new)


def ascontiguousarray(a, dtype=None): return array(a, dtype, copy=False, order="C")


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    if type(a) is ndarray:
        return a.get(stream, order, out, blocking)
    return np.asarray(a, order=order)


def get_array_module(*args):
    return cupy if builtins.any(type(a) is ndarray for a in args) else np


def empty(shape, dtype=float, order="C"): return ndarray(shape, dtype, order=order)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    like = np.empty_like(_device_array("empty_like", prototype), dtype, order, shape=shape)
    like[...] = _poisoned((), like.dtype)
    return _own(like)


def _filled(name: str, array: ndarray, value) -> ndarray:
    """`array` with `value`, a number or a device array, in all elements."""
    array._a[...] = _number_or_array(value)
    _launch(name)
    return array


def zeros(shape, dtype=float, order="C"): return _filled("fill", empty(shape, dtype, order), 0)
def ones(shape, dtype=float, order="C"): return _filled("fill", empty(shape, dtype, order), 1)


def full(shape, fill_value, dtype=None, order="C"):
    dtype = np.asarray(_number_or_array(fill_value)).dtype if dtype is None else dtype
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
    return _result("arange", np.arange(start, stop, step, dtype) if stop is not None
                   else np.arange(start, dtype=dtype))


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    return _result("linspace", np.linspace(start, stop, num, endpoint, dtype=dtype))


def eye(N, M=None, k=0, dtype=float, order="C"):
    _launch("fill")
    return _result("eye", np.eye(N, M, k, dtype))


def tri(N, M=None, k=0, dtype=float):
    return _result("tri", np.tri(N, M, k, dtype))


def copy(a, order="K"): return a.copy(order)


def copyto(dst, src, casting="same_kind", where=None):
    given = {} if where is None else {"where": _device_array("copyto", where)}
    _launch("copyto")
    np.copyto(dst._a, _number_or_array(src), casting, **given)


def concatenate(tup, axis=0, out=None, *, dtype=None, casting="same_kind"):
    arrays = [_device_array("concatenate", a) for a in tup]
    _launch("concatenate", len(arrays) - 1)
    return _result("concatenate", np.concatenate(arrays, axis, dtype=dtype, casting=casting))


def stack(tup, axis=0, out=None, *, dtype=None, casting="same_kind"):
    return concatenate([expand_dims(_checked(a), axis) for a in tup], axis)


def _checked(a) -> ndarray:
    _device_array("stack", a)
    return a


def where(condition, x=None, y=None):
    if (x is None) != (y is None):
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    if x is None:
        return nonzero(condition)
    if not isinstance(condition, np.generic):
        _device_array("where", condition)
    c = _number_or_array(condition.astype("?", copy=False))
    return _result("where", np.where(c, _number_or_array(x), _number_or_array(y)))


def nonzero(a): return a.nonzero()
def argwhere(a): return stack(a.nonzero(), 1)
def flatnonzero(a): return a.ravel().nonzero()[0]


def unique(ar, return_index=False, return_inverse=False, return_counts=False, axis=None, *,
           equal_nan=True):
    _sync("unique")
    _launch("unique", 4)
    found = np.unique(ar._a, return_index, return_inverse, return_counts, axis, equal_nan=equal_nan)
    return tuple(map(_fresh, found)) if isinstance(found, tuple) else _fresh(found)


def take(a, indices, axis=None, out=None): return a.take(indices, axis, out)


def take_along_axis(a, indices, axis):
    _device_array("take_along_axis", indices)
    if axis is None:
        a, axis = a.ravel(), 0
    if a.ndim != indices.ndim:
        raise ValueError("`indices` and `a` must have the same number of dimensions")
    axis %= a.ndim
    return a[tuple(indices if i == axis else arange(n).reshape((-1,) + (1,) * (a.ndim - i - 1))
                   for i, n in enumerate(a.shape))]


def broadcast_to(array, shape):
    view = np.broadcast_to(_device_array("broadcast_to", array), shape)
    view.flags.writeable = view.size <= array.size    # elements that share memory are not written
    return _as_view(view, array)


def expand_dims(a, axis):
    return _as_view(np.expand_dims(_device_array("expand_dims", a), axis), a)


def squeeze(a, axis=None): return a.squeeze(axis)
def reshape(a, newshape, order="C", *, copy=None): return a.reshape(newshape, order=order)
def ravel(a, order="C"): return a.ravel(order)
def transpose(a, axes=None): return a.transpose() if axes is None else a.transpose(axes)
def swapaxes(a, axis1, axis2): return a.swapaxes(axis1, axis2)


def moveaxis(a, source, destination):
    return _as_view(np.moveaxis(_device_array("moveaxis", a), source, destination), a)


def flip(a, axis=None):
    return _as_view(np.flip(_device_array("flip", a), axis), a)


def roll(a, shift, axis=None):
    return _result("roll", np.roll(_device_array("roll", a), shift, axis))


def repeat(a, repeats, axis=None): return a.repeat(repeats, axis)


def pad(array, pad_width, mode="constant", **kwargs):
    _launch("fill")
    return _result("pad", np.pad(_device_array("pad", array), pad_width, mode, **kwargs))


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
    x, y = _number_or_array(a), _number_or_array(b)
    return _result("isclose", np.isclose(x, y, rtol, atol, equal_nan))


def allclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    return isclose(a, b, rtol, atol, equal_nan).all()


def array_equal(a1, a2, equal_nan=False):
    x, y = _device_array("array_equal", a1), _device_array("array_equal", a2)
    return _result("array_equal", np.array_equal(x, y, equal_nan))


def may_share_memory(a, b, max_work=None):
    return np.may_share_memory(_device_array("", a), _device_array("", b))
def shares_memory(a, b, max_work=None):
    return np.shares_memory(_device_array("", a), _device_array("", b))


def matmul(x1, x2, /, out=None):
    """Two-dimensional operands go to cuBLAS as they are, also transposed; what is in neither order,
    or of more axes and not in C order, is copied first."""
    a, b = _device_array("matmul", x1), _device_array("matmul", x2)
    for m in (a, b):
        in_order = m.flags.forc if a.ndim <= 2 and b.ndim <= 2 else m.flags.c_contiguous
        if not in_order or m.dtype != np.result_type(a, b):
            _launch("matmul: copy")
    if a.shape[:-2] != b.shape[:-2] and a.ndim > 2 < b.ndim:
        _launch("matmul: pointers", 3)
    with np.errstate(all="ignore"):
        y = np.matmul(a, b)
    if out is None:
        return _result("matmul", y)
    _launch("matmul")
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
    strided = np.lib.stride_tricks.as_strided(_device_array("as_strided", x), shape, strides)
    view = _as_view(strided, x)
    view.base = None                                  # CuPy makes it of the pointer alone
    return view


def sliding_window_view(x, window_shape, axis=None, *, subok=False, writeable=False):
    _upload("sliding_window_view")                    # CuPy really sends the shape to the device
    _sync("sliding_window_view")
    return _as_view(np.lib.stride_tricks.sliding_window_view(x._a, window_shape, axis), x)


def _erf(x):
    values = np.frompyfunc(math.erf, 1, 1)(_device_array("erf", x))
    return _result("erf", np.asarray(values, dtype=x.dtype))


# --------------------------------------------------------------------------- cuda
class CUDARuntimeError(RuntimeError):
    """As CuPy's."""


class Device:
    """The one device, number 0."""

    def __init__(self, device=None):
        self.id = 0 if device is None else int(device)

    def use(self):
        if self.id != 0:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        return self

    __enter__ = use

    def __exit__(self, *exc):
        return None

    def synchronize(self):
        _sync("synchronize")

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self):
        return self.id

    mem_info = property(lambda self: (_memory_info()), doc="(free, total) bytes.")
    compute_capability = "90"


def _memory_info() -> tuple[int, int]:
    total = 80 * 2**30 if _state.limit is None else _state.limit
    return total - _state.used, total


class Event:
    """A moment on the device; here, on the host."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.moment = None

    def record(self, stream=None):
        self.moment = time.perf_counter()

    def synchronize(self):
        _sync("Event.synchronize")


def get_elapsed_time(start_event, end_event):
    return 1000 * (end_event.moment - start_event.moment)


class Stream:
    """Work is done at once here; graphs cannot be captured."""

    ptr = 0

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None

    def use(self):
        return self

    def synchronize(self):
        _sync("Stream.synchronize")

    def begin_capture(self, mode=None):
        raise NotImplementedError("the fake CuPy captures no graphs")


class RawModule:
    """CUDA source, compiled by g++ when a kernel is first asked for: see cuda_on_cpu.py."""

    def __init__(self, code=None, *, path=None, options=(), backend="nvrtc",
                 translate_cucomplex=False, enable_cooperative_groups=False, name_expressions=None,
                 jitify=None):
        self._source, self._options, self._built = code, tuple(options), None

    def get_function(self, name):
        if self._built is None:
            self._built = importlib.import_module("cuda_on_cpu").RawModule(
                self._source, self._options)
        kernel = self._built.get_function(name)

        def launch(grid, block, args, *, shared_mem=0):
            for value in args:
                if isinstance(value, np.ndarray) and (value.size != 1 or not value.dtype.names):
                    raise _host(name, value)
            kernel(tuple(grid), tuple(block), tuple(
                value._a if type(value) is ndarray else value for value in args))
            _launch(name)
        return launch


def benchmark(func, args=(), kwargs={}, n_repeat=10000, *, name=None, n_warmup=10,    # noqa: B006
              max_duration=math.inf, devices=None):
    """cpu_times (n,) and gpu_times (1, n), in seconds; here both are the host's."""
    for _ in range(n_warmup):
        func(*args, **kwargs)
    times = []
    for _ in range(n_repeat):
        start = time.perf_counter()
        func(*args, **kwargs)
        times.append(time.perf_counter() - start)
        if builtins.sum(times) > max_duration:
            break
    return SimpleNamespace(name=name or func.__name__, cpu_times=np.array(times),
                           gpu_times=np.array([times]))


# --------------------------------------------------------------------------- the modules
def _module(name: str, doc: str, **contents) -> ModuleType:
    module = ModuleType(name, doc)
    vars(module).update(contents)

    def missing(attribute):
        raise AttributeError(f"module {name!r} (the fake one of tests/fakecupy.py) has no attribute"
                             f" {attribute!r}; is it in the real CuPy? then add it there")
    module.__getattr__ = missing
    return module


_FUNCTIONS = {f.__name__: f for f in (
    asarray, array, ascontiguousarray, asnumpy, get_array_module, empty, empty_like, zeros, ones,
    full, zeros_like, ones_like, full_like, arange, linspace, eye, tri, copy, copyto, concatenate,
    stack, where, nonzero, argwhere, flatnonzero, unique, take, take_along_axis, broadcast_to,
    expand_dims, squeeze, reshape, ravel, transpose, swapaxes, moveaxis, flip, roll, repeat, pad,
    sort, argsort, clip, sum, mean, prod, max, min, all, any, var, std, argmax, argmin, cumsum,
    isclose, allclose, array_equal, may_share_memory, shares_memory, matmul, dot, outer)}
_DTYPES = {name: getattr(np, name) for name in (
    "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool_ dtype "
    "newaxis inf nan pi e").split()}

runtime = _module(
    "cupy.cuda.runtime", "The CUDA runtime.", CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=lambda: 1, getDevice=lambda: 0, driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 13000, memGetInfo=_memory_info,
    deviceSynchronize=lambda: _sync("deviceSynchronize"),
    getDeviceProperties=lambda device: {
        "name": b"a fake of tests/fakecupy.py", "major": 9, "minor": 0,
        "totalGlobalMem": _memory_info()[1], "multiProcessorCount": 1})
memory = _module("cupy.cuda.memory", "Memory.", OutOfMemoryError=OutOfMemoryError)
_stream = Stream(null=True)
cuda = _module(
    "cupy.cuda", "Devices and streams.", runtime=runtime, memory=memory, Device=Device, Event=Event,
    Stream=Stream, get_elapsed_time=get_elapsed_time, get_current_stream=lambda: _stream,
    is_available=lambda: True, MemoryPool=_Pool, get_device_id=lambda: 0)
stride_tricks = _module("cupy.lib.stride_tricks", "Views by strides.", as_strided=as_strided,
                        sliding_window_view=sliding_window_view)
lib = _module("cupy.lib", "", stride_tricks=stride_tricks)
_pool = _Pool()
cupy = _module(
    "cupy", __doc__, ndarray=ndarray, ufunc=ufunc, cuda=cuda, lib=lib, RawModule=RawModule,
    get_default_memory_pool=lambda: _pool, __version__="14.2.0", **ufuncs, **_FUNCTIONS, **_DTYPES,
    divide=ufuncs["true_divide"], abs=ufuncs["absolute"], mod=ufuncs["remainder"], amax=max,
    amin=min)
special = _module("cupyx.scipy.special", "", erf=_erf)
scipy = _module("cupyx.scipy", "", special=special, get_array_module=get_array_module)
profiler = _module("cupyx.profiler", "", benchmark=benchmark)
cupyx = _module("cupyx", "", scipy=scipy, profiler=profiler)
MODULES = {m.__name__: m for m in (cupy, cuda, runtime, memory, lib, stride_tricks, cupyx, scipy,
                                   special, profiler)}
ndarray.__module__ = "cupy"


# --------------------------------------------------------------------------- against the real one
@functools.cache
def real_cupy():
    """The real CuPy, or None where it is not installed. It needs no GPU to be imported."""
    if importlib.util.find_spec("cupy") is None:
        return None
    return importlib.import_module("cupy")


def _parameters(function) -> dict[str, inspect._ParameterKind] | None:
    """Names and kinds of a real function's parameters; of a compiled method, from the first line of
    its docstring. None where neither tells."""
    with contextlib.suppress(TypeError, ValueError):
        return {p.name: p.kind for p in inspect.signature(function).parameters.values()}
    found = re.match(r"[\w.]+\((.*?)\)( ->|$)", (function.__doc__ or "").partition("\n")[0])
    if found is None:
        return None
    typed = re.sub(r"\b(int|bool|str|tuple|list|Py_ssize_t|_ndarray_base) (?=\w)", "", found[1])
    return _parameters(eval(f"lambda {typed.replace('self, /', 'self')}: None", {"float": float}))


def differences(own, real, where: str = "cupy") -> list[str]:
    """Where `own` takes a name or a parameter that `real` does not."""
    wrong = []
    for name, value in vars(own).items():
        if name.startswith("_") and not (isinstance(own, type) and name.endswith("__")):
            continue
        if name in ("__weakref__", "__slots__", "__doc__", "__module__", "__array_priority__",
                    "__firstlineno__", "__static_attributes__"):
            continue
        if not hasattr(real, name):
            wrong.append(f"{where}.{name} does not exist")
        elif inspect.isfunction(value) and not name.startswith("__"):
            wrong += _parameter_differences(value, getattr(real, name), f"{where}.{name}")
        elif isinstance(value, ModuleType):
            wrong += differences(value, getattr(real, name), f"{where}.{name}")
        elif value is ndarray or value is RawModule:
            wrong += differences(value, getattr(real, name), f"{where}.{name}")
    return wrong


def _parameter_differences(own, real, where: str) -> list[str]:
    theirs = _parameters(real)
    if theirs is None or {"args", "kwargs"} & set(theirs):
        return []
    ours = _parameters(own)
    if where.startswith("cupy.ndarray"):
        ours, theirs = ({k: v for k, v in p.items() if k != "self"} for p in (ours, theirs))
    positional = [[k for k, kind in p.items() if kind == inspect.Parameter.POSITIONAL_OR_KEYWORD]
                  for p in (ours, theirs)]
    wrong = [f"{where} has no parameter {k!r}" for k in ours if k not in theirs]
    if not wrong and positional[1][:len(positional[0])] != positional[0]:
        wrong.append(f"{where}: the parameters are {positional[1]}, not {positional[0]}")
    return wrong


@functools.cache
def check_signatures() -> None:
    """Compare every name and parameter here with the real CuPy's, once: a call that fits a
    signature here then fits the real one."""
    real = real_cupy()
    wrong = [] if real is None else differences(cupy, real)
    if wrong:
        raise AssertionError("tests/fakecupy.py offers what the real CuPy does not:\n  "
                             + "\n  ".join(wrong))


def _forget() -> None:
    """Make minidl look again whether there is a GPU."""
    from minidl import checks, device, kernels
    device.cuda_problem.cache_clear()
    device._kept.cache_clear()
    device._NAMESPACES.pop(ndarray, None)
    kernels.CUDA.clear()
    checks._thread.pending.clear()


@contextlib.contextmanager
def installed():
    """A block in which ``import cupy`` gives the fake one, and minidl finds a GPU."""
    check_signatures()
    away = {name: sys.modules.pop(name) for name in list(sys.modules)
            if name.partition(".")[0] in ("cupy", "cupyx")}
    sys.modules.update(MODULES)
    _forget()
    try:
        yield cupy
    finally:
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(away)
        _forget()
