"""Sequential: modules one after the other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from ..checks.arguments import arguments
from ..tensor import Tensor
from . import fusion
from .module import Module
from .more.indexing import IndexedModules
from .parameter import CHILD


class NumberedModules(IndexedModules):
    """Children under the names "0", "1", ...; what Sequential and ModuleList share."""

    def _all(self) -> list[Module]:
        return [module for _, module in self._own(CHILD)]

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


class Sequential(NumberedModules):
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
