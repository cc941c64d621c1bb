"""The gradient of a convolution for its images.

    y[n,o,i,j] = sum_{c,u,v} x[n, c, i SH - PH + u DH, j SW - PW + v DW] w[o,c,u,v]
                                                                            Source: D3-CONV

Each term of this sum is a pixel times a weight. In the backward pass the pixel gets the weight
times gy[n,o,i,j], for every term that it is part of. So the loops are the forward pass's, and what
was read is now written to. `size` is (H, W): gy alone does not tell it when there is a stride.
"""


def conv2d_dx(gy, w, size, stride, padding, dilation):
    """gy (N, O, OH, OW), w (O, C, KH, KW), four pairs (height, width) -> gx (N, C, H, W)"""
    raise NotImplementedError
