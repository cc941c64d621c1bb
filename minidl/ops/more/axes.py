"""Axes exchanged, dropped, repeated and cut: further rearrangements, made of those in shape.py."""

from __future__ import annotations

import numpy as np

from ... import checks
from ...checks.arguments import arguments
from ...checks.axis_numbers import axis_number, sizes_given
from ...tensor import Tensor
from ..shape import expand_to, permute_axes, reshape_to


@arguments
def permute(input: Tensor, *dims) -> Tensor:
    """Axes in the order `dims`."""
    dims = tuple(axis_number("permute", d, input.ndim)
                 for d in sizes_given("permute: each of dims", dims))
    if sorted(dims) != list(range(input.ndim)):
        raise ValueError(f"permute: {dims} is not a permutation of {input.ndim} axes")
    return permute_axes(input, dims)


@arguments
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Axes dim0 and dim1 exchanged."""
    a, b = axis_number("transpose", dim0, input.ndim), axis_number("transpose", dim1, input.ndim)
    dims = list(range(input.ndim)) or [0]
    dims[a], dims[b] = dims[b], dims[a]
    return permute_axes(input, tuple(dims[:input.ndim]))


@arguments
def squeeze(input: Tensor, dim=None) -> Tensor:
    """Without axes of length 1 (all of them, or only those that `dim` names)."""
    drop = range(input.ndim) if dim is None else [
        axis_number("squeeze", d, input.ndim) for d in (dim if checks.several(dim) else [dim])]
    return reshape_to(input, tuple(n for i, n in enumerate(input.shape)
                                 if not (i in drop and n == 1)))


@arguments
def expand(input: Tensor, *sizes) -> Tensor:
    """Axes of length 1 repeated (a view); -1 keeps a length."""
    sizes = sizes_given("expand: each of sizes", sizes)
    own = (1,) * (len(sizes) - input.ndim) + input.shape
    shape = tuple(m if n == -1 else n for n, m in zip(sizes, own))
    if len(own) != len(sizes) or any(n < 0 or m not in (1, n) for n, m in zip(shape, own)):
        raise ValueError(f"expand: shape {input.shape} cannot be expanded to {sizes}")
    return expand_to(input, shape, ())


@arguments
def split(input: Tensor, split_size, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces along `dim`: of length `split_size` (the last may be shorter), or of those lengths."""
    dim = axis_number("split", dim, input.ndim)
    total = input.shape[dim]
    if checks.several(split_size):
        lengths = list(sizes_given("split: each of split_size", split_size))
    else:
        size = checks.whole("split: split_size", split_size, 1)
        lengths = [size] * (total // size) + [total % size] * bool(total % size)
    if sum(lengths) != total or min(lengths, default=0) < 0:
        raise ValueError(f"split: lengths {lengths} do not add up to {total}, dim {dim} of "
                         f"{input.shape}")
    lengths = lengths or [0]
    ends = np.cumsum(lengths).tolist()
    return tuple(input[(slice(None),) * dim + (slice(e - n, e),)] for n, e in zip(lengths, ends))


@arguments
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`chunks` pieces along `dim` of equal length (the last may be shorter)."""
    if chunks < 1:
        raise ValueError(f"chunk: chunks must be at least 1, got {chunks}")
    length = input.shape[axis_number("chunk", dim, input.ndim)]
    return split(input, max(-(-length // chunks), 1), dim)
