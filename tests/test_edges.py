"""Values at the edges: infinities, nan, zeros of both signs, what is masked out, ties.

What is expected stands here: PyTorch's value where it has one, the limit of the formula where
PyTorch gives nan (gelu at -inf, binary cross entropy of what is certain and right).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
import minidl.functional as F
from minidl import nn, optim

T, inf, nan = minidl.tensor, math.inf, math.nan
pytestmark = pytest.mark.filterwarnings("error")
DTYPES = ("float32", "float64")


def value_and_gradient(f, *arrays, dtype="float32"):
    leaves = [T(x, dtype=dtype, requires_grad=True) for x in arrays]
    y = f(*leaves)
    y.backward(minidl.ones_like(y))
    return y.numpy(), *[x.grad.numpy() for x in leaves]


def close(found, expected, dtype="float32"):
    np.testing.assert_allclose(found, expected, rtol=1e-6 if dtype == "float32" else 1e-12,
                               atol=1e-37)


# --------------------------------------------------------------------------- activations
POINTS = [inf, -inf, 0.0, -0.0, 1e30, -1e30, 1e-30]
# name: (function, values at POINTS, slopes at POINTS)
ACTIVATIONS = {
    "relu": (F.relu, [inf, 0, 0, 0, 1e30, 0, 1e-30], [1, 0, 0, 0, 1, 0, 1]),
    "leaky_relu": (F.leaky_relu, [inf, -inf, 0, 0, 1e30, -1e28, 1e-30],
                   [1, .01, .01, .01, 1, .01, 1]),
    "leaky_relu, slope 0": (lambda x: F.leaky_relu(x, 0.0), [inf, 0, 0, 0, 1e30, 0, 1e-30],
                            [1, 0, 0, 0, 1, 0, 1]),
    "elu": (F.elu, [inf, -1, 0, 0, 1e30, -1, 1e-30], [1, 0, 1, 1, 1, 0, 1]),
    "elu, alpha 2": (lambda x: F.elu(x, 2.0), [inf, -2, 0, 0, 1e30, -2, 1e-30],
                     [1, 0, 2, 2, 1, 0, 1]),
    "gelu": (F.gelu, [inf, 0, 0, 0, 1e30, 0, 5e-31], [1, 0, .5, .5, 1, 0, .5]),
    "gelu, tanh": (lambda x: F.gelu(x, "tanh"), [inf, 0, 0, 0, 1e30, 0, 5e-31],
                   [1, 0, .5, .5, 1, 0, .5]),
    "softplus": (F.softplus, [inf, 0, math.log(2), math.log(2), 1e30, 0, math.log(2)],
                 [1, 0, .5, .5, 1, 0, .5]),
    "softplus, beta 2": (lambda x: F.softplus(x, 2.0),
                         [inf, 0, math.log(2) / 2, math.log(2) / 2, 1e30, 0, math.log(2) / 2],
                         [1, 0, .5, .5, 1, 0, .5]),
    "softplus, threshold -1": (lambda x: F.softplus(x, 1.0, -1.0),
                               [inf, 0, 0, 0, 1e30, 0, 1e-30], [1, 0, 1, 1, 1, 0, 1]),
    "sigmoid": (F.sigmoid, [1, 0, .5, .5, 1, 0, .5], [0, 0, .25, .25, 0, 0, .25]),
    "tanh": (F.tanh, [1, -1, 0, 0, 1, -1, 1e-30], [0, 0, 1, 1, 0, 0, 1]),
    "abs": (minidl.abs, [inf, inf, 0, 0, 1e30, 1e30, 1e-30], [1, -1, 0, 0, 1, -1, 1]),
    "exp": (minidl.exp, [inf, 0, 1, 1, inf, 0, 1], [inf, 0, 1, 1, inf, 0, 1]),
    "clamp": (lambda x: x.clamp(-1, 1), [1, -1, 0, 0, 1, -1, 1e-30], [0, 0, 1, 1, 0, 0, 1]),
    "clamp at inf": (lambda x: x.clamp(max=inf), POINTS, [1] * 7),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_slopes(name, dtype):
    f, values, slopes = ACTIVATIONS[name]
    y, g = value_and_gradient(f, POINTS, dtype=dtype)
    close(y, values, dtype)
    close(g, slopes, dtype)
    y, _ = value_and_gradient(f, [nan], dtype=dtype)
    assert np.isnan(y).all() or name == "leaky_relu, slope 0"
    # a number at the edge changes none beside it
    alone, _ = value_and_gradient(f, [0.5], dtype=dtype)
    beside, g = value_and_gradient(f, [0.5, inf, -inf, nan], dtype=dtype)
    assert beside[0] == alone[0] and np.isfinite(g[0])


@given(st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=20), st.floats(0.25, 4),
       st.floats(-5, 25))
def test_softplus_obeys_beta_and_threshold(numbers, beta, threshold):
    """log(1 + e^{beta x}) / beta, and x itself with slope 1 where beta x > threshold."""
    x = np.array(numbers)
    y, g = value_and_gradient(lambda x: F.softplus(x, beta, threshold), x, dtype="float64")
    linear = beta * x > threshold
    np.testing.assert_allclose(y, np.where(linear, x, np.logaddexp(0, beta * x) / beta), rtol=1e-12)
    np.testing.assert_allclose(g, np.where(linear, 1, 1 / (1 + np.exp(-beta * x))), rtol=1e-9)


# --------------------------------------------------------------------------- softmax family
def test_softmax_family_with_infinities():
    for dim_first in (False, True):
        x = np.array([[-inf, 1.0, 2.0], [-inf, -inf, 3.0], [inf, 0.0, 1.0]]).T
        x = x if dim_first else x.T
        dim = 0 if dim_first else 1
        soft, _ = value_and_gradient(lambda x: minidl.softmax(x, dim), x)
        lse, g = value_and_gradient(lambda x: minidl.logsumexp(x, dim), x)
        soft, g = (soft.T, g.T) if dim_first else (soft, g)
        p = 1 / (1 + math.e)
        close(soft[:2], [[0, p, 1 - p], [0, 0, 1]])
        assert np.isnan(soft[2]).all()                              # inf - inf, as in PyTorch
        close(lse, [2 + math.log1p(math.exp(-1)), 3, inf])
        close(g[:2], [[0, p, 1 - p], [0, 0, 1]])
    assert minidl.logsumexp(T([-inf, -inf]), 0).item() == -inf


# --------------------------------------------------------------------------- what counts nothing
def _ce(**options):
    return lambda x: F.cross_entropy(x, T([1, -100]), **options)


BAD = [[-inf, 1.0, 2.0], [-inf, 0.5, 1.0]]
ROW = math.log1p(math.e)                           # -log p of class 1 of (-inf, 1, 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("f, value", [
    (_ce(), ROW), (_ce(reduction="sum"), ROW), (_ce(weight=[1.0, 2.0, 3.0]), ROW),
    (_ce(weight=[0.0, 2.0, 0.0], reduction="sum"), 2 * ROW),
    (lambda x: F.nll_loss(F.log_softmax(x, 1), T([1, -100])), ROW),
    (lambda x: F.cross_entropy(x[:1], T([[0.0, 1.0, 0.0]])), ROW),
    (lambda x: F.cross_entropy(x[:1], T([[0.5, 0.5, 0.0]]), [0.0, 2.0, 2.0]), ROW),
])
def test_cross_entropy_leaves_out_what_is_left_out(f, value, dtype):
    """An ignored row, a class of weight 0, a target of 0: none of them counts, -inf or not."""
    y, g = value_and_gradient(f, BAD, dtype=dtype)
    close(y, value, "float32")
    p = 1 / (1 + math.e)
    scale = 2 if value == 2 * ROW else 1
    close(g, [[0, scale * (p - 1), scale * (1 - p)], [0, 0, 0]], "float32")


def test_every_row_of_none_counts():
    y = F.cross_entropy(T(BAD), T([1, -100]), reduction="none")
    close(y.numpy(), [ROW, 0])
    y = F.cross_entropy(T([[-inf, 1, 2], [0, 1, 2.0]]), T([0, 1]), weight=T([0.0, 1, 1]))
    close(y.item(), math.log(math.exp(-1) + 1 + math.e))
    y = F.cross_entropy(T(BAD), T([1, -100]), label_smoothing=0.1)
    assert y.item() == inf                           # a tenth on every class, one impossible


@given(st.integers(0, 2**32 - 1))
def test_ignored_rows_change_nothing(seed):
    """Whatever stands in them: the value and the gradients of the others are as without them."""
    rng = np.random.default_rng(seed)
    n, c = rng.integers(2, 6, 2)
    x, t = rng.normal(size=(n, c)), rng.integers(0, c, n)
    ignored = rng.random(n) < 0.5
    ignored[0] = False
    bad = x.copy()
    bad[ignored, 0] = rng.choice([-inf, -1e308, 1e300])
    t[ignored] = -100
    for weight in (None, T(rng.uniform(0.5, 2, c))):
        for smoothing in (0.0, 0.2):
            both = [value_and_gradient(lambda x, t=t: F.cross_entropy(
                x, T(t), weight, label_smoothing=smoothing), x, dtype="float64")
                for x, t in ((bad, t), (x[~ignored], t[~ignored]))]
            np.testing.assert_allclose(both[0][0], both[1][0], rtol=1e-12)
            np.testing.assert_allclose(both[0][1][~ignored], both[1][1], rtol=1e-10, atol=1e-15)
            assert not both[0][1][ignored].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options, scale", [({}, 1), ({"weight": [3.0]}, 3),
                                            ({"pos_weight": [1.0]}, 1)])
def test_binary_cross_entropy_at_infinite_logits(options, scale, dtype):
    options = {name: T(v, dtype=dtype) for name, v in options.items()}
    x = [inf, inf, inf, -inf, -inf, -inf]
    t = T([0.0, 1.0, 0.5] * 2, dtype=dtype)
    y, g = value_and_gradient(lambda x: F.binary_cross_entropy_with_logits(
        x, t, reduction="none", **options), x, dtype=dtype)
    close(y, [inf, 0, inf, 0, inf, inf])
    close(g, np.array([1, 0, .5, 0, -1, -.5]) * scale)
    left_out = F.binary_cross_entropy_with_logits(T([inf, 0.0]), T([0.0, 1.0]), T([0.0, 1.0]))
    close(left_out.item(), math.log(2) / 2)


@given(st.floats(-700, 700), st.floats(0, 1), st.floats(0, 5))
def test_binary_cross_entropy_is_its_formula(x, t, w):
    y, g, gt = value_and_gradient(lambda x, t: F.binary_cross_entropy_with_logits(
        x, t, reduction="sum", pos_weight=w), [x], [t], dtype="float64")
    right = w * t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)
    np.testing.assert_allclose(y, right, rtol=1e-12, atol=1e-300)
    p = np.exp(-np.logaddexp(0, -x))
    np.testing.assert_allclose(g, [(1 - t) * p - w * t * np.exp(-np.logaddexp(0, x))], rtol=1e-9,
                               atol=1e-15)
    np.testing.assert_allclose(gt, [w * np.logaddexp(0, -x) - np.logaddexp(0, x)], rtol=1e-9,
                               atol=1e-12)


def test_divergence_counts_no_zero():
    """0 log 0 = 0: where the target is 0 nothing is added, and no slope is nan."""
    y, g = value_and_gradient(lambda x: F.kl_div(x, T([0.0, 1.0]), "sum"), [-inf, -1.0])
    close(y, 1)
    close(g, [0, -1])
    y, g = value_and_gradient(lambda x: F.kl_div(x, T([-inf, 0.0]), "sum", True), [-inf, -1.0])
    close(y, 1)
    close(g, [0, -1])


def test_smooth_l1_far_away():
    y, g = value_and_gradient(lambda x: F.smooth_l1_loss(x, minidl.zeros(4), "none"),
                              [inf, -inf, 0.5, 1e30])
    close(y, [inf, inf, 0.125, 1e30])
    close(g, [1, -1, 0.5, 1])


@pytest.mark.parametrize("mask", [[[True, False], [False, False]], [[0.0, -inf], [-inf, -inf]]])
def test_attention_that_may_see_nothing_gives_nothing(mask):
    q = np.arange(6.0).reshape(1, 2, 3) / 5
    y, gq, gk, gv = value_and_gradient(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, T(mask)), q, q, q)
    close(y, [[q[0, 0], [0, 0, 0]]])
    close(gq, np.zeros((1, 2, 3)))
    close(gk, np.zeros((1, 2, 3)))
    close(gv, [[[1, 1, 1], [0, 0, 0]]])
    layer = nn.MultiheadAttention(4, 2, batch_first=True)
    x = minidl.randn(2, 3, 4)
    for need in (True, False):
        out, weights = layer(x, x, x, key_padding_mask=T([[False] * 3, [True] * 3]),
                             need_weights=need)
        close(out.numpy()[1], np.broadcast_to(layer.out_proj.bias.numpy(), (3, 4)))
        assert np.isfinite(out.numpy()).all() and (weights is not None) is need
    out.sum().backward()
    assert all(np.isfinite(p.grad.numpy()).all() for p in layer.parameters())


# --------------------------------------------------------------------------- extremes
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", *DTYPES])
@given(st.integers(0, 2**32 - 1))
def test_extremes_are_numpys_for_every_dtype(dtype, seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 4, 2))
    if dtype in DTYPES:
        ends = [inf, -inf, nan, 0.0, -0.0]
    else:
        ends = [0, 1] if dtype == "bool" else [np.iinfo(dtype).min, np.iinfo(dtype).max, 0, 1]
    a, b = (np.where(rng.random(shape) < 0.6, rng.choice(ends, shape), 1).astype(dtype)
            for _ in range(2))
    x, y = T(a), T(b)
    same = np.testing.assert_array_equal
    same(x.min().numpy(), a.min())
    same(x.max().numpy(), a.max())
    same(x.minimum(y).numpy(), np.minimum(a, b))
    same(minidl.min(x, y).numpy(), np.minimum(a, b))
    same(x.maximum(y).numpy(), np.maximum(a, b))
    for dim in (0, 1):
        same(x.amin(dim).numpy(), a.min(dim))
        same(x.amax(dim).numpy(), a.max(dim))
        same(x.argmin(dim).numpy(), a.argmin(dim))
        for (values, places), find, where in ((x.min(dim), np.min, np.argmin),
                                              (x.max(dim), np.max, np.argmax)):
            same(values.numpy(), find(a, dim))
            same(places.numpy(), where(a, dim))
    assert x.min().dtype == x.min(0).values.dtype == x.minimum(y).dtype == dtype


@pytest.mark.parametrize("f, g", [
    (lambda x: x.amin(), [.5, .5, 0]), (lambda x: x.min(), [.5, .5, 0]),
    (lambda x: x.min(0)[0], [1, 0, 0]), (lambda x: (-x).max(0)[0], [-1, 0, 0]),
    (lambda x: x.amax(), [0, 0, 1]), (lambda x: x.minimum(T([1.0, 2.0, 1.0])), [.5, 1, 0]),
    (lambda x: x.maximum(T([1.0, 2.0, 1.0])), [.5, 0, 1]),
])
def test_ties_of_extremes(f, g):
    close(value_and_gradient(f, [1.0, 1.0, 3.0])[1], g)


def test_extremes_pass_an_infinite_gradient_only_to_their_own():
    """A mask is a choice: what is not chosen gets 0, not 0 * inf."""
    x, y = (minidl.tensor(v, requires_grad=True) for v in ([1.0, 3.0], [2.0, 2.0]))
    for f, gx, gy in ((minidl.maximum, [0, inf], [inf, 0]), (minidl.minimum, [inf, 0], [0, inf])):
        a, b = minidl.grad(f(x, y), [x, y], T([inf, inf]))
        assert (a.tolist(), b.tolist()) == (gx, gy)
    for f, gx in ((lambda x: x.clamp(0, 2), [inf, 0]), (lambda x: x.amax(), [0, inf]),
                  (lambda x: F.relu(x - 2), [0, inf]), (lambda x: x.min(0)[0], [inf, 0]),
                  (lambda x: minidl.where(x > 2, x, 0.0), [0, inf])):
        out = f(x)
        assert minidl.grad(out, x, minidl.full(out.shape, inf))[0].tolist() == gx
    x = T([nan, 1.0, nan], requires_grad=True)
    assert minidl.grad(x.max(), x)[0].tolist() == [0.5, 0, 0.5]


def test_clamp_between_tensors():
    x, low, high = [0.0, 2.0, 9.0, 2.0], [1.0, 1.0, 1.0, 5.0], [3.0, 3.0, 3.0, 4.0]
    y, *gradients = value_and_gradient(lambda x, a, b: x.clamp(a, b), x, low, high)
    assert y.tolist() == [1, 2, 3, 4]
    assert [g.tolist() for g in gradients] == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]]
    y, g = value_and_gradient(lambda x: x.clamp(3, 2), [1.0, 2.0, 5.0])
    assert (y.tolist(), g.tolist()) == ([2, 2, 2], [0, 0, 0])
    z = T(x)
    assert z.clamp_(T(low), T(high)).tolist() == z.tolist() == [1, 2, 3, 4]
    assert T([1, 5]).clamp(min=T([2, 2])).tolist() == [2, 5]
    assert np.isnan(T([1.0]).clamp(T([nan])).item())


# --------------------------------------------------------------------------- lengths
@pytest.mark.parametrize("dtype", DTYPES)
@given(st.integers(0, 2**32 - 1))
def test_lengths_of_any_size(dtype, seed):
    """norm, std, normalize, clip_grad_norm_: no square is too small or too large."""
    rng = np.random.default_rng(seed)
    reach = 36 if dtype == "float32" else 300
    scale = 10.0 ** rng.uniform(-reach, reach)
    unit = rng.normal(size=(2, 3))
    x = (unit * scale).astype(dtype)
    unit = x.astype(np.longdouble) / np.longdouble(scale)
    rtol = 1e-5 if dtype == "float32" else 1e-12
    right = np.sqrt((unit**2).sum(1))
    y, g = value_and_gradient(lambda x: x.norm(dim=1), x, dtype=dtype)
    np.testing.assert_allclose(y / scale, right.astype(float), rtol=rtol)
    np.testing.assert_allclose(g, (unit / right[:, None]).astype(float), rtol=rtol, atol=rtol)
    y, g = value_and_gradient(lambda x: x.std(1), x, dtype=dtype)
    np.testing.assert_allclose(y / scale, unit.std(1, ddof=1).astype(float), rtol=50 * rtol)
    assert np.isfinite(g).all() and np.abs(g).max() > 0.1
    if scale > 1e-9:
        np.testing.assert_allclose(F.normalize(T(x)).numpy(), (unit / right[:, None]).astype(float),
                                   rtol=rtol, atol=rtol)
    p = nn.Parameter(x)
    p.grad = T(x)
    for power in (1.0, 2.0, 3.0, inf):
        found = optim.clip_grad_norm_([p], inf, power).item() / scale
        size = np.abs(unit).max() if power == inf else (np.abs(unit)**power).sum() ** (1 / power)
        np.testing.assert_allclose(found, float(size), rtol=50 * rtol)


def test_lengths_at_the_edges():
    y, g = value_and_gradient(lambda x: x.norm(), [1e-30, 1e-30])
    close(y, math.sqrt(2) * 1e-30)
    close(g, [math.sqrt(0.5)] * 2)
    for x, length in (([0.0, 0.0], 0), ([inf, 1], inf), ([3.0, 4.0], 5), ([3e30, 4e30], 5e30)):
        close(value_and_gradient(lambda x: x.norm(), x)[0], length)
    assert np.isnan(T([nan, 1.0]).norm().item())
    assert value_and_gradient(lambda x: x.norm(), [0.0, 0.0])[1].tolist() == [0, 0]


def test_variance_takes_pytorchs_arguments():
    x = T([[1.0, 2.0, 4.0], [0.0, 0.0, 3.0]])
    a = x.numpy()
    for f, g in ((minidl.var, np.var), (minidl.std, np.std)):
        for call, expected in (
                (f(x), g(a, ddof=1)), (f(x, False), g(a)), (f(x, True), g(a, ddof=1)),
                (f(x, unbiased=False), g(a)), (f(x, 1, False), g(a, 1)),
                (f(x, dim=1, unbiased=True), g(a, 1, ddof=1)), (f(x, 0, correction=0), g(a, 0))):
            np.testing.assert_allclose(call.numpy(), expected, rtol=1e-6)
        assert f(x, 1, True, keepdim=True).shape == (2, 1)
        with pytest.raises(TypeError, match="the same choice; give one"):
            f(x, 1, True, correction=0)


def test_alpha_of_add_and_sub():
    x, y = T([1.0, 2.0], requires_grad=True), T([10.0, 20.0], requires_grad=True)
    for call, value, slope in ((minidl.add(x, y, alpha=2), [21, 42], 2),
                               (x.add(y, alpha=2), [21, 42], 2),
                               (minidl.sub(x, y, alpha=0.5), [-4, -8], -0.5),
                               (x.sub(y, alpha=0.5), [-4, -8], -0.5)):
        assert call.tolist() == value
        assert minidl.grad(call.sum(), [x, y])[1].tolist() == [slope] * 2
    assert minidl.add(T([1]), 2, alpha=3).tolist() == [7]
    assert T([1.0]).add_(T([2]), alpha=3).tolist() == [7]
    with pytest.raises(TypeError, match="add_: the result is float32"):
        T([1]).add_(T([2]), alpha=0.5)


def test_masks_of_integers_are_refused():
    """1 may mean "look here", or a number to add."""
    q, ones = minidl.ones(1, 2, 4), minidl.ones(2, 2, dtype="uint8")
    with pytest.raises(TypeError, match="attn_mask must be booleans .* uint8; use .bool"):
        F.scaled_dot_product_attention(q, q, q, attn_mask=ones)
    layer = minidl.nn.MultiheadAttention(4, 1, batch_first=True)
    for name in ("attn_mask", "key_padding_mask"):
        with pytest.raises(TypeError, match=f"{name} must be booleans .* int64"):
            layer(q, q, q, **{name: minidl.ones((2, 2) if name == "attn_mask" else (1, 2),
                                                dtype="int64")})


# --------------------------------------------------------------------------- what only moves
@pytest.mark.parametrize("bad", [inf, -inf, math.nan])
def test_unfold_and_fold_move_and_do_not_multiply(bad):
    """An infinite pixel stands in its windows once, at its own tap, and nowhere else."""
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    columns = F.unfold(T(x), 2, padding=1).numpy()
    x[0, 0, 1, 2] = bad
    spoilt = F.unfold(T(x), 2, padding=1).numpy()
    assert np.isfinite(columns).all() and (~np.isfinite(spoilt)).sum() == 4
    assert (spoilt == columns)[np.isfinite(spoilt)].all()
    spoilt[...] = columns
    spoilt[0, 3, 7] = bad                     # its last tap, of the window at (1, 2): pixel (1, 2)
    image, whole = F.fold(T(spoilt), 4, 2, padding=1), F.fold(T(columns), 4, 2, padding=1)
    assert not math.isfinite(image[0, 0, 1, 2].item())
    assert (image == whole).sum().item() == 15


@pytest.mark.parametrize("n", [1, 3, 7, 14, 28, 59])
def test_interpolation_to_a_size_is_exact(n):
    x = T(np.arange(n, dtype=np.float32).reshape(1, 1, 1, n))
    for m in range(1, 120):
        assert F.interpolate(x, (1, m)).numpy().ravel().tolist() == [i * n // m for i in range(m)]


@pytest.mark.parametrize("x", [2.0, 0.5, 1e-30])
def test_the_mixed_derivative_of_a_power_at_exponent_0(x):
    """d/dx d/dy x^y = x^(y-1) (1 + y log x): 1/x at y = 0, whichever comes first."""
    a, b = T(np.float64(x), requires_grad=True), T(np.float64(0), requires_grad=True)
    (gx,) = minidl.grad(a**b, a, create_graph=True)
    assert gx.item() == 0 and minidl.grad(gx, b)[0].item() == pytest.approx(1 / x)
    (gy,) = minidl.grad(a**b, b, create_graph=True)
    assert minidl.grad(gy, a)[0].item() == pytest.approx(1 / x)


@pytest.mark.parametrize("x", [0.0, 1e-320, inf])
def test_a_power_with_exponent_0_has_no_slope_where_1_over_x_is_infinite(x):
    a = T(np.float64(x), requires_grad=True)
    (a**0).backward()
    assert a.grad.item() == 0


@pytest.mark.parametrize("T_, S", [(2, 4), (4, 2), (3, 3), (1, 5)])
def test_causal_attention_of_more_or_fewer_queries_than_keys(T_, S):
    """Position t sees the keys 0 ... t, however many there are."""
    v = np.arange(2.0 * S).reshape(S, 2)
    y = F.scaled_dot_product_attention(T(np.zeros((T_, 3))), T(np.zeros((S, 3))), T(v),
                                       is_causal=True)
    close(y.data, [v[:t + 1].mean(0) for t in range(T_)])


@pytest.mark.parametrize("query, key, value", [((3,), (2, 3), (2, 3)), ((2, 3), (3,), (2, 3)),
                                               ((2, 3), (2, 3), (2,)), ((3,), (3,), (3,))])
def test_attention_of_a_vector_is_refused(query, key, value):
    with pytest.raises(ValueError, match="scaled_dot_product_attention: query .* do not fit"):
        F.scaled_dot_product_attention(*(T(np.zeros(shape)) for shape in (query, key, value)))


@pytest.mark.parametrize("groups", [-1, 0, 3])
def test_groups_into_which_channels_do_not_divide_are_refused(groups):
    with pytest.raises(ValueError, match=f"4 channels do not divide into {groups} groups"):
        F.group_norm(T(np.zeros((2, 4, 3))), groups)
