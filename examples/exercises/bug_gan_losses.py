"""Find the bugs: two players that share one loss (erratum E1.2).

    V      = E[log D(x)] + E[log(1 - D(G(z)))]        Source: D3-GAN-V
    d_loss = -V                   D climbs V, so it descends -V
    g_loss = -E[log D(G(z))]      the loss that G is given in place of V

Both losses are descended. `real` and `fake` are what D's last layer, a dense one, makes of real and
of generated images: any numbers, to which sigmoid was not applied. They may be large.
np.logaddexp(0, a) is log(1 + e^a), without overflow.
"""

import numpy as np


def gan_losses(real, fake):
    """real (N,), fake (N,) -> d_loss, g_loss (numbers)"""
    d_loss = np.mean(np.log(real) + np.log(1 - fake))
    g_loss = np.mean(np.log(real) + np.log(1 - fake))
    return d_loss, g_loss
