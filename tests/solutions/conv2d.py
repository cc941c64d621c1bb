"""The formula in loops."""

import numpy as np


def conv2d(x, w, stride, padding, dilation):
    (N, C, H, W), (O, C, KH, KW) = x.shape, w.shape
    (SH, SW), (PH, PW), (DH, DW) = stride, padding, dilation
    OH = (H + 2 * PH - DH * (KH - 1) - 1) // SH + 1
    OW = (W + 2 * PW - DW * (KW - 1) - 1) // SW + 1
    y = np.zeros((N, O, OH, OW))
    for n, o, i, j, c, u, v in np.ndindex(N, O, OH, OW, C, KH, KW):
        h, k = i * SH - PH + u * DH, j * SW - PW + v * DW
        if 0 <= h < H and 0 <= k < W:
            y[n, o, i, j] += x[n, c, h, k] * w[o, c, u, v]
    return y
