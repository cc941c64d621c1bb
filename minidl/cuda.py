"""The GPUs: whether one works here and why not, which is in use, its memory, and arrays on it.

A script asks under PyTorch's names: ``minidl.cuda.is_available()``. Which device an array is on,
and when it moves, is in device.py.
"""

from __future__ import annotations

import ctypes
import functools
import sys

import numpy as np

__all__ = ["constant_on", "copied", "cuda_name", "cuda_problem", "current_device", "device_count",
           "error_line", "fetched", "gpu_memory", "is_available", "synchronize", "use",
           "version_text"]


def is_available() -> bool:
    """Does a kernel run on a GPU here? :func:`cuda_problem` says why not."""
    return cuda_problem() is None


def device_count() -> int:
    """How many GPUs there are; 0 where none works."""
    if not is_available():
        return 0
    import cupy
    return cupy.cuda.runtime.getDeviceCount()


def current_device() -> int:
    """The number of the GPU that "cuda" means. Raises RuntimeError, with the reason, if none works.
    """
    return int(use("cuda").partition(":")[2])


def synchronize() -> None:
    """Wait until the GPU has done what it was sent: for clocks. Raises RuntimeError, with the
    reason, if none works."""
    use("cuda")
    import cupy
    cupy.cuda.get_current_stream().synchronize()


def gpu_memory() -> tuple[int, int, int]:
    """Bytes of the current GPU: in use by this process's arrays, free, and all there are."""
    import cupy
    free, total = cupy.cuda.runtime.memGetInfo()
    return cupy.get_default_memory_pool().used_bytes(), free, total


def cuda_name(device: int | str | None) -> str:
    """The name of a GPU given as PyTorch's ``cuda()`` takes it: a number, a name, or None."""
    return "cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device


def use(name: str) -> str:
    """Make the GPU ``"cuda:1"`` the current one of this thread, on which CuPy puts every new array;
    ``"cuda"`` (or ``"auto"``) is whichever is current, at first ``"cuda:0"``. Returns its name.

    Raises RuntimeError, with the reason and what to do, if CUDA cannot be used, or has no GPU of
    that number.
    """
    if problem := cuda_problem():
        raise RuntimeError(f'device: "{name}" cannot be used here: {problem}; or take the device '
                           '"cpu"')
    import cupy
    current = cupy.cuda.runtime.getDevice()
    number = int(name[5:]) if ":" in name else current
    if number != current:
        count = cupy.cuda.runtime.getDeviceCount()
        if number >= count:
            raise RuntimeError(f'device: "cuda:{number}" is not there: this machine has {count} '
                               f"GPU{'s' * (count > 1)}, the first of which is cuda:0")
        cupy.cuda.Device(number).use()
    return f"cuda:{number}"


# --------------------------------------------------------------------------- arrays on a GPU
def constant_on(device: int, value: float, dtype):
    """The number `value` as a 0-d array of `dtype` on GPU number `device`: made once and kept."""
    number = float(value) if isinstance(value, float) else int(value)
    return _constant(repr(number), type(number), np.dtype(dtype), device)


@functools.lru_cache(1024)
def _constant(text: str, kind: type, dtype: np.dtype, device: int):
    """`text` and not the number is the key: -0.0 equals 0.0, and nan does not equal nan."""
    import cupy
    with cupy.cuda.Device(device), np.errstate(all="ignore"):
        return cupy.asarray(kind(text), dtype)


def copied(array):
    """A copy of `array`, from the CPU or another GPU, on the current GPU."""
    import cupy
    return _as_it_lies(array, cupy.asarray if isinstance(array, np.ndarray) else cupy.ndarray.copy)


def fetched(array) -> np.ndarray:
    """A copy of `array` on the CPU (waits for the GPU)."""
    return _as_it_lies(array, lambda a: a.get())


def _as_it_lies(array, copy):
    """``copy(array)`` in array's own memory order. A transposed view, such as channels-last
    images, is turned to how it lies in memory first: a copy between devices would reorder it."""
    if array.flags.c_contiguous:
        return copy(array)
    axes = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    return copy(array.transpose(axes)).transpose([axes.index(i) for i in range(array.ndim)])


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
