"""Errors of an op call, in words: an argument that is no tensor, shapes that do not broadcast, a
forward pass that returns something else than an op does, a saved tensor that has changed."""

from __future__ import annotations

from types import FunctionType

import numpy as np

from ..device import is_array
from .arguments import tensor_argument
from .tensors import same_device


def input_refused(entry, args: tuple, inputs, error: Exception) -> Exception:
    """The error for inputs of the op `entry` of which one cannot be made a tensor: it names the
    argument."""
    names = list(entry.signature.parameters)
    given = [names[i] for i in entry.places if args[i] is not None or i not in entry.optional]
    try:
        for name, x in zip(given, inputs):
            tensor_argument(f"{entry.name}: {name}", x, inputs)
    except (TypeError, ValueError) as named:
        return named
    return error


def explain_failure(op: str, inputs, error: Exception) -> None:
    """Say so if an op failed because its inputs are on different devices, or do not broadcast."""
    try:
        same_device(op, *inputs)
    except TypeError as mixed:
        raise mixed from None
    if str(error).startswith("operands could not be broadcast"):
        shapes = " and ".join(str(x.shape) for x in inputs)
        raise ValueError(f"{op}: shapes {shapes} do not broadcast: counted from the last, axes "
                         "must have equal length, or length 1") from None


def check_result(op: str, inputs, y, backward) -> None:
    """Raise TypeError unless an op computed a plain array, and its backward is a function."""
    if isinstance(y, np.ndarray) and type(y) is not np.ndarray:
        raise TypeError(f"{op}: computed with a {type(y).__name__}, not a plain array: "
                        "somebody's .data was set to it; use np.asarray(...)")
    if type(y) is not np.ndarray and len(inputs) > 1:          # CuPy lets some mixtures pass
        same_device(op, *inputs)
    if not is_array(y) or not (backward is None or isinstance(backward, FunctionType)):
        raise TypeError(f"{op}: an op returns (y, backward), y an array (or a tuple of them) and "
                        "backward a function defined in it, or None; got "
                        f"{type(y).__name__} and {type(backward).__name__}")


def stale(op: str, shape) -> RuntimeError:
    """The error for a saved tensor that was changed in place."""
    return RuntimeError(
        f"{op}: a tensor of shape {tuple(shape)} that its backward pass needs was changed in "
        "place after the forward pass; change a copy (x.clone()), or change it after backward()")


def seed_refused(name: str, y) -> RuntimeError:
    """The error for a backward pass that cannot begin at y: no graph, or no scalar."""
    if not y._requires_grad:
        return RuntimeError(f"{name}: {y._brief()} does not require grad: nothing it was computed "
                            "from was created with requires_grad=True (or it was under no_grad())")
    return RuntimeError(f"{name}: gradient can be left out only for a scalar; output has shape "
                        f"{y.shape}: pass gradient=, or reduce with .sum() or .mean()")
