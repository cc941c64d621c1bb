"""Arrays as cells with numbers in them: what ``films``, ``pooling`` and ``graphs`` draw with.

Colours run from blue (negative) over white (0) to orange; numbers stand in the cells where they
fit. Padding is hatched and what is not there yet is grey: neither looks like zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..plots import GREY, bare_axes, blue_orange, picture
from ..testing.compare import scale_of

DARK, WRONG = "#111827", "#d4002a"
PADDING, EMPTY = 1, 2         # why a cell has no number: it is not of the array; not computed yet
TILES, SMALLEST_TEXT = 12, 4.2  # slices drawn of one array; points below which numbers are left out
TEXT = 2.9                    # inches for lines of text beside panels
LARGEST_CELL, HEAD, ABOVE, FOOT, GAP = 0.38, 0.35, 0.35, 0.35, 0.3  # inches: a cell; around panels


# --------------------------------------------------------------------------- arrays as cells
def bound_of(*arrays: np.ndarray) -> float:
    """The largest finite magnitude: what the colours end at."""
    return scale_of(*arrays) or 1.0


def short(value: float) -> str:
    """A number in at most six characters, or so."""
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.{2 if abs(value) < 0.1 else 3}g}" if abs(value) < 1e5 else f"{value:.1e}"
    return "0" if value == 0 else text.replace("0.", ".", 1) if abs(value) < 1 else text


def draw_cells(axes: Any, values: np.ndarray, bound: float, at=(0, 0), state=None,
          size: float = 8) -> None:
    """Draw a matrix with its upper left corner at (row, column) `at`, a cell a unit square, with
    numbers in points of `size` unless too small. `state`, where a cell has no number: PADDING
    (hatched) or EMPTY (grey)."""
    (top, left), (rows, columns), numbers = at, values.shape, size >= SMALLEST_TEXT
    state = np.zeros(values.shape, int) if state is None else state
    bound = 1.5 * bound if numbers else bound        # pale enough for dark numbers
    axes.pcolormesh(left + np.arange(columns + 1), top + np.arange(rows + 1),
                    np.ma.array(values, float, mask=state > 0), vmin=-bound, vmax=bound, zorder=1,
                    cmap=blue_orange().with_extremes(bad="#eceef1"),
                    edgecolors="#9ca3af" if numbers else "none", linewidth=0.6)
    fill(axes, state == PADDING, at, facecolor="#ffffff", hatch="////", edgecolor="#b4bac4",
         linewidth=0, zorder=1.5)
    outline(axes, np.ones(values.shape, bool), at, "#9ca3af", 0.6)
    for i, j in np.argwhere(state == 0) if numbers else ():
        axes.text(left + j + 0.5, top + i + 0.5, short(values[i, j]), ha="center", va="center",
                  fontsize=size, color=DARK, zorder=5)


def fill(axes: Any, mask: np.ndarray, at: tuple, **look: Any) -> None:
    """Cover the cells of a region."""
    from matplotlib.collections import PolyCollection
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    if mask.any():
        axes.add_collection(PolyCollection([(j, i) + square for i, j in np.argwhere(mask) + at],
                                           **look))


def outline(axes: Any, mask: np.ndarray, at=(0, 0), color: str = DARK, width: float = 2) -> None:
    """The border of a region of cells: a line where a cell in it meets one outside."""
    from matplotlib.collections import LineCollection
    m, (top, left) = np.pad(mask, 1), at
    level = [[(left + j, top + i), (left + j + 1, top + i)]
             for i, j in np.argwhere(m[1:, 1:-1] != m[:-1, 1:-1])]
    upright = [[(left + j, top + i), (left + j, top + i + 1)]
               for i, j in np.argwhere(m[1:-1, 1:] != m[1:-1, :-1])]
    axes.add_collection(LineCollection(level + upright, colors=color, linewidths=width,
                                       zorder=5 + width, capstyle="round"))


def cell_mask(shape: tuple[int, ...], places: Any) -> np.ndarray:
    """True at those flat positions."""
    return np.isin(np.arange(math.prod(shape)), places).reshape(shape)


# --------------------------------------------------------------------------- panels of a film
def some(steps: int, most: int) -> np.ndarray:
    """At most that many of the steps 0, 1, ..., spread evenly, the last one among them."""
    return np.unique(np.linspace(0, steps - 1, min(most, steps)).round().astype(int))


class Panels:
    """Room for rows of panels, (title, (rows, columns)) each, all cells of one size, and with
    `text` inches kept free on the right: the figure's `size`, each panel's upper left corner in
    `corners`, and the size of numbers in `points`."""

    def __init__(self, rows: Sequence[Sequence[tuple[str, tuple[float, float]]]], text: float = 0):
        widths = [sum(columns for _, (_, columns) in row) for row in rows]
        heights = [max(high for _, (high, _) in row) for row in rows]
        gaps = [GAP * (len(row) + 1) for row in rows]
        self.inch = min(LARGEST_CELL, *((8 - gap) / wide for wide, gap in zip(widths, gaps)))
        across = max(wide * self.inch + gap for wide, gap in zip(widths, gaps))
        self.size = (max(across, 2.4) + text,
                     HEAD + FOOT + sum(high * self.inch + ABOVE for high in heights))
        self.points, self.titles, self.corners = min(9, 72 * self.inch / 3.3), [], []
        top = (HEAD + ABOVE) / self.inch
        for row, high in zip(rows, heights):
            left = GAP / self.inch
            for title, (_, columns) in row:
                self.titles.append(title)
                self.corners.append((top, left))
                left += columns + GAP / self.inch
            top += high + ABOVE / self.inch

    def axes(self, figure: Any, head: str, foot: str, lines: Sequence[str] = ()) -> Any:
        """One axes for all panels (one each would take most of the time), with their titles, a line
        above and one below, and lines of text on the right."""
        wide, high = (inches / self.inch for inches in self.size)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, wide), ylim=(high, 0), autoscale_on=False)
        axes.set_axis_off()
        for title, (top, left) in zip(self.titles, self.corners):
            axes.text(left, top - 0.06 / self.inch, title, fontsize=10, weight="bold", color=DARK)
        left = GAP / self.inch
        axes.text(left, 0.12 / self.inch, head, va="top", fontsize=10.5, color=DARK, weight="bold")
        axes.text(left, high - 0.1 / self.inch, foot, fontsize=8, color=GREY)
        axes.text(wide - TEXT / self.inch, 0.7 / self.inch, "\n".join(lines), va="top",
                  fontsize=7.2, family="monospace", color=DARK, linespacing=1.5)
        return axes


# --------------------------------------------------------------------------- wrong cells
@picture(9, 4.8)
def wrong_cells(figure, recorded, expected, cells: Iterable[tuple[int, ...]],
                title: str = "") -> None:
    """Two arrays of one shape beside each other; the `cells` (their indices) in which they differ
    are red and crossed out. Of more than two axes the last two are drawn, a tile for each index of
    the others: at most twelve, those with wrong cells first."""
    arrays = [np.asarray(a, float) for a in (recorded, expected)]
    if arrays[0].shape != arrays[1].shape:
        raise ValueError(f"wrong_cells: shapes {arrays[0].shape} and {arrays[1].shape} differ")
    lead, (height, width) = arrays[0].shape[:-2], (1, 1, *arrays[0].shape)[-2:]
    wrong = np.zeros(arrays[0].shape, bool)
    for index in cells:
        wrong[tuple(index)] = True
    recorded, expected, wrong = (a.reshape(-1, height, width) for a in (*arrays, wrong))
    order = np.argsort(-wrong.sum((1, 2)), kind="stable")[:TILES]
    high, wide = 1.05 * height + 0.7, 1.05 * width + 0.4
    columns = min(len(order), max(1, round(math.sqrt(len(order) * high / wide))))
    rows = math.ceil(len(order) / columns)
    size = min(9, 72 * min(4.2 / (columns * wide), 3.8 / (rows * high)) / 3.4)
    for axes, values, name in zip(figure.subplots(1, 2), (recorded, expected),
                                  ("recorded", "expected")):
        bare_axes(axes, name)
        axes.set(xlim=(-0.15, columns * wide), ylim=(rows * high, -0.1 * high * bool(lead) - 0.15),
                 aspect="equal" if rows * high < 8 * columns * wide < 64 * rows * high else "auto")
        for place, k in enumerate(order):
            at = (place // columns * high, place % columns * wide)
            draw_cells(axes, values[k], bound_of(expected), at, size=size)
            if name == "recorded":
                _cross(axes, wrong[k], values[k], at, size)
            if lead:
                index = ", ".join(map(str, np.unravel_index(k, lead)))
                axes.text(at[1], at[0] - 0.02 * high, f"[{index}, :, :]", fontsize=7, color=GREY)
    left = f", {len(wrong) - len(order)} slices not drawn" if len(order) < len(wrong) else ""
    figure.suptitle(f"{title + ': ' if title else ''}{wrong.sum()} of {wrong.size} cells wrong "
                    f"(red, crossed out){left}")


def _cross(axes: Any, wrong: np.ndarray, values: np.ndarray, at, size: float) -> None:
    """Red squares with a cross: in white behind the number, or over it where cells are small."""
    if not wrong.any():
        return
    fill(axes, wrong, at, facecolor=WRONG, zorder=3)
    places, numbers = np.argwhere(wrong) + at, size >= SMALLEST_TEXT
    axes.scatter(places[:, 1] + 0.5, places[:, 0] + 0.5, s=(3 * size) ** 2 if numbers else 22,
                 marker="x", color="#ffffff" if numbers else "#000000", linewidths=1.5, zorder=6)
    for (i, j), value in zip(places, values[wrong]) if numbers else ():
        axes.text(j + 0.5, i + 0.5, short(value), ha="center", va="center", fontsize=size,
                  color="#ffffff", weight="bold", zorder=7,
                  bbox={"facecolor": WRONG, "edgecolor": "none", "pad": 1})
