"""Module: what has parameters, and children that have parameters.

Parameters, buffers and children are ordinary attributes of the object: ``self.weight`` is found
where Python looks first, and a debugger shows it. ``_kinds`` only remembers which attributes they
are, in the order they came. Names and meanings are PyTorch's, and so are the keys of a state dict.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .. import device as _device
from ..checks.arguments import arguments
from ..checks.arrays import numbers
from ..cuda import cuda_name
from ..dtypes import float32, float64
from ..modes import no_grad
from ..more.hooks import HookHandle
from ..optim import clear_gradients
from ..tape import now
from ..tensor import Tensor


class Parameter(Tensor):
    """A tensor that a module learns: ``Parameter(array)`` is a copy that requires a gradient."""

    def __init__(self, data, requires_grad: bool = True):
        super().__init__(data, requires_grad)

    def __repr__(self):
        return f"Parameter containing:\n{super().__repr__()}"


class LoadResult(NamedTuple):
    """What ``load_state_dict`` did not match; both empty unless ``strict=False``."""

    missing_keys: list[str]
    unexpected_keys: list[str]


PARAMETER, BUFFER, TRANSIENT, CHILD = "parameter", "buffer", "transient buffer", "child"


class Module:
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
            raise self._too_deep() from error
        for hook in tuple(self._forward_hooks.values()):
            changed = hook(self, args, out)
            out = out if changed is None else changed
        return out

    def _too_deep(self) -> ValueError:
        return ValueError(f"{type(self).__name__}: modules are nested too deep to be called, or a "
                          f"forward calls itself: Python allows {sys.getrecursionlimit()} calls "
                          "within each other, a module takes two or more (sys.setrecursionlimit "
                          "allows more)")

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
            if type(module).__deepcopy__ is not Module.__deepcopy__ and module is not self:
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

    # ------------------------------------------------------------------ attributes
    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._kinds[name] = PARAMETER
        elif isinstance(value, Module):
            self._kinds[name] = CHILD
        elif name in self.__dict__.get("_kinds", ()):
            self._check_kind(name, value)
        object.__setattr__(self, name, value)

    def _check_kind(self, name: str, value: Any) -> None:
        """A registered name keeps its kind, or becomes None."""
        kind = self._kinds[name]
        expected = {PARAMETER: "a Parameter", CHILD: "a Module"}.get(kind, "a Tensor")
        if value is not None and not (expected == "a Tensor" and isinstance(value, Tensor)):
            raise TypeError(f"{type(self).__name__}: {name} is a {kind} and expects {expected} or "
                            f"None, got {type(value).__name__}; to change its numbers, use "
                            f"`with no_grad(): module.{name}.copy_(...)`")

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._kinds.pop(name, None)

    def __getattr__(self, name: str):          # only called for what is not there
        if name == "_kinds":
            raise AttributeError(f"{type(self).__name__}: call super().__init__() at the beginning "
                                 "of __init__, before parameters and modules are assigned")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _register(self, name: str, kind: str, value, expected: type) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"{type(self).__name__}: {name!r} is no name for a {kind}: expected a "
                             "non-empty string without a dot")
        if hasattr(self, name) and name not in self._kinds:
            raise ValueError(f"{type(self).__name__}: the attribute {name!r} exists already")
        if value is not None and not isinstance(value, expected):
            raise TypeError(f"{type(self).__name__}: the {kind} {name!r} must be a "
                            f"{expected.__name__} or None, got {type(value).__name__}")
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

    def named_modules(self, memo: set | None = None, prefix: str = "",
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module and all below it, parents first, with dotted names. No recursion: modules
        may be nested as deep as one likes. Raises ValueError for a module that contains itself,
        unless each module is wanted once."""
        memo, above = set() if memo is None else memo, {None: iter([(prefix, self)])}
        while above:                       # the modules that lead here, each with what is below it
            for path, module in above[next(reversed(above))]:
                if module in memo:
                    continue
                if module in above:
                    raise ValueError(f"{type(module).__name__}: the module contains itself, as "
                                     f"{path!r}")
                if remove_duplicate:
                    memo.add(module)
                yield path, module
                dot = f"{path}." if path else ""
                above[module] = iter([(dot + name, child) for name, child in module._own(CHILD)])
                break
            else:
                above.popitem()

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def _named(self, kinds: tuple[str, ...], prefix: str, recurse: bool, remove_duplicate: bool):
        seen: set[Tensor] = set()
        modules = (self.named_modules(None, prefix, remove_duplicate) if recurse
                   else [(prefix, self)])
        for path, module in modules:
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

    def get_submodule(self, target: str) -> Module:
        """The module under a dotted name: ``net.get_submodule("features.0")``."""
        for path, module in self.named_modules(remove_duplicate=False):
            if path == target:
                return module
        raise AttributeError(f"{type(self).__name__}: no module is named {target!r}")

    # ------------------------------------------------------------------ saving and loading
    def _saved(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """What a state dict holds, in PyTorch's order; a shared tensor under each of its names."""
        for path, module in self.named_modules(None, prefix, remove_duplicate=False):
            dot = f"{path}." if path else ""
            for kind in (PARAMETER, BUFFER):
                for name, tensor in module._own(kind):
                    yield dot + name, tensor

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """Name -> tensor, of parameters and persistent buffers; the tensors share memory."""
        return {prefix + name: tensor.detach() for name, tensor in self._saved()}

    def load_state_dict(self, state_dict, strict: bool = True) -> LoadResult:
        """Copy numbers (tensors or NumPy arrays) in by name; they take this module's dtype.

        Raises ValueError listing every missing, unexpected and misshapen entry, and then nothing
        has been changed. ``strict=False`` lets missing and unexpected entries pass, and returns
        them.
        """
        if not hasattr(state_dict, "keys"):
            raise TypeError("load_state_dict: expected a dict of tensors by name, as state_dict() "
                            f"returns it; got {type(state_dict).__name__}")
        own = dict(self._saved())
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        arrays, wrong = {}, []
        for name, tensor in own.items():
            if name in state_dict:
                value = state_dict[name]
                try:
                    arrays[name] = numbers(
                        name, value.data if isinstance(value, Tensor) else value, tensor.dtype)
                except (TypeError, ValueError) as error:
                    wrong.append(str(error))
                    continue
                if arrays[name].shape != tensor.shape:
                    wrong.append(f"{name}: {arrays[name].shape} given, {tensor.shape} needed")
        faults = [f"{what}: {', '.join(names)}" for what, names in
                  (("missing", missing), ("unexpected", unexpected)) if names and strict]
        if faults or wrong:
            raise ValueError(f"load_state_dict: {type(self).__name__} does not fit\n  "
                             + "\n  ".join([*faults, *wrong]))
        with no_grad():
            for name, array in arrays.items():
                own[name].copy_(_device.move(array, own[name].device))
        return LoadResult(missing, unexpected)

    # ------------------------------------------------------------------ changing all of it
    def to(self, *args, dtype=None, device=None) -> Module:
        """Convert parameters and buffers in place (optimisers follow): ``to("cuda")``,
        ``to(minidl.float64)``, ``to(tensor)``. A dtype changes float tensors only."""
        kind = Tensor(0.0).to(*args, dtype=dtype, device=device).dtype
        if kind.kind != "f":
            raise TypeError(f"{type(self).__name__}.to: dtype must be a float, got {kind}")
        for tensor in (*self.parameters(), *self.buffers()):
            new = tensor.detach().to(*args, dtype=dtype, device=device)
            if not tensor.is_floating_point():
                new = tensor.detach().to(device=new.device)
            _replace(tensor, new)
        return self

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

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients (or set them to zero)."""
        clear_gradients(self.parameters(), set_to_none)

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

    # ------------------------------------------------------------------ showing it
    def summary(self, input_shape):
        """The table of layers for one example of `input_shape`: see ``nn.more.summary``."""
        from .more.summary import summary
        return summary(self, input_shape)

    def multiply_adds(self, input: Tensor, output: Tensor) -> int:
        """How many multiplications a forward pass makes in the layer's own products of numbers
        with weights (not its children's); a layer that has such products says how many."""
        return 0

    def extra_repr(self) -> str:
        """What stands between the brackets of the repr: the attributes that are plain values, and
        the parameters that were left out."""
        plain = [(name, value) for name, value in vars(self).items()
                 if isinstance(value, (int, float, str, tuple)) and name[0] != "_"]
        absent = [(name, None) for name, kind in self._kinds.items()
                  if kind == PARAMETER and self.__dict__[name] is None]
        return ", ".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value!r}"
                         for name, value in plain + absent if name != "training")

    def __repr__(self):
        lines, open_, told = [], [], None             # depths with a bracket to close; a child that
        for path, module in self.named_modules(remove_duplicate=False):    # has told its own way
            if told is not None and path.startswith(told):
                continue
            depth = path.count(".") + bool(path)
            while open_ and open_[-1] >= depth:
                lines.append("  " * open_.pop() + ")")
            ours = not depth or type(module).__repr__ is Module.__repr__
            text = f"{type(module).__name__}({module.extra_repr()}" if ours else repr(module)
            if not ours:
                told = f"{path}."
            elif any(True for _ in module._own(CHILD)):
                open_.append(depth)
            else:
                text += ")"
            name = f"({path.rpartition('.')[2]}): " if path else ""
            lines.append("  " * depth + (name + text).replace("\n", "\n" + "  " * depth))
        return "\n".join([*lines, *("  " * depth + ")" for depth in reversed(open_))])


def _replace(tensor: Tensor, new: Tensor) -> None:
    """Give a leaf another array, of another dtype or device, and its gradient the same."""
    if new.data is not tensor.data:
        grad, tensor.data = tensor.grad, new.data
        tensor._changed_at = [now()]                      # a graph that saved it must notice
        if grad is not None:
            tensor.grad = grad.detach().to(new)
