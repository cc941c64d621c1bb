"""Formulas of several lines with the numbers of one element: softmax's maximum, exponentials and
sum, batch norm's mean and variance; and chains of sums and products with parameters as one formula.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..ops.terms import Composite, Elementwise
from . import maps as maps
from .columns import Column, Unknown, column_of, heading, legend
from .explanation import Explanation, ShownStep, Term, digits
from .fields import mixed_axes
from .folding import ARITHMETIC, Folded, Link, flat_index, seen_at
from .formula_text import at, names_of, plain_formula
from .origins import Applied
from .steps import parsed, step_values, written

SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


def shown_steps(call: maps.Call, index: tuple[int, ...]) -> tuple[ShownStep, ...]:
    """The lines of an op's formula, each with its number at one element of the result. A formula of
    one line has none: its value is the result."""
    kind = call.op.terms
    if not isinstance(kind, Composite):
        return ()
    steps = parsed(kind.value)
    lines = [step for step in steps if step.text]
    if len(lines) < 2:
        return ()
    values = step_values(steps, call.named() | {"y": call.out})
    return tuple(ShownStep(step.name, plain_formula(step.text),
                           _at_element(values[step.name], call, index)) for step in lines)


def _at_element(value: Any, call: maps.Call, index: tuple[int, ...]) -> float:
    """A step's number for one element of the result, which may lack the axes that it mixes."""
    value = np.asarray(value)
    if value.size == call.out.size:
        return float(value.reshape(call.out.shape)[index])
    if value.ndim != len(index):
        axes, rest = mixed_axes(call), iter(index)
        index = tuple(0 if i in axes else next(rest) for i in range(value.ndim))
    return float(value[tuple(0 if n == 1 else i for i, n in zip(index, value.shape))])


# --------------------------------------------------------------------------- chains
def explain_chain(asked: Applied, index: tuple[int, ...], links: list[Link],
                  begun: Folded | None) -> Explanation:
    """A chain of sums and products with parameters (:func:`folding.chain`) as one formula, line by
    line: each line's number, and as factors the element it began with and the parameters' own."""
    title = f"{asked.function or asked.op.name}   y{at(index)}"
    if begun:
        title = heading(asked, begun.core.op, index)
        columns, steps = _beginning(begun)
        name, value = "z", steps[-1].value
    else:
        columns, steps = [_link_column("x", links[-1], links[-1].data)], []
        name, value = "x", float(columns[0].values[0])
    for number, link in enumerate(links[::-1], 1):
        k = 1 - link.data                              # the operand that comes from parameters
        other = _link_column("", link, k)
        text, more = _text_of(other, 6)
        columns += more
        operands = (value, other.values[0])[::1 if link.data == 0 else -1]
        with np.errstate(all="ignore"):
            value = float(ARITHMETIC[link.made.op.name](*map(np.float64, operands)))
        line = f" {SIGNS[link.made.op.name]} ".join((name, text)[::1 if link.data == 0 else -1])
        name = "y" if number == len(links) else f"s{number}"
        steps.append(ShownStep(name, f"{name} = {line}", value))
    factors = tuple(f for column in columns for f in column.factors())
    origins = tuple(None if isinstance(c.origin, Unknown) else c.origin for c in columns)
    formula = "; ".join(step.text for step in steps)
    terms = [Term(factors, value, ",", origins)]
    return Explanation(title, (formula, *legend(columns, False)), terms, value,
                       float(asked.call.out[index]), site=asked.site, steps=tuple(steps),
                       module=asked.module)


def _beginning(begun: Folded) -> tuple[list[Column], list[ShownStep]]:
    """What a chain began with, a formula over arrays: its own element of x, and its lines, the last
    of which is z."""
    call = begun.core.call
    k = next((k for k, x in enumerate(call.operands) if x.shape == call.out.shape), 0)
    own = np.array([np.ravel_multi_index(begun.index, call.out.shape) if begun.index else 0])
    value = float(maps.value(call)[begun.index])
    steps = list(shown_steps(call, begun.index)) or [
        ShownStep("y", written(begun.core.op.terms.value), value)]
    steps[-1] = ShownStep("z", re.sub(r"^y = ", "z = ", steps[-1].text), value)
    return [column_of(names_of(call)[k], begun.core, k, own)], steps


def _link_column(name: str, link: Link, k: int) -> Column:
    """The element of a link's operand that its own element comes from."""
    x, place = link.made.call.operands[k], seen_at(link.made.call, k, link.index)
    flat = np.array([np.ravel_multi_index(place, x.shape) if place else 0])
    return column_of(name, link.made, k, flat)


def _text_of(column: Column, left: int) -> tuple[str, list[Column]]:
    """An element as a formula of leaves: (running_var + 1e-05) ** -0.5."""
    origin = column.origin
    before = origin.made() if not isinstance(origin, Unknown) and left else None
    if before is not None and isinstance(before.op.terms, Elementwise):
        place = flat_index(column.flat[0], origin.shape)
        texts, columns = [], []
        for k in range(len(before.call.operands)):
            inner = _link_column("", Link(before, place, k), k)
            text, more = _text_of(inner, left - 1)
            texts.append(text)
            columns += more
        formula, names = before.op.terms.value, names_of(before.call)
        known = dict(zip(names, texts))
        return f"({re.sub(r'[A-Za-z_]+', lambda m: known.get(m[0], m[0]), formula)})", columns
    if int(np.prod(origin.shape, dtype=int)) == 1 and not getattr(origin, "is_parameter", False):
        return digits(column.values[0]), []
    name = origin.name or "the parameter"
    return f"{name}{at(flat_index(column.flat[0], origin.shape))}", [column._replace(name=name)]
