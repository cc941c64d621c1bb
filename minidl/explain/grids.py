"""Numbers on a terminal: a window of an array as text, and an array as a picture of half blocks.

Every mark is a character first and a colour second: `[ ]` are the numbers that a sum uses, `!` the
wrong ones. So a screen reader and a log file lose nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

WIDTH = 74                    # characters of a line of numbers, its label included
LABEL = 6
SHOWN = 8                     # rows and columns of numbers, at most
_RED, _BOLD, _OFF = "\x1b[1;31m", "\x1b[1m", "\x1b[0m"


def red(text: str, colour: bool) -> str:
    return f"{_RED}{text}{_OFF}" if colour else text


def bold(text: str, colour: bool) -> str:
    return f"{_BOLD}{text}{_OFF}" if colour else text


def indexed(index: Sequence) -> str:
    return f"[{','.join(map(str, index))}]"


def shape_text(shape: Sequence[int]) -> str:
    """(2, 1, 28, 28) read aloud: "2 x 1 x 28 x 28"; of a single number, "one number"."""
    return f"shape {' x '.join(map(str, shape))}" if len(shape) else "one number"


def summary(a: np.ndarray) -> str:
    """Shape, range, mean and what is not finite."""
    if not a.size:
        return f"{shape_text(a.shape)}, empty"
    if a.dtype.kind == "b":
        return f"{shape_text(a.shape)}, true in {int(a.sum())} of {a.size}"
    if a.size == 1:
        return f"{shape_text(a.shape)}, {a.ravel()[0] + 0:.6g}"
    finite = a[np.isfinite(a)] if a.dtype.kind == "f" else a
    lost = a.size - finite.size
    numbers = f", {finite.min():.4g} to {finite.max():.4g}" if finite.size else ""
    if a.dtype.kind == "f" and finite.size:
        numbers += f", mean {finite.mean():.4g}"
    zeros = int((finite == 0).sum())
    return (shape_text(a.shape) + numbers + (f", {zeros} of {a.size} are 0" if zeros else "")
            + (f", {lost} NOT FINITE" if lost else ""))


def window(name: str, a: np.ndarray, cell: Sequence[int], used: Collection = (),
           wrong: Collection = (), colour: bool = False) -> list[str]:
    """The numbers around `cell`, in the plane of the last two axes that are longer than 1."""
    axes = [axis for axis, n in enumerate(a.shape) if n > 1][-2:]
    if not axes:
        return []
    row_axis, column_axis = (axes if len(axes) == 2 else (None, axes[0]))
    rows = _around(cell[row_axis], a.shape[row_axis], SHOWN) if len(axes) == 2 else range(1)

    def place(i: int, j: int) -> tuple[int, ...]:
        found = list(cell)
        found[column_axis] = j
        if row_axis is not None:
            found[row_axis] = i
        return tuple(found)

    def text(i: int, j: int) -> str:
        at, number = place(i, j), a[place(i, j)]
        word = str(number) if a.dtype.kind in "biu" else f"{number + 0.0:.3g}"
        word = f"[{word}]" if at in used else f" {word} "
        return f"!{word}" if at in wrong else word

    n = a.shape[column_axis]
    for count in range(min(SHOWN, n), 0, -1):             # as many columns as fit
        columns = _around(cell[column_axis], n, count)
        cells = [[text(i, j) for j in columns] for i in rows]
        wide = max(max(map(len, line)) for line in cells) + 1
        wide = max(wide, len(str(columns[-1])) + 3)
        if LABEL + wide * count <= WIDTH:
            break
    free = {column_axis, row_axis}
    where = ",".join(":" if axis in free else str(i) for axis, i in enumerate(cell))
    parts = [f"columns {columns[0]}..{columns[-1]} of {n}"]
    if row_axis is not None:
        parts.insert(0, f"rows {rows[0]}..{rows[-1]} of {a.shape[row_axis]}")
    lines = [f"{name}[{where}], {', '.join(parts)}:",
             (" " * LABEL + "".join(f"{j} ".rjust(wide) for j in columns)).rstrip()]
    for i, words in zip(rows, cells):
        label = f"{i:{LABEL - 1}} " if row_axis is not None else " " * LABEL
        lines.append((label + "".join(
            red(w.rjust(wide), colour) if place(i, j) in wrong else
            bold(w.rjust(wide), colour) if place(i, j) in used else w.rjust(wide)
            for j, w in zip(columns, words))).rstrip())
    return lines


def _around(i: int, n: int, count: int) -> range:
    """`count` of the positions 0..n-1, with i in the middle where it can be."""
    count = min(count, n)
    first = min(max(i - count // 2, 0), n - count)
    return range(first, first + count)


def heat(a: np.ndarray, cell: Sequence[int], wrong: Collection = ()) -> list[str]:
    """The plane through `cell` as a picture, two rows a line: dark to light for what has one sign,
    blue (below 0) over black to yellow (above 0) for what has both. Wrong cells are red. Nothing
    for what a window of numbers shows whole, and for what no terminal is wide enough for."""
    axes = [axis for axis, n in enumerate(a.shape) if n > 1][-2:]
    if len(axes) < 2 or a.dtype.kind != "f":
        return []
    h, w = (a.shape[axis] for axis in axes)
    if not (SHOWN < max(h, w) and min(h, w) > 2 and w <= 64 and h <= 64):
        return []
    at = tuple(slice(None) if axis in axes else i for axis, i in enumerate(cell))
    colours = _colours(a[at])
    for index in wrong:
        if all(index[axis] == i for axis, i in enumerate(cell) if axis not in axes):
            colours[index[axes[0]], index[axes[1]]] = 255, 0, 0
    if h % 2:
        colours = np.concatenate([colours, np.zeros((1, w, 3), int)])
    lines = []
    for upper, lower in zip(colours[::2], colours[1::2]):
        lines.append("".join(
            "\x1b[38;2;{};{};{};48;2;{};{};{}m▀".format(*top, *bottom)
            for top, bottom in zip(upper.tolist(), lower.tolist())) + _OFF)
    return lines


def _colours(plane: np.ndarray) -> np.ndarray:
    values = np.nan_to_num(plane.astype(np.float64), posinf=0.0, neginf=0.0)
    largest = np.abs(values).max() or 1.0
    share = np.sqrt(np.abs(values) / largest)[..., None]      # small numbers still show
    if values.min() < 0 < values.max():
        ends = np.where(values[..., None] < 0, (70, 140, 255), (255, 210, 60))
        return (share * ends).astype(int)
    return (share * np.array((255, 255, 255))).astype(int)
