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

from ..testing.compare import difference, equal, scale_of
from .explanation import SHOWN, Explanation
from .formula_text import names_of
from .grids import Plane, array_summary, bold, indexed, red, shape_text
from .maps import SHORT_NAMES, Call, with_bias
from .steps import written
from .trace import Trace
from .updates import worked

ROLES = {"constant": "a constant", "label": "labels", "mask": "a mask", "noise": "noise",
         "input": "an input without a name", "parameter": "a parameter without a name"}
KINDS = {"Gather": "every element of y is one element of x",
         "Scatter": "every element of x is added to one of y",
         "Reduce": "y = the sum of x over dim"}
NOTES = {"conv2d_input_grad": "a transposed convolution is the input gradient of a convolution",
         "bias_activation": "a bias, and the activation of the sum"}
CUT = "left out of the file for its size"


class Walk:
    """The events of a trace as text. `cell`: the element to explain, else the largest of each
    result, or the largest wrong one. `colour`: with ANSI colours, and with pictures."""

    def __init__(self, trace: Trace, colour: bool = False, cell: Sequence[int] | None = None):
        self.trace, self.colour, self.cell = trace, colour, cell
        self.made = {e["op"]: number for number, e in enumerate(trace.events, 1)
                     if e["phase"] == "forward"}
        self.checks: dict[int, dict] = {}         # of each event, the first that failed
        for check in sorted(trace.checks, key=lambda check: check["status"] != "fail"):
            event = check.get("event")
            self.checks.setdefault(self.made[check["op"]] if event is None else event + 1, check)

    # ------------------------------------------------------------------ the text
    @np.errstate(all="ignore")                   # inf and nan are values
    def event(self, number: int) -> str:
        """One event, by its number (from 1)."""
        event = self.trace.events[number - 1]
        write = {"forward": self._forward, "backward": self._backward, "update": self._update}
        first, *lines = write[event["phase"]](number, event)
        head = f"event {number} of {len(self.trace.events)}, {event['phase']}, {first}"
        return "\n".join([bold(head, self.colour), *lines])

    def _forward(self, number: int, event: dict) -> Iterator[str]:
        op = self.trace.ops[event["op"]]
        node, check = self.trace.nodes[op["outputs"][0]], self.checks.get(number)
        name, y = "y", self.trace.value(node["id"])
        cell, which = self._cell(y, check, node["shape"])
        found = _found(self.trace.explain, op["id"], cell)
        yield f"{_called(op)}, a result of {shape_text(node['shape'])}"
        yield from self._origin(op)
        yield from self._operands(op, found, cell)
        yield from self._array(name, "the result", y, [cell], check)
        yield from self._sum(name, which, found, 1, y, cell)
        yield self._verdict(check)

    def _backward(self, number: int, event: dict) -> Iterator[str]:
        op, check = self.trace.ops[event["op"]], self.checks.get(number)
        g, gy = (self.trace.arrays[event[what]] for what in ("contribution", "gy"))
        name = "g" + self._names(op)[event["input"]]
        cell, which = self._cell(g, check, self.trace.nodes[event["node"]]["shape"])
        found = _found(self.trace.explain_event, event, cell)
        yield (f"{_called(op)}, gradient of {self._name(event['node'])}, contribution "
               f"{event['number']} of {event['of']}")
        yield from self._origin(op)
        came = self._came(op["outputs"][0], number)
        whence = f", which arrived in {_events(came)}" if came else ": backward() starts here"
        yield from self._array("gy", f"the gradient of y{whence}", gy,
                               _used(found, "gy", gy))
        yield from self._operands(op, found, target=event["input"])
        yield from self._array(name, "this contribution", g, [cell], check)
        yield from self._sum(name, which, found, 0, g, cell)
        yield from self._running(number, event, g, cell)
        yield self._verdict(check)

    def _came(self, node: int, before: int) -> list[int]:
        """The events before that number which a node's gradient then is the sum of."""
        came: list[int] = []
        for number, event in enumerate(self.trace.events[:before - 1], 1):
            if event["phase"] == "backward" and event["node"] == node:
                came = [number] if _is_first(event) else [*came, number]
        return came

    def _running(self, number: int, event: dict, g: Any, cell: Any) -> Iterator[str]:
        """before + contribution = after, for the cell."""
        after, name = self.trace.arrays[event["sum"]], self._name(event["node"])
        if g is None or after is None or cell is None:
            return
        start = f"{after[cell] - g[cell]:.6g} (from before the recording)"
        if _is_first(event):
            start = "not arrived before"
        elif came := self._came(event["node"], number):
            before = self.trace.arrays[self.trace.events[came[-1] - 1]["sum"]]
            start = "?" if before is None else f"{before[cell]:.6g}"
        yield _row("so far", f"gradient of {name} at {indexed(cell)}: {start}, + {g[cell]:.6g} = "
                   f"{after[cell]:.6g}")

    def _update(self, number: int, event: dict) -> Iterator[str]:
        name = self._name(event["node"])
        yield f"{event['rule']} step {event['step']}, {name}"
        yield _row("options", ", ".join(f"{k} {tuple(v) if isinstance(v, list) else v}"
                                        for k, v in event["options"].items()))
        places = {"gradient": event["gradient"], "before": event["before"], **event["state"],
                  "after": event["after"]}
        arrays = {k: self.trace.arrays[place] for k, place in places.items()}
        cell, which = self._cell(arrays["gradient"], None,
                                 self.trace.nodes[event["node"]]["shape"])
        about = {"gradient": f"g, the sum of {_events(self._came(event['node'], number))}",
                 "before": "w, before the step", "after": "w, after the step"}
        for k, a in arrays.items():
            shown = [cell] if cell and a is not None and is_cell(cell, a.shape) else []
            yield from self._array(k, about.get(k, "of the optimiser, before the step"), a, shown)
        if not (cell is None or any(a is None for a in arrays.values())):
            yield from self._rule(event, name, arrays, cell, which)
        if number in self.checks:
            yield self._verdict(self.checks[number])

    def _rule(self, event: dict, name: str, arrays: dict, cell: tuple, which: str
              ) -> Iterator[str]:
        """The optimiser's rule for one number, beside what is stored."""
        at = {k: float(a[cell]) for k, a in arrays.items() if is_cell(cell, a.shape)}
        yield _row("cell", f"{name}{indexed(cell)}, " + (
            which if which == "as chosen" else "where the gradient is largest"))
        lines = worked(event["rule"], at["before"], at["gradient"], at, event["step"],
                       event["options"])
        yield from (f"      {line} = {value:.6g}" for line, value in lines or ())
        yield "      " + (self._compared(lines[-1][1], arrays["after"], cell, abs(at["before"]))
                          if lines else "a rule that minidl does not know")

    # ------------------------------------------------------------------ parts of a block
    def _name(self, node: int, role: bool = False) -> str:
        n = self.trace.nodes[node]
        if n["name"]:
            return n["name"] + (f" ({n['role']})" if role else "")
        if n["op"] is None:
            return ROLES.get(n["role"], n["role"])
        op = self.trace.ops[n["op"]]
        which = op["outputs"].index(node)
        return (f"{f'output {which + 1}' if which else 'the output'} of {_called(op)} (event "
                f"{self.made[op['id']]})")

    def _names(self, op: dict) -> list[str]:
        """The inputs' names in the op's declaration; x0, x1, ... where it has none."""
        entry, count = self.trace.entry(op), len(op["inputs"])
        names = names_of(Call(entry, (), [None] * count, None)) if entry else []
        return [*names, *(f"x{k}" for k in range(len(names), count))]

    def _arguments(self, op: dict) -> list[tuple[str, Any]]:
        entry = self.trace.entry(op)
        return list(zip(entry.signature.parameters, op["arguments"])) if entry else []

    def _origin(self, op: dict) -> Iterator[str]:
        """The user's line, the op's formula and its options."""
        kind = self.trace.maps[op["op"]]
        text = kind.get("text") or KINDS.get(kind["kind"], "none: an op of your own")
        if len(op["inputs"]) > _factor_count(kind) and kind.get("bias"):
            text = with_bias(text, kind["bias"])
        if "value" in kind:
            text = written(kind["value"])
        yield _row("line", re.sub(r"\s{3,}", "  ", self.trace.site(op)))
        yield _row("formula", text + (f"   ({op['formula']})" if op["formula"] else ""))
        if op["op"] in NOTES:
            yield _row("", NOTES[op["op"]])
        words = {SHORT_NAMES.get(name, name): _argument_text(a) for name, a in self._arguments(op)}
        if options := ", ".join(f"{name} {word}" for name, word in words.items() if word):
            yield _row("options", options)

    def _operands(self, op: dict, found: Any, cell: Any = None, target: int | None = None
                  ) -> Iterator[str]:
        """The inputs, and arrays beside them: of a value around its `cell`. The gradient of a
        product's factor depends on the other factors alone; that of a bias, a rearrangement or a
        sum depends on no operand."""
        declared = self.trace.maps[op["op"]]
        kind, count = declared["kind"], _factor_count(declared)
        shown = [(name, node) for k, (name, node) in enumerate(zip(self._names(op), op["inputs"]))
                 if target is None or kind not in (*KINDS, "Contract")
                 or kind == "Contract" and k != target and max(k, target) < count]
        shown += [(name, a["array"]) for name, a in self._arguments(op)
                  if isinstance(a, dict) and "array" in a]
        for name, node in shown:
            a = self.trace.value(node)
            yield from self._array(name, self._name(node, True), a, _used(found, name, a, cell))

    def _array(self, name: str, what: str, a: Any, used: Sequence, check: Any = None
               ) -> Iterator[str]:
        """An array's range, and its numbers around the first of the cells that are `used`."""
        if a is None:
            yield _row(name, f"{what}, {CUT}")
            return
        yield _row(name, f"{what}, {array_summary(a)}")
        if a.size > 1:
            plane = Plane(a, used[0] if used else largest(a), used, check["cells"] if check else ())
            yield from (f"    {line}" for line in (*(plane.heat() if self.colour else ()),
                                                   *plane.window(name, self.colour)))

    def _sum(self, name: str, which: str, found: Any, known: int, a: Any, cell: Any
             ) -> Iterator[str]:
        """The cell as its terms, the largest first, with the sum so far; `known` lines of the
        formula have been shown."""
        if a is None or cell is None:
            return
        yield _row("cell", f"{name}{indexed(cell)}, {which}")
        if isinstance(found, str):
            yield f"      no terms: {found}"
            return
        shown = [t for t in found.terms[:SHOWN] if t.value != 0] or found.terms[:1]
        rows = [(str(t).replace("  ", " ").replace(" ,", ","), t.value) for t in shown]
        if rest := found.terms[len(shown):]:
            rows.append((f"{len(rest)} more term{'s' * (len(rest) > 1)}",
                         sum(t.value for t in rest)))
        yield from (f"      {line}" for line in found.formula[known:])
        wide = max((len(text) for text, _ in rows), default=0)
        for (text, value), total in zip(rows, np.cumsum([value for _, value in rows])):
            so_far = f", sum {total + 0:.6g}" if len(rows) > 1 else ""
            yield f"      {text:{wide}} = {value + 0:.6g}{so_far}"
        if found.outside:
            yield f"      {found.outside} terms in the padding = 0"
        yield from (f"      {note}" for note in found.notes)
        yield "      " + self._compared(found.total, a, cell, found.magnitude)

    def _compared(self, total: float, a: np.ndarray, cell: tuple, scale: float) -> str:
        """A sum beside what is stored. Rounding is measured by `scale`, or the largest of a."""
        apart, limit = difference(a[cell], total), 1e-4 if a.dtype.itemsize <= 4 else 1e-8
        text = f"sum {total + 0:.6g}, stored {a[cell] + 0:.6g}, difference {apart:.2g}"
        close = equal(a[cell], total, limit, max(scale, scale_of(a, total)))
        return text if close else red(f"! {text}: THEY DIFFER", self.colour)

    def _verdict(self, check: dict | None) -> str:
        if check is None:
            return _row("check", "not made (--check makes it)")
        if check["status"] == "fail":
            marked = "; wrong cells are marked !" if check["cells"] else ""
            return red(_row("check", f"! WRONG: {check['reason']}{marked}"), self.colour)
        word = {"pass": "passed", "skipped": "skipped"}[check["status"]]
        return _row("check", f"{word}: {check['reason']}")

    def _cell(self, a: Any, check: dict | None, shape: Sequence[int]) -> tuple[Any, str]:
        """The cell to explain, and why this one; None of an array without numbers."""
        if self.cell is not None and is_cell(self.cell, shape):
            return tuple(i % n for i, n in zip(self.cell, shape)), "as chosen"
        if a is None or not a.size:
            return None, ""
        if check and check["cells"]:
            wrong = [tuple(c) for c in check["cells"]]
            return max(wrong, key=lambda c: abs(float(a[c]))), "the largest of the wrong cells"
        cell = largest(a)
        return cell, ("the largest in magnitude" if np.isfinite(a[cell])
                      else "the first that is not finite")


def is_cell(cell: Sequence[int], shape: Sequence[int]) -> bool:
    """Is the cell an element of an array of this shape?"""
    return len(cell) == len(shape) and all(-n <= i < n for i, n in zip(cell, shape))


def largest(a: np.ndarray) -> tuple[int, ...]:
    """Where the largest magnitude is, or the first number that is not finite."""
    size = np.where(np.isfinite(a), np.abs(a.astype(np.float64)), np.inf)
    return tuple(int(i) for i in np.unravel_index(size.argmax(), a.shape))


def _found(explain: Callable, of: Any, cell: Any) -> Explanation | str:
    """An Explanation, or the reason why there is none: arrays cut, an op without declaration."""
    try:
        return CUT if cell is None else explain(of, cell)
    except (ValueError, TypeError) as error:
        return str(error)
    except Exception as error:            # of an op whose arguments in a file are not its own
        return f"{type(error).__name__}: {error}"


def _used(found: Any, name: str, a: Any, cell: Any = None) -> list[tuple[int, ...]]:
    """The cells of an operand that the sum uses: those in its terms, or else what lies below the
    cells of gy, or below the result's `cell`."""
    if isinstance(found, str) or a is None:
        return []
    factors = [f for term in found.terms for f in term.factors]
    if used := [index for n, index, _ in factors if n == name]:
        return used
    above = [cell] if cell is not None else [i for n, i, _ in factors if n == "gy"]
    below = [tuple(0 if n == 1 else i for i, n in zip(index[len(index) - a.ndim:], a.shape))
             for index in above if len(index) >= a.ndim]
    return below if all(is_cell(index, a.shape) for index in below) else []


def _is_first(event: dict) -> bool:
    """Did this contribution come to a gradient that there was not before?"""
    return event["number"] == 1 and event["sum"] == event["contribution"]


def _factor_count(kind: dict) -> float:
    """How many operands a declared sum of products multiplies: one more is the bias."""
    return kind["text"].count("[") - 1 if "text" in kind else np.inf


def _called(op: dict) -> str:
    return op["op"] + (f" in module {op['module']}" if op["module"] else "")


def _events(numbers: Sequence[int]) -> str:
    if not numbers:
        return "no event of this recording"
    return f"event{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _argument_text(a: Any) -> str:
    """An argument that is no tensor, in words; "" for a tensor or an array."""
    if not isinstance(a, dict):
        return str(a)
    (kind, value), = a.items()
    if kind == "tuple":
        return f"({', '.join(map(_argument_text, value))})"
    return "" if kind in ("node", "array") else str(value)


def _row(label: str, text: str) -> str:
    return f"  {label:9} {text}"
