"""Long sums of float32 keep their digits, along any axis and in any memory order.

NumPy adds pairwise along an array's last axis alone; along the others a sum of n numbers may lose
n times the last digit. All equal numbers are the worst case: every rounding goes the same way.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import functional as F
from minidl import nn
from minidl.testing.strategies import in_order, memory_orders

LONG = 2**18
TENTH = float(np.float32(0.1))


@pytest.fixture(params=["reference", "fast"], autouse=True)
def each_kernel(request):
    before = minidl.kernels_in_use()
    minidl.use_kernels(request.param)
    yield
    minidl.use_kernels(before)


def tenths(*shape, **options):
    return minidl.full(shape, 0.1, **options)


def assert_right(found, expected, bound: float = 1e-6) -> None:
    """To a relative error of `bound`."""
    found = np.asarray(found.numpy(), np.float64)
    assert np.abs(found / expected - 1).max() <= bound


def test_four_million_rows_of_a_tenth():
    x = tenths(4_000_000, 2)
    assert_right(x.mean(0), TENTH)
    assert_right(x.sum(0), TENTH * 4e6)


def test_the_variance_of_a_narrow_distribution():
    x = np.random.default_rng(0).normal(100, 1, (LONG, 2)).astype(np.float32)
    assert_right(minidl.tensor(x).var(0), x.astype(np.float64).var(0, ddof=1))
    assert_right(minidl.tensor(x).std(0), x.astype(np.float64).std(0, ddof=1))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.data(), memory_orders())
def test_sums_over_any_axes(shape, data, order):
    """One axis is long; whichever are summed over."""
    shape[data.draw(st.integers(0, len(shape) - 1))] = 2**16
    axes = tuple(sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    x = in_order(np.full(shape, 0.1, np.float32), order)
    count = np.prod([shape[i] for i in axes])
    t = minidl.from_numpy(x)
    assert_right(t.sum(axes), TENTH * count)
    assert_right(t.mean(axes), TENTH)
    assert_right(t.norm(dim=axes), TENTH * np.sqrt(count))


@pytest.mark.parametrize("use", [
    lambda b: tenths(LONG, 2) + b, lambda b: tenths(LONG, 2) - b * -1, lambda b: b.expand(LONG, 2),
    lambda b: F.linear(tenths(LONG, 3), minidl.ones(2, 3), b.reshape(2))])
def test_what_was_broadcast_gets_the_sum_of_its_gradients(use):
    for shape in ((2,), (1, 2)):
        b = minidl.zeros(shape, requires_grad=True)
        use(b).backward(tenths(LONG, 2))
        assert_right(b.grad, TENTH * LONG)


def test_an_element_that_is_picked_many_times():
    table = minidl.zeros(3, 2, requires_grad=True)
    table[np.full(LONG, 1)].backward(tenths(LONG, 2))
    assert_right(table.grad[1], TENTH * LONG)
    assert table.grad[0].tolist() == table.grad[2].tolist() == [0, 0]
    embedding = nn.Embedding(3, 2)
    embedding(minidl.tensor(np.full(LONG, 1))).backward(tenths(LONG, 2))
    assert_right(embedding.weight.grad[1], TENTH * LONG)


def test_images_averaged_as_a_whole():
    x = tenths(1, 3, 512, 512)
    for images in (x, F.conv2d(x, minidl.eye(3).reshape(3, 3, 1, 1))):    # channels last in memory
        assert_right(nn.AdaptiveAvgPool2d(1)(images), TENTH)
        assert_right(F.avg_pool2d(images, 512), TENTH)
        assert_right(images.mean((2, 3)), TENTH)
    pixel = minidl.zeros(1, 1, 1, 1, requires_grad=True)
    F.interpolate(pixel, size=(512, 512)).backward(tenths(1, 1, 512, 512))
    assert_right(pixel.grad, TENTH * LONG)


def test_a_bias_of_a_convolution():
    bias = minidl.zeros(8, requires_grad=True)
    y = F.conv2d(tenths(1, 3, 512, 512), minidl.ones(8, 3, 1, 1), bias)
    y.backward(tenths(1, 8, 512, 512))
    assert_right(bias.grad, TENTH * LONG)


def test_exponentials_of_many():
    x = minidl.zeros(LONG, 2)
    assert_right(x.logsumexp(0), np.log(LONG))
    assert_right(F.softmax(x, 0), 1 / LONG)
    assert_right(F.log_softmax(x, 0), -np.log(LONG))
    assert_right(F.cross_entropy(x.transpose(0, 1), minidl.tensor([1, 2])), np.log(LONG))


def test_statistics_of_a_batch():
    x = tenths(LONG, 2)
    for norm in (nn.BatchNorm1d(2, momentum=None), nn.BatchNorm1d(2, momentum=1.0)):
        norm(x)
        assert_right(norm.running_mean, TENTH)


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.binary_cross_entropy,
                                  F.binary_cross_entropy_with_logits])
def test_losses_of_a_large_batch(loss):
    single = loss(tenths(1, dtype="float64"), minidl.ones(1, dtype="float64")).item()
    assert_right(loss(tenths(LONG, 2), minidl.ones(LONG, 2)), single)
    assert_right(loss(tenths(LONG, 2), minidl.ones(LONG, 2), reduction="sum"), single * 2 * LONG)


def test_the_norm_of_all_gradients():
    p = nn.Parameter(minidl.zeros(LONG, 2))
    p.grad = minidl.from_numpy(in_order(np.full((LONG, 2), 0.1, np.float32), "F"))
    assert_right(nn.utils.clip_grad_norm_([p], 1.0), TENTH * np.sqrt(2 * LONG))


@pytest.mark.parametrize("mean", [100.0, 1e5, 1e7])
def test_a_variance_does_not_feel_how_the_mean_was_rounded(mean):
    x = (mean + np.random.default_rng(5).integers(0, 3, (1000, 2))).astype(np.float32)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(minidl.tensor(x).var(0).numpy(), exact.var(0, ddof=1), rtol=1e-6)
    np.testing.assert_allclose(minidl.tensor(x.T).std(1).numpy(), exact.std(0, ddof=1), rtol=1e-6)
