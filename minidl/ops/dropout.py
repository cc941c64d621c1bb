"""Dropout: multiplication by a random mask."""

from __future__ import annotations

from .. import random
from ..arguments import arguments
from ..device import device_of, move
from ..kernels import replaceable
from ..tape import op
from ..tensor import Tensor
from .arithmetic import _product_arrays, needs_floats
from .terms import Elementwise


@replaceable("x")
def _dropout_mask(x, p, seed, counter):
    """An array like x of 0 (with probability p) and 1 / (1 - p): draw `counter` under `seed`."""
    u = random.uniform(x.shape, seed, counter)
    return move((u >= p).astype(x.dtype) * (0 if p == 1 else 1 / (1 - p)), device_of(x))


@op("D3-DROPOUT", terms=Elementwise("x * m", "m"))
def masked(x: Tensor, m):
    """x m, m an array that is no tensor: linear in x, so its own adjoint."""
    def backward(gy):
        return masked(gy, m)
    return _product_arrays(x.data, m), backward


@arguments
def dropout(input: Tensor, p: float = 0.5, training: bool = True,
            generator: random.Generator | None = None) -> Tensor:
    """Inverted dropout: y = x m, m_i = 0 with probability p, else 1 / (1 - p), so that E y = x.

    Identity when not `training`. The mask is a function of the generator's (seed, counter) alone.
    Source: D3-DROPOUT.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must be in [0, 1], got {p}")
    needs_floats("dropout", input)
    if not training or p == 0:
        return input
    state = (generator or random.default_generator()).next_draw()
    return masked(input, _dropout_mask(input.data, p, *state))
