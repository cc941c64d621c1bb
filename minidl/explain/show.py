"""Which events of a trace to walk through, and printing them: with colours and a key for the next
one on a terminal, or into a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from .choose import select
from .trace import Trace
from .walk import Walk


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
