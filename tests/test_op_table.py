"""Every op of the table, by the same property tests; its arguments come from the op's domain.

Per op: value = formulas.py, gradient and second derivative = finite differences, all ways to
compute them equal, inputs not changed, gradients alias nothing, dtype kept, memory order without
influence, graph freed. Index maps are in test_index_maps.py, mutations in test_mutation.py.
"""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optable import (
    assert_close,
    call,
    every_op,
    few,
    in_dtype,
    leaf,
    noise_like,
    taken_from,
    tensor_arguments,
    value_and_gradients,
)

import minidl
from minidl import OPS, formulas
from minidl.testing import check_gradients
from minidl.testing.domains import DOMAINS, WITHOUT_DOMAIN
from minidl.testing.strategies import in_order, memory_orders


def test_every_op_has_a_domain_or_a_written_reason():
    assert set(OPS) == set(DOMAINS) | set(WITHOUT_DOMAIN), "see minidl/testing/domains.py"
    assert not set(DOMAINS) & set(WITHOUT_DOMAIN)
    assert all(len(reason) > 20 for reason in WITHOUT_DOMAIN.values())
    assert len(WITHOUT_DOMAIN) == 0      # raise this number only together with a reason


@every_op
@given(data=st.data())
@few
def test_tensors_placed_among_the_arguments_are_the_inputs_again(name, data):
    args, entry = data.draw(DOMAINS[name]), OPS[name]
    tensors = [leaf(x) for x in tensor_arguments(name, args)]
    placed = entry.with_inputs(args, tensors)
    assert [a is b for a, b in zip(entry.inputs(placed), tensors, strict=True)] == [True] * len(
        tensors)
    back = entry.with_inputs(placed, tensor_arguments(name, args))
    assert len(back) == len(args)
    assert all(a is b or entry.sequence and i == 0 for i, (a, b) in enumerate(zip(back, args)))


# --------------------------------------------------------------------------- values
def _along_last(f, x, dim):
    """f along the last axis, seen along axis `dim`."""
    return np.moveaxis(f(np.moveaxis(x, dim, -1)), -1, dim)


def _standardized(x, dim, eps):
    """The formula of batch normalisation, where (N,H,W) are the axes `dim` and C all others."""
    moved = np.moveaxis(x, dim, range(len(dim)))
    flat = moved.reshape(int(np.prod(moved.shape[:len(dim)])), -1, 1, 1)
    ones, zeros = np.ones(flat.shape[1]), np.zeros(flat.shape[1])
    y, *_ = formulas.batch_norm(flat, ones, zeros, zeros, ones, eps=eps, correction=0)
    return np.moveaxis(y.reshape(moved.shape), range(len(dim)), dim)


def _matmul(a, b):
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (np.broadcast_to(m, (*lead, *m.shape[-2:])) for m in (a, b))
    y = np.zeros((*lead, a.shape[-2], b.shape[-1]))
    for i in np.ndindex(*lead):
        y[i] = formulas.matmul(a[i], b[i])
    return y


def _transposed(g, w, b, size, stride, padding, dilation):
    least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in zip(
        g.shape[2:], stride, padding, dilation, w.shape[2:])]
    extra = tuple(n - m for n, m in zip(size, least))
    return formulas.conv_transpose2d(g, w, b, stride, padding, extra, dilation)


def _weight_grad(x, g, kernel, stride, padding, dilation):
    """y[o,c,u,v]: the convolution with a kernel that has a single 1, times g."""
    O, C = g.shape[1], x.shape[1]
    y = np.zeros((O, C, *kernel))
    for c, u, v in np.ndindex(C, *kernel):
        w = np.zeros((1, C, *kernel))
        w[0, c, u, v] = 1.0
        seen = formulas.conv2d(x, w, None, stride, padding, dilation)[:, 0]
        seen = seen[:, :g.shape[2], :g.shape[3]]
        y[:, c, u, v] = [(seen * g[:, o]).sum() for o in range(O)]
    return y


def _max_pool(x, window, stride, pads, dilation, out_size):
    return formulas.max_pool2d(x, window, stride, tuple(p for p, _ in pads), dilation)


def _sum_pool(x, window, stride, pads, out_size):
    mean = formulas.avg_pool2d(x, window, stride, tuple(p for p, _ in pads))
    return mean * window[0] * window[1]


FORMULAS = {
    "relu": formulas.relu,                                                          # D2-RELU
    "leaky_relu": formulas.leaky_relu,                                              # D0-LRELU
    "tanh": formulas.tanh,                                                          # D0-TANH
    "sigmoid": formulas.sigmoid,                                                    # D0-SIGMOID
    "softmax": lambda x, dim: _along_last(formulas.softmax, x, dim),                # D1-SOFTMAX
    "log_softmax": lambda x, dim: np.log(_along_last(formulas.softmax, x, dim)),
    "linear": formulas.linear,                                                     # D1-DENSE
    "matmul": _matmul,
    "conv2d": formulas.conv2d,                                                      # D3-CONV
    "conv2d_input_grad": _transposed,                                               # D1-TCONV
    "conv2d_weight_grad": _weight_grad,
    "max_pool2d": _max_pool,                                                        # D0-MAXPOOL
    "sum_pool2d": _sum_pool,                                                        # D0-AVGPOOL
    "standardize": _standardized,                                                   # D1-BN
    "bce": np.vectorize(lambda p, t: formulas.bce(np.array([p]), np.array([t])),   # D0-BCE
                         otypes=[float]),
}


@pytest.mark.parametrize("name", FORMULAS)
@given(data=st.data())
def test_value_equals_the_formula(name, data):
    args = data.draw(DOMAINS[name])
    y = call(name, args, [leaf(x) for x in tensor_arguments(name, args)])
    assert_close(y.data, FORMULAS[name](*args), 1e-12)


# --------------------------------------------------------------------------- derivatives
@every_op
@given(data=st.data())
def test_gradient_equals_finite_differences(name, data):
    args = data.draw(DOMAINS[name])
    check_gradients(lambda *ts: call(name, args, ts), *tensor_arguments(name, args), entries=12,
                    directions=4)


@every_op
@few
@given(data=st.data())
def test_second_derivative_equals_finite_differences(name, data):
    args = data.draw(DOMAINS[name])
    check_gradients(lambda *ts: call(name, args, ts), *tensor_arguments(name, args), order=2,
                    entries=8, directions=3, rtol=1e-5, atol=1e-7)


# --------------------------------------------------------------------------- ways to compute
@every_op
@few
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64]))
def test_kernels_and_recorded_backward_agree(name, data, dtype):
    """Readable arithmetic and its replacements; backward as usual and under create_graph."""
    args = in_dtype(data.draw(DOMAINS[name]), dtype)
    results, before = [], minidl.kernels_in_use()
    try:
        for which in ("reference", "fast"):
            minidl.use_kernels(which)
            with taken_from(0):              # what is drawn is small
                results += [value_and_gradients(name, args, create_graph=c) for c in (False, True)]
    finally:
        minidl.use_kernels(before)
    (y, gradients), *others = results
    rtol = 2e-5 if dtype == np.float32 else 1e-12
    for y2, gradients2 in others:
        assert_close(y2, y, rtol, "value")
        for g, g2 in zip(gradients, gradients2):
            assert (g is None) == (g2 is None)
            if g is not None:
                assert_close(g2, g, rtol, "gradient")


@every_op
@few
@given(data=st.data(), order=memory_orders(), upstream=memory_orders())
def test_memory_order_has_no_influence(name, data, order, upstream):
    """Of the arguments, and of the upstream gradient; kernels are taken for every size."""
    args = data.draw(DOMAINS[name])
    arrays = [in_order(x, order) for x in tensor_arguments(name, args)]
    y, gradients = value_and_gradients(name, args)
    with taken_from(0):
        y2, gradients2 = value_and_gradients(
            name, args, arrays, upstream=lambda y: in_order(noise_like(y), upstream))
    assert_close(y2, y, 1e-12, "value")
    for g, g2 in zip(gradients, gradients2):
        if g is not None:
            assert_close(g2, g, 1e-12, "gradient")


@every_op
@few
@given(data=st.data(), axis=st.integers(-3, 2))
def test_numbers_seen_many_times_are_as_good_as_copies(name, data, axis):
    """Arrays of stride 0: what ``expand`` makes, and what ``sum`` hands back."""
    def seen_again(x):
        if not -x.ndim <= axis < x.ndim:
            return x
        return np.broadcast_to(x[(slice(None),) * (axis % x.ndim) + (slice(0, 1),)], x.shape)

    args = data.draw(DOMAINS[name])
    views = [seen_again(x) if x.size else x for x in tensor_arguments(name, args)]
    results = []
    for smallest, array in ((None, np.array), (0, lambda x: x), (None, lambda x: x)):
        with taken_from(smallest):
            results.append(value_and_gradients(name, args, [array(x) for x in views],
                                               upstream=lambda y: array(seen_again(noise_like(y)))))
    (y, gradients), *others = results
    for y2, gradients2 in others:
        assert_close(y2, y, 1e-12, "value")
        for g, g2 in zip(gradients, gradients2):
            if g is not None:
                assert_close(g2, g, 1e-12, "gradient")


# --------------------------------------------------------------------------- manners
@every_op
@few
@given(data=st.data())
def test_float32_stays_float32(name, data):
    args = in_dtype(data.draw(DOMAINS[name]), np.float32)
    if name == "convert":                                    # whose job is another dtype
        args = (args[0], np.dtype(np.float32), "cpu")
    y, gradients = value_and_gradients(name, args)
    assert y.dtype == np.float32
    assert {g.dtype for g in gradients if g is not None} <= {np.dtype(np.float32)}


@every_op
@few
@given(data=st.data())
def test_inputs_stay_and_gradients_alias_nothing(name, data):
    args = data.draw(DOMAINS[name])
    arrays = [x.copy() for x in tensor_arguments(name, args)]
    leaves = [leaf(x) for x in arrays]
    y = call(name, args, leaves)
    upstream = noise_like(y.data)
    seed = minidl.from_numpy(upstream.copy())
    y.backward(seed)
    for x, before in zip(arrays, tensor_arguments(name, args)):
        assert np.array_equal(x, before), "an input was changed"
    assert np.array_equal(seed.data, upstream), "the upstream gradient was changed"
    gradients = [x.grad.data for x in leaves if x.grad is not None]
    for i, g in enumerate(gradients):
        for other in [seed.data, y.data, *arrays, *gradients[:i]]:
            assert not np.shares_memory(g, other), "a gradient shares memory"


@every_op
@settings(max_examples=3)
@given(data=st.data())
def test_graph_dies_without_the_garbage_collector(name, data):
    args = data.draw(DOMAINS[name])
    gc.disable()
    try:
        for run_backward in (False, True):
            leaves = [leaf(x) for x in tensor_arguments(name, args)]
            inner = [x * 1.0 if x.requires_grad else x for x in leaves]
            y = call(name, args, inner)
            alive = [weakref.ref(t) for t in (y, *inner) if t.requires_grad and not t.is_leaf]
            if run_backward:
                y.backward(minidl.from_numpy(noise_like(y.data)))
                inner.clear()
                assert all(ref() is None for ref in alive[1:]), "backward did not free the graph"
            inner.clear()
            del y
            assert all(ref() is None for ref in alive), "a reference cycle keeps the graph"
    finally:
        gc.enable()
