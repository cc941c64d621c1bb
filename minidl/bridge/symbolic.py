"""The program of a module of PyTorch, made of what torch.fx noted. Imports PyTorch."""

from __future__ import annotations

import builtins
import functools
import inspect
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from ..tensor import Tensor
from . import torch_functions as functions
from .following import TORCH_DTYPES, Refused, array_of, followed, left_as_found
from .program import ForwardStep, Program, Ref, filled, frame_at


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
        known = {**functions.GENERAL, **functions.TENSOR_METHODS}
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
        if node.op not in ("call_function", "call_method", "call_module"):
            continue
        source = node.args[0] if node.args else node.kwargs.get("input")
        layer = modules.get(node.target) if node.op == "call_module" else None
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
            problems.append(f"{what_writes(node)} writes into a parameter or buffer, "
                            f"{node.meta['place']}")
        elif views := [user for member, user in later if member is not source]:
            where = ("returned" if views[0].op == "output" else
                     f"used later, in line {views[0].meta['place'].line}")
            problems.append(f"{what_writes(node)} writes into a value of which a view is {where}: "
                            f"{node.meta['place']}")
        for member, user in later:
            if member is source:
                user.replace_input_with(source, node)
    return problems


_VIEW_LAYERS = (nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d)


def what_writes(node: fx.Node) -> str:
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
                    result = as_minidl(node.args[0], node)
                elif node.op != "placeholder":
                    steps.append(step_of(node, module))
            except Refused as refused:
                problems.append(str(refused))
    if problems:
        raise Refused(*dict.fromkeys(problems))
    taken = inspect.Signature([inspect.Parameter(
        name, signature.parameters[name].kind) for name in names])
    return Program(taken, forgetting(steps, result), result, str(graph))


def step_of(node: fx.Node, module: nn.Module) -> ForwardStep:
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
        args, kwargs = as_minidl(node.args, node), as_minidl(dict(node.kwargs), node)
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
        compute = computing(function, args, kwargs, operands)
    return ForwardStep(node.name, operands, layer, place.module, frame_at(place, operands, compute))


def computing(function: Callable | None, args: tuple, kwargs: dict, operands: tuple[str, ...]
           ) -> Callable:
    """compute(layer, values): the function, or the layer, with values in the place of the Refs."""
    def compute(layer: Any, values: tuple) -> Any:
        named = dict(zip(operands, values))
        return (function or layer)(*filled(args, named), **filled(kwargs, named))
    return compute


def as_minidl(structure: Any, node: fx.Node) -> Any:
    """Arguments as minidl takes them: nodes as Refs, dtypes and devices as minidl's."""
    if isinstance(structure, fx.Node):
        return Ref(structure.name)
    if isinstance(structure, torch.dtype):
        if structure not in TORCH_DTYPES:
            raise Refused(f"{spelt(node)}: minidl has no {structure}, {node.meta['place']}")
        return TORCH_DTYPES[structure]
    if isinstance(structure, torch.device):
        return str(structure)
    if isinstance(structure, slice):
        return slice(*(as_minidl(part, node) for part in (structure.start, structure.stop,
                                                      structure.step)))
    if isinstance(structure, dict):
        return {key: as_minidl(value, node) for key, value in structure.items()}
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*(as_minidl(value, node) for value in structure))
    if isinstance(structure, (tuple, list)):
        kind = list if isinstance(structure, list) else tuple     # torch.Size, fx's own lists
        return kind(as_minidl(value, node) for value in structure)
    return structure


def forgetting(steps: list[ForwardStep], result: Any) -> tuple[ForwardStep, ...]:
    """The steps, each of which forgets the values that it uses last."""
    kept = names_in(result)
    done: list[ForwardStep] = []
    for step in reversed(steps):
        last = tuple(name for name in dict.fromkeys((*step.operands, step.name))
                     if name not in kept)
        kept |= set(last)
        done.append(ForwardStep(step.name, step.operands, step.layer, step.around, step.frame,
                                last))
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
