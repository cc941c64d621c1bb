"""Checks on values (labels in range, probabilities in [0, 1]): all of them, in this one place.

On the CPU a wrong value raises at once. On a GPU reading a value would make the host wait, so a
check leaves a flag on the device, and :func:`raise_pending` reads all flags together: ``item()``
calls it, and training where it reads its losses. Either way the error names the training step that
the value came up in, if a step was announced by :func:`during`.
"""

from __future__ import annotations

import contextlib
import math
import operator
import threading
from collections.abc import Iterator

import numpy as np

from ..device import namespace, to_host

MOST_FLAGS = 64
"""So many flags wait at most, one a check; then those of one message become one."""


class _Thread(threading.local):
    """What this thread has checked and not read: (flag, message, first step, last step), oldest
    first; and the training step it is in."""

    def __init__(self) -> None:
        self.pending: list[tuple] = []
        self.step: int | None = None


_thread = _Thread()


@contextlib.contextmanager
def during(step: int) -> Iterator[None]:
    """Errors of the checks inside begin with ``step N:``, whenever they are read."""
    before, _thread.step = _thread.step, step
    try:
        yield
    finally:
        _thread.step = before


def require(condition, message: str, error: type[Exception] = ValueError) -> None:
    """Raise ``error(message)`` unless the boolean array `condition` holds everywhere. From a GPU
    it comes later, and as a ValueError."""
    ok, step = condition.all(), _thread.step
    if isinstance(ok, (bool, np.bool_)):
        if not ok:
            raise error(_when(step, step) + message)
        return
    _thread.pending.append((ok, message, step, step))
    if len(_thread.pending) >= MOST_FLAGS:
        _thread.pending = _folded(_thread.pending)


def raise_pending() -> None:
    """Read, in one transfer, the flags that checks on a GPU left behind; raise ValueError for the
    first that failed."""
    pending, _thread.pending = _thread.pending, []
    if not pending:
        return
    flags = [flag for flag, *_ in pending]
    held = to_host(namespace(flags[0]).stack(flags)).tolist()
    for ok, (_, message, first, last) in zip(held, pending):
        if not ok:
            raise ValueError(_when(first, last) + message + (
                "" if first is not None else " (found on the GPU some operations ago: this read is "
                "the first since)"))


def _when(first: int | None, last: int | None) -> str:
    if first is None:
        return ""
    return f"step {first}: " if first == last else f"one of the steps {first} to {last}: "


def _folded(pending: list[tuple]) -> list[tuple]:
    """One flag a message: do all of its flags hold? Nothing is read, so nothing waits."""
    groups: dict[str, list[tuple]] = {}
    for entry in pending:
        groups.setdefault(entry[1], []).append(entry)
    folded = []
    for message, entries in groups.items():
        flags = [flag for flag, *_ in entries]
        ok = namespace(flags[0]).stack(flags).all()
        folded.append((ok, message, entries[0][2], entries[-1][3]))
    return folded


# --------------------------------------------------------------------------- what is checked
def brief(value) -> str:
    """A wrong value as an error shows it."""
    if hasattr(value, "_brief"):
        return value._brief()
    if isinstance(value, int) and abs(value) > 1e308:
        return f"an integer of {value.bit_length()} bits"
    said = repr(value)
    return said if len(said) <= 40 else f"{type(value).__name__} {said[:30]}…"


def several(value) -> bool:
    """Is it some numbers, not one: a tuple, a list, a range, an array with an axis?"""
    return isinstance(value, (tuple, list, range)) or (
        isinstance(value, np.ndarray) and value.ndim > 0)


def _whole_or_none(value) -> int | None:
    """A whole number of Python or NumPy as an int; None of anything else, True among it."""
    try:
        return None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        return None


def whole(what: str, value, least: float = 0) -> int:
    """`value` as an int: a whole number of Python or NumPy, at least `least`; True is none."""
    found = _whole_or_none(value)
    if found is None:
        raise TypeError(f"{what} must be a whole number, got {brief(value)}")
    if found < least:
        raise ValueError(f"{what} must be at least {least}, got {brief(found)}")
    return found


LARGEST_SIZE = 2**31 - 1     # of a kernel, a stride, a border: no image is as large


def sizes(op: str, name: str, value, count: int, least: int) -> tuple[int, ...]:
    """`value`, one whole number or `count` of them, each at least `least`, as `count` of them."""
    given = value if type(value) is tuple or several(value) else (value,) * count
    found = tuple([n if type(n) is int else _whole_or_none(n) for n in given])
    if len(found) == 1:
        found *= count
    if (None not in found and len(found) == count
            and least <= min(found) <= max(found) <= LARGEST_SIZE):
        return found
    raise _no_sizes(f"{op}: {name}", value, count, least, found)


def _no_sizes(what: str, value, count: int, least: int, found: tuple) -> Exception:
    expected = f"{what} must be a whole number" + f", or {count} of them" * (count > 1)
    if None in found:
        return TypeError(f"{expected}, got {brief(value)}")
    return ValueError(f"{expected}, at least {least}, got {brief(value)}")


def number(what: str, value, below: float = math.inf) -> float:
    """`value` as a float: a number of Python or NumPy, at least 0 and below `below`; True is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{what} must be a number, got {brief(value)}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not 0 <= found < below:
        raise ValueError(f"{what} must be at least 0 and below {below}, got {brief(value)}")
    return found


def integers(op: str, index, what: str = "class numbers") -> None:
    """Class numbers (or `what` else) must be integers."""
    if index.dtype.kind not in "iu":
        raise TypeError(f"{op}: {what} must be integers, got dtype {index.dtype}")


MOST_CLASSES = 1 << 16
"""As many classes as the labels alone may call for: one wrong label must not fill the memory."""


def classes_of(op: str, index, option: str) -> int:
    """How many classes class numbers show, one more than the largest, where `option` does not say.
    """
    found = int(index.max()) + 1 if index.size else 1
    if found > MOST_CLASSES:
        raise ValueError(f"{op}: label {found - 1} would make {found:,} classes; more than "
                         f"{MOST_CLASSES:,} must be given by {option}=")
    return found


def labels(op: str, index, classes: int, what: str = "class numbers") -> None:
    """Class numbers (or `what` else) must be integers in [0, classes)."""
    integers(op, index, what)
    if not index.size:
        return
    rule = f"{op}: {what} must be in [0, {classes - 1}]"
    if isinstance(index, np.ndarray):
        low, high = int(index.min()), int(index.max())
        found = low if low < 0 else high
        require(np.bool_(0 <= found < classes), f"{rule}; found {found}")
    else:
        # Read without its sign, a negative number is a huge one: one comparison sees both ends.
        unsigned, largest = index.view(f"u{index.dtype.itemsize}"), np.iinfo(index.dtype).max
        require(unsigned <= min(classes - 1, largest), rule)


def probabilities(op: str, name: str, p) -> None:
    """Probabilities must lie in [0, 1] (and so be finite)."""
    require((p >= 0) & (p <= 1), f"{op}: {name} must be probabilities in [0, 1]"
            + (f"; found {p.min():.6g} to {p.max():.6g}" if isinstance(p, np.ndarray) and p.size
               else ""))
