"""The recipes: the documents' networks by name, ``MODELS["cnn"].build()``, and how each is trained.

D0 to D4 are the five documents that the project builds, E0.1 and so on their errata; docs/ledger.md
and docs/errata.md list them.

A recipe is a network with what the document trains it by: optimiser, learning rate, epochs and
batch size. Where a document leaves one open, or counts single steps as epochs, the number here is
this project's; D3 has no listings, so the sizes of `resnet`, `attention` and `SmallGAN`, and how
they are trained, are this project's too.
A classifier is judged on the test set after each epoch; D4's listing calls that its validation
data. Weights begin as PyTorch's do, in `cnn...` and `vae` too, whose listings are in Keras: so
their results can be compared with PyTorch's. The GANs begin as their documents' library does,
Keras's (Glorot) for all but `dcgan` and D3's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from ..nn import Module
from ..optim import Adam, Optimizer, RMSprop
from ..tensor import Tensor
from .cnn import CNN
from .gan import ConvGAN
from .more.classifiers import ColourCNN, PaddedCNN
from .more.gans import DCGAN, DenseGAN, SmallGAN, UpsampleGAN
from .more.residual import ResNet
from .more.small import SmallConvGAN, SmallVAE
from .more.transformer import PatchAttention
from .vae import VAE


@dataclass(frozen=True)
class Recipe:
    """A network and how its document trains it.

    ``build(**options)`` makes the network with fresh weights; ``optimizer(parameters, lr)`` the
    document's optimiser (a GAN's players get one each). `image` (C,H,W) is what the network takes
    or makes. Digits of 28x28 come to that size by `pad` pixels of background on each side, then by
    the mean over blocks of `shrink` x `shrink`. A GAN's pixels are in [-1,1], the others' in [0,1].
    """

    name: str
    kind: str                                    # "classifier", "gan" or "vae"
    title: str
    source: str                                  # ledger id, document, section
    image: tuple[int, int, int]
    build: Callable[..., Module]
    optimizer: Callable[[Iterable[Tensor], float], Optimizer]
    lr: float
    epochs: int
    batch_size: int
    pad: int = 0
    shrink: int = 1
    one_hot: bool = False                        # targets as rows of 0 and one 1
    schedule: Callable[[float], float] | None = None     # see training.Trainer; None: always lr
    steps: str | None = None                     # a GAN's procedure, if not "gan": see training.job

    def parts(self, **options) -> list[tuple[str, Module, tuple[int, ...]]]:
        """Name, network and shape of one input, of each network that the model is made of."""
        model = self.build(**options)
        if self.kind == "gan":
            return [("generator", model.generator, (model.latent + model.classes,)),
                    ("discriminator", model.discriminator, self.image)]
        return [(self.kind, model, self.image)]


def one_cycle(t: float) -> float:
    """Up to the whole learning rate in the first quarter of the run, then down to 0 along a cosine.
    Smith, Topin (2019)."""
    return 0.1 + 3.6 * t if t < 0.25 else (1 + math.cos(math.pi * (t - 0.25) / 0.75)) / 2


def falling(t: float) -> float:
    """From the whole learning rate down to 0 along a line: a GAN's players come to rest."""
    return 1 - t


keras_adam = partial(Adam, eps=1e-7)                       # Keras's epsilon; PyTorch's is 1e-8
keras_rmsprop = partial(RMSprop, alpha=0.5, eps=1e-7)      # D1's RMSprop(2e-4, 0.5): 0.5 is rho
DIGIT = (1, 28, 28)

MODELS = {recipe.name: recipe for recipe in (
    Recipe("cnn", "classifier", "Three convolutions and two dense layers for digits",
           "D1-CNN: document D1, section 4.1", DIGIT, CNN, keras_adam,
           lr=4e-3, epochs=2, batch_size=128, schedule=one_cycle),     # 99 % in the shortest time
    Recipe("cnn-dropout", "classifier", "cnn with dropout 0.5 before its last layer",
           "D2-CNN: document D2, section 4.1", DIGIT, partial(CNN, dropout=0.5), keras_adam,
           lr=1e-3, epochs=10, batch_size=64),
    Recipe("cnn-padded", "classifier", "Two padded convolutions and two dense layers for digits",
           "D0-CNN: document D0, section 4.1", DIGIT, PaddedCNN, Adam,
           lr=1e-3, epochs=5, batch_size=64),
    Recipe("cnn-rgb", "classifier", "Two convolutions and two dense layers for colour images",
           "D4-CNN: document D4, section 4.1", (3, 32, 32), ColourCNN, keras_adam,
           lr=1e-3, epochs=10, batch_size=128, one_hot=True),
    Recipe("resnet", "classifier", "Residual blocks, y = x + F(x): 15 layers for digits",
           "D3-RESNET: document D3, section 3.2.2", DIGIT, ResNet, Adam,
           lr=4e-3, epochs=3, batch_size=128, schedule=one_cycle),
    Recipe("attention", "classifier", "Multi-head attention between patches of 4x4 pixels",
           "D3-ATTNET: document D3, section 3.4", DIGIT, PatchAttention, Adam,
           lr=3e-3, epochs=4, batch_size=128, schedule=one_cycle),
    Recipe("gan", "gan", "Digits of 28x28 by transposed convolutions from 7x7",
           "D1-GAN: document D1, section 4.2", DIGIT, ConvGAN, keras_rmsprop,
           lr=2e-4, epochs=4, batch_size=64),
    Recipe("gan-16", "gan", "gan as printed, from 4x4: digits of 16x16",
           "D1-GAN: document D1, section 4.2", (1, 16, 16), partial(ConvGAN, start=4),
           keras_rmsprop,
           lr=2e-4, epochs=4, batch_size=16, pad=2, shrink=2),
    Recipe("dcgan", "gan", "Convolutions alone, no batch norm: digits of 32x32 from noise of 1x1",
           "D0-GAN: document D0, section 4.2", (1, 32, 32), DCGAN,
           partial(Adam, betas=(0.5, 0.999)),           # printed: Adam(2e-4); see erratum E0.3
           lr=1e-3, epochs=6, batch_size=64, pad=2),
    Recipe("gan-upsample", "gan", "Repeated pixels and convolutions: digits of 32x32",
           "D2-GAN: document D2, section 4.2", (1, 32, 32), UpsampleGAN,
           partial(Adam, betas=(0.5, 0.999), eps=1e-7),
           lr=2e-4, epochs=5, batch_size=32, pad=2),
    Recipe("gan-dense", "gan", "Four dense layers, then eight convolutions: digits of 28x28",
           "D4-GAN: document D4, section 4.2", DIGIT, DenseGAN,
           partial(Adam, betas=(0.5, 0.999), eps=1e-7),   # D2's; printed: Adam(); erratum E4.1
           lr=2e-4, epochs=3, batch_size=128),
    Recipe("lsgan", "gan", "A small GAN with the least-squares loss: digits of 28x28",
           "D3-LSGAN: document D3, section 3.1.3", DIGIT, SmallGAN,
           partial(Adam, betas=(0.5, 0.999)),
           lr=1.5e-3, epochs=4, batch_size=32, schedule=falling, steps="lsgan"),
    Recipe("wgan", "gan", "The same network with the Wasserstein loss and clipped weights",
           "D3-WGAN: document D3, section 3.1.3", DIGIT, SmallGAN, RMSprop,
           lr=1e-3, epochs=5, batch_size=96, schedule=falling, steps="wgan"),    # 3 turns of D
    Recipe("wgan-gp", "gan", "The same with a gradient penalty in place of the clipping",
           "D3-WGAN: document D3, section 3.1.3", DIGIT, SmallGAN, partial(Adam, betas=(0.5, 0.9)),
           lr=1e-3, epochs=5, batch_size=96, schedule=falling, steps="wgan-gp"),
    Recipe("cgan", "gan", "The same network, told the digit to draw",
           "D3-CGAN: document D3, section 3.1.3", DIGIT, partial(SmallGAN, classes=10),
           partial(Adam, betas=(0.5, 0.999)),
           lr=1.5e-3, epochs=6, batch_size=32, schedule=falling, steps="cgan"),
    Recipe("vae", "vae", "Digits to normally distributed codes and back",
           "D1-VAE: document D1, section 4.3", DIGIT, VAE, keras_adam,
           lr=1e-3, epochs=5, batch_size=128),
    # For reading: their numbers, too, are this project's.
    Recipe("small-gan", "gan", "gan with a sixteenth of the channels: a step fits into a file",
           "D1-GAN: document D1, section 4.2", DIGIT, SmallConvGAN, keras_rmsprop,
           lr=2e-3, epochs=3, batch_size=64, schedule=falling),
    Recipe("small-vae", "vae", "vae with an eighth of the channels: a step fits into a file",
           "D1-VAE: document D1, section 4.3", DIGIT, SmallVAE, keras_adam,
           lr=4e-3, epochs=3, batch_size=128, schedule=one_cycle),
)}
