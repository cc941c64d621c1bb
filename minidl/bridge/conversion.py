"""``minidl.from_torch``: the tree of modules of a PyTorch network made anew, name by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import nn
from ..nn.parameter import Parameter
from ..tensor import Tensor
from . import torch_layers as layers
from .program import TracedModule

if TYPE_CHECKING:
    import torch


def from_torch(module: torch.nn.Module, *, inputs: list[str] | None = None) -> nn.Module:
    """A PyTorch network as a minidl module, for explanations, traces and training here.

    Children, parameters and buffers have the names that they have in PyTorch ("features.0.weight"),
    so a state dict of one fits the other, and traces read alike. The numbers are **copied**:
    training here changes nothing there; ``net.load_state_dict(...)`` takes the numbers over again,
    either way. Each module is in training or evaluation mode as in PyTorch.

    A layer that minidl has is that layer. A ``forward`` of one's own is followed by torch.fx, once
    in training and once in evaluation, and done with minidl's ops; tracebacks, traces and
    explanations name its lines. `inputs` are the parameters of the outermost ``forward`` that are
    given at each call; those with a default that it does not name keep their default.

    Raises ModuleNotFoundError without PyTorch, TypeError for what is no module of PyTorch, and
    ValueError with a line for each layer, function and option that cannot be mapped: its name, and
    where it is.
    """
    try:
        import torch
    except ImportError as error:
        raise ModuleNotFoundError("from_torch: PyTorch is not installed: python -m pip install "
                                  "torch", name="torch") from error
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"from_torch: expected a torch.nn.Module, got {type(module).__name__}")
    conversion = Conversion(torch)
    made = conversion.module(module, "")
    conversion.give_programs(inputs)
    if conversion.problems:
        raise ValueError(f"from_torch: {type(module).__name__} cannot be mapped:\n  "
                         + "\n  ".join(dict.fromkeys(conversion.problems)))
    for path, part in module.named_modules(remove_duplicate=False):
        if (twin := conversion.at.get(path)) is not None:
            twin.training = part.training
    return made


class Conversion:
    """One call of :func:`from_torch`: what was made of what, and what could not be made."""

    def __init__(self, torch: Any):
        from .following import Refused, array_of
        from .symbolic import program_of
        self.torch, self.Refused = torch, Refused
        self.array_of, self.program_of = array_of, program_of
        self.made: dict[Any, nn.Module] = {}           # by module of PyTorch: one used twice is one
        self.tensors: dict[Any, Tensor] = {}           # by tensor of PyTorch: tied weights stay so
        self.at: dict[str, nn.Module] = {}
        self.traced: list[tuple[str, Any, TracedModule]] = []
        self.problems: list[str] = []

    # ------------------------------------------------------------------ modules
    def module(self, theirs: Any, path: str) -> nn.Module:
        """The module of minidl for one of PyTorch, with all below it."""
        if theirs not in self.made:
            self.check_no_hooks(theirs, path)
            self.made[theirs] = self.new(theirs, path)
        self.at[path] = self.made[theirs]
        return self.made[theirs]

    def new(self, theirs: Any, path: str) -> nn.Module:
        kind = layers.kind_of_layer(theirs, self.torch)
        try:
            if kind in layers.CONTAINERS:
                return self.container(kind, theirs, path)
            if kind is not None:
                layer = layers.mapped_layer(kind, theirs, lambda t: self.tensor("weight", t))
                self.adopt(layer, theirs, path)
                return layer
            if self.is_pytorchs(theirs):
                raise ValueError("minidl has no such layer")
            return self.own(theirs, path)
        except (TypeError, ValueError) as error:
            self.problem(f"{named(theirs, path)}: {error}")
            return nn.Identity()

    def children(self, theirs: Any, path: str) -> dict[str, nn.Module]:
        dot = f"{path}." if path else ""
        return {name: self.module(child, dot + name) for name, child in theirs._modules.items()
                if child is not None}

    def container(self, kind: str, theirs: Any, path: str) -> nn.Module:
        children = self.children(theirs, path)
        if kind == "TransformerEncoderLayer":
            activation = layers.activation_of(theirs.activation, self.torch)
            if activation is None and "activation" not in children:
                raise ValueError(f"the activation {theirs.activation} is not offered")
            return layers.TransformerEncoderLayer(children, activation, theirs.norm_first)
        if kind == "TransformerEncoder":
            return layers.TransformerEncoder(children["layers"], children.get("norm"))
        if kind == "ModuleList":
            return nn.ModuleList(children.values())
        return nn.Sequential(children) if kind == "Sequential" else nn.ModuleDict(children)

    def own(self, theirs: Any, path: str) -> TracedModule:
        """A module with a ``forward`` of its own: a class of its name."""
        kind = type(type(theirs).__name__, (TracedModule,), {
            "__doc__": type(theirs).__doc__, "__module__": type(theirs).__module__})
        made = kind()
        for name, value in vars(theirs).items():
            if name[0] != "_" and isinstance(value, (bool, int, float, str)) and not hasattr(
                    made, name):
                object.__setattr__(made, name, value)
        for name, child in self.children(theirs, path).items():
            made.add_module(name, child)
        self.adopt(made, theirs, path)
        self.traced.append((path, theirs, made))
        return made

    def is_pytorchs(self, theirs: Any) -> bool:
        """Is it a layer of PyTorch's, and no bare module or list of parameters?"""
        bare = self.torch.nn.Module, self.torch.nn.ParameterList, self.torch.nn.ParameterDict
        return type(theirs) not in bare and type(theirs).__module__.startswith("torch.")

    # ------------------------------------------------------------------ numbers
    def tensor(self, name: str, theirs: Any) -> Tensor:
        """The tensor, or parameter, for one of PyTorch."""
        if theirs not in self.tensors:
            array = self.array_of(name, theirs)
            self.tensors[theirs] = (Parameter(array, theirs.requires_grad) if isinstance(
                theirs, self.torch.nn.Parameter) else Tensor(array))
        return self.tensors[theirs]

    def adopt(self, ours: nn.Module, theirs: Any, path: str) -> None:
        """Parameters and buffers of a module, and of the layers inside a layer."""
        whole = layers.kind_of_layer(theirs, self.torch) is not None
        for inner, owner in theirs.named_modules(remove_duplicate=False):
            if inner and not whole:
                break                                  # the children have their own already
            place, dot = ours.get_submodule(inner), f"{path}.{inner}".strip(".")
            if inner:
                self.at[dot] = place
            for name, tensor in owner._parameters.items():
                found = None if tensor is None else self.in_place_of(
                    place.__dict__.get(name), self.tensor(f"{dot}.{name}".strip("."), tensor))
                if found is not None:
                    self.tensors[tensor] = found
                place._kinds.pop(name, None)
                place.__dict__.pop(name, None)
                place.register_parameter(name, found)
            for name, tensor in owner._buffers.items():
                found = None if tensor is None else self.tensor(f"{dot}.{name}".strip("."), tensor)
                place._kinds.pop(name, None)
                place.__dict__.pop(name, None)
                place.register_buffer(name, found, name not in owner._non_persistent_buffers_set)

    @staticmethod
    def in_place_of(first: Any, value: Tensor) -> Tensor:
        """`value`, in the memory order that the layer chose for its first weights."""
        if isinstance(first, Parameter) and first.shape == value.shape and value.ndim > 1:
            ordered = np.empty_like(first.data, value.dtype)
            ordered[...] = value.data
            value.data = ordered
        return value

    # ------------------------------------------------------------------ programs
    def called_whole(self, theirs: Any) -> bool:
        """Is this module called as a layer, and not followed inside?"""
        if layers.kind_of_layer(theirs, self.torch) == "Sequential":
            if not len(theirs):
                return False                           # it returns its very argument
            first = next(iter(theirs))
            views = ("Identity", "Flatten", "Unflatten", "Dropout", "Dropout1d", "Dropout2d",
                     "Sequential")
            return all(map(self.called_whole, theirs)) and type(first).__name__ not in views and (
                not getattr(first, "inplace", False))
        return theirs in self.made and not isinstance(self.made[theirs], TracedModule)

    def give_programs(self, inputs: list[str] | None) -> None:
        """Follow each forward, in both modes. What is never called but from a forward that was
        followed itself need not be able to stand alone."""
        inner = tuple(f"{path}." if path else "" for path, theirs, _ in self.traced
                      if has_forward(theirs, self.torch))
        for path, theirs, made in self.traced:
            alone = not (path and path.startswith(inner))
            made._programs = {mode: self.program(theirs, path, mode, inputs if not path else None,
                                                alone) for mode in (True, False)}
            a, b = made._programs.values()
            if getattr(a, "text", None) == getattr(b, "text", ""):
                made._programs[False] = a

    def program(self, theirs: Any, path: str, training: bool, inputs: list[str] | None,
                alone: bool) -> Any:
        """The program of a forward, or the error that a call shall raise."""
        if not has_forward(theirs, self.torch):
            return NotImplementedError(f"{named(theirs, path)} has no forward in PyTorch")
        try:
            return self.program_of(theirs, training, self.called_whole, inputs)
        except self.Refused as error:
            if alone and training == theirs.training:
                self.problem(str(error))
            mode = "training" if training else "evaluation"
            return ValueError(f"{named(theirs, path)} cannot be called in {mode} mode:\n  {error}")

    def check_no_hooks(self, theirs: Any, path: str) -> None:
        kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        if any(getattr(theirs, kind, None) for kind in kinds):
            self.problem(f"{named(theirs, path)} has a hook, which would not run here")

    def problem(self, text: str) -> None:
        self.problems += text.split("\n  ")


def named(theirs: Any, path: str) -> str:
    return f"{type(theirs).__name__} {path!r}" if path else type(theirs).__name__


def has_forward(theirs: Any, torch: Any) -> bool:
    return type(theirs).forward is not torch.nn.Module.forward
