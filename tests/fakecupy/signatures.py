"""The real CuPy's names and parameters, compared with those here."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import inspect
import re
from types import ModuleType

from .arrays import ndarray
from .names import cupy
from .runtime import RawModule


@functools.cache
def real_cupy():
    """The real CuPy, or None where it is not installed. It needs no GPU to be imported."""
    if importlib.util.find_spec("cupy") is None:
        return None
    return importlib.import_module("cupy")


def parameters(function) -> dict[str, inspect._ParameterKind] | None:
    """Names and kinds of a real function's parameters; of a compiled method, from the first line of
    its docstring. None where neither tells."""
    with contextlib.suppress(TypeError, ValueError):
        return {p.name: p.kind for p in inspect.signature(function).parameters.values()}
    found = re.match(r"[\w.]+\((.*?)\)( ->|$)", (function.__doc__ or "").partition("\n")[0])
    if found is None:
        return None
    typed = re.sub(r"\b(int|bool|str|tuple|list|Py_ssize_t|_ndarray_base) (?=\w)", "", found[1])
    return parameters(eval(f"lambda {typed.replace('self, /', 'self')}: None", {"float": float}))


def differences(own, real, where: str = "cupy") -> list[str]:
    """Where `own` takes a name or a parameter that `real` does not."""
    wrong = []
    for name, value in vars(own).items():
        if name.startswith("_") and not (isinstance(own, type) and name.endswith("__")):
            continue
        if name in ("__weakref__", "__slots__", "__doc__", "__module__", "__array_priority__",
                    "__firstlineno__", "__static_attributes__"):
            continue
        if not hasattr(real, name):
            wrong.append(f"{where}.{name} does not exist")
        elif inspect.isfunction(value) and not name.startswith("__"):
            wrong += _parameter_differences(value, getattr(real, name), f"{where}.{name}")
        elif isinstance(value, ModuleType):
            wrong += differences(value, getattr(real, name), f"{where}.{name}")
        elif value is ndarray or value is RawModule:
            wrong += differences(value, getattr(real, name), f"{where}.{name}")
    return wrong


def _parameter_differences(own, real, where: str) -> list[str]:
    theirs = parameters(real)
    if theirs is None or {"args", "kwargs"} & set(theirs):
        return []
    ours = parameters(own)
    if where.startswith("cupy.ndarray"):
        ours, theirs = ({k: v for k, v in p.items() if k != "self"} for p in (ours, theirs))
    positional = [[k for k, kind in p.items() if kind == inspect.Parameter.POSITIONAL_OR_KEYWORD]
                  for p in (ours, theirs)]
    wrong = [f"{where} has no parameter {k!r}" for k in ours if k not in theirs]
    if not wrong and positional[1][:len(positional[0])] != positional[0]:
        wrong.append(f"{where}: the parameters are {positional[1]}, not {positional[0]}")
    return wrong


@functools.cache
def check_signatures() -> None:
    """Compare every name and parameter here with the real CuPy's, once: a call that fits a
    signature here then fits the real one."""
    real = real_cupy()
    wrong = [] if real is None else differences(cupy, real)
    if wrong:
        raise AssertionError("tests/fakecupy offers what the real CuPy does not:\n  "
                             + "\n  ".join(wrong))
