"""Maxima and minima along axes."""

from __future__ import annotations

from typing import NamedTuple

from ...checks.arguments import arguments
from ...checks.axis_numbers import axis_number, nonempty_axes
from ...device import namespace
from ...op import op
from ...tensor import Tensor
from ..arithmetic import as_constant
from ..reduce import place_of_extreme
from ..shape import reshape_to
from ..terms import Composite, Gather, Scatter
from .choices import where
from .copies import clone
from .limits import maximum, minimum


class Extreme(NamedTuple):
    """What ``max`` and ``min`` along an axis return."""

    values: Tensor
    indices: Tensor


@op(terms=Scatter())
def _put_along(input: Tensor, where, dim, length):
    """Zeros but for x at the recorded places: the adjoint of picking them."""
    xp = namespace(input.data)
    places = xp.arange(length).reshape([-1 if i == dim else 1 for i in range(where.ndim)])
    def backward(gy):
        return _take_along(gy, where, dim)
    return xp.where(places == where, input.data, 0), backward


@op(terms=Gather())
def _take_along(input: Tensor, where, dim):
    length = input.shape[dim]
    def backward(gy):
        return _put_along(gy, where, dim, length)
    return namespace(input.data).take_along_axis(input.data, where, axis=dim), backward


def _to_equals(input: Tensor, dim):
    """The backward pass of an extreme: those that are equal to it share the gradient equally."""
    kept = tuple(1 if i in dim else n for i, n in enumerate(input.shape))
    def backward(gy, need, out):
        x, extreme = input.data, out.data.reshape(kept)
        equal = (x == extreme) | ((x != x) & (extreme != extreme))              # nan counts too
        return where(as_constant(equal), reshape_to(gy, kept) / as_constant(
            equal.sum(axis=dim, keepdims=True).astype(x.dtype)), 0.0)
    return backward


@op(terms=Composite("max(x, dim)"))
def _amax(input: Tensor, dim, keepdim):
    return input.data.max(axis=dim, keepdims=keepdim), _to_equals(input, dim)


@op(terms=Composite("min(x, dim)"))
def _amin(input: Tensor, dim, keepdim):
    return input.data.min(axis=dim, keepdims=keepdim), _to_equals(input, dim)


@arguments
def amax(input: Tensor, dim=(), keepdim: bool = False) -> Tensor:
    """The maximum over `dim`; equal maxima share the gradient equally."""
    return _amax(input, nonempty_axes("amax", dim, input.shape), keepdim)


@arguments
def amin(input: Tensor, dim=(), keepdim: bool = False) -> Tensor:
    """The minimum over `dim`; equal minima share the gradient equally."""
    return _amin(input, nonempty_axes("amin", dim, input.shape), keepdim)


@arguments
def max(input: Tensor, dim=None, keepdim: bool = False):
    """The largest element (as :func:`amax`); with `dim` the ``(values, indices)`` along one axis,
    where the first maximum counts and gets all of the gradient; with a tensor as second argument
    the elementwise :func:`maximum`."""
    if keepdim and (dim is None or isinstance(dim, Tensor)):
        raise ValueError("max: keepdim needs one axis as dim; amax keeps any")
    if isinstance(dim, Tensor):
        return maximum(input, dim)
    return amax(input) if dim is None else _picked("max", input, dim, keepdim)


@arguments
def min(input: Tensor, dim=None, keepdim: bool = False):
    """The smallest element (as :func:`amin`); with `dim` the ``(values, indices)`` of the first
    minimum; with a tensor as second argument the elementwise :func:`minimum`."""
    if keepdim and (dim is None or isinstance(dim, Tensor)):
        raise ValueError("min: keepdim needs one axis as dim; amin keeps any")
    if isinstance(dim, Tensor):
        return minimum(input, dim)
    return amin(input) if dim is None else _picked("min", input, dim, keepdim)


def _picked(name: str, input: Tensor, dim, keepdim) -> Extreme:
    """The first largest ("max") or smallest ("min") elements along `dim`, and where they are."""
    axis = axis_number(name, dim, input.ndim)
    nonempty_axes(name, axis, input.shape)
    where = place_of_extreme(f"arg{name}", input, axis, True)
    if input.ndim == 0:
        return Extreme(clone(input), where)
    values = _take_along(input, where.data, axis)
    shape = where.shape if keepdim else where.shape[:axis] + where.shape[axis + 1:]
    places = where.data.reshape(shape).copy()  # the caller's own: the backward pass keeps `where`
    return Extreme(reshape_to(values, shape), Tensor._wrap(places))


@arguments
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the (first) minimum is: in the flattened tensor, or along `dim`. No gradient."""
    return place_of_extreme("argmin", input, dim, keepdim)
