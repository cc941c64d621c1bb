"""A film of max pooling, drawn from a trace: what each window takes, and what it gives back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..plots import ORANGE, Film
from .fields import WINDOW
from .films import head_of
from .maps import contraction_terms, linear_terms
from .pictures import EMPTY, TEXT, Panels, bound_of, cell_mask, draw_cells, outline, short, some


def routing(trace: Any, op: dict, most: int = 64) -> Film:
    """A max pooling's first image and channel, window by window: above which pixel is taken, below
    its gradient going back to that pixel and no other, once backward has run."""
    call = trace.call(op)
    x, y = call.operands[0][0, 0], call.out[0, 0]
    (found,) = linear_terms(call)
    taken = found.operands[0][np.argsort(found.out)][:y.size]       # a pixel for each cell of y
    events = [e for e in trace.events if e["phase"] == "backward" and e["op"] == op["id"]]
    rows, gy = [[("x", x.shape), ("y", y.shape)]], None
    if events:
        gy = np.asarray(trace.arrays[events[0]["gy"]], float)[0, 0]
        rows.append([("gx so far", x.shape), ("gy", y.shape)])
    panels, chosen = Panels(rows, TEXT), some(y.size, most)
    gx_until = lambda cell: np.bincount(taken[:cell], gy.ravel()[:cell], x.size).reshape(x.shape)

    def draw(figure: Any, i: int) -> None:
        cell = chosen[i]
        place = 0, 0, *divmod(cell, y.shape[1])
        seen = contraction_terms(call, WINDOW, (None, place)).operands[0]
        axes = panels.axes(figure, head_of(trace, op, cell, y.size),
                           "black: the window.  orange: its largest pixel, and its cell of y",
                           _told(x, y, gy, cell, taken[cell], seen))
        late = EMPTY * (np.arange(y.size) > cell).reshape(y.shape)
        shown = [(x, bound_of(x), None, seen, taken[cell]), (y, bound_of(x), late, (), cell)]
        if gy is not None:
            bound = bound_of(gx_until(y.size), gy)
            shown += [(gx_until(cell + 1), bound, None, seen, taken[cell]),
                      (gy, bound, None, (), cell)]
        for corner, (values, bound, state, window, one) in zip(panels.corners, shown):
            draw_cells(axes, values, bound, corner, state, panels.points)
            outline(axes, cell_mask(values.shape, window), corner)
            outline(axes, cell_mask(values.shape, one), corner, ORANGE, 3)
    return Film(draw, len(chosen), panels.size)


def _told(x, y, gy, cell: int, pixel: int, seen) -> list[str]:
    """The pixels of a window, and what its gradient is added to."""
    at = lambda name, place, a: f"{name}[{place // a.shape[1]},{place % a.shape[1]}]"
    lines = [f"{at('y', cell, y)} = the largest of"]
    lines += [f"  {at('x', p, x)} {short(x.ravel()[p])}" + ("  <- taken" if p == pixel else "")
              for p in seen[:16]]
    if gy is not None:
        lines += ["", f"{at('gx', pixel, x)} += {at('gy', cell, y)} {short(gy.ravel()[cell])}",
                  "the rest of the window gets nothing"]
    return lines
