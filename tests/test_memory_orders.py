"""Kernels read the numbers, whatever order they have in memory.

Every entry of the tables for the CPU and for CUDA gets arrays of every memory order, of sizes below
and above the one from which it is taken, as an op would hand them over: what runs must give what
the readable function gives. Memory that a kernel may leave unwritten is poisoned.
"""

from __future__ import annotations

import contextlib
import itertools

import cuda_on_cpu
import numpy as np
import pytest
from optable import assert_close, taken_from
from test_kernels import READABLE

import minidl
from minidl import kernels, random
from minidl.device import namespace, to_host
from minidl.kernels.gpu import twins
from minidl.testing.strategies import ORDERS, in_order

pytest.importorskip("numba")
ALL_ORDERS = (*ORDERS, "broadcast", "broadcast rows")
GEOMETRY = (1, 2), (1, (0, 1)), (1, 1)                           # of a convolution
WINDOW = (3, 2), (2, 1), ((1, 1), (0, 1)), (1, 2)                # of max pooling
IMAGES = {False: (2, 3, 6, 5), True: (5, 7, 12, 11)}             # below and above SMALLEST
ROWS = {False: (9, 4), True: (300, 10)}


class Case:
    """Arguments for the functions of the tables, drawn in one dtype, one memory order and one size.
    """

    def __init__(self, order: str, dtype, large: bool, place=lambda array: array):
        self.rng, self.order, self.dtype, self.place = np.random.default_rng(0), order, dtype, place
        self.large, self.images, self.rows = large, IMAGES[large], ROWS[large]

    def array(self, shape, integers: int | None = None, positive: bool = False, fresh=False):
        """Random numbers (or class numbers); `fresh`: an array that a library made for itself."""
        x = (self.rng.normal(size=shape).astype(self.dtype) if integers is None else
             self.rng.integers(0, integers, shape))
        x = np.abs(x) if positive else x
        if self.order.startswith("broadcast") and x.ndim and not fresh:
            few = self.place(x[:1] if self.order == "broadcast rows" else x.reshape(-1)[:1])
            return namespace(few).broadcast_to(few, shape)
        return self.place(x) if fresh else in_order(self.place(x), self.order)

    def arguments(self, asked: str) -> tuple[tuple, int]:
        """What the op calls the function with, and of how many leading arrays it asks
        :func:`minidl.kernels.replacement` whether a kernel fits them."""
        array, images, (N, C, H, W), (R, K) = self.array, self.images, self.images, self.rows
        size, out, pooled, summed = (H, W), (H, W // 2), (H // 2, W - 1), (H // 2, W)
        weight, sums = (4, C, 3, 2), ((3, 2), (2, 1), ((1, 1), (0, 1)))
        channel, axes, name = (1, C, 1, 1), (0, 2, 3), asked.removesuffix(" of rows")
        if name != asked:
            images, channel, axes = self.rows, (1, K), (0,)
        return {
            "_conv2d": lambda: (
                (array(self.images), array(weight), array((4,)), *GEOMETRY), 2),
            "_conv2d_input_grad": lambda: (
                (array((N, 4, *out)), array(weight), array((C,)), size, *GEOMETRY), 2),
            "_conv2d_weight_grad": lambda: (
                (array(self.images), array((N, 4, *out)), (3, 2), *GEOMETRY), 2),
            "_matmul_arrays": lambda: ((array((R, K)), array((K, 60))), 2),
            "_linear_arrays": lambda: ((array((R, K)), array((60, K)), array((60,))), 2),
            "array_sum": lambda: ((array(images), axes, False), 1),
            "_bias_activation": lambda: ((array(images), array(channel), 0.3), 2),
            "_bias_activation_grad": lambda: ((array(images), array(images), channel, 0.3), 2),
            "_max_pool2d": lambda: ((array(self.images), *WINDOW, pooled), 1),
            "_scatter_taps": lambda: ((array((N, C, *pooled)), READABLE["_max_pool2d"](
                array(self.images), *WINDOW, pooled)[1], *WINDOW, size), 1),
            "_sum_pool2d": lambda: ((array(self.images), *sums, summed), 1),
            "_sum_pool2d_grad": lambda: ((array((N, C, *summed)), *sums, size), 1),
            "_batch_norm": lambda: (
                (array(images), array(channel), array(channel), axes, 0.1), 3),
            "_batch_norm_grad": lambda: (
                (array(images), array(images), *(array(channel) for _ in range(3)), axes), 5),
            "_cross_entropy": lambda: ((array((R, K)), array((R,), K)), 1),
            "_cross_entropy_grad": lambda: ((array((R,)), array((R, K)), array((R,), K)), 2),
            "_class_shares": lambda: ((array((R, K)), array((R,), K), 3), 1),
            "_dropout_mask": lambda: ((array(self.images), 0.4, 5, 6, 7), 1),
            "_sgd": lambda: (self.updated(2, 0.1), 2),
            "_sgd_momentum": lambda: (self.updated(3, 0.1, 0.9, 0.7, True), 3),
            "_rmsprop": lambda: (self.updated(3, 0.1, 0.5, 1e-3), 3),
            "_adam": lambda: (self.updated(4, 3, 0.1, 0.9, 0.99, 1e-3), 4),
            "_adagrad": lambda: (self.updated(3, 0.1, 1e-3), 3),
            "uniform": lambda: ((array(self.images, fresh=True), 5, 6, 7), 1),
            "normal": lambda: ((array(self.images, fresh=True), 5, 6, 7), 1),
            "_leaky_relu": lambda: ((array(self.images), 0.3), 1),
            "_leaky_relu_grad": lambda: ((array(self.images), array(self.images), 0.3), 2),
            **{n: lambda: ((array(self.images),), 1) for n in ("_relu", "_normal_cdf")},
            "_relu_grad": lambda: ((array(self.images), array(self.images)), 2),
        }[name]()

    def updated(self, count: int, *numbers):
        """A parameter, its gradient and its states: the parameter is in memory of its own, in any
        order without overlap; what is given to it may lie anyhow."""
        order = self.order
        if order.startswith("broadcast"):
            self.order = "C"
        p = self.array(self.images)
        self.order = order
        g = self.array(self.images)
        states = [in_order(self.place(np.abs(self.rng.normal(size=self.images)).astype(self.dtype)),
                           order) for _ in range(count - 2)]
        return p, g, *states, *numbers


def called(function, args) -> list[np.ndarray | None]:
    """What it returns, on the host; or, of an update rule, what it leaves in its arguments."""
    y = function(*args)
    if y is None:
        y = tuple(a for a in args if hasattr(a, "dtype"))
    return [None if a is None else np.array(to_host(a)) for a in (y if type(y) is tuple else (y,))]


def same(name, found, expected, dtype) -> None:
    assert len(found) == len(expected), name
    for a, b in zip(found, expected):
        if a is None or b is None:                  # left to the engine's own sum
            continue
        assert a.dtype == b.dtype and np.isfinite(a).all(), name
        assert_close(a, b, 5e-5 if dtype == np.float32 else 1e-11, name)


@contextlib.contextmanager
def poisoned():
    """Inside, memory whose numbers are not set is full of nan, or of a large integer."""
    original = np.empty, np.empty_like

    def spoilt(array):
        array[...] = np.nan if array.dtype.kind == "f" else 77
        return array

    np.empty = lambda *args, **kwargs: spoilt(original[0](*args, **kwargs))
    np.empty_like = lambda *args, **kwargs: spoilt(original[1](*args, **kwargs))
    try:
        yield
    finally:
        np.empty, np.empty_like = original


def with_rows(table) -> list[str]:
    """The names of a table; those that take images and rows of features twice."""
    both = "_bias_activation", "_bias_activation_grad", "_batch_norm", "_batch_norm_grad"
    return sorted([*table, *(f"{name} of rows" for name in both if name in table)])


def taken(readable, args, count):
    """What the op would call."""
    return kernels.replacement(readable.__name__, args[:count]) or readable


kernels.load_kernels(warn=False)


@pytest.mark.parametrize("name", with_rows(kernels.CPU))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_on_the_cpu(name, dtype):
    used, readable = set(), READABLE[name.removesuffix(" of rows")]
    kernel = kernels.CPU[readable.__name__]
    for large, smallest, order in itertools.product((False, True), (None, 1), ALL_ORDERS):
        (args, count), (others, _), (again, _) = (
            Case(order, dtype, large).arguments(name) for _ in range(3))
        with taken_from(smallest):
            function = taken(readable, args, count)
            used.add(function is kernel)
            expected = called(readable, others)
            found = called(function, args)            # compiled here, with NumPy's own empty
            with poisoned():
                once_more = called(taken(readable, again, count), again)
        same(f"{name}, {order}", found, expected, dtype)
        for a, b in zip(found, once_more):
            np.testing.assert_array_equal(a, b, f"{name}, {order}: memory is left unset")
    assert used == {True, False}, f"{name}: its kernel was taken always, or never"


@pytest.mark.skipif(cuda_on_cpu.problem() is not None, reason=str(cuda_on_cpu.problem()))
@pytest.mark.parametrize("name", with_rows(twins.CUDA_KERNELS))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_on_a_gpu(name, dtype, gpu):
    """Of the stand-in for CuPy, whose memory is poisoned always."""
    minidl.device.resolve("cuda")
    kernel, used = twins.CUDA_KERNELS[name.removesuffix(" of rows")], set()
    readable = READABLE.get(kernel.__name__)
    for large, order in itertools.product((False, True), ALL_ORDERS):
        with cuda_on_cpu.guarded():
            (args, count), (others, _) = (
                Case(order, dtype, large, on_gpu).arguments(name) for _ in range(2))
            function = taken(readable, args, count) if readable else kernel
            used.add(function is kernel)
            found = called(function, args)
            with no_kernels():
                expected = called(readable or in_plain(name), others)
        same(f"{name}, {order}", found, expected, dtype)
    assert True in used, f"{name}: its kernel was never taken"


@pytest.mark.parametrize("name", sorted(READABLE))
def test_the_readable_function_is_readable_all_the_way_down(name, monkeypatch):
    """Inside it no kernel is asked for: it is what kernels are compared with."""
    args, _ = Case("C", np.float32, True).arguments(name)
    monkeypatch.setattr(kernels, "replacement", None)
    READABLE[name](*args)


def on_gpu(array):
    import cupy
    return cupy.asarray(array)


def in_plain(name):
    """Noise as it is on the CPU."""
    return lambda y, seed, counter, first: getattr(random, name)(
        y.shape, seed, counter, y.dtype, first)


@contextlib.contextmanager
def no_kernels():
    kernels.use_kernels("reference")
    try:
        yield
    finally:
        kernels.use_kernels("fast")


@pytest.mark.parametrize("name", with_rows(kernels.CPU))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_numbers_on_the_cpu(name, dtype):
    """inf, nan and signed zeros, one at a time and in each argument: what is not finite is so in
    the same places, and the rest is the same. (Not in a convolution's weights: whether
    the zeros of a border are multiplied with them is each one's own affair.)"""
    readable = READABLE[name.removesuffix(" of rows")]
    tried = 0
    for value, at in itertools.product((np.inf, -np.inf, np.nan, 0.0, -0.0), (0, 3)):
        for which in range(5):
            pair = [Case("C", dtype, False).arguments(name)[0] for _ in range(2)]
            floats = [[a for a in args if getattr(a, "dtype", None) == dtype] for args in pair]
            if which >= (1 if name.startswith("_conv2d") else len(floats[0])):
                break
            for arrays in floats:
                arrays[which].reshape(-1)[min(at, arrays[which].size - 1)] = value
            with np.errstate(all="ignore"), taken_from(1):
                found = called(kernels.CPU[readable.__name__], pair[0])
                expected = called(readable, pair[1])
            for a, b in zip(found, expected):
                if a is not None and b is not None:
                    np.testing.assert_allclose(a, b, 5e-5 if dtype == np.float32 else 1e-11,
                                               1e-4 if dtype == np.float32 else 1e-10,
                                               err_msg=f"{name}: {value} in argument {which}")
            tried += 1
    assert tried >= 10
