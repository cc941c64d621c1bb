"""Where in the user's program an op was called: its line, the modules and the function of the
library that it was called through, and what the program calls its tensors."""

from __future__ import annotations

import linecache
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

from ..files.regular import shown
from ..nn.module import Module
from ..tensor import Tensor

_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_PROGRAMS = tuple(_PACKAGE + part + os.sep for part in ("models", "training"))
_STARTERS = _PACKAGE + os.path.join("explain", "record.py"), _PACKAGE + os.path.join(
    "training", "first_step.py")           # what recordings are started by is no program
_NO_FUNCTION = {"apply", "forward", "product"}           # between a function of F and its op


class Site(NamedTuple):
    """A line of a program, the modules around it, the outermost first, and the function of the
    library that the line calls ("" for an operator such as ``x + z``)."""

    path: str
    line: int
    modules: tuple = ()
    names: dict = {}                       # of tensors, by identity, as that program calls them
    stack: tuple = ()                      # (path, line, function) of its frames, innermost first
    function: str = ""

    @property
    def text(self) -> str:
        """What the line says, if the file can be read."""
        return linecache.getline(self.path, self.line).strip()

    @property
    def module(self) -> str:
        """The dotted name under which the outermost module knows the innermost; "" without."""
        names = [name for outer, inner in zip(self.modules, self.modules[1:])
                 for name, module in outer.named_modules() if module is inner]
        return shown(".".join(filter(None, names)))

    @property
    def module_shown(self) -> str:
        """The module for readers: "features.0, a Conv2d", or "Linear" of one without a name."""
        if not self.modules:
            return ""
        kind = type(self.modules[-1]).__name__
        return f"{self.module}, {kind}" if self.module else kind

    def name_of(self, t: Tensor) -> str:
        """What the program calls a tensor: a parameter or buffer by its place in the outermost
        module, another by its variable; "" where neither is known."""
        for root in self.modules[:1]:
            for name, own in (*root.named_parameters(), *root.named_buffers()):
                if own is t:
                    return shown(name)
        return shown(self.names.get(id(t), ""))

    def __str__(self) -> str:
        return shown(f"{place_in_program(self.path, self.line)}  {self.text}".rstrip())


def place_in_program(path: str, line: int) -> str:
    """"net.py:7"; in a notebook "cell [3], line 7"."""
    cell = cell_number(path)
    return f"{Path(path).name}:{line}" if cell is None else f"cell [{cell}], line {line}"


def cell_number(path: str) -> int | None:
    """The number of the notebook's cell whose code goes by this path; None for a file."""
    if old := re.match(r"<ipython-input-(\d+)-", path):
        return int(old[1])
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    known = getattr(getattr(shell, "compile", None), "_filename_map", None)
    return known.get(path) if isinstance(known, dict) else None


def _holder(frame, module):
    """A module that contains `module`, held by the object whose method this frame runs: what has
    an encoder is called by name, though only the encoder was called as a function."""
    owner = frame.f_locals.get("self")
    held = getattr(owner, "__dict__", None)
    for found in (owner, *(held.values() if type(held) is dict else ())):
        if isinstance(found, Module) and found is not module and any(
                m is module for _, m in found.named_modules()):
            return found
    return None


def call_site(tensors=()) -> Site:
    """The innermost frame that is not the engine's: the user's own, or one of the networks and
    training steps that come with the library. `tensors`, and the outermost module, get the names of
    the variables that hold them, there or further out."""
    frame, chosen, modules, names, stack = sys._getframe(1), None, [], {}, []
    wanted, outside, function = {id(t) for t in tensors}, False, ""
    while frame is not None:
        code = frame.f_code
        outside = outside or code.co_filename in _STARTERS
        if not code.co_filename.startswith(_PACKAGE) or code.co_filename.startswith(_PROGRAMS):
            chosen = chosen or frame
            if not outside:
                stack.append((code.co_filename, frame.f_lineno, code.co_name))
        if chosen is None and not modules:
            function = _function_name(code) or function
        if chosen is not None:
            wanted |= {id(m) for m in modules}
            names = {id(v): k for k, v in frame.f_locals.items() if id(v) in wanted} | names
        if code.co_name == "__call__":
            module = frame.f_locals.get("self")
            if isinstance(module, Module) and not (modules and modules[-1] is module):
                modules.append(module)
        if modules:
            held = getattr(frame.f_locals.get("self"), "__dict__", None)
            for name, value in held.items() if type(held) is dict else ():
                if value is modules[-1]:
                    names.setdefault(id(value), name)
        if modules and (holder := _holder(frame, modules[-1])) is not None:
            modules.append(holder)
        frame = frame.f_back
    chosen = chosen or sys._getframe(1)
    return Site(chosen.f_code.co_filename, chosen.f_lineno, tuple(reversed(modules)), names,
                tuple(stack), function)


def _function_name(code) -> str:
    """The name of a function of the library, as a program writes it; "" of what is inside one."""
    folder = code.co_filename.removeprefix(_PACKAGE).split(os.sep)[0]
    public = folder in ("functional.py", "ops", "more", "nn", "tensor.py")
    name = code.co_name
    return name if public and name.isidentifier() and not name.startswith("_") and (
        name not in _NO_FUNCTION) else ""
