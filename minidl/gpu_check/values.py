"""The numbers of ops and kernels on the GPU against NumPy's in float64, from the same arguments."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import from_numpy, grad, kernels, random
from ..device import move, to_host
from ..kernels.gpu import launch
from ..op import OPS
from ..tensor import Tensor
from ..testing.compare import errors
from . import DEVICE, Sizes
from .cases import HERE, kernel_cases, op_cases
from .results import Part

# Of the largest entry: rounding is relative to what was added up.
LIMITS = {np.dtype(np.float32): 5e-5, np.dtype(np.float64): 1e-11}


def error_of(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, divided by the largest entry; nan where only one of both is nan."""
    if found.shape != expected.shape:
        raise ValueError(f"the result has shape {found.shape}, {expected.shape} is right")
    return float(errors(found, expected).max(initial=0.0))


def convert(value: Any, dtype: np.dtype, device: str) -> Any:
    """Arguments with their floats in `dtype` and their arrays on `device`."""
    if isinstance(value, (tuple, list)):
        return type(value)(convert(v, dtype, device) for v in value)
    if isinstance(value, np.ndarray):
        # A copy, in the memory order of the value: kernels may change their arguments.
        return move(value.astype(dtype if value.dtype.kind == "f" else value.dtype), device)
    return device if isinstance(value, str) and value == HERE else value


# --------------------------------------------------------------------------- ops
def op_outputs(name: str, args: tuple, dtype: np.dtype, device: str) -> list[np.ndarray]:
    """What the op gives, then its gradients for an upstream gradient that is always the same."""
    entry, args = OPS[name], convert(args, dtype, device)
    leaves = [Tensor._wrap(x) for x in entry.inputs(args)]
    wanted = [x.requires_grad_() for x in leaves if x.is_floating_point()]
    y = entry.call(*entry.with_inputs(args, leaves))
    y, *more = y if isinstance(y, tuple) else (y,)
    upstream = np.random.default_rng(1).uniform(0.5, 1.5, y.shape) * np.where(
        np.arange(y.numel()).reshape(y.shape) % 3, 1, -1)
    upstream = from_numpy(np.asarray(upstream, y.dtype)).to(y.device)
    gradients = grad(y, wanted, upstream, allow_unused=True)
    for g, x in zip(gradients, wanted):
        if g is not None and g.dtype != x.dtype:
            raise TypeError(f"{name}: a gradient of {g.dtype} for an input of {x.dtype}")
    return [to_host(t.data) for t in (y, *more, *gradients) if t is not None]


def op_error(name: str, args: tuple, dtype: np.dtype, which: str) -> float:
    """The op on the GPU with `which` kernels, in `dtype`, against NumPy's readable one in
    float64."""
    truth = with_kernels("reference", op_outputs, name, args, np.dtype(np.float64), "cpu")
    found = with_kernels(which, op_outputs, name, args, dtype, DEVICE)
    if found[0].dtype != dtype and name != "convert" and found[0].dtype.kind == "f":
        raise TypeError(f"{name}: the result is {found[0].dtype}, the arguments are {dtype}")
    if len(found) != len(truth):
        raise ValueError(f"{name}: {len(found)} results and gradients, {len(truth)} are right")
    return _worst([error_of(f, t) for f, t in zip(found, truth)])[1]


def _worst(errors: Sequence[float]) -> tuple[int, float]:
    """The place of the largest error, and it; nan, which max() may pass over, is the largest."""
    place = int(np.argmax(errors))
    return place, errors[place]


def with_kernels(which: str, function, *args):
    """``function(*args)`` with the kernels "fast" or "reference"."""
    with kernels.kernels_of_thread(which):
        return function(*args)


def check_ops(part: Part, sizes: Sizes) -> None:
    """Part "ops": one check for each op, dtype and choice of kernels; the worst of its cases."""
    cases = op_cases()
    for name in [name for name in OPS if name in cases]:
        for dtype, limit in LIMITS.items():
            for which in kernels.CHOICES:
                of = f"{dtype} {which}"
                with part.attempt(name, of):
                    errors = [op_error(name, args, dtype, which) for args in cases[name]]
                    case, error = _worst(errors)
                    part.check(name, of, error, limit, f"case {case}")
    _check_complete(part, "without cases", set(OPS) - set(cases))


def _check_complete(part: Part, name: str, missing: set[str]) -> None:
    part.check(name, "number", len(missing), 0, ", ".join(sorted(missing)))


# --------------------------------------------------------------------------- kernels
def readable(name: str):
    """The readable function that a kernel of that name replaces."""
    return kernels.READABLE.get(name) or getattr(random, name)


def kernel_outputs(name: str, args: tuple, dtype: np.dtype, device: str) -> list[np.ndarray]:
    """What the function gives, and its arrays, which it may have changed: on the CPU the readable
    one, on the GPU the kernel."""
    args = convert(args, dtype, device)
    if name in ("uniform", "normal"):             # a kernel fills an array
        if device == "cpu":
            return [readable(name)(*args[:3], dtype, *args[3:])]
        y = move(np.empty(args[0], dtype), device)
        return [to_host(kernels.CUDA[name](y, *args[1:]))]
    results = (readable(name) if device == "cpu" else kernels.CUDA[name])(*args)
    results = results if isinstance(results, tuple) else (results,)
    if name == "_bias_activation_grad" and results[1] is None:      # left to the engine
        gx, shape = results[0], args[2]
        axes = (0, 2, 3) if gx.ndim == 4 else (0,)
        results = gx, gx.sum(axis=axes).reshape(shape)
    arrays = [a.data if isinstance(a, Tensor) else a for a in (*results, *args)]
    return [np.asarray(a) if isinstance(a, np.generic) else to_host(a) for a in arrays
            if hasattr(a, "dtype")]


def kernel_error(name: str, args: tuple, dtype: np.dtype) -> tuple[float, bool]:
    """A kernel against its readable function; and did it give the same bits twice?"""
    # Uniform numbers have other bits in float64; masks are compared with float32's.
    exact = dtype if name == "uniform" else np.dtype(np.float64)
    truth = kernel_outputs(name, args, exact, "cpu")
    found, again = (kernel_outputs(name, args, dtype, DEVICE) for _ in range(2))
    if any(f.dtype != dtype for f in found if f.dtype.kind == "f"):
        raise TypeError(f"{name}: results of {[str(f.dtype) for f in found]} for {dtype}")
    same = all(f.tobytes() == a.tobytes() for f, a in zip(found, again))
    errors = [error_of(f, t) for f, t in zip(found, truth, strict=True)]
    return _worst(errors)[1], same


def check_kernels(part: Part, sizes: Sizes) -> None:
    """Part "kernels": every replacement in kernels.CUDA, and that each kernel of kernels.cu ran."""
    from ..kernels.gpu import twins
    kernels.CUDA.update({k: f for k, f in twins.CUDA_KERNELS.items() if k not in kernels.CUDA})
    cases = kernel_cases(sizes.batch)
    with _launched() as ran:
        for name in [name for name in kernels.CUDA if name in cases]:
            for dtype, limit in LIMITS.items():
                _check_kernel(part, name, cases[name], dtype, limit)
    _check_complete(part, "without cases", set(kernels.CUDA) - set(cases))
    _check_complete(part, "never launched", set(launch.signatures(np.dtype(np.float32))) - ran)


def _check_kernel(part: Part, name: str, cases: list[tuple], dtype: np.dtype, limit: float) -> None:
    row, of = name.strip("_"), f"{dtype}"
    with part.attempt(row, of):
        errors, same = zip(*(kernel_error(name, args, dtype) for args in cases))
        case, error = _worst(errors)
        part.check(row, of, error, limit, f"case {case}")
        other = [i for i, repeats in enumerate(same) if not repeats]
        part.holds(row, f"{of} same bits", not other, f"two runs differ: cases {other}")


@contextlib.contextmanager
def _launched() -> Iterator[set[str]]:
    """The names of the kernels of kernels.cu that are launched inside."""
    names: set[str] = set()
    before = launch.compiled_kernel
    def noted(cupy, name, real):
        names.add(name)
        return before(cupy, name, real)
    launch.compiled_kernel = noted
    try:
        yield names
    finally:
        launch.compiled_kernel = before
