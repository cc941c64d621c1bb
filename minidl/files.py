"""Reading files that others wrote: regular ones only, and no more of them than is expected.

A named pipe or a device would keep its reader waiting for ever, and a compressed file can hold a
thousand times its own size.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket",
          stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def check_regular(path: str | Path) -> int:
    """The size of the file at `path` in bytes. Raises OSError (FileNotFoundError) where it cannot
    be looked at, ValueError for a folder, a named pipe, a device or a socket."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file") from None
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise ValueError(f"{path}: {kind}, where a regular file should be")
    return found.st_size


def open_regular(path: str | Path) -> BinaryIO:
    """The file at `path`, opened to read bytes. Raises as :func:`check_regular` does."""
    check_regular(path)                    # first: to open a named pipe is to wait for its writer
    return open(path, "rb")


def read_at_most(stream: BinaryIO, most: int) -> bytearray:
    """The next `most` bytes of a stream, fewer at its end; memory grows with what really comes."""
    found = bytearray()
    while len(found) < most and (part := stream.read(min(CHUNK, most - len(found)))):
        found += part
    return found
