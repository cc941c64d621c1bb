"""Arrays as cells with numbers in them, wrong cells, and films: what ``films``, ``pooling`` and
``graphs`` draw traces with. ``minidl.plots`` has their functions by name.

Colours run from blue (negative) over white (0) to orange; numbers stand in the cells where they
fit. Padding is hatched and what is not there yet is grey: neither looks like zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..plots import GREY, STYLE, _bare, _picture, blue_orange, problem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DARK, WRONG = "#111827", "#d4002a"
PADDING, EMPTY = 1, 2         # why a cell has no number: it is not of the array; not computed yet
TILES, SMALLEST = 12, 4.2     # slices drawn of one array; points below which numbers are left out
TEXT = 2.9                    # inches for lines of text beside panels
HEAD, ABOVE, FOOT, GAP, LARGEST = 0.35, 0.35, 0.35, 0.3, 0.5      # inches around panels; of a cell


# --------------------------------------------------------------------------- arrays as cells
def _bound(*arrays: np.ndarray) -> float:
    """The largest finite magnitude: what the colours end at."""
    finite = [abs(a[np.isfinite(a)]).max(initial=0) for a in map(np.asarray, arrays)]
    return float(max(finite, default=0)) or 1.0


def _short(value: float) -> str:
    """A number in at most six characters, or so."""
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.{2 if abs(value) < 0.1 else 3}g}" if abs(value) < 1e5 else f"{value:.1e}"
    return "0" if value == 0 else text.replace("0.", ".", 1) if abs(value) < 1 else text


def _cells(axes: Any, values: np.ndarray, bound: float, at=(0, 0), state=None,
           size: float = 8) -> None:
    """Draw a matrix with its upper left corner at (row, column) `at`, a cell a unit square, with
    numbers in points of `size` unless too small. `state`, where a cell has no number: PADDING
    (hatched) or EMPTY (grey)."""
    from matplotlib.collections import LineCollection
    (top, left), (rows, columns), numbers = at, values.shape, size >= SMALLEST
    state = np.zeros(values.shape, int) if state is None else state
    values = np.where(state, np.nan, values).astype(float)
    stretch = 1.5 if numbers else 1       # pale enough for dark numbers
    axes.imshow(values, extent=(left, left + columns, top + rows, top), aspect="auto",
                cmap=blue_orange().with_extremes(bad="#eceef1"), vmin=-stretch * bound,
                vmax=stretch * bound, zorder=1)
    _fill(axes, state == PADDING, at, facecolor="#ffffff", hatch="////", edgecolor="#b4bac4",
          linewidth=0, zorder=1.5)
    level = [[(left, top + i), (left + columns, top + i)] for i in range(rows + 1)]
    upright = [[(left + j, top), (left + j, top + rows)] for j in range(columns + 1)]
    lines = level + upright if numbers else [level[0], level[-1], upright[0], upright[-1]]
    axes.add_collection(LineCollection(lines, colors="#9ca3af", linewidths=0.6, zorder=2))
    for i, j in np.argwhere(state == 0) if numbers else ():
        axes.text(left + j + 0.5, top + i + 0.5, _short(values[i, j]), ha="center", va="center",
                  fontsize=size, color=DARK, zorder=5)


def _fill(axes: Any, mask: np.ndarray, at=(0, 0), **look: Any) -> None:
    """Cover cells, all in one patch."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline
    squares = [Outline.unit_rectangle().transformed(_moved(at[1] + j, at[0] + i))
               for i, j in np.argwhere(mask)]
    if squares:
        axes.add_patch(PathPatch(Outline.make_compound_path(*squares), **look))


def _moved(x: float, y: float) -> Any:
    from matplotlib.transforms import Affine2D
    return Affine2D().translate(x, y)


def _frame(axes: Any, rows: float, columns: float, title: str = "") -> None:
    """The axes' limits, rows growing downward."""
    _bare(axes, title)
    axes.set(xlim=(-0.15, columns + 0.15), ylim=(rows + 0.15, -0.15))
    axes.set_aspect("equal" if max(rows, columns) < 8 * min(rows, columns) else "auto")


def _outline(axes: Any, mask: np.ndarray, at=(0, 0), color: str = DARK, width: float = 2) -> None:
    """The border of a region of cells: a line where a cell in it meets one outside."""
    from matplotlib.collections import LineCollection
    m, (top, left) = np.pad(mask, 1), at
    level = [[(left + j, top + i), (left + j + 1, top + i)]
             for i, j in np.argwhere(m[1:, 1:-1] != m[:-1, 1:-1])]
    upright = [[(left + j, top + i), (left + j, top + i + 1)]
               for i, j in np.argwhere(m[1:-1, 1:] != m[1:-1, :-1])]
    axes.add_collection(LineCollection(level + upright, colors=color, linewidths=width, zorder=7,
                                       capstyle="round"))


# --------------------------------------------------------------------------- wrong cells
@_picture(9, 4.8)
def wrong_cells(figure, recorded, expected, cells: Iterable[tuple[int, ...]],
                title: str = "") -> None:
    """Two arrays of one shape beside each other; the `cells` (their indices) in which they differ
    are red and crossed out. Of more than two axes the last two are drawn, a tile for each index of
    the others: at most twelve, those with wrong cells first."""
    arrays = [np.asarray(a, float) for a in (recorded, expected)]
    if arrays[0].shape != arrays[1].shape:
        raise ValueError(f"wrong_cells: shapes {arrays[0].shape} and {arrays[1].shape} differ")
    wrong = np.zeros(arrays[0].shape, bool)
    for cell in cells:
        wrong[tuple(cell)] = True
    lead = wrong.shape[:-2]
    shape = (math.prod(lead), *((1, 1, *wrong.shape)[-2:]))
    arrays, wrong = [a.reshape(shape) for a in arrays], wrong.reshape(shape)
    order = np.argsort(-wrong.sum((1, 2)), kind="stable")[:TILES]
    (high, wide), shape = (1.05 * shape[1] + 0.7, 1.05 * shape[2] + 0.4), shape[1:]
    columns = min(len(order), max(1, round(math.sqrt(len(order) * high / wide))))
    rows = math.ceil(len(order) / columns)
    size = min(9, 72 * min(4.2 / (columns * wide), 3.8 / (rows * high)) / 3.4)
    for axes, values, name in zip(figure.subplots(1, 2), arrays, ("recorded", "expected")):
        for place, k in enumerate(order):
            at = (place // columns * high, place % columns * wide)
            _cells(axes, values[k], _bound(arrays[1]), at, size=size)
            if name == "recorded":
                _cross(axes, wrong[k], values[k], at, size)
            if lead:
                index = ", ".join(str(i) for i in np.unravel_index(k, lead))
                axes.text(at[1], at[0] - 0.02 * high, f"[{index}, :, :]", fontsize=7, color=GREY)
        _frame(axes, rows * high, columns * wide, name)
        if lead:
            axes.set_ylim(top=-0.1 * high)
    left = f", {len(wrong) - len(order)} slices not drawn" if len(order) < len(wrong) else ""
    figure.suptitle(f"{title + ': ' if title else ''}{wrong.sum()} of {wrong.size} cells wrong "
                    f"(red, crossed out){left}")


def _cross(axes: Any, wrong: np.ndarray, values: np.ndarray, at, size: float) -> None:
    """Red squares with a white cross; small cells get a cross of a size that can be seen."""
    places = np.argwhere(wrong)
    _fill(axes, wrong, at, facecolor=WRONG, linewidth=0, zorder=3)
    for i, j in places if size >= SMALLEST else ():
        top, left = at[0] + i, at[1] + j
        for ends in ([left, left + 1], [left + 1, left]):
            axes.plot(ends, [top, top + 1], color="#ffffff", lw=1.5, zorder=4)
        axes.text(left + 0.5, top + 0.5, _short(values[i, j]), ha="center", va="center",
                  fontsize=size, color="#ffffff", weight="bold", zorder=6,
                  bbox={"facecolor": WRONG, "edgecolor": "none", "pad": 1})
    if size < SMALLEST and len(places):
        axes.scatter(places[:, 1] + at[1] + 0.5, places[:, 0] + at[0] + 0.5, s=22, marker="x",
                     color="#000000", linewidths=1, zorder=6)


# --------------------------------------------------------------------------- films
class Film:
    """Pictures in a row: `film.frame(i)` is a Figure, `film.save("sweep.gif")` writes all of them,
    and a notebook shows a player. ``draw(figure, i)`` draws one of `count` into an empty figure
    of `size` inches."""

    def __init__(self, draw: Callable, count: int, size: tuple[float, float] = (9, 3.6)):
        self.draw, self.count, self.size = draw, count, size

    def __len__(self) -> int:
        return self.count

    def frame(self, i: int = -1, figure: Figure | None = None) -> Figure:
        """Picture number i, the last one by default, in a new Figure or in the caller's."""
        if not -self.count <= i < self.count:
            raise IndexError(f"frame {i} of a film of {self.count}")
        if missing := problem():
            raise ImportError(missing)
        import matplotlib
        from matplotlib.figure import Figure
        with matplotlib.rc_context({**STYLE, "figure.constrained_layout.use": False}):
            if figure is None:
                figure = Figure(self.size)
            figure.clear()
            figure.set_size_inches(self.size)
            self.draw(figure, i % self.count)
        return figure

    def save(self, path: str | Path, fps: float = 1.5, dpi: int = 100) -> Path:
        """Write a GIF; its last picture stays for two seconds."""
        from matplotlib.animation import PillowWriter
        figure, writer = self.frame(0), PillowWriter(fps=fps)
        with writer.saving(figure, str(path), dpi=dpi):
            for i in [*range(self.count), *[self.count - 1] * int(2 * fps)]:
                self.frame(i, figure)
                writer.grab_frame()
        return Path(path)

    def _repr_html_(self) -> str:
        from matplotlib.animation import FuncAnimation
        figure = self.frame(0)
        return FuncAnimation(figure, lambda i: self.frame(i, figure), range(self.count),
                             interval=700).to_jshtml()


def _panels(figure: Any, rows: Sequence[Sequence[tuple[str, tuple[float, float]]]],
            text: float = 0) -> tuple[Any, list[tuple[float, float]], float]:
    """Room for rows of panels, (title, (rows, columns)) each, all cells of one size, with `text`
    inches kept free on the right: one axes, each panel's upper left corner, and the size of numbers
    in points. (One axes a panel would take most of the time.)"""
    wide, high = figure.get_size_inches()
    inch = min(_largest(rows, wide - text, high), LARGEST)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, wide / inch), ylim=(high / inch, 0),
                           autoscale_on=False)
    axes.set_axis_off()
    corners, top = [], (HEAD + ABOVE) / inch
    for row in rows:
        left = GAP / inch
        for title, (_, columns) in row:
            axes.text(left, top - 0.06 / inch, title, fontsize=10, weight="bold", color=DARK)
            corners.append((top, left))
            left += columns + GAP / inch
        top += max(size[0] for _, size in row) + ABOVE / inch
    return axes, corners, min(9, 72 * inch / 3.3)


def _largest(rows, wide: float, high: float) -> float:
    """The largest cell in inches with which the panels fit."""
    across = [(wide - GAP * (len(row) + 1)) / sum(size[1] for _, size in row) for row in rows]
    down = sum(max(size[0] for _, size in row) for row in rows)
    return min(*across, (high - HEAD - FOOT - ABOVE * len(rows)) / down)


def _room(rows, text: float = 0, cell: float = 0.38, most: float = 8) -> tuple[float, float]:
    """The figure's size in inches for these panels: cells of `cell` inches, smaller for many."""
    inch = min(cell, _largest(rows, most, 100))
    across = max(sum(size[1] for _, size in row) * inch + GAP * (len(row) + 1) for row in rows)
    down = sum(max(size[0] for _, size in row) * inch + ABOVE for row in rows)
    return max(across, 2.4) + text, down + HEAD + FOOT


def _caption(figure: Any, head: str, foot: str) -> None:
    """A line above all panels and one below."""
    high = figure.get_size_inches()[1]
    figure.text(GAP / figure.get_size_inches()[0], 1 - 0.12 / high, head, va="top", fontsize=10.5,
                color=DARK, weight="bold")
    figure.text(GAP / figure.get_size_inches()[0], 0.1 / high, foot, fontsize=8, color=GREY)


def _write(figure: Any, lines: Sequence[str]) -> None:
    """Lines of text at the right edge."""
    wide, high = figure.get_size_inches()
    figure.text(1 - TEXT / wide, 1 - 0.7 / high, "\n".join(lines), va="top", fontsize=7.2,
                family="monospace", color=DARK, linespacing=1.5)


def _mask(shape: tuple[int, ...], places: Any) -> np.ndarray:
    """True at those flat positions."""
    return np.isin(np.arange(math.prod(shape)), places).reshape(shape)


def _some(steps: np.ndarray, most: int) -> np.ndarray:
    """At most that many of the steps, spread evenly, the last one among them."""
    return np.unique(np.linspace(0, len(steps) - 1, min(most, len(steps))).round().astype(int))
