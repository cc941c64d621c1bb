"""From which indices of which array an operand was taken, as formulas: channel c of the second of
two groups is channel c + 2 of the image.

A formula of a slice's indices and terms of the whole array's would contradict each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .columns import Column
from .folding import traced_all
from .formula_text import affine, declared_arrays, names_of
from .origins import Applied


class Axis(NamedTuple):
    """One index of an array by those of an operand that was taken from it:
    ``start + (the sum of steps * indices) // divisor % modulus``; a modulus of 0 is none. `length`
    is how far it goes."""

    length: int
    start: int
    steps: tuple[int, ...]
    divisor: int = 1
    modulus: int = 0

    def ends(self, k: int, count: int) -> bool:
        """Does the array end where `count` numbers of the operand's index k do?"""
        alone = not any(s for i, s in enumerate(self.steps) if i != k)
        return alone and self.steps[k] > 0 and self.divisor == 1 and not self.modulus and (
            self.start + self.steps[k] * count >= self.length)

    def written(self, indices: Sequence[str]) -> str:
        """As text, for the operand's indices as text."""
        text = affine(" + ".join(["0", *(f"{s}*({i})" for s, i in zip(self.steps, indices))]), {})
        if text.lstrip("-").isdigit():
            number = int(text) // self.divisor
            return str(self.start + (number % self.modulus if self.modulus else number))
        if self.divisor == 1 and not self.modulus:
            return affine(f"{self.start} + {text}", {})
        text = text if text.isidentifier() else f"({text})"
        text += f"//{self.divisor}" * (self.divisor > 1) + f"%{self.modulus}" * bool(self.modulus)
        return text + f" + {self.start}" * bool(self.start)


def taken_axes(made: Applied, columns: Sequence[Column], outside: int) -> dict[int, list[Axis]]:
    """Of a Contract, by operand, the indices that its factors have in the terms; none where they
    are its own, or where no formula says them. `columns` are the factors, and `outside` counts the
    terms in the padding."""
    through = {column.name: (column.through, column.origin.shape) for column in columns}
    arrays, bias = declared_arrays(made.call)
    found, written = {}, [axes for _, axes in (*arrays[1:], *bias[1:])]
    for k, name in enumerate(names_of(made.call)):
        origin = made.inputs[k] if k < len(made.inputs) else None
        if origin is None or made.plain:
            continue
        shape = made.call.operands[k].shape
        root, flat, ops = traced_all(origin, np.arange(int(np.prod(shape, dtype=int))))
        if not ops or not flat.size or through.get(name, (ops, root.shape)) != (ops, root.shape):
            continue
        places = np.unravel_index(flat, root.shape) if root.shape else ()
        axes = [_fitted(place.reshape(shape), n, j if len(root.shape) == len(shape) else -1)
                for j, (place, n) in enumerate(zip(places, root.shape))]
        if None not in axes and not (outside and _sliced_axis(axes, written[k], shape)):
            found[k] = axes
    return found


def _sliced_axis(axes: Sequence[Axis], written: Sequence[str], shape) -> bool:
    """Does the array go on where the operand ends, at a sum of indices like ``i + u - 1``? There is
    padding, and not the array's number."""
    return any(step and not written[i].isidentifier() and axis != Axis(
        shape[i], 0, tuple(int(other == i) for other in range(len(shape))))
        for axis in axes for i, step in enumerate(axis.steps))


def _fitted(where: np.ndarray, length: int, same: int) -> Axis | None:
    """The formula of these indices; `same` is the axis that is probably theirs."""
    start, along = int(where.flat[0]), []
    for axis in range(where.ndim):
        line = where[tuple(slice(None) if a == axis else 0 for a in range(where.ndim))]
        along.append(line - start)
    steps = [int(line[1]) if len(line) > 1 else int(axis == same)
             for axis, line in enumerate(along)]
    if np.array_equal(where, start + _grid_sum([s * np.arange(len(line)) for s, line in zip(
            steps, along)])):
        return Axis(length, start, tuple(steps))
    if not np.array_equal(where, start + _grid_sum(along)):
        return None
    moving = [axis for axis, line in enumerate(along) if line.any()]
    line = along[moving[0]]
    divisor, modulus = int(np.flatnonzero(line)[0]), int(line.max()) + 1
    folded = np.arange(len(line)) // divisor
    modulus = 0 if np.array_equal(line, folded) else modulus
    if len(moving) > 1 or not np.array_equal(line, folded % modulus if modulus else folded):
        return None
    return Axis(length, start, tuple(int(a == moving[0]) for a in range(where.ndim)), divisor,
                modulus)


def _grid_sum(lines: Sequence[np.ndarray]) -> np.ndarray:
    """The sum of one number from each line, for every choice of them."""
    return sum(np.ix_(*lines)) if lines else np.zeros((), int)
