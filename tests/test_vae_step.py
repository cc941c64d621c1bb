"""The VAE's training, evaluation, samples and codes against formulas.py, number by number.

The network is VAE itself with layers so small that its gradients can be taken by differences: four
pixels, two latent variables, and dropout in encoder and decoder, which shows the mode.
"""

from __future__ import annotations

import math

import byhand
import numpy as np
import pytest

import minidl
from minidl import data, formulas, nn, optim, training
from minidl.models import VAE
from minidl.random import Generator

BOTH = pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])


class Tiny(VAE):
    def __init__(self, likelihood: str):
        nn.Module.__init__(self)
        self.latent, self.likelihood = 2, likelihood
        self.encoder = nn.Sequential(nn.Flatten(), nn.Dropout(0.25))
        self.mu, self.logvar = nn.Linear(4, 2), nn.Linear(4, 2)
        self.decoder = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5), nn.Linear(3, 4),
                                     nn.Unflatten(1, (1, 2, 2)))


def made(likelihood: str) -> VAE:
    return byhand.randomise(Tiny(likelihood))


def images(n: int) -> np.ndarray:
    return np.random.default_rng(n).uniform(0, 1, (n, 1, 2, 2))


def batches(n: int, size: int) -> data.DataLoader:
    return data.DataLoader((images(n), np.arange(n) % 10), size)


# --------------------------------------------------------------------------- the network by hand
Mask = np.ndarray | float              # of dropout; 1 in evaluation


def encoded(w: byhand.Weights, x: np.ndarray, mask: Mask = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """mu and sigma (N, 2)."""
    x = x.reshape(len(x), 4) * mask
    logvar = formulas.linear(x, w["logvar.weight"], w["logvar.bias"])
    return formulas.linear(x, w["mu.weight"], w["mu.bias"]), np.exp(logvar / 2)


def decoded(w: byhand.Weights, z: np.ndarray, mask: Mask = 1.0) -> np.ndarray:
    """The decoder's output (N, 4)."""
    h = formulas.linear(z, w["decoder.0.weight"], w["decoder.0.bias"]) * mask
    return formulas.linear(h, w["decoder.2.weight"], w["decoder.2.bias"])


def losses(likelihood: str, w: byhand.Weights, x: np.ndarray, epsilon: np.ndarray,
           masks: tuple[Mask, Mask] = (1.0, 1.0)) -> np.ndarray:
    """-ELBO, reconstruction loss and KL (3, N) of each image, in the order of D3 3.3.2."""
    mu, sigma = encoded(w, x, masks[0])                                # step 1
    z = formulas.reparameterise(mu, sigma, epsilon)                    # step 2
    output, x = decoded(w, z, masks[1]), x.reshape(len(x), 4)          # step 3
    if likelihood == "bernoulli":                                      # step 4
        fits = [formulas.log_bernoulli(a, p) for a, p in zip(x, formulas.sigmoid(output))]
    else:                                                # the engine's is short of its constant
        fits = [formulas.log_gaussian(a, m) + 2 * math.log(2 * math.pi)
                for a, m in zip(x, output)]
    rows = [(-formulas.elbo(np.array([fit]), m, s), -fit, formulas.kl_unit_gaussian(m, s))
            for fit, m, s in zip(fits, mu, sigma)]
    return np.array(rows).T


# --------------------------------------------------------------------------- training
@BOTH
@pytest.mark.parametrize("kernels", ["as they are", "reference"])
def test_two_steps_are_the_formulas(likelihood, kernels, monkeypatch):
    """D1-VAE, D3-ELBO, D3-KL, D3-REPARAM, E1.3: losses, gradients and weights of two steps in a
    row, on batches of 3 and of 2; the two heads of the encoder as one product and as two."""
    before = minidl.kernels_in_use()
    if kernels == "reference":
        minidl.use_kernels("reference")
    try:
        model, generator, adam = made(likelihood).train(), byhand.own_generator(), byhand.Adam()
        steps = training.VAESteps(model, optim.Adam(model.parameters(), **byhand.Adam.options))
        w = byhand.weights(model)
        for n in (3, 2):
            x = images(n)
            found = steps.step(minidl.tensor(x))
            first = byhand.mask(generator, (n, 4), 0.25)               # the encoder's mask
            epsilon = generator.normal((n, 2), np.float64)             # the code's noise
            masks = first, byhand.mask(generator, (n, 3), 0.5)         # the decoder's mask
            expected = losses(likelihood, w, x, epsilon, masks).mean(1)
            assert [found[name].item() for name in ("loss", "reconstruction", "kl")] == (
                pytest.approx(expected, rel=1e-10))
            assert not any(value.requires_grad for value in found.values())   # no graph is kept
            grads = byhand.gradients(lambda w: losses(likelihood, w, x, epsilon, masks)[0].mean(),
                                     w, list(w))
            byhand.assert_gradients(model, grads)
            adam.step(w, grads)
            byhand.assert_weights(model, w)
    finally:
        minidl.use_kernels(before)


@BOTH
def test_forward_is_encode_reparameterise_decode(likelihood):
    """D1-VAE: with the noise that is given, and with the generator's next."""
    model, x, generator = made(likelihood).eval(), images(3), byhand.own_generator()
    w, drawn = byhand.weights(model), generator.normal((3, 2), np.float64)
    mu, sigma = encoded(w, x)
    for given, epsilon in ((None, drawn), (minidl.tensor(-drawn), -drawn)):
        output, found_mu, logvar = model(minidl.tensor(x), given)
        expected = decoded(w, formulas.reparameterise(mu, sigma, epsilon))
        np.testing.assert_allclose(output.numpy().reshape(3, 4), expected, rtol=1e-10)
        np.testing.assert_allclose(found_mu.numpy(), mu, rtol=1e-10)
        np.testing.assert_allclose(np.exp(logvar.numpy() / 2), sigma, rtol=1e-10)


# --------------------------------------------------------------------------- what is reported
@BOTH
def test_evaluation_is_the_mean_over_images_at_rest(likelihood):
    """D1-VAE: batches of 2, 2 and 1, so each image must count alike; no dropout; the noise that
    seed 1 gives to batch after batch."""
    model = made(likelihood).train()
    w, x, noise = byhand.weights(model), images(5), Generator(1)
    expected = np.concatenate([losses(likelihood, w, x[i:i + 2],
                                      noise.normal((len(x[i:i + 2]), 2), np.float64))
                               for i in (0, 2, 4)], 1).mean(1)
    steps = training.VAESteps(model, None)
    found = steps.evaluate(batches(5, 2))
    assert list(found) == ["loss", "reconstruction", "kl"]
    assert list(found.values()) == pytest.approx(expected, rel=1e-10)
    byhand.assert_weights(model, w, rtol=0)


def seen(likelihood: str, output: np.ndarray) -> np.ndarray:
    """E[x|z], of the decoder's output."""
    return formulas.sigmoid(output) if likelihood == "bernoulli" else output


@BOTH
def test_samples_are_decoded_draws_of_the_prior(likelihood):
    """D1-VAE, D3-INTERP: z ~ N(0, I) of the seed, all in one draw, decoded at rest; the images are
    the means E[x|z]. 103 images are more than one batch of the decoder."""
    model = made(likelihood).float().train()
    w = {name: a.astype(np.float64) for name, a in byhand.weights(model).items()}
    for n, *seed in ((103, 7), (2, 8), (2,)):
        z = Generator(*seed or [0]).normal((n, 2)).astype(np.float64)
        found = training.outputs.prior_samples(model, n, *seed)
        expected = seen(likelihood, decoded(w, z)).reshape(n, 1, 2, 2)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        found = training.outputs.decoded(model, z)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_draw_of_the_prior_has_deviation_one():
    """D1-VAE: a decoder that changes nothing shows z itself, N(0, 1)."""
    model = made("gaussian").float()
    model.decoder = nn.Sequential(nn.Linear(2, 4), nn.Unflatten(1, (1, 2, 2)))
    with minidl.no_grad():
        model.decoder[0].weight.copy_(np.array([[1, 0], [0, 1], [0, 0], [0, 0]]))
        model.decoder[0].bias.zero_()
    z = training.outputs.prior_samples(model, 4000)[:, 0, 0]
    assert abs(z.mean(0)).max() < 0.05 and abs(z.std(0) - 1).max() < 0.05


def test_codes_are_the_means_at_rest():
    """D1-VAE, D3-INTERP: mu of q(z|x) and the labels, image after image."""
    model = made("bernoulli").train()
    found, labels = training.outputs.encoded(model, batches(5, 2))
    mu, sigma = encoded(byhand.weights(model), images(5))
    np.testing.assert_allclose(found, mu, rtol=1e-10)
    assert abs(mu - 2 * np.log(sigma)).min() > 1e-3            # what it must not be mistaken for
    assert labels.tolist() == [0, 1, 2, 3, 4]
