"""Keys, and lines of text, that move a :class:`Place`; and what then stands on the screen.

``Controls(place).press("Enter")`` is a key, by the name that browsers give it; ``command("goto
36")`` a line. There is no terminal in it: ``keyboard`` reads keys, ``show`` prints.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ..files.regular import shown
from .place import Place, Spot
from .screen import Screen
from .walk import Walk
from .wrapping import cut, wrapped

HELP = """\
Right Left, n p    the next event, the one before; with Shift, of another module
Home End           the first event, the last event
f b u              to where forward, backward, update begin; again: the next
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
ARROWS = {                                     # what the arrow keys move, after each Tab
    "events": "arrows: Left and Right go to the event before and after",
    "cell": "arrows move the cell, PgUp PgDn its slice, [ ] the item of the batch",
    "terms": "arrows: Up and Down choose a term, Left and Right its factor"}
ASKS = {"g": "goto", "/": "find", "i": "cell"}
MOVES = {"ArrowLeft": (0, -1), "ArrowRight": (0, 1), "ArrowUp": (-1, 0), "ArrowDown": (1, 0)}
COMMAND_MOVES = {"left": "ArrowLeft", "right": "ArrowRight", "up": "ArrowUp", "down": "ArrowDown"}


class Controls:
    """Of a place.

    arrows   what the arrow keys move: "events", "cell" or "terms"
    asking   "goto", "find" or "cell" while `typed` is being typed, else ""
    page     None, or the number of the page of `text` (details or help) that is shown
    ended    True after q
    """

    def __init__(self, place: Place):
        self.place, self.arrows, self.asking, self.typed = place, "events", "", ""
        self.page: int | None = None
        self.text: list[str] = []
        self.ended = False
        self.keys: dict[str, Callable[[], None]] = {
            "n": lambda: place.step(1), "p": lambda: place.step(-1),
            "f": lambda: place.band("forward"), "b": lambda: place.band("backward"),
            "u": lambda: place.band("update"), "c": place.wrong,
            "Enter": place.follow, "Backspace": place.back, "q": self.end, "Escape": self.plainly,
            "Tab": lambda: self.tab(1), "Shift+Tab": lambda: self.tab(-1),
            "Home": lambda: place.jump(Spot(place.numbers[0])),
            "End": lambda: place.jump(Spot(place.numbers[-1])),
            "Shift+ArrowLeft": lambda: place.module(-1),
            "Shift+ArrowRight": lambda: place.module(1),
            "PageUp": lambda: place.move_plane(-1, -1), "PageDown": lambda: place.move_plane(-1, 1),
            "[": lambda: place.move_plane(0, -1), "]": lambda: place.move_plane(0, 1)}

    # ------------------------------------------------------------------ keys and lines
    def press(self, key: str, screen: Screen | None = None) -> None:
        """One key; `screen`: for the pages of the details. A key that does nothing says so."""
        self.place.said = ""
        if self.asking:
            self._type(key)
        elif self.page is not None:
            self._turn(key)
        elif key in ASKS:
            self.asking, self.typed = ASKS[key], ""
        elif key in ("d", "?"):
            self._open(key, screen or Screen())
        elif key in MOVES:
            self._arrow(*MOVES[key])
        elif key in self.keys:
            self.keys[key]()
        elif len(key) == 1 and key in "123456789":
            self.place.mark_term(int(key))
        else:
            self.place.said = f"{shown(key)} is no key here; ? lists them"

    def command(self, line: str) -> None:
        """One line: a word and what belongs to it, a number (of a term), or a key."""
        line = re.sub(r"^(/|[gi](?=\d))", r"\1 ", line.strip())     # /conv1, g36, i0,3,5,5
        word, _, rest = line.partition(" ")
        word, rest = ASKS.get(word, word), rest.strip()
        self.place.said = ""
        if word in ASKS.values():
            self._answer(word, rest)
        elif word == "follow" and rest:
            self.place.follow_named(rest)
        elif word in COMMAND_MOVES:
            self.place.move(*MOVES[COMMAND_MOVES[word]])
        elif word.isdecimal():
            self.place.mark_term(int(word))
        elif rest:
            self.place.said = f"{shown(word)} is no command with something after it; ? lists them"
        else:
            self.press(WORDS.get(word, word))

    def _type(self, key: str) -> None:
        if key == "Enter":
            asked, self.asking = self.asking, ""
            self._answer(asked, self.typed.strip())
        elif key == "Escape" or key == "Backspace" and not self.typed:
            self.asking = ""
        elif key == "Backspace":
            self.typed = self.typed[:-1]
        elif len(key) == 1:
            self.typed += key

    def _answer(self, asked: str, text: str) -> None:
        """What was typed after goto, find or cell."""
        {"goto": self.place.goto, "find": self.place.find, "cell": self.place.choose}[asked](text)

    def _arrow(self, down: int, right: int) -> None:
        if self.arrows == "cell":
            self.place.move(down, right)
        elif self.arrows == "terms" or down:
            self.place.move_mark(down, right)
        else:
            self.place.step(right)

    def tab(self, by: int) -> None:
        """Let the arrow keys move something else."""
        names = list(ARROWS)
        self.arrows = names[(names.index(self.arrows) + by) % len(names)]
        self.place.said = ARROWS[self.arrows]

    def plainly(self) -> None:
        """Arrows and mark as they were at first."""
        self.arrows, self.place.spot = "events", self.place.spot._replace(mark=None)

    def end(self) -> None:
        """Stop."""
        self.ended = True

    # ------------------------------------------------------------------ the screen
    def block(self, screen: Screen) -> list[str]:
        """The lines of the screen, the line of the keys last."""
        if self.page is not None:
            size = screen.lines - 1
            pages = max(1, -(-len(self.text) // size))
            self.page = min(self.page, pages - 1)
            on = "; Space: next" if self.page < pages - 1 else ""
            return [*self.text[self.page * size:][:size],
                    cut(f"page {self.page + 1} of {pages}{on}; Backspace: back", screen.width)]
        block = screen.block(self.place.told, self.place.mark)
        return block + wrapped(self.status(), screen.width, screen.lines - len(block))

    def status(self) -> str:
        """The last line: what is being typed, what the last key did, or what can be done."""
        told = self.place.told
        if self.asking:
            hint = {"goto": f"event, 1 to {len(self.place.trace.events)}", "find": "name",
                    "cell": f"{len(told.shape)} numbers, of {told.name}"}[self.asking]
            return f"{self.asking} ({hint}): {shown(self.typed)}"
        arrows = "" if self.arrows == "events" else f", arrows: {self.arrows}"
        return shown(self.place.said or f"Enter: follow {self.place.marked}, Backspace: back, "
                     f"Left Right, d, ?, q{arrows}")

    def _open(self, key: str, screen: Screen) -> None:
        """The details, as ``walk`` writes them, or the help."""
        place, text = self.place, HELP
        if key == "d":
            walk = Walk(place.trace, screen.colour, place.facts.cell)
            text = walk.event(place.spot.number, place.spot.cell)
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
