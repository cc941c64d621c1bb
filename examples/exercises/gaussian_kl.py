"""The KL divergence of N(mu, sigma^2) from N(0, 1), and its gradients.

    kl = mean over rows n of -1/2 sum_j (1 + log sigma^2 - mu^2 - sigma^2)        Source: D3-KL

with logvar = log sigma^2 given. It is 0 for mu = 0, sigma = 1 and never negative.
"""


def gaussian_kl(mu, logvar):
    """mu (N, J), logvar (N, J) -> kl (a number), gmu (N, J), glogvar (N, J)"""
    raise NotImplementedError
