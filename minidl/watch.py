"""The seam between the engine and whoever watches it: explanations, recordings, profiles, displays.

The engine tells the watchers of its thread what happens, and knows nothing else of them. Where
nobody watches, ``mode.watchers`` is empty, and an op tests that once. A watcher changes no number:
what runs is the same with it and without.
"""

from __future__ import annotations

from typing import Any

from .checks import brief
from .modes import Switch, mode

__all__ = ["Watcher", "Watching"]


class Watcher:
    """What the engine tells. Each method does nothing here; a watcher has those that it needs.
    (An `op` is an op.Op, a `node` a tape.Node; inputs, outputs and gradients are Tensors.) A
    method computes on arrays: an op that a method called would be told, too. A method that raises
    stops the program, and other watchers are not told how the call ended.

    A watcher can ask for a node to stay, with its gradient, after ``backward()``: in
    :meth:`op_ends` it adds an object to the tuple ``node.kept``. That object's ``watcher`` is told
    of every later pass over the node.
    """

    inside_backward = False        # be told of the ops, too, that a backward pass calls
    layer_by_layer = False         # ``nn.Sequential`` shall run no layers as one

    def op_begins(self, op, inputs) -> None:
        """An op is going to run."""
    def op_ends(self, op, args, inputs, outputs) -> None:
        """An op has run on `args`, or raised (then `outputs` is empty)."""

    def backward_begins(self, outputs, gradients, deposits: bool) -> None:
        """A pass begins with these gradients of these outputs: ``backward()``, which deposits what
        it finds in ``.grad``, or ``grad()``, which does not."""
    def node_begins(self, node, gy) -> None:
        """All of a node's gradient has arrived: its backward is going to run."""
    def contribution(self, node, k: int, gy, g, total) -> None:
        """A node gave g to its input number k, whose gradient so far, g included, is `total`."""
    def node_ends(self, node) -> None:
        """A node's backward has run."""
    def backward_ends(self) -> None:
        """The pass is over."""

    def phase_begins(self, name: str) -> None:
        """A phase of training begins, of the name that :func:`phase` is given."""
    def phase_ends(self, name: str) -> None:
        """That phase is over."""

    def optimizer_made(self, optimizer) -> None:
        """There is a new optimiser."""
    def update_begins(self, optimizer, moved) -> None:
        """An optimiser is going to move parameters: `moved` has (parameter, its group)."""
    def update_ends(self, optimizer, moved) -> None:
        """The optimiser has moved them; or raised (then `moved` is None)."""

    def drawn(self, numbers) -> None:
        """A generator drew noise, uniform or normal: an array. (A dropout mask is told as the
        argument of its op.)"""
    def compiling(self, kernel: str) -> None:
        """A kernel is going to be compiled; one that comes from the cache is not."""


class Watching(Switch):
    """``with Watching(watcher):`` the engine tells `watcher` what this thread does inside; also a
    decorator, of generator functions too. A watcher that is there already is not told twice."""

    def __init__(self, watcher: Watcher):
        if not isinstance(watcher, Watcher):
            raise TypeError(f"Watching: watcher must be a Watcher, got {brief(watcher)}")
        super().__init__("watchers", watcher)

    def __enter__(self) -> Watching:
        new = self._value not in mode.watchers
        self._before.append(new)           # to leave only if it came here
        if new:
            mode.watchers = (*mode.watchers, self._value)
        return self

    def __exit__(self, *exc: Any) -> None:
        if self._before.pop():             # others may have come and gone meanwhile
            mode.watchers = tuple([w for w in mode.watchers if w is not self._value])

    def _again(self) -> Watching:
        return Watching(self._value)
