"""Faster replacements, by name, for the readable arithmetic in ``minidl.ops``.

An op calls ``_conv2d(x, w, ...)``, a function of its own file marked ``@replaceable("x", "w")``.
That function runs, or, where a table of this package has an entry of its name for the device, dtype
and size of x and w, that entry. ``use_kernels("reference")`` (or ``MINIDL_KERNELS=reference``)
leaves the tables alone: what runs then is what stands beside the formula, and that is what one
steps through. ``_conv2d.readable`` is the function itself, whatever is chosen.

For the CPU the kernels are compiled by Numba; twins.py lists them. They are loaded when the first
array comes that is large enough to be worth it. For a GPU they are CUDA, in kernels.cu; twins.py
lists them, and launch.py checks each call.
"""

from __future__ import annotations

import functools
import math
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np

from ..checks import brief, whole

__all__ = ["CPU", "CUDA", "READABLE", "fits", "get_num_threads", "kernels_in_use",
           "kernels_of_thread", "load_kernels", "problem", "replaceable", "replacement",
           "set_num_threads", "together", "use_kernels"]

CPU: dict[str, Callable] = {}
"""Replacements for NumPy arrays of float32 and float64; filled when first needed."""

CUDA: dict[str, Callable] = {}
"""Replacements for CuPy arrays of float32 and float64; filled when first needed."""

READABLE: dict[str, Callable] = {}
"""Every :func:`replaceable` function, by name, as it stands in its file."""

CHOICES = ("fast", "reference")
MOST_THREADS = 1024
SMALLEST = 2048
"""Arrays with fewer elements are left to NumPy: calling a kernel costs some microseconds."""

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
_loading = threading.Lock()
_tried, _problem, _threads = False, None, None


class _Own(threading.local):
    """What the current thread uses, whatever the process does; None: as the process does."""

    choice: str | None = None


_own = _Own()


def use_kernels(which: str) -> None:
    """Choose what runs from now on, in the whole process: ``"fast"`` (replacements where there are
    any) or ``"reference"``. Also by the environment: MINIDL_KERNELS."""
    global _choice
    if which not in CHOICES:
        raise ValueError(f"use_kernels: expected one of {', '.join(CHOICES)}; got {which!r}")
    _choice = which


def kernels_in_use() -> str:
    """``"fast"`` or ``"reference"``. Raises ValueError where MINIDL_KERNELS is neither."""
    if _choice not in CHOICES:
        raise ValueError(f"MINIDL_KERNELS: expected one of {', '.join(CHOICES)}; got {_choice!r}")
    return _own.choice or _choice


@contextmanager
def kernels_of_thread(which: str) -> Iterator[None]:
    """Inside, this thread uses ``"fast"`` or ``"reference"``; what others do, and what
    :func:`use_kernels` chooses meanwhile, is left alone."""
    if which not in CHOICES:
        raise ValueError(f"kernels_of_thread: expected one of {', '.join(CHOICES)}; got {which!r}")
    before, _own.choice = _own.choice, which
    try:
        yield
    finally:
        _own.choice = before


def get_num_threads() -> int:
    """How many threads the kernels use, the calling one included. Raises ValueError where
    MINIDL_NUM_THREADS is no such number."""
    if _threads is not None:
        return _threads
    if own := os.environ.get("MINIDL_NUM_THREADS"):
        n = int(own) if own.isdecimal() and len(own) < 9 else 0
        return _count("MINIDL_NUM_THREADS", n, own)
    chosen = os.environ.get("OMP_NUM_THREADS") or ""
    if chosen.isdecimal() and int(chosen) > 0:
        return int(chosen)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_num_threads(n: int) -> None:
    """Use `n` threads, the calling one included, for all kernels of this process.

    At first it is MINIDL_NUM_THREADS, or OMP_NUM_THREADS, or the number of cores at hand. Results
    do not depend on it. Raises TypeError or ValueError unless n is an integer from 1 to 1024.
    """
    global _threads
    _threads = _count("set_num_threads: n", n)
    if "minidl.kernels.cpu.threads" in sys.modules:
        sys.modules["minidl.kernels.cpu.threads"].stop()


def _count(what: str, n, said: str | None = None) -> int:
    if not 1 <= (found := whole(what, n, -math.inf)) <= MOST_THREADS:
        raise ValueError(f"{what} must be a whole number from 1 to {MOST_THREADS}, got "
                         f"{brief(said or n)}")
    return found


def replaceable(*arrays: str, smallest: int | None = None) -> Callable:
    """For a readable function: where a table of this package has an entry of its name, and its
    first arguments, the `arrays` named, fit that entry, the entry runs in its place.

    The function itself is the result's ``readable``, and is called with positional arguments.
    `smallest` is that of :func:`replacement`. Raises TypeError if `arrays` are not the names of the
    first arguments.
    """
    count = len(arrays)

    def attach(readable: Callable) -> Callable:
        name = readable.__name__
        if not arrays or arrays != readable.__code__.co_varnames[:count]:
            raise TypeError(f"replaceable: {name} must begin with the arguments {arrays}")
        READABLE[name] = readable

        @functools.wraps(readable)
        def chosen(*args):
            if (_own.choice or _choice) == "reference":
                return readable(*args)
            return (replacement(name, args[:count], smallest) or readable)(*args)
        chosen.readable = readable
        return chosen
    return attach


def replacement(name: str, arrays: tuple, smallest: int | None = None) -> Callable | None:
    """The entry of that name that fits these arrays, or None.

    NumPy arrays below SMALLEST have none; once the kernels are loaded, `smallest` may stand for it
    where a kernel saves more than its call costs. On a GPU a kernel takes the place of several of
    CuPy's, so it is taken for every size.
    """
    first = arrays[0]
    if (_own.choice or _choice) != "fast" and kernels_in_use():       # (raises, if it is neither)
        return None
    if type(first) is np.ndarray:
        smallest = SMALLEST if smallest is None or not CPU else smallest
        if first.size < smallest and all([a.size < smallest for a in arrays]):
            return None
        if not _tried:
            load_kernels()
        found = CPU.get(name)
        if not all([a.size and a.flags.aligned for a in arrays]):
            return None
    else:
        found = _for_cuda(name, arrays)
    if found is None:
        return None
    dtype = first.dtype
    if dtype not in _DTYPES:
        return None
    for a in arrays:
        if a.dtype is not dtype and a.dtype != dtype:
            return None
    condition = getattr(found, "fits", None)
    return found if condition is None or condition(*arrays) else None


def _for_cuda(name: str, arrays) -> Callable | None:
    """CUDA's replacement of that name, if there is one and the arrays have numbers."""
    if not CUDA:
        from .gpu import twins
        CUDA.update(twins.CUDA_KERNELS)
    replacement = CUDA.get(name)
    if replacement is not None:
        from .gpu.launch import must_be_current  # CuPy would copy from GPU to GPU without a word
        must_be_current(f"{name}: an argument", arrays[0])
    return replacement if all([a.size for a in arrays]) else None


def together(array) -> AbstractContextManager:
    """Inside, updates of parameters on a GPU (where `array` is) wait; at the end, also after an
    error, all of a kind are one launch. Elsewhere, and without kernels, each runs at once."""
    if array is None or isinstance(array, np.ndarray) or (_own.choice or _choice) == "reference":
        return nullcontext()
    from .gpu import twins
    return twins.launched_together()


def fits(condition: Callable) -> Callable:
    """For a replacement: take it only where ``condition(*arrays)`` holds, of the arrays that
    :func:`replaceable` names."""
    def mark(function: Callable) -> Callable:
        function.fits = condition
        return function
    return mark


def problem() -> str | None:
    """Why there are no compiled kernels here, or none are kept for the next process, and what to
    do; None if all is well. Loads them."""
    if not _tried:
        load_kernels(warn=False)
    return _problem


def load_kernels(warn: bool = True) -> None:
    """Fill the table for the CPU, once. Without Numba it stays empty, and a warning says so; one
    says too if the cache folder is not to be trusted."""
    global _tried, _problem
    with _loading:
        if _tried:
            return
        try:
            from .cpu import twins, kept, warm
        except Exception as error:      # not installed; or of a version that does not fit the rest
            reason = " ".join(str(error).split())[:200]
            _problem = ("compiled kernels are left out, NumPy alone is several times slower: "
                        f"Numba is not usable here ({type(error).__name__}: {reason}); "
                        "python -m pip install --upgrade numba")
        else:
            CPU.update(twins.CPU_KERNELS)
            _problem = kept.refused
            if kept.nothing_kept() and get_num_threads() > 1:
                warm.in_background()
        _tried = True
    if _problem and warn:
        warnings.warn(_problem, RuntimeWarning, stacklevel=4)


# That it is neither is told by the first operation: `import minidl` could only give a traceback.
_choice = os.environ.get("MINIDL_KERNELS") or "fast"
