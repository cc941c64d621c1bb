"""The attributes that a module remembers: is a name free, is a value of the name's kind, and are
floats still floats when they are converted? And modules within modules, too many to be called."""

from __future__ import annotations

import sys

from ..tensor import Tensor


def check_new_attribute(module, name: str, kind: str, value, expected: type) -> None:
    """May the module remember `value` as `name`? Raises ValueError for a name that is none or is
    taken, TypeError for a value that is not of the class `expected`, nor None."""
    if not isinstance(name, str) or not name or "." in name:
        raise ValueError(f"{type(module).__name__}: {name!r} is no name for a {kind}: expected a "
                         "non-empty string without a dot")
    if hasattr(module, name) and name not in module._kinds:
        raise ValueError(f"{type(module).__name__}: the attribute {name!r} exists already")
    if value is not None and not isinstance(value, expected):
        raise TypeError(f"{type(module).__name__}: the {kind} {name!r} must be a "
                        f"{expected.__name__} or None, got {type(value).__name__}")


def check_kind(module, name: str, value) -> None:
    """A name that the module remembers keeps its kind, or becomes None. A Parameter or a Module is
    not asked about here: it says its kind itself."""
    kind = module._kinds[name]
    expected = {"parameter": "a Parameter", "child": "a Module"}.get(kind, "a Tensor")
    if value is not None and not (expected == "a Tensor" and isinstance(value, Tensor)):
        raise TypeError(f"{type(module).__name__}: {name} is a {kind} and expects {expected} or "
                        f"None, got {type(value).__name__}; to change its numbers, use "
                        f"`with no_grad(): module.{name}.copy_(...)`")


def no_attribute(module, name: str) -> AttributeError:
    """What to raise for a name that the module does not have."""
    kind = type(module).__name__
    if name == "_kinds":
        return AttributeError(f"{kind}: call super().__init__() at the beginning of __init__, "
                              "before parameters and modules are assigned")
    return AttributeError(f"{kind!r} object has no attribute {name!r}")


def check_stays_float(module, dtype) -> None:
    """Parameters may be converted to this dtype."""
    if dtype.kind != "f":
        raise TypeError(f"{type(module).__name__}.to: dtype must be a float, got {dtype}")


def nested_too_deep(module) -> ValueError:
    """What to raise when calls of modules within each other reach Python's limit."""
    return ValueError(f"{type(module).__name__}: modules are nested too deep to be called, or a "
                      f"forward calls itself: Python allows {sys.getrecursionlimit()} calls "
                      "within each other, a module takes two or more (sys.setrecursionlimit "
                      "allows more)")
