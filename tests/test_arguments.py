"""No argument is accepted and ignored: each is read, by the function or, kept as an attribute, by a
method of its class."""

from __future__ import annotations

import ast
import inspect
import textwrap

import pytest

import minidl
from minidl import functional as F
from minidl import nn, optim, schedules

# Allowed to have no effect, each with the reason.
NO_EFFECT = {
    ("Identity", "args"): "Identity stands in another layer's place, whatever its arguments",
    ("Identity", "kwargs"): "Identity stands in another layer's place, whatever its arguments",
    ("Tensor", "memo"): "",
}


def _public(module) -> list:
    return [(name, f) for name, f in vars(module).items()
            if not name.startswith("_") and inspect.isfunction(inspect.unwrap(f) if callable(f)
                                                               else f)]


FUNCTIONS = {f"{where}.{name}": inspect.unwrap(f) for where, module in (
    ("minidl", minidl), ("F", F), ("init", nn.init), ("optim", optim))
    for name, f in _public(module)}
CLASSES = {c.__name__: c for module in (nn, optim, schedules, minidl.data)
           for c in vars(module).values() if inspect.isclass(c) and "__init__" in vars(c)
           and c.__module__.startswith("minidl")}
METHODS = {f"Tensor.{name}": f for name, f in vars(minidl.Tensor).items()
           if inspect.isfunction(f)} | {
    f"{c.__name__}.{name}": f for c in CLASSES.values() for name, f in vars(c).items()
    if inspect.isfunction(f) and name != "__init__" and not name.startswith("_")}
# What only says how it is called: a subclass, or another library, decides what is done with it.
PROTOCOLS = {"Module.forward", "Module.multiply_adds", "Tensor.__deepcopy__", "Optimizer.step"}


def _read(f) -> set[str]:
    """The names that a function's body reads."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(f)))
    body = tree.body[0].body
    return {n.id for part in body for n in ast.walk(part)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _arguments(f) -> list[str]:
    return [p for p in inspect.signature(f).parameters if p != "self"]


@pytest.mark.parametrize("name", {**FUNCTIONS, **METHODS})
def test_every_argument_is_read(name):
    f = {**FUNCTIONS, **METHODS}[name]
    assert set(_arguments(f)) <= _read(f)
