"""Further formulas of VAEs: the divergence of two Gaussians, the likelihood of a Gaussian."""

from __future__ import annotations

from ...checks.arguments import arguments
from ...tensor import Tensor
from ..generative import rows_of
from ..reduce import reduce_loss, sum


@arguments
def gaussian_kl_between(mu: Tensor, logvar: Tensor, mu2: Tensor, logvar2: Tensor,
                        reduction: str = "mean") -> Tensor:
    """D_KL(N(mu, sigma^2) || N(mu2, sigma2^2)), diagonal:
    1/2 sum_j (log sigma2^2/sigma^2 + (sigma^2 + (mu - mu2)^2) / sigma2^2 - 1). Source: D3-KL."""
    d = mu - mu2
    inside = logvar2 - logvar + (logvar.exp() + d * d) * (-logvar2).exp() - 1
    return reduce_loss("gaussian_kl_between", 0.5 * sum(inside, -1), reduction)


@arguments
def gaussian_log_likelihood(mean_: Tensor, target: Tensor) -> Tensor:
    """log p(x|z) for N(mean, I) without its constant: -1/2 sum (x - mean)^2. (N,...) -> (N,).
    Part of Source: D3-ELBO."""
    d = rows_of(target - mean_)
    return -0.5 * sum(d * d, 1)
