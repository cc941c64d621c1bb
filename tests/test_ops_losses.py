"""Losses, GAN and VAE formulas and attention against formulas.py, with all their options.

Each is also checked for its gradient as a whole, and at logits of +-1000.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optable import assert_close

import minidl
import minidl.functional as F
from minidl import formulas
from minidl.testing import check_gradients
from minidl.testing.strategies import arrays, generators, shapes

T = minidl.tensor
reductions = st.sampled_from(["mean", "sum", "none"])


def reduced(values, reduction):
    """The literal meaning of `reduction`."""
    return values if reduction == "none" else values.sum() / (
        values.size if reduction == "mean" else 1)


def each(formula, *arrays):
    """A mean loss of formulas.py, entry by entry."""
    y = np.zeros(arrays[0].shape)
    for i in np.ndindex(*y.shape):
        y[i] = formula(*(np.array([a[i]]) for a in arrays))
    return y


# --------------------------------------------------------------------------- regression
@given(shapes(1), generators(), reductions, st.sampled_from([0.5, 1.0, 2.0]))
def test_regression_losses(shape, rng, reduction, beta):
    """D1-MSE, D4-MAE, and smooth l1, which is a parabola inside beta and a line outside."""
    y, t = rng.normal(size=(2, *shape))
    args = T(y), T(t), reduction
    assert_close(F.mse_loss(*args).data, reduced(each(formulas.mse, y, t), reduction), 1e-12)
    assert_close(F.l1_loss(*args).data, reduced(each(formulas.mae, y, t), reduction), 1e-12)
    d = np.abs(y - t)
    expected = np.where(d < beta, d * d / (2 * beta), d - beta / 2)
    assert_close(F.smooth_l1_loss(*args, beta=beta).data, reduced(expected, reduction), 1e-12)
    assert_close(F.smooth_l1_loss(*args, beta=0).data, F.l1_loss(*args).data)
    check_gradients(F.mse_loss, y, t, order=2, entries=8, directions=2)


# --------------------------------------------------------------------------- classes
@st.composite
def classified(draw, positions=True):
    """Logits (N,C,...), class numbers (N,...) and class weights (C,)."""
    rng, (N, C) = draw(generators()), draw(shapes(2, 2, 1, 4))
    tail = draw(shapes(0, 2, 1, 2)) if positions else ()
    return (rng.normal(size=(N, C, *tail)), rng.integers(0, C, (N, *tail)),
            rng.uniform(0.2, 2, C))


def smoothed(t, C, e):
    """Rows of probabilities: one-hot, then (1 - e) t + e / C."""
    return (1 - e) * np.eye(C)[t] + e / C


def rows_of(x):
    """(N,C,...) as rows of classes."""
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


@given(classified())
def test_cross_entropy_equals_the_formula(drawn):
    """D0-CE from class numbers, from one-hot rows and from probabilities."""
    x, t, _ = drawn
    rows, C = rows_of(x), x.shape[1]
    expected = formulas.cross_entropy_classes(rows, t.reshape(-1))
    assert F.cross_entropy(T(x), T(t)).item() == pytest.approx(expected, rel=1e-12)
    one_hot = np.moveaxis(np.eye(C)[t], -1, 1)
    assert F.cross_entropy(T(x), T(one_hot)).item() == pytest.approx(expected, rel=1e-12)
    p = np.random.default_rng(0).dirichlet(np.ones(C), t.shape)
    soft = formulas.cross_entropy_one_hot(rows, p.reshape(-1, C))
    assert F.cross_entropy(T(x), T(np.moveaxis(p, -1, 1))).item() == pytest.approx(soft, rel=1e-12)
    log_p = np.moveaxis(np.log(formulas.softmax(np.moveaxis(x, 1, -1))), -1, 1)
    assert F.nll_loss(T(log_p), T(t)).item() == pytest.approx(expected, rel=1e-12)


@given(classified(), reductions, st.sampled_from([0.0, 0.1, 0.7]), st.booleans(), st.booleans())
def test_cross_entropy_with_every_option(drawn, reduction, smoothing, weighted, ignoring):
    """Term by term: -sum_c w_c t_c log p_c with t smoothed; ignored examples count nothing; "mean"
    divides by the weights of the true classes."""
    x, t, w = drawn
    ignored = t == 0 if ignoring else np.zeros(t.shape, bool)
    if ignored.all():
        t = t + 1 - t if x.shape[1] > 1 else t
        ignored = t == 0 if ignoring and x.shape[1] > 1 else np.zeros(t.shape, bool)
    weights = w if weighted else np.ones(len(w))
    log_p = np.log(formulas.softmax(np.moveaxis(x, 1, -1)))
    terms = -(weights * smoothed(t, x.shape[1], smoothing) * log_p).sum(-1)
    terms = np.where(ignored, 0, terms)
    divisor = {"mean": (weights[t] * ~ignored).sum()}.get(reduction, 1)
    expected = terms if reduction == "none" else terms.sum() / divisor
    found = F.cross_entropy(T(x), T(t), T(w) if weighted else None,
                            0 if ignored.any() else -100, reduction, smoothing)
    assert_close(found.data, expected, 1e-11)


@given(classified(), reductions, st.sampled_from([0.0, 0.2]), st.booleans())
def test_soft_cross_entropy_with_every_option(drawn, reduction, smoothing, weighted):
    """With probabilities as targets "mean" divides by the number of examples."""
    x, t, w = drawn
    C = x.shape[1]
    p = np.random.default_rng(1).dirichlet(np.ones(C), t.shape)
    log_p = np.log(formulas.softmax(np.moveaxis(x, 1, -1)))
    target = (1 - smoothing) * p + smoothing / C
    terms = -((w if weighted else 1) * target * log_p).sum(-1)
    found = F.cross_entropy(T(x), T(np.moveaxis(p, -1, 1)), T(w) if weighted else None,
                            reduction=reduction, label_smoothing=smoothing)
    assert_close(found.data, reduced(terms, reduction), 1e-11)


@given(classified(positions=False), st.booleans())
def test_cross_entropys_gradient(drawn, soft):
    x, t, w = drawn
    if soft:
        p = np.random.default_rng(1).dirichlet(np.ones(x.shape[1]), len(t))
        check_gradients(lambda a, b, c: F.cross_entropy(a, b, c, label_smoothing=0.1), x, p, w)
    else:
        check_gradients(lambda a: F.cross_entropy(a, T(t), T(w), label_smoothing=0.1), x, order=2,
                        entries=9, directions=2)
    leaf = T(x, requires_grad=True)
    F.cross_entropy(leaf, T(t), reduction="sum").backward()   # the formula everybody knows: p - t
    assert_close(leaf.grad.data, formulas.softmax(x) - np.eye(x.shape[1])[t], 1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_all_targets_ignored_leaves_no_nan_in_the_gradient(smoothing):
    """The mean of nothing is nan, as in PyTorch, but the weights survive the batch."""
    x = T(np.ones((2, 3)), requires_grad=True)
    loss = F.cross_entropy(x, T(np.array([-100, -100])), label_smoothing=smoothing)
    loss.backward()
    assert np.isnan(loss.item()) and not x.grad.data.any()


def test_one_unbatched_example():
    """(C,) and a class number (): as PyTorch, no batch axis."""
    x = np.array([1.0, 2.0, 0.5])
    expected = formulas.cross_entropy_classes(x[None], np.array([1]))
    assert F.cross_entropy(T(x), T(1)).item() == pytest.approx(expected)
    assert F.nll_loss(F.log_softmax(T(x), 0), T(1)).item() == pytest.approx(expected)


def test_softmax_twice_is_another_function():
    """E1.1: softmax before a loss that takes logits caps the confidence it can ask for."""
    x = T(np.array([[1000.0, 0.0, 0.0]]))
    assert F.cross_entropy(x, T([0])).item() == 0
    assert F.cross_entropy(F.softmax(x, 1), T([0])).item() == pytest.approx(
        math.log(1 + 2 / math.e))


# --------------------------------------------------------------------------- yes or no
@given(shapes(1), generators(), reductions, st.booleans())
def test_binary_cross_entropy(shape, rng, reduction, weighted):
    """D0-BCE on probabilities and on logits, with weights and pos_weight."""
    p, t, w = rng.uniform(0.02, 0.98, (3, *shape))
    x, pos = rng.normal(0, 3, shape), rng.uniform(0.5, 3, shape[-1:])
    scale, tw = (w, T(w)) if weighted else (1.0, None)
    found = F.binary_cross_entropy(T(p), T(t), tw, reduction)
    assert_close(found.data, reduced(each(formulas.bce, p, t) * scale, reduction), 1e-12)
    found = F.binary_cross_entropy_with_logits(T(x), T(t), tw, reduction)
    expected = each(formulas.bce_with_logits, x, t)
    assert_close(found.data, reduced(expected * scale, reduction), 1e-12)
    q = formulas.sigmoid(x)
    positive = -(pos * t * np.log(q) + (1 - t) * np.log(1 - q))
    found = F.binary_cross_entropy_with_logits(T(x), T(t), tw, reduction, T(pos))
    assert_close(found.data, reduced(positive * scale, reduction), 1e-11)
    check_gradients(F.binary_cross_entropy, p, t, order=2, rtol=1e-5, entries=8, directions=2)
    check_gradients(F.binary_cross_entropy_with_logits, x, t, entries=8, directions=2)


def test_binary_cross_entropy_at_0_and_1():
    """A logarithm counts at least -100, as in PyTorch; the gradient stays finite."""
    p = T(np.array([0.0, 1.0, 0.0, 1.0]), requires_grad=True)
    loss = F.binary_cross_entropy(p, T(np.array([0.0, 1.0, 1.0, 0.0])), reduction="none")
    assert loss.tolist() == [0, 0, 100, 100]
    loss.sum().backward()
    assert np.isfinite(p.grad.data).all()


@given(classified(positions=False), st.sampled_from(["mean", "sum", "none", "batchmean"]))
def test_kl_div(drawn, reduction):
    """D3-KL of discrete distributions; 0 log 0 = 0; log_target."""
    x, _, _ = drawn
    rng = np.random.default_rng(0)
    t = rng.dirichlet(np.ones(x.shape[1]), len(x))
    t[0, 0] = 0.0
    log_q = np.log(formulas.softmax(x))
    terms = np.where(t > 0, t * (np.log(np.where(t > 0, t, 1)) - log_q), 0)
    expected = terms.sum() / len(x) if reduction == "batchmean" else reduced(terms, reduction)
    assert_close(F.kl_div(T(log_q), T(t), reduction).data, expected, 1e-12)
    total = sum(formulas.kl_discrete(a, b) for a, b in zip(t, np.exp(log_q)))
    assert F.kl_div(T(log_q), T(t), "sum").item() == pytest.approx(total, abs=1e-12)
    positive = rng.dirichlet(np.ones(x.shape[1]), len(x)) + 1e-3
    in_logs = F.kl_div(T(log_q), T(np.log(positive)), reduction, log_target=True)
    assert_close(in_logs.data, F.kl_div(T(log_q), T(positive), reduction).data, 1e-12)
    check_gradients(lambda a, b: F.kl_div(a, b), log_q, positive, entries=8, directions=2)


# --------------------------------------------------------------------------- adversarial
samples = st.tuples(arrays((4, 1), -3, 3), arrays((4, 1), -3, 3))


@given(samples)
def test_gan_losses(drawn):
    """D3-GAN-V: V, D's loss -V, and both losses of G, from logits."""
    real, fake = drawn
    value = formulas.gan_value(formulas.sigmoid(real), formulas.sigmoid(fake))
    assert F.gan_value(T(real), T(fake)).item() == pytest.approx(value, rel=1e-12)
    assert F.gan_discriminator_loss(T(real), T(fake)).item() == pytest.approx(-value, rel=1e-12)
    non_saturating = formulas.gan_generator_loss(formulas.sigmoid(fake))
    assert F.gan_generator_loss(T(fake)).item() == pytest.approx(non_saturating, rel=1e-12)
    saturating = formulas.gan_value(np.array([1.0]), formulas.sigmoid(fake))    # log 1 + E log(1-D)
    assert F.gan_generator_loss(T(fake), saturating=True).item() == pytest.approx(
        saturating, rel=1e-12)
    targets = np.concatenate([np.ones(4), np.zeros(4)])[:, None]               # as cross entropies
    both = F.binary_cross_entropy_with_logits(T(np.concatenate(drawn)), T(targets)) * 2
    assert F.gan_discriminator_loss(T(real), T(fake)).item() == pytest.approx(both.item())


@given(generators())
def test_conditional_gan_is_the_same_value_of_conditioned_players(rng):
    """D3-CGAN: V with D(x | y) and G(z | y)."""
    w_d, w_g = rng.normal(size=(1, 5)), rng.normal(size=(3, 4))
    x, z, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), np.eye(2)[rng.integers(0, 2, 4)]
    G = lambda z, y: formulas.linear(np.concatenate([z, y], 1), w_g)
    D = lambda x, y: formulas.sigmoid(formulas.linear(np.concatenate([x, y], 1), w_d))
    condition = lambda a: minidl.cat([a, T(y)], 1)
    fake = F.linear(condition(T(z)), T(w_g))
    ours = F.gan_value(F.linear(condition(T(x)), T(w_d)), F.linear(condition(fake), T(w_d)))
    assert ours.item() == pytest.approx(formulas.cgan_value(D, G, x, z, y), rel=1e-11)


@given(samples, st.floats(-1, 1), st.floats(0.5, 2))
def test_wgan_and_lsgan_losses(drawn, a, b):
    """D3-WGAN, D3-LSGAN with their labels a, b, c."""
    real, fake = drawn
    assert F.wgan_critic_loss(T(real), T(fake)).item() == pytest.approx(
        formulas.wgan_critic_loss(real, fake), abs=1e-12)
    assert F.wgan_generator_loss(T(fake)).item() == pytest.approx(
        formulas.wgan_generator_loss(fake), abs=1e-12)
    assert F.lsgan_discriminator_loss(T(real), T(fake), a, b).item() == pytest.approx(
        formulas.lsgan_discriminator_loss(real, fake, a, b), rel=1e-6)
    assert F.lsgan_generator_loss(T(fake), b).item() == pytest.approx(
        formulas.lsgan_generator_loss(fake, b), rel=1e-6)
    assert F.lsgan_discriminator_loss(T(real), T(fake)).item() == pytest.approx(
        formulas.lsgan_discriminator_loss(real, fake), rel=1e-12)


@given(arrays((3, 4)), st.floats(0.05, 1))
def test_wgan_weight_clipping(w, c):
    """D3-WGAN: the Lipschitz bound kept by clipping, in place, outside the graph."""
    p = T(w, requires_grad=True)
    with minidl.no_grad():
        p.clamp_(-c, c)
    assert_close(p.data, formulas.wgan_clip(w, c), 1e-12)


@given(generators(), st.sampled_from([1.0, 10.0]))
def test_gradient_penalty(rng, weight):
    """D3-WGAN: of a critic whose gradient is known, and its own gradient (a second derivative)."""
    real, fake, w = rng.normal(size=(3, 2, 2)), rng.normal(size=(3, 2, 2)), rng.normal(size=(4,))
    seed = minidl.Generator(3)
    u = minidl.Generator(3).uniform((3, 1, 1), np.float64)
    between = u * real + (1 - u) * fake
    flat = between.reshape(3, 4)
    slopes = (1 - np.tanh(flat @ w) ** 2)[:, None] * w        # of tanh(w . x)
    critic = lambda x: (x.reshape(-1, 4) @ T(w)).tanh()
    found = F.gradient_penalty(critic, T(real), T(fake), weight, seed)
    assert found.item() == pytest.approx(formulas.gradient_penalty(slopes, weight), rel=1e-10)

    def as_function_of_w(v):
        generator = minidl.Generator(3)
        return F.gradient_penalty(lambda x: (x.reshape(-1, 4) @ v).tanh(), T(real), T(fake),
                                  weight, generator)
    check_gradients(as_function_of_w, w, rtol=1e-5)


# --------------------------------------------------------------------------- VAE
@given(arrays((3, 4)), arrays((3, 4)), arrays((3, 4)), arrays((3, 4)), reductions)
def test_gaussian_divergences(mu, logvar, mu2, logvar2, reduction):
    """D3-KL to the unit Gaussian and between two; from log variances, never variances by mistake
    for deviations."""
    sigma, sigma2 = np.exp(logvar / 2), np.exp(logvar2 / 2)
    unit = np.array([formulas.kl_unit_gaussian(m, s) for m, s in zip(mu, sigma)])
    assert_close(F.gaussian_kl(T(mu), T(logvar), reduction).data, reduced(unit, reduction), 1e-11)
    two = np.array([formulas.kl_gaussians(*r) for r in zip(mu, sigma, mu2, sigma2)])
    found = F.gaussian_kl_between(T(mu), T(logvar), T(mu2), T(logvar2), reduction)
    assert_close(found.data, reduced(two, reduction), 1e-11)
    zero = T(np.zeros((3, 4)))
    assert_close(F.gaussian_kl_between(T(mu), T(logvar), zero, zero, "none").data, unit, 1e-11)
    assert F.gaussian_kl_between(T(mu), T(logvar), T(mu), T(logvar)).item() == pytest.approx(
        0, abs=1e-12)
    check_gradients(F.gaussian_kl_between, mu, logvar, mu2, logvar2, entries=12)


@given(arrays((2, 3)), arrays((2, 3)), arrays((2, 3)))
def test_reparameterisation(mu, logvar, eps):
    """D3-REPARAM: z = mu + sigma eps with sigma = e^{logvar/2}: the deviation, not the variance."""
    expected = formulas.reparameterise(mu, np.exp(logvar / 2), eps)
    assert_close(F.reparameterize(T(mu), T(logvar), T(eps)).data, expected, 1e-12)
    assert_close(F.reparameterize(T(mu), T(logvar), eps).data, expected, 1e-12)
    check_gradients(lambda m, v: F.reparameterize(m, v, T(eps)), mu, logvar)
    noise = minidl.Generator(5).normal((2, 3), np.float64)
    drawn = F.reparameterize(T(mu), T(logvar), generator=minidl.Generator(5))
    assert_close(drawn.data, formulas.reparameterise(mu, np.exp(logvar / 2), noise), 1e-12)


@given(arrays((2, 1, 2, 3), 0, 1), arrays((2, 1, 2, 3), -4, 4), arrays((2, 4)), arrays((2, 4)))
def test_likelihoods_and_elbo(x, logits, mu, logvar):
    """D3-ELBO: reconstruction minus divergence; E3.1: a lower bound, so it is never the evidence
    itself unless q is the posterior."""
    p = formulas.sigmoid(logits)
    bernoulli = np.array([formulas.log_bernoulli(a, b) for a, b in zip(x, p)])
    found = F.bernoulli_log_likelihood(T(logits), T(x))
    assert_close(found.data, bernoulli, 1e-11)
    constant = 6 * math.log(2 * math.pi) / 2
    gaussian = np.array([formulas.log_gaussian(a, b) + constant for a, b in zip(x, logits)])
    assert_close(F.gaussian_log_likelihood(T(logits), T(x)).data, gaussian, 1e-11)
    ours = F.elbo(found, F.gaussian_kl(T(mu), T(logvar), "none"))
    expected = np.mean([formulas.elbo(np.array([b]), m, np.exp(v / 2))
                        for b, m, v in zip(bernoulli, mu, logvar)])
    assert ours.item() == pytest.approx(expected, rel=1e-11)


# --------------------------------------------------------------------------- at the ends
EXTREME = {
    "cross entropy": lambda x, t: F.cross_entropy(x.reshape(-1, 2), T([0, 1, 1])),
    "soft cross entropy": lambda x, t: F.cross_entropy(x.reshape(-1, 2), t.reshape(-1, 2)),
    "smoothed": lambda x, t: F.cross_entropy(x.reshape(-1, 2), T([0, 1, 1]), label_smoothing=0.1),
    "bce": F.binary_cross_entropy_with_logits,
    "bce pos_weight": lambda x, t: F.binary_cross_entropy_with_logits(x, t, pos_weight=t + 1),
    "mse": F.mse_loss, "l1": F.l1_loss, "smooth l1": F.smooth_l1_loss,
    "gan D": lambda x, t: F.gan_discriminator_loss(x, -x),
    "gan G": lambda x, t: F.gan_generator_loss(x),
    "gan G saturating": lambda x, t: F.gan_generator_loss(x, True),
    "lsgan": lambda x, t: F.lsgan_discriminator_loss(x, -x),
    "bernoulli": lambda x, t: F.bernoulli_log_likelihood(x.reshape(2, 3), t.reshape(2, 3)).sum(),
    "kl": lambda x, t: F.gaussian_kl(x, x * 0.08),
    "kl_div": lambda x, t: F.kl_div(F.log_softmax(x, 0), t),
    "attention": lambda x, t: F.scaled_dot_product_attention(
        x.reshape(3, 2), x.reshape(3, 2), t.reshape(3, 2)).sum(),
}


@pytest.mark.parametrize("name", EXTREME)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_are_finite_at_1000(name, dtype):
    """Values and gradients, in float32 too, without a warning (warnings are errors here)."""
    x = T(np.array([1000, -1000, 1000, 999, -1000, 0], dtype), requires_grad=True)
    t = T(np.array([0, 1, 1, 0, 0.5, 0.5], dtype))
    loss = EXTREME[name](x, t)
    loss.backward()
    assert np.isfinite(loss.item()) and np.isfinite(x.grad.data).all()
    assert loss.dtype == x.grad.dtype == dtype


def test_extreme_values_are_right_not_only_finite():
    x = T(np.array([1000.0, -1000.0]))
    ones = T(np.ones(2))
    assert F.binary_cross_entropy_with_logits(x, ones, reduction="none").tolist() == [0, 1000]
    assert F.cross_entropy(x[None], T([1])).item() == 2000
    assert F.gan_generator_loss(x).item() == 500
    assert F.bernoulli_log_likelihood(x[None], ones[None]).item() == -1000


# --------------------------------------------------------------------------- attention
@given(generators(), st.integers(1, 3), st.integers(1, 4))
def test_the_four_scores_and_their_attention(rng, steps, sources):
    """D3-ATT: alpha_ij, c_j for dot, scaled dot, general and additive scores."""
    s, h = rng.normal(size=(steps, 3)), rng.normal(size=(sources, 3))
    w, u, v = rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), rng.normal(size=2)
    general = rng.normal(size=(3, 3))
    pairs = [
        (formulas.score_dot, F.score_dot), (formulas.score_scaled_dot, F.score_scaled_dot),
        (lambda a, b: formulas.score_general(a, b, general),
         lambda a, b: F.score_general(a, b, T(general))),
        (lambda a, b: formulas.score_additive(a, b, w, u, v),
         lambda a, b: F.score_additive(a, b, T(w), T(u), T(v)))]
    for score, ours in pairs:
        e = np.array([[score(a, b) for b in h] for a in s])
        assert_close(ours(T(s), T(h)).data, e, 1e-12)
        c, alpha = formulas.attention(s, h, score)
        found_c, found_alpha = F.attention(T(s), T(h), ours)
        assert_close(found_c.data, c, 1e-12)
        assert_close(found_alpha.data, alpha.T, 1e-12)        # the document's alpha_ij: column j
        check_gradients(lambda a, b: F.attention(a, b, ours)[0], s, h, entries=4, directions=2)
    c, _ = formulas.attention(s, h)
    batched = F.scaled_dot_product_attention(T(s)[None], T(h)[None], T(h)[None])
    assert_close(batched.data[0], c, 1e-12)


@given(generators(), st.integers(1, 4), st.integers(1, 4))
def test_masks(rng, steps, sources):
    """A masked position weighs nothing: as if it were not there."""
    q, k, v = rng.normal(size=(steps, 2)), rng.normal(size=(sources, 2)), rng.normal(
        size=(sources, 3))
    seen = rng.random((steps, sources)) < 0.6
    seen[:, 0] = True
    found = F.scaled_dot_product_attention(T(q), T(k), T(v), T(seen))
    as_numbers = F.scaled_dot_product_attention(T(q), T(k), T(v), T(np.where(seen, 0.0, -np.inf)))
    assert_close(as_numbers.data, found.data, 1e-12)
    for j in range(steps):
        alone, _ = formulas.attention(q[j:j + 1], k[seen[j]], values=v[seen[j]])
        assert_close(found.data[j], alone[0], 1e-12)
    causal = F.scaled_dot_product_attention(T(q), T(k), T(v), is_causal=True)
    tri = F.scaled_dot_product_attention(T(q), T(k), T(v), T(np.tri(steps, sources) > 0))
    assert_close(causal.data, tri.data, 1e-12)
    scaled = F.scaled_dot_product_attention(T(q), T(k), T(v), scale=1.0)
    plain, _ = formulas.attention(q, k, formulas.score_dot, v)
    assert_close(scaled.data, plain, 1e-12)


@given(generators(), st.sampled_from([1, 2, 4]), st.integers(1, 3), st.integers(1, 3))
def test_multi_head_attention(rng, heads, steps, sources):
    """D3-MHA: Concat(head_1 .. head_h) W^O; the rows of each weight belong to the heads in turn."""
    q, k, v = (rng.normal(size=(n, 4)) for n in (steps, sources, sources))
    weights = [rng.normal(size=(4, 4)) for _ in range(4)]
    parts = [[part.T for part in np.split(w, heads)] for w in weights[:3]]
    expected = formulas.multi_head_attention(q, k, v, *parts, weights[3].T)
    args = [T(a)[None] for a in (q, k, v)]
    found = F.multi_head_attention(*args, *map(T, weights), heads)
    assert_close(found.data[0], expected, 1e-11)


def test_attention_dropout_drops_weights():
    """A weight is kept with probability 1 - p and then divided by it."""
    q = T(np.zeros((1, 2)))
    k, v = T(np.zeros((50, 2))), T(np.eye(50))
    weights = F.scaled_dot_product_attention(q, k, v, dropout_p=0.5).data[0] * 50
    assert set(np.round(weights, 9)) == {0.0, 2.0}
