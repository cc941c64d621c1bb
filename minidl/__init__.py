"""minidl: a deep-learning engine to read, to verify and to train small models with.

``Tensor`` is in tensor.py, its tape in tape.py, the walk back over the tape in gradients.py, every
formula in ops/, layers in nn/, the networks of the documents in models/. Names are PyTorch's:
``import minidl.functional as F``.
"""

__version__ = "0.1.0"

from os import environ as _environ
from typing import TYPE_CHECKING

from .tensor import Tensor, as_tensor
# isort: split: the ops need the tensor, so the tensor comes first
from . import checks, cuda, dtypes, functional, nn, ops, optim, random
from .dtypes import bool_, float32, float64, int8, int16, int32, int64, uint8
from .files.saving import load, save
from .kernels import get_num_threads, kernels_in_use, set_num_threads, use_kernels
from .modes import no_grad
from .more.grad_enabled import enable_grad
from .more.allclose import allclose
from .more.alpha import add, sub
from .more.creation import (arange, eye, from_numpy, full, linspace, ones, ones_like, rand, randint,
                            randn, randperm, tensor, zeros, zeros_like)
from .more.grad import grad
from .more.grad_enabled import is_grad_enabled, set_grad_enabled
from .op import OPS, op
from .ops import (abs, amax, amin, argmax, argmin, cat, chunk, clamp, cos, div, exp, flatten,
                  flip, log, log_softmax, logsumexp, matmul, max, maximum, mean, min, minimum, mul,
                  neg, norm, permute, pow, relu, reshape, sigmoid, sin, softmax, split, sqrt,
                  squeeze, stack, std, sum, tanh, transpose, unsqueeze, var, where)
from .random import Generator, manual_seed

__all__ = ["Generator", "OPS", "Tensor", "abs", "add", "allclose", "amax", "amin", "arange",
           "argmax", "argmin", "as_tensor", "bool_", "cat", "chunk", "clamp", "cos", "cuda", "data",
           "device", "div", "enable_grad", "exercises", "exp", "explain", "eye", "flatten", "flip",
           "float32", "float64", "formulas", "from_numpy", "from_torch", "full", "functional",
           "get_num_threads", "grad", "int16", "int32", "int64", "int8", "is_grad_enabled", "keep",
           "kernels", "kernels_in_use", "linspace", "load", "log", "log_softmax", "logsumexp",
           "manual_seed", "matmul", "max", "maximum", "mean", "metrics", "min", "minimum", "models",
           "mul", "neg", "nn", "no_grad", "norm", "ones", "ones_like", "op", "ops", "optim",
           "permute", "plots", "pow", "profile", "rand", "randint", "randn", "random", "randperm",
           "record", "relu", "reshape", "save", "script", "set_grad_enabled", "set_num_threads",
           "sigmoid", "sin", "softmax", "split", "sqrt", "squeeze", "stack", "std", "sub", "sum",
           "tanh", "tensor", "testing", "training", "transpose", "uint8", "unsqueeze",
           "use_kernels", "var", "where", "zeros", "zeros_like"]

if TYPE_CHECKING:                          # for editors; at run time they wait, below
    from .bridge.conversion import from_torch
    from .explain.keeping import keep
    from .explain.record import record
    from .training.profiling import profile

# Functions that stand deeper than their public names say.
_LATER_FUNCTIONS = {"from_torch": "bridge.conversion", "keep": "explain.keeping",
                    "profile": "training.profiling", "record": "explain.record"}


def __getattr__(name: str):
    """minidl.data, minidl.training, minidl.keep and the others, loaded when they are first used."""
    from importlib import import_module
    if name in _LATER_FUNCTIONS:
        return getattr(import_module(f"minidl.{_LATER_FUNCTIONS[name]}"), name)
    if name in __all__:
        return import_module(f"minidl.{name}")
    raise AttributeError(f"module 'minidl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


if _environ.get("MINIDL_KEEP", "0") not in ("", "0"):
    from .explain import keeping as _keeping  # from the start
