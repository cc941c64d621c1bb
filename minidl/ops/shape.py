"""Rearranging: every element of the output is an element of the input, so every gradient is too.

Views where NumPy gives views; nothing here computes.
"""

from __future__ import annotations

import builtins
import functools
import math
from collections.abc import Sequence

import numpy as np

from .. import checks
from ..checks.arguments import arguments
from ..checks.arrays import check_fits, numbers
from ..device import beside, is_array, namespace
from ..dtypes import common_dtype
from ..op import op
from ..tensor import Tensor, as_tensor, same_device
from .arithmetic import clone
from .terms import Gather, Scatter


def sizes_given(name: str, sizes, least: float = -math.inf) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` mean the same. Each must be at least `least`."""
    if len(sizes) == 1 and checks.several(sizes[0]):
        sizes = sizes[0]
    return tuple([n if type(n) is int and n >= least else checks.whole(name, n, least)
                  for n in sizes])


def axis_number(name: str, dim: int, ndim: int) -> int:
    """A possibly negative axis number as one in [0, ndim); a single number has axis 0."""
    if type(dim) is not int:
        dim = checks.whole(f"{name}: dim", dim, -math.inf)
    count = builtins.max(ndim, 1)
    if not -count <= dim < count:
        raise ValueError(f"{name}: dim {dim} is not an axis of a tensor with {ndim} axes")
    return dim % count


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
    if unknown > 1 or builtins.min(shape, default=0) < -1 or (
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
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new axis of length 1 at `dim`."""
    dim = axis_number("unsqueeze", dim, input.ndim + 1)
    return reshape_to(input, (*input.shape[:dim], 1, *input.shape[dim:]))


@op(name="expand", terms=Gather(), views=True)
def expand_to(input: Tensor, shape, axes):
    """New axes at `axes`, then all that have length 1 repeated: the adjoint of a sum over them."""
    xp = namespace(input.data)
    def backward(gy):                    # the engine sums a broadcast gradient back
        return gy.sum(axes) if axes else gy
    return xp.broadcast_to(xp.expand_dims(input.data, axes), shape), backward


@arguments
def expand(input: Tensor, *sizes) -> Tensor:
    """Axes of length 1 repeated (a view); -1 keeps a length."""
    sizes = sizes_given("expand: each of sizes", sizes)
    own = (1,) * (len(sizes) - input.ndim) + input.shape
    shape = tuple(m if n == -1 else n for n, m in zip(sizes, own))
    if len(own) != len(sizes) or any(n < 0 or m not in (1, n) for n, m in zip(shape, own)):
        raise ValueError(f"expand: shape {input.shape} cannot be expanded to {sizes}")
    return expand_to(input, shape, ())


# --------------------------------------------------------------------------- joining, cutting
@op(terms=Gather())
def _cat(tensors: Sequence[Tensor], dim):
    kind = functools.reduce(common_dtype, [t.data.dtype for t in tensors])
    arrays = [t.data.astype(kind, copy=False) for t in tensors]
    lengths = [a.shape[dim] for a in arrays]
    def backward(gy, need):
        lead, start, grads = (slice(None),) * dim, 0, []
        for length, needed in zip(lengths, need):
            grads.append(gy[(*lead, slice(start, start + length))] if needed else None)
            start += length
        return grads
    return namespace(arrays[0]).concatenate(arrays, axis=dim), backward


@arguments
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along axis `dim`; the other axes must agree."""
    if not tensors:
        raise ValueError("cat: needs at least one tensor")
    shaped = [t for t in tensors if t.shape != (0,)] or tensors       # (0,) fits everywhere
    want = shaped[0].shape
    if not want:
        raise ValueError("cat: a number has no axis to join along; use stack")
    dim = axis_number("cat", dim, len(want))
    for t in shaped:
        if t.ndim != len(want) or any(a != b for i, (a, b) in enumerate(zip(t.shape, want))
                                      if i != dim):
            raise ValueError(f"cat: shapes {want} and {t.shape} differ outside dim {dim}")
    empty = (*want[:dim], 0, *want[dim + 1:])
    return _cat([t if t.ndim == len(want) else reshape(t, *empty) for t in tensors], dim)


@arguments
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis `dim`."""
    if not tensors:
        raise ValueError("stack: needs at least one tensor")
    for t in tensors:
        if t.shape != tensors[0].shape:
            raise ValueError(f"stack: shapes {tensors[0].shape} and {t.shape} differ")
    dim = axis_number("stack", dim, tensors[0].ndim + 1)
    return cat([unsqueeze(t, dim) for t in tensors], dim)


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
    if sum(lengths) != total or builtins.min(lengths, default=0) < 0:
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


# --------------------------------------------------------------------------- indexing
def plain_index(index, of: Tensor):
    """An index of the tensor `of` with its tensors made arrays: copies, which the backward pass can
    rely on. A list goes where `of` is; arrays and tensors must be there: CuPy would copy a host
    array at every call without a word."""
    if isinstance(index, tuple):
        return tuple(plain_index(i, of) for i in index)
    if isinstance(index, list):
        array = numbers("x[...]", index) if index else np.zeros(0, dtype=np.int64)
        return beside(array, of.data)
    if not isinstance(index, Tensor) and not is_array(index):
        return index
    index = as_tensor(index)
    same_device("x[...]", of, index)
    array = index.data
    if isinstance(array, np.ndarray) and not array.ndim and array.dtype.kind in "iu":
        return int(array)                             # one place, as an integer
    return array.copy()


@op(terms=Gather(), views=True)
def _getitem(input: Tensor, index):
    try:
        y = input.data[_viewing(index)]
    except IndexError as error:
        raise IndexError(f"x[...]: {error}; the tensor has shape {input.shape}") from None
    shape = input.shape
    def backward(gy):
        return scatter_to(gy, index, shape)
    return y, backward


@op(name="scatter", terms=Scatter())
def scatter_to(input: Tensor, index, shape):
    """The adjoint of x[index]: an array of zeros to which x is added at `index`."""
    xp = namespace(input.data)
    if _is_basic(index):
        y = xp.zeros(shape, dtype=input.dtype)
        y[index] = input.data
    else:                                        # an element may be picked a million times
        sums = xp.zeros(shape, dtype=np.float64)
        xp.add.at(sums, index, input.data.astype(np.float64))
        y = sums.astype(input.dtype)
    def backward(gy):
        return _getitem(gy, index)
    return y, backward


def _viewing(index):
    """The index that gives a view of an element too, where NumPy would give a number."""
    parts = index if isinstance(index, tuple) else (index,)
    basic = all([isinstance(i, (int, np.integer)) and not isinstance(i, bool) for i in parts])
    return (*parts, ...) if basic else index


def _is_basic(index) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(isinstance(i, (int, slice, type(None), type(...), np.integer)) for i in parts)


def getitem(input: Tensor, index) -> Tensor:
    """``x[index]``: integers, slices, None, ``...``, integer arrays and boolean masks."""
    return _getitem(input, plain_index(index, input))


@arguments
def flip(input: Tensor, *dims) -> Tensor:
    """The order along `dims` reversed: a copy."""
    dims = {axis_number("flip", d, input.ndim) for d in sizes_given("flip: each of dims", dims)}
    return clone(_getitem(input, tuple(slice(None, None, -1 if i in dims else None)
                                       for i in range(input.ndim))))


@op(terms=Gather())
def _pad(input: Tensor, widths, value):
    xp = namespace(input.data)
    y = xp.full([n + a + b for n, (a, b) in zip(input.shape, widths)], value, dtype=input.dtype)
    inside = tuple(slice(a, a + n) for n, (a, _) in zip(input.shape, widths))
    y[inside] = input.data
    def backward(gy):
        return _getitem(gy, inside)
    return y, backward


@arguments
def pad(input: Tensor, pad: Sequence[int], mode: str = "constant",
        value: float | None = None) -> Tensor:
    """A border of `value` (0 unless given): ``pad`` = (left, right, top, bottom, ...), the last
    axis first.

    A negative width cuts off. Only mode "constant" is offered.
    """
    if mode != "constant":
        raise ValueError(f'pad: only mode "constant" is offered, got {mode!r}')
    if not isinstance(pad, (tuple, list)) or len(pad) % 2 or len(pad) // 2 > input.ndim:
        raise ValueError(f"pad: {pad} must be pairs, at most one for each of the "
                         f"{input.ndim} axes")
    pad = sizes_given("pad: each number of pad", pad)
    pairs = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)][::-1]
    widths = [(0, 0)] * (input.ndim - len(pairs)) + pairs
    if any(n + a + b < 0 for n, (a, b) in zip(input.shape, widths)):
        raise ValueError(f"pad: {tuple(pad)} cuts more than there is of shape {input.shape}")
    check_fits("pad: value", value, input.dtype)
    cut = tuple(slice(-a if a < 0 else 0, b if b < 0 else None) for a, b in widths)
    if any(s != slice(0, None) for s in cut):
        input = _getitem(input, cut)
    return _pad(input, tuple((builtins.max(a, 0), builtins.max(b, 0)) for a, b in widths),
                0.0 if value is None else value)
