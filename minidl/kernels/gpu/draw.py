"""Draws of random numbers on a GPU."""

from __future__ import annotations

from ...device import move
from .. import replacement


def drawn_on(device: str, numbers, shape, state: tuple[int, int], dtype, first: int):
    """What `numbers`, a function of random.py, draws, as an array on `device`: by the kernel of its
    name, which fills an array there, or on the CPU."""
    import cupy
    y = cupy.empty(shape, dtype)
    kernel = replacement(numbers.__name__, (y,))
    if kernel is None:
        return move(numbers(shape, *state, dtype, first), device)
    return kernel(y, *state, first)
