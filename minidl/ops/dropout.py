"""Dropout: multiplication by a random mask."""

from __future__ import annotations

from .. import random
from ..device import move
from ..tensor import Tensor


def dropout_mask(shape, p: float, dtype, generator: random.Generator | None = None):
    """An array of 0 (with probability p) and 1 / (1 - p)."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must be in [0, 1], got {p}")
    u = (generator or random.default_generator()).uniform(shape)
    return (u >= p).astype(dtype) * (0 if p == 1 else 1 / (1 - p))


def dropout(input: Tensor, p: float = 0.5, training: bool = True,
            generator: random.Generator | None = None) -> Tensor:
    """Inverted dropout: y = x m, m_i = 0 with probability p, else 1 / (1 - p), so that E y = x.

    Identity when not `training`. The mask is a function of the generator's (seed, counter) alone.
    Source: D3-DROPOUT.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must be in [0, 1], got {p}")
    if not training or p == 0:
        return input
    mask = dropout_mask(input.shape, p, input.dtype, generator)
    return input * Tensor._wrap(move(mask, input.device))
