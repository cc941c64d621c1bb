"""The variational autoencoder."""

from __future__ import annotations

from .. import functional as F
from .. import nn
from ..checks.draws import first_element
from ..checks.layer_options import check_choice
from ..tensor import Tensor


class VAE(nn.Module):
    """Images to a normal distribution over codes z, and codes back to images.

    encoder  conv 3x3, relu 32x28x28 | conv 3x3, relu 64x28x28 | two dense heads: mu, log sigma^2
    decoder  dense, relu 64x7x7 | tconv, relu 64x14x14 | tconv, relu 32x28x28 | tconv 1x28x28

    10,426,633 parameters with 100 latent variables, nearly all of them in the two heads (the
    encoder's convolutions have stride 1, as printed). `likelihood` says what the decoder's output
    is: the logits of independent pixels ("bernoulli"), or the means of normally distributed pixels
    of variance 1 ("gaussian"), whose log-likelihood is the printed squared error times -1/2.

    Erratum E1.3: the printed network has no mu, sigma or sampling and makes images of 56x56; here
    it has the two heads, and the third transposed convolution has stride 1. Source: D1-VAE.
    """

    def __init__(self, latent: int = 100, likelihood: str = "bernoulli"):
        super().__init__()
        check_choice("VAE", "likelihood", likelihood, "bernoulli", "gaussian")
        self.latent, self.likelihood = latent, likelihood
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding="same"), nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding="same"), nn.ReLU(), nn.Flatten(),
        )
        self.mu = nn.Linear(64 * 28 * 28, latent)
        self.logvar = nn.Linear(64 * 28 * 28, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, 7 * 7 * 64), nn.ReLU(), nn.Unflatten(1, (64, 7, 7)),
            nn.ConvTranspose2d(64, 64, 3, stride=2, padding="same"), nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 3, stride=2, padding="same"), nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 3, stride=1, padding="same"),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and log sigma^2 of q(z|x): (N,1,28,28) -> two of (N,latent)."""
        h = self.encoder(x)
        return self.mu(h), self.logvar(h)

    def decode(self, z: Tensor) -> Tensor:
        """What parametrises p(x|z), logits or means: (N,latent) -> (N,1,28,28)."""
        return self.decoder(z)

    def forward(self, x: Tensor, eps: Tensor | None = None, *,
                first_row: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """The decoder's output for one z = mu + sigma eps, then mu and log sigma^2. `eps`, of shape
        (N,latent), is drawn from N(0, I) unless given, from row `first_row` of the draw on.
        Training does the same in its steps 1 to 3: ``training/vae_steps.py``."""
        first = first_element("VAE: first_row", first_row, len(x), self.latent)
        mu, logvar = self.encode(x)
        z = F.reparameterize(mu, logvar, eps, first=first)
        return self.decode(z), mu, logvar

    def log_likelihood(self, output: Tensor, x: Tensor) -> Tensor:
        """log p(x|z) of each image in nats, from the decoder's output: (N,). Of the Gaussian one
        the constant, -log(2 pi) / 2 for each pixel, is left out."""
        if self.likelihood == "bernoulli":
            return F.bernoulli_log_likelihood(output, x)
        return F.gaussian_log_likelihood(output, x)

    def mean(self, output: Tensor) -> Tensor:
        """E[x|z], the image to show, from the decoder's output: in (0,1) for Bernoulli pixels."""
        return F.sigmoid(output) if self.likelihood == "bernoulli" else output
