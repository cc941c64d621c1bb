"""Arrays without elements: every op has the shape, the numbers and the refusals that PyTorch has.

A row of CASES is an op, the shapes of its arguments, and what comes out: a shape, where its numbers
are not all 0 also the number; or the message of a refusal. The gradients of all arguments have
their arguments' shapes and are finite.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl import nn, optim

pytestmark = pytest.mark.filterwarnings("error")
NONE = "has no elements to choose from"
nan, inf = math.nan, math.inf


def over(name, *dim):
    def f(x):
        y = getattr(minidl, name)(x, *dim)
        return y[0] if isinstance(y, tuple) else y
    return f


def labelled(loss, shape, **options):
    return lambda x: loss(x, minidl.zeros(*shape, dtype=minidl.int64), **options)


def soft(reduction):
    return lambda x: F.cross_entropy(x, minidl.zeros_like(x), reduction=reduction)


CASES = [
    # ---- reductions: of nothing the sum is 0, the mean nan, and there is no largest
    *[(over("sum", *d), [s], y) for s, d, y in (
        ((0,), (), ()), ((2, 0), (), ()), ((2, 0), (1,), (2,)), ((2, 0), (0,), (0,)))],
    *[(over(name, *d), [s], y, v) for name in ("mean", "var", "std") for s, d, y, v in (
        ((0,), (), (), nan), ((2, 0), (1,), (2,), nan), ((2, 0), (0,), (0,), 0))],
    *[(over("norm", *d), [s], y) for s, d, y in (((0,), (), ()), ((2, 0), (2, 1), (2,)))],
    *[(over(name, *d), [s], y) for name in ("amax", "amin", "max", "min", "argmax", "argmin")
      for s, d, y in (((0,), (), NONE), ((2, 0), (), NONE), ((2, 0), (1,), NONE + " along dim 1"),
                      ((2, 0), (0,), (0,)), ((0, 3), (1,), (0,)), ((2, 0, 3), (2,), (2, 0)))],
    *[(over(name, d), [s], s) for name in ("softmax", "log_softmax") for s, d in (
        ((0,), 0), ((2, 0), 1), ((2, 0), 0), ((0, 3), 1))],
    *[(over("logsumexp", d), [s], y, v) for s, d, y, v in (
        ((0,), 0, (), -inf), ((2, 0), 1, (2,), -inf), ((0, 3), 1, (0,), 0))],
    # ---- one element after the other
    *[(f, [(0, 3), s], (0, 3)) for s in ((0, 3), (3,), (1, 1), ()) for f in (
        minidl.add, minidl.sub, minidl.mul, minidl.div, minidl.pow, minidl.maximum, minidl.minimum,
        lambda x, y: minidl.where(x > 0, x, y))],
    *[(f, [(2, 0)], (2, 0)) for f in (
        minidl.exp, minidl.log, minidl.sqrt, minidl.sin, minidl.cos, minidl.abs, minidl.neg, F.relu,
        F.leaky_relu, F.elu, F.gelu, F.softplus, F.sigmoid, F.tanh, F.dropout,
        lambda x: x.clamp(0, 1), lambda x: x.clamp(x, x), lambda x: F.gelu(x, "tanh"))],
    # ---- rearranging
    (lambda x: x.flatten(), [(2, 0)], (0,)), (lambda x: x.reshape(-1), [(2, 0)], (0,)),
    (lambda x: x.reshape(3, -1), [(2, 0)], (3, 0)),
    (lambda x: x.reshape(0, -1), [(2, 0)], "reshape: shape"),
    (lambda x: x.T, [(2, 0)], (0, 2)), (lambda x: x.flip(0), [(0, 3)], (0, 3)),
    (lambda x: x.expand(0, 3), [(1, 3)], (0, 3)), (lambda x: x[:0], [(2, 3)], (0, 3)),
    (lambda x: x[[]], [(2, 3)], (0, 3)), (lambda x: x[x > 9], [(2, 3)], (0,)),
    (lambda x: x[0], [(0, 3)], "x[...]: index 0 is out of bounds"),
    (lambda x: x.split(2)[0], [(0, 3)], (0, 3)), (lambda x: x.chunk(2)[0], [(0, 3)], (0, 3)),
    (lambda x: F.pad(x, (1, 1)), [(2, 0)], (2, 2)), (lambda x: F.pad(x, (0, -3)), [(2, 3)], (2, 0)),
    *[(lambda x, y, d=d: minidl.cat([x, y], d), [a, b], y, 1) for d, a, b, y in (
        (0, (0, 3), (2, 3), (2, 3)), (1, (2, 0), (2, 3), (2, 3)), (0, (2, 0), (3, 0), (5, 0)),
        (1, (0,), (2, 3), (2, 3)), (-1, (2, 3), (0,), (2, 3)), (0, (0,), (0,), (0,)),
        (0, (2, 0), (2, 3), "cat: shapes"), (0, (0, 0), (2, 3), "cat: shapes"),
        (0, (), (), "cat: a number has no axis"))],
    (lambda x, y: minidl.stack([x, y], 1), [(0, 3), (0, 3)], (0, 2, 3)),
    # ---- products: of no terms the sum is 0
    *[(lambda x, y: x @ y, [a, b], y) for a, b, y in (
        ((0, 3), (3, 2), (0, 2)), ((2, 0), (0, 3), (2, 3)), ((2, 3), (3, 0), (2, 0)),
        ((0,), (0,), ()), ((0, 2, 3), (3, 4), (0, 2, 4)), ((2, 0), (0,), (2,)),
        ((2, 0), (3, 2), "matmul: inner lengths differ"))],
    *[(F.linear, [x, w, (w[0],)], y, v) for x, w, y, v in (
        ((0, 3), (2, 3), (0, 2), 0), ((4, 0), (2, 0), (4, 2), 1), ((4, 3), (0, 3), (4, 0), 0),
        ((0, 5, 3), (2, 3), (0, 5, 2), 0), ((0,), (2, 0), (2,), 1),
        ((0, 300), (300, 300), (0, 300), 0))],
    # ---- images: a batch may be empty, channels and pixels may not
    *[(lambda x, w, b, p=p: F.conv2d(x, w, b, padding=p), [x, w, (w[0],)], y) for p, x, w, y in (
        (0, (0, 2, 5, 5), (3, 2, 3, 3), (0, 3, 3, 3)),
        (1, (0, 2, 5, 5), (3, 2, 3, 3), (0, 3, 5, 5)),
        (1, (0, 64, 8, 8), (64, 64, 3, 3), (0, 64, 8, 8)),
        (0, (1, 2, 5, 5), (0, 2, 3, 3), "conv2d: weight (0, 2, 3, 3) has no elements"),
        (0, (1, 0, 5, 5), (3, 0, 3, 3), "conv2d: weight (3, 0, 3, 3) has no elements"),
        (0, (1, 2, 5, 5), (3, 2, 0, 3), "conv2d: weight (3, 2, 0, 3) has no elements"),
        (1, (1, 2, 0, 5), (3, 2, 1, 1), "conv2d: input (1, 2, 0, 5) has no pixels"))],
    *[(F.conv_transpose2d, [x, w, (w[1],)], y) for x, w, y in (
        ((0, 2, 5, 5), (2, 3, 3, 3), (0, 3, 7, 7)),
        ((1, 2, 5, 5), (2, 0, 3, 3), "conv_transpose2d: weight (2, 0, 3, 3) has no elements"),
        ((1, 2, 0, 5), (2, 3, 3, 3), "conv_transpose2d: input (1, 2, 0, 5) has no pixels"))],
    *[(f, [s], y if s[0] == 0 and 0 not in s[1:] else "has no channels or no pixels")
      for f, y in ((lambda x: F.max_pool2d(x, 2), (0, 2, 2, 2)),
                   (lambda x: F.avg_pool2d(x, 3, 1, 1), (0, 2, 4, 4)),
                   (lambda x: F.interpolate(x, scale_factor=2), (0, 2, 8, 8)),
                   (lambda x: F.interpolate(x, (3, 5)), (0, 2, 3, 5)),
                   (lambda x: F.unfold(x, 2), (0, 8, 9)))
      for s in ((0, 2, 4, 4), (2, 0, 4, 4), (2, 2, 0, 4), (2, 2, 4, 0), (0, 0, 4, 4))],
    (lambda x: F.pixel_shuffle(x, 2), [(0, 4, 3, 3)], (0, 1, 6, 6)),
    (nn.AdaptiveAvgPool2d(1), [(0, 2, 4, 4)], (0, 2, 1, 1)),
    (nn.AdaptiveAvgPool2d(1), [(1, 2, 0, 4)], (1, 2, 1, 1), nan),
    (nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3, 2)),
     [(0, 2, 5, 5)], (0, 2)),
    # ---- normalisation
    *[(lambda x, w, b: F.batch_norm(x, None, None, w, b, True), [s, (s[1],), (s[1],)], s)
      for s in ((0, 3), (0, 3, 2, 2), (2, 3, 0))],
    (lambda x: F.batch_norm(x, minidl.zeros(3), minidl.ones(3)), [(0, 3, 2, 2)], (0, 3, 2, 2)),
    *[(lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b), [s, s[-1:], s[-1:]], s)
      for s in ((0, 3), (2, 0))],
    *[(lambda x: F.group_norm(x, 2), [s], s) for s in ((0, 4, 3), (2, 4, 0))],
    (F.normalize, [(0, 3)], (0, 3)), (F.normalize, [(2, 0)], (2, 0)),
    # ---- losses: the mean over nothing is nan
    *[(lambda x, y, f=f, r=r: f(x, y, reduction=r), [(0, 3), (0, 3)], y, v) for f in (
        F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.binary_cross_entropy,
        F.binary_cross_entropy_with_logits, F.kl_div)
      for r, y, v in (("mean", (), nan), ("sum", (), 0), ("none", (0, 3), 0))],
    *[(labelled(f, t, reduction=r, **o), [x], y, v)
      for f, o in ((F.cross_entropy, {}), (F.nll_loss, {}),
                   (F.cross_entropy, {"label_smoothing": 0.1}),
                   (F.cross_entropy, {"weight": minidl.ones(3)}))
      for x, t in (((0, 3), (0,)), ((0, 3, 2), (0, 2)), ((2, 3, 0), (2, 0)))
      for r, y, v in (("mean", (), nan), ("sum", (), 0), ("none", t, 0))],
    *[(soft(r), [(0, 3)], y, v)
      for r, y, v in (("mean", (), nan), ("sum", (), 0), ("none", (0,), 0))],
    # ---- tables and attention
    (lambda w: F.embedding(minidl.zeros(2, 0, dtype=minidl.int64), w), [(5, 3)], (2, 0, 3)),
    (lambda w: F.embedding(minidl.zeros(2, dtype=minidl.int64), w), [(0, 3)],
     "embedding: row numbers must be in [0, -1]"),
    *[(F.scaled_dot_product_attention, [q, k, v], y, value) for q, k, v, y, value in (
        ((0, 2, 3), (0, 2, 3), (0, 2, 3), (0, 2, 3), 0),
        ((1, 0, 3), (1, 2, 3), (1, 2, 3), (1, 0, 3), 0),
        ((1, 2, 0), (1, 2, 0), (1, 2, 3), (1, 2, 3), 1))],
]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
@pytest.mark.parametrize("which", ["fast", "reference"])
def test_without_elements(case, which):
    f, shapes, expected, *number = case
    leaves = [minidl.ones(*shape, requires_grad=True) for shape in shapes]
    before = minidl.kernels_in_use()
    minidl.use_kernels(which)
    try:
        if isinstance(expected, str):
            with pytest.raises((ValueError, IndexError)) as error:
                f(*leaves)
            assert expected in str(error.value)
            return
        y = f(*leaves)
        if y.requires_grad:
            y.backward(minidl.zeros_like(y))
    finally:
        minidl.use_kernels(before)
    assert y.shape == expected
    np.testing.assert_array_equal(y.numpy(), np.full(expected, *number or [0], y.dtype))
    for x in leaves:
        assert x.grad is None or x.grad.shape == x.shape


def test_running_statistics_of_nothing_stay():
    norm = nn.BatchNorm2d(3)
    norm(minidl.zeros(0, 3, 2, 2))
    assert norm.running_mean.tolist() == [0] * 3 and norm.running_var.tolist() == [1] * 3


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad])
def test_parameters_without_elements(make):
    p = nn.Parameter(np.zeros((0, 3), np.float32))
    p.grad = minidl.zeros(0, 3)
    make([p]).step()
    assert optim.clip_grad_norm_([p], 1.0).item() == 0
    optim.clip_grad_value_([p], 1.0)
