"""What tests draw: shapes, numbers away from kinks and ties, memory orders; and what a slope is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from minidl.testing.differences import slope
from minidl.testing.domains import DOMAINS
from minidl.testing.strategies import ORDERS, arrays, distinct_arrays, in_order, shapes

SEARCH = settings(max_examples=2000, database=None)


def test_shapes_have_up_to_three_axes_of_one_to_four():
    for shape in ((), (4, 4, 4)):
        assert find(shapes(), lambda drawn, shape=shape: drawn == shape, settings=SEARCH) == shape

    @given(shapes())
    def none_is_larger(shape):
        assert len(shape) <= 3 and set(shape) <= {1, 2, 3, 4}
    none_is_larger()


@given(st.integers(0, 9).flatmap(lambda size: distinct_arrays((size,), gap=0.3)))
def test_distinct_arrays_are_spread_evenly_around_0(x):
    """Places 0.5 apart, each number within 0.1 of its own."""
    places = 0.5 * (np.arange(x.size) - (x.size - 1) / 2)
    assert np.abs(np.sort(x) - places).max(initial=0) <= 0.1 + 1e-12


@given(arrays((50,), -1.0, 2.0, away_from=[0.0, 1.0], gap=0.25))
def test_arrays_keep_away_from_kinks(x):
    assert x.min() >= -1 and x.max() <= 2
    assert np.abs(x).min() >= 0.25 - 1e-12 and np.abs(x - 1).min() >= 0.25 - 1e-12


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4, 5)])
def test_a_memory_order_changes_no_number(order, shape):
    x = np.arange(float(np.prod(shape))).reshape(shape) + 10
    y = in_order(x, order)
    np.testing.assert_array_equal(y, x)
    assert y.dtype == x.dtype and not np.shares_memory(x, y)


@pytest.mark.parametrize("order, axis", [("strided", -1), ("rows apart", 0)])
def test_between_numbers_that_stand_apart_there_is_another(order, axis):
    """7, which a kernel would take that reads on without a look at the strides."""
    x = np.arange(24.0).reshape(4, 6) + 10
    wide = in_order(x, order).base
    assert wide.shape[axis] == 2 * x.shape[axis]
    assert (np.moveaxis(wide, axis, 0)[1::2] == 7).all()
    assert in_order(x, "reversed").strides == (-48, -8)
    assert in_order(x, "column").strides == (144, 24)


def test_the_slope_of_curves_and_the_size_of_a_kink():
    """Exact up to the fourth power; the kink of |t| is 2, of a smooth curve 0."""
    exact = lambda f: slope(lambda t: (f(t), abs(f(t)), 1.0), 0.5)
    for f, right in ((lambda t: 3 * t, 3), (lambda t: t * t, 0), (lambda t: t**4 - t, -1)):
        assert exact(f).value == right
    assert exact(lambda t: 3 * t - t * t).kink == 0
    assert exact(abs).kink == 2 and exact(abs).value == 0
    assert exact(lambda t: t**3).kink == pytest.approx(0.75)       # 3 step^2: they bend


def test_what_ops_are_tried_with():
    """Images with a stride or more at their ends that no window reaches; always some axis to
    standardise over."""
    def unread(args):
        _, w, _, size, stride, padding, dilation = args
        return max(n + 2 * p - (k - 1) * d - 1 - (m - 1) * s - (s - 1) for n, p, k, d, m, s in zip(
            size, padding, w.shape[2:], dilation, args[0].shape[2:], stride))
    assert unread(find(DOMAINS["conv2d_input_grad"], lambda a: unread(a) > 0, settings=SEARCH)) > 0

    @given(DOMAINS["standardize"])
    def drawn(standardize):
        x, dims, _ = standardize
        assert 0 < len(dims) == len({*dims} & {*range(x.ndim)})
    drawn()
