"""Faster replacements, by name, for the readable arithmetic in ``minidl.ops``.

An op calls ``fast(_conv2d, x)(x, w, ...)``. That is the function `_conv2d` of the op's own file,
or, where a table of this package has an entry of its name for the arrays' device and dtype, that
entry. ``use_kernels("reference")`` (or ``MINIDL_KERNELS=reference``) empties the tables: what runs
then is what stands beside the formula, and that is what one steps through.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

CPU: dict[str, Callable] = {}
"""Replacements for NumPy arrays of float32 and float64: none yet, every op is its own formula."""

CUDA: dict[str, Callable] = {}
"""Replacements for CuPy arrays: none yet."""

CHOICES = ("fast", "reference")


def use_kernels(which: str) -> None:
    """Choose what runs: ``"fast"`` (replacements where there are any) or ``"reference"``."""
    global _choice
    if which not in CHOICES:
        raise ValueError(f"use_kernels: expected one of {', '.join(CHOICES)}; got {which!r}")
    _choice = which


def kernels_in_use() -> str:
    """``"fast"`` or ``"reference"``."""
    return _choice


def fast(readable: Callable, *arrays) -> Callable:
    """The replacement for `readable` that fits these arrays, or `readable` itself."""
    table = CPU if type(arrays[0]) is np.ndarray else CUDA
    if not table or _choice == "reference":
        return readable
    replacement = table.get(readable.__name__)
    dtype = arrays[0].dtype
    fits = dtype.kind == "f" and all([a.dtype == dtype for a in arrays])
    return replacement if replacement is not None and fits else readable


_choice = "fast"
use_kernels(os.environ.get("MINIDL_KERNELS") or "fast")
