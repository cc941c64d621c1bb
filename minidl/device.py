"""Where arrays live: NumPy on the CPU, CuPy on a CUDA device.

An op never asks which library it is on: it takes :func:`namespace` of its arrays. CuPy is imported
only when somebody asks for "cuda" or "auto".
"""

from __future__ import annotations

import ctypes
import functools
import math
import sys

import numpy as np

__all__ = ["beside", "constant", "cuda_name", "cuda_problem", "device_of", "empty", "erf",
           "error_line", "gpu_memory", "is_array", "move", "namespace", "resolve", "same_place",
           "to_host", "version_text"]

_NAMESPACES = {np.ndarray: np}


def namespace(array):
    """The array library (``numpy`` or ``cupy``) that `array` belongs to."""
    return _NAMESPACES.get(type(array)) or _other_namespace(array)


def _other_namespace(array):
    if isinstance(array, np.generic):         # what NumPy makes of a 0-d array: never remembered as
        return np                             # an array type, see is_array
    module = sys.modules[type(array).__module__.partition(".")[0]]
    return _NAMESPACES.setdefault(type(array), module)


def is_array(value) -> bool:
    """Is `value` an array of NumPy or of CuPy (when CuPy is loaded)?"""
    return type(value) in _NAMESPACES or isinstance(value, np.ndarray) or isinstance(
        value, getattr(sys.modules.get("cupy"), "ndarray", ()))


def device_of(array) -> str:
    """``"cpu"`` or ``"cuda:0"``: the name of the device that holds `array`."""
    return "cpu" if isinstance(array, np.ndarray) else f"cuda:{array.device.id}"


def constant(value: float, dtype, like):
    """The number `value` as a 0-d array of `dtype` where the array `like` is. On a GPU it is made
    once and kept, so that a training step sends no numbers over: it must not be written to."""
    if type(like) is np.ndarray and -3e38 < value < 3e38:
        return np.asarray(value, dtype)
    return _constant_there(value, dtype, like)


def _constant_there(value: float, dtype, like):
    if type(like) is np.ndarray:
        with np.errstate(all="ignore"):                   # beyond float32 it is infinite
            return np.asarray(value, dtype)
    number = float(value) if isinstance(value, float) else int(value)
    return _constant(repr(number), type(number), np.dtype(dtype), namespace(like), like.device.id)


def same_place(array, other) -> bool:
    """Are two arrays on the same device?"""
    return type(array) is type(other) and (isinstance(array, np.ndarray)
                                           or array.device == other.device)


def beside(array, other):
    """`array` on the device where the array `other` is."""
    return array if same_place(array, other) else move(array, device_of(other))


@functools.lru_cache(1024)
def _constant(text: str, kind: type, dtype: np.dtype, library, device: int):
    """`text` and not the number is the key: -0.0 equals 0.0, and nan does not equal nan."""
    with library.cuda.Device(device), np.errstate(all="ignore"):
        return library.asarray(kind(text), dtype)


def to_host(array) -> np.ndarray:
    """`array` as a NumPy array: itself on the CPU, a copy from a GPU (waits for it)."""
    return array if isinstance(array, np.ndarray) else _as_it_lies(array, lambda a: a.get())


def empty(shape, dtype, device: str):
    """A new array on `device`, its numbers not set."""
    if resolve(device) == "cpu":
        return np.empty(shape, dtype)
    import cupy
    return cupy.empty(shape, dtype)


def move(array, device: str):
    """`array` on `device`: itself if it is there already, else a copy with the same memory order.
    """
    device = resolve(device)
    if device_of(array) == device:
        return array
    if device == "cpu":
        return to_host(array)
    import cupy
    return _as_it_lies(array, cupy.asarray if isinstance(array, np.ndarray) else cupy.ndarray.copy)


def _as_it_lies(array, copied):
    """``copied(array)`` in array's own memory order. A transposed view, such as channels-last
    images, is turned to how it lies in memory first: a copy between devices would reorder it."""
    if array.flags.c_contiguous:
        return copied(array)
    axes = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    return copied(array.transpose(axes)).transpose([axes.index(i) for i in range(array.ndim)])


# --------------------------------------------------------------------------- choosing a device
def resolve(device: str) -> str:
    """The device meant by ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"auto"`` (CUDA if it works).

    One GPU at a time: ``"cuda:1"`` makes that GPU the current one of this thread, on which CuPy
    puts every new array, and ``"cuda"`` is whichever is current (at first ``"cuda:0"``).

    Raises ValueError for another name; RuntimeError, with the reason and what to do, when CUDA is
    asked for by name and cannot be used, or has no GPU of that number.
    """
    name = str(device)
    if name in ("cpu", "cpu:0"):
        return "cpu"
    if name == "auto" and cuda_problem():
        return "cpu"
    if name in ("auto", "cuda") or (name.startswith("cuda:") and name[5:].isdecimal()):
        if cuda_problem():
            raise RuntimeError(f'device: "{name}" cannot be used here: {cuda_problem()}; or take '
                               'the device "cpu"')
        return _use(int(name[5:]) if ":" in name else None)
    raise ValueError(f'device: expected "cpu", "cuda", "cuda:N" or "auto", got {device!r}')


def cuda_name(device: int | str | None) -> str:
    """The name of a GPU given as PyTorch's ``cuda()`` takes it: a number, a name, or None."""
    return "cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device


def _use(number: int | None) -> str:
    """Make GPU `number` the current one; its name. None: the one that is."""
    import cupy
    current = cupy.cuda.runtime.getDevice()
    if number is not None and number != current:
        count = cupy.cuda.runtime.getDeviceCount()
        if number >= count:
            raise RuntimeError(f'device: "cuda:{number}" is not there: this machine has {count} '
                               f"GPU{'s' * (count > 1)}, the first of which is cuda:0")
        cupy.cuda.Device(number).use()
        current = number
    return f"cuda:{current}"


def gpu_memory() -> tuple[int, int, int]:
    """Bytes of the current GPU: in use by this process's arrays, free, and all there are."""
    import cupy
    free, total = cupy.cuda.runtime.memGetInfo()
    return cupy.get_default_memory_pool().used_bytes(), free, total


# --------------------------------------------------------------------------- is there a GPU?
_INSTALL = ('python -m pip install "cupy-cuda13x[ctk]", or "cupy-cuda12x[ctk]" for a driver of '
            "CUDA 12 (minidl's extras cuda13 and cuda12)")


_FULL = "the GPU's memory is full"


def cuda_problem() -> str | None:
    """Why CUDA cannot be used, a semicolon, what to do about it; None when a kernel really ran.
    Tried once, then remembered; but for a full memory, which may be free the next time."""
    problem = _cuda_problem_once()
    if problem is not None and problem.startswith(_FULL):
        _cuda_problem_once.cache_clear()
    return problem


@functools.cache
def _cuda_problem_once() -> str | None:
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            return f"CuPy is not installed{_and_no_driver()}; {_INSTALL}"
        return f"CuPy cannot be imported ({error_line(error)}); {_INSTALL}"
    except Exception as error:                      # half an installation; a warning made an error
        return _of_several() or f"CuPy cannot be imported ({error_line(error)}); {_INSTALL}"
    problem = _without_device(cupy) or _without_kernels(cupy)
    return problem and (_of_several() or problem)


def _and_no_driver() -> str:
    """Said before anybody downloads a gigabyte for a GPU that is not there."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return ", nor is an NVIDIA driver, which comes first (`nvidia-smi` would show it)"
    return ""


def _without_device(cupy) -> str | None:
    """Is there a driver, and a GPU behind it? (CuPy imports well without either.)"""
    look = "`nvidia-smi` shows the driver, and the GPUs that it finds"
    try:
        if cupy.cuda.runtime.getDeviceCount() > 0:
            return None
    except Exception as error:
        if "InsufficientDriver" in str(error) and (
                version := cupy.cuda.runtime.driverGetVersion()):
            return (f"the NVIDIA driver is too old: it is made for CUDA {version_text(version)}, "
                    f"this CuPy for {version_text(cupy.cuda.runtime.runtimeGetVersion())}; update "
                    "the driver, or put the CuPy of its CUDA version in place of this one")
        if "InsufficientDriver" in str(error):
            return f"there is no NVIDIA driver; install it ({look})"
        if "NoDevice" not in str(error):
            return f"the GPU does not answer ({error_line(error)}); {look}"
    return f"there is a driver, but no GPU that it finds; {look}, CUDA_VISIBLE_DEVICES may hide one"


def _without_kernels(cupy) -> str | None:
    """Does a kernel run? It may not: its compiler, NVRTC, needs libraries and headers."""
    try:
        total = int(cupy.arange(3).sum())          # allocates, compiles, launches, copies back
    except MemoryError as error:
        return f"{_FULL} ({error_line(error)}); `nvidia-smi` shows by whom"
    except Exception as error:
        return (f"a test kernel failed ({error_line(error)}); if CUDA's compiler or headers are "
                f"missing: {_INSTALL}")
    if total != 3:
        return (f"a test kernel gave a wrong result (0 + 1 + 2 = {total}); look for a driver, a "
                "CuPy and a GPU that fit together")
    return None


def _of_several() -> str | None:
    """Two CuPy packages overwrite each other's files, and anything may fail then."""
    from importlib.metadata import distributions
    found = sorted({name for each in distributions()
                    if (name := (each.metadata["Name"] or "").lower()) == "cupy"
                    or name.startswith(("cupy-cuda", "cupy-rocm"))})
    if len(found) < 2:
        return None
    return (f"several CuPy packages are installed ({', '.join(found)}); uninstall all of them, "
            "then install one")


def error_line(error: Exception) -> str:
    """The kind of an error and the first 200 characters of its message, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def version_text(version: int) -> str:
    """12040 is CUDA 12.4."""
    return f"{version // 1000}.{version % 1000 // 10}"


def erf(x):
    """The error function 2/sqrt(pi) * integral_0^x exp(-t^2) dt, which NumPy does not have."""
    if isinstance(x, (np.ndarray, np.generic)):
        return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), dtype=x.dtype)
    from cupyx.scipy.special import erf as cuda_erf
    return cuda_erf(x)
