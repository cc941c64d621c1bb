"""What a CUDA graph can hold: a graph is a recorded sequence of launches that is replayed by one
call, so that a small network's step costs the host next to nothing.

Two things decide whether a whole training step can be one. CuPy refuses cuBLAS, the matrix
products, while a graph is recorded: does it work when cuBLAS is called past CuPy? And noise must be
fresh each time that the graph is replayed. Whatever the answer, it is no failure; it is recorded.
"""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .. import random
from ..cuda import error_line
from . import DEVICE, Sizes
from .results import Part

MATRIX_SIDE = 64                         # of the matrices
RECORDING = ("cuda.Stream.begin_capture", "cuda.Stream.end_capture", "cuda.get_current_stream")


def questions(part: Part, sizes: Sizes) -> None:
    """Part "graphs": each question with its answer, and the error's text where it is "no"."""
    import cupy
    for name, ask, *needed in (
            ("a ufunc replays", _ufunc),
            ("cuBLAS by CuPy", _product_by_cupy),
            ("cuBLAS by ctypes, same numbers", _product_by_ctypes, "cuda.device.get_cublas_handle"),
            ("our noise is fresh each time", _own_noise),
            ("Generator.standard_normal is fresh", _cupys_noise, "random.default_rng",
             "random.Generator.standard_normal")):
        try:
            _must_have(cupy, *RECORDING, *needed)
            part.found(name, "answer", ask(cupy))
        except (NoGraphs, OSError) as error:                         # nothing to ask it with
            part.unasked(name, "answer", error_line(error))
        except Exception as error:
            part.found(name, "answer", "no", error_line(error))


class NoGraphs(RuntimeError):
    """Nothing at all can be recorded here."""


def _must_have(cupy, *names: str) -> None:
    """Look for what a question needs before it is asked: a wrong name in the question itself shall
    not pass for a CuPy without graphs."""
    for name in names:
        try:
            operator.attrgetter(name)(cupy)
        except AttributeError:
            raise NoGraphs(f"this CuPy has no cupy.{name}") from None


def captured(cupy, work: Callable[[], None]) -> Callable[[], None]:
    """``work`` as a graph; what replays it and waits. It has run once before it is recorded, so
    that kernels are compiled and memory is there."""
    cupy.cuda.get_current_stream().synchronize()             # what `work` reads is ready
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        work()
        stream.synchronize()
        try:
            stream.begin_capture()
        except Exception as error:
            raise NoGraphs(error_line(error)) from error
        try:
            work()
        except Exception:
            end_quietly(stream)
            raise
        graph = stream.end_capture()

    def replay():
        graph.launch(stream=stream)
        stream.synchronize()
    return replay


def end_quietly(stream) -> None:
    """End a recording that went wrong: it may be invalid, and says so itself."""
    try:
        stream.end_capture()
    except Exception:                        # the first error is the one that tells
        return


def _matrices(cupy):
    shape = MATRIX_SIDE, MATRIX_SIDE
    return [cupy.asarray(np.random.default_rng(i).standard_normal(shape, np.float32))
            for i in range(3)]


def _ufunc(cupy) -> str:
    a, b, y = _matrices(cupy)
    replay = captured(cupy, lambda: cupy.add(a, b, out=y))
    a *= 2
    cupy.cuda.get_current_stream().synchronize()
    replay()
    return "yes" if np.array_equal(y.get(), (a + b).get()) else "no: other numbers"


def _product_by_cupy(cupy) -> str:
    a, b, y = _matrices(cupy)
    return _same_product(cupy, a, b, y, lambda: cupy.matmul(a, b, out=y))


def _product_by_ctypes(cupy) -> str:
    a, b, y = _matrices(cupy)
    return _same_product(cupy, a, b, y, lambda: cublas_product(cupy, cublas(cupy), a, b, y))


def _same_product(cupy, a, b, y, work) -> str:
    """Does the graph multiply what stands in `a` and `b` when it is replayed?"""
    replay = captured(cupy, work)
    a *= 2
    cupy.cuda.get_current_stream().synchronize()
    replay()
    found, right = y.get(), (a @ b).get()
    if np.array_equal(found, right):
        return "yes, bit for bit"
    error = float(np.abs(found - right).max() / np.abs(right).max())
    return f"yes, to {error:.1e}" if error < 1e-5 else f"no: the numbers differ by {error:.1e}"


def cublas(cupy) -> ctypes.CDLL:
    """The cuBLAS that CuPy has loaded."""
    cupy.cuda.device.get_cublas_handle()                     # loads it
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split(maxsplit=5)[-1]
        if "/libcublas.so" in path:
            return ctypes.CDLL(path)
    raise OSError("no libcublas.so is loaded in this process")


def cublas_product(cupy, library: ctypes.CDLL, a, b, y) -> None:
    """y = a b of square C-ordered matrices, in float32, on the current stream. cuBLAS counts down
    columns, and so takes y^T = b^T a^T."""
    handle = ctypes.c_void_p(cupy.cuda.device.get_cublas_handle())
    stream = ctypes.c_void_p(cupy.cuda.get_current_stream().ptr)
    one, zero, n = ctypes.c_float(1), ctypes.c_float(0), ctypes.c_int(len(a))
    pa, pb, py = (ctypes.c_void_p(m.data.ptr) for m in (a, b, y))
    for name, arguments in (
            ("cublasSetStream_v2", (stream,)),
            ("cublasSgemm_v2", (0, 0, n, n, n, ctypes.byref(one), pb, n, pa, n, ctypes.byref(zero),
                                py, n))):
        status = getattr(library, name)(handle, *arguments)
        if status:
            raise RuntimeError(f"{name} returned the status {status}")


# --------------------------------------------------------------------------- noise
def _own_noise(cupy) -> str:
    generator, y = random.Generator(1), cupy.zeros(4096, np.float32)
    def work():
        y[...] = generator.normal((4096,), np.float32, DEVICE)
    return _fresh(captured(cupy, work), y)


def _cupys_noise(cupy) -> str:
    generator, y = cupy.random.default_rng(1), cupy.zeros(4096, np.float32)
    def work():
        generator.standard_normal(dtype=np.float32, out=y)
    return _fresh(captured(cupy, work), y)


def _fresh(replay: Callable[[], None], y) -> str:
    """Other numbers each time? Our generator's counter is an argument of its kernel, which a graph
    repeats as it was: fresh noise there needs a counter that lies on the GPU."""
    found = []
    for _ in range(3):
        replay()
        found.append(y.get())
    if any(np.array_equal(found[i], found[i + 1]) for i in range(2)):
        return "no: the same numbers each time"
    spread = float(np.std(found))
    return "yes" if 0.9 < spread < 1.1 else f"no: other numbers, of standard deviation {spread:.2f}"
