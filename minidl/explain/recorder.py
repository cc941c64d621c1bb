"""The recorder, a watcher: the engine tells it of each op's forward pass, of each contribution to a
gradient, and of each parameter's update. It copies what it is told into a :class:`Trace`. A
gradient that has not arrived is None, never zero.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from ..device import is_array, to_host
from ..kernels import kernels_in_use
from ..modes import mode
from ..op import OPS, Op
from ..random import default_generator
from ..tape import Node
from ..tensor import Tensor
from ..watch import Watcher, Watching
from .course import Course
from .keeping import keep
from .listing import Listing, backward_code
from .maps import bound_arguments
from .networks import Networks
from .plain_values import deep_or_cyclic, plain_argument, plain_option
from .source import Site, call_site
from .trace import Trace, declared
from .updates import rule_of

if TYPE_CHECKING:
    from ..optim import Optimizer

_ROLES = {"masked": "mask"}            # what an op's plain arrays are; whole numbers are labels


class Recorder(Watcher):
    """``with Recorder() as trace:`` fills `trace` while the block runs; so does what stands between
    ``recorder.start()`` and ``trace = recorder.stop()``."""

    def __init__(self):
        self.trace = trace = Trace()
        self.listing = Listing(trace.sources)
        self.networks = Networks(trace.modules, trace.parameters)
        self.course = Course(trace, self.networks)
        self.nodes: dict[Any, int] = {}        # by tensor and moment of its last change
        self.made: dict[Any, int] = {}         # by the engine's node: the op's id
        self.memory: dict[int, int] = {}       # by identity of the array: the node it is of
        self.kept: list[Any] = []              # so that no identity is used twice
        self.counts: list[dict[int, list[dict]]] = []      # contributions of each pass that goes on
        self.noise: set[bytes] = set()
        self.moving: list[dict] = []           # events of the update that goes on
        self.on = ExitStack()                  # while it runs

    # ------------------------------------------------------------------ on and off
    def __enter__(self) -> Trace:
        self.refuse_to_nest()
        self.trace.meta |= {"kernels": kernels_in_use(), "seed": default_generator().seed}
        self.on.enter_context(keep())
        self.on.enter_context(Watching(self))
        return self.trace

    def refuse_to_nest(self) -> None:
        """Raise RuntimeError if this thread is recording already."""
        if any(isinstance(w, Recorder) for w in mode.watchers):
            raise RuntimeError("record: a recording is running already; recordings do not nest")

    def __exit__(self, *exc: Any) -> None:
        if self not in mode.watchers:
            raise RuntimeError("record: this recording is not running: start() it first")
        self.on.close()
        self._finish()
        self.trace.complete()

    def start(self) -> Recorder:
        """Begin, without a block: ``recorder = minidl.record().start()``."""
        self.__enter__()
        return self

    def stop(self) -> Trace:
        """End what :meth:`start` began."""
        self.__exit__()
        return self.trace

    # ------------------------------------------------------------------ what the engine tells
    def drawn(self, numbers: Any) -> None:
        self.noise.add(_print(to_host(numbers)))

    def op_ends(self, entry: Op, args: Sequence, inputs: Sequence[Tensor],
                outputs: Sequence[Tensor]) -> None:
        if not outputs:
            return
        self.course.look()
        args = bound_arguments(entry, args)
        site = call_site(inputs)
        self.networks.meet(site)
        op = {"id": len(self.trace.ops), "op": entry.name, "library": OPS.get(entry.name) is entry,
              "formula": entry.source, "module": "", "within": None,
              "line": self.listing.line_of(site), "callers": self.listing.callers(site),
              **self._functions(entry, outputs[0].node),
              "grad": bool(mode.grad)}
        kind = _ROLES.get(entry.name, "constant")
        op["arguments"] = [self._argument(a, site, kind) for a in args]
        op["inputs"] = [self._input(x, site) for x in inputs]
        op["needs"] = [bool(isinstance(x, Tensor) and x.requires_grad and mode.grad)
                       for x in inputs]
        op["outputs"] = [self._node(t, "value", op=op["id"]) for t in outputs]
        op["map"] = None
        self.trace.ops.append(op)
        self.trace.entries.append(entry)
        self.trace.maps.setdefault(entry.name, declared(entry))
        if outputs[0].node is not None:
            self.made[outputs[0].node] = op["id"]
            self.kept.append(outputs[0].node)
        self.trace.events.append({"phase": "forward", "op": op["id"]})

    def backward_begins(self, outputs: Sequence[Tensor], gradients: Sequence[Tensor],
                        deposits: bool) -> None:
        self.counts.append({})
        site, found = call_site(outputs), [self._found(y) for y in outputs]
        for y, node in zip(outputs, found):
            if node is not None and self.trace.nodes[node]["name"] is None:
                self.trace.nodes[node]["name"] = site.names.get(id(y))
        self.course.pass_begins(self.listing.line_of(site), found, gradients, deposits)

    def contribution(self, node: Node, k: int, gy: Tensor, g: Tensor, total: Tensor) -> None:
        op = self.made.get(node)
        if op is None:
            return                             # made before the recording began
        given = k - node.shapes[:k].count(None)          # inputs that were None are not recorded
        out, target = self.trace.nodes[self.trace.ops[op]["outputs"][0]], self.trace.ops[op][
            "inputs"][given]
        out["grad"] = gradient = self.trace.array(gy.data)
        if node.hooks:
            self.trace.ops[op]["hooks"] = True
        parent, sum_ = node.parents[k], total.data
        left = parent.grad if isinstance(parent, Tensor) else None      # by an earlier backward()
        if left is not None and self.course.deposits():
            sum_ = sum_ + left.data
        uses = self.counts[-1].setdefault(target, [])
        event = {"phase": "backward", "op": op, "input": given, "node": target, "gy": gradient,
                 "contribution": self.trace.array(g.data), "sum": self.trace.array(sum_),
                 "number": len(uses) + 1, "of": 1}
        if not uses and sum_ is not total.data:
            event["earlier"] = self.trace.array(left.data)
        uses.append(event)
        for one in uses:
            one["of"] = len(uses)
        if self.course.deposits() or not self.course.has.get(parent):     # grad() leaves what is
            self.trace.nodes[target]["grad"] = event["sum"]               # in .grad as it is
        self.trace.events.append(event)

    def backward_ends(self) -> None:
        self.counts.pop()
        self.course.pass_ends()

    def update_begins(self, optimizer: Optimizer, moved: list[tuple[Tensor, dict]]) -> None:
        self.course.look(closely=True)
        self.moving = [{
            "phase": "update", "node": self._input(p, None), "rule": type(optimizer).__name__,
            "options": {k: plain_option(v) for k, v in group.items() if k != "params"},
            "before": self.trace.array(p.data), "state": _copied(optimizer.state.get(p, {}))}
            for p, group in moved]

    def update_ends(self, optimizer: Optimizer, moved: list[tuple[Tensor, dict]] | None) -> None:
        for event, (p, _) in zip(self.moving, moved or ()):          # (None: it raised)
            new, old = optimizer.state.get(p, {}), event["state"]
            after = {name: value for name, value in new.items() if is_array(value)}
            before = {name: self.trace.array(old.get(name, np.zeros_like(to_host(value))))
                      for name, value in after.items()}                 # as the rule asks
            self.trace.events.append(event := {
                **event, "step": new["step"], "gradient": self.trace.array(p.grad.data),
                "after": self.trace.array(p.data), "state": before,
                "state_after": {name: self.trace.array(value) for name, value in after.items()}})
            event["first"] = not any(is_array(value) for value in old.values())
            event |= rule_of(event)
        if moved:
            self.course.turn_ends(self.listing.line_of(call_site()), type(optimizer).__name__,
                                  [self.networks.parameter(p) for p, _ in moved])

    # ------------------------------------------------------------------ tensors
    def _found(self, x: Tensor) -> int | None:
        """The node that a tensor is, if it is known."""
        found = self.nodes.get((x, x._last_change))
        if found is None and x.node is not None and x.node in self.made:
            found = self.trace.ops[self.made[x.node]]["outputs"][0]
        return found

    def _input(self, x: Any, site: Site | None) -> int:
        if not isinstance(x, Tensor):
            return self._node(Tensor._wrap(np.asarray(x)), "constant")
        name = site.names.get(id(x)) if site is not None else None
        found = self._found(x)
        if found is not None:
            if self.trace.nodes[found]["name"] is None:
                self.trace.nodes[found]["name"] = name
            return found
        parameter = self.networks.parameter(x, name)
        if parameter is not None:
            self.course.follow(x)
        role = ("parameter" if parameter is not None
                else "noise" if x.data.size > 1 and _print(to_host(x.data)) in self.noise
                else "constant" if x.ndim == 0 and name is None
                else "label" if x.dtype.kind in "iu" else "input")
        shares = None if parameter is not None or x.node is not None else self.memory.get(
            id(x.data))
        found = self._node(x, role, name)
        self.trace.nodes[found] |= {"parameter": parameter, "detached_from": shares}
        return found

    def _node(self, x: Tensor, role: str, name: str | None = None, op: int | None = None) -> int:
        node = {"id": len(self.trace.nodes), "name": name, "role": role, "image": False,
                "shape": list(x.shape), "value": self.trace.array(x.data), "grad": None, "op": op,
                "parameter": None, "detached_from": None}
        self.trace.nodes.append(node)
        self.nodes[x, x._last_change] = node["id"]
        if op is not None or role == "parameter":
            self.memory[id(x.data)] = node["id"]
        self.kept += [x, x.data]
        return node["id"]

    def _argument(self, value: Any, site: Site, kind: str) -> Any:
        """An op's argument in words that JSON knows."""
        if isinstance(value, Tensor):
            return {"node": self._input(value, site)}
        if is_array(value) and value.dtype.kind in "fiub":
            return {"array": self._node(Tensor._wrap(value), "label" if value.dtype.kind in "iu"
                                        else kind)}
        if isinstance(value, (tuple, list)) and not deep_or_cyclic(value):
            return {"tuple": [self._argument(v, site, kind) for v in value]}
        return plain_argument(value)

    # ------------------------------------------------------------------ names and sources
    def _functions(self, entry: Op, node: Node | None) -> dict:
        """The places of the op's own forward and backward pass among the sources."""
        forward = getattr(inspect.unwrap(entry.call), "__code__", None)
        backward = node.backward.__code__ if node is not None else (
            forward and backward_code(forward))
        return {"forward": self.listing.function(forward) if forward else None,
                "backward": self.listing.function(backward) if backward else None}

    def _finish(self) -> None:
        """What is known when all is over: the networks' names, and what an image is."""
        trace = self.trace
        self.networks.finish()
        self.course.finish()
        for op in trace.ops:
            op["within"] = self.networks.within(op["id"])
            if op["within"] is not None:
                op["module"] = trace.modules[op["within"]]["name"]
        images = {tuple(node["shape"][1:]) for node in trace.nodes
                  if node["role"] == "input" and len(node["shape"]) == 4}
        for node in trace.nodes:
            node["image"] = len(node["shape"]) == 4 and tuple(node["shape"][1:]) in images
            if node["parameter"] is not None:
                node["name"] = trace.parameters[node["parameter"]]["name"]
        if trace.ops:
            outermost = [trace.ops[0]["line"], *trace.ops[0]["callers"]][-1]
            trace.meta["script"] = trace.sources[outermost]["path"]


def _print(array: np.ndarray) -> bytes:
    return repr((array.shape, array.dtype)).encode() + np.ascontiguousarray(array).tobytes()[:64]


def _copied(state: dict) -> dict:
    return {k: v.copy(order="K") if is_array(v) else v for k, v in state.items()}
