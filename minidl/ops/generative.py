"""What GANs and VAEs minimise, from logits, the numbers before sigmoid. For D(x) = sigmoid(logit),
log D = -softplus(-logit) and log(1 - D) = -softplus(logit): no logarithm of a small probability is
ever taken."""

from __future__ import annotations

import math

from .. import random
from ..checks.arguments import arguments
from ..checks.draws import first_element
from ..tensor import Tensor
from .activation import softplus1
from .loss import bce_logits
from .reduce import mean, reduce_loss, sum
from .shape import reshape_to

__all__ = ["bernoulli_log_likelihood", "elbo", "gan_discriminator_loss", "gan_generator_loss",
           "gan_value", "gaussian_kl", "reparameterize"]


def rows_of(x: Tensor) -> Tensor:
    """(N, ...) as (N, all the rest)."""
    return reshape_to(x, (x.shape[0], math.prod(x.shape[1:])))


# --------------------------------------------------------------------------- GAN
@arguments
def gan_value(real: Tensor, fake: Tensor) -> Tensor:
    """V(D,G) = E_x log D(x) + E_z log(1 - D(G(z))), from D's logits. D climbs it, G descends it.
    Source: D3-GAN-V; with the condition given to both players the same formula is D3-CGAN."""
    return -mean(softplus1(-real)) - mean(softplus1(fake))


@arguments
def gan_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-V: binary cross entropy with targets 1 for real and 0 for fake, added. Source: D3-GAN-V."""
    return -gan_value(real, fake)


@arguments
def gan_generator_loss(fake: Tensor, saturating: bool = False) -> Tensor:
    """The non-saturating loss -E log D(G(z)); or, `saturating`, the document's own
    E log(1 - D(G(z))), whose gradient vanishes while D wins. Source: D3-GAN-V."""
    return -mean(softplus1(fake)) if saturating else mean(softplus1(-fake))


# --------------------------------------------------------------------------- VAE
@arguments
def reparameterize(mu: Tensor, logvar: Tensor, eps: Tensor | None = None,
                   generator: random.Generator | None = None, *, first: int = 0) -> Tensor:
    """z = mu + sigma * eps, sigma = e^{logvar / 2}, eps ~ N(0, I): a sample of N(mu, sigma^2) that
    mu and sigma have gradients through. eps is drawn unless given, from element `first` of the draw
    on. Source: D3-REPARAM."""
    first = first_element("reparameterize: first", first, mu.data.size)
    if eps is None:
        rng = generator or random.default_generator()
        eps = Tensor._wrap(rng.normal(mu.shape, mu.dtype, mu.device, first=first))
    return mu + (0.5 * logvar).exp() * eps


@arguments
def gaussian_kl(mu: Tensor, logvar: Tensor, reduction: str = "mean") -> Tensor:
    """D_KL(N(mu, diag sigma^2) || N(0, I)) = -1/2 sum_j (1 + log sigma_j^2 - mu_j^2 - sigma_j^2),
    summed over the last axis, then reduced over the batch. In nats, the unit of the natural
    logarithm: 1 nat is 1.44 bits. Source: D3-KL."""
    each = -0.5 * sum(1 + logvar - mu * mu - logvar.exp(), -1)
    return reduce_loss("gaussian_kl", each, reduction)


@arguments
def bernoulli_log_likelihood(logits: Tensor, target: Tensor) -> Tensor:
    """log p(x|z) of independent pixels x in [0,1] with p = sigmoid(logits), for each example:
    sum x log p + (1 - x) log(1 - p) = sum x logit - softplus(logit). (N,...) -> (N,). Part of
    Source: D3-ELBO."""
    return -sum(rows_of(bce_logits(logits, target)), 1)


@arguments
def elbo(log_likelihood: Tensor, kl: Tensor) -> Tensor:
    """E_q log p(x|z) - D_KL(q(z|x) || p(z)), at most log p(x), in nats. Source: D3-ELBO."""
    return mean(log_likelihood) - mean(kl)
