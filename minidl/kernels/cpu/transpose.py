"""Matrices transposed in blocks: large images and weights on their way to another memory order."""

from __future__ import annotations

import numpy as np

from .. import layout
from .threads import parallel
from .tile import get, put

BLOCK = 32


@parallel
def _transpose(start, stop, source, target, rows, columns):
    """target[i, c, r] = source[i, r, c] for matrices i; a step is BLOCK rows of one matrix."""
    strips = -(-rows // BLOCK)
    for step in range(start, stop):
        base, first = step // strips * rows * columns, step % strips * BLOCK
        last = min(first + BLOCK, rows)
        for c0 in range(0, columns, BLOCK):              # a block stays in the nearest cache
            for c in range(c0, min(c0 + BLOCK, columns)):
                for r in range(first, last):
                    put(target, base + c * rows + r, get(source, base + r * columns + c))


def transposed(array, count: int, rows: int, columns: int):
    """`count` contiguous matrices (rows, columns), each transposed, flat."""
    target = np.empty(array.size, array.dtype)
    strips = -(-rows // BLOCK)
    _transpose(count * strips, max(1, 16384 // (BLOCK * columns + 1)), layout.flat(array), target,
               rows, columns)
    return target
