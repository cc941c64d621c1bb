"""A trace: what a recording holds, as a file and back. ``docs/trace.md`` describes the format.

In memory it is what the file is: lists of nodes (numbers and how they came about), ops and events,
and a list of arrays that they point into. Equal arrays are one.
"""

from __future__ import annotations

import base64
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
from .reading import DTYPES, FILLS, LARGEST_TRACE, TRACE_FORMAT, VERSION, cleaned, read

__all__ = ["Trace", "declared"]

BUDGET = 2_700_000            # bytes of base64; what is larger is cut, and says so
TRACE_PARTS = "meta", "sources", "maps", "arrays", "nodes", "ops", "events", "checks", "frames"


class Trace:
    """Nodes, ops and events of a recorded run; see ``minidl.record``.

    nodes    numbers: a dict each with role, name, shape, `value` and `grad` (places in `arrays`;
             `grad` None where no gradient arrived) and the `op` that made it
    ops      calls: op, arguments, inputs and outputs (nodes), module, line
    events   what happened, in order: phase "forward", "backward" or "update"
    arrays   the numbers, NumPy arrays (None: left out of a file for its size)
    checks   what :meth:`check` found, op by op
    frames   what :meth:`frame` was given during training
    """

    def __init__(self):
        self.meta: dict[str, Any] = {}
        self.sources: list[dict] = []
        self.maps: dict[str, dict] = {}
        self.arrays: list[np.ndarray | None] = []
        self.nodes: list[dict] = []
        self.ops: list[dict] = []
        self.events: list[dict] = []
        self.checks: list[dict] = []
        self.frames: list[dict] = []
        self.entries: list[Any] = []           # the ops themselves, for those that are the user's
        self._lines: dict[tuple, int] = {}
        self._equal: dict[tuple, int] = {}

    # ------------------------------------------------------------------ while recording
    def array(self, values) -> int:
        """The place of a copy of these numbers in `arrays`."""
        if not isinstance(values, np.generic):                # which 0-d arrays add up to
            values = to_host(values)
        values = np.array(values, order="C")
        key = values.shape, str(values.dtype), values.tobytes()
        if key not in self._equal:
            self._equal[key] = len(self.arrays)
            self.arrays.append(values)
        return self._equal[key]

    def line(self, path: str, line: int) -> int:
        """The place of a line of a program in `sources`."""
        import linecache
        key = path, line
        if key not in self._lines:
            self._lines[key] = len(self.sources)
            self.sources.append({"path": shown(Path(path).name), "line": line,
                                 "text": shown(linecache.getline(path, line).strip())})
        return self._lines[key]

    def complete(self) -> None:
        """Recording has ended."""
        from .. import __version__
        kinds = {str(a.dtype) for a in self.arrays if a.dtype.kind == "f"}
        self.meta = {"minidl": __version__, "dtype": "/".join(sorted(kinds)), "probe": None,
                     **self.meta}
        self.nodes, self.events = cleaned(self.nodes), cleaned(self.events)     # names and options
        for op in self.ops:
            op["module"] = shown(op["module"])
        self._equal.clear()
        self._lines.clear()

    def frame(self, step: int, **values) -> None:
        """Keep numbers or arrays of a moment of training beside the recorded step, for a film:
        ``trace.frame(100, loss=0.3, samples=images)``."""
        values = {k: v.data if isinstance(v, Tensor) else np.asarray(v) for k, v in values.items()}
        numbers = {k: float(v) for k, v in values.items() if v.ndim == 0 and np.isfinite(v)}
        self.frames.append({"step": step, "numbers": numbers, "arrays": {
            k: self.array(v) for k, v in values.items() if k not in numbers}})

    # ------------------------------------------------------------------ reading it
    def value(self, node: int) -> np.ndarray | None:
        """The numbers of a node."""
        return self.arrays[self.nodes[node]["value"]]

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
        return f"{line['path']}:{line['line']}  {line['text']}"

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
    def save(self, path: str | Path, budget: int = BUDGET) -> None:
        """Write it as JSON. The largest arrays are cut, from the longest down, until all of them
        fit into `budget` bytes of base64; a cut array says so (``"full": false``)."""
        sizes = [a.size for a in self.arrays if a is not None]
        most = max(sizes, default=0)
        bytes_of = lambda limit: sum(_base64_size(min(a.size, limit) * a.itemsize)
                                     for a in self.arrays if a is not None)
        while most > 16 and bytes_of(most) > budget:
            most = int(most * 0.8)
        document = {"format": TRACE_FORMAT, "version": VERSION,
                    **{part: getattr(self, part) for part in TRACE_PARTS}}
        document["arrays"], room = [], FILLS
        for a in self.arrays:
            document["arrays"].append(item := _encoded(a, most, room))
            room -= 8 * a.size if "fill" in item else 0
        if not Path(path).absolute().parent.is_dir():
            raise FileNotFoundError(f"save: there is no folder {Path(path).absolute().parent}")
        text = json.dumps(document, allow_nan=False, default=_json_default).encode()
        if len(text) > LARGEST_TRACE:
            raise ValueError(f"save: the trace has {len(text):,} bytes, and one of more than "
                             f"{LARGEST_TRACE:,} is not read: give a smaller budget")
        write_atomically(path, text)

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a file that :meth:`save` wrote. Raises FileNotFoundError, and ValueError for another
        version or a damaged file, naming the place in it: see ``explain.reading``."""
        document, trace = read(path), cls()
        for part in TRACE_PARTS:
            setattr(trace, part, document[part])
        return trace


def declared(entry) -> dict:
    """An op's index map and formula for the file."""
    kind, text = entry.terms, inspect.getdoc(entry.call) or ""
    return {"kind": type(kind).__name__ if kind else None, "formula": entry.source,
            "says": text.split("\n\n")[0],
            **({k: list(v) if isinstance(v, tuple) else v for k, v in asdict(kind).items()}
               if kind else {})}


def _base64_size(n: int) -> int:
    return 4 * -(-n // 3)


def _encoded(a: np.ndarray | None, most: int, room: int) -> dict:
    if a is None:
        return {"shape": None, "dtype": None, "data": None, "full": False, "stats": {}}
    kind = a.dtype.newbyteorder("<") if a.dtype.kind != "b" else a.dtype
    name = f"{a.dtype.kind}{a.dtype.itemsize}"
    if name not in DTYPES:
        a, kind, name = a.astype(np.float64), np.dtype("<f8"), "f8"
    flat, full = a.ravel(), a.size <= most
    finite = flat[np.isfinite(flat)] if a.dtype.kind == "f" else flat
    stats = {} if not finite.size else {
        "min": float(finite.min()), "max": float(finite.max()), "mean": float(finite.mean()),
        "zeros": int((finite == 0).sum())}
    if a.dtype.kind == "f":
        stats |= {"nan": int(np.isnan(flat).sum()), "inf": int(np.isinf(flat).sum())}
    if 1 < a.size <= room // 8 and (flat == flat[0]).all() and np.isfinite(flat[0]):
        return {"shape": list(a.shape), "dtype": name, "fill": flat[0].item(), "full": True,
                "stats": stats}                                      # one number says it all
    data = base64.b64encode(flat[:None if full else most].astype(kind).tobytes()).decode()
    return {"shape": list(a.shape), "dtype": name, "data": data, "full": full, "stats": stats}


def _json_default(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"save: {type(value).__name__} does not fit into a trace")
