"""The gradient of a convolution for its kernels.

    y[n,o,i,j] = sum_{c,u,v} x[n, c, i SH - PH + u DH, j SW - PW + v DW] w[o,c,u,v]
                                                                            Source: D3-CONV

Each term of this sum is a pixel times a weight. In the backward pass the weight gets the pixel
times gy[n,o,i,j], for every term that it is part of: for all images and all places.
"""


def conv2d_dw(gy, x, kernel, stride, padding, dilation):
    """gy (N, O, OH, OW), x (N, C, H, W), four pairs (height, width), `kernel` being (KH, KW)
    -> gw (O, C, KH, KW)"""
    raise NotImplementedError
