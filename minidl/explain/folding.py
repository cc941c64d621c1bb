"""What an element *is*: through the ops that only hand numbers on, to the op that made it.

A grouped convolution is ``cat`` of slices of convolutions, a layer on three axes a ``reshape`` of
one on two, an average a sum and a division by a number. Asked for an element of such a result, one
wants the products. So three kinds of op are folded away:

* a rearrangement (reshape, permute, an index, cat), which hands one element on;
* the sum with a bias: a leaf that is a layer's parameter, or that is repeated along axes;
* the product with, or the quotient by, a single number, of what is a sum.

What is made of x and of parameters alone, one sum or product after the other in one call of a
function (``batch_norm`` in evaluation, the scale and shift of ``layer_norm``), is one formula: a
:func:`chain`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..op import Op
from ..ops.terms import Composite, Contract, Elementwise, Gather, Reduce
from . import maps as maps
from .origins import Applied
from .rerun import why_not_again

CHOOSING = "max_pool2d", "max_pool2d_pick"     # rearrangements whose places the data choose
ARITHMETIC = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
LINKS = 12                         # of a chain, and ops behind a parameter, at most


class Added(NamedTuple):
    """A bias that was added: its element, and by what number the sum was multiplied later."""

    origin: Any
    index: tuple[int, ...]
    value: float
    scale: float


class Folded(NamedTuple):
    """The call that made an element, the element's index there, and what was folded: the ops
    `through` which it came, the last one first, what was `added`, and the `scale`. `refused` says
    why it could not be followed further, if it could not."""

    core: Applied
    index: tuple[int, ...]
    through: tuple[str, ...] = ()
    added: tuple[Added, ...] = ()
    scale: float = 1.0
    refused: str = ""


def rearranges(op: Op) -> bool:
    """Does the op only hand elements on, to places that it knows before it sees them?"""
    return isinstance(op.terms, Gather) and op.name not in CHOOSING


def hands_on(made: Applied) -> bool:
    """Does the call only hand elements on, the same ones each time?"""
    return rearranges(made.op) and not why_not_again(made.call)


def folded(made: Applied, index: tuple[int, ...]) -> Folded:
    """What made one element of a call's result."""
    call, op = made.call, made.op
    found = None
    if hands_on(made):
        if place := _handed_on(call, index):
            found = _behind(made.inputs[place[0]], place[1])
    elif op.name == "add":
        found = _without_bias(made, index)
    elif op.name in ("mul", "div"):
        found = _without_number(made, index)
    if found is None:
        refused = (getattr(origin, "refused", "") for origin in made.inputs if rearranges(op))
        return Folded(made, index, refused=next(filter(None, refused), ""))
    return found._replace(through=(op.name, *found.through))


def _behind(origin, index: tuple[int, ...]) -> Folded | None:
    before = origin.made() if origin is not None else None
    return folded(before, index) if before is not None else None


def _handed_on(call: maps.Call, index) -> tuple[int, tuple[int, ...]] | None:
    """The operand, and the place in it, whose element this one is; None for a constant."""
    for group in maps.linear_terms(call, (None, index)):
        for k, places in group.operands.items():
            if len(places) == 1:
                return k, flat_index(places[0], call.operands[k].shape)
    return None


def flat_index(place: int, shape) -> tuple[int, ...]:
    """The index of the element at a flat place."""
    return tuple(int(i) for i in np.unravel_index(int(place), shape)) if shape else ()


def seen_at(call: maps.Call, k: int, index) -> tuple[int, ...]:
    """The element of operand k that broadcasting brings to an element of the result."""
    x = call.operands[k]
    lead = len(index) - x.ndim
    return tuple(0 if n == 1 else i for i, n in zip(index[lead:], x.shape))


def _without_bias(made: Applied, index) -> Folded | None:
    """Of a sum: the one summand, if it is a sum of products and the other a bias of it."""
    call = made.call
    for k, other in ((0, 1), (1, 0)):
        bias, at = traced(made.inputs[other], seen_at(call, other, index))
        if not _is_bias(bias, call.out.size):
            continue
        found = _behind(made.inputs[k], seen_at(call, k, index))
        if found and isinstance(found.core.op.terms, Contract):
            value = float(call.operands[other][seen_at(call, other, index)])
            return found._replace(added=(*found.added, Added(bias, at, value, 1.0)))
    return None


def _is_bias(origin, size: int) -> bool:
    if origin is None or not origin.is_leaf():
        return False
    return origin.is_parameter or 1 < int(np.prod(origin.shape, dtype=int)) < size


def _without_number(made: Applied, index) -> Folded | None:
    """Of a product with a single number that is no parameter: the other factor, if it is a sum."""
    call = made.call
    for k, other in ((0, 1), (1, 0))[:1 if made.op.name == "div" else 2]:
        number, origin = call.operands[other], made.inputs[other]
        if number.size != 1 or origin is None or not origin.is_leaf() or origin.is_parameter:
            continue
        found = _behind(made.inputs[k], seen_at(call, k, index))
        if found and isinstance(found.core.op.terms, (Contract, Reduce)):
            number = float(number.ravel()[0])
            scale = 1 / number if made.op.name == "div" else number
            return found._replace(scale=found.scale * scale, added=tuple(
                each._replace(scale=each.scale * scale) for each in found.added))
    return None


# --------------------------------------------------------------------------- operands
def traced(origin, index: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    """The array that one element of an operand was taken from by rearrangements, and where."""
    flat = int(np.ravel_multi_index(index, origin.shape)) if origin is not None and index else 0
    found, places, _ = traced_all(origin, np.array([flat]))
    return found, flat_index(places[0], found.shape) if found is not None else index


def traced_all(origin, places: np.ndarray) -> tuple[Any, np.ndarray, tuple[str, ...]]:
    """The array that elements of an operand (flat places) were taken from by rearrangements, their
    places there, and the names of the ops on the way. Elements that came from several arrays, or
    are a constant, are followed no further."""
    through: list[str] = []
    while origin is not None and len(places):
        before = origin.made()
        if before is None or not hands_on(before):
            break
        for group in maps.linear_terms(before.call):
            ((k, came),) = group.operands.items()
            where = np.full(before.call.out.size, -1)
            where[group.out] = came
            if (where[places] >= 0).all():
                break
        else:
            break
        origin, places = before.inputs[k], where[places]
        through.append(before.op.name)
    return origin, places, tuple(through)


# --------------------------------------------------------------------------- chains
class Link(NamedTuple):
    """One op of a chain: the call, the element there, and which operand is the number that the
    chain hands on."""

    made: Applied
    index: tuple[int, ...]
    data: int


def chain(made: Applied, index: tuple[int, ...]) -> tuple[list[Link], Folded | None]:
    """The sums and products with parameters that end in this element, the last one first; and what
    they began with, a formula over arrays in the same call, or None for an operand.

    All of them were called in one line and one module. A chain without a parameter, or of one
    link that began with an operand, is none: ``x * 2``."""
    links: list[Link] = []
    current, at, begun = made, index, None
    where = lambda call: (str(call.site), call.module, call.function)
    while current is not None and len(links) < LINKS and where(current) == where(made):
        kind = current.op.terms
        if hands_on(current) and (place := _handed_on(current.call, at)):
            current, at = current.inputs[place[0]], place[1]
            current = current.made() if current is not None else None
            continue
        if isinstance(kind, Composite):
            begun = Folded(current, at)
            break
        data = _data_operand(current) if current.op.name in ARITHMETIC else None
        if data is None:
            break
        links.append(Link(current, at, data))
        at, operand = seen_at(current.call, data, at), current.inputs[data]
        current = operand.made() if operand is not None else None
    if not links or not any(_has_parameter(link) for link in links):
        return [], None
    return (links, begun) if begun or len(links) > 1 else ([], None)


def _data_operand(made: Applied) -> int | None:
    """Which operand of a sum or product is data, where the other comes from parameters alone."""
    size = made.call.out.size
    fixed = [_is_fixed(origin, size) for origin in made.inputs]
    return fixed.index(False) if fixed.count(False) == 1 and len(fixed) == 2 else None


def _is_fixed(origin, size: int, left: int = LINKS) -> bool:
    """Is it computed from leaves alone that are parameters, or smaller than the result?"""
    if origin is None or left == 0:
        return False
    if origin.is_leaf():
        return origin.is_parameter or int(np.prod(origin.shape, dtype=int)) < max(size, 2)
    before = origin.made()
    return before is not None and isinstance(before.op.terms, (Gather, Elementwise)) and all(
        _is_fixed(each, size, left - 1) for each in before.inputs)


def _has_parameter(link: Link) -> bool:
    """Is the other operand more than a number?"""
    origin = link.made.inputs[1 - link.data]
    leaf, *_ = traced_all(origin, np.zeros(1, int))
    return leaf is not None and (leaf.is_parameter or int(np.prod(leaf.shape, dtype=int)) > 1)
