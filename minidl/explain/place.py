"""Where one looks in a trace, and how one moves: an event, a cell of its result, a factor.

``Place(trace).follow()`` goes from the marked factor to the event that made it, ``back()`` returns.
There are no keys and no terminal in it: ``controls`` has the keys, ``show`` prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .account import Account
from .choose import band_starts, matching, module_of, nothing_called
from .facts import Facts, is_cell
from .follow import best_factor, way
from .formula_text import at
from .trace import Trace


class Spot(NamedTuple):
    """An event, the cell that was chosen (None: the usual one), and the marked factor (None: the
    one that is best followed), counted from 0."""

    number: int
    cell: tuple[int, ...] | None = None
    mark: tuple[int, int] | None = None


class Place:
    """A place in a trace. `numbers`: the events that :meth:`step` goes through (default all),
    beginning with the first; `cell`: the element to explain where a result has it.

    spot     where it is
    history  the spots to go back to, the last one last
    said     what the last move did, or why it did nothing, in words; "" if there is nothing to say
    """

    def __init__(self, trace: Trace, numbers: Sequence[int] | None = None,
                 cell: Sequence[int] | None = None):
        self.trace, self.facts = trace, Facts(trace, cell)
        self.numbers = list(numbers or range(1, len(trace.events) + 1))
        if not self.numbers:
            raise ValueError("step: this recording holds no event")
        self.spot, self.history = Spot(self.numbers[0]), list[Spot]()
        self.said, self.sought = "", ""

    # ------------------------------------------------------------------ what is here
    @property
    def told(self) -> Account:
        """All about the event and the cell."""
        return self.facts.of(self.spot.number, self.spot.cell)

    @property
    def mark(self) -> tuple[int, int]:
        """The term and the factor that Enter follows."""
        return self.spot.mark or (0, best_factor(self.facts, self.told, 0))

    # ------------------------------------------------------------------ events
    def jump(self, spot: Spot) -> None:
        """Go there, so that Backspace returns."""
        if spot != self.spot:
            self.history.append(self.spot)
            self.spot = spot

    def back(self) -> None:
        """To the spot before the last jump."""
        if self.history:
            self.spot = self.history.pop()
        else:
            self.said = "this is where you began"

    def step(self, by: int) -> None:
        """To the chosen event before or after this one."""
        self._to(self._beyond(by), f"this is the {'last' if by > 0 else 'first'} event")

    def module(self, by: int) -> None:
        """To the next event of another module, or of none."""
        here = module_of(self.trace, self.spot.number)
        self._to([n for n in self._beyond(by) if module_of(self.trace, n) != here],
                 f"no other module comes {'after' if by > 0 else 'before'} this")

    def _beyond(self, by: int) -> list[int]:
        """The chosen events after this one, or before it, the nearest first."""
        return [n for n in self.numbers[::by] if (n - self.spot.number) * by > 0]

    def _to(self, numbers: list[int], otherwise: str) -> None:
        """To the first of these events, if there is one."""
        if numbers:
            self.spot = Spot(numbers[0])
        else:
            self.said = otherwise

    def band(self, phase: str) -> None:
        """To where the next stretch of forward, backward or update events begins."""
        starts = band_starts(self.trace, phase)
        if not starts:
            self.said = f"this recording has no {phase} event"
            return
        after = next((n for n in starts if n > self.spot.number), starts[0])
        if len(starts) > 1:
            self.said = f"{phase} begins {len(starts)} times, here for the " \
                        f"{starts.index(after) + 1}. time"
        self.jump(Spot(after))

    def goto(self, text: str) -> None:
        """To an event by its number."""
        count = len(self.trace.events)
        if text.isdecimal() and 1 <= int(text) <= count:
            self.jump(Spot(int(text)))
        else:
            self.said = f"goto: {text!r} is no event; they are 1 to {count}"

    def find(self, text: str) -> None:
        """To the next event with an op, module, parameter or input of that name; without text, of
        the name found last."""
        self.sought = text or self.sought
        if not self.sought:
            self.said = "find: type a name: of an op, a module, a parameter, an input"
            return
        numbers = matching(self.trace, self.sought, range(1, len(self.trace.events) + 1))
        if not numbers:
            self.said = f"find: {nothing_called(self.trace, self.sought)}"
            return
        there = next((n for n in numbers if n > self.spot.number), numbers[0])
        self.said = f"{self.sought}: {numbers.index(there) + 1} of {len(numbers)} events found"
        self.jump(Spot(there))

    def wrong(self) -> None:
        """To the next wrong cell, of this event or another."""
        bad = [(n, tuple(cell)) for n, check in sorted(self.facts.checks.items())
               if check["status"] == "fail" for cell in check["cells"] or [()]]
        if not bad:
            self.said = ("no check failed" if self.trace.checks else
                         "nothing was checked; --check does it before the walk")
            return
        here = (self.spot.number, self.told.cell or ())
        on = here in bad and (self.spot.cell is not None or here[1] == ())
        k = bad.index(here) + 1 if on else next(
            (k for k, (n, _) in enumerate(bad) if n >= here[0]), 0)
        number, cell = bad[k % len(bad)]
        self.said = f"wrong cell {k % len(bad) + 1} of {len(bad)}"
        self.jump(Spot(number, cell or None))

    # ------------------------------------------------------------------ terms
    def follow(self) -> None:
        """From the marked factor to the event that made it."""
        found = way(self.facts, self.told, *self.mark)
        self.said = found.said
        if found.number is not None:
            self.jump(Spot(found.number, found.cell))

    def follow_named(self, text: str) -> None:
        """``2``: the second term's best factor. ``2 w``: its factor w."""
        number, _, name = text.partition(" ")
        if not number.isdecimal():
            self.said = f"follow: {number!r} is no number of a term"
            return
        if not self._has_term(int(number)):
            return
        k = int(number) - 1
        names = [f[0] for f in self.told.terms[k].factors]
        if name and name.strip() not in names:
            self.said = f"follow: term {number} has no factor {name!r}, but {', '.join(names)}"
            return
        factor = names.index(name.strip()) if name else best_factor(self.facts, self.told, k)
        self.spot = self.spot._replace(mark=(k, factor))
        self.follow()

    def _has_term(self, number: int) -> bool:
        count = len(self.told.terms)
        if not 1 <= number <= count:
            self.said = f"there is no term {number}; this cell has {count or 'none'}"
        return 1 <= number <= count

    def mark_term(self, number: int) -> None:
        """Mark a term's best factor; where it is marked, its next factor."""
        if not self._has_term(number):
            return
        k, now = number - 1, self.mark
        factor = (now[1] + 1 if self.spot.mark and now[0] == k
                  else best_factor(self.facts, self.told, k))
        self.mark_factor(k, factor)

    def mark_factor(self, term: int, factor: int) -> None:
        """Mark this factor of this term, counted from 0; after the last comes the first."""
        count = len(self.told.terms)
        if not 0 <= term < count:
            self.said = (f"this is the {'last' if term > 0 else 'first'} of {count} terms" if count
                         else "this cell has no terms")
            return
        many = max(1, len(self.told.terms[term].factors))
        self.spot = self.spot._replace(mark=(term, factor % many))

    def move_mark(self, down: int, right: int) -> None:
        """To another term, there to the factor that is best followed, or to another factor."""
        term, factor = self.mark
        if down and 0 <= term + down < len(self.told.terms):
            factor = best_factor(self.facts, self.told, term + down)
        self.mark_factor(term + down, factor + right)

    @property
    def marked(self) -> str:
        """gy[0,3], the factor that is marked; of a cell without terms "the operand"."""
        terms, (term, factor) = self.told.terms, self.mark
        if not terms or not terms[term].factors:
            return "the operand"
        name, index, _ = terms[term].factors[factor]
        return f"{name}{at(index)}"

    # ------------------------------------------------------------------ cells
    def _axes(self) -> list[int]:
        """The axes of the plane that is shown: the last two that are longer than 1."""
        return [axis for axis, n in enumerate(self.told.shape) if n > 1][-2:]

    def move(self, down: int, right: int) -> None:
        """The cell, in the plane of numbers that is shown."""
        axes = self._axes()
        if self.told.cell is None:
            self.said = f"no cell can be chosen: {self.told.found}"
        elif down and len(axes) < 2 or not axes:
            self.said = "there is one number" if not axes else "there is one row"
        else:
            self._shift(axes[-1] if right else axes[-2], down or right)

    def move_plane(self, which: int, by: int) -> None:
        """The slice is the last axis outside of the plane, the item of the batch the first."""
        axes = [axis for axis, n in enumerate(self.told.shape) if n > 1 and axis not in
                self._axes()]
        if self.told.cell is None:
            self.said = f"no cell can be chosen: {self.told.found}"
        elif not axes:
            self.said = "all of it is one plane of numbers"
        else:
            self._shift(axes[which], by)

    def _shift(self, axis: int, by: int) -> None:
        cell, n = self.told.cell, self.told.shape[axis]
        if not 0 <= cell[axis] + by < n:
            self.said = f"axis {axis} of {self.told.name} ends here: 0 to {n - 1}"
        else:
            moved = (*cell[:axis], cell[axis] + by, *cell[axis + 1:])
            self.spot = Spot(self.spot.number, moved)
            self.said = f"{self.told.name}{at(moved)}"

    def choose(self, text: str) -> None:
        """A cell by its indices, "0,3,5,5" or "0 3 5 5"."""
        words, shape = text.strip("[]() ").replace(",", " ").split(), self.told.shape
        cell = [int(w) if w.removeprefix("-").isdecimal() else None for w in words]
        if None in cell or not is_cell(cell, shape):
            self.said = (f"cell: {text!r} is no cell of {self.told.name}, whose shape is "
                         f"{' x '.join(map(str, shape)) or 'that of one number'}")
        else:
            self.jump(Spot(self.spot.number, tuple(i % n for i, n in zip(cell, shape))))
