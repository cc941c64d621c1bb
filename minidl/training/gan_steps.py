"""Training a GAN: the four steps that the document on formulas (D3, §3.1.2) lists.

1. initialise the generator G and the discriminator D; 2. update D on a batch of real images and a
batch of noise; 3. update G on another batch of noise; 4. repeat steps 2 and 3 until both converge.

The loops that the documents print depart from these steps, and fail: errata E0.3, E1.2, E2.1 and
E4.1 in docs/errata.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import functional as F
from ..modes import no_grad
from ..random import Generator
from ..tensor import Tensor

__all__ = ["GANSteps"]


class GANSteps:
    """One turn of the discriminator, one of the generator. Source: D3 §3.1.2, D3-GAN-V.

    D's output is a logit, whose sigmoid is the probability that an image is real. The variants in
    gan_variants.py change the losses, or the players.
    """

    scale = "tanh"       # pixels in [-1, 1], as the generators' last tanh makes them
    drop_last = True     # batch normalisation wants whole batches
    d_loss = staticmethod(F.gan_discriminator_loss)      # -V: D climbs V
    g_loss = staticmethod(F.gan_generator_loss)          # -log D(G(z)), not log(1 - D(G(z)))
    output = staticmethod(F.sigmoid)                     # D(x), of the logit

    def __init__(self, model: Any, generator: Any, discriminator: Any) -> None:
        # Step 1, the initial weights of G and D, was done when the model was made.
        self.model = model
        self.optimizers = {"generator": generator, "discriminator": discriminator}

    def players(self, labels: Tensor | None) -> tuple[Callable, Callable]:
        """G and D; these two do not look at the classes `labels` of the images."""
        return self.model.generator, self.model.discriminator

    def step(self, images: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """images (N, C, H, W) in [-1, 1]: both losses, and D's mean output on real and on fake."""
        d_loss, real, fake = self.discriminator_step(images, labels)
        g_loss = self.generator_step(len(images), labels)
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach(),
                "d_real": self.output(real.detach()).mean(),
                "d_fake": self.output(fake.detach()).mean()}
        # Step 4, again until they converge, is the loop around this: Trainer.fit.

    def discriminator_step(self, images: Tensor, labels: Tensor | None = None
                           ) -> tuple[Tensor, Tensor, Tensor]:
        """Step 2: D learns to tell `images` from fakes; its loss, logits on real and on fake."""
        (G, D), optimizer = self.players(labels), self.optimizers["discriminator"]
        z = self.model.noise(len(images))                # step 2: a batch of noise
        with no_grad():
            fake = G(z)                                  # G is not trained now: no graph for it
        loss, real_logits, fake_logits = self.discriminator_loss(D, images, fake)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, real_logits, fake_logits

    def discriminator_loss(self, D: Callable, images: Tensor, fake: Tensor
                           ) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of D's turn, and D's logits that it is made of."""
        real_logits, fake_logits = D(images), D(fake)
        return self.d_loss(real_logits, fake_logits), real_logits, fake_logits

    def generator_step(self, n: int, labels: Tensor | None = None) -> Tensor:
        """Step 3: G learns to deceive D on `n` new fakes; its (non-saturating) loss."""
        (G, D), optimizer = self.players(labels), self.optimizers["generator"]
        learnt = [p for p in self.model.discriminator.parameters() if p.requires_grad]
        self.model.discriminator.requires_grad_(False)   # D judges, and collects no gradients
        try:
            z = self.model.noise(n)                      # step 3: another batch of noise
            loss = self.g_loss(D(G(z)))
            optimizer.zero_grad()
            loss.backward()
        finally:
            for p in learnt:                             # what was frozen before stays frozen
                p.requires_grad_(True)
        optimizer.step()
        return loss

    def evaluate(self, loader: Any) -> dict[str, float]:
        """D's mean output on the real images of `loader` and on as many fakes."""
        self.model.eval()
        noise, device = Generator(1), next(self.model.parameters()).device
        real = fake = count = 0
        for batch, labels in loader:
            G, D = self.players(labels.to(device))
            with no_grad():
                real += self.output(D(batch.to(device))).sum().item()
                fake += self.output(D(G(self.model.noise(len(batch), noise)))).sum().item()
            count += len(batch)
        return {"d_real": real / count, "d_fake": fake / count}
