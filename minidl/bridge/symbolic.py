"""A ``forward`` of PyTorch followed by torch.fx, and made a :class:`Program`. Imports PyTorch.

torch.fx calls the ``forward`` with stand-ins for the tensors, and notes each function, method and
layer that a stand-in comes to. What asks for the *numbers* of a tensor cannot be followed.
"""

from __future__ import annotations

import builtins
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
from ..tensor import Tensor
from . import functions
from .program import Place, Program, Ref, Step, filled, frame_at

DTYPES = {torch.float32: dtypes.float32, torch.float64: dtypes.float64,
          torch.int8: dtypes.int8, torch.int16: dtypes.int16, torch.int32: dtypes.int32,
          torch.int64: dtypes.int64, torch.uint8: dtypes.uint8, torch.bool: dtypes.bool_}
_SKIPPED = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


class Refused(ValueError):
    """What cannot be mapped: a line for each."""

    def __init__(self, *problems: str):
        super().__init__("\n  ".join(problems))


def array_of(name: str, tensor: torch.Tensor) -> np.ndarray:
    """The numbers of a tensor of PyTorch, copied. Raises Refused for a dtype that minidl lacks."""
    if tensor.dtype not in DTYPES:
        raise Refused(f"{name} is of {tensor.dtype}; minidl has "
                      + ", ".join(str(kind).removeprefix("torch.") for kind in DTYPES))
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


def place_of(frame: FrameType | None, module: str) -> Place:
    """The innermost line around `frame` that is neither PyTorch's nor this folder's."""
    while frame is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno, module) if frame else Place("", 0, module)


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
    before = random.getstate(), str(np.random.get_state()), torch.get_rng_state()
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
    if (random.getstate(), str(np.random.get_state())) != before[:2] or not torch.equal(
            torch.get_rng_state(), before[2]):
        raise Refused("forward draws random numbers that no layer draws and torch.fx does not see; "
                      "they would be the same in every call")


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


# --------------------------------------------------------------------------- which function it is
@functools.cache
def known_functions() -> dict[Any, tuple[str, Callable, bool]]:
    """Function of PyTorch or Python -> its name, what it is here, and whether it writes into its
    first argument."""
    found: dict[Any, tuple[str, Callable, bool]] = {}
    spaces = ((nn.functional, functions.FUNCTIONAL), (torch, functions.GENERAL),
              (torch, functions.CREATION), (operator, functions.OPERATORS))
    for space, table in spaces:
        for name, function in table.items():
            for spelt, writes in ((name, False), (f"{name}_", space is not operator)):
                if hasattr(space, spelt):
                    found.setdefault(getattr(space, spelt), (name, function, writes))
    for name, function in functions.AUGMENTED.items():
        found[getattr(operator, name)] = (name, function, True)
    found[torch._assert] = ("assert", _asserted, False)
    return found


def _asserted(condition: Any, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def spelt(node: fx.Node) -> str:
    """How PyTorch's name for what a node calls is written."""
    if node.op == "call_method":
        return f"Tensor.{node.target}"
    if node.target is builtins.getattr:
        return f"Tensor.{node.args[1]}"
    name = getattr(node.target, "__name__", str(node.target))
    for prefix, space in (("torch.nn.functional", nn.functional), ("torch", torch)):
        if getattr(space, name, None) is node.target:
            return f"{prefix}.{name}"
    return f"{getattr(node.target, '__module__', None) or 'torch'}.{name}"


def function_of(node: fx.Node) -> tuple[str, Callable | None, bool]:
    """Name, function here (None: there is none), and does it write into its first argument?"""
    if node.op == "call_method":
        name, writes = node.target, False
        if name.endswith("_") and not name.endswith("__"):
            name, writes = name[:-1], True
        known = {**functions.GENERAL, **functions.METHODS}
        return name, known.get(name), writes
    if node.target is builtins.getattr:
        name = node.args[1]
        read = operator.methodcaller("detach") if name == "data" else operator.attrgetter(name)
        known = name in functions.ATTRIBUTES
        return name, (lambda input, _: read(input)) if known else None, False
    if getattr(node.target, "__module__", "") == "math":
        return node.target.__name__, node.target, False
    name, function, writes = known_functions().get(node.target, (spelt(node), None, False))
    return name, function, writes or node.kwargs.get("inplace") is True


# --------------------------------------------------------------------------- writing in place
def without_writes(graph: fx.Graph, modules: dict[str, nn.Module]) -> list[str]:
    """Where a node writes into a value, who uses the value later gets the node's result instead.
    Returns what cannot be so: a parameter is written into, or a view of the value is used later."""
    problems, order = [], {node: i for i, node in enumerate(graph.nodes)}
    shared: dict[fx.Node, set[fx.Node]] = {node: {node} for node in graph.nodes}
    for node in graph.nodes:
        if node.op not in ("call_function", "call_method", "call_module") or not node.args:
            continue
        source, layer = node.args[0], modules.get(node.target) if node.op == "call_module" else None
        if not isinstance(source, fx.Node):
            continue
        if isinstance(layer, nn.Identity):                         # the very same tensor
            node.replace_all_uses_with(source)
            continue
        name, _, writes = ("", None, False) if layer is not None else function_of(node)
        writes = writes or getattr(layer, "inplace", False)
        if writes or name in functions.VIEWS or isinstance(layer, _VIEW_LAYERS):
            together = shared[source] | shared[node]
            for member in together:
                shared[member] = together
        if not writes:
            continue
        before = [member for member in shared[source] if order[member] < order[node]]
        later = [(member, user) for member in before for user in member.users
                 if order[user] > order[node]]
        if any(member.op == "get_attr" for member in before):
            problems.append(f"{_called(node)} writes into a parameter or buffer, "
                            f"{node.meta['place']}")
        elif views := [user for member, user in later if member is not source]:
            problems.append(f"{_called(node)} writes into a value of which a view is used "
                            f"later, in line {views[0].meta['place'].line}: {node.meta['place']}")
        for member, user in later:
            if member is source:
                user.replace_input_with(source, node)
    return problems


_VIEW_LAYERS = (nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d)


def _called(node: fx.Node) -> str:
    return f"the layer {node.target!r}" if node.op == "call_module" else spelt(node)


# --------------------------------------------------------------------------- the program
def program_of(module: nn.Module, training: bool, called_whole: Callable[[nn.Module], bool],
               inputs: list[str] | None) -> Program:
    """The program of a module's ``forward`` in training or in evaluation. Raises Refused."""
    signature = inspect.signature(module.forward)
    names = [name for name, p in signature.parameters.items() if p.default is p.empty]
    for name in inputs or ():
        if name not in signature.parameters:
            raise Refused(f"inputs: forward has no parameter {name!r}; it has "
                          f"{', '.join(signature.parameters)}")
    names = [n for n in signature.parameters if n in names or n in (inputs or ())]
    with left_as_found(module, training):
        graph = followed(module, training, called_whole, names)
        problems = without_writes(graph, dict(module.named_modules(remove_duplicate=False)))
        steps, result = [], None
        for node in graph.nodes:
            try:
                if node.op == "output":
                    result = plain(node.args[0], node)
                elif node.op != "placeholder":
                    steps.append(step_of(node, module))
            except Refused as refused:
                problems.append(str(refused))
    if problems:
        raise Refused(*dict.fromkeys(problems))
    taken = inspect.Signature([inspect.Parameter(
        name, signature.parameters[name].kind) for name in names])
    return Program(taken, forgetting(steps, result), result, str(graph))


def step_of(node: fx.Node, module: nn.Module) -> Step:
    """One node as a step."""
    place, layer = node.meta["place"], None
    operands = tuple(operand.name for operand in node.all_input_nodes)
    if node.op == "get_attr":
        held = functools.reduce(getattr, node.target.split("."), module)
        owner = functools.reduce(getattr, node.target.split(".")[:-1], module)
        last = node.target.rpartition(".")[2]
        if last in owner._parameters or last in owner._buffers:
            layer, compute = node.target, lambda layer, values: layer
        else:
            fixed = Tensor(array_of(f"the tensor {node.target!r}", held))
            compute = lambda layer, values: fixed
    else:
        args, kwargs = plain(node.args, node), plain(dict(node.kwargs), node)
        if node.op == "call_module":
            layer, function = node.target, None
        else:
            name, function, _ = function_of(node)
            if function is None:
                raise Refused(f"{spelt(node)} is none of minidl's, {place}")
            try:
                args, kwargs = functions.fitted(name, function, args, kwargs)
            except ValueError as error:
                raise Refused(f"{spelt(node)}: {error}, {place}") from None
        compute = called(function, args, kwargs, operands)
    return Step(node.name, operands, layer, place.module, frame_at(place, operands, compute))


def called(function: Callable | None, args: tuple, kwargs: dict, operands: tuple[str, ...]
           ) -> Callable:
    """compute(layer, values): the function, or the layer, with values in the place of the Refs."""
    def compute(layer: Any, values: tuple) -> Any:
        named = dict(zip(operands, values))
        return (function or layer)(*filled(args, named), **filled(kwargs, named))
    return compute


def plain(structure: Any, node: fx.Node) -> Any:
    """Arguments as minidl takes them: nodes as Refs, dtypes and devices as minidl's."""
    if isinstance(structure, fx.Node):
        return Ref(structure.name)
    if isinstance(structure, torch.dtype):
        if structure not in DTYPES:
            raise Refused(f"{spelt(node)}: minidl has no {structure}, {node.meta['place']}")
        return DTYPES[structure]
    if isinstance(structure, torch.device):
        return str(structure)
    if isinstance(structure, slice):
        return slice(*(plain(part, node) for part in (structure.start, structure.stop,
                                                      structure.step)))
    if isinstance(structure, dict):
        return {key: plain(value, node) for key, value in structure.items()}
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*(plain(value, node) for value in structure))
    if isinstance(structure, (tuple, list)):
        kind = list if isinstance(structure, list) else tuple     # torch.Size, fx's own lists
        return kind(plain(value, node) for value in structure)
    return structure


def forgetting(steps: list[Step], result: Any) -> tuple[Step, ...]:
    """The steps, each of which forgets the values that it uses last."""
    kept = names_in(result)
    done: list[Step] = []
    for step in reversed(steps):
        last = tuple(name for name in dict.fromkeys((*step.operands, step.name))
                     if name not in kept)
        kept |= set(last)
        done.append(Step(step.name, step.operands, step.layer, step.around, step.frame, last))
    return tuple(reversed(done))


def names_in(structure: Any) -> set[str]:
    """The names of the Refs in a structure."""
    if isinstance(structure, Ref):
        return {structure.name}
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, slice):
        structure = [structure.start, structure.stop, structure.step]
    return set().union(*map(names_in, structure)) if isinstance(structure, (tuple, list)) else set()
