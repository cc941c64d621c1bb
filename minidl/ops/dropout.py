"""Dropout: multiplication by a random mask."""

from __future__ import annotations

import numpy as np

from .. import random
from ..checks.arguments import arguments
from ..checks.draws import first_element
from ..checks.operands import needs_floats
from ..device import device_of, move
from ..kernels import replaceable
from ..op import op
from ..tensor import Tensor
from .terms import Elementwise


@replaceable("x")
def _dropout_mask(x, p, seed, counter, first=0):
    """An array like x of 0 (with probability p) and 1 / (1 - p): draw `counter` under `seed`, from
    element `first` on."""
    u = random.uniform(x.shape, seed, counter, first=first)
    mask = (u >= p).astype(x.dtype) * (0 if p == 1 else 1 / (1 - p))
    return move(np.asarray(mask, x.dtype), device_of(x))    # without axes NumPy makes it a number


@op("D3-DROPOUT", terms=Elementwise("x * m", "m"))
def masked(x: Tensor, m):
    """x m, m an array that is no tensor: linear in x, so its own adjoint."""
    def backward(gy):
        return masked(gy, m)
    return x.data * m, backward


@arguments
def dropout(input: Tensor, p: float = 0.5, training: bool = True,
            generator: random.Generator | None = None, *, first: int = 0) -> Tensor:
    """Inverted dropout: y = x m, m_i = 0 with probability p, else 1 / (1 - p), so that E y = x.

    Identity when not `training`. The mask is a function of the generator's (seed, counter) alone,
    and begins at element `first` of the draw: the rows a to b of a batch x get the mask of their
    place in it by ``dropout(x[a:b], p, first=a * x[0].numel())``. Source: D3-DROPOUT.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must be in [0, 1], got {p}")
    needs_floats("dropout", input)
    first = first_element("dropout: first", first, input.data.size)
    if not training or p == 0:
        return input
    state = (generator or random.default_generator()).next_draw()
    return masked(input, _dropout_mask(input.data, p, *state, first))
