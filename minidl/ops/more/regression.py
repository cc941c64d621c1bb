"""Losses of numbers that are to equal numbers. ``reduction``: "mean" (default), "sum" or "none"."""

from __future__ import annotations

from ...checks.arguments import arguments
from ...checks.operands import needs_floats
from ...tensor import Tensor
from ..reduce import reduce_loss
from .choices import where


def target_like(name: str, input: Tensor, target) -> Tensor:
    needs_floats(name, input)
    if input.shape != target.shape:
        raise ValueError(f"{name}: target {target.shape} must have the shape of input "
                         f"{input.shape}")
    return target if target.is_floating_point() else target.to(input.dtype)


@arguments
def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(1/n) sum (y - t)^2. Source: D1-MSE."""
    difference = input - target_like("mse_loss", input, target)
    return reduce_loss("mse_loss", difference * difference, reduction)


@arguments
def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(1/n) sum |y - t|. Source: D4-MAE."""
    difference = input - target_like("l1_loss", input, target)
    return reduce_loss("l1_loss", difference.abs(), reduction)


@arguments
def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean",
                   beta: float = 1.0) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta/2, with d = y - t. Girshick (2015)."""
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must be >= 0, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    d = input - target_like("smooth_l1_loss", input, target)
    near = d.abs() < beta
    inner = where(near, d, 0.0)              # or d * d, where it is not chosen, would be inf * 0
    loss = where(near, inner * inner * (0.5 / beta), d.abs() - 0.5 * beta)
    return reduce_loss("smooth_l1_loss", loss, reduction)
