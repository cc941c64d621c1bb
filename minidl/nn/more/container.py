"""Modules kept in a list or a dict; the module that owns them says how they are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..module import Module
from .numbered import NumberedModules


class ModuleList(NumberedModules):
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
