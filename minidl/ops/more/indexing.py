"""Indexing, x[i], and its adjoint; flip, which is an index, and pad, whose adjoint is one."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

import numpy as np

from ...checks.arguments import arguments
from ...checks.arrays import check_fits, numbers
from ...checks.axis_numbers import axis_number, sizes_given
from ...device import beside, is_array, namespace
from ...op import op
from ...tensor import Tensor, as_tensor, same_device
from ..terms import Gather, Scatter
from .copies import clone


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
