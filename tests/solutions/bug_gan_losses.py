"""Each player has a loss of its own; -log sigmoid(a) = log(1 + e^-a)."""

import numpy as np


def gan_losses(real, fake):
    d_loss = np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean()
    g_loss = np.logaddexp(0, -fake).mean()
    return d_loss, g_loss
