"""The ground truth against facts found without it: numbers worked by hand, identities, NumPy.

The engine is tested against minidl/formulas.py elsewhere; here only formulas.py is judged.
"""

from __future__ import annotations

import ast
import inspect
import math

import numpy as np
import pytest

from minidl import formulas as f

RNG = np.random.default_rng(0)
GEOMETRIES = [  # stride, padding, dilation, groups
    ((1, 1), (0, 0), (1, 1), 1),
    ((2, 1), (1, 2), (1, 1), 2),
    ((2, 3), (1, 0), (2, 1), 1),
    ((1, 2), (2, 1), (1, 2), 2),
]


def close(a, b, tolerance=1e-12):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_it_stays_literal():
    """No import but math, NumPy and typing; of NumPy only storage; every function names its row."""
    tree = ast.parse(inspect.getsource(f))
    used = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and
            isinstance(n.value, ast.Name) and n.value.id == "np"}
    assert used <= {"ndarray", "ndindex", "zeros", "float64", "int64"}
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert modules <= {"__future__", "collections.abc"}
    for name, function in inspect.getmembers(f, inspect.isfunction):
        if not name.startswith("_") and name != "matmul":
            assert "Source: " in function.__doc__, name


# ---- Convolution and pooling ---------------------------------------------------------------------


def test_d0_conv_by_hand():
    x, k = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]), np.array([[1.0, 0], [0, -1]])
    close(f.d0_conv(x, k), [[-4, -4], [-4, -4]])  # 1 - 5, 2 - 6, 4 - 8, 5 - 9


def test_d1_conv_is_numpys_full_convolution():
    """A kernel a of rank one convolves rows, then columns, each as np.convolve does."""
    u, v, b = RNG.normal(size=3), RNG.normal(size=2), RNG.normal(size=(4, 5))
    rows = np.array([np.convolve(v, row) for row in b])
    both = np.array([np.convolve(u, column) for column in rows.T]).T
    close(f.d1_conv(np.outer(u, v), b), both)
    close(f.d1_conv(b, np.outer(u, v)), both)  # and the true convolution commutes


def test_d1_conv_is_d0_conv_with_a_flipped_kernel():
    a, b = RNG.normal(size=(2, 3)), RNG.normal(size=(5, 4))
    close(f.d1_conv(a, b)[1:-1, 2:-2], f.d0_conv(b, a[::-1, ::-1]))


def test_d3_conv_as_printed_is_shifted_by_one():
    """E3.2: it is conv2d without the first row and the first column."""
    x, w = RNG.normal(size=(5, 6, 2)), RNG.normal(size=(2, 3, 2))
    ours = f.conv2d(x.transpose(2, 0, 1)[None], w[None], np.array([0.5]))[0, 0]
    close(f.d3_conv(x, w, 0.5), ours[1:, 1:])
    unread = x.copy()
    unread[0], unread[:, 0] = 100.0, -100.0
    close(f.d3_conv(unread, w, 0.5), f.d3_conv(x, w, 0.5))


def test_conv2d_is_d0_conv_summed_over_channels():
    x, w, b = RNG.normal(size=(2, 3, 5, 6)), RNG.normal(size=(4, 3, 2, 3)), RNG.normal(size=4)
    y = f.conv2d(x, w, b)
    for n, o in np.ndindex(2, 4):
        close(y[n, o], b[o] + sum(f.d0_conv(x[n, c], w[o, c]) for c in range(3)))


def test_conv2d_stride_padding_and_dilation_are_slices_of_the_plain_one():
    x, w = RNG.normal(size=(1, 1, 6, 7)), RNG.normal(size=(1, 1, 2, 2))
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (1, 1)))
    spread = np.zeros((1, 1, 3, 4))
    spread[..., ::2, ::3] = w  # a dilated kernel is the kernel with zeros between
    plain = f.conv2d(padded, spread)
    close(f.conv2d(x, w, None, (2, 3), (2, 1), (2, 3)), plain[..., ::2, ::3])


def test_conv2d_groups_are_convolutions_side_by_side():
    x, w = RNG.normal(size=(2, 4, 4, 4)), RNG.normal(size=(6, 2, 3, 2))
    halves = [f.conv2d(x[:, 2 * g : 2 * g + 2], w[3 * g : 3 * g + 3]) for g in range(2)]
    close(f.conv2d(x, w, groups=2), np.concatenate(halves, axis=1))


def test_d4s_convolutions_neither_keep_the_size_nor_lose_channels():
    """E4.2: 32x32x3 becomes 30x30x32 in the first layer of D4's own listing."""
    assert f.conv2d(np.zeros((1, 3, 32, 32)), np.zeros((32, 3, 3, 3))).shape == (1, 32, 30, 30)


@pytest.mark.parametrize("stride, padding, dilation, groups", GEOMETRIES)
def test_transposed_convolution_is_the_adjoint(stride, padding, dilation, groups):
    """<conv(x), y> = <x, convT(y)>; output_padding gives back the pixels that the stride skips."""
    x, w = RNG.normal(size=(2, 4, 7, 8)), RNG.normal(size=(6, 4 // groups, 3, 2))
    convolved = f.conv2d(x, w, None, stride, padding, dilation, groups)
    y = RNG.normal(size=convolved.shape)
    size = f.conv_transpose2d(y, w, None, stride, padding, (0, 0), dilation, groups).shape
    missing = (7 - size[2], 8 - size[3])
    back = f.conv_transpose2d(y, w, None, stride, padding, missing, dilation, groups)
    assert back.shape == x.shape
    close((convolved * y).sum(), (x * back).sum(), 1e-11)


def test_transposed_convolution_by_hand():
    x, w = np.array([[[[1.0, 2]]]]), np.array([[[[1.0, 10]]]])
    close(f.conv_transpose2d(x, w, np.array([0.5])), [[[[1.5, 12.5, 20.5]]]])
    close(f.conv_transpose2d(x, w, stride=(1, 2)), [[[[1, 10, 2, 20]]]])


def test_max_pool_by_hand():
    x = np.array([[[[1.0, 3, 2], [3, 0, 5], [-4, -6, -5]]]])
    y, index = f.max_pool2d(x, (2, 2), (1, 1), return_indices=True)
    close(y, [[[[3, 5], [3, 5]]]])
    close(index, [[[[1, 5], [3, 5]]]])  # of the two threes the first wins
    close(f.max_pool2d(-abs(x), (2, 2), (2, 2), (1, 1)), [[[[-1, -2], [-3, 0]]]])  # never the pad
    close(f.max_pool2d(x, (2, 2), (1, 1), dilation=(2, 2)), [[[[2]]]])


def test_avg_pool_by_hand():
    x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    close(f.avg_pool2d(x, (2, 2), (1, 1)), [[[[3, 4], [6, 7]]]])
    close(f.avg_pool2d(x, (2, 2), (2, 2), (1, 1)), [[[[0.25, 1.25], [2.75, 7]]]])
    close(f.avg_pool2d(x, (2, 2), (2, 2), (1, 1), False), [[[[1, 2.5], [5.5, 7]]]])


def test_upsampling_repeats_pixels():
    x = RNG.normal(size=(2, 3, 2, 4))
    close(f.upsample_nearest(x, 3), x.repeat(3, axis=2).repeat(3, axis=3))


# ---- Layers and activations ----------------------------------------------------------------------


def test_linear_is_x_w_transposed_plus_b():
    x, w, b = RNG.normal(size=(3, 4)), RNG.normal(size=(5, 4)), RNG.normal(size=5)
    close(f.linear(x, w, b), x @ w.T + b)
    close(f.matmul(x, w.T), x @ w.T)


def test_activations():
    x = np.array([-2.0, 0.0, 3.0])
    close(f.relu(x), [0, 0, 3])
    close(f.leaky_relu(x, 0.2), [-0.4, 0, 3])
    close(f.leaky_relu(f.relu(x), 0.2), f.relu(x))  # E2.2: after relu it does nothing
    close(f.tanh(x), 2 * f.sigmoid(2 * x) - 1)
    close(f.sigmoid(x) + f.sigmoid(-x), np.ones(3))


def test_softmax_sums_to_one_and_ignores_a_constant():
    x = RNG.normal(size=(2, 3, 4))
    close(f.softmax(x).sum(axis=-1), np.ones((2, 3)))
    close(f.softmax(x + 5), f.softmax(x))
    close(f.softmax(np.log([[1.0, 2, 5]])), [[0.125, 0.25, 0.625]])


def test_softmax_twice_caps_the_confidence():
    """E1.1: softmax of a softmax cannot go above e / (e + 9) for ten classes, however sure."""
    sure = f.softmax(np.array([[50.0] + [0.0] * 9]))
    assert f.softmax(sure)[0, 0] <= math.e / (math.e + 9) < 0.24


def test_dropout_keeps_the_mean_and_residual_adds():
    x, kept = np.array([1.0, 2, 3, 4]), np.array([1.0, 0, 1, 1])
    close(f.dropout(x, kept, 0.25), [4 / 3, 0, 4, 16 / 3])
    close(f.residual(x, f.relu), 2 * x)


def test_batch_norm():
    x, ones, zeros = RNG.normal(3, 2, size=(4, 2, 3, 3)), np.ones(2), np.zeros(2)
    y, mean, var = f.batch_norm(x, 2 * ones, 5 * ones, zeros, ones, momentum=0.8, eps=0.0)
    close(y.mean(axis=(0, 2, 3)), 5 * ones)
    close(y.std(axis=(0, 2, 3)), 2 * ones)
    close(mean, 0.2 * x.mean(axis=(0, 2, 3)))
    close(var, 0.8 + 0.2 * x.var(axis=(0, 2, 3), ddof=1))
    y, *after = f.batch_norm(x, ones, zeros, mean, var, eps=0.5, training=False)
    close(y, (x - mean[:, None, None]) / np.sqrt(var + 0.5)[:, None, None])
    close(after, [mean, var])


# ---- Losses --------------------------------------------------------------------------------------


def test_cross_entropies_agree():
    logits, classes = RNG.normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
    one_hot = np.eye(3)[classes]
    expected = f.cross_entropy(f.softmax(logits), one_hot)
    close(f.cross_entropy_classes(logits, classes), expected)
    close(f.cross_entropy_one_hot(logits, one_hot), expected)
    close(f.cross_entropy(np.array([[0.5, 0.5], [0.25, 0.75]]), np.eye(2)),
          (math.log(2) + math.log(4 / 3)) / 2)


def test_regression_and_binary_losses():
    y, t = np.array([[1.0, -2], [0, 4]]), np.array([[0.0, 0], [1, 1]])
    assert f.mae(y, t) == pytest.approx((1 + 2 + 1 + 3) / 4)
    assert f.mse(y, t) == pytest.approx((1 + 4 + 1 + 9) / 4)
    assert f.bce(np.array([0.5, 0.2]), np.array([1.0, 0])) == pytest.approx(-math.log(0.4) / 2)
    close(f.bce_with_logits(y, t), f.bce(f.sigmoid(y), t))


def test_gan_losses():
    """At D = 1/2 everywhere V is -log 4; with the targets 1 and 0, V is minus both BCEs."""
    half = np.full(4, 0.5)
    close(f.gan_value(half, half), -math.log(4))
    real, fake = RNG.uniform(0.1, 0.9, 6), RNG.uniform(0.1, 0.9, 4)
    close(f.gan_value(real, fake), -f.bce(real, np.ones(6)) - f.bce(fake, np.zeros(4)))
    close(f.gan_generator_loss(fake), f.bce(fake, np.ones(4)))
    see = f.cgan_value(lambda x, y: f.sigmoid(x * y), lambda z, y: z + y, real, fake[[0] * 6], real)
    close(see, f.gan_value(f.sigmoid(real**2), f.sigmoid((fake[0] + real) * real)))


def test_wgan_and_lsgan_losses():
    real, fake = np.array([1.0, 3]), np.array([0.0, -2])
    assert f.wgan_critic_loss(real, fake) == -3.0
    assert f.wgan_generator_loss(fake) == 1.0
    close(f.wgan_clip(np.array([-0.5, 0.003, 0.5]), 0.01), [-0.01, 0.003, 0.01])
    unit = np.array([[[0.6, 0.8]], [[0.0, -1.0]]])
    close(f.gradient_penalty(unit), 0.0)
    close(f.gradient_penalty(3 * unit, lam=0.5), 2.0)
    assert f.lsgan_discriminator_loss(real, fake) == (0 + 4) / 4 + (0 + 4) / 4
    assert f.lsgan_generator_loss(fake) == (1 + 9) / 4


# ---- Variational autoencoder ---------------------------------------------------------------------


def _normal(x, mu, sigma):
    return np.exp(-((x - mu) ** 2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))


def test_kl_is_the_integral_it_abbreviates():
    grid = np.linspace(-30, 30, 60001)
    q, p = _normal(grid, 0.7, 0.5), _normal(grid, -0.4, 1.5)
    integral = (q * (np.log(q + 1e-300) - np.log(p + 1e-300))).sum() * (grid[1] - grid[0])
    mu, sigma = np.array([0.7]), np.array([0.5])
    close(f.kl_gaussians(mu, sigma, np.array([-0.4]), np.array([1.5])), integral, 1e-9)
    close(f.kl_gaussians(mu, sigma, np.zeros(1), np.ones(1)), f.kl_unit_gaussian(mu, sigma))
    assert f.kl_unit_gaussian(np.zeros(3), np.ones(3)) == 0.0
    close(f.kl_discrete(np.array([1.0, 0]), np.array([0.25, 0.75])), math.log(4))


def test_elbo_falls_short_by_the_kl_to_the_posterior():
    """E3.1, in a model where all is known: z ~ N(0,1), x|z ~ N(z,1), so x ~ N(0,2)."""
    x, mu, sigma = 1.3, 0.2, 0.9
    log_p = math.log(_normal(x, 0, math.sqrt(2)))
    epsilon = np.array([-1.0, 1.0])  # these two draws have N(0,1)'s mean and variance exactly
    z = f.reparameterise(np.full(2, mu), np.full(2, sigma), epsilon)
    likelihood = np.array([f.log_gaussian(np.array([x]), np.array([v])) for v in z])
    bound = f.elbo(likelihood, np.array([mu]), np.array([sigma]))
    posterior = np.array([x / 2]), np.array([math.sqrt(0.5)])
    gap = f.kl_gaussians(np.array([mu]), np.array([sigma]), *posterior)
    assert gap > 0.1
    close(bound, log_p - gap)
    close(f.elbo(np.array([f.log_gaussian(np.array([x]), f.reparameterise(*posterior, e))
                           for e in epsilon[:, None]]), *posterior), log_p)


def test_likelihoods():
    close(f.log_gaussian(np.array([1.0, 2]), np.array([0.5, 4]), 2.0),
          np.log(_normal(1.0, 0.5, 2.0) * _normal(2.0, 4.0, 2.0)))
    close(f.log_bernoulli(np.array([1.0, 0]), np.array([0.9, 0.2])), math.log(0.9 * 0.8))


# ---- Attention -----------------------------------------------------------------------------------


def test_attention_weighs_by_scores():
    s, h = RNG.normal(size=(2, 3)), RNG.normal(size=(4, 3))
    c, alpha = f.attention(s, h, f.score_dot)
    e = np.exp(h @ s.T)
    close(alpha, e / e.sum(axis=0))
    close(c, alpha.T @ h)
    c, alpha = f.attention(s, h, lambda s_j, h_i: 0.0)  # equal scores: the mean
    close(c, [h.mean(axis=0)] * 2)


def test_scores():
    s, h, w, u = (RNG.normal(size=n) for n in (3, 2, (3, 2), (3, 2)))
    close(f.score_general(s, h, w), s @ w @ h)
    close(f.score_scaled_dot(h, h), h @ h / math.sqrt(2))
    a, v = RNG.normal(size=(4, 3)), RNG.normal(size=4)
    close(f.score_additive(s, h, a, RNG.normal(size=(4, 2)) * 0, v), v @ np.tanh(a @ s))
    close(f.score_additive(s * 0, h, a[:3], u, v[:3]), v[:3] @ np.tanh(u @ h))


def test_multi_head_attention():
    q, k, v = RNG.normal(size=(3, 4)), RNG.normal(size=(5, 4)), RNG.normal(size=(5, 4))
    wq, wk, wv = RNG.normal(size=(3, 2, 4, 2))
    wo = RNG.normal(size=(4, 4))
    heads = []
    for i in range(2):
        e = np.exp((q @ wq[i]) @ (k @ wk[i]).T / math.sqrt(2))
        heads.append(e / e.sum(axis=1, keepdims=True) @ (v @ wv[i]))
    close(f.multi_head_attention(q, k, v, wq, wk, wv, wo), np.concatenate(heads, axis=1) @ wo)


# ---- Initialisation, update rules, metrics -------------------------------------------------------


def test_initialisation():
    assert f.he_normal_std(50) == pytest.approx(0.2)
    assert f.glorot_uniform_limit(10, 14) == pytest.approx(0.5)
    assert f.kaiming_uniform_limit(16) == pytest.approx(1 / 4)
    assert f.kaiming_uniform_limit(24, a=0.0) == pytest.approx(0.5)


def test_first_steps_by_hand():
    p, g, zero = np.array([1.0, -2]), np.array([0.5, -4]), np.zeros(2)
    close(f.adam(p, g, zero, zero, 1, lr=0.1, eps=0.0)[0], p - 0.1 * np.sign(g))
    close(f.rmsprop(p, g, zero, lr=0.1, rho=0.75, eps=0.0)[0], p - 0.2 * np.sign(g))
    close(f.rmsprop(p, g, zero), f.rmsprop(p, g, zero, 2e-4, 0.5, 1e-7))          # D1's own numbers
    close(f.adam(p, g, zero, zero, 1), f.adam(p, g, zero, zero, 1, 1e-3, 0.9, 0.999, 1e-8))
    p1, b = f.sgd(p, g, zero, lr=0.1, momentum=0.9)
    close(p1, p - 0.1 * g)
    close(f.sgd(p1, g, b, lr=0.1, momentum=0.9)[0], p1 - 0.1 * 1.9 * g)


def test_metrics_by_hand():
    """E2.3: F1 and AUC are not accuracy, though D2 gives all three one definition."""
    t, y = np.array([1, 1, 1, 0, 0, 0, 0, 0]), np.array([1, 0, 0, 1, 0, 0, 0, 0])
    assert (f.accuracy(y, t), f.precision(y, t)) == (5 / 8, 1 / 2)
    assert f.recall(y, t) == pytest.approx(1 / 3)
    assert f.f1(y, t) == pytest.approx(0.4)
    assert f.f1(np.zeros(8), t) == 0.0
    points = f.roc(np.array([0.9, 0.7, 0.2, 0.8, 0.2, 0.1, 0.1, 0.0]), t)
    assert points[0] == (0, 0) and points[-1] == (1, 1) and len(points) == 7
    # Of the 15 pairs (positive, negative) 5 + 4 + 3 are ordered rightly, and one is a tie.
    assert f.auc(points) == pytest.approx((5 + 4 + 3 + 0.5) / 15)
