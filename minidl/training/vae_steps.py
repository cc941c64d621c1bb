"""Training a variational autoencoder: the four steps that the document on formulas (D3, §3.3.2)
lists.

1. the encoder infers mean and variance of the code z; 2. z is drawn from them; 3. the decoder
makes the image again; 4. reconstruction loss and KL divergence are computed and descended.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional as F
from ..checks.draws import first_element
from ..modes import no_grad
from ..random import Generator
from ..tensor import Tensor

__all__ = ["VAESteps", "negative_elbo"]


class VAESteps:
    """One step of gradient descent on -ELBO. Source: D3 §3.3.2, D3-ELBO, D3-KL, D3-REPARAM."""

    scale = "unit"       # pixels in [0, 1]: probabilities of a Bernoulli pixel
    drop_last = False

    def __init__(self, model: Any, optimizer: Any) -> None:
        self.model, self.optimizers = model, {"model": optimizer}

    def step(self, images: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """images (N, 1, H, W) in [0, 1]: -ELBO and its two parts, in nats an image."""
        optimizer = self.optimizers["model"]
        loss, reconstruction, kl = negative_elbo(self.model, images)
        optimizer.zero_grad()
        loss.backward()                                  # step 4, second half: descend both
        optimizer.step()
        return {"loss": loss.detach(), "reconstruction": reconstruction.detach(),
                "kl": kl.detach()}

    def evaluate(self, loader: Any) -> dict[str, float]:
        """-ELBO, reconstruction loss and KL in nats an image, one z for each, of fixed noise."""
        self.model.eval()
        noise, device = Generator(1), next(self.model.parameters()).device
        sums, count = np.zeros(3), 0
        for batch, _ in loader:
            with no_grad():
                parts = negative_elbo(self.model, batch.to(device), noise)
            sums += len(batch) * np.array([part.item() for part in parts])
            count += len(batch)
        return dict(zip(("loss", "reconstruction", "kl"), (sums / count).tolist()))


def negative_elbo(model: Any, images: Tensor, noise: Generator | None = None, *,
                  first_row: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """-ELBO = reconstruction loss + KL, and the two: means over the images, in nats. eps is drawn
    from row `first_row` of the draw on."""
    first = first_element("negative_elbo: first_row", first_row, images.shape[0], model.latent)
    mu, logvar = model.encode(images)                            # step 1: mean, log variance
    z = F.reparameterize(mu, logvar, generator=noise, first=first)      # step 2: mu + sigma eps
    output = model.decode(z)                                     # step 3: the image again
    likelihood = model.log_likelihood(output, images)            # step 4: reconstruction
    kl = F.gaussian_kl(mu, logvar, reduction="none")             # and KL divergence
    return -F.elbo(likelihood, kl), -likelihood.detach().mean(), kl.detach().mean()
