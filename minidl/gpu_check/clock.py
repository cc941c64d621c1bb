"""Times: what a call costs the host, and what a training step takes, PyTorch's beside it."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import from_numpy, no_grad
from ..cuda import error_line
from ..device import move, to_host
from ..kernels.gpu import launch
from . import DEVICE, Sizes
from .learning import mnist_batches, procedure
from .results import Part

Action = Callable[[], Any]


# --------------------------------------------------------------------------- host time of a call
def calls(part: Part, sizes: Sizes) -> None:
    """Part "calls": microseconds until a call returns, the GPU's work not waited for: the median
    over blocks of calls. Arrays are small, so that the GPU keeps up."""
    import cupy
    wait = cupy.cuda.get_current_stream().synchronize
    a, b = (move(np.ones((64, 64), np.float32), DEVICE) for _ in range(2))
    for name, make in _kinds(cupy, a, b).items():
        try:
            call = make()
            median, least = _microseconds(call, wait, sizes)
        except Exception as error:
            part.unasked(name, "median", error_line(error))
        else:
            part.found(name, "median", median)
            part.found(name, "least", least)
    with part.attempt("backward, a node", "median"):
        median, least = _backward_microseconds(a, b, wait, sizes)
        part.found("backward, a node", "median", median, "a product: one launch")
        part.found("backward, a node", "least", least)


def _kinds(cupy, a, b) -> dict[str, Callable[[], Action]]:
    """What makes a call of each kind."""
    x, y = from_numpy(np.ones((64, 64), np.float32)).to(DEVICE), from_numpy(
        np.ones((64, 64), np.float32)).to(DEVICE)
    leaf = x.detach().clone().requires_grad_()

    def unrecorded():
        with no_grad():
            return x + y
    arguments = (a.reshape(-1), b[0], a.copy().reshape(-1), 64, 0.0, a.size)
    return {
        "ufunc: a + b": lambda: lambda: a + b,
        "reduction: a.sum()": lambda: lambda: a.sum(),
        "matrix product 64x64": lambda: lambda: a @ b,
        "kernel by our launcher": lambda: lambda: launch.launch(
            "bias_activation", a.size, a.dtype, *arguments),
        "kernel, RawKernel alone": lambda: _raw_kernel(cupy, arguments),
        "kernel, bound function": lambda: _raw_kernel(cupy, arguments, bound=True),
        "op add, not recorded": lambda: unrecorded,
        "op add, recorded": lambda: lambda: leaf + y,
    }


def _raw_kernel(cupy, arguments, bound: bool = False) -> Action:
    """The kernel without our checks; `bound`: without RawKernel's look for the device, too."""
    *arrays, C, slope, count = arguments
    given = (*arrays, np.int32(C), np.float32(slope), np.int32(count))
    kernel = launch.compiled_kernel(cupy, "bias_activation", arrays[0].dtype)
    kernel = kernel.kernel if bound else kernel
    grid, block = (-(-count // launch.THREADS),), (launch.THREADS,)
    if bound:                                # a Function takes three lengths each
        grid, block = (*grid, 1, 1), (*block, 1, 1)
    return lambda: kernel(grid, block, given)


def _microseconds(call: Action, wait: Action, sizes: Sizes) -> tuple[float, float]:
    """Median and least over blocks, of the time a call."""
    for _ in range(3):                       # compiles
        call()
    times = []
    for _ in range(sizes.blocks):
        wait()
        began = time.perf_counter()
        for _ in range(sizes.calls):
            call()
        times.append((time.perf_counter() - began) / sizes.calls * 1e6)
    wait()
    return statistics.median(times), min(times)


def _backward_microseconds(a, b, wait: Action, sizes: Sizes) -> tuple[float, float]:
    """The same of a node of backward, in chains of products with a constant."""
    from ..tensor import Tensor
    constant, gradient, times = Tensor._wrap(b), Tensor._wrap(a), []
    for _ in range(sizes.blocks + 1):
        y = Tensor._wrap(a).requires_grad_()
        for _ in range(sizes.calls):
            y = y * constant
        wait()
        began = time.perf_counter()
        y.backward(gradient)
        times.append((time.perf_counter() - began) / sizes.calls * 1e6)
    wait()
    return statistics.median(times[1:]), min(times[1:])          # the first compiles


# --------------------------------------------------------------------------- training steps
def steps(part: Part, sizes: Sizes) -> None:
    """Parts "steps" and "steps-tf32": milliseconds a training step, data on the GPU; minidl and
    PyTorch take turns, and the ratio is of their medians (below 1 minidl is faster). "host" is how
    long the host was busy: where it is the whole time, the GPU waited for the host."""
    tf32 = os.environ.get("CUPY_TF32") == "1"
    part.found("CuPy", "TF32", "on" if tf32 else "off", "of matrix products; convolutions are some")
    part.found("CuPy", "product's error", _product_error(
        lambda a, b: to_host(move(a, DEVICE) @ move(b, DEVICE))))
    peer = _peer(part, tf32)
    for name, batch in sizes.timed:
        row = f"{name}, batch {batch}"
        with part.attempt(row, "minidl ms"):
            _time_network(part, row, name, batch, peer, sizes)


def _peer(part: Part, tf32: bool):
    """The networks in PyTorch, if it is installed and has a GPU; else None, and why is noted."""
    try:
        from . import peer
        part.found("PyTorch", "TF32", peer.prepare(tf32))
        part.found("PyTorch", "product's error", _product_error(peer.gpu_product))
    except Exception as error:
        part.unasked("PyTorch", "TF32", error_line(error))
        return None
    return peer


def _product_error(product) -> float:
    """Of a matrix product against float64's, over the largest entry: with TF32, whose numbers have
    11 bits, about 1e-4, without it about 1e-7."""
    a, b = np.random.default_rng(0).standard_normal((2, 256, 256), np.float32)
    right = a.astype(np.float64) @ b.astype(np.float64)
    return float(np.abs(product(a, b) - right).max() / np.abs(right).max())


def _time_network(part: Part, row: str, name: str, batch: int, peer, sizes: Sizes) -> None:
    import cupy
    batches = mnist_batches(name, batch, 8)
    contestants = {"minidl": (_minidl_step(name, batches),
                              cupy.cuda.get_current_stream().synchronize)}
    if peer:
        try:
            step, wait = peer.step_and_wait(name, batches, "cuda")
            step(), wait()                   # what does not work shows here, and minidl goes on
            contestants["PyTorch"] = step, wait
        except Exception as error:
            part.unasked(row, "PyTorch ms", error_line(error))
    medians = {}
    for who, rounds in in_turns(contestants, sizes).items():
        medians[who] = statistics.median(whole for whole, _ in rounds)
        part.found(row, f"{who} ms", medians[who])
        part.found(row, f"{who} host ms", statistics.median(host for _, host in rounds))
    if "PyTorch" in medians:
        part.found(row, "ratio", medians["minidl"] / medians["PyTorch"])


def _minidl_step(name: str, batches) -> Action:
    steps = procedure(name, DEVICE)
    feed = endless([tuple(from_numpy(array).to(DEVICE) for array in batch) for batch in batches])
    return lambda: steps.step(*next(feed))


def endless(batches):
    """The batches again and again."""
    while True:
        yield from batches


def in_turns(contestants: dict[str, tuple[Action, Action]], sizes: Sizes):
    """Each contestant (a step, and what waits for the GPU) works for `sizes.turn` seconds in each
    round: milliseconds a step, and of those the host's, a round."""
    counts, found = {}, {who: [] for who in contestants}
    for who, (step, wait) in contestants.items():
        _block(step, wait, sizes.warm)       # compiles, and fills the memory pools
        milliseconds, _ = _block(step, wait, sizes.warm)
        counts[who] = max(1, round(1000 * sizes.turn / milliseconds))
    for _ in range(sizes.rounds):
        for who, (step, wait) in contestants.items():
            found[who].append(_block(step, wait, counts[who]))
    return found


def _block(step: Action, wait: Action, count: int) -> tuple[float, float]:
    """Milliseconds a step of `count` steps until the GPU is done, and until the host is."""
    wait()
    began = time.perf_counter()
    for _ in range(count):
        step()
    host = time.perf_counter()
    wait()
    return (time.perf_counter() - began) / count * 1e3, (host - began) / count * 1e3
