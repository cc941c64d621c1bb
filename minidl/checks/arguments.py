"""The gate of public functions: every argument is what its annotation says, or is refused by name.

    Tensor      a tensor; arrays, lists and numbers are made one
    InPlace     a tensor and nothing else, for it is changed in place
    int         a whole number of Python or NumPy; True is none
    float       a number, inf and nan too, and a tensor of one number without gradient; True is none
    bool        True or False
    str, Generator, Callable, Sequence[Tensor]

and each of them with ``| None``. An argument annotated otherwise, or not at all, is the function's
own affair, and so is the range that a number must lie in.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from ..device import is_array, resolve
from ..modes import mode
from ..random import Generator
from ..tensor import Tensor, as_tensor
from . import brief, whole
from .arrays import known, numbers
from .tensors import same_device

Function = TypeVar("Function", bound=Callable)
InPlace = Tensor


class _Absent:
    """What an argument that was not given is."""


_ABSENT = _Absent()


# --------------------------------------------------------------------------- the gates
# Each is given the argument's name, its value, and all values of the call.
def tensor_argument(name: str, value, given=()) -> Tensor:
    """`value` as a tensor; a number takes the dtype of the first float tensor of `given`."""
    if isinstance(value, Tensor):
        return value
    if is_array(value):
        return Tensor._wrap(numbers(name, value, copy=mode.grad))   # the caller may write into it
    if not isinstance(value, (int, float, np.generic, list, tuple)):
        of_torch = type(value).__module__ == "torch" and hasattr(value, "numpy")
        raise TypeError(f"{name} must be a tensor or numbers, got {brief(value)}" + (
            ", a tensor of PyTorch: give minidl.tensor(x.detach().numpy())" if of_torch else ""))
    floats = (x for x in given if isinstance(x, Tensor) and x.data.dtype.kind == "f")
    try:
        return as_tensor(value, next(floats, None))
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {str(error).removeprefix('Tensor: ')}") from None


def _itself(name: str, value, given) -> Tensor:
    if isinstance(value, Tensor):
        return value
    raise TypeError(f"{name} is changed in place and must be a tensor, got {brief(value)}")


def _tensors(name: str, value, given) -> list[Tensor]:
    if isinstance(value, (Tensor, str)) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a list of tensors, got {brief(value)}")
    value = list(value)
    return [tensor_argument(f"{name}[{i}]", x, value) for i, x in enumerate(value)]


def _whole(name: str, value, given) -> int:
    return whole(name, value, -math.inf)


def number_argument(name: str, value, given=()):
    """`value`, if it is a number, as one of Python's."""
    if isinstance(value, Tensor) and value._requires_grad:
        raise TypeError(f"{name} must be a number: through a tensor that requires grad no gradient "
                        "would go; use .item()")
    if isinstance(value, (Tensor, np.generic)) or is_array(value):
        value = value if value.ndim else value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {brief(value)}")
    if isinstance(value, int) and abs(value) > 1e308:
        raise ValueError(f"{name} must be a number, got {brief(value)}")
    return value


def gradient_argument(name: str, value, x: Tensor) -> Tensor | None:
    """`value`, if it can be the gradient of x: None, or a tensor like x."""
    if value is not None and not isinstance(value, Tensor):
        raise TypeError(f"{name}: must be a Tensor or None, got {type(value).__name__}")
    if value is not None and (value.shape != x.shape or value.dtype != x.dtype):
        raise ValueError(f"{name}: {value._brief()} does not fit {x._brief()}")
    if value is not None:
        same_device(name, x, value)
    return value


def seed_argument(name: str, value, y: Tensor) -> Tensor:
    """`value` as the gradient that a backward pass begins with at y: in y's shape and dtype."""
    value = value if isinstance(value, Tensor) else as_tensor(value, y)
    same_device(name, y, value)
    if value.shape != y.shape:
        if value.data.size != 1 or y.data.size != 1:
            raise ValueError(f"{name}: gradient has shape {value.shape}, output {y.shape}")
        value = value.reshape(y.shape)
    return value if value.dtype == y.dtype else value.to(y.dtype)


def compared_with(name: str, x: Tensor, value):
    """What x is compared with: a number of Python, or a tensor on x's device."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (list, tuple)) or hasattr(value, "__array__") or is_array(value):
        value = value if isinstance(value, Tensor) else Tensor._wrap(
            numbers(f"{name}: other", value))
        same_device(name, x, value)
    return value


def conversion(args: tuple, dtype, device) -> tuple[np.dtype | None, str | None]:
    """The dtype and the device that ``x.to(*args, dtype=dtype, device=device)`` asks for."""
    for a in args:
        if isinstance(a, Tensor):
            dtype, device = a.dtype, a.device
        elif isinstance(a, str) and a.partition(":")[0] in ("cpu", "cuda", "auto"):
            device = a
        else:
            dtype = a
    neither = "neither a dtype nor a device (cpu, cuda, cuda:N, auto)"
    return (None if dtype is None else known("to", dtype, neither),
            None if device is None else resolve(device))


def _flag(name: str, value, given) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {brief(value)}")


def _one_of(kinds, what: str) -> Callable:
    def gate(name: str, value, given):
        if isinstance(value, kinds):
            return value
        raise TypeError(f"{name} must be {what}, got {brief(value)}")
    return gate


# By annotation: the types that pass unseen, and what all others go through.
_GATES = {"Tensor": ((Tensor,), tensor_argument), "Sequence[Tensor]": ((), _tensors),
          "InPlace": ((Tensor,), _itself), "int": ((int,), _whole),
          "float": ((float,), number_argument), "bool": ((bool,), _flag),
          "str": ((str,), _one_of(str, "a string")),
          "Callable": ((), _one_of(Callable, "a function")),
          "Generator": ((Generator,), _one_of(Generator, "a minidl.Generator"))}


def kind_of(parameter: inspect.Parameter) -> str:
    """What an annotation says, without modules: "Tensor | None"."""
    said = parameter.annotation
    said = said.__name__ if isinstance(said, type) else str(said).strip("'")
    said = re.sub(r"^(?:typing\.)?Optional\[(.*)\]$", r"\1 | None", said)
    return "Callable" if said.startswith("Callable") else said.rpartition(".")[2]


def gates(function: Callable) -> list[tuple]:
    """(place, name, types that pass unseen, what others go through) of each argument that has a
    gate; the place is None of those that are given by name alone."""
    found = []
    for i, p in enumerate(inspect.signature(function).parameters.values()):
        kind = kind_of(p)
        gate = _GATES.get(kind.removesuffix(" | None"))
        if gate is not None and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
            types = gate[0] + (type(None),) * kind.endswith(" | None")
            found.append((None if p.kind is p.KEYWORD_ONLY else i, p.name, types, gate[1]))
    return found


def arguments(function: Function) -> Function:
    """Let `function` have its arguments through their gates. Errors begin with its name."""
    own = function.__name__
    found = [(math.inf if place is None else place, name, {*types, type(_ABSENT)}, gate)
             for place, name, types, gate in gates(function)]

    def let_in(args: tuple, options: dict) -> tuple:
        """`args` as they pass their gates; `options` are changed in place."""
        given, args = (*args, *options.values()), list(args)
        for place, name, types, gate in found:
            at, values = (place, args) if place < len(args) else (name, options)
            if values is args or name in options:
                try:
                    values[at] = gate(name, values[at], given) if (
                        type(values[at]) not in types) else values[at]
                except (TypeError, ValueError) as error:
                    owner = type(args[0]).__name__ if own == "__init__" else own
                    raise type(error)(f"{owner}: {error}") from None
        return tuple(args)

    @functools.wraps(function)
    def call(*args, **options):
        for place, name, types, _ in found:
            value = args[place] if place < len(args) else options.get(name, _ABSENT)
            if type(value) not in types and not (Tensor in types and isinstance(value, Tensor)):
                args = let_in(args, options)
                break
        return function(*args, **options)

    return call
