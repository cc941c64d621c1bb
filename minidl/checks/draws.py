"""Where in a draw of random numbers a call may begin."""

from __future__ import annotations

from . import brief, whole

ELEMENTS = 2**63                           # of a draw: as many as an int64 can number


def first_element(what: str, first: int, count: int, size: int = 1) -> int:
    """The element at which row `first` of a draw begins, rows being of `size` elements. Raises
    TypeError or ValueError, in the name of `what`, unless the draw has `count` rows from there."""
    last = ELEMENTS // max(int(size), 1) - int(count)
    first = first if type(first) is int and first >= 0 else whole(what, first)
    if first > last:
        raise ValueError(f"{what} must be at most {last}, for a draw has 2**63 elements, got "
                         f"{brief(first)}")
    return first * int(size)
