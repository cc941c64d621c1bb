"""IDX, the file format of MNIST: a magic number, the shape, then the bytes.

    byte 0, 1    0 0
    byte 2       8, the code of "unsigned byte"
    byte 3       rank R: 1 for labels (N,), 3 for images (N, H, W)
    4 R bytes    the shape, R big-endian 32-bit integers
    the rest     one byte an entry, last axis fastest
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

_KIND = {1: "labels (N,)", 3: "images (N, H, W)"}


def read_idx(path: str | Path, rank: int) -> np.ndarray:
    """The uint8 array in an IDX file, plain or gzip (told by its content, not by its name).

    `rank` is what the caller expects: 1 for labels, 3 for images. Raises ValueError, naming the
    file, when it is truncated, damaged or of another kind; OSError when it cannot be read.
    Source: the description of the format beside the MNIST files.
    """
    path = Path(path)
    raw: bytes | bytearray = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path}: the gzip file is truncated or damaged ({error})") from error
    # A bytearray, so that the array that looks into it can be written to.
    return parse_idx(bytearray(raw), rank, str(path))


def parse_idx(raw: Any, rank: int, name: str) -> np.ndarray:
    """The uint8 array in the bytes `raw` of an IDX file; `name` stands in the errors."""
    values = np.frombuffer(raw, dtype=np.uint8)
    if values.size < 4:
        raise ValueError(f"{name}: truncated, {values.size} bytes are no IDX file")
    zero, zero2, code, found = values[:4].tolist()
    if (zero, zero2, code) != (0, 0, 8) or found == 0:
        magic = " ".join(f"{byte:02x}" for byte in (zero, zero2, code, found))
        raise ValueError(
            f"{name}: not an IDX file of bytes, its magic number is {magic} "
            f"where 00 00 08 {rank:02x} should be"
        )
    if found != rank:
        holds = _KIND.get(found, f"an array of rank {found}")
        raise ValueError(f"{name}: holds {holds} where {_KIND[rank]} should be")
    head = 4 + 4 * rank
    if values.size < head:
        raise ValueError(f"{name}: truncated inside its header, at byte {values.size} of {head}")
    shape = struct.unpack(f">{rank}I", values[4:head].tobytes())
    wanted = head + int(np.prod(shape, dtype=object))  # object: Python integers, no overflow
    if values.size != wanted:
        fault = "truncated" if values.size < wanted else "too long"
        raise ValueError(
            f"{name}: {fault}, shape {shape} needs {wanted} bytes and the file has {values.size}"
        )
    return values[head:].reshape(shape)
