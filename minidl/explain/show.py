"""Walking through a trace: with keys on a terminal, with lines of text, or all events at once."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .choose import select
from .controls import Controls
from .keyboard import RESIZED, can_read_keys, keys_typed
from .place import Place
from .screen import SCREEN_COLUMNS, SCREEN_LINES, Screen
from .trace import Trace
from .walk import Walk

if TYPE_CHECKING:
    from rich.console import Console


def show(trace: Trace, start: int = 1, only: str | None = None, phase: str | None = None,
         cell: Sequence[int] | None = None, plain: bool = False, lines: bool = False) -> None:
    """Walk through the events that :func:`select` chooses. On a terminal: one screen an event, and
    keys (``place``); lines of text instead with `lines`, and where there is no rich or no key can
    be read. Without a terminal, and with `plain`: all events with all details. Raises ValueError as
    select does."""
    numbers, console = select(trace, start, only, phase, cell), _console()
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        if lines or terminal and not plain and (console is None or not can_read_keys()):
            _by_lines(Controls(Place(trace, numbers, cell)), prompt="> " if terminal else "")
        elif terminal and not plain:
            _by_keys(Controls(Place(trace, numbers, cell)), console)
        else:
            write = None if plain else _coloured(console)
            walk = Walk(trace, write is not None, cell)
            for number in numbers:
                (write or print)(walk.event(number) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:          # `minidl step ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _by_keys(controls: Controls, console: Console) -> None:
    """One screen a key, on the terminal's other page, which is gone afterwards; the last event
    stays on the usual one."""
    write = _coloured(console)

    def screen() -> Screen:
        size = shutil.get_terminal_size((SCREEN_COLUMNS, SCREEN_LINES))
        return Screen(size.lines, size.columns, write is not None)

    def draw() -> None:
        console.clear()
        _put_out("\n".join(controls.block(screen())), write, end="")

    console.set_alt_screen(True)
    try:
        with keys_typed() as typed:
            draw()
            for key in typed:
                if key != RESIZED:
                    controls.press(key, screen())
                if controls.ended:
                    break
                draw()
    finally:
        console.set_alt_screen(False)
    place = controls.place
    _put_out("\n".join(screen().block(place.told, place.mark)), write)


def _by_lines(controls: Controls, prompt: str) -> None:
    """The event, and after each line that was read what changed: nothing is written over."""
    screen, before = Screen(), None
    while not controls.ended:
        if controls.page is not None:                     # details and help, whole
            lines, controls.page = controls.text, None
        elif controls.place.spot == before:               # the last line says why
            lines = [controls.status()]
        else:
            lines, before = controls.block(screen), controls.place.spot
        print(*lines, "", sep="\n", flush=True)
        try:
            controls.command(input(prompt))
        except EOFError:
            return


def _put_out(text: str, write: Callable | None, end: str = "\n") -> None:
    """With colours if there are any, now."""
    if write is None:
        print(text, end=end, flush=True)
    else:
        write(text, end)
        sys.stdout.flush()


def _console() -> Console | None:
    """What knows this terminal; None without rich."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(highlight=False)


def _coloured(console: Console | None) -> Callable[..., None] | None:
    """What prints text with ANSI colours as this terminal can show them; None if it cannot."""
    try:
        "▀".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return None
    if console is None or console.color_system is None or console.no_color:
        return None
    from rich.text import Text
    return lambda text, end="\n": console.print(Text.from_ansi(text), soft_wrap=True, end=end)
