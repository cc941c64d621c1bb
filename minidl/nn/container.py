"""Sequential: modules one after the other."""

from __future__ import annotations

from ..checks.arguments import arguments
from ..tensor import Tensor
from . import fusion
from .module import Module
from .more.numbered import NumberedModules
from .parameter import CHILD


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
        named = len(args) == 1 and isinstance(args[0], dict)
        children = args[0] if named else {str(i): module for i, module in enumerate(args)}
        for name, module in children.items():
            self.add_module(name, module)

    def _slice(self, children: dict[str, Module]) -> Sequential:
        return Sequential(children, fuse=self.fuse)

    def forward(self, input: Tensor) -> Tensor:
        # A stage is a module, or a function that does the work of several: these are not called.
        for stage in fusion.stages([module for _, module in self._own(CHILD)], self.fuse):
            input = stage(input)
        return input
