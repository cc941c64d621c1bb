"""A film of max pooling, drawn from a trace: what each window takes, and what it gives back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..plots import ORANGE
from .cells import WINDOW
from .films import _head
from .pictures import (
    EMPTY,
    TEXT,
    Film,
    _bound,
    _caption,
    _cells,
    _mask,
    _outline,
    _panels,
    _room,
    _short,
    _some,
    _write,
)
from .terms import _contract, linear_terms


def routing(trace: Any, op: dict, most: int = 64) -> Film:
    """A max pooling's first image and channel, window by window: above which pixel is taken, below
    its gradient going back to that pixel and no other, once backward has run."""
    call = trace.call(op)
    x, y = call.operands[0][0, 0], call.out[0, 0]
    (found,) = linear_terms(call)
    taken = dict(zip(found.out.tolist(), found.operands[0].tolist()))
    events = [e for e in trace.events if e["phase"] == "backward" and e["op"] == op["id"]]
    gy = np.asarray(trace.arrays[events[0]["gy"]], float)[0, 0] if events else None
    chosen = _some(np.arange(y.size), most)
    panels, returned, bounds = [[("x", x.shape), ("y", y.shape)]], [], [_bound(x)] * 2
    if events:
        panels.append([("gx so far", x.shape), ("gy", y.shape)])
        sums = np.zeros(x.size)
        for cell in range(y.size):
            sums[taken[cell]] += gy.ravel()[cell]
            returned.append(sums.reshape(x.shape).copy())
        bounds += [_bound(sums, gy)] * 2

    def draw(figure: Any, i: int) -> None:
        cell = int(chosen[i])
        (window,) = [_contract(call, WINDOW, (None, (0, 0, *divmod(cell, y.shape[1]))))]
        seen = window.operands[0]
        axes, corners, size = _panels(figure, panels, TEXT)
        gx = None if gy is None else returned[chosen[i]]
        late = np.where(np.arange(y.size) > cell, EMPTY, 0).reshape(y.shape)
        marks = [(seen, taken[cell]), ([], cell)] * 2
        for corner, values, state, bound, (region, one) in zip(
                corners, (x, y, gx, gy), (None, late, None, None), bounds, marks):
            _cells(axes, values, bound, corner, state, size)
            _outline(axes, _mask(values.shape, region), corner)
            _outline(axes, _mask(values.shape, one), corner, ORANGE, 3)
        _write(figure, _taken(x, y, gy, cell, taken[cell], seen))
        _caption(figure, _head(trace, op, i, len(chosen)),
                 "black: the window.  orange: its largest pixel, and its cell of y")
    return Film(draw, len(chosen), _room(panels, TEXT))


def _taken(x, y, gy, cell: int, pixel: int, seen) -> list[str]:
    """The pixels of a window, and what its gradient is added to."""
    at = lambda name, place, a: f"{name}[{place // a.shape[1]},{place % a.shape[1]}]"
    lines = [f"{at('y', cell, y)} = the largest of"]
    lines += [f"  {at('x', p, x)} {_short(x.ravel()[p])}" + ("  <- taken" if p == pixel else "")
              for p in seen[:16]]
    if gy is not None:
        lines += ["", f"{at('gx', pixel, x)} += {at('gy', cell, y)} {_short(gy.ravel()[cell])}",
                  "the rest of the window gets nothing"]
    return lines
