"""torch.fx calls a ``forward`` of PyTorch with stand-ins for the tensors, and notes each function,
method and layer that a stand-in comes to. Imports PyTorch.

What asks for the *numbers* of a tensor cannot be followed, and what would freeze numbers into the
program must not be.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import linecache
import math
import operator
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from .. import dtypes
from . import torch_functions as functions
from .program import SourceLine

TORCH_DTYPES = {
    torch.float32: dtypes.float32, torch.float64: dtypes.float64, torch.int8: dtypes.int8,
    torch.int16: dtypes.int16, torch.int32: dtypes.int32, torch.int64: dtypes.int64,
    torch.uint8: dtypes.uint8, torch.bool: dtypes.bool_}
_SKIPPED = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


class Refused(ValueError):
    """What cannot be mapped: a line for each."""

    def __init__(self, *problems: str):
        super().__init__("\n  ".join(problems))


def array_of(name: str, tensor: torch.Tensor) -> np.ndarray:
    """The numbers of a tensor of PyTorch, copied. Raises Refused for a dtype that minidl lacks."""
    if tensor.dtype not in TORCH_DTYPES:
        raise Refused(f"{name} is of {tensor.dtype}; minidl has "
                      + ", ".join(str(kind).removeprefix("torch.") for kind in TORCH_DTYPES))
    if tensor.is_meta or isinstance(tensor, nn.parameter.UninitializedTensorMixin):
        raise Refused(f"{name} has no numbers yet")
    return tensor.detach().cpu().numpy().copy()


# --------------------------------------------------------------------------- following
class Value(fx.Proxy):
    """The stand-in for a tensor. ``x += y`` is noted as what it is: it writes into x."""

    def _write(self, function: Callable, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    def __iadd__(self, other): return self._write(operator.iadd, other)
    def __isub__(self, other): return self._write(operator.isub, other)
    def __imul__(self, other): return self._write(operator.imul, other)
    def __itruediv__(self, other): return self._write(operator.itruediv, other)
    def __ipow__(self, other): return self._write(operator.ipow, other)
    def __imatmul__(self, other): return self._write(operator.imatmul, other)


class Follower(fx.Tracer):
    """Notes what a ``forward`` does, and where. `called_whole` says which modules are not followed
    inside; `inputs` are the parameters of ``forward`` that are stand-ins, the others have their
    defaults."""

    proxy_buffer_attributes = True

    def __init__(self, called_whole: Callable[[nn.Module], bool], inputs: list[str]):
        super().__init__(autowrap_modules=(math,))
        self.called_whole, self.inputs = called_whole, inputs
        self.around = [""]                     # the modules whose forward runs, the innermost last

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return Value(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return self.called_whole(m)

    def call_module(self, m, forward, args, kwargs):
        if self.called_whole(m):
            return super().call_module(m, forward, args, kwargs)
        self.around.append(self.path_of_module(m))
        result = super().call_module(m, forward, args, kwargs)
        self.around.pop()                      # after an error it says where that was
        return result

    def create_node(self, *args, **kwargs) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["place"] = place_of(sys._getframe(1), self.around[-1])
        return node

    def create_args_for_root(self, root_fn, is_module, concrete_args=None):
        parameters = inspect.signature(self.root.forward).parameters
        for name, p in parameters.items():
            if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and name in self.inputs:
                raise Refused(f"forward takes *{name}, any number of arguments; name each")
        given = {name: self.create_proxy("placeholder", name, (), {}) for name in self.inputs}
        return functools.partial(root_fn, **given), [self.root]

    def to_bool(self, obj: fx.Proxy) -> bool:
        place = place_of(sys._getframe(1), self.around[-1])
        text = linecache.getline(place.path, place.line).strip()
        if text.startswith("assert "):                     # asked for at each call
            self.create_proxy("call_function", torch._assert, (obj, text), {})
            return True
        return super().to_bool(obj)


def place_of(frame: FrameType | None, module: str) -> SourceLine:
    """The innermost line around `frame` that is neither PyTorch's nor this folder's."""
    while frame is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        frame = frame.f_back
    if frame is None:
        return SourceLine("", 0, module)
    return SourceLine(frame.f_code.co_filename, frame.f_lineno, module)


@contextlib.contextmanager
def left_as_found(module: nn.Module, training: bool) -> Iterator[None]:
    """While the forward is followed the module is in that mode; then its modes, and all attributes
    that the forward set, are what they were."""
    parts = [part.__dict__ for part in module.modules()]
    before = [({**part}, {name: dict(part[name]) for name in ("_parameters", "_buffers",
                                                              "_modules")}) for part in parts]
    module.train(training)
    try:
        yield
    finally:
        for part, (attributes, tables) in zip(parts, before):
            part.clear()
            part.update(attributes)
            for name, table in tables.items():
                part[name].clear()
                part[name].update(table)


@contextlib.contextmanager
def no_frozen_numbers(follower: Follower) -> Iterator[None]:
    """New tensors of sizes, and random ones, are noted too, though no stand-in is among their
    arguments. Random numbers drawn in another way would be the same in all calls: refused."""
    before = random_states()
    original = {name: getattr(torch, name) for name in functions.CREATION}

    def noting(name: str) -> Callable:
        @functools.wraps(original[name])
        def function(*args, **kwargs):
            values = [*args, *kwargs.values()]
            inside = [part for v in values if isinstance(v, (tuple, list)) for part in v]
            if name.startswith("rand") or any(isinstance(v, fx.Proxy) for v in values + inside):
                return follower.create_proxy("call_function", original[name], args, kwargs)
            return original[name](*args, **kwargs)
        return function

    for name in original:
        setattr(torch, name, noting(name))
    try:
        yield
    finally:
        for name, function in original.items():
            setattr(torch, name, function)
    if random_states() != before:
        raise Refused("forward draws random numbers that no layer draws and torch.fx does not see; "
                      "they would be the same in every call")


def random_states() -> tuple:
    """How far the random numbers of Python, NumPy and PyTorch were drawn."""
    kind, keys, *place = np.random.get_state()  # noqa: NPY002  (those that others draw from)
    return (random.getstate(), kind, keys.tolist(), place,
            torch.get_rng_state().tolist())


def followed(module: nn.Module, training: bool, called_whole: Callable[[nn.Module], bool],
             inputs: list[str]) -> fx.Graph:
    """What ``forward`` does, as torch.fx's graph. Raises Refused, naming the place."""
    follower = Follower(called_whole, inputs)
    try:
        with no_frozen_numbers(follower):
            return follower.trace(module)
    except Refused:
        raise
    except Exception as error:
        lines = [f", {line.filename}, line {line.lineno} (`{line.line}`)"
                 for line in traceback.extract_tb(error.__traceback__)
                 if not line.filename.startswith(_SKIPPED)]
        within = f" of {follower.around[-1]!r}" if follower.around[-1] else ""
        raise Refused(f"forward{within}{''.join(lines[-1:])}: {why_not(error)}") from error


def why_not(error: Exception) -> str:
    """What to tell of an error that following a forward ended in."""
    text = str(error)
    if "item assignment" in text:
        return ("x[i] = v writes into a tensor, which torch.fx does not follow; use torch.where, "
                "torch.cat or torch.stack")
    if isinstance(error, fx.proxy.TraceError) or isinstance(error, TypeError) and (
            "'Value'" in text or "Proxy" in text or "Attribute" in text):
        return ("the program asks for the numbers of a tensor (`if`, `while`, a loop, float() or "
                "int()), and torch.fx follows a forward without numbers; choose outside of "
                "forward, or by torch.where")
    return f"torch.fx cannot follow it: {type(error).__name__}: {text}"
