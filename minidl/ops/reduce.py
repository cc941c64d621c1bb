"""Sums, means, extremes: fewer numbers out than in. ``dim`` is an axis, several, or None for all.
"""

from __future__ import annotations

import builtins
import math
from typing import NamedTuple

from ..checks import several
from ..checks.arguments import arguments
from ..device import namespace
from ..dtypes import float64, int64
from ..kernels import replaceable
from ..op import op
from ..tensor import Tensor
from .arithmetic import as_constant, as_floats, clone, maximum, minimum, needs_floats, where
from .shape import axis_number, expand_to, reshape_to
from .terms import Composite, Gather, Reduce, Scatter


class Extreme(NamedTuple):
    """What ``max`` and ``min`` along an axis return."""

    values: Tensor
    indices: Tensor


def axis_numbers(name: str, dim, ndim: int) -> tuple[int, ...]:
    """The axes that `dim` names, none of them twice; all for None."""
    dims = [dim] if type(dim) is int or not several(dim) else dim
    if dim is None or not len(dims):
        return tuple(range(ndim))
    axes = tuple(axis_number(name, d, ndim) for d in dims)
    if ndim == 0:
        return ()
    if len(set(axes)) != len(axes):
        raise ValueError(f"{name}: dim {dim} names an axis twice")
    return axes


def _kept_shape(shape, axes) -> tuple[int, ...]:
    """The shape with the reduced axes kept as length 1."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


@replaceable("x")
def array_sum(x, axis, keepdims=True):
    """The sum of x over `axis`: integers in int64, floats in float64. (NumPy adds rows one by one,
    and in float32 four million times 0.1 would make 385,000.)"""
    if x.dtype.kind != "f":
        return x.sum(axis=axis, keepdims=keepdims, dtype=int64)
    return x.sum(axis=axis, keepdims=keepdims, dtype=float64).astype(x.dtype, copy=False)


@op(name="sum", terms=Reduce())
def sum_over(input: Tensor, dim, keepdim):
    """The sum over the axes `dim`; its adjoint repeats."""
    shape = input.shape
    def backward(gy):
        return expand_to(gy, shape, () if keepdim else dim)
    return array_sum(input.data, dim, keepdim), backward


@arguments
def sum(input: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """The sum over `dim`. Booleans and integers are counted in int64."""
    axes = tuple(range(input.ndim)) if dim is None else axis_numbers("sum", dim, input.ndim)
    return sum_over(input, axes, keepdim)


@arguments
def mean(input: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """The mean over `dim`: sum / n."""
    needs_floats("mean", input)
    axes = tuple(range(input.ndim)) if dim is None else axis_numbers("mean", dim, input.ndim)
    return sum_over(input, axes, keepdim) / math.prod([input.shape[i] for i in axes])


def _summand_count(input: Tensor, axes) -> int:
    return math.prod(input.shape[i] for i in axes)


def _correction(name: str, dim, unbiased, correction):
    """(dim, correction) of PyTorch's two signatures: `unbiased` True is correction=1, False 0, and
    stands in dim's place when it is alone."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}: unbiased={unbiased} and correction={correction} are the same "
                        "choice; give one")
    return dim, (1 if unbiased is None else int(unbiased)) if correction is None else correction


def _centred(input: Tensor, axes) -> Tensor:
    """x - mean, and once more: the first mean was rounded to its dtype."""
    once = input - mean(input, axes, keepdim=True)
    return once - mean(once, axes, keepdim=True)


@arguments
def var(input: Tensor, dim=None, unbiased: bool | None = None, *, correction: float | None = None,
        keepdim: bool = False) -> Tensor:
    """The variance over `dim`: sum (x - mean)^2 / (n - correction). The correction is 1, or, if not
    `unbiased`, 0."""
    dim, correction = _correction("var", dim, unbiased, correction)
    axes = axis_numbers("var", dim, input.ndim)
    centred = _centred(input, axes)
    return sum_over(centred * centred, axes, keepdim) / builtins.max(
        _summand_count(input, axes) - correction, 0)


@arguments
def std(input: Tensor, dim=None, unbiased: bool | None = None, *, correction: float | None = None,
        keepdim: bool = False) -> Tensor:
    """The standard deviation sqrt(var) = |x - mean| / sqrt(n - correction); where all x are equal
    its gradient is 0, as the norm's is."""
    dim, correction = _correction("std", dim, unbiased, correction)
    axes = axis_numbers("std", dim, input.ndim)
    length = _norm(_centred(input, axes), axes, keepdim)
    return length / math.sqrt(builtins.max(_summand_count(input, axes) - correction, 0))


@arguments
def norm(input: Tensor, p=2, dim=None, keepdim: bool = False) -> Tensor:
    """The Euclidean norm sqrt(sum x^2) over `dim` (no other `p`); its gradient at x = 0 is 0."""
    if p not in (2, "fro"):
        raise ValueError(f"norm: only p=2 is offered, got {p!r}; the axes are given as dim=")
    return _norm(input, axis_numbers("norm", dim, input.ndim), keepdim)


def array_max(x, dim):
    """The maximum over `dim`, kept as axes of length 1; 0 where there are no numbers."""
    if x.size:
        return x.max(axis=dim, keepdims=True)
    return namespace(x).zeros(_kept_shape(x.shape, dim), x.dtype)


@op(terms=Composite("sqrt(sum(x**2, dim))", "dy/dx_i = x_i / y"))
def _norm(input: Tensor, dim, keepdim):
    """m sqrt(sum (x/m)^2), m the largest |x|: no square is too large or too small for its dtype."""
    x = as_floats(input)
    xp = namespace(x)
    top = array_max(xp.abs(x), dim)
    top = xp.where(xp.isfinite(top) & (top > 0), top, 1).astype(x.dtype)
    scaled = x / top
    y = xp.sqrt(array_sum.readable(scaled * scaled, dim)) * top
    kept = y.shape
    def backward(gy, need, out):
        length = reshape_to(out, kept)
        zero = length.data == 0
        safe = length + as_constant(zero.astype(x.dtype))  # x / |x| with 0 / 0 = 0
        return reshape_to(gy, kept) * (input / safe)
    return (y if keepdim else y.squeeze(dim)), backward


# --------------------------------------------------------------------------- extremes
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
    kept = _kept_shape(input.shape, dim)
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
    return _amax(input, _nonempty_axes("amax", input, dim), keepdim)


@arguments
def amin(input: Tensor, dim=(), keepdim: bool = False) -> Tensor:
    """The minimum over `dim`; equal minima share the gradient equally."""
    return _amin(input, _nonempty_axes("amin", input, dim), keepdim)


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
    _nonempty_axes(name, input, axis)
    where = _place(f"arg{name}", input, axis, True)
    if input.ndim == 0:
        return Extreme(clone(input), where)
    values = _take_along(input, where.data, axis)
    shape = where.shape if keepdim else where.shape[:axis] + where.shape[axis + 1:]
    places = where.data.reshape(shape).copy()  # the caller's own: the backward pass keeps `where`
    return Extreme(reshape_to(values, shape), Tensor._wrap(places))


@arguments
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the (first) maximum is: in the flattened tensor, or along `dim`. No gradient."""
    return _place("argmax", input, dim, keepdim)


@arguments
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the (first) minimum is: in the flattened tensor, or along `dim`. No gradient."""
    return _place("argmin", input, dim, keepdim)


def _place(name: str, input: Tensor, dim, keepdim) -> Tensor:
    axes = _nonempty_axes(name, input, None if dim is None else axis_number(name, dim, input.ndim))
    y = getattr(input.data, name)(axis=None if dim is None or not axes else axes[0])
    kept = _kept_shape(input.shape, axes)
    shape = kept if keepdim else tuple(n for i, n in enumerate(input.shape) if i not in axes)
    return Tensor._wrap(namespace(input.data).asarray(y).reshape(shape))


def _nonempty_axes(name: str, input: Tensor, dim) -> tuple[int, ...]:
    """The axes that `dim` names. Raises ValueError if one has no elements: of nothing there is no
    largest."""
    axes = axis_numbers(name, dim, input.ndim)
    if any(input.shape[i] == 0 for i in axes):
        raise ValueError(f"{name}: the tensor of shape {input.shape} has no elements to choose from"
                         + ("" if len(axes) == input.ndim else f" along dim {dim}"))
    return axes


# --------------------------------------------------------------------------- log-sum-exp family
@op(terms=Composite("max(x, dim) + log(sum(exp(x - max(x, dim)), dim))",
                    "dy/dx_i = softmax(x)_i"))
def _logsumexp(input: Tensor, dim, keepdim):
    x = as_floats(input)
    xp = namespace(x)
    top = array_max(x, dim)
    top = xp.where(xp.isfinite(top), top, 0)             # all -inf: log 0, not nan
    y = xp.log(array_sum.readable(xp.exp(x - top), dim)) + top
    def backward(gy, need, out):
        return reshape_to(gy, y.shape) * (input - reshape_to(out, y.shape)).exp()
    return (y if keepdim else y.squeeze(dim)), backward


@arguments
def logsumexp(input: Tensor, dim, keepdim: bool = False) -> Tensor:
    """log sum_k e^{x_k}, computed as m + log sum_k e^{x_k - m} with m the maximum."""
    return _logsumexp(input, axis_numbers("logsumexp", dim, input.ndim), keepdim)


def _softmax_array(x, dim):
    xp = namespace(x)
    e = xp.exp(x - array_max(x, dim))
    return e / array_sum.readable(e, dim)


@arguments
@op("D1-SOFTMAX", terms=Composite(
    "exp(x - max(x, dim)) / sum(exp(x - max(x, dim)), dim)", "dy_j/dx_i = y_j ((i == j) - y_i)"))
def softmax(input: Tensor, dim: int = -1):
    """y_i = e^{x_i} / sum_k e^{x_k} along `dim`, computed with x - max x. Source: D1-SOFTMAX.

    gx_i = y_i (gy_i - sum_k gy_k y_k)
    """
    dim = axis_numbers("softmax", axis_number("softmax", dim, input.ndim), input.ndim)
    y = _softmax_array(as_floats(input), dim)
    def backward(gy, need, out):
        return out * (gy - (gy * out).sum(dim, keepdim=True))
    return y, backward


@arguments
@op("D1-SOFTMAX", terms=Composite(
    "x - max(x, dim) - log(sum(exp(x - max(x, dim)), dim))",
    "dy_j/dx_i = (i == j) - softmax(x)_i"))
def log_softmax(input: Tensor, dim: int = -1):
    """log softmax(x) = x - log sum_k e^{x_k}, never through softmax. Source: D1-SOFTMAX.

    gx_i = gy_i - softmax(x)_i sum_k gy_k
    """
    dim = axis_numbers("log_softmax", axis_number("log_softmax", dim, input.ndim), input.ndim)
    x = as_floats(input)
    xp = namespace(x)
    shifted = x - array_max(x, dim)
    y = shifted - xp.log(array_sum.readable(xp.exp(shifted), dim))
    def backward(gy, need, out):
        return gy - out.exp() * gy.sum(dim, keepdim=True)
    return y, backward
