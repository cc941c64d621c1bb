"""minidl: a deep-learning engine to read, to verify and to train small models with.

``Tensor`` and its tape are in tensor.py and tape.py, every formula in ops/, layers in nn/, the
networks of the documents in models/. Names are PyTorch's: ``import minidl.functional as F``.
"""

__version__ = "0.1.0"

from os import environ as _environ

import numpy as _np

from .dtypes import bool_, float32, float64, int8, int16, int32, int64, uint8
from .tensor import Tensor, as_tensor
# isort: split
from . import checks, random
from .checks.axis_numbers import sizes_given as _sizes_given
from .checks.arguments import arguments as _arguments, number_argument as _number_argument
from .kernels import get_num_threads, kernels_in_use, set_num_threads, use_kernels
from .random import Generator, manual_seed
from .files.saving import load, save
from .op import OPS, op
from .modes import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .gradients import grad
from . import cuda, dtypes, functional, nn, ops, optim
from .ops import (abs, amax, amin, argmax, argmin, cat, chunk, clamp, cos, div, exp, flatten,
                  flip, log, log_softmax, logsumexp, matmul, max, maximum, mean, min, minimum, mul,
                  neg, norm, permute, pow, relu, reshape, sigmoid, sin, softmax, split, sqrt,
                  squeeze, stack, std, sum, tanh, transpose, unsqueeze, var, where)

__all__ = ["Generator", "OPS", "Tensor", "abs", "add", "allclose", "amax", "amin", "arange",
           "argmax", "argmin", "as_tensor", "bool_", "cat", "chunk", "clamp", "cos", "cuda", "data",
           "device", "div", "enable_grad", "exercises", "exp", "explain", "eye", "flatten", "flip",
           "float32", "float64", "formulas", "from_numpy", "full", "functional", "get_num_threads",
           "grad", "int16", "int32", "int64", "int8", "is_grad_enabled", "keep", "kernels",
           "kernels_in_use", "linspace", "load", "log", "log_softmax", "logsumexp", "manual_seed",
           "matmul", "max", "maximum", "mean", "metrics", "min", "minimum", "models", "mul", "neg",
           "nn", "no_grad", "norm", "ones", "ones_like", "op", "ops", "optim", "permute", "plots",
           "pow", "profile", "rand", "randint", "randn", "random", "randperm", "record", "relu",
           "reshape", "save", "script", "set_grad_enabled", "set_num_threads", "sigmoid", "sin",
           "softmax", "split", "sqrt", "squeeze", "stack", "std", "sub", "sum", "tanh", "tensor",
           "testing", "training", "transpose", "uint8", "unsqueeze", "use_kernels", "var", "where",
           "zeros", "zeros_like"]


def record(step=None, *args, probe: int | None = None, **kwargs):
    """``with minidl.record() as trace:`` or ``trace = minidl.record(step, x, t, probe=2)``: see
    :func:`minidl.explain.record.record`."""
    from .explain.record import record
    return record(step, *args, probe=probe, **kwargs)


def keep(function=None):
    """``with minidl.keep():``, or a decorator: what backward would free stays, for explaining. See
    :func:`minidl.explain.keeping.keep`."""
    from .explain.keeping import keep
    return keep(function)


@_arguments
def tensor(data, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """A new leaf tensor of numbers, nested lists or an array (copied)."""
    return Tensor(data, requires_grad, _dtype("tensor", dtype, None), device)


def from_numpy(array: _np.ndarray) -> Tensor:
    """A tensor that shares the array's memory."""
    if not isinstance(array, _np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}")
    if not array.dtype.isnative:
        raise TypeError(f"from_numpy: an array of another byte order, {array.dtype.str}, cannot be "
                        "shared; minidl.tensor(array) copies it")
    return as_tensor(array)


@_arguments
def add(input, other, *, alpha: float = 1) -> Tensor:
    """input + alpha other."""
    return ops.add(input, other) if alpha == 1 else as_tensor(input).add(other, alpha=alpha)


@_arguments
def sub(input, other, *, alpha: float = 1) -> Tensor:
    """input - alpha other."""
    return ops.sub(input, other) if alpha == 1 else as_tensor(input).sub(other, alpha=alpha)


@_arguments
def zeros(*size, dtype=float32, device=None, requires_grad: bool = False) -> Tensor:
    """Zeros of shape `size`."""
    zeros = _np.zeros(_shape("zeros", size), _dtype("zeros", dtype))
    return Tensor(zeros, requires_grad, device=device)


@_arguments
def ones(*size, dtype=float32, device=None, requires_grad: bool = False) -> Tensor:
    """Ones of shape `size`."""
    ones = _np.ones(_shape("ones", size), _dtype("ones", dtype))
    return Tensor(ones, requires_grad, device=device)


@_arguments
def full(size, fill_value, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """`fill_value` in shape `size`, of its own dtype unless given: int64 of 3, float32 of 3.0."""
    value = fill_value.numpy() if isinstance(fill_value, Tensor) else fill_value
    value = dtypes.numbers("full: fill_value", value, _dtype("full", dtype, None))
    if value.ndim:
        raise TypeError(f"full: fill_value must be a number, got {fill_value!r}")
    return Tensor(_np.full(_shape("full", (size,)), value), requires_grad, device=device)


@_arguments
def zeros_like(input: Tensor, dtype=None, requires_grad: bool = False) -> Tensor:
    """Zeros of the shape, dtype and device of `input`."""
    return zeros(input.shape, dtype=_dtype("zeros_like", dtype, input.dtype), device=input.device,
                 requires_grad=requires_grad)


@_arguments
def ones_like(input: Tensor, dtype=None, requires_grad: bool = False) -> Tensor:
    """Ones of the shape, dtype and device of `input`."""
    return ones(input.shape, dtype=_dtype("ones_like", dtype, input.dtype), device=input.device,
                requires_grad=requires_grad)


def arange(*args, dtype=None, device=None) -> Tensor:
    """start, start + step, ... below end, as Python's range: integers give int64."""
    args = [_limit("arange: a limit", _number_argument("arange: a limit", v)) for v in args]
    if len(args) == 3 and args[2] == 0:
        raise ValueError("arange: step must not be 0")
    numbers, dtype = _default_float(_np.arange(*args)), _dtype("arange", dtype, None)
    for end in numbers[[0, -1]].tolist() if dtype and numbers.size else ():
        dtypes.check_fits("arange", end, dtype)
    return Tensor(numbers, dtype=dtype, device=device)


@_arguments
def linspace(start: float, end: float, steps: int, dtype=float32, device=None) -> Tensor:
    """`steps` numbers from start to end, both included."""
    steps = checks.whole("linspace: steps", steps)
    dtype = _dtype("linspace", dtype)
    for name, value in ("start", start), ("end", end):
        dtypes.check_fits(f"linspace: {name}", _limit(f"linspace: {name}", value), dtype)
    return Tensor(_np.linspace(start, end, steps), dtype=dtype, device=device)


@_arguments
def eye(n: int, dtype=float32, device=None) -> Tensor:
    """The identity matrix."""
    return Tensor(_np.eye(checks.whole("eye: n", n), dtype=_dtype("eye", dtype)), device=device)


@_arguments
def rand(*size, generator: Generator | None = None, dtype=float32, device=None,
         requires_grad: bool = False) -> Tensor:
    """Uniform numbers in [0, 1)."""
    rng = generator or random.default_generator()
    device = "cpu" if device is None else device
    return Tensor(rng.uniform(_shape("rand", size), _float("rand", dtype), device), requires_grad)


@_arguments
def randn(*size, generator: Generator | None = None, dtype=float32, device=None,
          requires_grad: bool = False) -> Tensor:
    """Normal numbers, N(0, 1)."""
    rng = generator or random.default_generator()
    device = "cpu" if device is None else device
    return Tensor(rng.normal(_shape("randn", size), _float("randn", dtype), device), requires_grad)


@_arguments
def randint(low: int, high: int, size, generator: Generator | None = None, device=None) -> Tensor:
    """Integers in [low, high)."""
    if low >= high:
        raise ValueError(f"randint: low must be below high, got {low} and {high}")
    dtypes.check_fits("randint: low", low, int64)
    dtypes.check_fits("randint: high - 1", high - 1, int64)
    rng = generator or random.default_generator()
    return Tensor(rng.integers(low, high, _shape("randint", (size,))), device=device)


@_arguments
def randperm(n: int, generator: Generator | None = None) -> Tensor:
    """0..n-1 in random order."""
    rng = generator or random.default_generator()
    return Tensor(rng.permutation(checks.whole("randperm: n", n)))


@_arguments
def allclose(input, other, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    """Is |x - y| <= atol + rtol |y| everywhere?"""
    input, other = (_np.asarray(dtypes.unmasked("allclose", x)) for x in (input, other))
    return bool(_np.allclose(input, other, rtol, atol))


def _shape(name: str, size) -> tuple[int, ...]:
    return _sizes_given(f"{name}: a length of size", size, 0)


def _limit(name: str, value):
    """A limit of a range: finite, and as an integer one of int64."""
    if not -_np.inf < value < _np.inf:
        raise ValueError(f"{name} must be finite, got {value}")
    dtypes.check_fits(name, value, int64 if isinstance(value, int) else float64)
    return value


def _dtype(name: str, dtype, default=float32):
    return default if dtype is None else dtypes.known(name, dtype)


def _float(name: str, dtype):
    if (dtype := _dtype(name, dtype)).kind != "f":
        raise TypeError(f"{name}: dtype must be float32 or float64, got {dtype}")
    return dtype


def _default_float(array):
    return array.astype(float32) if array.dtype == float64 else array


_ELSEWHERE = {"metrics": "training.metrics", "script": "training.script"}     # modules


def __getattr__(name: str):
    """minidl.data, minidl.training and the others, loaded when they are first used."""
    from importlib import import_module
    if name == "profile":
        return import_module("minidl.training.profiling").profile
    if name in __all__:
        return import_module(f"minidl.{_ELSEWHERE.get(name, name)}")
    raise AttributeError(f"module 'minidl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


if _environ.get("MINIDL_KEEP", "0") not in ("", "0"):
    from .explain import keeping as _keeping  # from the start
