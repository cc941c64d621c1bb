"""Single keys from a terminal, by the names that browsers give them: "ArrowLeft", "Enter", "n".

Python's own ``termios`` (``msvcrt`` on Windows) and one table of escape sequences: of the libraries
that read keys, readchar splits the sequence of Shift-Left in two, click joins keys that are typed
fast, and prompt_toolkit is a hundred times the size of this file.
"""

from __future__ import annotations

import codecs
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SEQUENCES = {
    "A": "ArrowUp", "B": "ArrowDown", "C": "ArrowRight", "D": "ArrowLeft", "H": "Home", "F": "End",
    "Z": "Shift+Tab", "1~": "Home", "7~": "Home", "4~": "End", "8~": "End", "5~": "PageUp",
    "6~": "PageDown", "3~": "Delete"}              # after ESC [ or ESC O
CONTROLS = {"\r": "Enter", "\n": "Enter", "\t": "Tab", "\x7f": "Backspace", "\x08": "Backspace",
            "\x1b": "Escape", "\x04": "q"}
WINDOWS_KEYS = {"H": "ArrowUp", "P": "ArrowDown", "M": "ArrowRight", "K": "ArrowLeft", "G": "Home",
           "O": "End", "I": "PageUp", "Q": "PageDown", "S": "Delete", "\x0f": "Shift+Tab",
           "s": "Shift+ArrowLeft", "t": "Shift+ArrowRight"}     # (s, t: with Ctrl held)
_SEQUENCE = re.compile(r"\x1b[\[O]([0-9;]*)([A-Za-z~])")
RESIZED = "Resize"            # no key: the terminal has another size now
_WAIT = 0.05                  # seconds for the rest of a sequence; longer is the key Escape


def can_read_keys() -> bool:
    """Are standard input and output a terminal that gives single keys, and obeys sequences?"""
    known = importlib.util.find_spec("msvcrt" if sys.platform == "win32" else "termios")
    return bool(known and sys.stdin.isatty() and sys.stdout.isatty()
                and os.environ.get("TERM", "xterm") not in ("", "dumb"))


@contextmanager
def keys_typed() -> Iterator[Iterator[str]]:
    """The keys as they are typed; the terminal is put back as it was. Ctrl-C interrupts."""
    if sys.platform == "win32":
        yield _keys_of_windows()
        return
    import termios
    import tty
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    try:
        tty.setcbreak(file, termios.TCSADRAIN)            # keys typed ahead are kept
        yield _keys_of(file)
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)


def _keys_of(file: int) -> Iterator[str]:
    import select
    decoder, waiting, size = codecs.getincrementaldecoder("utf-8")("replace"), "", _terminal_size()
    while True:
        partial = waiting.startswith("\x1b")
        if select.select([file], [], [], _WAIT if partial else 0.5)[0]:
            if not (read := os.read(file, 1024)):         # the terminal is gone
                return
            waiting += decoder.decode(read)
        elif partial:
            yield "Escape"
            waiting = waiting[1:]
        elif size != (size := _terminal_size()):
            yield RESIZED
        found, waiting = decoded_keys(waiting)
        yield from found


def _terminal_size() -> os.terminal_size | None:
    try:
        return os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        return None


def decoded_keys(text: str) -> tuple[list[str], str]:
    """The names of the keys in what a terminal sent, and the beginning of a sequence at its end.
    Keys that have no name here are left out."""
    found: list[str] = []
    while text:
        if text == "\x1b" or re.fullmatch(r"\x1b[\[O][0-9;]*", text):
            return found, text
        if match := _SEQUENCE.match(text):
            numbers, last = match.groups()
            first, _, modifier = numbers.partition(";")
            name = SEQUENCES.get(first + last if last == "~" else last)
            shift = "Shift+" if modifier == "2" else ""
            found += [shift + name] if name else []
            text = text[match.end():]
            continue
        name = CONTROLS.get(text[0], text[0])
        found += [name] if len(name) > 1 or name.isprintable() else []
        text = text[1:]
    return found, ""


def _keys_of_windows() -> Iterator[str]:
    import msvcrt
    while True:
        key = msvcrt.getwch()
        if key == "\x03":
            raise KeyboardInterrupt
        if key in ("\0", "\xe0"):                        # an arrow, say: its name is in a second
            if name := WINDOWS_KEYS.get(msvcrt.getwch()):
                yield name
        elif key in CONTROLS or key.isprintable():
            yield CONTROLS.get(key, key)
