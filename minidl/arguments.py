"""The gate of public functions: every argument is what its annotation says, or is refused by name.

    Tensor     a tensor; arrays, lists and numbers are made one
    int        a whole number of Python or NumPy; True is none
    float      a number, infinite ones too; True and nan are none
    bool       True or False (or 1 or 0)
    str        a string

and ``Sequence[Tensor]``, and each of them with ``| None``. An argument annotated otherwise, or not
at all, is the function's own affair, and so is the range that a number must lie in.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable

import numpy as np

from .checks import whole
from .device import is_array
from .tensor import Tensor, as_tensor


def tensor_argument(name: str, value, given=()) -> Tensor:
    """`value` as a tensor; a number takes the dtype of the first float tensor of `given`."""
    if isinstance(value, Tensor):
        return value
    if not is_array(value) and not isinstance(value, (list, tuple, int, float, np.generic)):
        raise TypeError(f"{name} must be a tensor, got {_brief(value)}")
    floats = (x for x in given if isinstance(x, Tensor) and x.data.dtype.kind == "f")
    return as_tensor(value, next(floats, None))


def _tensors(name: str, value, given) -> list[Tensor]:
    if isinstance(value, Tensor) or not isinstance(value, (list, tuple)):
        raise TypeError(f"{name} must be a list of tensors, got {_brief(value)}")
    return [tensor_argument(f"{name}[{i}]", x, given) for i, x in enumerate(value)]


def _whole(name: str, value, given) -> int:
    return whole(name, value, -math.inf)


def number_argument(name: str, value, given=()):
    """`value`, if it is a number of Python or NumPy, as one of Python's."""
    if isinstance(value, (np.integer, np.floating)):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {_brief(value)}")
    if value != value or abs(value) > 1e308 and not isinstance(value, float):
        raise ValueError(f"{name} must be a number, got {value}")
    return value


def _flag(name: str, value, given) -> bool:
    if isinstance(value, (bool, np.bool_, int)) and value in (0, 1):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {_brief(value)}")


def _string(name: str, value, given) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"{name} must be a string, got {_brief(value)}")


def _brief(value) -> str:
    return value._brief() if isinstance(value, Tensor) else (
        f"{type(value).__name__} {value!r}" if len(repr(value)) < 40 else type(value).__name__)


# By annotation: the types that pass unseen, and what all others go through.
_GATES = {"Tensor": ((Tensor,), tensor_argument), "Sequence[Tensor]": ((), _tensors),
          "int": ((int,), _whole), "float": ((), number_argument), "bool": ((bool,), _flag),
          "str": ((str,), _string)}


def kind_of(parameter: inspect.Parameter) -> str:
    """What an annotation says, without modules: "Tensor | None"."""
    said = parameter.annotation
    return (said.__name__ if isinstance(said, type) else str(said).strip("'")).rpartition(".")[2]


def gates(function: Callable) -> dict[str, tuple]:
    """By argument: the types that pass unseen, and what all others go through (None: nothing)."""
    found = {}
    for p in inspect.signature(function).parameters.values():
        kind = kind_of(p)
        types, gate = _GATES.get(kind.removesuffix(" | None"), ((), None))
        found[p.name] = types + (type(None),) * kind.endswith(" | None"), gate
    return found


def arguments(function: Callable) -> Callable:
    """Let `function` have its arguments through their gates. Errors begin with its name."""
    names, places = gates(function), []
    for i, p in enumerate(inspect.signature(function).parameters.values()):
        if p.kind is not p.POSITIONAL_OR_KEYWORD:
            break
        places += [(i, p.name, *names[p.name])] * (names[p.name][1] is not None)
    own = function.__name__

    @functools.wraps(function)
    def call(*args, **options):
        try:
            for i, name, types, gate in places:
                if i >= len(args):
                    break
                if type(args[i]) not in types:
                    args = (*args[:i], gate(name, args[i], args), *args[i + 1:])
            for name, value in options.items():
                types, gate = names.get(name, ((), None))
                if gate is not None and type(value) not in types:
                    options[name] = gate(name, value, args)
        except (TypeError, ValueError) as error:
            owner = type(args[0]).__name__ if own == "__init__" else own
            raise type(error)(f"{owner}: {str(error).removeprefix('Tensor: ')}") from None
        return function(*args, **options)

    return call
