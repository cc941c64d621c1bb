"""Rearranging: nothing is computed, and what NumPy makes a view is one. Every element of the output
is an element of the input, so every gradient is too."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

from ..checks.arguments import arguments
from ..checks.axis_numbers import axis_number, joinable, one_shape, sizes_given
from ..device import namespace
from ..dtypes import common_dtype
from ..op import op
from ..tensor import Tensor
from .terms import Gather


@op(name="reshape", terms=Gather(), views=True)
def reshape_to(input: Tensor, shape):
    """The same elements, in the same order, in `shape`."""
    before = input.shape
    def backward(gy):
        return reshape_to(gy, before)
    return input.data.reshape(shape), backward


@arguments
def reshape(input: Tensor, *shape) -> Tensor:
    """The same elements, in the same (row-major) order, in another shape; one length may be -1."""
    shape = sizes_given("reshape: each length of shape", shape)
    rest = math.prod(n for n in shape if n != -1)
    unknown = shape.count(-1)
    if unknown > 1 or min(shape, default=0) < -1 or (
            (rest == 0 or input.data.size % rest) if unknown else rest != input.data.size):
        raise ValueError(f"reshape: shape {shape} does not fit {input.numel()} elements of a "
                         f"tensor of shape {input.shape}")
    return reshape_to(input, shape)


@arguments
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes start_dim..end_dim made one; ``flatten(x, 1)`` keeps the batch axis."""
    first = axis_number("flatten", start_dim, input.ndim)
    last = axis_number("flatten", end_dim, input.ndim)
    if first > last:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    joined = math.prod(input.shape[first:last + 1])
    return reshape_to(input, (*input.shape[:first], joined, *input.shape[last + 1:]))


@op(name="permute", terms=Gather(), views=True)
def permute_axes(input: Tensor, dims):
    """The axes in the order `dims`."""
    back = tuple(dims.index(i) for i in range(len(dims)))
    def backward(gy):
        return permute_axes(gy, back)
    return input.data.transpose(dims), backward


@arguments
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new axis of length 1 at `dim`."""
    dim = axis_number("unsqueeze", dim, input.ndim + 1)
    return reshape_to(input, (*input.shape[:dim], 1, *input.shape[dim:]))


@op(name="expand", terms=Gather(), views=True)
def expand_to(input: Tensor, shape, axes):
    """New axes at `axes`, then all that have length 1 repeated: the adjoint of a sum over them."""
    xp = namespace(input.data)
    def backward(gy):        # the new axes are summed here, those that had length 1 by the engine
        return gy.sum(axes) if axes else gy
    return xp.broadcast_to(xp.expand_dims(input.data, axes), shape), backward


@op(terms=Gather())
def _cat(tensors: Sequence[Tensor], dim):
    kind = functools.reduce(common_dtype, [t.data.dtype for t in tensors])
    arrays = [t.data.astype(kind, copy=False) for t in tensors]
    lengths = [a.shape[dim] for a in arrays]
    def backward(gy, need):
        lead = (slice(None),) * dim
        return [gy[(*lead, slice(end - length, end))] if needed else None
                for length, end, needed in zip(lengths, itertools.accumulate(lengths), need)]
    return namespace(arrays[0]).concatenate(arrays, axis=dim), backward


@arguments
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along axis `dim`; the other axes must agree. A tensor of shape (0,) fits any,
    as in PyTorch: its length along `dim` is 0."""
    dim, want = joinable("cat", tensors, dim)
    empty = (*want[:dim], 0, *want[dim + 1:])
    return _cat([t if t.ndim == len(want) else reshape(t, *empty) for t in tensors], dim)


@arguments
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis `dim`."""
    dim = axis_number("stack", dim, len(one_shape("stack", tensors)) + 1)
    return cat([unsqueeze(t, dim) for t in tensors], dim)
