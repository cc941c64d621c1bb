"""The array, with its indices."""

from __future__ import annotations

import builtins
import math
from types import SimpleNamespace

import numpy as np

from .counts import Violation, launch, state, sync, upload
from .memory import Block, Device, must_be_here, poisoned
from .names import cupy


class Flags:
    """What CuPy tells of an array's memory; there is no ``writeable``."""

    def __init__(self, array: np.ndarray, owndata: bool):
        self.c_contiguous, self.f_contiguous = array.flags.c_contiguous, array.flags.f_contiguous
        self.owndata, self.forc = owndata, array.flags.forc
        self.fnc = array.flags.fnc

    def __getitem__(self, name):
        return getattr(self, name.lower())


def own(array) -> ndarray:
    """A device array with memory of its own."""
    new = object.__new__(ndarray)
    new._memory, new.base = np.asarray(array, order=None), None
    new._block = Block(new._memory.nbytes)
    return new


def fresh(array) -> ndarray:
    """A result: in C order, whatever NumPy chose."""
    return own(np.asarray(array, order="C"))


def result(name: str, array) -> ndarray:
    """The result of one kernel."""
    launch(name)
    return fresh(array)


def as_view(array: np.ndarray, of: ndarray) -> ndarray:
    new = object.__new__(ndarray)
    new._memory, new._block, new.base = array, of._block, of if of.base is None else of.base
    return new


def host_array(name: str, value) -> Violation:
    return Violation(f"{name}: a NumPy array of shape {value.shape} among arrays on the device")


def number_or_array(value):
    """An operand as NumPy takes it: a device array's memory, or a number."""
    if type(value) is ndarray:
        return value._a
    if type(value) in (float, int, bool, complex) or isinstance(value, np.generic):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def device_array(name: str, value) -> np.ndarray:
    """The memory of an array, on the current GPU."""
    memory = memory_of(name, value)
    must_be_here(value._block.device)
    return memory


def memory_of(name: str, value) -> np.ndarray:
    """The memory of an array, of which a view is made: on any GPU."""
    if type(value) is ndarray:
        return value._memory
    raise TypeError(f"{name}: expected a cupy.ndarray, got {type(value)}")


def _other_decides(x, y) -> bool:
    """Does `y` want the operator for itself (as Tensor does)?"""
    return getattr(y, "__array_ufunc__", x) is None


def _binary(name: str):
    def forward(x, y):
        return NotImplemented if _other_decides(x, y) else getattr(cupy, name)(x, y)

    def reflected(x, y):
        return NotImplemented if _other_decides(x, y) else getattr(cupy, name)(y, x)

    def in_place(x, y):
        return getattr(cupy, name)(x, y, out=x)
    return forward, reflected, in_place


def _reduction(name: str, dtype: bool = False):
    """A method that reduces over axes; `dtype`: with the dtype to add up in."""
    def run(x, axis, out, keepdims, **more):
        with np.errstate(all="ignore"):
            y = getattr(x._a, name)(axis=axis, keepdims=bool(keepdims), **more)
        if out is None:
            return result(name, y)
        launch(name)
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
        launch("mean")
        y = getattr(self._a, name)(axis=axis, dtype=dtype, ddof=ddof, keepdims=keepdims)
        return result(name, y)
    return method


def _place(name: str):
    def method(self, axis=None, out=None, dtype=None, keepdims=False):
        y = getattr(self._a, name)(axis=axis, keepdims=keepdims)
        return result(name, np.asarray(y, dtype=dtype or np.int64))
    return method


class ndarray:
    """An array on the device: wraps a NumPy array that nobody else gets to see."""

    __slots__ = ("__weakref__", "_block", "_memory", "base")
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        if memptr is not None:
            raise NotImplementedError("the fake CuPy makes no arrays of foreign pointers")
        self._memory, self.base = poisoned(shape, dtype, order or "C"), None
        self._block = Block(self._memory.nbytes)

    # ------------------------------------------------------------------ what it is
    shape = property(lambda self: self._memory.shape)
    dtype = property(lambda self: self._memory.dtype)
    ndim = property(lambda self: self._memory.ndim)
    size = property(lambda self: self._memory.size)
    nbytes = property(lambda self: self._memory.nbytes)
    itemsize = property(lambda self: self._memory.itemsize)
    strides = property(lambda self: self._memory.strides)
    flags = property(lambda self: Flags(self._memory, self.base is None))
    device = property(lambda self: Device(self._block.device))
    data = property(lambda self: SimpleNamespace(
        ptr=self._memory.ctypes.data, device_id=self._block.device, device=self.device),
        doc="The address is that of the wrapped array's memory.")

    @property
    def _a(self) -> np.ndarray:
        """The wrapped array, for an operation: only on the GPU that is the current one."""
        must_be_here(self._block.device)
        return self._memory

    def __len__(self):
        if self._memory.ndim == 0:
            raise TypeError("len() of unsized object")
        return len(self._memory)

    def __iter__(self):
        if self._memory.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    # ------------------------------------------------------------------ NumPy stays out
    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` "
                        "to construct a NumPy array explicitly.")

    def __array_ufunc__(self, function, method, *inputs, **kwargs):
        name = {"divide": "true_divide"}.get(function.__name__, function.__name__)
        number = builtins.any(isinstance(x, np.generic) for x in inputs)    # np.float32(2) * array
        if method == "__call__" and number and name in vars(cupy) and not kwargs:
            return getattr(cupy, name)(*inputs)
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
        sync("get", download=True)
        if order.upper() == "A":
            order = "F" if self._memory.flags.f_contiguous else "C"
        flags = self._memory.flags
        if not (flags.c_contiguous if order.upper() == "C" else flags.f_contiguous):
            launch("copy")
        if out is None:
            return self._memory.copy(order=order)
        if not isinstance(out, np.ndarray) or (out.dtype, out.shape) != (self.dtype, self.shape):
            raise TypeError(f"get: out must be a NumPy array of shape {self.shape} and dtype "
                            f"{self.dtype}")
        out[...] = self._memory
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
        upload("set")
        self._a[...] = arr

    def item(self):
        if self._memory.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        sync("item", download=True)
        return self._memory.item()

    def tolist(self):
        sync("tolist", download=True)
        return self._memory.tolist()

    def tobytes(self, order="C"):
        sync("tobytes", download=True)
        return self._memory.tobytes(order)

    def __bool__(self):
        if self._memory.size != 1:
            raise ValueError("The truth value of an array with more than one element is ambiguous. "
                             "Use a.any() or a.all()")
        sync("bool", download=True)
        return bool(self._memory)

    def __int__(self):
        sync("int", download=True)
        return int(self._memory)

    def __float__(self):
        sync("float", download=True)
        return float(self._memory)

    def __repr__(self):
        sync("repr", download=True)
        return repr(self._memory)

    def __str__(self):
        sync("str", download=True)
        return str(self._memory)

    def __format__(self, spec):
        sync("format", download=True)
        return format(self._memory, spec)

    # ------------------------------------------------------------------ copies
    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if casting is not None or subok is not None:
            raise TypeError("casting and subok are not supported yet")
        with np.errstate(all="ignore"):
            new = self._memory.astype(dtype, order=order, copy=copy)
        if new is self._memory:
            return self
        must_be_here(self._block.device)
        launch("astype" if new.dtype != self.dtype else "copy")
        return own(new)

    def copy(self, order="C"):
        """On the current GPU, from whichever it lies on."""
        if self.device == Device() or not self.size:
            return self.astype(self.dtype, order=order)
        with self.device:
            there = self.astype(self.dtype, order=order, copy=False)
        if not there.flags.forc:
            raise NotImplementedError("CuPy cannot copy non-contiguous array between devices.")
        launch("copy between GPUs")
        return own(there._memory.copy(order="K"))

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        with self.device:
            return self.copy()

    def fill(self, value):
        value = number_or_array(value)
        launch("fill")
        self._a.fill(value)

    # ------------------------------------------------------------------ rearranging
    def view(self, dtype=None, type=None):
        return as_view(self._memory.view(self.dtype if dtype is None else dtype), self)

    def reshape(self, *shape, order="C", copy=None):
        shape = shape[0] if len(shape) == 1 else shape
        new = self._memory.reshape(shape, order=order)
        if np.may_share_memory(new, self._memory) or not new.size:  # a copy is apart
            return as_view(new, self)
        must_be_here(self._block.device)
        return result("reshape", new)

    def ravel(self, order="C"):
        return self.reshape(-1, order=order)

    def flatten(self, order="C"):
        return result("copy", self._a.flatten(order))

    def transpose(self, *axes):
        axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return as_view(self._memory.transpose(axes or None), self)

    def swapaxes(self, axis1, axis2):
        return as_view(self._memory.swapaxes(axis1, axis2), self)

    def squeeze(self, axis=None):
        return as_view(self._memory.squeeze(axis), self)

    def diagonal(self, offset=0, axis1=0, axis2=1):
        diagonal = self._memory.diagonal(offset, axis1, axis2)
        diagonal.flags.writeable = True
        return as_view(diagonal, self)

    T = property(lambda self: self if self.ndim < 2 else as_view(self._memory.T, self))
    mT = property(lambda self: as_view(self._memory.swapaxes(-1, -2), self))

    # ------------------------------------------------------------------ picking
    def __getitem__(self, index):
        index, arrays, masks = prepared_index(self.shape, index)
        if not arrays:
            return as_view(self._memory[index], self)
        if masks:
            sync("index by a mask")
        launch("getitem", 3 if masks else 1 if arrays == 1 else arrays + 2)
        return fresh(self._a[index])

    def __setitem__(self, index, value):
        index, arrays, masks = prepared_index(self.shape, index)
        if isinstance(value, np.ndarray):
            raise host_array("a[i] = v", value)
        new = number_or_array(value)
        if masks:
            sync("assign to a mask")
        if arrays and type(value) is not ndarray:
            upload("a[indices] = number")
        if arrays:
            _refuse_repeated(self.shape, index)
        elif type(value) is ndarray and _same_memory(self._a[index], new):
            return                                           # what `a[i] += b` ends with
        launch("setitem", 3 if masks else 1 if arrays < 2 else arrays + 2)
        with np.errstate(all="ignore"):
            self._a[index] = new

    def take(self, indices, axis=None, out=None):
        if isinstance(indices, (int, np.integer)):
            return result("take", self._a.take(indices, axis))
        if type(indices) is not ndarray:
            raise Violation("take: indices on the host")
        length = self.size if axis is None else self.shape[axis]
        y = self._a.take(_in_range(indices._a, length), axis)
        if out is None:
            return result("take", y)
        if (out.dtype, out.shape) != (y.dtype, y.shape):
            raise TypeError("Output dtype or shape mismatch")
        launch("take")
        out._a[...] = y
        return out

    def repeat(self, repeats, axis=None):
        return result("repeat", self._a.repeat(repeats, axis))

    def nonzero(self):
        sync("nonzero")
        launch("nonzero", 3)
        return tuple(fresh(i) for i in self._a.nonzero())

    def sort(self, axis=-1, kind=None):
        launch("sort")
        self._a.sort(axis, kind="stable")

    def argsort(self, axis=-1, kind=None):
        return result("argsort", self._a.argsort(axis, kind="stable"))

    # ------------------------------------------------------------------ reductions
    sum, mean, prod = (_reduction(name, dtype=True) for name in ("sum", "mean", "prod"))
    max, min, all, any = (_reduction(name) for name in ("max", "min", "all", "any"))
    var, std = _spread("var"), _spread("std")
    argmax, argmin = _place("argmax"), _place("argmin")

    def cumsum(self, axis=None, dtype=None, out=None):
        return result("cumsum", self._a.cumsum(axis, dtype))

    def clip(self, min=None, max=None, out=None):
        low, high = (None if v is None else number_or_array(v) for v in (min, max))
        with np.errstate(all="ignore"):
            return result("clip", self._a.clip(low, high))

    def round(self, decimals=0, out=None):
        return result("round", self._a.round(decimals))

    def dot(self, b, out=None):
        return cupy.dot(self, b, out)

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

    def __neg__(self): return cupy.negative(self)
    def __pos__(self): return self
    def __abs__(self): return cupy.absolute(self)
    def __invert__(self): return cupy.invert(self)

    def __matmul__(self, other):
        return NotImplemented if _other_decides(self, other) else cupy.matmul(self, other)

    def __rmatmul__(self, other):
        return NotImplemented if _other_decides(self, other) else cupy.matmul(other, self)


def _same_memory(a: np.ndarray, b) -> bool:
    return (a.ctypes.data, a.shape, a.strides) == (b.ctypes.data, b.shape, b.strides)


# --------------------------------------------------------------------------- indices
def prepared_index(shape, index):
    """(the index as NumPy takes it, how many arrays are in it, how many of these are masks)."""
    parts = list(index) if isinstance(index, tuple) else [index]
    axis = arrays = masks = 0
    for i, part in enumerate(parts):
        if isinstance(part, (np.ndarray, bool, np.bool_)):
            raise Violation("an index on the host: CuPy copies it to the device at every call")
        if isinstance(part, list):                           # few numbers, written by hand
            upload("index by a list")
            parts[i] = part = own(np.asarray(part, dtype=None if part else np.int64))
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
    if state.wrap and length:
        return index % length
    raise Violation(f"indices from {index.min()} to {index.max()} on an axis of length {length}: "
                    "CuPy wraps them silently")


def _refuse_repeated(shape, index) -> None:
    targets = np.arange(math.prod(shape)).reshape(shape)[index]
    if len(np.unique(targets)) < targets.size:
        raise Violation("a[indices] = v names an element twice: CuPy leaves open which value stays")
