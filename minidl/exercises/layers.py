"""Exercises: the gradients of a dense layer, of relu, of broadcasting and of batch norm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import functional as F
from ..tensor import Tensor
from .exercise import Exercise
from .shared import array, drawn


def _linear_cases(rng):
    yield "square", dict(gy=array([1, 0], [0, 2]), x=array([1, 2], [3, 4]),
                         w=array([1, 2], [3, 4]))
    yield "one row", dict(gy=array([1, 2]), x=array([3, 4, 5]), w=array([1, 0, 2], [0, 1, 1]))
    for N, I, O in rng.integers(1, 5, (4, 3)):
        yield "random", dict(gy=drawn(rng, N, O), x=drawn(rng, N, I), w=drawn(rng, O, I))


LINEAR = Exercise(
    "linear_backward", "the three gradients of a dense layer", "linear_backward(gy, x, w)",
    ("gx", "gw", "gb"), "D1-DENSE", "y = x W^T + b: y[n,o] = sum_i x[n,i] w[o,i] + b[o]",
    lambda rng: ((title, {**case, "b": np.zeros(len(case["w"]))})
                 for title, case in _linear_cases(rng)),
    lambda a: F.linear(a.x, a.w, a.b), ("x", "w", "b"), (
        ("gx", "w is transposed once too often: y = x W^T, so gx = gy times W as it is",
         lambda a, e: a.gy @ a.w.T),
        ("gb", "the mean over the batch: b is added to every row, so all rows' shares add up",
         lambda a, e: a.gy.mean(0)),
        ("gw", "the mean over the batch: dividing by N is the loss's business, and gy has it in it",
         lambda a, e: a.gy.T @ a.x / len(a.x)),
    ))


def _relu_cases(rng):
    yield "by hand, with a 0", dict(gy=array(10, 20, -30, 40), x=array(-1, 0, 2, 5))
    for shape in ((4,), (2, 3), (2, 1, 3)):
        yield "random", dict(gy=drawn(rng, *shape), x=drawn(rng, *shape))


RELU = Exercise(
    "relu_backward", "the gradient of relu", "relu_backward(gy, x)", ("gx",), "D2-RELU",
    "y = max(0, x); at 0 the slope is taken as 0", _relu_cases, lambda a: F.relu(a.x), ("x",), (
        ("gx", "at x = 0 gy passes: the convention is a slope of 0 there (x > 0, not x >= 0)",
         lambda a, e: a.gy * (a.x >= 0)),
        ("gx", "the mask is taken from gy: it is the sign of x that decides what passes",
         lambda a, e: a.gy * (a.gy > 0)),
        ("gx", "this is the slope alone: the chain rule multiplies it with gy",
         lambda a, e: a.x > 0),
        ("gx", "this is relu of x, the forward pass", lambda a, e: np.maximum(0, a.x)),
    ))


def _broadcast_cases(rng):
    yield "a row to two rows", dict(gy=array([1, 2, 3], [10, 20, 30]), shape=(3,))
    yield "a column to three columns", dict(gy=array([1, 2, 3], [10, 20, 30]), shape=(2, 1))
    yield "nothing to do", dict(gy=array([1, 2], [3, 4]), shape=(2, 2))
    for shape in ((), (2,), (1, 2), (3, 1), (4, 1, 2), (1, 1, 1)):
        yield f"{shape} to (4, 3, 2)", dict(gy=drawn(rng, 4, 3, 2), shape=shape)


BROADCAST = Exercise(
    "broadcast_backward", "the gradient of broadcasting: sum to the shape that was repeated",
    "broadcast_backward(gy, shape)", ("gx",), "D1-DENSE",
    "y = x + 0, x of `shape` repeated to the shape of gy by NumPy's broadcasting, as the + b of a "
    "layer does",
    lambda rng: ((title, {**case, "x": np.zeros(case["shape"])})
                 for title, case in _broadcast_cases(rng)),
    lambda a: a.x + Tensor(np.zeros(a.gy.shape)), ("x",), (
        ("gx", "the mean of the copies' gradients: each copy was used in full, so they add up",
         lambda a, e: e[0] * e[0].size / a.gy.size),
        ("gx", "one copy's gradient alone: all copies' gradients add up",
         lambda a, e: a.gy[(0,) * (a.gy.ndim - len(a.shape))][
             tuple(slice(n) for n in a.shape)]),
    ))


def batch_norm_slip(mean: int = 1, variance: int = 1, outside: bool = False, ddof: int = 0,
                    axes: tuple[int, ...] = (0, 2, 3)) -> Callable:
    """gamma / sigma (gy - mean(gy) - y^ mean(gy y^)), with parts of it left out or changed."""
    def wrong(a, e):
        average = lambda t: t.mean(axes, keepdims=True)
        spread = a.x.var(axes, keepdims=True, ddof=ddof)
        scale = 1 / (np.sqrt(spread) + a.eps if outside else np.sqrt(spread + a.eps))
        y = (a.x - average(a.x)) * scale
        return a.gamma[:, None, None] * scale * (
            a.gy - mean * average(a.gy) - variance * y * average(a.gy * y))
    return wrong


def _norm_cases(rng):
    yield "one channel, four numbers", dict(gy=array([[[4, 0], [0, 0]]]), gamma=array(2),
                                            x=array([[[1, 1], [3, 3]]]), eps=0.0)
    for N, C, H, W in ((2, 1, 1, 2), (3, 2, 2, 1), (2, 3, 2, 3)):
        yield "random", dict(gy=drawn(rng, N, C, H, W), x=drawn(rng, N, C, H, W),
                             gamma=drawn(rng, C), eps=0.1)


NORM = Exercise(
    "batch_norm_dx", "the gradient of batch norm for its input", "batch_norm_dx(gy, x, gamma, eps)",
    ("gx",), "D1-BN", "y = gamma[c] (x - m[c]) / sqrt(v[c] + eps) + beta[c], m and v the mean and "
    "the (biased) variance of channel c over n, h and w", lambda rng: (
        (title, {**case, "beta": np.zeros(len(case["gamma"]))})
        for title, case in _norm_cases(rng)),
    lambda a: F.batch_norm(a.x, None, None, a.gamma, a.beta, training=True, eps=a.eps), ("x",), (
        ("gx", "mean and variance are taken as constants: both depend on x, and send gradients "
         "back", batch_norm_slip(mean=0, variance=0)),
        ("gx", "the share that comes back through the variance is missing",
         batch_norm_slip(variance=0)),
        ("gx", "the share that comes back through the mean is missing", batch_norm_slip(mean=0)),
        ("gx", "gamma is left out", lambda a, e: e[0] / a.gamma[:, None, None]),
        ("gx", "eps stands outside of the square root: sqrt(v + eps)",
         batch_norm_slip(outside=True)),
        ("gx", "the variance is divided by n - 1: batch norm divides by n in training",
         batch_norm_slip(ddof=1)),
        ("gx", "means are taken over the batch alone: a channel's run over n, h and w",
         batch_norm_slip(axes=(0,))),
    ))
