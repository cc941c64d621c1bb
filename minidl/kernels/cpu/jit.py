"""How a kernel is compiled: by Numba, when it is first called, once for each machine.

``@compiled`` makes native code of a plain Python function over arrays. The machine code is kept
(kept.py says where, and when it is valid). ``NUMBA_DISABLE_JIT=1`` leaves every kernel the Python
function it is written as: that is how to step inside one.
"""

from __future__ import annotations

from collections.abc import Callable

import numba

from . import kept

JIT = not numba.config.DISABLE_JIT
"""False under ``NUMBA_DISABLE_JIT=1``: kernels are plain Python then."""


def compiled(function: Callable) -> Callable:
    """`function` as native code that runs without Python's lock; itself if JIT is off."""
    if not JIT:
        return function
    dispatcher = numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True)(function)
    dispatcher._cache = kept.KeptCode(function)
    return dispatcher


def inlined(function: Callable) -> Callable:
    """A function that only compiled ones call; it needs no wrapper for Python, and no cache."""
    if not JIT:
        return function
    return numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True,
                      no_cpython_wrapper=True, forceinline=True)(function)
