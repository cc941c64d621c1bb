"""Gradients forgotten, or set to zero: those of an optimiser's parameters, or of any others."""

from __future__ import annotations

from collections.abc import Iterable

from ...checks.arguments import arguments
from ...tensor import Tensor


@arguments
def clear_gradients(parameters: Iterable[Tensor], set_to_none: bool = True) -> None:
    """Set every gradient to None, or to zero."""
    for p in parameters:
        p.grad = None if set_to_none or p.grad is None else p.grad.detach().zero_()
