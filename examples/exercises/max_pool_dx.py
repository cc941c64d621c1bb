"""The gradient of max pooling.

    y[n,c,i,j] = max_{u,v} x[n, c, i SH + u, j SW + v]        Source: D0-MAXPOOL

Only the largest pixel of a window has an influence on y, so it alone gets the window's gradient. Of
equal maxima the first one gets it, row by row. Windows overlap when the stride is smaller than the
window, and leave out pixels at the end where no whole window fits.
"""


def max_pool_dx(gy, x, window, stride):
    """gy (N, C, OH, OW), x (N, C, H, W), `window` and `stride` pairs -> gx (N, C, H, W)"""
    raise NotImplementedError
