"""The networks that a recording meets: their modules, as a tree, and their parameters, under one
name each.

A parameter is told apart by the tensor that it is: before and after an update it is the same one,
though its numbers are others.
"""

from __future__ import annotations

import itertools
from typing import Any

from ..files.regular import shown
from ..nn.module import Module
from ..nn.parameter import Parameter
from ..tensor import Tensor
from .source import Site


class Networks:
    """Fills the lists `modules` and `parameters` of a trace; see ``docs/trace.md``."""

    def __init__(self, modules: list[dict], parameters: list[dict]):
        self.modules, self.parameters = modules, parameters
        self.called: dict[Module, str] = {}          # outermost modules, as the program calls them
        self.chains: list[tuple] = []                # by op: the modules around it
        self.training: dict[Module, bool] = {}       # as they were when they were met
        self.place_of: dict[Module, int] = {}          # in `modules`
        self.of: dict[Tensor, int] = {}              # the places of tensors in `parameters`
        self._names: set[str] = set()                # of modules

    # ------------------------------------------------------------------ while recording
    def meet(self, site: Site) -> None:
        """An op was called through the modules of this site."""
        self.chains.append(site.modules)
        for module in site.modules:
            if module not in self.training:
                self.training |= {m: m.training for m in module.modules()}
        if site.modules and site.modules[0] not in self.called:
            root = site.modules[0]
            self.called[root] = site.names.get(id(root)) or type(root).__name__

    def parameter(self, tensor: Any, name: str | None = None) -> int | None:
        """The place in `parameters` of a tensor that is one; None for others. A leaf that wants a
        gradient is a parameter, in a module or not."""
        if tensor not in self.of:
            if tensor.node is not None or not (tensor.requires_grad or isinstance(
                    tensor, Parameter)):
                return None
            self.of[tensor] = len(self.parameters)
            self.parameters.append({"name": name, "shape": list(tensor.shape), "module": None,
                                    "learns": tensor.requires_grad})
        return self.of[tensor]

    # ------------------------------------------------------------------ when it has ended
    def finish(self) -> None:
        """Names are final now: with prefixes, where there are several outermost modules."""
        inside = {m for root in self.called for m in root.modules() if m is not root}
        roots = [root for root in self.called if root not in inside]
        calls: list[str] = []
        for root in roots:
            calls.append(name := self.called[root])
            if calls.count(name) > 1:
                name += str(calls.count(name))
            self._grow(root, name if len(roots) > 1 else "", None)
        for chain in self.chains:                    # modules that their outer ones do not know
            for outer, module in zip(chain, chain[1:]):
                if module not in self.place_of:
                    above = self.modules[self.place_of[outer]]["name"]
                    name = f"{above}.{type(module).__name__}".lstrip(".")
                    self._grow(module, self._free(name), self.place_of[outer])

    def within(self, op: int) -> int | None:
        """The place of the innermost module around an op's call."""
        return self.place_of[self.chains[op][-1]] if self.chains[op] else None

    def of_which(self, parameters: list[int]) -> str | None:
        """What these are the parameters of: the smallest module that has them all, of several the
        outermost, or, if that has no name, what the program calls it; None if there is none."""
        below = [set(module["parameters"]) for module in self.modules]
        for module, own in reversed(list(zip(self.modules, below))):      # children come later
            if module["parent"] is not None:
                below[module["parent"]] |= own
        having = [n for n, has in enumerate(below) if parameters and has.issuperset(parameters)]
        if not having:
            return None
        smallest = min(having, key=lambda n: (len(below[n]), n))
        return self.modules[smallest]["name"] or shown(next(iter(self.called.values())))

    def _grow(self, root: Module, prefix: str, above: int | None) -> None:
        """Put a module and all below it into the list."""
        paths: dict[str, int] = {}
        for path, module in root.named_modules(prefix=prefix):
            if module in self.place_of:
                continue
            place = self.place_of[module] = paths[path] = len(self.modules)
            self._names.add(path)
            own = [(f"{path}.{name}".lstrip("."), self.parameter(p))
                   for name, p in module.named_parameters(recurse=False)]
            for name, p in own:
                if p is not None and self.parameters[p]["module"] is None:
                    self.parameters[p] |= {"module": place, "name": shown(name)}
            self.modules.append({
                "name": shown(path), "class": type(module).__name__,
                "options": shown(module.extra_repr()),
                "training": self.training.get(module, module.training),
                "parent": above if module is root else paths.get(path.rpartition(".")[0], above),
                "parameters": [p for _, p in own if p is not None],
                "count": sum(p.data.size for p in module.parameters())})

    def _free(self, name: str) -> str:
        """A name that no module has yet."""
        return next(each for n in itertools.count(1) if (
            each := name + (str(n) if n > 1 else "")) not in self._names)
