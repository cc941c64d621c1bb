"""D1's GAN and VAE with a few channels: the same layers in the same order, the same losses and
training steps, and so small that a recorded step fits into a file whole and every number of it can
be asked for."""

from __future__ import annotations

from ... import nn
from ...checks.layer_options import check_choice
from ..gan import ConvGAN
from ..vae import VAE


class SmallConvGAN(ConvGAN):
    """`ConvGAN` with a sixteenth of the channels: digits of 28x28 from 16 random numbers.

    generator      dense, BN, LeakyReLU 32x7x7 | tconv 5x5, BN, LeakyReLU 16x7x7
                   | tconv 5x5 s2, BN, LeakyReLU 8x14x14 | tconv 5x5 s2, tanh 1x28x28
    discriminator  conv 5x5 s2, LeakyReLU, dropout 0.3: 4x14x14, 8x7x7 | dense 1

    44,472 and 1,305 parameters. Source: D1-GAN.
    """

    def __init__(self, start: int = 7, latent: int = 16, width: int = 4):
        super().__init__(start, latent, width)


class SmallVAE(VAE):
    """`VAE` with an eighth of the channels and 4 latent variables.

    encoder  conv 3x3, relu 4x28x28 | conv 3x3, relu 8x28x28 | two dense heads: mu, log sigma^2
    decoder  dense, relu 8x7x7 | tconv, relu 8x14x14 | tconv, relu 4x28x28 | tconv 1x28x28

    53,393 parameters. `width` is the 4. Source: D1-VAE.
    """

    def __init__(self, latent: int = 4, likelihood: str = "bernoulli", width: int = 4):
        super(VAE, self).__init__()            # past VAE's, which makes ten million parameters
        check_choice("SmallVAE", "likelihood", likelihood, "bernoulli", "gaussian")
        self.latent, self.likelihood = latent, likelihood
        w = width
        self.encoder = nn.Sequential(
            nn.Conv2d(1, w, 3, padding="same"), nn.ReLU(),
            nn.Conv2d(w, 2 * w, 3, padding="same"), nn.ReLU(), nn.Flatten(),
        )
        self.mu = nn.Linear(2 * w * 28 * 28, latent)
        self.logvar = nn.Linear(2 * w * 28 * 28, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, 7 * 7 * 2 * w), nn.ReLU(), nn.Unflatten(1, (2 * w, 7, 7)),
            nn.ConvTranspose2d(2 * w, 2 * w, 3, stride=2, padding="same"), nn.ReLU(),
            nn.ConvTranspose2d(2 * w, w, 3, stride=2, padding="same"), nn.ReLU(),
            nn.ConvTranspose2d(w, 1, 3, stride=1, padding="same"),
        )
