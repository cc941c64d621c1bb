"""``minidl.record``: everything that happens in a block, or in one call of a training step.

The recorder is a watcher: the engine tells it of each op's forward pass, of each contribution to a
gradient, and of each parameter's update. It copies what it is told into a :class:`Trace`. A
gradient that has not arrived is None, never zero.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import whole
from ..device import is_array, to_host
from ..modes import mode
from ..nn.parameter import Parameter
from ..op import OPS, Op
from ..tape import Node
from ..tensor import Tensor
from ..watch import Watcher, Watching
from .keeping import keep
from .maps import bound_arguments
from .source import Site, call_site
from .trace import Trace, declared
from .undo import Snapshot

if TYPE_CHECKING:
    from ..optim import Optimizer

_ROLES = {"masked": "mask"}            # what an op's plain arrays are; whole numbers are labels


class Recorder(Watcher):
    """``with Recorder() as trace:`` fills `trace` while the block runs; so does what stands between
    ``recorder.start()`` and ``trace = recorder.stop()``."""

    def __init__(self):
        self.trace = Trace()
        self.nodes: dict[Any, int] = {}        # by tensor and moment of its last change
        self.made: dict[Any, int] = {}         # by the engine's node: the op's id
        self.kept: list[Any] = []              # so that no identity is used twice
        self.counts: dict[int, list[dict]] = {}
        self.roots: dict[Any, dict] = {}       # outermost modules: tensor -> name
        self.called: dict[Any, str] = {}       # and what the program calls them
        self.prefixes: dict[Any, str] = {}     # of names, where there are several
        self.within: list[Any] = []            # by op: the outermost module around it
        self.noise: set[bytes] = set()
        self.moving: list[dict] = []           # events of the update that goes on
        self.on = ExitStack()                  # while it runs

    # ------------------------------------------------------------------ on and off
    def __enter__(self) -> Trace:
        self.refuse_to_nest()
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
        args = bound_arguments(entry, args)
        site = call_site(inputs)
        self._meet(site)
        op = {"id": len(self.trace.ops), "op": entry.name, "library": OPS.get(entry.name) is entry,
              "formula": entry.source,
              "module": site.module, "line": self.trace.line(site.path, site.line),
              "code": self._code(entry)}
        kind = _ROLES.get(entry.name, "constant")
        op["arguments"] = [self._argument(a, site, kind) for a in args]
        op["inputs"] = [self._input(x, site) for x in inputs]
        op["needs"] = [bool(isinstance(x, Tensor) and x.requires_grad and mode.grad)
                       for x in inputs]
        op["outputs"] = [self._node(t, "value", op=op["id"]) for t in outputs]
        self.within.append(site.modules[0] if site.modules else None)
        self.trace.ops.append(op)
        self.trace.entries.append(entry)
        self.trace.maps.setdefault(entry.name, declared(entry))
        if outputs[0].node is not None:
            self.made[outputs[0].node] = op["id"]
            self.kept.append(outputs[0].node)
        self.trace.events.append({"phase": "forward", "op": op["id"]})

    def backward_begins(self, outputs: Sequence[Tensor], gradients: Sequence[Tensor],
                        deposits: bool) -> None:
        self.counts = {}                       # a pass's contributions are counted by themselves

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
        parent = node.parents[k]
        sum_ = total.data
        if isinstance(parent, Tensor) and parent.grad is not None:
            sum_ = sum_ + parent.grad.data     # of an earlier backward()
        uses = self.counts.setdefault(target, [])
        event = {"phase": "backward", "op": op, "input": given, "node": target, "gy": gradient,
                 "contribution": self.trace.array(g.data), "sum": self.trace.array(sum_),
                 "number": len(uses) + 1, "of": 1}
        if not uses and sum_ is not total.data:
            event["earlier"] = self.trace.array(parent.grad.data)
        uses.append(event)
        for one in uses:
            one["of"] = len(uses)
        self.trace.nodes[target]["grad"] = event["sum"]
        self.trace.events.append(event)

    def update_begins(self, optimizer: Optimizer, moved: list[tuple[Tensor, dict]]) -> None:
        self.moving = [{
            "phase": "update", "node": self._input(p, None), "rule": type(optimizer).__name__,
            "options": {k: _json(v) for k, v in group.items() if k != "params"},
            "before": self.trace.array(p.data), "state": _copied(optimizer.state.get(p, {}))}
            for p, group in moved]

    def update_ends(self, optimizer: Optimizer, moved: list[tuple[Tensor, dict]] | None) -> None:
        for event, (p, _) in zip(self.moving, moved or ()):          # (None: it raised)
            new, old = optimizer.state.get(p, {}), event["state"]
            state = {name: self.trace.array(old.get(name, np.zeros_like(value)))
                     for name, value in new.items() if is_array(value)}   # before, as the rule asks
            self.trace.events.append({
                **event, "step": new["step"], "gradient": self.trace.array(p.grad.data),
                "after": self.trace.array(p.data), "state": state})

    # ------------------------------------------------------------------ tensors
    def _input(self, x: Any, site: Site | None) -> int:
        if not isinstance(x, Tensor):
            return self._node(Tensor._wrap(np.asarray(x)), "constant")
        name = next((names[x] for names in self.roots.values() if x in names), None)
        if site is not None and name is None:
            name = site.names.get(id(x))
        found = self.nodes.get((x, x._last_change))
        if found is None and x.node is not None and x.node in self.made:
            found = self.trace.ops[self.made[x.node]]["outputs"][0]
        if found is not None:
            if self.trace.nodes[found]["name"] is None:
                self.trace.nodes[found]["name"] = name
            return found
        leaf = x.node is None
        role = ("parameter" if leaf and (x.requires_grad or isinstance(x, Parameter))
                else "noise" if x.data.size > 1 and _print(to_host(x.data)) in self.noise
                else "constant" if x.ndim == 0 and name is None
                else "label" if x.dtype.kind in "iu" else "input")
        return self._node(x, role, name)

    def _node(self, x: Tensor, role: str, name: str | None = None, op: int | None = None) -> int:
        node = {"id": len(self.trace.nodes), "name": name, "role": role, "shape": list(x.shape),
                "value": self.trace.array(x.data), "grad": None, "op": op}
        self.trace.nodes.append(node)
        self.nodes[x, x._last_change] = node["id"]
        self.kept.append(x)
        return node["id"]

    def _argument(self, value: Any, site: Site, kind: str) -> Any:
        """An op's argument in words that JSON knows."""
        if isinstance(value, Tensor):
            return {"node": self._input(value, site)}
        if is_array(value):
            return {"array": self._node(Tensor._wrap(value), "label" if value.dtype.kind in "iu"
                                        else kind)}
        if isinstance(value, (tuple, list)):
            return {"tuple": [self._argument(v, site, kind) for v in value]}
        if isinstance(value, slice):
            return {"slice": [value.start, value.stop, value.step]}
        if value is Ellipsis:
            return {"ellipsis": True}
        if isinstance(value, np.dtype):
            return {"dtype": str(value)}
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, float) and not np.isfinite(value):
            return {"float": repr(value)}
        return value if isinstance(value, (int, float, str, bool, type(None))) else {
            "repr": repr(value)}

    # ------------------------------------------------------------------ names and lines
    def _meet(self, site: Site) -> None:
        """A new outermost module: its parameters' names."""
        root = site.modules[0] if site.modules else None
        if root is None or root in self.roots:
            return
        self.roots[root] = {}
        for names in self.roots.values():
            names.clear()
        self.called[root] = site.names.get(id(root)) or type(root).__name__
        taken: list[str] = []
        for module, names in self.roots.items():
            prefix = self.called[module]
            taken.append(prefix)
            if taken.count(prefix) > 1:
                prefix += str(taken.count(prefix))
            self.prefixes[module] = prefix = f"{prefix}." if len(self.roots) > 1 else ""
            names |= {p: prefix + name for name, p in module.named_parameters()}

    def _code(self, entry) -> int | None:
        function = inspect.unwrap(entry.call)
        try:
            path, line = inspect.getsourcefile(function), function.__code__.co_firstlineno
        except TypeError:
            return None
        return self.trace.line(path, line) if path else None

    def _finish(self) -> None:
        """Names that were learnt late, or that a second outermost module made ambiguous."""
        names = {t: name for known in self.roots.values() for t, name in known.items()}
        for (x, _), number in self.nodes.items():
            if x in names:
                self.trace.nodes[number]["name"] = names[x]
        for op, root in zip(self.trace.ops, self.within):
            op["module"] = (self.prefixes.get(root, "") + op["module"]).rstrip(".")


def _json(value: Any) -> Any:
    """An option of an optimiser, or what it looks like."""
    if isinstance(value, (tuple, list)):
        return [_json(v) for v in value]
    plain = isinstance(value, (int, str, bool, type(None))) or (
        isinstance(value, float) and np.isfinite(value))
    return value if plain else repr(value)


def _print(array: np.ndarray) -> bytes:
    return repr((array.shape, array.dtype)).encode() + np.ascontiguousarray(array).tobytes()[:64]


def _copied(state: dict) -> dict:
    return {k: v.copy(order="K") if is_array(v) else v for k, v in state.items()}


def record(step: Callable | None = None, *args: Any, probe: int | None = None, **kwargs: Any):
    """Record a block, ``with minidl.record() as trace:``, or one call of a training step,
    ``trace = minidl.record(step, images, labels, probe=2)``.

    The second calls ``step(*args, **kwargs)`` on the first `probe` (2) examples only: of all
    tensors and arrays, also inside tuples, lists and dicts, that are as long as the first. (A
    weight's gradient is a sum over the whole batch, and only a small one can be read.) Then it puts
    back what the step can reach: parameters, gradients, buffers, optimisers, schedulers, random
    states; see ``explain.restore``. Recording implies ``keep()`` and costs time and memory; layers
    run one by one. Raises ValueError (TypeError) for a
    probe that is not a whole number from 1 on, RuntimeError within another recording.
    """
    if step is None:
        if args or kwargs or probe is not None:
            raise TypeError("record: give a step function first, or nothing: "
                            "with minidl.record() as trace:")
        return Recorder()
    if not callable(step):
        raise TypeError(f"record: step must be a function, got {type(step).__name__}")
    probe = 2 if probe is None else whole("record: probe", probe, 1)
    recorder = Recorder()
    recorder.refuse_to_nest()
    batch = next((len(a) for a in _arrays((args, kwargs))), None)
    few_args, few_kwargs = _examples(args, batch, probe), _examples(kwargs, batch, probe)
    snapshot = Snapshot(step, few_args, few_kwargs)
    try:
        with recorder as trace:
            trace.meta["probe"] = probe if batch is None else min(probe, batch)
            step(*few_args, **few_kwargs)
    finally:
        snapshot.restore()
    return trace


def _arrays(value: Any) -> Iterator[Any]:
    if isinstance(value, (Tensor, np.ndarray)):
        if value.ndim:
            yield value
    elif isinstance(value, (tuple, list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _arrays(inner)


def _examples(value: Any, batch: int | None, probe: int) -> Any:
    """The first `probe` examples of everything in `value` that has `batch` of them."""
    if isinstance(value, (Tensor, np.ndarray)):
        return value[:probe] if value.ndim and len(value) == batch else value
    if isinstance(value, dict):
        return {k: _examples(v, batch, probe) for k, v in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_examples(v, batch, probe) for v in value)
    return value
