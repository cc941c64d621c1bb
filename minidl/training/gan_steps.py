"""Training a GAN: the four steps of D3 §3.1.2, and the three variants that D3 §3.1.3 names.

1. initialise G and D; 2. update D on a batch of real images and a batch of noise; 3. update G on
another batch of noise; 4. repeat 2 and 3 until they converge.

None of the documents' own loops does this. They give D real images labelled 0 and gradients left
over from G's turn (E0.3), give both players one loss and cut G's gradient (E1.2), train D on ones
alone and on images taken for noise (E2.1), or never train G (E4.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import functional as F
from ..device import to_host
from ..modes import no_grad
from ..random import Generator
from ..tensor import Tensor

__all__ = ["CGANSteps", "GANSteps", "LSGANSteps", "WGANPenaltySteps", "WGANSteps", "asked",
           "samples"]


class GANSteps:
    """One turn of the discriminator, one of the generator. Source: D3 §3.1.2, D3-GAN-V.

    The variants below change the losses, or the players.
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
        """G and D, for images of the classes `labels`, which is nothing to them here."""
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
        self.model.discriminator.requires_grad_(False)   # D judges, and collects no gradients
        try:
            z = self.model.noise(n)                      # step 3: another batch of noise
            loss = self.g_loss(D(G(z)))
            optimizer.zero_grad()
            loss.backward()
        finally:
            self.model.discriminator.requires_grad_(True)
        optimizer.step()
        return loss

    def evaluate(self, loader: Any) -> dict[str, float]:
        """D's mean output on the real images of `loader` and on as many fakes."""
        self.model.eval()
        noise, device = Generator(1), next(self.model.parameters()).device
        real = fake = images = 0
        for batch, labels in loader:
            G, D = self.players(labels.to(device))
            with no_grad():
                real += self.output(D(batch.to(device))).sum().item()
                fake += self.output(D(G(self.model.noise(len(batch), noise)))).sum().item()
            images += len(batch)
        return {"d_real": real / images, "d_fake": fake / images}


class LSGANSteps(GANSteps):
    """D's score is pulled towards 1 on real images and 0 on fakes, by least squares; G pulls it
    towards 1 on fakes. Source: D3-LSGAN."""

    d_loss = staticmethod(F.lsgan_discriminator_loss)
    g_loss = staticmethod(F.lsgan_generator_loss)
    output = staticmethod(lambda score: score)


class WGANSteps(GANSteps):
    """D is a critic f, its score any number: E f(x) - E f(G(z)) estimates, up to a factor, how far
    the fakes are from the real images, if f has `turns` turns for each of G's. A step gives each
    turn its share of the batch. What bounds f's slope here is clipping: after each turn every
    weight of f is cut to [-clip, clip]. Source: D3-WGAN."""

    d_loss = staticmethod(F.wgan_critic_loss)
    g_loss = staticmethod(F.wgan_generator_loss)
    output = staticmethod(lambda score: score)

    def __init__(self, model: Any, generator: Any, discriminator: Any, turns: int = 3,
                 clip: float | None = 0.05) -> None:
        if turns < 1:
            raise ValueError(f"{type(self).__name__}: turns is {turns}, it must be at least 1")
        if clip is not None and not clip > 0:
            raise ValueError(f"{type(self).__name__}: clip is {clip}, it must be above 0")
        super().__init__(model, generator, discriminator)
        self.turns, self.clip = turns, clip

    def step(self, images: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """As GANSteps, the discriminator's numbers being those of its last turn."""
        n = len(images) // self.turns
        if n == 0:
            raise ValueError(f"step: {type(self).__name__} needs an image for each of the critic's "
                             f"{self.turns} turns, got {len(images)}")
        *first, last = (slice(turn * n, turn * n + n) for turn in range(self.turns))
        for turn in first:
            self.discriminator_step(images[turn])
        return super().step(images[last])

    def discriminator_step(self, images: Tensor, labels: Tensor | None = None
                           ) -> tuple[Tensor, Tensor, Tensor]:
        """Step 2, and the clipping."""
        found = super().discriminator_step(images, labels)
        if self.clip is not None:
            with no_grad():
                for weight in self.model.discriminator.parameters():
                    weight.clamp_(-self.clip, self.clip)
        return found


class WGANPenaltySteps(WGANSteps):
    """The critic is not clipped, but pays `weight` times E (||df/dx|| - 1)^2 at points x between
    real images and fakes, which draws its slope towards 1. Source: D3-WGAN."""

    def __init__(self, model: Any, generator: Any, discriminator: Any, turns: int = 3,
                 weight: float = 10.0) -> None:
        super().__init__(model, generator, discriminator, turns, clip=None)
        if not weight >= 0:
            raise ValueError(f"WGANPenaltySteps: weight is {weight}, it must not be negative")
        self.weight = weight

    def discriminator_loss(self, D: Callable, images: Tensor, fake: Tensor
                           ) -> tuple[Tensor, Tensor, Tensor]:
        """The critic's loss with the penalty."""
        loss, real_scores, fake_scores = super().discriminator_loss(D, images, fake)
        return loss + F.gradient_penalty(D, images, fake, self.weight), real_scores, fake_scores


class CGANSteps(GANSteps):
    """V of players that are both told the class y: D(x|y) and G(z|y). Source: D3-CGAN."""

    def players(self, labels: Tensor | None) -> tuple[Callable, Callable]:
        """G(.|y) and D(.|y) for y the classes `labels`."""
        model, G, D = self.model, self.model.generator, self.model.discriminator
        return lambda z: G(model.told(z, labels)), lambda x: model.of_class(D(x), labels)


def asked(model: Any, n: int) -> np.ndarray | None:
    """The classes (n,) that `samples` asks for, 0, 1, 2 and so on in turn; None if the players are
    not told any."""
    return np.arange(n) % model.classes if model.classes else None


def samples(model: Any, n: int, seed: int = 0, labels: np.ndarray | None = None) -> np.ndarray:
    """`n` images (n, C, H, W) in [0, 1] from the noise of `seed`, in evaluation mode. Players that
    are told classes are told `labels` (n,), or those `asked`."""
    model.eval()
    generator, images = Generator(seed), []
    labels = asked(model, n) if labels is None else labels
    device = next(model.parameters()).device
    for start in range(0, n, 100):
        z = model.noise(min(100, n - start), generator)
        y = None if labels is None else Tensor(labels[start:start + 100]).to(device)
        with no_grad():
            fake = model(z, y)
        images.append(to_host(fake.data) / 2 + 0.5)
    return np.concatenate(images)
