"""The tape: what an op call leaves behind, for :mod:`minidl.gradients` to walk back over.

If an input of an op wants a gradient, the result gets a :class:`Node`: the op, where its inputs'
gradients go, and the closure that computes them. There is no list of all nodes: the graph is
whatever the tensors at hand still refer to, and it dies by reference counting.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING

import numpy as np

from .checks.calls import check_result, stale
from .modes import mode
from .tensor import Tensor

if TYPE_CHECKING:
    from .op import Op

now = itertools.count(1).__next__
"""The next moment of the clock by which nodes are born and tensors changed in place."""


def put_on_tape(entry: Op, args, inputs, y, backward) -> Tensor | tuple[Tensor, ...]:
    """What an op returns, with a node behind the output if somebody may want a gradient."""
    extra = ()
    if type(y) is not np.ndarray:                  # several arrays, or a number of NumPy's
        y, *extra = y if type(y) is tuple else (y,)
        y = np.asarray(y) if isinstance(y, np.generic) else y
    if type(y) is not np.ndarray or type(backward) is not FunctionType:
        check_result(entry.name, inputs, y, backward)
    out = Tensor._wrap(y)
    if entry.views and y.base is not None:
        for x in inputs:
            out._share_storage(x)
    if backward is not None and mode.grad:
        for x in inputs:                           # faster than any(...), and every op comes here
            if x._requires_grad:
                out._requires_grad = True
                each = [args[i] for i in entry.places] if entry.optional else inputs
                out.node = Node(entry, each, backward, out)       # `each` with a bias that is None
                break
    return (out, *[Tensor._wrap(e) for e in extra]) if extra else out


class Node:
    """One op call on the tape: its `op`, its `parents`, and its `backward` closure.

    There is a parent for each tensor argument: where the argument's gradient goes. It is the node
    that made the argument, or the argument itself if that is a leaf, or None if the argument wants
    no gradient. (An argument that is None has None as its parent and as its shape.) An input lives
    on only if the closure names it.
    """

    # What a node seldom has lives here, on the class.
    hooks = _grad = value = changed_at = None
    retain_grad = False
    kept = ()                       # what watchers keep of this call (watch.py)

    def __init__(self, entry: Op, inputs, backward: Callable, out: Tensor):
        self.born = now()
        self.op, self.backward = entry, backward
        self.parents = tuple([(x.node or x) if x is not None and x._requires_grad else None
                              for x in inputs])
        self.shapes = tuple([None if x is None else x.data.shape for x in inputs])
        self.dtype = out.data.dtype
        if backward.__code__.co_argcount > 2:      # wants `out`: keep the array, not the tensor,
            self.value = out.data                  # or the two would keep each other alive
            self.changed_at = out._changed_at

    def __repr__(self):
        return f"<node {self.op.name}, {len(self.parents)} inputs>"

    def arguments(self, gy: Tensor, need: tuple[bool, ...]) -> tuple:
        """What the closure is called with, as many of (gy, need, out) as it has parameters; after a
        look at what it saved: no tensor that it names may have been changed in place since."""
        for cell in self.backward.__closure__ or ():
            try:
                saved = cell.cell_contents
            except ValueError:                     # a name that this call did not set
                continue
            if isinstance(saved, Tensor) and saved._changed_at and saved._changed_at[0] > self.born:
                raise stale(self.op.name, saved.shape)
        count = self.backward.__code__.co_argcount
        if count < 3:
            return (gy, need)[:count]
        if self.changed_at is not None and self.changed_at[0] > self.born:
            raise stale(self.op.name, self.value.shape)
        out = Tensor._wrap(self.value)             # the op's output, a fresh tensor in its place
        out._requires_grad, out.node = True, self
        return gy, need, out
