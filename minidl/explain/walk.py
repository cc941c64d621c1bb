"""A recorded step event by event, as text with all its details: ``docs/step.md`` shows it.

An event is a block of lines: what happened, the user's line, the formula, operands and result
around one cell, that cell as a sum of terms, what had arrived before, and what ``trace.check()``
says. The first line is complete when read aloud. Nothing is said by colour alone. ``screen`` writes
the same in fewer lines, for a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..files.regular import shown
from .account import Account, ShownArray
from .explanation import SHOWN, Term
from .facts import CUT, Facts, largest
from .formula_text import at
from .grids import Plane, array_summary, bold, indexed, red
from .trace import Trace


class Walk:
    """The events of a trace as text. `cell`: the element to explain, else the largest of each
    result, or the largest wrong one. `colour`: with ANSI colours, and with pictures."""

    def __init__(self, trace: Trace, colour: bool = False, cell: Sequence[int] | None = None):
        self.facts, self.colour = Facts(trace, cell), colour

    @np.errstate(all="ignore")                   # inf and nan are values
    def event(self, number: int, cell: Sequence[int] | None = None) -> str:
        """One event, by its number (from 1); `cell` here instead of the usual one."""
        told = self.facts.of(number, cell)
        return "\n".join([bold(shown(told.head), self.colour), *self._lines(told)])

    def _lines(self, told: Account) -> Iterator[str]:
        yield from (_row(label, text) for label, text in told.rows)
        for array in told.arrays:
            yield from self._array(array)
        if told.cell is not None and told.values is not None:
            yield from self._sum(told)
        if told.running:
            before, part, after = told.running
            yield _row("so far", f"gradient of {self.facts.name(told.event['node'])} at "
                       f"{indexed(told.cell)}: {before}, + {part} = {after}")
        if told.op or told.check:
            text, right = told.verdict()
            yield _row("check", text) if right else red(_row("check", text), self.colour)

    def _array(self, array: ShownArray) -> Iterator[str]:
        """An array's range, and its numbers around the first of the cells that are used."""
        a = array.values
        if a is None:
            yield _row(array.name, f"{array.what}, {CUT}")
            return
        yield _row(array.name, f"{array.what}, {array_summary(a)}")
        if a.size > 1:
            plane = Plane(a, array.used[0] if array.used else largest(a), array.used, array.wrong)
            yield from (f"    {line}" for line in (*(plane.heat() if self.colour else ()),
                                                   *plane.window(array.name, self.colour)))

    def _sum(self, told: Account) -> Iterator[str]:
        """The cell as its terms, the largest first, with the sum so far."""
        found, indent = told.found, " " * 6
        if told.op or not isinstance(found, str):
            yield _row("cell", f"{told.name}{at(told.cell)}, {told.which}")
        if isinstance(found, str):
            yield f"{indent}no terms: {shown(found)}"
        elif told.op:
            known = told.event["phase"] == "forward"      # its formula has been shown
            yield from (f"{indent}{shown(line)}" for line in found.formula[known:])
            yield from (f"{indent}{step}" for step in found.steps)
            yield from (f"{indent}{line}" for line in _sum_lines(found))
            yield from (f"{indent}{shown(note)}" for note in found.notes)
        else:
            yield from (f"{indent}{line} = {value:.6g}" for line, value in told.rule or ())
            if not told.rule:
                yield f"{indent}a rule that minidl does not know"
        if told.compared:
            text, right = told.compared
            yield indent + (text if right else red(text, self.colour))


def _sum_lines(found) -> Iterator[str]:
    """The first SHOWN terms and the rest as one, each with the sum so far."""
    terms = [t for t in found.terms[:SHOWN] if t.value != 0] or found.terms[:1]
    rows = [(term_text(t), t.value) for t in terms]
    if rest := found.terms[len(terms):]:
        rows.append((f"{len(rest)} more term{'s' * (len(rest) > 1)}", sum(t.value for t in rest)))
    wide = max((len(text) for text, _ in rows), default=0)
    for (text, value), total in zip(rows, np.cumsum([value for _, value in rows])):
        so_far = f", sum {total + 0:.6g}" if len(rows) > 1 else ""
        yield f"{text:{wide}} = {value + 0:.6g}{so_far}"
    if found.outside:
        yield f"{found.outside} terms in the padding = 0"


def term_text(term: Term) -> str:
    """gy[0,1] 0.5 * x[2,3] 0.25"""
    return str(term).replace("  ", " ").replace(" ,", ",")


def _row(label: str, text: str) -> str:
    return f"  {shown(label):9} {shown(text)}"
