"""The skip connection: what a function adds to its input."""

from __future__ import annotations

from ..checks.arguments import arguments
from ..tensor import Tensor


@arguments
def residual(input: Tensor, function) -> Tensor:
    """y = x + F(x). Source: D3-RESIDUAL."""
    return input + function(input)
