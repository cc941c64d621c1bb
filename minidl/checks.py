"""Checks on values (labels in range, probabilities in [0, 1]): all of them, in this one place.

On the CPU a wrong value raises at once. On a GPU reading a value would make the host wait, so a
check leaves a flag on the device, and :func:`raise_pending` reads all flags together: ``item()``
calls it, and training where it reads its losses.
"""

from __future__ import annotations

import numpy as np

_PENDING: list[tuple[object, str]] = []


def require(condition, message: str, error: type[Exception] = ValueError) -> None:
    """Raise ``error(message)`` unless the boolean array `condition` holds everywhere."""
    ok = condition.all()
    if isinstance(ok, (bool, np.bool_)):
        if not ok:
            raise error(message)
    else:
        _PENDING.append((ok, message))


def raise_pending(step: int | None = None) -> None:
    """Read the flags that checks on a GPU left behind; raise for the first that failed."""
    flags, _PENDING[:] = list(_PENDING), []
    for ok, message in flags:
        if not bool(ok):
            raise ValueError(message if step is None else f"step {step}: {message}")


def labels(op: str, index, classes: int) -> None:
    """Class numbers must be integers in [0, classes)."""
    if index.dtype.kind not in "iu":
        raise TypeError(f"{op}: class numbers must be integers, got dtype {index.dtype}")
    if isinstance(index, np.ndarray) and index.size:        # say which, where it costs nothing
        low, high = int(index.min()), int(index.max())
        found = f"; found {low if low < 0 else high}"
    else:
        found = ""
    if index.size:
        require((index >= 0) & (index < classes),
                f"{op}: class numbers must be in [0, {classes - 1}]{found}")


def probabilities(op: str, name: str, p) -> None:
    """Probabilities must lie in [0, 1] (and so be finite)."""
    require((p >= 0) & (p <= 1), f"{op}: {name} must be probabilities in [0, 1]"
            + (f"; found {p.min():.6g} to {p.max():.6g}" if isinstance(p, np.ndarray) and p.size
               else ""))
