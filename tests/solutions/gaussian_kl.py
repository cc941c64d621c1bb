"""The mean over the rows divides the gradients too."""

import numpy as np


def gaussian_kl(mu, logvar):
    variance = np.exp(logvar)
    kl = -0.5 * (1 + logvar - mu**2 - variance).sum(axis=1).mean()
    return kl, mu / len(mu), 0.5 * (variance - 1) / len(mu)
