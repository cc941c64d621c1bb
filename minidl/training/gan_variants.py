"""Training a GAN by other losses, or with classes: the variants that the document on formulas (D3,
§3.1.3) names. What they share with the GAN of the four steps stands in gan_steps.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import functional as F
from ..modes import no_grad
from ..tensor import Tensor
from .gan_steps import GANSteps

__all__ = ["CGANSteps", "LSGANSteps", "WGANPenaltySteps", "WGANSteps"]


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
