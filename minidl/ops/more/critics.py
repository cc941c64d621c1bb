"""Losses of GANs whose critic gives any number, no probability: WGAN, its penalty, LSGAN."""

from __future__ import annotations

from collections.abc import Callable

from ... import random
from ...checks.arguments import arguments
from ...checks.draws import first_element
from ...more.grad import grad
from ...more.grad_enabled import enable_grad
from ...tensor import Tensor
from ..generative import rows_of
from ..reduce import mean, sum
from .variance import norm

__all__ = ["gradient_penalty", "lsgan_discriminator_loss", "lsgan_generator_loss",
           "wgan_critic_loss", "wgan_generator_loss"]


@arguments
def wgan_critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E f(G(z)) - E f(x), for a critic f that is kept Lipschitz. Source: D3-WGAN."""
    return mean(fake) - mean(real)


@arguments
def wgan_generator_loss(fake: Tensor) -> Tensor:
    """-E f(G(z)). Source: D3-WGAN."""
    return -mean(fake)


@arguments
def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor,
                     weight: float = 10.0, generator: random.Generator | None = None, *,
                     first: int = 0) -> Tensor:
    """lambda E (||grad f(x^)|| - 1)^2 at x^ = u x + (1 - u) G(z), u uniform a sample.

    real, fake (N, ...); the norm is over all axes but N. Needs second derivatives: the penalty is
    itself a gradient. `first`: the element of the draw at which u begins, one for each sample.
    Source: D3-WGAN.
    """
    if real.shape != fake.shape:
        raise ValueError(f"gradient_penalty: real {real.shape} and fake {fake.shape} differ")
    first = first_element("gradient_penalty: first", first, len(real))
    shape = (len(real), *(1,) * (real.ndim - 1))
    rng = generator or random.default_generator()
    u = Tensor._wrap(rng.uniform(shape, real.dtype, real.device, first=first))
    between = (u * real.detach() + (1 - u) * fake.detach()).requires_grad_()
    with enable_grad():
        (slope,) = grad(sum(critic(between)), between, create_graph=True)
    excess = norm(rows_of(slope), dim=1) - 1
    return weight * mean(excess * excess)


@arguments
def lsgan_discriminator_loss(real: Tensor, fake: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """1/2 E (D(x) - b)^2 + 1/2 E (D(G(z)) - a)^2, D without sigmoid. Source: D3-LSGAN."""
    return 0.5 * mean((real - b) ** 2) + 0.5 * mean((fake - a) ** 2)


@arguments
def lsgan_generator_loss(fake: Tensor, c: float = 1.0) -> Tensor:
    """1/2 E (D(G(z)) - c)^2. Source: D3-LSGAN."""
    return 0.5 * mean((fake - c) ** 2)
