"""Why one element of a value is what it is: ``y.explain(...)``.

An element of an op's output is a sum of terms. ``maps`` finds the terms in the op's declaration,
``folding`` the op that made the element, through those that only hand it on; here they meet the
numbers, operands as they stand in the tensors. What they add up to is compared with what was
stored, which some kernel computed by other means. ``gradient_cells`` does it for gradients.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np

from ..modes import Switch
from ..op import Op
from ..ops.terms import Composite, Elementwise, Gather, Reduce
from ..tensor import Tensor
from . import maps as maps
from .chains import explain_chain
from .explanation import (
    SHOWN,
    Explanation,
    Term,
    digits,
    followed_to,
    largest_first,
    total_of,
)
from .fields import WINDOW, back
from .folding import Folded, chain, folded, seen_at, traced_all
from .formula_text import at, names_of, op_title, value_formula
from .origins import Applied, Held, ReturnedGradient, applied, made_by, returned
from .own_ops import explain_own
from .keeping import made


def unwatched() -> Switch:
    """Inside, ops that an explanation runs are told to nobody."""
    return Switch("watchers", ())


def checked(t: Any, index: tuple, who: str) -> tuple[int, ...]:
    """The index as whole numbers of t's axes. Raises IndexError, TypeError."""
    if len(index) == 1 and isinstance(index[0], (tuple, list)):
        index = tuple(index[0])
    if len(index) != t.ndim:
        raise IndexError(f"{who}: shape {t.shape} needs {t.ndim} indices, got {len(index)}")
    result = []
    for axis, (i, n) in enumerate(zip(index, t.shape)):
        if isinstance(i, bool) or not hasattr(i, "__index__"):
            raise TypeError(f"{who}: index {axis} must be an integer, got {i!r}")
        if not -n <= int(i) < n:
            raise IndexError(f"{who}: index {i} of axis {axis} is outside 0..{n - 1}, shape "
                             f"{t.shape}")
        result.append(int(i) % n)
    return tuple(result)


def explain(t: Tensor, index: tuple, depth: int = 1) -> Explanation:
    """Of one element of t: see :meth:`minidl.Tensor.explain`."""
    index = checked(t, index, "explain")
    if made(t) is None and (known := returned(t)):
        return ReturnedGradient(t, known).explain(index, depth)
    return explain_applied(applied(made_by(t, "explain"), "explain", t), index, depth)


def explain_applied(asked: Applied, index: tuple[int, ...], depth: int = 1) -> Explanation:
    """Of one element of a call's output."""
    with unwatched(), np.errstate(all="ignore"):          # inf and nan are values
        if asked.op.terms is None:
            found = explain_own(asked, index)
        else:
            links, begun = chain(asked, index)
            found = (explain_chain(asked, index, links, begun) if links
                     else _explain_folded(asked, index, folded(asked, index)))
        return followed_to(found, depth)


def _explain_folded(asked: Applied, index: tuple[int, ...], found: Folded) -> Explanation:
    call, notes, steps, outside = found.core.call, [], (), 0
    if isinstance(call.op.terms, (Elementwise, Composite)):
        terms, notes = _function(found)
        formula = list(value_formula(call, found.index))
        steps = shown_steps(call, found.index)
    else:
        terms, outside, moved = _sum(found)
        formula, notes = _sum_formula(asked, index, found, terms, moved)
    formula += [where_from(index, found)] * bool(found.through)
    formula += legend(terms)
    terms = largest_first(terms)
    return Explanation(heading(asked, found.core.op, index), tuple(formula), terms, total_of(terms),
                       float(asked.call.out[index]), outside, asked.site, tuple(notes),
                       steps=steps, module=asked.module)


def heading(asked: Applied, op: Op, index: Sequence[int]) -> str:
    """The op that made the element, after the function that the program called."""
    called = asked.function if asked.function != op.name else ""
    return f"{called}{': ' if called else ''}{op_title(op)}   y{at(index)}"


def where_from(index: Sequence[int], found: Folded) -> str:
    """How the element came from the op that made it: "y[5] is relu's y[0,1,1], through reshape"."""
    made = f"{found.core.op.name}'s y{at(found.index)}"
    if found.scale != 1:
        made += f" * {digits(found.scale)}"
    made += "".join(f" + {added_name(each)}{at(each.index)}"
                    + (f" * {digits(each.scale)}" if each.scale != 1 else "")
                    for each in found.added)
    return f"y{at(index)} = {made}, through {', '.join(found.through)}"


def legend(terms: Sequence[Term]) -> list[str]:
    """What the letters of the factors are: "x is the output of relu, w is conv1.weight"."""
    known = {}
    for term in terms:
        for (name, *_), origin in zip(term.factors, term.origins):
            if name and origin is not None and name not in known:
                known[name] = origin.about()
    said = [f"{name} is {about}" for name, about in known.items() if about not in ("", name)]
    return [", ".join(said)] if said else []


# --------------------------------------------------------------------------- sums
def _sum(found: Folded) -> tuple[list[Term], int, bool]:
    """The terms of a sum of products, how many lie in the padding, and whether an operand was
    rearranged before."""
    call, terms, outside, moved = found.core.call, [], 0, False
    for group in maps.linear_terms(call, (None, found.index)):
        columns = operand_columns(found.core, group)
        moved |= any(column.through for column in columns)
        terms += products(columns, maps.products(call, group), found.scale)
        outside += group.outside
    terms += [Term((((added_name(b), b.index, b.value),)) + _number_factor(b.scale),
                   b.value * b.scale, origins=(b.origin, *[None] * (b.scale != 1)))
              for b in found.added]
    if not terms and isinstance(call.op.terms, Gather):
        terms = [Term((), float(call.named().get("value", 0.0)) * found.scale)]
    return terms, outside, moved


def added_name(bias) -> str:
    """What a bias that was folded is called: b, or as the program calls it."""
    return bias.origin.name or "b"


def _number_factor(scale: float) -> tuple:
    return (("", (), scale),) if scale != 1 else ()


class Column(NamedTuple):
    """One factor of every term: its letter, the array it is taken from, the places there, the
    values, and through which ops it came."""

    name: str
    origin: Any
    places: np.ndarray
    values: np.ndarray
    through: tuple[str, ...] = ()

    def factors(self) -> list[tuple]:
        """(name, index, value) of each."""
        return factor_list(self.name, self.origin.shape, self.places, self.values)


def operand_columns(made: Applied, group: maps.Terms, without: int | None = None) -> list[Column]:
    """The operands of a group of terms, each followed to the array that its elements stand in."""
    names, columns = names_of(made.call), []
    for k, places in group.operands.items():
        if k != without:
            columns.append(column_of(names[k], made, k, places))
    return columns


def column_of(name: str, made: Applied, k: int, places: np.ndarray) -> Column:
    """Operand k of a call at some places."""
    origin = made.inputs[k] if k < len(made.inputs) else None
    values = made.call.operands[k].reshape(-1)[places].astype(float)
    if origin is None:
        return Column(name, Unknown(made.call.operands[k].shape), places, values)
    return Column(name, *(traced := traced_all(origin, places))[:2], values, traced[2])


class Unknown:
    """An array of which nothing is known but its shape."""

    name = ""

    def __init__(self, shape):
        self.shape = shape


def factor_list(name: str, shape, places: np.ndarray, values: np.ndarray) -> list[tuple]:
    """(name, index, value) of elements at flat places of an array of that shape."""
    if not len(places):
        return []
    index = np.unravel_index(places, shape) if len(shape) else ()
    where = zip(*(i.tolist() for i in index)) if len(shape) else repeat((), len(places))
    return list(zip(repeat(name), where, values.tolist()))


def products(columns: Sequence[Column], values: np.ndarray, scale: float = 1.0) -> list[Term]:
    """Terms with a factor from each column, and their values, times a number."""
    origins = tuple(c.origin if not isinstance(c.origin, Unknown) else None for c in columns)
    origins += (None,) * (scale != 1)
    more = _number_factor(scale)
    rows = zip(*(c.factors() for c in columns)) if columns else repeat((), len(values))
    return [Term((*factors, *more), value, origins=origins)
            for factors, value in zip(rows, (values * scale).tolist())]


def _sum_formula(asked, index, found: Folded, terms, moved: bool) -> tuple[list[str], list[str]]:
    """The formula of a sum, and notes."""
    call, kind = found.core.call, found.core.op.terms
    if isinstance(kind, Gather):
        if call.op.name == "max_pool2d":
            return [f"y{at(found.index)} = the largest of x in its window"], [
                _window_text(call, found.index)]
        if not terms[0].factors:
            return [f"y{at(found.index)} = {digits(terms[0].value)}"], [
                "the constant around the operand"]
        name, place, _ = terms[0].factors[0]
        return [f"y{at(index)} = {name}{at(place)}"], []
    if isinstance(kind, Reduce):
        return _reduction_formula(found)
    lines = list(value_formula(call, found.index))
    return lines[:1] if moved else lines, []


def _reduction_formula(found: Folded) -> tuple[list[str], list[str]]:
    """A sum over axes; of a loss that counts its rows, how much each counts."""
    call, notes = found.core.call, []
    (line,) = value_formula(call, found.index)
    count = call.operands[0].size // max(call.out.size, 1)
    if found.scale != 1 and abs(found.scale * count - 1) < 1e-12:
        line = line.replace("the sum of", "the mean of")
    before = found.core.inputs[0].made() if found.core.inputs[0] is not None else None
    shares = before.call.named().get("k") if before is not None else None
    if isinstance(shares, np.ndarray) and shares.shape == call.operands[0].shape and shares.size:
        known = sorted({digits(k) for k in shares.ravel().tolist()})
        notes = [f"each number was multiplied by how much it counts, k = {' or '.join(known)}"]
        if shares.size * shares.ravel()[0] == 1 == len(known):
            notes = [f"each number counts {known[0]}: the mean of {shares.size}"]
    return [line], notes


def _window_text(call, index) -> str:
    (group,) = [maps.contraction_terms(call, WINDOW, (None, index))]
    x, places = call.operands[0], group.operands[0]
    values = ", ".join(f"x{at(place)} {digits(v)}" for _, place, v in factor_list(
        "x", x.shape, places, x.ravel()[places]))
    return f"the largest of {values}"


# --------------------------------------------------------------------------- functions
def _function(found: Folded) -> tuple[list[Term], list[str]]:
    """A nonlinear op's value as one term, whose factors are what it was given: the element asked for
    first, then weights and biases, then what else of x the formula sees."""
    made, index = found.core, found.index
    call, kind, names = made.call, made.op.terms, names_of(made.call)
    value, columns = float(maps.value(call)[index]), []
    for k, x in enumerate(call.operands):
        places = _seen(call, k, index)
        own = np.zeros(0, int)
        if isinstance(kind, Composite) and k == 0 and x.shape == call.out.shape:
            own = np.array([np.ravel_multi_index(index, x.shape) if x.shape else 0])
            columns.insert(0, column_of(names[k], made, k, own))
        columns.append(column_of(names[k], made, k, np.setdiff1d(places, own)))
    columns.sort(key=lambda column: len(column.places) > 1)       # stable: the few ones first
    factors, origins = [], []
    for column in columns:
        factors += column.factors()
        origins += [None if isinstance(column.origin, Unknown) else column.origin] * len(
            column.places)
    if isinstance(kind, Elementwise):              # masks and targets that are no operands
        beside = [(name, index, float(np.broadcast_to(a, call.out.shape)[index]))
                  for name, a in call.named().items() if isinstance(a, np.ndarray)
                  and name not in names and re.search(rf"\b{name}\b", kind.value)]
        factors, origins = factors + beside, origins + [None] * len(beside)
    notes = [f"and {len(factors) - SHOWN} more operands"] if len(factors) > SHOWN else []
    if isinstance(kind, Composite):
        notes += [f"{name}[{index[0]}] = {digits(a[index[0]])}" for name, a in
                  call.named().items() if name not in names and isinstance(a, np.ndarray)
                  and call.out.ndim and a.shape == call.out.shape[:1]]
    return [Term(tuple(factors[:SHOWN]), value, ",", tuple(origins[:SHOWN]))], notes


def _seen(call, k: int, index) -> np.ndarray:
    """Where the elements of operand k are that a nonlinear op's element depends on."""
    mask = np.zeros(call.out.shape, bool)
    mask[index] = True
    return np.flatnonzero(back(call, k, mask))
