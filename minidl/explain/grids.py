"""Numbers on a terminal: a window of an array as text, and as a picture of half blocks.

Every mark is a character first and a colour second: `[ ]` are the numbers that a sum uses, `!` the
wrong ones. So a screen reader and a log file lose nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

WIDTH, LABEL = 74, 6          # characters of a line of numbers, and of its row's label
WINDOW_SIDE = 8               # rows and columns of numbers, at most
OFF = "\x1b[0m"


def red(text: str, colour: bool) -> str:
    """Bold and red, if there is colour."""
    return f"\x1b[1;31m{text}{OFF}" if colour else text


def bold(text: str, colour: bool) -> str:
    """Bold, if there is colour."""
    return f"\x1b[1m{text}{OFF}" if colour else text


def indexed(index: Sequence) -> str:
    """[0,3,5,5]"""
    return f"[{','.join(map(str, index))}]"


def shape_text(shape: Sequence[int]) -> str:
    """(2, 1, 28, 28) read aloud: "shape 2 x 1 x 28 x 28"; of a single number, "one number"."""
    return f"shape {' x '.join(map(str, shape))}" if len(shape) else "one number"


def array_summary(a: np.ndarray) -> str:
    """Shape, range, mean, and how many are zero or not finite."""
    parts, finite, real = [shape_text(a.shape)], a[np.isfinite(a)], a.dtype.kind == "f"
    if a.size == 1:
        return f"{parts[0]}, {a.ravel()[0] + 0:.6g}"
    if finite.size:
        parts.append(f"{finite.min():.4g} to {finite.max():.4g}")
        parts += [f"mean {finite.mean():.4g}"] * real
    if zeros := int((finite == 0).sum()):
        parts.append(f"{zeros} of {a.size} are 0")
    if lost := a.size - finite.size:
        parts.append(f"{lost} NOT FINITE")
    return ", ".join(parts)


class Plane:
    """The plane of an array through `cell`, of the last two axes that are longer than 1: `values`
    (H, W); (1, W) where there is one such axis. `used` and `wrong` are cells of the array."""

    def __init__(self, a: np.ndarray, cell: Sequence[int], used: Iterable, wrong: Iterable):
        self.axes = [axis for axis, n in enumerate(a.shape) if n > 1][-2:]
        at = tuple(slice(None) if axis in self.axes else i for axis, i in enumerate(cell))
        self.where = indexed([":" if isinstance(i, slice) else i for i in at])
        self.cell = [0, *(cell[axis] for axis in self.axes)][-2:]
        marks = np.zeros((2, *a.shape), bool)
        for mark, cells in zip(marks, (used, wrong)):
            for index in cells:
                mark[tuple(index)] = True
        self.values, self.used, self.wrong = (np.atleast_2d(m[at]) for m in (a, *marks))

    def window(self, name: str, colour: bool, most: int = WINDOW_SIDE, width: int = WIDTH
               ) -> list[str]:
        """The numbers around the cell: at most `most` rows, and as many columns as fit into a line
        of `width`; two lines above them say which."""
        (h, w), two = self.values.shape, len(self.axes) == 2
        rows = _around(self.cell[0], h, most)
        for count in range(max(WINDOW_SIDE, width // 10), 0, -1):
            columns = _around(self.cell[1], w, count)
            words = [[self._word(i, j) for j in columns] for i in rows]
            wide = 1 + max(len(f"{columns[-1]}") + 2, *(len(x) for line in words for x in line))
            if LABEL + wide * len(columns) <= width:
                break
        said = [f"rows {rows[0]}..{rows[-1]} of {h}"] * two
        said.append(f"columns {columns[0]}..{columns[-1]} of {w}")
        lines = [f"{name}{self.where}, {', '.join(said)}:",
                 " " * LABEL + "".join(f"{j} ".rjust(wide) for j in columns)]
        for i, line in zip(rows, words):
            looks = [red if self.wrong[i, j] else bold if self.used[i, j] else None
                     for j in columns]
            lines.append(f"{i if two else '':>{LABEL - 1}} " + "".join(
                look(word.rjust(wide), colour) if look else word.rjust(wide)
                for word, look in zip(line, looks)))
        return [line.rstrip() for line in lines]

    def _word(self, i: int, j: int) -> str:
        number = self.values[i, j]
        word = f"{number + 0.0:.3g}" if self.values.dtype.kind == "f" else str(number)
        word = f"[{word}]" if self.used[i, j] else f" {word} "
        return f"!{word}" if self.wrong[i, j] else word

    def heat(self) -> list[str]:
        """A picture, two rows a line: blue (below 0) over black to yellow (above 0), wrong cells
        red. None of what the window shows whole, or what no terminal is wide enough for."""
        h, w = self.values.shape
        if not (2 < min(h, w) and WINDOW_SIDE < max(h, w) <= 64):
            return []
        values = np.nan_to_num(self.values.astype(np.float64), posinf=0.0, neginf=0.0)
        share = np.sqrt(np.abs(values) / (np.abs(values).max() or 1.0))   # small numbers show too
        ends = np.where(values[..., None] < 0, (70, 140, 255), (255, 210, 60))
        colours = np.where(self.wrong[..., None], (255, 0, 0), share[..., None] * ends).astype(int)
        colours = np.pad(colours, ((0, h % 2), (0, 0), (0, 0))).tolist()
        return ["".join("\x1b[38;2;{};{};{};48;2;{};{};{}m▀".format(*upper, *lower)
                        for upper, lower in zip(*pair)) + OFF
                for pair in zip(colours[::2], colours[1::2])]


def _around(i: int, n: int, count: int) -> range:
    """`count` of the positions 0..n-1, with i in the middle where it can be."""
    count = min(count, n)
    first = min(max(i - count // 2, 0), n - count)
    return range(first, first + count)
