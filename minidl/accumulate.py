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
    before = place._grad
    if before is not None and not create_graph:
        before.data[...] += g.data
    elif create_graph:
        place._grad = g.clone() if before is None else before + g
    elif _NOBODY_ELSE and _is_ours(g, place):
        place._grad = Tensor._wrap(g.data)
    else:                            # in the leaf's memory order: optimisers walk both together
        like = place.data if isinstance(place, Tensor) else g.data
        place._grad = Tensor._wrap(namespace(like).empty_like(like))
        place._grad.data[...] = g.data


def _is_ours(g: Tensor, place: Tensor | Node) -> bool:
    """May the array of g be a leaf's gradient as it is? If nobody else holds g, its array or the
    memory of that, all of which belongs to an array; and if it lies as the leaf does."""
    array, base = g.data, g.data.base
    counts = sys.getrefcount(g), sys.getrefcount(array), base is not None and sys.getrefcount(base)
    owner = array if base is None else base
    return counts in _NOBODY_ELSE and isinstance(place, Tensor) and (
        type(owner) is type(array) and owner.flags.owndata and owner.nbytes == array.nbytes) and (
        not isinstance(array, np.ndarray) or array.flags.writeable) and all(
        [n == 1 or s == t for n, s, t in zip(array.shape, array.strides, place.data.strides)])


# What getrefcount counts when nobody else has one, by a call like that in deposit: Python versions
# count differently. Where objects have no such counts, every gradient is copied.
_NOBODY_ELSE: list[tuple] = []


def _count_owners(g: Tensor) -> None:
    array, base = g.data, g.data.base
    _NOBODY_ELSE.append((sys.getrefcount(g), sys.getrefcount(array),
                         base is not None and sys.getrefcount(base)))


def _measured(g: Tensor) -> None:
    _count_owners(g)


if hasattr(sys, "getrefcount"):
    _measured(Tensor._wrap(np.empty(2)))
    _measured(Tensor._wrap(np.empty(2).reshape(2, 1)))
