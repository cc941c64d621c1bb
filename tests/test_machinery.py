"""One machinery for one thing: what several parts of the library need stands once."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import numpy as np
import pytest

from minidl import formulas
from minidl.ops.windows import output_size
from minidl.testing.compare import equal, errors, scale_of
from minidl.testing.differences import along, first_smooth

PACKAGE = Path(__file__).resolve().parent.parent / "minidl"


def attributes(path: Path) -> set[str]:
    """The names that stand behind a dot in a source file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def files_with(*names: str) -> list[str]:
    """The source files in which one of the names stands behind a dot."""
    return sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")
                  if attributes(path) & set(names))


def files_that_define(*names: str) -> list[str]:
    """The source files with a function under one of the names, with an underscore or not."""
    return sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")
                  if any(isinstance(node, ast.FunctionDef) and node.name.strip("_") in names
                         for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))))


def files_that_say(text: str) -> list[str]:
    return sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")
                  if text in path.read_text(encoding="utf-8"))


def files_that_divide_by_a_stride() -> list[str]:
    """``// s + 1``, s no constant: the output size."""
    def divides(node: ast.AST) -> bool:
        return isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv) and not (
            isinstance(node.right, ast.Constant))
    return sorted({path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")
                   for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                   if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)
                   and divides(node.left) and getattr(node.right, "value", None) == 1})


ROWS = "by_rows", "like_rows", "channels_last", "images", "taps_first", "alike", "one_a_channel"
ONCE = {                               # what stands once: where
    "tensors among an op's arguments": lambda: [
        f for f in files_that_define("with_inputs")],     # (of noise)
    "equal up to rounding": lambda: files_that_define("limit_of", "scale_of"),
    "finite differences": lambda: files_that_define("first_smooth"),
    "output size": lambda: [f for f in files_that_divide_by_a_stride() if f != "formulas.py"],
    "rows of channels, for the CPU and CUDA": lambda: [
        f for f in files_that_define(*ROWS) if f.startswith("kernels")],
    "the line about compiling": lambda: files_that_say('"compiling kernels'),
}


@pytest.mark.parametrize("what", ONCE)
def test_it_stands_once(what):
    assert len(ONCE[what]()) == 1, ONCE[what]()


def test_tensors_are_placed_among_arguments_by_the_op():
    """`Op.inputs` and `Op.with_inputs` know where the tensors are. Others ask for the places: texts
    and the errors of a call for the operands' names, fitting for the entries of a file, which are
    no tensors yet, and the tape for arguments that are None."""
    assert files_with("places") == ["checks/calls.py", "explain/fitting.py",
                                    "explain/formula_text.py", "explain/origins.py", "op.py",
                                    "tape.py"]


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


# --------------------------------------------------------------------------- equal up to rounding
def test_errors_are_measured_by_their_scale_and_nan_must_meet_nan():
    found = np.array([1.0, 4.5, np.nan, np.inf, 0.0])
    expected = np.array([1.0, 4.0, np.nan, np.inf, 0.0])
    np.testing.assert_array_equal(errors(found, expected), [0, 0.125, 0, 0, 0])
    np.testing.assert_array_equal(errors(found, expected, 2.0), [0, 0.25, 0, 0, 0])
    np.testing.assert_array_equal(errors([0.5, 0.5], [0.0, 0.0], np.array([0.0, 2.0])), [0.5, 0.25])
    for wrong in (np.nan, np.inf, -np.inf):
        assert not equal(wrong, 1.0, 1e9) and not equal(1.0, wrong, 1e9)
    assert not equal(np.inf, -np.inf, 1e9)
    assert equal(0.5, 0.0, 0.5) and not equal(0.5, 0.0, 0.4)
    assert scale_of(found, [-7, 2], np.zeros((0, 3)), True) == 7 and scale_of(np.nan) == 0


def test_the_callers_of_the_comparison_have_none_of_their_own():
    """Who asks whether numbers are equal up to rounding imports that from testing/compare.py; the
    public ``allclose``, NumPy's by another name, is the one other way."""
    assert files_with("allclose", "isclose") == ["more/allclose.py"]


# --------------------------------------------------------------------------- finite differences
def test_one_driver_moves_an_input_and_waits_for_a_smooth_curve():
    x, y, d = np.array([2.0, -0.3]), np.array([1.0, 4.0]), np.array([0.0, 1.0])
    f = lambda x, y: [x * x * y, np.abs(x)]
    gy = [np.array([1.0, -1.0]), np.array([1.0, 1.0])]
    line = along(f, [x, y], 0, d, f(x, y), gy)
    change = -(0.7**2 - 0.3**2) * 4 + (0.7 - 0.3)
    np.testing.assert_allclose(line(1.0), [change, (0.7**2 - 0.3**2) * 4 + 0.4, 4 + 0.36 + 2.3])
    tolerance = lambda found: 1e-6
    slope, allowed, smooth = first_smooth(line, (0.2, 1e-3), tolerance, 1)   # the kink is at 0
    assert smooth and allowed == 1e-6 and slope.step == 1e-3
    assert abs(slope.value - (2 * 0.3 * 4 - 1)) < 1e-6
    assert not first_smooth(line, (0.2,), tolerance, 1)[2]
    one = [np.ones(1)]
    nowhere = along(lambda x: [np.log(x)], [np.zeros(1)], 0, one[0], one, one)
    assert first_smooth(nowhere, (0.1,), tolerance, 1) == (None, 0.0, False)


if __name__ == "__main__":
    print("standing once:", ", ".join(f"{what} ({', '.join(ONCE[what]())})" for what in ONCE))
