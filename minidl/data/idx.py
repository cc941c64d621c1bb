"""IDX, the file format of MNIST: a magic number, the shape, then the bytes.

    byte 0, 1    0 0
    byte 2       8, the code of "unsigned byte"
    byte 3       rank R: 1 for labels (N,), 3 for images (N, H, W)
    4 R bytes    the shape, R big-endian 32-bit integers
    the rest     one byte an entry, last axis fastest
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from minidl.files.regular import open_regular, read_at_most

MOST_BYTES = {1: 2**24, 3: 2**30}  # EMNIST, the largest such set, has 814,255 and 638 million


def read_idx(path: str | Path, rank: int) -> np.ndarray:
    """The uint8 array in an IDX file, plain or gzip (told by its content, not by its name).

    `rank` is what the caller expects: 1 for labels, 3 for images. Raises ValueError, naming the
    file, when it is truncated, damaged, too long, of another kind or no regular file; OSError when
    it cannot be read. Of a gzip file no more is unpacked than its header says there is.
    Source: the description of the format beside the MNIST files.
    """
    with open_regular(path) as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            return parse_idx(gzip.GzipFile(fileobj=file) if packed else file, rank, str(path))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: the gzip file is truncated or damaged ({error})") from error


def parse_idx(stream: BinaryIO, rank: int, name: str) -> np.ndarray:
    """The uint8 array that an IDX file's stream of bytes holds; `name` stands in the errors."""
    head = read_at_most(stream, 4)
    if len(head) < 4:
        raise ValueError(f"{name}: truncated, {len(head)} bytes are no IDX file")
    zero, zero2, code, found = head
    if (zero, zero2, code) != (0, 0, 8) or found == 0:
        raise ValueError(
            f"{name}: not an IDX file of bytes, its magic number is {head.hex(' ')} "
            f"where 00 00 08 {rank:02x} should be"
        )
    if found != rank:
        raise ValueError(f"{name}: holds {_kind(found)} where {_kind(rank)} should be")
    head += read_at_most(stream, 4 * rank)
    if len(head) < 4 + 4 * rank:
        raise ValueError(
            f"{name}: truncated inside its header, at byte {len(head)} of {4 + 4 * rank}"
        )
    shape = struct.unpack(f">{rank}I", head[4:])
    size, most = math.prod(shape), MOST_BYTES.get(rank, MOST_BYTES[3])
    if math.prod(max(side, 1) for side in shape) > most:
        raise ValueError(
            f"{name}: its header says shape {shape}; {_kind(rank)} of more than {most:,} bytes "
            "are not read"
        )
    values = read_at_most(stream, size + 1)
    if len(values) != size:
        short = len(values) < size
        raise ValueError(
            f"{name}: {'truncated' if short else 'too long'}, shape {shape} needs "
            f"{len(head) + size} bytes and the file has "
            f"{len(head) + len(values) if short else 'more'}"
        )
    return np.frombuffer(values, np.uint8).reshape(shape)


def _kind(rank: int) -> str:
    return {1: "labels (N,)", 3: "images (N, H, W)"}.get(rank, f"an array of rank {rank}")
