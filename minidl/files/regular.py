"""Reading files that others wrote: regular ones only, and no more of them than is expected; and
showing what stands in them.

A named pipe or a device would keep its reader waiting for ever, and a compressed file can hold a
thousand times its own size. Text can hold escape sequences, which command a terminal.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket",
          stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def open_regular(path: str | Path) -> BinaryIO:
    """The file at `path`, opened to read bytes. Raises OSError (FileNotFoundError) where it cannot
    be opened, ValueError for a folder, a named pipe, a device or a socket."""
    try:
        _require_regular(path, os.stat(path))  # first: to open a device may do something
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file") from None
    file = open(path, "rb", opener=without_waiting)
    try:
        _require_regular(path, os.fstat(file.fileno()))  # another one may have been put there since
    except ValueError:
        file.close()
        raise
    return file


def without_waiting(path: str, flags: int) -> int:
    """For ``open(..., opener=without_waiting)``: a named pipe would wait for its other end."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)


def _require_regular(path: str | Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise ValueError(f"{path}: {kind}, where a regular file should be")


def read_regular(path: str | Path, most: int) -> bytes:
    """All of the file at `path`. Raises as :func:`open_regular`, and ValueError for more than
    `most` bytes."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size         # 0 of what the system makes as it is read
        found = read_at_most(file, most + 1) if size <= most else b""
    if max(size, len(found)) > most:
        raise ValueError(f"{path}: more than {most:,} bytes")
    return bytes(found)


def read_at_most(stream: BinaryIO, most: int) -> bytearray:
    """The next `most` bytes of a stream, fewer at its end; memory grows with what really comes."""
    found = bytearray()
    while len(found) < most and (part := stream.read(min(CHUNK, most - len(found)))):
        found += part
    return found


def shown(text: str) -> str:
    """`text` on one line, as a terminal may show it: what is no printable character, such as the
    beginning of an escape sequence, is written out (\\x1b); a tab is a space."""
    text = text.replace("\t", " ")
    return text if text.isprintable() else "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
