"""Every network of MODELS, layer by layer as its document lists it, written out in NumPy.

The output for the same weights, in training (dropout masks, statistics of the batch, and what they
leave in the running ones) and at rest; and how the weights begin.
"""

from __future__ import annotations

from functools import partial

import byhand
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import minidl
from minidl import formulas, nn
from minidl.models import MODELS

relu, tanh = (lambda x: np.maximum(x, 0)), np.tanh


def leaky(alpha: float):
    return lambda x: np.maximum(alpha * x, x)


def windows(n: int, k: int, stride: int, pad: int | str) -> tuple[int, int]:
    """Zeros before and after n pixels; "same" as Keras has it: ceil(n / stride) windows fit."""
    if pad != "same":
        return pad, pad
    total = max((-(-n // stride) - 1) * stride + k - n, 0)
    return total // 2, total - total // 2


def conv(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: int, pad: int | str):
    zeros = [windows(n, w.shape[2], stride, pad) for n in x.shape[2:]]
    x = np.pad(x, [(0, 0), (0, 0), *zeros])
    seen = sliding_window_view(x, w.shape[2:], (2, 3))[:, :, ::stride, ::stride]
    y = np.tensordot(seen, w, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)
    return y if b is None else y + b[:, None, None]


def tconv(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: int, pad: int | str):
    """What conv gathers, scattered; "same" makes images `stride` times as large."""
    (N, _, H, W), (_, O, K, _) = x.shape, w.shape
    y = np.zeros((N, O, (H - 1) * stride + K, (W - 1) * stride + K))
    for i, j in np.ndindex(H, W):
        y[:, :, i * stride:i * stride + K, j * stride:j * stride + K] += np.tensordot(
            x[:, :, i, j], w, 1)
    if pad == "same":
        before, after = windows(H * stride, K, stride, "same")
    else:
        before = after = pad
    y = y[:, :, before:y.shape[2] - after, before:y.shape[3] - after]
    return y if b is None else y + b[:, None, None]


def test_the_layers_written_here_are_the_formulas():
    """D3-CONV, D1-TCONV: small ones, by the loops of formulas.py."""
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(2, 2, 5, 5)), rng.normal(size=(2, 2, 3, 3)), rng.normal(size=2)
    np.testing.assert_allclose(conv(x, w, b, 2, 1),
                               formulas.conv2d(x, w, b, (2, 2), (1, 1)), rtol=1e-10)
    np.testing.assert_allclose(tconv(x, w, b, 2, 1),
                               formulas.conv_transpose2d(x, w, b, (2, 2), (1, 1)), rtol=1e-10)
    even = np.pad(x, [(0, 0), (0, 0), (0, 1), (0, 1)])          # 6: "same" pads below and right
    np.testing.assert_allclose(
        conv(even, w, b, 2, "same"),
        formulas.conv2d(np.pad(even, [(0, 0), (0, 0), (0, 1), (0, 1)]), w, b, (2, 2)), rtol=1e-10)
    np.testing.assert_allclose(
        tconv(x, w, b, 2, "same"), formulas.conv_transpose2d(x, w, b, (2, 2))[:, :, :10, :10],
        rtol=1e-10)


class ByHand:
    """Layers that take their weights one after the other, as the network keeps them."""

    def __init__(self, model: nn.Module, training: bool) -> None:
        self.w, self.training, self.noise = byhand.weights(model), training, byhand.own_generator()
        self.left = list(self.w)
        self.momentum, self.eps = 0.99, 1e-3                   # Keras's batch norm

    def take(self, *shape: int | None) -> np.ndarray:
        """The next weight, which must have this shape."""
        name = self.left.pop(0)
        assert all(a in (b, None) for a, b in zip(shape, self.w[name].shape, strict=True)), name
        return self.w[name]

    def dense(self, x, outputs: int, bias: bool = True):
        w = self.take(outputs, x.shape[-1])
        return x @ w.T + (self.take(outputs) if bias else 0)

    def conv(self, x, channels: int, size: int, stride: int = 1, pad: int | str = 0,
             bias: bool = True):
        w = self.take(channels, x.shape[1], size, size)
        return conv(x, w, self.take(channels) if bias else None, stride, pad)

    def tconv(self, x, channels: int, size: int, stride: int = 1, pad: int | str = "same",
              bias: bool = True):
        w = self.take(x.shape[1], channels, size, size)
        return tconv(x, w, self.take(channels) if bias else None, stride, pad)

    def norm(self, x, momentum: float | None = None):
        names = self.left[:4]
        gamma, beta, mean, var = (self.take(x.shape[1]) for _ in names)
        axes, along = (0, *range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))
        if self.training:
            keep, n = momentum or self.momentum, x.size / x.shape[1]
            self.w[names[2]] = keep * mean + (1 - keep) * x.mean(axes)
            self.w[names[3]] = keep * var + (1 - keep) * x.var(axes) * n / (n - 1)
            mean, var = x.mean(axes), x.var(axes)
        y = (x - mean.reshape(along)) / np.sqrt(var.reshape(along) + self.eps)
        return gamma.reshape(along) * y + beta.reshape(along)

    def dropout(self, x, p: float):
        return x * byhand.mask(self.noise, x.shape, p) if self.training else x


def pool(x):
    """2x2, the odd row and column left out."""
    H, W = (n // 2 * 2 for n in x.shape[2:])
    return x[:, :, :H, :W].reshape(*x.shape[:2], H // 2, 2, W // 2, 2).max((3, 5))


def flat(x):
    return x.reshape(len(x), -1)


def twice(x):
    return x.repeat(2, 2).repeat(2, 3)


# --------------------------------------------------------------------------- classifiers
def cnn(net, x, dropout=0.0):
    x = pool(relu(net.conv(x, 32, 3)))
    x = pool(relu(net.conv(x, 64, 3)))
    x = relu(net.dense(flat(relu(net.conv(x, 64, 3))), 64))
    return net.dense(net.dropout(x, dropout) if dropout else x, 10)


def padded(net, x):
    x = pool(relu(net.conv(x, 32, 3, pad=1)))
    x = pool(relu(net.conv(x, 64, 3, pad=1)))
    return net.dense(relu(net.dense(flat(x), 128)), 10)


def colour(net, x):
    x = pool(relu(net.conv(x, 32, 3)))
    x = pool(relu(net.conv(x, 64, 3)))
    return net.dense(relu(net.dense(flat(x), 128)), 10)


def resnet(net, x):
    net.momentum, net.eps = 0.9, 1e-5                          # PyTorch's 0.1, and its epsilon
    for channels in (16, 32):
        x = relu(net.norm(net.conv(x, channels, 3, 2, 1, bias=False)))
        for _ in range(3):
            h = relu(net.norm(net.conv(x, channels, 3, 1, 1, bias=False)))
            x = relu(x + net.norm(net.conv(h, channels, 3, 1, 1, bias=False)))
    return net.dense(x.mean((2, 3)), 10)


def attention(net, x):
    def norm(x):
        gamma, beta = net.take(64), net.take(64)
        return gamma * (x - x.mean(-1, keepdims=True)) / np.sqrt(
            x.var(-1, keepdims=True) + 1e-5) + beta

    def heads(h):
        return h.reshape(*h.shape[:2], 4, 16).transpose(0, 2, 1, 3)        # (N, 4, 50, 16)

    token, position = net.take(1, 1, 64), net.take(1, 50, 64)
    patches = net.conv(x, 64, 4, 4).reshape(len(x), 64, 49).transpose(0, 2, 1)
    x = np.concatenate([np.repeat(token, len(x), 0), patches], 1) + position
    for _ in range(2):
        h = norm(x)
        w, b = net.take(3 * 64, 64), net.take(3 * 64)
        q, k, v = (heads(part) for part in np.split(h @ w.T + b, 3, 2))
        e = np.exp(q @ k.transpose(0, 1, 3, 2) / 4)                        # sqrt(16)
        found = (e / e.sum(-1, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(x.shape)
        x = x + net.dense(found, 64)
        x = x + net.dense(relu(net.dense(norm(x), 128)), 64)
    return net.dense(norm(x[:, 0]), 10)


CLASSIFIERS = {"cnn": cnn, "cnn-dropout": lambda net, x: cnn(net, x, 0.5), "cnn-padded": padded,
               "cnn-rgb": colour, "resnet": resnet, "attention": attention}


# --------------------------------------------------------------------------- players of GANs
W = 4        # the option `width`, which is 64, 128 or 24 by default


def conv_generator(net, z, s=7):
    x = leaky(0.3)(net.norm(net.dense(z, 8 * W * s * s, bias=False))).reshape(-1, 8 * W, s, s)
    x = leaky(0.3)(net.norm(net.tconv(x, 4 * W, 5, bias=False)))
    x = leaky(0.3)(net.norm(net.tconv(x, 2 * W, 5, 2, bias=False)))
    return tanh(net.tconv(x, 1, 5, 2, bias=False))


def conv_discriminator(net, x):
    x = net.dropout(leaky(0.3)(net.conv(x, W, 5, 2, "same")), 0.3)
    x = net.dropout(leaky(0.3)(net.conv(x, 2 * W, 5, 2, "same")), 0.3)
    return net.dense(flat(x), 1)


def dc_generator(net, z):
    x = relu(net.tconv(z[:, :, None, None], 64, 4, 1, 0))
    x = relu(net.tconv(x, 32, 4, 2, 1))
    x = relu(net.tconv(x, 32, 4, 2, 1))
    return tanh(net.tconv(x, 1, 4, 2, 1))


def dc_discriminator(net, x):
    for channels in (32, 64, 128):
        x = leaky(0.01)(net.conv(x, channels, 3, 2, 1))
    return flat(net.conv(x, 1, 4))


def upsample_generator(net, z):
    x = leaky(0.2)(net.dense(z, 4 * W * 8 * 8, bias=False)).reshape(-1, 4 * W, 8, 8)
    x = net.norm(relu(net.conv(twice(x), 2 * W, 3, 1, "same")), 0.8)
    x = net.norm(relu(net.conv(twice(x), W, 3, 1, "same")), 0.8)
    return tanh(net.conv(x, 1, 3, 1, "same"))


def upsample_discriminator(net, x):
    for channels in (W, 2 * W, 4 * W):
        x = net.norm(leaky(0.2)(net.conv(x, channels, 3, 2, "same")), 0.8)
    return net.dense(flat(x), 1)


def dense_generator(net, z):
    x = z
    for outputs in (2 * W, 4 * W, 8 * W, 2 * W * 7 * 7):
        x = net.norm(leaky(0.2)(net.dense(x, outputs, bias=False)), 0.8)
    x = x.reshape(-1, 2 * W, 7, 7)
    for convolutions in (4, 3):
        x = twice(x)
        for _ in range(convolutions):
            x = leaky(0.2)(net.norm(net.conv(x, W, 3, 1, "same", bias=False), 0.8))
    return tanh(net.conv(x, 1, 3, 1, "same", bias=False))


def dense_discriminator(net, x):
    for stride in (2, 1, 1, 1):
        x = net.norm(leaky(0.2)(net.conv(x, W, 3, stride, "same", bias=False)), 0.8)
    x = net.norm(leaky(0.2)(net.dense(flat(x), 4 * W, bias=False)), 0.8)
    return net.dense(leaky(0.2)(net.dense(x, 2 * W, bias=False)), 1)


def small_generator(net, z):
    net.momentum, net.eps = 0.9, 1e-5                          # PyTorch's
    x = relu(net.norm(net.dense(z, 2 * W * 7 * 7, bias=False).reshape(-1, 2 * W, 7, 7)))
    x = relu(net.norm(net.tconv(x, W, 4, 2, 1, bias=False)))
    return tanh(net.tconv(x, 1, 4, 2, 1))


def small_discriminator(net, x, outputs=1):
    x = leaky(0.2)(net.conv(x, W, 4, 2, 1))
    x = leaky(0.2)(net.conv(x, 2 * W, 4, 2, 1))
    return net.dense(flat(x), outputs)


SMALL = small_generator, small_discriminator
GANS = {"gan": (conv_generator, conv_discriminator),
        "gan-16": (lambda net, z: conv_generator(net, z, 4), conv_discriminator),
        "small-gan": (conv_generator, conv_discriminator),
        "dcgan": (dc_generator, dc_discriminator),
        "gan-upsample": (upsample_generator, upsample_discriminator),
        "gan-dense": (dense_generator, dense_discriminator),
        "lsgan": SMALL, "wgan": SMALL, "wgan-gp": SMALL,
        "cgan": (small_generator, lambda net, x: small_discriminator(net, x, 10))}


# --------------------------------------------------------------------------- the VAE
def encoder(net, x, w=32):
    h = relu(net.conv(x, w, 3, 1, "same"))
    h = flat(relu(net.conv(h, 2 * w, 3, 1, "same")))
    return np.concatenate([net.dense(h, 5), net.dense(h, 5)], 1)            # mu, log sigma^2


def decoder(net, z, w=32):
    x = relu(net.dense(z, 7 * 7 * 2 * w)).reshape(-1, 2 * w, 7, 7)
    x = relu(net.tconv(x, 2 * w, 3, 2))
    x = relu(net.tconv(x, w, 3, 2))
    return net.tconv(x, 1, 3)


# --------------------------------------------------------------------------- the comparison
def spread(model: nn.Module) -> nn.Module:
    """`model` in float64 with random weights that keep a signal's size, so that no activation
    saturates; statistics and biases are random too."""
    byhand.randomise(model)
    with minidl.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.mul_(2 / np.sqrt(p[0].numel()))
    return model


def assert_is(network, module: nn.Module, x: np.ndarray, call=None) -> None:
    """`module` and `network`, written by hand, do the same with x in training and at rest."""
    for training in (True, False):
        module.train(training)
        hand = ByHand(module, training)
        expected = network(hand, x)
        found = (call or module)(minidl.tensor(x))
        assert not hand.left, "weights that the document's list does not have"
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-8, atol=1e-9)
        assert expected.std() > 1e-3
        byhand.assert_weights(module, hand.w, rtol=1e-9)


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, shape)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_are_their_listings(name):
    """D0-CNN, D1-CNN, D2-CNN, D4-CNN, D3-RESNET, D3-ATTNET: the ten logits."""
    recipe = MODELS[name]
    assert_is(CLASSIFIERS[name], spread(recipe.build()), pixels(3, *recipe.image))


@pytest.mark.parametrize("name", GANS)
def test_players_are_their_listings(name):
    """D0-GAN, D1-GAN, D2-GAN, D4-GAN, D3-WGAN, D3-LSGAN, D3-CGAN: images of noise, logits of
    images."""
    recipe, (generator, discriminator) = MODELS[name], GANS[name]
    model = spread(recipe.build(**({} if name == "dcgan" else {"width": W})))
    z = np.random.default_rng(2).normal(size=(3, model.latent + model.classes))
    assert_is(generator, model.generator, z)
    assert_is(discriminator, model.discriminator, pixels(3, *recipe.image))
    assert model.latent == (64 if GANS[name][0] is small_generator else
                            16 if name == "small-gan" else 100)


@pytest.mark.parametrize("name, latent, w", [("vae", 100, 32), ("small-vae", 4, 4)])
def test_the_vae_is_its_listing(name, latent, w):
    """D1-VAE: mu and log sigma^2 of images, the decoder's output of codes."""
    model = spread(MODELS[name].build(latent=5))
    assert MODELS[name].build().latent == latent

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.mu, self.logvar = model.encoder, model.mu, model.logvar

    for kernels in (minidl.kernels_in_use(), "reference"):
        before = minidl.kernels_in_use()
        minidl.use_kernels(kernels)
        try:
            assert_is(partial(encoder, w=w), Encoder(), pixels(3, 1, 28, 28),
                      lambda x: minidl.cat(list(model.encode(x)), 1))
        finally:
            minidl.use_kernels(before)
    assert_is(partial(decoder, w=w), model.decoder, pixels(3, 5), model.decode)


# --------------------------------------------------------------------------- how weights begin
KERAS = ("gan", "gan-16", "small-gan", "gan-upsample", "gan-dense")
NORMAL = {("gan-upsample", "generator.4.weight"), ("gan-upsample", "discriminator.0.weight"),
          ("attention", "position")}                     # He's, and one that is no layer's
XAVIER = ("attention.in_proj_weight",)                   # as PyTorch's layer of attention


@pytest.mark.parametrize("name", MODELS)
def test_weights_begin_as_the_document_s_library_has_them(name):
    """D2-HE: Glorot's uniform numbers and biases of 0 where the document is Keras's and a GAN's;
    else PyTorch's, within 1 / sqrt(fan_in), biases too. Norms begin as 1 and 0."""
    recipe = MODELS[name]
    model = recipe.build(**({"width": 16} if name in GANS and name != "dcgan" else
                            {"latent": 10} if recipe.kind == "vae" else {}))
    params = dict(model.named_parameters())
    for key, p in params.items():
        value, owner = p.numpy(), key.rpartition(".")[0]
        weight = params.get(f"{owner}.weight")
        if (name, key) in NORMAL:
            continue
        if key == "token" or key.endswith(("in_proj_bias", "out_proj.bias")):
            assert not value.any(), key
        elif weight is not None and weight.ndim == 1:                        # a norm
            assert (value == (1 if key.endswith("weight") else 0)).all(), key
        else:
            fan_out, fan_in = (n * int(np.prod((p if weight is None else weight).shape[2:]))
                               for n in (p if weight is None else weight).shape[:2])
            glorot = name in KERAS or key.endswith(XAVIER)
            if glorot and p.ndim == 1:
                assert not value.any(), key
                continue
            limit = (formulas.glorot_uniform_limit(fan_in, fan_out) if glorot
                     else formulas.kaiming_uniform_limit(fan_in))
            assert abs(value).max() <= limit * (1 + 1e-6), key
            if p.numel() >= 500:                          # uniform: it comes near its bound, and
                assert abs(value).max() > 0.98 * limit, key
                assert value.std() == pytest.approx(limit / np.sqrt(3), rel=0.1), key
    if name == "attention":
        assert params["position"].numpy().std() == pytest.approx(0.3, rel=0.05)
