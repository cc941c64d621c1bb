"""Where in the user's program an op was called: its line, and the modules it was called through."""

from __future__ import annotations

import linecache
import os
import sys
from pathlib import Path
from typing import NamedTuple

from ..files.regular import shown
from ..nn.module import Module

_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_PROGRAMS = tuple(_PACKAGE + part + os.sep for part in ("models", "training"))
_STARTERS = _PACKAGE + os.path.join("explain", "record.py"), _PACKAGE + os.path.join(
    "training", "first_step.py")           # what recordings are started by is no program


class Site(NamedTuple):
    """A line of a program, and the modules around it, the outermost first."""

    path: str
    line: int
    modules: tuple = ()
    names: dict = {}                       # of tensors, by identity, as that program calls them
    stack: tuple = ()                      # (path, line, function) of its frames, innermost first

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

    def __str__(self) -> str:
        return shown(f"{Path(self.path).name}:{self.line}  {self.text}".rstrip())


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
    wanted, outside = {id(t) for t in tensors}, False
    while frame is not None:
        code = frame.f_code
        outside = outside or code.co_filename in _STARTERS
        if not code.co_filename.startswith(_PACKAGE) or code.co_filename.startswith(_PROGRAMS):
            chosen = chosen or frame
            if not outside:
                stack.append((code.co_filename, frame.f_lineno, code.co_name))
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
                tuple(stack))
