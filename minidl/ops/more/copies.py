"""Copies with a gradient path."""

from __future__ import annotations

from ...checks.arguments import arguments
from ...op import op
from ...tensor import Tensor
from ..terms import Gather


@op(terms=Gather())
def clone(input: Tensor):
    """A copy with a gradient path."""
    def backward(gy):
        return gy
    return input.data.copy(), backward


@arguments
def contiguous(input: Tensor) -> Tensor:
    """The tensor itself if it is in C order, else a copy that is."""
    return input if input.data.flags.c_contiguous else clone(input)
