"""A trace: what a recording holds, as a file and back. ``docs/trace.md`` describes the format.

In memory it is what the file is: lists of nodes (numbers and how they came about), ops and events,
and a list of arrays that they point into. Equal arrays are one.
"""

from __future__ import annotations

import gzip
import hashlib
import inspect
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import whole
from ..device import to_host
from ..files.regular import shown
from ..files.saving import write_atomically
from ..op import OPS
from ..tensor import Tensor
from .packing import FIRST, Cut, packed_arrays
from .parts import TRACE_LISTS
from .plain_values import LARGEST_PLACE, plain_frame
from .reading import LARGEST_TRACE, TRACE_FORMAT, VERSION, cleaned, read

__all__ = ["Trace", "declared", "json_of"]

BUDGET = 3_000_000            # bytes of a file, gzipped; arrays that have no room are cut
TRACE_PARTS = "meta", "maps", *TRACE_LISTS


class Trace:
    """Nodes, ops and events of a recorded run; see ``minidl.record``.

    nodes    numbers: a dict each with role, name, shape, `value` and `grad` (places in `arrays`;
             `grad` None where no gradient arrived) and the `op` that made it
    ops      calls: op, arguments, inputs and outputs (nodes), module, line
    events   what happened, in order: phase "forward", "backward" or "update"
    passes   where each backward() began; turns: what led to each step of an optimiser; cleared:
             when gradients were forgotten
    arrays   the numbers, NumPy arrays (None: left out of a file for its size)
    modules  the networks that were met, as a tree; parameters: what they learn
    checks   what :meth:`check` found, op by op
    frames   what :meth:`frame` was given during training
    """

    def __init__(self):
        self.meta: dict[str, Any] = {}
        self.sources: list[dict] = []
        self.maps: dict[str, dict] = {}
        self.modules: list[dict] = []
        self.parameters: list[dict] = []
        self.arrays: list[np.ndarray | None] = []
        self.nodes: list[dict] = []
        self.ops: list[dict] = []
        self.events: list[dict] = []
        self.passes: list[dict] = []
        self.turns: list[dict] = []
        self.cleared: list[dict] = []
        self.checks: list[dict] = []
        self.frames: list[dict] = []
        self.entries: list[Any] = []           # the ops themselves, for those that are the user's
        self._cuts: dict[int, Cut] = {}        # what is left of arrays that a file had no room for
        self._equal: dict[tuple, int] = {}

    # ------------------------------------------------------------------ while recording
    def array(self, values) -> int:
        """The place of a copy of these numbers in `arrays`."""
        if not isinstance(values, np.generic):                # which 0-d arrays add up to
            values = to_host(values)
        values = np.array(values, order="C")
        key = values.shape, str(values.dtype), hashlib.blake2b(values, digest_size=16).digest()
        if key not in self._equal:
            self._equal[key] = len(self.arrays)
            self.arrays.append(values)
        return self._equal[key]

    def complete(self) -> None:
        """Recording has ended."""
        from .. import __version__
        kinds = {str(a.dtype) for a in self.arrays if a.dtype.kind == "f"}
        self.meta = {"minidl": __version__, "dtype": "/".join(sorted(kinds)), "probe": None,
                     "script": None, **self.meta}
        self.nodes, self.events = cleaned(self.nodes), cleaned(self.events)     # names and options
        self.modules, self.turns = cleaned(self.modules), cleaned(self.turns)
        self.parameters = cleaned(self.parameters)
        self._equal.clear()

    def frame(self, step: int, **values) -> None:
        """Keep numbers or arrays of a moment of training beside the recorded step, for a film:
        ``trace.frame(100, loss=0.3, samples=images)``. Raises TypeError or ValueError unless `step`
        is a whole number from 0 on, and the values are numbers."""
        step = whole("frame: step", step)
        if step > LARGEST_PLACE:
            raise ValueError(f"frame: step must be at most {LARGEST_PLACE}, got {step}")
        values = {shown(k): plain_frame(k, v) for k, v in values.items()}
        numbers = {k: float(v) for k, v in values.items() if v.ndim == 0 and np.isfinite(v)}
        self.frames.append({"step": step, "numbers": numbers, "arrays": {
            k: self.array(v) for k, v in values.items() if k not in numbers}})

    # ------------------------------------------------------------------ reading it
    def value(self, node: int) -> np.ndarray | None:
        """The numbers of a node."""
        return self.arrays[self.nodes[node]["value"]]

    def first_numbers(self, place: int) -> np.ndarray:
        """The first numbers of an array, in a row: what a file has of one that was cut."""
        a = self.arrays[place]
        return self._cuts[place].first if a is None else a.ravel()[:FIRST]

    def grad(self, node: int) -> np.ndarray | None:
        """The gradient of a node; None where none arrived."""
        place = self.nodes[node]["grad"]
        return None if place is None else self.arrays[place]

    def calls(self, name: str) -> Iterator[dict]:
        """The calls of an op: ``trace.calls("conv2d")``."""
        return (op for op in self.ops if op["op"] == name)

    def call(self, op: dict):
        """An op's call as ``explain.terms`` reads it, operands and result as recorded. Raises
        ValueError where the file had no room for them, or for an op of the user's own."""
        from .maps import Call
        entry = self.entry(op)
        if entry is None or entry.terms is None:
            raise ValueError(f"{op['op']}: not an op of the library, or one without terms")
        args = [self._decoded(a) for a in op["arguments"]]
        out = self.value(op["outputs"][0])
        if out is None:
            raise ValueError(f"{op['op']}: its numbers were left out of the file for their size")
        return Call.of(entry, args, out)

    def entry(self, op: dict):
        """The op in the op table; None for one of the user's own from a file."""
        if self.entries:
            return self.entries[op["id"]]
        return OPS.get(op["op"]) if op["library"] else None

    def _decoded(self, a: Any) -> Any:
        if not isinstance(a, dict):
            return a
        (kind, value), = a.items()
        if kind in ("node", "array"):
            values = self.value(value)
            if values is None:
                raise ValueError("its numbers were left out of the file for their size")
            return values if kind == "array" else Tensor(values)
        if kind == "tuple":
            return tuple(self._decoded(v) for v in value)
        if kind == "slice":
            return slice(*value)
        if kind == "float":
            return float(value)
        if kind == "repr":
            raise ValueError(f"its argument {value} could not be kept")
        return Ellipsis if kind == "ellipsis" else np.dtype(value)

    def explain(self, op: int | dict, *index, depth: int = 1):
        """One element of what an op of the trace computed: see ``Tensor.explain``. Told is this op,
        also where it only hands numbers on; ``.terms[0].up()`` goes on to what made them."""
        from .cells import checked, explain_applied
        from .recorded import recorded_call
        if not isinstance(op, dict):
            number = whole("explain: op (one of this trace's ops, or its id)", op)
            if number >= len(self.ops):
                raise ValueError(f"explain: op must be one of this trace's ops, or its id in 0.."
                                 f"{len(self.ops) - 1}, got {op!r}")
            op = self.ops[number]
        made = recorded_call(self, op)._replace(plain=True)
        return explain_applied(made, checked(made.call.out, index, "explain"), depth)

    def explain_event(self, event: dict, *index, depth: int = 1):
        """One element of a contribution to a gradient: see ``Tensor.explain_grad``."""
        from .cells import checked
        from .explanation import followed_to
        from .gradient_cells import explain_contribution
        from .recorded import RecordedGradient
        if event["phase"] != "backward":
            raise ValueError(f"explain_event: wanted is a backward event, this is {event['phase']}")
        place = next((n for n, e in enumerate(self.events) if e is event), len(self.events))
        came = RecordedGradient(self, event["node"]).arrival(event, place)
        made, k = came.applied._replace(plain=True), event["input"]
        index = checked(made.call.operands[k], index, "explain_event")
        found = explain_contribution(made.call, k, index, came.gy, made.site, made, came.above)
        return followed_to(found, depth, "gy")

    def site(self, op: dict) -> str:
        """The line that called an op."""
        line = self.sources[op["line"]]
        between = ", line " if line["path"].startswith("cell [") else ":"
        return f"{line['path']}{between}{line['line']}  {line['text']}"

    def check(self, entries: int = 32, directions: int = 3, seed: int = 0) -> list[dict]:
        """Replay every op, and compare every contribution to a gradient with finite differences in
        float64: see ``explain.check``."""
        from .check import check
        self.checks = check(self, entries, directions, seed)
        return self.checks

    def to_dot(self) -> str:
        """The computational graph as Graphviz text; ``plots.graph`` draws it without Graphviz."""
        from .graphs import to_dot
        return to_dot(self)

    def verdict(self) -> str:
        """What :meth:`check` found, in one line."""
        if not self.checks:
            return "not checked yet: trace.check()"
        counts = {s: [c for c in self.checks if c["status"] == s] for s in ("pass", "fail",
                                                                            "skipped")}
        numbers = {e["op"]: n for n, e in enumerate(self.events, 1) if e["phase"] == "forward"}
        events = sorted({c["event"] + 1 if "event" in c else numbers[c["op"]]
                         for c in counts["fail"]})
        where = f" (event {', '.join(map(str, events))})" if events else ""
        return (f"{len(self.checks)} checks: {len(counts['pass'])} passed, {len(counts['fail'])} "
                f"failed{where}, {len(counts['skipped'])} skipped")

    def __repr__(self) -> str:
        phases = [event["phase"] for event in self.events]
        counts = ", ".join(f"{phases.count(p)} {p}" for p in ("forward", "backward", "update"))
        wrong = sum(c["status"] == "fail" for c in self.checks)
        checked = f"; {len(self.checks)} checks, {wrong} failed" if self.checks else ""
        return f"<trace of {len(self.ops)} ops: {counts} events{checked}>"

    # ------------------------------------------------------------------ files
    def document(self, budget: int = BUDGET) -> dict:
        """All of it as JSON has it, as ``docs/trace.md`` describes. Where it has more than `budget`
        bytes, gzipped, arrays are cut until it fits, or until all are: see ``explain.packing``."""
        return self._packed(budget)[0]

    def _packed(self, budget: int) -> tuple[dict, bytes, bytes]:
        """The document, its text, and that gzipped."""
        from .bound import bound_map
        room = whole("save: budget", budget, 1)
        for op in self.ops:
            op["map"] = op["map"] or bound_map(self, op)
        document = {"format": TRACE_FORMAT, "version": VERSION,
                    **{part: getattr(self, part) for part in TRACE_PARTS}}
        while True:
            document["arrays"] = packed_arrays(self.arrays, self._cuts, room)
            text = json_of(document)
            zipped = gzip.compress(text, 6, mtime=0)
            if (excess := len(zipped) - budget) <= 0 or room <= 0:
                return document, text, zipped
            room = room - excess - len(zipped) // 100       # sizes were judged by parts of arrays

    def save(self, path: str | Path, budget: int = BUDGET) -> None:
        """Write :meth:`document` as JSON, gzipped if the name ends in ".gz"; as a page to open in
        a browser if it ends in ".html" (``explain.page``). Raises FileNotFoundError without the
        folder, and ValueError for what :meth:`load` would refuse for its size, and for a page of a
        trace without events."""
        if not Path(path).absolute().parent.is_dir():
            raise FileNotFoundError(f"save: there is no folder {Path(path).absolute().parent}")
        if Path(path).suffix.lower() in (".html", ".htm"):
            from .page import page
            write_atomically(path, page(self, budget).encode())
            return
        _, text, zipped = self._packed(budget)
        if len(text) > LARGEST_TRACE:
            raise ValueError(f"save: the trace has {len(text):,} bytes, and one of more than "
                             f"{LARGEST_TRACE:,} is not read: give a smaller budget")
        write_atomically(path, zipped if Path(path).suffix == ".gz" else text)

    def show(self, height: int = 900, budget: int = BUDGET):
        """The page in a notebook, as a frame of so many pixels; it lives in the notebook's file."""
        from .page import framed
        return framed(self, height, budget)

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a file that :meth:`save` wrote. Raises FileNotFoundError, and ValueError for another
        version or a damaged file, naming the place in it: see ``explain.reading``."""
        document, trace = read(path), cls()
        for part in TRACE_PARTS:
            setattr(trace, part, document[part])
        trace._cuts = {n: a for n, a in enumerate(trace.arrays) if isinstance(a, Cut)}
        trace.arrays = [None if isinstance(a, Cut) else a for a in trace.arrays]
        return trace


def declared(entry) -> dict:
    """An op's index map and formula for the file."""
    kind, text = entry.terms, inspect.getdoc(entry.call) or ""
    return {"kind": type(kind).__name__ if kind else None, "formula": entry.source,
            "says": text.split("\n\n")[0],
            **({k: list(v) if isinstance(v, tuple) else v for k, v in asdict(kind).items()}
               if kind else {})}


def json_of(document: dict) -> bytes:
    """A document's text."""
    return json.dumps(document, allow_nan=False, default=_json_default).encode()


def _json_default(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"save: {type(value).__name__} does not fit into a trace")
