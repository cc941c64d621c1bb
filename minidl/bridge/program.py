"""The program of a module: what its ``forward`` in PyTorch does, step by step, with minidl's ops.

Each step runs in a frame of its own that bears the file and the line of the step in the original
source. So a traceback, a recorded trace and ``y.why()`` name the line that its author wrote.
"""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..nn.module import Module


class SourceLine(NamedTuple):
    """A line of the source, and the module whose ``forward`` it stands in ("" is the outermost)."""

    path: str
    line: int
    module: str

    def __str__(self) -> str:
        within = f"in forward of {self.module!r}" if self.module else "in forward"
        return f"{within}, {self.path}, line {self.line}" if self.path else within


class Ref(NamedTuple):
    """Stands among the arguments of a step for the value that an earlier step left."""

    name: str


@dataclass(frozen=True)
class ForwardStep:
    """One step: ``name = compute(layer, operands)``.

    `layer` is the dotted name of the module, parameter or buffer that the step uses, or None.
    `compute` gets it, and the values under the names `operands`. `around` is the dotted name of the
    module whose ``forward`` the step stands in.
    """

    name: str
    operands: tuple[str, ...]
    layer: str | None
    around: str
    frame: Callable
    last: tuple[str, ...] = ()             # values that no later step uses


def frame_at(place: SourceLine, operands: tuple[str, ...], compute: Callable) -> Callable:
    """A function (self, layer, *operands) whose code stands at `place`, and calls `compute`.

    An inner module's frame is called ``__call__`` and has that module as `self`: this is how
    explanations find the modules around an op."""
    name = "__call__" if place.module else "forward"
    values = "".join(f"{operand}, " for operand in operands)
    tree = ast.parse(f"def {name}(self, layer, {values}):\n    return compute(layer, ({values}))")
    for node in ast.walk(tree):
        if hasattr(node, "lineno"):
            node.lineno = node.end_lineno = place.line or 1
            node.col_offset = node.end_col_offset = 0
    space = {"compute": compute}
    exec(compile(tree, place.path or "<torch.fx>", "exec"), space)
    return space[name]


def reached(module: Module, path: str) -> Any:
    """The module, parameter or buffer under a dotted name."""
    return functools.reduce(getattr, path.split("."), module) if path else module


def filled(structure: Any, values: dict[str, Any]) -> Any:
    """`structure` with values for the Refs in it, through tuples, lists, dicts and slices."""
    if isinstance(structure, Ref):
        return values[structure.name]
    if isinstance(structure, slice):
        return slice(*(filled(part, values) for part in (structure.start, structure.stop,
                                                         structure.step)))
    if isinstance(structure, dict):
        return {key: filled(value, values) for key, value in structure.items()}
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):            # a named tuple
        return type(structure)(*(filled(value, values) for value in structure))
    if isinstance(structure, (tuple, list)):
        return type(structure)(filled(value, values) for value in structure)
    return structure


@dataclass(frozen=True)
class Program:
    """The steps of a ``forward``, the arguments it takes, and what it returns."""

    signature: inspect.Signature
    steps: tuple[ForwardStep, ...]
    result: Any                                                  # a structure with Refs
    text: str                                                    # as torch.fx prints it

    def run(self, args: tuple, kwargs: dict, within: Callable[[str], Any]) -> Any:
        """What the steps make of the arguments; ``within(path)`` is what has the dotted name."""
        values = dict(self.signature.bind(*args, **kwargs).arguments)
        for step in self.steps:
            layer = None if step.layer is None else within(step.layer)
            values[step.name] = step.frame(within(step.around), layer,
                                           *[values[name] for name in step.operands])
            for name in step.last:
                del values[name]
        return filled(self.result, values)


class TracedModule(Module):
    """A module of PyTorch that has a ``forward`` of its own: its parameters, buffers and children
    under their names, and its program, in training and in evaluation mode.

    `_programs` maps True (training) and False (evaluation) to a Program, or to the reason why there
    is none, which is raised when the module is called in that mode.
    """

    _programs: dict[bool, Program | Exception] = {}

    def forward(self, *args, **kwargs):
        program = self._programs[self.training]
        if isinstance(program, Exception):
            raise type(program)(*program.args)
        if program is not self._programs[not self.training]:
            self._check_one_mode()
        try:
            program.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: forward takes {program.signature}: {error}"
                            ) from None
        return program.run(args, kwargs, functools.partial(reached, self))

    def _check_one_mode(self) -> None:
        """A forward that asks whether it is in training was followed with all modules in training,
        and with none."""
        for path, module in self.named_modules():
            if isinstance(module, TracedModule) and module.training != self.training:
                raise RuntimeError(
                    f"{type(self).__name__}: forward does something else in training than in "
                    f"evaluation, and {path!r} is in another mode than the whole; call train() or "
                    "eval() of the whole")
