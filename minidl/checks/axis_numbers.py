"""Axis numbers and lengths as arguments give them, and shapes that are to fit each other."""

from __future__ import annotations

import math

from . import several, whole


def sizes_given(name: str, sizes, least: float = -math.inf) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` mean the same. Each must be at least `least`."""
    if len(sizes) == 1 and several(sizes[0]):
        sizes = sizes[0]
    return tuple([n if type(n) is int and n >= least else whole(name, n, least) for n in sizes])


def axis_number(name: str, dim: int, ndim: int) -> int:
    """A possibly negative axis number as one in [0, ndim); a single number has axis 0."""
    if type(dim) is not int:
        dim = whole(f"{name}: dim", dim, -math.inf)
    count = max(ndim, 1)
    if not -count <= dim < count:
        raise ValueError(f"{name}: dim {dim} is not an axis of a tensor with {ndim} axes")
    return dim % count


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


def nonempty_axes(name: str, dim, shape) -> tuple[int, ...]:
    """The axes that `dim` names. Raises ValueError if one has length 0: then there is no element to
    choose."""
    axes = axis_numbers(name, dim, len(shape))
    if any(shape[i] == 0 for i in axes):
        raise ValueError(f"{name}: the tensor of shape {shape} has no elements to choose from"
                         + ("" if len(axes) == len(shape) else f" along dim {dim}"))
    return axes


def joinable(name: str, tensors, dim: int) -> tuple[int, tuple[int, ...]]:
    """The axis to join tensors along, and the shape that each must have on its other axes."""
    if not tensors:
        raise ValueError(f"{name}: needs at least one tensor")
    shaped = [t for t in tensors if t.shape != (0,)] or tensors       # (0,) fits everywhere
    want = shaped[0].shape
    if not want:
        raise ValueError(f"{name}: a number has no axis to join along; use stack")
    dim = axis_number(name, dim, len(want))
    for t in shaped:
        if t.ndim != len(want) or any(a != b for i, (a, b) in enumerate(zip(t.shape, want))
                                      if i != dim):
            raise ValueError(f"{name}: shapes {want} and {t.shape} differ outside dim {dim}")
    return dim, want


def one_shape(name: str, tensors) -> tuple[int, ...]:
    """The shape that all tensors have."""
    if not tensors:
        raise ValueError(f"{name}: needs at least one tensor")
    for t in tensors:
        if t.shape != tensors[0].shape:
            raise ValueError(f"{name}: shapes {tensors[0].shape} and {t.shape} differ")
    return tensors[0].shape
