"""Each window gives its gradient to its first maximum."""

import numpy as np


def max_pool_dx(gy, x, window, stride):
    (KH, KW), (SH, SW) = window, stride
    gx = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(*gy.shape):
        patch = x[n, c, i * SH:i * SH + KH, j * SW:j * SW + KW]
        u, v = np.unravel_index(patch.argmax(), patch.shape)       # argmax takes the first
        gx[n, c, i * SH + u, j * SW + v] += gy[n, c, i, j]
    return gx
