"""Why one element of a gradient is what it is: ``x.explain_grad(...)``.

A gradient is added up over all ops that used the tensor; what each of them gave is a sum of terms,
gy times dy/dx. Both the gradient that arrived and what was stored are compared with that sum, so a
backward pass that is wrong shows, and is named.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..gradients import shares
from ..modes import no_grad
from ..ops.terms import Composite, Contract, Elementwise
from ..tensor import Tensor
from . import maps as maps
from .cells import checked
from .columns import Column, Unknown, factor_list, legend, operand_columns, terms_of
from .explanation import Explanation, Term, digits, followed_to, largest_first, total_of
from .fields import forward
from .folding import rearranges
from .formula_text import at, contribution_formula, names_of, op_title
from .origins import Applied, Arrival, HeldGradient
from .own_ops import slopes_by_differences
from .rerun import why_not_again
from .taken import taken_axes


def explain_grad(x: Tensor, index: tuple, depth: int = 1) -> Explanation:
    """Of one element of x's gradient: see :meth:`minidl.Tensor.explain_grad`."""
    index = checked(x, index, "explain_grad")
    if x.grad is None:
        why = "it was not created with requires_grad=True" if not x.requires_grad else (
            "call backward() first, ask before zero_grad(), and for a tensor inside the graph run "
            "all of it inside `with minidl.keep():`; a gradient that minidl.grad() returned has "
            ".explain()")
        raise RuntimeError(f"explain_grad: no gradient has arrived here (None, not zero): {why}")
    gradient = HeldGradient(x)
    if gradient.seed() is None and not any(True for _ in gradient.arrivals()):
        raise RuntimeError("explain_grad: it is not known who used this tensor" + (
            " since it was changed in place" if x._last_change else "")
            + ". Run forward and backward inside `with minidl.keep():`, and ask before the next "
            "update")
    return explain_arrived(gradient, index, depth)


def explain_arrived(gradient, index: tuple[int, ...], depth: int = 1) -> Explanation:
    """Of one element of a gradient (an Origin with arrivals): a part for each use, and in all the
    terms of all parts."""
    with maps.unwatched(), np.errstate(all="ignore"):          # inf and nan are values
        seed, stored = gradient.seed(), float(gradient.stored()[index])
        begun = [] if seed is None else [Term((("backward() began with", (), float(seed[index])),),
                                              float(seed[index]))]
        told = [each for arrival in gradient.arrivals() for each in _told_by(arrival, index, depth)]
        parts = tuple(each.part for each in told)
        terms = largest_first(begun + [t for part in parts for t in part.terms])
        count = sum(bool(part.terms) for part in parts)
        notes = [f"{count} uses of this tensor: their contributions add up"] if count > 1 else []
        if not parts and not begun:
            notes.append("no op took this element: it gets nothing")
        total = total_of(begun) + sum(p.total for p in parts)
        title = " ".join(["gradient", *[f"of {name}" for name in [gradient.of()] if name],
                          *[f"at {at(index)}" for _ in index[:1]]])
        result = Explanation(title, (), terms, total, stored, notes=tuple(notes), parts=parts)
        if _differs(result):
            why = "; ".join(_reasons(gradient, index, total, told))
            result = replace(result, notes=(
                *notes, f"the stored gradient is another number: {why}"))
        return result


def _differs(found: Explanation) -> bool:
    """Is the stored number another one, rounding apart? Slopes were rounded, too."""
    came = max([abs(term.factors[0][2]) for part in found.parts for term in part.terms],
               default=0.0)
    limit = 1e-3 * (found.magnitude + abs(found.stored)) + 1e-5 * came
    return bool(found.difference) and not abs(found.difference) <= limit


class Told(NamedTuple):
    """What one use gave to one element of one of its operands, and its explanation; `again` says
    why the op cannot be run again the same, if it cannot."""

    arrival: Arrival
    index: tuple[int, ...]
    part: Explanation
    again: str = ""


def _told_by(arrival: Arrival, index: tuple[int, ...], depth: int,
             asked: tuple[int, ...] | None = None) -> list[Told]:
    """What one use gave: through ops that only hand numbers on, what their results' uses gave.
    `asked` is the element's index in the tensor that was asked about, if that is another one."""
    if arrival.refused:
        return [Told(arrival, index, Explanation(f"{op_title(arrival.op)}: {arrival.refused}", (),
                                                 [], 0.0, None, site=arrival.site))]
    made, k = arrival.applied, arrival.k
    if why := why_not_again(made.call):
        return [Told(arrival, index, _as_given(arrival, index, why), why)]
    if rearranges(made.op):
        places = np.concatenate([np.zeros(0, int), *(
            group.out for group in maps.linear_terms(made.call, (k, index)))])
        if not len(places):
            return []                           # a slice that this element is not in
        if len(places) == 1 and (inner := _through(
                arrival, int(places[0]), depth, asked or index)):
            return inner
    part = explain_contribution(made.call, k, index, arrival.gy, arrival.site, made, arrival.above,
                                asked)
    return [Told(arrival, index, followed_to(part, depth, "gy"))]


def _as_given(arrival: Arrival, index: tuple[int, ...], why: str) -> Explanation:
    """Of an op that cannot be run again: what it gave, which its own backward pass says."""
    given = _own_backward(arrival, index) if arrival.given is None else float(
        arrival.given[index])
    terms = [] if given is None else [Term((("what it gave", (), given),), given)]
    notes = (why, *["what it gave is not known: its backward pass is gone"] * (given is None))
    return Explanation(f"from {op_title(arrival.op)}", (), terms, total_of(terms), None,
                       site=arrival.site, notes=notes, module=arrival.applied.module)


def _through(arrival: Arrival, place: int, depth: int, asked: tuple[int, ...]) -> list[Told]:
    """What was given to what a rearrangement made of an element, if that is known and adds up."""
    made, above = arrival.applied, arrival.above
    shape = made.call.out.shape
    index = tuple(int(i) for i in np.unravel_index(place, shape)) if shape else ()
    try:
        found = [] if above.seed() is not None else [
            each for later in above.arrivals()
            for each in _told_by(later, index, depth, asked)]
    except (RuntimeError, TypeError, ValueError):
        return []
    gy, total = float(arrival.gy[index]), sum(each.part.total for each in found)
    size = sum(each.part.magnitude for each in found)
    same = abs(gy - total) <= 1e-3 * size or gy == total
    if not found or not same and not wrong_backwards(found):
        return []                               # something happened there: not to be passed over
    return [each._replace(part=replace(each.part, title=_title_through(
        each.part.title, made.op.name))) for each in found]


def _title_through(title: str, name: str) -> str:
    return f"{title}, {name}" if ", through " in title else f"{title}, through {name}"


# --------------------------------------------------------------------------- one contribution
def explain_contribution(call: maps.Call, k: int, index, gy: np.ndarray, site=None,
                         made: Applied | None = None, above=None,
                         asked: tuple[int, ...] | None = None) -> Explanation:
    """Of one element of what the call's backward gives to operand k, for the upstream `gy`; `made`
    and `above` are Origins for the call and for gy, if terms are to be followed, and `asked` is the
    element's index in the array that the operand was taken from. Raises ValueError for an op that
    cannot be run again the same."""
    if why := why_not_again(call):
        raise ValueError(why)
    with maps.unwatched(), np.errstate(all="ignore"):          # inf and nan are values
        kind, outside, notes = call.op.terms, 0, ()
        made = made or Applied(call, (None,) * len(call.operands), None, site)
        if isinstance(kind, (Elementwise, Composite)) or kind is None:
            terms, used = _slope_terms(call, k, index, gy, above)
        else:
            terms, used = [], []
            for group in maps.linear_terms(call, (k, index)):
                if k in group.operands:
                    columns = [_upstream_column(gy, group.out, above),
                               *operand_columns(made, group, without=k)]
                    values = maps.products(call, group, k) * gy.ravel()[group.out]
                    terms += terms_of(columns, values)
                    used, outside = used + columns, outside + group.outside
        terms = largest_first(terms)
        name, taken = names_of(call)[k], {}
        if kind is None:
            formula = [f"dy/d{name} by finite differences"]
            notes = (f"{call.op.name} declares no terms: its slopes are finite differences",)
        else:
            taken = taken_axes(made, used, outside) if isinstance(kind, Contract) else {}
            formula = [contribution_formula(call, k, index, asked, taken)]
        formula += [line for line in [k == 0 and getattr(kind, "slope", "")] if line]
        own = {names_of(call)[i] for i in taken}
        formula += legend(used, isinstance(kind, Contract), own)
        return Explanation(f"from {op_title(call.op)}", tuple(formula), terms, total_of(terms),
                           None, outside, site, notes, module=made.module)


def _upstream_column(gy: np.ndarray, places: np.ndarray, above) -> Column:
    values = gy.reshape(-1)[places].astype(float)
    return Column("gy", above if above is not None else Unknown(gy.shape), places, values)


def _slope_terms(call: maps.Call, k: int, index, gy: np.ndarray, above
                 ) -> tuple[list[Term], list[Column]]:
    """gy times dy/dx, for every element of y that the element has to do with."""
    kind, x = call.op.terms, call.operands[k]
    place = int(np.ravel_multi_index(index, x.shape)) if x.shape else 0
    name = f"dy/d{names_of(call)[k]}"
    if isinstance(kind, Elementwise):
        slopes = np.broadcast_to(maps.evaluated(kind.partials[k] or "0", call),
                                 call.out.shape).ravel()
        reached = np.flatnonzero(maps.broadcast_positions(x, call.out.shape).ravel() == place)
    elif kind is None:
        slopes = slopes_by_differences(call, k, place).ravel()
        reached = np.flatnonzero(slopes != 0)
    else:
        slopes = maps.slopes(call, k, place).ravel()
        mask = np.arange(x.size).reshape(x.shape) == place     # a NaN elsewhere is no slope
        reached = np.flatnonzero(forward(call, k, mask).ravel() & (slopes != 0))
    upstream = _upstream_column(gy, reached, above)
    slope = factor_list(name, gy.shape, reached, slopes[reached])
    return [Term((g, s), g[2] * s[2], origins=(above, None))
            for g, s in zip(upstream.factors(), slope)], [upstream]


# --------------------------------------------------------------------------- another number
def _reasons(gradient, index: tuple, total: float, told: list[Told]) -> list[str]:
    """Why a stored gradient is not its terms' sum: what is known to have happened to it, if any."""
    again = list(dict.fromkeys(each.again for each in told if each.again))
    found = gradient.happened() + (wrong_backwards(told) + again or _not_finite(
        gradient, index, total))
    return found or [gradient.otherwise]


def _not_finite(gradient, index, total: float) -> list[str]:
    if np.isfinite(total - gradient.stored()[index]):
        return []
    return ["not all is finite here, and a kernel may have multiplied inf by the zeros of the "
            "padding, or added inf - inf"]


def wrong_backwards(told: list[Told]) -> list[str]:
    """The ops whose own backward, run again for this very gy, gives another number than the op's
    formula."""
    found = {}
    for arrival, index, part, again in told:
        made = arrival.applied
        if made is None or arrival.node is None or again:
            continue
        given = _own_backward(arrival, index)
        if given is not None and _own_backward(arrival, index) not in (given, None) and (
                np.isfinite(given)):
            found[made.op.name] = (f"the backward pass of {op_title(made.op)} gives another number "
                                   "each time that it is run")
            continue
        size = part.magnitude + max([abs(t.factors[0][2]) for t in part.terms], default=0.0)
        if given is not None and np.isfinite(given - part.total) and not (
                abs(given - part.total) <= 1e-3 * size):
            by = "finite differences" if made.op.terms is None else "its formula"
            found[made.op.name] = (
                f"the backward pass of {op_title(made.op)} is wrong: it gives {digits(given)} "
                f"here, {by} {digits(part.total)}; trace.check() of a recording tells more")
    return list(found.values())


def _own_backward(arrival: Arrival, index: tuple) -> float | None:
    """What the op's own backward gives to the element, run again; None where it is gone."""
    node = arrival.node
    if node is None or node.backward is None:
        return None
    places = [k for k, shape in enumerate(node.shapes) if shape is not None]
    gy = Tensor(arrival.gy.astype(node.dtype))
    need = tuple(k == places[arrival.k] for k in range(len(node.shapes)))
    try:
        with no_grad():
            given = dict(shares(node, node.backward(*node.arguments(gy, need)), gy, need))
    except Exception:                         # a backward of the user's, which may do anything
        return None
    g = given.get(places[arrival.k])
    return 0.0 if g is None else float(maps.float64_array(g)[index])
