"""sigma = e^(logvar / 2), whose slope is sigma / 2."""

import numpy as np


def reparameterise(mu, logvar, eps, gz):
    sigma = np.exp(logvar / 2)
    return mu + sigma * eps, gz, gz * eps * sigma / 2
