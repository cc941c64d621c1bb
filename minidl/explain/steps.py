"""A declaration's formula as a small list of steps, which Python and the page's JavaScript evaluate
alike.

``"m = max(x, dim); e = exp(x - m); y = e / sum(e, dim)"`` becomes seven lines' worth of steps: one
function each, of numbers, operands and earlier steps. What the formula names can be shown with its
numbers; the rest is called %1, %2, ...
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..ops.more.erf import erf


class Step(NamedTuple):
    """``name = do(*of)``, over the axes `dim` if it is a reduction. `text` is the line of the
    formula that ends with this step, "" inside a line."""

    name: str
    do: str
    of: tuple[str | float, ...]
    dim: Any = None                        # an axis or several, or the name of an argument
    text: str = ""


# --------------------------------------------------------------------------- what a step may do
def _largest(x, axis):
    """The maximum along `axis`; equal ones, or all NaN, share what depends on it. Also for complex
    numbers, by their real parts."""
    real = np.real(x)
    top = np.max(real, axis=axis, keepdims=True)
    first = (real == top) | (np.isnan(real) & np.isnan(top))
    total = np.sum(np.where(first, x, 0), axis=axis, keepdims=True)
    count = np.sum(first, axis=axis, keepdims=True)
    y = np.real(total) / count           # by parts: (inf + ih) / 2 has no imaginary part in NumPy
    return y + 1j * (np.imag(total) / count) if np.iscomplexobj(x) else y


def _variance(x, axis):
    centred = x - np.mean(x, axis=axis, keepdims=True)
    return np.mean(centred * centred, axis=axis, keepdims=True)


REDUCTIONS: dict[str, Callable] = {
    "sum": lambda x, axis: np.sum(x, axis=axis, keepdims=True),
    "mean": lambda x, axis: np.mean(x, axis=axis, keepdims=True),
    "var": _variance, "max": _largest, "min": lambda x, axis: -_largest(-x, axis)}
"""Functions of an operand and its axes, which stay as axes of length 1."""

FUNCTIONS: dict[str, Callable] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power,
    "neg": np.negative, "same": lambda x: x,
    "gt": np.greater, "ge": np.greater_equal, "lt": np.less, "le": np.less_equal, "eq": np.equal,
    "ne": np.not_equal, "column": lambda x: np.asarray(x)[:, None],
    **{name: getattr(np, name) for name in (
        "exp", "log", "sqrt", "sin", "cos", "tanh", "abs", "sign", "maximum", "minimum", "clip",
        "where", "log1p", "expm1")}, "erf": erf}
"""Functions element by element; `column` is x[:, None]. One more, ``take(x, t, dim)``, picks along
`dim` the elements of x that t numbers."""

_OPERATORS = {"Add": "add", "Sub": "sub", "Mult": "mul", "Div": "div", "Pow": "pow", "Gt": "gt",
              "GtE": "ge", "Lt": "lt", "LtE": "le", "Eq": "eq", "NotEq": "ne"}
_CONSTANTS = {"pi": np.pi}


# --------------------------------------------------------------------------- from text to steps
@cache
def parsed(text: str) -> tuple[Step, ...]:
    """The steps of a formula. Equal ones are one; the last is the value. Raises ValueError for
    what no step does."""
    reader = _Reader()
    for line in ast.parse(text).body:
        reader.line(line, text)
    return tuple(reader.steps)


class _Reader:
    def __init__(self):
        self.steps: list[Step] = []
        self.found: dict[tuple, str] = {}          # by function and operands: the step's name

    def line(self, line: ast.stmt, text: str) -> None:
        """``name = expression``, or an expression alone."""
        if isinstance(line, ast.Assign):
            (target,) = line.targets
            name, expression = target.id, line.value
        elif isinstance(line, ast.Expr):
            name, expression = "", line.value
        else:
            raise ValueError(f"no formula: {text}")
        before, last = len(self.steps), self.of(expression)
        if len(self.steps) == before or self.steps[-1].name != last:
            last = self._step("same", last)        # a number, an operand, or an earlier step
        if name:
            self.steps[-1] = self.steps[-1]._replace(
                name=name, text=ast.get_source_segment(text, line) or "")
            self.found = {key: name if held == last else held for key, held in self.found.items()}

    def of(self, e: ast.expr) -> str | float:
        """An expression's name; a number as it is."""
        if isinstance(e, ast.Constant):
            return e.value
        if isinstance(e, ast.Name):
            return _CONSTANTS.get(e.id, e.id)
        if isinstance(e, ast.BinOp):
            return self._call(_operator(e.op), [self.of(e.left), self.of(e.right)])
        if isinstance(e, ast.Compare) and len(e.ops) == 1:
            return self._call(_operator(e.ops[0]), [self.of(e.left), self.of(e.comparators[0])])
        if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.USub):
            inner = self.of(e.operand)
            return self._step("neg", inner) if isinstance(inner, str) else -inner
        if isinstance(e, ast.Call) and isinstance(e.func, ast.Name):
            return self._call(e.func.id, [self.of(a) for a in e.args])
        raise ValueError(f"no step does this: {ast.unparse(e)}")

    def _call(self, name: str, of: list) -> str:
        if name == "take":
            return self._step(name, *of[:2], dim=of[2])
        if name in REDUCTIONS and len(of) == 2:
            return self._step(name, of[0], dim=of[1])
        if name not in FUNCTIONS:
            raise ValueError(f"no step does this: {name}")
        return self._step(name, *of)

    def _step(self, do: str, *of, dim=None) -> str:
        key = do, of, dim
        if key not in self.found:
            self.found[key] = name = f"%{len(self.steps) + 1}"
            self.steps.append(Step(name, do, of, dim))
        return self.found[key]


def _operator(sign: ast.AST) -> str:
    return _OPERATORS.get(type(sign).__name__, type(sign).__name__)


# --------------------------------------------------------------------------- from steps to numbers
def step_values(steps: tuple[Step, ...], values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Every step's value by its name, in order; `values` are the operands and arguments."""
    known: dict[str, Any] = {}
    look = lambda a: (known[a] if a in known else values[a]) if isinstance(a, str) else a
    with np.errstate(all="ignore"):
        for step in steps:
            of = [look(a) for a in step.of]
            if step.do == "take":
                known[step.name] = np.take_along_axis(*of, axis=look(step.dim))
            elif step.do in REDUCTIONS and step.dim is not None:
                known[step.name] = REDUCTIONS[step.do](*of, look(step.dim))
            else:
                known[step.name] = FUNCTIONS[step.do](*of)
    return known


def value_of(text: str, values: Mapping[str, Any]):
    """What a formula gives."""
    steps = parsed(text)
    return step_values(steps, values)[steps[-1].name]


def written(text: str, result: str = "y") -> str:
    """A formula as it is shown: with a name before it, if it has none."""
    return text if parsed(text)[-1].text else f"{result} = {text}"
