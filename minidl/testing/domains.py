"""The domain of each op: the arguments that the tests draw for it.

``DOMAINS[name]`` is a Hypothesis strategy of argument tuples for ``minidl.OPS[name]``: float64
arrays where the op takes tensors, plain values elsewhere. Kinks and ties are left out by
construction, so that every drawn point has a gradient. An op that cannot have a domain stands in
``WITHOUT_DOMAIN`` with the reason.
"""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ..kernels import READABLE
from .strategies import (
    arrays,
    broadcasting_shapes,
    conv_geometries,
    distinct_arrays,
    generators,
    shapes,
)

__all__ = ["DOMAINS", "WITHOUT_DOMAIN", "indices"]

WITHOUT_DOMAIN: dict[str, str] = {}

_any_array = arrays(shapes())
_positive = arrays(shapes(), 0.3, 3.0)
_off_zero = arrays(shapes(), away_from=[0.0])


@st.composite
def _broadcast_pair(draw, low=-2.0, high=2.0, **second):
    """Two arrays that broadcast; `second` says what differs for the second."""
    a, b = draw(broadcasting_shapes(2))
    return draw(arrays(a, low, high)), draw(arrays(b, **{"low": low, "high": high, **second}))


@st.composite
def _distinct_pair(draw):
    """Two arrays that broadcast, no number of one close to a number of the other."""
    a, b = draw(broadcasting_shapes(2))
    numbers = draw(distinct_arrays((math.prod(a) + math.prod(b),)))
    return numbers[:math.prod(a)].reshape(a), numbers[math.prod(a):].reshape(b)


@st.composite
def _where_arguments(draw):
    c, x, y = draw(broadcasting_shapes(3))
    return np.asarray(draw(generators()).random(c) < 0.5), draw(arrays(x)), draw(arrays(y))


# --------------------------------------------------------------------------- rearranging
@st.composite
def _reshape_arguments(draw):
    x = draw(_any_array)
    return x, draw(st.sampled_from([(x.size,), x.shape[::-1], (1, *x.shape), (-1, 1)]))


@st.composite
def _permute_arguments(draw):
    x = draw(_any_array)
    return x, tuple(draw(st.permutations(range(x.ndim))))


@st.composite
def _expand_arguments(draw):
    full = draw(shapes())
    own = tuple(draw(st.sampled_from([1, n])) for n in full)
    if draw(st.booleans()):                        # fewer axes, the leading ones
        return draw(arrays(own[draw(st.integers(0, len(full))):])), full, ()
    axes = tuple(i for i in range(len(full)) if draw(st.booleans()))
    return draw(arrays(tuple(n for i, n in enumerate(own) if i not in axes))), full, axes


@st.composite
def _cat_arguments(draw):
    shape = draw(shapes(1))
    dim, count = draw(st.integers(0, len(shape) - 1)), draw(st.integers(1, 3))
    lengths = [draw(st.integers(0 if i else 1, 3)) for i in range(count)]
    return [draw(arrays((*shape[:dim], n, *shape[dim + 1:]))) for n in lengths], dim


@st.composite
def indices(draw, shape):
    """Basic indices, integer arrays (an element may be picked twice) and masks."""
    kind = draw(st.sampled_from(["basic", "integers", "mask"]))
    if kind == "basic":
        return draw(hnp.basic_indices(shape, allow_newaxis=True))
    if kind == "integers":
        return draw(hnp.integer_array_indices(
            shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4)))
    return np.asarray(draw(generators()).random(shape) < 0.5)


@st.composite
def _getitem_arguments(draw):
    shape = draw(shapes(1))
    return draw(arrays(shape)), draw(indices(shape))


@st.composite
def _scatter_arguments(draw):
    shape = draw(shapes(1))
    index = draw(indices(shape))
    return draw(arrays(np.empty(shape)[index].shape)), index, shape


@st.composite
def _pad_arguments(draw):
    x = draw(_any_array)
    widths = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in x.shape)
    return x, widths, draw(st.sampled_from([0.0, 1.5]))


# --------------------------------------------------------------------------- reductions, products
@st.composite
def _array_and_axes(draw, source):
    """(x, axes, keepdim)"""
    x = draw(source)
    axes = draw(st.lists(st.sampled_from(range(x.ndim)), unique=True)) if x.ndim else []
    return x, tuple(sorted(axes)), draw(st.booleans())


@st.composite
def _along(draw, source, keepdim=False):
    """(x, dim), with or without a keepdim."""
    x = draw(source)
    dim = draw(st.integers(0, x.ndim - 1))
    return (x, dim, draw(st.booleans())) if keepdim else (x, dim)


@st.composite
def _picked_places(draw, put: bool):
    """One place along an axis for each line of it, as argmax records them."""
    shape, rng = draw(shapes(1)), draw(generators())
    dim = draw(st.integers(0, len(shape) - 1))
    line = (*shape[:dim], 1, *shape[dim + 1:])
    where = np.asarray(rng.integers(0, shape[dim], line))
    return (draw(arrays(line)), where, dim, shape[dim]) if put else (draw(arrays(shape)), where,
                                                                     dim)


@st.composite
def _standardize_arguments(draw):
    x = draw(distinct_arrays(shapes(1), gap=0.3))
    dims = draw(st.lists(st.sampled_from(range(x.ndim)), min_size=1, unique=True))
    return x, tuple(sorted(dims)), draw(st.sampled_from([1e-5, 1e-3, 0.1]))


@st.composite
def _normalized_affine_arguments(draw):
    x, dim, eps = draw(_standardize_arguments())
    shape = tuple(1 if i in dim else n for i, n in enumerate(x.shape))
    return x, draw(arrays(shape)), draw(arrays(shape)), dim, eps


@st.composite
def _bias_activation_arguments(draw):
    """x and a bias a channel, or one that broadcasts in another way; no sum close to 0."""
    shape = draw(shapes(1, 4))
    channel = tuple(n if i == min(1, len(shape) - 1) else 1 for i, n in enumerate(shape))
    b = draw(arrays(draw(st.sampled_from([channel, channel[1:] or channel, (1,)]))
                    if len(shape) != 3 else (shape[-1],)))
    b = b if np.broadcast_shapes(shape, b.shape) == shape else np.zeros(1)
    return draw(arrays(shape, away_from=[0.0])) - b, b, draw(st.sampled_from([0.0, 0.2, 1.0]))


@st.composite
def _classified(draw):
    n, classes = draw(shapes(2, 2))
    rng = draw(generators())
    return draw(arrays((n, classes))), rng.integers(0, classes, n), draw(arrays((n,), 0.0, 2.0))


@st.composite
def _matmul_arguments(draw):
    (a, b), (i, j, k) = draw(broadcasting_shapes(2, 2)), draw(shapes(3, 3, 1, 3))
    return draw(arrays((*a, i, k))), draw(arrays((*b, k, j)))


@st.composite
def _linear_arguments(draw):
    n, i, o = draw(shapes(3, 3))
    return draw(arrays((n, i))), draw(arrays((o, i))), draw(_bias(o))


def _bias(channels: int):
    return arrays((channels,)) | st.none()


# --------------------------------------------------------------------------- windows
@st.composite
def _conv_arguments(draw, which: str):
    g = draw(conv_geometries())
    room = 0 if which == "value" else draw(st.integers(0, 1))       # an output padding of any size
    size = tuple(n + room * s for n, s in zip(g.size, g.stride))
    x, w, y = (draw(arrays(shape)) for shape in ((g.N, g.C, *size), g.w_shape, g.y_shape))
    last = g.stride, g.padding, g.dilation
    if which == "w":
        return x, y, g.kernel, *last
    b = draw(_bias((w.shape[0], w.shape[1])[which == "x"]))
    return (x, w, b, *last) if which == "value" else (y, w, b, size, *last)


@st.composite
def _max_pool_arguments(draw, which: str):
    g = draw(conv_geometries(pool=True))
    x = draw(distinct_arrays(g.x_shape))
    pads = tuple((p, draw(st.integers(p, p + 1))) for p in g.padding)     # ceil_mode adds behind
    last = g.kernel, g.stride, pads, g.dilation
    if which == "value":
        return x, *last, g.out
    tap = READABLE["_max_pool2d"](x, *last, g.out)[1]
    return draw(arrays(g.y_shape if which == "grad" else g.x_shape)), tap, *last, g.size


@st.composite
def _sum_pool_arguments(draw, grad: bool):
    g = draw(conv_geometries(pool=True, max_dilation=1))
    pads = tuple((p, draw(st.integers(p, p + 1))) for p in g.padding)
    last = g.kernel, g.stride, pads, g.size if grad else g.out
    return draw(arrays(g.y_shape if grad else g.x_shape)), *last


# --------------------------------------------------------------------------- the table
def _args(*strategies):
    return st.tuples(*strategies)


DOMAINS: dict[str, st.SearchStrategy] = {
    "add": _broadcast_pair(),
    "sub": _broadcast_pair(),
    "mul": _broadcast_pair(),
    "div": _broadcast_pair(low=-3.0, high=3.0, away_from=[0.0], gap=0.4),
    "pow": _broadcast_pair(low=0.3, high=2.5),
    "neg": _args(_any_array),
    "abs": _args(_off_zero),
    "exp": _args(_any_array),
    "log": _args(_positive),
    "sqrt": _args(_positive),
    "sin": _args(_any_array),
    "cos": _args(_any_array),
    "clamp": st.sampled_from([(-1.0, 1.0), (None, 0.5), (-0.5, None)]).flatmap(
        lambda ends: _args(arrays(shapes(), away_from=[e for e in ends if e is not None]),
                           *map(st.just, ends))),
    "maximum": _distinct_pair(),
    "minimum": _distinct_pair(),
    "weighed": _broadcast_pair(away_from=[0.0]),
    "where": _where_arguments(),
    "clone": _args(_any_array),
    "convert": _args(_any_array, st.just(np.dtype(np.float64)), st.just("cpu")),
    "relu": _args(_off_zero),
    "relu_grad": shapes().flatmap(lambda s: _args(arrays(s), arrays(s))),
    "leaky_relu": _args(_off_zero, st.sampled_from([0.01, 0.2, 0.3])),
    "leaky_relu_grad": shapes().flatmap(
        lambda s: _args(arrays(s), arrays(s, away_from=[0.0]), st.sampled_from([0.01, 0.2, 1.0]))),
    "bias_activation": _bias_activation_arguments(),
    "masked": shapes().flatmap(lambda s: _args(arrays(s), arrays(s))),
    "elu": _args(_off_zero, st.sampled_from([0.5, 1.0, 2.0])),
    "normal_cdf": _args(_any_array),
    "softplus1": _args(_any_array),
    "sigmoid": _args(_any_array),
    "tanh": _args(_any_array),
    "reshape": _reshape_arguments(),
    "permute": _permute_arguments(),
    "expand": _expand_arguments(),
    "cat": _cat_arguments(),
    "getitem": _getitem_arguments(),
    "scatter": _scatter_arguments(),
    "pad": _pad_arguments(),
    "matmul": _matmul_arguments(),
    "linear": _linear_arguments(),
    "sum": _array_and_axes(_any_array),
    "norm": _array_and_axes(_off_zero),
    "amax": _array_and_axes(distinct_arrays(shapes())),
    "amin": _array_and_axes(distinct_arrays(shapes())),
    "logsumexp": _array_and_axes(_any_array),
    "put_along": _picked_places(put=True),
    "take_along": _picked_places(put=False),
    "softmax": _along(arrays(shapes(1))),
    "log_softmax": _along(arrays(shapes(1))),
    "standardize": _standardize_arguments(),
    "conv2d": _conv_arguments("value"),
    "conv2d_input_grad": _conv_arguments("x"),
    "conv2d_weight_grad": _conv_arguments("w"),
    "max_pool2d": _max_pool_arguments("value"),
    "max_pool2d_grad": _max_pool_arguments("grad"),
    "max_pool2d_pick": _max_pool_arguments("pick"),
    "sum_pool2d": _sum_pool_arguments(grad=False),
    "sum_pool2d_grad": _sum_pool_arguments(grad=True),
    "normalized_affine": _normalized_affine_arguments(),
    "cross_entropy_rows": _classified(),
    "bce_logits": shapes().flatmap(lambda s: _args(arrays(s), arrays(s, 0.0, 1.0))),
    "bce": shapes().flatmap(lambda s: _args(arrays(s, 0.1, 0.9), arrays(s, 0.1, 0.9))),
}
