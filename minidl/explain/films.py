"""Films of sums of products, drawn from a trace: the sum that makes each number (``sweep``), what
each number is added to (``stamps``, the ``+=``), and how often (``overlaps``). Strides, paddings,
dilations and sizes are the op's own: cells and products come from its declaration, the numbers from
the recording.

An `item` is an op of the trace, or a backward event of one: then the result is what the event
contributed to a gradient. Arrays of more than two axes are drawn slice by slice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ops.terms import Contract
from ..ops.windows import sides
from ..plots import TEN, Film
from .formula_text import names_of
from .maps import factors, linear_terms
from .pictures import (
    DARK,
    EMPTY,
    PADDING,
    TEXT,
    Panels,
    bound_of,
    cell_mask,
    draw_cells,
    fill,
    outline,
    short,
    some,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SLICES, PRODUCTS_LISTED = 3, 9  # slices drawn of an operand; products in words
FOOT_LINE = "outlined: used now.  hatched: padding, no numbers.  grey: not computed yet"
NO_PADS = ((0, 0), (0, 0))


# --------------------------------------------------------------------------- sums of products
class _Part:
    """An array of a sum of products, its padding made part of it. `at`: for each term its place in
    the array, flat; `numbers`: what the term takes from there; `inside`: not from the padding."""

    def __init__(self, name: str, values: np.ndarray, pads: Any, at: np.ndarray):
        self.name, self.at, self.shape = name, at, values.shape
        self.before = [0] * (values.ndim - 2) + [before for before, _ in pads]
        self.values = values.reshape(-1, *(1, 1, *values.shape)[-2:])        # slices
        inner = [n - sum(pad) for n, pad in zip(self.values.shape[1:], pads)]
        self.state = np.pad(np.zeros(inner, int), pads, constant_values=PADDING)
        self.numbers = values.ravel()[at]
        self.inside = self.state.ravel()[at % self.state.size] == 0
        used = np.unique(at // self.state.size)
        self.slices = used[:SLICES]
        title = name + (f", {SLICES} of {len(used)} slices" if len(used) > SLICES else "")
        rows, columns = self.state.shape
        self.panel = title, (len(self.slices) * (rows + 0.4) - 0.4, columns)

    def index(self, place: int) -> str:
        """A flat position in words: ``x[0,0,2,1]``."""
        index = np.unravel_index(place, self.shape)
        return f"{self.name}[{','.join(str(i - b) for i, b in zip(index, self.before))}]"

    def label(self, term: int) -> str:
        """Which number a term takes from here: ``x[0,0,2,1] 0.5``."""
        return f"{self.index(self.at[term])} {short(self.numbers[term])}"

    def draw(self, axes: Any, corner: Any, size: float, used: Any, values: Any = None,
             shown: Any = None, bound: float | None = None) -> None:
        """The slices below each other, the positions `used` outlined, EMPTY where not `shown`."""
        values = self.values if values is None else values.reshape(self.values.shape)
        marked = cell_mask(values.shape, used)
        for place, k in enumerate(self.slices):
            at = corner[0] + place * (self.state.shape[0] + 0.4), corner[1]
            state = self.state if shown is None else np.where(
                shown[k] | (self.state == PADDING), self.state, EMPTY)
            draw_cells(axes, values[k], bound or bound_of(values), at, state, size)
            outline(axes, marked[k], at)


def _result_and_factors(trace: Any, item: dict, part: int) -> tuple[list[_Part], _Part | None]:
    """The result of a Contract op (or of a backward event of one: the contribution), and what is
    multiplied for it: the terms of slice number `part` of the result. Then the bias, whose terms
    are the cells of the result, or None."""
    backward = item.get("phase") == "backward"
    call = trace.call(trace.ops[item["op"]] if backward else item)
    kind = call.op.terms
    if not isinstance(kind, Contract):
        raise TypeError(f"{call.op.name} is no sum of products, so there is nothing to sweep over")
    names, arrays, own = ["y", *names_of(call)], [call.out, *call.operands], 0
    if backward:
        own = item["input"] + 1
        names[0], names[own] = "gy", "g" + names[own]
        arrays[0], arrays[own] = (np.asarray(trace.arrays[item[what]], float)
                                  for what in ("gy", "contribution"))
    used = [0, *range(1, factors(kind) + 1)]       # of a bias's gradient: gy and the bias alone
    used = used if own in used else [0, own]
    # The array that has padding gets it around it, and the op's geometry none.
    given, pads = dict(zip(call.op.signature.parameters, call.args)), [NO_PADS] * len(arrays)
    for option in {"padding", "pads"} & set(given):
        padded = next(i for i, index in enumerate(re.findall(r"\w+\[([^\]]*)\]", kind.text))
                      if "PH" in index)
        if padded in used and own <= factors(kind):
            pads[padded] = tuple(map(sides, given[option]))
            outer = [(0, 0)] * (arrays[padded].ndim - 2)
            arrays[padded] = np.pad(arrays[padded], [*outer, *pads[padded]])
        given[option] = NO_PADS
    groups = linear_terms(call._replace(args=tuple(given.values()), out=arrays[0],
                                        operands=arrays[1:]))
    terms = next(group for group in groups if own == 0 or own - 1 in group.operands)
    bias = None
    if own == 0 and len(groups) > 1:
        ((k, places),) = groups[1].operands.items()
        bias = _Part(names[k + 1], arrays[k + 1], NO_PADS, places[np.argsort(groups[1].out)])
    places = {0: terms.out, **{k + 1: places for k, places in terms.operands.items()}}
    mine = places[own] // max(1, np.prod(arrays[own].shape[-2:], dtype=int)) == part
    parts = {i: _Part(names[i], arrays[i], pads[i], places[i][mine]) for i in used}
    return [parts.pop(own), *parts.values()], bias


def head_of(trace: Any, item: dict, step: int = 0, count: int = 0) -> str:
    """The op, its geometry and the number of the picture."""
    op = trace.ops[item["op"]] if item.get("phase") == "backward" else item
    call = trace.call(op)
    numbers = [f"{name} {'×'.join(map(str, value)) if len(set(value)) > 1 else value[0]}"
               for name, value in zip(call.op.signature.parameters, call.args)
               if name in ("stride", "padding", "dilation", "window")]
    name = op["op"] + " backward" * (op is not item)
    return ", ".join([name, *numbers]) + (f": step {step + 1} of {count}" if count else "")


def _product_lines(terms: Iterable[int], parts: list[_Part], line: Callable) -> list[str]:
    """A line for each of the first terms, and how many more there are, inside and in the padding.
    """
    terms = list(terms)
    inside = [t for t in terms if all(p.inside[t] for p in parts)]
    lines = [f"  {line(t)}" for t in inside[:PRODUCTS_LISTED]]
    if len(inside) > PRODUCTS_LISTED:
        lines.append(f"  and {len(inside) - PRODUCTS_LISTED} more")
    if len(inside) < len(terms):
        lines.append(f"  {len(terms) - len(inside)} in the padding: not added")
    return lines


# --------------------------------------------------------------------------- films
def sweep(trace: Any, item: dict, part: int = 0, most: int = 64) -> Film:
    """One picture for each cell of slice number `part` of the result: the cells that are multiplied
    for it, the products and their sum, beside what has been computed so far. Of a backward event
    for a weight this is the correlation of x with gy. More than `most` cells: evenly chosen ones.
    """
    (result, *others), bias = _result_and_factors(trace, item, part)
    products = np.prod([f.numbers for f in others], axis=0)
    steps = part * result.state.size + np.flatnonzero(result.state.ravel() == 0)
    shown = [*others, result] if bias is None else [*others, bias, result]
    panels, chosen = Panels([[p.panel for p in shown]], TEXT), some(len(steps), most)

    def draw(figure: Any, i: int) -> None:
        cell, done = steps[chosen[i]], steps[:chosen[i] + 1]
        now = np.flatnonzero(result.at == cell)
        lines = _product_lines(sorted(now, key=lambda t: -abs(products[t])), others, lambda t: (
            f"{' × '.join(f.label(t) for f in others)} = {short(products[t])}"))
        if bias is not None:
            lines.append(f"  and the bias {bias.label(cell)}")
        axes = panels.axes(figure, head_of(trace, item, chosen[i], len(steps)), FOOT_LINE, [
            f"{result.index(cell)} = the sum of", *lines,
            f"sum    {short(products[now].sum() + (0 if bias is None else bias.numbers[cell]))}",
            f"stored {short(result.values.ravel()[cell])}"])
        for corner, f in zip(panels.corners, others):
            f.draw(axes, corner, panels.points, f.at[now])
        if bias is not None:
            bias.draw(axes, panels.corners[-2], panels.points, bias.at[[cell]])
        result.draw(axes, panels.corners[-1], panels.points, [cell],
                    shown=cell_mask(result.values.shape, done))
    return Film(draw, len(chosen), panels.size)


def stamps(trace: Any, item: dict, part: int = 0, most: int = 64) -> Film:
    """One picture for each cell of the first factor (gy, or a transposed convolution's input): what
    it adds to slice number `part` of the result, and the result so far, which began as the bias, or
    as zeros. What falls into the hatched padding is dropped."""
    (result, source, *others), bias = _result_and_factors(trace, item, part)
    products = np.prod([f.numbers for f in (source, *others)], axis=0)
    summed = lambda terms: np.bincount(result.at[terms], products[terms], result.values.size)
    start = np.zeros(result.values.size) if bias is None else bias.numbers
    bound = bound_of(start + summed(slice(None)), products)      # one colour scale for the film
    title, size = result.panel
    panels = Panels([[*(f.panel for f in (source, *others)), ("adds", size),
                      (f"{title} so far", size)]], TEXT)
    steps = np.unique(source.at)
    chosen = some(len(steps), most)

    def draw(figure: Any, i: int) -> None:
        step = steps[chosen[i]]
        now, before = np.flatnonzero(source.at == step), start + summed(source.at < step)
        lines = _product_lines(now, [result, *others], lambda t: (
            f"{result.index(result.at[t])} {short(before[result.at[t]])} += "
            f"{' × '.join([short(source.numbers[t]), *(f.label(t) for f in others)])}"))
        if bias is not None:
            lines.append(f"{result.name} began as the bias {bias.name}")
        axes = panels.axes(figure, head_of(trace, item, chosen[i], len(steps)),
                           FOOT_LINE.replace("not computed yet", "nothing added now"),
                           [f"{source.label(now[0])} is multiplied and added:", *lines])
        *corners, adds, so_far = panels.corners
        for corner, f in zip(corners, (source, *others)):
            f.draw(axes, corner, panels.points, f.at[now])
        stamp = cell_mask(result.values.shape, result.at[now])
        result.draw(axes, adds, panels.points, result.at[now], summed(now), stamp, bound)
        result.draw(axes, so_far, panels.points, result.at[now], before + summed(now), None, bound)
    return Film(draw, len(chosen), panels.size)


def overlaps(trace: Any, item: dict, part: int = 0, figure: Figure | None = None) -> Figure:
    """Where four neighbouring cells of the first factor are added to the result, and how many
    products each cell of slice number `part` is the sum of: uneven counts are a checkerboard."""
    (result, source, *_), _ = _result_and_factors(trace, item, part)
    places, shape = result.at % result.state.size, result.state.shape
    counts = np.bincount(places, minlength=result.state.size).reshape(shape)
    panels = Panels([[(f"four stamps of {source.name}", shape),
                      (f"products in each cell of {result.name}", shape)]])
    *fewer, most = np.unique(counts[result.state == 0])
    told = (f"a cell is the sum of {', '.join(map(str, fewer))} or {most} products; where that "
            "alternates, a checkerboard is seen" if fewer else
            f"every cell is the sum of {most} products: no checkerboard")

    def draw(figure: Any, _: int) -> None:
        axes = panels.axes(figure, head_of(trace, item), told)
        left, right = panels.corners
        draw_cells(axes, counts, counts.max(), right, result.state, panels.points)
        draw_cells(axes, counts, 1, left, np.where(result.state, PADDING, EMPTY), panels.points)
        rows, columns = (min(n, 2) for n in source.values.shape[1:])
        for color, (i, j) in zip(TEN, np.ndindex(rows, columns)):
            mask = cell_mask(shape, places[source.at == i * source.values.shape[2] + j])
            fill(axes, mask, left, facecolor=color, alpha=0.3, zorder=3)
            outline(axes, mask, (left[0] + 0.07 * i, left[1] + 0.07 * j), color)
            top = np.argwhere(mask)[0] + left + 0.5
            axes.text(top[1], top[0], f"[{i},{j}]", ha="center", va="center",
                      fontsize=panels.points, color=DARK, zorder=8)
    return Film(draw, 1, panels.size).frame(0, figure)
