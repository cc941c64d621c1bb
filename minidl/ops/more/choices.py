"""Choices, element by element: where, and a product in which a weight of 0 wins over inf."""

from __future__ import annotations

import numpy as np

from ...device import constant, namespace
from ...dtypes import paired
from ...op import op
from ...tensor import Tensor
from ..terms import Elementwise


@op(terms=Elementwise("where(c, x, z)", "", "c * 1.0", "1.0 - c"))
def where(condition: Tensor, input: Tensor, other: Tensor):
    """x where the condition (a boolean tensor) holds, z elsewhere."""
    c = condition.data
    if c.dtype != np.bool_:
        raise TypeError(f"where: condition must be boolean, got {c.dtype}")
    a, b = paired(input.data, other.data)
    def backward(gy, need):
        zero = Tensor._wrap(constant(0.0, gy.dtype, c))
        return (None, where(condition, gy, zero) if need[1] else None,
                where(condition, zero, gy) if need[2] else None)
    return namespace(c).where(c, a, b), backward


@op(terms=Elementwise("where(x == 0, 0, x * z)", "z", "x"))
def weighed(input: Tensor, other: Tensor):
    """x z, but 0 where the weight x is 0, whatever z is: what counts nothing may be inf or nan."""
    a, b = paired(input.data, other.data)
    def backward(gy, need):
        return (weighed(gy, other) if need[0] else None,
                weighed(input, gy) if need[1] else None)
    return namespace(a).where(a == 0, a, a * b), backward
