"""Each output sends gy x back to the weights it was made with."""

import numpy as np


def conv2d_dw(gy, x, kernel, stride, padding, dilation):
    (N, O, OH, OW), (N, C, H, W), (KH, KW) = gy.shape, x.shape, kernel
    (SH, SW), (PH, PW), (DH, DW) = stride, padding, dilation
    gw = np.zeros((O, C, KH, KW))
    for n, o, i, j, c, u, v in np.ndindex(N, O, OH, OW, C, KH, KW):
        h, k = i * SH - PH + u * DH, j * SW - PW + v * DW
        if 0 <= h < H and 0 <= k < W:
            gw[o, c, u, v] += gy[n, o, i, j] * x[n, c, h, k]
    return gw
