"""Where one looks in a trace, and how keys move it: an event, a cell of its result, a factor.

``Place(trace).press("Enter")`` follows the marked factor to the event that made it,
``press("Backspace")`` returns; ``command("goto 36")`` does the same from a line of text. There is
no terminal in it: ``keyboard`` reads keys, ``show`` prints.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..files.regular import shown
from .choose import matching, nothing_called
from .columns import cut, wrapped
from .facts import Facts, Told, is_cell
from .follow import best_factor, way
from .grids import indexed
from .screen import Screen
from .trace import Trace
from .walk import Walk

HELP = """\
Right Left, n p    the next event, the one before; with Shift, of another module
Home End           the first event, the last event
f b u              to where forward, backward, update begin (again: the next time)
g 36 Enter         to event 36
/ conv1 Enter      to the next event of an op, module, parameter or input
Enter              follow the marked factor (>) to the event that made it
Backspace          back to where you were before the last jump
1 to 9             mark a term; again: its next factor
i 0,3,5,5 Enter    choose a cell by its indices
Tab                let the arrows move events, the cell, or the mark
PgUp PgDn          the cell's slice (a channel); [ ] the item of the batch
c                  to the next wrong cell
d                  all details of this event
q                  end

With --lines, a command a line: next, previous, home, end, forward, backward,
update, goto 36, find conv1, cell 0,3,5,5, up, down, left, right, follow,
follow 2 (a term), follow 2 w (a factor of it), back, wrong, details, help,
quit. A number marks a term, and an empty line is Enter."""

WORDS = {"next": "n", "previous": "p", "home": "Home", "end": "End", "forward": "f",
         "backward": "b", "update": "u", "back": "Backspace", "wrong": "c", "details": "d",
         "help": "?", "quit": "q", "": "Enter", "follow": "Enter"}
ARROWS = "events", "cell", "terms"             # what the arrow keys move
ASKS = {"g": "goto", "/": "find", "i": "cell"}
MOVES = {"ArrowLeft": (0, -1), "ArrowRight": (0, 1), "ArrowUp": (-1, 0), "ArrowDown": (1, 0)}
COMMAND_MOVES = {"left": "ArrowLeft", "right": "ArrowRight", "up": "ArrowUp", "down": "ArrowDown"}


class Spot(NamedTuple):
    """An event, the cell that was chosen (None: the usual one), and the marked factor (None: the
    one that is best followed), counted from 0."""

    number: int
    cell: tuple[int, ...] | None = None
    mark: tuple[int, int] | None = None


class Place:
    """A place in a trace. `numbers`: the events that next and previous go through (default all),
    beginning with the first; `cell`: the element to explain where a result has it.

    spot     where it is
    history  the spots to go back to, the last one last
    arrows   what the arrow keys move: "events", "cell" or "terms"
    said     what the last key did, in words
    asking   "goto", "find" or "cell" while `typed` is being typed, else ""
    page     None, or the number of the page of details or help that is shown
    ended    True after q
    """

    def __init__(self, trace: Trace, numbers: Sequence[int] | None = None,
                 cell: Sequence[int] | None = None):
        self.trace, self.facts = trace, Facts(trace, cell)
        self.numbers = list(numbers or range(1, len(trace.events) + 1))
        if not self.numbers:
            raise ValueError("step: this recording holds no event")
        self.spot, self.history = Spot(self.numbers[0]), list[Spot]()
        self.arrows, self.said, self.asking, self.typed, self.found = ARROWS[0], "", "", "", ""
        self.page: int | None = None
        self.text: list[str] = []                         # of the details or the help shown
        self.ended = False

    # ------------------------------------------------------------------ what is here
    @property
    def told(self) -> Told:
        """All about the event and the cell."""
        return self.facts.of(self.spot.number, self.spot.cell)

    @property
    def mark(self) -> tuple[int, int]:
        """The term and the factor that Enter follows."""
        return self.spot.mark or (0, best_factor(self.facts, self.told, 0))

    def block(self, screen: Screen) -> list[str]:
        """The lines of the screen, the line of the keys last."""
        if self.page is not None:
            size = screen.lines - 1
            pages = max(1, -(-len(self.text) // size))
            self.page = min(self.page, pages - 1)
            last = (f"page {self.page + 1} of {pages}" + ("; Space: next" if self.page < pages - 1
                                                          else "") + "; Backspace: back")
            return [*self.text[self.page * size:][:size], cut(last, screen.width)]
        block = screen.block(self.told, self.mark)
        return block + wrapped(self.status(), screen.width, screen.lines - len(block))

    def status(self) -> str:
        """The last line: what is being typed, or what was done, or what can be done."""
        if self.asking:
            hint = {"goto": f"event, 1 to {len(self.trace.events)}", "find": "name",
                    "cell": f"cell of {self.told.name}, {len(self.told.shape)} numbers"}
            return f"{self.asking} ({hint[self.asking]}): {shown(self.typed)}"
        if self.said:
            return shown(self.said)
        arrows = "" if self.arrows == "events" else f", arrows: {self.arrows}"
        return shown(f"Enter: follow {self._factor_text()}, Backspace: back, Left Right, d, ?, q"
                     + arrows)

    def _factor_text(self) -> str:
        if not self.told.terms or not self.told.terms[self.mark[0]].factors:
            return "the operand"
        name, index, _ = self.told.terms[self.mark[0]].factors[self.mark[1]]
        return f"{name}{indexed(index)}"

    # ------------------------------------------------------------------ keys
    def press(self, key: str, screen: Screen | None = None) -> None:
        """One key, as browsers call them ("ArrowLeft", "Enter", "n"); `screen`: for the details.
        A key that does nothing here says so."""
        self.said = ""
        if self.asking:
            self._type(key)
        elif self.page is not None:
            self._turn(key)
        elif key in ASKS:
            self.asking, self.typed = ASKS[key], ""
        elif key in ("d", "?"):
            self._open(key, screen or Screen())
        elif key.isdigit() and key != "0":
            self.mark_term(int(key))
        elif key in MOVES:
            self._arrow(*MOVES[key])
        elif move := self._moves().get(key):
            move()
        else:
            self.said = f"{shown(key)} is no key here; ? lists them"

    def _moves(self) -> dict[str, Callable[[], None]]:
        by_band = {key: (lambda band: lambda: self.band(band))(band) for key, band in zip(
            "fbu", ("forward", "backward", "update"))}
        return by_band | {
            "n": lambda: self.step(1), "p": lambda: self.step(-1), "Enter": self.follow,
            "Backspace": self.back, "c": self.wrong, "q": self.end, "Escape": self._plainly,
            "Tab": lambda: self._tab(1), "Shift+Tab": lambda: self._tab(-1),
            "Home": lambda: self._jump(Spot(self.numbers[0])),
            "End": lambda: self._jump(Spot(self.numbers[-1])),
            "Shift+ArrowLeft": lambda: self.module(-1), "Shift+ArrowRight": lambda: self.module(1),
            "PageUp": lambda: self._other_axis(-1, -1), "PageDown": lambda: self._other_axis(-1, 1),
            "[": lambda: self._other_axis(0, -1), "]": lambda: self._other_axis(0, 1)}

    def command(self, line: str) -> None:
        """One line: a word and what belongs to it, a number (of a term), or a key."""
        line = re.sub(r"^(/|[gi](?=\d))", r"\1 ", line.strip())     # /conv1, g36, i0,3,5,5
        word, _, rest = line.partition(" ")
        word, rest = ASKS.get(word, word), rest.strip()
        self.said = ""
        if word in ASKS.values():
            self.answer(word, rest)
        elif word == "follow" and rest:
            self.follow_named(rest)
        elif word in COMMAND_MOVES:
            self._move(*MOVES[COMMAND_MOVES[word]])
        elif word.isdigit() and word != "0":
            self.mark_term(int(word))
        else:
            self.press(WORDS.get(word, word))

    def _type(self, key: str) -> None:
        if key == "Enter":
            asked, self.asking = self.asking, ""
            self.answer(asked, self.typed.strip())
        elif key == "Escape" or key == "Backspace" and not self.typed:
            self.asking = ""
        elif key == "Backspace":
            self.typed = self.typed[:-1]
        elif len(key) == 1:
            self.typed += key

    def answer(self, asked: str, text: str) -> None:
        """What was typed after goto, find or cell."""
        {"goto": self.goto, "find": self.find, "cell": self.choose}[asked](text)

    # ------------------------------------------------------------------ events
    def _jump(self, spot: Spot) -> None:
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
        there = [n for n in self.numbers[::by] if (n - self.spot.number) * by > 0]
        if there:
            self.spot = Spot(there[0])
        else:
            self.said = f"this is the {'last' if by > 0 else 'first'} event"

    def module(self, by: int) -> None:
        """To the next event of another module, or of none."""
        module = lambda n: (self.trace.ops[e["op"]]["module"] if "op" in (
            e := self.trace.events[n - 1]) else self.trace.nodes[e["node"]]["name"])
        there = [n for n in self.numbers[::by] if (n - self.spot.number) * by > 0
                 and module(n) != module(self.spot.number)]
        if there:
            self.spot = Spot(there[0])
        else:
            self.said = f"no other module comes {'after' if by > 0 else 'before'} this"

    def band(self, phase: str) -> None:
        """To where the next stretch of forward, backward or update events begins."""
        is_of = [e["phase"] == phase for e in self.trace.events]
        starts = [n for n in range(1, len(is_of) + 1)
                  if is_of[n - 1] and (n == 1 or not is_of[n - 2])]
        if not starts:
            self.said = f"this recording has no {phase} event"
            return
        after = next((n for n in starts if n > self.spot.number), starts[0])
        if len(starts) > 1:
            self.said = f"{phase} begins {len(starts)} times, here for the " \
                        f"{starts.index(after) + 1}. time"
        self._jump(Spot(after))

    def goto(self, text: str) -> None:
        """To an event by its number."""
        count = len(self.trace.events)
        if text.isdecimal() and 1 <= int(text) <= count:
            self._jump(Spot(int(text)))
        else:
            self.said = f"goto: {text!r} is no event; they are 1 to {count}"

    def find(self, text: str) -> None:
        """To the next event with an op, module, parameter or input of that name; without text, of
        the name found last."""
        self.found = text or self.found
        if not self.found:
            self.said = "find: type a name: of an op, a module, a parameter, an input"
            return
        numbers = matching(self.trace, self.found, range(1, len(self.trace.events) + 1))
        if not numbers:
            self.said = f"find: {nothing_called(self.trace, self.found)}"
            return
        there = next((n for n in numbers if n > self.spot.number), numbers[0])
        self.said = f"{self.found}: {numbers.index(there) + 1} of {len(numbers)} events found"
        self._jump(Spot(there))

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
        self._jump(Spot(number, cell or None))

    def end(self) -> None:
        """Stop."""
        self.ended = True

    # ------------------------------------------------------------------ terms
    def follow(self) -> None:
        """From the marked factor to the event that made it."""
        found = way(self.facts, self.told, *self.mark)
        self.said = found.said
        if found.number is not None:
            self._jump(Spot(found.number, found.cell))

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
        self._mark(k, factor)

    def _mark(self, term: int, factor: int) -> None:
        count = len(self.told.terms)
        if not 0 <= term < count:
            self.said = f"this is the {'last' if term > 0 else 'first'} of {count} terms"
            return
        many = max(1, len(self.told.terms[term].factors))
        self.spot = self.spot._replace(mark=(term, factor % many))

    # ------------------------------------------------------------------ arrows and cells
    def _tab(self, by: int) -> None:
        self.arrows = ARROWS[(ARROWS.index(self.arrows) + by) % len(ARROWS)]
        self.said = {"events": "arrows: Left and Right go to the event before and after",
                     "cell": "arrows move the cell, PgUp PgDn its slice, [ ] the batch item",
                     "terms": "arrows: Up and Down choose a term, Left and Right its factor"}[
                         self.arrows]

    def _plainly(self) -> None:
        self.arrows = ARROWS[0]
        self.spot = self.spot._replace(mark=None)

    def _arrow(self, down: int, right: int) -> None:
        if self.arrows == "cell":
            self._move(down, right)
        elif self.arrows == "terms" or down:
            term, factor = self.mark
            if down and self.told.terms and 0 <= term + down < len(self.told.terms):
                factor = best_factor(self.facts, self.told, term + down)
            self._mark(term + down, factor + right)
        else:
            self.step(right)

    def _axes(self) -> list[int]:
        """The axes of the plane that is shown: the last two that are longer than 1."""
        return [axis for axis, n in enumerate(self.told.shape) if n > 1][-2:]

    def _move(self, down: int, right: int) -> None:
        axes = self._axes()
        if down and len(axes) < 2 or not axes:
            self.said = "there is one number" if not axes else "there is one row"
        else:
            self._shift(axes[-1] if right else axes[-2], down or right)

    def _other_axis(self, which: int, by: int) -> None:
        """The slice is the last axis outside of the plane, the item of the batch the first."""
        axes = [axis for axis, n in enumerate(self.told.shape) if n > 1 and axis not in
                self._axes()]
        if not axes:
            self.said = "all of it is one plane of numbers"
        else:
            self._shift(axes[which], by)

    def _shift(self, axis: int, by: int) -> None:
        cell, n = self.told.cell, self.told.shape[axis]
        if cell is None:
            self.said = f"no cell can be chosen: {self.told.found}"
        elif not 0 <= cell[axis] + by < n:
            self.said = f"axis {axis} of {self.told.name} ends here: 0 to {n - 1}"
        else:
            moved = (*cell[:axis], cell[axis] + by, *cell[axis + 1:])
            self.spot = Spot(self.spot.number, moved)
            self.said = f"{self.told.name}{indexed(moved)}"

    def choose(self, text: str) -> None:
        """A cell by its indices, "0,3,5,5" or "0 3 5 5"."""
        words, shape = text.strip("[]() ").replace(",", " ").split(), self.told.shape
        cell = [int(w) if w.removeprefix("-").isdecimal() else None for w in words]
        if None in cell or not is_cell(cell, shape):
            self.said = (f"cell: {text!r} is no cell of {self.told.name}, whose shape is "
                         f"{' x '.join(map(str, shape)) or 'that of one number'}")
        else:
            self._jump(Spot(self.spot.number, tuple(i % n for i, n in zip(cell, shape))))

    # ------------------------------------------------------------------ details and help
    def details(self, colour: bool = False) -> str:
        """All about the event, as ``walk`` writes it."""
        walk = Walk(self.trace, colour)
        walk.facts = self.facts
        return walk.event(self.spot.number, self.spot.cell)

    def _open(self, key: str, screen: Screen) -> None:
        text = HELP if key == "?" else self.details(screen.colour)
        self.text = [part for line in text.split("\n") for part in screen.fitted(line)]
        self.page = 0

    def _turn(self, key: str) -> None:
        """Through the pages of the details."""
        if key in (" ", "PageDown", "ArrowDown", "ArrowRight", "Enter", "n"):
            self.page += 1
        elif key in ("PageUp", "ArrowUp", "ArrowLeft", "p"):
            self.page = max(0, self.page - 1)
        elif key in ("Backspace", "Escape", "q", "d", "?"):
            self.page = None
