"""Films of sums of products, drawn from a trace: the sum that makes each number (``sweep``), what
each number is added to (``stamps``, the ``+=``), and how often (``overlaps``). Strides, paddings,
dilations and sizes are the op's own: cells and products come from its declaration, the numbers from
the recording.

An `item` is an op of the trace, or a backward event of one: then the result is what the event
contributed to a gradient. Arrays of more than two axes are drawn slice by slice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ops.terms import Contract
from ..plots import TEN
from .cells import names_of
from .pictures import (
    DARK,
    EMPTY,
    PADDING,
    TEXT,
    Film,
    _bound,
    _caption,
    _cells,
    _fill,
    _mask,
    _outline,
    _panels,
    _room,
    _short,
    _some,
    _write,
)
from .terms import linear_terms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SLICES = 3                    # slices drawn of an operand


# --------------------------------------------------------------------------- sums of products
class _Part:
    """An array of a sum of products as slices (L, H, W); its padding, where it has some, is part of
    it, its `state` says where. `at`: for each term its position in the array, flat."""

    def __init__(self, name: str, values: np.ndarray, pads, at: np.ndarray):
        self.name, self.pads, self.at = name, pads or ((0, 0), (0, 0)), at
        self.shape = values.shape
        self.values = values.reshape(-1, *(1, 1, *values.shape)[-2:])
        (top, below), (left, right) = self.pads
        rows, columns = self.values.shape[1:]
        inner = np.zeros((rows - top - below, columns - left - right), int)
        self.state = np.pad(inner, self.pads, constant_values=PADDING)

    def slices(self, terms: np.ndarray) -> np.ndarray:
        """The slices that those terms use, at most SLICES."""
        return np.unique(self.at[terms] // self.state.size)[:SLICES]

    def title(self, terms: np.ndarray) -> str:
        """The name, and how many of the slices that those terms use are drawn."""
        used = len(np.unique(self.at[terms] // self.state.size))
        return self.name + (f", {SLICES} of {used} slices" if used > SLICES else "")

    def index(self, cell: int) -> str:
        """A flat position in words: ``x[0,0,2,1]``."""
        index = np.array(np.unravel_index(cell, self.shape))
        if index.size >= 2:
            index[-2:] -= [before for before, _ in self.pads]
        return f"{self.name}[{','.join(map(str, index))}]"

    def value(self, term: int) -> float:
        """The number that a term takes from here."""
        return float(self.values.ravel()[self.at[term]])

    def inside(self, term: int) -> bool:
        """Whether the term takes it from the array and not from its padding."""
        return self.state.ravel()[self.at[term] % self.state.size] == 0

    def label(self, term: int) -> str:
        """Which number a term takes from here: ``x[0,0,2,1] 0.5``."""
        return f"{self.index(self.at[term])} {_short(self.value(term))}"

    def rows(self, slices: np.ndarray) -> tuple[float, float]:
        """The size of a panel with these slices below each other."""
        rows, columns = self.state.shape
        return len(slices) * (rows + 0.4) - 0.4, columns

    def draw(self, axes: Any, corner, slices, size: float, values=None, shown=None, used=None,
             bound: float | None = None) -> None:
        """The slices below each other, EMPTY where not `shown`; positions `used` are outlined."""
        values = self.values if values is None else values
        bound = bound or _bound(values)
        marked = _mask(values.shape, [] if used is None else used)
        for place, k in enumerate(slices):
            at = corner[0] + place * (self.state.shape[0] + 0.4), corner[1]
            state = self.state if shown is None else np.where(
                shown[k] | (self.state == PADDING), self.state, EMPTY)
            _cells(axes, values[k], bound, at, state, size)
            _outline(axes, marked[k], at)


def _parts(trace: Any, item: dict) -> list[_Part]:
    """The result of a Contract op (or of a backward event of one: the contribution), and what is
    multiplied for it, with the padding made part of the array that it surrounds."""
    backward = item.get("phase") == "backward"
    call = trace.call(trace.ops[item["op"]] if backward else item)
    kind = call.op.terms
    if not isinstance(kind, Contract):
        raise TypeError(f"{call.op.name} is no sum of products, so there is nothing to sweep over")
    names, arrays = ["y", *names_of(call)], [call.out, *call.operands]
    if backward:
        k = item["input"] + 1
        names, arrays[0] = ["gy", *names[1:]], np.asarray(trace.arrays[item["gy"]], float)
    pads = _pads(call)
    where = next((i for i, (_, index) in enumerate(re.findall(r"(\w+)\[([^\]]*)\]", kind.text))
                  if "PH" in index), None) if pads else None
    if where is not None:
        border = [(0, 0)] * (arrays[where].ndim - 2) + list(pads)
        arrays[where] = np.pad(arrays[where], border)
        none = tuple(((0, 0), (0, 0)) if p in ("padding", "pads") else a
                     for p, a in zip(call.op.signature.parameters, call.args))
        call = call._replace(args=none)
    call = call._replace(out=arrays[0], operands=arrays[1:])
    (terms,) = linear_terms(call)
    places = [terms.out, *(terms.operands[i] for i in range(len(arrays) - 1))]
    if backward:
        result = np.asarray(trace.arrays[item["contribution"]], float)
        arrays[k] = np.pad(result, border) if where == k else result
        names[k] = "g" + names[k]
    parts = [_Part(name, a, pads if i == where else None, at)
             for i, (name, a, at) in enumerate(zip(names, arrays, places))]
    return [parts.pop(k), *parts] if backward else parts


def _pads(call: Any):
    """((top, bottom), (left, right)), or None where an op has no padding."""
    for name, value in zip(call.op.signature.parameters, call.args):
        if name in ("padding", "pads"):
            pads = tuple(p if isinstance(p, tuple) else (p, p) for p in value)
            return pads if np.any(pads) else None
    return None


def _head(trace: Any, item: dict, step: int = 0, count: int = 0) -> str:
    """The op, its geometry and the number of the picture."""
    op = trace.ops[item["op"]] if item.get("phase") == "backward" else item
    call = trace.call(op)
    numbers = [f"{name} {'×'.join(map(str, value)) if len(set(value)) > 1 else value[0]}"
               for name, value in zip(call.op.signature.parameters, call.args)
               if name in ("stride", "padding", "pads", "dilation", "window")
               and all(isinstance(v, int) for v in value)]
    name = op["op"].strip("_") + " backward" * (op is not item)
    return ", ".join([name, *numbers]) + (f": step {step + 1} of {count}" if count else "")


FOOT_LINE = "outlined: used now.  hatched: padding, no numbers.  grey: not computed yet"


# --------------------------------------------------------------------------- sums, cell by cell
def sweep(trace: Any, item: dict, part: int = 0, most: int = 64) -> Film:
    """One picture for each cell of slice number `part` of the result: the cells that are multiplied
    for it, the products and their sum, beside what has been computed so far. Of a backward event
    for a weight this is the correlation of x with gy. More than `most` cells: evenly chosen ones.
    """
    result, *factors = _parts(trace, item)
    mine = np.flatnonzero(result.at // result.state.size == part)
    slices = [f.slices(mine) for f in factors]
    cells = part * result.state.size + np.flatnonzero(result.state.ravel() == 0)
    chosen = _some(cells, most)
    panels = [[*((f.title(mine), f.rows(k)) for f, k in zip(factors, slices)),
               (result.name, result.rows([part]))]]

    def draw(figure: Any, i: int) -> None:
        cell, done = cells[chosen[i]], cells[:chosen[i] + 1]
        terms = np.flatnonzero(result.at == cell)
        axes, corners, size = _panels(figure, panels, TEXT)
        for corner, f, k in zip(corners, factors, slices):
            f.draw(axes, corner, k, size, used=f.at[terms])
        result.draw(axes, corners[-1], [part], size, shown=_mask(result.values.shape, done),
                    used=[cell])
        _write(figure, _sum(result, factors, terms, cell))
        _caption(figure, _head(trace, item, chosen[i], len(cells)), FOOT_LINE)
    return Film(draw, len(chosen), _room(panels, TEXT))


def _sum(result: _Part, factors: Sequence[_Part], terms: np.ndarray, cell: int) -> list[str]:
    """A number as its products: the largest nine, what the others add, the sum, what was stored."""
    inside = [t for t in terms if all(f.inside(t) for f in factors)]
    values = {t: math.prod(f.value(t) for f in factors) for t in inside}
    order = sorted(values, key=lambda t: -abs(values[t]))
    lines = [f"{result.index(cell)} = the sum of"]
    lines += [f"  {' × '.join(f.label(t) for f in factors)} = {_short(values[t])}"
              for t in order[:9]]
    if len(order) > 9:
        rest = sum(values[t] for t in order[9:])
        lines.append(f"  {len(order) - 9} more products = {_short(rest)}")
    if len(inside) < len(terms):
        lines.append(f"  {len(terms) - len(inside)} in the padding = 0")
    return [*lines, f"sum    {_short(sum(values.values()))}",
            f"stored {_short(result.values.ravel()[cell])}"]


def stamps(trace: Any, item: dict, part: int = 0, most: int = 64) -> Film:
    """One picture for each cell of the first factor (gy, or a transposed convolution's input): what
    it adds to slice number `part` of the result, and the result so far, which began as zeros. What
    falls into the hatched padding is dropped."""
    result, *factors = _parts(trace, item)
    source, others = factors[0], factors[1:]
    mine = np.flatnonzero(result.at // result.state.size == part)
    slices = [f.slices(mine) for f in factors]
    steps = np.unique(source.at[mine])
    chosen = _some(steps, most)
    products = np.prod([f.values.ravel()[f.at] for f in factors], axis=0)
    bound = _bound(np.bincount(result.at, products), products)      # one colour scale for the film
    panels = [[*((f.title(mine), f.rows(k)) for f, k in zip(factors, slices)),
               ("adds", result.rows([part])), (f"{result.name} so far", result.rows([part]))]]

    def draw(figure: Any, i: int) -> None:
        before = mine[source.at[mine] < steps[chosen[i]]]
        now = mine[source.at[mine] == steps[chosen[i]]]
        sofar, added = np.zeros(result.values.size), np.zeros(result.values.size)
        np.add.at(sofar, result.at[before], products[before])
        np.add.at(added, result.at[now], products[now])
        shape = result.values.shape
        axes, corners, size = _panels(figure, panels, TEXT)
        source.draw(axes, corners[0], slices[0], size, used=[steps[chosen[i]]])
        for corner, f, k in zip(corners[1:], others, slices[1:]):
            f.draw(axes, corner, k, size, used=f.at[now])
        result.draw(axes, corners[-2], [part], size, added.reshape(shape),
                    _mask(shape, result.at[now]), result.at[now], bound)
        result.draw(axes, corners[-1], [part], size, (sofar + added).reshape(shape),
                    used=result.at[now], bound=bound)
        _write(figure, _added(result, source, others, now, sofar))
        _caption(figure, _head(trace, item, chosen[i], len(steps)),
                 FOOT_LINE.replace("not computed yet", "nothing added now"))
    return Film(draw, len(chosen), _room(panels, TEXT))


def _added(result: _Part, source: _Part, others, now, sofar) -> list[str]:
    """What one cell adds, a line for each cell that it is added to."""
    inside = [t for t in now if result.inside(t) and all(f.inside(t) for f in others)]
    lines = [f"{source.label(now[0])} is multiplied and added:"]
    for t in inside[:9]:
        cell = result.at[t]
        lines.append(f"  {result.index(cell)} {_short(sofar[cell])} += "
                     f"{' × '.join([_short(source.value(t)), *(f.label(t) for f in others)])}")
    if len(inside) > 9:
        lines.append(f"  and {len(inside) - 9} more")
    if len(inside) < len(now):
        lines.append(f"  {len(now) - len(inside)} in the padding: dropped")
    return lines


# --------------------------------------------------------------------------- how often
def overlaps(trace: Any, item: dict, part: int = 0, figure: Figure | None = None) -> Figure:
    """Where four neighbouring cells of the first factor are added to the result, and how many
    products each cell of slice number `part` is the sum of: uneven counts are a checkerboard."""
    result, source, *_ = _parts(trace, item)
    mine = result.at // result.state.size == part
    places = result.at % result.state.size
    counts = np.bincount(places[mine], minlength=result.state.size).reshape(result.state.shape)
    panels = [[(f"four stamps of {source.name}", counts.shape),
               (f"products in each cell of {result.name}", counts.shape)]]

    def draw(figure: Any, _: int) -> None:
        axes, (left, right), size = _panels(figure, panels)
        _cells(axes, counts, counts.max() or 1, right, result.state, size)
        empty = np.where(result.state == PADDING, PADDING, EMPTY)
        _cells(axes, np.zeros(counts.shape), 1, left, empty, size)
        rows, columns = (min(n, 2) for n in source.values.shape[1:])
        for color, (i, j) in zip(TEN, np.ndindex(rows, columns)):
            stamp = places[mine & (source.at == i * source.values.shape[2] + j)]
            mask = _mask(counts.shape, stamp)
            _fill(axes, mask, left, facecolor=color, alpha=0.3, linewidth=0, zorder=3)
            _outline(axes, mask, (left[0] + 0.07 * i, left[1] + 0.07 * j), color)
            first = np.argwhere(mask)[0] + left + 0.5
            axes.text(first[1], first[0], f"[{i},{j}]", ha="center", va="center", fontsize=size,
                      color=DARK, zorder=8)
        inner = np.unique(counts[result.state == 0])
        _caption(figure, _head(trace, item), (
            f"every cell is the sum of {inner[0]} products: no checkerboard" if len(inner) == 1 else
            f"a cell is the sum of {', '.join(map(str, inner[:-1]))} or {inner[-1]} products; "
            "where that alternates, a checkerboard is seen"))
    return Film(draw, 1, _room(panels, most=9)).frame(0, figure)
