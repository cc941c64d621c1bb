"""PyTorch's further methods of a module: hooks, copies, children by name, conversions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ...cuda import cuda_name
from ...more.hooks import HookHandle
from ...optim import clear_gradients
from ...tensor import float32, float64
from ..parameter import CHILD

if TYPE_CHECKING:
    from ..module import Module


class ModuleMethods:
    """The part of :class:`minidl.nn.Module` that the documents' trainings do without."""

    _kinds: dict[str, str]
    _own: Callable[..., Iterator]
    modules: Callable[[], Iterator[Module]]
    named_modules: Callable[..., Iterator]
    parameters: Callable[[], Iterator]
    to: Callable[..., Module]

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._kinds.pop(name, None)

    def register_forward_hook(self, hook: Callable) -> HookHandle:
        """Call ``hook(module, args, output)`` after every forward; what it returns, if not None,
        replaces the output. Returns a handle with ``remove()``."""
        self._forward_hooks = self.__dict__.get("_forward_hooks", {})
        return HookHandle(self._forward_hooks, hook)

    def __deepcopy__(self, memo: dict) -> Module:
        """``copy.deepcopy``: what is below first, so that no depth of nesting is too much."""
        for module in reversed([*self.modules()]):
            if id(module) in memo:
                continue
            if type(module).__deepcopy__ is not ModuleMethods.__deepcopy__ and module is not self:
                memo[id(module)] = copy.deepcopy(module, memo)             # its own way
            else:
                make, args, state, *_ = module.__reduce_ex__(4)
                memo[id(module)] = made = make(*args)
                state = copy.deepcopy(state, memo)
                if hasattr(made, "__setstate__"):
                    made.__setstate__(state)
                else:                                       # a dict; or that and one of __slots__
                    for part in state if isinstance(state, tuple) else (state,):
                        for name, value in (part or {}).items():
                            object.__setattr__(made, name, value)
        return memo[id(self)]

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct children, with their names."""
        seen = set()
        for name, child in self._own(CHILD):
            if child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The direct children."""
        return (child for _, child in self.named_children())

    def get_submodule(self, target: str) -> Module:
        """The module under a dotted name: ``net.get_submodule("features.0")``."""
        for path, module in self.named_modules(remove_duplicate=False):
            if path == target:
                return module
        raise AttributeError(f"{type(self).__name__}: no module is named {target!r}")

    def apply(self, fn: Callable[[Module], Any]) -> Module:
        """Call ``fn(module)`` on every module, children first."""
        for _ in self.named_modules(remove_duplicate=False):
            pass                           # a module that contains itself has no end: refused here
        waiting, order = [self], []
        while waiting:                     # parents first, from the right
            order.append(waiting.pop())
            waiting.extend(order[-1].children())
        for module in reversed(order):
            fn(module)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients (or set them to zero)."""
        clear_gradients(self.parameters(), set_to_none)

    def float(self) -> Module:
        """Parameters and buffers in float32."""
        return self.to(float32)

    def double(self) -> Module:
        """Parameters and buffers in float64."""
        return self.to(float64)

    def cpu(self) -> Module:
        """Parameters and buffers on the CPU."""
        return self.to("cpu")

    def cuda(self, device: int | str | None = None) -> Module:
        """Parameters and buffers on the GPU: the current one, or that of this number or name."""
        return self.to(cuda_name(device))
