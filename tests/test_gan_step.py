"""Every GAN's training, evaluation and samples against formulas.py, number by number.

The players are so small that their gradients can be taken by differences: four pixels, batch norm
in both players, whose statistics tell who looked at what in which mode, and dropout in the
discriminator. The critic of the gradient penalty has no batch norm, for the penalty takes each
image by itself, and tanh for leaky relu: so its slope is another at every point.
"""

from __future__ import annotations

import byhand
import numpy as np
import pytest

import minidl
from minidl import data, formulas, nn, optim, training
from minidl.models import GAN
from minidl.random import Generator

STEPS = {"gan": training.GANSteps, "lsgan": training.LSGANSteps, "wgan": training.WGANSteps,
         "wgan-gp": training.WGANPenaltySteps, "cgan": training.CGANSteps}
CLIP, WEIGHT, CLASSES = 0.6, 7.0, 3
LABELS = np.array([2, 0, 0, 1, 2])


class Tiny(GAN):
    def __init__(self, name: str):
        classes = CLASSES if name == "cgan" else 0
        middle = [nn.Tanh()] if name == "wgan-gp" else [
            nn.BatchNorm1d(3, eps=1e-3, momentum=0.2), nn.LeakyReLU(0.2)]
        super().__init__(
            nn.Sequential(nn.Linear(2 + classes, 3, bias=False),
                          nn.BatchNorm1d(3, eps=1e-3, momentum=0.2), nn.ReLU(), nn.Linear(3, 4),
                          nn.Tanh(), nn.Unflatten(1, (1, 2, 2))),
            nn.Sequential(nn.Flatten(), nn.Linear(4, 3), *middle, nn.Dropout(0.25),
                          nn.Linear(3, classes or 1)), latent=2)
        self.classes = classes


def made(name: str) -> GAN:
    return byhand.randomise(Tiny(name)).train()


def images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (n, 1, 2, 2))


def batches(n: int, size: int) -> data.DataLoader:
    return data.DataLoader((images(n), LABELS[:n]), size)


# --------------------------------------------------------------------------- the players by hand
def normed(w: byhand.Weights, at: str, x: np.ndarray, training: bool):
    """Batch norm, Keras's momentum 0.8, and the running statistics as it leaves them."""
    names = [f"{at}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
    y, *moved = formulas.batch_norm(x[:, :, None, None], *(w[name] for name in names), 0.8, 1e-3,
                                    training)
    return y[:, :, 0, 0], dict(zip(names[2:], moved))


def rows(y: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(CLASSES)[y] if classes else np.zeros((len(y), 0))


def generated(w: byhand.Weights, z: np.ndarray, y: np.ndarray, training: bool = True):
    """G(z), or G(z|y): pixels (N, 4), and the statistics."""
    classes = w["generator.0.weight"].shape[1] - 2
    h = formulas.linear(np.concatenate([z, rows(y, classes)], 1), w["generator.0.weight"])
    h, moved = normed(w, "generator.1", h, training)
    h = formulas.linear(formulas.relu(h), w["generator.3.weight"], w["generator.3.bias"])
    return formulas.tanh(h), moved


def judged(w: byhand.Weights, x: np.ndarray, y: np.ndarray, mask: np.ndarray | float,
           training: bool = True):
    """D's logits (N,) for pixels (N, 4), of the classes y if D is told them, and the statistics."""
    h = formulas.linear(x, w["discriminator.1.weight"], w["discriminator.1.bias"])
    if "discriminator.4.weight" in w:                          # the critic of the penalty
        h, moved, last = formulas.tanh(h), {}, "discriminator.4"
    else:
        h, moved = normed(w, "discriminator.2", h, training)
        h, last = formulas.leaky_relu(h, 0.2), "discriminator.5"
    scores = formulas.linear(h * mask, w[f"{last}.weight"], w[f"{last}.bias"])
    own = (rows(y, scores.shape[1]) * scores).sum(1) if scores.shape[1] > 1 else scores[:, 0]
    return own, moved


def slopes(w: byhand.Weights, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """d f(x_n) / d x_n of the critic without batch norm, f = b + sum_j v_j m_nj tanh(a_nj)."""
    a = formulas.linear(x, w["discriminator.1.weight"], w["discriminator.1.bias"])
    v, (N, J), found = w["discriminator.4.weight"][0], a.shape, np.zeros(x.shape)
    for n, j in np.ndindex(N, J):
        slope = 1 - np.tanh(a[n, j]) ** 2
        found[n] += v[j] * mask[n, j] * slope * w["discriminator.1.weight"][j]
    return found


def probability(logits: np.ndarray) -> np.ndarray:
    return formulas.sigmoid(logits)


LOSSES = {  # D's loss and G's, of D's logits or scores; what D's output is said to be
    "gan": (lambda real, fake: -formulas.gan_value(probability(real), probability(fake)),
            lambda fake: formulas.gan_generator_loss(probability(fake)), probability),
    "lsgan": (formulas.lsgan_discriminator_loss, formulas.lsgan_generator_loss, np.copy),
    "wgan": (formulas.wgan_critic_loss, formulas.wgan_generator_loss, np.copy)}
LOSSES |= {"wgan-gp": LOSSES["wgan"], "cgan": LOSSES["gan"]}


class ByHand:
    """Both turns of D3 3.1.2: the weights w, the noise, and each player's own Adam."""

    def __init__(self, name: str, model: GAN) -> None:
        self.name, self.w, self.noise = name, byhand.weights(model), byhand.own_generator()
        self.adam = {"generator": byhand.Adam(), "discriminator": byhand.Adam()}
        self.own = {player: [f"{player}.{n}" for n, _ in getattr(model, player).named_parameters()]
                    for player in self.adam}
        self.grads: dict[str, byhand.Weights] = {}

    def look(self, x: np.ndarray, y: np.ndarray):
        """D looks at x, in training mode: logits, mask; the statistics move."""
        mask = byhand.mask(self.noise, (len(x), 3), 0.25)
        logits, moved = judged(self.w, x, y, mask)
        self.w |= moved
        return logits, mask

    def descend(self, player: str, loss) -> float:
        before = loss(self.w)
        self.grads[player] = byhand.gradients(loss, self.w, self.own[player])
        self.adam[player].step(self.w, self.grads[player])
        return before

    def fakes(self, y: np.ndarray):
        z = self.noise.normal((len(y), 2), np.float64)
        fake, moved = generated(self.w, z, y)
        self.w |= moved
        return z, fake

    def discriminator_turn(self, x: np.ndarray, y: np.ndarray):
        """D's loss, and its mean output on real and fake."""
        d_loss, _, output = LOSSES[self.name]
        _, fake = self.fakes(y)
        real_logits, m_real = self.look(x, y)
        fake_logits, m_fake = self.look(fake, y)
        if self.name == "wgan-gp":
            u = self.noise.uniform((len(x), 1), np.float64)
            between = u * x + (1 - u) * fake
            _, m_between = self.look(between, y)

        def loss(w: byhand.Weights) -> float:
            found = d_loss(judged(w, x, y, m_real)[0], judged(w, fake, y, m_fake)[0])
            if self.name == "wgan-gp":
                found += formulas.gradient_penalty(slopes(w, between, m_between), WEIGHT)
            return found

        before = self.descend("discriminator", loss)
        if self.name == "wgan":
            for name in self.own["discriminator"]:
                self.w[name] = formulas.wgan_clip(self.w[name], CLIP)
        return before, output(real_logits).mean(), output(fake_logits).mean()

    def generator_turn(self, y: np.ndarray) -> float:
        """G's loss; D looks, in training mode, and is not moved."""
        z, fake = self.fakes(y)
        _, mask = self.look(fake, y)
        return self.descend("generator", lambda w: LOSSES[self.name][1](
            judged(w, generated(w, z, y)[0], y, mask)[0]))


def procedure(name: str, model: GAN, **options):
    options |= {"clip": CLIP} if name == "wgan" else {"weight": WEIGHT} if name == "wgan-gp" else {}
    return STEPS[name](model, *(optim.Adam(player.parameters(), **byhand.Adam.options)
                                for player in (model.generator, model.discriminator)), **options)


# --------------------------------------------------------------------------- training
@pytest.mark.parametrize("name", STEPS)
def test_two_steps_are_the_formulas(name):
    """D3-GAN-V, D3-LSGAN, D3-WGAN, D3-CGAN, and so D0-GAN, D1-GAN, D2-GAN, D4-GAN: losses, D's
    outputs, gradients, weights and running statistics of two steps in a row, the second on fewer
    images. A critic has two turns, each on its half of the batch; an image left over has no part.
    No gradient is left over (E0.3), the players have a loss each, and G's gradient goes through D
    (E1.2), D learns from real images and fakes (E2.1), and G learns (E4.1)."""
    model, turns = made(name), 2 if name.startswith("wgan") else 1
    steps = procedure(name, model, **({"turns": turns} if turns > 1 else {}))
    hand = ByHand(name, model)
    for n in (4, 3):
        x, y = images(turns * n + turns - 1, n), LABELS[:n].repeat(turns)
        y = np.concatenate([y, y[:turns - 1]])
        found = steps.step(minidl.tensor(x), minidl.tensor(y))
        for turn in range(turns):
            part = slice(turn * n, turn * n + n)
            d_loss, d_real, d_fake = hand.discriminator_turn(x[part].reshape(n, 4), y[part])
        g_loss = hand.generator_turn(y[part])
        assert {key: value.item() for key, value in found.items()} == pytest.approx(
            {"d_loss": d_loss, "g_loss": g_loss, "d_real": d_real, "d_fake": d_fake}, rel=1e-7)
        assert not any(value.requires_grad for value in found.values())     # no graph is kept
        byhand.assert_weights(model, hand.w)
        byhand.assert_gradients(model, hand.grads["generator"] | hand.grads["discriminator"])
    assert model.generator.training and model.discriminator.training


@pytest.mark.parametrize("name", STEPS)
def test_a_turn_moves_its_player_alone(name):
    """D3-GAN-V: D's turn leaves G's weights and gives G no gradients; G's turn leaves D's weights
    and gradients, though D's statistics move in both, as G's do."""
    model = made(name)
    steps, hand, x = procedure(name, model), ByHand(name, model), images(5)
    steps.discriminator_step(minidl.tensor(x), minidl.tensor(LABELS))
    hand.discriminator_turn(x.reshape(5, 4), LABELS)
    byhand.assert_weights(model, hand.w)
    byhand.assert_gradients(model, hand.grads["discriminator"])
    loss = steps.generator_step(5, minidl.tensor(LABELS))
    assert loss.item() == pytest.approx(hand.generator_turn(LABELS), rel=1e-9)
    byhand.assert_weights(model, hand.w)
    byhand.assert_gradients(model, hand.grads["generator"] | hand.grads["discriminator"])
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", [name for name in STEPS if name != "wgan"])
def test_a_frozen_layer_of_the_discriminator_stays_frozen(name):
    """Over two steps its weights keep their bits and get no gradient; the other layers move. (The
    critic that is clipped is clipped in every weight.)"""
    model = made(name)
    model.discriminator[1].requires_grad_(False)
    steps, before = procedure(name, model), byhand.weights(model)
    for seed in (1, 2):
        steps.step(minidl.tensor(images(9, seed)), minidl.tensor(LABELS.repeat(2)[:9]))
    after = byhand.weights(model)
    still = {key for key, p in model.named_parameters() if np.array_equal(before[key], after[key])}
    own = {"discriminator.1.weight", "discriminator.1.bias"}
    assert own <= still <= own | {"discriminator.4.bias"}      # scores' differences know no bias
    for key, p in model.named_parameters():
        assert p.requires_grad == (key not in own) == (p.grad is not None)


def test_the_document_s_own_generator_loss():
    """D3-GAN-V: G descends E log(1 - D(G(z))) where `g_loss` says so."""
    def saturating(fake):
        return minidl.functional.gan_generator_loss(fake, saturating=True)

    model = made("gan")
    steps, hand = procedure("gan", model), ByHand("gan", model)
    steps.g_loss = saturating
    y = LABELS
    loss = steps.generator_step(5)
    z, fake = hand.fakes(y)
    _, mask = hand.look(fake, y)
    nothing = np.array([1.0])                                     # E log D(x) is 0: G has no part
    expected = hand.descend("generator", lambda w: formulas.gan_value(
        nothing, probability(judged(w, generated(w, z, y)[0], y, mask)[0])))
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    byhand.assert_weights(model, hand.w)


def test_a_critic_s_defaults():
    """D3-WGAN: three turns, clipping at 0.05, a penalty of weight 10."""
    wgan, penalty = (STEPS[name](made(name), None, None) for name in ("wgan", "wgan-gp"))
    assert (wgan.turns, wgan.clip) == (3, 0.05)
    assert (penalty.turns, penalty.clip, penalty.weight) == (3, None, 10.0)


def test_the_least_turns_and_the_least_penalty():
    """D3-WGAN: a critic with one turn has the whole batch for it; a penalty of weight 0 is none."""
    model = made("wgan-gp")
    steps = STEPS["wgan-gp"](model, *(optim.SGD(player.parameters(), lr=0.0)
                                      for player in (model.generator, model.discriminator)),
                             turns=1, weight=0.0)
    hand, x, y = ByHand("wgan-gp", model), images(4), LABELS[:4]
    _, fake = hand.fakes(y)
    (real_scores, _), (fake_scores, _) = hand.look(x.reshape(4, 4), y), hand.look(fake, y)
    found = steps.step(minidl.tensor(x))
    expected = formulas.wgan_critic_loss(real_scores, fake_scores)
    assert found["d_loss"].item() == pytest.approx(expected, rel=1e-10)
    assert found["d_real"].item() == pytest.approx(real_scores.mean(), rel=1e-10)


# --------------------------------------------------------------------------- what is reported
@pytest.mark.parametrize("name", STEPS)
def test_evaluation_is_the_mean_over_images_at_rest(name):
    """D's mean output on 5 real images in batches of 3 and 2, and on as many fakes of the noise
    that seed 1 gives batch after batch: no dropout, running statistics, nothing moves."""
    model, noise = made(name), Generator(1)
    w, output = byhand.weights(model), LOSSES[name][2]
    found = STEPS[name](model, None, None).evaluate(batches(5, 3))
    real, fake = [], []
    for part in (slice(0, 3), slice(3, 5)):
        x, y = images(5)[part].reshape(-1, 4), LABELS[part]
        real += [*output(judged(w, x, y, 1.0, training=False)[0])]
        z = noise.normal((len(x), 2), np.float64)
        fakes, _ = generated(w, z, y, training=False)
        fake += [*output(judged(w, fakes, y, 1.0, training=False)[0])]
    assert found == pytest.approx({"d_real": np.mean(real), "d_fake": np.mean(fake)}, rel=1e-10)
    byhand.assert_weights(model, w, rtol=0)


@pytest.mark.parametrize("name, labels", [("gan", None), ("cgan", None),
                                          ("cgan", np.arange(103) % 2)])
def test_samples_are_the_generator_at_rest(name, labels):
    """Images in [0, 1] of the seed's noise, drawn for 100 images at a time; the classes 0, 1, 2 in
    turn, or those given."""
    model, noise = made(name), Generator(5)
    w = byhand.weights(model)
    y = np.arange(103) % CLASSES if labels is None else labels
    z = np.concatenate([noise.normal((100, 2), np.float64), noise.normal((3, 2), np.float64)])
    expected = generated(w, z, y, training=False)[0].reshape(103, 1, 2, 2) / 2 + 0.5
    found = training.outputs.samples(model, 103, 5, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    samples = training.outputs.samples
    assert np.array_equal(samples(model, 3), samples(model, 3, 0))
    byhand.assert_weights(model, w, rtol=0)


def test_noise_has_deviation_one():
    """D3-GAN-V: z ~ N(0, I), in the dtype of the weights."""
    z = made("gan").noise(4000).numpy()
    assert z.shape == (4000, 2) and z.dtype == np.float64
    assert abs(z.mean(0)).max() < 0.05 and abs(z.std(0) - 1).max() < 0.05
