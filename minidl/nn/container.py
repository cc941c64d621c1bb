"""Modules that hold modules."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from ..checks.arguments import arguments, tensor_argument
from ..tensor import Tensor
from . import fusion
from .module import CHILD, Module


class _Numbered(Module):
    """Children under the names "0", "1", ...; what Sequential and ModuleList share."""

    def _all(self) -> list[Module]:
        return [module for _, module in self._own(CHILD)]

    def _name(self, index) -> str:
        index, names = operator.index(index), [name for name, _ in self._own(CHILD)]
        if not -len(names) <= index < len(names):
            raise IndexError(f"{type(self).__name__}: index {index} of {len(names)} modules")
        return names[index]

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(self._all()[index])
        return self.__dict__[self._name(index)]

    def __setitem__(self, index, module: Module) -> None:
        self.add_module(self._name(index), module)

    def __len__(self):
        return len(self._all())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._all())

    def append(self, module: Module):
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]):
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self


class Sequential(_Numbered):
    """f_n(...f_2(f_1(x))): ``Sequential(a, b, c)``, or names by an ``OrderedDict``.

    With ``fuse`` (True unless given, or set on a class or an object) some neighbours run together,
    with the same values and gradients in fewer passes over memory; see :mod:`minidl.nn.fusion`.
    """

    fuse = True

    @arguments
    def __init__(self, *args, fuse: bool | None = None):
        super().__init__()
        if fuse is not None:
            self.fuse = fuse
        if len(args) == 1 and isinstance(args[0], dict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self.extend(args)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Sequential(OrderedDict(list(self._own(CHILD))[index]), fuse=self.fuse)
        return super().__getitem__(index)

    def forward(self, input: Tensor) -> Tensor:
        for run in fusion.runs(self._all(), self.fuse):
            input = run(input)
        return input


class ModuleList(_Numbered):
    """A list of modules, whose parameters count as the owner's; it has no forward of its own."""

    def __init__(self, modules: Iterable[Module] = ()):
        super().__init__()
        self.extend(modules)


class ModuleDict(Module):
    """A dict of modules, whose parameters count as the owner's; it has no forward of its own."""

    def __init__(self, modules: Mapping[str, Module] | None = None):
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module]) -> None:
        """Add or replace modules by name."""
        for name, module in modules.items():
            self.add_module(name, module)

    def __getitem__(self, name: str) -> Module:
        if name not in self._kinds:
            raise KeyError(f"ModuleDict: no module {name!r}; there are {', '.join(self._kinds)}")
        return self.__dict__[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        delattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __len__(self):
        return len(self._kinds)

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._kinds.keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return [self.__dict__[name] for name in self._kinds]

    def items(self) -> Iterable[tuple[str, Module]]:
        """Names and modules."""
        return [(name, self.__dict__[name]) for name in self._kinds]


class Residual(Module):
    """y = x + F(x), F any module; `shortcut` (1x1 convolution, say) stands for x where F changes
    the shape. Source: D3-RESIDUAL."""

    def __init__(self, function: Module, shortcut: Module | None = None):
        super().__init__()
        self.function = function
        self.add_module("shortcut", shortcut)

    def forward(self, input: Tensor) -> Tensor:
        input = tensor_argument("Residual: input", input)
        x = input if self.shortcut is None else self.shortcut(input)
        fx = self.function(input)
        if x.shape != fx.shape:
            raise ValueError(f"Residual: x has shape {x.shape}, F(x) {fx.shape}; give a shortcut "
                             "that makes x fit")
        return x + fx
