"""Nodes of a trace, and their gradients, as what an explanation can be followed to: what
``origins`` is for tensors in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .arrived import arrived
from .explanation import Explanation
from .maps import Call
from .origins import Applied, Arrival


def recorded_call(trace, op: dict) -> Applied:
    """An op's call as recorded, also of one of the user's own, in memory. Raises ValueError where
    an argument could not be kept, and where the file had no room for its numbers."""
    entry = trace.entry(op)
    if entry is not None and entry.terms is None:
        args = [trace._decoded(a) for a in op["arguments"]]
        call = Call.of(entry, args, trace.value(op["outputs"][0]))
    else:
        call = trace.call(op)
    inputs = tuple(RecordedNode(trace, node) for node in op["inputs"])
    return Applied(call, inputs, RecordedNode(trace, op["outputs"][0]), trace.site(op),
                   op["module"], op.get("function", ""))


class RecordedNode:
    """A node's numbers."""

    refused = ""                       # why the call that made it cannot be told

    def __init__(self, trace, node: int):
        self.trace, self.node = trace, node
        self.fields = trace.nodes[node]
        self.shape, self.name = tuple(self.fields["shape"]), self.fields["name"] or ""

    @property
    def is_parameter(self) -> bool:
        place = self.fields["parameter"]
        return place is not None and self.trace.parameters[place]["module"] is not None

    def is_leaf(self) -> bool:
        return self.fields["op"] is None

    def about(self) -> str:
        if self.name or self.is_leaf():
            return self.name
        op = self.trace.ops[self.fields["op"]]
        return f"the output of {op['op']}" + (f" in {op['module']}" if op["module"] else "")

    def made(self) -> Applied | None:
        """The call that made it; None of a leaf, and where numbers were left out: then `refused`
        says it."""
        op = None if self.is_leaf() else self.trace.ops[self.fields["op"]]
        if op is None or op["outputs"][0] != self.node:
            return None
        try:
            return recorded_call(self.trace, op)
        except ValueError as error:
            self.refused = str(error)
            return None

    def explain(self, index: tuple[int, ...], depth: int = 1) -> Explanation:
        """Of one element. Raises ValueError for a leaf, and where numbers were left out."""
        from .cells import explain_applied
        if self.is_leaf():
            raise ValueError(f"up: no op of this trace made {self.about() or 'this number'}")
        made = recorded_call(self.trace, self.trace.ops[self.fields["op"]])
        return explain_applied(made, index, depth)


class RecordedGradient:
    """A node's gradient, as it had arrived before an event (its place in `events`)."""

    is_parameter = False
    name = ""
    otherwise = ("what is recorded of it does not add up: it began before the recording, a hook "
                 "saw it, or a backward pass is wrong; trace.check() tells")

    def __init__(self, trace, node: int, before: int | None = None):
        self.trace, self.node = trace, node
        self.shape = tuple(trace.nodes[node]["shape"])
        self.before = before                       # None: as it was at the end

    def of(self) -> str:
        return RecordedNode(self.trace, self.node).about()

    def about(self) -> str:
        return f"the gradient of {RecordedNode(self.trace, self.node).about() or 'this node'}"

    def is_leaf(self) -> bool:
        return False

    def made(self) -> None:
        return None

    def happened(self) -> list[str]:
        op = self.trace.nodes[self.node]["op"]
        hooked = op is not None and self.trace.ops[op].get("hooks")
        return ["a hook saw it, and what a hook returns is stored"] if hooked else []

    def came(self) -> list[int]:
        """The events that the gradient then is the sum of, by their places."""
        return arrived(self.trace, self.node, self.before)

    def stored(self) -> np.ndarray:
        """Its numbers. Raises RuntimeError where none arrived, ValueError where they were left out
        of the file."""
        later = [] if self.before is None else self.trace.events[self.before:]
        used = next((e["gy"] for e in later if e["phase"] == "backward"
                     and self.trace.ops[e["op"]]["outputs"][0] == self.node), None)
        place = used if used is not None else self.trace.nodes[self.node]["grad"]
        if place is None:
            raise RuntimeError("explain_grad: no gradient arrived here (None, not zero)")
        return self._numbers(place)

    def _numbers(self, place: int) -> np.ndarray:
        found = self.trace.arrays[place]
        if found is None:
            raise ValueError("its numbers were left out of the file for their size")
        return np.asarray(found, np.float64)

    def seed(self) -> np.ndarray | None:
        """What backward() began with here: of a node that nothing was given to, its gradient."""
        return None if self.came() else self.stored()

    def arrivals(self) -> Iterator[Arrival]:
        """What each use gave that had arrived by then."""
        for place in self.came():
            event = self.trace.events[place]
            yield self.arrival(event, place)

    def arrival(self, event: dict[str, Any], place: int) -> Arrival:
        """One contribution."""
        op = self.trace.ops[event["op"]]
        made = recorded_call(self.trace, op)
        above = RecordedGradient(self.trace, op["outputs"][0], place)
        return Arrival(made.op, made, event["input"], self._numbers(event["gy"]), above, "",
                       made.site, None, self.trace.arrays[event["contribution"]])

    def explain(self, index: tuple[int, ...], depth: int = 1) -> Explanation:
        from .gradient_cells import explain_arrived
        return explain_arrived(self, index, depth)
