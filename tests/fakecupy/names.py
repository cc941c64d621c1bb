"""The modules, still empty: an array's operators look up here what modules.py puts in."""

from __future__ import annotations

from types import ModuleType


def module(name: str, doc: str) -> ModuleType:
    """An empty module that says where to look when a name is missing."""
    new = ModuleType(name, doc)

    def missing(attribute):
        raise AttributeError(f"module {name!r} (the fake one of tests/fakecupy) has no attribute "
                             f"{attribute!r}; is it in the real CuPy? then add it there")
    new.__getattr__ = missing
    return new


cupy = module("cupy", "See tests/fakecupy.")
