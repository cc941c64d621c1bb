"""Children by number: ``net[0]``, ``net[-1]``, ``net[2:4]``, a loop over them, more at the end."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator

from ..module import Module
from ..parameter import CHILD


class NumberedModules(Module):
    """Children under the names "0", "1", ...; what Sequential and ModuleList share."""

    def _all(self) -> list[Module]:
        return [module for _, module in self._own(CHILD)]

    def _name(self, index) -> str:
        index, names = operator.index(index), [name for name, _ in self._own(CHILD)]
        if not -len(names) <= index < len(names):
            raise IndexError(f"{type(self).__name__}: index {index} of {len(names)} modules")
        return names[index]

    def _slice(self, children: dict[str, Module]):
        """What a slice is: a module of the same kind that has these children."""
        return type(self)(children.values())

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self._slice(dict(list(self._own(CHILD))[index]))
        return self.__dict__[self._name(index)]

    def __setitem__(self, index, module: Module) -> None:
        self.add_module(self._name(index), module)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._all())

    def __len__(self):
        return len(self._all())

    def append(self, module: Module):
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]):
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self
