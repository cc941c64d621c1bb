"""Each output sends gy w back to the pixels it was made of."""

import numpy as np


def conv2d_dx(gy, w, size, stride, padding, dilation):
    (N, O, OH, OW), (O, C, KH, KW), (H, W) = gy.shape, w.shape, size
    (SH, SW), (PH, PW), (DH, DW) = stride, padding, dilation
    gx = np.zeros((N, C, H, W))
    for n, o, i, j, c, u, v in np.ndindex(N, O, OH, OW, C, KH, KW):
        h, k = i * SH - PH + u * DH, j * SW - PW + v * DW
        if 0 <= h < H and 0 <= k < W:
            gx[n, c, h, k] += gy[n, o, i, j] * w[o, c, u, v]
    return gx
