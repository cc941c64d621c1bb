"""What GANs and VAEs minimise: the documents' formulas, from logits where a logarithm is taken.

D(x) = sigmoid(logit), so log D = -softplus(-logit) and log(1 - D) = -softplus(logit): no logarithm
of a small probability is ever taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .. import random
from ..checks.arguments import arguments
from ..modes import enable_grad
from ..more.grad import grad
from ..tensor import Tensor
from .activation import softplus1
from .loss import bce_logits, reduce_loss
from .reduce import mean, norm, sum
from .shape import reshape_to


def _rows(x: Tensor) -> Tensor:
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
    first = random.placed("gradient_penalty: first", first, len(real))
    shape = (len(real), *(1,) * (real.ndim - 1))
    rng = generator or random.default_generator()
    u = Tensor._wrap(rng.uniform(shape, real.dtype, real.device, first=first))
    between = (u * real.detach() + (1 - u) * fake.detach()).requires_grad_()
    with enable_grad():
        (slope,) = grad(sum(critic(between)), between, create_graph=True)
    excess = norm(_rows(slope), dim=1) - 1
    return weight * mean(excess * excess)


@arguments
def lsgan_discriminator_loss(real: Tensor, fake: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """1/2 E (D(x) - b)^2 + 1/2 E (D(G(z)) - a)^2, D without sigmoid. Source: D3-LSGAN."""
    return 0.5 * mean((real - b) ** 2) + 0.5 * mean((fake - a) ** 2)


@arguments
def lsgan_generator_loss(fake: Tensor, c: float = 1.0) -> Tensor:
    """1/2 E (D(G(z)) - c)^2. Source: D3-LSGAN."""
    return 0.5 * mean((fake - c) ** 2)


# --------------------------------------------------------------------------- VAE
@arguments
def reparameterize(mu: Tensor, logvar: Tensor, eps: Tensor | None = None,
                   generator: random.Generator | None = None, *, first: int = 0) -> Tensor:
    """z = mu + sigma * eps, sigma = e^{logvar / 2}, eps ~ N(0, I): a sample of N(mu, sigma^2) that
    mu and sigma have gradients through. eps is drawn unless given, from element `first` of the draw
    on. Source: D3-REPARAM."""
    first = random.placed("reparameterize: first", first, mu.data.size)
    if eps is None:
        rng = generator or random.default_generator()
        eps = Tensor._wrap(rng.normal(mu.shape, mu.dtype, mu.device, first=first))
    return mu + (0.5 * logvar).exp() * eps


@arguments
def gaussian_kl(mu: Tensor, logvar: Tensor, reduction: str = "mean") -> Tensor:
    """D_KL(N(mu, diag sigma^2) || N(0, I)) = -1/2 sum_j (1 + log sigma_j^2 - mu_j^2 - sigma_j^2),
    summed over the last axis, then reduced over the batch. In nats. Source: D3-KL."""
    each = -0.5 * sum(1 + logvar - mu * mu - logvar.exp(), -1)
    return reduce_loss("gaussian_kl", each, reduction)


@arguments
def gaussian_kl_between(mu: Tensor, logvar: Tensor, mu2: Tensor, logvar2: Tensor,
                        reduction: str = "mean") -> Tensor:
    """D_KL(N(mu, sigma^2) || N(mu2, sigma2^2)), diagonal:
    1/2 sum_j (log sigma2^2/sigma^2 + (sigma^2 + (mu - mu2)^2) / sigma2^2 - 1). Source: D3-KL."""
    d = mu - mu2
    inside = logvar2 - logvar + (logvar.exp() + d * d) * (-logvar2).exp() - 1
    return reduce_loss("gaussian_kl_between", 0.5 * sum(inside, -1), reduction)


@arguments
def bernoulli_log_likelihood(logits: Tensor, target: Tensor) -> Tensor:
    """log p(x|z) of independent pixels x in [0,1] with p = sigmoid(logits), for each example:
    sum x log p + (1 - x) log(1 - p) = sum x logit - softplus(logit). (N,...) -> (N,). Part of
    Source: D3-ELBO."""
    return -sum(_rows(bce_logits(logits, target)), 1)


@arguments
def gaussian_log_likelihood(mean_: Tensor, target: Tensor) -> Tensor:
    """log p(x|z) for N(mean, I) without its constant: -1/2 sum (x - mean)^2. (N,...) -> (N,).
    Part of Source: D3-ELBO."""
    d = _rows(target - mean_)
    return -0.5 * sum(d * d, 1)


@arguments
def elbo(log_likelihood: Tensor, kl: Tensor) -> Tensor:
    """E_q log p(x|z) - D_KL(q(z|x) || p(z)), at most log p(x), in nats. Source: D3-ELBO."""
    return mean(log_likelihood) - mean(kl)
