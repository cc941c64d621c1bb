"""Modules that hold modules."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from ..tensor import Tensor
from .module import Module


class _Numbered(Module):
    """Children under the names "0", "1", ...; what Sequential and ModuleList share."""

    def _all(self) -> list[Module]:
        return [self.__dict__[name] for name in self._kinds]

    def _name(self, index) -> str:
        index, names = operator.index(index), list(self._kinds)
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
        return len(self._kinds)

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
    """f_n(...f_2(f_1(x))): ``Sequential(a, b, c)``, or names by an ``OrderedDict``."""

    def __init__(self, *args):
        super().__init__()
        if len(args) == 1 and isinstance(args[0], dict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self.extend(args)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Sequential(OrderedDict(list(self._own("child"))[index]))
        return super().__getitem__(index)

    def forward(self, input: Tensor) -> Tensor:
        for name in self._kinds:
            input = self.__dict__[name](input)
        return input
