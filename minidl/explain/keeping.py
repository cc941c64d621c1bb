"""``minidl.keep``: what backward would free stays, for explaining.

A watcher of the engine that keeps, of each op call, the arguments, the output and the user's line,
and of each tensor who made it, who used it, and when its gradient came.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

from ..modes import mode
from ..op import Op
from ..tape import Node, now
from ..tensor import Tensor
from ..watch import Watcher, Watching
from .source import Site, call_site


class Kept:
    """One op call as it was. `node` is the tape's (None if no gradient was wanted), `born` tells
    when; `args`, `out` and `site` are None where nothing was kept."""

    ran = 0                                # when backward() came by last; 0: never
    watcher: Watcher                       # whom the engine tells of passes over the node

    def __init__(self, op: Op, node: Node | None, args: Sequence | None = None,
                 out: Tensor | None = None, site: Site | None = None):
        self.op, self.node, self.args, self.out, self.site = op, node, args, out, site
        self.born = now() if node is None else node.born


class Returned:
    """Where a gradient that ``minidl.grad()`` returned came from: the tensor it is the gradient of,
    what the pass began with there, and its `parts`: the call that gave it, through which of its
    operands, from which upstream gradient, and whether the pass began with that one."""

    def __init__(self, of: Tensor, seed: Tensor | None):
        self.of, self.seed = of, seed
        self.parts: list[tuple[Kept, int, Tensor, bool]] = []


class History:
    """What is known of one tensor."""

    made: Kept | None = None               # the call that made it
    seed: Tensor | None = None             # the gradient that backward() began with here
    grad: Tensor | None = None             # the gradient that a pass left here last,
    began = 0                              # and when that began to be added up
    hooked = 0                             # when hooks saw it last
    returned: Returned | None = None       # of a gradient: where it came from

    def __init__(self):
        self.uses: list[Kept] = []         # the calls that used it, one an argument


def history(t: Tensor) -> History:
    """What is known of t; from now on there is a place for it."""
    if t.history is None:
        t.history = History()
    return t.history


def made(t: Tensor) -> Kept | None:
    """The call that made t, with what is kept of it; None for a leaf."""
    if t.history is not None and t.history.made is not None:
        return t.history.made
    return None if t.node is None else kept_of(t.node) or Kept(t.node.op, t.node)


def kept_of(node: Node) -> Kept | None:
    """What keep() kept of the node's call; None if nothing."""
    return next((each for each in node.kept if isinstance(each, Kept)), None)


def uses(t: Tensor) -> list[Kept]:
    """The calls that used t as it is now, one an argument."""
    return [] if t.history is None else [u for u in t.history.uses if u.born > t._last_change]


def gradient_began(t: Tensor) -> int:
    """The moment of the first ``backward()`` that t.grad is added up from; 0: not known."""
    return t.history.began if t.history is not None and t.history.grad is t.grad else 0


class Keeper(Watcher):
    """The watcher that keeps: one for all threads, for a node may be made in one of them and run in
    another."""

    layer_by_layer = True

    def __init__(self):
        self._thread = threading.local()

    def _passes(self) -> list[tuple[int, dict]]:
        """This thread's passes, the innermost last: the moment, and each tensor that it reached
        with the gradient there was before. Of ``grad()`` the moment is 0, and by each place on the
        tape there are the gradient it began with, and what arrives, a :class:`Returned`."""
        self._thread.__dict__.setdefault("passes", [])
        return self._thread.passes

    def op_ends(self, op: Op, args: Sequence, inputs: Sequence[Tensor],
                outputs: Sequence[Tensor]) -> None:
        if not outputs:
            return
        out = outputs[0]
        kept = history(out).made = Kept(op, out.node, args, out, call_site(inputs))
        if out.node is None:
            return
        out.node.kept += (kept,)
        for x in inputs:
            since, known = kept.born if x.grad is None else gradient_began(x), history(x)
            oldest = known.uses[0] if known.uses else kept
            if 0 < oldest.ran < since or oldest.born < x._last_change:     # of a cleared gradient
                known.uses = [u for u in uses(x) if not 0 < u.ran < since]
            known.uses.append(kept)

    def backward_begins(self, outputs: Sequence[Tensor], gradients: Sequence[Tensor],
                        deposits: bool) -> None:
        begun = {} if deposits else {y.node or y: gy for y, gy in zip(outputs, gradients)}
        self._passes().append((now() if deposits else 0, begun))
        for y, gy in zip(outputs, gradients):
            if deposits and y.node is not None and kept_of(y.node):
                history(y).seed = gy

    def node_begins(self, node: Node, gy: Tensor) -> None:
        (moment, _), kept = self._passes()[-1], kept_of(node)
        if moment and kept is not None:
            kept.ran = moment
            self._arrived(kept.out, node.hooks)

    def contribution(self, node: Node, k: int, gy: Tensor, g: Tensor, total: Tensor) -> None:
        (moment, reached), place = self._passes()[-1], node.parents[k]
        if moment:
            if isinstance(place, Tensor):
                self._arrived(place, place._hooks)
            return
        kept, before = kept_of(node), kept_of(place) if isinstance(place, Node) else None
        of = before.out if before else place
        if kept is None or not isinstance(of, Tensor):
            return                             # made where nothing was kept
        known = reached.get(place)
        if not isinstance(known, Returned):
            known = reached[place] = Returned(of, known)
        operand = k - node.shapes[:k].count(None)
        known.parts.append((kept, operand, gy, isinstance(reached.get(node), Tensor)))
        history(total).returned = known

    def _arrived(self, t: Tensor, hooks) -> None:
        moment, before = self._passes()[-1]
        before.setdefault(t, t.grad)
        if hooks:
            history(t).hooked = moment

    def backward_ends(self) -> None:
        moment, before = self._passes().pop()
        for t, earlier in before.items() if moment else ():
            known = history(t)
            if earlier is None:
                known.began = moment
            elif earlier is not known.grad:
                known.began = 0
            known.grad = t.grad


KEEPER = Kept.watcher = Keeper()


def keep(function: Callable | None = None):
    """Keep what backward would free: operands, consumers and every gradient, for explaining.

    Inside, each tensor's ``.grad`` (not only a leaf's) is there after ``backward()``, backward may
    be run again, and ``tensor.consumers`` lists the nodes that used it, once a use. Costs memory.
    ``MINIDL_KEEP=1`` in the environment keeps everything from the start.
    """
    switch = Watching(KEEPER)
    return switch if function is None else switch(function)


if os.environ.get("MINIDL_KEEP", "0") not in ("", "0"):
    type(mode).watchers = (KEEPER,)        # in every thread
