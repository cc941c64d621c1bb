"""New tensors: of numbers given, of constants, of ranges, of random numbers."""

from __future__ import annotations

import numpy as np

from .. import checks
from ..checks.arguments import arguments, number_argument
from ..checks.arrays import check_fits, known, numbers
from ..dtypes import float32, float64, int64
from ..ops.shape import sizes_given
from ..random import Generator, default_generator
from ..tensor import Tensor, as_tensor


@arguments
def tensor(data, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """A new leaf tensor of numbers, nested lists or an array (copied)."""
    return Tensor(data, requires_grad, _dtype("tensor", dtype, None), device)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the array's memory."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}")
    if not array.dtype.isnative:
        raise TypeError(f"from_numpy: an array of another byte order, {array.dtype.str}, cannot be "
                        "shared; minidl.tensor(array) copies it")
    return as_tensor(array)


@arguments
def zeros(*size, dtype=float32, device=None, requires_grad: bool = False) -> Tensor:
    """Zeros of shape `size`."""
    zeros = np.zeros(_shape("zeros", size), _dtype("zeros", dtype))
    return Tensor(zeros, requires_grad, device=device)


@arguments
def ones(*size, dtype=float32, device=None, requires_grad: bool = False) -> Tensor:
    """Ones of shape `size`."""
    ones = np.ones(_shape("ones", size), _dtype("ones", dtype))
    return Tensor(ones, requires_grad, device=device)


@arguments
def full(size, fill_value, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """`fill_value` in shape `size`, of its own dtype unless given: int64 of 3, float32 of 3.0."""
    value = fill_value.numpy() if isinstance(fill_value, Tensor) else fill_value
    value = numbers("full: fill_value", value, _dtype("full", dtype, None))
    if value.ndim:
        raise TypeError(f"full: fill_value must be a number, got {fill_value!r}")
    return Tensor(np.full(_shape("full", (size,)), value), requires_grad, device=device)


@arguments
def zeros_like(input: Tensor, dtype=None, requires_grad: bool = False) -> Tensor:
    """Zeros of the shape, dtype and device of `input`."""
    return zeros(input.shape, dtype=_dtype("zeros_like", dtype, input.dtype), device=input.device,
                 requires_grad=requires_grad)


@arguments
def ones_like(input: Tensor, dtype=None, requires_grad: bool = False) -> Tensor:
    """Ones of the shape, dtype and device of `input`."""
    return ones(input.shape, dtype=_dtype("ones_like", dtype, input.dtype), device=input.device,
                requires_grad=requires_grad)


def arange(*args, dtype=None, device=None) -> Tensor:
    """start, start + step, ... below end, as Python's range: integers give int64."""
    args = [_limit("arange: a limit", number_argument("arange: a limit", v)) for v in args]
    if len(args) == 3 and args[2] == 0:
        raise ValueError("arange: step must not be 0")
    numbers, dtype = _default_float(np.arange(*args)), _dtype("arange", dtype, None)
    for end in numbers[[0, -1]].tolist() if dtype and numbers.size else ():
        check_fits("arange", end, dtype)
    return Tensor(numbers, dtype=dtype, device=device)


@arguments
def linspace(start: float, end: float, steps: int, dtype=float32, device=None) -> Tensor:
    """`steps` numbers from start to end, both included."""
    steps = checks.whole("linspace: steps", steps)
    dtype = _dtype("linspace", dtype)
    for name, value in ("start", start), ("end", end):
        check_fits(f"linspace: {name}", _limit(f"linspace: {name}", value), dtype)
    return Tensor(np.linspace(start, end, steps), dtype=dtype, device=device)


@arguments
def eye(n: int, dtype=float32, device=None) -> Tensor:
    """The identity matrix."""
    return Tensor(np.eye(checks.whole("eye: n", n), dtype=_dtype("eye", dtype)), device=device)


@arguments
def rand(*size, generator: Generator | None = None, dtype=float32, device=None,
         requires_grad: bool = False) -> Tensor:
    """Uniform numbers in [0, 1)."""
    rng = generator or default_generator()
    device = "cpu" if device is None else device
    return Tensor(rng.uniform(_shape("rand", size), _float("rand", dtype), device), requires_grad)


@arguments
def randn(*size, generator: Generator | None = None, dtype=float32, device=None,
          requires_grad: bool = False) -> Tensor:
    """Normal numbers, N(0, 1)."""
    rng = generator or default_generator()
    device = "cpu" if device is None else device
    return Tensor(rng.normal(_shape("randn", size), _float("randn", dtype), device), requires_grad)


@arguments
def randint(low: int, high: int, size, generator: Generator | None = None, device=None) -> Tensor:
    """Integers in [low, high)."""
    if low >= high:
        raise ValueError(f"randint: low must be below high, got {low} and {high}")
    check_fits("randint: low", low, int64)
    check_fits("randint: high - 1", high - 1, int64)
    rng = generator or default_generator()
    return Tensor(rng.integers(low, high, _shape("randint", (size,))), device=device)


@arguments
def randperm(n: int, generator: Generator | None = None) -> Tensor:
    """0..n-1 in random order."""
    rng = generator or default_generator()
    return Tensor(rng.permutation(checks.whole("randperm: n", n)))


def _shape(name: str, size) -> tuple[int, ...]:
    return sizes_given(f"{name}: a length of size", size, 0)


def _limit(name: str, value):
    """A limit of a range: finite, and as an integer one of int64."""
    if not -np.inf < value < np.inf:
        raise ValueError(f"{name} must be finite, got {value}")
    check_fits(name, value, int64 if isinstance(value, int) else float64)
    return value


def _dtype(name: str, dtype, default=float32):
    return default if dtype is None else known(name, dtype)


def _float(name: str, dtype):
    if (dtype := _dtype(name, dtype)).kind != "f":
        raise TypeError(f"{name}: dtype must be float32 or float64, got {dtype}")
    return dtype


def _default_float(array):
    return array.astype(float32) if array.dtype == float64 else array
