"""One machinery for one thing: what several parts of the library need stands once."""

from __future__ import annotations

import ast
from pathlib import Path

import minidl

PACKAGE = Path(minidl.__file__).parent


def attributes(path: Path) -> set[str]:
    """The names that stand behind a dot in a source file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_tensors_are_placed_among_arguments_by_the_op():
    """`Op.inputs` and `Op.placed` know where the tensors are. Two files ask for the places: cells
    for the operands' names, fitting for the entries of a file, which are no tensors yet."""
    readers = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")
               if "places" in attributes(path)}
    assert readers == {"tape.py", "explain/cells.py", "explain/fitting.py"}
