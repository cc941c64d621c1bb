"""Layers' functions against formulas.py with all their options, and the identities they obey.

Convolution, pooling, resizing, normalisation, dropout, activations. Losses and attention are in
test_ops_losses.py, reductions and rearrangements in test_ops_shape.py; gradients of every op in
test_op_table.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optable import assert_close

import minidl
import minidl.functional as F
from minidl import formulas
from minidl.testing import check_gradients
from minidl.testing.strategies import arrays, conv_geometries, distinct_arrays, generators

T = minidl.tensor
grouped = conv_geometries(max_groups=2)


def draw(rng, *shapes):
    """Arrays of normal numbers, and the same as tensors."""
    found = [rng.normal(size=s) for s in shapes]
    return found, [T(x) for x in found]


# --------------------------------------------------------------------------- convolution
@given(grouped, generators(), st.booleans())
def test_conv2d(g, rng, with_bias):
    """D3-CONV with stride, padding, dilation, groups and bias; E4.2: neither size nor channels
    need stay."""
    (x, w, b), (tx, tw, tb) = draw(rng, g.x_shape, g.w_shape, (g.O,))
    b, tb = (b, tb) if with_bias else (None, None)
    y = F.conv2d(tx, tw, tb, g.stride, g.padding, g.dilation, g.groups)
    assert_close(y.data, formulas.conv2d(x, w, b, g.stride, g.padding, g.dilation, g.groups), 1e-12)
    single = F.conv2d(tx[0], tw, tb, g.stride, g.padding, g.dilation, g.groups)
    assert_close(single.data, y.data[0], 1e-12)               # (C,H,W): a batch of one


@given(grouped, generators(), st.integers(0, 1), st.booleans())
def test_conv_transpose2d(g, rng, extra, with_bias):
    """D1-TCONV with stride, padding, output padding, dilation, groups and bias."""
    extra = tuple(min(extra, max(s, d) - 1) for s, d in zip(g.stride, g.dilation))
    (x, w, b), (tx, tw, tb) = draw(rng, (g.N, g.O, *g.out), g.w_shape, (g.C,))
    b, tb = (b, tb) if with_bias else (None, None)
    base = tuple((n - 1) * s - 2 * p + (k - 1) * d + 1 for n, s, p, k, d in zip(
        g.out, g.stride, g.padding, g.kernel, g.dilation))
    if min(n + e for n, e in zip(base, extra)) < 1:
        return                                                # padding cuts everything away
    y = F.conv_transpose2d(tx, tw, tb, g.stride, g.padding, extra, g.groups, g.dilation)
    assert_close(y.data, formulas.conv_transpose2d(x, w, b, g.stride, g.padding, extra, g.dilation,
                                                   g.groups), 1e-12)
    assert y.shape[2:] == tuple(n + e for n, e in zip(base, extra))


@given(grouped, generators())
def test_the_adjoint_identities(g, rng):
    """D1-TCONV: <conv(x,w), g> = <x, convT(g,w)> = <w, dw(x,g)>; all three sides of one form."""
    _, (x, w, gy) = draw(rng, g.x_shape, g.w_shape, g.y_shape)
    x.requires_grad_()
    w.requires_grad_()
    y = F.conv2d(x, w, None, g.stride, g.padding, g.dilation, g.groups)
    form = (y * gy).sum().item()
    gx, gw = minidl.grad(y, [x, w], gy)
    slack = [n - ((m - 1) * s - 2 * p + (k - 1) * d + 1) for n, m, s, p, k, d in zip(
        g.size, g.out, g.stride, g.padding, g.kernel, g.dilation)]
    transposed = F.conv_transpose2d(gy, w, None, g.stride, g.padding, slack, g.groups, g.dilation)
    assert (x * transposed).sum().item() == pytest.approx(form, abs=1e-9)
    assert (x * gx).sum().item() == pytest.approx(form, abs=1e-9)
    assert (w * gw).sum().item() == pytest.approx(form, abs=1e-9)
    assert_close(gx.data, transposed.data, 1e-12)


@given(generators(), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_the_documents_convolutions(rng, P, Q, m, n):
    """D0-CONV; D1-CONV is conv2d with a flipped kernel and full padding; D3-CONV as printed is one
    row and column short (E3.2)."""
    (x, k), (tx, tk) = draw(rng, (P + m, Q + n), (P, Q))
    image, kernel = tx[None, None], tk[None, None]
    assert_close(F.conv2d(image, kernel).data[0, 0], formulas.d0_conv(x, k), 1e-12)
    full = F.conv2d(image, kernel.flip(2, 3), padding=(P - 1, Q - 1))
    assert_close(full.data[0, 0], formulas.d1_conv(k, x), 1e-12)
    (many, w), (t_many, tw) = draw(rng, (3, P + m, Q + n), (3, P, Q))
    printed = formulas.d3_conv(many.transpose(1, 2, 0), w, 0.5)
    ours = F.conv2d(t_many[None], tw[None], T(np.array([0.5]))).data[0, 0]
    assert_close(ours[1:, 1:], printed, 1e-12)


@given(generators(), st.integers(1, 9), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2),
       st.integers(1, 2))
def test_conv1d_is_one_row_of_conv2d(rng, size, kernel, stride, padding, dilation):
    if (kernel - 1) * dilation >= size + 2 * padding:
        size += kernel * dilation
    (x, w, b), (tx, tw, tb) = draw(rng, (2, 4, size), (2, 2, kernel), (2,))
    y = F.conv1d(tx, tw, tb, stride, padding, dilation, groups=2)
    expected = formulas.conv2d(x[:, :, None], w[:, :, None], b, (1, stride), (0, padding),
                               (1, dilation), 2)
    assert_close(y.data, expected[:, :, 0], 1e-12)
    assert_close(F.conv1d(tx[0], tw, tb, (stride,), (padding,), (dilation,), 2).data, y.data[0],
                 1e-12)


# --------------------------------------------------------------------------- Keras's "same"
def keras_same(x, w, stride, dilation):
    """Literally: output pixel i looks at input i S - before + u D, ceil(size / S) of them."""
    out, before = [], []
    for n, k, s, d in zip(x.shape[2:], w.shape[2:], stride, dilation):
        out.append(-(-n // s))
        before.append(max((out[-1] - 1) * s + (k - 1) * d + 1 - n, 0) // 2)
    y = np.zeros((x.shape[0], w.shape[0], *out))
    for n, o, i, j in np.ndindex(*y.shape):
        for c, u, v in np.ndindex(*w.shape[1:]):
            h = i * stride[0] - before[0] + u * dilation[0]
            k = j * stride[1] - before[1] + v * dilation[1]
            if 0 <= h < x.shape[2] and 0 <= k < x.shape[3]:
                y[n, o, i, j] += x[n, c, h, k] * w[o, c, u, v]
    return y


geometry = st.tuples(*[st.tuples(*[st.integers(1, n)] * 2) for n in (6, 4, 3, 2)])


@given(geometry, generators())
def test_conv2d_same(geometry, rng):
    """D2-GAN's and D1-GAN's discriminators: ceil(size / stride) pixels, an odd zero goes after."""
    size, kernel, stride, dilation = geometry
    (x, w), (tx, tw) = draw(rng, (1, 2, *size), (2, 2, *kernel))
    y = F.conv2d(tx, tw, stride=stride, padding="same", dilation=dilation)
    assert_close(y.data, keras_same(x, w, stride, dilation), 1e-12)
    if all(n >= k for n, k in zip(size, kernel)):
        assert_close(F.conv2d(tx, tw, padding="valid").data, formulas.conv2d(x, w), 1e-12)


@given(geometry, generators())
def test_conv_transpose2d_same_is_its_adjoint(geometry, rng):
    """D1-GAN's generator: "same" makes images exactly stride times as large, and is the adjoint of
    the "same" convolution from that size."""
    size, kernel, stride, dilation = geometry
    _, (x, w) = draw(rng, (1, 2, *size), (2, 3, *kernel))
    y = F.conv_transpose2d(x, w, stride=stride, padding="same", dilation=dilation)
    assert y.shape[2:] == tuple(n * s for n, s in zip(size, stride))
    _, (g,) = draw(rng, y.shape)
    back = keras_same(g.data, w.data, stride, dilation)
    assert (y * g).sum().item() == pytest.approx((x.data * back).sum(), abs=1e-9)


# --------------------------------------------------------------------------- windows
@given(conv_geometries(), generators())
def test_unfold_and_fold(g, rng):
    """im2col and its adjoint: conv2d = weights times columns; <unfold(x), c> = <x, fold(c)>."""
    (x, w), (tx, tw) = draw(rng, g.x_shape, g.w_shape)
    args = g.kernel, g.dilation, g.padding, g.stride
    columns = F.unfold(tx, *args)
    product = (tw.reshape(g.O, -1) @ columns).reshape(*g.y_shape)
    assert_close(product.data, formulas.conv2d(x, w, None, g.stride, g.padding, g.dilation), 1e-12)
    _, (c,) = draw(rng, columns.shape)
    folded = F.fold(c, g.size, *args)
    assert folded.shape == g.x_shape
    assert (columns * c).sum().item() == pytest.approx((tx * folded).sum().item(), abs=1e-9)


@given(conv_geometries(pool=True), st.data())
def test_max_pool2d(g, data):
    """D0-MAXPOOL with stride apart from the window, padding, dilation, and the indices."""
    x = data.draw(distinct_arrays(g.x_shape))
    y, index = F.max_pool2d(T(x), g.kernel, g.stride, g.padding, g.dilation, return_indices=True)
    value, place = formulas.max_pool2d(x, g.kernel, g.stride, g.padding, g.dilation, True)
    assert_close(y.data, value, 1e-12)
    assert index.dtype == np.int64 and np.array_equal(index.data, place)
    assert np.array_equal(F.max_pool2d(T(x[0]), g.kernel, g.stride, g.padding, g.dilation).data,
                          y.data[0])
    if g.dilation == (1, 1) and g.stride == g.kernel:
        assert np.array_equal(F.max_pool2d(T(x), g.kernel, padding=g.padding).data, y.data)


@given(conv_geometries(pool=True), generators())
def test_max_pool2d_takes_the_first_of_equal_maxima(g, rng):
    """Ties: index and gradient go to the first in reading order, all of it (D12)."""
    x = rng.integers(0, 2, g.x_shape).astype(float)
    leaf = T(x, requires_grad=True)
    y, index = F.max_pool2d(leaf, g.kernel, g.stride, g.padding, g.dilation, return_indices=True)
    _, place = formulas.max_pool2d(x, g.kernel, g.stride, g.padding, g.dilation, True)
    assert np.array_equal(index.data, place)
    y.sum().backward()
    counts = np.zeros((g.N, g.C, x[0, 0].size))
    for n, c, i, j in np.ndindex(*place.shape):
        counts[n, c, place[n, c, i, j]] += 1
    assert np.array_equal(leaf.grad.data, counts.reshape(x.shape))


@given(conv_geometries(pool=True))
def test_max_pool2d_of_minus_infinity_never_takes_the_border(g):
    """-inf ties with the border's -inf: index and gradient belong to the first pixel all the same,
    the one that wins among zeros."""
    leaf = T(np.full(g.x_shape, -np.inf), requires_grad=True)
    y, index = F.max_pool2d(leaf, g.kernel, g.stride, g.padding, g.dilation, return_indices=True)
    _, place = formulas.max_pool2d(np.zeros(g.x_shape), g.kernel, g.stride, g.padding, g.dilation,
                                   True)
    assert np.array_equal(index.data, place)
    y.sum().backward()
    assert leaf.grad.data.sum() == y.numel()


@given(conv_geometries(pool=True, max_dilation=1), generators(), st.booleans())
def test_avg_pool2d(g, rng, count_include_pad):
    """D0-AVGPOOL with stride, padding, and both divisors."""
    (x,), (tx,) = draw(rng, g.x_shape)
    y = F.avg_pool2d(tx, g.kernel, g.stride, g.padding, count_include_pad=count_include_pad)
    expected = formulas.avg_pool2d(x, g.kernel, g.stride, g.padding, count_include_pad)
    assert_close(y.data, expected, 1e-12)
    check_gradients(lambda t: F.avg_pool2d(t, g.kernel, g.stride, g.padding, False,
                                           count_include_pad), x, entries=9, directions=2)


@given(st.integers(1, 7), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), generators())
def test_ceil_mode_adds_the_windows_that_begin_inside(size, window, stride, padding, rng):
    """Windows at 0, S, 2S, ... as long as they begin before the image's right edge; what lies
    beyond counts neither for the maximum nor for the mean's divisor."""
    padding = min(padding, window // 2)
    size = max(size, window - 2 * padding - stride + 1)       # one window at least
    (x,), (tx,) = draw(rng, (1, 1, 1, size))
    starts = [s for s in range(-padding, size, stride)
              if s <= size + padding - window + stride - 1]
    most, mean, mean_inside = [], [], []
    for s in starts:
        inside = x[0, 0, 0, max(s, 0):min(s + window, size)]
        most.append(inside.max())
        mean.append(inside.sum() / (min(s + window, size + padding) - s))
        mean_inside.append(inside.mean())
    args = (1, window), (1, stride), (0, padding)
    assert_close(F.max_pool2d(tx, *args, ceil_mode=True).data[0, 0, 0], most, 1e-12)
    assert_close(F.avg_pool2d(tx, *args, ceil_mode=True).data[0, 0, 0], mean, 1e-12)
    assert_close(F.avg_pool2d(tx, *args, ceil_mode=True, count_include_pad=False).data[0, 0, 0],
                 mean_inside, 1e-12)


# --------------------------------------------------------------------------- size of images
@given(generators(), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_upsampling(rng, H, W, factor):
    """D2-UPSAMPLE: every pixel factor by factor times."""
    (x,), (tx,) = draw(rng, (2, 2, H, W))
    expected = formulas.upsample_nearest(x, factor)
    assert_close(F.interpolate(tx, scale_factor=factor).data, expected)
    assert_close(F.interpolate(tx, size=(H * factor, W * factor)).data, expected)
    check_gradients(lambda t: F.interpolate(t, scale_factor=factor), x, entries=8, directions=2)


@given(generators(), *[st.integers(1, 6)] * 4)
def test_resizing_to_any_size(rng, H, W, OH, OW):
    (x,), (tx,) = draw(rng, (1, 2, H, W))
    y = F.interpolate(tx, size=(OH, OW))
    for i, j in np.ndindex(OH, OW):
        assert np.array_equal(y.data[:, :, i, j], x[:, :, i * H // OH, j * W // OW])
    half = F.interpolate(tx, scale_factor=(0.5, 3)) if H > 1 else None
    if half is not None:
        assert np.array_equal(half.data, np.repeat(x, 3, 3)[:, :, :H // 2 * 2:2])


@given(generators(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_pixel_shuffle(rng, r, H, W):
    (x,), (tx,) = draw(rng, (2, 2 * r * r, H, W))
    y = F.pixel_shuffle(tx, r)
    assert y.shape == (2, 2, H * r, W * r)
    for n, c, i, j, a, b in np.ndindex(2, 2, H, W, r, r):
        assert y.data[n, c, i * r + a, j * r + b] == x[n, c * r * r + a * r + b, i, j]


# --------------------------------------------------------------------------- layers
@given(generators(), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_linear(rng, i, o, with_bias):
    """D1-DENSE, also over leading axes."""
    (x, w, b), (tx, tw, tb) = draw(rng, (2, 3, i), (o, i), (o,))
    b, tb = (b, tb) if with_bias else (None, None)
    y = F.linear(tx, tw, tb)
    assert_close(y.data, formulas.linear(x.reshape(6, i), w, b).reshape(2, 3, o), 1e-12)
    assert_close(F.linear(tx[0, 0], tw, tb).data, y.data[0, 0], 1e-12)


def test_embedding_and_one_hot():
    rng = np.random.default_rng(0)
    table, numbers = rng.normal(size=(5, 3)), np.array([[0, 4], [4, 4]])
    leaf = T(table, requires_grad=True)
    y = F.embedding(T(numbers), leaf)
    assert np.array_equal(y.data, table[numbers])
    y.sum().backward()
    assert leaf.grad.data[:, 0].tolist() == [1, 0, 0, 0, 3]   # a row used three times
    assert np.array_equal(F.one_hot(T(numbers)).data, np.eye(5, dtype=int)[numbers])
    assert F.one_hot(T(numbers), 7).shape == (2, 2, 7)
    assert np.allclose(F.normalize(T(table), 1).norm(dim=1).data, 1)


@given(generators(), st.sampled_from([(4, 3), (3, 2, 4), (2, 3, 2, 2)]),
       st.sampled_from([0.1, 0.01, 0.2]), st.booleans(), st.integers(1, 3))
def test_batch_norm(rng, shape, momentum, training, steps):
    """D1-BN: momentum in PyTorch's sense is 1 - momentum in Keras's; running statistics move in
    training, in place, and are what evaluation uses."""
    C = shape[1]
    gamma, beta = rng.normal(size=(2, C))
    mean, var = rng.normal(size=C), rng.uniform(0.5, 2, C)
    t_mean, t_var = T(mean), T(var)
    for _ in range(steps):
        x = rng.normal(size=shape)
        y = F.batch_norm(T(x), t_mean, t_var, T(gamma), T(beta), training, momentum, 1e-3)
        flat = x.reshape(*shape[:2], -1, 1)
        expected, mean, var = formulas.batch_norm(flat, gamma, beta, mean, var, 1 - momentum, 1e-3,
                                                  training)
        assert_close(y.data, expected.reshape(shape), 1e-11)
        assert_close(t_mean.data, mean, 1e-12)
        assert_close(t_var.data, var, 1e-12)
    check_gradients(lambda *t: F.batch_norm(t[0], T(mean), T(var), t[1], t[2], training), x, gamma,
                    beta, rtol=1e-5, entries=8, directions=3)


def test_batch_norm_in_kerass_sense():
    """D1-BN: Keras's momentum 0.99 (D1) and 0.8 (D2, D4) are 0.01 and 0.2 here; epsilon 1e-3."""
    x = np.random.default_rng(0).normal(2, 3, (8, 1, 2, 2))
    for keras in (0.99, 0.8):
        mean, var = T(np.zeros(1)), T(np.ones(1))
        F.batch_norm(T(x), mean, var, training=True, momentum=1 - keras, eps=1e-3)
        assert mean.item() == pytest.approx((1 - keras) * x.mean())
        assert var.item() == pytest.approx(keras + (1 - keras) * x.var(ddof=1))


@given(generators(), st.sampled_from([(4,), (3, 4), (2, 3, 4)]))
def test_layer_and_group_norm(rng, tail):
    """Each is the formula of batch normalisation with other numbers pooled."""
    x = rng.normal(size=(2, 4, *tail))
    w, b = rng.normal(size=(2, *tail))
    y = F.layer_norm(T(x), tail, T(w), T(b))
    axes = tuple(range(2, x.ndim))
    standard = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    assert_close(y.data, standard * w + b, 1e-11)
    wc, bc = rng.normal(size=(2, 4))
    grouped = x.reshape(2, 2, -1)
    standard = (grouped - grouped.mean(2, keepdims=True)) / np.sqrt(
        grouped.var(2, keepdims=True) + 1e-5)
    along = (1, 4, *(1,) * len(tail))
    expected = standard.reshape(x.shape) * wc.reshape(along) + bc.reshape(along)
    assert_close(F.group_norm(T(x), 2, T(wc), T(bc)).data, expected, 1e-11)
    check_gradients(lambda *t: F.layer_norm(t[0], tail, *t[1:]), x, w, b, entries=8, directions=2)


@given(generators(), st.sampled_from([0.2, 0.5, 0.9]), st.integers(0, 2**32))
def test_dropout(rng, p, seed):
    """D3-DROPOUT: the formula with the mask that the generator drew; identity in evaluation."""
    (x,), (tx,) = draw(rng, (30, 20))
    y = F.dropout(tx, p, generator=minidl.Generator(seed))
    kept = (minidl.Generator(seed).uniform((30, 20)) >= p).astype(float)
    assert_close(y.data, formulas.dropout(x, kept, p), 1e-12)
    assert abs(kept.mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / 600)
    assert F.dropout(tx, p, training=False) is tx
    assert np.array_equal(F.dropout(tx, 1.0).data, np.zeros((30, 20)))
    leaf = T(x, requires_grad=True)
    F.dropout(leaf, p, generator=minidl.Generator(seed)).sum().backward()
    assert_close(leaf.grad.data, kept / (1 - p), 1e-12)       # the same mask going back


@given(arrays((3, 4)), generators())
def test_residual(x, rng):
    """D3-RESIDUAL: y = x + F(x)."""
    w = rng.normal(size=(4, 4))
    expected = formulas.residual(x, lambda v: formulas.relu(formulas.linear(v, w)))
    assert_close(F.residual(T(x), lambda v: F.linear(v, T(w)).relu()).data, expected, 1e-12)


# --------------------------------------------------------------------------- activations
@given(arrays((3, 5), -6, 6), st.sampled_from([0.01, 0.2, 0.3]))
def test_activations(x, alpha):
    """D2-RELU, D0-LRELU with three documents' slopes, D0-TANH, D0-SIGMOID, D1-SOFTMAX; E2.2: after
    a relu the leaky one does nothing."""
    t = T(x)
    assert_close(F.relu(t).data, formulas.relu(x))
    assert_close(F.leaky_relu(t, alpha).data, formulas.leaky_relu(x, alpha))
    assert_close(F.leaky_relu(F.relu(t), alpha).data, formulas.relu(x))
    assert_close(F.tanh(t).data, formulas.tanh(x), 1e-14)
    assert_close(F.sigmoid(t).data, formulas.sigmoid(x), 1e-14)
    assert_close(F.softmax(t, 1).data, formulas.softmax(x), 1e-14)
    assert_close(F.log_softmax(t, 0).data.T, np.log(formulas.softmax(x.T)), 1e-13)
    assert_close(F.softplus(t, 2.0).data, np.log(1 + np.exp(2 * x)) / 2, 1e-13)
    assert_close(F.elu(t, 0.5).data, np.where(x > 0, x, 0.5 * (np.exp(x) - 1)), 1e-13)


def test_gelu_by_its_integral():
    """x Phi(x), Phi by numerical integration of the density; the tanh form is within 5e-4."""
    s = np.linspace(-12, 3, 300_001)
    phi = np.exp(-s * s / 2) / np.sqrt(2 * np.pi)
    for x in (-2.0, -0.5, 0.0, 1.0, 3.0):
        below = phi[s <= x + 1e-12]
        integral = (below.sum() - below[-1] / 2) * (s[1] - s[0])
        assert F.gelu(T(np.array(x))).item() == pytest.approx(x * integral, abs=1e-9)
        assert F.gelu(T(np.array(x)), "tanh").item() == pytest.approx(x * integral, abs=5e-4)


FUNCTIONS = {"relu": F.relu, "leaky_relu": F.leaky_relu, "elu": F.elu, "gelu": F.gelu,
             "gelu tanh": lambda x: F.gelu(x, "tanh"), "softplus": F.softplus,
             "sigmoid": F.sigmoid, "tanh": F.tanh, "softmax": lambda x: F.softmax(x, 0),
             "log_softmax": lambda x: F.log_softmax(x, 0),
             "logsumexp": lambda x: minidl.logsumexp(x, 0)}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_overflows_at_1000(name, dtype):
    """Values and gradients at +-1000 are finite, and warnings (errors here) are none."""
    x = T(np.array([-1000, -100, -1, 0, 1, 100, 1000], dtype), requires_grad=True)
    y = FUNCTIONS[name](x)
    y.sum().backward()
    assert np.isfinite(y.data).all() and np.isfinite(x.grad.data).all()
    assert y.dtype == x.grad.dtype == dtype


def test_conventions_at_kinks():
    """D12: relu'(0) = 0; amax shares equally; max along an axis takes the first; abs'(0) = 0;
    clamp passes at its limits; maximum halves."""
    def slope(f, *x):
        t = T(np.array(x), requires_grad=True)
        f(t).sum().backward()
        return t.grad.tolist()
    assert slope(F.relu, 0.0, -0.0) == [0, 0]
    assert slope(lambda x: x.abs(), 0.0) == [0]
    assert slope(lambda x: x.amax(), 1.0, 3.0, 3.0) == [0, 0.5, 0.5]
    assert slope(lambda x: x.max(), 1.0, 3.0, 3.0) == [0, 0.5, 0.5]
    assert slope(lambda x: x.max(0).values, 1.0, 3.0, 3.0) == [0, 1, 0]
    assert slope(lambda x: x.min(0).values, 1.0, 1.0, 3.0) == [1, 0, 0]
    assert slope(lambda x: x.clamp(0, 1), 0.0, 1.0, 2.0) == [1, 1, 0]
    assert slope(lambda x: x.maximum(x.detach()), 2.0) == [0.5]
    assert slope(lambda x: x.norm(), 0.0, 0.0) == [0, 0]
    assert slope(lambda x: x.std(), 3.0, 3.0) == [0, 0]
    assert slope(lambda x: x**2, 0.0) == [0] and slope(lambda x: x**0, 0.0) == [0]
    assert slope(F.leaky_relu, 0.0) == [pytest.approx(0.01)]
