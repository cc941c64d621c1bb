"""The generative adversarial network: noise to images, and images to one logit.

Erratum E1.2: the printed discriminator lacks the sigmoid that the printed loss, which takes
logarithms, needs. Here the sigmoid is a part of the loss.
"""

from __future__ import annotations

from .. import nn
from ..checks.draws import first_element
from ..random import Generator, default_generator
from ..tensor import Tensor
from .more.conditional import ConditionalPlayers


class GAN(ConditionalPlayers, nn.Module):
    """Two players: `generator`, (N,latent) -> images in [-1,1], and `discriminator`, images ->
    (N,1) logits, large for what it takes to be real. Source: D3-GAN-V.

    Only a GAN with `classes` uses :class:`ConditionalPlayers`, which tell both players a class.
    """

    classes = 0                        # the plain GAN: no class is told

    def __init__(self, generator: nn.Module, discriminator: nn.Module, latent: int):
        super().__init__()
        self.generator, self.discriminator, self.latent = generator, discriminator, latent

    def noise(self, n: int, rng: Generator | None = None, *, first_row: int = 0) -> Tensor:
        """z ~ N(0, I), (n,latent), of the dtype and on the device of the weights, from row
        `first_row` of the draw on."""
        first = first_element("noise: first_row", first_row, n, self.latent)
        weight = next(self.generator.parameters())
        rng = rng or default_generator()
        return Tensor._wrap(rng.normal((n, self.latent), weight.dtype, weight.device, first=first))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """The generator's images for `z`, and of the classes `labels` if it is told them."""
        return self.generator(self.told(z, labels) if self.classes else z)


def keras_batch_norm(layer: type, channels: int, momentum: float = 0.99) -> nn.Module:
    """Keras's batch norm: eps 1e-3, and its momentum is the share of the *old* statistics."""
    return layer(channels, eps=1e-3, momentum=1 - momentum)


class ConvGAN(GAN):
    """Transposed convolutions 5x5 with batch norm and LeakyReLU 0.3 (Keras's default slope).

    `start` is s, the size at which the generator begins; images are 4s x 4s. With the document's
    s = 4 that is 16x16; s = 7 makes digits of 28x28.

    generator      dense 512*s*s, BN, LeakyReLU  512 x  s x  s   no layer but BN has a bias
                   tconv 5x5,     BN, LeakyReLU  256 x  s x  s
                   tconv 5x5 s2,  BN, LeakyReLU  128 x 2s x 2s   "same" padding: exactly doubled
                   tconv 5x5 s2,  tanh             1 x 4s x 4s
    discriminator  conv 5x5 s2, LeakyReLU, dropout 0.3   64 x 2s x 2s
                   conv 5x5 s2, LeakyReLU, dropout 0.3  128 x  s x  s
                   dense 1

    6,658,944 and 212,865 parameters for s = 7; 4,935,552 and 208,641 for s = 4. `width` is the
    discriminator's 64, of which the other numbers of channels are multiples. Source: D1-GAN.
    """

    def __init__(self, start: int = 7, latent: int = 100, width: int = 64):
        s, w = start, width
        generator = nn.Sequential(
            nn.Linear(latent, s * s * 8 * w, bias=False),
            keras_batch_norm(nn.BatchNorm1d, s * s * 8 * w), nn.LeakyReLU(0.3),
            nn.Unflatten(1, (8 * w, s, s)),
            nn.ConvTranspose2d(8 * w, 4 * w, 5, stride=1, padding="same", bias=False),
            keras_batch_norm(nn.BatchNorm2d, 4 * w), nn.LeakyReLU(0.3),
            nn.ConvTranspose2d(4 * w, 2 * w, 5, stride=2, padding="same", bias=False),
            keras_batch_norm(nn.BatchNorm2d, 2 * w), nn.LeakyReLU(0.3),
            nn.ConvTranspose2d(2 * w, 1, 5, stride=2, padding="same", bias=False), nn.Tanh(),
        )
        discriminator = nn.Sequential(
            nn.Conv2d(1, w, 5, stride=2, padding="same"), nn.LeakyReLU(0.3), nn.Dropout(0.3),
            nn.Conv2d(w, 2 * w, 5, stride=2, padding="same"), nn.LeakyReLU(0.3), nn.Dropout(0.3),
            nn.Flatten(), nn.Linear(2 * w * s * s, 1),
        )
        super().__init__(generator, discriminator, latent)
        nn.init.keras_(self)
