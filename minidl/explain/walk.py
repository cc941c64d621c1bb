"""A recorded step event by event, as text: ``minidl step``; ``docs/step.md`` shows it.

An event is a block of lines: what happened, the user's line, the formula, operands and result
around one cell, that cell as a sum of terms, what had arrived before, and what ``trace.check()``
says. The first line is complete when read aloud. Nothing is said by colour alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .cells import SHOWN, Explanation, names_of
from .grids import bold, heat, indexed, red, shape_text, summary, window
from .selection import fits
from .terms import _SHORT, Call
from .trace import Trace
from .updates import worked

ROLES = {"constant": "a constant", "label": "labels", "mask": "a mask", "noise": "noise",
         "input": "an input without a name", "parameter": "a parameter without a name"}
KINDS = {"Gather": "every element of y is one element of x",
         "Scatter": "every element of x is added to one of y",
         "Reduce": "y = the sum of x over dim"}
NOTES = {"conv2d_input_grad": "a transposed convolution is the input gradient of a convolution",
         "bias_activation": "with slope 1 this is y = x + b: the bias alone, no activation"}
CUT = "left out of the file for its size"


class Walk:
    """The events of a trace as text. `cell`: the element to explain, else the largest of each
    result, or the largest wrong one. `colour`: with ANSI colours, and with pictures."""

    def __init__(self, trace: Trace, colour: bool = False, cell: Sequence[int] | None = None):
        self.trace, self.colour, self.cell = trace, colour, cell and tuple(cell)
        self.made: dict[int, int] = {}            # op: the number of its forward event
        self.arrivals: dict[int, list[int]] = {}  # node: the events that brought it a gradient
        self.before: dict[int, int | None] = {}   # backward event: where the sum so far is
        sums: dict[int, int] = {}
        for number, event in enumerate(trace.events, 1):
            if event["phase"] == "forward":
                self.made[event["op"]] = number
            elif event["phase"] == "backward":
                self.arrivals.setdefault(event["node"], []).append(number)
                self.before[number] = sums.get(event["node"])
                sums[event["node"]] = event["sum"]
        self.checks = {c.get("event", ("forward", c["op"])): c for c in trace.checks}

    # ------------------------------------------------------------------ the text
    def event(self, number: int) -> str:
        """One event, by its number (from 1)."""
        if not 1 <= number <= len(self.trace.events):
            raise ValueError(f"event {number} is outside 1..{len(self.trace.events)}")
        event = self.trace.events[number - 1]
        head = f"event {number} of {len(self.trace.events)}, {event['phase']}, "
        write = {"forward": self._forward, "backward": self._backward, "update": self._update}
        lines = list(write[event["phase"]](number, event))
        return "\n".join([bold(head + lines[0], self.colour), *lines[1:]])

    def end(self) -> str:
        """After the last event: what got no gradient."""
        leaves = [n for n in self.trace.nodes if n["op"] is None and n["name"]]
        with_grad = {n["name"] for n in leaves if n["grad"] is not None}
        without = {n["name"]: n["role"] for n in leaves if n["name"] not in with_grad}
        told = ", ".join(f"{name} ({role})" for name, role in without.items()) or "nothing"
        return f"end of the recording. No gradient arrived (None, not 0) at: {told}"

    def _forward(self, number: int, event: dict) -> Iterator[str]:
        op = self.trace.ops[event["op"]]
        node, check = op["outputs"][0], self.checks.get(("forward", op["id"]))
        yield f"{self._op(op)}, a result of {shape_text(self.trace.nodes[node]['shape'])}"
        yield from self._origin(op)
        name, y = self._result(op), self.trace.value(node)
        cell, which = self._cell(y, check, self.trace.nodes[node]["shape"])
        found = CUT if cell is None else self._explained(
            op, lambda: self.trace.explain(op["id"], cell))
        yield from self._operands(op, found, cell)
        yield from self._array(name, "the result", y, cell, {cell}, check)
        if cell is not None:
            yield from self._sum(f"{name}{indexed(cell)}, {which}", found, _formula(found)[1:], y,
                                 cell)
        told = "none arrives in this recording (None, not 0)"
        if self.trace.nodes[node]["grad"] is not None:
            told = "backward() starts here"
        if node in self.arrivals:
            told = f"arrives in {_events(self.arrivals[node])}"
        yield _row("gradient", f"of {name}: {told}")
        yield self._verdict(check)

    def _backward(self, number: int, event: dict) -> Iterator[str]:
        trace, op = self.trace, self.trace.ops[event["op"]]
        target, check = trace.nodes[event["node"]], self.checks.get(number - 1)
        yield (f"{self._op(op)}, gradient of {self._name(event['node'])}, contribution "
               f"{event['number']} of {event['of']}")
        yield from self._origin(op)
        g, gy = trace.arrays[event["contribution"]], trace.arrays[event["gy"]]
        name, result = "g" + self._names(op)[event["input"]], self._result(op)
        cell, which = self._cell(g, check, target["shape"])
        found = CUT if cell is None else self._explained(
            op, lambda: trace.explain_event(event, cell))
        came = self._since(op["outputs"][0], number)
        whence = f"the gradient of {result}" + (f", which arrived in {_events(came)}" if came else
                                                ": backward() starts here")
        yield from self._array(f"g{result}", whence, gy, *_focus(found, f"g{result}", gy))
        yield from self._operands(op, found, target=event["input"])
        yield from self._array(name, "this contribution", g, cell, {cell}, check)
        if cell is not None:
            yield from self._sum(f"{name}{indexed(cell)}, {which}", found, _formula(found), g, cell)
        yield from self._running(number, event, g, cell)
        yield self._verdict(check)

    def _since(self, node: int, number: int) -> list[int]:
        """The events before `number` whose sum a node's gradient is then."""
        came = [n for n in self.arrivals.get(node, ()) if n < number]
        for i in range(len(came) - 1, -1, -1):
            event = self.trace.events[came[i] - 1]
            if event["number"] == 1 and event["sum"] == event["contribution"]:
                return came[i:]
        return came

    def _running(self, number: int, event: dict, g: Any, cell: Any) -> Iterator[str]:
        """before + contribution = after, for the cell."""
        after, what = self.trace.arrays[event["sum"]], self._name(event["node"])
        if g is None or after is None:
            yield _row("so far", f"the gradient of {what} is {CUT}")
            return
        before = self.before[number]
        if event["number"] == 1 and event["sum"] == event["contribution"]:
            start = "not arrived before"
        elif before is None:
            start = f"{after[cell] - g[cell]:.6g} (from before the recording)"
        else:
            start = "?" if self.trace.arrays[before] is None else (
                f"{self.trace.arrays[before][cell]:.6g}")
        yield _row("so far", f"gradient of {what} at {indexed(cell)}: {start}, + {g[cell]:.6g} = "
                   f"{after[cell]:.6g}")

    def _update(self, number: int, event: dict) -> Iterator[str]:
        arrays, what = self.trace.arrays, self._name(event["node"])
        yield f"{event['rule']} step {event['step']}, {what}"
        yield _row("options", ", ".join(f"{k} {tuple(v) if isinstance(v, list) else v}"
                                        for k, v in event["options"].items()))
        names = {"gradient": event["gradient"], "before": event["before"], **event["state"],
                 "after": event["after"]}
        a = {k: arrays[place] for k, place in names.items()}
        cell, which = self._cell(a["gradient"], None, self.trace.nodes[event["node"]]["shape"])
        about = {"gradient": "g, the sum of " + _events(self._since(event["node"], number)),
                 "before": "w, before the step", "after": "w, after the step"}
        for name, values in a.items():
            yield from self._array(name, about.get(name, "of the optimiser, before the step"),
                                   values, cell, {cell})
        if cell is None or any(v is None for v in a.values()):
            return
        at = {k: float(v[cell]) for k, v in a.items()}
        which = which.replace("the largest in magnitude", "where the gradient is largest")
        yield _row("cell", f"{what}{indexed(cell)}, {which}")
        lines = worked(event["rule"], at["before"], at["gradient"], at, event["step"],
                       event["options"])
        if lines is None:
            yield f"      before {at['before']:.6g}, gradient {at['gradient']:.6g}, after " \
                  f"{at['after']:.6g} (a rule that minidl does not know)"
            return
        for line, result in lines:
            yield f"      {line} = {result:.6g}"
        yield "      " + self._compared(lines[-1][1], a["after"], cell, abs(at["before"]))

    # ------------------------------------------------------------------ parts of a block
    def _op(self, op: dict) -> str:
        return op["op"].strip("_") + (f" in module {op['module']}" if op["module"] else "")

    def _name(self, node: int, role: bool = False) -> str:
        n = self.trace.nodes[node]
        if n["name"]:
            return n["name"] + (f" ({n['role']})" if role else "")
        if n["op"] is None:
            return ROLES.get(n["role"], n["role"])
        op = self.trace.ops[n["op"]]
        which = op["outputs"].index(node)
        return (f"{'the output' if not which else f'output {which + 1}'} of {self._op(op)} (event "
                f"{self.made[op['id']]})")

    def _names(self, op: dict) -> list[str]:
        """The inputs' names in the op's declaration."""
        entry, count = self.trace.entry(op), len(op["inputs"])
        names = names_of(Call(entry, (), [None] * count, None)) if entry else []
        return [*names, *(f"x{k}" for k in range(len(names), count))]

    def _origin(self, op: dict) -> Iterator[str]:
        yield _row("line", re.sub(r"\s{3,}", "  ", self.trace.site(op)))
        kind = self.trace.maps[op["op"]]
        text = kind.get("text") or ("value" in kind and f"{self._result(op)} = {kind['value']}"
                                    ) or KINDS.get(kind["kind"], "none: an op of your own")
        yield _row("formula", text + (f"   ({op['formula']})" if op["formula"] else ""))
        entry = self.trace.entry(op)
        if op["op"] in NOTES and (op["op"] != "bias_activation" or op["arguments"][-1] == 1):
            yield _row("", NOTES[op["op"]])
        if entry:
            pairs = [(_SHORT.get(p, p), _plain(a)) for p, a in zip(entry.signature.parameters,
                                                                   op["arguments"])]
            if options := ", ".join(f"{p} {a}" for p, a in pairs if a is not None):
                yield _row("options", options)

    def _operands(self, op: dict, found: Any, cell: Any = None, target: int | None = None
                  ) -> Iterator[str]:
        """The inputs, and arrays beside them: of a value around its `cell`. The gradient of a
        product's factor does not depend on the factor itself, so `target` is left out there; that
        of a rearrangement or a sum depends on no operand."""
        kind = self.trace.maps[op["op"]]["kind"]
        for k, (name, node) in enumerate(zip(self._names(op), op["inputs"])):
            if target is None or not (kind in KINDS or kind == "Contract" and k == target):
                a = self.trace.value(node)
                yield from self._array(name, self._name(node, True), a,
                                       *_focus(found, name, a, cell))
        entry = self.trace.entry(op)
        for name, a in zip(entry.signature.parameters if entry else (), op["arguments"]):
            if isinstance(a, dict) and "array" in a:
                values = self.trace.value(a["array"])
                yield from self._array(name, self._name(a["array"]), values,
                                       *_focus(found, name, values, cell))

    def _array(self, name: str, what: str, a: Any, cell: Any, used: Any, check: Any = None
               ) -> Iterator[str]:
        if a is None:
            yield _row(name, f"{what}, {CUT}")
            return
        yield _row(name, f"{what}, {summary(a)}")
        if a.size < 2:
            return
        cell = largest(a) if cell is None else cell
        wrong = {tuple(c) for c in check["cells"]} if check else set()
        if self.colour:
            yield from (f"    {line}" for line in heat(a, cell, wrong))
        yield from (f"    {line}" for line in window(name, a, cell, used, wrong, self.colour))

    def _sum(self, what: str, found: Any, formula: Sequence[str], a: Any, cell: tuple
             ) -> Iterator[str]:
        """The cell as its terms, the largest first, with the sum so far."""
        yield _row("cell", what)
        if isinstance(found, str):
            yield f"      no terms: {found}"
            return
        yield from (f"      {line}" for line in formula)
        terms, total, rows = found.terms, 0.0, []
        shown = [t for t in terms[:SHOWN] if t.value != 0] or terms[:1]
        for term in shown:
            total += term.value
            rows.append((str(term).replace("  ", " ").replace(" ,", ","), term.value, total))
        if len(terms) > len(shown):
            rest = sum(t.value for t in terms[len(shown):])
            count = len(terms) - len(shown)
            rows.append((f"{count} more term{'s' * (count > 1)}", rest, total + rest))
        wide = max((len(text) for text, _, _ in rows), default=0)
        for text, value, so_far in rows:
            yield f"      {text:{wide}} = {value + 0:.6g}" + (
                f", sum {so_far + 0:.6g}" if len(rows) > 1 else "")
        if found.outside:
            yield f"      {found.outside} terms in the padding = 0"
        yield from (f"      {note}" for note in found.notes)
        yield "      " + self._compared(found.total, a, cell, found.magnitude)

    def _compared(self, total: float, a: np.ndarray, cell: tuple, scale: float) -> str:
        stored = float(a[cell])
        apart = 0.0 if total == stored or total != total and stored != stored else stored - total
        finite = np.abs(a[np.isfinite(a)]) if a.dtype.kind == "f" else np.abs(a.astype(float))
        limit = (1e-4 if a.dtype.itemsize <= 4 else 1e-8) * max(scale, finite.max(initial=0.0))
        text = f"sum {total + 0:.6g}, stored {stored + 0:.6g}, difference {apart:.2g}"
        return text if abs(apart) <= limit else red(f"! {text}: THEY DIFFER", self.colour)

    def _verdict(self, check: dict | None) -> str:
        if check is None:
            return _row("check", "not made (--check makes it)")
        if check["status"] == "fail":
            return red(_row("check", f"! WRONG: {check['reason']}" + (
                "; wrong cells are marked !" if check["cells"] else "")), self.colour)
        word = {"pass": "passed", "skipped": "skipped"}[check["status"]]
        return _row("check", f"{word}: {check['reason']}")

    def _cell(self, a: Any, check: dict | None, shape: Sequence[int]) -> tuple[Any, str]:
        """The cell to explain, and why this one."""
        note = ""
        if self.cell is not None:
            if fits(self.cell, shape):
                return tuple(i % n for i, n in zip(self.cell, shape)), "as chosen"
            note = f" (there is no {indexed(self.cell)} in this shape)"
        if a is None or not a.size:
            return None, ""
        if check and check["cells"]:
            wrong = [tuple(c) for c in check["cells"]]
            return max(wrong, key=lambda c: abs(float(a[c]))), "the largest of the wrong cells"
        cell = largest(a)
        if a.size == 1:
            return cell, "the only number" + note
        return cell, ("the largest in magnitude" if np.isfinite(a[cell])
                      else "the first that is not finite") + note

    def _result(self, op: dict) -> str:
        """The result's name: y, or "out" where y is the second operand."""
        return "out" if "y" in self._names(op) else "y"

    def _explained(self, op: dict, explain: Callable[[], Explanation]) -> Explanation | str:
        """An Explanation, or the reason why there is none."""
        try:
            return explain()
        except (ValueError, TypeError) as error:       # cut arrays, ops without a declaration
            return str(error)


def largest(a: np.ndarray) -> tuple[int, ...]:
    """Where the largest magnitude is, or the first number that is not finite."""
    size = np.abs(a.astype(np.float64)).ravel()
    size[~np.isfinite(size)] = np.inf
    return tuple(int(i) for i in np.unravel_index(int(size.argmax()), a.shape))


def _formula(found: Explanation | str) -> Sequence[str]:
    return () if isinstance(found, str) else found.formula


def _focus(found: Any, name: str, a: Any, cell: Any = None) -> tuple[Any, set]:
    """Around which cell an operand is shown, and its cells that the sum uses: those in the terms,
    or else what lies below the result's `cell`, or below the cells of gy."""
    if isinstance(found, str) or a is None:
        return None, set()
    factors = [f for term in found.terms for f in term.factors]
    used = [index for n, index, _ in factors if n == name]
    if not used:
        above = [cell] if cell is not None else [i for n, i, _ in factors if n in ("gy", "gout")]
        used = [tuple(0 if n == 1 else i for i, n in zip(index[len(index) - a.ndim:], a.shape))
                for index in above if len(index) >= a.ndim]
        if any(i >= n for index in used for i, n in zip(index, a.shape)):
            used = []
    return (used[0] if used else None), set(used)


def _events(numbers: Sequence[int] | None) -> str:
    if not numbers:
        return "no event of this recording"
    return ("event " if len(numbers) == 1 else "events ") + ", ".join(map(str, numbers))


def _plain(a: Any) -> str | None:
    """An argument that is no tensor, in words; None for a tensor or an array."""
    if not isinstance(a, dict):
        return str(a)
    (kind, value), = a.items()
    if kind in ("node", "array"):
        return None
    if kind == "tuple":
        words = [_plain(v) for v in value]
        return None if None in words else f"({', '.join(words)})"
    return {"slice": lambda: ":".join("" if v is None else str(v) for v in value[:2]),
            "ellipsis": lambda: "..."}.get(kind, lambda: str(value))()


def _row(label: str, text: str) -> str:
    return f"  {label:9} {text}"
