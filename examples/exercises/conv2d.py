"""The convolution of images, forward. Loops are fine.

    y[n,o,i,j] = sum_{c,u,v} x[n, c, i SH - PH + u DH, j SW - PW + v DW] w[o,c,u,v]

    OH = floor((H + 2 PH - DH (KH - 1) - 1) / SH) + 1, and OW alike        Source: D3-CONV

S is the stride, P the padding, D the dilation (how far the taps of a kernel are apart). Pixels
outside of x count as 0. `for n, o, i, j in np.ndindex(N, O, OH, OW):` is four loops in one.
"""


def conv2d(x, w, stride, padding, dilation):
    """x (N, C, H, W), w (O, C, KH, KW), three pairs (height, width) -> y (N, O, OH, OW)"""
    raise NotImplementedError
