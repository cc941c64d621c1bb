"""Machine code that is kept from one process to the next, in the user's cache folder.

One file holds one kernel for one list of argument types. Its name is a hash of all that its
machine code depends on; its first 32 bytes are the SHA-256 of that name and of the rest. A file
that is missing, damaged or not a plain file is a miss: the kernel is compiled, and its file is
written anew.

What Numba made of a kernel comes back by unpickling, and who can write a pickle can run any program
as whoever reads it. A checksum is no help there, for the writer makes that too. So the folders and
each file must belong to this user (or to root), and nobody else may write to them; otherwise
nothing is read or written, and :data:`refused` says so. Windows has no such modes: there the place
for caches, in the user's profile, is closed to others by itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import llvmlite
import numba
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from ...files.cache import cache_folder, make_private
from ...files.regular import open_regular
from ...modes import tell

LARGEST_ENTRY = 1 << 26
"""Bytes. Kernels take some 100 kB; what is larger than this is none."""

SETTINGS = ("OPT", "BOUNDSCHECK", "LOOP_VECTORIZE", "SLP_VECTORIZE", "USING_SVML",
            "DEBUGINFO_DEFAULT")
"""What Numba can be told by environment variables and changes its machine code."""


def _sources() -> str:
    """A hash of all kernel sources and of what compiles them."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {sys.version}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _private(status: os.stat_result) -> bool:
    """Can only this user, and root, have written what has this status?"""
    return os.name != "posix" or (
        status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022)


def _why_refused(folder: Path) -> str | None:
    """What lets others write to `folder`, kernels/<hash> in the cache folder, and what to do.

    Above the cache folder a group may write (a home folder's often may): another folder that is put
    in the place of ours belongs to somebody else. A folder of everybody's must be sticky as /tmp.
    """
    if os.name != "posix":
        return None
    ours = [place.resolve() for place in (folder, folder.parent, folder.parent.parent)]
    above = {place for own in ours for place in own.parents} - set(ours)
    for place in (*ours, *sorted(above)):
        status = place.stat()
        sticky = status.st_mode & stat.S_ISVTX and place not in ours[:2]
        if sticky or _private(status) or (place in above and not status.st_mode & 0o002):
            continue
        what = (f"others may write to it (chmod go-w {place})" if status.st_mode & 0o022 else
                f"it belongs to user {status.st_uid}")
        return (f"compiled kernels are not kept, every process compiles them again: {place} is not "
                f"yours alone, {what}; or set MINIDL_CACHE to a folder of your own")
    return None


def _open_folder() -> tuple[Path | None, str | None]:
    """The folder of the machine code, and why there is none though one could be written."""
    if numba.config.DISABLE_JIT:
        return None, None
    try:
        folder = cache_folder().absolute() / "kernels" / STAMP
        make_private(folder)
        reason = _why_refused(folder)
    except (OSError, RuntimeError):              # nowhere to write: compile in every process
        return None, None
    if reason:
        return None, reason
    _sweep(folder)
    return folder, None


def _sweep(folder: Path) -> None:
    """Remove what writers that were killed left half written, an hour ago or more."""
    with contextlib.suppress(OSError):
        for path in folder.glob("*.tmp"):
            if time.time() - path.lstat().st_mtime > 3600:
                path.unlink()


STAMP = _sources()
folder, refused = _open_folder()


def nothing_kept() -> bool:
    """Is this the first use: is no kernel kept yet, and can one be?"""
    return folder is not None and os.access(folder, os.W_OK) and not any(folder.glob("*.nbi"))


class KeptCode:
    """What a function's dispatcher asks of a cache in Numba: load and save machine code."""

    def __init__(self, function: Callable):
        self.function = function
        self.cache_path = str(folder)

    def load_overload(self, signature, target_context) -> CompileResult | None:
        target_context.refresh()
        contents = folder and _read(self._path(signature, target_context.codegen()))
        if contents:
            with contextlib.suppress(Exception):         # whole, but made by another Numba
                return CompileResult._rebuild(target_context, *pickle.loads(contents))
        tell("compiling", self.function.__name__)
        return None

    def save_overload(self, signature, result: CompileResult) -> None:
        if folder and not result.library.has_dynamic_globals:    # addresses of this process
            _write(self._path(signature, result.codegen), dumps(result._reduce()))

    def flush(self) -> None:
        """For Numba's `recompile`: nothing is forgotten, the sources say what is valid."""

    def _path(self, signature, codegen) -> Path:
        code = self.function.__code__
        key = (self.function.__module__, self.function.__qualname__, code.co_firstlineno, signature,
               codegen.magic_tuple(), [getattr(numba.config, name, None) for name in SETTINGS])
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        return folder / f"{self.function.__name__}-{digest}.nbi"


def _digest(path: Path, contents: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + contents).digest()


def _read(path: Path) -> bytes | None:
    """The contents of an entry that is whole and nobody else's; None for any other."""
    with contextlib.suppress(OSError, ValueError), open_regular(path) as file:
        status = os.fstat(file.fileno())
        if _private(status) and status.st_size <= LARGEST_ENTRY:
            entry = file.read()
            if entry[:32] == _digest(path, entry[32:]):
                return entry[32:]
    return None


def _write(path: Path, contents: bytes) -> None:
    """Keep an entry, if that can be; another process finds all of it or nothing."""
    # Not saving.write_atomically, which gives a file the umask's mode and leaves a folder in its
    # place alone: this file has mode 0600 whatever the umask, else _read would refuse it; and an
    # entry need not survive a power cut, so nothing waits for the disk.
    with contextlib.suppress(OSError):
        handle, temporary = tempfile.mkstemp(suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_digest(path, contents) + contents)
            if path.is_dir() and not path.is_symlink():      # no file can take a folder's place
                path.rename(f"{temporary}.folder")
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
