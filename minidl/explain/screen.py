"""One event of a trace on one screen: 24 lines of 80 columns, or more where there are more.

What always stands there: what happened, the user's line, the formula, a line for each array, the
cell, its largest terms, their sum beside the stored number, what had arrived before, and the check.
A window of numbers and more of the terms fill what is left. ``walk`` writes all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from ..files.regular import shown
from .account import Account, ShownArray
from .explanation import SHOWN, Term
from .facts import CUT, largest
from .formula_text import at
from .grids import LABEL, WINDOW_SIDE, Plane, bold, red
from .wrapping import columns_of, cut, wrapped

SCREEN_LINES, SCREEN_COLUMNS = 24, 80          # at least
TERMS, GRID_ROWS = 3, 3       # of terms and of numbers, before others get the lines that are left
STEP_LINES = 4                # lines of a formula with the cell's numbers
ARRAYS = 4                    # lines of them at most; an update has one more for each state
INDENT = 12


class Screen:
    """How much fits, and with colours or without."""

    def __init__(self, lines: int = SCREEN_LINES, width: int = SCREEN_COLUMNS,
                 colour: bool = False):
        self.lines, self.width = max(lines, SCREEN_LINES), max(width, SCREEN_COLUMNS)
        self.colour = colour

    @np.errstate(all="ignore")                   # inf and nan are values
    def block(self, told: Account, mark: tuple[int, int] = (0, 0)) -> list[str]:
        """The event in one line less than the screen has, for the line of the keys. `mark`: the
        term and the factor that Enter follows, counted from 0."""
        top, arrays, tail = self._top(told, 2), self._arrays(told), self._tail(told)
        cell = self._cell(told)
        options = [line for label, text in told.rows if label in ("options", "")
                   for line in self._row(label, text)] if told.op else []
        gradient = self._row("gradient", told.gradient) if told.gradient else []
        notes = [] if isinstance(told.found, str) else [
            line for note in told.found.notes for line in self._text(f"      {note}", 2)]
        terms = self._terms(told, mark, TERMS)
        room = self.lines - 1 - sum(map(len, (top, arrays, cell, terms, tail)))
        if room < 0:
            room, top = room + len(top), self._top(told)
            room -= len(top)
        gradient = gradient if len(gradient) <= room else []
        room -= len(gradient)
        rows = self._rows(told.arrays[-1], min(GRID_ROWS, room - 2))
        room -= rows and rows + 2
        optional = []
        for lines in (options, notes):
            fits = len(lines) <= room
            optional.append(lines if fits else [])
            room -= len(lines) * fits
        options, notes = optional
        for count in range(SHOWN, TERMS, -1):
            more = self._terms(told, mark, count)
            if len(more) - len(terms) <= room:
                room, terms = room - len(more) + len(terms), more
                break
        windows = self._windows(told, mark, room)
        room -= sum(map(len, windows.values()))
        if more := self._rows(told.arrays[-1], room + rows - (0 if rows else 2)):
            windows[len(told.arrays) - 1] = self._window(told.arrays[-1], more)
            room -= more - rows + (0 if rows else 2)
        grids = [line for k, array in arrays.items() for line in (array, *windows.get(k, ()))]
        return [*top, *options, *grids, *gradient, *cell, *terms, *notes, *tail]

    # ------------------------------------------------------------------ what stands there always
    def _top(self, told: Account, lines: int = 1) -> list[str]:
        """The head, the user's line and the formula."""
        head = [bold(line, self.colour) for line in wrapped(shown(told.head), self.width, 3, 2)]
        most = {"line": lines, "formula": 2}
        if told.op is None:
            most = {"options": 2}
        return head + [line for label, text in told.rows if label in most
                       for line in self._row(label, text, most[label])]

    def _arrays(self, told: Account) -> dict[int, str]:
        """A line for each array, by its number; the last is the result's."""
        lines = {k: self._array(array) for k, array in enumerate(told.arrays)}
        left = len(lines) - ARRAYS
        if told.op and left > 0:
            *first, result = lines.items()
            left += 1
            lines = dict([*first[:-left], (-1, f"  {'':9} and {left} more arrays"), result])
        return lines

    def _array(self, array: ShownArray) -> str:
        """Its name, what it is, and its shape and range, which are never cut."""
        facts = CUT if array.values is None else _brief(array.values)
        first = f"  {shown(array.name):9} "
        room = self.width - columns_of(first) - columns_of(facts) - 2
        words = [shown(array.what), shown(array.what).removeprefix("the "), shown(array.brief)]
        what = next((text for text in words if text and columns_of(text) <= room),
                    cut(words[2] or words[1], max(room, 8)))
        return cut(f"{first}{what}, {facts}", self.width)

    def _cell(self, told: Account) -> list[str]:
        """Which cell, and its formula with the indices put in."""
        if told.cell is None:
            return self._row("cell", f"none: {told.found}" if isinstance(told.found, str) else
                             "none")
        lines = self._row("cell", f"{told.name}{at(told.cell)}, {told.which}", 1)
        if isinstance(told.found, str):
            return [*lines, *self._text(f"      no terms: {told.found}", 2)]
        if told.op is None:
            return lines + [line for text, value in told.rule or (
                ("a rule that minidl does not know", told.found.stored),)
                for line in self._text(f"      {text} = {value:.6g}", 2)]
        if told.found.steps:
            said = [str(step) for step in told.found.steps]
        else:                                             # what is shown elsewhere is left out
            forward = told.event["phase"] == "forward"
            said = [text for text in told.found.formula if text.startswith("y[") == forward
                    and not re.match(r"\w+ is |dy/d\w+ of ", text)]
            said = said[1:] if forward and len(said) > 1 else said
        cell = [line for text in said for line in self._text(f"      {text}", 2)]
        return lines + cell[:STEP_LINES]

    def _tail(self, told: Account) -> list[str]:
        """The sum beside what is stored, the gradient so far, and the check."""
        lines = []
        if told.compared:
            text, right = told.compared
            lines += self._marked(self._text(f"      {text}", 2), right)
        if told.running:
            before, part, after = told.running
            lines += self._row("so far", f"{before} + {part} = {after}")
        if told.op or told.check:
            text, right = told.verdict()
            lines += self._marked(self._row("check", text, 1 if right else 2), right)
        return lines

    # ------------------------------------------------------------------ terms
    def _terms(self, told: Account, mark: tuple[int, int], count: int) -> list[str]:
        """`count` of the terms, the marked one among them, and the rest as one."""
        terms = told.terms
        if not terms:
            return [] if isinstance(told.found, str) else ["      it has no terms"]
        if told.found.steps and not terms[0].factors:
            return []                                     # the steps say it all
        first = max(0, mark[0] + 1 - count)
        last = min(first + count, len(terms))
        while last - 1 > max(mark[0], first) and terms[last - 1].value == 0:
            last -= 1                                     # zeros at the end say nothing
        sums = np.cumsum([t.value for t in terms[:last]])
        many = len(terms) > 1                             # the most that fits into a line each
        for digits, with_sum in ((6, many), (5, many), (4, many), (3, many), (4, False)):
            written = [_term_line(k, terms[k], mark[1] if k == mark[0] else None,
                                  sums[k] if with_sum else None, digits)
                       for k in range(first, last)]
            if max(map(columns_of, written)) <= self.width:
                break
        lines = [line for text in written for line in self._text(text, 3)]
        rest, outside = [*terms[:first], *terms[last:]], told.found.outside
        said = [f"{len(rest)} other term{'s' * (len(rest) > 1)} = "
                f"{sum(t.value for t in rest) + 0:.6g}"] if rest else []
        said += [f"{outside} in the padding = 0"] if outside else []
        return lines + ([cut(f"{'':7}{', '.join(said)}", self.width)] if said else [])

    # ------------------------------------------------------------------ windows of numbers
    def _plane(self, array: ShownArray) -> Plane:
        return Plane(array.values, array.used[0] if array.used else largest(array.values),
                     array.used, array.wrong)

    def _rows(self, array: ShownArray, most: int) -> int:
        """How many rows of an array are shown where there are `most` lines for them."""
        if array.values is None or array.values.size < 2:
            return 0
        height = array.values.shape[-2:][0] if sum(n > 1 for n in array.values.shape) > 1 else 1
        height = self._plane(array).values.shape[0] if height > 1 else height
        return min(height, most, WINDOW_SIDE) if most >= min(height, 2) else 0

    def _window(self, array: ShownArray, rows: int) -> list[str]:
        lines = self._plane(array).window(shown(array.name), self.colour, rows,
                                          self.width - LABEL)
        return [f"    {line}" for line in lines]

    def _windows(self, told: Account, mark: tuple[int, int], room: int) -> dict[int, list[str]]:
        """The operands' numbers, the marked factor's first, where there is room."""
        name = ""
        if told.terms and told.terms[mark[0]].factors:
            name = told.terms[mark[0]].factors[mark[1]][0]
        found: dict[int, list[str]] = {}
        numbers = list(self._arrays(told))[:-1]
        for k in sorted(numbers, key=lambda k: told.arrays[k].name != name):
            if k >= 0 and (rows := self._rows(told.arrays[k], room - 2)):
                found[k] = self._window(told.arrays[k], rows)
                room -= len(found[k])
        return found

    # ------------------------------------------------------------------ lines
    def fitted(self, line: str) -> list[str]:
        """A line of another's text, broken where it is too wide; then it loses its colours."""
        plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
        fits = columns_of(plain) <= self.width
        return [line] if fits else wrapped(plain, self.width, len(plain), INDENT)

    def _row(self, label: str, text: str, most: int = 1) -> list[str]:
        return wrapped(f"  {shown(label):9} {shown(text)}", self.width, most, INDENT)

    def _text(self, text: str, most: int = 1) -> list[str]:
        return wrapped(shown(text), self.width, most, INDENT - 2)

    def _marked(self, lines: Sequence[str], right: bool) -> list[str]:
        return [line if right else red(line, self.colour) for line in lines]


def _term_line(k: int, term: Term, marked: int | None, total: float | None, digits: int) -> str:
    """One term, with the sum so far. > stands before the marked factor."""
    factors = f" {term.sign} ".replace(" ,", ",").join(
        f"{'>' * (i == marked)}{name}{at(index)} {value + 0:.{digits}g}"
        for i, (name, index, value) in enumerate(term.factors))
    so_far = "" if total is None else f", sum {total + 0:.{digits}g}"
    return f"{k + 1:5}  {factors or 'without a factor'} = {term.value + 0:.{digits}g}{so_far}"


def _brief(a: np.ndarray) -> str:
    """2 x 1 x 28 x 28, 0 to 1, 3 NOT FINITE"""
    if a.size == 1:
        return f"{a.ravel()[0] + 0:.6g}"
    return ", ".join(_brief_parts(a))


def _brief_parts(a: np.ndarray) -> Iterator[str]:
    yield " x ".join(map(str, a.shape)) + " numbers" * (a.ndim == 1)
    finite = a[np.isfinite(a)]
    if finite.size:
        low, high = f"{finite.min() + 0:.3g}", f"{finite.max() + 0:.3g}"
        yield f"all {low}" if low == high else f"{low} to {high}"
    if lost := a.size - finite.size:
        yield f"{lost} NOT FINITE"
