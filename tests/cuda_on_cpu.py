"""CUDA kernels run on the CPU: ``RawModule`` as CuPy has it, but compiled by g++.

    module = RawModule(open("kernels.cu").read(), ("-DREAL=float",))
    module.get_function("im2col")((blocks,), (threads,), (x, rows, window, np.int32(n)))

The arguments are NumPy arrays for pointers, NumPy scalars for numbers, and arrays with one record
of a structured dtype for structs; a mistake that a GPU would take without a word is an error here.
So is a barrier that not all threads of a block come to, an index out of the bounds of a local or
shared array, a null pointer. Threads run one after the other, in the order of their numbers: where
that hides a mistake, :func:`backward_order` may show it; :func:`guarded` shows writes outside of
the arrays. What it cannot show: the rounding of a GPU's own functions and of its fused
multiply-adds, the flushing of denormal numbers, speed.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import itertools
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HEADER = Path(__file__).with_name("cuda_on_cpu.h")
COMPILE = ["g++", "-x", "c++", "-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden",
           "-U_FORTIFY_SOURCE", "-fsanitize=bounds,null,integer-divide-by-zero", "-include",
           str(HEADER)]
MOST_THREADS = 1024                       # of a block, as on every GPU
MOST_BYTES = 4096                         # of all arguments: what every driver and GPU takes


def problem() -> str | None:
    """Why kernels cannot be run here, or None."""
    if sys.platform != "linux":
        return f"CUDA on the CPU needs Linux's ucontext and g++; this is {sys.platform}"
    if platform.libc_ver()[0] != "glibc":
        return "CUDA on the CPU needs the C library glibc (its ucontext)"
    if shutil.which("g++") is None:
        return "g++ is not installed (Debian and Ubuntu: apt-get install g++)"
    return None


class CompileError(RuntimeError):
    """g++ refused the source."""


class LaunchError(RuntimeError):
    """A kernel did what ends in undefined behaviour on a GPU."""


# --------------------------------------------------------------------------- modes
_backward = False
_guards: Guards | None = None


@contextlib.contextmanager
def backward_order():
    """Inside, the blocks of a launch and the threads of a block run from the last to the first.

    Where results depend on it a barrier is missing, or two blocks meddle with the same memory.
    """
    global _backward
    _backward, before = True, _backward
    try:
        yield
    finally:
        _backward = before


@contextlib.contextmanager
def guarded():
    """Inside, each array argument is copied to where guard bytes surround it, and back after the
    launch: a write outside is an error that names kernel and argument, a read finds nan.

    Arrays whose address stands in a struct are guarded if made by ``guard.array(name, x)`` of the
    object that the ``with`` statement gives.
    """
    global _guards
    _guards, before = Guards(), _guards
    try:
        yield _guards
    finally:
        _guards = before


class Guards:
    """Arrays with guard bytes before and behind them."""

    ZONE = np.tile(np.array([0xFA, 0xFF], np.uint8), 2**15)      # nan as float32 and as float64

    def __init__(self):
        self._buffers: list[tuple[str, np.ndarray]] = []

    def array(self, name: str, x: np.ndarray) -> np.ndarray:
        """A C-contiguous copy of `x`, watched from now on under this name."""
        data = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
        buffer = np.concatenate([self.ZONE, data, self.ZONE])
        self._buffers.append((name, buffer))
        return buffer[len(self.ZONE):len(buffer) - len(self.ZONE)].view(x.dtype).reshape(x.shape)

    def check(self, kernel: str) -> None:
        """Raise LaunchError if a guard byte has changed."""
        size = len(self.ZONE)
        for name, buffer in self._buffers:
            before = np.flatnonzero(buffer[:size] != self.ZONE)
            behind = np.flatnonzero(buffer[len(buffer) - size:] != self.ZONE)
            where = ([f"byte {size - before[-1]} before it"] if before.size else []) + (
                [f"byte {behind[0] + 1} behind it"] if behind.size else [])
            if where:
                raise LaunchError(f"{kernel}: writes outside {name}, {' and '.join(where)}")

    @contextlib.contextmanager
    def around(self, kernel: str, arguments: dict[str, np.ndarray]):
        """Guarded copies of these arguments, for one launch, with what was written copied back."""
        self._refuse_overlaps(kernel, arguments)
        place = lambda x: (x.ctypes.data, x.nbytes)
        watched, copies = len(self._buffers), {}
        for name, x in arguments.items():
            if place(x) not in copies:                 # an array given twice has one copy
                copies[place(x)] = self.array(name, x)
        try:
            yield {name: copies[place(x)] for name, x in arguments.items()}
            self.check(kernel)
        finally:
            del self._buffers[watched:]
        for x in arguments.values():
            if x.flags.writeable:
                x[...] = copies[place(x)].reshape(x.shape)

    @staticmethod
    def _refuse_overlaps(kernel: str, arguments: dict[str, np.ndarray]) -> None:
        for (a, x), (b, y) in itertools.combinations(arguments.items(), 2):
            same = (x.ctypes.data, x.nbytes, x.dtype) == (y.ctypes.data, y.nbytes, y.dtype)
            if np.may_share_memory(x, y) and not same:
                raise LaunchError(f"{kernel}: {a} and {b} overlap in memory")


# --------------------------------------------------------------------------- compiling
class RawModule:
    """A file of kernels; compiled when the first of them is asked for."""

    def __init__(self, code: str, options: tuple[str, ...] = ()):
        self._code, self._options = code, tuple(options)

    def get_function(self, name: str) -> Kernel:
        """The kernel ``extern "C" __global__ void name(...)``. Raises CompileError, KeyError."""
        library, kernels = _compiled(self._code, self._options)
        if name not in kernels:
            raise KeyError(f"no kernel {name!r} in this source, only {', '.join(kernels)}")
        return Kernel(library, name, kernels[name])


def parameters_of(code: str) -> dict[str, list[str]]:
    """The names of the parameters of each kernel in the source."""
    code = re.sub(r"//[^\n]*|/\*.*?\*/", "", code, flags=re.DOTALL)
    found = re.findall(r'extern\s*"C"\s*__global__\s+void\s+(\w+)\s*\(([^)]*)\)', code)
    return {name: re.findall(r"(\w+)\s*(?:,|$)", inside.strip()) for name, inside in found}


@functools.cache
def _compiled(code: str, options: tuple[str, ...]):
    """The loaded library, and the parameters of each kernel."""
    if problem():
        raise CompileError(problem())
    kernels = parameters_of(code)
    # PyDLL keeps Python's lock during a call: threadIdx and so on are there only once.
    return ctypes.PyDLL(str(_build(code, kernels, options))), kernels


def _build(code: str, kernels, options: tuple[str, ...]) -> Path:
    """Compile, unless a file of this source and these options is there already."""
    command = [*COMPILE, *options]
    content = "\0".join([code, HEADER.read_text(), _version(), *command])
    library = _folder() / f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.so"
    if library.exists():
        return library
    with tempfile.TemporaryDirectory(dir=_folder()) as work:
        source, made = Path(work, "kernels.cu"), Path(work, "kernels.so")
        source.write_text(code + "\n" + "".join(f"RUNNABLE({name})\n" for name in kernels))
        # In two steps: so that the linker does not bring the sanitizer's own library.
        _run([*command, "-c", str(source), "-o", str(source.with_suffix(".o"))])
        _run(["g++", "-shared", str(source.with_suffix(".o")), "-o", str(made)])
        os.replace(made, library)
    return library


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CompileError("\n".join(done.stderr.splitlines()[:20]))


@functools.cache
def _version() -> str:
    return subprocess.run(["g++", "--version"], capture_output=True, text=True).stdout


_of_this_process: list[tempfile.TemporaryDirectory] = []          # deleted when it ends


def _folder() -> Path:
    """Where compiled files are kept: in MINIDL_CACHE, or until this process ends."""
    if os.environ.get("MINIDL_CACHE"):
        folder = Path(os.environ["MINIDL_CACHE"]).expanduser() / "cuda_on_cpu"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    if not _of_this_process:
        _of_this_process.append(tempfile.TemporaryDirectory(prefix="cuda_on_cpu"))
    return Path(_of_this_process[0].name)


# --------------------------------------------------------------------------- launching
class _Launch(ctypes.Structure):
    """As `Launch` in cuda_on_cpu.h."""

    _fields_ = [(name, ctypes.c_int) for name in (
        "blocks", "threads", "backward", "failure", "block", "thread", "line", "other_line")]


_DIVERGED, _UNDEFINED, _ENDED = 1, 2, -1


class Kernel:
    """One kernel: ``kernel((blocks,), (threads,), arguments)``."""

    def __init__(self, library: ctypes.CDLL, name: str, parameters: list[str]):
        self.name, self.parameters = name, parameters
        types = ctypes.create_string_buffer(16 * len(parameters) + 1)
        getattr(library, f"types_of_{name}")(types)
        self.types = types.value.decode().split()
        if len(self.types) != len(parameters):
            raise CompileError(f"{name}: cannot read the parameters {parameters} of {self.types}")
        self._run = getattr(library, f"run_{name}")
        self._run.restype = None

    def __call__(self, grid: tuple, block: tuple, args: tuple) -> None:
        """Run it. Raises TypeError or ValueError for wrong arguments, LaunchError for what the
        kernel itself does wrong."""
        launch = _Launch(self._count("grid", grid, 2**31 - 1),
                         self._count("block", block, MOST_THREADS), _backward)
        if len(args) != len(self.types):
            raise TypeError(f"{self.name}: {len(args)} arguments for the {len(self.types)} "
                            f"parameters {', '.join(self.parameters)}")
        for name, kind, value in zip(self.parameters, self.types, args):
            self._check(name, kind, value)
        if _guards is None:
            self._launch(launch, args)
        else:
            arrays = {name: value for name, kind, value
                      in zip(self.parameters, self.types, args) if kind.endswith("*")}
            with _guards.around(self.name, arrays) as inside:
                self._launch(launch, [inside.get(name, value) for name, value
                                      in zip(self.parameters, args)])

    def _count(self, what: str, dimensions: tuple, most: int) -> int:
        if not isinstance(dimensions, tuple) or len(dimensions) != 1:
            raise ValueError(f"{self.name}: {what} must be a tuple of one number, got "
                             f"{dimensions!r}")
        if not 1 <= dimensions[0] <= most:
            raise ValueError(f"{self.name}: {what} must be from 1 to {most}, got {dimensions[0]}")
        return int(dimensions[0])

    def _check(self, name: str, kind: str, value) -> None:
        """Does `value` fit a parameter of this kind (see write_type in cuda_on_cpu.h)?"""
        where = f"{self.name}: argument {name}"
        dtype = np.dtype(kind.rstrip("*"))
        if kind.endswith("*"):
            if not isinstance(value, np.ndarray):
                raise TypeError(f"{where} must be an array of {dtype}, got {value!r}")
            if value.dtype != dtype:
                raise TypeError(f"{where} must be of {dtype}, got {value.dtype}")
            if not value.flags.c_contiguous:
                raise ValueError(f"{where}, of shape {value.shape}, is not C-contiguous (strides "
                                 f"{value.strides}), and kernels know of no strides")
            if kind.endswith("**") and not value.flags.writeable:
                raise ValueError(f"{where} is read-only, the parameter is not const")
        elif kind.startswith("V"):
            if not (isinstance(value, np.ndarray) and value.dtype.names and value.size == 1):
                raise TypeError(f"{where} must be an array of one record, got {value!r}")
            if value.dtype.itemsize != dtype.itemsize:
                raise TypeError(f"{where} must have the struct's {dtype.itemsize} bytes, got "
                                f"{value.dtype.itemsize}: {value.dtype}")
        elif not isinstance(value, np.generic) or value.dtype != dtype:
            got = getattr(value, "dtype", type(value).__name__)
            raise TypeError(f"{where} must be a NumPy scalar of {dtype}, got {value!r} ({got})")

    def _launch(self, launch: _Launch, args) -> None:
        # An argument's bytes: of an array its address, else the value itself.
        values = [np.array(value.ctypes.data, np.uint64) if kind.endswith("*") else
                  np.ascontiguousarray(value) for kind, value in zip(self.types, args)]
        if sum(value.nbytes for value in values) > MOST_BYTES:
            raise ValueError(f"{self.name}: the arguments have more than {MOST_BYTES} bytes")
        addresses = (ctypes.c_void_p * len(values))(*[value.ctypes.data for value in values])
        self._run(ctypes.byref(launch), addresses)
        if launch.failure:
            raise LaunchError(f"{self.name}: block {launch.block}, {self._failure(launch)}")

    @staticmethod
    def _failure(launch: _Launch) -> str:
        if launch.failure == _UNDEFINED:
            return (f"thread {launch.thread}, line {launch.line}: an index out of its array's "
                    "bounds, a null pointer or a division by zero")
        others = ("others have ended or passed it by" if launch.other_line == _ENDED else
                  f"others at that of line {launch.other_line}")
        return f"thread {launch.thread} waits at the barrier of line {launch.line}, {others}"
