"""Module: what has parameters, and children that have parameters.

Parameters, buffers and children are ordinary attributes; ``_kinds`` remembers which attributes they
are, in the order they came. Names and meanings are PyTorch's. Three bases of Module add the rest:
ModuleState saves and loads, ModuleMethods has hooks, copies and conversions, ShownModule the repr.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..checks import attributes
from ..checks.arguments import arguments
from ..tape import now
from ..tensor import Tensor
from .module_state import ModuleState
from .more.module_methods import ModuleMethods
from .more.showing import ShownModule
from .parameter import BUFFER, CHILD, PARAMETER, TRANSIENT, Parameter


class Module(ModuleState, ModuleMethods, ShownModule):
    """Base of all layers and networks. A subclass calls ``super().__init__()``, assigns parameters
    and children as attributes, and defines ``forward``; calling the module calls ``forward``."""

    training: bool = True
    _forward_hooks: dict = {}

    def __init__(self):
        self._kinds: dict[str, str] = {}

    def forward(self, *args, **kwargs):
        """What the module computes; a subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__}: define forward(self, ...)")

    def __call__(self, *args, **kwargs):
        try:
            out = self.forward(*args, **kwargs)
        except RecursionError as error:
            raise attributes.nested_too_deep(self) from error
        for hook in tuple(self._forward_hooks.values()):
            changed = hook(self, args, out)
            out = out if changed is None else changed
        return out

    # ------------------------------------------------------------------ attributes
    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._kinds[name] = PARAMETER
        elif isinstance(value, Module):
            self._kinds[name] = CHILD
        elif name in self.__dict__.get("_kinds", ()):        # a buffer's new value, or None
            attributes.check_kind(self, name, value)
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str):          # only called for what is not there
        raise attributes.no_attribute(self, name)

    def _register(self, name: str, kind: str, value, expected: type) -> None:
        attributes.check_new_attribute(self, name, kind, value, expected)
        self._kinds[name] = kind
        object.__setattr__(self, name, value)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter; None keeps the name for a parameter that is left out."""
        self._register(name, PARAMETER, param, Parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is not learnt (running statistics, a mask); saved if `persistent`."""
        self._register(name, BUFFER if persistent else TRANSIENT, tensor, Tensor)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child under `name`."""
        self._register(name, CHILD, module, Module)

    # ------------------------------------------------------------------ walking
    def _own(self, *kinds: str) -> Iterator[tuple[str, Any]]:
        for name, kind in self._kinds.items():
            value = self.__dict__[name]
            if kind in kinds and value is not None:
                yield name, value

    def named_modules(self, memo: set | None = None, prefix: str = "",
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module and all below it, parents first, with dotted names: each module once, or, if
        not `remove_duplicate`, under each of its names. Then ValueError is raised for a module that
        contains itself. No recursion: modules may be nested as deep as one likes."""
        memo, done = set() if memo is None else memo, object()
        above: set[Module] = set()                              # the modules that lead here
        todo = [(prefix or "", self)]                           # the last comes next
        while todo:
            path, module = todo.pop()
            if path is done:                       # set below, behind the module's children
                above.remove(module)
            elif module not in memo:
                if module in above:
                    raise ValueError(f"{type(module).__name__}: the module contains itself, as "
                                     f"{path!r}")
                if remove_duplicate:
                    memo.add(module)
                yield path, module
                above.add(module)
                dot = f"{path}." if path else ""
                children = [(dot + name, child) for name, child in module._own(CHILD)]
                todo += [(done, module), *reversed(children)]

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def _named(self, kinds: tuple[str, ...], prefix: str, recurse: bool, remove_duplicate: bool):
        seen: set[Tensor] = set()
        below = self.named_modules(None, prefix, remove_duplicate)
        for path, module in below if recurse else [(prefix, self)]:
            for name, tensor in module._own(*kinds):
                if tensor not in seen:
                    if remove_duplicate:
                        seen.add(tensor)
                    yield (f"{path}.{name}" if path else name), tensor

    def named_parameters(self, prefix: str = "", recurse: bool = True,
                         remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """The parameters with dotted names; a shared one once, under its first name."""
        return self._named((PARAMETER,), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True,
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """The buffers with dotted names."""
        return self._named((BUFFER, TRANSIENT), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    # ------------------------------------------------------------------ changing all of it
    def to(self, *args, dtype=None, device=None) -> Module:
        """Convert parameters and buffers in place (optimisers follow): ``to("cuda")``,
        ``to(minidl.float64)``, ``to(tensor)``. A dtype changes float tensors only."""
        number = Tensor(0.0).to(*args, dtype=dtype, device=device)    # a wrong argument fails here,
        attributes.check_stays_float(self, number.dtype)              # before anything changes
        for tensor in (*self.parameters(), *self.buffers()):
            new = tensor.detach().to(*args, dtype=dtype, device=device)
            if not tensor.is_floating_point():
                new = tensor.detach().to(device=new.device)
            if new.data is not tensor.data:
                grad, tensor.data = tensor.grad, new.data
                tensor._changed_at = [now()]                  # a graph that saved it must notice
                if grad is not None:
                    tensor.grad = grad.detach().to(new)
        return self

    @arguments
    def train(self, mode: bool = True) -> Module:
        """Training behaviour (dropout, batch statistics) for this module and all below it."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Evaluation behaviour: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Freeze (False) or unfreeze all parameters."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self
