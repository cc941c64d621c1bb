"""Where arrays live: NumPy on the CPU, CuPy on a CUDA device.

An op never asks which library it is on: it takes :func:`namespace` of its arrays. CuPy is imported
only when somebody asks for "cuda" or "auto".
"""

from __future__ import annotations

import functools
import math
import sys

import numpy as np

_NAMESPACES = {np.ndarray: np}


def namespace(array):
    """The array library (``numpy`` or ``cupy``) that `array` belongs to."""
    try:
        return _NAMESPACES[type(array)]
    except KeyError:
        if isinstance(array, np.generic):     # what NumPy makes of a 0-d array: never remembered as
            return np                         # an array type, see is_array
        module = sys.modules[type(array).__module__.partition(".")[0]]
        return _NAMESPACES.setdefault(type(array), module)


def is_array(value) -> bool:
    """Is `value` an array of NumPy or of CuPy (when CuPy is loaded)?"""
    return type(value) in _NAMESPACES or isinstance(value, np.ndarray) or (
        "cupy" in sys.modules and isinstance(value, sys.modules["cupy"].ndarray))


def device_of(array) -> str:
    """``"cpu"`` or ``"cuda:0"``: the name of the device that holds `array`."""
    return "cpu" if isinstance(array, np.ndarray) else f"cuda:{array.device.id}"


def to_host(array) -> np.ndarray:
    """`array` as a NumPy array: itself on the CPU, a copy from a GPU (waits for it)."""
    return array if isinstance(array, np.ndarray) else array.get()


@functools.cache
def cuda_problem() -> str | None:
    """Why CUDA cannot be used, or None when a kernel really ran. Tried once, then remembered."""
    try:
        import cupy
        ran = int(cupy.arange(3).sum()) == 3       # allocates, compiles, launches, copies back
        return None if ran else "a test kernel gave a wrong result"
    except Exception as error:        # ImportError, CUDARuntimeError, CompileException, ...
        reason = " ".join(str(error).split())[:200]
        return f"{type(error).__name__}: {reason}"


def resolve(device: str) -> str:
    """The device meant by ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"auto"`` (CUDA if it works).

    Raises ValueError for another name, RuntimeError with the reason when CUDA is asked for by name
    and cannot be used.
    """
    name = str(device)
    if name in ("cpu", "cpu:0"):
        return "cpu"
    if name == "auto":
        return "cpu" if cuda_problem() else "cuda:0"
    if name == "cuda" or (name.startswith("cuda:") and name[5:].isdigit()):
        if cuda_problem():
            raise RuntimeError(f'device: "{name}" cannot be used here ({cuda_problem()}); install '
                               'the extra cuda12 or cuda13, or use device="cpu"')
        return "cuda:0" if name == "cuda" else name
    raise ValueError(f'device: expected "cpu", "cuda", "cuda:N" or "auto", got {device!r}')


def move(array, device: str):
    """`array` on `device`: itself if it is there already, else a copy."""
    device = resolve(device)
    if device_of(array) == device:
        return array
    if device == "cpu":
        return to_host(array)
    import cupy
    with cupy.cuda.Device(int(device[5:])):
        return cupy.asarray(array)


def erf(x):
    """The error function 2/sqrt(pi) * integral_0^x exp(-t^2) dt, which NumPy does not have."""
    if isinstance(x, (np.ndarray, np.generic)):
        return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), dtype=x.dtype)
    from cupyx.scipy.special import erf as cuda_erf
    return cuda_erf(x)
