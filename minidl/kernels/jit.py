"""How a kernel is compiled: by Numba, when it is first called, once for each machine.

``@compiled`` makes native code of a plain Python function over arrays. The machine code is kept in
the user's cache folder under a hash of all kernel sources, so a changed source never meets stale
code and nothing is written into the package. ``NUMBA_DISABLE_JIT=1`` leaves every kernel the Python
function it is written as: that is how to step inside one.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache

from ..cache import cache_folder
from . import on_compile

JIT = not numba.config.DISABLE_JIT
"""False under ``NUMBA_DISABLE_JIT=1``: kernels are plain Python then."""


def _sources() -> str:
    """A hash of all kernel sources and of what compiles them."""
    digest = hashlib.sha256(f"{numba.__version__} {sys.version}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class _Place:
    """Numba asks this where a function's machine code is kept, and whether that is still valid."""

    stamp = _sources()
    folder = cache_folder() / "kernels" / stamp

    def __init__(self, function):
        self.line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, function, path):
        place = cls(function)
        try:
            place.ensure_cache_path()
        except OSError:                          # nowhere to write: compile in every process
            return None
        return place

    def ensure_cache_path(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=self.folder).close()

    def get_cache_path(self):
        return str(self.folder)

    def get_source_stamp(self):
        return self.stamp

    def get_disambiguator(self):
        return str(self.line)


class _Impl(CompileResultCacheImpl):
    _locator_classes = [_Place]


class _Cache(FunctionCache):
    _impl_class = _Impl

    def _index_key(self, sig, codegen):
        # Numba adds a pickle of closures, which differs from process to process; here the folder's
        # name tells one source from another.
        return sig, codegen.magic_tuple()

    def load_overload(self, sig, target_context):
        found = super().load_overload(sig, target_context)
        if found is None:
            for listener in list(on_compile):
                listener(self._py_func.__name__)
        return found


def nothing_kept() -> bool:
    """Is this the first use: are kernels compiled, and none in the cache yet?"""
    return JIT and not any(_Place.folder.glob("*.nbi")) and _writable()


def _writable() -> bool:
    try:
        _Place(compiled).ensure_cache_path()
    except OSError:
        return False
    return True


def compiled(function: Callable) -> Callable:
    """`function` as native code that runs without Python's lock; itself if JIT is off."""
    if not JIT:
        return function
    dispatcher = numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True)(function)
    with contextlib.suppress(RuntimeError):      # no place to keep it
        dispatcher._cache = _Cache(function)
    return dispatcher


def part(function: Callable) -> Callable:
    """A function that only compiled ones call; it needs no wrapper for Python, and no cache."""
    if not JIT:
        return function
    return numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True,
                      no_cpython_wrapper=True, forceinline=True)(function)
