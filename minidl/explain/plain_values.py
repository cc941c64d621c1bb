"""Arguments, options and frames as a trace's file can have them, and be read again.

What is no number, text or such is kept by the name of its type alone: what it looks like may tell
whose it is, and where.
"""

from __future__ import annotations

import operator
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import brief
from ..device import is_array, to_host
from ..files.regular import shown
from ..tensor import Tensor
from .parts import NUMPY

LARGEST_WHOLE = 10 ** 18      # of a whole number that a file is read with
LARGEST_PLACE = (1 << 53) - 1  # of a slice's ends: no axis is as long
DEEPEST_TUPLE = 8


def plain_number(value: Any) -> Any:
    """A number, true, false, none or text that JSON has as it is; a NaN or infinity as a float;
    others raise TypeError."""
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (np.integer, np.floating)):
        value = int(value) if isinstance(value, np.integer) else float(value)
    if isinstance(value, int) and type(value) is not bool:
        if abs(value) > LARGEST_WHOLE:
            raise TypeError("too large")
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str) and not _tells_a_folder(value):
        return str(value)
    if value is None or type(value) is bool:
        return value
    raise TypeError(f"a {type(value).__name__}")


def plain_argument(value: Any) -> Any:
    """An op's argument that is no tensor, array or tuple, as ``docs/trace.md`` describes it."""
    unknown = {"repr": shown(type(value).__name__)}
    if isinstance(value, slice):
        try:
            return {"slice": [None if n is None else max(-LARGEST_PLACE, min(
                operator.index(n), LARGEST_PLACE)) for n in (value.start, value.stop, value.step)]}
        except TypeError:
            return unknown
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, np.dtype):
        return {"dtype": str(value)} if str(value) in NUMPY else unknown
    try:
        plain = plain_number(value)
    except TypeError:
        return unknown
    return {"float": repr(plain)} if type(plain) is float and not np.isfinite(plain) else plain


def plain_option(value: Any) -> Any:
    """An option of an optimiser; of what JSON has no word for, the name of its type."""
    if isinstance(value, (tuple, list)) and not deep_or_cyclic(value):
        return [plain_option(v) for v in value]
    try:
        plain = plain_number(value)
    except TypeError:
        return shown(type(value).__name__)
    return repr(plain) if type(plain) is float and not np.isfinite(plain) else plain


def plain_frame(name: str, value: Any) -> np.ndarray:
    """What a frame is given under this name, as an array of numbers. Raises TypeError for others.
    """
    try:
        value = value.data if isinstance(value, Tensor) else value
        found = np.asarray(to_host(value) if is_array(value) else value)
    except (TypeError, ValueError):
        found = np.empty(0, object)
    if found.dtype.kind not in "fiub":
        raise TypeError(f"frame: {shown(name)} must be a number, or numbers in an array or a "
                        f"tensor, got {brief(value)}")
    return found


def deep_or_cyclic(value: Any, depth: int = 0) -> bool:
    """Does a tuple or list hold others too deep for a file, or itself?"""
    return depth >= DEEPEST_TUPLE or any(
        deep_or_cyclic(v, depth + 1) for v in value if isinstance(v, (tuple, list)))


def _tells_a_folder(text: str) -> bool:
    return os.path.isabs(text) or str(Path.home()) in text
