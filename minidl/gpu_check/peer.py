"""The documents' networks and training steps in PyTorch, as a careful user would write them: fused
Adam, gradients set to None, cuDNN choosing its fastest algorithm, data on the device. Their weights
are as many as minidl's, and each step makes the same numbers. examples/benchmark.py times them on
the CPU. Imports PyTorch."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from . import LATENT


def prepare(tf32: bool) -> str:
    """Switch TF32 on or off; what PyTorch says it is now. Raises RuntimeError where PyTorch has no
    GPU."""
    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch finds no GPU")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    if hasattr(torch.backends.cudnn, "conv"):            # since 2.9
        torch.backends.cuda.matmul.fp32_precision = "tf32" if tf32 else "ieee"
        torch.backends.cudnn.conv.fp32_precision = "tf32" if tf32 else "ieee"
        found = (torch.backends.cuda.matmul.fp32_precision,
                 torch.backends.cudnn.conv.fp32_precision)
    else:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        found = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    return "products {}, convolutions {}".format(*found)


def gpu_product(a, b):
    """The matrix product of two NumPy arrays, on the GPU."""
    return (torch.from_numpy(a).cuda() @ torch.from_numpy(b).cuda()).cpu().numpy()


def step_and_wait(name: str, batches, device: str):
    """A training step of the network `name`, and what waits for the device."""
    train = training_step(name, NETWORKS[name]().to(device), fused=device == "cuda")
    feed = itertools.cycle([tuple(torch.from_numpy(array).to(device) for array in batch)
                            for batch in batches])
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    return (lambda: train(*next(feed))), wait


# --------------------------------------------------------------------------- steps
def training_step(name: str, model, **adam):
    """``train(images, labels)``, a step of the network `name`; `adam`: Adam's arguments, where it
    is Adam's."""
    if name == "gan":
        return gan_step(model)
    return descending(model, LOSSES.get(name, loss_and_accuracy), **{"eps": 1e-7, **adam})


def descending(model, loss, **adam):
    """A step of Adam on ``loss(model, images, labels)``, which returns it and what is reported."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, **adam)
    def train(images, labels):
        value, *more = loss(model, images, labels)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        return value.detach(), more
    return train


def loss_and_accuracy(model, images, labels):
    """The loss and the accuracy."""
    scores = model(images)
    return (F.cross_entropy(scores, labels),
            (scores.detach().argmax(1) == labels).float().mean())


def one_hot_loss_and_accuracy(model, images, labels):
    """The same of labels as rows with a single 1."""
    scores = model(images)
    return (F.cross_entropy(scores, F.one_hot(labels, scores.shape[1]).float()),
            (scores.detach().argmax(1) == labels).float().mean())


def elbo_loss_and_parts(model, images, labels):
    """-ELBO of a Bernoulli decoder, in nats an image, and its two parts."""
    h = model.encoder(images)
    mu, logvar = model.mu(h), model.logvar(h)
    output = model.decoder(mu + torch.exp(logvar / 2) * torch.randn_like(mu))
    fit = F.binary_cross_entropy_with_logits(output, images, reduction="sum") / len(images)
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum() / len(images)
    return fit + kl, fit.detach(), kl.detach()


def gan_step(model):
    """A turn of the discriminator on real and on fake images, one of the generator."""
    G, D = model.generator, model.discriminator
    opt_G, opt_D = (torch.optim.RMSprop(player.parameters(), 2e-4, alpha=0.5, eps=1e-7)
                    for player in (G, D))
    def descend(loss, optimizer):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    def train(images, labels):
        noise = torch.randn(2, len(images), 100, device=images.device)
        with torch.no_grad():
            made = G(noise[0])
        real, fake = D(images), D(made)
        d_loss = F.softplus(-real).mean() + F.softplus(fake).mean()
        descend(d_loss, opt_D)
        D.requires_grad_(False)
        g_loss = F.softplus(-D(G(noise[1]))).mean()
        descend(g_loss, opt_G)
        D.requires_grad_(True)
        return (d_loss.detach(), g_loss.detach(), real.detach().sigmoid().mean(),
                fake.detach().sigmoid().mean())
    return train


# Of other networks loss_and_accuracy.
LOSSES = {"vae": elbo_loss_and_parts, "cnn-rgb": one_hot_loss_and_accuracy}


# --------------------------------------------------------------------------- networks
def _keras_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Keras's "same": zeros on both sides, and how many more behind."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total % 2


class Conv(nn.Conv2d):
    """A convolution of images of side `size` with Keras's "same" padding."""

    def __init__(self, size, i, o, kernel, stride=1):
        before, self.more = _keras_padding(size, kernel, stride)
        super().__init__(i, o, kernel, stride, padding=before)

    def forward(self, x):
        return super().forward(F.pad(x, (0, self.more, 0, self.more)) if self.more else x)


class Transposed(nn.ConvTranspose2d):
    """The transposed one: the side becomes `size` times the stride."""

    def __init__(self, size, i, o, kernel, stride=1, bias=True):
        before, self.more = _keras_padding(size * stride, kernel, stride)
        super().__init__(i, o, kernel, stride, padding=before, bias=bias)

    def forward(self, x):
        y = super().forward(x)
        return y[:, :, :-self.more, :-self.more] if self.more else y


def cnn():
    """D1-CNN: models/cnn.py."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10))


def cnn_rgb():
    """D4-CNN: models/more/classifiers.py."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * 36, 128), nn.ReLU(), nn.Linear(128, 10))


def gan():
    """D1-GAN for digits of 28x28: models/gan.py."""
    def norm(layer, n):
        return layer(n, eps=1e-3, momentum=0.01)
    model = nn.Module()
    model.generator = nn.Sequential(
        nn.Linear(100, 49 * 512, bias=False), norm(nn.BatchNorm1d, 49 * 512), nn.LeakyReLU(0.3),
        nn.Unflatten(1, (512, 7, 7)), Transposed(7, 512, 256, 5, bias=False),
        norm(nn.BatchNorm2d, 256), nn.LeakyReLU(0.3), Transposed(7, 256, 128, 5, 2, bias=False),
        norm(nn.BatchNorm2d, 128), nn.LeakyReLU(0.3), Transposed(14, 128, 1, 5, 2, bias=False),
        nn.Tanh())
    model.discriminator = nn.Sequential(
        Conv(28, 1, 64, 5, 2), nn.LeakyReLU(0.3), nn.Dropout(0.3), Conv(14, 64, 128, 5, 2),
        nn.LeakyReLU(0.3), nn.Dropout(0.3), nn.Flatten(), nn.Linear(128 * 49, 1))
    return model


class TorchVAE(nn.Module):
    """D1-VAE: models/vae.py."""

    def __init__(self, latent: int = LATENT):
        super().__init__()
        self.encoder = nn.Sequential(Conv(28, 1, 32, 3), nn.ReLU(), Conv(28, 32, 64, 3), nn.ReLU(),
                                     nn.Flatten())
        self.mu, self.logvar = nn.Linear(50176, latent), nn.Linear(50176, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, 3136), nn.ReLU(), nn.Unflatten(1, (64, 7, 7)),
            Transposed(7, 64, 64, 3, 2), nn.ReLU(), Transposed(14, 64, 32, 3, 2), nn.ReLU(),
            Transposed(28, 32, 1, 3))


NETWORKS = {"cnn": cnn, "cnn-rgb": cnn_rgb, "gan": gan, "vae": TorchVAE}
