"""The tensors that initial weights are written into: are they floats, have they fans, and do they
hold the numbers of a range?"""

from __future__ import annotations

import numpy as np

from ..tensor import Tensor


def check_floats(op: str, tensor: Tensor) -> None:
    """The tensor has floats."""
    if not tensor.is_floating_point():
        raise TypeError(f"{op}: tensor must be floats, got {tensor.dtype}")


def check_weight(op: str, tensor: Tensor) -> None:
    """The tensor has floats, and two or more axes."""
    check_floats(op, tensor)
    if tensor.ndim < 2:
        raise ValueError(f"{op}: fan_in and fan_out need a weight of two or more axes, got shape "
                         f"{tensor.shape}")


def check_range(op: str, tensor: Tensor, a: float, b: float) -> None:
    """The tensor has floats, and a <= b; a, b and b - a are finite in its dtype."""
    check_floats(op, tensor)
    if not a <= b:
        raise ValueError(f"{op}: a={a} must not be above b={b}")
    if not max(abs(a), abs(b), b - a) <= float(np.finfo(tensor.dtype).max):
        raise ValueError(f"{op}: a={a}, b={b} and b - a must be finite in {tensor.dtype}")
