"""PyTorch's add and sub with a factor: input + alpha other."""

from __future__ import annotations

from .. import ops
from ..checks.arguments import arguments
from ..dtypes import result_type
from ..tensor import Tensor, as_tensor


@arguments
def add(input, other, *, alpha: float = 1) -> Tensor:
    """input + alpha other."""
    return ops.add(*_scaled(input, other, alpha))


@arguments
def sub(input, other, *, alpha: float = 1) -> Tensor:
    """input - alpha other."""
    return ops.sub(*_scaled(input, other, alpha))


def _scaled(input, other, alpha) -> tuple:
    """`input` and alpha `other`, multiplied in the dtype that the sum of the two has."""
    if alpha == 1:
        return input, other
    input = as_tensor(input)
    other = as_tensor(other, input)
    return input, ops.to(other, result_type(input.data, other.data)) * alpha
