"""Equal up to rounding: the one comparison of stored numbers with what they should be.

    errors = |found - expected| / scale        equal where errors <= limit

`scale` is what rounding errors are measured by: the largest number that was added up, or the sum of
the terms' magnitudes; whoever compares knows which, and how large an error its dtype leaves. A NaN
is equal to a NaN, and an infinity to the same infinity. A number that is too large for the dtype of
`found` is infinite there. NaN beside a number is an error of NaN, which is below no limit.
"""

from __future__ import annotations

import numpy as np

__all__ = ["difference", "equal", "errors", "limit_of", "scale_of"]


def limit_of(dtype) -> float:
    """The largest error of a sum that was added up in another order, of numbers of this dtype."""
    return {"float32": 2e-5, "float64": 1e-8}.get(str(dtype), 1e-2)


def scale_of(*arrays) -> float:
    """The largest finite magnitude in any of the arrays; 0 where there is none."""
    sizes = [np.abs(np.asarray(a, np.float64)) for a in arrays]
    return float(max([size[np.isfinite(size)].max(initial=0.0) for size in sizes]))


def difference(found, expected) -> np.ndarray:
    """found - expected, number by number; 0 where both are NaN or the same infinity."""
    found, expected = np.asarray(found), np.asarray(expected, np.float64)
    with np.errstate(all="ignore"):
        held = expected.astype(found.dtype) if found.dtype.kind == "f" else expected
        same = (np.isnan(found) & np.isnan(held)) | (np.isinf(held) & (found == held))
        return np.where(same, 0.0, found.astype(np.float64) - expected)


def errors(found, expected, scale=None) -> np.ndarray:
    """|found - expected| / scale, number by number; a scale of 0 counts as 1.

    `scale`: one number, or one for each of `found`; the largest of `expected` unless given.
    """
    scale = scale_of(expected) if scale is None else scale
    with np.errstate(all="ignore"):
        return np.abs(difference(found, expected)) / np.where(scale, scale, 1.0)


def equal(found, expected, limit: float, scale=None) -> np.ndarray:
    """Where found and expected are equal up to `limit` of `scale`."""
    return errors(found, expected, scale) <= limit
