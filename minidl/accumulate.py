"""Where gradients arrive: in the shape, dtype and memory of the place they are for.

An op's backward hands over one contribution for each input. It is brought to the input's shape
(:func:`fit`), and when all contributions have come, to its dtype and past its hooks
(:func:`complete`). A leaf's sum is then added to its ``.grad`` (:func:`deposit`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from .device import namespace
from .tensor import Tensor, as_tensor

if TYPE_CHECKING:
    from .tape import Node


def fit(name: str, g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Undo broadcasting, whose adjoint is a sum: the gradient gets the input's shape."""
    return g if g.data.shape == shape else _sum_to(name, g, shape)


def _sum_to(name: str, g: Tensor, shape: tuple[int, ...]) -> Tensor:
    lead = g.ndim - len(shape)
    spread = [lead + i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1]
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, g.shape[lead:])):
        raise ValueError(f"{name}: backward returned a gradient of shape {g.shape} for an input of "
                         f"shape {shape}")
    total = g.sum(tuple(range(lead)) + tuple(spread))
    return total if total.shape == shape else total.reshape(shape)


def complete(g: Tensor, place: Tensor | Node, hooks) -> Tensor:
    """A gradient that has received all its parts: in its tensor's dtype, seen by its hooks."""
    if g.data.dtype != place.dtype:
        g = g.to(place.dtype)
    for hook in list(hooks.values()) if hooks else ():
        changed = hook(g)
        g = g if changed is None else as_tensor(changed, g)
    return g


def deposit(place: Tensor | Node, g: Tensor, create_graph: bool) -> None:
    """Add g to a leaf's ``.grad`` (or a kept node's); no two gradients ever share memory."""
    before = place.grad
    if before is None:
        if create_graph:
            place.grad = g.clone()
        else:
            ours = _NOBODY_ELSE and _holders(g) in _NOBODY_ELSE and _suits(g.data, place)
            array = g.data if ours else _copy(g.data, place)
            place.grad = Tensor._wrap(array)
    elif create_graph:
        place.grad = before + g
    else:
        before.data[...] += g.data


def _copy(g, place: Tensor | Node):
    """A copy of g, for a leaf in the leaf's own memory order: optimisers walk both together."""
    copy = namespace(g).empty_like(place.data if isinstance(place, Tensor) else g)
    copy[...] = g
    return copy


def _suits(g, place: Tensor | Node) -> bool:
    """May the array g be a leaf's gradient as it is: in the leaf's memory order, and all of some
    memory that belongs to an array and may be written?"""
    owner = g if g.base is None else g.base
    if type(owner) is not type(g) or not owner.flags.owndata or owner.nbytes != g.nbytes:
        return False
    if isinstance(g, np.ndarray) and not g.flags.writeable:
        return False
    return isinstance(place, Tensor) and all(
        [n == 1 or s == t for n, s, t in zip(g.shape, g.strides, place.data.strides)])


def _holders(g: Tensor) -> tuple[int, ...]:
    """How many references there are to g, to its array, and to the array whose memory that is."""
    array, base = g.data, g.data.base
    counts = sys.getrefcount(g), sys.getrefcount(array)
    return counts if base is None else (*counts, sys.getrefcount(base))


# As many as when nobody else has one. Measured, by a call like that in deposit, for Python
# versions count differently; where objects have no such counts, nothing is ever kept.
def _measured(g: Tensor) -> tuple[int, ...]:
    return _holders(g)


_NOBODY_ELSE = (_measured(Tensor._wrap(np.empty(2))),
                _measured(Tensor._wrap(np.empty(2).reshape(2, 1)))) if hasattr(
                    sys, "getrefcount") else ()
