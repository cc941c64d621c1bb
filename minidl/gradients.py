"""The walk back: reverse-mode differentiation over the tape, and where gradients arrive.

For a loss, and a node whose op made y from its inputs x: gy = d loss / d y, the upstream gradient,
is known when all users of y have been visited. The op's backward pass then gives to each input

    g_x  +=  (dy/dx)^T gy         dy/dx the Jacobian matrix, which is never built.

A node is born after the nodes it consumes, so the order of birth is a topological order, and a
value used twice (``b = a + a; c = b + b``) has received all of its gradient before it passes any
of it on. No recursion: a chain of 100,000 ops is as good as a chain of ten.

An op's backward hands over one contribution for each input. It is brought to the input's shape
(:func:`sum_to`), and when all contributions have come, to its dtype and past its hooks
(:func:`complete`). A leaf's sum is then added to its ``.grad`` (:func:`deposit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import numpy as np

from .checks.arguments import seed_argument
from .checks.calls import seed_refused
from .device import constant, namespace
from .kernels import ownership
from .modes import mode, setting
from .tape import Node
from .tensor import Tensor, as_tensor


# --------------------------------------------------------------------------- backward
def backward(outputs: Sequence[Tensor], gradients: Sequence[Tensor], *, retain_graph: bool = False,
             create_graph: bool = False, wanted: Sequence[Tensor] | None = None):
    """Carry gradients back from `outputs`: into the leaves' ``.grad``, or to `wanted` alone.

    Returns the gradients of `wanted` (None where nothing arrived); None if `wanted` is None.
    Raises RuntimeError if the graph has been freed, or if a saved value was changed in place.
    """
    nodes = _youngest_first(outputs)
    places, on_the_way = ((), ()) if wanted is None else _on_the_way(wanted, nodes)
    sums: dict[Node | Tensor, Tensor] = {}          # the gradient each place has received so far
    for y, gy in zip(outputs, gradients):
        _add(sums, y.node or y, gy)
    watchers = list(dict.fromkeys([*mode.watchers, *[k.watcher for n in nodes for k in n.kept]]))
    hidden = () if create_graph else tuple([w for w in mode.watchers if not w.inside_backward])
    for w in watchers:
        w.backward_begins(outputs, gradients, wanted is None)
    try:
        with setting(create_graph, hidden), np.errstate(all="ignore"):         # inf, nan: values
            for node in nodes:
                gy = sums.pop(node, None)
                if gy is None:
                    continue
                gy = complete(gy, node, node.hooks)
                if node in places:                 # a wanted gradient, kept until the end
                    sums[node] = gy
                if wanted is not None and node not in on_the_way:
                    continue
                need = tuple([p is not None and (wanted is None or p in places or p in on_the_way)
                              for p in node.parents])
                for w in watchers:
                    w.node_begins(node, gy)
                if wanted is None and (node.retain_grad or node.kept):     # somebody asks for it
                    deposit(node, gy, create_graph)
                grads = node.backward(*node.arguments(gy, need))
                for k, g in shares(node, grads, gy, need):
                    _add(sums, node.parents[k], g)
                    for w in watchers:
                        w.contribution(node, k, gy, g, sums[node.parents[k]])
                for w in watchers:
                    w.node_ends(node)
                if not (retain_graph or node.kept):               # forget what it used
                    node.backward, node.parents, node.value = None, (), None
            grads = g = gy = None              # `deposit` copies what another name refers to
            for place in [place for place in sums if type(place) is not Node]:          # leaves
                sums[place] = complete(sums[place], place, place._hooks)
                if wanted is None:
                    deposit(place, sums.pop(place), create_graph)
    finally:
        for w in watchers[::-1]:
            w.backward_ends()
    return None if wanted is None else [sums.get(w.node or w) for w in wanted]


def _youngest_first(outputs: Sequence[Tensor]) -> list[Node]:
    """Every node the outputs depend on, last born first: each after all of its consumers."""
    order = list({y.node: None for y in outputs if y.node is not None})
    found = set(order)
    for node in order:                         # grows while it is walked
        if node.backward is None:
            raise RuntimeError(
                f"backward: the graph behind this tensor was freed by an earlier backward() (at "
                f"{node.op.name}); give that first call retain_graph=True, or run forward again")
        for parent in node.parents:
            if type(parent) is Node and parent not in found:
                found.add(parent)
                order.append(parent)
    order.sort(key=attrgetter("born"), reverse=True)
    return order


def _on_the_way(wanted: Sequence[Tensor], nodes: list[Node]) -> tuple[set, set[Node]]:
    """The wanted places, and the nodes from which one of them is reached: others need not be run.
    """
    places, found = {w.node or w for w in wanted}, set()
    for node in reversed(nodes):               # the oldest first: parents before their users
        if any([p is not None and (p in places or p in found) for p in node.parents]):
            found.add(node)
    return places, found


def _add(sums: dict, key, g: Tensor) -> None:
    """The multivariate chain rule: gradients of a value's several uses add up."""
    before = sums.get(key)
    sums[key] = g if before is None else before + g


def seed_gradient(name: str, y: Tensor, gradient) -> Tensor:
    """The gradient backward starts with: 1 for a scalar, the given one otherwise."""
    if not y._requires_grad or (gradient is None and y.data.size != 1):
        raise seed_refused(name, y)
    if gradient is None:
        return Tensor._wrap(constant(1.0, y.dtype, y.data).reshape(y.shape))
    return seed_argument(name, gradient, y)


# --------------------------------------------------------------------------- where gradients arrive
def shares(node: Node, grads, gy: Tensor, need: tuple[bool, ...]) -> list[tuple[int, Tensor]]:
    """What a node's closure gave to each input that wants a gradient, in the input's shape: pairs
    of the input's number and its gradient."""
    grads = grads if isinstance(grads, (tuple, list)) else (grads,)
    if len(grads) != len(need):
        raise ValueError(f"{node.op.name}: backward returned {len(grads)} gradients for "
                         f"{len(need)} tensor arguments")
    return [(k, g if isinstance(g, Tensor) and g.data.shape == node.shapes[k]
             else sum_to(node.op.name, as_tensor(g, gy), node.shapes[k]))
            for k, g in enumerate(grads) if need[k] and g is not None]


def sum_to(name: str, g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Undo broadcasting: the gradients of all copies of a value add up to the value's gradient."""
    if g.data.shape == shape:
        return g
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
    elif isinstance(place, Tensor) and ownership.unshared(g, place.data):
        place._grad = Tensor._wrap(g.data)
    else:                            # in the leaf's memory order: optimisers walk both together
        like = place.data if isinstance(place, Tensor) else g.data
        place._grad = Tensor._wrap(namespace(like).empty_like(like))
        place._grad.data[...] = g.data
