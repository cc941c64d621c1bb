"""Children by number: ``net[0]``, ``net[-1]``, ``net[2:4]``, and a loop over them."""

from __future__ import annotations

import operator
from collections.abc import Iterator

from ..module import Module
from ..parameter import CHILD


class IndexedModules(Module):
    """The part of modules with numbered children that looks them up by number."""

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

    def __iter__(self) -> Iterator[Module]:
        return iter(self._all())
