"""What there is to say of each event of a trace: ``Facts(trace).of(36)``.

Of an event: what happened, the user's line, the formula, the arrays around it, one cell as a sum of
terms, what had arrived before, and what ``trace.check()`` says. ``walk`` writes all of it,
``screen`` what fits a terminal, ``jsonlines`` JSON; ``follow`` finds which event made a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..testing.compare import difference, equal, scale_of
from .account import Account, ShownArray
from .arrived import arrived
from .explanation import Explanation, Term
from .formula_text import names_of, plain_formula
from .grids import shape_text
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
REMEMBERED = 8                      # events that need not be worked out again
NEVER = "None (nothing had arrived)"


class Facts:
    """Of a trace, event by event. `cell`: the element to explain where a result has it, else the
    largest of each result, or the largest wrong one."""

    def __init__(self, trace: Trace, cell: Sequence[int] | None = None):
        self.trace, self.cell = trace, cell
        self.made = {e["op"]: number for number, e in enumerate(trace.events, 1)
                     if e["phase"] == "forward"}
        self.checks: dict[int, dict] = {}         # of each event, the first that failed
        for check in sorted(trace.checks, key=lambda check: check["status"] != "fail"):
            event = check.get("event")
            self.checks.setdefault(self.made[check["op"]] if event is None else event + 1, check)
        self._told: dict[tuple, Account] = {}        # the last few

    @np.errstate(all="ignore")                    # inf and nan are values
    def of(self, number: int, cell: Sequence[int] | None = None) -> Account:
        """One event, by its number (from 1); `cell` here instead of the usual one."""
        key = number, None if cell is None else tuple(cell)
        if key not in self._told:
            event = self.trace.events[number - 1]
            tell = {"forward": self._forward, "backward": self._backward, "update": self._update}
            if len(self._told) >= REMEMBERED:
                self._told.pop(next(iter(self._told)))
            self._told[key] = tell[event["phase"]](number, event, cell)
        return self._told[key]

    def _head(self, number: int, event: dict, text: str) -> str:
        return f"event {number} of {len(self.trace.events)}, {event['phase']}, {text}"

    # ------------------------------------------------------------------ the three phases
    def _forward(self, number: int, event: dict, cell: Any) -> Account:
        op = self.trace.ops[event["op"]]
        node, check = self.trace.nodes[op["outputs"][0]], self.checks.get(number)
        y = self.trace.value(node["id"])
        cell, which = self._cell(y, check, node["shape"], cell)
        found = _found(self.trace.explain, op["id"], cell, [y])
        arrays = [*self._operands(op, found, cell),
                  ShownArray("y", "the result", y, _one(cell), check["cells"] if check else ())]
        head = self._head(number, event,
                          f"{called(op)}, a result of {shape_text(node['shape'])}")
        return Account(number, event, op, head, self._origin(op), arrays, "y", tuple(node["shape"]),
                    cell, which, found, check, compared=_terms_compared(found, y, cell),
                    gradient=self._arrival(node["id"]))

    def _backward(self, number: int, event: dict, cell: Any) -> Account:
        op, check = self.trace.ops[event["op"]], self.checks.get(number)
        g, gy = (self.trace.arrays[event[what]] for what in ("contribution", "gy"))
        name = "g" + self.names(op)[event["input"]]
        shape = tuple(self.trace.nodes[event["node"]]["shape"])
        cell, which = self._cell(g, check, shape, cell)
        found = _found(self.trace.explain_event, event, cell, [g, gy])
        came = self.came(op["outputs"][0], number)
        whence = f", from {events_text(came)}" if came else ": backward() starts here"
        arrays = [ShownArray("gy", f"the gradient of y{whence}", gy,
                             _used(found, "gy", gy), brief=whence.lstrip(", :")),
                  *self._operands(op, found, target=event["input"]),
                  ShownArray(name, "this contribution", g, _one(cell),
                             check["cells"] if check else ())]
        head = self._head(number, event,
                          f"{called(op)}, gradient of {self.name(event['node'])}, contribution "
                          f"{event['number']} of {event['of']}")
        return Account(number, event, op, head, self._origin(op), arrays, name, shape, cell, which,
                    found, check, running=self._running(number, event, g, cell),
                    compared=_terms_compared(found, g, cell))

    def _update(self, number: int, event: dict, cell: Any) -> Account:
        name, node = self.name(event["node"]), self.trace.nodes[event["node"]]
        places = {"gradient": event["gradient"], "before": event["before"], **event["state"],
                  "after": event["after"]}
        arrays = {k: self.trace.arrays[place] for k, place in places.items()}
        cell, which = self._cell(arrays["gradient"], None, node["shape"], cell)
        about = {"gradient": f"g, the sum of {events_text(self.came(event['node'], number))}",
                 "before": "w, before the step", "after": "w, after the step"}
        shown = [ShownArray(k, about.get(k, "of the optimiser, before the step"), a,
                       _one(cell) if cell is not None and a is not None and is_cell(cell, a.shape)
                       else []) for k, a in arrays.items()]
        options = ", ".join(f"{k} {tuple(v) if isinstance(v, list) else v}"
                            for k, v in event["options"].items())
        head = self._head(number, event, f"{event['rule']} step {event['step']}, {name}")
        told = dict(number=number, event=event, op=None, head=head, rows=[("options", options)],
                    arrays=shown, name=name, shape=tuple(node["shape"]), cell=cell,
                    which="where the gradient is largest" if which == LARGEST else which,
                    check=self.checks.get(number))
        if cell is None or any(a is None for a in arrays.values()):
            return Account(**told, found=_why_no_terms(arrays.values()))
        at = {k: float(a[cell]) for k, a in arrays.items() if is_cell(cell, a.shape)}
        used = {"gradient": "g", "before": "w"}
        factors = tuple((used.get(k, k), cell, v) for k, v in at.items() if k != "after")
        lines = worked(event["rule"], at["before"], at["gradient"], at, event["step"],
                       event["options"], event["first"])
        found = Explanation(head, (), [Term(factors, at["after"], ",")], at["after"], at["after"])
        return Account(**told, found=found, rule=lines, compared=_compared(
            lines[-1][1], arrays["after"], cell, abs(at["before"])) if lines else None)

    # ------------------------------------------------------------------ gradients as they arrive
    def came(self, node: int, before: int) -> list[int]:
        """The events before that number which a node's gradient then is the sum of."""
        return [place + 1 for place in arrived(self.trace, node, before - 1)]

    def _arrival(self, node: int) -> str:
        came = [number for number, event in enumerate(self.trace.events, 1)
                if event["phase"] == "backward" and event["node"] == node]
        if came:
            return f"None yet; it arrives in {events_text(came)}"
        if self.trace.nodes[node]["grad"] is not None:
            return "None yet; backward() starts here"
        return "None: nothing arrives here in this recording"

    def _running(self, number: int, event: dict, g: Any, cell: Any) -> tuple | None:
        """before, contribution and after, for the cell."""
        after = self.trace.arrays[event["sum"]]
        if g is None or after is None or cell is None:
            return None
        came = self.came(event["node"], number)
        place = event.get("earlier", self.trace.events[came[-1] - 1]["sum"] if came else None)
        if event["number"] == 1 and "earlier" not in event:
            start = NEVER
        else:
            before = None if place is None else self.trace.arrays[place]
            start = "?" if before is None else f"{before[cell]:.6g}"
            if before is not None and before.any() and not came:
                start += " (from before the recording)"
        return start, f"{g[cell]:.6g}", f"{after[cell]:.6g}"

    # ------------------------------------------------------------------ names and words
    def name(self, node: int, role: bool = False) -> str:
        """What a node is called; "the output of relu (event 3)" of one without a name."""
        n = self.trace.nodes[node]
        if n["name"]:
            return n["name"] + (f" ({n['role']})" if role else "")
        if n["op"] is None:
            return ROLES.get(n["role"], n["role"])
        op = self.trace.ops[n["op"]]
        which = op["outputs"].index(node)
        return (f"{f'output {which + 1}' if which else 'the output'} of {called(op)} (event "
                f"{self.made[op['id']]})")

    def _brief_name(self, node: int) -> str:
        """relu, event 3"""
        n = self.trace.nodes[node]
        if n["name"] or n["op"] is None:
            return ""
        return f"{self.trace.ops[n['op']]['op']}, event {self.made[n['op']]}"

    def names(self, op: dict) -> list[str]:
        """The inputs' names in the op's declaration; x0, x1, ... where it has none."""
        entry, count = self.trace.entry(op), len(op["inputs"])
        names = names_of(Call(entry, (), [None] * count, None)) if entry else []
        return [*names, *(f"x{k}" for k in range(len(names), count))]

    def arguments(self, op: dict) -> list[tuple[str, Any]]:
        """The op's arguments by name; none of an op that is not known."""
        entry = self.trace.entry(op)
        return list(zip(entry.signature.parameters, op["arguments"])) if entry else []

    def side_arrays(self, op: dict) -> list[tuple[str, int]]:
        """(name, node) of arrays that an op is given beside its inputs: labels, masks."""
        return [(SHORT_NAMES.get(name, name), a["array"]) for name, a in self.arguments(op)
                if isinstance(a, dict) and "array" in a]

    def _origin(self, op: dict) -> list[tuple[str, str]]:
        """The user's line, the op's formula and its options."""
        kind = self.trace.maps[op["op"]]
        text = kind.get("text") or KINDS.get(kind["kind"], "none: an op of your own")
        if len(op["inputs"]) > _factor_count(kind) and kind.get("bias"):
            text = with_bias(text, kind["bias"])
        if "value" in kind:
            text = plain_formula(written(kind["value"]))
        rows = [("line", re.sub(r"\s{3,}", "  ", self.trace.site(op))),
                ("formula", text + (f"   ({op['formula']})" if op["formula"] else ""))]
        if op["op"] in NOTES:
            rows.append(("", NOTES[op["op"]]))
        words = {SHORT_NAMES.get(name, name): _argument_text(a) for name, a in self.arguments(op)}
        if options := ", ".join(f"{name} {word}" for name, word in words.items() if word):
            rows.append(("options", options))
        return rows

    def _operands(self, op: dict, found: Any, cell: Any = None, target: int | None = None
                  ) -> list[ShownArray]:
        """The inputs, and arrays beside them: of a value around its `cell`. The gradient of a
        product's factor depends on the other factors alone; that of a bias, a rearrangement or a
        sum depends on no operand."""
        declared = self.trace.maps[op["op"]]
        kind, count = declared["kind"], _factor_count(declared)
        shown = [(name, node) for k, (name, node) in enumerate(zip(self.names(op), op["inputs"]))
                 if target is None or kind not in (*KINDS, "Contract")
                 or kind == "Contract" and k != target and max(k, target) < count]
        return [ShownArray(name, self.name(node, True), a := self.trace.value(node),
                           _used(found, name, a, cell), brief=self._brief_name(node))
                for name, node in [*shown, *self.side_arrays(op)]]

    def _cell(self, a: Any, check: dict | None, shape: Sequence[int], wanted: Any
              ) -> tuple[Any, str]:
        """The cell to explain, and why this one; None of an array without numbers."""
        for chosen in (wanted, self.cell):
            if chosen is not None and is_cell(chosen, shape):
                return tuple(i % n for i, n in zip(chosen, shape)), "as chosen"
        if a is None or not a.size:
            return None, ""
        if check and check["cells"]:
            wrong = [tuple(c) for c in check["cells"]]
            return max(wrong, key=lambda c: abs(float(a[c]))), "the largest of the wrong cells"
        cell = largest(a)
        return cell, LARGEST if np.isfinite(a[cell]) else "the first that is not finite"


LARGEST = "the largest in magnitude"


def is_cell(cell: Sequence[int], shape: Sequence[int]) -> bool:
    """Is the cell an element of an array of this shape?"""
    return len(cell) == len(shape) and all(-n <= i < n for i, n in zip(cell, shape))


def largest(a: np.ndarray) -> tuple[int, ...]:
    """Where the largest magnitude is, or the first number that is not finite."""
    size = np.where(np.isfinite(a), np.abs(a.astype(np.float64)), np.inf)
    return tuple(int(i) for i in np.unravel_index(size.argmax(), a.shape))


def called(op: dict) -> str:
    """conv2d in module 0"""
    return op["op"] + (f" in module {op['module']}" if op["module"] else "")


def events_text(numbers: Sequence[int]) -> str:
    """events 3, 5"""
    if not numbers:
        return "no event of this recording"
    return f"event{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _one(cell: Any) -> list:
    return [] if cell is None else [cell]


def _why_no_terms(arrays: Iterable) -> str:
    """Why a cell of these arrays has no terms."""
    return f"numbers {CUT}" if any(a is None for a in arrays) else "it has no elements"


def _found(explain: Callable, of: Any, cell: Any, arrays: Sequence) -> Explanation | str:
    """An Explanation, or the reason why there is none: arrays cut, an op without declaration."""
    try:
        if cell is None or any(a is None for a in arrays):
            return _why_no_terms(arrays)
        return explain(of, cell)
    except (ValueError, TypeError) as error:
        return str(error)
    except Exception as error:            # of an op whose arguments in a file are not its own
        return f"{type(error).__name__}: {error}"


def _terms_compared(found: Explanation | str, a: Any, cell: Any) -> tuple[str, bool] | None:
    if isinstance(found, str) or a is None or cell is None:
        return None
    return _compared(found.total, a, cell, found.magnitude)


def _compared(total: float, a: np.ndarray, cell: tuple, scale: float) -> tuple[str, bool]:
    """A sum beside what is stored. Rounding is measured by `scale`, or the largest of a."""
    apart, limit = difference(a[cell], total), 1e-4 if a.dtype.itemsize <= 4 else 1e-8
    text = f"sum {total + 0:.6g}, stored {a[cell] + 0:.6g}, difference {apart:.2g}"
    close = bool(equal(a[cell], total, limit, max(scale, scale_of(a, total))))
    return text if close else f"! {text}: THEY DIFFER", close


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


def _factor_count(kind: dict) -> float:
    """How many operands a declared sum of products multiplies: one more is the bias."""
    return kind["text"].count("[") - 1 if "text" in kind else np.inf


def _argument_text(a: Any) -> str:
    """An argument that is no tensor, in words; "" for a tensor or an array."""
    if not isinstance(a, dict):
        return str(a)
    (kind, value), = a.items()
    if kind == "tuple":
        return f"({', '.join(map(_argument_text, value))})"
    return "" if kind in ("node", "array") else str(value)
