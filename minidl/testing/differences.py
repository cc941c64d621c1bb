"""The slope of a function along a line, from five values; and whether it has a slope there.

For y = f(x_1, ..., x_n), a gradient gy of y and a direction d of input k, f is seen as a function
of one number, f(t) = <f(..., x_k + t d, ...), gy>, whose slope at 0 is <gx_k, d>.

With f_k = f(t k h), h the step, and O(h^n) what a smooth function leaves over:

    central      D1 = (f_1 - f_-1) / 2h        D2 = (f_2 - f_-2) / 4h         D1 - D2 = O(h^2)
    five points  f'(0) = (4 D1 - D2) / 3 + O(h^4)
    bend         S1 = (f_1 - 2 f_0 + f_-1) / h   S2 = (f_2 - 2 f_0 + f_-2) / 2h
    kink         J = 2 S1 - S2 = O(h^3), but at a kink the jump of the slope

A kink in the middle shows in J (D1 and D2 agree there: the mean of both slopes), one beside it in
D1 - D2. A smaller step leaves a kink beside the point behind, never one at the point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Slope", "along", "first_smooth", "slope"]


class Slope(NamedTuple):
    """A measured slope: its value, the step used, its rounding error, how far it can be trusted
    (the larger of |J| and |D1 - D2|, 0 for a straight line), and the sum of the magnitudes that it
    was added up from."""

    value: float
    step: float
    rounding: float
    kink: float
    magnitude: float


def along(f: Callable[..., Sequence[np.ndarray]], inputs: Sequence[np.ndarray], k: int,
          direction: np.ndarray, outputs: Sequence[np.ndarray], upstream: Sequence[np.ndarray]
          ) -> Callable[[float], tuple[float, float, float]]:
    """t -> <f(..., x_k + t d, ...) - f(...), gy>, the sum of the magnitudes of its terms, and that
    of the terms of <f(...), gy>, which were rounded. `outputs` are f(...), `upstream` is gy."""
    size = sum(float((np.abs(y) * np.abs(gy)).sum()) for y, gy in zip(outputs, upstream))

    def moved(t: float) -> tuple[float, float, float]:
        xs = list(inputs)
        xs[k] = xs[k] + t * direction
        terms = [(y - y0) * gy for y, y0, gy in zip(f(*xs), outputs, upstream)]
        return (sum(float(term.sum()) for term in terms),
                sum(float(np.abs(term).sum()) for term in terms), size)
    return moved


def slope(f: Callable[[float], tuple[float, float, float]], step: float) -> Slope:
    """The slope at 0 of a function from :func:`along`."""
    (a2, *_), (a1, *_), (b1, magnitude, size), (b2, *_) = (f(k * step) for k in (-2, -1, 1, 2))
    d1, d2 = (b1 - a1) / (2 * step), (b2 - a2) / (4 * step)
    bend = 2 * (b1 + a1) / step - (b2 + a2) / (2 * step)
    rounding = 16 * np.finfo(np.float64).eps * size / step
    return Slope((4 * d1 - d2) / 3, step, rounding, max(abs(bend), abs(d1 - d2)), magnitude / step)


def first_smooth(f: Callable, steps: Sequence[float], tolerance: Callable[[Slope], float],
                 kink: float) -> tuple[Slope | None, float, bool]:
    """The slope by the first of `steps` whose five points lie on a smooth curve: with a finite
    slope, and a kink of at most `kink` times its tolerance. (slope, its tolerance, True); without
    such a step (the last finite slope or None, its tolerance, False)."""
    last = None, 0.0, False
    for step in steps:
        with np.errstate(all="ignore"):
            found = slope(f, step)
        if np.isfinite(found.value):
            last = found, tolerance(found), False
            if found.kink <= kink * last[1]:
                return (*last[:2], True)
    return last
