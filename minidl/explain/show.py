"""Which events of a trace to walk through, and printing them: with colours and a key for the next
one on a terminal, or into a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from .trace import Trace
from .walk import Walk, is_cell


def show(trace: Trace, start: int = 1, only: str | None = None, phase: str | None = None,
         cell: Sequence[int] | None = None, plain: bool = False) -> None:
    """Print the events that :func:`select` chooses. On a terminal Enter prints the next one
    and q ends; `plain` prints all of them without colours. Raises ValueError as that does."""
    coloured, numbers = None if plain else _colours(), select(trace, start, only, phase, cell)
    walk, write = Walk(trace, coloured is not None, cell), coloured or print
    waits = not plain and sys.stdin.isatty() and sys.stdout.isatty()
    try:
        for number in numbers:
            write(walk.event(number) + "\n")
            if waits and number != numbers[-1] and not _go_on():
                return
        sys.stdout.flush()
    except BrokenPipeError:          # `minidl step ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _go_on() -> bool:
    try:
        return not input("Enter: next event, q: end  ").strip().lower().startswith("q")
    except EOFError:
        return False


def _colours() -> Callable[[str], None] | None:
    """What prints text with ANSI colours as this terminal can show them; None if it cannot."""
    try:
        "▀".encode(sys.stdout.encoding or "ascii")
        from rich.console import Console
        from rich.text import Text
    except (ImportError, UnicodeEncodeError):
        return None
    console = Console(highlight=False)
    if console.color_system is None or console.no_color:
        return None
    return lambda text: console.print(Text.from_ansi(text), soft_wrap=True)


def select(trace: Trace, start: int = 1, only: str | None = None, phase: str | None = None,
           cell: Sequence[int] | None = None) -> list[int]:
    """The numbers (the first event is 1) of the events from `start` on, of one phase if it is
    given. `only` names an op, a module, a parameter or an input, whole or up to a dot; where none
    has that name, parts of names count. Raises ValueError where none is left, or where `cell` lies
    in no result."""
    count = len(trace.events)
    if not 1 <= start <= count:
        raise ValueError(f"from: {start} is outside 1..{count}, the events of this recording")
    found = [n for n in range(1, count + 1) if phase in (None, trace.events[n - 1]["phase"])]
    if only is not None:
        named = {n: _names(trace, trace.events[n - 1]) for n in found}
        wanted = only.lower()
        found = ([n for n in found if any(f"{a}.".startswith(f"{wanted}.") for a in named[n])]
                 or [n for n in found if any(wanted in name for name in named[n])])
        if not found:
            there = ", ".join(sorted(set().union(*named.values())))
            raise ValueError(f"only: nothing here is called {only!r}; there are {there}")
    found = [n for n in found if n >= start]
    if not found:
        raise ValueError(f"from: none of the chosen events comes at {start} or later")
    shapes = {tuple(_event_node(trace, trace.events[n - 1])["shape"]) for n in found}
    if cell is not None and not any(is_cell(cell, shape) for shape in shapes):
        raise ValueError(f"cell: {','.join(map(str, cell))} lies in no result of the chosen "
                         f"events; their shapes are {', '.join(map(str, sorted(shapes)))}")
    return found


def _event_node(trace: Trace, event: dict) -> dict:
    """The node whose value, gradient or update an event is."""
    forward = event["phase"] == "forward"
    return trace.nodes[trace.ops[event["op"]]["outputs"][0] if forward else event["node"]]


def _names(trace: Trace, event: dict) -> set[str]:
    """By what names an event is found, in lower case."""
    names = [_event_node(trace, event)["name"], event.get("rule")]
    if event["phase"] != "update":
        op = trace.ops[event["op"]]
        names += [op["op"], op["module"]]
    if event["phase"] == "forward":
        names += [trace.nodes[n]["name"] for n in op["inputs"]]
    return {name.lower() for name in names if name}
