"""Compiled kernels: each equal to the readable function that it replaces, on any number of threads.

The op table's own test (test_op_table.py) runs every op with them too; here they meet sizes beyond
one tile, and the ways in which a process can go wrong.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optable import assert_close

import minidl
import minidl.functional as F
from minidl import kernels, nn, optim, random
from minidl.checks import draws
from minidl.testing.strategies import conv_geometries, generators, in_order, memory_orders

pytest.importorskip("numba")
OPS = [importlib.import_module(f"minidl.ops.{name}") for name in (
    "activation", "arithmetic", "conv", "dropout", "linear", "loss", "norm", "pool", "reduce",
    "shape")]
activation, arithmetic, conv, dropout, linear, loss, norm, pool, reduce, shape = OPS
READABLE = dict(kernels.READABLE)
dtypes = st.sampled_from([np.float32, np.float64])
some = settings(max_examples=max(settings.default.max_examples // 2, 8))


def kernel(name: str):
    """The replacement of that name."""
    assert kernels.problem() is None
    return kernels.CPU[name]


def agree(name: str, *args, dtype=np.float32, fits: int | None = None):
    """Replacement and readable function give the same on the same arguments, and change none.

    `fits`: of how many leading arguments the replacement is asked whether it fits them.
    """
    replacement = kernel(name)
    arrays = [a for a in args if isinstance(a, np.ndarray)]
    if fits is not None and hasattr(replacement, "fits"):
        assert replacement.fits(*args[:fits]), name
    before = [a.copy() for a in arrays]
    ours, theirs = replacement(*args), READABLE[name](*args)
    for a, b in zip(arrays, before):
        np.testing.assert_array_equal(a, b)
    if not isinstance(ours, tuple):
        ours, theirs = (ours,), (theirs,)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        if b is None:                                   # left to the engine's own sum
            continue
        assert a.dtype == b.dtype
        assert_close(a, b, 2e-5 if dtype == np.float32 else 1e-12, name)
    return ours


def drawn(rng, *shape_, dtype=np.float32):
    return np.asarray(rng.normal(size=shape_), dtype=dtype)


# --------------------------------------------------------------------------- the table
def test_every_kernel_replaces_a_function_with_its_arguments():
    """And every replaceable function has a kernel, on the CPU or on a GPU. (Those that draw numbers
    fill an array on a GPU: random.py asks for them by name.)"""
    from minidl.kernels.gpu import twins
    assert kernels.problem() is None and len(kernels.CPU) >= 25
    drawing = {"uniform", "normal"}
    assert kernels.CPU.keys() | twins.CUDA_KERNELS.keys() == READABLE.keys() | drawing
    for table in (kernels.CPU, twins.CUDA_KERNELS):
        for name in table.keys() - drawing:
            own = list(inspect.signature(table[name]).parameters)
            assert own == list(inspect.signature(READABLE[name]).parameters), name


def test_a_replaceable_function_is_where_its_kernels_name_says():
    """Under its own name in its module, with what the readable one says of itself."""
    for name, readable in READABLE.items():
        found = getattr(sys.modules[readable.__module__], name)
        assert found.readable is found.__wrapped__ is readable and found is not readable, name
        assert found.__name__ == readable.__name__ == name, name
        assert found.__doc__ == readable.__doc__, name
    with pytest.raises(TypeError, match="_relu_grad must begin with the arguments"):
        kernels.replaceable("y", "gy")(READABLE["_relu_grad"])
    with pytest.raises(TypeError, match="_relu_grad must begin with the arguments"):
        kernels.replaceable()(READABLE["_relu_grad"])


def test_a_call_is_the_kernels_where_it_fits_else_the_readable_ones(monkeypatch):
    """Integers beside the arrays that decide do not count; the arguments arrive as they are."""
    called = []

    def _cross_entropy_grad(gy, log_p, t):
        called.append("readable")
        return gy, log_p, t

    def faster(*args):
        called.append("kernel")
        return args

    assert kernels.problem() is None
    monkeypatch.setitem(kernels.READABLE, "_cross_entropy_grad", None)           # put back after
    monkeypatch.setitem(kernels.CPU, "_cross_entropy_grad", faster)
    chosen = kernels.replaceable("gy", "log_p")(_cross_entropy_grad)
    large, t = np.ones((500, 10), np.float32), np.zeros(500, np.int64)
    for gy, log_p, which in ((large[:, 0], large, "kernel"), (large[:9, 0], large[:9], "readable"),
                             (large[:, 0].astype(np.float64), large, "readable"),
                             (t, large, "readable")):
        assert all(a is b for a, b in zip(chosen(gy, log_p, t), (gy, log_p, t), strict=True))
        assert called.pop() == which and not called
    chosen.readable(large[:, 0], large, t)
    assert called == ["readable"]


def test_reference_takes_all_of_them_away():
    x = np.ones(10**5, np.float32)
    before = kernels.kernels_in_use()
    try:
        kernels.use_kernels("fast")
        assert kernels.replacement("_relu", (x,)) is kernel("_relu")
        assert kernels.replacement("_relu", (x[:10],)) is None                     # too small
        assert kernels.replacement("_relu", (x[::2],)) is None                     # gaps in memory
        assert kernels.replacement("_relu", (x.astype(np.float16),)) is None
        assert kernels.replacement("_relu", (x.astype(np.int64),)) is None
        kernels.use_kernels("reference")
        assert kernels.replacement("_relu", (x,)) is None
    finally:
        kernels.use_kernels(before)


# --------------------------------------------------------------------------- convolution
@st.composite
def convolutions(draw):
    """x, w, y's shape and geometry, with enough channels and images to fill tiles and leave rests;
    "same" padding differs before and after."""
    g = draw(conv_geometries(max_batch=13, max_channels=20, max_out=5, max_kernel=3))
    padding = tuple((p, draw(st.integers(p, p + 1))) if draw(st.booleans()) else p
                    for p in g.padding)
    return g, padding, draw(generators()), draw(dtypes), draw(memory_orders())


@given(convolutions())
def test_convolution(drawn_):
    """D3-CONV, D1-TCONV: forward pass, input gradient, weight gradient."""
    g, padding, rng, dtype, order = drawn_
    x = in_order(drawn(rng, *g.x_shape, dtype=dtype), order)
    w = in_order(drawn(rng, *g.w_shape, dtype=dtype), order)
    b, c = (in_order(drawn(rng, n, dtype=dtype), order) if rng.integers(2) else None
            for n in w.shape[:2])
    (y,) = agree("_conv2d", x, w, b, g.stride, padding, g.dilation, dtype=dtype)
    gy = in_order(drawn(rng, *y.shape, dtype=dtype), order)
    agree("_conv2d_input_grad", gy, w, c, g.size, g.stride, padding, g.dilation, dtype=dtype)
    agree("_conv2d_weight_grad", x, gy, g.kernel, g.stride, padding, g.dilation, dtype=dtype)


@pytest.mark.parametrize("kept", [0, 50, 70])
@pytest.mark.parametrize("C, O", [(3, 5), (20, 1)])
def test_convolution_by_rows_of_pixels(C, O, kept, monkeypatch):
    """As of images so large that no table of all their pixels is kept: a row, or two, at a time."""
    from minidl.kernels.cpu import conv
    monkeypatch.setattr(conv, "KEPT", kept)
    conv._kept.cache_clear()
    rng, geometry = np.random.default_rng(0), ((1, 2), (1, (0, 1)), (1, 1))
    x, w = drawn(rng, 2, C, 5, 9), drawn(rng, O, C, 3, 2)
    (y,) = agree("_conv2d", x, w, None, *geometry)
    agree("_conv2d_input_grad", y, w, None, (5, 9), *geometry)
    agree("_conv2d_weight_grad", x, y, (3, 2), *geometry)
    conv._kept.cache_clear()


@pytest.mark.parametrize("C, O", [(1, 32), (40, 33), (300, 17), (64, 1), (7, 600)])
def test_convolution_with_many_channels(C, O):
    """Longer than one chain of sums, wider than one tile; few of the one and many of the other."""
    rng = np.random.default_rng(0)
    x, w = drawn(rng, 7, C, 6, 5), drawn(rng, O, C, 3, 2)
    geometry = (1, 2), (1, (0, 1)), (1, 1)
    (y,) = agree("_conv2d", x, w, None, *geometry)
    agree("_conv2d_input_grad", y, w, drawn(rng, C), (6, 5), *geometry)
    agree("_conv2d_weight_grad", x, y, (3, 2), *geometry)


def test_convolution_adds_up_in_short_chains():
    """2^24 + 1 is 2^24 in float32, and so on: ones after it in the same chain are lost, no others.
    There are four chains of two taps and 576 channels."""
    from minidl.kernels.cpu import conv
    C, O = 2 * conv.CHAIN, conv.FEW
    x, w = np.ones((1, C, 1, 2), np.float32), np.ones((O, C, 1, 2), np.float32)
    x[0, 0, 0, 0] = 2**24
    for y in (kernel("_conv2d")(x, w, None, (1, 1), (0, 0), (1, 1)),
              kernel("_conv2d_input_grad")(x, w.swapaxes(0, 1), None, (1, 3), (1, 1), (0, 0),
                                           (1, 1))[..., 1:2]):
        assert y.shape == (1, O, 1, 1)
        assert ((y - 2.0**24 >= 3 * conv.CHAIN) & (y - 2.0**24 < 4 * conv.CHAIN)).all()


def test_convolution_of_small_images_keeps_its_tables():
    """A small geometry is thought out once; a larger one again for each call, and not kept."""
    from minidl.kernels.cpu import conv
    again = lambda side: [conv._pairs((side, side), (side, side), (1, 1), (1, 1), (0, 0), (1, 1))
                          for _ in range(2)]
    assert 255 * 255 < conv.KEPT < 257 * 257
    first, second = again(255)
    assert first is second
    first, second = again(257)
    assert first is not second and np.array_equal(first.down, second.down)


@some
@given(generators(), dtypes, st.tuples(*[st.integers(1, 40)] * 3), st.booleans(), st.booleans())
def test_matrix_product(rng, dtype, sizes, a_turned, b_turned):
    """D1-DENSE, with either side transposed in memory."""
    M, K, N = sizes
    a = drawn(rng, *((K, M) if a_turned else (M, K)), dtype=dtype)
    b = drawn(rng, *((N, K) if b_turned else (K, N)), dtype=dtype)
    a, b = a.T if a_turned else a, b.T if b_turned else b
    from minidl.kernels.cpu import product
    assert_close(product.product(a, b), a @ b, 2e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("M, K, N", [(64, 700, 50), (3, 40000, 9), (130, 20, 3000)])
def test_large_matrix_product(M, K, N):
    rng = np.random.default_rng(0)
    for b in (None, drawn(rng, N)):
        agree("_linear_arrays", drawn(rng, M, K), drawn(rng, N, K), b)
    agree("_matmul_arrays", drawn(rng, M, K), drawn(rng, K, N))
    agree("_matmul_arrays", drawn(rng, K, M).T, drawn(rng, K, 2 * N)[:, ::2])
    agree("_matmul_arrays", drawn(rng, 2, 9, 5), drawn(rng, 5, 4))


@pytest.mark.parametrize("geometry", [((2, 2), (2, 2), (1, 1)), ((3, 3), (4, 4), (1, 1)),
                                      ((1, 1), (0, 0), (1, 1))])
def test_a_1x1_convolution_with_as_many_pixels_out_as_in(geometry):
    """Which need not be the same pixels."""
    rng = np.random.default_rng(0)
    x, w = drawn(rng, 7, 9, 4, 4), drawn(rng, 11, 9, 1, 1)
    (y,) = agree("_conv2d", x, w, None, *geometry)
    agree("_conv2d_input_grad", y, w, None, (4, 4), *geometry)
    agree("_conv2d_weight_grad", x, y, (1, 1), *geometry)


@pytest.mark.parametrize("stride, padding, same", [(1, 0, True), (2, 2, False), (3, 4, False)])
def test_convolution_of_one_tap_is_a_matrix_product_where_pixels_stay(stride, padding, same):
    from minidl.kernels.cpu import conv
    pairs = conv._pairs((4, 4), (4, 4), (1, 1), (stride,) * 2, (padding,) * 2, (1, 1))
    assert conv._is_itself(pairs, 16) is same


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_one_bad_number_stays_where_it_is(bad):
    """The first element, which a careless zero would be made of."""
    def spoilt(*shape_):
        x = drawn(np.random.default_rng(0), *shape_)
        x.flat[0] = bad
        return x

    def same_places(name, *args):
        with np.errstate(all="ignore"):                   # as an op calls them
            ours, theirs = kernel(name)(*args), READABLE[name](*args)
        for a, b in zip(*(v if isinstance(v, tuple) else (v,) for v in (ours, theirs))):
            np.testing.assert_array_equal(np.isnan(a), np.isnan(b), name)

    geometry, window = ((1, 1), (1, 1), (1, 1)), ((2, 2), (2, 2), ((0, 0), (0, 0)))
    for C, O in ((1, 9), (9, 1), (9, 9)):
        same_places("_conv2d", spoilt(3, C, 5, 5), drawn(np.random.default_rng(1), O, C, 3, 3),
                    spoilt(O), *geometry)
    x, g = spoilt(3, 5, 6, 6), spoilt(3, 5, 3, 3)
    tap = np.zeros(g.shape, np.int32)
    same_places("_max_pool2d", x, *window, (1, 1), (3, 3))
    same_places("_scatter_taps", g, tap, *window, (1, 1), (6, 6))
    same_places("_sum_pool2d", x, *window, (3, 3))
    same_places("_sum_pool2d_grad", g, *window, (6, 6))
    for slope in (0.0, 0.5):
        same_places("_bias_activation", spoilt(9, 5), np.ones(5, np.float32), slope)
        same_places("_leaky_relu_grad", spoilt(9, 5), spoilt(9, 5), slope)
    same_places("_relu_grad", spoilt(9, 5), -np.ones((9, 5), np.float32))


def test_a_bias_of_the_last_axis_is_none_of_the_channels():
    """linear over four axes, as many features as channels."""
    x, layer = minidl.rand(40, 8, 16, 20), nn.Linear(20, 8)
    found = layer(x)
    minidl.use_kernels("reference")
    try:
        assert_close(found.data, layer(x).data, 1e-5)
    finally:
        minidl.use_kernels("fast")


def test_what_no_kernel_takes():
    """Other byte orders and lengths; memory that may only be read."""
    x = np.ones(5000)
    for dtype in (">f4", np.longdouble, np.float16):
        assert kernels.replacement("_relu", (x.astype(dtype),)) is None
    p, g = x.astype(np.float32), x.astype(np.float32)
    assert kernels.replacement("_sgd", (p, g)) is kernel("_sgd")
    p.flags.writeable = False
    assert kernels.replacement("_sgd", (p, g)) is None


# --------------------------------------------------------------------------- pooling
@given(conv_geometries(pool=True, max_batch=3, max_channels=20), generators(), dtypes,
       memory_orders(), st.data())
def test_pooling(g, rng, dtype, order, data):
    """D0-MAXPOOL, D0-AVGPOOL."""
    pads = tuple((p, data.draw(st.integers(p, p + 1))) for p in g.padding)
    x = in_order(drawn(rng, *g.x_shape, dtype=dtype), order)
    if data.draw(st.booleans()):
        x.flat[rng.integers(x.size)] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    y, tap = kernel("_max_pool2d")(x, g.kernel, g.stride, pads, g.dilation, g.out)
    y2, tap2 = READABLE["_max_pool2d"](x, g.kernel, g.stride, pads, g.dilation, g.out)
    np.testing.assert_array_equal(y, y2)
    np.testing.assert_array_equal(tap, tap2)
    gy = in_order(drawn(rng, *y.shape, dtype=dtype), order)
    agree("_scatter_taps", gy, tap2, g.kernel, g.stride, pads, g.dilation, g.size, dtype=dtype)
    if g.dilation == (1, 1):
        finite = in_order(drawn(rng, *g.x_shape, dtype=dtype), order)
        agree("_sum_pool2d", finite, g.kernel, g.stride, pads, g.out, dtype=dtype)
        agree("_sum_pool2d_grad", gy, g.kernel, g.stride, pads, g.size, dtype=dtype)


# --------------------------------------------------------------------------- element by element
shapes_ = st.sampled_from([(5,), (40, 7), (3, 5, 4, 6), (2, 17, 3, 3)])


@some
@given(shapes_, generators(), dtypes, st.sampled_from(["C", "F", "channels-last"]))
def test_elementwise(shape_, rng, dtype, order):
    """D2-RELU, D0-LRELU."""
    x, gy = (in_order(drawn(rng, *shape_, dtype=dtype), order) for _ in range(2))
    agree("_relu", x, dtype=dtype, fits=1)
    agree("_leaky_relu", x, 0.3, dtype=dtype, fits=1)
    agree("_normal_cdf", x, dtype=dtype, fits=1)
    agree("_relu_grad", gy, x, dtype=dtype, fits=2)
    agree("_leaky_relu_grad", gy, x, 0.3, dtype=dtype, fits=2)


def test_at_the_kink_and_for_what_is_no_number():
    x = np.array([0.0, -0.0, np.nan, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(kernel("_relu")(x), READABLE["_relu"](x))
    one = np.ones(5, np.float32)
    np.testing.assert_array_equal(kernel("_relu_grad")(one, x), [0, 0, 0, 1, 0])
    np.testing.assert_array_equal(kernel("_leaky_relu")(x, 0.5), READABLE["_leaky_relu"](x, 0.5))


@some
@given(st.sampled_from([(40, 7), (3, 5, 4, 6), (2, 17, 3, 3), (70, 1, 2, 2)]), generators(), dtypes,
       st.sampled_from(["C", "channels-last"]), st.sampled_from([0.0, 0.2, 1.0]))
def test_bias_and_activation(shape_, rng, dtype, order, slope):
    """D2-RELU, D0-LRELU behind a bias; the kernel adds up the bias's gradient too."""
    x, gy = (in_order(drawn(rng, *shape_, dtype=dtype), order if len(shape_) == 4 else "C")
             for _ in range(2))
    b = drawn(rng, shape_[1], *(1,) * (len(shape_) - 2), dtype=dtype)
    (y,) = agree("_bias_activation", x, b, slope, dtype=dtype, fits=2)
    gx, gb = agree("_bias_activation_grad", gy, y, b.shape, slope, dtype=dtype, fits=2)
    assert_close(gb.ravel(), np.moveaxis(gx, 1, -1).reshape(-1, shape_[1]).sum(0, np.float64),
                 1e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("shape_", [
    (2049,), (23, 89), (31, 67), (1, 2048), (2048, 1), (13, 11, 17), (7, 5, 8, 8), (2, 64, 3, 3),
    (700, 3, 1, 1), (3, 2, 7, 7, 8), (5, 0), (0, 5), ()])
def test_sums_over_any_axes(shape_, keepdims, monkeypatch):
    """A bias's gradient is the sum over all axes but the channels, which the kernel adds up; sums
    over other axes it leaves to the readable function. Some sizes lie below the smallest."""
    rng, channels = np.random.default_rng(7), {2: (0,), 4: (0, 2, 3)}.get(len(shape_))
    axes = [a for n in range(len(shape_) + 1)
            for a in itertools.combinations(range(len(shape_)), n)]
    for dtype, order, axis in itertools.product(
            (np.float32, np.float64), ("C", "channels-last", "sliced"), axes):
        x = drawn(rng, *shape_, dtype=dtype) + dtype(0.5)
        if order == "channels-last" and len(shape_) == 4:
            x = in_order(x, order)
        elif order == "sliced" and x.ndim:
            x = np.repeat(x, 2, axis=-1)[..., ::2]
        want = READABLE["array_sum"](x, axis, keepdims)
        found = [reduce.array_sum(x, axis, keepdims)]
        if x.size:
            own = axis == channels and not keepdims
            with monkeypatch.context() as m:
                m.setitem(kernels.READABLE, "array_sum", lambda *args: None)
                assert (kernel("array_sum")(x, axis, keepdims) is not None) == own
            found.append(kernel("array_sum")(x, axis, keepdims))
        for y in found:
            assert y.shape == want.shape and y.dtype == want.dtype
            assert_close(y, want, 1e-6 if dtype == np.float32 else 1e-13)
    whole = rng.integers(-9, 9, shape_)
    for axis in axes:
        np.testing.assert_array_equal(reduce.array_sum(whole, axis, keepdims),
                                      whole.sum(axis, keepdims=keepdims))


@some
@given(st.sampled_from([(40, 7), (90, 600), (3, 5, 4, 6), (2, 17, 3, 3)]), generators(), dtypes,
       st.sampled_from(["C", "channels-last"]), st.sampled_from([0.0, 100.0]))
def test_batch_norm(shape_, rng, dtype, order, offset):
    """D1-BN; also where the mean is large beside the spread."""
    x, gy = (in_order(drawn(rng, *shape_, dtype=dtype), order if len(shape_) == 4 else "C")
             for _ in range(2))
    x = x + dtype(offset)
    dim, one = (0, 2, 3)[:len(shape_) - 1], (1, shape_[1], 1, 1)[:len(shape_)]
    w, b = drawn(rng, *one, dtype=dtype), drawn(rng, *one, dtype=dtype)
    replacement = kernel("_batch_norm")
    assert replacement.fits(x, w, b)
    loose = 1e-3 if offset and dtype == np.float32 else 2e-5 if dtype == np.float32 else 1e-9
    for a, c in zip(replacement(x, w, b, dim, 1e-3), READABLE["_batch_norm"](x, w, b, dim, 1e-3)):
        assert_close(a, c, loose)
    _, mean, _, scale = READABLE["_batch_norm"](x, w, b, dim, 1e-3)
    args = gy, x, mean, scale, w, dim
    assert kernel("_batch_norm_grad").fits(*args[:5])
    for a, c in zip(kernel("_batch_norm_grad")(*args), READABLE["_batch_norm_grad"](*args)):
        assert_close(a, c, loose)


# --------------------------------------------------------------------------- optimisers, noise
@pytest.mark.parametrize("order", ["C", "channels-last"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name, states, numbers", [
    ("_sgd", 0, (0.1,)), ("_sgd_momentum", 1, (0.1, 0.9, 0.7, False)),
    ("_sgd_momentum", 1, (0.1, 0.9, 1.0, True)), ("_rmsprop", 1, (0.1, 0.5, 1e-7)),
    ("_adam", 2, (3, 0.1, 0.9, 0.999, 1e-8)), ("_adagrad", 1, (0.1, 1e-10))])
def test_update_rules(name, states, numbers, dtype, order):
    """D0-SGD, D1-RMSPROP, D0-ADAM: in place, and the same as the formula."""
    rng = np.random.default_rng(0)
    p, g = (in_order(drawn(rng, 5, 6, 3, 2, dtype=dtype), order) for _ in range(2))
    state = [np.abs(in_order(drawn(rng, 5, 6, 3, 2, dtype=dtype), order)) for _ in range(states)]
    assert kernel(name).fits(p, g, *state)
    ours, theirs = ([a.copy(order="K") for a in (p, *state)] for _ in range(2))
    kernel(name)(ours[0], g, *ours[1:], *numbers)
    READABLE[name](theirs[0], g, *theirs[1:], *numbers)
    assert not np.array_equal(ours[0], p)
    for a, b in zip(ours, theirs):
        assert_close(a, b, 1e-6 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("name, states", [("_sgd", 0), ("_sgd_momentum", 1), ("_rmsprop", 1),
                                          ("_adam", 2), ("_adagrad", 1)])
def test_update_rules_write_only_where_one_may(name, states):
    """Kernels do not ask: an array that may only be read is left to NumPy, which refuses it."""
    for locked in (None, *range(2 + states)):
        arrays = [np.ones(10**5, np.float32) for _ in range(2 + states)]
        if locked is not None:
            arrays[locked].flags.writeable = False
        taken = kernels.replacement(name, tuple(arrays))
        assert taken is (kernel(name) if locked in (None, 1) else None)      # 1: the gradient


@pytest.mark.parametrize("shape_", [(7,), (3, 5, 3, 3), (9000,), (4, 6, 2, 2), (5, 1000)])
@pytest.mark.parametrize("p", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("first", [0, 1, 6, 2**62 + 3, "last"])
def test_dropout_mask_is_the_generators_own(shape_, p, first):
    """D3-DROPOUT: the same mask bit for bit, whatever the memory order and wherever it begins."""
    for order in ("C", "channels-last"):
        x = in_order(np.ones(shape_, np.float32), order)
        at = 11, 2**40 + 3, draws.ELEMENTS - x.size if first == "last" else first
        expected = READABLE["_dropout_mask"](x, p, *at)
        np.testing.assert_array_equal(kernel("_dropout_mask")(x, p, *at), expected)
    assert 0 < expected.mean() < 3 or p == 1.0


@given(st.sampled_from([(1, 17), (6, 3, 5, 3), (9, 4, 1, 7), (3, 2731)]), dtypes, generators(),
       st.sampled_from(["C", "F", "channels-last"]))
def test_masks_of_shares_are_the_masks_of_the_batch(shape_, dtype, rng, order):
    """However the rows of a batch are shared, and whichever share the kernel makes."""
    whole = dropout._dropout_mask(np.ones(shape_, dtype), 0.4, 3, 4, 5)
    cuts = [0, *np.sort(rng.integers(0, shape_[0] + 1, 2)), shape_[0]]
    for a, b in itertools.pairwise(map(int, cuts)):
        share = in_order(np.ones((b - a, *shape_[1:]), dtype), order)
        if share.size:
            found = kernel("_dropout_mask")(share, 0.4, 3, 4, 5 + a * math.prod(shape_[1:]))
            np.testing.assert_array_equal(found, whole[a:b])


def test_philox_is_numpys():
    from minidl.kernels.cpu import noise
    words = np.random.Philox(key=np.array([5, 9], np.uint64)).random_raw(8)
    philox = getattr(noise.philox, "py_func", noise.philox)
    if philox is noise.philox:
        found = [noise.philox(b, np.uint64(5), np.uint64(9)) for b in (1, 2)]
        np.testing.assert_array_equal(np.ravel(found), words)
    u = random.uniform((8,), 5, 9)
    np.testing.assert_array_equal(u, (words >> np.uint64(40)).astype(np.float32) * 2.0**-24)


@pytest.mark.parametrize("shape_", [(70, 33, 8, 9), (3, 5, 100, 101)])
def test_large_images_are_brought_to_channels_last(shape_):
    from minidl.kernels import layout
    x = in_order(drawn(np.random.default_rng(0), *shape_), "channels-last")
    assert x.size > layout.LARGE
    np.testing.assert_array_equal(layout.channels_last(x.copy()), layout.channels_last(x))


@pytest.mark.parametrize("count, rows, columns", [(3, 64, 5), (2, 33, 40), (1, 1, 70)])
def test_matrices_brought_to_channels_last(count, rows, columns):
    from minidl.kernels.cpu import transpose
    x = drawn(np.random.default_rng(0), count, rows, columns)
    np.testing.assert_array_equal(transpose.transposed(x, count, rows, columns),
                                  x.swapaxes(1, 2).ravel())


# --------------------------------------------------------------------------- threads
def network():
    minidl.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12),
                         nn.LeakyReLU(0.1),
                         nn.Conv2d(12, 20, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.3),
                         nn.Flatten(), nn.Linear(720, 300), nn.Tanh(), nn.Linear(300, 10))


def trained(steps: int = 3):
    """All weights and gradients after some steps, as one vector."""
    model = network()
    optimizer = optim.Adam(model.parameters())
    x, t = minidl.rand(32, 1, 14, 14), minidl.randint(0, 10, (32,))
    for _ in range(steps):
        loss_ = F.cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss_.backward()
        optimizer.step()
    return np.concatenate([a.ravel() for p in model.parameters()
                           for a in (p.numpy(), p.grad.numpy())])


@pytest.fixture
def threads():
    before = minidl.get_num_threads()
    yield minidl.set_num_threads
    minidl.set_num_threads(before)


def test_results_do_not_depend_on_the_number_of_threads(threads):
    """More than promised: not 1e-5, but bit for bit; noise and masks too."""
    results = []
    for n in (1, 2, 5, 2):
        threads(n)
        assert minidl.get_num_threads() == n
        results.append(trained())
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_the_readable_arithmetic_learns_the_same():
    fast = trained(1)
    minidl.use_kernels("reference")
    try:
        assert_close(fast, trained(1), 2e-4)
    finally:
        minidl.use_kernels("fast")


@pytest.mark.skipif(bool(os.environ.get("NUMBA_DISABLE_JIT")), reason="plain Python divides so")
def test_a_division_by_0_is_infinite_and_the_loop_goes_on():
    """As NumPy's. Python's check for it would end a piece, and no loop with one is vectorised."""
    from minidl.kernels.cpu.threads import parallel
    from minidl.kernels.cpu.tile import get, put

    @parallel
    def inverse(start, stop, x, y):
        for i in range(start, stop):
            put(y, i, 1 / get(x, i))

    x = np.arange(100, dtype=np.float32) - 50
    y = np.full_like(x, np.nan)
    inverse(len(x), 10, x, y)
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(y, 1 / x)


def test_several_python_threads_train_at_once(threads):
    threads(2)
    expected, found = kernel("_relu"), []
    x = np.random.default_rng(0).normal(size=(20, 16, 9, 9)).astype(np.float32)
    w = np.random.default_rng(1).normal(size=(24, 16, 3, 3)).astype(np.float32)
    geometry = (1, 1), (1, 1), (1, 1)
    expected = kernel("_conv2d")(x, w, None, *geometry)

    def work():
        for _ in range(20):
            found.append(np.array_equal(kernel("_conv2d")(x, w, None, *geometry), expected))
    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert not worker.is_alive(), "a deadlock"
    assert len(found) == 80 and all(found)


def test_changing_the_number_while_others_work(threads):
    x = np.ones(10**6, np.float32)
    stop, wrong = threading.Event(), []

    def work():
        while not stop.is_set():
            if kernel("_relu")(x).sum() != 10**6:
                wrong.append(1)
    worker = threading.Thread(target=work)
    worker.start()
    for n in (1, 2, 3, 2, 1, 2):
        threads(n)
    stop.set()
    worker.join(60)
    assert not worker.is_alive() and not wrong


def test_sleepers_wake(threads):
    import time
    threads(2)
    x = np.ones(10**6, np.float32)
    kernel("_relu")(x)
    from minidl.kernels.cpu import threads as module
    deadline = time.monotonic() + 10
    while module._pool.asleep < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert module._pool.asleep == 1                  # nothing to do: it does not burn a core
    kernel("_relu")(x)
    assert module._pool.asleep in (0, 1)


def test_nobody_wakes_the_sleepers_of_a_new_pool():
    from minidl.kernels.cpu import threads as module
    pool = module._Pool(0)
    assert pool.asleep == 0 and not pool.bell.acquire(blocking=False)
    pool.asleep = 2
    pool.wake()
    assert pool.asleep == 0
    assert [pool.bell.acquire(blocking=False) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("n, error", [(0, ValueError), (-1, ValueError), (1.5, TypeError),
                                      (10**9, ValueError), ("2", TypeError), (True, TypeError),
                                      (None, TypeError)])
def test_wrong_numbers_of_threads(n, error):
    with pytest.raises(error, match="set_num_threads: n must be"):
        minidl.set_num_threads(n)


# --------------------------------------------------------------------------- whole processes
def run(code: str, **environment) -> str:
    """What a new Python prints; warnings are errors there too."""
    root = str(Path(minidl.__file__).parent.parent)
    env = {**os.environ, "PYTHONPATH": root, **environment}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=env, text=True,
                          capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


SMALL = """
import numpy as np, minidl
from minidl import kernels, nn, optim, functional as F
kernels.SMALLEST = 0
minidl.manual_seed(0)
def grads():
    minidl.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(2, 3, 2, padding="same", bias=False), nn.BatchNorm2d(3),
                          nn.LeakyReLU(0.1),
                          nn.Conv2d(3, 7, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5),
                          nn.ConvTranspose2d(7, 2, 2), nn.AvgPool2d(2), nn.Tanh(), nn.Flatten(),
                          nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3))
    x, t = minidl.rand(2, 2, 5, 5), minidl.tensor([0, 2])
    optimizer = optim.Adam(model.parameters())
    loss = F.cross_entropy(model(x), t) + F.binary_cross_entropy_with_logits(
        model(x), minidl.rand(2, 3))
    loss.backward()
    optimizer.step()
    return np.concatenate([a.ravel() for p in model.parameters()
                           for a in (p.numpy(), p.grad.numpy())])
fast = grads()
minidl.use_kernels("reference")
print(np.abs(fast - grads()).max() < 1e-4, len(kernels.CPU))
"""


def test_every_kernel_as_plain_python():
    """NUMBA_DISABLE_JIT=1: how to step inside a kernel."""
    found, count = run(SMALL, NUMBA_DISABLE_JIT="1").split()
    assert found == "True" and int(count) >= 25
    assert run(SMALL) == f"True {count}\n"


def test_a_plain_python_kernel_is_the_function_as_written():
    assert run("""
from minidl.kernels.cpu import tile, pool, threads
print(tile.multiply_tile is tile._tile_in_python, threads.JIT)
""", NUMBA_DISABLE_JIT="1") == "True False\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_after_fork():
    assert run("""
import os, warnings, numpy as np
warnings.simplefilter("ignore", DeprecationWarning)      # that threads and fork do not go together
import minidl
minidl.set_num_threads(2)
x = minidl.rand(40, 8, 12, 12)
w = minidl.rand(8, 8, 3, 3)
import minidl.functional as F
here = F.conv2d(x, w).numpy()
child = os.fork()
if child == 0:
    same = np.array_equal(F.conv2d(x, w).numpy(), here) and F.relu(x).shape == x.shape
    os._exit(0 if same else 1)
_, status = os.waitpid(child, 0)
print(status, np.array_equal(F.conv2d(x, w).numpy(), here))
""") == "0 True\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_no_workers_and_a_lock_of_its_own():
    """Even if another thread was starting workers at that moment."""
    assert run("""
import os, warnings, numpy as np
warnings.simplefilter("ignore", DeprecationWarning)      # that threads and fork do not go together
import minidl
minidl.set_num_threads(2)
x = minidl.rand(10**5) - 0.5
minidl.relu(x)
from minidl.kernels.cpu import threads
assert len(threads._pool.threads) == 1
with threads._lock:
    child = os.fork()
    if child == 0:
        os._exit(0 if threads._pool is None and not threads._lock.locked() else 1)
_, status = os.waitpid(child, 0)
print(status, len(threads._pool.threads))
""") == "0 1\n"


def test_beside_numpys_own_threads():
    assert run("""
import threading, numpy as np, minidl, minidl.functional as F
a = np.ones((500, 500), np.float32)
stop = threading.Event()
def multiply():
    while not stop.is_set():
        a @ a
other = threading.Thread(target=multiply); other.start()
x, w = minidl.rand(40, 8, 12, 12), minidl.rand(8, 8, 3, 3)
first = F.conv2d(x, w).numpy()
print(all(np.array_equal(F.conv2d(x, w).numpy(), first) for _ in range(50)))
stop.set(); other.join()
""", OPENBLAS_NUM_THREADS="2") == "True\n"


def test_without_numba_it_says_so_once():
    code = """
import sys, warnings
sys.modules["numba"] = None
import minidl
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    y = minidl.rand(10000).relu()
    y = minidl.rand(10000).relu()
print(len(caught), "install --upgrade numba" in str(caught[0].message), (y >= 0).all().item())
"""
    assert run(code) == "1 True True\n"


def test_small_arrays_load_no_compiler():
    assert run("""
import sys, minidl
x = minidl.rand(8, 4, requires_grad=True)
(x @ x.mT).relu().sum().backward()
print("numba" in sys.modules)
""") == "False\n"


def test_memory_settings_can_be_left_alone():
    code = "from minidl.kernels.cpu.memory import keep_freed_memory; print(keep_freed_memory())"
    assert run(code, MINIDL_MALLOC="default") == "False\n"
    assert run(code) == f"{sys.platform.startswith('linux') and 'musl' not in sys.version}\n"


# --------------------------------------------------------------------------- fusion
def values_and_gradients(model, x, fuse):
    for module in model.modules():
        if isinstance(module, nn.Sequential):
            module.fuse = fuse
    leaf = minidl.tensor(x, requires_grad=True)
    y = model(leaf)
    model.zero_grad()
    (y * y).sum().backward()
    return [y.numpy(), leaf.grad.numpy(), *(p.grad.numpy() for p in model.parameters())], y


FUSED = [
    lambda: [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2)],
    lambda: [nn.Conv2d(3, 8, 3, padding=1), nn.LeakyReLU(0.2), nn.MaxPool2d(3, 2, padding=1)],
    lambda: [nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 2),
             nn.ReLU()],
    lambda: [nn.ConvTranspose2d(3, 8, 3, 2), nn.LeakyReLU(0.3)],
    lambda: [nn.Flatten(), nn.Linear(300, 40), nn.ReLU(), nn.Linear(40, 20), nn.LeakyReLU()],
]


@pytest.mark.parametrize("layers", FUSED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fused_layers_give_what_the_layers_give(layers, dtype):
    model = nn.Sequential(*layers()).to(dtype)
    x = np.random.default_rng(0).normal(size=(6, 3, 10, 10)).astype(dtype)
    (fused, y), (single, z) = (values_and_gradients(model, x, fuse) for fuse in (True, False))
    for a, b in zip(fused, single):
        assert_close(a, b, 1e-5 if dtype == np.float32 else 1e-12)
    from minidl.nn import fusion
    counts = [len(list(fusion.stages(model._all(), fuse))) for fuse in (True, False)]
    assert counts[0] < counts[1] == len(model)
    assert isinstance(nn.Sequential.fuse, bool)


def test_what_is_left_alone():
    """keep(), the readable arithmetic, forward hooks, derived classes, a slope above 1."""
    from minidl.nn import fusion
    layers = [nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2)]
    count = lambda modules: len(list(fusion.stages(modules)))
    assert count(layers) == 1
    with minidl.keep():
        assert count(layers) == 3
    minidl.use_kernels("reference")
    assert count(layers) == 3
    minidl.use_kernels("fast")
    seen = []
    handle = layers[1].register_forward_hook(lambda module, args, out: seen.append(out))
    assert count(layers) == 3
    handle.remove()
    assert count(layers) == 1
    assert count([nn.Conv2d(1, 2, 3), nn.LeakyReLU(1.5)]) == 2
    assert count([nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2, return_indices=True)]) == 2

    class Loud(nn.ReLU):
        pass
    assert count([nn.Conv2d(1, 2, 3), Loud()]) == 2


def test_linear_over_more_axes_is_not_fused_wrongly():
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU())
    x = minidl.rand(3, 2, 4)
    expected = F.relu(F.linear(x, model[0].weight, model[0].bias))
    assert_close(model(x).data, expected.data, 1e-6)
    image = minidl.rand(1, 8, 8)
    single = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2))
    assert single(image).shape == (2, 3, 3)


def test_errors_of_bias_activation():
    with pytest.raises(ValueError, match=r"bias_activation: bias must have shape \(3,\)"):
        F.bias_activation(minidl.rand(2, 3), minidl.rand(2))
    with pytest.raises(ValueError, match="negative_slope must be in"):
        F.bias_activation(minidl.rand(2, 3), minidl.rand(3), 2.0)


@pytest.mark.parametrize("size, taps", [
    ((40, 40), (17, 17)), ((1, 20000), (1, 60)), ((9, 9), (3, 3))])
def test_convolutions_of_very_many_taps_are_the_readable_ones(size, taps, monkeypatch):
    """The lists of pairs would take more time and memory than they save."""
    called = []
    for name in ("_conv2d", "_conv2d_input_grad", "_conv2d_weight_grad"):
        def counted(*args, readable=READABLE[name]):
            called.append(readable.__name__)
            return readable(*args)
        monkeypatch.setitem(kernels.READABLE, name, counted)
    rng = np.random.default_rng(0)
    geometry = (1, 1), (0, 0), (1, 1)
    x, w = drawn(rng, 2, 3, *size), drawn(rng, 4, 3, *taps)
    (y,) = agree("_conv2d", x, w, None, *geometry)
    agree("_conv2d_input_grad", y, w, None, size, *geometry)
    agree("_conv2d_weight_grad", x, y, taps, *geometry)
    assert len(called) == (0 if taps == (3, 3) else 3)


@pytest.mark.skipif(bool(os.environ.get("NUMBA_DISABLE_JIT")), reason="plain Python reads strides")
def test_no_kernel_is_compiled_for_an_array_with_strides():
    """It would read the memory beside the array's numbers."""
    from minidl.kernels.cpu import elementwise
    y = np.empty(8, np.float32)
    for x in (np.ones(16, "f")[::2], np.broadcast_to(np.float32(1), 8), np.ones((2, 4), "f")):
        with pytest.raises(Exception, match="flatten the array by layout.py"):
            elementwise._relu_loop(8, 8, x, y)
