"""The documents' networks: shapes and parameter counts by hand, options, and that they learn."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl import nn
from minidl.explain.trace import Trace
from minidl.models import DCGAN, MODELS, VAE, ConvGAN, DenseGAN, UpsampleGAN
from minidl.random import Generator
from minidl.training import first_step
from minidl.training.config import config_for
from minidl.training.job import Job

# Counted from the listings with pencil and paper: a convolution has KH KW C O (+ O) parameters, a
# dense layer I O (+ O), batch norm 2 C.
CNN = 320 + 18_496 + 36_928 + 36_928 + 650
COUNTS = {
    "cnn": {"classifier": CNN},
    "cnn-dropout": {"classifier": CNN},
    "cnn-padded": {"classifier": 320 + 18_496 + (64 * 7 * 7 * 128 + 128) + 1_290},
    "cnn-rgb": {"classifier": 896 + 18_496 + (64 * 6 * 6 * 128 + 128) + 1_290},
    "resnet": {"classifier": (16 * 9 + 32) + 6 * (16 * 16 * 9 + 32) + (16 * 32 * 9 + 64)
               + 6 * (32 * 32 * 9 + 64) + 330},
    # patches; class token and 50 positions; two blocks of two norms, attention and two dense
    # layers; norm and dense.
    "attention": {"classifier": (16 * 64 + 64) + 64 + 50 * 64 + 2 * (
        2 * 128 + (3 * 64 * 64 + 3 * 64) + (64 * 64 + 64) + (64 * 128 + 128) + (128 * 64 + 64))
        + 128 + 650},
    "gan": {
        "generator": 100 * 25_088 + 2 * 25_088 + 512 * 256 * 25 + 512 + 256 * 128 * 25 + 256
        + 128 * 25,
        "discriminator": (25 * 64 + 64) + (64 * 128 * 25 + 128) + (7 * 7 * 128 + 1)},
    "gan-16": {
        "generator": 100 * 8_192 + 2 * 8_192 + 512 * 256 * 25 + 512 + 256 * 128 * 25 + 256
        + 128 * 25,
        "discriminator": (25 * 64 + 64) + (64 * 128 * 25 + 128) + (4 * 4 * 128 + 1)},
    "dcgan": {
        "generator": (100 * 64 * 16 + 64) + (64 * 32 * 16 + 32) + (32 * 32 * 16 + 32) + 513,
        "discriminator": 320 + 18_496 + 73_856 + 2_049},
    "gan-upsample": {
        "generator": 100 * 16_384 + (256 * 128 * 9 + 128) + 256 + (128 * 64 * 9 + 64) + 128 + 577,
        "discriminator": 640 + 128 + 73_856 + 256 + (128 * 256 * 9 + 256) + 512 + 4_097},
    "gan-dense": {
        "generator": 100 * 256 + 512 + 256 * 512 + 1_024 + 512 * 1_024 + 2_048 + 1_024 * 12_544
        + 25_088 + (256 * 128 * 9 + 256) + 6 * (128 * 128 * 9 + 256) + 128 * 9,
        "discriminator": (128 * 9 + 256) + 3 * (128 * 128 * 9 + 256) + 25_088 * 512 + 1_024
        + 512 * 256 + 257},
    **dict.fromkeys(("lsgan", "wgan", "wgan-gp"), {
        "generator": 64 * 2_352 + 96 + 48 * 24 * 16 + 48 + (24 * 16 + 1),
        "discriminator": (24 * 16 + 24) + (24 * 48 * 16 + 48) + (7 * 7 * 48 + 1)}),
    "cgan": {
        "generator": 74 * 2_352 + 96 + 48 * 24 * 16 + 48 + (24 * 16 + 1),
        "discriminator": (24 * 16 + 24) + (24 * 48 * 16 + 48) + 10 * (7 * 7 * 48 + 1)},
    "vae": {"vae": 320 + 18_496 + 2 * (64 * 28 * 28 * 100 + 100) + (100 * 3_136 + 3_136)
            + (64 * 64 * 9 + 64) + (64 * 32 * 9 + 32) + 289},
    "small-gan": {
        "generator": 16 * 1_568 + 2 * 1_568 + 32 * 16 * 25 + 32 + 16 * 8 * 25 + 16 + 8 * 25,
        "discriminator": (25 * 4 + 4) + (4 * 8 * 25 + 8) + (7 * 7 * 8 + 1)},
    "small-vae": {"vae": 40 + (4 * 8 * 9 + 8) + 2 * (8 * 28 * 28 * 4 + 4) + (4 * 392 + 392)
                  + (8 * 8 * 9 + 8) + (8 * 4 * 9 + 4) + 37},
}
SOURCES = {"cnn": "D1-CNN", "cnn-dropout": "D2-CNN", "cnn-padded": "D0-CNN", "cnn-rgb": "D4-CNN",
           "resnet": "D3-RESNET", "attention": "D3-ATTNET",
           "gan": "D1-GAN", "gan-16": "D1-GAN", "dcgan": "D0-GAN", "gan-upsample": "D2-GAN",
           "gan-dense": "D4-GAN", "lsgan": "D3-LSGAN", "wgan": "D3-WGAN", "wgan-gp": "D3-WGAN",
           "cgan": "D3-CGAN", "vae": "D1-VAE", "small-gan": "D1-GAN", "small-vae": "D1-VAE"}
GANS = [name for name, recipe in MODELS.items() if recipe.kind == "gan"]
CLASSIFIERS = [name for name, recipe in MODELS.items() if recipe.kind == "classifier"]


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_as_many_as_counted_by_hand(name):
    """D0-CNN, D1-CNN, D2-CNN, D4-CNN, D3-RESNET, D3-ATTNET, D0-GAN, D1-GAN, D2-GAN, D4-GAN,
    D1-VAE."""
    recipe = MODELS[name]
    parts = {part: count(module) for part, module, _ in recipe.parts()}
    assert parts == COUNTS[name]
    assert recipe.source.startswith(SOURCES[name])
    # Each class says its numbers in its docstring, too.
    networks = [f"{n:,}" for n in parts.values()]
    network = getattr(recipe.build, "func", recipe.build)              # of a partial, its class
    assert all(n in network.__doc__ for n in networks)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_give_ten_logits(name):
    """E1.1: the softmax is the loss's."""
    recipe = MODELS[name]
    images = minidl.rand(2, *recipe.image)
    model = recipe.build()
    assert model(images).shape == (2, 10)
    assert not isinstance(list(model.modules())[-1], nn.Softmax)


def test_cnn_shapes_layer_by_layer():
    """D1-CNN: what D1's Keras listing prints as its summary."""
    rows = nn.summary(MODELS["cnn"].build(), (1, 28, 28)).rows
    shapes = [row.output_shape for row in rows if row.kind != "ReLU"]
    assert shapes == [(32, 26, 26), (32, 13, 13), (64, 11, 11), (64, 5, 5), (64, 3, 3), (576,),
                      (64,), (10,)]
    assert [row.parameters for row in rows if row.parameters] == [320, 18_496, 36_928, 36_928, 650]


def test_dropout_stands_before_the_last_layer():
    """D2-CNN: dropout 0.5 acts in training and not in evaluation."""
    model, images = MODELS["cnn-dropout"].build(), minidl.rand(4, 1, 28, 28)
    assert isinstance(model[-2], nn.Dropout) and model[-2].p == 0.5
    assert not np.array_equal(model(images).numpy(), model(images).numpy())
    model.eval()
    assert np.array_equal(model(images).numpy(), model(images).numpy())


def test_padded_cnn_takes_other_channels_and_one_size():
    """D0-CNN, E0.1: 64*7*7 is what 28x28 leaves, whatever the channels; of 32x32 it leaves more."""
    model = MODELS["cnn-padded"].build(channels=3)
    assert model(minidl.rand(2, 3, 28, 28)).shape == (2, 10)
    with pytest.raises(ValueError, match="3136"):
        model(minidl.rand(2, 3, 32, 32))


def test_one_hot_and_class_numbers_are_the_same_cross_entropy():
    """D4-CNN: categorical cross entropy of one-hot rows is that of class numbers."""
    logits, labels = minidl.randn(5, 10), minidl.tensor([3, 1, 4, 1, 5])
    rows = F.one_hot(labels, 10).float()
    assert F.cross_entropy(logits, rows).item() == pytest.approx(
        F.cross_entropy(logits, labels).item(), rel=1e-6)


def test_cnn_rgb_is_trained_on_one_hot_rows(monkeypatch):
    """D4-CNN: one-hot rows reach the loss, in training and in validation after the epoch."""
    job, given, real = Job(config_for("cnn-rgb", quick=True)), [], F.cross_entropy

    def watched(logits, targets, **options):
        given.append(targets.shape == logits.shape and bool((targets.sum(1) == 1).all()))
        return real(logits, targets, **options)

    monkeypatch.setattr(F, "cross_entropy", watched)
    images, labels = next(iter(job.train_loader()))
    first = job.procedure.step(images, labels)
    assert given == [True] and first["loss"].item() == pytest.approx(np.log(10), abs=0.3)
    assert 0 <= job.procedure.evaluate(job.test_loader(20))["accuracy"] <= 1
    assert all(given)


@pytest.mark.parametrize("name", GANS)
def test_gan_players_meet(name):
    """D0-GAN, D1-GAN, D2-GAN, D4-GAN, D3-WGAN, D3-LSGAN, D3-CGAN: the generator makes what the
    discriminator takes (E0.2, E1.2, E2.1, E4.1), in tanh's range, and gets a gradient through it.
    """
    recipe = MODELS[name]
    model = recipe.build() if name == "dcgan" else recipe.build(width=8)
    z = model.noise(3)
    assert z.shape == (3, model.latent) and z.dtype == minidl.float32
    labels = minidl.tensor([7, 0, 7])
    images = model(z, labels)
    assert images.shape == (3, *recipe.image)
    assert abs(images.numpy()).max() <= 1
    logits = model.discriminator(images)
    if model.classes:
        logits = model.of_class(logits, labels)
    assert logits.shape == (3, 1)
    F.gan_generator_loss(logits).backward()
    assert all(np.abs(p.grad.numpy()).max() > 0 for p in model.parameters())


def test_gan_sizes_follow_the_start():
    """D1-GAN: the sizes that the listing asserts, from 4x4 as printed and from 7x7."""
    for start in (4, 7):
        generator = ConvGAN(start=start, width=2).generator
        sizes = [row.output_shape for row in nn.summary(generator, (100,)).rows
                 if row.kind in ("Unflatten", "ConvTranspose2d")]
        assert sizes == [(16, start, start), (8, start, start), (4, 2 * start, 2 * start),
                         (1, 4 * start, 4 * start)]


def test_gans_for_colour():
    """D0-GAN and D2-GAN print three channels."""
    for model in (DCGAN(channels=3), UpsampleGAN(channels=3, width=4)):
        images = model(model.noise(2))
        assert images.shape == (2, 3, 32, 32)
        assert model.discriminator(images).shape == (2, 1)


def test_leaky_slopes_and_batch_norm_are_the_documents():
    """E2.2: no relu before a LeakyReLU; slopes 0.01, 0.3, 0.2, 0.2; Keras's batch norm."""
    expected = {"dcgan": (0.01, None), "gan": (0.3, 0.01), "gan-16": (0.3, 0.01),
                "gan-upsample": (0.2, 0.2), "gan-dense": (0.2, 0.2)}
    for name, (slope, momentum) in expected.items():
        model = MODELS[name].build(**({} if name == "dcgan" else {"width": 2}))
        layers = list(model.modules())
        assert {m.negative_slope for m in layers if isinstance(m, nn.LeakyReLU)} == {slope}
        norms = [m for m in layers if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
        assert all(m.eps == 1e-3 and m.momentum == pytest.approx(momentum) for m in norms)
        for first, second in zip(layers, layers[1:]):
            assert not (isinstance(first, nn.ReLU) and isinstance(second, nn.LeakyReLU))


def test_he_initialisation_where_the_listing_says():
    """D2-GAN: he_normal in one convolution of each player, Glorot elsewhere."""
    model = UpsampleGAN()
    first, second = model.generator[4].weight.numpy(), model.discriminator[0].weight.numpy()
    assert first.std() == pytest.approx(np.sqrt(2 / (256 * 9)), rel=0.02)
    assert second.std() == pytest.approx(np.sqrt(2 / 9), rel=0.1)
    dense = model.generator[0].weight.numpy()
    assert abs(dense).max() <= np.sqrt(6 / (100 + 16_384))


def test_noise_repeats_with_its_generator_and_follows_dtype():
    model = ConvGAN(start=4, width=2)
    a, b = model.noise(4, Generator(3)), model.noise(4, Generator(3))
    assert np.array_equal(a.numpy(), b.numpy())
    assert model.double().noise(4).dtype == minidl.float64
    many = model.noise(200).numpy()
    assert abs(many.mean()) < 0.05 and abs(many.std() - 1) < 0.05


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_vae_shapes_and_likelihood(likelihood):
    """D1-VAE, E1.3: two heads, 28x28 out, and the named likelihood of the pixels."""
    model, x = VAE(latent=5, likelihood=likelihood), minidl.rand(3, 1, 28, 28)
    output, mu, logvar = model(x)
    assert output.shape == x.shape and mu.shape == logvar.shape == (3, 5)
    with minidl.no_grad():
        fit, image = model.log_likelihood(output, x).numpy(), model.mean(output).numpy()
    y, t = output.numpy().astype(float), x.numpy().astype(float)
    if likelihood == "bernoulli":
        p = 1 / (1 + np.exp(-y))
        by_hand = (t * np.log(p) + (1 - t) * np.log(1 - p)).sum((1, 2, 3))
        assert image.min() > 0 and image.max() < 1
    else:
        by_hand = -0.5 * ((y - t) ** 2).sum((1, 2, 3))
    assert fit == pytest.approx(by_hand, rel=1e-4)


def test_vae_refuses_an_unknown_likelihood():
    with pytest.raises(ValueError, match="likelihood.*poisson"):
        VAE(likelihood="poisson")


@pytest.mark.parametrize("name", ["cnn", "cnn-padded", "resnet", "attention", "vae"])
def test_a_few_steps_lower_the_loss(name):
    recipe = MODELS[name]
    model = recipe.build(**({"latent": 4} if name == "vae" else {}))
    optimizer = recipe.optimizer(model.parameters(), recipe.lr)
    x, t = minidl.rand(8, 1, 28, 28), minidl.tensor(np.arange(8))
    losses = []
    for _ in range(6):
        if name == "vae":
            output, mu, logvar = model(x)
            loss = -F.elbo(model.log_likelihood(output, x), F.gaussian_kl(mu, logvar))
        else:
            loss = F.cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_recipes_bring_digits_to_the_networks_size():
    for recipe in MODELS.values():
        if recipe.image[0] == 1:
            side = (28 + 2 * recipe.pad) // recipe.shrink
            assert recipe.image == (1, side, side)


def test_dense_gan_begins_at_seven_and_ends_at_twenty_eight():
    """D4-GAN, E4.1: up-sampled where the listing shrinks, one channel at the end."""
    rows = nn.summary(DenseGAN(width=2).generator, (100,)).rows
    sides = [row.output_shape[-1] for row in rows if row.kind == "Conv2d"]
    assert sides == [14] * 4 + [28] * 4
    assert rows[-1].output_shape == (1, 28, 28)


def test_batch_norm_before_the_last_layer_blinds_a_discriminator():
    """E4.1: as printed, the mean logit is the same for any two batches; D4-GAN leaves it out."""
    blind = nn.Sequential(nn.BatchNorm1d(5, eps=0), nn.Linear(5, 1)).double()
    one, other = (minidl.randn(64, 5, dtype=np.float64) * scale + scale for scale in (1, 30))
    assert blind(one).mean().item() == pytest.approx(blind(other).mean().item(), abs=1e-12)
    layers = list(DenseGAN(width=2).discriminator.children())
    assert not isinstance(layers[-2], nn.BatchNorm1d)


@pytest.mark.parametrize("name", ["small-gan", "small-vae"])
def test_a_step_of_a_small_model_fits_into_a_file_whole(name, tmp_path):
    """Its file, packed, is far below 3 MB, and no array of it was cut."""
    trace = first_step.of_model(name)
    trace.save(tmp_path / "run.json")
    content = (tmp_path / "run.json").read_bytes()
    assert len(gzip.compress(content)) < 2_000_000
    kept = Trace.load(tmp_path / "run.json")
    assert len(kept.arrays) == len(trace.arrays) > 100
    for a, b in zip(trace.arrays, kept.arrays):
        assert (a is None) == (b is None)
        assert a is None or np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


@pytest.mark.parametrize("small, whole, parts", [
    ("small-gan", "gan", ("generator", "discriminator")),
    ("small-vae", "vae", ("encoder", "mu", "logvar", "decoder"))])
def test_a_small_model_has_the_layers_of_the_whole(small, whole, parts):
    """The same kinds in the same order, with the same windows, strides and slopes."""
    sizes = {"in_channels", "out_channels", "in_features", "out_features", "num_features",
             "unflattened_size"}
    def told(module):
        return [(path, type(layer), {name: value for name, value in vars(layer).items()
                                     if isinstance(value, (int, float, str, tuple))
                                     and name not in sizes})
                for path, layer in module.named_modules()]
    a, b = MODELS[small].build(), MODELS[whole].build()
    for part in parts:
        assert told(getattr(a, part)) == told(getattr(b, part)) != []
