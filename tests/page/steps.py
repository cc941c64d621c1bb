"""Small recorded steps, one for each kind of network and of trouble: for the tests of the page."""

from __future__ import annotations

from functools import cache

import numpy as np

import minidl
from minidl import functional as F
from minidl import nn, optim
from minidl.explain.trace import Trace
from minidl.models.more.transformer import SequenceModel
from minidl.training.vae_steps import negative_elbo


def classified(net: nn.Module, x: minidl.Tensor, classes: int, optimizer=None) -> Trace:
    """One step of a network that tells classes apart, on two examples."""
    optimizer = optimizer or optim.Adam(net.parameters(), lr=0.01)
    labels = minidl.tensor(np.arange(len(x)) % classes)

    def step(x, labels):
        logits = net(x)
        loss = F.cross_entropy(logits.reshape(-1, classes) if logits.ndim == 3 else logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return minidl.record(step, x, labels)


def images(channels: int, side: int) -> minidl.Tensor:
    return minidl.randn(2, channels, side, side)


@cache
def cnn() -> Trace:
    """Convolutions with stride, groups and padding; batch norm; overlapping pooling."""
    minidl.manual_seed(0)
    return classified(nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), nn.BatchNorm2d(4), nn.ReLU(),
        nn.MaxPool2d(3, stride=1), nn.Conv2d(4, 6, 2, groups=2), nn.LeakyReLU(0.1), nn.Flatten(),
        nn.Linear(24, 3)), images(2, 10), 3)


@cache
def plain() -> Trace:
    """The smallest: one convolution, one dense layer, and the checks of it."""
    minidl.manual_seed(0)
    trace = classified(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)),
                       images(1, 5), 3)
    trace.check()
    return trace


@cache
def wrong() -> Trace:
    """With a backward pass that forgets to halve, and the sign of a contribution flipped."""
    minidl.manual_seed(0)

    @minidl.op
    def halved(x: minidl.Tensor):
        return x.data / 2, lambda gy: gy * 1.0

    class Halved(nn.Module):
        def forward(self, x):
            return halved(x)

    trace = classified(nn.Sequential(nn.Conv2d(1, 2, 3), Halved(), nn.ReLU(), nn.Flatten(),
                                     nn.Linear(32, 3)), images(1, 6), 3)
    event = next(e for e in trace.events if e["phase"] == "backward"
                 and trace.nodes[e["node"]]["name"] == "4.weight")
    event["contribution"] = trace.array(-trace.arrays[event["contribution"]])
    trace.check()
    return trace


@cache
def residual() -> Trace:
    minidl.manual_seed(0)
    block = lambda c: nn.Residual(nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c),
                                                nn.ReLU()))
    return classified(nn.Sequential(nn.Conv2d(1, 3, 3), block(3), block(3), nn.AvgPool2d(2),
                                    nn.Flatten(), nn.Linear(27, 4)), images(1, 8), 4)


@cache
def transformer() -> Trace:
    """Embeddings, attention, layer norm, each symbol predicted from those before."""
    minidl.manual_seed(0)
    net = SequenceModel(5, 4, dim=8, heads=2, depth=1, mlp=2)
    optimizer = optim.AdamW(net.parameters(), lr=0.01)

    def step(s):
        loss = F.cross_entropy(net(s[:, :-1]).transpose(1, 2), s[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return minidl.record(step, minidl.tensor([[0, 3, 1, 4, 2], [2, 2, 0, 1, 3]]))


class SmallVAE(nn.Module):
    """Encoder with two heads, decoder of transposed convolutions, Bernoulli pixels."""

    def __init__(self, latent: int = 3):
        super().__init__()
        self.latent = latent
        self.encoder = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.ReLU(),
                                     nn.Flatten())
        self.mu, self.logvar = nn.Linear(32, latent), nn.Linear(32, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, 32), nn.ReLU(), nn.Unflatten(1, (2, 4, 4)),
                                     nn.ConvTranspose2d(2, 1, 3, stride=2, padding="same"))

    def encode(self, x):
        h = self.encoder(x)
        return self.mu(h), self.logvar(h)

    def decode(self, z):
        return self.decoder(z)

    def log_likelihood(self, output, x):
        return F.bernoulli_log_likelihood(output, x)


@cache
def vae() -> Trace:
    minidl.manual_seed(0)
    net = SmallVAE()
    optimizer = optim.RMSprop(net.parameters(), lr=0.01)

    def step(x):
        loss, _, _ = negative_elbo(net, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return minidl.record(step, minidl.rand(2, 1, 8, 8))


def players() -> tuple[nn.Module, nn.Module]:
    """A DCGAN of a few channels: batch norm and transposed convolutions against convolutions."""
    return nn.Sequential(
        nn.Linear(4, 64, bias=False), nn.BatchNorm1d(64), nn.LeakyReLU(0.3),
        nn.Unflatten(1, (4, 4, 4)),
        nn.ConvTranspose2d(4, 1, 4, stride=2, padding=1, bias=False), nn.Tanh()
    ), nn.Sequential(
        nn.Conv2d(1, 3, 5, stride=2, padding="same"), nn.LeakyReLU(0.3), nn.Dropout(0.3),
        nn.Flatten(), nn.Linear(48, 1))


@cache
def gan() -> Trace:
    """The discriminator's turn on detached fakes, then the generator's."""
    minidl.manual_seed(0)
    generator, discriminator = players()
    g = optim.Adam(generator.parameters(), lr=0.01)
    d = optim.SGD(discriminator.parameters(), lr=0.1, momentum=0.9)

    def step(real):
        fake = generator(minidl.randn(len(real), 4))
        d_loss = F.gan_discriminator_loss(discriminator(real), discriminator(fake.detach()))
        d.zero_grad()
        d_loss.backward()
        d.step()
        g_loss = F.gan_generator_loss(discriminator(fake))
        g.zero_grad()
        g_loss.backward()
        g.step()
    return minidl.record(step, 2 * minidl.rand(2, 1, 8, 8) - 1)


RULES = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, weight_decay=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.1),
    "Adam": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1)}


@cache
def updates() -> Trace:
    """Three steps of each optimiser, each with a weight of its own."""
    weights = [minidl.tensor(np.array([1.0, -2.0, 3.0]) + k, requires_grad=True)
               for k in range(len(RULES))]
    optimizers = [make([w]) for make, w in zip(RULES.values(), weights)]
    with minidl.record() as trace:
        for _ in range(3):
            for optimizer, w in zip(optimizers, weights):
                optimizer.zero_grad()
                (w * w).sum().backward()
                optimizer.step()
    return trace
