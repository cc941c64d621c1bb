"""Why one element of a value is what it is: ``y.explain(...)``.

An element of an op's output is a sum of terms. ``maps`` finds the terms in the op's declaration,
``folding`` the op that made the element, through those that only hand it on; here they meet the
numbers, operands as they stand in the tensors. What they add up to is compared with what was
stored, which some kernel computed by other means. ``gradient_cells`` does it for gradients.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops.terms import Composite, Contract, Elementwise, Gather, Reduce
from ..tensor import Tensor
from . import maps as maps
from .chains import explain_chain, shown_steps
from .columns import (
    Column,
    Unknown,
    column_of,
    factor_list,
    heading,
    legend,
    number_factor,
    operand_columns,
    terms_of,
)
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
from .folding import Folded, chain, folded, rearranges
from .formula_text import Taken, at, names_of, value_formula
from .keeping import made
from .origins import Applied, ReturnedGradient, call_applied, made_by, returned
from .own_ops import own_terms
from .rerun import why_not_again
from .taken import taken_axes


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
    return explain_applied(call_applied(made_by(t, "explain"), "explain", t), index, depth)


def explain_call(call: maps.Call, index: tuple[int, ...]) -> Explanation:
    """Of one element of a call's output, where the call is all that is known."""
    return explain_applied(Applied(call, (None,) * len(call.operands), None, plain=True), index)


def explain_applied(asked: Applied, index: tuple[int, ...], depth: int = 1) -> Explanation:
    """Of one element of a call's output."""
    with maps.unwatched(), np.errstate(all="ignore"):          # inf and nan are values
        links, begun = ([], None) if asked.plain else chain(asked, index)
        if links:
            found = explain_chain(asked, index, links, begun)
        else:
            found = _explain_folded(asked, index, Folded(asked, index) if asked.plain
                                    else folded(asked, index))
        return followed_to(found, depth)


def _explain_folded(asked: Applied, index: tuple[int, ...], found: Folded) -> Explanation:
    call, steps, outside, taken = found.core.call, (), 0, {}
    if call.op.terms is None or why_not_again(call):
        terms, columns, formula, notes = own_terms(found.core, found.index)
    elif isinstance(call.op.terms, (Elementwise, Composite)):
        steps = shown_steps(call, found.index)
        terms, columns, notes = _as_function(found, bool(steps))
        formula = value_formula(call, found.index)
    else:
        terms, columns, outside = _sum_of_terms(found)
        if isinstance(call.op.terms, Contract):
            taken = taken_axes(found.core, columns, outside)
        formula, notes = _sum_formula(asked, index, found, terms, columns, taken)
    if found.refused:
        notes = [*notes, f"what made x cannot be told: {found.refused}"]
    told = rearranges(call.op) or "the mean of" in formula[0]     # then the formula says the way
    through = [where_from(index, found)] * bool(found.through and not told)
    known = {names_of(call)[k] for k in taken}
    about = legend(columns, isinstance(call.op.terms, Contract), known)
    terms = largest_first(terms)
    return Explanation(heading(asked, found.core.op, index), (*formula, *through, *about), terms,
                       total_of(terms), float(asked.call.out[index]), outside, asked.site,
                       tuple(notes), steps=steps, module=asked.module)


def where_from(index: Sequence[int], found: Folded) -> str:
    """How the element came from the op that made it: "y[5] is relu's y[0,1,1], through reshape"."""
    made = f"{found.core.op.name}'s y{at(found.index)}"
    if found.scale != 1:
        made += f" * {digits(found.scale)}"
    made += "".join(f" + {added_name(each)}{at(each.index)}"
                    + (f" * {digits(each.scale)}" if each.scale != 1 else "")
                    for each in found.added)
    return f"y{at(index)} = {made}, through {', '.join(found.through)}"


# --------------------------------------------------------------------------- sums
def _sum_of_terms(found: Folded) -> tuple[list[Term], list[Column], int]:
    """The terms of a sum of products, the columns of their factors, and how many terms lie in the
    padding."""
    call, terms, used, outside = found.core.call, [], [], 0
    for group in maps.linear_terms(call, (None, found.index)):
        columns = operand_columns(found.core, group)
        terms += terms_of(columns, maps.products(call, group), found.scale)
        used, outside = used + columns, outside + group.outside
    terms += [Term(((added_name(b), b.index, b.value), *number_factor(b.scale)),
                   b.value * b.scale, origins=(b.origin, *[None] * (b.scale != 1)))
              for b in found.added]
    if not terms and isinstance(call.op.terms, Gather):
        terms = [Term((), float(call.named().get("value", 0.0)) * found.scale)]
    return terms, used, outside


def added_name(bias) -> str:
    """What a bias that was folded is called: b, or as the program calls it."""
    return bias.origin.name or "b"


def _sum_formula(asked: Applied, index, found: Folded, terms: list[Term], columns: list[Column],
                 taken: Taken) -> tuple[Sequence[str], list[str]]:
    """The formula of a sum, and notes."""
    call, kind = found.core.call, found.core.op.terms
    if isinstance(kind, Gather):
        if call.op.name == "max_pool2d":
            return [f"y{at(found.index)} = the largest of x in its window"], [
                _window_text(call, found.index)]
        way = ", ".join((*found.through, call.op.name, *(
            name for column in columns for name in column.through)))
        if not terms[0].factors:
            return [f"y{at(index)} = {digits(terms[0].value)}, through {way}"], [
                "the constant around the operand"]
        name, place, _ = terms[0].factors[0]
        return [f"y{at(index)} = {name}{at(place)}, through {way}"], []
    if isinstance(kind, Reduce):
        return _reduction_formula(found)
    only_moved = found.scale == 1 and not found.added
    lines = value_formula(call, found.index, index if only_moved else None, taken)
    known = {names_of(call)[k] for k in taken}
    return lines[:1] if any(c.through and c.name not in known for c in columns) else lines, []


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
def _as_function(found: Folded, with_steps: bool) -> tuple[list[Term], list[Column], list[str]]:
    """A nonlinear op's value as one term, whose factors are what it was given: the element asked
    for first, then weights and biases, then what else of x the formula sees; and notes."""
    made, index = found.core, found.index
    call, kind, names = made.call, made.op.terms, names_of(made.call)
    value, columns, rest = float(maps.value(call)[index]), [], []
    for k, x in enumerate(call.operands):
        places = _seen(call, k, index)
        own = places if len(places) <= 1 else np.zeros(0, int)
        if isinstance(kind, Composite) and k == 0 and x.shape == call.out.shape and x.shape:
            own = np.array([np.ravel_multi_index(index, x.shape)])
        columns.append(column_of(names[k], made, k, own))
        rest.append(column_of(names[k], made, k, np.setdiff1d(places, own)))
    beside = _masks_at(call, names, index) if isinstance(kind, Elementwise) else []
    left = SHOWN - len(beside) - sum(len(c.flat) for c in columns)
    others, notes = sum(len(c.flat) for c in rest), []
    if others > left and with_steps:
        notes, rest = [f"and {others} other elements of x that the steps see"], []
    elif others > left:
        notes = [f"and {others - left} more operands"]
    factors, origins = [], []
    for column in (*columns, *rest):
        factors += column.factors()
        origins += [None if isinstance(column.origin, Unknown) else column.origin] * len(
            column.flat)
    factors, origins = factors[:SHOWN] + beside, origins[:SHOWN] + [None] * len(beside)
    if isinstance(kind, Composite):
        notes += [f"{name}[{index[0]}] = {digits(a[index[0]])}" for name, a in
                  call.named().items() if name not in names and isinstance(a, np.ndarray)
                  and call.out.ndim and a.shape == call.out.shape[:1]]
    return [Term(tuple(factors), value, ",", tuple(origins))], [*columns, *rest], notes


def _masks_at(call: maps.Call, names: list[str], index) -> list[tuple]:
    """Masks and targets of a function, which are no operands: (name, index, value)."""
    return [(name, index, float(np.broadcast_to(a, call.out.shape)[index]))
            for name, a in call.named().items() if isinstance(a, np.ndarray)
            and name not in names and re.search(rf"\b{name}\b", call.op.terms.value)]


def _seen(call, k: int, index) -> np.ndarray:
    """Where the elements of operand k are that a nonlinear op's element depends on."""
    mask = np.zeros(call.out.shape, bool)
    mask[index] = True
    return np.flatnonzero(back(call, k, mask))
