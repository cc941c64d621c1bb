"""Training a GAN: the four steps of D3 §3.1.2.

1. initialise G and D; 2. update D on a batch of real images and a batch of noise; 3. update G on
another batch of noise; 4. repeat 2 and 3 until they converge.

None of the documents' own loops does this. They give D real images labelled 0 and gradients left
over from G's turn (E0.3), give both players one loss and cut G's gradient (E1.2), train D on ones
alone and on images taken for noise (E2.1), or never train G (E4.1).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional as F
from ..device import to_host
from ..random import Generator
from ..tape import no_grad
from ..tensor import Tensor


class GANSteps:
    """One turn of the discriminator, one of the generator. Source: D3 §3.1.2, D3-GAN-V."""

    scale = "tanh"       # pixels in [-1, 1], as the generators' last tanh makes them
    drop_last = True     # batch normalisation wants whole batches

    def __init__(self, model: Any, generator: Any, discriminator: Any) -> None:
        # Step 1, the initial weights of G and D, was done when the model was made.
        self.model = model
        self.optimizers = {"generator": generator, "discriminator": discriminator}

    def step(self, images: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """images (N, C, H, W) in [-1, 1]: both losses, and D's mean output on real and on fake."""
        d_loss, real, fake = self.discriminator_step(images)
        g_loss = self.generator_step(len(images))
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach(),
                "d_real": real.detach().sigmoid().mean(), "d_fake": fake.detach().sigmoid().mean()}
        # Step 4, again until they converge, is the loop around this: Trainer.fit.

    def discriminator_step(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Step 2: D learns to tell `images` from fakes; its loss, logits on real and on fake."""
        G, D, optimizer = *_players(self.model), self.optimizers["discriminator"]
        z = self.model.noise(len(images))                # step 2: a batch of noise
        with no_grad():
            fake = G(z)                                  # G is not trained now: no graph for it
        real_logits, fake_logits = D(images), D(fake)
        loss = F.gan_discriminator_loss(real_logits, fake_logits)     # -V: D climbs V
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, real_logits, fake_logits

    def generator_step(self, n: int) -> Tensor:
        """Step 3: G learns to deceive D on `n` new fakes; its (non-saturating) loss."""
        G, D, optimizer = *_players(self.model), self.optimizers["generator"]
        D.requires_grad_(False)                          # D judges, and collects no gradients
        z = self.model.noise(n)                          # step 3: another batch of noise
        loss = F.gan_generator_loss(D(G(z)))             # -log D(G(z)), not log(1 - D(G(z)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        D.requires_grad_(True)
        return loss

    def evaluate(self, loader: Any) -> dict[str, float]:
        """D's mean output on the real images of `loader` and on as many fakes."""
        self.model.eval()
        G, D = _players(self.model)
        noise, device = Generator(1), next(D.parameters()).device
        real = fake = images = 0
        for batch, _ in loader:
            with no_grad():
                real += D(batch.to(device)).sigmoid().sum().item()
                fake += D(G(self.model.noise(len(batch), noise))).sigmoid().sum().item()
            images += len(batch)
        return {"d_real": real / images, "d_fake": fake / images}


def _players(model: Any) -> tuple[Any, Any]:
    return model.generator, model.discriminator


def samples(model: Any, n: int, seed: int = 0) -> np.ndarray:
    """`n` images (n, C, H, W) in [0, 1] from the noise of `seed`, in evaluation mode."""
    model.eval()
    generator, images = Generator(seed), []
    for start in range(0, n, 100):
        with no_grad():
            fake = model.generator(model.noise(min(100, n - start), generator))
        images.append(to_host(fake.data) / 2 + 0.5)
    return np.concatenate(images)
