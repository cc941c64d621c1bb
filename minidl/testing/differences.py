"""The slope of a function of one number, from five values; and whether it has a slope there.

With f_k = f(t k h), h the step, and O(h^n) what a smooth function leaves over:

    central      D1 = (f_1 - f_-1) / 2h        D2 = (f_2 - f_-2) / 4h         D1 - D2 = O(h^2)
    five points  f'(0) = (4 D1 - D2) / 3 + O(h^4)
    bend         S1 = (f_1 - 2 f_0 + f_-1) / h   S2 = (f_2 - 2 f_0 + f_-2) / 2h
    kink         J = 2 S1 - S2 = O(h^3), but at a kink the jump of the slope

A kink in the middle shows in J (D1 and D2 agree there: the mean of both slopes), one beside it in
D1 - D2. A smaller step leaves a kink beside the point behind, never one at the point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Slope(NamedTuple):
    """A measured slope: its value, the step used, its rounding error, and how far it can be trusted
    (the larger of |J| and |D1 - D2|, 0 for a straight line)."""

    value: float
    step: float
    rounding: float
    kink: float


def slope(f: Callable[[float], tuple[float, float]], step: float) -> Slope:
    """The slope of f at 0; f(t) returns f(t) - f(0) and the size of the terms it was added from."""
    (a2, n2), (a1, n1), (b1, m1), (b2, m2) = (f(k * step) for k in (-2, -1, 1, 2))
    d1, d2 = (b1 - a1) / (2 * step), (b2 - a2) / (4 * step)
    bend = 2 * (b1 + a1) / step - (b2 + a2) / (2 * step)
    rounding = 16 * np.finfo(np.float64).eps * max(n1, n2, m1, m2) / step
    return Slope((4 * d1 - d2) / 3, step, rounding, max(abs(bend), abs(d1 - d2)))
