"""A stored number beside what explains it: the one comparison of explanations, walks and checks.

A NaN explains a NaN, and an infinity the same infinity. A sum that is too large for the stored
number's dtype is infinite there.
"""

from __future__ import annotations

import numpy as np


def difference(stored, expected) -> np.ndarray:
    """stored - expected, number by number; 0 where both are NaN or the same infinity."""
    stored, expected = np.asarray(stored), np.asarray(expected, np.float64)
    with np.errstate(all="ignore"):
        held = expected.astype(stored.dtype) if stored.dtype.kind == "f" else expected
        same = (np.isnan(stored) & np.isnan(held)) | (np.isinf(held) & (stored == held))
        return np.where(same, 0.0, stored.astype(np.float64) - expected)
