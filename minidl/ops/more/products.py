"""Further matrix products: of any number of axes, by a row number, and between two tensors."""

from __future__ import annotations

from ... import checks
from ...checks.arguments import arguments
from ...tensor import Tensor
from ..linear import matrix_product
from ..shape import unsqueeze
from .axes import squeeze, transpose


@arguments
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product over the last two axes; leading axes broadcast, a vector is a row on the
    left and a column on the right. Raises ValueError when the inner lengths differ."""
    if input.ndim == 0 or other.ndim == 0:
        raise ValueError(f"matmul: needs at least one axis on each side, got shapes {input.shape} "
                         f"and {other.shape}")
    if input.shape[-1] != other.shape[-2 if other.ndim > 1 else 0]:
        raise ValueError(f"matmul: inner lengths differ: {input.shape} @ {other.shape}")
    if input.ndim == 1:
        return squeeze(matmul(unsqueeze(input, 0), other), -1 if other.ndim == 1 else -2)
    if other.ndim == 1:
        return squeeze(matrix_product(input, unsqueeze(other, 1)), -1)
    return matrix_product(input, other)


@arguments
def embedding(input: Tensor, weight: Tensor) -> Tensor:
    """Row `input` of `weight` for each integer: (...) and (V, D) -> (..., D)."""
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight must be (V, D), got {weight.shape}")
    checks.labels("embedding", input.data, weight.shape[0], "row numbers")
    return weight[input]


@arguments
def bilinear_form(left: Tensor, weight: Tensor, right: Tensor) -> Tensor:
    """left W right^T over the last two axes: (..., S, A), (A, B), (..., T, B) -> (..., S, T)."""
    return matmul(matmul(left, weight), transpose(right, -2, -1))
