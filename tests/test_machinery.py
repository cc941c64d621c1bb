"""One machinery for one thing: what several parts of the library need stands once."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import minidl
from minidl import formulas
from minidl.windows import output_size

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


def test_every_path_has_the_output_size_of_the_formula():
    """formulas.py says it on its own, for equal borders; a window that is laid in an image pixel by
    pixel says it for others."""
    for n, k, s, d, before, after in itertools.product(range(1, 8), (1, 2, 3), (1, 2, 3), (1, 2),
                                                       (0, 1), (0, 2)):
        if (count := output_size((n,), (k,), (s,), ((before, after),), (d,))[0]) < 1:
            continue
        last = n + before + after - 1                 # the pixel, counted from the border's first
        assert count == sum(start + (k - 1) * d <= last for start in range(0, last + 1, s))
        if before == after:
            assert count == formulas._size(n, k, s, before, d)
            assert output_size((n,), (k,), (s,), (before,), (d,)) == (count,)


def test_the_output_size_is_computed_once():
    """`// s + 1` stands in windows.py, and as a transcription in formulas.py."""
    def divides(node: ast.AST) -> bool:
        return isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv)
    found = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")
             for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
             if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)
             and divides(node.left) and getattr(node.right, "value", None) == 1}
    assert found == {"windows.py", "formulas.py"}
