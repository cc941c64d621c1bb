"""Are two arrays of numbers equal up to rounding?"""

from __future__ import annotations

import numpy as np

from ..checks.arguments import arguments
from ..checks.arrays import unmasked


@arguments
def allclose(input, other, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    """Is |x - y| <= atol + rtol |y| everywhere?"""
    input, other = (np.asarray(unmasked("allclose", x)) for x in (input, other))
    return bool(np.allclose(input, other, rtol, atol))
